"""Windows of texts: a long text is read in several parts of about the same length, side by side.

A recurrent network then takes as many steps as a part has words, over more rows; what it has seen in the parts is put
together again, text by text.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from preprocessing.vocabulary import PAD_ID


@dataclass(frozen=True)
class Windows:
    """The words of B texts in N windows, in which each word stands once."""

    token_ids: Tensor  # (T, N), `PAD_ID` behind a window's end
    lengths: Tensor  # (N,), at least 1
    places: Tensor | None  # (N,): text * `most` + the window's number within it; None: each text is one window
    most: int  # windows of a text

    def of_texts(self, features: Tensor, *, fill: float) -> Tensor:
        """Features (N, F) of windows to those of texts (B, windows, F), with `fill` where a text has fewer windows."""
        if self.places is None:
            return features[:, None]
        texts = int(self.places[-1]) // self.most + 1
        filled = features.new_full((texts * self.most, features.shape[1]), fill)
        return filled.index_copy(0, self.places, features).view(texts, self.most, -1)


def cut(token_ids: Tensor, lengths: Tensor, longest: int | None) -> Windows:
    """Token ids (B, T) of texts with lengths (B,) in as few windows of at most `longest` words as possible.

    How a text is cut depends on that text alone; None: it is not.
    """
    if longest is None or token_ids.shape[1] <= longest:
        return Windows(token_ids.t(), lengths, None, 1)
    counts = -(-lengths // longest)  # (B,) windows
    sizes = -(-lengths // counts)  # (B,) words in a window, except in the last one of a text
    most = int(counts.max())
    starts = torch.arange(most, device=lengths.device) * sizes[:, None]  # (B, windows)
    within = torch.minimum(lengths[:, None] - starts, sizes[:, None]).flatten()
    places = torch.nonzero(within > 0)[:, 0]
    of_windows = within[places]
    time = torch.arange(int(sizes.max()), device=lengths.device)[:, None]
    positions = (starts.flatten()[places] + time).clamp(max=token_ids.shape[1] - 1)  # (T, N)
    words = token_ids[places // most, positions].masked_fill(time >= of_windows, PAD_ID)
    return Windows(words, of_windows, places, most)
