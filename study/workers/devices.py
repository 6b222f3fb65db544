"""Chooses the device of a study, the number of workers, and a GPU for each of them, which several may share."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import joblib
import psutil
import torch
from filelock import FileLock, Timeout

from study.choices import DeviceName
from study.errors import StudyError

MEMORY = 900 * 2**20  # bytes that a worker on the CPU may need (`benchmarks/cache_and_memory.py`)
SHARING = 8  # workers per GPU by default, for networks that leave most of it idle (`benchmarks/gpu_workers.py`)
SHARING_AT_MOST = 32
MEMORY_OF_WORKER = 4 * 2**30  # bytes of a GPU that one of them may need


def find_study_device(name: DeviceName) -> torch.device:
    """The device; `auto` means CUDA, then MPS, then the CPU. Raises `StudyError` if this machine does not have it."""
    available = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    there = [device for device, is_there in available.items() if is_there]
    if name != "auto" and name not in there:
        raise StudyError(f"Device '{name}' is not available here (there is: {', '.join(there)}). Use --device auto.")
    return torch.device(there[0] if name == "auto" else name)


def default_workers(device: torch.device, *, are_small: bool) -> int:
    """On the CPU, one per core that this process may use (a container's limit counts), as the free memory allows.

    One per GPU; more if the networks `are_small`, as memory and cores allow.
    """
    cores = int(joblib.cpu_count())
    if device.type == "cpu":
        return max(1, min(cores, int(psutil.virtual_memory().available) // MEMORY))
    if device.type != "cuda":
        return 1
    gpus = torch.cuda.device_count()
    if not are_small:
        return gpus
    free = min(torch.cuda.mem_get_info(index)[0] for index in range(gpus))
    return gpus * max(1, min(SHARING, cores // gpus, free // MEMORY_OF_WORKER))


@contextmanager
def held_device(device: torch.device, folder: Path) -> Iterator[torch.device]:
    """The device; of several GPUs the one that fewest other workers hold, by locks in the folder.

    That GPU becomes the process's current device. Raises `StudyError` when all have as many workers as are allowed.
    """
    if device.type != "cuda":
        yield device
        return
    gpus = [str(torch.cuda.get_device_properties(index).uuid) for index in range(torch.cuda.device_count())]
    with first_free([f"{gpu}-{place}" for place in range(SHARING_AT_MOST) for gpu in gpus], folder) as number:
        index = number % len(gpus)
        torch.cuda.set_device(index)
        yield torch.device("cuda", index)


@contextmanager
def first_free(names: Sequence[str], folder: Path) -> Iterator[int]:
    """The index of the first name that no other process holds. Raises `StudyError` when all are held."""
    folder.mkdir(parents=True, exist_ok=True)
    locks = [FileLock(folder / f"gpu-{name}.lock") for name in names]
    free = next((index for index, lock in enumerate(locks) if _acquires(lock)), None)
    if free is None:
        raise StudyError(f"The GPUs of this machine have {len(names)} workers already; start fewer.")
    try:
        yield free
    finally:
        locks[free].release()


def _acquires(lock: FileLock) -> bool:
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return False
    return True
