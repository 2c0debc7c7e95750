"""Several samples in one image: mosaics, pasted objects, mixing with boxes."""

from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import Dataset

from augfeed import DataLoader
from augfeed.errors import PolicyError
from augfeed.fields import Boxes, Keypoints
from augfeed.notation import parse_policy
from augfeed.pipeline import Pipeline
from augfeed.plan import BatchRows, draw_plan

COUNT = 32


class Scenes(Dataset[Any]):
    """Samples of sizes of their own: each object is a rectangle of one color, alone of its color,
    and its mask, box, label and point say so; `mask` is the red channel."""

    def __init__(self, count: int = COUNT, *, semantic: bool = True) -> None:
        self.count, self.semantic = count, semantic

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, i: int) -> Any:
        rng = np.random.default_rng(i)
        high, wide = (int(side) for side in rng.integers(20, 44, 2))
        image = np.zeros((high, wide, 3), np.uint8)
        image[..., 0] = 1 + i
        boxes, masks = [], []
        for k in range(2 - i % 2):
            h, w = (int(side) for side in rng.integers(5, 10, 2))
            half = wide // 2
            y, x = int(rng.integers(0, high - h)), int(rng.integers(half - w + 1)) + half * k
            image[y : y + h, x : x + w] = (100 + i, 4 * i + 2 * k + 20, 200)
            masks.append(np.zeros((high, wide), bool))
            masks[-1][y : y + h, x : x + w] = True
            boxes.append([x, y, x + w, y + h])
        count = len(boxes)
        made = {"mask": torch.from_numpy(image[..., 0].astype(np.int64))} if self.semantic else {}
        points = torch.tensor([[[box[0] + 1.0, box[1] + 1, 2]] for box in boxes])
        return {
            **made, "image": torch.from_numpy(image).permute(2, 0, 1), "id": i,
            "boxes": torch.tensor(boxes, dtype=torch.float64).reshape(-1, 4),
            "masks": torch.from_numpy(np.array(masks, bool).reshape(-1, high, wide)),
            "labels": torch.tensor([4 * i + 2 * k + 20 for k in range(count)]),
            "keypoints": points.reshape(-1, 1, 3),
        }  # fmt: skip


FIELDS = {"masks": "mask", "boxes": Boxes(min_side=0, from_masks=True),
          "keypoints": Keypoints(flip_pairs=()), "id": "passive"}  # fmt: skip


def loaded(policy: str, batch_size: int = 16, data: Any = None, **options: Any) -> list[Any]:
    options = {"fields": FIELDS, "seed": 3, "dtype": torch.uint8, **options}
    return list(DataLoader(data or Scenes(), batch_size, policy=policy, **options))


def rows(batches: list[Any]) -> list[dict[str, Any]]:
    return [{key: part[k] for key, part in batch.items()}
            for batch in batches for k in range(len(batch["image"]))]  # fmt: skip


MOVES = ["", " | hflip(p=1.0)", " | vflip", " | rotate(30, p=1.0, interpolation=\"nearest\")",
         " | scale((0.6, 1.5), p=1.0, interpolation=\"nearest\") | border(\"reflect\")",
         " | one_of([rotate(20, interpolation=\"nearest\"), "
         "shear(20, interpolation=\"nearest\")])"]  # fmt: skip
SCENES = ["mosaic", "mosaic(zoom=(0.5, 1.5), shift=0.1)", "copy_paste(1.0, 0.7)",
          "mosaic(0.5) | copy_paste(0.7)"]  # fmt: skip


@pytest.mark.parametrize("move", MOVES)
@pytest.mark.parametrize("scene", SCENES)
def test_masks_boxes_and_points_show_what_the_pixels_show(scene: str, move: str) -> None:
    window = 'letterbox(40, fill=0.0) | resize(96, interpolation="nearest") | '
    seen = 0
    for sample in rows(loaded(window + scene + move)):
        image = sample["image"].long()
        fill = round(114 / 255 * 255)
        shown = (sample["mask"] == image[0]) | (sample["mask"] == 255)
        assert shown.all() and set(image[0][sample["mask"] == 255].tolist()) <= {0, fill}
        objects = torch.where(image[2] == 200, image[1], -1)
        assert len(sample["boxes"]) == len(sample["masks"]) == len(sample["labels"])
        assert len(sample["keypoints"]) == len(sample["boxes"])
        covered = torch.zeros_like(image[0], dtype=torch.bool)
        for box, mask, label in zip(*map(sample.get, ("boxes", "masks", "labels")), strict=True):
            assert (objects[mask] == label).all() and mask.any()
            ys, xs = torch.where(mask)
            assert box.tolist() == [xs.min(), ys.min(), xs.max() + 1, ys.max() + 1]
            covered |= mask
            seen += 1
        assert torch.equal(covered, objects >= 0), "every object that is seen has a mask"
    assert seen > 20


@pytest.mark.parametrize("options", [{"num_workers": 2}, {"batch_size": 8}, {"batch_size": 5}],
                         ids=["workers", "8", "5"])  # fmt: skip
def test_scenes_do_not_depend_on_how_batches_are_made(options: dict[str, Any]) -> None:
    policy = "letterbox(32) | mosaic(0.7) | copy_paste(0.7) | hflip | mixup(1.0, p=0.5)"
    data = Scenes(semantic=False)
    one = rows(loaded(policy, 32, data))
    other = rows(loaded(policy, data=data, **options))
    assert len(one) == len(other) == COUNT
    for left, right in zip(one, other, strict=True):
        for key in ("image", "boxes", "masks", "labels", "keypoints"):
            assert torch.equal(left[key], right[key]), key


