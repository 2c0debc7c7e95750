"""The few functions that bodies of color operations are written with, on numbers or NumPy arrays.

Bodies are Python functions of numbers that use these, `+ - *`, comparisons and constants. They are
called as they are in tests; `augfeed.ops.generate` writes them out for Numba and for Triton.
"""

import math
from typing import Any

import numpy as np

PI = math.pi
floor: Any = np.floor
minimum: Any = np.minimum
maximum: Any = np.maximum
where: Any = np.where
cos: Any = np.cos
sin: Any = np.sin
exp2: Any = np.exp2
log2: Any = np.log2


def fma(a: Any, b: Any, c: Any) -> Any:
    """Return `a * b + c`, which a GPU rounds once, and other machines twice."""
    return a * b + c
