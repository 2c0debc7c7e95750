"""What collate functions of the caller's may make of samples, and what they may not."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn import functional as F
from torch.utils.data import default_collate

from augfeed import DataLoader
from augfeed.errors import InputError, PolicyError
from tests.augfeed.feed.test_general import (
    LABELS,
    MIXED,
    PIXELS,
    PLAIN,
    SIDE,
    Samples,
    assert_same,
    batches,
    chw,
    native,
    pair,
)


def images_of(samples: list[Any]) -> torch.Tensor:
    return torch.stack([sample[0] for sample in samples])


def labels_of(samples: list[Any]) -> torch.Tensor:
    return torch.tensor([sample[1] for sample in samples])


def fast_collate(samples: list[Any]) -> tuple[torch.Tensor, torch.Tensor]:
    """As timm's: NumPy CHW in, uint8 tensors out."""
    images = torch.zeros((len(samples), *samples[0][0].shape), dtype=torch.uint8)
    for k, (image, _) in enumerate(samples):
        images[k] += torch.from_numpy(image)
    return images, labels_of(samples)


def arrays(samples: list[Any]) -> tuple[Any, Any]:
    return np.stack([np.asarray(s[0]) for s in samples]), np.array([s[1] for s in samples])


def image(pixels: Any) -> Any:
    return Image.fromarray(pixels)


def hwc(pixels: Any) -> Any:
    return pixels


GOOD: dict[str, tuple[Callable[[Any], Any], Callable[[list[Any]], Any]]] = {
    "torch's": (chw, default_collate),
    "torch's, called": (chw, lambda s: default_collate(s)),
    "of Hugging Face": (chw, lambda s: {"pixel_values": images_of(s), "labels": labels_of(s)}),
    "of timm": (lambda pixels: pixels.transpose(2, 0, 1), fast_collate),
    "arrays HWC": (hwc, arrays),
    "arrays HWC of PIL": (image, arrays),
    "channels last": (
        chw,
        lambda s: (
            images_of(s).contiguous(memory_format=torch.channels_last),
            labels_of(s),
        ),
    ),
    "labels in a list": (chw, lambda s: [images_of(s), [sample[1] for sample in s]]),
    "one-hot": (chw, lambda s: (images_of(s), F.one_hot(labels_of(s), 5))),
    "shares": (chw, lambda s: (images_of(s), F.one_hot(labels_of(s), 5).float())),
    "labels and ids": (
        chw,
        lambda s: {"pixels": images_of(s), "labels": labels_of(s), "ids": torch.arange(len(s))},
    ),
    "labels and lengths": (chw, lambda s: (images_of(s), labels_of(s), torch.arange(len(s)))),
}


@pytest.mark.parametrize("name", GOOD)
@pytest.mark.parametrize("batch_size", [8, 12])
def test_a_collate_function_makes_no_difference_to_images_and_targets(
    name: str, batch_size: int
) -> None:
    kind, collate = GOOD[name]
    found = batches(Samples(pair, kind), batch_size, collate_fn=collate)
    stock = collate([(kind(PIXELS[i]), int(LABELS[i])) for i in range(2)])
    assert type(found[0]) is type(stock)
    parts = [list(b.values() if isinstance(b, dict) else b)[:2] for b in found]
    assert_same(parts, native(batch_size))


def test_grey_images_may_be_stacked_without_channels() -> None:
    def gray(pixels: Any) -> Any:
        return Image.fromarray(pixels).convert("L")

    found = batches(Samples(pair, gray), 12, collate_fn=arrays)
    assert_same(found, batches(Samples(pair, gray), 12))
    assert found[0][0].shape == (12, 1, SIDE, SIDE)
    named = batches(Samples(pair, gray), 12,
                    collate_fn=lambda s: dict(zip("xy", arrays(s), strict=True)))  # fmt: skip
    assert_same([list(batch.values()) for batch in named], found)


@pytest.mark.parametrize("batch_size", [3, 8, 12])
def test_partners_do_not_reach_the_call_of_the_batch(batch_size: int) -> None:
    calls: list[list[int]] = []

    def seeing(samples: list[Any]) -> Any:
        calls.append([sample[1]["id"] for sample in samples])
        return default_collate(samples)

    class Numbered(Samples):
        def __getitem__(self, i: int) -> Any:
            image, label = super().__getitem__(i)
            return image, {"label": label, "id": i}

    data = Numbered(pair, chw)
    batches(data, batch_size, collate_fn=seeing, shuffle=False, label_key=(1, "label"))
    groups = [list(range(k, min(k + batch_size, 37))) for k in range(0, 37, batch_size)]
    assert all(group in calls for group in groups)
    assert len(calls) == len(groups) or batch_size != 8
    calls.clear()
    batches(data, batch_size, PLAIN, collate_fn=seeing, shuffle=False)
    assert calls == groups


