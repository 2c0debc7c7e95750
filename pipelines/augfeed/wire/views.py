"""Views of a batch as named tensors, and back."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from augfeed.errors import InputError, WireError

VIEWS_SCHEMA = "3"  # of batches of views, whose images older readers would not find
ALONE, BEFORE = "images", "view."  # what names tensors: of views without a name, and with one
WINDOWS, MATRICES = ".windows", ".matrices"
MAP_BYTES = 4 * 4 + 9 * 4  # of a window and a matrix


@dataclass(frozen=True, slots=True)
class ReceivedViews:
    """The images of one tensor of views: `[V * B, C, H, W]`, those of its first view, then of the
    next; with the places that they were cut from if they were asked for."""

    images: torch.Tensor
    maps: tuple[torch.Tensor, torch.Tensor] | None = None

    @property
    def windows(self) -> torch.Tensor:
        """Int32 `[V * B, 4]`: top, left, height, width of what is cut of each image, in pixels."""
        return self._found()[0]

    @property
    def matrices(self) -> torch.Tensor:
        """Float32 `[V * B, 3, 3]`: edges of a view (x, y, 1) -> edges of its image, in pixels."""
        return self._found()[1]

    def _found(self) -> tuple[torch.Tensor, torch.Tensor]:
        if self.maps is None:
            raise InputError(
                "the windows and matrices of these views were not sent: ask for batches with "
                "maps=true, as RemoteLoader.batches() does"
            )
        return self.maps


def views_to_tensors(
    views: Mapping[str, Any], *, last: bool, maps: bool
) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    """Return views as named tensors, and the metadata that say how many each tensor has.

    The images are `view.NAME`, or `images` of views without a name, `[V * B, C, H, W]`, or with
    channels `last`. With `maps` they have `.windows` int32 `[V * B, 4]` and `.matrices` float32
    `[V * B, 3, 3]` behind their name.
    """
    tensors: dict[str, torch.Tensor] = {}
    for name, view in views.items():
        key = _key(name)
        tensors[key] = view.images.permute(0, 2, 3, 1) if last else view.images
        if maps:
            tensors |= {key + WINDOWS: view.windows, key + MATRICES: view.matrices}
    return tensors, {"views": json.dumps([*views]), "schema": VIEWS_SCHEMA}


def views_of_tensors(
    tensors: dict[str, torch.Tensor], metadata: Mapping[str, str], count: int
) -> dict[str, ReceivedViews]:
    """Take the views of `count` samples out of tensors; raise `WireError` for what does not fit."""
    try:
        names = json.loads(metadata["views"])
    except (KeyError, ValueError, RecursionError) as error:
        raise WireError(f"the views of this batch are not described ({error!r})") from None
    if not isinstance(names, list) or not names or not all(isinstance(one, str) for one in names):
        raise WireError(f"views={str(names)[:99]!r} are not names of tensors: send a list of them")
    last = metadata["layout"] == "NHWC"
    return {name: _views(_key(name), tensors, count, last=last) for name in dict.fromkeys(names)}


def _key(name: str) -> str:
    return BEFORE + name if name else ALONE


def _views(
    key: str, tensors: dict[str, torch.Tensor], count: int, *, last: bool
) -> ReceivedViews:  # fmt: skip
    images = tensors.pop(key)
    rows = len(images) if images.ndim == 4 else -1
    if rows < 0 or (rows % count if count else rows):
        raise WireError(f"{key!r} of shape {tuple(images.shape)} is not of {count} samples")
    images = images.permute(0, 3, 1, 2) if last else images
    windows, matrices = (tensors.pop(key + end, None) for end in (WINDOWS, MATRICES))
    if windows is None and matrices is None:
        return ReceivedViews(images)
    told = [None if part is None else (part.dtype, tuple(part.shape))
            for part in (windows, matrices)]  # fmt: skip
    if told != [(torch.int32, (rows, 4)), (torch.float32, (rows, 3, 3))]:
        raise WireError(f"windows and matrices of {key!r} are {told}: send both, of {rows} views")
    assert windows is not None and matrices is not None
    return ReceivedViews(images, (windows, matrices))


__all__ = [
    "MAP_BYTES",
    "VIEWS_SCHEMA",
    "ReceivedViews",
    "views_of_tensors",
    "views_to_tensors",
]
