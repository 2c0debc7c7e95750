"""What a field of a sample is: how it follows the image, and how it is given."""

from dataclasses import dataclass
from typing import Any, Literal

from augfeed.errors import InputError, InputTypeError

BoxFormat = Literal["xyxy", "xywh", "cxcywh"]
FORMATS = ("xyxy", "xywh", "cxcywh")
# Names, beside boxes in a sample, of what has one entry for each box.
FOLLOW = (
    "labels", "label", "classes", "class_ids", "category_ids", "category_id", "category", "scores",
    "area", "areas", "iscrowd", "is_crowd", "difficult", "truncated", "masks", "instance_masks",
    "keypoints", "track_ids", "instance_ids", "attributes",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Mask:
    """Class numbers of pixels `[H, W]`, or masks of instances `[N, H, W]`, of integers or bool.

    Each output pixel takes the value of the pixel that it shows: nearest, never blended, and
    without color operations. What lies outside the image becomes `ignore_index` (by default 255, as
    in PASCAL VOC, 127 for int8; 0 for bool and for `[N, H, W]`).

    References:
        Everingham et al., The PASCAL Visual Object Classes Challenge, IJCV 2010,
        https://doi.org/10.1007/s11263-009-0275-4.
    """

    ignore_index: int | None = None


@dataclass(frozen=True, slots=True)
class Dense:
    """Floats of pixels `[H, W]` or `[C, H, W]`: depth, heat maps, flow. Sampled bilinearly.

    What lies outside the image becomes `fill`. With `vectors`, the first two of `C` channels are
    (x, y) in pixels of the image, as of optical flow: they are turned and scaled with it. A
    `disparity` is how far to the right, in pixels, each point is in another image of the sample: it
    is scaled with the width, and changes its sign in a mirrored image; a policy that turns or
    shears is refused.
    """

    fill: float = 0.0
    vectors: bool = False
    disparity: bool = False


@dataclass(frozen=True, slots=True)
class Boxes:
    """Boxes `[N, 4]` in edges: "xyxy", "xywh" or "cxcywh", in pixels, or shares if `normalized`.

    The four corners are moved; the result is their upright hull, clipped to the image. A box is
    dropped if a side becomes shorter than `min_side` pixels, if less than `min_share` of its hull
    is left inside, if the longer side is more than `max_aspect` times the shorter one, or if more
    than `max_occlusion` of it is hidden: by cutout, erasing, CutMix or pasted objects. With
    `from_masks` boxes become the hulls of the masks of their objects, `[N, H, W]` beside them, as
    these come out: tight under rotation too, where hulls of corners are loose. Entries
    beside the boxes whose names are in `follow`, with one entry for each box, are dropped along;
    `area` is scaled along. `pad` makes every sample have so many rows: zeros are added, and
    `valid`, bool `[pad]`, says which rows are boxes; it needs a sample that is a dict.
    """

    format: BoxFormat = "xyxy"
    normalized: bool = False
    min_side: float = 1.0
    min_share: float = 0.0
    max_aspect: float | None = None
    max_occlusion: float | None = None
    from_masks: bool = False
    follow: tuple[str, ...] = FOLLOW
    pad: int | None = None

    def __post_init__(self) -> None:
        if self.format not in FORMATS:
            raise InputError(
                f"format={self.format!r} is not a format of boxes: give one of {FORMATS}"
            )
        if not 0 <= self.min_share <= 1:
            raise InputError(f"min_share={self.min_share!r} is not in [0, 1]: give a share")
        if self.max_occlusion is not None and not 0 <= self.max_occlusion <= 1:
            raise InputError(
                f"max_occlusion={self.max_occlusion!r} is not in [0, 1]: give a share, or None"
            )
        if self.min_side < 0:
            raise InputError(f"min_side={self.min_side!r} is negative: give 0 or more pixels")
        if self.max_aspect is not None and self.max_aspect < 1:
            raise InputError(f"max_aspect={self.max_aspect!r} is below 1: give 1 or more, or None")
        if self.pad is not None and self.pad < 1:
            raise InputError(f"pad={self.pad!r} is below 1: give the most boxes of an image")


@dataclass(frozen=True, slots=True)
class Keypoints:
    """Points `[..., K, 2]` as (x, y), or `[..., K, 3]` with visibility; pixel centers are whole.

    A point that leaves the image gets visibility 0. `flip_pairs` are the numbers of points that
    change places in a mirrored image, as ((1, 2), (3, 4)) for left and right eyes and ears; () if
    there are none. A policy that flips is refused without them.
    """

    flip_pairs: tuple[tuple[int, int], ...] | None = None


@dataclass(frozen=True, slots=True)
class Passive:
    """A part that stays as it is."""


@dataclass(frozen=True, slots=True)
class FurtherImage:
    """An image beside the first one of a sample, which shares its plan: see `image_key`."""


Field = Mask | Dense | Boxes | Keypoints | Passive | FurtherImage
KINDS: dict[str, Field] = {
    "mask": Mask(),
    "dense": Dense(),
    "boxes": Boxes(),
    "keypoints": Keypoints(),
    "passive": Passive(),
}


def field_of(given: Any) -> Field:
    """Return the field that is meant: one of the classes here, or its name in lower case."""
    if isinstance(given, Mask | Dense | Boxes | Keypoints | Passive):
        return given
    if isinstance(given, str) and given in KINDS:
        return KINDS[given]
    raise InputTypeError(
        f"{given!r} is not a kind of field: give one of {sorted(KINDS)}, or an object of "
        "augfeed.fields as Boxes(format='xywh')"
    )
