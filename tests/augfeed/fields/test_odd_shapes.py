"""Masks of objects, boxes and points say what the pixels show, in odd shapes and combinations."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from augfeed import DataLoader
from augfeed.fields import Boxes, Keypoints, Mask

COUNT, MOST = 12, 3
SIZES = [(1, 30), (30, 1), (3, 90), (90, 3), (13, 40), (17, 17)]
FIELDS = {"classes": Mask(0), "masks": Mask(), "boxes": Boxes(min_side=0, from_masks=True),
          "keypoints": Keypoints(flip_pairs=()), "id": "passive"}  # fmt: skip
EACH = ("boxes", "masks", "labels", "iscrowd", "area", "keypoints")


class Painted(torch.utils.data.Dataset[Any]):
    """Up to three rectangles side by side, none in some images; some are crowds.

    Their pixels are (100 + i, label, 200). Points are two corners, and two outside of the image.
    """

    def __init__(self, sizes: list[tuple[int, int]], seed: int) -> None:
        self.sizes, self.seed = sizes, seed

    def __len__(self) -> int:
        return COUNT

    def __getitem__(self, i: int) -> Any:
        rng = np.random.default_rng([self.seed, i])
        high, wide = self.sizes[i % len(self.sizes)]
        long, short = max(high, wide), min(high, wide)
        image = np.zeros((high, wide, 3), np.uint8)
        image[..., 0] = 1 + i
        cuts = np.linspace(0, long, int(rng.integers(0, MOST + 1)) + 1).astype(int)
        boxes, masks, labels = [], [], []
        for k, (first, last) in enumerate(zip(cuts[:-1].tolist(), cuts[1:].tolist(), strict=True)):
            begin = int(rng.integers(first, last))
            end = int(rng.integers(begin + 1, last + 1))
            top = int(rng.integers(0, short))
            bottom = int(rng.integers(top + 1, short + 1))
            y, x = (slice(begin, end), slice(top, bottom))[:: 1 if high > wide else -1]
            labels.append(4 * i + k + 20)
            image[y, x] = (100 + i, labels[-1], 200)
            masks.append(np.zeros((high, wide), bool))
            masks[-1][y, x] = True
            boxes.append([x.start, y.start, x.stop, y.stop])
        count = len(boxes)
        points = [[[x, y, 2], [u - 1, v - 1, 2], [-7, 3, 2], [wide + 50, high, 1]]
                  for x, y, u, v in boxes]  # fmt: skip
        return {
            "image": torch.from_numpy(image).permute(2, 0, 1), "id": i,
            "classes": torch.from_numpy(image[..., 0].astype(np.int64)),
            "boxes": torch.tensor(boxes, dtype=torch.float64).reshape(-1, 4),
            "masks": torch.from_numpy(np.array(masks, bool).reshape(count, high, wide)),
            "labels": torch.tensor(labels, dtype=torch.int64),
            "iscrowd": torch.from_numpy(rng.integers(0, 2, count)),
            "area": torch.tensor([float(mask.sum()) for mask in masks]),
            "keypoints": torch.tensor(points, dtype=torch.float64).reshape(count, 4, 3),
        }  # fmt: skip


def samples(sizes: Any, seed: int, policy: str, batch: int, epoch: int = 0, **more: Any) -> Any:
    loader = DataLoader(Painted(sizes, seed), batch, policy=policy, seed=seed, fields=FIELDS,
                        dtype=torch.uint8, allow=("min_content", "min_crop"), **more)  # fmt: skip
    loader.set_epoch(epoch)
    return [{key: part[k] for key, part in made.items()}
            for made in loader for k in range(len(made["image"]))]  # fmt: skip


def check(sample: dict[str, Any]) -> None:
    """Every object pixel is of one mask, a box is the hull of its mask, points outside are not
    visible."""
    image, masks = sample["image"].long(), sample["masks"]
    assert len({len(sample[key]) for key in EACH}) == 1 and masks.shape[1:] == image.shape[1:]
    seen = torch.where(image[2] == 200, image[1], -1)
    shown = sample["classes"] != 0
    assert torch.equal(sample["classes"][shown], image[0][shown])
    found = torch.full_like(seen, -1)
    for mask, box, label in zip(masks, sample["boxes"], sample["labels"], strict=True):
        assert (found[mask] == -1).all(), "a pixel is of one object"
        found[mask] = label
        ys, xs = torch.where(mask)
        assert box.tolist() == [xs.min(), ys.min(), xs.max() + 1, ys.max() + 1]
    assert torch.equal(found, seen)
    points = sample["keypoints"]
    assert not points[:, 2:, 2].any(), "points outside of the image came in"
    x, y = points[..., 0], points[..., 1]
    low, right, bottom = -0.5, image.shape[2] - 0.5, image.shape[1] - 0.5
    inside = (x >= low) & (y >= low) & (x <= right) & (y <= bottom)
    assert inside[points[..., 2] > 0].all()


# Windows by the nearest pixel, so that image and masks are equal at each; what moves is whole.
WINDOW = 'letterbox({}, fill=0.0) | resize(96, interpolation="nearest")'
PARTS = ["mosaic(0.6)", "mosaic(zoom=(0.5, 1.5), shift=0.1)", "copy_paste(1.0, 0.7)", "hflip",
         "vflip(p=0.5)", "cutmix(1.0, p=0.7)", "one_of([vflip(p=0.5), hflip(p=1.0)])"]  # fmt: skip


def one_each(parts: list[str]) -> str:
    return " | ".join({part.split("(")[0]: part for part in parts}.values())


@given(st.integers(0, 999), st.lists(st.sampled_from(SIZES), min_size=1, max_size=3),
       st.sampled_from(["24", "(9, 36)", "(40, 10)"]),
       st.lists(st.sampled_from(PARTS), max_size=4), st.integers(1, 3))  # fmt: skip
@settings(max_examples=25, deadline=None, derandomize=True)
def test_in_any_shape_fields_show_what_the_pixels_show(
    seed: int, sizes: Any, size: str, parts: list[str], repeats: int
) -> None:
    policy = " | ".join(filter(None, [WINDOW.format(size), one_each(parts)]))
    whole = samples(sizes, seed, policy, 8 * repeats, repeats=repeats)
    for sample in whole:
        check(sample)
    if repeats == 1:
        for one, other in zip(whole, samples(sizes, seed, policy, 4), strict=True):
            assert all(torch.equal(one[key], other[key]) for key in ("image", *EACH))


@pytest.mark.parametrize("epoch", [0, 1, 2])
def test_a_schedule_of_sizes_takes_fields_along(epoch: int) -> None:
    line = f"{WINDOW.format(24)} | mosaic(0.5) | copy_paste | hflip | " + (
        "schedule(size=[(1, 33), (2, (50, 17))], mixing_until=2)"
    )
    for sample in samples(SIZES, 5, line, 8, epoch):
        assert sample["image"].shape[1:] == ((24, 24), (33, 33), (50, 17))[epoch]
        check(sample)
