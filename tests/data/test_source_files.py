"""The files of a source: several of them, patterns, folders, links, and what is no file."""

import os
import shutil
from pathlib import Path

import pandas as pd
import pytest

from data.errors import CorpusError
from data.source import Split, find_copy, find_source
from data.texts import load_search_texts


def test_several_files_and_patterns_are_one_source(toy_frame: pd.DataFrame, tmp_path: Path) -> None:
    parts = [toy_frame.iloc[start::3] for start in range(3)]
    parts[0].to_csv(tmp_path / "part-0.csv", index=False)
    parts[1].to_csv(tmp_path / "part-1.csv", index=False, sep=";")
    parts[2].to_json(tmp_path / "rest.jsonl", orient="records", lines=True)
    source, sentence = find_source([str(tmp_path / "part-*.csv"), str(tmp_path / "rest.jsonl")])
    assert sentence == f"{tmp_path / 'part-0.csv'} and 2 more: named by --data"
    assert [path.name for path in source.paths] == ["part-0.csv", "part-1.csv", "rest.jsonl"]
    texts = load_search_texts(Split(source), cache_dir=tmp_path)
    everything = [*texts.training.texts.to_pylist(), *texts.validation.texts.to_pylist()]
    assert len(everything) + texts.test_texts == len(toy_frame)
    assert set(everything) < set(toy_frame["description_pre"])
    assert texts.notes[0].startswith("180 rows read (3 files: separated by commas, UTF-8; separated by semicolons")
    moved = tmp_path / "moved"
    moved.mkdir()
    for path in source.paths:
        shutil.copy(path, moved)
    assert [path.parent for path in find_copy(source, moved / "*").paths] == [moved] * 3
    with pytest.raises(CorpusError, match="is not the file"):
        find_copy(source, moved / "part-*.csv")
    with pytest.raises(CorpusError, match="No file is called like"):
        find_source(str(tmp_path / "*.nothing"))


def test_the_subfolders_of_a_folder_are_labels(toy_frame: pd.DataFrame, tmp_path: Path) -> None:
    for number, (label, text) in enumerate(toy_frame.itertuples(index=False)):
        (tmp_path / "texts" / label).mkdir(parents=True, exist_ok=True)
        (tmp_path / "texts" / label / f"{number}.txt").write_text(text)
    (tmp_path / "texts" / "lawyer" / ".hidden").write_text("not a text")
    source, _ = find_source(str(tmp_path / "texts"))
    texts = load_search_texts(Split(source), cache_dir=tmp_path)
    assert len(texts.training) + len(texts.validation) + texts.test_texts == len(toy_frame)
    pairs = zip(texts.training.texts.to_pylist(), texts.training.labels.to_pylist(), strict=True)
    assert set(pairs) < set(zip(toy_frame["description_pre"], toy_frame["Category"], strict=True))
    (tmp_path / "texts" / "lawyer" / "0.txt").write_text("another text")
    with pytest.raises(CorpusError, match="has changed since the study began"):
        load_search_texts(Split(source), cache_dir=tmp_path)
    with pytest.raises(CorpusError, match="its subfolders are the labels"):
        find_source(str(tmp_path / "texts"), label_column="job")


def test_a_link_is_read_by_its_own_name(toy_frame: pd.DataFrame, tmp_path: Path) -> None:
    toy_frame.to_json(tmp_path / "3f9a1c", orient="records", lines=True)
    (tmp_path / "train.jsonl").symlink_to("3f9a1c")
    source, _ = find_source(str(tmp_path / "train.jsonl"))
    assert source.path == str(tmp_path / "train.jsonl")
    assert load_search_texts(Split(source), cache_dir=tmp_path).notes[0] == "180 rows read (JSON)."


def test_what_is_no_file_is_refused_by_name(
    toy_frame: pd.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(CorpusError, match="--data is empty; name a file"):
        find_source("")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(CorpusError, match="pipe is a pipe or a device; save the texts as a file"):
        find_source(str(tmp_path / "pipe"))
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "1.txt").write_text(toy_frame["description_pre"][0])
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CorpusError, match="is the current folder, where studies are kept"):
        find_source(".")
