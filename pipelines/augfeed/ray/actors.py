"""How many actors make batches, what each of them takes, and how long is waited for them."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from augfeed.engines import known_device
from augfeed.errors import InputError, InputTypeError
from augfeed.whole_number import whole_number


@dataclass(frozen=True, slots=True)
class Actors:
    """The actors of one rank.

    From `least` to `most` of them run: one is added while the training waits for batches and all
    are busy, one is ended while the others could do its work. Each reserves `num_cpus` cores, has
    as many threads, and runs where Ray finds these, `memory` bytes, `num_gpus` and `resources`
    free on a node whose labels match `labels` (Ray's `label_selector`, as
    `{"ray.io/market-type": "!spot"}`). `device` is where an actor makes batches: "cuda" needs
    `num_gpus`. `runtime_env` is Ray's.

    `window` batches are under way or wait in the object store, at most; None is two for each of
    `most` actors. A batch whose actor, node or result is lost goes to another actor, up to
    `retries` times. `deadline` is how many seconds a batch may take in all, including those for
    which Ray starts nodes and actors.

    Raises `InputError`.
    """

    least: int = 1
    most: int = 4
    num_cpus: float = 1
    num_gpus: float = 0
    memory: int | None = None
    resources: Mapping[str, float] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    runtime_env: Mapping[str, Any] | None = None
    device: str = "cpu"
    window: int | None = None
    retries: int = 5
    deadline: float = 600.0

    def __post_init__(self) -> None:
        """Check all values."""
        whole_number("least", self.least, 1)
        whole_number("most", self.most, 1)
        whole_number("retries", self.retries, 0)
        for name in ("memory", "window"):
            if getattr(self, name) is not None:
                whole_number(name, getattr(self, name), 1)
        if self.least > self.most:
            raise InputError(f"least={self.least!r} is above most={self.most!r}: raise most")
        self._check_number("num_cpus", 0.001)
        self._check_number("num_gpus", 0)
        self._check_number("deadline", 0.001)
        if self.num_gpus > 1 and not float(self.num_gpus).is_integer():
            raise InputError(
                f"num_gpus={self.num_gpus!r} is above 1 and not whole, which Ray does not reserve: "
                f"use {math.ceil(self.num_gpus)}, or a part of one"
            )
        known_device(self.device)
        self._check_names("resources", float, "an amount above 0, as {'disk': 1}")
        self._check_names("labels", str, "a text, as {'market-type': 'spot'}")
        if not isinstance(self.runtime_env, Mapping | None):
            raise InputTypeError(
                f"runtime_env={self.runtime_env!r} is not a dict: use {{'env_vars': {{'A': '1'}}}}"
            )
        if str(self.device).startswith("cuda") and not self.num_gpus:
            raise InputError(
                f"device={self.device!r} with num_gpus={self.num_gpus!r}: Ray hides all GPUs from "
                "an actor that reserves none, so give num_gpus=1, or a part of one"
            )

    def _check_number(self, name: str, least: float) -> None:
        value = getattr(self, name)
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if not number or not least <= value < math.inf:
            raise InputError(f"{name}={value!r} is not a number from {least} on: use 1")

    def _check_names(self, name: str, kind: type, example: str) -> None:
        given: Any = getattr(self, name)
        if not isinstance(given, Mapping):
            raise InputTypeError(f"{name}={given!r} is not a dict of names: give each {example}")
        for key, value in given.items():
            number = isinstance(value, int | float) and not isinstance(value, bool)
            fits = number and 0 < value < math.inf if kind is float else isinstance(value, kind)
            if not isinstance(key, str) or not fits:
                raise InputError(f"{name}={given!r} has {key!r}: {value!r}: give each {example}")

    @property
    def threads(self) -> int:
        """The number of threads of an actor."""
        return max(1, math.ceil(self.num_cpus))

    @property
    def reserved(self) -> dict[str, float]:
        """What an actor reserves of a node, as Ray names it there."""
        made = {"CPU": self.num_cpus, "GPU": self.num_gpus, "memory": self.memory or 0}
        return {name: value for name, value in {**made, **self.resources}.items() if value}

    @property
    def ahead(self) -> int:
        """The number of batches that are under way or wait."""
        return 2 * self.most if self.window is None else self.window

    def options(self) -> dict[str, Any]:
        """Return the options of an actor, as Ray names them."""
        made: dict[str, Any] = {
            "num_cpus": self.num_cpus, "num_gpus": self.num_gpus, "max_restarts": 0,
            "max_task_retries": 0, "max_concurrency": DEPTH,
        }  # fmt: skip
        for name, value in (("memory", self.memory), ("runtime_env", self.runtime_env)):
            if value is not None:
                made[name] = value if name == "memory" else dict(self.runtime_env or {})
        if self.resources:
            made["resources"] = dict(self.resources)
        if self.labels:
            made["label_selector"] = dict(self.labels)
        return made


DEPTH = 2  # batches at a time of an actor: one is stored while the next one is made


def wanted_actors(running: int, waited: float, busy: float, actors: Actors) -> int:
    """Return how many actors there should be.

    `waited` is the share of the last seconds in which the training waited for a batch, `busy` that
    in which an actor made one. Where actors wait too, the network or the training is what takes
    time, and one more actor would change nothing.
    """
    if waited > 0.05 and busy > 0.7:
        running += 1
    elif waited < 0.01 and busy * running < 0.8 * (running - 1):
        running -= 1
    return min(max(running, actors.least), actors.most)
