"""A trained classifier as a self-contained folder: it loads without the study and its texts.

The weights are in safetensors, all other files are text: loading a folder executes no code.
"""

import errno
import hashlib
import json
import math
import shutil
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pyarrow as pa
import safetensors.torch
from safetensors import SafetensorError

from data.errors import UserError
from data.files import replace_folder
from models.learners.classifier import TextClassifier, Tokens
from models.registry import find_learner, name_of
from preprocessing.cleaning import RULES
from preprocessing.vocabulary import Vocabulary
from preprocessing.word_pieces import WordPieces

CONFIG_FILE = "config.json"
WEIGHTS_FILE = "model.safetensors"
VOCABULARY_FILE = "vocabulary.txt"  # one word per line; the line number from 0 is the id
TOKENIZER_FILE = "tokenizer.json"  # for word pieces, instead
FORMAT = 4
READABLE = (2, 3, 4)  # formats; 2 has no temperature, before 4 all texts were cut at their end


class ModelError(UserError):
    """A folder that cannot be written, or that holds no model for this version. The message is one line."""


def save_model(folder: Path, classifier: TextClassifier) -> None:
    """Write a classifier atomically, replacing an existing model.

    `about` must hold JSON values. Only one process at a time may write a folder. Raises `ModelError` if it cannot be
    written, `ValueError` for a classifier whose parts do not fit together.
    """
    model = classifier.model
    weights = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in model.state_dict().items()}
    encoder = model.encoder_description
    sizes = {"vocabulary_size": len(classifier.tokens), "classes": len(classifier.classes)}
    type(model).from_weights(model.config, weights, encoder=encoder, **sizes)
    tokens_file, tokens = _write_tokens(classifier.tokens)
    files = {WEIGHTS_FILE: safetensors.torch.save(weights), tokens_file: tokens.encode()}
    config = {
        "format": FORMAT,
        "cleaning": classifier.cleaning,
        "architecture": name_of(model.config),
        "model": asdict(model.config),
        "encoder": None if encoder is None else json.loads(encoder),
        "max_tokens": classifier.max_tokens,
        "truncate": classifier.truncate,
        "temperature": classifier.temperature,
        "classes": classifier.classes,
        "sha256": {name: hashlib.sha256(content).hexdigest() for name, content in files.items()},
        "about": dict(classifier.about),
    }
    files[CONFIG_FILE] = json.dumps(config, indent=1, ensure_ascii=False).encode()
    try:
        _publish(folder, files)
    except OSError as error:
        raise ModelError(f"The model {folder} cannot be written: {error.strerror or error}.") from error


def load_model(folder: Path | str) -> TextClassifier:
    """Read a model written by `save_model`; it has `predict` and `predict_proba`, as scikit-learn's classifiers.

    Raises `ModelError` for any other or damaged folder.
    """
    folder = Path(folder)
    try:
        config = json.loads((folder / CONFIG_FILE).read_bytes())
        versions = {name: config[name] for name in ("format", "cleaning") if name in config}
        if versions.get("format") not in READABLE or versions.get("cleaning") not in RULES:
            raise ModelError(
                f"{folder} holds no model that this version can read: its {CONFIG_FILE} has "
                f"{', '.join(f'{name} {value}' for name, value in versions.items()) or 'no format'}, needed is format "
                f"{' or '.join(map(str, READABLE))}, cleaning {' or '.join(map(str, RULES))}."
            )
        files = {name: (folder / name).read_bytes() for name in config["sha256"]}
        for name, content in files.items():
            if hashlib.sha256(content).hexdigest() != config["sha256"][name]:
                raise ModelError(f"The model {folder} is damaged: {name} differs from its checksum. Export it again.")
        max_tokens, classes = int(config["max_tokens"]), tuple(map(str, config["classes"]))
        tokens = _read_tokens(files, max_tokens)
        learner = find_learner(config["architecture"])
        model = learner.network_type.from_weights(
            learner.config_type(**config["model"]),
            safetensors.torch.load(files[WEIGHTS_FILE]),
            vocabulary_size=len(tokens),
            classes=len(classes),
            encoder=json.dumps(config["encoder"]),
        )
        temperature = float(config.get("temperature", 1.0))
        if not 0 < temperature < math.inf:
            raise ValueError(f"`0 < temperature < inf` must hold, got {temperature}.")
        truncate = config.get("truncate", "head")
        about, cleaning = dict(config["about"]), int(config["cleaning"])
        return TextClassifier(model, tokens, classes, max_tokens, about, temperature, truncate, cleaning)
    except (FileNotFoundError, NotADirectoryError) as error:
        missing = "there is no such folder" if not folder.is_dir() else f"{Path(error.filename).name} is missing"
        raise ModelError(f"{folder} is not a model: {missing}. Name a folder that study.report has written.") from None
    except OSError as error:
        raise ModelError(f"The model {folder} cannot be read: {error.strerror or error}.") from error
    except (LookupError, TypeError, ValueError, RuntimeError, AttributeError, SafetensorError):
        raise ModelError(f"{folder} is no model, or a damaged one: its {CONFIG_FILE} cannot be used.") from None


def _write_tokens(tokens: Tokens) -> tuple[str, str]:
    """The name and the content of the file with the vocabulary or tokenizer."""
    if isinstance(tokens, WordPieces):
        return TOKENIZER_FILE, tokens.tokenizer_json
    return VOCABULARY_FILE, "\n".join(tokens.words.to_pylist())


def _read_tokens(files: Mapping[str, bytes], max_tokens: int) -> Tokens:
    if TOKENIZER_FILE in files:
        return WordPieces(files[TOKENIZER_FILE].decode(), max_tokens)
    words = files[VOCABULARY_FILE].decode().split("\n")
    return Vocabulary(pa.array(words, pa.large_string()), np.zeros(len(words), np.int64))


def _publish(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write the files to a temporary folder, then replace an existing model by it."""
    if folder.exists() and not (folder / CONFIG_FILE).is_file() and any(folder.iterdir()):
        raise FileExistsError(errno.EEXIST, "it is there already and holds no model")
    temporary = folder.with_name(f".{folder.name}.writing")
    try:
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir(parents=True)
        for name, content in files.items():
            (temporary / name).write_bytes(content)
        replace_folder(temporary, folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
