"""Images in memory: layouts, types, labels."""

import pickle
from typing import Any

import numpy as np
import pytest
import torch

from augfeed.errors import InputError, InputTypeError
from augfeed.read.arrays import ArraySource

ZEROS = np.zeros((4, 5, 6, 3), np.uint8)


def values(*shape: int) -> np.ndarray[Any, np.dtype[np.uint8]]:
    return np.arange(np.prod(shape), dtype=np.int64).reshape(shape).astype(np.uint8)


@pytest.mark.parametrize(
    ("shape", "layout", "expected"),
    [
        ((7, 5, 6), None, (5, 6, 1)),
        ((7, 5, 6, 1), None, (5, 6, 1)),
        ((7, 5, 6, 3), None, (5, 6, 3)),
        ((7, 1, 5, 6), None, (5, 6, 1)),
        ((7, 3, 5, 6), None, (5, 6, 3)),
        ((7, 1, 1, 1), None, (1, 1, 1)),
        ((7, 3, 5, 1), "NHWC", (3, 5, 1)),
        ((7, 3, 5, 1), "NCHW", (5, 1, 3)),
    ],
)
def test_every_layout_becomes_channels_last(shape: Any, layout: Any, expected: Any) -> None:
    images = values(*shape)
    source = ArraySource(images, layout=layout)
    assert source.images.shape == (7, *expected)
    assert (source.sizes, source.channels) == (expected[:2], expected[2])
    assert source.images.flags.c_contiguous
    first = images if len(shape) == 4 and expected == shape[1:] else None
    if first is None:
        first = images[..., None] if len(shape) == 3 else images.transpose(0, 2, 3, 1)
    np.testing.assert_array_equal(source.images, first)
    np.testing.assert_array_equal(source.image(6), first[6])


@pytest.mark.parametrize("images", [ZEROS, ZEROS[..., 0].copy(), torch.zeros(4, 1, 5, 6)])
def test_memory_is_shared_where_it_can_be(images: Any) -> None:
    assert np.shares_memory(ArraySource(images).images, np.asarray(images))


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_floats_become_float32(dtype: Any) -> None:
    images = np.linspace(0, 1, 4 * 5 * 6, dtype=dtype).reshape(4, 5, 6)
    source = ArraySource(images)
    assert source.images.dtype == np.float32
    np.testing.assert_array_equal(source.images[..., 0], images.astype(np.float32))


def test_tensors_of_any_float_type_are_taken() -> None:
    tensor = torch.rand(4, 3, 5, 6, dtype=torch.bfloat16, requires_grad=True)
    source = ArraySource(tensor)
    expected = tensor.detach().float().permute(0, 2, 3, 1).numpy()
    np.testing.assert_array_equal(source.images, expected)


@pytest.mark.parametrize(
    ("images", "kind", "message"),
    [
        (ZEROS.astype(np.int64), InputTypeError, r"dtype int64 .*astype\(np\.uint8\)"),
        (ZEROS > 0, InputTypeError, "dtype bool.* and multiply by 255"),
        (ZEROS[0, 0], InputTypeError, r"shape \(6, 3\)"),
        ([ZEROS], InputTypeError, r"type 'list'.*np\.stack"),
        (torch.empty(4, 3, 5, 6, device="meta"), InputTypeError, r"on 'meta'.*images\.cpu\(\)"),
        (np.full((4, 5, 6), 255.0), InputError, r"lie in \[255, 255\].*divide .* by 255"),
        (np.full((4, 5, 6), -0.5), InputError, r"lie in \[-0\.5, -0\.5\]"),
        (np.full((4, 5, 6), np.nan), InputError, "contain NaN"),
        (np.full((4, 5, 6), np.inf, np.float32), InputError, r"lie in \[inf, inf\]"),
        (np.full((4, 5, 6), 255, np.uint16), InputError, r"white is 65535: convert them to uint8"),
        (ZEROS[:0], InputError, r"shape \(0, 5, 6, 3\) are empty"),
        (ZEROS[:, :0], InputError, "are empty"),
        (np.zeros((4, 4, 5, 6), np.uint8), InputError, "pass layout='NHWC' or layout='NCHW'"),
        (torch.zeros(4, 5, 6, 4), InputError, "pass layout='NHWC' or layout='NCHW'"),
        (np.zeros((4, 3, 6, 3), np.uint8), InputError, "pass layout='NHWC' or layout='NCHW'"),
    ],
)
def test_bad_images_are_named_with_a_cure(images: Any, kind: Any, message: str) -> None:
    with pytest.raises(kind, match=message):
        ArraySource(images)


def test_a_layout_that_is_unknown_is_refused() -> None:
    with pytest.raises(InputError, match="layout='CHWN' is unknown"):
        ArraySource(ZEROS, layout="CHWN")  # type: ignore[arg-type]


