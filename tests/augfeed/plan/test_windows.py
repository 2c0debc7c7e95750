from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from augfeed.constants import BICUBIC, BILINEAR, FILTERS
from augfeed.errors import InputError
from augfeed.plan import BatchRows, Windows, draw_plan
from augfeed.policy import CenterCrop, Policy, RandomCrop, RandomResizedCrop, Resize

Sides = st.integers(1, 3000)


@settings(max_examples=60, deadline=None)
@given(
    height=Sides, width=Sides, scale=st.sampled_from([(0.08, 1.0), (1e-6, 1e-6), (1.0, 1.0)]),
    ratio=st.sampled_from([(3 / 4, 4 / 3), (1.0, 1.0), (0.01, 100.0)]),
)  # fmt: skip
def test_window_lies_inside_the_source(
    height: int, width: int, scale: tuple[float, float], ratio: tuple[float, float]
) -> None:
    cut = windows([RandomResizedCrop((5, 7), scale, ratio)], 16, height, width)
    top, left, h, w = cut.box.T
    assert (top >= 0).all()
    assert (left >= 0).all()
    assert (h >= 1).all()
    assert (w >= 1).all()
    assert (top + h <= height).all()
    assert (left + w <= width).all()
    assert (cut.resized == [5, 7]).all()
    assert (cut.offset == 0).all()


def test_window_follows_its_laws() -> None:
    crop = RandomResizedCrop(8, scale=(0.1, 0.5), ratio=(0.8, 1.5))
    top, left, height, width = windows([crop], 8000, 4000, 4000).box.T.astype(np.float64)
    share = height * width / 4000**2
    assert stats.kstest(share, stats.uniform(0.1, 0.4).cdf).pvalue > 1e-3
    assert stats.kstest(width / height, stats.loguniform(0.8, 1.5).cdf).pvalue > 1e-3
    for place, room in ((top, 4000 - height), (left, 4000 - width)):
        assert stats.kstest(place / room, "uniform").pvalue > 1e-3


def test_window_that_does_not_fit_is_drawn_again() -> None:
    # Areas above 3/4 of a square fit only with an aspect near 1: ten tries find one.
    box = windows([RandomResizedCrop(8, scale=(0.9, 1.0))], 4000, 1000, 1000).box
    whole = (box == [0, 0, 1000, 1000]).all(axis=1)
    grid = (np.arange(400) + 0.5) / 400
    area = (0.9 + 0.1 * grid[:, None]) * 1000**2
    ratio = np.exp(np.log(4 / 3) * (2 * grid[None] - 1))
    fits = ((np.sqrt(area * ratio) < 1000.5) & (np.sqrt(area / ratio) < 1000.5)).mean()
    assert whole.mean() == pytest.approx((1 - fits) ** 10, abs=0.03)


def torchvision_fallback(height: int, width: int, ratio: tuple[float, float]) -> tuple[int, ...]:
    # The end of RandomResizedCrop.get_params.
    in_ratio = float(width) / float(height)
    if in_ratio < min(ratio):
        w = width
        h = round(w / min(ratio))
    elif in_ratio > max(ratio):
        h = height
        w = round(h * max(ratio))
    else:
        w, h = width, height
    return (height - h) // 2, (width - w) // 2, h, w


@pytest.mark.parametrize(
    ("height", "width"),
    [
        (1, 5000),
        (5000, 1),
        (2, 3000),
        (7, 900),
        (1000, 13),
        (300, 1000),
        (45, 30),
        (30, 45),
        (1, 1),
    ],
)
def test_extreme_image_gets_the_central_window_of_torchvision(height: int, width: int) -> None:
    ratio = (3 / 4, 4 / 3)
    expected = torchvision_fallback(height, width, ratio)
    # An area that no allowed aspect can have.
    box = windows([RandomResizedCrop(4, scale=(1.0, 1.0), ratio=ratio)], 3, height, width).box
    assert box.tolist() == [list(expected)] * 3


def test_fallback_leaves_the_image_whole_if_its_aspect_is_allowed() -> None:
    crop = RandomResizedCrop(4, scale=(1.0, 1.0), ratio=(0.5, 2.0))
    boxes = windows([crop], 200, 300, 310).box
    whole = (boxes == [0, 0, 300, 310]).all(axis=1)
    assert whole.sum() > 150


def test_images_of_different_sizes_have_windows_of_their_own() -> None:
    heights, widths = np.array([10, 500, 80]), np.array([900, 20, 80])
    policy = Policy([RandomResizedCrop(8)])
    plan = draw_plan(policy, BatchRows.of([0, 1, 2]), seed=4, epoch=0, size=(8, 8))
    together = plan.window.at(heights, widths)
    for row in range(3):
        alone = plan.window.take([row]).at(heights[row], widths[row])
        assert alone.box[0].tolist() == together.box[row].tolist()


def test_sample_without_the_operation_is_taken_whole() -> None:
    cut = windows([RandomResizedCrop(8, scale=(0.1, 0.2), p=0.3)], 20_000, 100, 120)
    whole = (cut.box == [0, 0, 100, 120]).all(axis=1)
    assert stats.binomtest(int(whole.sum()), 20_000, 0.7).pvalue > 1e-4


def torchvision_resize_and_center_crop(
    height: int, width: int, resize: int, crop: int
) -> tuple[tuple[int, int], tuple[int, int]]:
    # _compute_resized_output_size and center_crop of torchvision.transforms.functional.
    short, long = (width, height) if width <= height else (height, width)
    new_short, new_long = resize, int(resize * long / short)
    w, h = (new_short, new_long) if width <= height else (new_long, new_short)
    return (h, w), (round((h - crop) / 2.0), round((w - crop) / 2.0))


