"""Word pieces compared with transformers' own tokenizers, and how encoded texts are kept in the cache."""

import shutil
import subprocess
import sys
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

import preprocessing.word_pieces
from data.source import Split, find_source
from data.texts import load_search_texts
from preprocessing.prepared import open_prepared, prepare_for_search, prepare_test
from preprocessing.pretrained import PretrainedEncoder, PretrainedError
from preprocessing.word_pieces import WordPieces, read_word_pieces

ODD_TEXTS = [
    *("", " ", "\t\n", "\0", "\x07bell", "naïve café", "中文 text", "😀 emoji 👩‍👩‍👧", "[SEP] [CLS] [MASK]"),
    *("a" * 500, "word " * 300, "U.S.A.!", "İstanbul", "ﬁ ligature", "e\u0301", "\u202eright to left", "##s ##ing"),
]


def ids_of(pieces: WordPieces, texts: list[str]) -> list[list[int]]:
    token_ids, offsets = pieces.encode(pa.array(texts, pa.large_string()))
    assert token_ids.dtype == np.int32
    assert offsets.dtype == np.int64
    return [token_ids[start:stop].tolist() for start, stop in pairwise(offsets)]


def transformers_ids(folder: Path, texts: list[str], max_tokens: int) -> list[list[int]]:
    import transformers

    tokenizer = transformers.AutoTokenizer.from_pretrained(folder, local_files_only=True)
    ids: list[list[int]] = tokenizer(texts, truncation=True, max_length=max_tokens)["input_ids"]
    return ids


@pytest.mark.parametrize("max_tokens", [3, 10, 60])
def test_word_pieces_are_those_of_transformers(max_tokens: int, tiny_encoder: PretrainedEncoder) -> None:
    texts = [*ODD_TEXTS, "the surgery of 1 surgeon, painting"]
    ids = ids_of(read_word_pieces(tiny_encoder, max_tokens=max_tokens), texts)
    assert ids == transformers_ids(tiny_encoder.folder, texts, max_tokens)
    assert max(map(len, ids)) == max_tokens
    assert all((of_one_text[0], of_one_text[-1]) == (2, 3) for of_one_text in ids)  # [CLS], [SEP]


def test_word_pieces_of_minilm_are_those_of_transformers(minilm: PretrainedEncoder) -> None:
    texts = [*ODD_TEXTS, "Oil prices rose 3.5% after OPEC cut its output, the 'Financial Times' reported."]
    pieces = read_word_pieces(minilm, max_tokens=128)
    assert ids_of(pieces, texts) == transformers_ids(minilm.folder, texts, 128)
    assert len(pieces) == 30_522


def test_a_vocabulary_file_alone_gives_the_same_word_pieces(minilm: PretrainedEncoder, tmp_path: Path) -> None:
    for name in ("vocab.txt", "tokenizer_config.json"):
        shutil.copy(minilm.folder / name, tmp_path)
    pieces = read_word_pieces(PretrainedEncoder(tmp_path, "", 512), max_tokens=128)
    assert ids_of(pieces, ODD_TEXTS) == ids_of(read_word_pieces(minilm, max_tokens=128), ODD_TEXTS)


@given(st.lists(st.text(max_size=30), min_size=1, max_size=10))
def test_every_text_has_its_special_pieces_and_is_encoded_the_same_alone_and_among_others(
    tiny_encoder: PretrainedEncoder, texts: list[str]
) -> None:
    pieces = read_word_pieces(tiny_encoder, max_tokens=12)
    together = ids_of(pieces, texts)
    assert together == [ids_of(pieces, [text])[0] for text in texts]
    assert all(2 <= len(ids) <= 12 and ids[0] == 2 and ids[-1] == 3 and max(ids) < len(pieces) for ids in together)


def test_a_text_can_be_split_into_its_word_pieces(tiny_encoder: PretrainedEncoder) -> None:
    pieces = read_word_pieces(tiny_encoder, max_tokens=6)
    assert pieces.split("Surgery, no!") == ["[CLS]", "surgery", "[UNK]", "n", "##o", "[SEP]"]
    assert pieces.blank_ids == set(ids_of(pieces, [","])[0])
    assert len(pieces.split("no " * 9)) == len(ids_of(pieces, ["no " * 9])[0]) == 6