@pytest.mark.parametrize(("shape", "tensor", "layout", "expected"), [
    ((4, 9, 8, 5), False, None, (9, 8, 5)),
    ((4, 5, 9, 8), True, None, (9, 8, 5)),
    ((4, 7, 7, 7), False, None, (7, 7, 7)),
    ((4, 200, 9, 9), True, None, (9, 9, 200)),
    ((4, 9, 9, 200), False, None, (9, 9, 200)),
    ((4, 5, 9, 8), False, "NCHW", (9, 8, 5)),
    ((4, 9, 8, 5), True, "NHWC", (9, 8, 5)),
    ((4, 5, 6, 3), False, "NCHW", (6, 3, 5)),
])  # fmt: skip
def test_any_number_of_channels_lies_where_the_type_or_the_layout_says(
    shape: tuple[int, ...], tensor: bool, layout: Any, expected: tuple[int, ...]
) -> None:
    array = np.arange(np.prod(shape), dtype=np.int64).astype(np.uint8).reshape(shape)
    source = ArraySource(torch.from_numpy(array) if tensor else array, layout=layout)
    assert (*source.sizes, source.channels) == expected == source.image(0).shape
    first = array[0] if shape[1:] == expected else np.moveaxis(array[0], 0, -1)
    assert np.array_equal(source.image(0), first)


def test_uint16_becomes_floats_of_all_its_levels() -> None:
    levels = np.arange(65536, dtype=np.uint16).reshape(1, 256, 256)
    for images in (levels, torch.from_numpy(levels)):
        source = ArraySource(images)
        assert source.sixteen_bits and source.images.dtype == np.float32
        assert np.array_equal(np.rint(source.images[..., 0] * 65535.0), levels)


@pytest.mark.parametrize(
    "labels",
    [
        [0, 2, 1, 2],
        np.array([0, 2, 1, 2], np.uint8),
        torch.tensor([0, 2, 1, 2]),
        np.array([[0], [2], [1], [2]]),
    ],
)
def test_class_numbers_become_int64(labels: Any) -> None:
    source = ArraySource(ZEROS, labels)
    assert source.labels is not None and source.labels.dtype == np.int64
    np.testing.assert_array_equal(source.labels, [0, 2, 1, 2])
    assert source.num_classes == 3
    assert ArraySource(ZEROS, labels, classes="abcde").num_classes == 5


@pytest.mark.parametrize(
    "labels",
    [
        np.eye(4, 3),
        torch.eye(4, 3, dtype=torch.float16),
        np.eye(3, dtype=bool)[[0, 2, 1, 1]],
        np.eye(3, dtype=np.int8)[[0, 2, 1, 1]].tolist(),
    ],
)
def test_shares_and_flags_of_one_class_become_float32(labels: Any) -> None:
    source = ArraySource(ZEROS, labels)
    assert source.labels is not None and source.labels.dtype == np.float32
    np.testing.assert_array_equal(source.labels, np.asarray(labels))
    assert source.num_classes == 3


@pytest.mark.parametrize("labels", [np.eye(4, 3, dtype=bool), np.eye(4, 3, dtype=int) | 1])
def test_flags_of_any_number_of_classes_become_bool(labels: Any) -> None:
    source = ArraySource(ZEROS, labels)
    assert source.labels is not None and source.labels.dtype == np.bool_
    np.testing.assert_array_equal(source.labels, labels)


def test_numbers_below_zero_are_labels_without_a_class() -> None:
    source = ArraySource(ZEROS, [0, -1, 2, -100])
    assert source.labels is not None and source.labels.tolist() == [0, -1, 2, -100]
    assert source.num_classes == 3
    assert ArraySource(ZEROS, [-1] * 4).num_classes is None
    assert ArraySource(ZEROS, [-1] * 4, classes="ab").num_classes == 2


def test_without_labels_there_are_no_classes() -> None:
    source = ArraySource(ZEROS)
    assert (source.labels, source.num_classes, source.classes, source.name) == (None,) * 4
    assert ArraySource(ZEROS, classes=["a", "b"]).num_classes == 2


@pytest.mark.parametrize(
    ("labels", "classes", "kind", "message"),
    [
        ([0, 1, 2], None, InputError, "labels has 3 entries for 4 images"),
        ([0, 1, 3, 1], "abc", InputError, r"labels\[2\]=3 is a label without class: .* 3 names"),
        (np.array([0, 2**63, 1, 0], np.uint64), None, InputError, r"labels\[1\]=92.* int64"),
        ([0.0, 1.0, 2.0, 1.0], None, InputTypeError, r"dtype float64 .*astype\(np\.int64\)"),
        (["a", "b", "a", "b"], None, InputTypeError, r"np\.unique"),
        ([[1], [1, 2], [0], [0]], None, InputTypeError, "ragged"),
        (np.zeros((4, 2, 2)), None, InputTypeError, r"shape \(4, 2, 2\)"),
        (np.full((4, 3), 1.5), None, InputError, r"lie in \[1\.5, 1\.5\]"),
        (np.full((4, 3), np.nan), None, InputError, r"not in \[0, 1\]"),
        (np.full((4, 3), 7), None, InputError, r"lie in \[7, 7\]"),
        (np.eye(4), "abc", InputError, "have 4 classes, and classes has 3 names"),
        ([0, 1, 0, 1], "aba", InputError, "'a' more than once"),
    ],
)
def test_bad_labels_are_named_with_a_cure(
    labels: Any, classes: Any, kind: Any, message: str
) -> None:
    with pytest.raises(kind, match=message):
        ArraySource(ZEROS, labels, classes)


