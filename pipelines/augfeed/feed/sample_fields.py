"""Where in a sample its image and its label are; how they are taken out and put back."""

import os
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from PIL.TiffImagePlugin import TiffImageFile

from augfeed.errors import InputError, InputTypeError
from augfeed.feed.spatial import is_of_places
from augfeed.fields.sample_parts import LONG, Path, describe, is_sequence, take, with_parts
from augfeed.kernels.resample_stack import interleave
from augfeed.memory_pool import Memory
from augfeed.read import pil_image, tiff
from augfeed.read.channel_axis import channel_axis
from augfeed.read.folder import EXTENSIONS
from augfeed.read.sixteen_bits import is_uint16, unit_floats
from augfeed.read.to_uint8 import SLACK, Unfit, clamped, slack, times_white

LABELS = ("label", "labels", "target", "targets", "y", "class", "fine_label", "cls")
_CONTAINERS = "a tuple, list, dict or named tuple"


@dataclass(frozen=True, slots=True)
class FieldPaths:
    """The paths to image and label in a sample: keys from the outside in, () for all of it."""

    image: Path
    label: Path | None


def locate(
    sample: Any, image_key: Any, label_key: Any, fields: Collection[Path] = ()
) -> FieldPaths:
    """Return where image and label are: where the keys say, else where only one can be.

    `fields` are parts that are neither. Raises `InputError` if there is no image, or more than one,
    or if a key leads nowhere.
    """
    image = _guess(sample, fields) if image_key is None else keyed(sample, image_key, "image_key")
    if not _may_be_picture(take(sample, image)):
        raise InputTypeError(
            f"image_key={image_key!r} leads to {describe(take(sample, image))}, which is not "
            f"an image: {_undecoded(sample)}give the key of a uint8 or float tensor, an array or a "
            f"PIL image; the sample is {describe(sample)}"
        )
    if label_key is not None:
        return FieldPaths(image, keyed(sample, label_key, "label_key"))
    return FieldPaths(image, _guess_label(sample, {image, *fields}))


def keyed(sample: Any, key: Any, name: str) -> Path:
    """Return the path that a key stands for; raise `InputError` if it leads nowhere."""
    try:
        return _spelled(sample, key if isinstance(key, tuple) else (key,))
    except (KeyError, IndexError, TypeError, AttributeError):
        raise InputError(
            f"{name}={key!r} leads nowhere in {describe(sample)}: give one of its keys, or a tuple "
            "of keys from the outside in"
        ) from None


def leads(sample: Any, path: Path) -> bool:
    """Return whether a path leads to a part of a sample."""
    try:
        take(sample, path)
    except (KeyError, IndexError, TypeError, AttributeError):
        return False
    return True


def _spelled(sample: Any, path: Path) -> Path:
    # As `parts_of` spells it: a part has one path only.
    spelled = []
    for key in path:
        part = take(sample, (key,))
        if isinstance(key, int) and is_sequence(sample):
            key = key % len(sample)
            key = sample._fields[key] if hasattr(sample, "_fields") else key
        spelled.append(key)
        sample = part
    return tuple(spelled)


def _guess(sample: Any, fields: Collection[Path]) -> Path:
    parts = [(path, part) for path, part in parts_of(sample)
             if path not in fields and not is_of_places(path)]  # fmt: skip
    found = [path for path, part in parts if is_picture(part) and _rank(part) > 2]
    found = found or [path for path, part in parts if is_picture(part)]
    wide = [path for path, part in parts if is_many_channels(part)]
    if not found or _are_masks(sample, found, wide):
        found += wide
    if len(found) == 1:
        return found[0]
    if not found:
        if any(_is_stack(part) for _, part in parts):
            raise InputTypeError(
                f"a sample of this dataset is a whole batch, {describe(sample)}: give its samples "
                "one by one, and let batch_size=... make the batches"
            )
        raise InputTypeError(
            f"a sample of this dataset has no image: it is {describe(sample)}; {_undecoded(sample)}"
            f"give a uint8, uint16 or float tensor [C, H, W] or array [H, W, C], or a PIL image, "
            f"alone or in {_CONTAINERS}; or leave policy out"
        )
    shown = " and ".join(f"{_shown(path)} ({describe(take(sample, path))})" for path in found)
    raise InputError(
        f"a sample of this dataset has {len(found)} images, {shown}: say which one the policy "
        f"is for, with image_key={_shown(found[0])}"
    )


def _guess_label(sample: Any, fields: Collection[Path]) -> Path | None:
    rest = [(path, part) for path, part in parts_of(sample) if path not in fields]
    if len(rest) == 1 and len(fields) == 1:
        return rest[0][0]
    named = [path for path, _ in rest if path[-1] in LABELS]
    likely = named or [path for path, part in rest if _is_class(part)]
    return likely[0] if len(likely) == 1 else None


