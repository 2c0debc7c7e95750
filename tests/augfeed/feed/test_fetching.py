"""Ways to ask a dataset for samples: keys, many at once, streams; and what goes wrong."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import BatchSampler, IterableDataset, SequentialSampler, default_collate

from augfeed import DataLoader
from augfeed.errors import InputError
from tests.augfeed.feed.test_general import (
    COUNT,
    LABELS,
    MIXED,
    PIXELS,
    PLAIN,
    Samples,
    Stream,
    assert_same,
    batches,
    chw,
    native,
    pair,
)
from tests.augfeed.test_torch_batches import same

# Without automatic batching


@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize("policy", [MIXED, PLAIN])
def test_single_samples_are_those_of_batches_of_one(policy: str, workers: int) -> None:
    options: dict[str, Any] = {"policy": policy, "shuffle": False, "num_workers": workers}
    found = batches(Samples(pair, chw), batch_size=None, **options)  # type: ignore[arg-type]
    expected = native(1, policy, shuffle=False)
    for (image, label), (images, labels) in zip(found, expected, strict=True):
        assert torch.equal(image, images[0])
        assert torch.equal(torch.as_tensor(label), labels[0])


def test_single_samples_are_converted_as_torch_does() -> None:
    data = Samples(lambda p, label: {"x": p, "y": np.int64(label), "s": "a", "f": 0.5,
                                     "a": np.ones(2)}, chw)  # fmt: skip
    options: dict[str, Any] = {"batch_size": None, "policy": PLAIN, "label_key": "y"}
    found = batches(data, shuffle=False, **options)[0]
    stock = next(iter(torch.utils.data.DataLoader(data, None)))
    assert found.pop("x").dtype == torch.float32
    assert stock.pop("x").dtype == torch.uint8
    assert same(found, stock)


class Whole(Samples):
    """Takes a list of indices and gives a batch."""

    def __getitem__(self, index: Any) -> Any:
        assert isinstance(index, list)
        batch = default_collate([(chw(PIXELS[i]), int(LABELS[i])) for i in index])
        return self.form(*batch)


def whole(form: Callable[[Any, Any], Any], size: int = 8, **options: Any) -> list[Any]:
    data = Whole(form, chw)
    sampler = BatchSampler(SequentialSampler(range(COUNT)), size, False)
    options = {"policy": MIXED, "shuffle": None, "sampler": sampler, **options}
    return batches(data, None, **options)  # type: ignore[arg-type]


WHOLE: dict[str, tuple[Callable[[Any, Any], Any], dict[str, Any], Any, Any]] = {
    "list": (lambda x, y: [x, y], {}, 0, 1),
    "dict": (lambda x, y: {"image": x, "label": y, "id": ["a"] * len(y)}, {}, "image", "label"),
    "HWC arrays": (lambda x, y: (x.permute(0, 2, 3, 1).numpy(), y.numpy()), {}, 0, 1),
    "two stacks": (lambda x, y: (x * 0, x, y), {"image_key": 1, "passive": 0}, 1, 2),
    "last": (
        lambda x, y: (y, x * 0, x),
        {"image_key": -1, "label_key": 0, "passive": [1]},
        2,
        0,
    ),
    "list of labels": (lambda x, y: (x, y.tolist()), {"label_key": 1}, 0, 1),
    "collated": (
        lambda x, y: (x, y),
        {"collate_fn": lambda b: {"x": b[0], "y": b[1]}, "label_key": "y"},
        "x",
        "y",
    ),
}


@pytest.mark.parametrize("name", WHOLE)
def test_whole_batches_may_have_any_form(name: str) -> None:
    form, options, image, label = WHOLE[name]
    found = whole(form, **options)
    assert_same([[b[image], b[label]] for b in found], native(shuffle=False))


def test_whole_batches_of_images_alone_are_mixed_alone() -> None:
    assert_same([[b] for b in whole(lambda x, _: x)], [[b[0]] for b in native(shuffle=False)])


def test_whole_batches_without_channels_are_taken_where_the_key_says_so() -> None:
    expected = whole(lambda x, y: (x[:, :1], y))
    found = whole(lambda x, y: (x[:, 0], x[:, 1], y), image_key=0, passive=[1])
    assert_same([[b[0], b[2]] for b in found], expected)
    with pytest.raises(InputError, match="if they have no channels"):
        whole(lambda x, y: (x[:, 0], y))


@pytest.mark.parametrize(
    ("form", "options", "message"),
    [
        (lambda x, y: (x, y), {"size": 6}, "use a batch size that is a multiple of 8"),
        (lambda x, y: (x, x, y), {}, "the dataset hides the images.* and say with image_key"),
        (lambda x, y: list(zip(x, y, strict=True)), {}, "the dataset hides the images"),
        (lambda x, y: (x, y), {"image_key": 1}, "image_key=1 leads to a Tensor"),
        (lambda x, y: (x, y), {"image_key": "x"}, "image_key='x' leads nowhere"),
        (lambda x, y: (x, y), {"label_key": "y"}, "label_key='y' leads nowhere"),
        (lambda x, y: (x, y.tolist()), {}, "say it with label_key"),
        (lambda x, y: (x.long(), y), {}, "convert it to uint8"),
    ],
)
def test_whole_batches_that_cannot_be_augmented_are_described(
    form: Any, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        whole(form, **options)


def test_a_batch_that_the_dataset_keeps_is_left_as_it_is() -> None:
    kept = {"image": torch.from_numpy(PIXELS[:8]).permute(0, 3, 1, 2).clone(), "label": LABELS[:8]}
    for _ in range(2):
        found = whole(lambda x, y: kept if len(y) == 8 else {"image": x, "label": y})
        assert torch.equal(found[0]["label"], native(shuffle=False)[0][1])
    assert torch.equal(kept["image"], torch.from_numpy(PIXELS[:8]).permute(0, 3, 1, 2))
    assert torch.equal(kept["label"], LABELS[:8])


# Keys


@pytest.mark.parametrize("number", [int, np.int64, np.uint8, torch.tensor])
def test_numbers_of_any_type_name_the_same_sample(number: Any) -> None:
    options: dict[str, Any] = {"shuffle": None, "sampler": [number(i) for i in range(COUNT)]}
    assert_same(batches(Samples(pair, chw), 12, **options), native(12, shuffle=False))


@pytest.mark.parametrize("key", [str, lambda i: (i, "a"), lambda i: ("a", (i,))])
def test_keys_that_are_no_numbers_name_samples_for_any_batch_size_and_workers(key: Any) -> None:
    class Keyed(Samples):
        def __getitem__(self, name: Any) -> Any:
            return super().__getitem__(names[name])

    names = {key(i): i for i in range(COUNT)}
    data, keys = Keyed(pair, chw), list(names)
    found = batches(data, 12, shuffle=None, sampler=keys)
    images, labels = torch.cat([b[0] for b in found]), torch.cat([b[1] for b in found])
    for size, workers in ((5, 0), (8, 1)):
        given = [keys[k : k + size] for k in range(0, COUNT, size)]
        other = list(DataLoader(data, batch_sampler=given, policy=MIXED, seed=3,
                                num_workers=workers))  # fmt: skip
        assert torch.equal(torch.cat([b[0] for b in other]), images)
        assert torch.equal(torch.cat([b[1] for b in other]), labels)


class Many(Samples):
    give: Callable[[list[Any]], Any] = staticmethod(tuple)

    def __getitem__(self, i: int) -> Any:
        raise AssertionError("to be asked for many")

    def __getitems__(self, index: list[int]) -> Any:
        return self.give([(chw(PIXELS[i]), int(LABELS[i])) for i in index])


@pytest.mark.parametrize("give", [list, tuple])
def test_getitems_may_give_any_sequence(give: Any) -> None:
    data = Many(pair, chw)
    data.give = give
    assert_same(batches(data, 12), native(12))


@pytest.mark.parametrize(
    ("give", "message"),
    [
        (lambda samples: samples[1:], "gives 7 samples for 8 indices"),
        (lambda samples: {"image": [s[0] for s in samples]}, "__getitems__ gives a dict.*a list"),
        (iter, "__getitems__ gives a list_iterator: let it return a list"),
    ],
)
def test_getitems_that_gives_something_else_is_named(give: Any, message: str) -> None:
    data = Many(pair, chw)
    data.give = give
    with pytest.raises(InputError, match=message):
        batches(data)


# Streams


def test_a_stream_that_is_not_divided_comes_once_a_worker_and_each_time_otherwise() -> None:
    class Undivided(IterableDataset[Any]):
        def __iter__(self) -> Iterator[Any]:
            return ((chw(PIXELS[i]), int(LABELS[i])) for i in range(8))

    found = batches(Undivided(), 8, PLAIN, shuffle=None, num_workers=2)
    assert [labels.tolist() for _, labels in found] == [LABELS[:8].tolist()] * 2
    assert not torch.equal(found[0][0], found[1][0])  # they are other samples


def test_a_stream_gives_what_a_dataset_with_numbers_gives_but_for_partners() -> None:
    assert_same(batches(Stream(), 8, PLAIN, shuffle=None), native(8, PLAIN, shuffle=False))


@pytest.mark.parametrize("size", [8, 11, 16])
def test_no_two_batches_of_a_stream_are_mixed_by_the_same_pattern(size: int) -> None:
    class Long(IterableDataset[Any]):
        def __iter__(self) -> Iterator[Any]:
            return ((chw(PIXELS[0, :1, :1]), 0) for _ in range(30 * size))

    loader: DataLoader[Any] = DataLoader(Long(), size, policy="mixup(1.0)", seed=3, num_classes=1)
    partners = [b.plan.mixes.partner for b in loader.batches()]
    groups = [tuple(p[k : k + 8] - k) for p in partners for k in range(0, size - 7, 8)]
    assert len(set(groups)) > 0.9 * len(groups)  # of 5040 that there are
    # Each group of a batch mixes within itself, and only a sample that is left over is alone.
    for found in partners:
        own = np.arange(size)
        assert (found // 8 == own // 8).all()
        assert (found != own).sum() == size - (size % 8 == 1)


def test_one_worker_gives_what_none_gives() -> None:
    options: dict[str, Any] = {"shuffle": None, "batch_size": 12}
    assert_same(batches(Stream(), num_workers=1, **options), batches(Stream(), **options))


def test_samples_of_a_stream_may_come_singly_and_pass_through_a_collate_function() -> None:
    options: dict[str, Any] = {"shuffle": None, "policy": PLAIN}
    singly = batches(Stream(), batch_size=None, **options)  # type: ignore[arg-type]
    whole = [b for images, labels in batches(Stream(), 8, **options)
             for b in zip(images, labels.tolist(), strict=True)]  # fmt: skip
    assert len(singly) == COUNT
    for (image, label), (expected, number) in zip(singly, whole, strict=True):
        assert torch.equal(image, expected)
        assert label == number
    collated = batches(Stream(), 8, collate_fn=lambda s: dict(enumerate(default_collate(s))),
                       **options)  # fmt: skip
    assert_same([list(b.values()) for b in collated], batches(Stream(), 8, **options))


def test_a_stream_of_whole_batches_is_reported_what_to_give() -> None:
    class Batches(IterableDataset[Any]):
        def __iter__(self) -> Iterator[Any]:
            yield default_collate([(chw(PIXELS[i]), int(LABELS[i])) for i in range(8)])

    with pytest.raises(InputError, match=r"is a whole batch.*let batch_size"):
        batches(Batches(), batch_size=None, shuffle=None)  # type: ignore[arg-type]


# What goes wrong


@pytest.mark.parametrize("workers", [0, 1])
def test_an_error_of_a_partner_costs_the_batches_it_is_part_of(workers: int) -> None:
    class Broken(Samples):
        def __getitem__(self, i: int) -> Any:
            if i == 13:
                raise FileNotFoundError(2, "no such file", "x.png")
            return super().__getitem__(i)

    loader: DataLoader[Any] = DataLoader(
        Broken(pair, chw), 6, policy=MIXED, seed=3, num_workers=workers
    )
    iterator, expected = iter(loader), native(6, shuffle=False)
    # Samples 8 to 15 are mixed with each other: batches 1 (6-11) and 2 (12-17).
    for k, batch in enumerate(expected):
        if k in (1, 2):
            with pytest.raises(FileNotFoundError, match="no such file") as caught:
                next(iterator)
            assert ("worker process 0" in str(caught.value)) == bool(workers)
        else:
            assert_same([next(iterator)], [batch])
    with pytest.raises(StopIteration):
        next(iterator)


@pytest.mark.parametrize("size", [8, None])
@pytest.mark.parametrize("key", [None, str])
def test_the_sample_at_fault_is_named_as_the_sampler_names_it(size: int | None, key: Any) -> None:
    class Bright(Samples):
        def __getitem__(self, i: Any) -> Any:
            image, label = super().__getitem__(int(i))
            return (image / 100 if int(i) == 9 else image), label

    options: dict[str, Any] = {"shuffle": False}
    shown = repr(9 if key is None else key(9))
    if key:
        options = {"shuffle": None, "sampler": [key(i) for i in range(COUNT)]}
    with pytest.raises(InputError, match=f"the image of sample {shown} has"):
        batches(Bright(pair, chw), size, PLAIN, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize("single", [False, True])
def test_a_stop_out_of_a_dataset_does_not_end_the_epoch(workers: int, *, single: bool) -> None:
    class Stops(Samples):
        def __getitem__(self, i: int) -> Any:
            return next(iter(())) if i == 3 else super().__getitem__(i)

    loader: DataLoader[Any] = DataLoader(
        Stops(pair, chw), None if single else 2, policy=PLAIN, num_workers=workers
    )
    iterator, good = iter(loader), 3 if single else 1
    for _ in range(good):
        next(iterator)
    with pytest.raises(InputError, match="a StopIteration came out of the Stops"):
        next(iterator)
    assert len(list(iterator)) == len(loader) - good - 1  # to the end, so that workers leave


def test_a_stop_out_of_a_collate_function_does_not_end_the_epoch() -> None:
    def stops(samples: list[Any]) -> Any:
        raise StopIteration

    loader = DataLoader(Samples(pair, chw), 4, policy=PLAIN, collate_fn=stops)
    with pytest.raises(InputError, match="a StopIteration came out of the Samples, or out of coll"):
        next(iter(loader))
