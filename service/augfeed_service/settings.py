"""All settings of a service; each is an option of `augfeed serve` and a variable `AUGFEED_...`."""

import ipaddress
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from augfeed.errors import InputError
from augfeed.operation.describe import suggest

PREFIX = "AUGFEED_"
# Variables of the library and of its command, which are not settings of a service.
OTHERS = ("AUGFEED_CACHE", "AUGFEED_DEBUG", "AUGFEED_JPEG_CROP")
MIB = 1 << 20
MAX_PIXELS = 178_956_970  # as in `augfeed.read.decode`, which takes seconds to import


def cores() -> int:
    """Return the number of cores that this process may use, as `augfeed.bench.machine.cores`."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class Settings(BaseSettings):
    """Where a service listens, what it holds, and the bounds that it keeps.

    Memory stays within what the process takes by itself when it is ready and `memory_bytes`, the
    sum of the bounds of its parts (`augfeed_service.budget`).
    """

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="ignore")

    datasets: Annotated[dict[str, Path], Field(description="datasets by name")] = {}
    dataset_options: Annotated[
        dict[str, dict[str, Any]],
        Field(description="by the name of a dataset with masks or boxes, options of its class"),
    ] = {}
    host: Annotated[str, Field(description="address to bind to")] = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535, description="0: one that is free")] = 8000
    keys: Annotated[Path | None, Field(description="file of keys; see `augfeed_service.auth`")] = (
        None
    )
    insecure: Annotated[bool, Field(description="allow other addresses without keys")] = False
    shared_cache: Annotated[
        bool, Field(description="let caches between keep batches although keys are asked for")
    ] = False

    device: Annotated[str, Field(description="where batches are made")] = "cpu"
    threads: Annotated[int, Field(ge=1, description="that make batches")] = Field(
        default_factory=cores
    )
    reader: Literal["auto", "dali", "cpu"] = "auto"
    on_error: Annotated[
        Literal["raise", "replace"], Field(description="what becomes of broken files")
    ] = "raise"
    kornia: Annotated[
        tuple[str, ...], Field(description="classes of Kornia that policies may name")
    ] = ()

    cache_bytes: Annotated[int, Field(ge=0, description="of batches kept")] = 512 * MIB
    inflight_bytes: Annotated[
        int, Field(ge=1, description="of batches that are made or sent, and of requests")
    ] = 512 * MIB
    decode_bytes: Annotated[
        int, Field(ge=MIB, description="of images while they are decoded, in all threads")
    ] = 1024 * MIB
    plan_bytes: Annotated[
        int, Field(ge=MIB, description="of plans, and of the orders of their epochs")
    ] = 512 * MIB
    idle_bytes: Annotated[
        int, Field(ge=0, description="of free memory that is kept for the next batches")
    ] = 256 * MIB
    image_cache: Annotated[
        Literal["ram", "disk"] | None, Field(description="where decoded images are kept")
    ] = None
    image_cache_bytes: Annotated[
        int, Field(ge=1, description="of decoded images kept, of all datasets")
    ] = 1024 * MIB
    image_cache_side: Annotated[
        int | None,
        Field(ge=1, le=65535, description="short side of images kept; None: each policy's own"),
    ] = None
    image_cache_folder: Annotated[
        Path | None, Field(description="of images kept on disk; None: the user's cache folder")
    ] = None
    memory_bytes: Annotated[
        int | None, Field(description="that all parts together may have; None: their sum")
    ] = None
    max_waiting: Annotated[int, Field(ge=1, description="batches that wait to be made")] = 64
    look_ahead: Annotated[
        int, Field(ge=0, description="batches made before they are asked for")
    ] = 2
    max_plans: Annotated[int, Field(ge=1)] = 256
    max_batch_bytes: Annotated[int, Field(ge=1, description="of the images of a batch")] = 256 * MIB
    max_body_bytes: Annotated[int, Field(ge=1, description="of a request")] = 64 * MIB
    max_images: Annotated[int, Field(ge=1, description="of a request")] = 1024
    max_pixels: Annotated[int, Field(ge=1, description="of an image")] = MAX_PIXELS
    max_request_pixels: Annotated[int, Field(ge=1, description="of all images of a request")] = (
        256 * MIB
    )
    max_push: Annotated[int, Field(ge=1, description="requests to augment at a time")] = 32
    send_seconds: Annotated[
        float, Field(gt=0, le=86400, description="a reader may take for a batch")
    ] = 120

    max_head_bytes: Annotated[
        int, Field(ge=1024, description="of the request line and the headers of a request")
    ] = 64 << 10
    head_seconds: Annotated[
        float, Field(gt=0, le=86400, description="a client may take for the headers of a request")
    ] = 10
    body_seconds: Annotated[
        float, Field(gt=0, le=86400, description="a client may take for a body")
    ] = 120
    body_rate: Annotated[
        int, Field(ge=0, description="bytes a second, the least that a body comes at")
    ] = 4096
    stall_seconds: Annotated[
        float, Field(gt=0, le=86400, description="over which the rate of a body is measured")
    ] = 10
    max_connections: Annotated[int, Field(ge=1, description="in all, idle ones included")] = 1024
    max_client_connections: Annotated[
        int, Field(ge=1, description="of one address, which may be a proxy's")
    ] = 512
    allowed_hosts: Annotated[
        tuple[str, ...],
        Field(description="names that `Host` may have on loopback without keys, beside its own"),
    ] = ()
    drain: Annotated[
        float,
        Field(
            ge=0, le=86400, description="seconds of not being ready after SIGTERM, still serving"
        ),
    ] = 5
    grace: Annotated[
        float,
        Field(ge=0, le=86400, description="seconds to finish after these, then the process ends"),
    ] = 30

    @model_validator(mode="after")
    def _safe(self) -> Self:
        for name in self.datasets:
            if not name or len(name) > 64 or not name.replace("-", "").replace("_", "").replace(
                ".", ""
            ).isalnum() or not name[0].isalnum():  # fmt: skip
                raise ValueError(
                    f"datasets: {name!r} is not a name: use up to 64 letters, digits, '.', '_', '-'"
                )
        if unknown := sorted(set(self.dataset_options) - set(self.datasets)):
            raise ValueError(
                f"dataset_options: {unknown[0]!r} is not a dataset here: give one of "
                f"{sorted(self.datasets)}"
            )
        if self.max_batch_bytes > self.inflight_bytes:
            raise ValueError(
                f"max_batch_bytes={self.max_batch_bytes} is above inflight_bytes="
                f"{self.inflight_bytes}, so the largest batch could never be made: lower it"
            )
        total = sum(self.parts.values())
        if self.memory_bytes is not None and total > self.memory_bytes:
            raise ValueError(
                f"memory_bytes={self.memory_bytes} is below {total}, the sum of {self.parts}: "
                "lower cache_bytes, inflight_bytes, decode_bytes, plan_bytes, idle_bytes or "
                "image_cache_bytes"
            )
        return self

    @property
    def parts(self) -> dict[str, int]:
        """The parts of the memory that requests can take, and the bound of each in bytes."""
        return {
            "inflight": self.inflight_bytes, "batches": self.cache_bytes,
            "images": self.image_cache_bytes if self.image_cache == "ram" else 0,
            "decoding": self.decode_bytes, "plans": self.plan_bytes, "blocks": self.idle_bytes,
        }  # fmt: skip

    def check_address(self) -> None:
        """Raise `InputError` for an address that others reach, without keys."""
        if self.keys is None and not self.insecure and not is_loopback(self.host):
            raise InputError(
                f"host={self.host!r} is reached by others and no keys are set: give --keys FILE, "
                "or --insecure if the network keeps strangers out"
            )


def is_loopback(host: str) -> bool:
    """Return whether an address, or `localhost`, is reached from this machine alone."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def unknown_variables(environment: Mapping[str, str]) -> list[str]:
    """Return a text for each variable `AUGFEED_...` that nothing reads, with what may be meant."""
    known = [f"{PREFIX}{name.upper()}" for name in Settings.model_fields]
    return [
        f"variable {name} is not read: {suggest(name.upper(), known)}"
        for name in sorted(environment)
        if name.upper().startswith(PREFIX) and name.upper() not in (*known, *OTHERS)
    ]
