"""The gate of `bench_resident`: a loader is timed only if it does the work, by the laws."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F

from benchmarks.gate import Seen, Statistics
from benchmarks.peer_resident import HOLE, PADDING, Epoch, Job, Pair

SHIFTS = 2 * PADDING + 1
MARKED = 2048  # images that say who they are: three digits of base 16, one a channel
ALIKE = 4096  # copies of one image, for the laws
BATCH = 500  # leaves some out of both, as most epochs of real data do
OFF = 2.5  # gray levels that a value may be off; bfloat16 is off by up to 1
SIGMAS = 5.5  # of sampling error, where some 100 shares are looked at
STEP = 16  # gray levels between digits
SLOPE = 7  # gray levels from one row, or column, to the next


@dataclass(frozen=True)
class Drawn:
    """What was done to each image of some, int64 `[N]` each."""

    flip: torch.Tensor
    shifts: tuple[torch.Tensor, torch.Tensor]  # rows, columns
    centres: tuple[torch.Tensor, torch.Tensor]

    def rows(self) -> torch.Tensor:
        """Return one row an image, `[N, 5]`."""
        return torch.stack([self.flip, *self.shifts, *self.centres], 1)

    def shared(self) -> str:
        """Return the name of what all images have in common, if there is such a thing."""
        names = ("flip", "shift of the rows", "shift of the columns", "row", "column")
        same = (self.rows() == self.rows()[0]).all(0).tolist()
        return next((name for name, found in zip(names, same, strict=True) if found), "")


def check_batch(batch: Pair, job: Job) -> list[str]:
    """Return what is wrong with the form of a batch."""
    images, labels = batch
    wanted = (job.batch, job.images.shape[1], job.side, job.side)
    if tuple(images.shape) != wanted or tuple(labels.shape) != (job.batch,):
        return [f"shapes {tuple(images.shape)} and {tuple(labels.shape)}, not {wanted} and labels"]
    if (images.dtype, labels.dtype) != (job.dtype, torch.int64):
        return [f"{images.dtype} and {labels.dtype}, not {job.dtype} and torch.int64"]
    if any(part.device.type != job.device.type for part in batch):
        return [f"on {images.device} and {labels.device}, not {job.device}"]
    if not images.is_contiguous():
        return ["images that are not contiguous NCHW"]
    return [] if bool(images.isfinite().all()) else ["images that are not finite"]


def watch(epoch: Iterable[Pair], job: Job, classes: int) -> tuple[list[str], Statistics | None]:
    """Return what is wrong with an epoch of the data that are measured, and its statistics."""
    seen, steps = Seen(), 0
    for images, labels in epoch:
        steps += 1
        problems = check_batch((images, labels), job)
        if problems:
            return problems, None
        seen.add(images.cpu().float(), F.one_hot(labels.cpu(), classes).float())
    if steps != job.steps:
        return [f"{steps} batches in an epoch, not {job.steps}"], None
    return [], seen.statistics()


def grey(images: torch.Tensor, job: Job) -> torch.Tensor:
    """Return normalized images as gray levels from 0 to 255, float32 on the CPU."""
    mean, std = (torch.tensor(values)[:, None, None] for values in (job.mean, job.std))
    levels: torch.Tensor = (images.cpu().float() * std + mean) * 255
    return levels


# Images that say who they are


def marked(job: Job, count: int) -> Job:
    """Return a job whose images are plain, with their number in the three channels."""
    number = torch.arange(count)
    digits = torch.stack([number // 256, number // 16 % 16, number % 16], 1) * STEP + STEP // 2
    images = digits[:, :, None, None].expand(-1, -1, job.side, job.side)
    return _probe(job, images, _label(number))


def _label(number: torch.Tensor) -> torch.Tensor:
    return number * 7 % 10


def check_marked(epoch: Epoch, job: Job) -> list[str]:
    """Return what is wrong with two epochs of `marked`: labels, repetitions, order."""
    found, orders = [], []
    for _ in range(2):
        numbers, labels = [], []
        for batch in epoch():
            if problems := check_batch(batch, job):
                return problems
            # The hole covers less than half of an image, so the median is that of the rest.
            levels = grey(batch[0], job).flatten(2).median(2).values
            digits = ((levels - STEP / 2) / STEP).round().long().clamp(0, 15)
            numbers.append(digits @ torch.tensor([256, 16, 1]))
            labels.append(batch[1].cpu())
        order, given = torch.cat(numbers), torch.cat(labels)
        orders.append(order)
        if len(order) != job.steps * job.batch:
            found.append(f"{len(order)} images in an epoch, not {job.steps * job.batch}")
        if len(set(order.tolist())) != len(order):
            found.append("images that come twice in an epoch")
        if bool((given != _label(order)).any()):
            found.append("labels that are not those of their images")
        if bool((order[1:] > order[:-1]).all()):
            found.append("images in the order of the dataset")
    if not found and bool((orders[0] == orders[1]).all()):
        found.append("two epochs in the same order")
    return list(dict.fromkeys(found))


# Copies of one image, which show what was drawn for each


def alike(job: Job, count: int) -> Job:
    """Return a job of copies of an image: a ramp across, a ramp down, and a plain channel."""
    ramp = torch.arange(job.side) * SLOPE + 10
    across = ramp.expand(job.side, -1)
    picture = torch.stack([across, across.T, torch.full_like(across, 128)])
    return _probe(job, picture.expand(count, -1, -1, -1), torch.zeros(count, dtype=torch.int64))


def check_alike(epoch: Epoch, job: Job) -> list[str]:
    """Return what is wrong with two epochs of `alike`: the laws of flip, shifts and hole."""
    drawn = []
    for _ in range(2):
        parts = []
        for batch in epoch():
            problems = check_batch(batch, job)
            part = problems or decisions(batch[0], job)
            if not isinstance(part, Drawn):
                return part
            parts.append(part.rows())
            if shared := part.shared():
                return [f"one {shared} for all images of a batch"]
        flip, *rest = torch.cat(parts).unbind(1)
        drawn.append(Drawn(flip, (rest[0], rest[1]), (rest[2], rest[3])))
    if torch.equal(drawn[0].rows(), drawn[1].rows()):
        return ["two epochs with the same draws"]
    return check_laws(drawn[0], job.side)


def decisions(images: torch.Tensor, job: Job) -> Drawn | list[str]:
    """Return what was drawn for each image, or why it is nothing that can be drawn."""
    levels, hidden = grey(images, job), (images == 0).all(1).cpu()
    found = []
    for channel, wanted in enumerate(_candidates(job.side)):
        # The ramp of channel 0 runs along axis 2, that of channel 1 along axis 1. Where the hole
        # is, any value will do; it leaves some pixels of every row and column.
        high = levels[:, channel].masked_fill(hidden, -torch.inf).amax(1 + channel)
        low = levels[:, channel].masked_fill(hidden, torch.inf).amin(1 + channel)
        off = torch.maximum(high[:, None] - wanted, wanted - low[:, None])
        worst, which = off.amax(2).min(1)
        if float(worst.max()) > OFF:
            return [f"a pixel {float(worst.max()):.0f} gray levels off every mirrored shift"]
        found.append(which)
    centres = hole_centres(hidden)
    if centres is None:
        return [f"a hole that is not a square of {HOLE} cut off at the border"]
    return Drawn(found[0] // SHIFTS, (found[1], found[0] % SHIFTS), centres)


def _candidates(side: int) -> tuple[torch.Tensor, torch.Tensor]:
    # What a column ramp `[2 * SHIFTS, S]` and a row ramp `[SHIFTS, S]` can turn into.
    along = torch.arange(-PADDING, side + PADDING).abs()
    ramp = torch.where(along < side, along, 2 * (side - 1) - along) * SLOPE + 10.0
    shifted = ramp.unfold(0, side, 1)
    return torch.cat([shifted, shifted.flip(1)]), shifted


def hole_centres(hidden: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor] | None:
    """Return the centers of holes bool `[B, S, S]`; None if one is not a square, cut off."""
    side = hidden.shape[-1]
    along = torch.arange(side)
    spans = [(along >= c - HOLE // 2) & (along < c - HOLE // 2 + HOLE) for c in range(side)]
    possible = torch.stack(spans)  # [center, S]: all different
    centres = []
    for axis in (2, 1):
        same = (hidden.any(axis)[:, None] == possible).all(2)
        if not bool(same.any(1).all()):
            return None
        centres.append(same.int().argmax(1))
    square = possible[centres[0]][:, :, None] & possible[centres[1]][:, None, :]
    return (centres[0], centres[1]) if torch.equal(square, hidden) else None


def check_laws(drawn: Drawn, side: int) -> list[str]:
    """Return what does not follow its law: all of it is uniform, and independent in pairs."""
    rows, columns = drawn.shifts
    laws = {
        "flip": (drawn.flip, 2),
        "shift of the rows": (rows, SHIFTS),
        "shift of the columns": (columns, SHIFTS),
        "pair of shifts": (rows * SHIFTS + columns, SHIFTS**2),
        "flip and shift": (drawn.flip * SHIFTS + columns, 2 * SHIFTS),
        "row of the hole's center": (drawn.centres[0], side),
        "column of the hole's center": (drawn.centres[1], side),
    }
    return [
        text for name, (values, kinds) in laws.items() if (text := _uneven(name, values, kinds))
    ]


def _uneven(name: str, values: torch.Tensor, kinds: int) -> str:
    counts = torch.bincount(values, minlength=kinds)
    wanted = len(values) / kinds
    off = (counts - wanted).abs()
    worst = int(off.argmax())
    if float(off[worst]) <= SIGMAS * (wanted * (1 - 1 / kinds)) ** 0.5:
        return ""
    return f"{name}: {int(counts[worst])} of {len(values)} have value {worst}, not {wanted:.0f}"


def _probe(job: Job, images: torch.Tensor, labels: torch.Tensor) -> Job:
    made = images.to(torch.uint8).contiguous()
    return replace(job, images=made, labels=labels, batch=BATCH, processes=0)


def probe(make: Callable[[Job], Epoch], job: Job) -> list[str]:
    """Return what a loader does otherwise, on both kinds of probes."""
    first = marked(job, MARKED)
    problems = check_marked(make(first), first)
    second = alike(job, ALIKE)
    return problems or check_alike(make(second), second)
