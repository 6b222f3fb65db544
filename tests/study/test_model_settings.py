"""Options become settings, options without effect are refused, and settings give back their options."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from preprocessing.cache import CacheEntry
from preprocessing.encoding import EncodedTexts
from preprocessing.prepared import PreparedTexts
from preprocessing.word_vector_files import VectorsError
from study.adaptation import PARTS, RULES, adapted, changes_of, may_follow_texts, rules_for
from study.command_line import run_command
from study.errors import StudyError
from study.model_settings import (
    DEFAULTS,
    asked_fields,
    choose_settings,
    copies_of,
    default_name,
    options_of,
    unsettable_fields,
    usual_budget,
)
from study.run import app


@pytest.mark.parametrize(
    ("model", "options", "message"),
    [
        ("linear", {"epochs": 3}, "--epochs means nothing to --model linear"),
        ("linear", {"patience": 3}, "--patience means nothing"),
        ("linear", {"budget_texts": 3}, "--budget-texts means nothing"),
        ("bert", {"vocabulary_size": 3}, "--vocabulary-size means nothing to --model bert"),
        ("bert", {"vectors": "glove"}, "--vectors means nothing to --model bert"),
        ("lstm", {"strategy": "full"}, "--strategy means nothing to --model lstm"),
        ("lstm", {"bert_model": "minilm"}, "--bert-model means nothing to --model lstm"),
        ("cnn", {"classifier": "svm"}, "--classifier means nothing to --model cnn"),
        ("lstm", {"epoch": 3}, "no option 'epoch', only bert_model, budget_texts, classifier, epochs"),
        ("linear", {"space": "wide"}, "no option 'space'"),
    ],
)
def test_an_option_that_would_do_nothing_is_refused(model: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises(StudyError, match=message):
        choose_settings(model, options)


@pytest.mark.parametrize("variant", DEFAULTS)
def test_settings_give_back_the_options_they_were_made_from(variant: str) -> None:
    model, _, strategy = variant.partition("-")
    options: dict[str, Any] = {"seed": 3, "metric": "accuracy", "max_tokens": 17, "max_training_texts": 100}
    options |= {"strategy": strategy, "bert_model": "some/encoder"} if strategy else {"min_frequency": 4}
    options |= {"classifier": "logistic_regression"} if model == "linear" else {"epochs": 9}
    settings = choose_settings(model, options)  # type: ignore[arg-type]
    told = options_of(settings)
    assert told.pop("model") == model
    assert told == options
    assert choose_settings(model, told) == settings  # type: ignore[arg-type]
    assert not unsettable_fields(settings)
    assert default_name("r8", settings) == f"r8-{variant}"


@pytest.mark.parametrize(
    ("variant", "texts", "epochs", "budget_texts"),
    [
        ("lstm", 20, 70, None),  # ten times as many at most
        ("lstm", 1_000, 35, None),  # as many texts in all as with 5,000
        ("lstm", 2_000, 18, None),
        ("lstm", 4_938, 7, None),  # R8
        ("cnn", 4_938, 6, None),
        ("lstm", 35_000, 7, None),
        ("lstm", 35_001, 7, 245_000),  # an epoch reads 35,000 of them
        ("lstm", 200_000, 7, 245_000),
        ("lstm", 300_000, 7, 300_000),  # each text once
    ],
)
def test_the_number_of_texts_decides_how_long_to_train(
    variant: str, texts: int, epochs: int, budget_texts: int | None
) -> None:
    budget = usual_budget(DEFAULTS[variant], texts)
    assert (budget["epochs"], budget["budget_texts"]) == (epochs, budget_texts)
    assert budget.get("patience", 2) == 2 * epochs // DEFAULTS[variant].training.epochs


@pytest.mark.parametrize(
    ("asked", "texts", "epochs", "budget_texts"),
    [(35_000, 1_000, 35, None), (35_000, 100_000, 7, 35_000), (3_000, 1_000, 7, 3_000), (500_000, 100_000, 7, 500_000)],
)
def test_a_budget_that_is_asked_for_decides_the_epochs(
    asked: int, texts: int, epochs: int, budget_texts: int | None
) -> None:
    budget = usual_budget(choose_settings("lstm", {"budget_texts": asked, "patience": 3}), texts)
    assert budget == {"epochs": epochs, "budget_texts": budget_texts}


def test_a_budget_of_less_than_a_text_per_epoch_is_refused() -> None:
    with pytest.raises(StudyError, match="--budget-texts 5 is less than a text for each of 7 epochs"):
        choose_settings("lstm", {"budget_texts": 5})


@pytest.mark.parametrize("variant", ["linear", "bert-frozen", "bert-full"])
def test_other_models_have_no_usual_budget(variant: str) -> None:
    assert usual_budget(DEFAULTS[variant], 100) == {}


def test_new_studies_have_a_bag_of_words_and_weights_of_classes() -> None:
    assert DEFAULTS["lstm"].model.bag_of_words
    assert DEFAULTS["cnn"].model.bag_of_words
    assert DEFAULTS["linear"].model.balance > 0


def test_fields_that_no_option_sets_are_listed_as_unsettable() -> None:
    old = replace(DEFAULTS["lstm"], model=replace(DEFAULTS["lstm"].model, embedding_size=77))  # type: ignore[call-arg]
    assert options_of(old) == {"model": "lstm", "epochs": 7, "max_tokens": 200, "min_frequency": 2}
    assert unsettable_fields(old) == {"embedding_size": (77, DEFAULTS["lstm"].model.embedding_size)}  # type: ignore[union-attr]


def test_a_path_in_an_unknown_home_folder_is_kept_unchanged() -> None:
    settings = choose_settings("bert", {"bert_model": "~nosuchuser/x"})
    assert options_of(settings)["bert_model"] == "~nosuchuser/x"


def test_another_machine_names_its_copies(tmp_path: Path) -> None:
    file, copy = tmp_path / "mine.vec", tmp_path / "copy.vec"
    for path in (file, copy):
        path.write_text("2 3\nword 1 2 3\nother 3 4 5\n")
    settings = choose_settings("cnn", {"vectors": str(file)})
    assert copies_of(settings, vectors=None, bert_model=None) == settings
    assert copies_of(settings, vectors=copy, bert_model=None).vectors == replace(settings.vectors, path=str(copy))  # type: ignore[type-var]
    bert = choose_settings("bert", {"bert_model": "some/encoder"})
    assert copies_of(bert, vectors=None, bert_model=tmp_path).model.pretrained == str(tmp_path)  # type: ignore[union-attr]


def test_copies_of_something_else_are_refused(tmp_path: Path) -> None:
    file, other = tmp_path / "mine.vec", tmp_path / "other.vec"
    file.write_text("2 3\nword 1 2 3\nother 3 4 5\n")
    other.write_text("2 3\nword 1 2 3\nother 3 4 6\n")
    with_vectors = choose_settings("cnn", {"vectors": str(file)})
    with pytest.raises(VectorsError, match="is not the file of vectors that the study uses"):
        copies_of(with_vectors, vectors=other, bert_model=None)
    with pytest.raises(VectorsError, match="The study uses glove, which needs no --vectors"):
        copies_of(choose_settings("cnn", {"vectors": "glove"}), vectors=file, bert_model=None)
    with pytest.raises(StudyError, match="leave --vectors out"):
        copies_of(DEFAULTS["bert-full"], vectors=file, bert_model=None)
    with pytest.raises(StudyError, match="leave --bert-model out"):
        copies_of(DEFAULTS["lstm"], vectors=None, bert_model=tmp_path)
    with pytest.raises(StudyError, match="There is no folder nowhere"):
        copies_of(DEFAULTS["bert-full"], vectors=None, bert_model=Path("nowhere"))


def test_vectors_decide_the_size_of_embeddings_and_the_name(tmp_path: Path) -> None:
    file = tmp_path / "mine.vec"
    file.write_text("2 3\nword 1 2 3\nother 3 4 5\n")
    settings = choose_settings("cnn", {"vectors": str(file)})
    assert settings.model.embedding_size == 3  # type: ignore[union-attr]
    limits = {"max_tokens": 200, "min_frequency": 2}  # as epochs: what the texts would decide is always told
    assert options_of(settings) == {"model": "cnn", "epochs": 6, "vectors": str(file), **limits}
    assert not unsettable_fields(settings)
    assert default_name("r8", settings) == "r8-cnn-mine.vec"
    assert choose_settings("cnn", {"vectors": "glove"}).model == replace(DEFAULTS["cnn"].model, embedding_size=50)


def test_the_help_shows_the_defaults_of_each_model(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    run_command(app, ["--help"])
    shown = " ".join(capsys.readouterr().out.split())
    for option, values in {
        "epochs": {name: settings.training.epochs for name, settings in DEFAULTS.items() if name != "linear"},
        "patience": {name: settings.training.patience for name, settings in DEFAULTS.items() if name != "linear"},
        "max-tokens": {name: settings.limits.max_tokens for name, settings in DEFAULTS.items() if name != "linear"},
    }.items():
        told = re.search(rf"--{option} .*?\[default: \((.*?)\)\]", shown)
        assert told, option
        for value in values.values():
            assert re.search(rf"\b{value}\b", told[1]), (option, told[1])


def prepared_of(lengths: list[int]) -> PreparedTexts:
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    texts = EncodedTexts(np.ones(offsets[-1], np.int32), offsets, np.zeros(len(lengths), np.int32))
    return PreparedTexts(CacheEntry(Path(), {}), texts, texts, np.ones(3, np.int64), ("a",), 0, ())


@pytest.mark.parametrize(
    ("lengths", "rules"),
    [
        ([100] * 1_999, {"few words": "199,900 in training"}),
        ([100] * 2_000, {}),
        ([20, 38] * 100, {"few words": "5,800 in training", "short texts": "29.0 words on average"}),
        ([29] * 10_000, {"short texts": "29.0 words on average"}),
        ([30] * 10_000, {}),
    ],
)
def test_the_texts_decide_which_rules_apply(lengths: list[int], rules: dict[str, str]) -> None:
    for variant in ("lstm", "cnn"):
        assert rules_for(DEFAULTS[variant], prepared_of(lengths)) == rules
    for variant in ("linear", "bert-frozen"):
        assert rules_for(DEFAULTS[variant], prepared_of(lengths)) == {}


def test_a_part_of_the_texts_has_the_defaults_of_all_of_them() -> None:
    settings = choose_settings("lstm", {"max_training_texts": 100})
    assert rules_for(settings, prepared_of([100] * 3_000)) == {}


def test_there_are_no_rules_for_word_vectors(tmp_path: Path) -> None:
    file = tmp_path / "mine.vec"
    file.write_text("2 3\nword 1 2 3\nother 3 4 5\n")
    assert rules_for(choose_settings("lstm", {"vectors": str(file)}), prepared_of([9] * 99)) == {}


@pytest.mark.parametrize("options", [{}, {"vectors": "glove"}])
def test_only_networks_that_start_from_scratch_follow_the_texts(options: dict[str, Any]) -> None:
    assert may_follow_texts(choose_settings("lstm", options)) == (not options)
    assert may_follow_texts(choose_settings("cnn", options)) == (not options)
    assert not may_follow_texts(DEFAULTS["linear"])
    assert not may_follow_texts(DEFAULTS["bert-full"])


def test_rules_change_what_the_user_has_not_asked_for() -> None:
    options = {"max_tokens": 50, "epochs": 3, "vectors": None}
    asked = asked_fields(options)
    assert asked == {"max_tokens", "epochs"}
    settings = adapted(choose_settings("lstm", options), RULES, asked=asked)
    assert (settings.limits.max_tokens, settings.limits.min_frequency) == (50, 1)
    assert (settings.training.label_smoothing, settings.model.word_dropout) == (0, 0.1)  # type: ignore[union-attr]
    assert options_of(settings) == {"model": "lstm", "epochs": 3, "max_tokens": 50, "min_frequency": 1}
    assert not unsettable_fields(settings, RULES)
    assert unsettable_fields(settings).keys() == {"word_dropout", "embedding_dropout", "label_smoothing", "window"}


def test_all_that_the_rules_change_is_of_both_networks_but_for_windows() -> None:
    for variant in ("lstm", "cnn"):
        parts = [getattr(DEFAULTS[variant], part) for part in PARTS]
        there = {name for part in parts for name in vars(part)}
        assert changes_of(RULES).keys() - {"window"} <= there
        assert adapted(DEFAULTS[variant], RULES) != DEFAULTS[variant]
