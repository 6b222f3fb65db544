"""Layers that the networks share: word embeddings, scaled or pretrained, the mask of lengths, heads, fast dropout."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.networks.row_embedding import RowEmbedding
from preprocessing.vocabulary import PAD_ID, UNKNOWN_ID
from preprocessing.word_vectors import WordVectors

LEVELS = 256  # a random byte decides about a feature

# The standard deviation of new word embeddings; at the usual 1.0 barely trained words dominate the others. On R8
# (learning rate 0.01, 10 epochs, one run each) validation macro-F1 was 0.915 with 0.3 and 0.936 with 0.1.
EMBEDDING_SCALE = 0.1


def word_embedding(
    vocabulary_size: int,
    size: int,
    *,
    vectors: WordVectors | None = None,
    vector_scale: float = EMBEDDING_SCALE,
    tune: bool = True,
) -> RowEmbedding:
    """Token ids (...) to features (..., size), random or from pretrained `vectors`; padding is zero and stays zero.

    The vectors are scaled as a whole to the standard deviation `vector_scale`, since files differ in it; words without
    a vector get a random one of that scale. `vectors` may have more words than the network, which uses the first ones.
    Without `tune`, the embedding is frozen, including words without a vector. Raises `ValueError` for vectors of
    another size.
    """
    embedding = RowEmbedding(vocabulary_size, size, padding_idx=PAD_ID)
    with torch.no_grad():
        embedding.weight *= EMBEDDING_SCALE if vectors is None else vector_scale
        if vectors is not None:
            if vectors.size != size:
                raise ValueError(f"`embedding_size` must be that of the vectors, {vectors.size}, got {size}.")
            known = torch.from_numpy(vectors.known[:vocabulary_size])
            pretrained = torch.tensor(vectors.vectors[:vocabulary_size])[known]
            embedding.weight[known] = pretrained * (vector_scale / pretrained.square().mean().sqrt())
            embedding.weight.requires_grad_(tune)
    return embedding


def length_mask(token_ids: Tensor, lengths: Tensor) -> Tensor:
    """The mask (B, T) of the positions of token ids (B, T) that lie within their text."""
    return torch.arange(token_ids.shape[1], device=token_ids.device) < lengths[:, None]


class Head(nn.Linear):
    """The last layer, in float32 where others are not, too: rounded logits would blur the differences of classes."""

    def forward(self, features: Tensor) -> Tensor:
        """Features (B, features) to logits (B, classes)."""
        with torch.autocast(features.device.type, enabled=False):
            return super().forward(features.float())


class BagOfWords(nn.Module):
    """A linear classifier of the sum of a text's embedded words, in no order, beside that of the network.

    After fastText (Joulin et al. 2017, arXiv:1607.01759), and the wide part of Cheng et al. (2016, arXiv:1606.07792).
    What single words tell of a class is learned from few texts. The sum is divided by the root of the length.
    """

    def __init__(self, embedding_size: int, classes: int) -> None:
        super().__init__()
        self.head = Head(embedding_size, classes, bias=False)

    def forward(self, sums: Tensor, lengths: Tensor) -> Tensor:
        """The sums (B, features) of the embedded words of texts with lengths (B,) to logits (B, classes)."""
        logits: Tensor = self.head(sums / lengths[:, None].sqrt())
        return logits


class WordDropout(nn.Module):
    """Replaces each word by <unk> with the probability, in training only (Bowman et al. 2016, arXiv:1511.06349)."""

    def __init__(self, probability: float) -> None:
        super().__init__()
        self.probability = probability

    def forward(self, token_ids: Tensor) -> Tensor:
        if not self.training or self.probability == 0:
            return token_ids
        is_dropped = torch.rand(token_ids.shape, device=token_ids.device) < self.probability
        return token_ids.masked_fill(is_dropped & (token_ids != PAD_ID), UNKNOWN_ID)


class FastDropout(nn.Module):
    """`nn.Dropout`, but on the CPU about four times as fast: one random 64-bit number decides about eight features.

    There the probability is rounded to a multiple of 1/256, and kept features are scaled by the rounded one.
    """

    def __init__(self, probability: float) -> None:
        super().__init__()
        self.probability = probability

    def forward(self, features: Tensor) -> Tensor:
        dropped_levels = min(round(self.probability * LEVELS), LEVELS - 1)
        if not self.training or dropped_levels == 0:
            return features
        if features.device.type != "cpu":
            return functional.dropout(features, self.probability)
        numbers = torch.empty(-(-features.numel() // 8), dtype=torch.int64).random_(-(2**63), None)
        kept = numbers.view(torch.uint8)[: features.numel()].view(features.shape) >= dropped_levels
        return features * (kept.to(features.dtype) * (LEVELS / (LEVELS - dropped_levels)))
