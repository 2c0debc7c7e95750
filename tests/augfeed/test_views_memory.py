"""Images of views of several policies are made where they come out, not joined afterwards."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from augfeed import DataLoader
from augfeed.batch import Batch
from augfeed.errors import InputError
from augfeed.read import view_frames

CROP = "random_resized_crop(16, scale=[0.3, 1.0])"
VIEWS = {"global": (f"{CROP} | hflip", f"{CROP} | solarize(0.5) | gaussian_noise(0.1)")}
DATA = np.random.default_rng(0).integers(0, 256, (10, 24, 20, 3), dtype=np.uint8)
JOIN = torch.cat


def refuse_images(given: Any, *rest: Any, **options: Any) -> torch.Tensor:
    assert not any(part.ndim == 4 for part in given), "images are copied"
    return JOIN(given, *rest, **options)


def batches(**options: Any) -> list[Batch]:
    return list(DataLoader(DATA, 4, views=VIEWS, seed=3, **options).batches())


@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("threads", [0, 2])
def test_on_a_cpu_no_images_are_copied_to_join_views(
    threads: int, dtype: Any, channels_last: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    portable = batches(engine="portable", dtype=dtype, channels_last=channels_last)
    monkeypatch.setattr(torch, "cat", refuse_images)
    made = batches(num_workers=threads, dtype=dtype, channels_last=channels_last)
    for own, other in zip(made, portable, strict=True):
        images = own.views["global"].images
        assert images.shape == other.views["global"].images.shape
        assert images.stride() == other.views["global"].images.stride()
        assert torch.allclose(images.float(), other.views["global"].images.float(), atol=0.02)


def test_a_batch_that_is_kept_stays_as_it_is() -> None:
    kept, copies = [], []
    for batch in DataLoader(DATA, 4, views=VIEWS, seed=3, num_workers=2).batches():
        kept.append(batch.views["global"].images)
        copies.append(kept[-1].clone())
        del batch
    assert all(map(torch.equal, kept, copies))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "a").mkdir()
    for k in range(6):
        image = np.random.default_rng(k).integers(0, 256, (30 + 5 * k, 60 - 5 * k, 3), np.uint8)
        Image.fromarray(image).save(tmp_path / "a" / f"{k}.jpg")
    return tmp_path


def test_views_do_not_depend_on_how_many_files_are_held_at_once(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = list(DataLoader(folder, 6, views=VIEWS, seed=3).batches())
    monkeypatch.setattr(view_frames, "MOST_BYTES", 1)
    others = list(DataLoader(folder, 6, views=VIEWS, seed=3).batches())
    for one, other in zip(made, others, strict=True):
        assert torch.equal(one.views["global"].images, other.views["global"].images)
        assert torch.equal(one.views["global"].windows, other.views["global"].windows)


def test_an_image_that_a_view_does_not_fit_is_named_and_the_others_are_made(folder: Path) -> None:
    # Images of 30 x 60, 35 x 55, ..., 55 x 35.
    views = {"whole": ("random_crop(32)", "random_crop(32) | hflip")}
    with pytest.raises(InputError, match=r"0\.jpg"):
        list(DataLoader(folder, 6, views=views, seed=3))
    (left,) = DataLoader(folder, 6, views=views, seed=3, on_error="skip").batches()
    assert left.ids.tolist() == [1, 2, 3, 4, 5]
    assert left.views["whole"].images.shape == (10, 3, 32, 32)
