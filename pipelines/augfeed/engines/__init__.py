"""Engines: pixels that follow a plan; one contract for all."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from augfeed.errors import InputError, InputTypeError
from augfeed.plan import Plan
from augfeed.policy import Normalize, Policy

DTYPES = {
    "float32": torch.float32,
    "float16": torch.float16,
    "bfloat16": torch.bfloat16,
    "uint8": torch.uint8,
}


@dataclass(frozen=True, slots=True)
class Output:
    """How a batch is given out: element type, and whether channels lie last in memory.

    The shape is `[N, C, H, W]` either way. uint8 holds pixel values 0 to 255, so it needs a policy
    without `normalize`.
    """

    dtype: torch.dtype = torch.float32
    channels_last: bool = False

    def check(self, policy: Policy) -> None:
        """Raise unless the policy's values fit the element type."""
        if self.dtype not in DTYPES.values():
            known = ", ".join(map(str, DTYPES.values()))
            raise InputTypeError(f"dtype={self.dtype!r} is not given out: use one of {known}")
        if self.dtype == torch.uint8 and policy.find(Normalize) is not None:
            raise InputError(
                "dtype=torch.uint8 cannot hold normalized values: use a float dtype, or remove "
                "normalize from the policy"
            )
        if self.dtype == torch.float16 and (normalize := policy.find(Normalize)) is not None:
            _check_halves(normalize)


def _check_halves(normalize: Normalize) -> None:
    # The std of a channel that is nearly constant makes infinite pixels of some others.
    mean, std = np.asarray(normalize.mean), np.asarray(normalize.std)
    most = float((np.maximum(mean, 1 - mean) / std).max())
    if most > torch.finfo(torch.float16).max:
        raise InputError(
            f"normalize makes pixels of up to {most:.0f}, and dtype=torch.float16 holds 65504 at "
            f"most: use float32 or bfloat16, or a std above {float(std.min()):g}"
        )


@dataclass(frozen=True, slots=True)
class Place:
    """Where batches are made: the device, the engine by name ("auto": the device's own).

    `resident` says whether a dataset in memory is kept in the device's memory; None leaves it
    there if it takes a quarter of what is free, or less, on an NVIDIA GPU.
    """

    device: Any = "cpu"
    engine: str = "auto"
    resident: bool | None = None

    @property
    def known(self) -> torch.device:
        """The device, which is not touched; `InputError` if there is none of that name."""
        return known_device(self.device)

    @property
    def engine_name(self) -> str:
        """The name of the engine that "auto" means here."""
        return resolved_engine(self.known, self.engine)

    def check(self) -> None:
        """Raise `InputError` for a device or an engine that cannot be meant."""
        check_engine(self.known, self.engine)
        if self.resident not in (None, True, False):
            raise InputError(f"resident={self.resident!r} is none of None, True and False")


class Engine(Protocol):
    """Carries out plans. Stateless: the result depends on the arguments alone."""

    name: str

    def apply(
        self,
        plan: Plan,
        images: torch.Tensor,
        *,
        places: NDArray[np.int64] | None = None,
        offsets: NDArray[np.int32] | None = None,
        output: Output = Output(),
    ) -> torch.Tensor:
        """Return the batch `[count, C, H, W]` of a plan.

        `images` is `[N, h, w, C]`, uint8 or float32 in [0, 1]. Where C is not 3, each channel is a
        gray image of its own under the same plan. `places[row]` says which of them a row of the
        plan is (without it: the same number); `offsets[row]` is the (top, left) of the policy's
        output frame in it, which may reach outside (padding).
        """
        ...


def check_images(images: torch.Tensor, rows: int) -> None:
    """Raise unless images are `[N, h, w, C]`, uint8 or float32, of a channel or more."""
    if images.dtype not in (torch.uint8, torch.float32):
        raise InputTypeError(
            f"images of dtype {images.dtype} are not understood: give uint8, or float32 in [0, 1]"
        )
    if images.ndim != 4 or not images.shape[-1]:
        raise InputTypeError(
            f"images of shape {tuple(images.shape)} are not [N, height, width, channels]: "
            "move the channels last, at least one of them"
        )
    if not len(images) and rows:
        raise InputError("there are no images for the plan: give one for each of its rows")


def check_places(places: NDArray[np.int64], count: int) -> None:
    """Raise `InputError` unless every row's place is one of `count` images."""
    if len(places) and not 0 <= int(places.min()) <= int(places.max()) < count:
        raise InputError(
            f"places from {places.min()} to {places.max()} are not in [0, {count}): "
            f"give images for all {len(places)} rows of the plan, or places among them"
        )


