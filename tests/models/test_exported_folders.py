"""Folders of exported models: what they predict for any texts, how they are replaced, and which are refused."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import torch
from safetensors.torch import load_file, save_file
from sklearn.metrics import accuracy_score, log_loss

from data.files import sha256
from models.export import ModelError, load_model, save_model
from models.learners.classifier import Member, TextClassifier, average
from models.lstm import LSTMClassifier, LSTMConfig
from preprocessing.batches import Truncation
from preprocessing.vocabulary import build_vocabulary


def small(folder: Path, *, classes: int = 2) -> None:
    """Save an untrained model that knows three words."""
    torch.manual_seed(0)
    vocabulary = build_vocabulary(pa.array(["word"], pa.large_string()), np.array([2]))
    names = tuple(f"class {number}" for number in range(classes))
    model = LSTMClassifier(LSTMConfig(4, 4), vocabulary_size=3, classes=classes)
    save_model(folder, TextClassifier((Member(model, vocabulary, 200),), names, {}))


@pytest.fixture
def classifier(tmp_path: Path) -> TextClassifier:
    small(tmp_path / "model")
    return load_model(tmp_path / "model")


def test_texts_without_a_known_word_are_treated_as_one_unknown_word(classifier: TextClassifier) -> None:
    texts = ["", None, " ,;- ", "unheard", "\udcff", "word"]
    probabilities = classifier.predictions(texts).probabilities
    assert (probabilities[:5] == probabilities[0]).all()
    assert (probabilities[5] != probabilities[0]).all()
    assert probabilities.sum(axis=1) == pytest.approx(1)


def test_any_number_of_texts_of_any_string_type_is_labelled(classifier: TextClassifier) -> None:
    none = classifier.predictions([])
    assert (none.labels.shape, none.probabilities.shape) == ((0,), (0, 2))
    texts = ["word " * (number % 300) for number in range(1000)]
    expected = classifier.predictions(texts)
    assert set(expected.labels) <= {"class 0", "class 1"}
    for kind in (pa.string(), pa.large_string(), pa.dictionary(pa.int32(), pa.string())):
        found = classifier.predictions(pa.array(texts, kind))
        assert found.probabilities.tobytes() == expected.probabilities.tobytes()
    with pytest.raises(TypeError, match="not a single one"):
        classifier.predictions("word")


def test_predicting_leaves_threads_and_random_numbers_as_they_were(tmp_path: Path) -> None:
    small(tmp_path / "model")
    torch.set_num_threads(2)
    state = torch.get_rng_state()
    load_model(tmp_path / "model").predictions(["word"] * 1000)
    assert torch.get_num_threads() == 2
    torch.set_num_threads(1)
    assert torch.equal(torch.get_rng_state(), state)


def test_a_model_replaces_another_and_leaves_no_other_files(tmp_path: Path) -> None:
    small(tmp_path / "model")
    (tmp_path / ".model.writing").mkdir()  # as a killed process leaves it
    small(tmp_path / "model", classes=3)
    assert len(load_model(tmp_path / "model").classes) == 3
    assert [path.name for path in tmp_path.iterdir()] == ["model"]
    assert sorted(path.name for path in (tmp_path / "model").iterdir()) == [
        "config.json", "model.safetensors", "vocabulary.txt",
    ]  # fmt: skip


def test_a_folder_of_something_else_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "mine.txt").write_text("")
    (tmp_path / "file").write_text("")
    for name in ("notes", "file", "file/below"):
        with pytest.raises(
            ModelError, match=r"cannot be written: (it is there already and holds no model|Not a directory|File exists)"
        ):
            small(tmp_path / name)
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["file", "mine.txt", "notes"]


def test_a_vocabulary_or_classes_that_do_not_match_the_model_are_refused(tmp_path: Path) -> None:
    vocabulary = build_vocabulary(pa.array(["word"], pa.large_string()), np.array([2]))
    for words, classes in ((4, 2), (3, 3)):
        model = LSTMClassifier(LSTMConfig(4, 4), vocabulary_size=words, classes=classes)
        with pytest.raises(ValueError, match="another network's than one for 3 words and 2 classes"):
            save_model(tmp_path / "model", TextClassifier((Member(model, vocabulary, 200),), ("a", "b"), {}))


def changed(config: dict[str, Any], **changes: Any) -> str:
    return json.dumps({**config, **changes})


def with_member(config: dict[str, Any], **changes: Any) -> str:
    (member,) = config["members"]
    outer = {name: changes.pop(name) for name in member.keys() & changes.keys()}
    return changed(config, members=[{**member, "model": {**member["model"], **changes}, **outer}])


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda _: "{", "config.json cannot be used"),
        (lambda _: "[]", "no format"),
        (lambda _: "\xff", "config.json cannot be used"),
        (lambda _: '{"architectures": ["BertModel"]}', "its config.json has no format"),
        (lambda config: changed(config, format=1), "has format 1, .* needed is format 2 or 3"),
        (lambda config: changed(config, cleaning=0), "cleaning 0"),
        (lambda config: changed(config, classes=["a"]), "cannot be used"),
        (lambda config: changed(config, members=[]), "cannot be used"),
        (lambda config: with_member(config, architecture="gru"), "cannot be used"),
        (lambda config: with_member(config, hidden_size=5), "cannot be used"),
        (lambda config: with_member(config, layers=2), "cannot be used"),
        (lambda config: with_member(config, hidden_size="4"), "cannot be used"),
        (lambda config: with_member(config, heads=4), "cannot be used"),
        (lambda config: with_member(config, max_tokens=None), "cannot be used"),
        (lambda config: with_member(config, weight=0), "cannot be used"),
        (lambda config: with_member(config, tokens="words.txt"), "cannot be used"),
        (lambda config: changed(config, sha256={}), "cannot be used"),
    ],
)
def test_an_unusable_config_is_a_one_line_error(damage: Any, message: str, tmp_path: Path) -> None:
    small(tmp_path / "model")
    file = tmp_path / "model" / "config.json"
    file.write_bytes(damage(json.loads(file.read_text())).encode("latin1"))
    with pytest.raises(ModelError, match=message) as error:
        load_model(tmp_path / "model")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", ["model.safetensors", "vocabulary.txt"])  # config.json has no checksum
def test_a_folder_with_a_damaged_file_is_refused(name: str, tmp_path: Path) -> None:
    small(tmp_path / "model")
    file = tmp_path / "model" / name
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    with pytest.raises(ModelError, match=f"{name} differs from its checksum"):
        load_model(tmp_path / "model")


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "vocabulary.txt"])
def test_a_folder_without_one_of_its_files_is_refused(name: str, tmp_path: Path) -> None:
    small(tmp_path / "model")
    file = tmp_path / "model" / name
    file.unlink()
    with pytest.raises(ModelError, match=f"is not a model: {name} is missing"):
        load_model(tmp_path / "model")
    file.mkdir()
    with pytest.raises(ModelError, match="cannot be read: Is a directory"):
        load_model(tmp_path / "model")
    with pytest.raises(ModelError, match="there is no such folder"):
        load_model(tmp_path / "nowhere")
    with pytest.raises(ModelError, match="there is no such folder"):
        load_model(tmp_path / "model" / "vocabulary.txt" / "deeper")


def test_probabilities_are_the_softmax_of_the_logits_over_the_temperature(tmp_path: Path) -> None:
    small(tmp_path / "model")
    classifier = load_model(tmp_path / "model")
    warm = replace(classifier, members=(replace(classifier.members[0], temperature=3.0),))
    save_model(tmp_path / "warm", warm)
    texts = ["a word", "b"]
    cold_logits = np.log(classifier.predictions(texts).probabilities)
    expected = np.exp(cold_logits / 3) / np.exp(cold_logits / 3).sum(axis=1, keepdims=True)
    for predictions in (warm.predictions(texts), load_model(tmp_path / "warm").predictions(texts)):
        np.testing.assert_allclose(predictions.probabilities, expected, rtol=1e-5)
        assert list(predictions.labels) == list(classifier.predictions(texts).labels)


def test_a_model_exported_before_temperatures_existed_can_be_read(tmp_path: Path) -> None:
    small(tmp_path / "model")
    classifier = load_model(tmp_path / "model")
    file = tmp_path / "model" / "config.json"
    config = json.loads(file.read_text())
    (member,) = config.pop("members")
    del member["temperature"]
    weights = tmp_path / "model" / "model.safetensors"
    save_file({name.removeprefix("0."): tensor for name, tensor in load_file(weights).items()}, weights)
    config["sha256"]["model.safetensors"] = sha256(weights)
    file.write_text(json.dumps({**config, **member, "format": 2}))
    texts = ["a word", "b"]
    again = load_model(tmp_path / "model").predictions(texts).probabilities
    np.testing.assert_array_equal(again, classifier.predictions(texts).probabilities)


def test_a_model_is_used_as_a_classifier_of_scikit_learn(classifier: TextClassifier, tmp_path: Path) -> None:
    loaded = load_model(str(tmp_path / "model"))
    texts = ["word", "word unheard word", None, "unheard"]
    for column in (texts, pd.Series(texts), np.array(texts, object), pa.array(texts)):
        labels, probabilities = loaded.predict(column), loaded.predict_proba(column)
        assert probabilities.shape == (4, 2)
        assert np.array_equal(labels, loaded.classes_[probabilities.argmax(axis=1)])
        assert probabilities.tobytes() == classifier.predictions(texts).probabilities.tobytes()
    assert log_loss(["class 0", "class 1", "class 0", "class 1"], probabilities, labels=loaded.classes_) > 0
    assert accuracy_score(labels, loaded.predict(texts)) == 1


@pytest.mark.parametrize(("truncate", "kept"), [("head", "word unheard"), ("tail", "word word"), ("both", "word word")])
def test_the_part_of_long_texts_that_is_kept_belongs_to_a_model(
    truncate: Truncation, kept: str, classifier: TextClassifier, tmp_path: Path
) -> None:
    member = replace(classifier.members[0], max_tokens=2, truncate=truncate)
    save_model(tmp_path / "short", replace(classifier, members=(member,)))
    loaded = load_model(tmp_path / "short")
    expected, other = classifier.predict_proba([kept, "unheard unheard"])
    np.testing.assert_allclose(loaded.predict_proba(["word unheard word word"])[0], expected, rtol=1e-5)
    assert not np.allclose(expected, other)


def test_the_probabilities_of_several_networks_are_averaged_whatever_words_they_know(tmp_path: Path) -> None:
    classifiers = []
    for seed, words in enumerate((["word"], ["other", "word"], ["word"])):
        torch.manual_seed(seed)
        vocabulary = build_vocabulary(pa.array(words, pa.large_string()), np.full(len(words), 2))
        model = LSTMClassifier(LSTMConfig(4, 4), vocabulary_size=len(vocabulary), classes=2)
        torch.nn.init.normal_(model.head.weight, std=9)
        member = Member(model.eval(), vocabulary, 200, temperature=1.0 + seed)
        classifiers.append(TextClassifier((member,), ("a", "b"), {}))
    texts = ["word", "other", "word other word", "unheard", ""] * 99
    shares = [classifier.predict_proba(texts) for classifier in classifiers]
    together = average(classifiers, {"from": "three"})
    np.testing.assert_allclose(together.predict_proba(texts), np.mean(shares, axis=0), rtol=1e-5)
    assert together.predictions(texts).is_blank.tolist() == [False, False, False, True, True] * 99
    save_model(tmp_path / "model", together)
    loaded = load_model(tmp_path / "model")
    assert loaded.about == {"from": "three"}
    assert loaded.predict_proba(texts).tobytes() == together.predict_proba(texts).tobytes()
    names = ["config.json", "model.safetensors", "vocabulary-2.txt", "vocabulary.txt"]
    assert sorted(path.name for path in (tmp_path / "model").iterdir()) == names
    unequal = average([together, classifiers[0]], {})
    np.testing.assert_allclose(unequal.predict_proba(texts), (np.mean(shares, axis=0) + shares[0]) / 2, rtol=1e-5)
    with pytest.raises(ValueError, match="must have the same classes"):
        average([together, replace(together, classes=("b", "a"))], {})


def test_weights_that_members_share_are_stored_once(classifier: TextClassifier, tmp_path: Path) -> None:
    save_model(tmp_path / "twice", average([classifier, classifier], {}))
    sizes = [(tmp_path / name / "model.safetensors").stat().st_size for name in ("model", "twice")]
    assert sizes[0] == sizes[1]
    texts = ["word", "unheard"]
    np.testing.assert_array_equal(load_model(tmp_path / "twice").predict_proba(texts), classifier.predict_proba(texts))
