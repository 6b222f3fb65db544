"""A real Dask cluster of two nodes on loopback, PostgreSQL beside it."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest
from optuna.trial import TrialState

SLOW = ("--epochs", 40, "--patience", 40, "--heartbeat", 1)


@dataclass(frozen=True)
class Cluster:
    address: str
    scheduler: subprocess.Popen[bytes]
    nodes: list[subprocess.Popen[bytes]]


@pytest.fixture
def cluster(toy: Any) -> Iterator[Cluster]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    address = f"tcp://127.0.0.1:{port}"

    def start(program: str, *arguments: str, **environment: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", f"distributed.cli.dask_{program}", "--host", "127.0.0.1", "--no-dashboard"]
        env = os.environ | environment
        with (toy.folder / f"{program}.log").open("ab") as log:
            return subprocess.Popen([*command, *arguments], cwd=toy.folder, stdout=log, stderr=log, env=env)

    scheduler = start("scheduler", "--port", str(port))
    nodes = [
        start("worker", address, "--nthreads", "1", "--no-nanny", STUDY_CACHE_DIR=str(toy.folder / f"node{number}"))
        for number in range(2)
    ]
    yield Cluster(address, scheduler, nodes)
    for process in (*nodes, scheduler):
        process.kill()
        process.wait()


def workers_of(node: subprocess.Popen[bytes]) -> list[psutil.Process]:
    return [child for child in psutil.Process(node.pid).children() if "study.worker" in child.cmdline()]


@pytest.mark.slow
def test_a_lost_node_costs_no_trial_and_leaves_no_process(
    toy: Any, postgres: Any, cluster: Cluster, still_alive: Any
) -> None:
    name = f"cluster {toy.folder}"
    options = ("--name", name, "--storage", postgres.url, "--cluster", cluster.address, "--workers", 2, *SLOW)
    process = toy.start("--trials", 3, *options)
    toy.wait_for_running(count=2, step=1, name=name, url=postgres.url)
    lost = [worker for node in cluster.nodes[:1] for worker in workers_of(node)]
    assert len(lost) == 1
    cluster.nodes[0].kill()
    assert still_alive(lost, 2) == []
    output, _ = process.communicate()
    assert process.returncode == 0, output + (toy.folder / "worker.log").read_text()
    trials = toy.load(name=name, url=postgres.url).trials
    assert [trial.number for trial in trials] == list(range(3))
    assert all(trial.state in (TrialState.COMPLETE, TrialState.PRUNED) for trial in trials)
    for number in range(2):
        assert list((toy.folder / f"node{number}" / "prepared").glob("*/meta.json"))
    logs = "".join(path.read_text() for path in Path(toy.folder).glob("*.log"))
    assert logs
    assert "secret" not in logs + output


@pytest.mark.slow
def test_an_interruption_and_a_lost_scheduler_stop_the_workers(
    toy: Any, postgres: Any, cluster: Cluster, still_alive: Any
) -> None:
    name = f"stopped {toy.folder}"
    options = ("--name", name, "--storage", postgres.url, "--cluster", cluster.address, "--workers", 2, *SLOW)
    process = toy.start("--trials", 60, *options)
    toy.wait_for_running(count=2, name=name, url=postgres.url)
    workers = [worker for node in cluster.nodes for worker in workers_of(node)]
    assert len(workers) == 2
    process.terminate()
    output, _ = process.communicate()
    assert process.returncode == 130, output
    assert still_alive(workers, 5) == []

    process = toy.start("--trials", 60, *options)
    toy.wait_for_running(count=2, step=1, name=name, url=postgres.url)
    workers = [worker for node in cluster.nodes for worker in workers_of(node)]
    cluster.scheduler.kill()
    output, _ = process.communicate()
    assert still_alive(workers, 10) == []
    assert process.returncode == 1, output
    assert "The Dask scheduler is gone" in output
    here = ("--name", name, "--storage", postgres.url, "--workers", 2, *SLOW)
    finished = sum(trial.state.is_finished() for trial in toy.load(name=name, url=postgres.url).trials)
    process = toy.start("--trials", finished + 2, *here)
    output, _ = process.communicate()
    assert process.returncode == 0, output
    trials = toy.load(name=name, url=postgres.url).trials
    assert [trial.number for trial in trials] == list(range(finished + 2))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--cluster", "tcp://127.0.0.1:9"], "SQLite is a file of one machine"),
        (["--cluster", "nonsense", "--storage", "POSTGRES"], "No Dask scheduler answers at nonsense"),
    ],
)
def test_an_impossible_cluster_is_an_error(
    options: list[str], message: str, toy: Any, postgres: Any, capsys: Any
) -> None:
    assert toy.run("--trials", 1, *[postgres.url if option == "POSTGRES" else option for option in options]) == 2
    assert message in capsys.readouterr().err
