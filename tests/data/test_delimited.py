"""The dialect of delimited text is found from the file, so that every row is read, or one line says which cannot be."""

import csv
import io
from pathlib import Path
from typing import Any

import pytest

from data.delimited import find_dialect, read_delimited
from data.dialect import Reading
from data.errors import CorpusError

HEADER = ["Category", "description_pre"]
COMMAS = [(label, f"goal, team, match {number}") for number in range(20) for label in ("sports", "finance")]
PLAIN = [(label, text.replace(",", "")) for label, text in COMMAS]


def written(rows: list[tuple[str, str]], separator: str = ",", *, header: bool = True, end: str = "\n") -> str:
    file = io.StringIO()
    csv.writer(file, delimiter=separator, lineterminator=end).writerows([HEADER, *rows] if header else rows)
    return file.getvalue()


def lines(rows: list[tuple[str, str]], separator: str = ",", *, end: str = "\n") -> str:
    """Rows without any quotes around cells."""
    return "".join(f"{separator.join(row)}{end}" for row in [tuple(HEADER), *rows])


def read(path: Path, content: str | bytes, **reading: Any) -> list[tuple[str | None, str | None]]:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    _, frame = read_delimited(path, HEADER, Reading(**reading))
    return [(label, text) for label, text in frame.astype(object).where(frame.notna(), None).to_numpy()]


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("header", [True, False])
def test_the_separator_is_found_whatever_the_suffix(separator: str, end: str, header: bool, tmp_path: Path) -> None:
    content = written(COMMAS, separator, end=end, header=header)
    path = tmp_path / "t.csv"
    path.write_bytes(content.encode())
    dialect, frame = read_delimited(path, HEADER if header else ["1", "2"], Reading(header=header))
    assert list(map(tuple, frame.to_numpy())) == COMMAS
    assert (dialect.separator, dialect.line_end) == (separator, end)


def test_a_line_that_names_the_separator_is_no_row(tmp_path: Path) -> None:
    assert read(tmp_path / "t.csv", "sep=;\n" + written(COMMAS, ";")) == COMMAS
    assert read(tmp_path / "t.csv", '"sep=\t"\r\n' + written(COMMAS, "\t")) == COMMAS


def test_an_unusual_separator_can_be_named(tmp_path: Path) -> None:
    assert read(tmp_path / "t.csv", written(COMMAS, "^"), separator="^") == COMMAS


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-be", "utf-32"])
def test_an_encoding_with_a_mark_or_nuls_is_read(encoding: str, tmp_path: Path) -> None:
    rows = [(label, f"{text} été") for label, text in COMMAS]
    assert read(tmp_path / "t.csv", written(rows, "\t").encode(encoding)) == rows


def test_another_encoding_is_refused_by_name_and_read_when_it_is_named(tmp_path: Path) -> None:
    rows = [(label, f"{text} café crème") for label, text in COMMAS]
    content = written(rows).encode("cp1252")
    with pytest.raises(CorpusError, match=r"is not UTF-8: line 2.*read it with --encoding cp1252\.$"):
        read(tmp_path / "t.csv", content)
    assert read(tmp_path / "t.csv", content, encoding="cp1252") == rows


@pytest.mark.parametrize("stray", [(3, 17), (3, 17, 22), (0,), (39,), (5, 6, 30, 31)])
@pytest.mark.parametrize("separator", ["\t", ","])
def test_quotes_that_enclose_no_cell_swallow_no_rows(stray: tuple[int, ...], separator: str, tmp_path: Path) -> None:
    rows = list(PLAIN)
    for turn, number in enumerate(stray):
        label, text = rows[number]
        rows[number] = (label, f'{text}"' if turn % 2 else f'"{text}')
    assert read(tmp_path / "t.tsv", lines(rows, separator)) == rows


def test_a_quoted_header_does_not_hide_quotes_that_swallow_rows(tmp_path: Path) -> None:
    rows = list(PLAIN)
    rows[3], rows[20] = (rows[3][0], f'"{rows[3][1]}'), (rows[20][0], f'{rows[20][1]}"')
    content = lines(rows).replace("Category,", '"Category",', 1)
    assert read(tmp_path / "t.csv", content) == rows


