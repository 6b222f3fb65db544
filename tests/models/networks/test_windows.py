"""Windows hold each word of a text once and in order, and depend on that text alone."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn.utils.rnn import pad_sequence

from models.lstm import LSTMClassifier, LSTMConfig
from models.networks.windows import cut
from preprocessing.vocabulary import PAD_ID

TEXTS = st.lists(st.lists(st.integers(1, 99), min_size=1, max_size=40), min_size=1, max_size=9)


def padded(texts: list[list[int]]) -> tuple[torch.Tensor, torch.Tensor]:
    rows = pad_sequence([torch.tensor(text, dtype=torch.int32) for text in texts], batch_first=True)
    return rows, torch.tensor([len(text) for text in texts])


@given(TEXTS, st.integers(1, 45))
def test_each_word_stands_once_and_in_order(texts: list[list[int]], longest: int) -> None:
    windows = cut(*padded(texts), longest)
    places = list(range(len(texts))) if windows.places is None else windows.places.tolist()
    joined: list[list[int]] = [[] for _ in texts]
    for place, ids, length in zip(places, windows.token_ids.t().tolist(), windows.lengths.tolist(), strict=True):
        joined[place // windows.most] += ids[:length]
        assert 1 <= length <= longest
        assert set(ids[length:]) <= {PAD_ID}
    assert joined == texts


@given(TEXTS, st.integers(1, 45))
def test_windows_are_few_and_of_about_the_same_length(texts: list[list[int]], longest: int) -> None:
    for text in texts:
        lengths = cut(*padded([text]), longest).lengths
        assert len(lengths) <= -(-len(text) // longest)
        assert (lengths[:-1] == lengths[:1]).all()
        assert lengths[-1] <= lengths[0]


@given(TEXTS, st.integers(1, 45))
def test_windows_are_put_together_text_by_text(texts: list[list[int]], longest: int) -> None:
    windows = cut(*padded(texts), longest)
    sums = windows.of_texts(windows.token_ids.sum(dim=0)[:, None], fill=0).sum(dim=1)[:, 0]
    assert sums.tolist() == [sum(text) for text in texts]
    most = windows.of_texts(windows.token_ids.max(dim=0).values[:, None], fill=-1).max(dim=1).values[:, 0]
    assert most.tolist() == [max(text) for text in texts]


@pytest.mark.parametrize("pooling", ["max", "mean", "last"])
def test_a_text_that_fits_a_window_is_read_as_without_windows(pooling: str) -> None:
    texts = padded([[3, 4, 5, 6, 7, 8, 9], [2, 4, 6], [5]])
    scores = []
    for window in (None, 3):
        torch.manual_seed(0)
        config = LSTMConfig(6, 4, pooling=pooling, window=window, bag_of_words=True)  # type: ignore[arg-type]
        scores.append(LSTMClassifier(config, vocabulary_size=10, classes=3).eval()(*texts))
    torch.testing.assert_close(scores[0][1:], scores[1][1:])
    assert not torch.allclose(scores[0][0], scores[1][0], atol=1e-4)  # the first is cut


def test_what_is_pooled_of_windows_is_what_each_would_have_alone() -> None:
    text = [3, 4, 5, 6, 7, 8, 9, 2]
    lengths = torch.tensor([[3.0], [3.0], [2.0]])
    heads = {}
    for pooling in ("max", "mean", "last"):
        network = LSTMClassifier(LSTMConfig(6, 4, pooling=pooling, window=3), vocabulary_size=10, classes=3).eval()  # type: ignore[arg-type]
        network.head = torch.nn.Identity()
        whole, parts = network(*padded([text])), network(*padded([text[:3], text[3:6], text[6:]]))
        heads[pooling] = whole[0], parts
    torch.testing.assert_close(heads["max"][0], heads["max"][1].max(dim=0).values)
    for pooling in ("mean", "last"):
        torch.testing.assert_close(heads[pooling][0], (heads[pooling][1] * lengths).sum(dim=0) / len(text))
