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
from typing import Any

import numpy as np
import pyarrow as pa
import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor

from data.errors import UserError
from data.files import replace_folder
from models.learners.classifier import Member, TextClassifier, Tokens
from models.registry import find_learner, name_of
from preprocessing.cleaning import RULES
from preprocessing.vocabulary import Vocabulary
from preprocessing.word_pieces import WordPieces

CONFIG_FILE = "config.json"
WEIGHTS_FILE = "model.safetensors"
VOCABULARY_FILE = "vocabulary.txt"  # one word per line; the line number from 0 is the id; of others vocabulary-2.txt
TOKENIZER_FILE = "tokenizer.json"  # for word pieces, instead
FORMAT = 5
READABLE = (2, 3, 4, 5)  # formats; 2 has no temperature, before 4 all texts were cut at their end
FIRST_WITH_MEMBERS = 5  # before it, a model was one network


class ModelError(UserError):
    """A folder that cannot be written, or that holds no model for this version. The message is one line."""


def save_model(folder: Path, classifier: TextClassifier) -> None:
    """Write a classifier atomically, replacing an existing model.

    `about` must hold JSON values. Only one process at a time may write a folder. Raises `ModelError` if it cannot be
    written, `ValueError` for a classifier whose parts do not fit together.
    """
    weights: dict[str, Tensor] = {}
    files: dict[str, bytes] = {}
    members = []
    for number, member in enumerate(classifier.members):
        own = {name: tensor.detach().cpu().contiguous() for name, tensor in member.model.state_dict().items()}
        encoder = member.model.encoder_description
        sizes = {"vocabulary_size": len(member.tokens), "classes": len(classifier.classes)}
        type(member.model).from_weights(member.model.config, own, encoder=encoder, **sizes)
        shared = [
            name
            for name, tensor in own.items()
            if (other := weights.get(f"0.{name}")) is not None and torch.equal(tensor, other)
        ]
        weights |= {f"{number}.{name}": tensor.clone() for name, tensor in own.items() if name not in shared}
        members.append(
            {
                "architecture": name_of(member.model.config),
                "model": asdict(member.model.config),
                "encoder": None if encoder is None else json.loads(encoder),
                "max_tokens": member.max_tokens,
                "truncate": member.truncate,
                "temperature": member.temperature,
                "weight": member.weight,
                "tokens": _add_tokens(files, member.tokens),
                "as_in_first": shared,  # weights that are those of the first member
            }
        )
    files[WEIGHTS_FILE] = safetensors.torch.save(weights)
    config = {
        "format": FORMAT,
        "cleaning": classifier.cleaning,
        "classes": classifier.classes,
        "members": members,
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
        if config["format"] < FIRST_WITH_MEMBERS:
            config["members"] = [{**config, "tokens": TOKENIZER_FILE if TOKENIZER_FILE in files else VOCABULARY_FILE}]
        classes, tensors = tuple(map(str, config["classes"])), safetensors.torch.load(files[WEIGHTS_FILE])
        if config["format"] < FIRST_WITH_MEMBERS:
            tensors = {f"0.{name}": tensor for name, tensor in tensors.items()}
        members = tuple(
            _read_member(number, stored, files, tensors, len(classes))
            for number, stored in enumerate(config["members"])
        )
        if not members:
            raise ValueError("There must be a member.")
        return TextClassifier(members, classes, dict(config["about"]), int(config["cleaning"]))
    except (FileNotFoundError, NotADirectoryError) as error:
        missing = "there is no such folder" if not folder.is_dir() else f"{Path(error.filename).name} is missing"
        raise ModelError(f"{folder} is not a model: {missing}. Name a folder that study.report has written.") from None
    except OSError as error:
        raise ModelError(f"The model {folder} cannot be read: {error.strerror or error}.") from error
    except (LookupError, TypeError, ValueError, RuntimeError, AttributeError, SafetensorError):
        raise ModelError(f"{folder} is no model, or a damaged one: its {CONFIG_FILE} cannot be used.") from None


def _read_member(
    number: int, stored: dict[str, Any], files: Mapping[str, bytes], tensors: Mapping[str, Tensor], classes: int
) -> Member:
    max_tokens = int(stored["max_tokens"])
    content = files[stored["tokens"]].decode()
    tokens: Tokens
    if Path(stored["tokens"]).suffix == Path(TOKENIZER_FILE).suffix:
        tokens = WordPieces(content, max_tokens)
    else:
        words = content.split("\n")
        tokens = Vocabulary(pa.array(words, pa.large_string()), np.zeros(len(words), np.int64))
    prefix = f"{number}."
    weights = {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
    weights |= {name: tensors[f"0.{name}"] for name in stored.get("as_in_first", ())}
    learner = find_learner(stored["architecture"])
    model = learner.network_type.from_weights(
        learner.config_type(**stored["model"]),
        weights,
        vocabulary_size=len(tokens),
        classes=classes,
        encoder=json.dumps(stored["encoder"]),
    )
    temperature, weight = float(stored.get("temperature", 1.0)), float(stored.get("weight", 1.0))
    if not (0 < temperature < math.inf and 0 < weight < math.inf):
        raise ValueError(f"`0 < temperature, weight < inf` must hold, got {temperature} and {weight}.")
    return Member(model, tokens, max_tokens, temperature, stored.get("truncate", "head"), weight)


def _add_tokens(files: dict[str, bytes], tokens: Tokens) -> str:
    """Add the file of a vocabulary or tokenizer, unless another member has the same one; returns its name."""
    if isinstance(tokens, WordPieces):
        first, content = TOKENIZER_FILE, tokens.tokenizer_json.encode()
    else:
        first, content = VOCABULARY_FILE, "\n".join(tokens.words.to_pylist()).encode()
    same = (name for name, other in files.items() if other == content)
    stem, suffix = first.split(".")
    taken = sum(name.startswith(stem) for name in files)
    name = next(same, f"{stem}-{taken + 1}.{suffix}" if taken else first)
    files[name] = content
    return name


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
