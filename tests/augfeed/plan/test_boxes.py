import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from augfeed.errors import InputError
from augfeed.plan import BatchRows, Plan, draw_plan
from augfeed.policy import Cutout, Policy, RandomErasing

Boxes = NDArray[np.int64]


@pytest.mark.parametrize(("size", "side"), [(5, 5), (4, 4), ((3, 6), (3, 6)), (99, 99)])
def test_cutout_hides_what_a_loop_over_the_pixels_hides(
    size: int | tuple[int, int], side: int | tuple[int, int]
) -> None:
    height, width = 13, 17
    cut = (side, side) if isinstance(side, int) else side
    squares = {
        square(y, x, cut, (height, width)).tobytes() for y in range(height) for x in range(width)
    }
    for top, left, bottom, right in holes(Cutout(size), (height, width), 200):
        hidden = np.zeros((height, width), bool)
        hidden[top:bottom, left:right] = True
        assert hidden.tobytes() in squares, "of a center in the image about which the box lies"


def test_cutout_centre_is_uniform_over_all_pixels() -> None:
    boxes = holes(Cutout(3), (7, 9), 60_000)
    top, left, bottom, right = boxes.T
    y = np.where(top > 0, top + 1, bottom - 2)
    x = np.where(left > 0, left + 1, right - 2)
    counts = np.bincount(y * 9 + x, minlength=63)
    assert stats.chisquare(counts).pvalue > 1e-4


def test_cutout_hides_the_share_of_the_papers_law() -> None:
    boxes = holes(Cutout(16), (32, 32), 20_000)
    share = area(boxes).mean() / 32**2
    sides = [min(c + 8, 32) - max(c - 8, 0) for c in range(32)]
    assert share == pytest.approx((np.mean(sides) / 32) ** 2, rel=0.01)
    assert share == pytest.approx(0.191, abs=0.003)


def test_cutout_inside_is_whole_and_uniform() -> None:
    boxes = holes(Cutout((3, 4), inside=True), (8, 8), 30_000)
    assert (boxes[:, 2] - boxes[:, 0] == 3).all()
    assert (boxes[:, 3] - boxes[:, 1] == 4).all()
    places = np.bincount(boxes[:, 0] * 5 + boxes[:, 1], minlength=30)
    assert stats.chisquare(places).pvalue > 1e-4


def test_cutout_inside_that_does_not_fit_is_refused() -> None:
    with pytest.raises(InputError, match=r"cutout\(size=9, inside=True\) .* 8 x 20 pixels: use a"):
        holes(Cutout(9, inside=True), (8, 20), 1)
    assert holes(Cutout((8, 20), inside=True), (8, 20), 1).tolist() == [[0, 0, 8, 20]]


def test_cutout_has_the_share_p() -> None:
    applied = (area(holes(Cutout(2, p=0.3), (9, 9), 20_000)) > 0).sum()
    assert stats.binomtest(int(applied), 20_000, 0.3).pvalue > 1e-4


def test_erased_area_and_aspect_follow_their_laws() -> None:
    erasing = RandomErasing(p=1.0, scale=(0.02, 0.2), ratio=(0.4, 2.5))
    top, left, bottom, right = holes(erasing, (3000, 5000), 5000).T
    height, width = bottom - top, right - left
    share = height * width / (3000 * 5000)
    assert stats.kstest(share, stats.uniform(0.02, 0.18).cdf).pvalue > 1e-3
    law = stats.loguniform(0.4, 2.5)
    assert stats.kstest(height / width, law.cdf).pvalue > 1e-3
    for place, room in ((top, 3000 - height), (left, 5000 - width)):
        assert stats.kstest(place / room, "uniform").pvalue > 1e-3


def test_erased_aspect_is_uniform_if_asked() -> None:
    erasing = RandomErasing(p=1.0, scale=(0.02, 0.1), aspect_law="uniform")
    top, left, bottom, right = holes(erasing, (4000, 4000), 5000).T
    aspect = (bottom - top) / (right - left)
    assert stats.kstest(aspect, stats.uniform(0.3, 1 / 0.3 - 0.3).cdf).pvalue > 1e-3
    assert (aspect > 1).mean() == pytest.approx(0.77, abs=0.02)


def test_erased_box_lies_inside_and_leaves_a_border() -> None:
    top, left, bottom, right = holes(RandomErasing(p=1.0, scale=(0.3, 0.9)), (20, 33), 2000).T
    assert (top >= 0).all()
    assert (left >= 0).all()
    assert (bottom <= 20).all()
    assert (right <= 33).all()
    assert (bottom - top < 20).all()
    assert (right - left < 33).all()


def test_erasing_gives_up_after_ten_tries() -> None:
    erasing = RandomErasing(p=1.0, scale=(0.8, 1.0), ratio=(0.5, 2.0))
    erased = area(holes(erasing, (100, 100), 4000)) > 0
    one = area(holes(RandomErasing(p=1.0, scale=(1e-6, 1e-6)), (4, 4), 50))
    assert (one == 0).all(), "a box without a pixel does not fit"
    # The law of one try, by counting: (1 - fits) ** 10 of the samples are left whole.
    grid = (np.arange(400) + 0.5) / 400
    share, ratio = 0.8 + 0.2 * grid[:, None], np.exp(np.log(2) * (2 * grid[None] - 1))
    height, width = (np.round(np.sqrt(10_000 * share * r)) for r in (ratio, 1 / ratio))
    fits = ((height < 100) & (width < 100)).mean()
    assert erased.mean() == pytest.approx(1 - (1 - fits) ** 10, abs=0.025)


def test_erasing_has_the_share_p() -> None:
    erased = area(holes(RandomErasing(p=0.4, scale=(0.05, 0.1)), (64, 64), 20_000)) > 0
    assert stats.binomtest(int(erased.sum()), 20_000, 0.4).pvalue > 1e-4


def test_boxes_of_an_image_of_one_pixel_stay_inside() -> None:
    assert holes(Cutout(16), (1, 1), 5).tolist() == [[0, 0, 1, 1]] * 5
    assert (holes(RandomErasing(p=1.0), (1, 1), 5) == 0).all()


def holes(operation: Cutout | RandomErasing, size: tuple[int, int], count: int) -> Boxes:
    rows = BatchRows.of(np.arange(count))
    plan: Plan = draw_plan(Policy([operation]), rows, seed=2, epoch=0, size=size)
    boxes = plan.cutout if isinstance(operation, Cutout) else plan.erased
    return boxes.astype(np.int64)


def square(y: int, x: int, cut: tuple[int, int], size: tuple[int, int]) -> NDArray[np.bool_]:
    # The paper's: from the center half the side up, and the whole side down from there.
    rows, columns = np.arange(size[0])[:, None], np.arange(size[1])[None]
    top, left = y - cut[0] // 2, x - cut[1] // 2
    inside = (rows >= top) & (rows < top + cut[0]) & (columns >= left) & (columns < left + cut[1])
    return np.asarray(inside, np.bool_)


def area(boxes: Boxes) -> Boxes:
    result: Boxes = (boxes[:, 2:] - boxes[:, :2]).prod(axis=1)
    return result
