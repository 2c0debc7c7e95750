"""A policy that changes by epoch: size, magnitude, mixing; a function of the epoch alone."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from torch.utils.data import TensorDataset

from augfeed import Augment, DataLoader, format_policy, parse_policy
from augfeed.errors import InvarianceError, PolicyError
from augfeed.policy import CutMix, Policy, RandAugment, RandomResizedCrop
from augfeed.policy.check import check_policy

LINE = (
    "random_resized_crop(16) | rand_augment(2, 9) | cutmix(1.0) | "
    "schedule(size=[[2, 8], [4, 12]], magnitude=[[1, 1], [5, 9]], mixing_until=3)"
)
PLAIN = "random_resized_crop(16) | cutmix(1.0) | schedule(size=[[1, 8]], mixing_until=2)"
IMAGES = np.random.default_rng(0).integers(0, 255, (16, 20, 20, 3), dtype=np.uint8)
LABELS = np.arange(16) % 4


def facts(policy: Policy) -> tuple[Any, Any, bool]:
    window, steps = policy.find(RandomResizedCrop), policy.find(RandAugment)
    assert window is not None
    return window.size, steps and steps.magnitude, policy.find(CutMix) is not None


def test_a_policy_of_an_epoch_has_its_size_magnitude_and_mixing() -> None:
    policy = parse_policy(LINE)
    found = [facts(policy.at(epoch)) for epoch in range(7)]
    assert found == [
        (16, 9, True), (16, 1, True), (8, 3, True), (8, 5, False), (12, 7, False), (12, 9, False),
        (12, 9, False),
    ]  # fmt: skip
    assert policy.at(6) is policy.at(5)
    assert [epoch for epoch, _ in policy.scheduled] == [0, 1, 2, 3, 4, 5]


def test_a_schedule_is_part_of_the_line_the_json_and_the_digest() -> None:
    policy = parse_policy(LINE)
    assert parse_policy(format_policy(policy)) == policy
    assert Policy.from_json(policy.to_json()) == policy
    assert policy.digest != policy.without("schedule").digest


def batches(loader: Any, epoch: int) -> list[tuple[torch.Tensor, torch.Tensor]]:
    loader.set_epoch(epoch)
    return list(loader)


def test_batches_of_every_lane_follow_the_epoch(tmp_path: Path) -> None:
    for k, image in enumerate(IMAGES):
        file = io.BytesIO()
        Image.fromarray(image).save(file, "PNG")
        (tmp_path / str(k % 4)).mkdir(exist_ok=True)
        (tmp_path / str(k % 4) / f"{k:02}.png").write_bytes(file.getvalue())
    tensors = TensorDataset(torch.from_numpy(IMAGES).permute(0, 3, 1, 2).contiguous(),
                            torch.from_numpy(LABELS))  # fmt: skip

    class Odd(torch.utils.data.Dataset[Any]):
        def __len__(self) -> int:
            return 16

        def __getitem__(self, k: int) -> Any:
            return IMAGES[k], int(LABELS[k])

    for data in ((IMAGES, LABELS), tmp_path, tensors, Odd()):
        options: dict[str, Any] = {"policy": PLAIN, "seed": 1, "num_classes": 4}
        loader = DataLoader(data, 8, **options)
        assert "schedule: from epoch 0 on random_resized_crop(16)" in loader.explain()
        for epoch in (1, 0, 2, 1):
            made = batches(loader, epoch)
            wanted = 16 if epoch < 1 else 8
            for images, targets in made:
                assert images.shape == (8, 3, wanted, wanted)
                assert targets.shape == (8, 4)  # also when nothing is mixed any more
                hard = bool((targets.max(1).values == 1).all())
                assert hard == (epoch >= 2)
            again = batches(DataLoader(data, 8, **options), epoch)
            assert all(torch.equal(a[0], b[0]) for a, b in zip(made, again, strict=True))


def test_what_an_epoch_draws_is_what_its_policy_alone_draws() -> None:
    scheduled = DataLoader((IMAGES, LABELS), 8, policy=PLAIN, seed=1)
    alone = DataLoader((IMAGES, LABELS), 8, policy="random_resized_crop(8) | cutmix(1.0)", seed=1)
    for one, other in zip(batches(scheduled, 1), batches(alone, 1), strict=True):
        assert torch.equal(one[0], other[0]) and torch.equal(one[1], other[1])


@pytest.mark.parametrize("options", [
    {}, {"shuffle": True},
    {"views": 2, "policy": "random_resized_crop(8) | schedule(size=[[1, 4]])"},
    {"repeats": 2, "policy": "random_crop(8) | hflip | schedule(size=[[1, 4]])"},
], ids=str)  # fmt: skip
@pytest.mark.parametrize("workers", [0, 2])
def test_a_pass_goes_on_within_an_epoch_and_across_a_change_of_size(
    options: dict[str, Any], workers: int
) -> None:
    def loader() -> DataLoader:
        given = {"policy": PLAIN, **options}
        return DataLoader((IMAGES, LABELS), 6, seed=1, num_workers=workers, **given)

    first, state, left = loader(), dict[str, Any](), list[Any]()
    for epoch in range(3):
        for k, made in enumerate(first):
            left.append(made)
            if (epoch, k) == (0, 1):
                state, left = first.state_dict(), []
    again = loader()
    again.load_state_dict(state)
    resumed = [made for _ in range(3) for made in again]
    assert len(resumed) == len(left) == 7
    assert len({made[0].shape[2:] for made in left}) == 2
    for one, other in zip(resumed, left, strict=True):
        assert all(map(torch.equal, one, other))


def test_a_module_follows_its_epoch() -> None:
    augment = Augment(PLAIN, num_classes=4)
    images = torch.from_numpy(IMAGES).permute(0, 3, 1, 2)
    shapes = []
    for epoch in range(3):
        augment.set_epoch(epoch)
        made, targets = augment(images, torch.from_numpy(LABELS))
        shapes.append((made.shape[2], targets.shape[1], bool((targets.max(1).values == 1).all())))
    assert shapes == [(16, 4, False), (8, 4, False), (8, 4, True)]


def test_views_follow_the_epoch() -> None:
    line = "random_resized_crop(8) | schedule(size=[[1, 4]])"
    loader = DataLoader((IMAGES, LABELS), 8, policy=line, views=2, seed=1)
    assert [batches(loader, epoch)[0][0].shape[2] for epoch in (0, 1)] == [8, 4]


def test_a_schedule_that_breaks_a_rule_later_is_refused_now() -> None:
    policy = parse_policy("rand_augment(2, 0) | schedule(magnitude=[[0, 0], [50, 30]])")
    with pytest.raises(InvarianceError):
        check_policy(policy, "digits")
    check_policy(parse_policy("cutmix(1.0) | schedule(mixing_until=3)"), "imagenet")


@given(
    points=st.dictionaries(st.integers(0, 50), st.integers(0, 30), min_size=1, max_size=4),
    epoch=st.integers(0, 60),
)
def test_a_ramp_stays_between_its_points(points: dict[int, int], epoch: int) -> None:
    pairs = sorted(points.items())
    line = f"random_resized_crop(4) | rand_augment | schedule(magnitude={[list(p) for p in pairs]})"
    steps = parse_policy(line).at(epoch).find(RandAugment)
    assert steps is not None
    if epoch < pairs[0][0]:
        assert steps.magnitude == 9
        return
    before = [value for at, value in pairs if at <= epoch]
    after = [value for at, value in pairs if at >= epoch]
    ends = (before[-1], after[0] if after else before[-1])
    assert min(ends) <= steps.magnitude <= max(ends)


REFUSED = {
    "schedule": "changes nothing",
    "hflip | schedule(size=[[1, 8]])": "nothing to resize",
    "resize(8) | schedule(magnitude=[[1, 8]])": "no rand_augment",
    "resize(8) | schedule(mixing_until=2)": "nothing that mixes",
    "resize(8) | schedule(size=[[2, 8], [1, 9]])": "give each once, in order",
    "resize(8) | schedule(size=[[2, 8], [2, 9]])": "give each once, in order",
    "resize(8) | schedule(size=[[0, 0]])": "size",
    "resize(8) | rand_augment | schedule(magnitude=[[3, 31]])": "not one of bins",
    "resize(8) | schedule(size=[[-1, 8]])": "size",
    "resize(8) | schedule(size=[[0, 8]]) | schedule(size=[[1, 8]])": "occurs 2 times",
}


@pytest.mark.parametrize("line", REFUSED)
def test_what_cannot_be_scheduled_is_refused(line: str) -> None:
    with pytest.raises(PolicyError, match=REFUSED[line]):
        parse_policy(line)
