"""The laws of the draws, each held against a sample of them."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from augfeed import philox
from augfeed.doctor.check import SIDE, Check, Lab
from augfeed.doctor.statistics import (
    Measured,
    arcsine,
    beta,
    chi_square,
    kolmogorov_smirnov,
    normal,
    uniform,
)
from augfeed.kernels.noise import pixel_numbers
from augfeed.philox import Stream
from augfeed.plan import CUTMIX, BatchRows, rows_of_views
from augfeed.plan.batch_rows import GROUP
from augfeed.policy import (
    ColorJitter,
    CutMix,
    Cutout,
    GaussianNoise,
    HorizontalFlip,
    Mixup,
    RandomErasing,
    RandomResizedCrop,
    Rotate,
    SaltAndPepper,
    Scale,
    Shear,
    Translate,
)
from augfeed.read.order import epoch_order

# No window and no hole of these leaves the image, so that no try is ever repeated.
CROP = RandomResizedCrop(224, scale=(0.08, 0.5))
ERASING = RandomErasing(p=0.3, scale=(0.02, 0.2))
HOLE = 1001  # side of the Cutout
BLOCKS = 20  # that the shuffled order is cut into
PLANE = 500  # pixel numbers drawn for a sample


def words(lab: Lab) -> Iterator[Check]:
    """Check the numbers that everything is made of, and that neighbors tell nothing."""
    drawn = philox.words(lab.seed, 0, lab.ids, [(Stream.CROP, 0), (Stream.MIX, 0)])
    next_epoch = philox.words(lab.seed, 1, lab.ids, [(Stream.CROP, 0)])
    u, later = philox.uniforms(drawn), philox.uniforms(next_epoch)[0, 0]
    law = "uniform in [0, 1)"
    yield Check.of("uniforms", law, kolmogorov_smirnov(u, uniform(0, 1)))
    law = "tell nothing about each other"
    yield Check.of("neighboring samples", law, _independent(*_pairs(u[0, 0])))
    yield Check.of("neighboring words", law, _independent(u[0, 0], u[0, 1]))
    yield Check.of("two operations", law, _independent(u[0, 0], u[1, 0]))
    yield Check.of("two epochs", law, _independent(u[0, 0], later))
    rows = rows_of_views(BatchRows.of(lab.ids), 1, 1)
    other = philox.uniforms(philox.words(lab.seed, 0, rows.ids, [(Stream.CROP, 0)]))[0, 0]
    yield Check.of("two views", law, _independent(u[0, 0], other))


def crops(lab: Lab) -> Iterator[Check]:
    """Check the windows of RandomResizedCrop."""
    top, left, height, width = lab.plan(CROP).window.at(SIDE, SIDE).box.astype(np.float64).T
    law = "share of the image uniform in [0.08, 0.5]"
    share = height * width / SIDE**2
    yield Check.of("crop area", law, kolmogorov_smirnov(share, uniform(0.08, 0.5)))
    law, end = "log(width / height) uniform in +-log(4/3)", np.log(4 / 3)
    ratio = np.log(width / height)
    yield Check.of("crop aspect", law, kolmogorov_smirnov(ratio, uniform(-end, end)))
    law = "uniform over the places that fit"
    yield Check.of("crop top", law, kolmogorov_smirnov(top / (SIDE - height), uniform(0, 1)))
    yield Check.of("crop left", law, kolmogorov_smirnov(left / (SIDE - width), uniform(0, 1)))


def geometry(lab: Lab) -> Iterator[Check]:
    """Check flips and the matrices that the pixels follow."""
    for p in (0.1, 0.5, 0.9):
        flipped = lab.plan(HorizontalFlip(p)).flip_x
        yield Check.of(f"flip, p={p}", f"a share {p} of the samples", _rates(flipped, p))
    matrix = lab.plan(Rotate(30)).inverse.astype(np.float64)
    angle = np.rad2deg(np.arctan2(matrix[:, 1, 0], matrix[:, 0, 0]))
    law = "angle uniform in +-30 degrees"
    yield Check.of("rotate", law, kolmogorov_smirnov(angle, uniform(-30, 30)))
    shift = lab.plan(Translate(0.1, 0.1)).inverse[:, :2, 2] / SIDE
    law = "share of the side uniform in +-0.1"
    for axis, name in enumerate("xy"):
        measured = kolmogorov_smirnov(shift[:, axis], uniform(-0.1, 0.1))
        yield Check.of(f"translate {name}", law, measured)
    factor = 1 / lab.plan(Scale((0.8, 1.5))).inverse[:, 0, 0].astype(np.float64)
    law = "factor uniform in [0.8, 1.5]"
    yield Check.of("scale", law, kolmogorov_smirnov(factor, uniform(0.8, 1.5)))
    slant = np.rad2deg(np.arctan(lab.plan(Shear(20)).inverse[:, 0, 1]))
    law = "angle uniform in +-20 degrees"
    yield Check.of("shear", law, kolmogorov_smirnov(slant, uniform(-20, 20)))


def colors(lab: Lab) -> Iterator[Check]:
    """Check the factors of ColorJitter."""
    drawn = lab.plan(ColorJitter(0.4, 0.4, 0.4, 0.2)).colors
    for name in ("brightness", "contrast", "saturation"):
        measured = kolmogorov_smirnov(getattr(drawn, name), uniform(0.6, 1.4))
        yield Check.of(name, "factor uniform in [0.6, 1.4]", measured)
    measured = kolmogorov_smirnov(drawn.hue, uniform(-0.2, 0.2))
    yield Check.of("hue", "turn uniform in +-0.2", measured)


def mixing(lab: Lab) -> Iterator[Check]:
    """Check lambdas, boxes and partners."""
    tiny = philox.beta(lab.seed, 0, lab.ids, Stream.MIX_LAMBDA, 0.2)
    yield Check.of("lambda, alpha=0.2", "Beta(0.2, 0.2)", kolmogorov_smirnov(tiny, beta(0.2)))
    for alpha, law, cdf in (
        (0.5, "arcsine law", arcsine),
        (1.0, "uniform in [0, 1]", uniform(0, 1)),
        (2.0, "Beta(2, 2)", beta(2.0)),
    ):
        mixes = lab.plan(Mixup(alpha)).mixes
        measured = kolmogorov_smirnov(mixes.lam[mixes.mode > 0], cdf)
        yield Check.of(f"mixup lambda, alpha={alpha:g}", law, measured)
    yield from _cutmix(lab)
    rows = lab.plan(Mixup()).mixes
    own, partner = np.arange(lab.samples), rows.partner
    whole = own < lab.samples - lab.samples % GROUP
    yield Check.of("own partner", "nobody is", Measured(float((own == partner)[whole].sum()), None))
    # One row of each group, as a group's partners depend on each other.
    picked = own[whole][(own // GROUP % GROUP == own % GROUP)[whole]]
    cells = picked % GROUP * GROUP + (partner[picked] - picked) % GROUP
    counts = np.bincount(cells, minlength=GROUP**2).reshape(GROUP, GROUP)[:, 1:]
    expected = np.bincount(picked % GROUP, minlength=GROUP)[:, None] / (GROUP - 1)
    measured = chi_square(counts, expected, GROUP * (GROUP - 2))
    yield Check.of("partners", f"uniform over the {GROUP - 1} others", measured)


def _cutmix(lab: Lab) -> Iterator[Check]:
    counted = lab.plan(CutMix()).mixes
    area = (counted.patch[:, 2:] - counted.patch[:, :2]).prod(axis=1, dtype=np.float64)
    wrong = np.abs(counted.lam - (1 - area / SIDE**2)) > 2.0**-24
    law = "the share of pixels that the box leaves"
    yield Check.of("cutmix lambda", law, Measured(float(wrong.sum()), None))
    drawn = lab.plan(CutMix(correct_lambda=False)).mixes
    lam = drawn.lam[drawn.mode == CUTMIX].astype(np.float64)
    law = "uniform in [0, 1] before it is counted"
    yield Check.of("cutmix drawn lambda", law, kolmogorov_smirnov(lam, uniform(0, 1)))
    # Of boxes below half the side, at most one end is cut off, and the other tells the center.
    small = (drawn.mode == CUTMIX) & (drawn.lam > 0.75)
    cut = np.floor(SIDE * np.sqrt(1 - drawn.lam[small].astype(np.float64)))[:, None]
    law = "center uniform over the pixels"
    for axis, centre in enumerate(_centres(drawn.patch[small], cut).T):
        measured = kolmogorov_smirnov(centre / SIDE, uniform(0, 1))
        yield Check.of(f"cutmix center {'yx'[axis]}", law, measured)


def holes(lab: Lab) -> Iterator[Check]:
    """Check Cutout and RandomErasing."""
    law = "uniform over the pixels"
    for axis, centre in enumerate(_centres(lab.plan(Cutout(HOLE)).cutout, HOLE).T):
        measured = kolmogorov_smirnov(centre / SIDE, uniform(0, 1))
        yield Check.of(f"cutout center {'yx'[axis]}", law, measured)
    boxes = lab.plan(ERASING).erased.astype(np.float64)
    erased = boxes[:, 2] > 0
    yield Check.of("erasing", "a share 0.3 of the samples", _rates(erased, 0.3))
    top, left, bottom, right = boxes[erased].T
    height, width = bottom - top, right - left
    law = "share of the image uniform in [0.02, 0.2]"
    share = height * width / SIDE**2
    yield Check.of("erasing area", law, kolmogorov_smirnov(share, uniform(0.02, 0.2)))
    law, end = "log(height / width) uniform in +-log(0.3)", -np.log(0.3)
    ratio = np.log(height / width)
    yield Check.of("erasing aspect", law, kolmogorov_smirnov(ratio, uniform(-end, end)))
    law = "uniform over the places that fit"
    for name, place in (("top", top / (SIDE - height)), ("left", left / (SIDE - width))):
        yield Check.of(f"erasing {name}", law, kolmogorov_smirnov(place, uniform(0, 1)))


def pixels(lab: Lab) -> Iterator[Check]:
    """Check noise: its strength, and the numbers of the pixels."""
    sigma = lab.plan(GaussianNoise((0.1, 0.3))).sigma
    law = "sigma uniform in [0.1, 0.3]"
    yield Check.of("noise strength", law, kolmogorov_smirnov(sigma, uniform(0.1, 0.3)))
    noise = philox.normal_quantiles()[_pixel_numbers(lab, Stream.NOISE_PIXELS)]
    yield Check.of("noise", "standard normal", kolmogorov_smirnov(noise, normal))
    law = "says nothing about the next pixel"
    u = normal(noise.astype(np.float64))
    yield Check.of("noise of a pixel", law, _independent(*_pairs(u)))
    plan = lab.plan(SaltAndPepper(0.1, salt=0.3))
    numbers = _pixel_numbers(lab, Stream.SALT_PIXELS).reshape(-1, PLANE)
    rows = len(numbers)
    white, black = plan.salt[:rows, None], plan.pepper[:rows, None]
    measured = _rates(np.where(numbers < black, 1, np.where(numbers < white, 2, 0)), 0.07, 0.03)
    yield Check.of("salt and pepper", "7% of the pixels black, 3% white", measured)


def order(lab: Lab) -> Iterator[Check]:
    """Check the order of a shuffled epoch."""
    drawn = epoch_order(lab.samples, seed=lab.seed, epoch=0, shuffle=True)
    missing = lab.samples - len(np.intersect1d(drawn, lab.ids))
    law = "holds every sample once"
    yield Check.of("shuffled order", law, Measured(float(missing), None))
    rows, columns = (values * BLOCKS // lab.samples for values in (drawn, lab.ids))
    counts = np.bincount(rows * BLOCKS + columns, minlength=BLOCKS**2).reshape(BLOCKS, BLOCKS)
    expected = counts.sum(axis=1)[:, None] * counts.sum(axis=0) / lab.samples
    measured = chi_square(counts, expected, (BLOCKS - 1) ** 2)
    yield Check.of("place in the order", "uniform over the epoch", measured)


def _pixel_numbers(lab: Lab, stream: Stream) -> NDArray[np.uint32]:
    key = np.uint64(lab.seed), np.uint64(0)
    samples = range(max(1, lab.samples // PLANE))
    drawn = [pixel_numbers(PLANE, 1, (*key, np.uint64(id), int(stream))) for id in samples]
    return np.concatenate(drawn)


def _centres(boxes: NDArray[np.int32], cut: Any) -> NDArray[np.float64]:
    # The end that is not cut off lies at a known distance from the center.
    first, last = boxes[:, :2].astype(np.float64), boxes[:, 2:].astype(np.float64)
    centres: NDArray[np.float64] = np.where(first > 0, first + cut // 2, last - cut + cut // 2)
    return centres


def _rates(outcome: NDArray[Any], *shares: float) -> Measured:
    # Outcomes 1, 2, ... have these shares, and 0 has the rest.
    expected = np.array([1 - sum(shares), *shares]) * outcome.size
    counts = np.bincount(outcome.ravel().astype(np.int64), minlength=len(expected))
    return chi_square(counts, expected, len(shares))


def _pairs(values: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    # Pairs that do not overlap: chi-square wants cells filled independently.
    even = values[: len(values) // 2 * 2]
    return even[0::2], even[1::2]


def _independent(a: NDArray[np.float64], b: NDArray[np.float64]) -> Measured:
    # A table of 16 x 16 equal cells, which also says whether each is uniform.
    cells = np.floor(a * 16) * 16 + np.floor(b * 16)
    counts = np.bincount(np.minimum(cells, 255).astype(np.int64), minlength=256)
    return chi_square(counts, np.full(256, len(a) / 256), 255)
