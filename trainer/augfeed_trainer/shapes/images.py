"""Images of circles, squares and triangles, with their masks and boxes."""

import hashlib
import io
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from augfeed.datasets import AnnotatedImages
from augfeed.errors import InputError
from augfeed.fields import Boxes, Field, Mask
from augfeed.philox import uniforms, words
from augfeed.read.annotation import Annotation
from augfeed.read.decode import decode

Task = Literal["segment", "detect"]
KINDS = ("circle", "square", "triangle")
CLASSES = ("background", *KINDS)
MOST, DRAWS = 3, 8  # shapes of an image, and numbers that one of them takes
LEAST_SHARE = 0.4  # of a shape that must be seen, not be hidden by later ones


class Shapes(AnnotatedImages):
    """`count` images of `size` x `size` pixels, of 1 to 3 shapes each, a function of `seed`.

    For "segment" a sample is `(image, mask)`, for "detect" `(image, target)` with "boxes",
    "labels" (1 to 3) and "image_id". Shapes have any color on any color, with noise.
    """

    def __init__(self, count: int, task: Task, *, size: int = 64, seed: int = 0) -> None:
        """Draw all images."""
        if task not in ("segment", "detect"):
            raise InputError(f"task={task!r} is unknown: use 'segment' or 'detect'")
        fields: dict[str, Field] = (
            {"mask": Mask()} if task == "segment" else {"boxes": Boxes(min_side=2, min_share=0.2)}
        )
        super().__init__([f"shape {i}" for i in range(count)], fields, CLASSES)
        self.task, self.size, self.seed, self.sizes = task, size, seed, (size, size)
        drawn = uniforms(words(seed, 0, np.arange(count), [(0, k) for k in range(2 * MOST + 2)]))
        self._drawn = [_draw(row, size, i) for i, row in enumerate(_rows(drawn))]
        self._encoded = [_encode(pixels) for pixels, _, _ in self._drawn]

    def annotation(self, i: int) -> Annotation:
        """Return the mask, or the boxes, of image `i`."""
        _, mask, found = self._drawn[i]
        size = (self.size, self.size)
        if self.task == "segment":
            return Annotation({"mask": mask}, size, self.path(i))
        boxes = np.array([box for box, _ in found], np.float64).reshape(-1, 4)
        labels = np.array([label for _, label in found], np.int64)
        return Annotation({"boxes": boxes, "labels": labels, "image_id": i}, size, self.path(i))

    def read(self, i: int) -> bytes:
        """Return image `i` as PNG."""
        return self._encoded[i]

    def image(self, i: int) -> Any:
        """Return image `i`, uint8 `[size, size, 3]`."""
        return decode(self.read(i), self.path(i), 3)

    def identity(self, i: int) -> str:
        """Return what image `i` is a function of."""
        return f"shapes\0{self.seed}\0{self.size}\0{i}"

    def fingerprint(self) -> str:
        """Return the SHA-256 of what all images are functions of."""
        told = (self.task, len(self), self.size, self.seed, self.fields)
        return hashlib.sha256(repr(told).encode()).hexdigest()

    def described_by(self) -> Sequence[str]:
        """Return no file: there is none."""
        return ()


def _rows(drawn: NDArray[np.float64]) -> NDArray[np.float64]:
    return drawn.reshape(-1, drawn.shape[-1]).T


def _encode(pixels: NDArray[np.uint8]) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG", compress_level=1)
    return file.getvalue()


def _draw(
    u: NDArray[np.float64], size: int, number: int
) -> tuple[NDArray[np.uint8], NDArray[np.uint8], list[tuple[list[int], int]]]:
    ground, rest = u[:4], u[4:]
    colors = np.empty((size, size, 3), np.float64)
    colors[:] = 60 + 120 * ground[:3]
    owner, shapes = np.zeros((size, size), np.int64), 1 + int(ground[3] * MOST)
    kinds, whole = [], []
    for k in range(shapes):
        drawn = rest[k * DRAWS : (k + 1) * DRAWS]
        kind, inside = _shape(drawn, size)
        owner[inside] = k + 1
        kinds.append(kind + 1)
        whole.append(int(inside.sum()))
        tint = drawn[4:7] * 255
        colors[inside] = np.where(np.abs(tint - colors[inside]) < 50, 255 - tint, tint)
    mask, found = np.zeros((size, size), np.uint8), []
    for k in range(shapes):
        seen = owner == k + 1
        mask[seen] = kinds[k]
        if seen.sum() >= LEAST_SHARE * whole[k]:
            rows, columns = np.flatnonzero(seen.any(1)), np.flatnonzero(seen.any(0))
            box = [columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]
            found.append((list(map(int, box)), kinds[k]))
    y, x = np.mgrid[:size, :size].astype(np.uint64)
    hashed = (x * np.uint64(73856093)) ^ (y * np.uint64(19349663)) ^ np.uint64(number * 83492791)
    noise = (hashed * np.uint64(2654435761) >> np.uint64(16)) % np.uint64(41)
    pixels = np.clip(colors + (noise.astype(np.float64) - 20)[..., None], 0, 255)
    return pixels.astype(np.uint8), mask, found


def _shape(u: NDArray[np.float64], size: int) -> tuple[int, NDArray[np.bool_]]:
    kind = min(int(u[0] * len(KINDS)), len(KINDS) - 1)
    side = size * (0.2 + 0.25 * u[1])
    left, top = u[2] * (size - side), u[3] * (size - side)
    image = Image.new("1", (size, size))
    draw, right, bottom = ImageDraw.Draw(image), left + side, top + side
    if kind == 0:
        draw.ellipse((left, top, right, bottom), fill=1)
    elif kind == 1:
        draw.rectangle((left, top, right, bottom), fill=1)
    else:
        draw.polygon([(left, bottom), (right, bottom), (left + side / 2, top)], fill=1)
    return kind, np.array(image)


__all__ = ["CLASSES", "Shapes", "Task"]
