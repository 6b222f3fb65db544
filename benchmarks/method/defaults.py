"""Which defaults suit which texts: variants of the LSTM beside the linear model, on parts and cuts of corpora.

    python benchmarks/method/defaults.py r8@7 r52:2000 20ng:3000@20     # words kept of each text; number of texts
    python benchmarks/method/defaults.py own.csv --variants plain "plain word_dropout=0" default --members 3

`default` is what a study would take (`study/adaptation.py`), `plain` the defaults without these rules.

A corpus is the training texts of a standard one or a CSV file with the columns label and text. What is measured is
written to a file of its own, as a user would have it, with three folds; the predictions for all folds are scored
together. Each network has validation texts of its own; the test splits of the standard corpora stay closed.
"""

import argparse
import csv
import json
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from data.source import Split, find_source
from data.standard_corpora import STANDARD_CORPORA
from data.texts import load_search_texts
from models.learners.learner import Settings
from models.registry import find_learner, make_learner
from models.training.calibration import best_temperature
from models.training.precision import Precision, multiplies_bfloat16
from models.training.scores import accuracy, macro_f1
from preprocessing.prepared import PreparedTexts, prepare_for_search, prepare_test
from study.adaptation import adapted, rules_for, values_of, with_fields
from study.model_settings import usual_budget

CACHE_DIR = Path(".cache")
CPU = torch.device("cpu")
FOLDS = 3
SIDES = ("train", "validation", "test")


@dataclass(frozen=True)
class Corpus:
    name: str
    labels: list[str]
    texts: list[str]

    @classmethod
    def named(cls, name: str) -> "Corpus":
        """`NAME[:TEXTS][@WORDS]`; a part has at least three texts of each class that has them."""
        rest, _, words = name.partition("@")
        source, _, part = rest.partition(":")
        if source in STANDARD_CORPORA:
            searched = load_search_texts(Split(find_source(source)[0]), cache_dir=CACHE_DIR)
            sides = (searched.training, searched.validation)
            labels, texts = ([value for side in sides for value in getattr(side, name).to_pylist()] for name in FIELDS)
        else:
            with Path(source).open(newline="", encoding="utf-8") as file:
                rows = list(csv.DictReader(file))
            labels, texts = [row["label"] for row in rows], [row["text"] for row in rows]
        if part:
            rows = _part(np.array(labels), int(part))
            labels, texts = [labels[row] for row in rows], [texts[row] for row in rows]
        if words:
            texts = [" ".join(text.split()[: int(words)]) for text in texts]
        first = dict(zip(reversed(texts), reversed(labels), strict=True))  # as in a study, no text is on two sides
        return cls(name, [first[text] for text in dict.fromkeys(texts)], list(dict.fromkeys(texts)))


FIELDS = ("labels", "texts")


def _part(labels: npt.NDArray[np.str_], texts: int) -> npt.NDArray[np.intp]:
    generator = np.random.default_rng(0)
    chosen = []
    for label in np.unique(labels):
        rows = generator.permutation(np.flatnonzero(labels == label))
        chosen.append(rows[: max(3, round(len(rows) * texts / len(labels)))])
    return np.sort(np.concatenate(chosen))


def sides_of(labels: npt.NDArray[np.str_], fold: int) -> npt.NDArray[np.str_]:
    """The side of each text: of each class a third is for the test, and a tenth of the rest for validation."""
    generator = np.random.default_rng(0)
    sides = np.full(len(labels), "train", "U10")
    for label in np.unique(labels):
        rows = generator.permutation(np.flatnonzero(labels == label))
        if len(rows) == 1:
            continue  # it is only trained on
        numbers = (np.arange(len(rows)) + generator.integers(FOLDS)) % FOLDS
        sides[rows[numbers == fold]] = "test"
        others = rows[numbers != fold]
        sides[others[: round(len(others) / 10) or len(others) > 2]] = "validation"
    return sides


def settings_of(model: str, changes: dict[str, Any], prepared: PreparedTexts) -> Settings:
    """The settings of a variant: the defaults that follow the texts, or `plain` ones, with the changes."""
    settings = find_learner(model).defaults[""]
    if not changes.get("plain"):
        settings = adapted(settings, rules_for(settings, prepared))
    changes = {name: value for name, value in changes.items() if name != "plain"}
    if unknown := changes.keys() - values_of(settings).keys():
        raise SystemExit(f"The settings of {model} have no field {', '.join(unknown)}.")
    settings = with_fields(settings, changes)
    precision: Precision = "bfloat16" if multiplies_bfloat16(CPU) else "float32"
    budget = usual_budget(settings, len(prepared.training))
    return replace(settings, training=replace(settings.training, precision=precision, **budget))


