"""A trained classifier as a folder that stands alone: it loads without the study or the texts it was trained on.

The weights are safetensors, all else is text: nothing in such a folder is executed.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import safetensors.torch
import torch
from safetensors import SafetensorError

from data.errors import UserError
from models.networks import CONFIGURATIONS, ModelConfig, WordNetwork, word_network
from models.threads import one_torch_thread
from preprocessing.batches import Batch, EvaluationBatches, TextLimits
from preprocessing.cleaning import CLEANING_VERSION
from preprocessing.encoding import EncodedTexts, encode
from preprocessing.vocabulary import Vocabulary

CONFIG_FILE = "config.json"
WEIGHTS_FILE = "model.safetensors"
VOCABULARY_FILE = "vocabulary.txt"  # a word a line; the line's number from 0 is the word's id
WRITTEN_FOR = {"format": 2, "cleaning": CLEANING_VERSION}  # what a reader must agree with


class ModelError(UserError):
    """A folder that cannot be written, or that holds no model for this version. The message is one line."""


@dataclass(frozen=True)
class Predictions:
    """The classes of N texts, in the order of the texts."""

    labels: npt.NDArray[np.object_]  # (N,) str, the most probable class of each
    probabilities: npt.NDArray[np.float32]  # (N, classes), in the order of `TextClassifier.classes`


@dataclass(frozen=True)
class TextClassifier:
    model: WordNetwork  # on the CPU, in evaluation mode
    vocabulary: Vocabulary  # what the model knows; the counts are not kept, they are 0
    classes: tuple[str, ...]
    limits: TextLimits
    about: Mapping[str, Any]  # what `save_model` was given

    def predict(self, texts: Sequence[str | None] | pa.Array) -> Predictions:
        """Label texts of any length; one that is empty, missing or of unknown words only is `<unk>` to the model.

        The same texts in one call give the same bits in every process of a machine. In other company the last bits
        of a probability may differ, as the shapes of batches do.
        """
        texts = _strings(texts)
        labels = np.empty(len(texts), object)
        probabilities = np.empty((len(texts), len(self.classes)), np.float32)
        if len(texts) == 0:
            return Predictions(labels, probabilities)
        encoded = EncodedTexts(*encode(texts, self.vocabulary), labels=np.zeros(len(texts), np.int32))
        batches = EvaluationBatches(encoded, self.limits.max_tokens, len(self.vocabulary))
        names = np.array(self.classes, object)
        # A batch per core, each with one thread as in training. All cores on one batch give the same bits, too, but
        # took ten times as long on a busy machine.
        with one_torch_thread(), ThreadPoolExecutor(joblib.cpu_count()) as pool:
            for rows, chosen, shares in pool.map(self._predict, batches):
                labels[rows], probabilities[rows] = names[chosen], shares
        return Predictions(labels, probabilities)

    @torch.inference_mode()  # holds for the thread that enters it
    def _predict(self, batch: Batch) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.int64], npt.NDArray[np.float32]]:
        """The batch's rows (B,), the numbers of their classes (B,), their probabilities (B, classes)."""
        logits = self.model(batch.token_ids, batch.lengths)
        return batch.rows, logits.argmax(dim=1).numpy(), logits.softmax(dim=1).numpy()


def save_model(
    folder: Path,
    model: WordNetwork,
    *,
    vocabulary: Vocabulary,
    classes: Sequence[str],
    limits: TextLimits,
    about: Mapping[str, Any],
) -> None:
    """Write a model with all it needs, whole or not at all, in the place of one that may be there.

    `vocabulary` is that of the training texts, `limits` say how much of it the model knows; `about` is anything that
    JSON can hold. One process at a time may write a folder. Raises `ModelError` when it cannot be written.
    """
    words = limits.kept_words(vocabulary.counts)
    weights = {name: tensor.detach().cpu().clone() for name, tensor in model.state_dict().items()}
    if _shapes(weights) != _shapes(_empty(model.config, words, len(classes)).state_dict()):
        raise ValueError(f"The model is not one for {words} words and {len(classes)} classes.")
    files = {
        WEIGHTS_FILE: safetensors.torch.save(weights),
        VOCABULARY_FILE: "\n".join(vocabulary.words.slice(0, words).to_pylist()).encode(),
    }
    config = {
        **WRITTEN_FOR,
        "architecture": next(name for name, kind in CONFIGURATIONS.items() if isinstance(model.config, kind)),
        "model": asdict(model.config),
        "words": words,
        "limits": asdict(limits),
        "classes": list(classes),
        "sha256": {name: hashlib.sha256(content).hexdigest() for name, content in files.items()},
        "about": dict(about),
    }
    files[CONFIG_FILE] = json.dumps(config, indent=1, ensure_ascii=False).encode()
    try:
        _publish(folder, files)
    except OSError as error:
        raise ModelError(f"The model {folder} cannot be written: {error.strerror or error}.") from error