@pytest.mark.parametrize("i", [-1, 4])
def test_an_image_that_is_not_there_is_named(i: int) -> None:
    with pytest.raises(InputError, match=rf"i={i} is not in \[0, 4\)"):
        ArraySource(ZEROS).image(i)


def test_the_fingerprint_depends_on_everything_and_only_on_that() -> None:
    images, labels = values(4, 5, 6), [0, 1, 0, 1]
    other = images.copy()
    other[3, 4, 5] += 1
    sources = [
        ArraySource(images, labels),
        ArraySource(other, labels),
        ArraySource(images.reshape(4, 6, 5), labels),
        ArraySource(images),
        ArraySource(images, [0, 1, 1, 1]),
        ArraySource(images, labels, classes="ab"),
        ArraySource(images.astype(np.float32) / 255, labels),
    ]
    prints = [source.fingerprint() for source in sources]
    assert len(set(prints)) == len(prints)
    assert {len(text) for text in prints} == {64}
    again = ArraySource(torch.from_numpy(images)[:, None].contiguous(), torch.tensor(labels))
    assert again.fingerprint() == prints[0]


def test_picked_samples_share_the_images_of_the_whole() -> None:
    images, labels = values(6, 5, 4), [0, 1, 2, 0, 1, 2]
    whole = ArraySource(images, labels, classes="abcd", name="mnist")
    part = whole.pick([4, 0, 4])
    assert part.images is whole.images and len(part) == 3
    assert (part.num_classes, part.classes, part.name) == (4, tuple("abcd"), "mnist")
    assert part.labels is not None and part.labels.tolist() == [1, 0, 1]
    np.testing.assert_array_equal(part.rows(np.array([2, 1])), [4, 0])
    np.testing.assert_array_equal(part.image(1)[..., 0], images[0])
    with pytest.raises(InputError, match=r"i=3 is not in \[0, 3\)"):
        part.image(3)
    assert ArraySource(images).pick(range(2)).labels is None


def test_a_whole_has_each_sample_in_its_row() -> None:
    whole, ids = ArraySource(ZEROS), np.array([3, 0])
    assert whole.picks is None and whole.rows(ids) is ids


def test_picks_of_picks_are_picks_of_the_whole() -> None:
    whole = ArraySource(values(6, 5, 4), np.eye(6))
    twice, once = whole.pick([5, 3, 1]).pick(torch.tensor([2, 0])), whole.pick([1, 5])
    np.testing.assert_array_equal(twice.picks, once.picks)
    np.testing.assert_array_equal(twice.labels, once.labels)
    assert twice.fingerprint() == once.fingerprint()


def test_the_fingerprint_of_a_part_depends_on_which_and_on_the_whole() -> None:
    whole, other = ArraySource(values(6, 5, 4)), ArraySource(values(6, 5, 4) + np.uint8(1))
    parts = [whole, whole.pick([0, 1]), whole.pick([1, 0]), whole.pick([0]), other.pick([0, 1])]
    prints = {part.fingerprint() for part in parts}
    assert len(prints) == len(parts) and {len(text) for text in prints} == {64}
    assert pickle.loads(pickle.dumps(parts[1])).fingerprint() == parts[1].fingerprint()


@pytest.mark.parametrize(
    ("indices", "kind", "message"),
    [
        ([0, -1], InputError, r"indices\[1\]=-1 is not in \[0, 4\)"),
        (range(2, 5), InputError, r"indices\[2\]=4 is not in \[0, 4\)"),
        ([], InputError, "indices are empty"),
        ([True, False], InputTypeError, r"dtype bool .*np\.flatnonzero"),
        ([0.0], InputTypeError, "dtype float64"),
        ([[0], [1]], InputTypeError, r"shape \(2, 1\)"),
        ([[0], [1, 2]], InputTypeError, "ragged"),
        (["a"], InputTypeError, "not whole numbers"),
    ],
)
def test_bad_indices_are_named(indices: Any, kind: Any, message: str) -> None:
    with pytest.raises(kind, match=message):
        ArraySource(ZEROS).pick(indices)


@pytest.mark.parametrize(
    "indices",
    [[2, 0], range(2, -1, -2), torch.tensor([2, 0]), np.array([2, 0], np.uint8), (2, 0)],
)
def test_indices_may_be_of_any_kind(indices: Any) -> None:
    assert ArraySource(ZEROS).pick(indices).rows(np.arange(2)).tolist() == [2, 0]


@pytest.mark.parametrize("order", ["<", ">", "="])
def test_sixteen_bits_may_have_either_order_of_bytes(order: str) -> None:
    whole = np.arange(2 * 4 * 4 * 3).astype(np.uint16).reshape(2, 4, 4, 3) * 600
    held = whole.astype(f"{order}u2")
    np.testing.assert_array_equal(ArraySource(held).image(1), ArraySource(whole).image(1))
