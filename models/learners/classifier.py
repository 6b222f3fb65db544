"""Trained networks that label raw texts, with their vocabularies or tokenizers."""

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, TypeAlias

import joblib
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import torch

from models.networks.network import Network
from models.training.parallel import one_torch_thread
from preprocessing.batches import Batch, EvaluationBatches, Truncation, truncated
from preprocessing.cleaning import CLEANING_VERSION
from preprocessing.encoding import EncodedTexts, encode
from preprocessing.vocabulary import Vocabulary
from preprocessing.word_pieces import WordPieces

Tokens: TypeAlias = Vocabulary | WordPieces  # the known words or pieces, and their ids
Texts: TypeAlias = Sequence[str | None] | pa.Array  # or a column of pandas or NumPy


@dataclass(frozen=True)
class Predictions:
    """The classes of N texts, in the order of the texts."""

    labels: npt.NDArray[np.object_]  # (N,) str, the most probable class of each
    probabilities: npt.NDArray[np.float32]  # (N, classes), in the order of `TextClassifier.classes`
    is_blank: npt.NDArray[np.bool_]  # (N,), whether the text has no word that the model knows

    def top(self, classes: Sequence[str], count: int) -> list[list[tuple[str, float]]]:
        """The likeliest labels of each text with their probabilities, at most `count` of the `classes`."""
        chosen = np.argsort(-self.probabilities, axis=1, kind="stable")[:, :count]
        shares = np.take_along_axis(self.probabilities, chosen, axis=1)
        return [
            [(classes[number], share) for number, share in zip(*pair, strict=True)]
            for pair in zip(chosen.tolist(), shares.tolist(), strict=True)
        ]


@dataclass(frozen=True)
class Member:
    """A trained network with what its texts need, one of those whose probabilities a classifier averages."""

    model: Network  # on the CPU, in evaluation mode: token ids (B, T), lengths (B,) to logits (B, classes)
    tokens: Tokens
    max_tokens: int  # per text; longer ones are truncated
    temperature: float = 1.0  # by which logits are divided, for calibration
    truncate: Truncation = "head"  # which part of a longer text is kept
    weight: float = 1.0  # of its probabilities, relative to other members

    def batches(self, texts: EncodedTexts) -> EvaluationBatches:
        kept = truncated(texts, self.max_tokens, self.truncate)
        return EvaluationBatches(kept, self.max_tokens, len(self.tokens))

    @torch.inference_mode()  # holds for the thread that enters it
    def predict(self, batch: Batch) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.float32], npt.NDArray[np.bool_]]:
        """The batch's rows (B,), probabilities (B, classes), and which texts are blank (B,).

        A text is blank if its tokens carry no information for the model.
        """
        logits = self.model(batch.token_ids, batch.lengths)
        is_behind_the_end = torch.arange(batch.token_ids.shape[1]) >= batch.lengths[:, None]
        tells_nothing = torch.isin(batch.token_ids, torch.tensor(sorted(self.tokens.blank_ids))) | is_behind_the_end
        return batch.rows, (logits / self.temperature).softmax(dim=1).numpy(), tells_nothing.all(dim=1).numpy()


