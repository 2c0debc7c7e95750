"""All settings of a service; each is an option of `augfeed serve` and a variable `AUGFEED_...`."""

import ipaddress
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from augfeed.errors import InputError
from augfeed.policy.describe import suggest

PREFIX = "AUGFEED_"
# Variables of the library and of its command, which are no settings of a service.
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

    Memory stays within `cache_bytes + inflight_bytes` and what the process takes by itself.
    """

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="ignore")

    datasets: Annotated[dict[str, Path], Field(description="data sets by name")] = {}
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
        float, Field(gt=0, le=86400, description="seconds that a reader may take for a batch")
    ] = 120
    grace: Annotated[
        float, Field(ge=0, le=86400, description="seconds to finish after SIGTERM")
    ] = 30

    @model_validator(mode="after")
    def _safe(self) -> Self:
        for name in self.datasets:
            if not name or len(name) > 64 or not name.replace("-", "").replace("_", "").replace(
                ".", ""
            ).isalnum() or not name[0].isalnum():  # fmt: skip
                raise ValueError(
                    f"datasets: {name!r} is no name: use up to 64 letters, digits, '.', '_', '-'"
                )
        if self.max_batch_bytes > self.inflight_bytes:
            raise ValueError(
                f"max_batch_bytes={self.max_batch_bytes} is above inflight_bytes="
                f"{self.inflight_bytes}, so the largest batch could never be made: lower it"
            )
        return self

    def check_address(self) -> None:
        """Raise `InputError` for an address that others reach, without keys."""
        if self.keys is None and not self.insecure and not _is_loopback(self.host):
            raise InputError(
                f"host={self.host!r} is reached by others and no keys are set: give --keys FILE, "
                "or --insecure if the network keeps strangers out"
            )


def _is_loopback(host: str) -> bool:
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
