"""optuna-dashboard itself, on loopback: the study is there with its trials, parameters and curves."""

import json
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

import pytest


def get(url: str) -> Any:
    request = urllib.request.Request(url, headers={"Accept-Encoding": "identity"})
    with urllib.request.urlopen(request, timeout=10) as response:
        return json.load(response)


def wait_for(url: str, server: subprocess.Popen[bytes]) -> Any:
    deadline = time.monotonic() + 60
    while server.poll() is None and time.monotonic() < deadline:
        try:
            return get(url)
        except OSError:
            time.sleep(0.1)
    return pytest.fail("optuna-dashboard did not start")


def test_the_dashboard_shows_the_study(toy: Any) -> None:
    toy.searched("--trials", 3)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    program = Path(sys.executable).with_name("optuna-dashboard")
    command = [program, "sqlite:///study.db", "--host", "127.0.0.1", "--port", str(port)]
    with subprocess.Popen(command, cwd=toy.csv.parent, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
        try:
            studies = wait_for(f"http://127.0.0.1:{port}/api/studies", server)["study_summaries"]
            assert [study["study_name"] for study in studies] == ["toy-lstm"]
            detail = get(f"http://127.0.0.1:{port}/api/studies/{studies[0]['study_id']}?after=0")
        finally:
            server.terminate()
    shown, stored = detail["trials"], toy.load().trials
    assert [trial["number"] for trial in shown] == [0, 1, 2]
    for there, here in zip(shown, stored, strict=True):
        assert {parameter["name"] for parameter in there["params"]} == set(here.params)
        assert [point["value"] for point in there["intermediate_values"]] == list(here.intermediate_values.values())
        assert there["values"] == [here.value]
