"""Every kind of file gives the same table; the content tells the kind."""

import gzip
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.dialect import Reading
from data.errors import CorpusError
from data.tables import Table, kind_of_table, read_table, strings

WANTED = {"Category": "--label-column", "description_pre": "--text-column"}
WRITERS: dict[str, Callable[[pd.DataFrame, Path], object]] = {
    "t.csv": lambda frame, path: frame.to_csv(path),  # with an unnamed index column in front
    "t.tsv": lambda frame, path: frame.to_csv(path, index=False, sep="\t"),
    "t.csv.zip": lambda frame, path: frame.to_csv(path, index=False),
    "t.csv.zst": lambda frame, path: path.write_bytes(pa.compress(frame.to_csv().encode(), codec="zstd", asbytes=True)),
    "t.parquet": lambda frame, path: frame.to_parquet(path),
    "t.feather": lambda frame, path: frame.to_feather(path),
    "t.xlsx": lambda frame, path: frame.to_excel(path),
    "lines.jsonl": lambda frame, path: frame.to_json(path, orient="records", lines=True),
    "lines.jsonl.xz": lambda frame, path: frame.to_json(path, orient="records", lines=True),
    "array.json": lambda frame, path: frame.to_json(path, orient="records"),
    "pretty.json": lambda frame, path: frame.to_json(path, orient="records", indent=1),
    "columns.json": lambda frame, path: frame.to_json(path),  # as pandas writes it by default
    "lists.json": lambda frame, path: path.write_text(json.dumps(frame.to_dict(orient="list"))),
    "keys.json": lambda frame, path: path.write_text(
        json.dumps(
            {"Category": frame["Category"].to_dict(), "description_pre": frame["description_pre"][::-1].to_dict()}
        )
    ),
}


def read(path: Path, **reading: object) -> Table:
    return read_table(path, WANTED, Reading(**reading))  # type: ignore[arg-type]


@pytest.mark.parametrize("name", WRITERS)
def test_all_kinds_of_files_give_the_same_table_whatever_they_are_called(
    name: str, toy_frame: pd.DataFrame, tmp_path: Path
) -> None:
    WRITERS[name](toy_frame, tmp_path / name)
    paths = [tmp_path / name]
    if not name.endswith((".tsv", ".json")):  # a suffix decides between JSON and delimited text
        paths.append(Path(shutil.copy(paths[0], tmp_path / "without a suffix")))
    if "." in name and not name.endswith(("zip", "zst", "xz", "xlsx")):
        paths.append(tmp_path / f"{name}.gz")
        paths[-1].write_bytes(gzip.compress(paths[0].read_bytes()))
    for path in paths:
        table = read(path)
        assert table.columns["description_pre"].to_pylist() == list(toy_frame["description_pre"]), path
        assert table.columns["Category"].to_pylist() == list(toy_frame["Category"]), path


def test_the_description_says_how_a_file_was_read(toy_frame: pd.DataFrame, tmp_path: Path) -> None:
    toy_frame.to_csv(tmp_path / "t.csv", sep=";", encoding="cp1252")
    assert read(tmp_path / "t.csv", encoding="cp1252").description == "separated by semicolons, cp1252"
    with pd.ExcelWriter(tmp_path / "t.xlsx") as file:
        toy_frame.to_excel(file, sheet_name="texts")
        toy_frame.iloc[:1].to_excel(file, sheet_name="other")
    assert read(tmp_path / "t.xlsx").description == "spreadsheet, sheet 'texts' of 2"


def test_numbers_beyond_64_bits_and_nested_values_in_other_columns_do_not_matter(tmp_path: Path) -> None:
    rows = [{"Category": 1, "description_pre": "a", "id": 2**70, "more": {"x": [1]}}, {"Category": 2**70}]
    (tmp_path / "t.jsonl").write_text("\n".join(map(json.dumps, rows)))
    table = read(tmp_path / "t.jsonl")
    assert table.columns["Category"].to_pylist() == ["1", str(2**70)]
    assert table.columns["description_pre"].to_pylist() == ["a", None]


