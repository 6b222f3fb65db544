"""A trained network that labels raw texts, with its vocabulary or tokenizer."""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
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
class TextClassifier:
    model: Network  # on the CPU, in evaluation mode: token ids (B, T), lengths (B,) to logits (B, classes)
    tokens: Tokens
    classes: tuple[str, ...]
    max_tokens: int  # per text; longer ones are truncated
    about: Mapping[str, Any]  # its origin; JSON values
    temperature: float = 1.0  # by which logits are divided, for calibration
    truncate: Truncation = "head"  # which part of a longer text is kept
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
        labels = np.empty(len(texts), object)
        probabilities = np.empty((len(texts), len(self.classes)), np.float32)
        is_blank = np.empty(len(texts), bool)
        if len(texts) == 0:
            return Predictions(labels, probabilities, is_blank)
        if isinstance(self.tokens, WordPieces):
            arrays = self.tokens.encode(texts)
        else:
            arrays = encode(texts, self.tokens, cleaning=self.cleaning)
        encoded = EncodedTexts(*arrays, labels=np.zeros(len(texts), np.int32))
        encoded = truncated(encoded, self.max_tokens, self.truncate)
        batches = EvaluationBatches(encoded, self.max_tokens, len(self.tokens))
        names = np.array(self.classes, object)
        # A batch per core, each with one thread as in training. One batch on all cores gives the same bits, but took
        # ten times as long on a busy machine.
        with one_torch_thread(), ThreadPoolExecutor(joblib.cpu_count()) as pool:
            for rows, chosen, shares, blank in pool.map(self._predict, batches):
                labels[rows], probabilities[rows], is_blank[rows] = names[chosen], shares, blank
        return Predictions(labels, probabilities, is_blank)

    @torch.inference_mode()  # holds for the thread that enters it
    def _predict(
        self, batch: Batch
    ) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.int64], npt.NDArray[np.float32], npt.NDArray[np.bool_]]:
        """The batch's rows (B,), predicted classes (B,), probabilities (B, classes), and which texts are blank (B,).

        A text is blank if its tokens carry no information for the model.
        """
        logits = self.model(batch.token_ids, batch.lengths)
        is_behind_the_end = torch.arange(batch.token_ids.shape[1]) >= batch.lengths[:, None]
        tells_nothing = torch.isin(batch.token_ids, torch.tensor(sorted(self.tokens.blank_ids))) | is_behind_the_end
        return (
            batch.rows,
            logits.argmax(dim=1).numpy(),
            (logits / self.temperature).softmax(dim=1).numpy(),
            tells_nothing.all(dim=1).numpy(),
        )


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
