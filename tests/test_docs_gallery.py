"""The page of operations in images shows every operation, as the library makes it today."""

import io
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from augfeed.policy import OPERATIONS
from docs import gallery

SMALL = 40_000  # bytes


def pixels_of(file: Any) -> NDArray[np.float64]:
    with Image.open(file) as image:
        return np.asarray(image.convert("RGB")).astype(np.float64)


def test_every_operation_has_five_images_or_a_reason_to_have_none() -> None:
    assert {*gallery.FIVE} | {*gallery.UNSEEN} == {*OPERATIONS}
    assert not {*gallery.FIVE} & {*gallery.UNSEEN}
    assert {len(lines) for lines in gallery.FIVE.values()} == {5}
    for name, lines in gallery.FIVE.items():
        assert all(name in line for line in lines) or name == "border"


def test_the_page_is_what_the_operations_say() -> None:
    assert gallery.PAGE.read_text() == gallery.page(), "run: python -m docs.gallery"
    files = {path.stem for path in gallery.PICTURES.iterdir()}
    assert files == {*gallery.FIVE}


@pytest.mark.parametrize("name", gallery.FIVE)
def test_an_image_of_the_page_is_what_the_library_makes(name: str) -> None:
    path = gallery.PICTURES / f"{name}.webp"
    assert path.stat().st_size < SMALL
    made = gallery.encoded(gallery.strip(gallery.FIVE[name]))
    stored, again = (pixels_of(file) for file in (path, io.BytesIO(made)))
    # Another version of WebP may lose other details; other draws differ by far more.
    assert np.abs(stored - again).mean() < 6
