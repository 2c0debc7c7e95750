"""The contest of the kernel: who takes part, the gate, and interleaved rounds."""

import gc
import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from augfeed import DataLoader
from augfeed.bench.clock import Clock
from augfeed.bench.kernel import Options, Tick, taking_turns
from augfeed.bench.machine import device_here
from augfeed.bench.result import Shape, Spread
from augfeed.bench.work import SEED, Task
from augfeed.engines import engine_for
from augfeed.errors import MissingExtraError
from augfeed.policy import CutMix, Grayscale, Mixup, Normalize, OneOf, Policy, Posterize, Solarize
from benchmarks import kernel_kornia, kernel_torchvision, kernel_triton
from benchmarks.kernel_peer import Made, Peer, UnsupportedError, Work
from benchmarks.kernel_result import LOADER, PASS, WHOLE, LeftOut, Standing
from benchmarks.result import Ratio

PORTABLE = "portable"
THREADS, LOADED, CLASSES = 4, 64, 10  # of the loader: threads, batches of an epoch, classes
PEERS = (
    Peer("kornia", "Kornia's classes on the batch", kernel_kornia.make),
    Peer(
        "kornia_compiled",
        "Kornia's classes on the batch, compiled",
        kernel_kornia.make_compiled,
        wished=True,
    ),
    Peer("torchvision", "torchvision v2 on the batch", kernel_torchvision.make, per_sample=False),
    Peer("triton_augment", "triton-augment", kernel_triton.make),
    Peer("triton_ready", "triton-augment, without the conversion", kernel_triton.make_ready),
)
SHORTEST = 0.03  # seconds that a contestant should take in a round at least
MOST_BATCHES = 50
FIRST = 3  # batches of a contestant before it is timed
PROBE = 16  # images, all alike, in which a peer's own parameters must show
DISTINCT = 1e-3  # by how much one of them must differ from the first somewhere
NEAR = 0.02  # in the mean over values, where nothing is drawn
FIXED = (Normalize, Posterize, Solarize, Grayscale)  # with p = 1 nothing is drawn


@dataclass(frozen=True)
class Entry:
    """A contestant that is ready: `run` makes the next batch."""

    name: str
    title: str
    run: Callable[[], Any]
    differs: str = ""
    batches: int = 1


def contest(
    options: Options, peers: Sequence[Peer], rounds: int, tick: Tick
) -> tuple[tuple[Standing, ...], tuple[LeftOut, ...]]:
    """Return how contestants stand at every chain and shape, and who is left out and why."""
    rows: list[Standing] = []
    left_out: list[LeftOut] = []
    engine, cache = engine_for(options.device, options.engine), device_here(options.device).cache
    for shape, policies in options.wanted.items():
        with taking_turns(options, engine, shape, cache) as task_of:
            for chain, policy in policies.items():
                tick(f"{chain}, {shape.name}: gate")
                entries, missing = _entries(task_of(policy), peers, tick)
                left_out += [item.model_copy(update={"chain": chain, "shape": shape})
                             for item in missing]  # fmt: skip
                seconds = race(entries, options.device, rounds)
                rows += _standings(chain, shape, entries, seconds)
                gc.collect()
    return tuple(rows), tuple(left_out)


def race(entries: Sequence[Entry], device: torch.device, rounds: int) -> dict[str, list[float]]:
    """Return the seconds of a batch of everyone, round by round: A B C A B C ..."""
    clock = Clock(device)
    gc.collect()
    seconds: dict[str, list[float]] = {entry.name: [] for entry in entries}
    for _ in range(rounds):
        for entry in entries:
            seconds[entry.name].append(clock.waited(entry.run, entry.batches))
    return seconds


def problems_of(peer: Peer, made: Made, work: Work, base: torch.Tensor, given: Any) -> list[str]:
    """Return what a peer does that is not the work, where `base` is augfeed's batch of `given`."""
    images = _call(made, given)
    if tuple(images.shape) != tuple(work.shape) or images.dtype != work.dtype:
        return [f"{images.dtype} {tuple(images.shape)}, not {work.dtype} {tuple(work.shape)}"]
    if not images.is_contiguous(memory_format=work.memory):
        return [f"a batch that is not {work.memory} in memory"]
    if not bool(images.isfinite().all()):
        return ["values that are not finite"]
    if nothing_drawn(work.policy):
        gap = float((images.float() - base.float()).abs().mean())
        return [f"values that differ by {gap:.3f} in the mean"] if gap > NEAR else []
    if peer.per_sample and work.shape.batch >= PROBE:
        alike = _call(made, probe(work)).float()
        if float((alike - alike[:1]).abs().max()) < DISTINCT:
            return ["one image, repeated, comes out as one: samples do not draw for themselves"]
    return []


def nothing_drawn(policy: Policy) -> bool:
    """Whether a policy does the same to every image."""
    return all(
        isinstance(item, FIXED) and getattr(item, "p", 1.0) == 1.0 for item in policy.operations
    )


