"""The words of a table as the kernels read them."""

import triton
import triton.language as tl

from augfeed import constants
from augfeed.engines import interpreted
from augfeed.engines.cuda import spec as _spec
from augfeed.engines.cuda import table as _table

MIXUP: tl.constexpr = tl.constexpr(constants.MIXUP)
BICUBIC: tl.constexpr = tl.constexpr(constants.BICUBIC)
ONLY_NEAREST: tl.constexpr = tl.constexpr(1 << constants.NEAREST)  # of the bits for filters
ONLY_BILINEAR: tl.constexpr = tl.constexpr(1 << constants.BILINEAR)
ONLY_BICUBIC: tl.constexpr = tl.constexpr(1 << constants.BICUBIC)
WARP_CUBIC: tl.constexpr = tl.constexpr(constants.WARP_CUBIC)
CUTMIX: tl.constexpr = tl.constexpr(constants.CUTMIX)
HEAD: tl.constexpr = tl.constexpr(_table.HEAD)
SEED: tl.constexpr = tl.constexpr(_table.SEED)
EPOCH: tl.constexpr = tl.constexpr(_table.EPOCH)
PAD_FILL: tl.constexpr = tl.constexpr(_table.PAD_FILL)
BORDER_FILL: tl.constexpr = tl.constexpr(_table.BORDER_FILL)
CUTOUT_FILL: tl.constexpr = tl.constexpr(_table.CUTOUT_FILL)
ERASE_FILL: tl.constexpr = tl.constexpr(_table.ERASE_FILL)
LOW: tl.constexpr = tl.constexpr(_table.LOW)
HIGH: tl.constexpr = tl.constexpr(_table.HIGH)
GAIN: tl.constexpr = tl.constexpr(_table.GAIN)
SIGMA_SCALE: tl.constexpr = tl.constexpr(_table.SIGMA_SCALE)
PLAIN_GAIN: tl.constexpr = tl.constexpr(_table.PLAIN)
INTERPRETED: tl.constexpr = tl.constexpr(interpreted())  # without a GPU, and its assembly
SUMS: tl.constexpr = tl.constexpr(_spec.SUMS)


@triton.jit
def load_float(words):
    """Return a word of the table as the float that it is."""
    return tl.load(words).to(tl.float32, bitcast=True)
