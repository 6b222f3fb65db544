"""The search spaces, with the reason for the bounds of every range.

A parameter has the name of the configuration field that it sets; its default is that field's value, and the first
trial of every study is the one with all defaults.
"""

from dataclasses import fields, replace
from functools import singledispatch
from typing import Any

from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from models.bert import BERTConfig, Strategy
from models.cnn import CNNConfig
from models.learners.learner import Settings
from models.linear import LinearConfig
from models.lstm import LSTMConfig
from study.choices import SpaceName

Space = dict[str, BaseDistribution]
ROUNDING = 1e-9  # relative
BERT_LEARNING_RATES: dict[Strategy, FloatDistribution] = {  # MiniLM needs more than the 2e-5 to 5e-5 of BERT-base
    "frozen": FloatDistribution(3e-4, 1e-1, log=True),  # rates for a head alone would ruin an encoder
    "full": FloatDistribution(2e-5, 5e-4, log=True),
    "gradual": FloatDistribution(3e-4, 1e-2, log=True),  # of the head; each layer below has less
    "lora": FloatDistribution(1e-4, 5e-3, log=True),  # adapters start at zero
}


def search_space(name: SpaceName, base: Settings) -> Space:
    """The distributions to search; they always contain the values of `base`."""
    default, more = model_space(base.model, base)
    return default | more if name == "wide" else default


@singledispatch
def model_space(config: object, _base: Settings) -> tuple[Space, Space]:
    """The default space, and the additional ranges of the wide one; one implementation per type of `config`."""
    raise NotImplementedError(f"study/search_space.py has no ranges for {type(config).__name__}.")


@model_space.register
def _lstm_space(_config: LSTMConfig, base: Settings) -> tuple[Space, Space]:
    default: Space = {
        # Below 16 R8 is not learned; above about 100 scores are flat (Reimers & Gurevych 2017), and time is quadratic.
        "hidden_size": IntDistribution(16, 256, log=True),
        # Decides more than all others (Greff et al. 2017). Lower ends untrained, higher diverges or forgets.
        "learning_rate": FloatDistribution(1e-4, 3e-2, log=True),
    }
    more: Space = {
        "layers": IntDistribution(1, 2),  # a third one has not helped classifiers of this size
        "pooling": CategoricalDistribution(["max", "mean", "last"]),
        "bidirectional": CategoricalDistribution([True, False]),
    }
    return default, more | _word_network_space(base)


@model_space.register
def _cnn_space(_config: CNNConfig, base: Settings) -> tuple[Space, Space]:
    default: Space = {
        # Per width. 16 are too few for R8; 256 bring nothing over 128 at 1.7 times the time.
        "filters": IntDistribution(16, 256, log=True),
        # R8 is hardly learned at 1e-3 in six epochs; at 3e-2 scores fall after the first.
        "learning_rate": FloatDistribution(5e-4, 2e-2, log=True),
    }
    return default, _word_network_space(base)


@model_space.register
def _linear_space(config: LinearConfig, _base: Settings) -> tuple[Space, Space]:
    # A linear SVM is best near 1, logistic regression at far less regularisation; both are flat beyond these bounds.
    low, high = {"svm": (0.03, 30.0), "logistic_regression": (1.0, 300.0)}[config.classifier]
    default: Space = {
        "C": FloatDistribution(low, high, log=True),
        "max_ngram": IntDistribution(1, 3),  # longer ones hardly ever occur in a second text
    }
    more: Space = {
        "C": FloatDistribution(0.03, 300.0, log=True),  # of either classifier
        "classifier": CategoricalDistribution(["svm", "logistic_regression"]),
        "minimum_texts": IntDistribution(1, 5),  # a feature of more texts is worth keeping
    }
    if config.balance:  # studies of older versions had none
        more["balance"] = FloatDistribution(0.0, 1.0)  # from texts that count alike to classes that do
    return default, more


@model_space.register
def _bert_space(config: BERTConfig, _base: Settings) -> tuple[Space, Space]:
    second: dict[Strategy, Space] = {
        "frozen": {"dropout": FloatDistribution(0.0, 0.5)},  # more starves a head of few features
        "full": {"dropout": FloatDistribution(0.0, 0.5)},
        "gradual": {"layer_factor": FloatDistribution(1.5, 4.0)},  # around the 2.6 of Howard & Ruder 2018
        "lora": {"lora_rank": IntDistribution(2, 32, log=True)},  # Hu et al. 2021 find 1 to 64 nearly alike
    }
    default: Space = {"learning_rate": BERT_LEARNING_RATES[config.strategy], **second[config.strategy]}
    more: Space = {
        "dropout": FloatDistribution(0.0, 0.5),
        "batch_size": CategoricalDistribution([16, 32, 64]),
        "weight_decay": FloatDistribution(1e-4, 1.0, log=True),
        "label_smoothing": FloatDistribution(0.0, 0.2),
    }
    return default, more