def probe(work: Work) -> torch.Tensor:
    """Return one image, repeated; two by turns where mixing is all that is drawn."""
    height, width = work.shape.size
    line = torch.linspace(40, 215, height * width, device=work.device)
    pictures = line.view(1, 1, height, width).expand(*work.shape).to(torch.uint8).contiguous()
    drawn = [item for item in work.policy.operations if not isinstance(item, FIXED)]
    if all(isinstance(item, Mixup | CutMix | OneOf) for item in drawn):
        pictures[::2], pictures[1::2] = 0, 255
    return pictures


def _call(made: Made, planes: torch.Tensor) -> torch.Tensor:
    return made.run(made.prepare(planes) if made.prepare else planes)


def _entries(task: Task, peers: Sequence[Peer], tick: Tick) -> tuple[list[Entry], list[LeftOut]]:
    device = task.pictures.device
    left_out: list[LeftOut] = []
    whole = task.planned_passes()
    entries = [Entry(WHOLE, "augfeed, plan and pixels", whole)]
    if task.tells_apart:
        entries.append(Entry(PASS, "augfeed, the pass alone", task.passes(), "its plan is ready"))
    if task.engine.name != PORTABLE:
        try:
            portable = replace(task, engine=engine_for(device, PORTABLE)).planned_passes()
            entries.append(Entry(PORTABLE, "augfeed's portable engine, plan and pixels", portable))
        except MissingExtraError as error:
            left_out.append(LeftOut(name=PORTABLE, reason=str(error)))
    if device.type == "cuda":
        entries.append(Entry(LOADER, "augfeed.DataLoader over images on the device", loaded(task)))
    work = Work(task.policy, task.pictures.shape, task.output.dtype, _memory(task), device)
    planes = [batch.permute(0, 3, 1, 2).contiguous() for batch in task.pictures.batches]
    base = task.batch(0)
    for peer in peers:
        tick(f"{peer.title}: gate")
        try:
            made = peer.make(work)
            if problems := problems_of(peer, made, work, base, planes[0]):
                raise UnsupportedError("not the same work: " + "; ".join(problems))
            given = [made.prepare(batch) for batch in planes] if made.prepare else planes
            entries.append(Entry(peer.name, peer.title, _turns(made, given),
                                 "; ".join(made.differs)))  # fmt: skip
        except UnsupportedError as error:
            left_out.append(LeftOut(name=peer.name, reason=str(error)))
        except Exception as error:  # whatever a foreign library raises
            reason = f"{type(error).__name__}: {error}".splitlines()[0]
            left_out.append(LeftOut(name=peer.name, reason=reason))
    clock, sets = Clock(device), len(planes)
    return [replace(entry, batches=_batches(clock, entry, sets)) for entry in entries], left_out


def loaded(task: Task, threads: int = THREADS, batches: int = LOADED) -> Callable[[], Any]:
    """Return what takes the next batch of a loader, epoch after epoch, over images on the device.

    As users meet the engine: plans of several batches are drawn as one, by threads, ahead.
    """
    shape, device = task.pictures.shape, task.pictures.device
    images = _many(shape, batches)
    loader: Any = DataLoader(
        (images, np.arange(len(images)) % CLASSES), shape.batch, shuffle=True,
        drop_last=True, policy=task.policy, device=device, engine=task.engine.name, resident=True,
        seed=SEED, num_workers=threads, num_classes=CLASSES, dtype=task.output.dtype,
        channels_last=task.output.channels_last,
    )  # fmt: skip
    epochs = itertools.chain.from_iterable(loader for _ in itertools.count())
    return lambda: next(epochs)[0]


@lru_cache(1)
def _many(shape: Shape, batches: int) -> NDArray[np.uint8]:
    # The images of an epoch of a loader, which all chains of a shape have in common.
    size = (batches * shape.batch, shape.height, shape.width, shape.channels)
    return np.random.default_rng(SEED).integers(0, 256, size, np.uint8)


def _turns(made: Made, given: Sequence[torch.Tensor]) -> Callable[[], torch.Tensor]:
    cycle = itertools.cycle(given)
    return lambda: made.run(next(cycle))


def _batches(clock: Clock, entry: Entry, sets: int) -> int:
    # Plans that are ready have memory of their own to write to, which is touched here.
    whole = {PASS: sets, LOADER: LOADED}.get(entry.name, FIRST)
    each = clock.warm_up(entry.run, whole)
    if entry.name == LOADER:  # what it makes ahead is of the time of its epoch
        return LOADED
    return max(1, min(MOST_BATCHES, math.ceil(SHORTEST / each)))


def _memory(task: Task) -> torch.memory_format:
    return torch.channels_last if task.output.channels_last else torch.contiguous_format


def _standings(
    chain: str, shape: Shape, entries: Sequence[Entry], seconds: dict[str, list[float]]
) -> list[Standing]:
    whole = seconds[WHOLE]
    alone, loader = seconds.get(PASS, whole), seconds.get(LOADER)
    return [
        Standing(
            chain=chain,
            shape=shape,
            name=entry.name,
            title=entry.title,
            differs=entry.differs,
            batches=entry.batches,
            seconds=tuple(own := seconds[entry.name]),
            rate=Spread.of([shape.batch / taken for taken in own]),
            slower=Ratio.of(own, whole),
            slower_than_pass=Ratio.of(own, alone),
            slower_than_loader=Ratio.of(own, loader) if loader else None,
        )
        for entry in entries
    ]