def parts_of(sample: Any, path: Path = ()) -> Iterator[tuple[Path, Any]]:
    """Yield what a sample holds that is not a container, with its path."""
    if isinstance(sample, Mapping):
        for key, part in sample.items():
            yield from parts_of(part, (*path, key))
    elif is_sequence(sample) and len(sample) <= LONG:
        names = getattr(sample, "_fields", range(len(sample)))
        for key, part in zip(names, sample, strict=True):
            yield from parts_of(part, (*path, key))
    else:
        yield path, sample


def moved(part: Any, device: torch.device) -> Any:
    """Return a batch, or a part of one, with all of its tensors on a device."""
    if device.type == "cpu":
        return part
    if isinstance(part, torch.Tensor):
        return part.to(device, non_blocking=True)
    if isinstance(part, Mapping):
        return with_parts(part, {key: moved(value, device) for key, value in part.items()})
    if hasattr(part, "_fields"):
        return type(part)(*(moved(value, device) for value in part))
    if isinstance(part, list | tuple):
        return type(part)(moved(value, device) for value in part)
    return part


def _undecoded(sample: Any) -> str:
    # What to do about images that are still files; nothing, if there are none.
    for path, part in parts_of(sample):
        if isinstance(part, bytes) or path[-1:] == ("bytes",):
            place = path[:-1] if path[-1:] == ("bytes",) else path
            return (
                f"{_shown(place)} is an encoded image: let the dataset decode it, as data."
                f"cast_column({_shown(place)}, datasets.Image()) does for one of Hugging Face; or "
            )
        if isinstance(part, str | os.PathLike) and str(part).lower().endswith(EXTENSIONS):
            return (
                f"{_shown(path)} is the name of a file: let the dataset open it, as PIL.Image.open "
                "does, or give a list of nothing but files or pairs (file, class number); or "
            )
    return ""


def is_picture(part: Any) -> bool:
    """Return whether something could be an image: PIL, or 2 or 3 dimensions of uint8 or floats."""
    if isinstance(part, Image.Image):
        return True
    if not isinstance(part, torch.Tensor | np.ndarray):
        return False
    if part.ndim == 3:
        return _kind(part) in "uf" and (part.shape[0] in (1, 3) or part.shape[2] in (1, 3))
    return part.ndim == 2 and str(part.dtype).endswith("uint8")


def is_many_channels(part: Any) -> bool:
    """Return whether something could be an image that `is_picture` does not take for one: of other
    than 1 or 3 channels, or of 16 bits."""
    if not isinstance(part, torch.Tensor | np.ndarray) or part.ndim != 3 or is_picture(part):
        return False
    return _kind(part) in "uf" or is_uint16(part)


def _are_masks(sample: Any, found: list[Path], wide: list[Path]) -> bool:
    # One plane beside an image of many channels and of its size may be its mask.
    if len(found) != 1 or not isinstance(
        plane := take(sample, found[0]), torch.Tensor | np.ndarray
    ):
        return False
    sides = {side for side in plane.shape if side != 1}
    return 3 not in (plane.shape[0], plane.shape[-1]) and any(
        sides <= set(take(sample, path).shape) for path in wide
    )


def _may_be_picture(part: Any) -> bool:
    # Where a key says that it is one.
    flat = isinstance(part, torch.Tensor | np.ndarray) and part.ndim == 2 and is_uint16(part)
    return is_picture(part) or is_many_channels(part) or _is_plane(part) or flat


def _is_plane(part: Any) -> bool:
    # A gray image of floats: too much like a matrix to be guessed.
    return isinstance(part, torch.Tensor | np.ndarray) and part.ndim == 2 and _kind(part) == "f"


def _is_stack(part: Any) -> bool:
    return isinstance(part, torch.Tensor | np.ndarray) and part.ndim == 4


def _kind(part: Any) -> str:
    if isinstance(part, torch.Tensor):
        return "f" if part.is_floating_point() else "u" if part.dtype == torch.uint8 else "i"
    return (
        "u" if part.dtype == np.uint8 else str(part.dtype.kind if part.dtype.kind == "f" else "i")
    )


def _rank(part: Any) -> int:
    return 3 if isinstance(part, Image.Image) else int(part.ndim)


def _is_class(part: Any) -> bool:
    if isinstance(part, torch.Tensor):
        return part.ndim == 0 and not part.is_floating_point()
    return isinstance(part, int | np.integer) and not isinstance(part, bool)


def pixels(picture: Any, name: Callable[[], str]) -> NDArray[Any]:
    """Return an image as uint8 or float32 `[H, W, C]`; `name` is for messages.

    Where neither end alone is 1 or 3, a tensor is `[C, H, W]`, an array `[H, W, C]`. uint16 comes
    as floats. A PIL image of mode L, LA, 1, I or F has one channel, any other three; of 16 bits the
    upper 8 are kept, as of files. Floats that rounding left outside of [0, 1] are put there.
    Raises `InputError` for others.
    """
    if isinstance(picture, Image.Image):
        return _from_pil(picture, name)
    array = _to_array(picture)
    channels = channels_at(array.shape, tensor=isinstance(picture, torch.Tensor))
    if array.ndim == 2:
        array = array[..., None]
    if channels is None or 0 in array.shape:
        raise InputError(f"{name()} of shape {array.shape} {_wrong_sides(picture, array.shape)}")
    array = _checked(array, name, slack(picture.dtype))
    whole = channels_last(array[None])[0] if channels == 0 else np.ascontiguousarray(array)
    # The loops are compiled once more for read-only arrays, which takes seconds.
    return whole if whole.flags.writeable else whole.copy()