ENGINES = ("auto", "cpu", "cuda", "portable")
OLDEST_TRITON = (3, 3)


def known_device(device: Any) -> torch.device:
    """Return a device by its name, without touching it, or raise `InputError`."""
    try:
        known = torch.device(device)
    except (RuntimeError, TypeError) as error:
        raise _unusable(device, error) from None
    if known.type == "meta":
        raise _unusable(device, TypeError("tensors there have no values"))
    return known


def usable_device(device: Any) -> torch.device:
    """Return a device of this machine, or raise `InputError` saying what is not there."""
    found = known_device(device)
    try:
        torch.empty(0, device=found)
    except (RuntimeError, TypeError, AssertionError, ImportError) as error:
        raise _unusable(device, error) from None
    return found


def indexed(device: torch.device) -> torch.device:
    """Return a device with its number: "cuda" is the current one of the thread that asks.

    Threads of a pool have a current device of their own, the first. Raises `InputError` where
    there is none.
    """
    if device.type == "cuda" and device.index is None:
        try:
            return torch.device("cuda", torch.cuda.current_device())
        except (RuntimeError, AssertionError) as error:
            raise _unusable(str(device), error) from None
    if device.type not in ("cpu", "cuda"):
        return usable_device(device)
    if device.type == "cuda" and device.index >= (count := torch.cuda.device_count()):
        raise _unusable(str(device), IndexError(f"there are {count} GPUs, counted from 0"))
    return device


def _unusable(device: Any, error: Exception) -> InputError:
    reason = str(error).splitlines()[0].partition(". ")[0]
    return InputError(
        f"device={device!r} cannot be used here ({reason}): use 'cpu', or one that torch sees"
    )


def check_engine(device: torch.device, name: str) -> str:
    """Return the name of an engine that runs on a kind of device, or raise `InputError`."""
    if name not in ENGINES:
        known = ", ".join(map(repr, ENGINES[:-1]))
        raise InputError(f"engine={name!r} is unknown: use {known} or {ENGINES[-1]!r}")
    if name == "cpu" and device.type != "cpu":
        raise InputError(f"engine='cpu' does not run on device={str(device)!r}: use 'auto'")
    if name == "cuda" and (reason := why_not_cuda(device)):
        raise InputError(
            f"engine='cuda' does not run on device={str(device)!r} ({reason}): use 'auto'"
        )
    return name


def resolved_engine(device: torch.device, name: str) -> str:
    """Return the name of the engine that `name` means on a kind of device."""
    if name != "auto":
        return name
    if device.type == "cpu":
        return "cpu"
    return "cuda" if device.type == "cuda" and not why_not_cuda(device) else "portable"


def why_not_cuda(device: torch.device) -> str:
    """Return why the CUDA engine does not run on a kind of device, "" if it does.

    Touches no device, and does not import Triton.
    """
    if not (device.type == "cuda" and torch.version.cuda) and not interpreted():
        return "it is for NVIDIA GPUs"
    found = _triton_version(version)
    if found is None:
        return "Triton is not installed; torch's CUDA builds for Linux bring it"
    oldest = ".".join(map(str, OLDEST_TRITON))
    enough = tuple(int(part) for part in found.split(".")[:2]) >= OLDEST_TRITON
    return "" if enough else f"Triton {found} is older than {oldest}, which comes with torch 2.7"


@cache  # asked for every batch, and reading the metadata takes longer than launching a kernel
def _triton_version(ask: Callable[[str], str]) -> str | None:
    try:
        return ask("triton")
    except PackageNotFoundError:
        return None


def interpreted() -> bool:
    """Return whether Triton interprets kernels, on any device, for tests (TRITON_INTERPRET=1)."""
    return os.environ.get("TRITON_INTERPRET") == "1"


def engine_for(device: Any = "cpu", name: str = "auto") -> Engine:
    """Return the engine for a device, or the one named.

    Without a name: `cpu` on the CPU, `cuda` on an NVIDIA GPU with Triton, else `portable`.
    """
    device = usable_device(device)
    match resolved_engine(device, check_engine(device, name)):
        case "portable":
            from augfeed.engines.portable import PortableEngine

            return PortableEngine(device)
        case "cuda":
            from augfeed.engines.cuda import CudaEngine

            return CudaEngine(device)
        case _:
            from augfeed.engines.cpu import CpuEngine

            return CpuEngine()
