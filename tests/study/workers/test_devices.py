"""The device on which a study computes."""

from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from study.errors import StudyError
from study.workers import devices
from study.workers.devices import default_workers, find_study_device, held_device


def test_there_is_always_a_device() -> None:
    assert find_study_device("auto").type in ("cpu", "cuda", "mps")
    assert find_study_device("cpu") == torch.device("cpu")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_missing_device_is_an_error() -> None:
    with pytest.raises(
        StudyError, match=r"^Device 'cuda' is not available here \(there is: .*cpu\)\. Use --device auto"
    ):
        find_study_device("cuda")


CUDA = torch.device("cuda")


@pytest.fixture
def current(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The current device of a machine with two GPUs, each time it is set."""
    current: list[int] = []
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda index: SimpleNamespace(uuid=f"gpu {index}"))
    monkeypatch.setattr(torch.cuda, "set_device", current.append)
    return current


def test_workers_share_the_gpus_evenly_and_each_ones_is_its_current_device(current: list[int], tmp_path: Path) -> None:
    with ExitStack() as stack:
        held = [stack.enter_context(held_device(CUDA, tmp_path)) for _ in range(5)]
        assert held == [torch.device("cuda", index) for index in (0, 1, 0, 1, 0)]
        assert current == [0, 1, 0, 1, 0]


def test_a_worker_takes_the_place_of_one_that_has_left(current: list[int], tmp_path: Path) -> None:
    with held_device(CUDA, tmp_path), held_device(CUDA, tmp_path):
        with held_device(CUDA, tmp_path):
            pass
        with held_device(CUDA, tmp_path):
            pass
    assert current == [0, 1, 0, 0]


def test_a_gpu_has_only_so_many_workers(current: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "SHARING_AT_MOST", 1)
    with (
        held_device(CUDA, tmp_path),
        held_device(CUDA, tmp_path),
        pytest.raises(StudyError, match="The GPUs of this machine have 2 workers already; start fewer"),
        held_device(CUDA, tmp_path),
    ):
        pass
    assert current == [0, 1]


@pytest.mark.parametrize(("cores", "gigabytes", "expected"), [(4, 64, 4), (4, 2, 2), (4, 0.5, 1), (1, 64, 1)])
def test_there_is_a_worker_per_core_unless_memory_is_short(
    cores: int, gigabytes: float, expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(devices.joblib, "cpu_count", lambda: cores)
    monkeypatch.setattr(devices.psutil, "virtual_memory", lambda: SimpleNamespace(available=int(gigabytes * 2**30)))
    assert default_workers(torch.device("cpu"), are_small=True) == expected


@pytest.mark.parametrize(
    ("limit", "expected"), [(f"{4 * 2**30}", 3), ("max", 8), (f"{2**30}", 1), (f"{64 * 2**30}", 8), (None, 8)]
)
def test_a_containers_limit_of_memory_counts(
    limit: str | None, expected: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(devices.joblib, "cpu_count", lambda: 8)
    monkeypatch.setattr(devices.psutil, "virtual_memory", lambda: SimpleNamespace(available=64 * 2**30))
    monkeypatch.setattr(devices, "CONTAINER", tmp_path)
    (tmp_path / "memory.stat").write_text(f"anon {2**30}\nfile {3 * 2**30}\n")  # cached files can be given up
    if limit is not None:
        (tmp_path / "memory.max").write_text(f"{limit}\n")
    assert default_workers(torch.device("cpu"), are_small=True) == expected


@pytest.mark.usefixtures("current")
@pytest.mark.parametrize(
    ("cores", "gigabytes", "expected"),
    [
        (64, (80, 80), 16),  # eight each
        (12, (80, 80), 12),
        (64, (80, 13), 6),  # by the memory of the fuller one
        (64, (1, 80), 2),
        (1, (80, 80), 2),
    ],
)
def test_small_networks_share_gpus_by_default_as_cores_and_memory_allow(
    cores: int, gigabytes: tuple[int, int], expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(devices.joblib, "cpu_count", lambda: cores)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda index: (gigabytes[index] * 2**30, 80 * 2**30))
    assert default_workers(CUDA, are_small=True) == expected
    assert default_workers(CUDA, are_small=False) == 2
    assert default_workers(torch.device("mps"), are_small=True) == 1


def test_the_cpu_is_held_by_any_number_of_workers(tmp_path: Path) -> None:
    cpu = torch.device("cpu")
    with held_device(cpu, tmp_path) as first, held_device(cpu, tmp_path) as second:
        assert first == second == cpu
