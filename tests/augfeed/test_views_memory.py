"""Images of views of several policies are made where they come out, not joined afterwards."""

from typing import Any

import numpy as np
import pytest
import torch

from augfeed import DataLoader
from augfeed.batch import Batch

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
