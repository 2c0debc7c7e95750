"""Measures an engine against the copy bandwidth of its device."""

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

import torch

from augfeed.bench.chains import chosen
from augfeed.bench.check import check, witness_for
from augfeed.bench.clock import MOST, Clock, copied
from augfeed.bench.machine import commit_here, device_here, machine_here, now, versions_of
from augfeed.bench.result import Copy, KernelResult, KernelRow, Shape, Timed
from augfeed.bench.work import BenchImages, Task, bytes_moved, sets_for
from augfeed.engines import DTYPES, Engine, Output, check_engine, engine_for, usable_device
from augfeed.errors import InputError
from augfeed.memory_pool import Memory
from augfeed.notation import format_policy
from augfeed.policy import Policy

SHAPES = {
    "cuda": ("64x3x224x224", "256x3x224x224", "1024x3x32x32"),
    "cpu": ("64x3x224x224", "1024x3x32x32"),
}
LEAST_REPEATS = 3
PACKAGES = ("torch", "triton", "numpy", "numba")

Tick = Callable[[str], None]


@dataclass(frozen=True)
class Options:
    """What is measured, and how often."""

    device: torch.device
    engine: str
    output: Output
    wanted: Mapping[Shape, Mapping[str, Policy]]
    repeats: int

    @classmethod
    def of(
        cls,
        device: str = "auto",
        engine: str = "auto",
        dtype: str | None = None,
        *,
        shapes: list[str] | None = None,
        chains: list[str] | None = None,
        repeats: int = 20,
        channels_last: bool = False,
    ) -> "Options":
        """Return the options that texts name; raise `InputError` for what cannot be measured."""
        found = usable_device(_auto() if device == "auto" else device)
        check_engine(found, engine)
        names = shapes or SHAPES.get(found.type, SHAPES["cpu"])
        if repeats < LEAST_REPEATS:
            raise InputError(f"repeats={repeats} give no quartiles: use {LEAST_REPEATS} or more")
        dtype = dtype or ("bfloat16" if found.type == "cuda" else "float32")
        output = Output(measured_dtype(dtype), channels_last)
        wanted = chosen([Shape.parse(name) for name in names], chains)
        return cls(found, engine, output, wanted, repeats)

    @property
    def steps(self) -> int:
        """The number of times that `measure` says where it is."""
        return 2 + sum(map(len, self.wanted.values()))


def measured_dtype(name: str) -> torch.dtype:
    """Return the element type that a text names; `InputError` if it is none that is measured."""
    floats = {name: kind for name, kind in DTYPES.items() if kind.is_floating_point}
    if name not in floats:
        raise InputError(f"dtype={name!r} is not measured: use one of {list(floats)}")
    return floats[name]


def _auto() -> str:
    return "cuda" if torch.cuda.is_available() else "cpu"


def measure(
    options: Options, command: str, tick: Tick = lambda _: None, copy: Copy | None = None
) -> KernelResult:
    """Return what an engine reaches; raise `CheckError` before any time is taken.

    `copy` is what an earlier run found of the device's bandwidth, which is measured without it.
    """
    engine, threads = engine_for(options.device, options.engine), torch.get_num_threads()
    machine, device = machine_here(threads), device_here(options.device)
    tick("comparing the pixels with those of another engine")
    witness = witness_for(engine)
    if witness is not None:
        check(engine, witness, options.wanted, options.device, options.output)
    tick("copying")
    copy = copy or copied(options.device, threads)
    rows = []
    for shape, policies in options.wanted.items():
        with taking_turns(options, engine, shape, device.cache) as task_of:
            for name, policy in policies.items():
                tick(f"{name}, {shape.name}")
                rows.append(_row(name, task_of(policy), options, copy.bandwidth.median))
    return KernelResult(
        date=now(),
        command=command,
        commit=commit_here(),
        machine=machine,
        device=device,
        versions=versions_of(PACKAGES),
        engine=engine.name,
        checked=witness.name if witness else None,
        dtype=str(options.output.dtype).removeprefix("torch."),
        channels_last=options.output.channels_last,
        repeats=options.repeats,
        copied=copy,
        rows=tuple(rows),
    )


@contextmanager
def taking_turns(
    options: Options, engine: Engine, shape: Shape, cache: int
) -> Iterator[Callable[[Policy], Task]]:
    """Yield what makes the task of a policy, on images that all tasks of a shape share."""
    cuda, threads = options.device.type == "cuda", torch.get_num_threads()
    free = torch.cuda.mem_get_info(options.device)[0] if cuda else None
    sets = sets_for(shape, options.output.dtype, cache, free)
    pictures = BenchImages(shape, options.device, sets)
    with ThreadPoolExecutor(threads) as pool:
        yield lambda policy: Task(engine, policy, pictures, options.output, pool, threads, Memory())


def _row(name: str, task: Task, options: Options, bandwidth: float) -> KernelRow:
    clock, repeats, sets = Clock(options.device), range(options.repeats), len(task.pictures)
    run, whole = task.passes(), task.planned_passes()
    launches = clock.times(clock.warm_up(run, sets))
    ahead = clock.launching(run, launches) if task.tells_apart else 0.0
    seconds = [clock.worked(run, launches, ahead) for _ in repeats]
    times = clock.times(clock.warm_up(whole, 1))
    waited = [clock.waited(whole, times) for _ in repeats]
    hosted = [clock.hosted(whole, MOST // 4) for _ in repeats] if clock.cuda else []
    timed = Timed(
        name,
        format_policy(task.policy),
        task.pictures.shape,
        bytes_moved(task.pictures.shape, task.output.dtype),
        sets,
        "pass" if task.tells_apart else "apply",
        launches,
    )
    return KernelRow.of(timed, seconds, waited, bandwidth, hosted)
