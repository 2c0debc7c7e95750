"""Instance masks of COCO's polygons and run lengths, by faster-coco-eval."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from augfeed.errors import MissingExtraError, ReadError
from augfeed.read.annotation import Size

_LEAST = 6  # numbers of a polygon: three points


def mask_library() -> Any:
    """Return the masks of faster-coco-eval; raise `MissingExtraError` if it is not installed."""
    try:
        from faster_coco_eval.core import mask
    except ImportError:
        raise MissingExtraError("faster-coco-eval, which decodes instance masks,", "coco") from None
    return mask


def instance_masks(found: Sequence[dict[str, Any]], size: Size, where: str) -> NDArray[np.uint8]:
    """Return the masks of objects in an image, uint8 `[N, h, w]` of 0 and 1.

    Raises `ReadError`, naming the annotation, for polygons and run lengths that are wrong.
    """
    made = np.zeros((len(found), *size), np.uint8)
    for k, item in enumerate(found):
        made[k] = _mask(item.get("segmentation"), size, f"{where}: annotation {item.get('id')}")
    return made


def _mask(given: Any, size: Size, where: str) -> NDArray[np.uint8]:
    library = mask_library()
    try:
        if isinstance(given, dict):
            lengths = _run_lengths(library, given, size, where)
        else:
            lengths = library.merge(library.frPyObjects(_polygons(given, where), *size))
        made: NDArray[np.uint8] = library.decode(lengths)
    except ReadError:
        raise
    except Exception as error:  # whatever a compiled parser raises
        raise ReadError(f"{where}: its mask cannot be decoded ({error}): fix it") from error
    if made.shape != size:
        raise ReadError(f"{where}: its mask is of {made.shape}, and the image of {size}: fix it")
    return made


def _polygons(given: Any, where: str) -> list[list[float]]:
    right = isinstance(given, list) and given and all(
        isinstance(part, list) and len(part) >= _LEAST and len(part) % 2 == 0
        and np.isfinite(np.array(part, np.float64)).all() for part in given)  # fmt: skip
    if not right:
        raise ReadError(
            f"{where}: segmentation={str(given)[:60]!r} is not a list of polygons, each of the x "
            "and y of 3 points or more, nor a dict of run lengths: fix it"
        )
    polygons: list[list[float]] = given
    return polygons


def _run_lengths(library: Any, given: dict[str, Any], size: Size, where: str) -> Any:
    if given.get("size") != [*size]:
        raise ReadError(
            f"{where}: its run lengths are of {given.get('size')}, and the image of {[*size]} "
            "(height, width): fix one of them"
        )
    counts = given.get("counts")
    if isinstance(counts, str):
        return {"size": [*size], "counts": counts.encode()}
    if not isinstance(counts, list) or not all(isinstance(c, int) and c >= 0 for c in counts):
        raise ReadError(f"{where}: its run lengths are not whole numbers from 0, or text: fix them")
    if sum(counts) != size[0] * size[1]:
        raise ReadError(
            f"{where}: its run lengths end at {sum(counts)}, and the image has "
            f"{size[0] * size[1]} pixels: fix them"
        )
    return library.frPyObjects(given, *size)


__all__ = ["instance_masks", "mask_library"]
