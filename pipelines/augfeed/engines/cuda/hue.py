"""Hue turned through HSV, on whole levels, as Pillow converts there and back."""

import triton
import triton.language as tl

from augfeed import constants

# Which hues Pillow's float32 puts below what they are: a bit each.
_WORDS = tuple(sum(constants.HUES_BELOW[32 * k + i] << i for i in range(32)) for k in range(8))
W0: tl.constexpr = tl.constexpr(_WORDS[0])
W2: tl.constexpr = tl.constexpr(_WORDS[2])
W3: tl.constexpr = tl.constexpr(_WORDS[3])
W4: tl.constexpr = tl.constexpr(_WORDS[4])
W5: tl.constexpr = tl.constexpr(_WORDS[5])
W6: tl.constexpr = tl.constexpr(_WORDS[6])


@triton.jit
def _below(hue):
    word = tl.where(hue < 32, W0, 0).to(tl.int64)
    at = hue >> 5
    word = tl.where(at == 2, W2, word)
    word = tl.where(at == 3, W3, word)
    word = tl.where(at == 4, W4, word)
    word = tl.where(at == 5, W5, word)
    word = tl.where(at == 6, W6, word)
    return ((word >> (hue & 31).to(tl.int64)) & 1).to(tl.int32)


@triton.jit
def turned(v0, v1, v2, turn):
    """Return three levels of pixels, as float32, with `turn` of 256 added to their hue."""
    r, g, b = v0.to(tl.int32), v1.to(tl.int32), v2.to(tl.int32)
    most = tl.maximum(tl.maximum(r, g), b)
    spread = most - tl.minimum(tl.minimum(r, g), b)
    six = tl.maximum(6 * spread, 1)
    of_red = tl.where(g >= b, g - b, g - b + 6 * spread)
    of_green, of_blue = 2 * spread + b - r, 4 * spread + r - g
    part = 255 * tl.where(r == most, of_red, tl.where(g == most, of_green, of_blue))
    hue = part // six
    hue = hue - tl.where(hue * six == part, _below(hue), 0)
    six = 6 * ((hue + turn.to(tl.int32)) & 255)
    share = 255 * spread // tl.maximum(most, 1)
    part = six // 255
    rest = six - 255 * part
    part = tl.where(part == 6, 0, part)
    low = (2 * most * (255 - share) + 255) // 510
    down = (2 * most * (65025 - share * rest) + 65025) // 130050
    up = (2 * most * (65025 - share * (255 - rest)) + 65025) // 130050
    red = tl.where((part == 0) | (part == 5), most, tl.where(part == 1, down, low))
    red = tl.where(part == 4, up, red)
    green = tl.where((part == 1) | (part == 2), most, tl.where(part == 0, up, low))
    green = tl.where(part == 3, down, green)
    blue = tl.where((part == 3) | (part == 4), most, tl.where(part == 2, up, low))
    blue = tl.where(part == 5, down, blue)
    plain = spread == 0
    return (
        tl.where(plain, v0, red.to(tl.float32)), tl.where(plain, v1, green.to(tl.float32)),
        tl.where(plain, v2, blue.to(tl.float32)),
    )  # fmt: skip
