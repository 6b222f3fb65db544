"""Splits texts into the word pieces of a pretrained encoder, by its own tokenizer, which does its own cleaning.

The texts are not cleaned by this project's rule before, since the encoder was trained with its own handling of upper
case, accents and punctuation.
"""

import hashlib
import json
import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from preprocessing.encoding import join, slices
from preprocessing.pretrained import TOKENIZER_SETTINGS, PretrainedEncoder, PretrainedError, bert_extra, tokenizer_file

if TYPE_CHECKING:
    from tokenizers import Tokenizer

BYTES_PER_SLICE = 2_000_000  # of text; the tokenizer keeps some hundred bytes per piece until a slice is done
MINIMUM_TOKENS = 3  # [CLS], one piece, [SEP]


@dataclass(frozen=True)
class WordPieces:
    """The tokenizer of one encoder, with its special pieces: [CLS] ... [SEP]."""

    tokenizer_json: str  # as the `tokenizers` library writes it
    max_tokens: int  # per text, including special pieces; longer ones are truncated before [SEP]

    def __post_init__(self) -> None:
        if self.max_tokens < MINIMUM_TOKENS:
            raise ValueError(f"`max_tokens >= {MINIMUM_TOKENS}` must hold, got {self.max_tokens}.")

    def __len__(self) -> int:
        """One more than the largest id."""
        return max(self._tokenizer.get_vocab(with_added_tokens=True).values()) + 1

    @cached_property
    def blank_ids(self) -> frozenset[int]:
        """The ids that carry no information about a text: [CLS], [SEP] and the unknown piece."""
        model = json.loads(self.tokenizer_json)["model"]
        unknown = model.get("unk_id")  # of a Unigram model; others store the piece
        if unknown is None and model.get("unk_token") is not None:
            unknown = self._tokenizer.token_to_id(model["unk_token"])
        return frozenset({*self._tokenizer.encode("").ids, unknown} - {None})

    @property
    def identity(self) -> dict[str, str | int]:
        """The facts that the ids of a text depend on."""
        return {"tokenizer": hashlib.sha256(self.tokenizer_json.encode()).hexdigest(), "max_tokens": self.max_tokens}

    def encode(self, texts: pa.Array) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int64]]:
        """Ids and offsets of texts (`large_string`, no nulls), like those of words by `preprocessing.encoding.encode`.

        An empty text has only the special pieces.
        """
        return join(self._encode(part) for part in slices(texts, BYTES_PER_SLICE))

    def split(self, text: str) -> list[str]:
        """The pieces whose ids `encode` gives, as the encoder's vocabulary writes them."""
        pieces: list[str] = self._tokenizer.encode(text).tokens
        return pieces

    def _encode(self, texts: pa.Array) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int64]]:
        encodings = self._tokenizer.encode_batch_fast(texts.to_pylist())
        ids = [np.array(encoding.ids, np.int32) for encoding in encodings]
        return np.concatenate(ids), np.array([len(of_one_text) for of_one_text in ids], np.int64)

    @cached_property
    def _tokenizer(self) -> "Tokenizer":
        os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")  # unset, it warns after a fork
        with bert_extra():
            from tokenizers import Tokenizer
        tokenizer = Tokenizer.from_str(self.tokenizer_json)
        tokenizer.no_padding()
        tokenizer.enable_truncation(self.max_tokens)
        return tokenizer


def read_word_pieces(encoder: PretrainedEncoder, *, max_tokens: int) -> WordPieces:
    """The tokenizer of an encoder, from its tokenizer.json or, for older encoders, its vocab.txt.

    Raises `PretrainedError` if neither can be used, and for fewer tokens than the encoder needs or more than it has
    positions for.
    """
    folder = encoder.folder
    if max_tokens < MINIMUM_TOKENS:
        raise PretrainedError(
            f"The encoder needs at least {MINIMUM_TOKENS} tokens of a text, two of them special, "
            f"got {max_tokens}. Raise --max-tokens."
        )
    if max_tokens > encoder.max_tokens:
        raise PretrainedError(
            f"The encoder reads up to {encoder.max_tokens} tokens of a text, got {max_tokens}. Lower --max-tokens."
        )
    file = tokenizer_file(folder)
    if file is None:
        raise PretrainedError(f"{folder} has no tokenizer: it needs tokenizer.json or vocab.txt.")
    try:
        tokenizer_json = _from_vocabulary(file) if file.suffix == ".txt" else file.read_text(encoding="utf-8")
        len(WordPieces(tokenizer_json, MINIMUM_TOKENS))
    except PretrainedError:
        raise
    except Exception as error:  # the tokenizers library raises nothing more special
        raise PretrainedError(f"The tokenizer {file} cannot be used: {error}.") from error
    return WordPieces(tokenizer_json, max_tokens)


def _from_vocabulary(file: Path) -> str:
    with bert_extra():
        from tokenizers.implementations.bert_wordpiece import BertWordPieceTokenizer
    settings = file.with_name(TOKENIZER_SETTINGS)
    config = json.loads(settings.read_text()) if settings.is_file() else {}
    tokenizer: str = BertWordPieceTokenizer(
        str(file),
        lowercase=config.get("do_lower_case", True),
        strip_accents=config.get("strip_accents"),
        handle_chinese_chars=config.get("tokenize_chinese_chars", True),
    ).to_str()
    return tokenizer
