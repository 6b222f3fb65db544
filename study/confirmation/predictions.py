"""The test predictions of the compared systems, and how they are stored in the database."""

import base64
import zlib
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

ENSEMBLE = "ensemble"  # the name of the winner's trainings as one system
REFITTED_BASELINE = "refitted_baseline"  # the name of the best baseline on validation, on all texts but the test's
NO_BASELINES = ("winner", ENSEMBLE, "default", REFITTED_BASELINE)
CONFIDENCE_STEPS = 10_000  # probabilities are stored as multiples of their inverse

Numbers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Probabilities:
    """The probabilities of a system's predicted labels on the test texts, calibrated on validation texts."""

    temperatures: tuple[float, ...]  # by which the logits of each training are divided
    log_losses: tuple[float, ...]  # the mean negative log-likelihood of each training
    confidences: npt.NDArray[np.float64]  # (repeats, texts), the probability of the label that is predicted


@dataclass(frozen=True)
class System:
    """A tested classifier: one row of predictions per repeat, shape (repeats, texts)."""

    name: str
    title: str
    parameters: dict[str, Any]  # for a baseline, a list of the values on each repeat
    validation: tuple[float, ...]  # the score on each repeat's own validation texts; of an ensemble none
    predictions: Numbers
    weights: int = 0  # how many the first repeat's model has
    probabilities: Probabilities | None = None  # None for a baseline

    def to_dict(self) -> dict[str, Any]:
        """The system as it is stored in the database."""
        probabilities = None
        if self.probabilities:
            steps = np.rint(self.probabilities.confidences * CONFIDENCE_STEPS).astype(np.int64)
            probabilities = {**asdict(self.probabilities), "confidences": _pack(steps)}
        return {**vars(self), "predictions": _pack(self.predictions), "probabilities": probabilities}

    @classmethod
    def from_dict(cls, stored: dict[str, Any]) -> "System":
        probabilities = stored["probabilities"]
        if probabilities:
            confidences = _unpack(probabilities["confidences"]) / CONFIDENCE_STEPS
            temperatures, log_losses = (tuple(probabilities[name]) for name in ("temperatures", "log_losses"))
            probabilities = Probabilities(temperatures, log_losses, confidences)
        arrays = {"validation": tuple(stored["validation"]), "predictions": _unpack(stored["predictions"])}
        return cls(**{**stored, **arrays, "probabilities": probabilities})


@dataclass(frozen=True)
class HoldoutResults:
    labels: Numbers  # of the test texts
    classes: tuple[str, ...]
    systems: tuple[System, ...]  # the winner, its ensemble, the default configuration if it is another, baselines

    @property
    def ensemble(self) -> System | None:
        """The winner's trainings, or its refits, as one system; None for a single training without a refit."""
        return next((system for system in self.systems if system.name == ENSEMBLE), None)

    @property
    def best_baseline(self) -> System:
        """The baseline that is best on validation texts."""
        baselines = [system for system in self.systems if system.name not in NO_BASELINES]
        return max(baselines, key=lambda system: float(np.mean(system.validation)))

    def with_refits(self, average: System, baseline: System) -> "HoldoutResults":
        """The same with an average of refits in place of that of validated trainings, and a baseline on their texts."""
        winner, *others = (system for system in self.systems if system.name != ENSEMBLE)
        return replace(self, systems=(winner, average, *others, baseline))

    def to_dict(self) -> dict[str, Any]:
        systems = [system.to_dict() for system in self.systems]
        return {"classes": self.classes, "labels": _pack(self.labels[None]), "systems": systems}

    @classmethod
    def from_dict(cls, stored: dict[str, Any]) -> "HoldoutResults":
        systems = tuple(map(System.from_dict, stored["systems"]))
        return cls(_unpack(stored["labels"])[0], tuple(stored["classes"]), systems)


def _pack(numbers: Numbers) -> dict[str, Any]:
    """Integers (rows, texts) as text, since the database holds no arrays."""
    packed = base64.b85encode(zlib.compress(numbers.astype("<i4").tobytes(), 9)).decode()
    return {"rows": len(numbers), "numbers": packed}


def _unpack(packed: dict[str, Any]) -> Numbers:
    content = zlib.decompress(base64.b85decode(packed["numbers"]))
    return np.frombuffer(content, "<i4").reshape(packed["rows"], -1).astype(np.int64)
