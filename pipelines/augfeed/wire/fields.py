"""Masks, boxes and keypoints of a batch as named tensors, and back."""

import json
import math
from collections.abc import Mapping
from typing import Any

import torch

from augfeed.errors import WireError
from augfeed.fields.masks import MixedMask

FIELDS_SCHEMA = "2"  # of batches with fields, which older readers would leave out
BEFORE = "field."  # of the names of tensors
_COUNTS, _MIXED = ".counts", (".own", ".partner", ".share")
_LEAST_DIMENSIONS = 3  # of a stack of masks
_BYTE = 255
OBJECTS, EACH = 128, 256  # of an image, at most, as reckoned, and bytes of one beside its mask


def is_fields(targets: Any) -> bool:
    """Return whether targets are fields, not labels of images."""
    if isinstance(targets, dict | MixedMask):
        return True
    return isinstance(targets, torch.Tensor) and targets.ndim >= _LEAST_DIMENSIONS


def fields_to_tensors(value: Any) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    """Return fields as named tensors, and the metadata that say how they belong together.

    A field is `field.NAME` `[B, ...]`; a list of tensors is their rows behind each other, with
    `field.NAME.counts` int64 `[B]`; a `MixedMask` is `.own`, `.partner` and `.share`. Masks of
    int64 whose numbers all fit are sent as uint8.
    """
    parts = value if isinstance(value, dict) else {"mask": value}
    tensors: dict[str, torch.Tensor] = {}
    told: dict[str, dict[str, Any]] = {}
    for name, part in parts.items():
        key, kind, narrow = BEFORE + name, "stack", False
        if isinstance(part, MixedMask):
            kind = "mixed"
            both, narrow = _narrowed([part.own, part.partner])
            tensors |= dict(zip((key + end for end in _MIXED), (*both, part.share), strict=True))
        elif isinstance(part, list):
            kind = "rows"
            tensors[key] = torch.cat(part) if part else torch.empty(0)
            tensors[key + _COUNTS] = torch.tensor([len(rows) for rows in part], dtype=torch.int64)
        else:
            (tensors[key],), narrow = _narrowed([part])
        told[name] = {"kind": kind, "narrow": narrow}
    alone = not isinstance(value, dict)
    return tensors, {"fields": json.dumps({"alone": alone, "parts": told}, sort_keys=False)}


def _narrowed(parts: list[torch.Tensor]) -> tuple[list[torch.Tensor], bool]:
    # Numbers of classes take an eighth as bytes.
    fits = all(
        part.ndim >= _LEAST_DIMENSIONS and part.dtype == torch.int64 and part.numel()
        and int(part.min()) >= 0 and int(part.max()) <= _BYTE
        for part in parts
    )  # fmt: skip
    return ([part.to(torch.uint8) for part in parts], True) if fits else (parts, False)


def fields_of_tensors(
    tensors: dict[str, torch.Tensor], metadata: Mapping[str, str], count: int
) -> Any:
    """Return the fields of `count` samples; raise `WireError` for what does not fit together."""
    try:
        told = json.loads(metadata["fields"])
        alone, parts = bool(told["alone"]), dict(told["parts"])
        made = {str(name): _part(BEFORE + str(name), tensors, how["kind"], count,
                                 narrow=bool(how["narrow"]))
                for name, how in parts.items()}  # fmt: skip
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        if isinstance(error, WireError):
            raise
        raise WireError(f"the fields of this batch are not described ({error!r})") from None
    if alone and [*made] != ["mask"]:
        raise WireError(f"fields {[*made]} are not a mask alone: send it as 'mask'")
    return made["mask"] if alone else made


def _part(
    key: str, tensors: dict[str, torch.Tensor], kind: str, count: int, *, narrow: bool
) -> Any:
    if kind == "mixed":
        own, partner, share = (_of(tensors, key + end, count) for end in _MIXED)
        if own.shape != partner.shape:
            raise WireError(f"{key!r} has masks of {own.shape} and {partner.shape}: send one shape")
        return MixedMask(_widened(own, narrow=narrow), _widened(partner, narrow=narrow), share)
    if kind == "rows":
        counts = _of(tensors, key + _COUNTS, count)
        rows = tensors.pop(key)
        sizes = counts.tolist()
        if counts.dtype != torch.int64 or min(sizes, default=0) < 0 or sum(sizes) != len(rows):
            raise WireError(f"{key!r} has {len(rows)} rows, and counts say {sizes[:8]}: fix them")
        return list(torch.split(rows, sizes))
    if kind != "stack":
        raise WireError(f"{key!r} is of kind {kind!r}, which is not known: use the same versions")
    return _widened(_of(tensors, key, count), narrow=narrow)


def _of(tensors: dict[str, torch.Tensor], name: str, count: int) -> torch.Tensor:
    found = tensors.pop(name)
    if not found.ndim or len(found) != count:
        raise WireError(f"{name!r} of shape {tuple(found.shape)} is not of {count} samples")
    return found


def _widened(part: torch.Tensor, *, narrow: bool) -> torch.Tensor:
    return part.to(torch.int64) if narrow else part


def most_field_bytes(kinds: Mapping[str, str], size: tuple[int, int]) -> int:
    """Return how many bytes the fields of a sample take at most, as reckoned; `kinds` are those of
    the fields by name, `size` is (height, width)."""
    pixels, total = math.prod(size), 0
    for name, kind in kinds.items():
        if kind == "mask":
            total += 2 * 8 * pixels if name == "mask" else OBJECTS * pixels
        elif kind == "dense":
            total += 4 * 4 * pixels
        else:
            total += OBJECTS * EACH
    return total


__all__ = [
    "FIELDS_SCHEMA",
    "fields_of_tensors",
    "fields_to_tensors",
    "is_fields",
    "most_field_bytes",
]