@settings(max_examples=200, deadline=None)
@given(height=Sides, width=Sides, resize=st.integers(9, 300), crop=st.integers(1, 9))
def test_resize_and_center_crop_have_the_numbers_of_torchvision(
    height: int, width: int, resize: int, crop: int
) -> None:
    cut = windows([Resize(resize), CenterCrop(crop)], 1, height, width)
    size, offset = torchvision_resize_and_center_crop(height, width, resize, crop)
    assert tuple(cut.resized[0]) == size
    assert tuple(cut.offset[0]) == offset
    assert cut.box[0].tolist() == [0, 0, height, width]


def test_resize_to_a_pair_is_exact() -> None:
    assert windows([Resize((3, 99))], 2, 50, 40).resized.tolist() == [[3, 99]] * 2


def test_policy_without_a_window_takes_all() -> None:
    cut = windows([], 2, 50, 40)
    assert cut.box.tolist() == [[0, 0, 50, 40]] * 2
    assert cut.whole_pixels
    assert (cut.offset == 0).all()


def test_random_crop_is_uniform_over_the_padded_image() -> None:
    cut = windows([RandomCrop((5, 4), padding=2)], 30_000, 6, 7)
    assert cut.whole_pixels
    top, left = cut.offset.T + 2
    counts = np.bincount(top * 8 + left, minlength=48)  # 10 - 5 + 1 and 11 - 4 + 1 places
    assert len(counts) == 48
    assert stats.chisquare(counts).pvalue > 1e-4


def test_random_crop_that_is_not_applied_cuts_the_middle() -> None:
    offset = windows([RandomCrop(4, padding=3, p=0.0)], 5, 10, 9).offset
    assert offset.tolist() == [[3, 2]] * 5


@pytest.mark.parametrize(
    ("operations", "message"),
    [
        ([CenterCrop(11)], r"center_crop\(size=\(11, 11\)\) is larger than an image of 10 x 30"),
        ([RandomCrop((5, 31))], r"random_crop\(size=\(5, 31\)\) is larger than an image of 10 x"),
        ([RandomCrop(15, padding=2)], r"10 x 30 pixels with padding=2 on each side: use a smaller"),
        ([Resize(7), CenterCrop(8)], r"7 x 21 pixels after resizing 10 x 30: use a smaller size"),
    ],
)
def test_crop_that_is_too_large_is_refused(operations: list[Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        windows(operations, 3, 10, 30)


def test_crop_of_the_whole_image_is_allowed() -> None:
    assert windows([CenterCrop((10, 30))], 1, 10, 30).offset.tolist() == [[0, 0]]
    assert windows([RandomCrop(14, padding=2)], 9, 10, 10).offset.tolist() == [[-2, -2]] * 9


def test_one_image_of_a_batch_that_is_too_small_is_named() -> None:
    policy = Policy([CenterCrop(11)])
    plan = draw_plan(policy, BatchRows.of([0, 1]), seed=0, epoch=0, size=(11, 11))
    with pytest.raises(InputError, match="image of 5 x 99 pixels"):
        plan.window.at([50, 5], [60, 99])


def test_side_of_half_a_pixel_is_rounded_to_even() -> None:
    crop = RandomResizedCrop(8, scale=(0.25, 0.25), ratio=(1.0, 1.0))
    box = windows([crop], 4000, 9, 9).box
    assert (box[:, 2:] == 4).all()
    for axis in (0, 1):
        assert stats.chisquare(np.bincount(box[:, axis], minlength=6)).pvalue > 1e-4


def windows(operations: list[Any], count: int, height: int, width: int) -> Windows:
    rows, size = BatchRows.of(np.arange(count)), (1, 1)
    plan = draw_plan(Policy(operations), rows, seed=8, epoch=1, size=size)
    return plan.window.at(height, width)


@pytest.mark.parametrize("operations", [
    lambda kind: [RandomResizedCrop(8, interpolation=kind)],
    lambda kind: [Resize(12, interpolation=kind), RandomCrop(8)],
    lambda kind: [Resize(12, interpolation=kind), CenterCrop(8)],
    lambda kind: [Resize((9, 7), interpolation=kind)],
])  # fmt: skip
def test_windows_have_the_filter_that_is_asked_for(operations: Any) -> None:
    for kind, number in FILTERS.items():
        made = windows(operations(kind), 16, 40, 50)
        assert (made.filters == number).all()
        assert made.filters.dtype == np.int32
    plain, drawn = (windows(operations(kind), 4000, 40, 50) for kind in ("bilinear", "random"))
    assert {*drawn.filters.tolist()} == {BILINEAR, BICUBIC}
    assert stats.binomtest(int((drawn.filters == BICUBIC).sum()), 4000).pvalue > 1e-3
    for one, other in zip(plain.parts[:3], drawn.parts[:3], strict=True):
        np.testing.assert_array_equal(one, other)  # and nothing else is drawn otherwise


def test_the_filter_of_a_sample_is_its_own_in_every_epoch_and_batch() -> None:
    policy = Policy([RandomResizedCrop(8, interpolation="random")])

    def drawn(ids: Any, epoch: int) -> Any:
        rows = BatchRows.of(np.asarray(ids))
        plan = draw_plan(policy, rows, seed=5, epoch=epoch, size=(8, 8))
        return plan.window.at(40, 50).filters

    whole = drawn(np.arange(64), 3)
    np.testing.assert_array_equal(drawn(np.arange(10, 20), 3), whole[10:20])
    assert (drawn(np.arange(64), 4) != whole).any()
