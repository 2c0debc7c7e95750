"""float16 by the processor's instruction and by the rule in integers."""

import numpy as np
import pytest

from augfeed.kernels.cast_output import _convert_halves, _raise, _to_float16
from augfeed.kernels.interleave import BLOCK, CONVERTS_HALVES

U = np.uint64


@pytest.mark.parametrize("by", ["integers", "instruction"])
def test_halves_are_rounded_to_nearest_even_at_every_boundary(by: str) -> None:
    if by == "instruction" and not CONVERTS_HALVES:
        pytest.skip("the processor has no such instruction")
    finite = np.arange(0x7C00, dtype=np.uint16).view(np.float16).astype(np.float32)
    beside = np.array([-1, 0, 1, 0xFFF, 0x1000, 0x1001])  # of the middle between two, too
    near = (finite.view(np.uint32)[:, None] + beside).clip(0, 0x7F800000).astype(np.uint32).ravel()
    bits = np.concatenate([near, near | np.uint32(1 << 31)])
    bits = bits[: bits.size // BLOCK * BLOCK]
    values, made = bits.view(np.float32), np.zeros(bits.size, np.uint16)
    if by == "instruction":
        _convert_halves(values, U(0), values.size, made, U(0))
    else:
        raised = np.zeros_like(values)
        _raise(values, U(0), values.size, raised)
        _to_float16(bits, raised.view(np.uint32), U(0), values.size, made, U(0))
    with np.errstate(over="ignore"):
        assert (made == values.astype(np.float16).view(np.uint16)).all()
