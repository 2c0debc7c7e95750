"""Collate functions of the caller's, and errors that name their cure."""

from functools import partial
from typing import Any

import pytest
import torch
from PIL import Image
from torch.utils.data import TensorDataset, default_collate, default_convert
from torch.utils.data._utils.collate import collate, default_collate_fn_map

from augfeed import DataLoader
from augfeed.errors import InputError, InputTypeError
from augfeed.feed.lane_selection import GuardedCollate
from tests.augfeed.feed.test_general import (
    COUNT,
    LABELS,
    MIXED,
    PIXELS,
    PLAIN,
    Samples,
    assert_same,
    batches,
    chw,
    native,
    pair,
)


def as_dict(samples: list[Any]) -> dict[str, Any]:
    return {"pixel_values": torch.stack([s[0] for s in samples]),
            "labels": torch.tensor([s[1] for s in samples])}  # fmt: skip


# Torch's own function, given as people give it.
TABLE = {"collate_fn_map": default_collate_fn_map}
DEFAULTS: dict[str, Any] = {
    "itself": default_collate,
    "partial": partial(default_collate),
    "of a partial": partial(partial(default_collate)),
    "with its table": partial(collate, **TABLE),
    "of another loader": GuardedCollate(default_collate),
}
OTHERS: dict[str, Any] = {
    "a function around it": lambda samples: default_collate(samples),
    "another table": partial(collate, collate_fn_map={**default_collate_fn_map, str: print}),
    "no table": partial(collate),
    "as it is": default_convert,
}


@pytest.mark.parametrize("given", DEFAULTS)
def test_torchs_own_collate_function_is_the_same_as_none(given: str) -> None:
    data = TensorDataset(torch.from_numpy(PIXELS).permute(0, 3, 1, 2), LABELS)
    options: dict[str, Any] = {"policy": MIXED, "seed": 3, "shuffle": True, "num_classes": 5}
    loader: DataLoader[Any] = DataLoader(data, 12, collate_fn=DEFAULTS[given], **options)
    assert loader.lane == "native"
    assert_same(list(loader), list(DataLoader(data, 12, **options)))
    general: DataLoader[Any] = DataLoader(
        Samples(pair, chw), 12, collate_fn=DEFAULTS[given], **options
    )
    assert_same(list(general), list(DataLoader(Samples(pair, chw), 12, **options)))
    assert DEFAULTS[given] is DataLoader(data, 12, collate_fn=DEFAULTS[given]).collate_fn


@pytest.mark.parametrize("given", OTHERS)
def test_any_other_collate_function_sees_the_samples(given: str) -> None:
    data = TensorDataset(torch.from_numpy(PIXELS).permute(0, 3, 1, 2), LABELS)
    loader: DataLoader[Any] = DataLoader(data, 12, collate_fn=OTHERS[given], policy=PLAIN)
    assert loader.lane == "general"


def test_a_collate_function_may_give_another_form() -> None:
    found = batches(Samples(pair, chw), 12, collate_fn=as_dict)
    assert_same([list(batch.values()) for batch in found], native(12))


def test_a_collate_function_may_scale_to_floats() -> None:
    def scaled(samples: list[Any]) -> list[Any]:
        images, labels = default_collate(samples)
        return [images / 255, labels]

    for found, expected in zip(
        batches(Samples(pair, chw), collate_fn=scaled), native(), strict=True
    ):
        assert torch.allclose(found[0], expected[0], atol=1e-5)


def test_a_collate_function_sees_the_samples_of_its_batch_and_no_others() -> None:
    seen: list[int] = []

    def counting(samples: list[Any]) -> Any:
        seen.append(len(samples))
        return default_collate(samples)

    batches(Samples(pair, chw), 10, collate_fn=counting, shuffle=False)
    # Positions 0-9 end inside the group 8-15: six partners are collated apart.
    assert seen[:2] == [10, 6]


@pytest.mark.parametrize("hidden", [lambda s: [len(s)], lambda s: [torch.zeros(len(s), 9), 1]])
def test_a_collate_function_that_hides_the_images_is_named(hidden: Any) -> None:
    with pytest.raises(InputError, match="collate_fn hides the images"):
        batches(Samples(pair, chw), collate_fn=hidden)


def test_what_a_collate_function_raises_reaches_the_caller() -> None:
    def broken(samples: list[Any]) -> Any:
        raise LookupError("no such thing")

    with pytest.raises(LookupError, match="no such thing"):
        batches(Samples(pair, chw), collate_fn=broken)


def test_the_collate_function_shown_raises_instead_of_leaving_the_policy_out() -> None:
    loader: DataLoader[Any] = DataLoader(Samples(pair, chw), 8, policy=MIXED, seed=3)
    stock = torch.utils.data.DataLoader(loader.dataset, 8, collate_fn=loader.collate_fn)
    with pytest.raises(InputError, match=r"loader\.skip"):
        next(iter(stock))
    again = DataLoader(loader.dataset, 8, collate_fn=loader.collate_fn, policy=MIXED, seed=3)
    assert_same(list(again), list(loader))


# Errors that name the cure


def test_a_sample_without_an_image_is_described() -> None:
    with pytest.raises(InputTypeError, match=r"has no image: it is a tuple \(a str, a int\)"):
        batches(Samples(lambda image, label: ("x", label), chw))


def test_two_images_ask_for_image_key() -> None:
    data = Samples(lambda image, label: (image, image, label), chw)
    with pytest.raises(InputError, match="image_key=0"):
        batches(data)
    found = batches(data, image_key=0, passive=[1])
    assert torch.equal(found[0][0], native()[0][0])
    assert found[0][1].dtype == torch.uint8


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"image_key": "image"}, "image_key='image' leads nowhere"),
        ({"image_key": 1}, "image_key=1 leads to a int"),
        ({"label_key": 7}, "label_key=7 leads nowhere"),
    ],
)
def test_a_key_that_leads_nowhere_is_named(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        batches(Samples(pair, chw), **options)


@pytest.mark.parametrize("label", ["cat", None, {"a": "b"}])
def test_a_label_of_the_wrong_type_is_named(label: Any) -> None:
    data = Samples(lambda image, _: (image, label), chw)
    with pytest.raises(InputError, match="label_key"):
        batches(data)


def test_unknown_classes_ask_for_their_number() -> None:
    held = [(chw(PIXELS[i]), int(LABELS[i])) for i in range(COUNT)]
    with pytest.raises(InputError, match="num_classes"):
        batches(held)
    assert_same(batches(held, num_classes=5), native())


def test_normalized_images_are_refused() -> None:
    data = Samples(pair, lambda pixels: chw(pixels) / 127.5 - 1)
    with pytest.raises(InputError, match="take Normalize out"):
        batches(data)


def test_images_of_one_and_three_channels_are_refused() -> None:
    data = Samples(pair, lambda p: Image.fromarray(p).convert("L" if p[0, 0, 0] < 99 else "RGB"))
    with pytest.raises(InputError, match="convert"):
        batches(data, 37)


def test_an_error_in_a_worker_keeps_its_type_and_the_epoch_goes_on() -> None:
    class Broken(Samples):
        def __getitem__(self, i: int) -> Any:
            if i == 9:
                raise KeyError("sample nine")
            return super().__getitem__(i)

    for workers in (0, 1):
        loader = DataLoader(Broken(pair, chw), 8, policy=PLAIN, num_workers=workers)
        iterator = iter(loader)
        next(iterator)
        with pytest.raises(KeyError, match="sample nine"):
            next(iterator)
        assert len(list(iterator)) == 3
