"""The texts that a study is about, and how they are split."""

import hashlib
import os
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from data.dialect import Reading
from data.errors import CorpusError
from data.source import Split, find_copy, find_source
from data.standard_corpora import STANDARD_CORPORA
from data.texts import load_search_texts, load_test_texts

WriteCsv = Callable[[list[tuple[str, str]]], Path]


def test_without_a_name_the_default_file_is_used_if_it_exists_and_r8_otherwise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, toy_frame: pd.DataFrame
) -> None:
    monkeypatch.chdir(tmp_path)
    assert find_source(None)[1].startswith("r8 ")
    assert "is not there" in find_source(None)[1]
    (tmp_path / "data").mkdir()
    toy_frame.to_csv("data/dataset_to_model.csv")
    source, sentence = find_source(None)
    assert source.path == str(tmp_path / "data/dataset_to_model.csv")
    assert "is there" in sentence


def test_the_sentence_says_that_the_source_was_named_by_data(toy_csv: Path) -> None:
    assert find_source(str(toy_csv))[1] == f"{toy_csv}: named by --data"
    assert find_source("r8")[1] == "r8 (Reuters-21578 R8, 8 classes): named by --data"


def test_standard_corpora_are_told_apart_by_their_hashes() -> None:
    hashes = {find_source(name)[0].sha256 for name in STANDARD_CORPORA}
    assert len(hashes) == len(STANDARD_CORPORA)
    assert all(re.fullmatch("[0-9a-f]{64}", found) for found in hashes)


def test_a_source_knows_the_columns_that_were_named(toy_csv: Path) -> None:
    source, _ = find_source(str(toy_csv), label_column="job", text_column="text")
    assert (source.label_column, source.text_column) == ("job", "text")


def test_a_path_may_begin_with_the_home_folder(toy_csv: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(toy_csv.parent))
    assert find_source("~/toy.csv")[0].path == str(toy_csv)


def test_column_options_are_refused_for_a_standard_corpus() -> None:
    with pytest.raises(CorpusError, match="r8 is a standard corpus: options for columns"):
        find_source("r8", label_column="job")
    with pytest.raises(CorpusError, match="r8 is a standard corpus: options for columns, reading and splitting"):
        find_source("r8", reading=Reading(separator=";"))
    with pytest.raises(CorpusError, match="r8 is a standard corpus: it cannot be joined"):
        find_source(["r8", "r52"])


def test_labels_that_are_all_too_rare_to_split_are_an_error(tmp_path: Path) -> None:
    path = tmp_path / "ids.csv"
    pd.DataFrame({"Category": range(60), "description_pre": [f"text {n}" for n in range(60)]}).to_csv(path)
    with pytest.raises(CorpusError, match=r"No class of .* has 3 distinct texts.*60 labels.*--label-column"):
        load_search_texts(Split(find_source(str(path))[0]), cache_dir=tmp_path)


@pytest.mark.parametrize("name", ["~nobody-of-this-name/x.csv", "."])
def test_unusable_paths_are_reported_as_errors(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CorpusError, match=r"not found|is the current folder"):
        find_source(name)


def test_the_error_for_a_missing_file_suggests_alternatives(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match=r"File .*nothing\.csv not found.*r8, r52, 20ng"):
        find_source(str(tmp_path / "nothing.csv"))


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("bios.csv", "bios"),
        ("bios.csv.gz", "bios"),
        ("my.own.bios.csv", "my.own.bios"),
        ("bios", "bios"),
        (".csv", ".csv"),
        (os.fsdecode(b"caf\xe9.csv"), "caf?"),
    ],
)
def test_a_source_is_named_after_its_file_without_the_extension(file: str, name: str, toy_csv: Path) -> None:
    assert find_source(str(toy_csv.rename(toy_csv.with_name(file))))[0].name == name


