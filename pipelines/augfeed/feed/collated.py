"""Where the pictures and labels are in what a collate function made."""

from typing import Any

import numpy as np
import torch

from augfeed.errors import InputError
from augfeed.feed.samples import Path, describe, parts_of, take


def find_frames(batch: Any, path: Path, count: int, key: Any) -> tuple[Path, Any]:
    """Return where `count` pictures are in a batch, and the pictures, of 4 dimensions.

    They are looked for at `path`, then wherever only one thing could be them. Raises `InputError`.
    """
    if key is not None:
        path = key if isinstance(key, tuple) else (key,)
    found = _at(batch, path)
    if _is_frames(found, count):
        return path, found
    likely = [place for place, part in parts_of(batch) if _is_frames(part, count)]
    if len(likely) != 1:
        raise InputError(
            f"collate_fn hides the pictures: the policy needs {count} of them stacked as "
            f"[{count}, C, H, W] and {len(likely)} such tensors are in {describe(batch)}; leave "
            "collate_fn out, or let it stack the pictures as they are, of uint8 or floats in "
            "[0, 1]"
        )
    return likely[0], take(batch, likely[0])


def find_labels(batch: Any, path: Path | None, count: int, image: Path, key: Any) -> Path | None:
    """Return where `count` labels are in a batch, None if there is no telling."""
    if key is not None:
        path = key if isinstance(key, tuple) else (key,)
    if path is not None and path != image and _is_labels(_at(batch, path), count):
        return path
    likely = [place for place, part in parts_of(batch)
              if place != image and _is_labels(part, count)]  # fmt: skip
    return likely[0] if len(likely) == 1 else None


def _at(batch: Any, path: Path) -> Any:
    try:
        return take(batch, path)
    except (KeyError, IndexError, TypeError, AttributeError):
        return None


def _is_frames(part: Any, count: int) -> bool:
    if not isinstance(part, torch.Tensor | np.ndarray) or part.ndim != 4 or len(part) != count:
        return False
    return part.shape[1] in (1, 3) or part.shape[3] in (1, 3)


def _is_labels(part: Any, count: int) -> bool:
    if not isinstance(part, torch.Tensor | np.ndarray) or part.ndim not in (1, 2):
        return False
    return len(part) == count