def test_a_batch_of_whole_groups_reads_every_sample_once() -> None:
    class Counted(Scenes):
        reads = 0

        def __getitem__(self, i: int) -> Any:
            self.reads += 1
            return super().__getitem__(i)

    data = Counted()
    loaded("letterbox(32) | mosaic | copy_paste(1.0)", 32, data)
    assert data.reads == COUNT


@pytest.mark.parametrize("name", ["mosaic(until=2)", "copy_paste(1.0, 1.0, until=2)",
                                  "mixup(1.0, until=2)", "one_of([mixup(until=2)])"])  # fmt: skip
def test_until_ends_with_its_epoch(name: str) -> None:
    plain = DataLoader(Scenes(), 16, policy="letterbox(32)", fields=FIELDS, seed=3)
    loader = DataLoader(Scenes(), 16, policy=f"letterbox(32) | {name}", fields=FIELDS, seed=3)
    for epoch, ended in ((1, False), (2, True), (3, True)):
        plain.set_epoch(epoch)
        loader.set_epoch(epoch)
        same = [torch.equal(one["image"], other["image"])
                for one, other in zip(plain, loader, strict=True)]  # fmt: skip
        assert all(same) == ended


def test_the_cells_of_a_mosaic_are_four_rows_of_its_group_by_keys_alone() -> None:
    ids = np.arange(3, 99)
    groups = BatchRows.at(np.arange(96), ids, mixing=True)
    plan = draw_plan(parse_policy("mosaic"), groups, seed=1, epoch=0, size=(10, 20))
    assert plan.scenes is not None
    cells = plan.scenes.cells
    assert (cells[:, 0] == np.arange(96)).all()
    assert all(len(set(row)) == 4 for row in cells.tolist())
    assert (groups.groups[cells] == groups.groups[:, None]).all()
    assert (np.bincount(cells[:, 1:].ravel(), minlength=96) > 0).mean() > 0.9
    y, x = plan.scenes.point.T
    assert 0 <= y.min() < 3 and 7 < y.max() <= 10 and 0 <= x.min() < 3 and 17 < x.max() <= 20


@pytest.mark.parametrize("count", [1, 2, 3])
def test_a_short_group_gives_its_members_again(count: int) -> None:
    (batch,) = loaded("letterbox(32) | mosaic | copy_paste(1.0)", 4, Scenes(count))
    assert len(batch["image"]) == count


@pytest.mark.parametrize("policy", ["mixup(1.0, p=1.0)", "cutmix(1.0, p=1.0)"])
def test_mixing_keeps_what_is_seen_of_the_boxes_of_both(policy: str) -> None:
    fields, joined = {**FIELDS, "boxes": Boxes(min_side=0)}, 0
    data = Scenes(semantic=False)
    for sample in rows(loaded(f"letterbox(40) | {policy}", data=data, fields=fields)):
        count = len(sample["boxes"])
        assert count == len(sample["masks"]) == len(sample["labels"]) == len(sample["keypoints"])
        joined += len({int(label) // 4 for label in sample["labels"]}) == 2
        for box, mask in zip(sample["boxes"].tolist(), sample["masks"], strict=True):
            ys, xs = torch.where(mask)
            if len(ys):
                hull = [xs.min() - 1, ys.min() - 1, xs.max() + 2, ys.max() + 2]
                assert all(abs(a - b) <= 2.01 for a, b in zip(box, hull, strict=True))
    assert joined > COUNT / 4


def test_boxes_that_are_hidden_too_much_are_dropped() -> None:
    def kept(most: float | None) -> int:
        fields = {**FIELDS, "boxes": Boxes(max_occlusion=most)}
        given = rows(loaded("letterbox(40) | cutout(24)", fields=fields))
        return sum(len(sample["boxes"]) for sample in given)

    whole, half, none = kept(None), kept(0.5), kept(0.0)
    assert whole == sum(len(Scenes()[i]["boxes"]) for i in range(COUNT))
    assert none < half < whole


@pytest.mark.parametrize("policy", ["cutmix(1.0, p=1.0)", "mixup(1.0, p=1.0)", "mosaic"])
def test_masks_are_joined_before_a_collate_function_sees_them(policy: str) -> None:
    class Pairs(Scenes):
        def __getitem__(self, i: int) -> Any:
            sample = super().__getitem__(i)
            return sample["image"], sample["mask"]

    options: dict[str, Any] = {"fields": {1: "mask"}}
    line = f"letterbox(32) | {policy}"
    plain = loaded(line, data=Pairs(), **options)

    def collate(samples: list[Any]) -> Any:
        return torch.utils.data.default_collate(samples)

    for one, other in zip(plain, loaded(line, data=Pairs(), collate_fn=collate, **options),
                          strict=True):  # fmt: skip
        assert torch.equal(one[0], other[0])
        left, right = (
            part if policy == "mixup(1.0, p=1.0)" else (part,) for part in (one[1], other[1])
        )
        assert all(map(torch.equal, left, right))


def test_what_has_no_fields_refuses_scenes() -> None:
    with pytest.raises(PolicyError, match="'mosaic' needs the boxes or masks"):
        Pipeline(np.zeros((8, 8, 8, 3), np.uint8), parse_policy("mosaic"))
    with pytest.raises(PolicyError, match="'mosaic' needs the boxes or masks"):
        DataLoader(np.zeros((8, 8, 8, 3), np.uint8), 4, policy="mosaic")
