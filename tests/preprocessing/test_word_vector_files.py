"""Text files of word vectors as found in the wild, and the errors for files that are not valid."""

import gzip
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as st_numpy

from preprocessing.word_vector_files import VectorsError, read_vector_file

GLOVE_LINES = "the 0.5 -1.25 3e-2\nof 1 2 3\nat name@domain.com 7 8 9\nété -1 -2 -3\nof 0 0 0\n"
# Any printable words except plain numbers: "1 2" in the first line is a header.
words = st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1).filter(lambda word: not word.isdigit())
finite = st.floats(width=32, allow_nan=False, allow_infinity=False)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "vectors.txt"


def read(path: Path, wanted: list[str]) -> dict[str, list[float]]:
    places, vectors = read_vector_file(path, wanted)
    assert vectors.dtype == np.float32
    return {wanted[place]: vector for place, vector in zip(places, vectors.tolist(), strict=True)}


@given(data=st.data(), header=st.booleans(), ending=st.sampled_from(["\n", " \n", "\r\n"]), compressed=st.booleans())
def test_vectors_are_read_as_they_were_written(
    data: st.DataObject, header: bool, ending: str, compressed: bool, tmp_path_factory: pytest.TempPathFactory
) -> None:
    listed = data.draw(st.lists(words, min_size=1, max_size=8, unique=True))
    size = data.draw(st.integers(1, 5))
    vectors = data.draw(st_numpy.arrays(np.float32, (len(listed), size), elements=finite))
    wanted = data.draw(st.lists(st.sampled_from(listed) | words, unique=True))
    lines = [f"{len(listed)} {size}"] if header else []
    lines += [" ".join([word, *map(repr, vector)]) for word, vector in zip(listed, vectors.tolist(), strict=True)]
    path = tmp_path_factory.getbasetemp() / ("vectors.txt.gz" if compressed else "vectors.txt")
    content = "".join(line + ending for line in lines).encode()
    path.write_bytes(gzip.compress(content) if compressed else content)
    assert read(path, wanted) == {
        word: vector for word, vector in zip(listed, vectors.tolist(), strict=True) if word in wanted
    }


def test_words_may_contain_spaces_and_the_first_of_duplicate_lines_counts(path: Path) -> None:
    path.write_text("\ufeff" + GLOVE_LINES, encoding="utf-8")
    assert read(path, ["of", "at name@domain.com", "at", "été", "the"]) == {
        "the": pytest.approx([0.5, -1.25, 3e-2]),
        "of": [1, 2, 3],
        "at name@domain.com": [7, 8, 9],
        "été": [-1, -2, -3],
    }


def test_a_word_truncated_inside_a_character_does_not_affect_the_others(path: Path) -> None:
    path.write_bytes(b"\xc3 1 2\nof 3 4\n")
    assert read(path, ["of"]) == {"of": [3, 4]}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "holds 0 vectors. Copy it again"),
        ("4 3\nthe 1 2 3\nof 1 2 3\n", "holds 2 vectors of 4 that its first line announces"),
        ("the 1 2 3\n\nof 1 2\n", "line 3 has 2 numbers, but 3 are expected. Each line must be a word and its numbers"),
        ("2 3\nthe 1 2\n", "line 2 has 2 numbers, but 3 are expected"),
        ("the\t1\t2\n", "line 1 has 0 numbers. Each line"),
        ("the 1 2\nof 1 x2\n", "line 2 has 'x2' for a number"),
        ("the 1 2\nof nan 2\n", "line 2 has 'nan' for a number"),
        ("the 1 2\nof 1 1e39\n", "line 2 has '1e39' for a number"),
        ("oil prices rose\n", "line 1 has 'prices' for a number"),
    ],
)
def test_the_error_names_the_line_that_is_wrong(content: str, message: str, path: Path) -> None:
    path.write_text(content)
    with pytest.raises(VectorsError, match=message) as caught:
        read(path, ["of"])
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "content",
    [gzip.compress(GLOVE_LINES.encode())[:-9], gzip.compress(GLOVE_LINES.encode())[:10] + b"\xff" * 50],
    ids=["cut off", "damaged"],
)
def test_a_damaged_gzip_file_is_an_error(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "vectors.txt.gz"
    path.write_bytes(content)
    with pytest.raises(VectorsError, match=r"vectors\.txt\.gz is not a whole gzip file.*copy it again"):
        read(path, ["of"])
