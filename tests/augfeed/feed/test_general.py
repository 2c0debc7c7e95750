"""The general lane: samples of any form come as the native lane has them."""

from collections import namedtuple
from collections.abc import Callable, Iterator
from itertools import combinations, islice
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import (
    BatchSampler,
    Dataset,
    IterableDataset,
    RandomSampler,
    SequentialSampler,
    TensorDataset,
    get_worker_info,
)

from augfeed import DataLoader
from augfeed.errors import PolicyError
from augfeed.feed.sample_fields import moved

COUNT, SIDE = 37, 12
PIXELS = np.random.default_rng(4).integers(0, 256, (COUNT, SIDE, SIDE, 3), dtype=np.uint8)
LABELS = torch.arange(COUNT) % 5
MIXED = "random_crop(12, padding=2) | hflip | mixup(0.4) | gaussian_noise(0.1)"
PLAIN = "hflip(p=0.5) | normalize(0.5, 0.25)"
Pair = namedtuple("Pair", "image label")


class Samples(Dataset[Any]):
    """Images in some form, in samples of some form."""

    def __init__(self, form: Callable[[Any, int], Any], kind: Callable[[Any], Any]) -> None:
        self.form, self.kind, self.classes = form, kind, list("abcde")

    def __len__(self) -> int:
        return COUNT

    def __getitem__(self, i: int) -> Any:
        return self.form(self.kind(PIXELS[i]), int(LABELS[i]))


def chw(pixels: Any) -> Any:
    return torch.from_numpy(pixels.transpose(2, 0, 1).copy())


def read_only(pixels: Any) -> Any:
    copy = pixels.copy()
    copy.flags.writeable = False
    return copy


def batches(data: Any, batch_size: int = 8, policy: str = MIXED, **options: Any) -> list[Any]:
    options = {"seed": 3, "shuffle": True, **options}
    return list(DataLoader(data, batch_size, policy=policy, **options))


def native(batch_size: int = 8, policy: str = MIXED, **options: Any) -> list[Any]:
    data = TensorDataset(torch.from_numpy(PIXELS).permute(0, 3, 1, 2), LABELS)
    return batches(data, batch_size, policy, **options)


def assert_same(found: list[Any], expected: list[Any]) -> None:
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        for a, b in zip(one, other, strict=True):
            assert torch.equal(a, b)


KINDS: dict[str, Callable[[Any], Any]] = {
    "tensor CHW": chw,
    "tensor HWC": lambda pixels: torch.from_numpy(pixels.copy()),
    "array HWC": lambda pixels: pixels,
    "array CHW": lambda pixels: pixels.transpose(2, 0, 1),
    "array that may not be written to": read_only,
    "PIL": Image.fromarray,
    "PIL RGBA": lambda pixels: Image.fromarray(pixels).convert("RGBA"),
}


@pytest.mark.parametrize("kind", KINDS)
def test_any_kind_of_image_gives_the_batches_of_the_native_lane(kind: str) -> None:
    data = Samples(lambda image, label: (image, label), KINDS[kind])
    assert_same(batches(data), native())


@pytest.mark.parametrize("batch_size", [1, 5, 8, 12, 37, 64])
@pytest.mark.parametrize("drop_last", [False, True])
def test_partners_beyond_a_batch_are_fetched(batch_size: int, drop_last: bool) -> None:
    data = Samples(lambda image, label: (image, label), chw)
    found = batches(data, batch_size, drop_last=drop_last)
    assert_same(found, native(batch_size, drop_last=drop_last))


@pytest.mark.parametrize("workers", [1, 2])
def test_workers_change_nothing(workers: int) -> None:
    data = Samples(pair, chw)
    assert_same(batches(data, 12, num_workers=workers), native(12))


def pair(image: Any, label: int) -> Any:
    return image, label


def test_a_sampler_that_nothing_is_known_of_has_the_same_partners() -> None:
    class Own:
        def __len__(self) -> int:
            return COUNT

        def __iter__(self) -> Iterator[int]:
            return iter([*range(20, COUNT), *range(20)])

    class Batches(BatchSampler):
        pass

    data = Samples(pair, chw)
    options: dict[str, Any] = {"shuffle": None, "policy": MIXED, "seed": 3}
    whole = torch.cat([b[0] for b in DataLoader(data, 8, sampler=Own(), **options)])
    for size in (3, 12, 20):
        parts = [b[0] for b in DataLoader(data, size, sampler=Own(), **options)]
        assert torch.equal(torch.cat(parts), whole)
        given = Batches(Own(), size, False)
        parts = [b[0] for b in DataLoader(data, batch_sampler=given, **options)]
        assert torch.equal(torch.cat(parts), whole)


