"""Parts of samples as arrays, and arrays in the type that a part came in."""

import sys
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from augfeed.fields import MixedMask
from augfeed.fields.sample_parts import tv_kind


def as_array(part: Any) -> NDArray[Any]:
    """Return a tensor, an image or nested lists as an array."""
    if isinstance(part, torch.Tensor):
        values: NDArray[Any] = part.detach().cpu().as_subclass(torch.Tensor).numpy()
        return values
    return np.asarray(part)


def as_given(made: Any, part: Any, size: tuple[int, int], *, tensors: bool) -> Any:
    """Return what was made in the kind and type that the part came in.

    `tensors` turns PIL images into int64.
    """
    if isinstance(made, MixedMask):
        own, partner = (as_given(one, part, size, tensors=tensors) for one in made[:2])
        return MixedMask(own, partner, made.share)
    if isinstance(part, torch.Tensor):
        plain = torch.from_numpy(np.ascontiguousarray(made)).to(_kept_type(made, part.dtype))
        return _wrapped(plain, part, size) if tv_kind(type(part)) else plain
    if isinstance(part, Image.Image):
        if tensors:
            return torch.from_numpy(made.astype(np.int64))
        image = Image.fromarray(made) if part.mode != "1" else Image.fromarray(made > 0)
        if part.mode == "P":
            image = image.convert("L")
            image.putpalette(part.getpalette() or [])
        return image
    if isinstance(part, list | tuple):
        return type(part)(made.tolist())
    whole = part.dtype.kind in "iu" and made.dtype.kind == "f"
    return made.astype(np.float32 if whole else part.dtype, copy=False)


def _kept_type(made: NDArray[Any], dtype: torch.dtype) -> torch.dtype:
    # Corners and points of whole numbers come to lie between them: truncated, they would be off.
    return torch.float32 if made.dtype.kind == "f" and not dtype.is_floating_point else dtype


def _wrapped(plain: torch.Tensor, part: Any, size: tuple[int, int]) -> Any:
    module: Any = sys.modules["torchvision.tv_tensors"]
    more = {"canvas_size": size} if hasattr(part, "canvas_size") else {}
    return module.wrap(plain, like=part, **more)