def channels_at(shape: Sequence[int], *, tensor: bool) -> int | None:
    """Return the axis that the channels of an image are at, 2 for one without; None for no image,
    and where `channel_axis` finds it unclear."""
    if len(shape) == 2:
        return 2
    return channel_axis(shape, tensor=tensor) if len(shape) == 3 else None


def _wrong_sides(picture: Any, shape: tuple[int, ...]) -> str:
    if len(shape) != 3 or 0 in shape:
        return "is not an image with pixels: give a tensor [C, H, W] or an array [H, W, C]"
    if isinstance(picture, torch.Tensor):
        return (
            f"would have {shape[0]} channels, as a tensor is [C, H, W]: give "
            "image.permute(2, 0, 1), or image.permute(1, 2, 0).numpy() if that is meant"
        )
    return (
        f"would have {shape[2]} channels, as an array is [H, W, C]: give "
        "np.moveaxis(image, 0, -1), or torch.from_numpy(np.moveaxis(image, -1, 0)) if that is meant"
    )


def channels_last(planes: NDArray[Any], memory: Memory | None = None) -> NDArray[Any]:
    """Return images `[N, C, H, W]` of uint8 or float32 as `[N, H, W, C]`, C-contiguous."""
    # Planes may be side by side in memory already.
    if not (planes.flags.c_contiguous and planes.flags.writeable):
        return np.ascontiguousarray(planes.transpose(0, 2, 3, 1))
    count, channels, height, width = planes.shape
    pixels = (memory or Memory()).take((count, height, width, channels), planes.dtype)
    interleave(planes, pixels)
    return pixels


def _to_array(picture: Any) -> NDArray[Any]:
    if not isinstance(picture, torch.Tensor):
        array: NDArray[Any] = picture
        return array
    picture = picture.detach().cpu()
    values: NDArray[Any] = (picture.float() if picture.is_floating_point() else picture).numpy()
    return values


def _from_pil(picture: Image.Image, name: Callable[[], str]) -> NDArray[np.uint8]:
    # As files are decoded: those that Pillow has opened may say more of their pixels than the mode.
    wide = pil_image.is_wide(picture)
    gray = wide or picture.mode in ("L", "1", "LA", "La")
    try:
        if isinstance(picture, TiffImageFile):
            tiff.check(picture)
        return pil_image.levels(picture, 1 if gray else 3)
    except Unfit as error:
        cure = ", or give image.convert('L') if white is 255 in it" if wide else ""
        raise InputError(f"{name()} of mode {picture.mode}: {error}{cure}") from None


def _checked(array: NDArray[Any], name: Callable[[], str], allowed: float = SLACK) -> NDArray[Any]:
    if array.dtype == np.uint8:
        return array
    if is_uint16(array):
        return unit_floats(array)
    if array.dtype.kind != "f":
        raise InputTypeError(
            f"{name()} of dtype {array.dtype} is not uint8, uint16 or float: convert it to uint8"
            f"{times_white(array.dtype)}"
        )
    inside = clamped(array, allowed)
    if inside is None:
        if np.isnan(array).any():
            raise InputError(f"{name()} has NaN: leave it out, or give np.nan_to_num(image)")
        raise InputError(
            f"{name()} has values from {array.min():g} to {array.max():g}, not in [0, 1]: take "
            "Normalize out of the dataset's transform (normalize belongs into the policy), or "
            "divide by 255"
        )
    return inside.astype(np.float32, copy=False)


def like(frame: NDArray[Any], picture: Any) -> Any:
    """Return pixels `[H, W, C]` in the kind and layout of an image: what its dataset gives."""
    if isinstance(picture, Image.Image):
        return Image.fromarray(frame[..., 0] if frame.shape[2] == 1 else frame)
    flat = picture.ndim == 2
    first = channels_at(picture.shape, tensor=isinstance(picture, torch.Tensor)) == 0
    array = frame[..., 0] if flat else frame.transpose(2, 0, 1) if first else frame
    array = np.ascontiguousarray(array)
    return torch.from_numpy(array) if isinstance(picture, torch.Tensor) else array


def is_alone(sample: Any, path: Path) -> bool:
    """Return whether a sample, or a batch, has nothing but what is at a path."""
    return all(place == path for place, _ in parts_of(sample))


def odd_one(labels: list[Any]) -> int:
    """Return which label does not stack: one that is not a number, else one of another shape."""
    for k, label in enumerate(labels):
        if not isinstance(label, torch.Tensor | np.ndarray | np.number | int | float):
            return k
    return next((k for k, label in enumerate(labels) if np.shape(label) != np.shape(labels[0])), 0)


def _shown(path: Path) -> str:
    return repr(path[0] if len(path) == 1 else path)