FORMS: dict[str, tuple[Callable[[Any, int], Any], Any, Any]] = {
    "tuple": (lambda image, label: (image, label), 0, 1),
    "tuple, label first": (lambda image, label: (label, image), 1, 0),
    "list": (lambda image, label: [image, label], 0, 1),
    "dict": (
        lambda image, label: {"image": image, "label": label, "id": "x"},
        "image",
        "label",
    ),
    "named tuple": (lambda image, label: Pair(image, label), "image", "label"),
    "three": (lambda image, label: (image, label, "name"), 0, 1),
    "nested": (lambda p, label: {"inputs": (p, 1.5), "target": label}, ("inputs", 0), "target"),
}


@pytest.mark.parametrize("form", FORMS)
def test_images_and_targets_are_put_where_the_sample_has_them(form: str) -> None:
    made, image, label = FORMS[form]
    data = Samples(made, chw)
    stock = next(iter(torch.utils.data.DataLoader(data, 8)))
    expected = native(shuffle=False)[0]
    found = batches(data, shuffle=False)[0]
    assert type(found) is type(stock)
    for key, value in ((image, expected[0]), (label, expected[1])):
        part = found
        for step in key if isinstance(key, tuple) else (key,):
            part = getattr(part, step) if isinstance(part, Pair) else part[step]
        assert torch.equal(part, value)


def test_what_is_neither_image_nor_label_is_collated_as_torch_does() -> None:
    data = Samples(lambda p, label: {"image": p, "label": label, "box": (1, 2.5), "id": "x"}, chw)
    stock = next(iter(torch.utils.data.DataLoader(data, 8)))
    found = batches(data, policy=PLAIN, shuffle=False)[0]
    assert list(found) == list(stock)
    assert found["id"] == stock["id"]
    assert torch.equal(found["label"], stock["label"])
    assert all(map(torch.equal, found["box"], stock["box"]))


def test_samples_are_left_as_they_are() -> None:
    held = [{"image": chw(PIXELS[i]), "label": int(LABELS[i])} for i in range(COUNT)]
    batches(held, num_classes=5)
    for i, sample in enumerate(held):
        assert torch.equal(sample["image"], chw(PIXELS[i]))
        assert sample["label"] == int(LABELS[i])


def test_an_image_alone_gives_images_alone() -> None:
    data = [chw(pixels) for pixels in PIXELS]
    found = batches(data, policy=PLAIN)
    assert all(map(torch.equal, found, [b[0] for b in native(policy=PLAIN)]))


@pytest.mark.parametrize("mode", ["L", "1", "I;16"])
def test_grey_pil_images_have_one_channel(mode: str) -> None:
    def gray(pixels: Any) -> Any:
        if mode == "I;16":
            return Image.fromarray(pixels[..., 0].astype(np.uint16) << 8)
        return Image.fromarray(pixels).convert(mode)

    for images, _ in batches(Samples(pair, gray)):
        assert images.shape[1:] == (1, SIDE, SIDE)


def test_images_of_different_sizes_are_cut_to_one() -> None:
    def grown(pixels: Any) -> Any:
        return np.pad(pixels, ((0, int(pixels[0, 0, 0]) % 7), (0, 3), (0, 0)))

    data = Samples(pair, grown)
    for policy in ("random_resized_crop(10) | cutmix(1.0)", "resize(10) | center_crop(8)"):
        whole = torch.cat([b[0] for b in batches(data, 8, policy)])
        assert torch.equal(torch.cat([b[0] for b in batches(data, 11, policy)]), whole)
    with pytest.raises(PolicyError, match="random_resized_crop"):
        batches(data, policy="hflip")


# Iterable datasets


class Stream(IterableDataset[Any]):
    """Shares its samples out between workers."""

    classes = tuple("abcde")

    def __iter__(self) -> Iterator[Any]:
        worker = get_worker_info()
        step = worker.num_workers if worker else 1
        for i in range(worker.id if worker else 0, COUNT, step):
            yield chw(PIXELS[i]), int(LABELS[i])


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("persistent", [False, True])
def test_an_iterable_dataset_comes_again_and_each_epoch_differs(
    workers: int, persistent: bool
) -> None:
    if persistent and not workers:
        pytest.skip("only workers persist")
    options: dict[str, Any] = {
        "shuffle": None,
        "num_workers": workers,
        "persistent_workers": persistent,
    }
    loader: DataLoader[Any] = DataLoader(Stream(), 8, policy=MIXED, seed=3, **options)
    first, second = list(loader), list(loader)
    assert sum(len(images) for images, _ in first) == COUNT
    assert_same(batches(Stream(), **options), first)
    assert not torch.equal(first[0][0], second[0][0])
    loader.set_epoch(0)
    assert_same(list(loader), first)


