"""The configuration of a study, stored with it, so that all other commands need only the storage and the name."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from data.source import DataSource, Split
from models.learners.learner import Settings
from models.registry import find_learner, name_of
from models.training.config import TrainingConfig
from preprocessing.batches import TextLimits
from preprocessing.pretrained import EncoderVersion
from preprocessing.word_vectors import VectorSource
from study.choices import DeviceName, PrunerName, SamplerName, SpaceName, stored_pruner
from study.search_space import Space, search_space

# The version of what a trial's value means and of the search space. Increase it when they change: older studies are
# neither continued nor reported on, since their values are not comparable.
RULES = 2

# Repeats from this number on train on all texts but the test's, with different seeds.
FIRST_REFIT = 2_000


@dataclass(frozen=True)
class StudyConfig:
    source: DataSource
    cache_dir: str  # absolute
    base: Settings  # of every trial, except for searched parameters
    split_seed: int = 0
    space: SpaceName = "default"
    sampler: SamplerName = "tpe"
    pruner: PrunerName = "percentile"
    seed: int = 0  # of the sampler; every training uses `base.training.seed`
    device: DeviceName = "auto"
    heartbeat_seconds: int = 30  # between the heartbeats of a worker, for other machines
    artifact_dir: str | None = None  # absolute; None (studies of older versions): trials leave no files

    @property
    def search_space(self) -> Space:
        return search_space(self.space, self.base)

    def split(self, repeat: int | None = None) -> Split:
        """The split of the search, or of a repeat; see `FIRST_REFIT`."""
        if repeat is not None and repeat >= FIRST_REFIT:
            return Split(self.source, self.split_seed, whole=True)
        return Split(self.source, self.split_seed, repeat)

    @property
    def model(self) -> str:
        return name_of(self.base.model)

    @property
    def metric(self) -> str:
        return self.base.training.metric

    def to_dict(self) -> dict[str, Any]:
        return {**asdict(self), "model": self.model, "rules": RULES}

    @classmethod
    def from_dict(cls, stored: dict[str, Any]) -> "StudyConfig":
        """The inverse of `to_dict`. Raises `ValueError`, `LookupError` or `TypeError` for another version's content."""
        stored = dict(stored)
        if (rules := stored.pop("rules", 1)) != RULES:
            raise ValueError(f"its rules are version {rules}, now they are {RULES}")
        base, model = stored["base"], stored.pop("model")
        settings = Settings(
            find_learner(model).config_type(**base["model"]),
            TrainingConfig(**base["training"]),
            TextLimits(**base["limits"]),
            VectorSource(**base["vectors"]) if base.get("vectors") else None,
            EncoderVersion(**base["encoder"]) if base.get("encoder") else None,
        )
        pruner = {"pruner": stored_pruner(stored["pruner"])}
        return cls(**{**stored, "source": DataSource(**stored["source"]), "base": settings, **pruner})


def with_training(configuration: StudyConfig, changes: Mapping[str, Any]) -> StudyConfig:
    """The configuration with these fields of `TrainingConfig` changed."""
    base = configuration.base
    return replace(configuration, base=replace(base, training=replace(base.training, **changes)))
