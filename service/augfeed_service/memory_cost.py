"""How many bytes the work that a request asks for takes, reckoned before any of it is done."""

import math
from collections.abc import Sequence
from typing import Any

import torch

from augfeed.batch import Batch
from augfeed.plan.batch_rows import GROUP
from augfeed.policy import Policy
from augfeed.targets import Targets
from augfeed_service.parameters import integer_of

STAGED = 8  # bytes for each value of an image that goes through stages of Kornia: floats, twice
ONE_STAGED = 64  # for each value of the image that a thread has in a stage
JSON_READ = 24  # for each byte of JSON that is read: `[],` becomes a list of 64 bytes
# For each value that is written as JSON: its place in a list, its text twice, a float itself.
JSON_PIXEL, JSON_FLOAT = 24, 80
BINARY_CURE = "send and ask for binary tensors (binary_data), or fewer images"
PANEL = 24  # for each pixel of an image that is made to be shown
SHOWN = 4 * 3 * 224 * 224  # for each image in a preview: itself, in the whole, and as a PNG


def label_bytes(labels: Any, count: int, rows: int, *, dense: bool, classes: int | None) -> int:
    """Return what the labels of `count` samples out of `rows` take: an array `[N]` or `[N, K]`."""
    if labels is None:
        return 0
    if labels.ndim == 2:
        width = int(labels.shape[1])
        # As they are, as floats, the own ones and the partners', and their mixture.
        return width * (rows * (int(labels.dtype.itemsize) + 4) + 3 * 4 * count)
    return 24 * rows + (4 * count * (classes or 0) if dense else 0)


def staged_bytes(policy: Policy, values: int, rows: int, threads: int) -> int:
    """Return what stages of Kornia take beside the images: `values` are those of one image."""
    if not policy.stages:
        return 0
    return values * (STAGED * rows + ONE_STAGED * min(threads, rows))


def rows_of(count: int, *, mixes: bool) -> int:
    """Return how many samples are read for a batch: with partners that come out in others."""
    return count + (2 * GROUP if mixes else 0)


def npz_bytes(shapes: Sequence[tuple[tuple[int, ...], int]]) -> int:
    """Return what a file for `numpy.load` takes: of (shape, bytes of an element), in a copy of its
    own, as floats of 32 bits where NumPy has none of 16, and in the file."""
    return sum(2 * math.prod(shape) * size for shape, size in shapes)


def preview_bytes(pixels: int, samples: int, epochs: int) -> int:
    """Return what a preview takes, one of whose images has so many pixels as it is made."""
    return PANEL * pixels + SHOWN * samples * (1 + epochs)


def infer_read_bytes(length: int, header: str | None) -> int:
    """Return what reading a request of KServe takes: its JSON, and copies of its tensors."""
    text = integer_of(header) if header is not None else length
    text = length if text is None else max(0, min(text, length))
    return JSON_READ * text + 4 * (length - text)


def infer_written_bytes(batch: Batch, asked: dict[str, Any]) -> int:
    """Return what an answer of KServe takes, with its batch: at most all as JSON."""
    held = batch.images.nbytes + _targets_bytes(batch.targets)
    parameters = asked.get("parameters")
    binary = isinstance(parameters, dict) and parameters.get("binary_data_output") is True
    listed = asked.get("outputs")
    own = [each.get("parameters") for each in listed if isinstance(each, dict)] if isinstance(
        listed, list
    ) else []  # fmt: skip
    flags = [each.get("binary_data") if isinstance(each, dict) else None for each in own]
    if all(binary if flag is None else flag is True for flag in flags) and (flags or binary):
        return 2 * held
    each = JSON_PIXEL if batch.images.dtype == torch.uint8 else JSON_FLOAT
    labels = JSON_FLOAT * _targets_bytes(batch.targets) // 4
    return held + each * batch.images.numel() + labels


def _targets_bytes(targets: Any) -> int:
    if isinstance(targets, Targets):
        return int(targets.a.nbytes + targets.b.nbytes + targets.lam.nbytes)
    return 0 if targets is None else int(targets.nbytes)
