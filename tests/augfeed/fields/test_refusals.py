"""Any operation beside any field: it follows, or the refusal says what to write, and that works."""

import ast
import re
from functools import partial
from typing import Any

import pytest
import torch

from augfeed import Augment, DataLoader
from augfeed.errors import InputError, PolicyError
from augfeed.fields import Boxes, Dense, Field, Keypoints, Mask
from augfeed.fields.follows import check_followed
from augfeed.notation import format_policy, parse_policy
from augfeed.policy import OPERATIONS, Mixup, Policy

HIGH, WIDE, COUNT = 24, 32, 8
STEPS = ["brightness", "color", "contrast", "sharpness", "posterize", "solarize", "autocontrast"]
FIELDS: dict[str, Field] = {
    "mask": Mask(), "boxes": Boxes(), "points": Keypoints(), "depth": Dense(),
    "flow": Dense(vectors=True), "disparity": Dense(disparity=True),
}  # fmt: skip
# A policy of each operation, and of what can be followed in part.
LINES = {
    **{name: next(iter(cls.cases.values()), "") for name, cls in OPERATIONS.items()},
    "kornia": 'kornia("RandomHorizontalFlip", p=0.5)',
    "mosaic": "letterbox(24) | mosaic",
    "copy paste": "letterbox(24) | copy_paste(1.0)",
    "iou crop": "random_iou_crop(16) | hflip",
    "safe crop": "bbox_safe_crop(16)",
    "kornia in place": 'kornia("RandomGamma", p=0.5)',
    "kornia, a warp": 'kornia("RandomThinPlateSpline", p=0.5)',
    "aug mix of timm": 'hflip | timm("augmix-m5-w2-d2-b1")',
    "aug mix in a program": "vflip | one_of([sequence([aug_mix(7, 2), equalize]), rotate(10)])",
    "aug mix of half the steps": f"aug_mix(4, without={STEPS}, interpolation='nearest')",
    "aug mix of geometry alone": f"aug_mix(without={[*STEPS, 'equalize']})",
    "laws": "one_of([rand_augment, trivial_augment_wide])",
    "elastic in a program": "some_of([elastic, hflip], n=1)",
}


class Samples(torch.utils.data.Dataset[Any]):
    def __init__(self, name: str) -> None:
        self.name = name

    def __len__(self) -> int:
        return COUNT

    def __getitem__(self, i: int) -> Any:
        box = torch.zeros(1, HIGH, WIDE, dtype=torch.bool)
        box[:, 4:18, 3:20] = True
        parts: dict[str, Any] = {
            "mask": torch.full((HIGH, WIDE), i), "boxes": torch.tensor([[3.0, 4, 20, 18]]),
            "points": torch.tensor([[[5.0, 6, 2], [9, 9, 2]]]), "depth": torch.ones(HIGH, WIDE),
            "flow": torch.ones(2, HIGH, WIDE), "disparity": torch.ones(HIGH, WIDE),
        }  # fmt: skip
        more = {"masks": box} if self.name == "boxes" else {}
        return {"image": torch.arange(3 * HIGH * WIDE).view(3, HIGH, WIDE).to(torch.uint8),
                self.name: parts[self.name], **more}  # fmt: skip


def refusal(name: str, policy: Policy, fields: dict[str, Any], *, run: bool) -> str:
    """The message of a refusal, "" if there is none; with `run` if batches come."""
    moved = {(key,): field for key, field in fields.items() if field != "passive"}
    try:
        if moved:
            masks = {("masks",): Mask()} if name == "boxes" else {}
            check_followed(policy, {**moved, **masks})
        if run or policy.mixer or policy.scenes:
            loader = DataLoader(Samples(name), 4, policy=policy, fields=fields, seed=1)
            assert len(list(loader)) == 2
    except (InputError, PolicyError) as error:
        return str(error)
    return ""


def cured(policy: Policy, name: str, fields: Any, message: str) -> tuple[Policy, Any]:
    """Policy and fields after what a message says was done."""
    line = format_policy(policy)
    if found := re.search(r"give it (without=\[[^]]*\])", message):
        written = re.search(r"aug_mix(\([^[)]*(\[[^]]*\])?[^)]*\))?", line)
        assert written is not None
        first = re.match(r"\((\d+), ", written[1] or "")
        made = f"aug_mix({first[1] + ', ' if first else ''}{found[1]})"
        return parse_policy(line.replace(written[0], made)), fields
    for place in (r'timm\("augmix[^)]*\)', r"kornia\([^)]*\)"):
        found = re.search(r"write (aug_mix\(.*\)|\w+) in its place", message)
        if found and re.search(place, line):
            return parse_policy(re.sub(place, found[1], line)), fields
    if "flip_pairs=() for none" in message:
        return policy, {name: Keypoints(flip_pairs=())}
    assert re.search(r"leave '?\w+'? out|another window|give it to the loss", message), message
    said = re.findall(r"leave '(\w+)' out", message) or re.findall(r"\w+", message)
    known = [word for word in said if word in OPERATIONS]
    gone = known[0] if known else "mixup" if policy.find(Mixup) else "cutmix"
    items = [item for item in policy.operations if item.op != "border"]  # which goes with them
    return Policy([item for item in items if gone not in format_policy(Policy([item]))]), fields


