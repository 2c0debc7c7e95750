"""The columns of a plan that operations declare, one row a sample.

Written by `python -m augfeed.ops.generate` from the declarations: do not edit.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Columns:
    """What operations decided of every sample; neutral values where one is not applied."""

    equalized: NDArray[np.bool_]  # [M] equalize
    stretched: NDArray[np.bool_]  # [M] autocontrast
    blur_sigma: NDArray[np.float32]  # [M] gaussian_blur
    blur_height: NDArray[np.float32]  # [M] gaussian_blur
    blur_width: NDArray[np.float32]  # [M] gaussian_blur
    sharpness: NDArray[np.float32]  # [M] sharpness
    jpeg_quality: NDArray[np.float32]  # [M] jpeg
    elastic_alpha: NDArray[np.float32]  # [M] elastic
    elastic_sigma: NDArray[np.float32]  # [M] elastic
    elastic_fill: NDArray[np.float32]  # [M] elastic
    elastic_key: NDArray[np.float32]  # [M] elastic
    elastic_key_high: NDArray[np.float32]  # [M] elastic
    flip_x: NDArray[np.bool_]  # [M] horizontal_flip
    flip_y: NDArray[np.bool_]  # [M] vertical_flip
    brightness: NDArray[np.float32]  # [M] color_jitter
    contrast: NDArray[np.float32]  # [M] color_jitter
    saturation: NDArray[np.float32]  # [M] color_jitter
    hue: NDArray[np.float32]  # [M] color_jitter
    about_half: NDArray[np.bool_]  # [M] color_jitter
    gray: NDArray[np.bool_]  # [M] grayscale
    inverted: NDArray[np.bool_]  # [M] invert
    permutation: NDArray[np.uint8]  # [M] channel_shuffle
    dropped: NDArray[np.uint8]  # [M] channel_drop
    bits: NDArray[np.uint8]  # [M] posterize
    threshold: NDArray[np.float32]  # [M] solarize
    addition: NDArray[np.float32]  # [M] solarize_add
    added_below: NDArray[np.float32]  # [M] solarize_add
    gamma: NDArray[np.float32]  # [M] gamma
    gain: NDArray[np.float32]  # [M] gamma
    cutout: NDArray[np.int32]  # [M, 4] cutout
    erased: NDArray[np.int32]  # [M, 4] random_erasing
    erased_more: NDArray[np.int32]  # [M, 6] random_erasing
    sigma: NDArray[np.float32]  # [M] gaussian_noise
    pepper: NDArray[np.uint32]  # [M] salt_and_pepper
    salt: NDArray[np.uint32]  # [M] salt_and_pepper
