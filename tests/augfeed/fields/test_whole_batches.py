"""Masks and boxes of whole batches: what a device moves is what the host moves."""

from typing import Any

import numpy as np
import pytest
import torch
from torch.utils._pytree import tree_flatten

from augfeed import Augment, parse_policy
from augfeed.errors import InputError
from augfeed.fields import MixedMask
from augfeed.fields.whole_batches import DeviceMoves, HostMoves
from augfeed.plan import BatchRows, Plan, draw_plan
from tests.cases import ENGINES, ON_GPU

HIGH, WIDE, COUNT = 13, 17, 4
DEVICE = "cuda" if ON_GPU else "cpu"
POLICIES = (
    "", "hflip | vflip", "random_crop(8) | hflip",
    f'random_crop(({HIGH}, {WIDE}), padding=9, mode="reflect") | vflip',
    f'random_crop(({HIGH}, {WIDE}), padding=9, mode="edge")',
    f"random_crop(({HIGH}, {WIDE}), padding=5) | hflip | rotate(25, p=1.0)",
    "resize((20, 9)) | center_crop(8)", "random_resized_crop(11) | hflip",
    "random_resized_crop(15) | rotate(40) | scale((0.5, 1.5))", "shear(20, p=1.0)",
    'random_resized_crop(10) | perspective(0.4, p=1.0) | border("edge")',
    'rotate(60, p=1.0) | translate(0.4) | hflip | border("reflect")',
    "vflip | one_of([rotate(40), shear(20), hflip(p=1.0)])",
    "hflip | sequence([rotate(30, p=1.0), gaussian_blur(1), vflip(p=0.5), shear(9)])",
    'sequence([translate(0.4), gaussian_blur(1), rotate(9)]) | rotate(20) | border("reflect")',
)  # fmt: skip
MIXED = (
    "cutmix(1.0, p=1.0) | random_crop(9) | hflip", "cutmix(1.0, p=1.0) | rotate(40, p=0.5)",
    "mixup(0.4, p=0.7) | random_resized_crop(9)", "one_of([mixup(0.4), cutmix(1.0)])",
)  # fmt: skip
# Fields on a device differ from a CPU's by roundings, which decide between two pixels in a million.
DISPLACED = (
    "elastic(40, 3, p=1.0)", "hflip | elastic(60, 3, 0.4, p=0.5) | cutmix(1.0, p=1.0)",
    "random_crop(9) | vflip | elastic(40, 2, p=1.0) | rotate(25, p=0.5) | mixup(0.4, p=0.5)",
    f'random_crop(({HIGH}, {WIDE}), padding=5, mode="reflect") | elastic(40, 3, p=0.7)',
    'elastic(40, 3, p=1.0) | perspective(0.4, p=1.0) | border("reflect")',
    'random_resized_crop(15) | elastic(40, 3, p=1.0) | translate(0.4, p=1.0) | border("edge")',
    "hflip | one_of([elastic(40, 3, p=1.0), rotate(20, p=1.0), gaussian_blur(1)])",
    "elastic(30, 3) | sequence([rotate(20), elastic(40, 3, p=0.6), vflip, elastic(20, 2, p=1.0)])",
)  # fmt: skip
device_alone = pytest.mark.skipif("cuda" not in ENGINES, reason="there is no Triton here")


