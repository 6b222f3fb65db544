"""A trained network that labels texts of any kind, with all that it needs to read them."""

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

from models.networks import Network
from models.parallel import one_torch_thread
from preprocessing.batches import Batch, EvaluationBatches
from preprocessing.encoding import EncodedTexts, encode
from preprocessing.vocabulary import Vocabulary
from preprocessing.word_pieces import WordPieces

Tokens: TypeAlias = Vocabulary | WordPieces  # all that the network knows, and how texts become their ids


@dataclass(frozen=True)
class Predictions:
    """The classes of N texts, in the order of the texts."""

    labels: npt.NDArray[np.object_]  # (N,) str, the most probable class of each
    probabilities: npt.NDArray[np.float32]  # (N, classes), in the order of `TextClassifier.classes`
    is_blank: npt.NDArray[np.bool_]  # (N,), whether the text holds no word that the model knows


@dataclass(frozen=True)
class TextClassifier:
    model: Network  # on the CPU, in evaluation mode: token ids (B, T), lengths (B,) to logits (B, classes)
    tokens: Tokens
    classes: tuple[str, ...]
    max_tokens: int  # per text; the rest of a longer one is cut off
    about: Mapping[str, Any]  # where it comes from; what JSON can hold
    temperature: float = 1.0  # by which logits are divided, so that probabilities hold

    def predict(self, texts: Sequence[str | None] | pa.Array) -> Predictions:
        """Label texts of any length; one that is empty, missing or of unknown words only is `<unk>` to the model.

        The same texts in one call give the same bits in every process of a machine. In other company the last bits
        of a probability may differ, as the shapes of batches do.
        """
        texts = _strings(texts)
        labels = np.empty(len(texts), object)
        probabilities = np.empty((len(texts), len(self.classes)), np.float32)
        is_blank = np.empty(len(texts), bool)
        if len(texts) == 0:
            return Predictions(labels, probabilities, is_blank)
        arrays = self.tokens.encode(texts) if isinstance(self.tokens, WordPieces) else encode(texts, self.tokens)
        encoded = EncodedTexts(*arrays, labels=np.zeros(len(texts), np.int32))
        batches = EvaluationBatches(encoded, self.max_tokens, len(self.tokens))
        names = np.array(self.classes, object)
        # A batch per core, each with one thread as in training. All cores on one batch give the same bits, too, but
        # took ten times as long on a busy machine.
        with one_torch_thread(), ThreadPoolExecutor(joblib.cpu_count()) as pool:
            for rows, chosen, shares, blank in pool.map(self._predict, batches):
                labels[rows], probabilities[rows], is_blank[rows] = names[chosen], shares, blank
        return Predictions(labels, probabilities, is_blank)

    @torch.inference_mode()  # holds for the thread that enters it
    def _predict(
        self, batch: Batch
    ) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.int64], npt.NDArray[np.float32], npt.NDArray[np.bool_]]:
        """The batch's rows (B,), the numbers of their classes (B,), their probabilities (B, classes), which are blank.

        Blank is a text of which all that the model sees tells it nothing.
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


def _strings(texts: Sequence[str | None] | pa.Array) -> pa.Array:
    """An array of `large_string` without nulls; what UTF-8 cannot hold, as half a surrogate pair, becomes `?`."""
    if isinstance(texts, str):
        raise TypeError("Give a sequence of texts, not a single one.")
    if not isinstance(texts, pa.Array):
        texts = pa.array([text and text.encode("utf-8", "replace").decode() for text in texts], pa.large_string())
    return pc.fill_null(texts.cast(pa.large_string()), "")
