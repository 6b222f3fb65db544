"""The encoding of a file is told by its marks and NULs; any other is refused by name, never guessed in silence."""

import codecs
from pathlib import Path

import pytest

from data.encodings import find_encoding, undecodable
from data.errors import CorpusError

TEXT = "label,text\n" + "1,été à Łódź\n" * 50


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-be"])
def test_unicode_is_told_by_its_mark_or_its_nuls(encoding: str, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_bytes(TEXT.encode(encoding))
    assert (tmp_path / "t.csv").read_text(find_encoding(tmp_path / "t.csv")) == TEXT


@pytest.mark.parametrize("mark", [codecs.BOM_UTF16_BE, codecs.BOM_UTF32_BE])
def test_a_mark_tells_the_order_of_bytes(mark: bytes, tmp_path: Path) -> None:
    encoding = "utf-16-be" if len(mark) == 2 else "utf-32-be"
    (tmp_path / "t.csv").write_bytes(mark + TEXT.encode(encoding))
    assert (tmp_path / "t.csv").read_text(find_encoding(tmp_path / "t.csv")) == TEXT


def test_a_binary_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_bytes(bytes(range(256)) * 10)
    with pytest.raises(CorpusError, match="no text file: it holds NUL"):
        find_encoding(tmp_path / "t.csv")


@pytest.mark.parametrize(
    ("encoding", "sentence"),
    [
        ("cp1252", "le café crème de l'hôtel était déjà réservé"),
        ("cp1252", "größere Häuser für die Käufer"),
        ("cp1252", "el niño comió mañana en España"),
        ("cp1250", "Příliš žluťoučký kůň úpěl ďábelské ódy. Zażółć gęślą jaźń"),
        ("cp1251", "Съешь же ещё этих мягких французских булок, да выпей чаю"),
        ("cp1254", "Pijamalı hasta yağız şoföre çabucak güvendi"),  # noqa: RUF001
        ("cp932", "いろはにほへと ちりぬるを 我が世誰ぞ 常ならむ"),
        ("gb18030", "今天我们看到足球比赛 银行的利润增长了很多"),
        ("cp949", "키스의 고유조건은 입술끼리 만나야 하고 특별한 기술은 필요치 않다"),
    ],
)
def test_the_likely_encoding_is_named(encoding: str, sentence: str, tmp_path: Path) -> None:
    content = ("label,text\n" + f"1,plain\n2,{sentence}\n" * 30).encode(encoding)
    (tmp_path / "t.csv").write_bytes(content)
    message = undecodable(tmp_path / "t.csv", "utf-8")
    with pytest.raises(UnicodeDecodeError) as caught:
        content.decode()
    place = caught.value.start
    assert f"is not UTF-8: line 3, byte offset {place} (0x{content[place]:02x})" in message
    assert message.endswith(f"read it with --encoding {encoding}.")


def test_the_place_is_right_beyond_the_first_block(tmp_path: Path) -> None:
    content = ("1,été\n" * 20_000).encode() + b"2,\xc3(\n"
    (tmp_path / "t.csv").write_bytes(content)
    assert f"line 20,001, byte offset {content.index(b'(') - 1:,} (0xc3)" in undecodable(tmp_path / "t.csv", "utf-8")
    (tmp_path / "t.csv").write_bytes(("1,été\n" * 20).encode()[:-2])
    assert "its last character is cut off" in undecodable(tmp_path / "t.csv", "utf-8")


def test_a_wrong_encoding_that_was_named_is_told(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_bytes("1,été".encode("cp1252"))
    assert "t.csv is not ascii: line 1" in undecodable(tmp_path / "t.csv", "ascii")
    assert "Name the right one with --encoding." in undecodable(tmp_path / "t.csv", "ascii")


def test_a_file_that_is_nearly_utf_8_is_to_be_repaired_not_read_by_another_encoding(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_bytes(("1,été à Łódź\n" * 60).encode() + "2,été\n".encode("cp1252"))
    assert undecodable(tmp_path / "t.csv", "utf-8").endswith("Nearly all of it is UTF-8: repair that line.")


def test_utf_16_without_its_mark_is_told(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_bytes(TEXT.encode("utf-16-le"))
    message = undecodable(tmp_path / "t.csv", "utf-16")
    assert message.endswith("(UTF-16 stream does not start with BOM). Leave --encoding out, or name another.")