HIDDEN: dict[str, Callable[[list[Any]], Any]] = {
    "samples as they are": lambda s: s,
    "nothing": lambda s: None,
    "rows of pixels": lambda s: (images_of(s).flatten(1), labels_of(s)),
    "one left out": lambda s: default_collate(s[1:]),
    "twice": lambda s: {"a": images_of(s), "b": images_of(s), "y": labels_of(s)},
    "an object": lambda s: object(),
}


@pytest.mark.parametrize("name", HIDDEN)
@pytest.mark.parametrize("policy", [MIXED, PLAIN])
def test_a_collate_function_that_hides_the_images_is_named_with_the_cure(
    name: str, policy: str
) -> None:
    with pytest.raises(InputError, match=r"collate_fn hides .*; leave collate_fn out, or let it"):
        batches(Samples(pair, chw), policy=policy, collate_fn=HIDDEN[name])


@pytest.mark.parametrize("policy", [MIXED, PLAIN, "random_resized_crop(10)"])
@pytest.mark.parametrize("change", [lambda x: F.pad(x, (1, 1, 1, 1)), lambda x: x[..., :8]])
def test_a_collate_function_may_not_change_the_size(policy: str, change: Any) -> None:
    with pytest.raises(PolicyError, match="leave cropping, resizing and padding to the policy"):
        batches(Samples(pair, chw), policy=policy,
                collate_fn=lambda s: (change(images_of(s)), labels_of(s)))  # fmt: skip


@pytest.mark.parametrize(
    ("collate", "message"),
    [
        (lambda s: (images_of(s) / 127 - 1, labels_of(s)), "batch that collate_fn made has values"),
        (lambda s: (images_of(s).long(), labels_of(s)), "batch that collate_fn made of dtype int"),
        (images_of, "what collate_fn makes, a Tensor.*label_key"),
        (lambda s: (images_of(s), [str(x[1]) for x in s]), "what collate_fn makes.*label_key"),
        (lambda s: (images_of(s), {}, 3.5), "what collate_fn makes.*label_key"),
    ],
)
def test_what_a_collate_function_makes_is_checked(collate: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        batches(Samples(pair, chw), collate_fn=collate)


def test_label_key_may_be_one_of_what_the_collate_function_makes() -> None:
    def two(samples: list[Any]) -> dict[str, torch.Tensor]:
        labels = labels_of(samples)
        return {"pixels": images_of(samples), "coarse": labels // 2, "fine": labels}

    data = Samples(pair, chw)
    with pytest.raises(InputError, match=r"what collate_fn makes, a dict.*label_key"):
        batches(data, collate_fn=two)
    found = batches(data, collate_fn=two, label_key="fine")
    assert_same([[b["pixels"], b["fine"]] for b in found], native())
    with pytest.raises(InputError, match="label_key='finest' leads nowhere in a dict"):
        batches(data, collate_fn=two, label_key="finest")


def test_what_a_collate_function_raises_in_a_worker_keeps_its_type() -> None:
    def broken(samples: list[Any]) -> Any:
        raise LookupError(f"no such thing in {len(samples)}")

    iterator = iter(DataLoader(Samples(pair, chw), 12, policy=MIXED, num_workers=1,
                               collate_fn=broken))  # fmt: skip
    for count in (12, 12, 12, 1):  # to the end, as workers of a broken-off epoch take 5 s to leave
        with pytest.raises(LookupError, match=rf"worker process 0(.|\n)*no such thing in {count}"):
            next(iterator)
    with pytest.raises(StopIteration):
        next(iterator)


def test_single_samples_are_collated_singly() -> None:
    options: dict[str, Any] = {"batch_size": None, "shuffle": False}
    data = Samples(pair, chw)
    found = batches(data, collate_fn=lambda s: {"x": s[0], "y": s[1], "z": "z"}, **options)
    assert_same([[b["x"], b["y"]] for b in found], batches(data, **options))
    assert found[0]["z"] == "z"
    found = batches(data, policy=PLAIN, collate_fn=lambda s: (s[0], np.int64(s[1])), **options)
    assert [type(part) for part in (found[0], found[0][1])] == [tuple, np.int64]
