"""An embedding whose training touches only the rows of a batch's words, with the result of AdamW on the whole table.

A batch has some hundreds of tens of thousands of words. The gradient of all others is zero, yet AdamW moves them, by
weight decay and by what is left of their momentum. Here, a row is brought up to date when its word occurs again, by the
sum of all steps that it has missed: it has a closed form, since the rates of all steps are known in advance.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim.adamw import adamw

from preprocessing.vocabulary import PAD_ID

BETA2, EPSILON = 0.999, 1e-8  # PyTorch's defaults

Rates = Sequence[tuple[float, float]]  # the learning rate and beta1 of each step


def adamw_step(
    parameters: list[Tensor],
    momentum: list[Tensor],
    squares: list[Tensor],
    taken: list[Tensor],
    *,
    rate: float,
    beta1: float,
    weight_decay: float,
    grad_scale: Tensor | None = None,
    found_inf: Tensor | None = None,
) -> None:
    """Change parameters by their gradients, with PyTorch's kernel; `taken`: the number of steps of each so far."""
    adamw(
        parameters,
        [parameter.grad for parameter in parameters],  # type: ignore[misc]  # all have one
        momentum,
        squares,
        [],
        taken,
        fused=True,
        amsgrad=False,
        beta1=beta1,
        beta2=BETA2,
        lr=rate,
        weight_decay=weight_decay,
        eps=EPSILON,
        maximize=False,
        grad_scale=grad_scale,
        found_inf=found_inf,
    )


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

    log_decay: Tensor  # the logarithm of the product of the factors of weight decay so far
    log_fading: Tensor  # the logarithm of the product of beta1 / sqrt(beta2) so far
    ahead: Tensor  # how far a momentum of 1 and a square of 1 would carry a row in all later steps

    @classmethod
    def of(cls, rates: Rates, weight_decay: float) -> Self | None:
        """None where weight decay shrinks a row faster than its momentum fades: then the sums have no bound."""
        rate, beta1 = np.array(rates, np.float64).reshape(-1, 2).T
        decay, fading = 1 - rate * weight_decay, beta1 / BETA2**0.5
        if not (fading < decay).all():
            return None
        number = np.arange(1, len(rate) + 1)
        reach = rate * np.sqrt(1 - BETA2**number) / (1 - beta1**number)
        ahead = np.zeros(len(rate) + 1)
        for step in reversed(range(len(rate))):
            ahead[step] = fading[step] / decay[step] * (reach[step] + ahead[step + 1])
        sums = (np.concatenate([[0.0], np.cumsum(np.log(factors))]) for factors in (decay, fading))
        return cls(*map(torch.from_numpy, (*sums, ahead)))

    def catch_up(self, rows: Tensor, momentum: Tensor, square: Tensor, since: Tensor, now: int) -> None:
        """Bring rows and their moments (U, size) from the times `since` (U,) to `now`, in place.

        Exact but for rounding, and for the effect of `EPSILON`, which is taken to be that in the first missed step: it
        matters only to a row whose gradients were below 1e-6.
        """
        log_decay = self.log_decay[now] - self.log_decay[since]
        log_fading = self.log_fading[now] - self.log_fading[since]
        reach = self.ahead[since] - (log_fading - log_decay).exp() * self.ahead[now]
        epsilon = EPSILON * (1 - BETA2 ** (since + 1).double()).sqrt()
        square_factor = BETA2 ** (now - since).double()
        momentum_factor = log_fading.exp() * square_factor.sqrt()
        decay, reach, epsilon, momentum_factor, square_factor = (
            factors.to(rows.dtype)[:, None]
            for factors in (log_decay.exp(), reach, epsilon, momentum_factor, square_factor)
        )
        rows.addcdiv_(momentum * reach, square.sqrt().add_(epsilon), value=-1).mul_(decay)
        momentum.mul_(momentum_factor)
        square.mul_(square_factor)


class Rows:
    """The rows of an embedding on the CPU as AdamW trains them; from now on, the embedding looks its rows up here."""

    def __init__(self, embedding: RowEmbedding, rates: Rates, weight_decay: float, missed: MissedSteps) -> None:
        embedding.rows = self
        self._embedding = embedding
        self._weight = embedding.weight.detach()
        self._rates, self._weight_decay, self._missed = rates, weight_decay, missed
        self._taken = 0  # steps
        self._momentum, self._square = torch.zeros_like(self._weight), torch.zeros_like(self._weight)
        self._since = torch.zeros(len(self._weight), dtype=torch.int64)  # the time at which each row was last touched
        self._batch: tuple[Tensor, Tensor, Tensor] | None = None  # the batch's ids, and the moments of their rows
        self.batch_rows: Tensor | None = None  # the leaf that gets the gradient

    def look_up(self, token_ids: Tensor) -> Tensor:
        """Token ids (...) to features (..., size)."""
        with_padding = functional.pad(token_ids.flatten(), (1, 0), value=PAD_ID)  # so that it is the first row
        ids, places = with_padding.unique(return_inverse=True)  # type: ignore[no-untyped-call]
        rows, momentum, square = (table.index_select(0, ids) for table in (self._weight, self._momentum, self._square))
        self._missed.catch_up(rows, momentum, square, self._since[ids], self._taken)
        self._batch, self.batch_rows = (ids, momentum, square), rows.requires_grad_()
        return functional.embedding(places[1:].view(token_ids.shape), rows, padding_idx=0)

    @torch.no_grad()
    def step(self) -> None:
        """Take AdamW's step with the gradient of the batch's rows."""
        assert self._batch is not None
        assert self.batch_rows is not None
        assert self.batch_rows.grad is not None
        ids, momentum, square = self._batch
        rate, beta1 = self._rates[self._taken]
        taken = torch.tensor(float(self._taken))
        adamw_step(
            [self.batch_rows], [momentum], [square], [taken], rate=rate, beta1=beta1, weight_decay=self._weight_decay
        )
        self._taken += 1
        for table, rows in ((self._weight, self.batch_rows), (self._momentum, momentum), (self._square, square)):
            table[ids] = rows
        self._since[ids] = self._taken
        self._batch = self.batch_rows = None

    @torch.no_grad()
    def settle(self) -> None:
        """Bring all rows up to date, before the embedding is used or stored."""
        self._missed.catch_up(self._weight, self._momentum, self._square, self._since, self._taken)
        self._since.fill_(self._taken)

    def release(self) -> None:
        """Make the embedding an ordinary one again."""
        self._embedding.rows = None

    def state_dict(self) -> dict[str, Tensor]:
        return {"momentum": self._momentum, "square": self._square}

    def load_state_dict(self, state: dict[str, Tensor], *, taken: int) -> None:
        self._momentum.copy_(state["momentum"])
        self._square.copy_(state["square"])
        self._since.fill_(taken)
        self._taken = taken
