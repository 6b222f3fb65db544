"""The device on which a study computes."""

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from study.errors import StudyError
from study.workers.devices import find_study_device, held_device


def test_there_is_always_a_device() -> None:
    assert find_study_device("auto").type in ("cpu", "cuda", "mps")
    assert find_study_device("cpu") == torch.device("cpu")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_missing_device_is_an_error() -> None:
    with pytest.raises(
        StudyError, match=r"^Device 'cuda' is not available here \(there is: .*cpu\)\. Use --device auto"
    ):
        find_study_device("cuda")


def test_each_worker_holds_a_gpu_of_its_own_which_is_its_current_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    current: list[int] = []
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda index: SimpleNamespace(uuid=f"gpu {index}"))
    monkeypatch.setattr(torch.cuda, "set_device", current.append)
    gpu = torch.device("cuda")
    with held_device(gpu, tmp_path) as first, held_device(gpu, tmp_path) as second:
        assert (first, second) == (torch.device("cuda", 0), torch.device("cuda", 1))
        assert current == [0, 1]
        with pytest.raises(StudyError, match="All 2 GPUs of this machine are taken"), held_device(gpu, tmp_path):
            pass
    assert current == [0, 1]


def test_the_cpu_is_held_by_any_number_of_workers(tmp_path: Path) -> None:
    cpu = torch.device("cpu")
    with held_device(cpu, tmp_path) as first, held_device(cpu, tmp_path) as second:
        assert first == second == cpu