def load_model(folder: Path) -> TextClassifier:
    """Read what `save_model` has written. Raises `ModelError` for anything else, and for a damaged folder."""
    try:
        config = json.loads((folder / CONFIG_FILE).read_bytes())
        found = {name: config[name] for name in WRITTEN_FOR if name in config}
        if found != WRITTEN_FOR:
            raise ModelError(
                f"{folder} holds no model that this version can read: its {CONFIG_FILE} has {_listed(found)}, "
                f"needed is {_listed(WRITTEN_FOR)}."
            )
        files = {name: (folder / name).read_bytes() for name in (WEIGHTS_FILE, VOCABULARY_FILE)}
        for name, content in files.items():
            if hashlib.sha256(content).hexdigest() != config["sha256"][name]:
                raise ModelError(f"The model {folder} is damaged: {name} differs from its checksum. Export it anew.")
        words = files[VOCABULARY_FILE].decode().split("\n")
        classes = tuple(map(str, config["classes"]))
        model = _build(
            CONFIGURATIONS[config["architecture"]](**config["model"]), len(words), len(classes), files[WEIGHTS_FILE]
        )
        vocabulary = Vocabulary(pa.array(words, pa.large_string()), np.zeros(len(words), np.int64))
        return TextClassifier(model, vocabulary, classes, TextLimits(**config["limits"]), dict(config["about"]))
    except (FileNotFoundError, NotADirectoryError) as error:
        missing = "there is no such folder" if not folder.is_dir() else f"{Path(error.filename).name} is missing"
        raise ModelError(f"{folder} is no model: {missing}. Name a folder that study.report has written.") from None
    except OSError as error:
        raise ModelError(f"The model {folder} cannot be read: {error.strerror or error}.") from error
    except (LookupError, TypeError, ValueError, RuntimeError, SafetensorError):
        raise ModelError(f"{folder} is no model, or a damaged one: its {CONFIG_FILE} cannot be used.") from None


def _build(config: ModelConfig, words: int, classes: int, weights: bytes) -> WordNetwork:
    """The network with these weights. Raises `ValueError` when they are another network's."""
    tensors = safetensors.torch.load(weights)
    model = _empty(config, words, classes)
    if _shapes(model.state_dict()) != _shapes(tensors):
        raise ValueError("The weights are another network's.")
    model.to_empty(device="cpu").load_state_dict(tensors)
    return model.eval().requires_grad_(False)


def _empty(config: ModelConfig, words: int, classes: int) -> WordNetwork:
    with torch.device("meta"):  # without memory, and without drawing weights that would be overwritten
        return word_network(config, words=words, classes=classes)


def _shapes(tensors: Mapping[str, torch.Tensor]) -> dict[str, tuple[torch.Size, torch.dtype]]:
    return {name: (tensor.shape, tensor.dtype) for name, tensor in tensors.items()}


def _publish(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write files under a temporary name, then put the folder into its place; a model there is moved away first."""
    temporary, replaced = (folder.with_name(f".{folder.name}.{state}") for state in ("writing", "replaced"))
    try:
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir(parents=True)
        for name, content in files.items():
            with (temporary / name).open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
        _sync(temporary)
        if (folder / CONFIG_FILE).is_file():  # any other folder that is not empty lets `rename` fail
            shutil.rmtree(replaced, ignore_errors=True)
            folder.rename(replaced)
        temporary.rename(folder)
        _sync(folder.parent)
    except BaseException:
        if replaced.exists() and not folder.exists():
            replaced.rename(folder)
        raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        if folder.exists():
            shutil.rmtree(replaced, ignore_errors=True)


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _strings(texts: Sequence[str | None] | pa.Array) -> pa.Array:
    """An array of `large_string` without nulls; what UTF-8 cannot hold, as half a surrogate pair, becomes `?`."""
    if isinstance(texts, str):
        raise TypeError("Give a sequence of texts, not a single one.")
    if not isinstance(texts, pa.Array):
        texts = pa.array([text and text.encode("utf-8", "replace").decode() for text in texts], pa.large_string())
    return pc.fill_null(texts.cast(pa.large_string()), "")


def _listed(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in values.items()) or "no format"