def plan_for(policy: str, seed: int = 3) -> Plan:
    parsed, ids = parse_policy(policy), np.arange(COUNT)
    rows = BatchRows(ids, ids // 8, ids % 8, COUNT, 0)
    return draw_plan(parsed, rows, seed=seed, epoch=1, size=parsed.size((HIGH, WIDE)))


def numbered(dtype: torch.dtype = torch.int64) -> torch.Tensor:
    """Masks whose values are other numbers at every place."""
    return torch.arange(COUNT * HIGH * WIDE).view(COUNT, HIGH, WIDE).to(dtype)


def assert_alike(policy: str, masks: torch.Tensor, seed: int = 3) -> Any:
    plan, size = plan_for(policy, seed), (HIGH, WIDE)
    there = DeviceMoves.of(plan, size, 3).masks(masks.to(DEVICE))
    here = HostMoves.of(plan, size, 3).masks(masks)
    assert isinstance(there, MixedMask) == isinstance(here, MixedMask)
    pairs: Any = [(here, there)]
    if isinstance(here, MixedMask):
        pairs = zip(here, there, strict=True)
    for one, other in pairs:
        assert one.dtype == other.dtype and torch.equal(one, other.cpu())
    return here


@device_alone
@pytest.mark.parametrize("policy", [*POLICIES, *MIXED, *DISPLACED])
def test_a_device_shows_the_pixel_that_the_host_shows(policy: str) -> None:
    assert_alike(policy, numbered())


@device_alone
@pytest.mark.parametrize("dtype", [
    torch.bool, torch.int8, torch.uint8, torch.int16, torch.uint16, torch.int32,
])  # fmt: skip
def test_a_device_moves_masks_of_every_type(dtype: torch.dtype) -> None:
    masks = numbered() % 2 == 0 if dtype == torch.bool else numbered(dtype)
    found = assert_alike(f"random_crop(({HIGH}, {WIDE}), padding=9) | rotate(20, p=0.5)", masks)
    outside = {torch.bool: 0, torch.int8: 127}.get(dtype, 255)
    assert (found.long() == outside).any()


@device_alone
def test_a_device_moves_masks_of_instances() -> None:
    masks = torch.stack([numbered(), numbered() * 3, numbered() * 7], dim=1)
    found = assert_alike("cutmix(1.0, p=1.0) | rotate(40, p=1.0)", masks)
    assert found.shape == (COUNT, 3, HIGH, WIDE)
    assert assert_alike("hflip", masks[:, :0]).shape == (COUNT, 0, HIGH, WIDE)


@device_alone
@pytest.mark.parametrize("policy", [*POLICIES, "perspective(0.9, p=1.0)"])
def test_boxes_that_a_device_moves_are_those_of_the_host(policy: str) -> None:
    boxes = torch.tensor([[0.0, 0, WIDE, HIGH], [3, 2, 9, 11], [12, 1, 13, 2], [9, 9, 40, 30]])
    plan, given = plan_for(policy), boxes.repeat(COUNT, 1, 1)
    here, left = HostMoves.of(plan, (HIGH, WIDE), 3).boxes(given)
    there, valid = DeviceMoves.of(plan, (HIGH, WIDE), 3).boxes(given.to(DEVICE))
    assert torch.equal(left, valid.cpu())
    assert torch.allclose(here, there.cpu(), atol=1e-4)


@device_alone
def test_boxes_on_a_device_do_not_follow_a_displacement_in_silence() -> None:
    for policy in DISPLACED[3:]:
        moves = DeviceMoves.of(plan_for(policy), (HIGH, WIDE), 3)
        with pytest.raises(InputError, match="displaces pixels, and boxes on a GPU do not follow"):
            moves.boxes(torch.zeros(COUNT, 1, 4, device=DEVICE))


@device_alone
@pytest.mark.parametrize(("masks", "message"), [
    (torch.zeros(COUNT, HIGH, WIDE), "float32"), (torch.zeros(COUNT, 5, 5).long(), "13 x 17"),
    (torch.zeros(2, HIGH, WIDE).long(), "4 masks"), (None, "not a tensor"),
])  # fmt: skip
def test_a_device_refuses_what_the_host_refuses(masks: Any, message: str) -> None:
    for moves in (HostMoves, DeviceMoves):
        with pytest.raises(InputError, match=message):
            moves.of(plan_for("hflip"), (HIGH, WIDE), 3).masks(masks)


@device_alone
def test_augment_on_a_device_gives_the_masks_and_boxes_of_a_cpu() -> None:
    images = torch.zeros(COUNT, 3, HIGH, WIDE, dtype=torch.uint8)
    boxes = torch.tensor([[3.0, 2.0, 9.0, 11.0]]).repeat(COUNT, 1, 1)
    for policy in ("random_crop(8) | hflip", "hflip | cutmix(1.0, p=1.0)"):
        given = {"masks": numbered(), "boxes": boxes if "cutmix" not in policy else None}
        made = []
        for place, engine in (("cpu", "cpu"), (DEVICE, "cuda")):
            there = {key: part.to(place) for key, part in given.items() if part is not None}
            found = Augment(policy, seed=2, engine=engine)(images.to(place), **there)
            made.append(tree_flatten(found[1:])[0])
        assert all(torch.equal(one, other.cpu()) for one, other in zip(*made, strict=True))
