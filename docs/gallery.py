"""The page of operations in images, which the library makes of one painted scene.

`python -m docs.gallery` writes docs/reference/gallery.md and docs/pictures/operations/*.webp.
"""

import io
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from augfeed import DataLoader
from augfeed.policy import OPERATIONS

DOCS = Path(__file__).parent
PAGE, PICTURES = DOCS / "reference" / "gallery.md", DOCS / "pictures" / "operations"
SIDE, WIDE, HIGH = 96, 128, 112
GAP = 4  # pixels between two images of a row
SEED, FAR = 3, 3  # the epoch of what has a strength is FAR
Pixels = NDArray[np.uint8]

# Five lines for each operation, from mild to strong, or five draws of one.
FIVE: dict[str, tuple[str, ...]] = {
    "random_resized_crop": tuple(
        f"random_resized_crop(96, scale=[{part}, {part}])" for part in (0.8, 0.5, 0.3, 0.15, 0.08)
    ),
    "random_crop": tuple(f"random_crop(96, padding={pad})" for pad in (0, 4, 12, 24, 48)),
    "center_crop": tuple(f"center_crop({side})" for side in (96, 80, 64, 48, 32)),
    "resize": tuple(f"resize([96, {side}])" for side in (96, 72, 48, 36, 24)),
    "equalize": ("equalize(1.0)",) * 5,
    "autocontrast": ("autocontrast(1.0)",) * 5,
    "gaussian_blur": tuple(f"gaussian_blur(23, {sigma})" for sigma in (0.5, 1.0, 1.5, 2.5, 5.0)),
    "sharpness": tuple(f"sharpness({factor}, p=1.0)" for factor in (0.0, 0.5, 2.0, 4.0, 8.0)),
    "jpeg": tuple(f"jpeg({quality}, p=1.0)" for quality in (80, 40, 20, 10, 3)),
    "elastic": tuple(f"elastic({alpha}, p=1.0)" for alpha in (50, 100, 200, 400, 800)),
    "some_of": ("some_of([rotate(30), invert(1.0), equalize(1.0), grayscale(1.0)], 2)",) * 5,
    "sequence": ("sequence([rotate(30), posterize(3, p=1.0), rotate(30)])",) * 5,
    "random_order": ("random_order([solarize(0.5, p=1.0), rotate(30), posterize(2, p=1.0)])",) * 5,
    "rand_augment": tuple(f"rand_augment(2, {bin_})" for bin_ in (3, 9, 15, 22, 30)),
    "trivial_augment_wide": ("trivial_augment_wide",) * 5,
    "auto_augment": ("auto_augment",) * 5,
    "timm": tuple(f'timm("rand-m{level}-inc1-p1.0")' for level in (2, 4, 6, 8, 10)),
    "aug_mix": ("aug_mix(8)",) * 5,
    "three_augment": ("three_augment",) * 5,
    "horizontal_flip": ("horizontal_flip(1.0)",) * 5,
    "vertical_flip": ("vertical_flip(1.0)",) * 5,
    "rotate": tuple(f"rotate([{angle}, {angle}])" for angle in (-30, -10, 10, 30, 90)),
    "translate": tuple(f"translate({share}, {share})" for share in (0.05, 0.1, 0.2, 0.3, 0.5)),
    "scale": tuple(f"scale([{factor}, {factor}])" for factor in (0.5, 0.75, 1.25, 1.5, 2.0)),
    "shear": tuple(f"shear({angle}, {angle / 2})" for angle in (5, 10, 20, 30, 45)),
    "perspective": tuple(f"perspective({share}, p=1.0)" for share in (0.1, 0.2, 0.4, 0.6, 0.9)),
    "border": (
        "rotate([30, 30])", 'rotate([30, 30]) | border("constant", 0.5)',
        'rotate([30, 30]) | border("constant", 1.0)', 'rotate([30, 30]) | border("edge")',
        'rotate([30, 30]) | border("reflect")',
    ),
    "color_jitter": (
        "color_jitter([0.5, 0.5], 0, 0, p=1.0)", "color_jitter([1.5, 1.5], 0, 0, p=1.0)",
        "color_jitter(0, [0.5, 0.5], 0, p=1.0)", "color_jitter(0, 0, [2, 2], p=1.0)",
        "color_jitter(0, 0, 0, [0.2, 0.2], p=1.0)",
    ),
    "grayscale": ("grayscale(1.0)",) * 5,
    "invert": ("invert(1.0)",) * 5,
    "channel_shuffle": ("channel_shuffle(1.0)",) * 5,
    "channel_drop": ("channel_drop(p=1.0)",) * 5,
    "posterize": tuple(f"posterize({bits}, p=1.0)" for bits in (6, 4, 3, 2, 1)),
    "solarize": tuple(f"solarize({threshold}, p=1.0)" for threshold in (0.9, 0.7, 0.5, 0.3, 0.1)),
    "solarize_add": tuple(f"solarize_add({share}, p=1.0)" for share in (0.1, 0.2, 0.3, 0.4, 0.5)),
    "gamma": tuple(f"gamma({power}, p=1.0)" for power in (0.3, 0.6, 1.5, 2.5, 4.0)),
    "mixup": ("mixup(1.0)",) * 5,
    "cutmix": ("cutmix(1.0)",) * 5,
    "one_of": ("one_of([rotate(60), invert(1.0), gaussian_blur(15, 3.0), grayscale(1.0)])",) * 5,
    "cutout": tuple(f"cutout({side})" for side in (8, 16, 32, 48, 64)),
    "random_erasing": tuple(
        f"random_erasing(1.0, scale=[{share}, {share}], count={count}) | normalize(0.0, 1.0)"
        for share, count in ((0.05, 1), (0.1, 1), (0.2, 1), (0.33, 1), (0.33, 3))
    ),
    "gaussian_noise": tuple(
        f"gaussian_noise({sigma}) | normalize(0.0, 1.0)" for sigma in (0.02, 0.05, 0.1, 0.2, 0.4)
    ),
    "salt_and_pepper": tuple(f"salt_and_pepper({share})" for share in (0.01, 0.03, 0.1, 0.2, 0.4)),
}  # fmt: skip
UNSEEN = {
    "kornia": "any class of Kornia's",
    "normalize": "its values are not those of an image",
    "label_smoothing": "it changes labels alone",
    "letterbox": "the scene fits as it is",
    "schedule": "changes other operations by epoch",
    "mosaic": "it needs samples with boxes or masks",
    "copy_paste": "it needs masks of objects",
    "random_iou_crop": "it is drawn by boxes",
    "bbox_safe_crop": "it is drawn by boxes",
}
HEAD = """# Operations in images

Each row is one operation, from mild to strong, or five draws where it has no strength. The images
are made by the library itself, of one painted scene of 128 x 112 pixels;
[Operations](operations.md) says what each of them does.

This page is written by `python -m docs.gallery`.

"""


