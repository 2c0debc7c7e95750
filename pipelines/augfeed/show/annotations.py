"""Masks, boxes and keypoints over images and in words."""

from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from augfeed.fields.kinds import Boxes, Mask
from augfeed.fields.masks import MixedMask
from augfeed.read.annotation import Annotated, Annotation, pixel_parts
from augfeed.show.labels import class_name

Parts = dict[str, Any]
Sides = tuple[int, int]
IGNORED = (224, 224, 192)  # the color of borders in PASCAL VOC
STRENGTH, HARDLY, FEW = 0.55, 0.0005, 4
_BACKGROUND = ("background", "unlabeled", "void")


def annotations_of(source: Annotated, index: int, size: Sides) -> Parts:
    """Return what belongs to an image of a source, in pixels of the image as it is."""
    return in_pixels(source.annotation(index), source.fields, size)


def in_pixels(note: Annotation, fields: Mapping[str, Any], size: Sides) -> Parts:
    """Return the parts of an annotation in pixels of its image of `size` (height, width)."""
    return pixel_parts(note, fields, note.size or size)


def row_of(targets: Any, row: int) -> Parts:
    """Return what belongs to one sample of a batch, as arrays by name."""
    parts = targets if isinstance(targets, dict) else {"mask": targets}
    made: Parts = {}
    for name, part in parts.items():
        if isinstance(part, MixedMask):
            own, partner = (one[row].cpu().numpy() for one in (part.own, part.partner))
            made[name] = MixedMask(own, partner, float(part.share[row]))
        else:
            made[name] = part[row].cpu().numpy()
    if (valid := made.pop("valid", None)) is not None:
        count = len(valid)
        made = {name: part[valid] if np.ndim(part) and len(part) == count else part
                for name, part in made.items()}  # fmt: skip
    return made


def drawn(
    picture: Image.Image, parts: Parts, fields: Mapping[str, Any], size: Sides,
    classes: Sequence[str] | None,
) -> Image.Image:  # fmt: skip
    """Return an image, of `size` (height, width) before it was scaled, with all over it."""
    made, scale = picture.convert("RGB"), picture.width / size[1]
    boxes = next((name for name, field in fields.items() if isinstance(field, Boxes)), None)
    labels = parts.get("labels")
    for name, field in fields.items():
        if isinstance(field, Mask):
            made = _over(made, parts[name], labels, classes)
    draw = ImageDraw.Draw(made)
    if boxes is not None:
        for k, box in enumerate(np.asarray(parts[boxes]).reshape(-1, 4)):
            number = None if labels is None else int(labels[k])
            _box(draw, [float(edge) * scale for edge in box], number, classes)
    for name, field in fields.items():
        if type(field).__name__ == "Keypoints":
            _points(draw, np.asarray(parts[name]), scale)
    return made


def _over(
    picture: Image.Image, mask: Any, labels: Any, classes: Sequence[str] | None
) -> Image.Image:
    if isinstance(mask, MixedMask):
        partner = _over(picture, mask.partner, labels, classes)
        return Image.blend(partner, _over(picture, mask.own, labels, classes), float(mask.share))
    if mask.ndim == 3:  # of instances: each in the color of its class
        whole = np.zeros(mask.shape[1:], np.int64)
        for k, one in enumerate(mask):
            whole[one > 0] = k + 1 if labels is None else max(int(labels[k]), 1)
        return _over(picture, whole, None, None)
    numbers = np.asarray(mask).astype(np.int64)
    known = numbers if classes is None else np.where(numbers < len(classes), numbers, -1)
    known = np.where(numbers == 255, -1, known)
    colors = np.where((known < 0)[..., None], np.array(IGNORED), _colors()[known % 256])
    plain = np.zeros(numbers.shape, bool)
    if classes is None or classes[0].lower() in _BACKGROUND:
        plain = numbers == 0
    over = Image.fromarray(colors.astype(np.uint8)).resize(picture.size, Image.Resampling.NEAREST)
    alpha = Image.fromarray(np.where(plain, 0, round(255 * STRENGTH)).astype(np.uint8))
    return Image.composite(over, picture, alpha.resize(picture.size, Image.Resampling.NEAREST))


@cache
def _colors() -> NDArray[np.uint8]:
    # The colors of PASCAL VOC: bits of the number, spread over red, green and blue.
    made = np.zeros((256, 3), np.uint8)
    for number in range(256):
        for bit in range(8):
            for channel in range(3):
                made[number, channel] |= (number >> (bit * 3 + channel) & 1) << (7 - bit)
    return made


def _color(number: int | None) -> tuple[int, int, int]:
    if number is None:
        return 255, 208, 0
    red, green, blue = (int(value) for value in _colors()[(number + 1) % 256])
    return (red + 255) // 2, (green + 255) // 2, (blue + 255) // 2


def _box(
    draw: ImageDraw.ImageDraw, box: list[float], number: int | None, classes: Sequence[str] | None
) -> None:
    left, top = round(box[0]), round(box[1])
    right, bottom = max(left, round(box[2]) - 1), max(top, round(box[3]) - 1)
    draw.rectangle((left, top, right, bottom), outline="black", width=3)
    draw.rectangle((left + 1, top + 1, max(left + 1, right - 1), max(top + 1, bottom - 1)),
                   outline=_color(number), width=1)  # fmt: skip
    if number is not None:
        text, font = class_name(number, classes), ImageFont.load_default(10)
        width = draw.textlength(text, font=font)
        draw.rectangle((left, top, left + width + 3, top + 12), fill="black")
        draw.text((left + 2, top), text, _color(number), font=font)


def _points(draw: ImageDraw.ImageDraw, points: NDArray[Any], scale: float) -> None:
    for point in points.reshape(-1, points.shape[-1]):
        if len(point) == 3 and not point[2]:
            continue
        x, y = (float(value + 0.5) * scale for value in point[:2])
        fill = "#ff4d4d" if len(point) < 3 or point[2] > 1 else "#ffd000"
        draw.ellipse((x - 2.5, y - 2.5, x + 2.5, y + 2.5), fill=fill, outline="black")


def words_of(parts: Parts, fields: Mapping[str, Any], classes: Sequence[str] | None) -> list[str]:
    """Return what belongs to an image in words: shares of classes, or how many objects of each."""
    mask = parts.get("mask")
    if mask is not None and isinstance(fields.get("mask"), Mask):
        own = mask.own if isinstance(mask, MixedMask) else mask
        return _shares(own, fields["mask"], classes)
    labels = parts.get("labels")
    if labels is None:
        return ["fields: " + ", ".join(fields)]
    counted = Counter(class_name(int(label), classes) for label in labels)
    listed = [f"{name} x {count}" if count > 1 else name for name, count in counted.most_common()]
    more = [f"{len(listed) - FEW} more"] if len(listed) > FEW else []
    return [*listed[:FEW], *more] or ["no objects"]


def _shares(mask: NDArray[Any], field: Mask, classes: Sequence[str] | None) -> list[str]:
    numbers, counts = np.unique(mask, return_counts=True)
    ignored = 255 if field.ignore_index is None else field.ignore_index
    order = np.argsort(-counts, kind="stable")
    made = []
    for k in order.tolist():
        number, share = int(numbers[k]), counts[k] / mask.size
        known = classes is None or 0 <= number < len(classes)
        name = "ignored" if number == ignored else class_name(number, classes if known else None)
        if share >= HARDLY:
            made.append(f"{name} {share:.2f}")
    return made[: 2 * FEW]


__all__ = [
    "annotations_of",
    "drawn",
    "in_pixels",
    "row_of",
    "words_of",
]