@pytest.mark.parametrize("kind", [Stream, lambda: Samples(pair, chw)])
def test_worker_init_fn_meets_the_callers_own_dataset(kind: Any) -> None:
    data = kind()

    def begin(worker: int) -> None:
        info = get_worker_info()
        assert info is not None
        assert type(info.dataset) is type(data)
        assert (info.id, info.num_workers) == (worker, 1)

    shuffle = None if isinstance(data, Stream) else True
    assert len(batches(data, shuffle=shuffle, num_workers=1, worker_init_fn=begin)) == 5


# Without automatic batching


def test_single_samples_come_single() -> None:
    data = Samples(pair, chw)
    found = batches(data, batch_size=None, policy=MIXED, shuffle=False)  # type: ignore[arg-type]
    expected = native(shuffle=False)
    assert torch.equal(
        torch.stack([image for image, _ in found]), torch.cat([b[0] for b in expected])
    )
    assert torch.equal(
        torch.stack([label for _, label in found]), torch.cat([b[1] for b in expected])
    )


def test_a_dataset_may_give_whole_batches() -> None:
    class Whole(Samples):
        def __getitem__(self, index: Any) -> Any:
            return torch.stack([chw(PIXELS[i]) for i in index]), LABELS[index]

    data = Whole(pair, chw)
    sampler = BatchSampler(SequentialSampler(data), 8, False)
    found = batches(data, None, shuffle=None, sampler=sampler)  # type: ignore[arg-type]
    assert_same(found, native(shuffle=False))


def test_getitems_is_asked_once_a_batch() -> None:
    class Many(Samples):
        asked: ClassVar[list[int]] = []

        def __getitems__(self, index: list[int]) -> list[Any]:
            self.asked.append(len(index))
            return [self[i] for i in index]

    data = Many(pair, chw)
    assert_same(batches(data), native())
    assert data.asked == [8, 8, 8, 8, 5]


def test_all_tensors_of_a_batch_go_to_the_device() -> None:
    batch = {"a": torch.ones(2), "b": [Pair(torch.ones(1), "x"), (torch.zeros(3), 4)]}
    device = torch.device("meta")
    found = moved(batch, device)
    assert type(found["b"][0]) is Pair
    assert {found["a"].device, found["b"][0].image.device, found["b"][1][0].device} == {device}
    assert (found["b"][0].label, found["b"][1][1], batch["a"].device.type) == ("x", 4, "cpu")  # type: ignore[attr-defined]


@pytest.mark.parametrize("policy", [PLAIN, MIXED])
def test_whole_batches_tell_the_same_in_both_lanes(policy: str) -> None:
    data = TensorDataset(torch.from_numpy(PIXELS).permute(0, 3, 1, 2), LABELS)
    lanes = [DataLoader(d, 8, True, policy=policy, seed=3) for d in (data, Samples(pair, chw))]
    for one, other in zip(*(given.batches() for given in lanes), strict=True):
        assert torch.equal(one.targets, other.targets)
        assert torch.equal(one.ids, other.ids)
        assert (one.epoch, one.step) == (other.epoch, other.step)


# Samples that come more than once


@pytest.mark.parametrize("lane", ["general", "native"])
@pytest.mark.parametrize("kind", ["replacement", "more than there are", "own", "endless"])
def test_a_sample_that_comes_twice_in_an_epoch_is_augmented_anew(lane: str, kind: str) -> None:
    class Own:
        def __iter__(self) -> Iterator[int]:
            return iter([3, 1, 3, 3, 2, 3])

    class Endless(BatchSampler):
        def __iter__(self) -> Iterator[list[int]]:
            while True:
                yield from super().__iter__()

    data: Any = Samples(pair, chw)
    if lane == "native":
        data = TensorDataset(torch.from_numpy(PIXELS).permute(0, 3, 1, 2), LABELS)
    ways: dict[str, dict[str, Any]] = {
        "replacement": {"sampler": RandomSampler(data, True, 60)},
        "more than there are": {"sampler": RandomSampler(data, num_samples=80)},
        "own": {"sampler": Own()},
        "endless": {"batch_sampler": Endless(SequentialSampler(data), 8, False)},
    }
    loader: DataLoader[Any] = DataLoader(data, policy="gaussian_noise(0.1)", seed=3, **ways[kind])
    seen: dict[int, list[torch.Tensor]] = {}
    for batch in islice(loader.batches(), 60):
        for number, image in zip(batch.ids.tolist(), batch.images, strict=True):
            seen.setdefault(number, []).append(image)
    twice = [all_images for all_images in seen.values() if len(all_images) > 1]
    assert twice
    assert not any(
        torch.equal(a, b) for all_images in twice for a, b in combinations(all_images, 2)
    )