@cache
def scene() -> Image.Image:
    """Return a house in front of hills, with every color, edges, a gradient and fine texture."""
    scale = 4
    y = np.mgrid[: HIGH * scale, : WIDE * scale][0]
    sky = np.stack([90 + 110 * y / y.max(), 150 + 70 * y / y.max(), 235 - 15 * y / y.max()], axis=2)
    image = Image.fromarray(sky.astype(np.uint8))
    draw = ImageDraw.Draw(image)

    def at(*points: float) -> list[float]:
        return [point * scale for point in points]

    draw.ellipse(at(92, 10, 114, 32), fill=(255, 214, 64))
    draw.polygon(at(0, 80, 34, 44, 70, 80), fill=(96, 120, 140))
    draw.polygon(at(40, 80, 84, 38, 128, 80), fill=(72, 100, 122))
    draw.rectangle(at(0, 76, 128, 112), fill=(74, 142, 62))
    draw.rectangle(at(24, 56, 70, 96), fill=(206, 70, 58))
    draw.polygon(at(18, 58, 47, 32, 76, 58), fill=(98, 52, 38))
    draw.rectangle(at(32, 64, 42, 74), fill=(250, 240, 190))
    draw.rectangle(at(54, 74, 64, 96), fill=(60, 38, 120))
    draw.rectangle(at(96, 70, 100, 98), fill=(92, 60, 34))
    draw.ellipse(at(84, 48, 112, 78), fill=(30, 108, 52))
    for k in range(9):
        draw.line(at(2 + 14 * k, 112, 6 + 14 * k, 100), fill=(190, 214, 70), width=scale)
    image = image.resize((WIDE, HIGH), Image.Resampling.LANCZOS)
    y, x = np.mgrid[:HIGH, :WIDE][..., None]
    grain = 10 * (np.sin(12.9898 * x + 78.233 * y) * 43758.5453 % 1) - 5
    return Image.fromarray(np.clip(np.asarray(image) + grain, 0, 255).astype(np.uint8))


