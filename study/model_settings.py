"""The default settings of each model, and the options that apply to it."""

from collections.abc import Collection, Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from data.files import user_path
from models.learners.learner import Settings
from models.registry import MODELS, find_learner, name_of
from preprocessing.word_vectors import find_copy, find_vectors
from study.adaptation import PARTS, adapted, with_fields
from study.errors import StudyError

DEFAULTS = {  # by variant, as bert-frozen
    f"{name}-{variant}" if variant else name: settings
    for name in MODELS
    for variant, settings in find_learner(name).defaults.items()
}
FIELDS = {  # the field that each option sets
    "bert_model": "pretrained",
    **{name: name for name in ("strategy", "classifier", "max_training_texts", "metric", "seed", "epochs", "patience")},
    **{name: name for name in ("budget_texts", "precision")},
    **{name: name for name in ("max_tokens", "truncate", "vocabulary_size", "min_frequency")},
}
FEW_TEXTS, MANY_TEXTS = 5_000, 35_000  # of training; between them, models have their own number of epochs
MOST_EPOCHS = 10  # times as many, with very few texts
VECTOR_SIZE = "embedding_size"  # the field that --vectors sets


def choose_settings(model: str, options: Mapping[str, Any]) -> Settings:
    """The model's defaults, changed by the options that are not None.

    Raises `StudyError` for an option that the model does not use: it would silently do nothing.
    """
    learner = find_learner(model)
    given = {name: value for name, value in options.items() if value is not None}
    variant = given.get(learner.variant_field or "", next(iter(learner.defaults)))
    base = learner.defaults[variant]
    meaningful = {field.name for part in PARTS for field in fields(getattr(base, part))} - learner.ignored_fields
    for name in given:
        if name != "vectors" and name not in FIELDS:
            raise StudyError(f"Settings have no option {name!r}, only {', '.join(sorted([*FIELDS, 'vectors']))}.")
        if FIELDS.get(name, VECTOR_SIZE) not in meaningful:
            raise StudyError(f"--{name.replace('_', '-')} means nothing to --model {model}; leave it out.")
    if "bert_model" in given and (folder := user_path(given["bert_model"])).is_dir():
        given["bert_model"] = str(folder.resolve())  # workers may be started elsewhere
    values = {FIELDS[name]: value for name, value in given.items() if name in FIELDS}
    if "vectors" in given:
        vectors = find_vectors(given["vectors"])
        base, values = replace(base, vectors=vectors), {**values, VECTOR_SIZE: vectors.size}
    budget, epochs = given.get("budget_texts"), given.get("epochs", base.training.epochs)
    if budget is not None and budget < epochs:
        raise StudyError(f"--budget-texts {budget} is less than a text for each of {epochs} epochs.")
    return with_fields(base, values)


def asked_fields(options: Mapping[str, Any]) -> set[str]:
    """The fields of the settings that the options set."""
    return {FIELDS[name] for name, value in options.items() if value is not None and name in FIELDS}


