"""Parts of samples as arrays, and arrays in the type that a part came in."""

import sys
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from augfeed.errors import InputError
from augfeed.fields import Boxes, MixedMask
from augfeed.fields.kinds import FORMATS, BoxFormat
from augfeed.fields.sample_parts import tv_kind


def as_array(part: Any) -> NDArray[Any]:
    """Return a tensor, an image or nested lists as an array."""
    if isinstance(part, torch.Tensor):
        plain = part.detach().cpu().as_subclass(torch.Tensor)
        # NumPy has no such numbers.
        values: NDArray[Any] = (plain.float() if plain.dtype == torch.bfloat16 else plain).numpy()
        return values
    return np.asarray(part)


def box_format(part: Any, field: Boxes) -> BoxFormat:
    """Return the format of boxes: torchvision's own, where the part says it, else the field's."""
    cls: type = type(part)
    if tv_kind(cls) != "BoundingBoxes":
        return field.format
    form = str(getattr(part.format, "value", part.format)).lower()
    if form not in FORMATS:
        raise InputError(
            f"BoundingBoxes of format {form!r} cannot be moved: convert them to 'XYXY'"
        )
    return form  # type: ignore[return-value]


def check_canvas(part: Any, size: tuple[int, ...], name: str) -> None:
    """Raise `InputError` for torchvision's boxes or points of an image of another size."""
    canvas = getattr(part, "canvas_size", None)
    if canvas is not None and tuple(canvas) != size:
        raise InputError(
            f"{name} has canvas_size={tuple(canvas)}, and its image is {size[0]} x {size[1]}: give "
            "both of one size, as by a transform that moves both"
        )


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
