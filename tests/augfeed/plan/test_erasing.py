"""Random erasing of several boxes: its law, and that one box is what it was."""

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from augfeed.errors import PolicyError
from augfeed.notation import parse_policy
from augfeed.plan import BatchRows, Plan, draw_plan
from augfeed.policy import Policy, RandomErasing
from tests.cases import ENGINES, Shape, make_images, plan_of, run

SIZE = (90, 100)


def plan(count: Any, p: float = 1.0, samples: int = 4000, **options: Any) -> Plan:
    policy = Policy([RandomErasing(p, count=count, **options)])
    return draw_plan(policy, BatchRows.of(np.arange(samples)), seed=3, epoch=1, size=SIZE)


def areas(boxes: NDArray[np.int32]) -> NDArray[np.int64]:
    sides = boxes[..., 2:].astype(np.int64) - boxes[..., :2]
    return sides[..., 0] * sides[..., 1]


def test_the_first_of_several_boxes_is_where_the_only_one_was_but_smaller() -> None:
    one, several = plan(1), plan(3)
    centers = [(made.erased[:, :2] + made.erased[:, 2:]) / 2 for made in (one, several)]
    ratio = areas(one.erased) / areas(several.erased)
    assert abs(np.median(ratio) - 3) < 0.1
    for axis in (0, 1):
        assert np.corrcoef(centers[0][:, axis], centers[1][:, axis])[0, 1] > 0.9


@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_a_sample_gets_as_many_boxes_as_asked_for(count: int) -> None:
    boxes = plan(count, scale=(0.02, 0.2)).all_erased
    found = (areas(boxes) > 0).sum(axis=1)
    assert boxes.shape == (4000, 4, 4)
    assert (found == count).mean() > 0.99 and found.max() == count


def test_areas_are_a_share_of_the_scale_divided_by_the_number() -> None:
    boxes = plan(4, scale=(0.1, 0.4)).all_erased
    share = areas(boxes) / (SIZE[0] * SIZE[1])
    assert share.min() > 0.1 / 4 - 0.004 and share.max() < 0.4 / 4 + 0.004
    assert abs(share.mean() - 0.25 / 4) < 0.002


def test_the_number_is_uniform_and_boxes_are_independent() -> None:
    boxes = plan((1, 4), scale=(0.02, 0.1), samples=8000).all_erased
    found = np.bincount((areas(boxes) > 0).sum(axis=1), minlength=5)
    assert found[0] < 10 and (np.abs(found[1:] / 8000 - 0.25) < 0.03).all()
    four = boxes[(areas(boxes) > 0).sum(axis=1) == 4]
    for k in range(1, 4):
        assert abs(np.corrcoef(four[:, 0, 0], four[:, k, 0])[0, 1]) < 0.1
        assert four[:, k].min() >= 0 and (four[:, k, 2:] <= SIZE).all()


def test_p_holds_for_all_boxes_together() -> None:
    boxes = plan(3, p=0.3, scale=(0.02, 0.1)).all_erased
    found = (areas(boxes) > 0).sum(axis=1)
    assert abs((found > 0).mean() - 0.3) < 0.03 and not ((found > 0) & (found < 3)).mean() > 0.01


def test_far_corners_of_large_images_fit_the_columns() -> None:
    policy = Policy([RandomErasing(1.0, count=4, scale=(1e-6, 1e-6))])
    size = (65535, 65535)
    made = draw_plan(policy, BatchRows.of(np.arange(500)), seed=3, epoch=1, size=size).all_erased
    assert made.max() > 60000 and made.min() >= 0
    assert (made[..., 2:] >= made[..., :2]).all()


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("fill", [0.25, "noise"])
def test_engines_hide_all_boxes_and_nothing_else(engine: str, fill: Any) -> None:
    shape = Shape(3, 24, 20, 6)
    item = RandomErasing(1.0, count=(1, 4), fill=fill)
    drawn, images = plan_of(Policy([item]), shape), make_images(shape).float() / 255
    made = run(engine, drawn, images)
    plain = run(engine, plan_of(Policy([]), shape), images)
    for row, boxes in enumerate(drawn.all_erased):
        hidden = torch.zeros((24, 20), dtype=torch.bool)
        for top, left, bottom, right in boxes:
            hidden[top:bottom, left:right] = True
        assert torch.equal(made[row][:, ~hidden], plain[row][:, ~hidden])
        if fill == 0.25:
            assert (made[row][:, hidden] == 0.25).all()
        else:
            assert (made[row][:, hidden] != plain[row][:, hidden]).float().mean() > 0.98


@pytest.mark.parametrize("count", ["0", "5", "(3, 2)", "(1, 5)"])
def test_a_number_out_of_bounds_is_refused_with_the_bound(count: str) -> None:
    with pytest.raises(PolicyError, match=r"count.*(1|4)"):
        parse_policy(f"random_erasing(count={count})")