@pytest.mark.parametrize("name", FIELDS)
def test_what_a_refusal_says_is_what_makes_batches_come(name: str) -> None:
    refused = 0
    for line in filter(None, LINES.values()):
        policy, fields = parse_policy(line), {name: FIELDS[name]}
        message = refusal(name, policy, fields, run=False)
        stays = re.search(r"fields=(\{.*'passive'\})", message) if name == "mask" else None
        if stays:
            assert not refusal(name, policy, ast.literal_eval(stays[1]), run=True), line
        for _ in range(4):
            if not message:
                break
            refused += 1
            policy, fields = cured(policy, name, fields, message)
            message = refusal(name, policy, fields, run=True)
        assert not message, f"{line} is refused beside {name} again and again"
    assert refused > 6


def test_chains_that_move_nothing_leave_fields_as_the_rest_moves_them() -> None:
    still = "aug_mix(6, without=['rotate', 'shear_x', 'shear_y', 'translate_x', 'translate_y'])"
    line = f"hflip | {still} | sequence([{still}, rotate(30), vflip]) | translate(0.2)"
    for name in ("mask", "boxes", "points"):
        field = Keypoints(()) if name == "points" else FIELDS[name]
        made = [next(iter(DataLoader(Samples(name), 8, policy=each, fields={name: field}, seed=1)))
                for each in (line, line.replace("'])", "'], p=0.0)"))]  # fmt: skip
        one, other = (batch[name] for batch in made)
        assert all(map(partial(torch.allclose, atol=1e-4), one, other))
        assert not torch.equal(made[0]["image"], made[1]["image"])


def test_a_module_says_how_masks_go_with_chains() -> None:
    images, masks = torch.zeros(2, 3, 8, 8, dtype=torch.uint8), torch.zeros(2, 8, 8).long()
    with pytest.raises(InputError, match=r"give it without=\[.*\], or give the images alone"):
        Augment("aug_mix")(images, None, masks)
    line = "aug_mix(without=['rotate', 'shear_x', 'shear_y', 'translate_x', 'translate_y'])"
    assert torch.equal(Augment(line)(images, None, masks)[1], masks)


class Rows(torch.utils.data.Dataset[Any]):
    """Images of 100 x 200 pixels with the same boxes."""

    def __init__(self, boxes: Any) -> None:
        self.boxes = boxes

    def __len__(self) -> int:
        return 4

    def __getitem__(self, i: int) -> Any:
        return {"image": torch.zeros(3, 100, 200, dtype=torch.uint8), "rows": self.boxes}


@pytest.mark.parametrize(("boxes", "field", "message"), [
    ([[0.1, 0.2, 0.9, 0.8]], Boxes(), "less than a pixel.*normalized=True"),
    ([[0.5, 0.5, 0.2, 0.2], [0.5, 0.5, 1, 1]], Boxes("cxcywh"), "less than a pixel"),
    ([[0.5, 0.5, 0.2, 0.2], [68.0, 10, 79, 20]], Boxes(normalized=True),
     r"rows'? of sample 0\[1\] = \[68.0, 10.0, 79.0, 20.0\].*leave out normalized=True"),
])  # fmt: skip
def test_boxes_in_another_unit_than_is_said_do_not_vanish(
    boxes: list[list[float]], field: Boxes, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        next(iter(DataLoader(Rows(torch.tensor(boxes)), 4, policy="hflip", fields={"rows": field})))


@pytest.mark.parametrize(("boxes", "field"), [
    ([[0.0, 0, 1, 1]], Boxes()),  # a pixel, in whole numbers
    ([[0.1, 0.2, 0.9, 0.8], [10.0, 10, 20, 20]], Boxes()),  # one that is too small, and another
    ([[0.0, 0.3, 0.9, 0.8], [0.0, 0, 0.4, 0.2]], Boxes()),  # what is left of those that were cut
    ([[-0.2, 0.5, 1.3, 0.9]], Boxes(normalized=True)),  # leaves its image
    ([], Boxes()),
])  # fmt: skip
def test_boxes_that_are_small_or_leave_their_image_are_taken(
    boxes: list[list[float]], field: Boxes
) -> None:
    loader = DataLoader(Rows(torch.tensor(boxes)), 4, policy="hflip", fields={"rows": field})
    assert len(next(iter(loader))["rows"]) == 4


@pytest.mark.parametrize(("box", "message"), [
    ([9.0, 9, 1, 1], r"boxes\[0, 0\] = \[9.0, 9.0, 1.0, 1.0\] ends before it begins"),
    ([0.1, 0.1, 0.6, 0.9], r"\[0.1.*none is of a pixel or more"),
])  # fmt: skip
def test_a_module_refuses_boxes_that_are_not_pixels(box: list[float], message: str) -> None:
    images = torch.zeros(2, 3, 16, 16, dtype=torch.uint8)
    filled = torch.tensor([box, [0.0] * 4]).repeat(2, 1, 1)
    with pytest.raises(InputError, match=message):
        Augment("hflip")(images, boxes=filled)
    filled[0, 1] = torch.tensor([2.0, 2, 9, 9])
    filled[:, 0] = -1.0  # as samples are filled up elsewhere
    assert Augment("hflip")(images, boxes=filled)[1][1].tolist() == [[False, True], [False, False]]


def test_a_name_that_is_no_step_of_chains_is_refused() -> None:
    with pytest.raises(PolicyError, match="without"):
        parse_policy("aug_mix(without=['hflip'])")
    with pytest.raises(PolicyError, match="leaves nothing to draw"):
        parse_policy(
            f"aug_mix(without={STEPS[4:]}, all_ops=False, flavor='timm')".replace(
                "]", ", 'equalize', 'rotate', 'shear_x', 'shear_y', 'translate_x', 'translate_y']"
            )
        )
