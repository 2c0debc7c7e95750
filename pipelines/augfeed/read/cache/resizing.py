"""Cutting and resizing images on any device: the pixels of `kernels.resample`, by torch.

As there: two passes, the horizontal one first, with Pillow's weights, each of which rounds bytes,
and keeps floats in [0, 1]. The tables of weights are made on the host and go over in one copy.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from augfeed.kernels.resample import HALF
from augfeed.kernels.resample_weights import fill_blends, taps_of
from augfeed.kernels.weigh_rows import BITS

ROOM = 4 << 20  # pixels between the passes at a time, of about 40 bytes of intermediate values

Ints = NDArray[np.int64]


class Source(NamedTuple):
    """Flat memory on the device, uint8 or float32, and the rows whose images lie in it."""

    memory: torch.Tensor
    rows: Ints


class Batch(NamedTuple):
    """What is cut of which image: its first value and its width `[N]`, and its window."""

    at: Ints
    widths: Ints
    box: Ints  # [N, 4]: top, left, height, width; inside the image
    resized: NDArray[Any]  # [N, 2]
    offset: NDArray[Any]  # [N, 2]
    filters: NDArray[Any]  # [N]
    size: tuple[int, int]  # (height, width) of what comes out, inside what is resized


class Side(NamedTuple):
    """By which inputs outputs are blended: starts `[N, count]`, weights `[N, count, taps]`."""

    starts: NDArray[np.int32]
    weights: NDArray[np.int32]


def resize(
    batch: Batch, sources: list[Source], channels: int, device: torch.device
) -> torch.Tensor:
    """Return `[N, height, width, channels]` on the device, of the type of the sources.

    Nothing waits for it.
    """
    height, width = batch.size
    kind = sources[0].memory.dtype if sources else torch.uint8
    out = torch.empty((len(batch.at), height, width, channels), dtype=kind, device=device)
    if not out.numel():
        return out
    down, across = (_side(batch, axis) for axis in (0, 1))
    first = down.starts[:, 0].astype(np.int64)
    end = np.minimum(down.starts[:, -1] + down.weights.shape[2], batch.box[:, 2])
    counts = end - first  # rows between the passes
    corner = batch.at + channels * ((batch.box[:, 0] + first) * batch.widths + batch.box[:, 1])
    chunks = list(_chunks(sources, counts, width))
    begin = np.zeros(len(counts), np.int64)  # of an image's rows in its chunk
    for _, rows in chunks:
        begin[rows] = np.cumsum(counts[rows]) - counts[rows]
    order = np.concatenate([rows for _, rows in chunks])
    owner = np.repeat(order, counts[order])
    number = np.arange(len(owner)) - np.repeat(
        np.cumsum(counts[order]) - counts[order], counts[order]
    )
    pitch = channels * batch.widths
    tables = _sent(
        [
            order, owner, corner[owner] + number * pitch[owner],
            begin, begin + counts - 1, down.starts - first[:, None].astype(np.int32), down.weights,
            batch.box[:, 3] - 1, across.starts, across.weights,
        ],
        device,
    )  # fmt: skip
    samples, owners, places, begins, lasts, starts_y, weights_y, ends, starts_x, weights_x = tables
    done = made = 0
    for memory, rows in chunks:
        total = int(counts[rows].sum())
        lines, own = slice(made, made + total), samples[done : done + len(rows)]
        middle = _across(
            memory, places[lines], owners[lines], (starts_x, weights_x, ends), channels
        )
        out[own] = _down(middle, own, (starts_y, weights_y, begins, lasts)).view(-1, *out.shape[1:])
        done, made = done + len(rows), made + total
    return out


def _side(batch: Batch, axis: int) -> Side:
    lengths, count = np.ascontiguousarray(batch.box[:, 2 + axis]), batch.size[axis]
    sizes = batch.resized[:, axis].astype(np.int64)
    starts = np.empty((len(lengths), count), np.int32)
    weights = np.empty((*starts.shape, taps_of(lengths, sizes, batch.filters)), np.int32)
    firsts = batch.offset[:, axis].astype(np.int64)
    fill_blends(lengths, sizes, firsts, batch.filters, starts, weights)
    return Side(starts, weights)


def _chunks(sources: list[Source], counts: Ints, width: int) -> Iterator[tuple[torch.Tensor, Ints]]:
    # Parts of the batch whose images lie in one block and take no more than ROOM, or one image.
    for memory, rows in sources:
        start, pixels = 0, counts[rows] * width
        filled = 0
        for k, more in enumerate(pixels.tolist()):
            if filled and filled + more > ROOM:
                yield memory, rows[start:k]
                start, filled = k, 0
            filled += more
        yield memory, rows[start:]


def _sent(arrays: list[NDArray[Any]], device: torch.device) -> list[torch.Tensor]:
    # One copy, from memory that the device reads by itself, so that nobody waits.
    places = np.cumsum([0, *(-(-array.nbytes // 8) * 8 for array in arrays)]).tolist()
    host = torch.empty(places[-1], dtype=torch.uint8, pin_memory=device.type == "cuda")
    view = host.numpy()
    for place, array in zip(places, arrays, strict=False):
        view[place : place + array.nbytes].view(array.dtype).reshape(array.shape)[...] = array
    there = host.to(device, non_blocking=True)
    kinds = {np.dtype(np.int64): torch.int64, np.dtype(np.int32): torch.int32}
    return [
        there[place : place + array.nbytes].view(kinds[array.dtype]).view(array.shape)
        for place, array in zip(places, arrays, strict=False)
    ]


def _across(
    memory: torch.Tensor,
    places: torch.Tensor,
    owners: torch.Tensor,
    table: tuple[torch.Tensor, torch.Tensor, torch.Tensor],
    channels: int,
) -> torch.Tensor:
    # [rows, width * C]: lines that begin at `places` of the memory, resized.
    starts, weights, ends = table
    pixels = memory.as_strided((memory.numel() - channels + 1, channels), (1, 1))
    start, end = starts[owners].long(), ends[owners, None]
    total: Any = _nothing(memory)
    for k in range(weights.shape[2]):
        column = torch.minimum(start + k, end)
        found = pixels[places[:, None] + column * channels]
        total = total + _weighed(found, weights[owners, :, k, None])
    return _pixels(total).flatten(1)


def _down(
    middle: torch.Tensor,
    own: torch.Tensor,
    table: tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor],
) -> torch.Tensor:
    # [images, height, width * C]
    starts, weights, begins, lasts = table
    start, last = starts[own] + begins[own, None], lasts[own, None]
    total: Any = _nothing(middle)
    for k in range(weights.shape[2]):
        line = torch.minimum(start + k, last)
        total = total + _weighed(middle[line], weights[own, :, k, None])
    return _pixels(total)


def _nothing(values: torch.Tensor) -> float:
    return 0.0 if values.is_floating_point() else HALF


def _weighed(values: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    if values.is_floating_point():
        return values * (weights.float() * (1 / (1 << BITS)))
    return values.int() * weights


def _pixels(total: torch.Tensor) -> torch.Tensor:
    if total.is_floating_point():
        return total.clamp_(0, 1)
    return (total >> BITS).clamp_(0, 255).to(torch.uint8)
