"""AdamW with a schedule of its learning rate, computed by PyTorch's own kernel.

It takes the same steps as `torch.optim.AdamW` under `OneCycleLR` or `LambdaLR`, bit for bit. Making one of those
imports TorchDynamo, for a compilation that is not used: seconds and more than 100 MB in every process.
"""

import math
from collections.abc import Callable, Iterable
from typing import Any, Literal

import torch
from torch import Tensor

from models.networks.row_embedding import MissedSteps, RowEmbedding, Rows, adamw_step

Schedule = Literal["one_cycle", "linear"]
WARM_UP_SHARES: dict[Schedule, float] = {"one_cycle": 0.3, "linear": 0.1}  # of all steps, before the rate falls

BETA1 = 0.9  # PyTorch's default
BETA1_RANGE = 0.95, 0.85  # of one_cycle, at the ends and at the peak
START, END = 25, 25e4  # the peak is so many times the first and the last rate of one_cycle


def one_cycle(peak: float, step: int, steps: int) -> tuple[float, float]:
    """The learning rate and beta1 of a step: cosine annealing up to the peak and down, beta1 inversely.

    After Smith & Topin 2018, arXiv:1708.07120.
    """
    top, last = WARM_UP_SHARES["one_cycle"] * steps - 1, steps - 1
    if step <= top:
        way = step / top
        return _anneal(peak / START, peak, way), _anneal(*BETA1_RANGE, way)
    way = (step - top) / (last - top)
    return _anneal(peak, peak / START / (END / START), way), _anneal(*BETA1_RANGE[::-1], way)


def linear(peak: float, step: int, steps: int) -> tuple[float, float]:
    """The learning rate and beta1 of a step: a linear rise to the peak and a linear fall, with a constant beta1.

    As is usual for fine-tuning: Devlin et al. 2019, arXiv:1810.04805; Mosbach et al. 2021, arXiv:2006.04884.
    """
    rising = max(1, round(steps * WARM_UP_SHARES["linear"]))
    return peak * min((step + 1) / rising, (steps - step) / (steps - rising + 1)), BETA1


RATES: dict[Schedule, Callable[[float, int, int], tuple[float, float]]] = {"one_cycle": one_cycle, "linear": linear}


class ScheduledAdamW:
    """AdamW (Loshchilov & Hutter 2019, arXiv:1711.05101) over a fixed number of steps."""

    _step_supports_amp_scaling = True  # `GradScaler` sets the next two for a step, instead of waiting for the GPU
    grad_scale: Tensor | None = None
    found_inf: Tensor | None = None

    def __init__(
        self,
        groups: Iterable[dict[str, Any]],
        *,
        weight_decay: float,
        schedule: Schedule,
        steps: int,
        embeddings: Iterable[RowEmbedding] = (),
    ) -> None:
        """`groups`: each with its `params` and its learning rate `lr` at the peak of the schedule.

        A group may have a `weight_decay` of its own. `step` and `advance` are called once per batch. Of the
        `embeddings`, whose weights are among the `params`, each step touches only the rows that it needs: call `settle`
        before they are used otherwise, and `release` in the end.
        """
        self.param_groups = list(groups)
        self.weight_decay = weight_decay
        self.rates = RATES[schedule]
        self.steps = steps
        self.tables = [table for embedding in embeddings if (table := self._rows_of(embedding))]
        self.batch = 0  # how many the schedule has behind it; a step that `GradScaler` skips is one of them
        self._state: dict[int, dict[str, Tensor]] = {}  # by the parameter's place among all

    @property
    def parameters(self) -> list[Tensor]:
        return [parameter for group in self.param_groups for parameter in group["params"]]

    @property
    def with_gradient(self) -> list[Tensor]:
        """The parameters, and rows of parameters, that have a gradient."""
        rows = [table.batch_rows for table in self.tables if table.batch_rows is not None]
        return [tensor for tensor in (*self.parameters, *rows) if tensor.grad is not None]

    def zero_grad(self) -> None:
        for parameter in self.parameters:
            parameter.grad = None

    @torch.no_grad()
    def step(self) -> None:
        """Change all parameters that have a gradient; the others keep their state."""
        place = 0
        for group in self.param_groups:
            rate, beta1 = self.rates(group["lr"], self.batch, self.steps)
            places = range(place, place + len(group["params"]))
            place = places.stop
            moved = [pair for pair in zip(places, group["params"], strict=True) if pair[1].grad is not None]
            if not moved:
                continue
            states = [self._state_of(number, parameter) for number, parameter in moved]
            adamw_step(
                [parameter for _, parameter in moved],
                *([state[name] for state in states] for name in ("exp_avg", "exp_avg_sq", "step")),
                rate=rate,
                beta1=beta1,
                weight_decay=group.get("weight_decay", self.weight_decay),
                grad_scale=self.grad_scale,
                found_inf=self.found_inf,
            )
        for table in self.tables:
            table.step()

    def advance(self) -> None:
        """Move the schedule on to the next batch."""
        self.batch += 1

    def settle(self) -> None:
        """Bring all parameters up to date, before they are used or stored."""
        for table in self.tables:
            table.settle()

    def release(self) -> None:
        """Make all embeddings ordinary ones again."""
        for table in self.tables:
            table.release()

    def state_dict(self) -> dict[str, Any]:
        """The state after `settle`."""
        tables = [table.state_dict() for table in self.tables]
        return {"state": self._state, "tables": tables, "batch": self.batch}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.batch = state["batch"]
        devices = [parameter.device for parameter in self.parameters]
        self._state = {
            place: {name: tensor.to(devices[place]) for name, tensor in tensors.items()}
            for place, tensors in state["state"].items()
        }
        for table, moments in zip(self.tables, state["tables"], strict=True):
            table.load_state_dict(moments, taken=self.batch)

    def _rows_of(self, embedding: RowEmbedding) -> Rows | None:
        """The rows of an embedding; None where it must be trained as a whole."""
        (group,) = (group for group in self.param_groups if any(each is embedding.weight for each in group["params"]))
        rates = [self.rates(group["lr"], step, self.steps) for step in range(self.steps)]
        weight_decay = group.get("weight_decay", self.weight_decay)
        missed = MissedSteps.of(rates, weight_decay)
        return Rows(embedding, rates, weight_decay, missed) if missed else None

    def _state_of(self, place: int, parameter: Tensor) -> dict[str, Tensor]:
        if place not in self._state:
            self._state[place] = {
                "step": torch.zeros((), dtype=torch.float32, device=parameter.device),
                "exp_avg": torch.zeros_like(parameter, memory_format=torch.preserve_format),
                "exp_avg_sq": torch.zeros_like(parameter, memory_format=torch.preserve_format),
            }
        return self._state[place]


def _anneal(start: float, end: float, way: float) -> float:
    return end + (start - end) / 2.0 * (math.cos(math.pi * way) + 1)
