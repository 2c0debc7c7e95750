"""Images for people: batches back to colors, small ones enlarged, regions outlined."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from augfeed.plan.policy_constants import PolicyConstants
from augfeed.policy import Policy
from augfeed.read.sources import Source
from augfeed.show.windows import Region

Pixels = NDArray[np.uint8]
BAND = 1 << 20  # pixels that are turned back at a time, of some 40 bytes each
SMALL, LARGE = 144, 224  # sides that small images are enlarged to, and large ones reduced to


def to_pictures(images: torch.Tensor, policy: Policy) -> Pixels:
    """Return a batch `[B, C, H, W]` as uint8 `[B, H, W, C]`, the policy's normalization undone.

    Values that leave the range of colors, as noise does, are clamped.
    """
    images = images.detach().cpu()
    if images.dtype == torch.uint8:
        return np.ascontiguousarray(images.permute(0, 2, 3, 1).numpy())
    fixed = PolicyConstants.of(policy, images.shape[1])
    mean, std = (torch.from_numpy(values)[:, None, None] for values in (fixed.mean, fixed.std))
    count, channels, height, width = images.shape
    result: Pixels = np.empty((count, height, width, channels), np.uint8)
    step = max(1, BAND // max(1, count * width))
    for top in range(0, height, step):
        band = images[:, :, top : top + step]
        pixels = (band.float() * std + mean).clamp(0, 1) * 255
        result[:, top : top + step] = pixels.round().to(torch.uint8).permute(0, 2, 3, 1).numpy()
    return result


def original(source: Source, index: int) -> Pixels:
    """Return image `index` of a source as uint8 `[h, w, C]`."""
    pixels: NDArray[Any] = source.image(index)
    return pixels if pixels.dtype == np.uint8 else np.rint(pixels * 255).astype(np.uint8)


def display(pixels: Pixels, side: int | None = None) -> Image.Image:
    """Return an image `[h, w, C]` at a size that one sees well, in RGB: its first three channels,
    or the first of one or two, as gray.

    Small ones are enlarged by a whole factor, so that each pixel stays a square of one color.
    `side` is the largest one of images that are to keep their sizes beside each other.
    """
    seen = pixels[:, :, :3] if pixels.shape[2] >= 3 else pixels[:, :, 0]
    image = Image.fromarray(np.ascontiguousarray(seen)).convert("RGB")
    side = side or max(image.size)
    if side > LARGE:
        width, height = (max(1, round(length * LARGE / side)) for length in image.size)
        return image.resize((width, height), Image.Resampling.LANCZOS)
    factor = max(1, round(SMALL / side))
    return image.resize((image.width * factor, image.height * factor), Image.Resampling.NEAREST)


def outline(image: Image.Image, box: Region, scale: float, color: str) -> None:
    """Draw the border of a region, given in the pixels of the image before it was scaled."""
    top, left, bottom, right = (round(edge * scale) for edge in box)
    if bottom <= top or right <= left:
        return
    draw = ImageDraw.Draw(image)
    # Just inside the region, and inside the image, with an edge that shows on any color.
    corners = max(left, 0), max(top, 0), min(right, image.width) - 1, min(bottom, image.height) - 1
    if corners[0] + 6 > corners[2] or corners[1] + 6 > corners[3]:
        draw.rectangle(corners, outline=color)
        return
    draw.rectangle(corners, outline="black", width=4)
    draw.rectangle((corners[0] + 1, corners[1] + 1, corners[2] - 1, corners[3] - 1),
                   outline=color, width=2)  # fmt: skip