def test_a_copy_elsewhere_is_the_same_source(toy_csv: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source, _ = find_source(str(toy_csv))
    monkeypatch.chdir(toy_csv.parent)
    copy = Path(shutil.copy(toy_csv, "copy.csv"))
    assert find_copy(source, copy) == replace(source, path=str(toy_csv.with_name("copy.csv")))


def test_a_file_with_different_content_is_not_accepted_as_a_copy(toy_csv: Path) -> None:
    source, _ = find_source(str(toy_csv))
    other = toy_csv.with_name("other.csv")
    other.write_text("Category,description_pre\n")
    found = hashlib.sha256(other.read_bytes()).hexdigest()
    expected = rf"other\.csv is not .*begins with {found[:12]}, the study's with {source.sha256[:12]}\. Copy"
    with pytest.raises(CorpusError, match=expected):
        find_copy(source, other)


def test_a_study_of_a_standard_corpus_needs_no_copy(toy_csv: Path) -> None:
    with pytest.raises(CorpusError, match="about the standard corpus r8, which needs no --data"):
        find_copy(find_source("r8")[0], toy_csv)


def test_the_three_splits_of_a_file_hold_every_text_once(toy_csv: Path, toy_frame: pd.DataFrame) -> None:
    source, _ = find_source(str(toy_csv))
    texts = load_search_texts(Split(source, 3), cache_dir=toy_csv.parent)
    test = load_test_texts(Split(source, 3), cache_dir=toy_csv.parent)
    assert texts.test_texts == len(test)
    sides = [side.texts.to_pylist() for side in (texts.training, texts.validation, test)]
    assert [len(side) for side in sides] == [144, 18, 18]
    assert sorted(text for side in sides for text in side) == sorted(toy_frame["description_pre"])


def test_a_repeat_scores_the_same_classes_as_the_search(tmp_path: Path) -> None:
    path = tmp_path / "small classes.csv"
    rows = [
        (label, f"{label} {number}")
        for label, size in zip("abcd", (60, 3, 2, 1), strict=True)
        for number in range(size)
    ]
    pd.DataFrame(rows, columns=["Category", "description_pre"]).to_csv(path)
    source, _ = find_source(str(path))
    for repeat in (None, 0, 1, 2):
        texts = load_search_texts(Split(source, repeat=repeat), cache_dir=tmp_path)
        assert set(texts.validation.labels.to_pylist()) == {"a", "b"}
        assert set(texts.training.labels.to_pylist()) == set("abcd")


def test_the_texts_of_a_repeat_are_the_same_on_every_machine_and_in_every_version(write_csv: WriteCsv) -> None:
    path = write_csv([("ab"[number % 2], f"text {number}") for number in range(40)])
    source, _ = find_source(str(path))
    drawn = [load_search_texts(Split(source, repeat=repeat), cache_dir=path.parent) for repeat in (None, 0, 1)]
    numbers = [[int(text.split()[1]) for text in texts.validation.texts.to_pylist()] for texts in drawn]
    assert numbers == [[4, 11, 24, 27], [1, 7, 18, 24], [10, 13, 19, 24]]


@pytest.mark.parametrize(("lonely", "shown"), [(5, "5 (0, 1, 2, 3, 4)."), (6, "6 (0, 1, 2, 3, 4, ...).")])
def test_classes_too_small_to_be_split_are_noted_in_addition_to_other_notes(
    lonely: int, shown: str, write_csv: WriteCsv
) -> None:
    rows = [("large", f"text {n}") for n in range(30)] + [("other", f"other text {n}") for n in range(30)]
    rows += [(str(number), f"lonely {number}") for number in range(lonely)]
    path = write_csv([*rows, ("large", "")])
    notes = load_search_texts(Split(find_source(str(path))[0]), cache_dir=path.parent).notes
    assert len(notes) == 3
    assert "1 of" in notes[1]
    assert notes[2].endswith(f"all in training: {shown}")


def test_a_file_that_changes_after_the_study_began_is_refused(toy_csv: Path) -> None:
    source, _ = find_source(str(toy_csv))
    toy_csv.write_text(toy_csv.read_text() + "surgeon,one more\n")
    found = hashlib.sha256(toy_csv.read_bytes()).hexdigest()
    with pytest.raises(CorpusError, match=rf"has changed since the study began .*now {found[:12]}\.\.\."):
        load_search_texts(Split(source), cache_dir=toy_csv.parent)


def test_the_error_for_a_file_that_is_gone_since_the_study_started_says_what_to_do(toy_csv: Path) -> None:
    source, _ = find_source(str(toy_csv))
    toy_csv.unlink()
    with pytest.raises(CorpusError, match=r"toy\.csv is not there\. Put it back, or beside the study's database"):
        load_search_texts(Split(source), cache_dir=toy_csv.parent)


@pytest.mark.parametrize("data", ["toy", "r8"])
def test_a_repeat_splits_the_same_texts_differently_and_keeps_the_test_split(
    data: str, toy_csv: Path, request: pytest.FixtureRequest
) -> None:
    cache_dir = toy_csv.parent if data == "toy" else request.getfixturevalue("standard_cache")
    source, _ = find_source(str(toy_csv) if data == "toy" else data)
    searched, *drawn = (
        load_search_texts(Split(source, repeat=repeat), cache_dir=cache_dir) for repeat in (None, 0, 1, 1)
    )
    sides = [[sorted(side.texts.to_pylist()) for side in (texts.training, texts.validation)] for texts in drawn]
    assert sides[1] == sides[2] != sides[0]
    everything = sorted(searched.training.texts.to_pylist() + searched.validation.texts.to_pylist())
    for texts, (training, validation) in zip(drawn, sides, strict=True):
        assert sorted(training + validation) == everything
        assert texts.test_texts == searched.test_texts
        assert abs(len(validation) - len(searched.validation)) <= len(everything) // 50
        assert set(texts.training.labels.to_pylist()) == set(searched.training.labels.to_pylist())
    assert sorted(searched.validation.texts.to_pylist()) not in [validation for _, validation in sides]


def test_a_whole_split_trains_on_all_texts_but_the_tests(toy_csv: Path, tmp_path: Path) -> None:
    source = find_source(str(toy_csv))[0]
    usual, whole = (load_search_texts(Split(source, whole=whole), cache_dir=tmp_path) for whole in (False, True))
    assert whole.training.texts.to_pylist() == usual.training.texts.to_pylist() + usual.validation.texts.to_pylist()
    assert whole.validation.texts.equals(usual.validation.texts)
    tested = set(load_test_texts(Split(source, whole=True), cache_dir=tmp_path).texts.to_pylist())
    assert not tested & set(whole.training.texts.to_pylist())
