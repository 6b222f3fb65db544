"""How words enter the networks: an embedding with a start of the right scale, or with pretrained vectors."""

import torch
from torch import nn

from preprocessing.vocabulary import PAD_ID
from preprocessing.word_vectors import WordVectors

# The standard deviation of new word embeddings; at the usual 1.0 hardly trained words drown the others. On R8
# (learning rate 0.01, 10 epochs, one run each) validation macro-F1 was 0.915 with 0.3 and 0.936 with 0.1.
EMBEDDING_SCALE = 0.1


def word_embedding(
    words: int,
    size: int,
    *,
    vectors: WordVectors | None = None,
    vector_scale: float = EMBEDDING_SCALE,
    tune: bool = True,
) -> nn.Embedding:
    """Token ids (...) to features (..., size), drawn anew or from pretrained `vectors`; padding is zero and stays it.

    Vectors are scaled as a whole to the standard deviation `vector_scale`, since files differ in it; a word without
    one is drawn at that scale, too. `vectors` may know more words than the network, whose ids are the lower ones.
    Without `tune` the pretrained embedding is frozen, the words without a vector included. Raises `ValueError` for
    vectors of another size.
    """
    embedding = nn.Embedding(words, size, padding_idx=PAD_ID)
    with torch.no_grad():
        embedding.weight *= EMBEDDING_SCALE if vectors is None else vector_scale
        if vectors is not None:
            if vectors.size != size:
                raise ValueError(f"`embedding_size` must be that of the vectors, {vectors.size}, got {size}.")
            known = torch.from_numpy(vectors.known[:words])
            pretrained = torch.tensor(vectors.vectors[:words])[known]
            embedding.weight[known] = pretrained * (vector_scale / pretrained.square().mean().sqrt())
            embedding.weight.requires_grad_(tune)
    return embedding
