"""Numbers of the JPEG standard and of libjpeg: its cosine transform in whole numbers, and tables.

Both ways, a transform is a product with an 8 x 8 matrix of whole numbers, rounded by a shift: the
products of libjpeg's accurate integer transform (jfdctint.c, jidctint.c), multiplied out. Nothing
is rounded in between, so that the result is the same to the bit, in any order.
"""

import numpy as np
from numpy.typing import NDArray

# jfdctint.c, multiplied out: 8192 * sqrt(2) * cos((2 x + 1) u pi / 16), as it rounds them.
COSINES: NDArray[np.int32] = np.array([
    [8192, 8192, 8192, 8192, 8192, 8192, 8192, 8192],
    [11363, 9633, 6437, 2260, -2260, -6437, -9633, -11363],
    [10703, 4433, -4433, -10703, -10703, -4433, 4433, 10703],
    [9633, -2259, -11362, -6436, 6436, 11362, 2259, -9633],
    [8192, -8192, -8192, 8192, 8192, -8192, -8192, 8192],
    [6437, -11362, 2261, 9633, -9633, -2261, 11362, -6437],
    [4433, -10704, 10704, -4433, -4433, 10704, -10704, 4433],
    [2260, -6436, 9633, -11363, 11363, -9633, 6436, -2260],
], np.int32)  # fmt: skip
# Annex K of the standard: what coefficients are divided by at a quality of 50, of gray and colors.
GRAY: NDArray[np.int32] = np.array([
    [16, 11, 10, 16, 24, 40, 51, 61], [12, 12, 14, 19, 26, 58, 60, 55],
    [14, 13, 16, 24, 40, 57, 69, 56], [14, 17, 22, 29, 51, 87, 80, 62],
    [18, 22, 37, 56, 68, 109, 103, 77], [24, 35, 55, 64, 81, 104, 113, 92],
    [49, 64, 78, 87, 103, 121, 120, 101], [72, 92, 95, 98, 112, 100, 103, 99],
], np.int32)  # fmt: skip
COLORS: NDArray[np.int32] = np.full((8, 8), 99, np.int32)
COLORS[:4, :4] = [[17, 18, 24, 47], [18, 21, 26, 66], [24, 26, 56, 99], [47, 66, 99, 99]]
# Gray and both colors of red, green and blue, in units of 1 / 65536, and back.
TO_GRAY, TO_BLUE, TO_RED = (19595, 38470, 7471), (-11059, -21709, 32768), (32768, -27439, -5329)
FROM_RED, FROM_BLUE, GREEN_RED, GREEN_BLUE = 91881, 116130, -46802, -22554