def test_an_unusual_separator_beyond_ascii_is_read_without_a_warning(tmp_path: Path) -> None:
    assert read(tmp_path / "t.csv", lines(PLAIN, "§"), separator="§") == PLAIN
    with pytest.raises(CorpusError, match="a double quote within a cell must be doubled"):
        read(tmp_path / "t.csv", written(PLAIN, "\t").replace("Category", '"Category"'), separator="§")


def test_a_quoted_first_word_stays_in_quotes(tmp_path: Path) -> None:
    rows = [(label, f'"Team" {text}') for label, text in PLAIN]
    assert read(tmp_path / "t.csv", lines(rows)) == rows


def test_a_word_in_quotes_keeps_them_where_others_have_quotes_that_no_writer_of_csv_leaves(tmp_path: Path) -> None:
    rows = [*PLAIN, ("sports", 'it"s late'), ("sports", '"quoted"')]
    assert read(tmp_path / "t.csv", lines(rows, ";")) == rows
    letter = [*PLAIN, ("sports", 'Dear team\nHello "you" all, world')]
    assert read(tmp_path / "t.csv", written(letter)) == letter
    assert read(tmp_path / "t.csv", written([*COMMAS, ("sports", '"quoted"')])) == [*COMMAS, ("sports", '"quoted"')]


def test_cells_of_several_lines_are_one_cell(tmp_path: Path) -> None:
    rows = [(label, f"{text}\nsincerely, {label}\n\n{label}") for label, text in COMMAS]
    assert read(tmp_path / "t.csv", written(rows)) == rows
    few = [*COMMAS[:2], ("sports", "one line\nanother"), *PLAIN]
    assert read(tmp_path / "t.csv", written(few)) == few
    letter = [*PLAIN, ("sports", "Dear team\nHello, world")]  # its second line has as many cells as a row
    assert read(tmp_path / "t.csv", written(letter)) == letter
    rare = [*PLAIN * 30, ("sports", "one\nsincerely, me"), ("sports", "two\nmore")]  # most lines are whole rows
    assert read(tmp_path / "t.csv", written(rare)) == rare


def test_quotes_escaped_by_backslashes_are_read(tmp_path: Path) -> None:
    rows = [(label, f'he said "{text}, yes" again') for label, text in COMMAS]
    content = lines([(label, '"' + text.replace('"', '\\"') + '"') for label, text in rows])
    assert read(tmp_path / "t.csv", content) == rows
    assert "backslashes" in str(find_dialect(tmp_path / "t.csv", HEADER, Reading()))


def test_a_backslash_before_a_quote_that_ends_a_cell_escapes_nothing(tmp_path: Path) -> None:
    rows = [(label, f"{text}\\") for label, text in COMMAS] + [("sports", 'a "quoted" word')]
    assert read(tmp_path / "t.csv", written(rows)) == rows


def test_blanks_after_separators_and_a_separator_at_the_end_of_lines_do_not_count(tmp_path: Path) -> None:
    blanks = "".join(f'{label}, "{text}"\n' for label, text in COMMAS)
    assert read(tmp_path / "t.csv", f"{HEADER[0]}, {HEADER[1]}\n{blanks}") == COMMAS
    assert read(tmp_path / "t.csv", f"{HEADER[0]},{HEADER[1]}\n{blanks}") == COMMAS
    assert read(tmp_path / "t.csv", f'"{HEADER[0]}", "{HEADER[1]}"\n{blanks}') == COMMAS
    trailing = "".join(f"{label},{text},\n" for label, text in PLAIN)
    assert read(tmp_path / "t.csv", f"{HEADER[0]},{HEADER[1]}\n{trailing}") == PLAIN
    assert read(tmp_path / "t.csv", f"{HEADER[0]},{HEADER[1]},\n{trailing}") == PLAIN


