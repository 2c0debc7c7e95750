"""Where images are in samples of the general lane, and what kinds of them there may be."""

from collections import OrderedDict, UserDict, namedtuple
from collections.abc import Callable, Iterator, MutableMapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from augfeed.errors import InputError, InputTypeError
from tests.augfeed.feed.test_general import (
    COUNT,
    FORMS,
    KINDS,
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

CUT = "random_resized_crop(10) | cutmix(1.0) | normalize(0.5, 0.25)"
Named = namedtuple("Named", "image what")  # a second field that no name gives away


class Shared(MutableMapping[str, Any]):
    """A mapping whose shallow copy writes into the original."""

    def __init__(self, held: dict[str, Any]) -> None:
        self.held = held

    def __getitem__(self, key: str) -> Any:
        return self.held[key]

    def __setitem__(self, key: str, value: Any) -> None:
        self.held[key] = value

    def __delitem__(self, key: str) -> None:
        del self.held[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self.held)

    def __len__(self) -> int:
        return len(self.held)


@dataclass
class Record:
    image: Any
    label: int


def part_at(batch: Any, key: Any) -> Any:
    for step in key if isinstance(key, tuple) else (key,):
        batch = getattr(batch, step) if hasattr(batch, "_fields") else batch[step]
    return batch


@settings(deadline=None, max_examples=40)
@given(
    kind=st.sampled_from(sorted(KINDS)),
    form=st.sampled_from(sorted(FORMS)),
    batch_size=st.integers(1, COUNT + 3),
    policy=st.sampled_from([MIXED, PLAIN, CUT, "mixup(0.4, per='batch')"]),
    drop_last=st.booleans(),
    shuffle=st.booleans(),
)
def test_every_kind_in_every_form_gives_the_batches_of_the_native_lane(
    kind: str, form: str, batch_size: int, policy: str, drop_last: bool, shuffle: bool
) -> None:
    made, image, label = FORMS[form]
    options = {"drop_last": drop_last, "shuffle": shuffle}
    found = batches(Samples(made, KINDS[kind]), batch_size, policy, **options)
    expected = native(batch_size, policy, **options)
    assert_same([[part_at(b, image), part_at(b, label)] for b in found], expected)


# By how much one value of a dtype may be beside the pixel that was stored in it.
FLOATS = {
    torch.float32: 2.0**-24,
    torch.float64: 2.0**-24,
    torch.float16: 2.0**-11,
    torch.bfloat16: 2.0**-8,
}


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_floats_give_the_batches_of_the_native_lane_but_for_rounding(dtype: torch.dtype) -> None:
    data = Samples(pair, lambda pixels: (chw(pixels) / 255).to(dtype).requires_grad_())
    for found, expected in zip(batches(data), native(), strict=True):
        assert not found[0].requires_grad
        assert (found[0] - expected[0]).abs().max() <= FLOATS[dtype] + 1e-6
        assert torch.equal(found[1], expected[1])


@pytest.mark.parametrize(
    "kind",
    [
        lambda pixels: pixels[::-1][::-1],
        lambda pixels: np.repeat(pixels, 2, axis=1)[:, ::2],
        lambda pixels: chw(pixels).contiguous().permute(0, 2, 1).contiguous().permute(0, 2, 1),
        lambda pixels: (pixels / 255).astype(np.longdouble),
        lambda pixels: (pixels / 255).astype(">f4"),
    ],
    ids=["turned", "strided", "permuted", "long double", "big endian"],
)
def test_the_memory_of_an_array_makes_no_difference(kind: Callable[[Any], Any]) -> None:
    for found, expected in zip(batches(Samples(pair, kind)), native(), strict=True):
        assert torch.allclose(found[0], expected[0], atol=1e-6)


COLOURS = {
    "P": 3, "RGBA": 3, "CMYK": 3, "YCbCr": 3, "L": 1, "LA": 1, "1": 1, "F": 1, "I": 1, "I;16": 1,
}  # fmt: skip


def in_mode(pixels: Any, mode: str) -> Any:
    gray = pixels[..., 0]
    if mode == "F":
        return Image.fromarray(((gray - 0.3).clip(0) / 255).astype(np.float32))  # to be rounded
    if mode.startswith("I"):
        return Image.fromarray((gray.astype(np.uint16) * 257).astype(
            np.int32 if mode == "I" else np.uint16))  # fmt: skip
    image = Image.fromarray(pixels)
    return image.quantize(256) if mode == "P" else image.convert(mode)


@pytest.mark.parametrize("mode", COLOURS)
def test_pil_images_of_every_mode_are_taken(mode: str) -> None:
    data = Samples(pair, lambda pixels: in_mode(pixels, mode))
    found = torch.cat([images for images, _ in batches(data, policy="", shuffle=False)])
    assert found.shape == (COUNT, COLOURS[mode], SIDE, SIDE)
    levels = (found * 255).round().to(torch.uint8).numpy()
    if mode in ("F", "I", "I;16"):  # all of their levels arrive
        assert np.array_equal(levels[:, 0], PIXELS[..., 0])
    else:
        first = in_mode(PIXELS[0], mode).convert("RGB" if COLOURS[mode] == 3 else "L")
        assert np.array_equal(levels[0].transpose(1, 2, 0), np.array(first).reshape(SIDE, SIDE, -1))


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        (lambda p: Image.fromarray(p[..., 0].astype(np.int32)), r"white is 65535.*convert\('L'\)"),
        (lambda p: Image.fromarray(p[..., 0].astype(np.float32)), r"not in \[0, 1\]"),
        (lambda p: chw(p).float(), "divide by 255"),
        (lambda p: chw(p) / 0.0, "NaN"),
        (lambda p: p.astype(np.int64), "has no image.* of int64"),
        (lambda p: p > 9, "has no image.* of bool"),
        (lambda p: p[..., :0], "is not an image with pixels"),
        (lambda p: chw(p)[None], "is a whole batch.*batch_size"),
        (lambda p: p[:0], "of shape"),
        (lambda p: "photo.jpg", "has no image: it is a tuple.*0 is the name of a file.*pairs"),
        (lambda p: Path("a") / "photo.PNG", "0 is the name of a file: let the dataset open it"),
        (lambda p: "photo", r"\); give a uint8"),
        (lambda p: None, "has no image"),
    ],
)
def test_what_is_not_an_image_is_described(kind: Callable[[Any], Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        batches(Samples(pair, kind))


def test_a_grey_image_of_floats_is_taken_where_the_key_says_so() -> None:
    data = Samples(pair, lambda pixels: pixels[..., 0] / 255)
    with pytest.raises(InputTypeError, match="has no image"):
        batches(data)
    for images, _ in batches(data, image_key=0):
        assert images.shape[1:] == (1, SIDE, SIDE)


def test_a_mask_beside_the_image_is_not_a_second_image() -> None:
    masks = Samples(lambda p, label: {"image": p, "mask": p[0], "label": label}, chw)
    found = batches(masks, passive="mask")
    assert_same([[b["image"], b["label"]] for b in found], native())
    assert found[0]["mask"].dtype == torch.uint8


@pytest.mark.parametrize(
    ("form", "message"),
    [
        (lambda p, label: {"image": p, "depth": p, "label": label}, "image_key='image'"),
        (lambda p, label: ([p, p], label), r"image_key=\(0, 0\)"),
        (lambda p, label: Named(p, p), "image_key='image'"),
    ],
)
def test_a_sample_with_two_images_asks_for_image_key(form: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        batches(Samples(form, chw))


def test_a_sample_that_is_no_container_is_named_with_those_that_are() -> None:
    with pytest.raises(InputTypeError, match=r"it is a Record; .* dict or named tuple"):
        batches(Samples(Record, chw))


@pytest.mark.parametrize("key", [-2, 0, "image", (0,)])
def test_a_key_may_count_from_the_end_and_fields_have_numbers_too(key: Any) -> None:
    options = {"image_key": key, "label_key": -1}
    found = batches(Samples(Named, chw), **options)
    assert isinstance(found[0], Named)
    assert_same(found, native())
    with pytest.raises(InputTypeError, match="the label of sample 0 is a str"):
        batches(Samples(lambda p, label: Named(p, "x"), chw), image_key=key, shuffle=False)


def test_an_image_is_not_taken_for_its_own_label() -> None:
    assert_same(batches(Samples(lambda p, _: (p,), chw), image_key=-1), [b[:1] for b in native()])


@pytest.mark.parametrize("shape", [(3, 12), (12, 3), (3, 3), (1, 5), (1, 1)])
def test_where_both_ends_could_be_channels_tensors_have_them_first_and_arrays_last(
    shape: tuple[int, int],
) -> None:
    cut = PIXELS[:, : shape[0], : shape[1]]
    for kind in (chw, lambda pixels: pixels):
        held = [(kind(pixels), 1) for pixels in cut]
        found = torch.cat([images for images, _ in batches(held, policy="", shuffle=False)])
        assert np.array_equal((found * 255).round().numpy(), cut.transpose(0, 3, 1, 2))


@pytest.mark.parametrize("kind", [OrderedDict, UserDict, MappingProxyType])
def test_any_mapping_comes_as_torch_collates_it(kind: Any) -> None:
    data = Samples(lambda p, label: kind({"image": p, "label": label, "id": "x"}), chw)
    found, stock = batches(data, shuffle=False)[0], next(iter(torch.utils.data.DataLoader(data, 8)))
    assert type(found) is type(stock)
    assert list(found) == list(stock)
    assert_same([[found["image"], found["label"]]], native(shuffle=False)[:1])


@pytest.mark.parametrize("kind", [dict, UserDict, Shared])
@pytest.mark.parametrize("collate", [None, lambda samples: {
    key: torch.tensor(np.array([sample[key] for sample in samples])) for key in samples[0]
}])  # fmt: skip
def test_a_dataset_that_gives_the_same_objects_again_is_left_as_it_is(
    kind: Any, collate: Any
) -> None:
    held = [kind({"image": PIXELS[i].copy(), "label": int(LABELS[i])}) for i in range(COUNT)]
    for _ in range(2):
        found = batches(held, num_classes=5, collate_fn=collate)
        assert_same([[b["image"], b["label"]] for b in found], native())
    for i, sample in enumerate(held):
        assert np.array_equal(sample["image"], PIXELS[i])
        assert sample["label"] == LABELS[i]


@pytest.mark.parametrize("form", [lambda p, _: p, lambda p, _: (p,), lambda p, _: {"image": p}])
def test_images_without_labels_are_mixed_without_labels(form: Any) -> None:
    found = batches(Samples(form, chw))
    images = [b if isinstance(b, torch.Tensor) else next(iter(dict(b).values()))
                if isinstance(b, dict) else b[0] for b in found]  # fmt: skip
    assert_same([[p] for p in images], [[b[0]] for b in native()])


def test_samples_of_several_forms_are_named() -> None:
    class Changing(Samples):
        def __getitem__(self, i: int) -> Any:
            image, label = super().__getitem__(i)
            return (image, label) if i != 5 else {"image": image, "label": label}

    with pytest.raises(InputError, match="image of sample 5 is not where that of the first"):
        batches(Changing(pair, chw), shuffle=False)
