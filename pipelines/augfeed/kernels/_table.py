"""The rows of a plan as a table of 32-bit words, for an engine on a device.

Written by `python -m augfeed.ops.generate` from the declarations: do not edit.
"""
# fmt: off
# ruff: noqa

from augfeed.kernels import compiled_by_size
from augfeed.kernels.types import Array, Floats, Ints

WORDS = {'cutout': 4, 'random_erasing': 10, 'gaussian_noise': 1, 'salt_and_pepper': 2}
COLUMNS = ('cutout', 'erased', 'erased_more', 'sigma', 'pepper', 'salt')


@compiled_by_size
def fill_rows(
    starts: Ints, places: Ints, offsets: Ints, flip_x: Array, flip_y: Array,
    mode: Ints, partner: Ints, lam: Floats, patch: Ints, ids: Ints,
    cutout_of: Ints, erased_of: Ints, erased_more_of: Ints, sigma_of: Floats, pepper_of: Ints, salt_of: Ints,
    floats: Floats, rows: Ints,
) -> None:
    """Write the parts of every row to int32 `[N, width]`, of which `floats` is a view as float32.

    `starts` is the first word of each part, -1 for one that is not wanted: places, offsets and
    flips; mode, partner and lambda; patch; id; then those of `WORDS`. `offsets` `[N, 2]`, or
    `[1, 2]` for all rows.
    """
    base, mixing, patched, name, cutout, random_erasing, gaussian_noise, salt_and_pepper = starts
    for r in range(places.size):
        own = r if offsets.shape[0] > 1 else 0
        rows[r, base] = places[r]
        rows[r, base + 1], rows[r, base + 2] = offsets[own, 0], offsets[own, 1]
        rows[r, base + 3] = flip_x[r] + 2 * flip_y[r]
        if mixing >= 0:
            rows[r, mixing], rows[r, mixing + 1] = mode[r], partner[r]
            floats[r, mixing + 2] = lam[r]
        if patched >= 0:
            for k in range(4):
                rows[r, patched + k] = patch[r, k]
        if name >= 0:
            upper = ids[r] >> 32
            rows[r, name] = ids[r]
            rows[r, name + 1] = (upper & 0xFFFF) << 16 | (upper >> 16) << 10
        if cutout >= 0:
            rows[r, cutout + 0] = cutout_of[r, 0]
            rows[r, cutout + 1] = cutout_of[r, 1]
            rows[r, cutout + 2] = cutout_of[r, 2]
            rows[r, cutout + 3] = cutout_of[r, 3]
        if random_erasing >= 0:
            rows[r, random_erasing + 0] = erased_of[r, 0]
            rows[r, random_erasing + 1] = erased_of[r, 1]
            rows[r, random_erasing + 2] = erased_of[r, 2]
            rows[r, random_erasing + 3] = erased_of[r, 3]
            rows[r, random_erasing + 4] = erased_more_of[r, 0]
            rows[r, random_erasing + 5] = erased_more_of[r, 1]
            rows[r, random_erasing + 6] = erased_more_of[r, 2]
            rows[r, random_erasing + 7] = erased_more_of[r, 3]
            rows[r, random_erasing + 8] = erased_more_of[r, 4]
            rows[r, random_erasing + 9] = erased_more_of[r, 5]
        if gaussian_noise >= 0:
            floats[r, gaussian_noise + 0] = sigma_of[r]
        if salt_and_pepper >= 0:
            rows[r, salt_and_pepper + 0] = pepper_of[r]
            rows[r, salt_and_pepper + 1] = salt_of[r]
