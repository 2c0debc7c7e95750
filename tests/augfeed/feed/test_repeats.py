"""Repeated augmentation: a sample several times in a batch, or over the ranks of a step."""

from collections import Counter
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.data import Dataset

from augfeed import DataLoader
from augfeed.errors import InputError, InputTypeError, StateError
from augfeed.plan import BatchRows
from augfeed.plan.batch_rows import samples_of
from augfeed.plan.mixing import partners

COUNT = 96
IMAGES = np.random.default_rng(0).integers(0, 255, (COUNT, 8, 8, 3), dtype=np.uint8)
LABELS = np.arange(COUNT) % 5
LINE = "random_crop(8, padding=2) | hflip | gaussian_noise(0.1)"


class Plain(Dataset[Any]):
    """Samples of a class that nobody knows."""

    def __init__(self, count: int) -> None:
        self.count = count

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, k: int) -> Any:
        return IMAGES[k], int(LABELS[k])


def loader(size: int = 24, repeats: Any = 3, policy: str = LINE, **options: Any) -> Any:
    return DataLoader((IMAGES, LABELS), size, True, policy=policy, seed=1, repeats=repeats,
                      drop_last=True, **options)  # fmt: skip


def test_every_sample_of_a_batch_comes_as_often_as_asked_and_differs_each_time() -> None:
    assert "each sample comes 3 times in a batch" in loader().explain()
    made = list(loader().batches())
    assert len(made) == 4 and sum(map(len, made)) == COUNT
    for batch in made:
        counts = Counter(batch.ids.tolist())
        assert set(counts.values()) == {3} and len(counts) == 8
        for sample in counts:
            own = batch.images[batch.ids == sample]
            assert not torch.equal(own[0], own[1])
            assert (batch.targets[batch.ids == sample] == int(LABELS[sample])).all()
    seen = Counter(number for batch in made for number in batch.ids.tolist())
    assert set(seen.values()) == {3} and len(seen) == COUNT // 3


def test_repeats_are_spread_over_the_ranks_of_a_step() -> None:
    ranks = [list(loader(8, (3, "ranks"), shard=(rank, 3)).batches()) for rank in range(3)]
    for step in zip(*ranks, strict=True):
        ids = [sorted(batch.ids.tolist()) for batch in step]
        assert ids[0] == ids[1] == ids[2] and len(set(ids[0])) == 8
        assert not torch.equal(step[0].images, step[1].images)


def test_a_repeat_is_the_same_however_batches_are_cut() -> None:
    def images(size: int, **options: Any) -> dict[tuple[int, int], torch.Tensor]:
        seen: Counter[int] = Counter()
        found = {}
        for batch in loader(size, **options).batches():
            for number, image in zip(batch.ids.tolist(), batch.images, strict=True):
                found[number, seen[number]] = image
                seen[number] += 1
        return found

    made, other = images(24), images(48, num_workers=2)
    assert made.keys() == other.keys()
    assert all(torch.equal(made[key], other[key]) for key in made)


@given(
    sources=st.integers(8, 40), repeats=st.integers(2, 5), batches=st.integers(1, 4),
    seed=st.integers(0, 99),
)  # fmt: skip
def test_no_partner_is_of_the_same_sample(
    sources: int, repeats: int, batches: int, seed: int
) -> None:
    from augfeed.plan.repeats import Repeats

    order = np.random.default_rng(seed).permutation(sources * repeats * batches)
    made = Repeats(repeats).order(order, sources)
    assert len(made) == len(order) == len(np.unique(made))
    rows = BatchRows.at(np.arange(len(made)), made, mixing=True)
    partner, paired = partners(seed, 0, rows)
    own, other = samples_of(rows.ids), samples_of(rows.ids[partner])
    assert (own != other)[paired].all()


@pytest.mark.parametrize("general", [False, True])
def test_mixing_with_repeats_gives_labels_of_both(general: bool) -> None:
    options: dict[str, Any] = {"policy": "mixup(1.0)", "num_classes": 10, "seed": 1}
    data: Any = Plain(48) if general else (IMAGES, LABELS)
    made = next(iter(DataLoader(data, 24, repeats=3, **options)))
    assert made[1].shape == (24, 10) and torch.allclose(made[1].sum(1), torch.ones(24))


def test_a_pass_with_repeats_goes_on_and_refuses_another_cut() -> None:
    whole = [batch.images for batch in loader().batches()]
    made = loader()
    iterator = iter(made)
    next(iterator)
    state = made.state_dict()
    again = loader()
    again.load_state_dict(state)
    rest = [images for images, _ in again]
    assert all(torch.equal(a, b) for a, b in zip(rest, whole[1:], strict=True))
    for other in (loader(48), loader(repeats=2), loader(repeats=1)):
        with pytest.raises(StateError, match="repeats"):
            other.load_state_dict(state)


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "no multiple": ({"size": 25}, "use 27"),
    "partners": ({"size": 12, "policy": "cutmix(1.0)"}, "use 24 images or more"),
    "none": ({"repeats": 0}, "not 1 or more"),
    "half": ({"repeats": 1.5}, "not an integer"),
    "over what": ({"repeats": (3, "gpus")}, "'gpus' is unknown"),
    "too often": ({"size": 8192, "repeats": 4097}, "above 4096"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_repeated_is_refused(name: str) -> None:
    options, message = REFUSED[name]
    with pytest.raises((InputError, TypeError), match=message):
        loader(**options)


def test_an_order_of_the_callers_is_not_repeated() -> None:
    sampler = torch.utils.data.SequentialSampler(range(COUNT))
    with pytest.raises(InputTypeError, match="leave sampler out"):
        DataLoader((IMAGES, LABELS), 24, sampler=sampler, policy=LINE, repeats=3)
    with pytest.raises(InputTypeError, match="leave sampler out"):
        DataLoader(Plain(8), 24, repeats=3)