def test_lines_before_the_header_and_lines_of_separators_do_not_count(tmp_path: Path) -> None:
    for blank in ("\n\r\n", "\n \t\n", "\r\n\r\n"):
        assert read(tmp_path / "t.csv", blank + written(COMMAS)) == COMMAS
    stray = [(PLAIN[0][0], f'"{PLAIN[0][1]}'), *PLAIN[1:9], (PLAIN[9][0], f'{PLAIN[9][1]}"'), *PLAIN[10:]]
    rows = read(tmp_path / "t.tsv", lines(stray, "\t") + "\t\n" * 100)
    assert rows == stray + [(None, None)] * 100
    path = tmp_path / "one.csv"
    path.write_text("\ntext\ncourt\n")
    assert read_delimited(path, ["text"], Reading())[1]["text"].tolist() == ["court"]


def test_rows_with_fewer_cells_are_told(tmp_path: Path) -> None:
    for content in (lines(PLAIN) + "sports\n", written(COMMAS) + "sports\n"):
        assert read(tmp_path / "t.csv", content)[-1] == ("sports", None)
        found = str(find_dialect(tmp_path / "t.csv", HEADER, Reading()))
        assert found == "separated by commas, UTF-8, 1 rows with fewer cells than the header"


def test_a_text_a_line_without_a_header_is_one_column(tmp_path: Path) -> None:
    path = tmp_path / "t.txt"
    path.write_text("goal, team\n" + "".join(f"{text}\n" for _, text in PLAIN))
    assert len(read_delimited(path, ["1"], Reading(header=False))[0].names) == 1


def test_a_first_cell_of_a_megabyte_is_read(tmp_path: Path) -> None:
    path = tmp_path / "t.txt"
    path.write_text("word " * 200_000 + "\ncourt\n")
    for _ in range(2):
        frame = read_delimited(path, ["1"], Reading(header=False))[1]
        assert [len(text) for text in frame["1"]] == [1_000_000, 5]


def test_a_mark_is_no_part_of_the_first_name_when_utf_8_is_named(tmp_path: Path) -> None:
    assert (
        read(tmp_path / "t.csv", written(PLAIN).replace("Category", '"Category"').encode("utf-8-sig"), encoding="UTF8")
        == PLAIN
    )


def test_empty_lines_are_no_rows_and_missing_cells_are_empty(tmp_path: Path) -> None:
    content = written(PLAIN).replace("sports,goal team match 3\n", "\nsports\n,x\n\n")
    rows = read(tmp_path / "t.csv", content)
    assert rows[6:8] == [("sports", None), (None, "x")]
    assert len(rows) == len(PLAIN) + 1


def test_names_of_columns_are_compared_without_blanks_and_marks(tmp_path: Path) -> None:
    content = written(PLAIN).replace("Category,description_pre", '" Category ",description_pre\t')
    assert read(tmp_path / "t.csv", content) == PLAIN
    path = tmp_path / "accents.csv"
    path.write_text("cafe\u0301,x\n1,2\n")
    assert list(read_delimited(path, ["caf\u00e9"], Reading())[1].columns) == ["caf\u00e9"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (lines(PLAIN) + "sports,a,b\n", "row 42 has 3 cells, the header 2"),
        (lines(PLAIN) + "sports,a,b,c\n", "line 42 has 4 cells, the header 2"),
        (written(COMMAS) + 'sports,"never closed\n', r"in row 42 \(the header is row 1\) is never closed"),
        ('Category,description_pre\n"sports","he said "hi" to me"\n', "line 2: a double quote within a cell must be"),
        (written([*PLAIN, ("a", "x\ny")]) + 'sports,"Team" won\n', "line 44: a double quote within a cell must be"),
        (lines(PLAIN * 2_000) + "sports,goal\0 team\n", "line 80,002 holds a NUL character"),
        ("", "is empty"),
        (" \n\n", "is empty"),
    ],
)
def test_a_file_that_no_dialect_explains_is_one_line(content: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match=message) as caught:
        read(tmp_path / "t.csv", content)
    assert str(tmp_path / "t.csv") in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_of_one_column_needs_no_quotes(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("description_pre\ngoal, team\n\n" + "match, " * 30 + "\n")
    dialect, frame = read_delimited(path, ["description_pre"], Reading())
    assert frame["description_pre"].notna().tolist() == [True, False, True]
    assert frame["description_pre"][0] == "goal, team"
    assert str(dialect) == "one column, UTF-8"
