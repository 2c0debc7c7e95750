from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from augfeed.plan import BatchRows, Plan, draw_plan
from augfeed.policy import (
    HorizontalFlip,
    Perspective,
    Policy,
    Rotate,
    Scale,
    Shear,
    Translate,
    VerticalFlip,
)

SIZE = (31, 47)
CENTRE = np.array([(47 - 1) / 2, (31 - 1) / 2])
CORNERS = np.array([[0, 0], [46, 0], [46, 30], [0, 30]], np.float64)


def test_flips_mirror_the_pixels() -> None:
    matrix = plan(HorizontalFlip(1.0), VerticalFlip(1.0)).inverse[0]
    assert sources(matrix, CORNERS).tolist() == CORNERS[[2, 3, 0, 1]].tolist()


def test_positive_angle_turns_counter_clockwise() -> None:
    # What stands above the center moves to the left of it; y points down.
    matrix = plan(Rotate((90, 90))).inverse[0]
    moved = about(-5, 0)
    np.testing.assert_allclose(sources(matrix, moved[None])[0], about(0, -5), atol=1e-4)


def test_translation_moves_the_content_by_a_share_of_the_side() -> None:
    drawn = plan(Translate(0.5, 0.25), count=50)
    shift = drawn.decisions["translate"]
    for row in range(50):
        target = about(shift["x"][row] * 47, shift["y"][row] * 31)
        np.testing.assert_allclose(sources(drawn.inverse[row], target[None])[0], CENTRE, atol=1e-4)
    assert np.abs(shift["x"]).max() > 0.4
    assert 0.2 < np.abs(shift["y"]).max() <= 0.25


def test_factor_above_one_enlarges() -> None:
    matrix = plan(Scale((2.0, 2.0))).inverse[0]
    np.testing.assert_allclose(sources(matrix, about(8, 6)[None])[0], about(4, 3), atol=1e-5)


def test_shear_along_x_slants_columns_and_keeps_rows() -> None:
    drawn = plan(Shear(45), count=20)
    for row in range(20):
        slant = np.tan(np.deg2rad(drawn.decisions["shear"]["x_degrees"][row]))
        moved = sources(drawn.inverse[row], about(slant * 10, 10)[None])[0]
        np.testing.assert_allclose(moved, about(0, 10), atol=1e-4)


def test_shear_along_y_follows_that_along_x() -> None:
    drawn = plan(Shear(30, 20), count=20)
    angles = drawn.decisions["shear"]
    for row in range(20):
        slant_x, slant_y = (np.tan(np.deg2rad(angles[name][row])) for name in (
            "x_degrees", "y_degrees"))  # fmt: skip
        x = 7 + slant_x * 5
        moved = sources(drawn.inverse[row], about(x, 5 + slant_y * x)[None])[0]
        np.testing.assert_allclose(moved, about(7, 5), atol=1e-4)


@pytest.mark.parametrize(
    "operation", [Rotate(180), Scale((0.3, 3)), Shear(40, 40)], ids=lambda item: str(item.op)
)
def test_centre_stays_where_it_is(operation: Any) -> None:
    for matrix in plan(operation, count=10).inverse:
        np.testing.assert_allclose(sources(matrix, CENTRE[None])[0], CENTRE, atol=1e-4)


def test_perspective_moves_the_corners_inwards() -> None:
    drawn = plan(Perspective(0.6, p=1.0), count=200)
    shares = drawn.decisions["perspective"]["corners"].reshape(-1, 4, 2)
    inwards = shares * [46 / 2, 30 / 2] * [[1, 1], [-1, 1], [-1, -1], [1, -1]]
    for matrix, moved in zip(drawn.inverse, CORNERS + inwards, strict=True):
        np.testing.assert_allclose(sources(matrix, moved), CORNERS, atol=2e-3)
    assert (shares >= 0).all()
    assert 0.55 < shares.max() < 0.6


@pytest.mark.parametrize("size", [(1, 40), (40, 1), (1, 1)])
def test_line_of_pixels_has_no_perspective(size: tuple[int, int]) -> None:
    drawn = draw_plan(
        Policy([Perspective(p=1.0)]), BatchRows.of([0, 1]), seed=0, epoch=0, size=size
    )
    assert (drawn.inverse == np.eye(3, dtype=np.float32)).all()


@settings(max_examples=30, deadline=None)
@given(order=st.permutations([Rotate(30), Translate(0.3, 0.3), Scale((0.5, 2.0)), Shear(20, 10)]))
def test_operations_are_carried_out_in_the_order_given(order: list[Any]) -> None:
    together = plan(*order, count=8)
    product = np.tile(np.eye(3), (8, 1, 1))
    for operation in order:
        product = product @ plan(operation, count=8).inverse.astype(np.float64)
    np.testing.assert_allclose(together.inverse, product, rtol=1e-4, atol=1e-4)


def test_row_that_nothing_warps_holds_its_flips() -> None:
    drawn = plan(HorizontalFlip(0.5), Rotate(20, p=0.5), count=40)
    mirrored = plan(HorizontalFlip(1.0)).inverse[0]
    for row in range(40):
        if not drawn.warped[row]:
            wanted = mirrored if drawn.flip_x[row] else np.eye(3, dtype=np.float32)
            assert (drawn.inverse[row] == wanted).all()


def plan(*operations: Any, count: int = 1) -> Plan:
    rows = BatchRows.of(np.arange(count))
    return draw_plan(Policy(operations), rows, seed=1, epoch=0, size=SIZE)


def about(x: float, y: float) -> NDArray[np.float64]:
    result: NDArray[np.float64] = CENTRE + np.array([x, y])
    return result


def sources(matrix: NDArray[Any], points: NDArray[Any]) -> NDArray[np.float64]:
    """Return where output points (x, y) come from, float64 `[N, 2]`."""
    made = np.concatenate([points, np.ones((len(points), 1))], axis=1) @ matrix.T.astype(np.float64)
    result: NDArray[np.float64] = made[:, :2] / made[:, 2:]
    return result
