"""The models of a study: the settings that each begins with, and the options that mean something to it."""

from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, Literal

from data.files import user_path
from models.bert import BERTConfig
from models.cnn import CNNConfig
from models.learner import Settings
from models.linear import LinearConfig
from models.lstm import LSTMConfig
from models.networks import name_of
from models.training import TrainingConfig
from preprocessing.batches import TextLimits
from preprocessing.word_vectors import find_copy, find_vectors
from study.errors import StudyError

ModelName = Literal["lstm", "cnn", "linear", "bert"]
DEFAULT_MODEL: ModelName = "lstm"
WHOLE_TEXTS = 1_000_000  # tokens: none is cut off
DEFAULTS: dict[str, Settings] = {  # by variant
    "lstm": Settings(LSTMConfig(), TrainingConfig(), TextLimits()),
    "cnn": Settings(CNNConfig(), TrainingConfig(6, 5e-3), TextLimits()),
    "linear": Settings(LinearConfig(), TrainingConfig(epochs=1), TextLimits(WHOLE_TEXTS, 1_000_000, 1)),
    "bert-frozen": Settings(BERTConfig("frozen"), TrainingConfig(20, 1e-2, patience=5), TextLimits(128)),
    "bert-full": Settings(BERTConfig("full"), TrainingConfig(3, 2e-4, 16, schedule="linear"), TextLimits(128)),
    "bert-gradual": Settings(
        BERTConfig("gradual"), TrainingConfig(4, 3e-3, 16, patience=4, schedule="linear"), TextLimits(128)
    ),
    "bert-lora": Settings(BERTConfig("lora"), TrainingConfig(4, 2e-3, 16, schedule="linear"), TextLimits(128)),
}
NETWORKS = ("lstm", "cnn", "bert")
WORD_MODELS = ("lstm", "cnn", "linear")
MEANINGFUL_TO = {  # where an option means something to some models only
    "epochs": NETWORKS,
    "patience": NETWORKS,
    "vocabulary_size": WORD_MODELS,
    "min_frequency": WORD_MODELS,
    "vectors": ("lstm", "cnn"),
    "classifier": ("linear",),
    "strategy": ("bert",),
    "bert_model": ("bert",),
}
PARTS = ("model", "training", "limits")  # of settings, whose fields options set
FIELDS = {  # of settings, by the option that sets each
    "bert_model": "pretrained",
    **{name: name for name in ("strategy", "classifier", "max_training_texts", "metric", "seed", "epochs", "patience")},
    **{name: name for name in ("max_tokens", "vocabulary_size", "min_frequency")},
}


def choose_settings(model: ModelName, options: Mapping[str, Any]) -> Settings:
    """The model's defaults, changed by the options that are not None.

    Raises `StudyError` for an option that means nothing to the model: it would silently do nothing.
    """
    given = {name: value for name, value in options.items() if value is not None}
    for name in given:
        if model not in MEANINGFUL_TO.get(name, (model,)):
            raise StudyError(f"--{name.replace('_', '-')} means nothing to --model {model}; leave it out.")
    if "bert_model" in given and (folder := user_path(given["bert_model"])).is_dir():
        given["bert_model"] = str(folder.resolve())  # workers may be started elsewhere
    values = {FIELDS[name]: value for name, value in given.items() if name != "vectors"}
    base = DEFAULTS[f"bert-{given.get('strategy', 'frozen')}" if model == "bert" else model]
    if "vectors" in given:
        vectors = find_vectors(given["vectors"])
        base, values = replace(base, vectors=vectors), {**values, "embedding_size": vectors.size}
    parts = {name: _changed(getattr(base, name), values) for name in PARTS}
    return replace(base, **parts)


def copies_of(settings: Settings, *, vectors: Path | None, bert_model: Path | None) -> Settings:
    """The settings with this machine's copies of vectors and of an encoder, where they are named.

    Raises `StudyError` for a copy of what the study does not have, `VectorsError` for other vectors; another encoder is
    refused when it is looked for.
    """
    if vectors:
        if not settings.vectors:
            raise StudyError("The study begins with no vectors; leave --vectors out.")
        settings = replace(settings, vectors=find_copy(settings.vectors, vectors))
    if bert_model:
        if not isinstance(settings.model, BERTConfig):
            raise StudyError("The study is not about BERT; leave --bert-model out.")
        folder = user_path(str(bert_model))
        if not folder.is_dir():
            raise StudyError(f"There is no folder {folder}; name this machine's copy of the encoder with --bert-model.")
        settings = replace(settings, model=replace(settings.model, pretrained=str(folder.resolve())))
    return settings


def options_of(settings: Settings) -> dict[str, Any]:
    """The options that make these settings, by their names in `choose_settings`: the inverse of it.

    But for the `unsettable_fields`, which no option sets.
    """
    options: dict[str, Any] = {"model": name_of(settings.model)}
    if isinstance(settings.model, BERTConfig):
        options["strategy"] = settings.model.strategy
    if settings.vectors:
        options["vectors"] = settings.vectors.path or settings.vectors.name
    differing = _differing(settings)
    return options | {option: differing[field][0] for option, field in FIELDS.items() if field in differing}


def unsettable_fields(settings: Settings) -> dict[str, tuple[Any, Any]]:
    """Values, and today's defaults, of fields that no option sets: such settings are of another version's making."""
    return {field: both for field, both in _differing(settings).items() if field not in FIELDS.values()}


def _differing(settings: Settings) -> dict[str, tuple[Any, Any]]:
    default = DEFAULTS[variant_of(settings)]
    if settings.vectors:
        default = replace(default, model=_changed(default.model, {"embedding_size": settings.vectors.size}))
    parts = [(getattr(settings, part), getattr(default, part)) for part in PARTS]
    both = {
        field.name: (getattr(own, field.name), getattr(of, field.name)) for own, of in parts for field in fields(own)
    }
    return {field: (value, usual) for field, (value, usual) in both.items() if value != usual}


def variant_of(settings: Settings) -> str:
    """The model, and its strategy where it has one."""
    name = name_of(settings.model)
    return f"{name}-{settings.model.strategy}" if isinstance(settings.model, BERTConfig) else name


def default_name(data: str, settings: Settings) -> str:
    """The name of a study, which tells it from others of the same data."""
    return "-".join([data, variant_of(settings), *([settings.vectors.name] if settings.vectors else [])])


def _changed(part: Any, values: Mapping[str, Any]) -> Any:
    return replace(part, **{field.name: values[field.name] for field in fields(part) if field.name in values})
