"""How a network is trained."""

import math
from dataclasses import dataclass
from typing import get_args

from models.training.optimizer import WARM_UP_SHARES, Schedule
from models.training.precision import Precision
from models.training.scores import METRICS, Metric


@dataclass(frozen=True)
class TrainingConfig:
    epochs: int = 7
    learning_rate: float = 1e-2  # the peak of the schedule
    batch_size: int = 32  # texts
    batch_tokens: int | None = None  # tokens per batch, on average (`texts_per_batch`); None: `batch_size` texts
    label_smoothing: float = 0.1  # share of the target that is spread over all classes (arXiv:1512.00567)
    weight_decay: float = 0.01  # decoupled (AdamW), per step and unit of learning rate
    gradient_norm: float = 1.0  # larger gradients are scaled down to this norm
    patience: int = 2  # epochs without a better score before training stops
    metric: Metric = "macro_f1"  # on validation: decides which epoch is the best
    seed: int = 0
    schedule: Schedule = "one_cycle"
    precision: Precision = "auto"  # of matrix products in training
    budget_texts: int | None = None  # read in all epochs together, at most; None: each epoch reads every text

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size", "patience"):
            if getattr(self, name) < 1:
                raise ValueError(f"`{name} >= 1` must hold, got {getattr(self, name)}.")
        for name in ("batch_tokens", "budget_texts"):
            if getattr(self, name) is not None and getattr(self, name) < 1:
                raise ValueError(f"`{name} >= 1` must hold, got {getattr(self, name)}.")
        if self.budget_texts is not None and self.budget_texts < self.epochs:
            raise ValueError(f"`budget_texts >= epochs` must hold, got {self.budget_texts} for {self.epochs} epochs.")
        for name in ("learning_rate", "gradient_norm"):
            if not getattr(self, name) > 0:
                raise ValueError(f"`{name} > 0` must hold, got {getattr(self, name)}.")
        if not 0 <= self.label_smoothing < 1:
            raise ValueError(f"`0 <= label_smoothing < 1` must hold, got {self.label_smoothing}.")
        if self.metric not in METRICS:
            raise ValueError(f"`metric` must be one of {', '.join(METRICS)}, got {self.metric!r}.")
        if self.schedule not in WARM_UP_SHARES:
            raise ValueError(f"`schedule` must be one of {', '.join(WARM_UP_SHARES)}, got {self.schedule!r}.")
        if self.precision not in get_args(Precision):
            raise ValueError(f"`precision` must be one of {', '.join(get_args(Precision))}, got {self.precision!r}.")

    @property
    def warm_up_share(self) -> float:
        return WARM_UP_SHARES[self.schedule]

    @property
    def epoch_texts(self) -> int | None:
        """The texts that an epoch reads at most; None: every text."""
        return None if self.budget_texts is None else self.budget_texts // self.epochs

    @property
    def first_settled_epoch(self) -> int:
        """The first epoch after which the rate is at most half its peak; only from here on an epoch can be the best."""
        half = self.epochs * (1 + self.warm_up_share) / 2
        return math.ceil(half - 1e-9) - 1  # robust to rounding errors
