"""Chooses the device and the precision of a study, the number of workers, and a GPU for each of them."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import joblib
import psutil
import torch
from filelock import FileLock, Timeout

from models.learners.learner import Settings
from models.registry import find_learner, name_of
from models.training.precision import Precision, bfloat16_speedup, multiplies_bfloat16
from study.choices import DeviceName
from study.errors import StudyError

FASTER = 1.2  # times as fast bfloat16 must be, to be worth its rounding
MEMORY, MEMORY_OF_LARGE = 900 * 2**20, 2_000 * 2**20  # bytes that a worker on the CPU may need; the second for BERT
CONTAINER = Path("/sys/fs/cgroup")
SHARING = 8  # workers per GPU by default, for networks that leave most of it idle (`benchmarks/speed/gpu_workers.py`)
SHARING_AT_MOST = 32
MEMORY_OF_WORKER = 4 * 2**30  # bytes of a GPU that one of them may need


def find_study_device(name: DeviceName) -> torch.device:
    """The device; `auto` means CUDA, then MPS, then the CPU. Raises `StudyError` if this machine does not have it."""
    available = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    there = [device for device, is_there in available.items() if is_there]
    if name != "auto" and name not in there:
        raise StudyError(f"Device '{name}' is not available here (there is: {', '.join(there)}). Use --device auto.")
    return torch.device(there[0] if name == "auto" else name)


def choose_precision(settings: Settings, device: torch.device | None) -> Precision:
    """The precision of a new study; None for the devices of a cluster.

    On a CPU, bfloat16 where it is multiplied in hardware and a short measurement says that this is faster. On a GPU, a
    small network only loses time by conversions: on an H100, an epoch of R8 takes 1.3 times as long.
    """
    learner = find_learner(name_of(settings.model))
    if learner.shares_features(settings):
        return "float32"  # a head on features is too small
    is_cpu = device is not None and device.type == "cpu"
    if "precision" in learner.ignored_fields or (settings.pretrained is not None and not is_cpu):
        return "auto"
    if device is not None and is_cpu and multiplies_bfloat16(device) and bfloat16_speedup() >= FASTER:
        return "bfloat16"
    return "float32"


def default_workers(device: torch.device, *, are_small: bool) -> int:
    """On the CPU, one per core that this process may use (a container's limit counts), as the free memory allows.

    One per GPU; more if the networks `are_small`, as memory and cores allow.
    """
    cores = int(joblib.cpu_count())
    if device.type == "cpu":
        return max(1, min(cores, _free_memory() // (MEMORY if are_small else MEMORY_OF_LARGE)))
    if device.type != "cuda":
        return 1
    gpus = torch.cuda.device_count()
    if not are_small:
        return gpus
    free = min(torch.cuda.mem_get_info(index)[0] for index in range(gpus))
    return gpus * max(1, min(SHARING, cores // gpus, free // MEMORY_OF_WORKER))


def _free_memory() -> int:
    """The bytes of memory that new processes can have, in a container with a limit of its own, too (Linux)."""
    free = int(psutil.virtual_memory().available)
    with suppress(OSError, ValueError, LookupError):  # no such limit
        limit = int((CONTAINER / "memory.max").read_text())
        used = dict(line.split() for line in (CONTAINER / "memory.stat").read_text().splitlines())["anon"]
        return min(free, max(limit - int(used), 0))
    return free


@contextmanager
def held_device(device: torch.device, folder: Path) -> Iterator[torch.device]:
    """The device; of several GPUs the first with a free place, by locks in the folder. Places alternate between GPUs.

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