@cache
def sources(height: int, width: int) -> torch.Tensor:
    """Return uint8 `[8, 3, height, width]`: the scene, and others to mix it with."""
    image = scene().resize((width, height), Image.Resampling.LANCZOS)
    pixels = np.asarray(image)
    made = [pixels, pixels[:, ::-1, [2, 0, 1]], pixels[::-1], pixels[:, :, [1, 2, 0]]] * 2
    return torch.from_numpy(np.stack(made).transpose(0, 3, 1, 2).copy())


def shown(line: str, epoch: int) -> Pixels:
    """Return uint8 `[96, 96, 3]`: what a loader gives for the scene in an epoch."""
    windowed = line.startswith(("random_resized_crop", "random_crop", "center_crop", "resize"))
    images = sources(HIGH, WIDE) if windowed else sources(SIDE, SIDE)
    loader = DataLoader((images, torch.zeros(8).long()), 8, policy=line, num_classes=2, seed=SEED)
    loader.set_epoch(epoch)
    made, _ = next(iter(loader))
    values = (made[0].permute(1, 2, 0).clamp(0, 1) * 255).round().to(torch.uint8).numpy()
    return np.asarray(Image.fromarray(values).resize((SIDE, SIDE), Image.Resampling.BICUBIC))


def strip(lines: tuple[str, ...]) -> Pixels:
    """Return uint8 `[96, W, 3]`: five images side by side, on white."""
    alike = len(set(lines)) == 1
    made = [shown(line, number if alike else FAR) for number, line in enumerate(lines)]
    gap = np.full((SIDE, GAP, 3), 255, np.uint8)
    return np.hstack([part for image in made for part in (image, gap)][:-1])


def encoded(pixels: Pixels) -> bytes:
    """Return pixels as a small file."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "WEBP", quality=82, method=6)
    return buffer.getvalue()


def page() -> str:
    """Return the text of the page."""
    parts = [HEAD, "| operation | from mild to strong |\n", "|---|---|\n"]
    for name in OPERATIONS:
        if name in FIVE:
            lines = list(dict.fromkeys(FIVE[name]))
            words = "<br>".join(f"`{line}`".replace("|", "\\|") for line in lines)
            link = f"[{name}](operations.md#{name})"
            parts.append(f"| {link} | ![{name}](../pictures/operations/{name}.webp)<br>{words} |\n")
    parts.append("\nNot shown: ")
    parts.append("; ".join(f"`{name}` ({why})" for name, why in UNSEEN.items()) + ".\n")
    return "".join(parts)


def pictures() -> Iterator[tuple[Path, Pixels]]:
    """Yield the files of the page, and their pixels."""
    for name, lines in FIVE.items():
        yield PICTURES / f"{name}.webp", strip(lines)


if __name__ == "__main__":
    PICTURES.mkdir(exist_ok=True)
    for path, pixels in pictures():
        path.write_bytes(encoded(pixels))
    PAGE.write_text(page())
