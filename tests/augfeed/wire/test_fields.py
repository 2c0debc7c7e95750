"""Masks, boxes and keypoints on the wire: what comes back is what was sent, or is refused."""

from typing import Any

import pytest
import torch

from augfeed.batch import Batch
from augfeed.errors import WireError
from augfeed.fields import MixedMask
from augfeed.wire import decode, decode_batch, encode, encode_batch

MASK = (torch.arange(2 * 3 * 4) % 7).reshape(2, 3, 4)
BOXES = {
    "boxes": [torch.rand(3, 4), torch.empty(0, 4)],
    "labels": [torch.tensor([3, 1, 2]), torch.empty(0, dtype=torch.int64)],
    "masks": [torch.ones(3, 3, 4, dtype=torch.uint8), torch.empty(0, 3, 4, dtype=torch.uint8)],
    "difficult": [torch.tensor([True, False, True]), torch.empty(0, dtype=torch.bool)],
    "image_id": torch.tensor([5, 6]),
}
VALUES: dict[str, Any] = {
    "mask": MASK,
    "numbers of more than a byte": MASK * 1000,
    "negative": MASK - 100,
    "mixed": MixedMask(MASK, MASK.flip(0), torch.tensor([0.5, 1.0])),
    "boxes": BOXES,
    "padded": {"boxes": torch.rand(2, 5, 4), "valid": torch.ones(2, 5, dtype=torch.bool)},
    "mask and boxes": {"mask": MASK, **BOXES},
}


def sent(value: Any, count: int = 2) -> Any:
    batch = Batch(torch.zeros(count, 3, 3, 4), value, torch.arange(count), 1, 2, None)
    return decode_batch(bytes(encode_batch(batch, {})))[0].targets


def check_same(one: Any, other: Any) -> None:
    assert type(one) is type(other)
    if isinstance(one, dict):
        assert list(one) == list(other)
        for name in one:
            check_same(one[name], other[name])
    elif isinstance(one, list | tuple):
        assert len(one) == len(other)
        for left, right in zip(one, other, strict=True):
            check_same(left, right)
    else:
        assert one.dtype == other.dtype and torch.equal(one, other)


@pytest.mark.parametrize("name", VALUES)
def test_fields_come_back_as_they_were(name: str) -> None:
    check_same(sent(VALUES[name]), VALUES[name])


def test_a_batch_without_samples_comes_back() -> None:
    found = sent({"boxes": [], "image_id": torch.empty(0, dtype=torch.int64)}, 0)
    assert found["boxes"] == [] and len(found["image_id"]) == 0


def test_masks_of_small_numbers_take_a_byte_a_pixel() -> None:
    batch = Batch(torch.zeros(2, 3, 3, 4), MASK, torch.arange(2), 0, 0, None)
    tensors, _ = decode(bytes(encode_batch(batch, {})))
    assert tensors["field.mask"].dtype == torch.uint8


def changed(**change: Any) -> bytes:
    batch = Batch(torch.zeros(2, 3, 3, 4), BOXES, torch.arange(2), 0, 0, None)
    tensors, told = decode(bytes(encode_batch(batch, {})))
    told.pop("xxh3_128")
    for name, value in change.items():
        key = name.replace("__", ".")
        if key == "told":
            told["fields"] = value
        elif value is None:
            del tensors[key]
        else:
            tensors[key] = value
    return bytes(encode(tensors, told))


@pytest.mark.parametrize(
    "change",
    [
        {"field__boxes": None},
        {"field__boxes__counts": None},
        {"field__boxes__counts": torch.tensor([2, 0])},
        {"field__boxes__counts": torch.tensor([4, -1])},
        {"field__boxes__counts": torch.tensor([3.0, 0.0])},
        {"field__boxes__counts": torch.tensor([3])},
        {"field__image_id": torch.tensor(3)},
        {"told": ""},
        {"told": "[]"},
        {"told": '{"alone": true, "parts": {"boxes": {"kind": "rows", "narrow": false}}}'},
        {"told": '{"alone": false, "parts": {"boxes": {"kind": "odd", "narrow": false}}}'},
        {"told": '{"alone": false, "parts": {"none": {"kind": "rows", "narrow": false}}}'},
    ],
)
def test_fields_that_do_not_fit_together_are_refused(change: dict[str, Any]) -> None:
    with pytest.raises(WireError):
        decode_batch(changed(**change))
