"""A real PostgreSQL server as the storage: the same commands, even through its restarts."""

import time
from pathlib import Path
from typing import Any

import pytest
from optuna.trial import TrialState

from study.command_line import command_again, run_command
from study.errors import safe_url
from study.report import app as report_app
from study.storage.studies import started_studies

SLOW = ("--epochs", 40, "--patience", 40)


@pytest.mark.slow
def test_a_study_lives_through_a_restart_of_its_server(toy: Any, postgres: Any) -> None:
    name = f"restart {toy.folder}"
    study = ("--name", name, "--storage", postgres.url, *SLOW)
    process = toy.start("--trials", 3, "--workers", 2, *study)
    toy.wait_for_running(count=2, step=1, name=name, url=postgres.url)
    postgres.stop()
    time.sleep(4)
    postgres.start()
    output, _ = process.communicate()
    assert process.returncode == 0, output
    trials = toy.load(name=name, url=postgres.url).trials
    assert [trial.number for trial in trials] == list(range(3))
    assert all(trial.state in (TrialState.COMPLETE, TrialState.PRUNED) for trial in trials)
    assert "replaced" not in output


@pytest.mark.slow
def test_the_table_is_the_same_as_on_sqlite_and_the_password_is_nowhere(toy: Any, postgres: Any, capsys: Any) -> None:
    name = f"table {toy.folder}"
    assert toy.run("--trials", 12, "--name", name, "--storage", postgres.url) == 0
    assert toy.run("--trials", 12) == 0
    assert toy.table(name=name, url=postgres.url) == toy.table()
    assert toy.run("--trials", 12, "--name", name, "--storage", postgres.url.replace("secret", "wrong")) == 2
    captured = capsys.readouterr()
    printed = captured.out + captured.err
    assert ":***@127.0.0.1" in printed
    assert "secret" not in printed
    assert "wrong" not in printed
    study = toy.load(name=name, url=postgres.url)
    assert "secret" not in str([study.user_attrs, [[trial.user_attrs, trial.system_attrs] for trial in study.trials]])
    counted = next(one for one in started_studies(postgres.url) if one.name == name)
    assert (counted.finished, counted.budget) == (12, 12)
    assert counted.complete == sum(trial.state == TrialState.COMPLETE for trial in study.trials)
    assert run_command(report_app, ["--no-retrain", "--name", name, "--storage", postgres.url]) == 0
    assert (toy.folder / "reports").is_dir()
    left = [path for path in Path(toy.folder).rglob("*") if path.is_file()]
    assert left
    assert not any(b"secret" in path.read_bytes() for path in left)


@pytest.mark.slow
def test_an_interrupted_command_is_shown_without_its_password(toy: Any, postgres: Any) -> None:
    name = f"interrupted {toy.folder}"
    process = toy.start("--trials", 600, "--workers", 2, "--name", name, f"--storage={postgres.url}", *SLOW)
    toy.wait_for_running(name=name, url=postgres.url)
    process.terminate()
    output, _ = process.communicate()
    assert process.returncode == 130
    assert "To continue: python -m study.run" in output
    assert "secret" not in output
    assert {trial.state for trial in toy.load(name=name, url=postgres.url).trials} == {TrialState.WAITING}


def test_a_password_in_the_query_is_masked() -> None:
    url = "postgresql://db.example/studies?user=me&password=secret&sslpassword=secret"
    assert safe_url(url) == "postgresql://db.example/studies?password=masked&sslpassword=masked&user=me"
    assert "secret" not in command_again("study.run", ["--storage", url, f"--storage={url}"])


def test_a_server_that_does_not_answer_is_a_one_line_error(toy: Any, capsys: Any) -> None:
    assert toy.run("--storage", "postgresql://study:secret@127.0.0.1:9/postgres") == 2
    error = capsys.readouterr().err
    assert "cannot be opened" in error
    assert error.count("\n") == 1
    assert "secret" not in error