@dataclass(frozen=True)
class TextClassifier:
    """One trained network that labels raw texts, or several, whose probabilities are averaged."""

    members: tuple[Member, ...]
    classes: tuple[str, ...]
    about: Mapping[str, Any]  # its origin; JSON values
    cleaning: int = CLEANING_VERSION  # the version of the rule that the words were found by

    @property
    def classes_(self) -> npt.NDArray[np.object_]:
        """The classes as scikit-learn's classifiers name them."""
        return np.array(self.classes, object)

    def predict(self, texts: Texts) -> npt.NDArray[np.object_]:
        """The label of each text, as scikit-learn's classifiers return them."""
        return self.predictions(texts).labels

    def predict_proba(self, texts: Texts) -> npt.NDArray[np.float32]:
        """The probabilities (texts, classes), in the order of `classes_`, as scikit-learn's classifiers return them."""
        return self.predictions(texts).probabilities

    def predictions(self, texts: Texts) -> Predictions:
        """Label texts of any length; empty, missing or unknown ones are `<unk>` to the model.

        The same texts in one call give the same bits in every process of a machine. Among other texts, the last bits
        of a probability may differ, since the shapes of batches do.
        """
        texts = _strings(texts)
        probabilities = np.zeros((len(texts), len(self.classes)), np.float32)
        is_blank = np.ones(len(texts), bool)
        total = sum(member.weight for member in self.members)
        # A batch per core, each with one thread as in training. One batch on all cores gives the same bits, but took
        # ten times as long on a busy machine.
        with one_torch_thread(), ThreadPoolExecutor(joblib.cpu_count()) as pool:
            for member, encoded in zip(self.members, self._encoded(texts), strict=True) if len(texts) else ():
                for rows, shares, blank in pool.map(member.predict, member.batches(encoded)):
                    probabilities[rows] += np.float32(member.weight / total) * shares
                    is_blank[rows] &= blank
        return Predictions(self.classes_[probabilities.argmax(axis=1)], probabilities, is_blank)

    def _encoded(self, texts: pa.Array) -> Iterator[EncodedTexts]:
        """The texts as each member reads them; they are cleaned and looked up once for all members of words."""
        labels = np.zeros(len(texts), np.int32)
        found: dict[WordPieces | None, tuple[npt.NDArray[np.int32], npt.NDArray[np.int64]]] = {}  # None: in words
        for member in self.members:
            if isinstance(member.tokens, WordPieces):
                if member.tokens not in found:
                    found[member.tokens] = member.tokens.encode(texts)
                token_ids, offsets = found[member.tokens]
            else:
                if None not in found:
                    found[None] = encode(texts, self._vocabulary, cleaning=self.cleaning)
                token_ids, offsets = found[None]
                if self._vocabulary is not member.tokens:
                    token_ids = member.tokens.ids(self._vocabulary.words)[token_ids]
            yield EncodedTexts(token_ids, offsets, labels)

    @cached_property
    def _vocabulary(self) -> Vocabulary:
        """The words of all members, each once."""
        vocabularies = [member.tokens for member in self.members if isinstance(member.tokens, Vocabulary)]
        first = vocabularies[0]
        if all(vocabulary.words.equals(first.words) for vocabulary in vocabularies):
            return first
        words = pa.concat_arrays([vocabulary.words for vocabulary in vocabularies]).unique()
        return Vocabulary(words, np.zeros(len(words), np.int64))


def average(
    classifiers: Sequence[TextClassifier], about: Mapping[str, Any], weights: Sequence[float] | None = None
) -> TextClassifier:
    """One classifier with the mean probabilities of several, which have the same classes and the same rule for words.

    `weights`: of each in that mean; None: all count the same.
    """
    first = classifiers[0]
    if any((other.classes, other.cleaning) != (first.classes, first.cleaning) for other in classifiers):
        raise ValueError("Classifiers to be averaged must have the same classes and the same rule for words.")
    members = [
        replace(member, weight=weight * member.weight / sum(other.weight for other in classifier.members))
        for classifier, weight in zip(classifiers, weights or [1.0] * len(classifiers), strict=True)
        for member in classifier.members
    ]
    return TextClassifier(tuple(members), first.classes, about, first.cleaning)


def _strings(texts: Texts) -> pa.Array:
    """The texts as `large_string` without nulls; what UTF-8 cannot encode, as half a surrogate pair, becomes `?`."""
    if isinstance(texts, str):
        raise TypeError("Give a sequence of texts, not a single one.")
    if not isinstance(texts, pa.Array | pa.ChunkedArray):
        try:
            texts = pa.array(texts, pa.large_string(), from_pandas=True)  # NaN is missing, too
        except UnicodeEncodeError:
            texts = pa.array([text and text.encode("utf-8", "replace").decode() for text in texts], pa.large_string())
    texts = texts.cast(pa.large_string())
    return pc.fill_null(texts.combine_chunks() if isinstance(texts, pa.ChunkedArray) else texts, "")
