"""Fields of a plan's rows that operations declare, as compiled loops read them.

Written by `python -m augfeed.ops.generate` from the declarations: do not edit.
"""

from typing import Any

import numpy as np

COLUMNS: list[tuple[str, Any]] = [
    ("flip_x", np.bool_),
    ("flip_y", np.bool_),
    ("brightness", np.float32),
    ("contrast", np.float32),
    ("saturation", np.float32),
    ("hue", np.float32),
    ("about_half", np.bool_),
    ("gray", np.bool_),
    ("inverted", np.bool_),
    ("permutation", np.int64),
    ("dropped", np.int64),
    ("levels", np.float32),
    ("level_part", np.float32),
    ("threshold", np.float32),
    ("addition", np.float32),
    ("added_below", np.float32),
    ("gamma", np.float32),
    ("gain", np.float32),
    ("cutout0", np.int64),
    ("cutout1", np.int64),
    ("cutout2", np.int64),
    ("cutout3", np.int64),
    ("erased0", np.int64),
    ("erased1", np.int64),
    ("erased2", np.int64),
    ("erased3", np.int64),
    ("erased_more0", np.int64),
    ("erased_more1", np.int64),
    ("erased_more2", np.int64),
    ("erased_more3", np.int64),
    ("erased_more4", np.int64),
    ("erased_more5", np.int64),
    ("sigma", np.float32),
    ("pepper", np.uint32),
    ("salt", np.uint32),
]
LINEAR: list[tuple[str, Any]] = [
    ("brightness", np.float32),
    ("contrast", np.float32),
    ("saturation", np.float32),
    ("hue", np.float32),
    ("about_half", np.bool_),
    ("gray", np.bool_),
    ("inverted", np.bool_),
    ("permutation", np.int64),
    ("dropped", np.int64),
]
NEUTRAL: dict[str, float | bool] = {  # the others: 0
    "brightness": 1,
    "contrast": 1,
    "saturation": 1,
    "levels": 1,
    "level_part": 1,
    "threshold": 2,
    "gain": 1,
}