def _word_network_space(base: Settings) -> Space:
    embedding: Space = {"embedding_size": IntDistribution(32, 300, log=True)}  # 300 is what published vectors have
    if base.vectors:
        embedding = {"tune_vectors": CategoricalDistribution([True, False])}
    batch: Space = {"batch_tokens": CategoricalDistribution([1_350, 2_700, 5_400, 10_800])}
    if base.training.batch_tokens is None:  # studies of older versions
        batch = {"batch_size": CategoricalDistribution([16, 32, 64, 128])}
    return embedding | {
        "dropout": FloatDistribution(0.0, 0.7),  # more than that starves the classifier
        "embedding_dropout": FloatDistribution(0.0, 0.7),  # likewise
        "word_dropout": FloatDistribution(0.0, 0.4),  # with more, little is left of a text
        **batch,  # smaller ones are slow, larger ones take too few steps
        "weight_decay": FloatDistribution(1e-4, 1.0, log=True),  # from no effect to a clear one
        # A quarter to twice the usual default: the lead of a text often tells its class.
        "max_tokens": IntDistribution(min(50, base.limits.max_tokens), max(400, base.limits.max_tokens), log=True),
        # From the words that most texts share to more than a corpus of this kind repeats.
        "vocabulary_size": IntDistribution(
            min(2_000, base.limits.vocabulary_size), max(50_000, base.limits.vocabulary_size), log=True
        ),
    }


def default_parameters(space: Space, base: Settings) -> dict[str, Any]:
    values = {field.name: getattr(part, field.name) for part in _parts(base) for field in fields(part)}
    return {name: values[name] for name in space}


def apply_parameters(base: Settings, parameters: dict[str, Any]) -> Settings:
    """`base` with the given fields changed, whichever of its parts they belong to."""
    model, training, limits = (
        replace(part, **{field.name: parameters[field.name] for field in fields(part) if field.name in parameters})
        for part in _parts(base)
    )
    return replace(base, model=model, training=training, limits=limits)


def contains(range_: BaseDistribution, value: Any) -> bool:
    """Whether a value lies in a range, up to a rounding error, as TPE may draw it."""
    if isinstance(range_, CategoricalDistribution):
        return value in range_.choices
    assert isinstance(range_, IntDistribution | FloatDistribution)
    if not isinstance(value, int | float) or (isinstance(range_, IntDistribution) and not float(value).is_integer()):
        return False
    return bool(range_.low - abs(range_.low) * ROUNDING <= value <= range_.high + abs(range_.high) * ROUNDING)


def covers(parameters: dict[str, Any], space: Space) -> bool:
    """Whether there is a value in each range; trials that were added by hand may lack some."""
    return all(name in parameters and contains(range_, parameters[name]) for name, range_ in space.items())


def lies_in(parameters: dict[str, Any], space: Space) -> bool:
    """Whether there are values, and all of them lie in ranges of the space."""
    return bool(parameters) and misfit(space, parameters) is None


def is_configuration(parameters: dict[str, Any], space: Space) -> bool:
    """Whether there is a value in each range, and nothing else."""
    return parameters.keys() == space.keys() and covers(parameters, space)


def misfit(space: Space, parameters: dict[str, Any]) -> str | None:
    """The reason why these values cannot be tried, or None."""
    for name, value in parameters.items():
        if name not in space:
            return f"`{name}` is not searched; queue values of {', '.join(space)} only."
        if not contains(space[name], value):
            return (
                f"`{name}` must lie in {_describe_range(space[name])}, got {repr(value)[:100]}. Queue another value, "
                "or widen the range in study/search_space.py."
            )
    return None


def describe(space: Space) -> dict[str, str]:
    """The range of each parameter in words."""
    return {name: _describe_range(distribution) for name, distribution in space.items()}


def _describe_range(distribution: BaseDistribution) -> str:
    if isinstance(distribution, CategoricalDistribution):
        return "|".join(map(str, distribution.choices))
    assert isinstance(distribution, IntDistribution | FloatDistribution)
    return f"{distribution.low:g}-{distribution.high:g}{' (log)' if distribution.log else ''}"


def _parts(settings: Settings) -> tuple[Any, Any, Any]:
    return settings.model, settings.training, settings.limits
