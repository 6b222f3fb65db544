"""What an earlier version has stored is continued, reported on and used for prediction, or refused in one line.

`stored/` holds two databases, each made by `python -m study.run --data bios.csv --model linear --trials 4 --workers 1`
and `python -m study.report --top 3 --seeds 2 --workers 1`: `study.db.gz`, with `model/`, before `study/` had packages
and with the first rule of cleaning, `cleaning_2.db.gz` with the second.
"""

import gzip
import shutil
from pathlib import Path

import optuna
import pytest
from optuna.trial import FrozenTrial

from study import predict, report, run
from study.command_line import run_command

STORED = Path(__file__).parent / "stored"
Capture = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the texts and the newer database; without the old cache, as on another machine."""
    shutil.copy(STORED / "bios.csv", tmp_path)
    unpack("cleaning_2.db.gz", tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def unpack(name: str, folder: Path) -> None:
    (folder / "study.db").write_bytes(gzip.decompress((STORED / name).read_bytes()))


def trials() -> list[FrozenTrial]:
    return optuna.load_study(study_name="bios-linear", storage="sqlite:///study.db").trials


def search(budget: int) -> int:
    arguments = ["--data", "bios.csv", "--model", "linear", "--trials", str(budget), "--workers", "1"]
    return run_command(run.app, arguments)


def test_a_stored_study_continues_where_it_was(capsys: Capture) -> None:
    before = trials()
    assert search(6) == 0
    told = " ".join(capsys.readouterr().out.split())
    assert "Note: the study keeps the settings that it began with: balance 0.0 (new studies: 0.5)." in told
    assert trials()[:4] == before
    assert len(trials()) == 6


def test_a_stored_study_and_its_confirmation_are_reported_on(capsys: Capture) -> None:
    assert search(4) == 0  # there is nothing to do, but the study now has this folder's cache
    assert run_command(report.app, ["--top", "3", "--seeds", "2", "--workers", "1"]) == 0
    told = capsys.readouterr().out
    assert "The winner (C=24.9  max_ngram=2)" in told
    assert "Round 1" not in told  # the ranking needs no weights, so it is taken from the database
    assert "Confirming the winner on 2 further repeats." in told
    assert Path("reports/bios-linear/report.html").is_file()


def test_a_study_whose_texts_were_prepared_by_other_rules_is_refused_in_one_line(folder: Path, capsys: Capture) -> None:
    unpack("study.db.gz", folder)
    assert search(6) == 2
    assert capsys.readouterr().err == (
        "Error: Study 'bios-linear' was started by another version of this project, with preprocessing split 1, "
        "cleaning 1, now it is split 1, cleaning 2. Continue with that version, or name another study with --name.\n"
    )
    assert run_command(report.app, []) == 2
    assert "Search again under another --name, or continue and report with that version" in capsys.readouterr().err
    assert run_command(report.app, ["--no-retrain"]) == 0
    assert Path("reports/bios-linear-search/report.html").is_file()


def test_a_stored_model_gives_its_labels(capsys: Capture) -> None:
    assert run_command(predict.app, ["--model", str(STORED / "model"), "paint on a canvas"]) == 0
    label, probability = capsys.readouterr().out.split()
    assert label == "painter"
    assert float(probability) == pytest.approx(0.904, abs=0.005)
