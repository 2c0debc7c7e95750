"""The functions of `augfeed.operation.levels`, for Triton."""

import triton
import triton.language as tl

LEVELS: tl.constexpr = tl.constexpr(256)


@triton.jit
def floor_divide(value, by):
    """Return a quotient rounded down."""
    return value // by


@triton.jit
def divide(value, by):
    """Return a quotient in float64."""
    return value / by.to(tl.float64)


@triton.jit
def truncate(values):
    """Return numbers without what follows the point."""
    return values.to(tl.int32)


@triton.jit
def total(values):
    """Return the sum over all levels."""
    return tl.sum(values, 0)


@triton.jit
def cumulative(values):
    """Return, for each level, the sum up to it, itself included."""
    return tl.cumsum(values, 0)


@triton.jit
def real(level):
    """Return levels as float32."""
    return level.to(tl.float32)


@triton.jit
def saturated(values):
    """Return values as levels: cut off at 0, 255 and the level below."""
    return tl.minimum(tl.maximum(values, 0.0), 255.0).to(tl.int32)


@triton.jit
def to_unit(level):
    """Return levels as values from 0 to 1."""
    return tl.div_rn(level.to(tl.float32), 255.0)


@triton.jit
def nearest(value):
    """Return the nearest level of values from 0 to 1, halves to even."""
    held = tl.minimum(tl.maximum(value * 255.0, 0.0), 255.0)
    return ((held + 12582912.0) - 12582912.0).to(tl.int32)


@triton.jit
def highest(wanted):
    """Return the highest level that is wanted, -1 if none is."""
    return tl.max(tl.where(wanted, tl.arange(0, LEVELS), -1), 0)


@triton.jit
def lowest(wanted):
    """Return the lowest level that is wanted, 256 if none is."""
    return tl.min(tl.where(wanted, tl.arange(0, LEVELS), LEVELS), 0)
