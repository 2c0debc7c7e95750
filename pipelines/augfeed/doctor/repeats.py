"""What must come out the same, and what must not: exact checks of the draws."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from augfeed import philox
from augfeed.doctor.check import SIDE, Check, Lab
from augfeed.doctor.statistics import Measured
from augfeed.plan import BatchRows, Plan, draw_plan
from augfeed.policy import (
    ColorJitter,
    CutMix,
    Cutout,
    GaussianNoise,
    HorizontalFlip,
    Policy,
    RandomErasing,
    RandomResizedCrop,
    Rotate,
)

POLICY = Policy(
    [
        RandomResizedCrop(224),
        HorizontalFlip(),
        Rotate(30),
        ColorJitter(0.4, 0.4, 0.4, 0.2),
        CutMix(),
        Cutout(1001),
        RandomErasing(),
        GaussianNoise((0.1, 0.3)),
    ]
)
# Counter (sample id, epoch, stream, block) and key that make the words of the Random123 vectors.
ANSWERS = (
    ((0, 0, 0, 0), 0, (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
    (
        (2**48 - 1, 2**32 - 1, 2**16 - 1, 2**32 - 1),
        2**64 - 1,
        (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD),
    ),
    (
        (0x1319_243F6A88, 0x85A308D3, 0x8A2E, 0x03707344),
        0x299F31D0_A4093822,
        (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
    ),
)
BATCH = 13  # not a multiple of a mixing group


def answers(lab: Lab) -> Iterator[Check]:
    """Check Philox against the known answers that its authors published."""
    wrong = 0
    for (sample, epoch, stream, block), seed, expected in ANSWERS:
        got = philox.words(seed, epoch, np.array([sample]), [(stream, block)])[0, :, 0]
        wrong += got.tolist() != list(expected)
    yield Check.of("philox", "gives the known answers of Random123", Measured(wrong, None))


def distinct(lab: Lab) -> Iterator[Check]:
    """Check that no two epochs, samples or seeds share a draw."""
    first, second = _draws(lab.plan(*_OPERATIONS)), _draws(lab.plan(*_OPERATIONS, epoch=1))
    law = "no sample is augmented twice alike"
    same = sum((first[name] == second[name]).all(axis=1).sum() for name in first)
    yield Check.of("epochs 0 and 1", law, Measured(float(same), None))
    far = np.concatenate([lab.ids, lab.ids + 2**32, lab.ids + 2**47])
    drawn = _draws(lab.plan(*_OPERATIONS, ids=far))
    # Among billions of pairs some of CutMix's boxes, cut off at two borders, are alike by chance.
    fine = drawn["window"], drawn["jitter"]
    same = sum(len(far) - len(np.unique(values, axis=0)) for values in fine)
    law = "no two are augmented alike, ids up to 2**48"
    yield Check.of("samples", law, Measured(float(same), None))
    other = _draws(lab.plan(*_OPERATIONS, seed=lab.seed ^ 1 << 40))
    same = sum((first[name] == other[name]).all(axis=1).sum() for name in first)
    law = "seeds that differ in one bit share no draw"
    yield Check.of("seeds", law, Measured(float(same), None))


def partition(lab: Lab) -> Iterator[Check]:
    """Check that a sample gets the same decisions in a batch of any size."""
    count = min(lab.samples, 520)
    ids = lab.ids[:count][::-1].copy()
    whole = _decisions(_plan(lab, BatchRows.at(np.arange(count), ids, mixing=True)))
    wrong = 0
    for start in range(0, count, BATCH):
        places = np.arange(start, min(start + BATCH, count))
        part = _decisions(_plan(lab, BatchRows.at(places, ids, mixing=True)))
        wrong += sum(
            not np.array_equal(part[name], values[places]) for name, values in whole.items()
        )
    law = f"decide the same in batches of {count} and of {BATCH}"
    yield Check.of("plans", law, Measured(float(wrong), None))


_OPERATIONS = (
    RandomResizedCrop(224, scale=(0.08, 0.5)),
    ColorJitter(0.4, 0.4, 0.4, 0.2),
    CutMix(),
)


def _draws(plan: Plan) -> dict[str, NDArray[Any]]:
    # Each so fine that two are equal by chance in one of many billions.
    factors = plan.colors.brightness, plan.colors.contrast, plan.colors.saturation, plan.colors.hue
    return {
        "window": plan.window.at(SIDE, SIDE).box,
        "jitter": np.stack(factors, axis=1),
        "cutmix": plan.mixes.patch[plan.mixes.mode > 0],
    }


def _plan(lab: Lab, rows: BatchRows) -> Plan:
    return draw_plan(POLICY, rows, seed=lab.seed, epoch=0, size=(SIDE, SIDE))


def _decisions(plan: Plan) -> dict[str, NDArray[Any]]:
    rows = slice(plan.count)
    return {
        "window": plan.window.at(SIDE, SIDE).box[rows],
        "flip": plan.flip_x[rows],
        "inverse": plan.inverse[rows],
        "brightness": plan.colors.brightness[rows],
        "mode": plan.mixes.mode[rows],
        "lambda": plan.mixes.lam[rows],
        "patch": plan.mixes.patch[rows],
        "partner": plan.ids[plan.mixes.partner][rows],
        "cutout": plan.cutout[rows],
        "erased": plan.erased[rows],
        "noise": plan.sigma[rows],
    }
