"""Where the images and labels are in what a collate function made."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch

from augfeed.errors import InputError, PolicyError
from augfeed.feed.sample_fields import LABELS, channels_at, is_many_channels, parts_of, pixels
from augfeed.fields.box_sets import beside_boxes
from augfeed.fields.kinds import Boxes, Dense, Mask
from augfeed.fields.mover import Fields
from augfeed.fields.sample_parts import Path, describe, is_sequence, put, take

CURES = {
    "collate_fn": "leave collate_fn out, or let it stack the images as they are, of uint8 or "
    "floats in [0, 1]",
    "the dataset": "let it stack images of one size, of uint8 or floats in [0, 1], and say with "
    "image_key which ones are meant if there are several, or if they have no channels",
}


def find_frames(batch: Any, path: Path, count: int, *, maker: str, planes: bool
                ) -> tuple[Path, Any]:  # fmt: skip
    """Return where `count` images are in a batch, and the images, of 4 dimensions.

    They are looked for at `path`, then wherever only one thing could be them. `planes` allows for
    images without channels, of 3 dimensions. Raises `InputError`, which names the `maker`.
    """
    found = _stacked(_at(batch, path), count)
    if (
        _is_frames(found, count)
        or _is_wide_frames(found, count)
        or (planes and _is_planes(found, count))
    ):
        return path, found
    likely = [place for place, part in parts_of(batch) if _is_frames(part, count)]
    if not likely:
        likely = [place for place, part in parts_of(batch) if _is_wide_frames(part, count)]
    if planes and not likely:
        likely = [place for place, part in parts_of(batch) if _is_planes(part, count)]
    if len(likely) != 1:
        raise InputError(
            f"{maker} hides the images: the policy needs {count} of them "
            f"stacked as [{count}, C, H, W] and {len(likely)} such tensors are in "
            f"{describe(batch)}; {CURES[maker]}"
        )
    return likely[0], take(batch, likely[0])


def find_labels(batch: Any, path: Path | None, count: int, image: Path) -> Path | None:
    """Return where `count` labels are in a batch, None if it is not clear.

    They are looked for at `path`, then wherever only one thing could be them, or is named so.
    """
    if path is not None and path != image:
        found = _at(batch, path)
        if _is_labels(found, count) or _is_numbers(found, count):
            return path
    likely = [place for place, part in parts_of(batch)
              if place != image and _is_labels(part, count)]  # fmt: skip
    named = [place for place in likely if place and place[-1] in LABELS]
    likely = named or likely
    return likely[0] if len(likely) == 1 else None


def first_of(batch: Any, count: int) -> Any:
    """Return a batch with the first of `count` in the place of every stack."""
    if isinstance(batch, torch.Tensor | np.ndarray):
        return batch[0] if batch.ndim and len(batch) == count else batch
    if isinstance(batch, Mapping):
        return {key: first_of(part, count) for key, part in batch.items()}
    if hasattr(batch, "_fields"):
        return type(batch)(*(first_of(part, count) for part in batch))
    return [first_of(part, count) for part in batch] if is_sequence(batch) else batch


def pixels_of_batch(tensor: Any, maker: str = "") -> torch.Tensor:
    """Return images `[N, C, H, W]` or `[N, H, W, C]` as `[N, H, W, C]`, uint8 or float32."""
    arrays = [
        pixels(picture, f"image {k} of the batch{maker}".__str__)
        for k, picture in enumerate(tensor)
    ]
    return torch.from_numpy(np.stack(arrays))


def channels_first(tensor: Any, before: torch.Tensor, given: Any) -> Any:
    """Return a batch `[N, C, H, W]` where it is `[N, H, W, C]` as the images that it was made of.

    `before` are these, and `given` is one of them as the dataset gave it. Those of 1 or 3 channels
    come back as they are: they say it themselves.
    """
    sides, known = tuple(tensor.shape[1:]), tuple(before.shape[1:])
    if known[-1:] in ((1,), (3,)) or sides != known or not hasattr(given, "shape"):
        return tensor
    last = channels_at(given.shape, tensor=isinstance(given, torch.Tensor)) == 2
    return torch.as_tensor(tensor).permute(0, 3, 1, 2) if last else tensor


def check_labels(sample: Any, label: Path | None, maker: str = "") -> None:
    """Raise `InputError` if labels are needed and not found."""
    if label is None:
        raise InputError(
            f"this policy changes labels, and it is not clear where they are in "
            f"{maker}{describe(sample)}: say it with label_key, such as label_key=1 or "
            "label_key='label', and give them as numbers or tensors"
        )


def check_cut(frames: torch.Tensor, before: torch.Tensor) -> None:
    """Raise `PolicyError` if a collate function changed the size of the images."""
    made, given = tuple(frames.shape[1:3]), tuple(before.shape[1:3])
    if made != given:
        raise PolicyError(
            f"collate_fn returns images of {made[0]}x{made[1]}, and was given images of "
            f"{given[0]}x{given[1]}: leave cropping, resizing and padding to the policy"
        )


def collated_with(collate: Callable[[list[Any]], Any], samples: list[Any], fields: Fields) -> Any:
    """Return moved samples collated; boxes, and what follows them, come as lists of tensors."""
    ragged = _ragged(samples[0], fields)
    if not ragged:
        return collate(samples)
    parts = {path: [_tensor(take(sample, path)) for sample in samples] for path in ragged}
    for path in ragged:
        samples = [put(sample, path, 0) for sample in samples]
    batch = collate(samples)
    for path, part in parts.items():
        batch = put(batch, path, part)
    return batch


def _tensor(part: Any) -> Any:
    return torch.from_numpy(part) if isinstance(part, np.ndarray) else part


def _ragged(sample: Any, fields: Fields) -> list[Path]:
    # The parts of a moved sample that have another length in every sample.
    found: list[Path] = []
    maps = {path: take(sample, path) for path, field in fields.items()
            if isinstance(field, Mask | Dense)}  # fmt: skip
    whole = {path: part for path, part in maps.items() if getattr(part, "ndim", 0) == 2}
    for path, field in fields.items():
        if isinstance(field, Boxes) and field.pad is None:
            holder = take(sample, path[:-1]) if path else None
            names = beside_boxes(holder, path, field, len(take(sample, path)), whole)
            found += [path, *((*path[:-1], key) for key in names if key != path[-1])]
    return found


def _at(batch: Any, path: Path) -> Any:
    try:
        return take(batch, path)
    except (KeyError, IndexError, TypeError, AttributeError):
        return None


def _stacked(part: Any, count: int) -> Any:
    # Images in a list, as `tuple(zip(*samples))` leaves them for detection models.
    if not isinstance(part, list | tuple) or len(part) != count:
        return part
    if not all(isinstance(one, torch.Tensor) and one.ndim == 3 for one in part):
        return part
    return torch.stack(list(part)) if len({one.shape for one in part}) == 1 else part


def _is_frames(part: Any, count: int) -> bool:
    if not isinstance(part, torch.Tensor | np.ndarray) or part.ndim != 4 or len(part) != count:
        return False
    return part.shape[1] in (1, 3) or part.shape[3] in (1, 3)


def _is_wide_frames(part: Any, count: int) -> bool:
    # Of other than 1 or 3 channels, or of 16 bits.
    if not isinstance(part, torch.Tensor | np.ndarray) or part.ndim != 4 or len(part) != count:
        return False
    return is_many_channels(part[0]) if count else True


def _is_labels(part: Any, count: int) -> bool:
    if not isinstance(part, torch.Tensor | np.ndarray) or part.ndim not in (1, 2):
        return False
    return len(part) == count


def _is_planes(part: Any, count: int) -> bool:
    if not isinstance(part, torch.Tensor | np.ndarray) or part.ndim != 3 or len(part) != count:
        return False
    return str(part.dtype).endswith("uint8") or "float" in str(part.dtype)


def _is_numbers(part: Any, count: int) -> bool:
    # What a list comprehension leaves.
    return (
        isinstance(part, list | tuple)
        and len(part) == count
        and all(isinstance(item, int | float | np.number) for item in part)
    )
