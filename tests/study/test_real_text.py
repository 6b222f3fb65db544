"""The main job on real text, from nothing: fetched, prepared, searched."""

import subprocess
import sys
from pathlib import Path

import optuna
import pytest


@pytest.mark.slow
def test_a_fresh_folder_fetches_r8_and_the_default_configuration_learns_it(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "study.run", "--trials", "1"]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert result.stdout.startswith("Data: r8 (Reuters-21578 R8, 8 classes): no --data given")
    assert result.stderr == ""
    study = optuna.load_study(study_name="r8-lstm", storage=f"sqlite:///{tmp_path / 'study.db'}")
    assert study.best_trial.user_attrs["accuracy"] > 0.94
    assert study.best_value > 0.8