def usual_budget(settings: Settings, texts: int) -> dict[str, Any]:
    """The training of a network of word embeddings on so many texts, if the user asks for no number of epochs.

    The fields `epochs` and `budget_texts`, and a `patience` in proportion to the epochs unless one was asked for. A
    budget that was asked for decides the epochs. Otherwise, the defaults suit corpora of `FEW_TEXTS` to `MANY_TEXTS`:
    with fewer texts, as many are read in all as with `FEW_TEXTS`, since an epoch has fewer steps
    (`benchmarks/method/training_budget.py`); with more, an epoch reads a part of them, and all epochs together each
    text at least once.
    """
    training, default = settings.training, DEFAULTS[variant_of(settings)].training
    epochs, budget = training.epochs, training.budget_texts
    if not find_learner(name_of(settings.model)).fits_budget:
        return {}
    few = FEW_TEXTS if settings.limits.max_training_texts is None else 0  # who takes a part wants less time
    if budget is None and texts <= MANY_TEXTS:
        budget = epochs * max(texts, min(few, MOST_EPOCHS * texts))
    elif budget is None:
        budget = max(epochs * MANY_TEXTS, texts)
    if budget < epochs * texts:
        return {"epochs": epochs, "budget_texts": budget}
    more = round(budget / texts)
    patience = {"patience": default.patience * more // epochs} if training.patience == default.patience else {}
    return {"epochs": more, "budget_texts": None, **patience}


def copies_of(settings: Settings, *, vectors: Path | None, bert_model: Path | None) -> Settings:
    """The settings with this machine's copies of the vectors and of the encoder, if they are given.

    Raises `StudyError` for a copy that the study does not need, `VectorsError` for other vectors; another encoder is
    refused when it is opened.
    """
    if vectors:
        if not settings.vectors:
            raise StudyError("The study uses no word vectors; leave --vectors out.")
        settings = replace(settings, vectors=find_copy(settings.vectors, vectors))
    if bert_model:
        if settings.pretrained is None:
            raise StudyError("The study is not about BERT; leave --bert-model out.")
        folder = user_path(str(bert_model))
        if not folder.is_dir():
            raise StudyError(f"There is no folder {folder}; name this machine's copy of the encoder with --bert-model.")
        settings = replace(settings, model=replace(settings.model, pretrained=str(folder.resolve())))
    return settings


def options_of(settings: Settings) -> dict[str, Any]:
    """The options that give these settings, the inverse of `choose_settings`.

    The `unsettable_fields`, which no option sets, are left out. What the texts would decide without an option, such as
    the number of epochs, is always given.
    """
    name, variant = _model_and_variant(settings)
    options: dict[str, Any] = {"model": name}
    if "epochs" not in find_learner(name).ignored_fields:
        options["epochs"] = settings.training.epochs
    if field := find_learner(name).variant_field:
        options[field] = variant
    if settings.vectors:
        options["vectors"] = settings.vectors.path or settings.vectors.name
    if find_learner(name).fits_budget:
        options |= {"max_tokens": settings.limits.max_tokens, "min_frequency": settings.limits.min_frequency}
    differing = _differing(settings)
    return options | {option: differing[field][0] for option, field in FIELDS.items() if field in differing}


def unsettable_fields(settings: Settings, rules: Collection[str] = ()) -> dict[str, tuple[Any, Any]]:
    """The values and current defaults of differing fields that no option sets, as in studies of another version.

    `rules`: those of `study.adaptation` that apply to the texts.
    """
    return {field: both for field, both in _differing(settings, rules).items() if field not in FIELDS.values()}


def _differing(settings: Settings, rules: Collection[str] = ()) -> dict[str, tuple[Any, Any]]:
    default = adapted(DEFAULTS[variant_of(settings)], rules)
    if settings.vectors:
        default = with_fields(default, {VECTOR_SIZE: settings.vectors.size})
    parts = [(getattr(settings, part), getattr(default, part)) for part in PARTS]
    names = [(own, usual, field.name) for own, usual in parts for field in fields(own)]
    both = {name: (getattr(own, name), getattr(usual, name)) for own, usual, name in names}
    return {name: (value, usual) for name, (value, usual) in both.items() if value != usual}


def variant_of(settings: Settings) -> str:
    """The model, with its variant if it has any: a key of `DEFAULTS`."""
    return "-".join(filter(None, _model_and_variant(settings)))


def default_name(data: str, settings: Settings) -> str:
    """The default name of a study, from the data, the model and the word vectors."""
    return "-".join([data, variant_of(settings), *([settings.vectors.name] if settings.vectors else [])])


def _model_and_variant(settings: Settings) -> tuple[str, str]:
    name = name_of(settings.model)
    field = find_learner(name).variant_field
    return name, getattr(settings.model, field) if field else ""
