"""All operations, in the order of execution.

Written by `python -m augfeed.ops.generate` from the declarations: do not edit.
"""

from typing import Annotated

from pydantic import Field

from augfeed.operation import Declaration
from augfeed.operation.declare import complete
from augfeed.ops.aug_mix import AugMix
from augfeed.ops.auto_augment import AutoAugment
from augfeed.ops.autocontrast import AutoContrast
from augfeed.ops.bbox_safe_crop import BboxSafeCrop
from augfeed.ops.border import Border
from augfeed.ops.center_crop import CenterCrop
from augfeed.ops.channel_drop import ChannelDrop
from augfeed.ops.channel_shuffle import ChannelShuffle
from augfeed.ops.color_jitter import ColorJitter
from augfeed.ops.copy_paste import CopyPaste
from augfeed.ops.cutmix import CutMix
from augfeed.ops.cutout import Cutout
from augfeed.ops.elastic import Elastic
from augfeed.ops.equalize import Equalize
from augfeed.ops.gamma import Gamma
from augfeed.ops.gaussian_blur import GaussianBlur
from augfeed.ops.gaussian_noise import GaussianNoise
from augfeed.ops.grayscale import Grayscale
from augfeed.ops.horizontal_flip import HorizontalFlip
from augfeed.ops.invert import Invert
from augfeed.ops.jpeg import Jpeg
from augfeed.ops.kornia import Kornia
from augfeed.ops.label_smoothing import LabelSmoothing
from augfeed.ops.letterbox import Letterbox
from augfeed.ops.mixup import Mixup
from augfeed.ops.mosaic import Mosaic
from augfeed.ops.normalize import Normalize
from augfeed.ops.one_of import OneOf
from augfeed.ops.perspective import Perspective
from augfeed.ops.posterize import Posterize
from augfeed.ops.rand_augment import RandAugment
from augfeed.ops.random_crop import RandomCrop
from augfeed.ops.random_erasing import RandomErasing
from augfeed.ops.random_iou_crop import RandomIouCrop
from augfeed.ops.random_order import RandomOrder
from augfeed.ops.random_resized_crop import RandomResizedCrop
from augfeed.ops.resize import Resize
from augfeed.ops.rotate import Rotate
from augfeed.ops.salt_and_pepper import SaltAndPepper
from augfeed.ops.scale import Scale
from augfeed.ops.sequence import Sequence
from augfeed.ops.sharpness import Sharpness
from augfeed.ops.shear import Shear
from augfeed.ops.solarize import Solarize
from augfeed.ops.solarize_add import SolarizeAdd
from augfeed.ops.some_of import SomeOf
from augfeed.ops.three_augment import ThreeAugment
from augfeed.ops.timm import Timm
from augfeed.ops.translate import Translate
from augfeed.ops.trivial_augment_wide import TrivialAugmentWide
from augfeed.ops.vertical_flip import VerticalFlip

# What may stand in a program, and what `one_of` takes besides.
Part = Annotated[
    Equalize
    | AutoContrast
    | GaussianBlur
    | Sharpness
    | Jpeg
    | Elastic
    | SomeOf
    | Sequence
    | RandomOrder
    | RandAugment
    | TrivialAugmentWide
    | AutoAugment
    | Timm
    | AugMix
    | ThreeAugment
    | HorizontalFlip
    | VerticalFlip
    | Rotate
    | Translate
    | Scale
    | Shear
    | Perspective
    | ColorJitter
    | Grayscale
    | Invert
    | ChannelShuffle
    | ChannelDrop
    | Posterize
    | Solarize
    | SolarizeAdd
    | Gamma
    | OneOf,
    Field(discriminator="op"),
]
Member = Annotated[
    Equalize
    | AutoContrast
    | GaussianBlur
    | Sharpness
    | Jpeg
    | Elastic
    | SomeOf
    | Sequence
    | RandomOrder
    | RandAugment
    | TrivialAugmentWide
    | AutoAugment
    | Timm
    | AugMix
    | ThreeAugment
    | HorizontalFlip
    | VerticalFlip
    | Rotate
    | Translate
    | Scale
    | Shear
    | Perspective
    | ColorJitter
    | Grayscale
    | Invert
    | ChannelShuffle
    | ChannelDrop
    | Posterize
    | Solarize
    | SolarizeAdd
    | Gamma
    | Mixup
    | CutMix
    | OneOf,
    Field(discriminator="op"),
]
for _holder in (SomeOf, Sequence, RandomOrder, OneOf):
    complete(_holder, Part=Part, Member=Member)

