"""What `study.run` refuses, in one line that says what to do, without losing anything."""

import json
import re
import subprocess
import sys
from dataclasses import fields, replace
from typing import Any

import optuna
import pytest
from optuna.distributions import FloatDistribution, IntDistribution

from data.source import DataSource
from models.bert import BERTConfig
from models.training.config import TrainingConfig
from preprocessing.batches import TextLimits
from preprocessing.pretrained import PretrainedEncoder
from study.configuration import StudyConfig
from study.errors import StudyError
from study.model_settings import DEFAULTS
from study.sampling import PRUNING_RULE
from study.storage.fingerprint import check_same_study, fingerprint

Capture = pytest.CaptureFixture[str]
LSTM = StudyConfig(DataSource("toy", "00"), "/cache", DEFAULTS["lstm"])


def test_a_changed_range_is_named(toy: Any, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    toy.searched("--trials", 1)
    narrower = {"hidden_size": IntDistribution(16, 128), "learning_rate": FloatDistribution(1e-4, 3e-2, log=True)}
    monkeypatch.setattr("study.configuration.search_space", lambda *_: narrower)
    assert toy.run("--trials", 2) == 2
    assert "with the range of hidden_size 16-256 (log), now it is 16-128." in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "difference"),
    [
        (["--epochs", 4], "--epochs 3, now it is 4"),
        (["--split-seed", 1], "--split-seed 0, now it is 1"),
        (["--metric", "accuracy"], "--metric macro_f1, now it is accuracy"),
        (["--space", "wide"], "--space default, now it is wide"),
        (["--seed", 5], "--seed 0, now it is 5"),
        (["--pruner", "none"], "--pruner percentile, now it is none"),
        (["--max-tokens", 19], "--max-tokens 20, now it is 19"),
    ],
)
def test_a_study_is_not_continued_with_different_options(
    options: list[object], difference: str, toy: Any, capsys: Capture
) -> None:
    toy.searched("--trials", 1)
    assert toy.run("--trials", 2, *options) == 2
    error = capsys.readouterr().err
    assert difference in error
    assert "--name" in error
    assert error.count("\n") == 1
    assert len(toy.load().trials) == 1


def test_other_data_under_the_same_name_is_refused(toy: Any, capsys: Capture) -> None:
    toy.searched("--trials", 1)
    toy.csv.write_text(toy.csv.read_text() + "surgeon,one more\n")
    assert toy.run("--trials", 2) == 2
    assert "started with other data" in capsys.readouterr().err


def test_another_package_version_only_warns(toy: Any, capsys: Capture) -> None:
    toy.searched("--trials", 1)
    study = toy.load()
    study.set_user_attr("fingerprint", {**study.user_attrs["fingerprint"], "environment.torch": "1.0"})
    assert toy.run("--trials", 2) == 0
    assert "torch was 1.0 when the study began" in capsys.readouterr().out


def test_a_study_of_another_pruning_rule_continues_with_a_warning(toy: Any, capsys: Capture) -> None:
    toy.searched("--trials", 1)
    study = toy.load()
    before = dict(study.user_attrs["fingerprint"])
    del before["environment.pruning rule"]  # as in a study from before this was recorded
    study.set_user_attr("fingerprint", {**before, "pruner": "median"})  # as it was called then
    assert toy.run("--trials", 2) == 0
    assert f"pruning rule was 1 when the study began and is {PRUNING_RULE} now" in capsys.readouterr().out
    assert len(toy.load().trials) == 2


@pytest.mark.parametrize(
    "configuration", [replace(LSTM, pruner="none"), replace(LSTM, base=DEFAULTS["linear"])], ids=["none", "linear"]
)
def test_the_pruning_rule_does_not_matter_to_a_study_that_never_prunes(configuration: StudyConfig) -> None:
    now = fingerprint(configuration, device="cpu")
    assert "environment.pruning rule" not in now
    assert check_same_study(now, now, name="old") == []


@pytest.mark.parametrize("field", ["model.embedding_dropout", "training.gradient_norm"])
def test_a_default_that_has_changed_is_reported_as_another_version(field: str) -> None:
    now = fingerprint(LSTM, device="cpu")
    fact = f"{field.replace('.', ' ')} 0.07, now it is {now[field]}."
    expected = f"started by another version of this project, with {fact}"
    with pytest.raises(StudyError, match=re.escape(expected)) as refusal:
        check_same_study({**now, field: 0.07}, now, name="old")
    assert "options" not in str(refusal.value)
    assert "name another study with --name" in str(refusal.value)


@pytest.mark.parametrize("variant", DEFAULTS)
def test_a_field_that_is_missing_in_a_stored_study_counts_as_its_default(
    variant: str, tiny_encoder: PretrainedEncoder
) -> None:
    base = DEFAULTS[variant]
    if isinstance(base.model, BERTConfig):
        base = replace(base, model=replace(base.model, pretrained=str(tiny_encoder.folder)))
    now = fingerprint(replace(LSTM, base=base), device="cpu")
    kinds = {"model": type(base.model), "training": TrainingConfig, "limits": TextLimits}
    of_fields = {f"{part}.{field.name}": field.default for part, kind in kinds.items() for field in fields(kind)}
    of_fields["environment.precision"] = of_fields.pop("training.precision")
    without = {key: {known: value for known, value in now.items() if known != key} for key in of_fields}
    usual = {key for key, default in of_fields.items() if now[key] == json.loads(json.dumps(default))}
    for key in usual:
        assert check_same_study(without[key], now, name="old") == []
    for key in of_fields.keys() - usual:
        with pytest.raises(StudyError, match="now it is"):
            check_same_study(without[key], now, name="old")


