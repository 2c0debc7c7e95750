"""The gate: a contestant is timed only if it does the work that it is timed for."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Generic

import torch

from benchmarks.chain import Chain, Part
from benchmarks.contest import Contestant, D, Job, Suite

BASE = "augfeed"  # whom all others are compared with
DISTINCT: dict[Part, int] = {
    "crop": 4, "flip": 2, "jitter": 4, "cutout": 4, "noise": 4, "program": 8, "erasing": 2,
}  # fmt: skip
NEAR_MEAN = 0.1  # of means after normalization, where one standard deviation is about 1
NEAR_STD = 0.1  # as a share
NEAR_TOP = 0.05  # of the mean over a pass of the largest share in a label
PROBED = 64  # samples at least that the parts are tried on
SIGMAS = 4.0  # of sampling error, added to the bounds above
EXACT = 0.02  # between the share of a label and that of the pixels
NOISE = 0.15  # of the deviation of the noise, as a share


# Returns what is wrong with (images, labels).
Check = Callable[[torch.Tensor, torch.Tensor], list[str]]


class GateError(Exception):
    """What contestants do otherwise than the contract says."""

    def __init__(self, problems: Iterable[str]) -> None:
        super().__init__("\n".join(problems))


@dataclass(frozen=True)
class Statistics:
    """Mean and deviation per channel, mean of the largest share, with errors of sampling."""

    mean: torch.Tensor
    std: torch.Tensor
    error: torch.Tensor
    top: float
    top_error: float


@dataclass
class Seen:
    """What passed by in one pass of a contestant."""

    samples: int = 0
    problems: list[str] = field(default_factory=list)
    means: list[torch.Tensor] = field(default_factory=list)  # of samples, [B, C]
    squares: list[torch.Tensor] = field(default_factory=list)
    tops: list[torch.Tensor] = field(default_factory=list)  # largest shares, [B]

    def add(self, images: torch.Tensor, targets: torch.Tensor | None) -> None:
        """Take in a batch for the statistics; without shares where labels stay numbers."""
        self.means.append(images.mean((2, 3)))
        self.squares.append((images**2).mean((2, 3)))
        self.tops.append(torch.ones(len(images)) if targets is None else targets.max(1).values)

    def statistics(self) -> Statistics:
        """Return what is compared between contestants."""
        means, squares = torch.cat(self.means).double(), torch.cat(self.squares).double()
        tops, root = torch.cat(self.tops).double(), len(means) ** 0.5
        mean = means.mean(0)
        std = (squares.mean(0) - mean**2).clamp_min(0).sqrt()
        error = means.std(0) / root
        return Statistics(mean, std, error, float(tops.mean()), float(tops.std()) / root)


class Gate(Generic[D]):
    """Looks at what contestants of a suite give out; `close` raises if anything was wrong."""

    def __init__(self, suite: Suite[D]) -> None:
        self.job, self.probes = suite.job, suite.probes
        self.problems: list[str] = []
        self.statistics: dict[str, Statistics] = {}

    def watch(self, contestant: Contestant[D], batches: Iterable[tuple[Any, Any]]) -> None:
        """Check every batch of a whole pass."""
        seen = Seen()
        for images, targets in batches:
            seen.samples += len(images)
            problems = self._check(contestant, images, targets)
            seen.problems += problems
            if contestant.work == "whole" and not problems:
                seen.add(images, targets if self.job.chain.softens else None)
        if seen.samples != len(self.job.data):
            seen.problems.append(f"{seen.samples} samples came, not {len(self.job.data)}")
        if seen.means:
            self.statistics[contestant.name] = seen.statistics()
        self._note(contestant, seen.problems)

    def probe(self, contestant: Contestant[D]) -> None:
        """Check the parts of the chain, each tried alone on data made for it."""
        if contestant.work != "whole":
            return
        problems = []
        for chain, check in trials(self.job.chain):
            images, targets = self._one(contestant, chain)
            found = check_images(images, self._count, chain)
            if chain.softens:
                found += check_targets(targets, self._count, 2)
            problems += found or check(images, targets)
        self._note(contestant, problems)

    def close(self) -> None:
        """Compare the statistics, then raise `GateError` if there was any problem."""
        self.problems += compare(self.statistics)
        if self.problems:
            raise GateError(self.problems)

    def _check(self, contestant: Contestant[D], images: Any, targets: Any) -> list[str]:
        if contestant.work == "decode":
            whole = all(len(shape) == 3 and shape[2] == 3 for shape in images)
            return [] if whole else ["what was decoded is not an image [h, w, 3]"]
        problems = check_images(images, self.job.batch, self.job.chain, contestant)
        if contestant.work == "whole" and self.job.chain.softens:
            problems += check_targets(targets, self.job.batch, self.job.classes)
        return problems

    @property
    def _count(self) -> int:
        # Enough that chance alone does not leave a mixing that is right with too few shares.
        return max(self.job.batch, PROBED)

    def _one(self, contestant: Contestant[D], chain: Chain) -> tuple[Any, Any]:
        count = self._count
        data = self.probes.extremes(count) if chain.softens else self.probes.alike(count)
        job = Job(data, chain, 2, count, self.job.threads, workers=0)
        (batch,) = contestant.make(job)()
        return batch

    def _note(self, contestant: Contestant[D], problems: Iterable[str]) -> None:
        self.problems += [f"{contestant.name}: {text}" for text in dict.fromkeys(problems)]


def trials(chain: Chain) -> Iterator[tuple[Chain, Check]]:
    """Yield the chain with one part alone, and what to check of its output, for each part."""
    yield chain.only(), lambda images, _: check_idle(images)
    for part in DISTINCT:
        if chain.only(part) != chain.only():
            yield chain.only(part), partial(_drawn, part=part, chain=chain)
    if chain.mixing:
        yield chain.only("mixing").plain(), check_mixing
    if chain.smoothing:
        yield chain.only("smoothing"), lambda _, targets: check_smoothing(targets, chain.smoothing)


def check_images(
    images: Any, batch: int, chain: Chain, contestant: Contestant[Any] | None = None
) -> list[str]:
    """Return what is wrong with images that should be `[B, C, S, S]` and finite.

    They should be of the contestant's element type and layout; without one, float32 planes.
    """
    dtype = contestant.dtype if contestant else torch.float32
    last = contestant is not None and contestant.channels_last
    wanted = (batch, len(chain.mean), chain.size, chain.size)
    if not isinstance(images, torch.Tensor) or tuple(images.shape) != wanted:
        return [f"images of shape {tuple(getattr(images, 'shape', ()))}, not {wanted}"]
    if images.dtype != dtype:
        return [f"images of {images.dtype}, not {str(dtype)[6:]}"]
    layout = torch.channels_last if last else torch.contiguous_format
    if not images.is_contiguous(memory_format=layout):
        return [f"images that are not contiguous {'NHWC' if last else 'NCHW'}"]
    return [] if bool(images.isfinite().all()) else ["images that are not finite"]


def check_targets(targets: Any, batch: int, classes: int) -> list[str]:
    """Return what is wrong with labels that should be float32 rows `[B, K]` of shares."""
    wanted = (batch, classes)
    if not isinstance(targets, torch.Tensor) or tuple(targets.shape) != wanted:
        return [f"labels of shape {tuple(getattr(targets, 'shape', ()))}, not {wanted}"]
    if targets.dtype != torch.float32:
        return [f"labels of {targets.dtype}, not float32"]
    if not bool(((targets.sum(1) - 1).abs() < 1e-4).all()) or float(targets.min()) < -1e-6:
        return ["labels whose shares are negative or do not sum to 1"]
    return []


def distinct(images: torch.Tensor) -> torch.Tensor:
    """Return the different images of a batch, as rows."""
    rows: torch.Tensor = torch.unique(images.flatten(1).round(decimals=3), dim=0)
    return rows


def check_idle(images: torch.Tensor) -> list[str]:
    """Return what is wrong with one image, repeated, while every part is off."""
    alone = len(distinct(images)) == 1
    return [] if alone else ["with every part off, one image comes out in different ways"]


def check_draws(images: torch.Tensor, part: Part, chain: Chain) -> list[str]:
    """Return what is wrong with one image, repeated, after one part of the chain."""
    found = len(distinct(images))
    if found < DISTINCT[part]:
        return [f"{part} leaves {found} different images in a batch of one image: samples do "
                "not draw for themselves"]  # fmt: skip
    sigma = float(images.std(0).mean())
    if part == "noise" and abs(sigma / chain.noise - 1) > NOISE:
        return [f"noise has a deviation of {sigma:.4f}, not {chain.noise}"]
    return []


def _drawn(images: torch.Tensor, _: torch.Tensor, part: Part, chain: Chain) -> list[str]:
    return check_draws(images, part, chain)


def check_mixing(images: torch.Tensor, targets: torch.Tensor) -> list[str]:
    """Return what is wrong with mixed black (class 0) and white (class 1) images."""
    problems = []
    white = images.mean((1, 2, 3))
    worst = float((white - targets[:, 1]).abs().max())
    if worst > EXACT:
        problems.append(f"labels miss the share of the pixels by up to {worst:.3f}")
    mixed = targets[(targets[:, 1] > 0.01) & (targets[:, 1] < 0.99)]
    if len(distinct(mixed)) < DISTINCT["noise"]:
        problems.append("mixing gives all samples the same share")
    return problems


def check_smoothing(targets: torch.Tensor, smoothing: float) -> list[str]:
    """Return what is wrong with labels of two classes that are only smoothed."""
    low, wanted = targets.min(1).values, smoothing / targets.shape[1]
    near = bool(((low - wanted).abs() < 1e-4).all())
    return [] if near else [f"smoothing leaves the other class {float(low[0]):.4f}, not {wanted}"]


def compare(statistics: Mapping[str, Statistics]) -> list[str]:
    """Return whose output has other statistics than augfeed's."""
    base = statistics.get(BASE)
    if base is None:
        return []
    problems = []
    for name, other in statistics.items():
        off = (other.mean - base.mean).abs() - NEAR_MEAN - SIGMAS * (other.error + base.error)
        if float(off.max()) > 0:
            problems.append(f"{name}: mean {_shown(other.mean)}, {BASE} has {_shown(base.mean)}")
        share = (other.std / base.std - 1).abs() - NEAR_STD - SIGMAS * (other.error + base.error)
        if float(share.max()) > 0:
            problems.append(f"{name}: deviation {_shown(other.std)}, {BASE} has {_shown(base.std)}")
        bound = NEAR_TOP + SIGMAS * (other.top_error + base.top_error)
        if abs(other.top - base.top) > bound:
            problems.append(f"{name}: largest share of a label {other.top:.3f} in the mean, "
                            f"{BASE} has {base.top:.3f}")  # fmt: skip
    return problems


def _shown(values: torch.Tensor) -> str:
    return " ".join(f"{value:.3f}" for value in values.tolist())
