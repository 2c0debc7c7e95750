"""The rows of a plan as a table of 32-bit words, for an engine that reads no NumPy columns."""

from augfeed.kernels import compiled_by_size
from augfeed.kernels.types import Array, Floats, Ints


@compiled_by_size
def fill_rows(
    starts: Ints, places: Ints, offsets: Ints, flip_x: Array, flip_y: Array,
    mode: Ints, partner: Ints, lam: Floats, patch: Ints, cutout: Ints, erased: Ints,
    ids: Ints, sigma: Floats, pepper: Ints, salt: Ints, bits: Ints, threshold: Floats,
    floats: Floats, rows: Ints,
) -> None:  # fmt: skip
    """Write the parts of every row to int32 `[N, width]`, of which `floats` is a view as float32.

    `starts` `[9]` is the first word of each part, -1 for one that is not wanted: places, offsets
    and flips; mode, partner and lambda; patch; cutout; erased; id; sigma; pepper and salt; bits
    that are kept and threshold. `offsets` `[N, 2]`, or `[1, 2]` for all rows.
    """
    base, mixing, patched, cut, erase, name, noise, salted, steps = starts
    for r in range(places.size):
        own = r if offsets.shape[0] > 1 else 0
        rows[r, base] = places[r]
        rows[r, base + 1], rows[r, base + 2] = offsets[own, 0], offsets[own, 1]
        rows[r, base + 3] = flip_x[r] + 2 * flip_y[r]
        if mixing >= 0:
            rows[r, mixing], rows[r, mixing + 1] = mode[r], partner[r]
            floats[r, mixing + 2] = lam[r]
        for k in range(4):
            if patched >= 0:
                rows[r, patched + k] = patch[r, k]
            if cut >= 0:
                rows[r, cut + k] = cutout[r, k]
            if erase >= 0:
                rows[r, erase + k] = erased[r, k]
        if name >= 0:
            rows[r, name], rows[r, name + 1] = ids[r], (ids[r] >> 32) << 16
        if noise >= 0:
            floats[r, noise] = sigma[r]
        if salted >= 0:
            rows[r, salted], rows[r, salted + 1] = pepper[r], salt[r]
        if steps >= 0:
            rows[r, steps], floats[r, steps + 1] = 0xFF << (8 - bits[r]) & 0xFF, threshold[r]
