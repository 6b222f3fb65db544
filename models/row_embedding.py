"""An embedding whose training touches only the rows of a batch's words, with the result of AdamW on the whole table.

A batch has some hundreds of tens of thousands of words. The gradient of all others is zero, yet AdamW moves them, by
weight decay and by what is left of their momentum. Here, a row is brought up to date when its word occurs again, by the
sum of all steps that it has missed: it has a closed form, since the rates of all steps are known in advance.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim.adamw import adamw

from preprocessing.vocabulary import PAD_ID

BETA2, EPSILON = 0.999, 1e-8  # PyTorch's defaults
TINY = 1e-30  # keeps 0 / 0 of a row without any gradient at 0


class RowEmbedding(nn.Embedding):
    """`nn.Embedding`, whose training may be left to `Rows`."""

    rows: "Rows | None" = None

    def forward(self, token_ids: Tensor) -> Tensor:
        if self.rows is None or not self.training:
            return super().forward(token_ids)
        return self.rows.look_up(token_ids)


@dataclass(frozen=True)
class MissedSteps:
    """The effect of steps with a zero gradient: entry n of each tensor is for the time after n steps, in float64."""

    decay: Tensor  # the product of the factors of weight decay so far
    log_ratio: Tensor  # the logarithm of the product of beta1 / sqrt(beta2) so far
    ahead: Tensor  # the sum over all later steps, of how far a momentum of 1 would carry a row, before decay

    @classmethod
    def of(cls, rates: Sequence[tuple[float, float]], weight_decay: float) -> "MissedSteps":
        """`rates`: the learning rate and beta1 of each step."""
        rate, beta1 = np.array(rates, np.float64).reshape(-1, 2).T
        number = np.arange(1, len(rate) + 1)
        ratio = beta1 / BETA2**0.5
        ahead = np.zeros(len(rate) + 1)
        with np.errstate(all="ignore"):  # rates with which the loss becomes NaN
            decay = np.concatenate([[1.0], np.cumprod(1 - rate * weight_decay)])
            reach = rate / (1 - beta1**number) * np.sqrt(1 - BETA2**number) / decay[1:]
            for step in range(len(rate) - 1, -1, -1):
                ahead[step] = ratio[step] * (reach[step] + ahead[step + 1])
        return cls(*map(torch.from_numpy, (decay, np.concatenate([[0.0], np.cumsum(np.log(ratio))]), ahead)))

    def catch_up(self, rows: Tensor, momentum: Tensor, square: Tensor, since: Tensor, now: int) -> None:
        """Bring rows and their moments (U, size) from the times `since` (U,) to `now`, in place.

        Exact but for `EPSILON`, which is left out of the denominator.
        """
        ratio = (self.log_ratio[now] - self.log_ratio[since]).exp()
        reach = self.decay[now] * (self.ahead[since] - ratio * self.ahead[now])
        fading = BETA2 ** (now - since).double()
        column = [values.to(rows.dtype)[:, None] for values in (self.decay[now] / self.decay[since], reach, fading)]
        rows.mul_(column[0]).sub_(momentum.mul(column[1]).div_(square.sqrt().add_(TINY)))
        momentum.mul_((ratio * fading.sqrt()).to(rows.dtype)[:, None])
        square.mul_(column[2])


class Rows:
    """The rows of an embedding on the CPU as AdamW trains them."""

    def __init__(self, embedding: RowEmbedding, rates: Sequence[tuple[float, float]], weight_decay: float) -> None:
        """`rates`: the learning rate and beta1 of each step. From now on, `embedding` looks its rows up here."""
        embedding.rows = self
        self._weight = embedding.weight.detach()
        self._rates, self._weight_decay = rates, weight_decay
        self._missed = MissedSteps.of(rates, weight_decay)
        self._taken = 0  # steps
        self._momentum, self._square = torch.zeros_like(self._weight), torch.zeros_like(self._weight)
        self._since = torch.zeros(len(self._weight), dtype=torch.int64)  # the time at which each row was last touched
        self._places = torch.empty(len(self._weight), dtype=torch.int64)
        self._open: tuple[Tensor, Tensor, Tensor] | None = None  # the batch's ids, and the moments of their rows
        self.batch: Tensor | None = None  # the batch's rows, which get the gradient

    def look_up(self, token_ids: Tensor) -> Tensor:
        """Token ids (...) to features (..., size)."""
        is_present = torch.zeros(len(self._weight), dtype=torch.bool)
        is_present[token_ids] = True
        is_present[PAD_ID] = True  # so that it is the first row
        ids = is_present.nonzero()[:, 0]
        self._places[ids] = torch.arange(len(ids))
        rows, momentum, square = (table[ids] for table in (self._weight, self._momentum, self._square))
        self._missed.catch_up(rows, momentum, square, self._since[ids], self._taken)
        self._open, self.batch = (ids, momentum, square), rows.requires_grad_()
        return functional.embedding(self._places[token_ids], self.batch, padding_idx=0)

    @torch.no_grad()
    def step(self) -> None:
        """Take AdamW's step with the gradient of the batch's rows."""
        assert self._open is not None
        assert self.batch is not None
        assert self.batch.grad is not None
        ids, momentum, square = self._open
        rate, beta1 = self._rates[self._taken]
        adamw(
            [self.batch],
            [self.batch.grad],
            [momentum],
            [square],
            [],
            [torch.tensor(float(self._taken))],
            fused=True,
            amsgrad=False,
            beta1=beta1,
            beta2=BETA2,
            lr=rate,
            weight_decay=self._weight_decay,
            eps=EPSILON,
            maximize=False,
        )
        self._taken += 1
        for table, rows in ((self._weight, self.batch), (self._momentum, momentum), (self._square, square)):
            table[ids] = rows
        self._since[ids] = self._taken
        self._open = self.batch = None

    @torch.no_grad()
    def settle(self) -> None:
        """Bring all rows up to date, before the embedding is used or stored."""
        self._missed.catch_up(self._weight, self._momentum, self._square, self._since, self._taken)
        self._since.fill_(self._taken)

    def state_dict(self) -> dict[str, Tensor]:
        return {"momentum": self._momentum, "square": self._square}

    def load_state_dict(self, state: dict[str, Tensor], *, taken: int) -> None:
        self._momentum.copy_(state["momentum"])
        self._square.copy_(state["square"])
        self._since.fill_(taken)
        self._taken = taken
