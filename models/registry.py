"""The models by name. A new one needs a line here, a file of its own, and its ranges in `study.search_space`.

`find_learner` imports a model's file, so that `--help` lists the names without waiting for PyTorch.
"""

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

    from models.learners.learner import Learner, Settings
    from preprocessing.prepared import PreparedTexts

MODELS = {
    "lstm": "models.lstm.LSTMLearner",
    "cnn": "models.cnn.CNNLearner",
    "linear": "models.linear.LinearLearner",
    "bert": "models.bert_learner.BERTLearner",
}
DEFAULT_MODEL = "lstm"


def find_learner(name: str) -> "type[Learner]":
    """The learner of the model with this name. Raises `LookupError` when there is none."""
    module, _, learner = MODELS[name].rpartition(".")
    return getattr(import_module(module), learner)  # type: ignore[no-any-return]


def make_learner(settings: "Settings", prepared: "PreparedTexts", cache_dir: Path, device: "torch.device") -> "Learner":
    """The learner of the model that is configured by `settings.model`, for these texts."""
    return find_learner(name_of(settings.model))(settings, prepared, cache_dir, device)


def name_of(config: Any) -> str:
    """The name of the model that is configured by an object of this type."""
    return next(name for name in MODELS if isinstance(config, find_learner(name).config_type))
