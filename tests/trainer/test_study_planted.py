"""Real studies of small datasets whose truth is known: what varies, and what the class is."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from augfeed_trainer.recipe import Recipe
from augfeed_trainer.study import Found, Study, StudyData, study
from augfeed_trainer.study.techniques import Strength, Technique

SIDE = 16
# The same strokes, mirrored or not: no turn and no shift makes one of the other.
SHAPES = (((0, 0), (1, 0), (2, 0), (3, 0), (3, 1), (3, 2)),
          ((0, 0), (1, 0), (1, 1), (2, 1), (2, 2), (2, 3)))  # fmt: skip
SHIFT = Technique("shift", tuple(
    Strength(f"{n}", {}, f"random_crop({SIDE}, padding={n})") for n in (1, 3)))  # fmt: skip
ROTATION = Technique("rotation", tuple(
    Strength(f"{n}", {}, f"rotate({n})") for n in (20, 90, 180)))  # fmt: skip
JITTER = Technique("color jitter", (Strength("0.5", {}, "color_jitter(0.5, 0.5, 0.9, 0.5)"),))
FLIP = Technique("flip", (Strength("", {}, "horizontal_flip"),))


def drawn(
    shape: int, mirrored: bool, place: tuple[float, float], angle: float
) -> NDArray[np.float64]:
    """Return the mask of a shape, `[SIDE, SIDE]` in [0, 1], about a place, turned by an angle."""
    points = np.array(SHAPES[shape], float)
    points = (points - points.mean(axis=0)) * 2.0
    if mirrored:
        points[:, 1] *= -1
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    centers = points @ turn.T + np.array(place)
    rows, columns = np.indices((SIDE, SIDE), np.float64)
    grid = np.stack([rows, columns], axis=-1)[None]
    far = np.linalg.norm(grid - centers[:, None, None], axis=-1)
    mask: NDArray[np.float64] = np.clip(2.0 - far, 0, 1).max(axis=0)
    return mask


def dataset(path: Path, count: int, *, position: bool) -> Path:
    """Write an .npz: the class is the shape and its hand, or the quarter that it stands in."""
    rng = np.random.Generator(np.random.Philox(5))
    images, labels = [], []
    for k in range(count):
        label = k % 4
        shape, mirrored = int(rng.integers(2)), bool(rng.integers(2))
        place = tuple(rng.uniform(5, SIDE - 6, 2))
        if position:
            place = (4 + 7 * (label // 2) + rng.normal(), 4 + 7 * (label % 2) + rng.normal())
        else:
            shape, mirrored = label // 2, bool(label % 2)
        mask = drawn(shape, mirrored, place, rng.uniform(0, 2 * np.pi))[..., None]
        ground, color = rng.uniform(0, 0.4, 3), rng.uniform(0.5, 1.0, 3)
        image = ground + mask * (color - ground) + rng.normal(0, 0.02, (SIDE, SIDE, 3))
        images.append(np.clip(image * 255, 0, 255).astype(np.uint8))
        labels.append(label)
    np.savez(path, x_train=np.stack(images), y_train=np.array(labels))
    return path


def carried_out(path: Path, model: str, given: tuple[Technique, ...], folder: Path) -> Found:
    base = Recipe(model=model, norm="batch", epochs=10, batch_size=64, lr=4e-3)
    where = StudyData(str(path), validation=0.2)
    return study(Study(where, base, seeds=4, minutes=30, given=given), folder)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_of_a_class_that_is_a_shape_its_place_angle_and_color_help(tmp_path: Path) -> None:
    path = dataset(tmp_path / "shapes.npz", 800, position=False)
    found = carried_out(path, "cnn", (SHIFT, ROTATION, JITTER, FLIP), tmp_path / "study")
    assert found.regime.end == "fits"
    alone = {item.name: item.gain for item in found.tried if item.round == 0}
    assert all(alone[name].helps for name in ("rotation", "shift", "color jitter"))
    assert alone["flip"].harms  # it makes one class of the other
    # It knows all shapes then, as turns about the center move them too: nothing adds to it.
    assert found.kept == ["rotation"]
    assert found.test and found.test.gain and found.test.gain.low > 0.05


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_of_a_class_that_is_a_place_shift_is_rejected(tmp_path: Path) -> None:
    path = dataset(tmp_path / "places.npz", 400, position=True)
    far = Technique("shift", tuple(Strength(f"{n}", {}, f"translate({n})") for n in (0.2, 0.4)))
    found = carried_out(path, "mlp", (far, JITTER, FLIP), tmp_path / "study")
    alone = {item.name: item.gain for item in found.tried if item.round == 0}
    assert not alone["shift"].helps and "shift" not in found.kept
    assert alone["flip"].harms  # it makes one class of the other half of the time
