"""Boxes in files: whether they are boxes, lie in the image, and have a class."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from augfeed.errors import InputError, ReadError
from augfeed.fields.boxes import are_shares
from augfeed.read.annotation import Size

BEYOND = 1.0  # pixels by which a box may leave the image: roundings do


def checked_boxes(
    boxes: Sequence[Sequence[float]] | NDArray[Any], size: Size, name: str, shown: Any = None
) -> NDArray[np.float64]:
    """Return boxes xyxy, float64 `[N, 4]`, in an image of `size` (height, width), clipped to it.

    Raises `ReadError`, naming the file and the box, for one that ends before it begins, leaves the
    image by more than a pixel, or has numbers that are not finite, and for shares of the image in
    the place of pixels. `shown` are the boxes as the file has them.
    """
    made = np.asarray(boxes, np.float64).reshape(-1, 4)
    height, width = size
    limit = np.array([width, height, width, height], np.float64)
    told = made if shown is None else np.asarray(shown, np.float64).reshape(-1, 4)
    finite = np.isfinite(made).all(axis=1)
    ordered = (made[:, 2:] >= made[:, :2]).all(axis=1)
    inside = ((made >= -BEYOND) & (made <= limit + BEYOND)).all(axis=1)
    for right, why in (
        (finite, "has a number that is not finite: fix it, or remove the box"),
        (ordered, "ends before it begins: fix it, or remove the box"),
        (inside, f"leaves the image of {width} x {height} pixels by more than {BEYOND:g} pixel: "
         "fix it, or the size of the image"),
    ):  # fmt: skip
        if not right.all():
            k = int(np.argmin(right))
            raise ReadError(f"{name}: box {k}, {told[k].tolist()}, {why}")
    clipped: NDArray[np.float64] = np.clip(made, 0, limit)
    if are_shares(clipped):
        raise ReadError(
            f"{name}: box 0, {told[0].tolist()}, is less than a pixel, as every box beside it: "
            "shares of the image are normalized=True where the dataset takes that; else multiply "
            "them by width and height"
        )
    return clipped


def checked_shares(rows: NDArray[np.float64], name: str) -> NDArray[np.float64]:
    """Return boxes cxcywh in shares of the image, `[N, 4]`, as xyxy in shares, clipped to it.

    Raises `ReadError`, naming the file and the line, for shares that are not in [0, 1], and for
    boxes that leave the image by more than a hundredth.
    """
    slack = 0.01
    sides = rows[:, 2:]
    right = np.isfinite(rows).all(axis=1) & ((rows >= 0) & (rows <= 1)).all(axis=1)
    if not right.all():
        k = int(np.argmin(right))
        raise ReadError(
            f"{name}: line {k + 1} has the box {rows[k].tolist()}, and x, y, width and height are "
            "shares of the image from 0 to 1: divide pixels by its width and height"
        )
    made = np.concatenate([rows[:, :2] - sides / 2, rows[:, :2] + sides / 2], axis=1)
    inside = ((made >= -slack) & (made <= 1 + slack)).all(axis=1)
    if not inside.all():
        k = int(np.argmin(inside))
        raise ReadError(
            f"{name}: line {k + 1} has the box {rows[k].tolist()}, which leaves the image: x and y "
            "are its center, and half of width and height lies on each side of them"
        )
    clipped: NDArray[np.float64] = np.clip(made, 0, 1)
    return clipped


def numbers_of(names: Sequence[str], classes: Sequence[str], first: int, where: str
               ) -> NDArray[np.int64]:  # fmt: skip
    """Return the class numbers of names, `classes[0]` being `first`; raise `ReadError`."""
    known = {name: first + k for k, name in enumerate(classes)}
    for k, name in enumerate(names):
        if name not in known:
            raise ReadError(
                f"{where}: object {k} is of class {name!r}, which is not one of {[*classes]}: add "
                "it to classes, or fix the file"
            )
    return np.array([known[name] for name in names], np.int64)


def check_names(classes: Sequence[str]) -> tuple[str, ...]:
    """Return names of classes; raise `InputError` for one text, or none."""
    if isinstance(classes, str) or not classes:
        raise InputError(f"classes={classes!r} are not names: give a list of them")
    return tuple(map(str, classes))


__all__ = ["check_names", "checked_boxes", "checked_shares", "numbers_of"]
