"""What an earlier version has stored can be continued, reported on and used for prediction.

`stored/` was created before `study/` had packages, by `python -m study.run --data bios.csv --model linear --trials 4
--workers 1` and `python -m study.report --top 3 --seeds 2 --workers 1`.
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
    """A folder with the old database and the texts; without the old cache, as on another machine."""
    shutil.copy(STORED / "bios.csv", tmp_path)
    (tmp_path / "study.db").write_bytes(gzip.decompress((STORED / "study.db.gz").read_bytes()))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def trials() -> list[FrozenTrial]:
    return optuna.load_study(study_name="bios-linear", storage="sqlite:///study.db").trials


def search(budget: int) -> int:
    arguments = ["--data", "bios.csv", "--model", "linear", "--trials", str(budget), "--workers", "1"]
    return run_command(run.app, arguments)


def test_a_stored_study_continues_where_it_was() -> None:
    before = trials()
    assert search(6) == 0
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


def test_a_stored_model_gives_its_labels(capsys: Capture) -> None:
    assert run_command(predict.app, ["--model", str(STORED / "model"), "paint on a canvas"]) == 0
    label, probability = capsys.readouterr().out.split()
    assert label == "painter"
    assert float(probability) == pytest.approx(0.904, abs=0.005)