Operation = Annotated[
    Resize
    | RandomResizedCrop
    | RandomCrop
    | CenterCrop
    | Letterbox
    | RandomIouCrop
    | BboxSafeCrop
    | Mosaic
    | CopyPaste
    | Kornia
    | Equalize
    | AutoContrast
    | GaussianBlur
    | Sharpness
    | Jpeg
    | Elastic
    | SomeOf
    | Sequence
    | RandomOrder
    | RandAugment
    | TrivialAugmentWide
    | AutoAugment
    | Timm
    | AugMix
    | ThreeAugment
    | HorizontalFlip
    | VerticalFlip
    | Rotate
    | Translate
    | Scale
    | Shear
    | Perspective
    | Border
    | ColorJitter
    | Grayscale
    | Invert
    | ChannelShuffle
    | ChannelDrop
    | Posterize
    | Solarize
    | SolarizeAdd
    | Gamma
    | Mixup
    | CutMix
    | OneOf
    | Cutout
    | RandomErasing
    | Normalize
    | GaussianNoise
    | SaltAndPepper
    | LabelSmoothing,
    Field(discriminator="op"),
]
ALL: tuple[type[Declaration], ...] = (
    Resize,
    RandomResizedCrop,
    RandomCrop,
    CenterCrop,
    Letterbox,
    RandomIouCrop,
    BboxSafeCrop,
    Mosaic,
    CopyPaste,
    Kornia,
    Equalize,
    AutoContrast,
    GaussianBlur,
    Sharpness,
    Jpeg,
    Elastic,
    SomeOf,
    Sequence,
    RandomOrder,
    RandAugment,
    TrivialAugmentWide,
    AutoAugment,
    Timm,
    AugMix,
    ThreeAugment,
    HorizontalFlip,
    VerticalFlip,
    Rotate,
    Translate,
    Scale,
    Shear,
    Perspective,
    Border,
    ColorJitter,
    Grayscale,
    Invert,
    ChannelShuffle,
    ChannelDrop,
    Posterize,
    Solarize,
    SolarizeAdd,
    Gamma,
    Mixup,
    CutMix,
    OneOf,
    Cutout,
    RandomErasing,
    Normalize,
    GaussianNoise,
    SaltAndPepper,
    LabelSmoothing,
)
__all__ = [
    "AugMix",
    "AutoAugment",
    "AutoContrast",
    "BboxSafeCrop",
    "Border",
    "CenterCrop",
    "ChannelDrop",
    "ChannelShuffle",
    "ColorJitter",
    "CopyPaste",
    "CutMix",
    "Cutout",
    "Elastic",
    "Equalize",
    "Gamma",
    "GaussianBlur",
    "GaussianNoise",
    "Grayscale",
    "HorizontalFlip",
    "Invert",
    "Jpeg",
    "Kornia",
    "LabelSmoothing",
    "Letterbox",
    "Mixup",
    "Mosaic",
    "Normalize",
    "OneOf",
    "Perspective",
    "Posterize",
    "RandAugment",
    "RandomCrop",
    "RandomErasing",
    "RandomIouCrop",
    "RandomOrder",
    "RandomResizedCrop",
    "Resize",
    "Rotate",
    "SaltAndPepper",
    "Scale",
    "Sequence",
    "Sharpness",
    "Shear",
    "Solarize",
    "SolarizeAdd",
    "SomeOf",
    "ThreeAugment",
    "Timm",
    "Translate",
    "TrivialAugmentWide",
    "VerticalFlip",
]