def probabilities(
    model: str, changes: dict[str, Any], prepared: PreparedTexts, split: Split, *, members: int
) -> npt.NDArray[np.float64]:
    """The mean over the members of the calibrated probabilities (N, classes) of the test texts."""
    held_out = prepare_test(split, prepared, cache_dir=CACHE_DIR)
    total = np.zeros((len(held_out), len(prepared.classes)))
    for member in range(members):
        settings = settings_of(model, changes, prepared)
        settings = replace(settings, training=replace(settings.training, seed=member))
        learner = make_learner(settings, prepared, CACHE_DIR, CPU)
        weights = learner.fit().best_weights
        labels = torch.from_numpy(prepared.validation.labels.astype(np.int64))
        temperature = best_temperature(learner.logits(weights, prepared.validation), labels)
        total += (learner.logits(weights, held_out).double() / temperature).softmax(dim=1).numpy()
    return total / members


def folds_of(corpus: Corpus, folder: Path) -> Iterator[tuple[PreparedTexts, Split, npt.NDArray[np.intp]]]:
    """The prepared texts of each fold, its split, and the rows that are tested."""
    labels = np.array(corpus.labels)
    for fold in range(FOLDS):
        sides, path = sides_of(labels, fold), folder / f"{fold}.csv"
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(["label", "text", "side"])
            writer.writerows(zip(corpus.labels, corpus.texts, sides, strict=True))
        source, _ = find_source(str(path), label_column="label", text_column="text", split_column="side")
        split = Split(source)
        yield prepare_for_search(split, cache_dir=folder), split, np.flatnonzero(sides == "test")


def parsed(variant: str) -> dict[str, Any]:
    """The changes of a variant such as `plain word_dropout=0 pooling=mean`; of `default`, none."""
    pairs = (word.partition("=") for word in variant.split() if word != "default")
    return {name: _value(value) for name, _, value in pairs}


def _value(text: str) -> Any:
    try:
        return json.loads(text or "true")
    except ValueError:
        return text


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("corpora", nargs="+")
    parser.add_argument("--variants", nargs="+", default=["default"], help="of the network")
    parser.add_argument("--model", choices=["lstm", "cnn"], default="lstm")
    parser.add_argument("--members", type=int, default=1, help="networks that are averaged")
    parser.add_argument("--linear", nargs="*", default=["default"], help="variants of the linear model")
    arguments = parser.parse_args()
    systems = [("linear", variant) for variant in arguments.linear]
    systems += [(arguments.model, variant) for variant in arguments.variants]
    print(f"{'corpus':16}{'model':8}{'macro-F1':>10}{'accuracy':>10}{'log loss':>10}{'s':>6}  variant")
    for name in arguments.corpora:
        corpus, seconds = Corpus.named(name), dict.fromkeys(systems, 0.0)
        labels = np.unique(corpus.labels, return_inverse=True)[1]
        predicted = {system: np.full(len(labels), -1) for system in systems}
        of_label = {system: np.ones(len(labels)) for system in systems}  # the probability of the text's own class
        with tempfile.TemporaryDirectory() as folder:
            for prepared, split, rows in folds_of(corpus, Path(folder)):
                for model, variant in systems:
                    start, members = time.monotonic(), 1 if model == "linear" else arguments.members
                    found = probabilities(model, parsed(variant), prepared, split, members=members)
                    classes = np.unique(corpus.labels).searchsorted(prepared.classes)
                    predicted[model, variant][rows] = classes[found.argmax(axis=1)]
                    columns = np.argsort(classes)[np.searchsorted(np.sort(classes), labels[rows])]
                    of_label[model, variant][rows] = found[np.arange(len(rows)), columns]
                    seconds[model, variant] += time.monotonic() - start
        for (model, variant), classes in predicted.items():
            tested = classes >= 0
            scores = macro_f1(labels[tested], classes[tested]), accuracy(labels[tested], classes[tested])
            loss = -np.log(of_label[model, variant][tested].clip(1e-9)).mean()
            shown = "".join(f"{number:10.4f}" for number in (*scores, loss))
            print(f"{Path(name).name:16}{model:8}{shown}{seconds[model, variant]:6.0f}  {variant}", flush=True)


if __name__ == "__main__":
    main()