def test_columns_without_a_header_have_numbers(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("sports;goal, team\nfinance;bank\n")
    wanted = {"1": "--label-column", "2": "--text-column"}
    columns = read_table(tmp_path / "t.csv", wanted, Reading(header=False)).columns
    assert columns["2"].to_pylist() == ["goal, team", "bank"]
    pd.DataFrame([["sports", "goal"], ["finance", "bank"]]).to_excel(tmp_path / "t.xlsx", header=False, index=False)
    assert read_table(tmp_path / "t.xlsx", wanted, Reading(header=False)).columns["1"].to_pylist() == [
        "sports",
        "finance",
    ]


def test_a_file_without_a_header_is_told_as_such_in_a_short_line(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(f"sports,{'goal team ' * 400}\nfinance,{'bank share ' * 400}\n")
    with pytest.raises(CorpusError, match="seems to have no header: add --no-header, and name columns") as caught:
        read(tmp_path / "t.csv")
    assert len(str(caught.value)) < 300 + len(str(tmp_path))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("t.jsonl", '{"Category": 1, "description_pre": "a"}\n{"Category": 1,\n', "line 2 is not JSON"),
        ("t.jsonl", '{"Category": 1, "description_pre": "a"}\n[1]\n', "line 2 is not a JSON object"),
        ("t.json", "[1, 2]\n", "entry 1 of its array is not an object"),
        ("t.csv", f"{'word ' * 6},b\n1,a\n", "seems to have no header"),
        ("t.json", '[{"Category": 1},\n{"Category" 2}]', "line 1 is not JSON"),
        ("t.json", '{"Category": [1, 2],\n "description_pre": ["a"]}', "object of columns of several lengths"),
        ("t.json", "", "is empty"),
        ("t.jsonl", '{"Category": true, "description_pre": {"a": 1}}\n', "holds struct"),
        ("t.jsonl", '{"Category": 1, "text": "a"}\n', r"not found .*it has: 'Category', 'text'\).*--text-column"),
        ("t.csv", "Category,description_pre, Category\n1,2,3\n", "2 columns called 'Category'. Rename"),
        ("t.csv", f"{'n' * 50},description_pre\n1,a\n", rf"it has: '{'n' * 37}\.\.\.', 'description_pre'"),
        ("t.parquet", "PAR1 but not really", "cannot be read"),
        ("t.feather", "ARROW1 but not really", "cannot be read"),
        ("t.xlsx", "\u0001\u0000\u0000\u0000\u0000" * 99, "NUL"),
    ],
)
def test_a_file_that_cannot_be_read_is_one_line(name: str, content: str, message: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(CorpusError, match=message) as caught:
        read(tmp_path / name)
    assert name in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_column_of_lists_is_refused(tmp_path: Path) -> None:
    pa.parquet.write_table(pa.table({"Category": [1], "description_pre": [["a"]]}), tmp_path / "t.parquet")
    with pytest.raises(CorpusError, match=r"'description_pre' of .* holds list<.*; it must hold strings"):
        read(tmp_path / "t.parquet")


def test_values_become_strings_as_they_were_written() -> None:
    def of(values: object) -> list[str | None]:
        cells: list[str | None] = strings(Path("t"), "column", values).to_pylist()
        return cells

    assert of([1.0, None, float("nan"), 3.0]) == ["1", None, None, "3"]
    assert of([1.5, None]) == ["1.5", None]
    assert of([1, "one", 2.0, None]) == ["1", "one", "2", None]
    assert of(pa.array(["a", "b", "a"]).dictionary_encode()) == ["a", "b", "a"]
    assert of(pd.Series(["a", None])) == ["a", None]


@given(st.binary(max_size=400))
def test_any_content_gives_a_table_or_an_error_of_one_line(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    folder = tmp_path_factory.mktemp("any")
    for name, start in (("t.csv", b"Category,description_pre\n"), ("t.jsonl", b""), ("t", b""), ("t.xlsx", b"PK\3\4")):
        (folder / name).write_bytes(start + content)
        try:
            table = read(folder / name)
        except CorpusError as error:
            assert "\n" not in str(error)  # noqa: PT017
        else:
            assert set(table.columns) == set(WANTED)


def test_json_is_told_by_its_content_and_half_an_emoji_is_replaced(tmp_path: Path) -> None:
    rows = [{"Category": "a", "description_pre": "half \ud83d"}, {"Category": "b", "description_pre": "é"}]
    for name, content in {
        "lines.csv": "\n".join(map(json.dumps, rows)),
        "array.txt": json.dumps(rows, indent=1),
        "t.parquet": json.dumps(rows),
    }.items():
        (tmp_path / name).write_text(content)
        assert read(tmp_path / name).columns["description_pre"].to_pylist() == ["half ?", "é"], name
    (tmp_path / "t.json").write_text("Category,description_pre\na,b\n")
    assert read(tmp_path / "t.json").columns["description_pre"].to_pylist() == ["b"]
    (tmp_path / "brackets.csv").write_text("[Category],Category,description_pre\n1,a,b\n")
    assert read(tmp_path / "brackets.csv").columns["description_pre"].to_pylist() == ["b"]


def test_two_columns_of_one_name_are_refused_in_a_spreadsheet_too(tmp_path: Path) -> None:
    names = ["Category", "description_pre", "description_pre"]
    pd.DataFrame([["a", "b", "c"]], columns=names).to_excel(tmp_path / "t.xlsx", index=False)
    with pytest.raises(CorpusError, match="has 2 columns called 'description_pre'"):
        read(tmp_path / "t.xlsx")


def test_kinds_are_told_by_content_where_it_tells(toy_frame: pd.DataFrame, tmp_path: Path) -> None:
    toy_frame.to_parquet(tmp_path / "t.csv")
    assert kind_of_table(tmp_path / "t.csv") == "parquet"
    (tmp_path / "rows").write_text('\n {"a": 1}')
    assert kind_of_table(tmp_path / "rows") == "json"
    assert kind_of_table(tmp_path) == "folder"