def test_a_study_from_before_rules_existed_is_of_another_version() -> None:
    now = fingerprint(LSTM, device="cpu")
    with pytest.raises(StudyError, match=r"by another version of this project, with rules 1, now it is \d"):
        check_same_study({key: value for key, value in now.items() if key != "rules"}, now, name="old")


def test_a_changed_option_is_reported_before_its_consequences() -> None:
    now = fingerprint(LSTM, device="cpu")
    old = {**now, "model.embedding_size": 50, "vectors": "ab", "space.hidden_size": "1-2"}
    with pytest.raises(StudyError, match=r"--vectors ab, now it is not given\. Repeat its first run's options"):
        check_same_study(old, now, name="old")


def test_an_option_that_a_study_was_started_without_is_named() -> None:
    now = fingerprint(LSTM, device="cpu")
    for fact, option in (
        ("split_column", "--split-column"),
        ("test_sha256", "--test-data"),
        ("encoding", "--encoding"),
    ):
        with pytest.raises(
            StudyError, match=rf"was started without {option}, now it is x\. Leave it out, or name another"
        ):
            check_same_study(now, {**now, fact: "x"}, name="old")
        with pytest.raises(StudyError, match=r"x, now it is not given\. Repeat its first run's options"):
            check_same_study({**now, fact: "x"}, now, name="old")


def test_paths_are_not_part_of_what_identifies_a_study(toy: Any) -> None:
    toy.searched("--trials", 1)
    moved = toy.csv.parent / "elsewhere"
    moved.mkdir()
    toy.csv.rename(moved / "toy.csv")
    assert replace(toy, csv=moved / "toy.csv").run("--trials", 2, "--cache-dir", "other") == 0


BAD_CALLS = [
    (["--trials", "0"], "--trials"),
    (["--trials", "many"], "--trials"),
    (["--epochs", "0"], "--epochs"),
    (["--timeout", "-1"], "--timeout"),
    (["--space", "huge"], "--space"),
    (["--nonsense"], "--nonsense"),
    (["--data", "missing.csv"], "File missing.csv not found"),
    (["--label-column", "nope"], "Column 'nope' not found"),
    (["--storage", "study.db"], "must be a URL such as sqlite:///study.db"),
    (["--storage", "sqlite:///no/such/folder/study.db"], "does not exist"),
    (["--storage", "sqlite://"], "in memory"),
    (["--storage", "sqlite:////"], "must name a file of SQLite"),
    (["--storage", "sqlite:///study.db?timeout=abc"], "cannot be opened: could not convert string to float"),
    (["--storage", "sqlite+aiosqlite:///study.db"], "needs none: write sqlite://"),
    (["--storage", "sqlite:///file:study.db?uri=true"], "by its path"),
    (["--storage", "oracle://host/db"], "oracle"),
    (["--name", ""], "1 to 255 characters"),
    (["--name", "a\nb"], "printable"),
    (["--storage", "postgresql://localhost:abc/db"], "must be a URL"),
    (["--max-tokens", "9" * 20], "--max-tokens"),
    (["--cache-dir", "toy.csv"], "The cache"),
]


@pytest.mark.parametrize(("arguments", "message"), BAD_CALLS, ids=lambda value: " ".join(value)[:40])
def test_a_bad_call_is_a_one_line_error_with_exit_code_2_and_creates_no_database(
    arguments: list[str], message: str, toy: Any, capsys: Capture
) -> None:
    before = set(toy.csv.parent.iterdir())
    assert toy.run(*arguments) == 2
    captured = capsys.readouterr()
    assert captured.err.count("\n") == 1
    assert message in captured.err
    assert {path.name for path in set(toy.folder.iterdir()) - before} <= {".cache"}


def test_a_file_that_is_not_a_database_is_reported_and_left_alone(toy: Any, capsys: Capture) -> None:
    other = toy.csv.parent / "study.db"
    other.write_text("my notes, not a database, and long enough to be looked at as one " * 20)
    before = other.read_bytes()
    assert toy.run("--trials", 1) == 2
    assert "file is not a database" in capsys.readouterr().err
    assert other.read_bytes() == before


def test_a_study_that_minimises_is_refused(toy: Any, capsys: Capture) -> None:
    optuna.create_study(storage=f"sqlite:///{toy.folder / 'study.db'}", study_name="toy-lstm")
    assert toy.run("--trials", 1) == 2
    assert "was not made by study.run" in capsys.readouterr().err


def test_fewer_training_texts_than_classes_are_refused(toy: Any, capsys: Capture) -> None:
    assert toy.run("--trials", 1, "--max-training-texts", 2) == 2
    assert "--max-training-texts 2 is less than a text for each of 3 classes." in capsys.readouterr().err
    assert toy.run("--trials", 1, "--max-training-texts", 40) == 0
    assert "Texts: 40 of 144 for training" in capsys.readouterr().out


def test_a_database_with_two_names_is_refused(toy: Any, capsys: Capture) -> None:
    toy.searched("--trials", 1)
    (toy.folder / "other.db").hardlink_to(toy.folder / "study.db")
    assert toy.run("--trials", 2) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "study.db has 2 names (hard links)" in error
    (toy.folder / "other.db").unlink()
    assert toy.run("--trials", 2) == 0


def test_the_line_after_ctrl_c_needs_no_torch_which_may_be_half_imported() -> None:
    arguments = ["--storage", "postgresql://me:secret@host/db"]
    code = f"import sys; from study.command_line import command_again; print(command_again('study.run', {arguments}))"
    command = [sys.executable, "-c", f"{code}; print('torch' in sys.modules)"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    told, has_torch = done.stdout.splitlines()
    assert "me:***@host" in told
    assert has_torch == "False"
