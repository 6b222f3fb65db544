"""A file with the state of a running training, replaced after every epoch: a kill costs at most one epoch.

Does not know what the state means, and executes no code when reading it.
"""

import io
import pickle
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from data.errors import UserError
from data.files import replacing

FORMAT_VERSION = 6  # of the state that the trainer saves, and of the steps that lead to it
CHECKSUM_BYTES = 4  # of a CRC-32 before the content


class CheckpointError(UserError):
    """The file cannot be written. The message is one line."""


@dataclass(frozen=True)
class Checkpoint:
    path: Path
    identity: Mapping[str, Any]  # plain values; a file with another identity is not used
    on_event: Callable[[str], None] | None = None  # called with a sentence about a file that cannot be used

    def save(self, state: Mapping[str, Any]) -> None:
        """Write tensors and plain values, whole or not at all. Raises `CheckpointError`."""
        buffer = io.BytesIO()
        torch.save({"identity": self._identity, "state": dict(state)}, buffer)
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with replacing(self.path) as temporary, temporary.open("wb") as file:
                file.write(zlib.crc32(buffer.getbuffer()).to_bytes(CHECKSUM_BYTES, "big"))
                file.write(buffer.getbuffer())
        except OSError as error:
            raise CheckpointError(
                f"The checkpoint {self.path} cannot be written: {error.strerror or error}. What has finished is kept; "
                "when the cause is fixed, start the same command again."
            ) from error

    def load(self) -> dict[str, Any] | None:
        """The state of an interrupted training, or None if there is no usable one."""
        try:
            content = self.path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            self._tell(error.strerror or str(error))
            return None
        checksum, payload = content[:CHECKSUM_BYTES], content[CHECKSUM_BYTES:]
        if zlib.crc32(payload).to_bytes(CHECKSUM_BYTES, "big") != checksum:
            self._tell("it is damaged")
            return None
        try:
            stored = torch.load(io.BytesIO(payload), map_location="cpu", weights_only=True)
            identity, state = stored["identity"], stored["state"]
        except (pickle.UnpicklingError, RuntimeError, LookupError, TypeError, ValueError, EOFError):
            self._tell("it cannot be read")
            return None
        if not isinstance(state, dict) or identity != self._identity:
            self._tell("it is of another training or version")
            return None
        return state

    def remove(self) -> None:
        self.path.unlink(missing_ok=True)

    @property
    def _identity(self) -> dict[str, Any]:
        return {**self.identity, "format": FORMAT_VERSION}

    def _tell(self, reason: str) -> None:
        if self.on_event:
            self.on_event(f"The checkpoint {self.path} is not used ({reason}); its trial starts over.")


def random_state(device: torch.device) -> Tensor | None:
    """The state of this device's random number generator; None for the CPU, which uses torch's default one."""
    if device.type == "cuda":
        return torch.cuda.get_rng_state(device)
    return torch.mps.get_rng_state() if device.type == "mps" else None


def set_random_state(device: torch.device, state: Tensor | None) -> None:
    """Continue with a state from `random_state`."""
    if state is None:
        return
    if device.type == "cuda":
        torch.cuda.set_rng_state(state, device)
    else:
        torch.mps.set_rng_state(state)
