"""A split of the user's own: a column that says on which side a row is, or a file of test texts."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from data.errors import CorpusError
from data.source import Split, find_copy, find_source
from data.texts import SearchTexts, load_search_texts, load_test_texts

SIDES = ["Train", "training"] * 60 + ["validation", "DEV"] * 15 + ["test"] * 30


@pytest.fixture
def load(toy_frame: pd.DataFrame, tmp_path: Path) -> Callable[..., tuple[SearchTexts, list[str]]]:
    """Write the toy texts with more columns; returns the search texts and those of the test."""

    def write_and_load(
        frame: pd.DataFrame = toy_frame, repeat: int | None = None, **named: Any
    ) -> tuple[SearchTexts, list[str]]:
        frame.to_csv(tmp_path / "t.csv", index=False)
        split = Split(find_source(str(tmp_path / "t.csv"), **named)[0], 3, repeat)
        texts = load_search_texts(split, cache_dir=tmp_path)
        test = load_test_texts(split, cache_dir=tmp_path)
        assert texts.test_texts == len(test)
        return texts, test.texts.to_pylist()

    return write_and_load


def texts_of(frame: pd.DataFrame) -> list[str]:
    return sorted(frame["description_pre"])


def test_a_split_column_decides(toy_frame: pd.DataFrame, load: Any) -> None:
    frame = toy_frame.assign(side=SIDES)
    texts, test = load(frame, split_column="side")
    assert sorted(test) == texts_of(frame.iloc[150:])
    assert sorted(texts.validation.texts.to_pylist()) == texts_of(frame.iloc[120:150])
    assert sorted(texts.training.texts.to_pylist()) == texts_of(frame.iloc[:120])


def test_without_validation_rows_a_part_of_the_training_texts_is_held_out(toy_frame: pd.DataFrame, load: Any) -> None:
    frame = toy_frame.assign(side=["train"] * 150 + ["test"] * 30)
    texts, test = load(frame, split_column="side")
    assert sorted(test) == texts_of(frame.iloc[150:])
    assert len(texts.validation) == 15
    everything = texts.training.texts.to_pylist() + texts.validation.texts.to_pylist()
    assert sorted(everything) == texts_of(frame.iloc[:150])


def test_a_repeat_keeps_the_test_texts(toy_frame: pd.DataFrame, load: Any) -> None:
    frame = toy_frame.assign(side=SIDES)
    searched, test = load(frame, split_column="side")
    repeated, same_test = load(frame, repeat=0, split_column="side")
    assert test == same_test
    assert repeated.validation.texts.to_pylist() != searched.validation.texts.to_pylist()
    assert len(repeated.training) + len(repeated.validation) == 150


def test_a_file_of_test_texts_is_held_back(toy_frame: pd.DataFrame, load: Any, tmp_path: Path) -> None:
    toy_frame.iloc[:40].to_json(tmp_path / "test.jsonl", orient="records", lines=True)
    texts, test = load(toy_frame.iloc[30:], test_data=str(tmp_path / "test.jsonl"))
    assert sorted(test) == texts_of(toy_frame.iloc[:40])
    assert len(texts.training) + len(texts.validation) == 150
    assert "10 of 40 test texts also stand among those of the search." in texts.notes
    source, _ = find_source(str(tmp_path / "t.csv"), test_data=str(tmp_path / "test.jsonl"))
    (tmp_path / "test.jsonl").write_text((tmp_path / "test.jsonl").read_text() + "\n")
    with pytest.raises(CorpusError, match=r"test\.jsonl has changed"):
        load_search_texts(Split(source), cache_dir=tmp_path)


def test_a_copy_has_its_test_texts_beside_it(toy_frame: pd.DataFrame, tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "copy"):
        folder.mkdir(exist_ok=True)
        toy_frame.to_csv(folder / "t.csv")
        toy_frame.iloc[:9].to_csv(folder / "test.csv")
    source, _ = find_source(str(tmp_path / "t.csv"), test_data=str(tmp_path / "test.csv"))
    assert find_copy(source, tmp_path / "copy" / "t.csv").test_path == str(tmp_path / "copy" / "test.csv")


def test_a_group_stays_on_one_side(toy_frame: pd.DataFrame, load: Any) -> None:
    authors = [f"author {number // 6}" for number in range(180)]
    texts, test = load(toy_frame.assign(author=authors), group_column="author")
    author_of = dict(zip(toy_frame["description_pre"], authors, strict=True))
    sides = [texts.training.texts.to_pylist(), texts.validation.texts.to_pylist(), test]
    found = [{author_of[text] for text in side} for side in sides]
    assert all(found)
    assert not found[0] & found[1]
    assert not found[0] & found[2]
    assert not found[1] & found[2]


def test_group_values_that_look_the_same_are_the_same_and_empty_ones_none(toy_frame: pd.DataFrame, load: Any) -> None:
    authors = [["ann", " ann", "ann\u200b", "7", "7 ", ""][number % 6] + str(number // 60) for number in range(180)]
    authors = [author if author[:-1] else "" for author in authors]
    texts, test = load(toy_frame.assign(author=authors), group_column="author")
    name_of = {
        text: author.replace("\u200b", "").strip()
        for text, author in zip(toy_frame["description_pre"], authors, strict=True)
    }
    sides = [
        {name_of[text] for text in side} - {""}
        for side in (texts.training.texts.to_pylist(), texts.validation.texts.to_pylist(), test)
    ]
    assert not sides[0] & sides[1] | sides[0] & sides[2] | sides[1] & sides[2]


def test_groups_on_several_sides_of_a_given_split_are_noted(toy_frame: pd.DataFrame, load: Any, tmp_path: Path) -> None:
    frame = toy_frame.assign(side=SIDES, author=[f"author {number % 40}" for number in range(180)])
    texts, _ = load(frame, split_column="side", group_column="author")
    assert "40 groups stand on several sides of the split that was given, which flatters scores." in texts.notes
    frame.iloc[:20].to_csv(tmp_path / "test.csv")
    texts, _ = load(frame.iloc[20:], group_column="author", test_data=str(tmp_path / "test.csv"))
    assert any(note.startswith("20 groups stand on several sides") for note in texts.notes)


def test_rows_of_the_test_file_that_are_left_out_are_told_and_its_numbers_are_those_of_training(
    toy_frame: pd.DataFrame, load: Any, tmp_path: Path
) -> None:
    numbers = toy_frame.assign(Category=[str(float(number % 3)) for number in range(180)])
    numbers.iloc[:30].assign(Category=[number % 3 for number in range(30)]).replace({2: None}).to_csv(
        tmp_path / "test.csv"
    )
    texts, test = load(numbers.iloc[30:], test_data=str(tmp_path / "test.csv"))
    assert len(test) == 20
    assert "test: 10 of 30 rows dropped: their text or their label is empty." in texts.notes
    assert set(texts.training.labels.to_pylist()) == {"0", "1", "2"}


@pytest.mark.parametrize(
    ("sides", "message"),
    [
        (["train"] * 179 + ["maybe"], "must hold train, validation or test; it holds 'maybe'"),
        (["train"] * 179 + [""], "it holds ''"),
        (["train"] * 180, "has no row of the test. Name one with --test-data"),
    ],
)
def test_a_split_column_that_cannot_be_used_is_one_line(
    sides: list[str], message: str, toy_frame: pd.DataFrame, load: Any
) -> None:
    with pytest.raises(CorpusError, match=message):
        load(toy_frame.assign(side=sides), split_column="side")


def test_labels_that_only_the_test_has_and_two_tests_are_refused(
    toy_frame: pd.DataFrame, load: Any, tmp_path: Path
) -> None:
    toy_frame.replace("lawyer", "judge").to_csv(tmp_path / "test.csv")
    with pytest.raises(CorpusError, match="The test has labels that training has not: 'judge'"):
        load(test_data=str(tmp_path / "test.csv"))
    judges = toy_frame.assign(side=SIDES)
    judges.loc[125, "Category"] = "judge"
    with pytest.raises(CorpusError, match="Validation has labels that training has not: 'judge'"):
        load(judges, split_column="side")
    with pytest.raises(CorpusError, match="has rows for the test, and there is --test-data"):
        load(toy_frame.assign(side=SIDES), split_column="side", test_data=str(tmp_path / "test.csv"))
    with pytest.raises(CorpusError, match=r"nothing\.csv not found. Check the path given to --test-data"):
        load(test_data=str(tmp_path / "nothing.csv"))
    with pytest.raises(CorpusError, match="--label-column and --group-column both name 'Category'"):
        load(group_column="Category")


def test_too_few_groups_and_a_validation_of_one_class_are_told_as_such(toy_frame: pd.DataFrame, load: Any) -> None:
    with pytest.raises(CorpusError, match=r"'author' of .* has 2 groups: a class needs texts of 3 groups"):
        load(toy_frame.assign(author=["a", "b"] * 90), group_column="author")
    sides = ["validation" if label == "lawyer" else "train" for label in toy_frame["Category"]]
    frame = toy_frame.assign(side=["train", "train", "train", *sides[3:150], *["test"] * 30])
    with pytest.raises(CorpusError, match=r"of one class, 'lawyer'.*: column 'side' puts no others there"):
        load(frame, split_column="side")