def test_large_corpora_are_encoded_slice_by_slice_with_the_same_result(
    tiny_encoder: PretrainedEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    pieces = read_word_pieces(tiny_encoder, max_tokens=12)
    texts = [f"number {number} {'law ' * (number % 7)}" for number in range(200)]
    whole = ids_of(pieces, texts)
    monkeypatch.setattr(preprocessing.word_pieces, "BYTES_PER_SLICE", 300)
    assert ids_of(pieces, texts) == whole


def test_the_cache_holds_word_pieces_and_words_as_separate_entries(
    toy_csv: Path, tiny_encoder: PretrainedEncoder, tmp_path: Path
) -> None:
    source, _ = find_source(str(toy_csv))
    split, where = Split(source), {"cache_dir": tmp_path / "cache"}
    pieces = read_word_pieces(tiny_encoder, max_tokens=12)
    words = prepare_for_search(split, **where)
    prepared = prepare_for_search(split, pieces=pieces, **where)
    shorter = prepare_for_search(split, pieces=WordPieces(pieces.tokenizer_json, 8), **where)
    assert len({one.entry.folder for one in (words, prepared, shorter)}) == 3

    texts = load_search_texts(split, **where)
    for stored, side in ((prepared.training, texts.training), (prepared.validation, texts.validation)):
        token_ids, offsets = pieces.encode(side.texts)
        assert np.array_equal(stored.token_ids, token_ids)
        assert np.array_equal(stored.offsets, offsets)
        assert [prepared.classes[number] for number in stored.labels] == side.labels.to_pylist()
    assert prepared.word_counts.tolist() == np.bincount(prepared.training.token_ids, minlength=len(pieces)).tolist()
    assert shorter.training.lengths.max() == 8
    again = prepare_for_search(split, pieces=pieces, on_event=pytest.fail, **where)
    assert again.entry.folder == open_prepared(prepared.entry.folder).entry.folder == prepared.entry.folder
    assert prepare_for_search(replace(split, repeat=0), pieces=pieces, **where).entry.folder != prepared.entry.folder


def test_the_test_texts_are_encoded_like_the_others(
    toy_csv: Path, tiny_encoder: PretrainedEncoder, tmp_path: Path
) -> None:
    source, _ = find_source(str(toy_csv))
    pieces = read_word_pieces(tiny_encoder, max_tokens=12)
    in_words = prepare_for_search(Split(source), cache_dir=tmp_path)
    words = prepare_test(Split(source), in_words, cache_dir=tmp_path)
    prepared = prepare_for_search(Split(source), cache_dir=tmp_path, pieces=pieces)
    test = prepare_test(Split(source), prepared, cache_dir=tmp_path, pieces=pieces)
    assert len(test) == len(words) == 18
    assert (test.labels == words.labels).all()
    assert set(test.token_ids[test.offsets[:-1]]) == {2}
    assert (test.lengths == 12).all()


def test_the_cache_key_of_words_has_not_changed(toy_csv: Path, tmp_path: Path) -> None:
    source, _ = find_source(str(toy_csv))
    key = prepare_for_search(Split(source), cache_dir=tmp_path).entry.meta["key"]
    assert sorted(key) == ["columns", "reader", "reading", "rules", "sha256", "split_seed", "suffixes", "test"]


def test_too_few_tokens_are_refused(tiny_encoder: PretrainedEncoder) -> None:
    with pytest.raises(PretrainedError, match=r"at least 3 tokens of a text, .* got 2\. Raise --max-tokens"):
        read_word_pieces(tiny_encoder, max_tokens=2)


def test_more_tokens_than_positions_are_refused(tiny_encoder: PretrainedEncoder) -> None:
    with pytest.raises(PretrainedError, match="up to 64 tokens of a text, got 65"):
        read_word_pieces(tiny_encoder, max_tokens=65)


@pytest.mark.parametrize(("file", "message"), [(None, "has no tokenizer"), ("tokenizer.json", "cannot be used")])
def test_a_folder_without_a_usable_tokenizer_is_an_error(file: str | None, message: str, tmp_path: Path) -> None:
    if file:
        (tmp_path / file).write_text("{}")
    with pytest.raises(PretrainedError, match=message):
        read_word_pieces(PretrainedEncoder(tmp_path, "", 512), max_tokens=10)


def test_word_pieces_are_encoded_without_importing_torch(tiny_encoder: PretrainedEncoder) -> None:
    program = (
        "import sys, pathlib, pyarrow\n"
        "from preprocessing.pretrained import find_encoder\n"
        "from preprocessing.word_pieces import read_word_pieces\n"
        f"encoder = find_encoder({str(tiny_encoder.folder)!r}, cache_dir=pathlib.Path())\n"
        "read_word_pieces(encoder, max_tokens=9).encode(pyarrow.array(['a text']))\n"
        "sys.exit('torch' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
