"""Fields in the loader: recognized or declared, collated, mixed, refused."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import Dataset, IterableDataset

from augfeed import DataLoader
from augfeed.errors import InputError, InputTypeError
from augfeed.fields import Boxes, Keypoints, Mask, MixedMask

HIGH, WIDE, COUNT = 24, 32, 16


class Samples(Dataset[Any]):
    def __init__(self, make: Any, count: int = COUNT) -> None:
        self.make, self.count = make, count

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, i: int) -> Any:
        return self.make(i)


class Stream(IterableDataset[Any]):
    def __init__(self, make: Any) -> None:
        self.make = make

    def __iter__(self) -> Iterator[Any]:
        return iter(self.make(i) for i in range(COUNT))


def image(i: int) -> torch.Tensor:
    return torch.full((3, HIGH, WIDE), 10 * i + 5, dtype=torch.uint8)


def mask(i: int) -> torch.Tensor:
    return torch.full((HIGH, WIDE), 10 * i + 5, dtype=torch.int64)


def pair(i: int) -> Any:
    return image(i), mask(i)


def detection(i: int) -> Any:
    boxes = torch.tensor([[2.0, 3.0, 12.0, 15.0]] * (i % 3) + [[0.0, 0.0, 4.0, 5.0]])
    return image(i), {
        "boxes": boxes, "labels": torch.arange(len(boxes)), "image_id": torch.tensor([i]),
        "area": (boxes[:, 2:] - boxes[:, :2]).prod(1), "iscrowd": torch.zeros(len(boxes)),
    }  # fmt: skip


def loaded(data: Any, policy: str, batch_size: int | None = 8, **options: Any) -> list[Any]:
    return list(DataLoader(data, batch_size, policy=policy, seed=2, **options))


@pytest.mark.parametrize("make", [
    pair,
    lambda i: {"image": image(i), "mask": mask(i)},
    lambda i: {"image": image(i), "masks": mask(i)[None].to(torch.uint8)},
    lambda i: (image(i), mask(i).numpy()),
    lambda i: (Image.fromarray(image(i).permute(1, 2, 0).numpy()),
               Image.fromarray(mask(i).numpy().astype(np.uint8)).convert("P")),
], ids=["pair", "dict", "stack", "array", "PIL"])  # fmt: skip
@pytest.mark.parametrize("policy", ["hflip(p=1.0)", "random_resized_crop(16)", "rotate(30, p=1.0)"])
def test_masks_that_leave_no_doubt_follow(make: Any, policy: str) -> None:
    for batch in loaded(Samples(make), policy):
        images, masks = batch.values() if isinstance(batch, dict) else batch
        masks = torch.as_tensor(masks)
        masks = masks[:, 0] if masks.ndim == 4 else masks
        assert masks.shape == images[:, 0].shape
        shown = masks != (0 if masks.dtype == torch.uint8 else 255)
        inside = (images[:, 0] * 255 - masks).abs() < 0.01
        assert shown.float().mean() > 0.5 and (inside | ~shown).float().mean() > 0.85


@pytest.mark.parametrize("options", [{}, {"num_workers": 2}, {"batch_size": 4}, {"batch_size": 3}])
def test_fields_do_not_depend_on_how_batches_are_made(options: dict[str, Any]) -> None:
    def make(i: int) -> Any:
        values = np.random.default_rng(i).integers(0, 200, (HIGH, WIDE))
        return {"image": image(i), "mask": values, "boxes": [[2.0, 3, 20, 21]], "labels": [i]}

    policy = "random_resized_crop(20) | hflip | rotate(20)"
    fields = {"boxes": Boxes(min_side=0)}
    one = loaded(Samples(make), policy, fields=fields)
    other = loaded(Samples(make), policy, **{"batch_size": 8, **options}, fields=fields)
    assert torch.equal(torch.cat([b["mask"] for b in one]), torch.cat([b["mask"] for b in other]))
    assert [box for b in one for box in b["boxes"]] == [box for b in other for box in b["boxes"]]


def test_cutmix_pastes_masks_with_the_pixels() -> None:
    batches = loaded(Samples(pair), "cutmix(1.0, p=1.0)")
    images, masks = (torch.cat(parts) for parts in zip(*batches, strict=True))
    assert torch.equal((images[:, 0] * 255).round().long(), masks)
    assert (masks.amin((1, 2)) != masks.amax((1, 2))).float().mean() > 0.5


@pytest.mark.parametrize("policy", ["mixup(1.0, p=1.0)", "one_of([mixup(1.0), cutmix(1.0)])"])
def test_mixup_gives_both_masks_and_the_share(policy: str) -> None:
    for images, mixed in loaded(Samples(pair), policy):
        assert isinstance(mixed, MixedMask)
        share = mixed.share[:, None, None]
        expected = share * mixed.own + (1 - share) * mixed.partner
        assert torch.allclose(images[:, 0] * 255, expected.float(), atol=1e-3)
        assert mixed.own.dtype == torch.int64


def test_boxes_come_as_lists_and_what_has_an_entry_for_each_follows() -> None:
    seen = 0
    for images, target in loaded(Samples(detection), "random_resized_crop(16, scale=(0.1, 0.4))"):
        assert images.shape == (8, 3, 16, 16)
        assert target["image_id"].shape == (8, 1)
        for boxes, labels, area in zip(*map(target.get, ("boxes", "labels", "area")), strict=True):
            assert len(boxes) == len(labels) == len(area)
            assert (boxes >= 0).all() and (boxes <= 16).all()
            assert torch.allclose(area, (boxes[:, 2:] - boxes[:, :2]).prod(1), rtol=1e-4)
            seen += len(boxes)
    assert 0 < seen < sum(len(detection(i)[1]["boxes"]) for i in range(COUNT))


def test_collate_functions_of_detection_get_images_one_by_one() -> None:
    batches = loaded(
        Samples(detection), "hflip(p=1.0)", collate_fn=lambda s: tuple(zip(*s, strict=True))
    )
    images, targets = batches[0]
    assert isinstance(images, tuple) and [i.shape for i in images] == [(3, HIGH, WIDE)] * 8
    first = detection(0)[1]["boxes"][:, [2, 1, 0, 3]]
    assert torch.equal(targets[0]["boxes"], torch.stack(
        [WIDE - first[:, 0], first[:, 1], WIDE - first[:, 2], first[:, 3]], 1))  # fmt: skip


def test_padded_boxes_say_which_are_valid() -> None:
    data = Samples(lambda i: {"image": image(i), **detection(i)[1]})
    batch = loaded(data, "hflip", fields={"boxes": Boxes(pad=5)})[0]
    assert batch["boxes"].shape == (8, 5, 4) and batch["labels"].shape == (8, 5)
    counts = [len(detection(i)[1]["boxes"]) for i in range(8)]
    assert batch["valid"].sum(1).tolist() == counts
    with pytest.raises(InputError, match="above pad=2"):
        loaded(data, "hflip", fields={"boxes": Boxes(pad=2)})


def test_left_and_right_change_places_in_mirrored_images_only() -> None:
    points = np.array([[5.0, 5, 2], [8, 5, 1], [3, 9, 2], [40, 2, 2]], np.float32)
    data = Samples(lambda i: {"image": image(i), "keypoints": points})
    fields = {"keypoints": Keypoints(flip_pairs=((0, 1),))}
    for policy, order in (("hflip(p=1.0)", [1, 0, 2, 3]), ("vflip(p=1.0)", [1, 0, 2, 3]),
                          ("hflip(p=1.0) | vflip(p=1.0)", [0, 1, 2, 3])):  # fmt: skip
        found = loaded(data, policy, fields=fields)[0]["keypoints"][0]
        expected = torch.from_numpy(points[order])
        if "hflip" in policy:
            expected[:, 0] = WIDE - 1 - expected[:, 0]
        if "vflip" in policy:
            expected[:, 1] = HIGH - 1 - expected[:, 1]
        expected[3, 2] = 0  # it was outside
        assert torch.equal(found, expected)


def test_streams_and_samples_alone_are_followed() -> None:
    for images, masks in loaded(Stream(pair), "hflip(p=1.0) | random_crop(16)"):
        assert torch.equal((images[:, 0] * 255).round().long(), masks)
    one, alone = loaded(Samples(pair), "random_crop(16)", None)[3]
    assert one.shape == (3, 16, 16) and alone.shape == (16, 16)


@pytest.mark.parametrize(("make", "policy", "fields", "message"), [
    (pair, "hflip", {1: "pixels"}, "'pixels' is not a kind"),
    (pair, "hflip", {"nothing": "mask"}, "fields='nothing' leads nowhere"),
    (pair, "hflip", [1], "not a dict"),
    (lambda i: (image(i), torch.rand(HIGH, WIDE)), "hflip", {1: "mask"}, "not of integers"),
    (lambda i: (image(i), mask(i)[::2]), "hflip", {1: "mask"}, "of the size of the image"),
    (pair, "hflip", {1: "dense"}, "not of floats"),
    (pair, "hflip", {1: Mask(ignore_index=-1)}, None),
    (lambda i: (image(i), mask(i).byte()), "hflip", {1: Mask(ignore_index=-1)}, "ignore_index=-1"),
    (lambda i: (image(i), torch.ones(2, 2)), "hflip", {1: "keypoints"}, "flip_pairs"),
    (lambda i: (image(i), torch.ones(2, 3)), "hflip", {1: "boxes"}, r"boxes are \[N, 4\]"),
    (lambda i: (image(i), torch.tensor([[9.0, 9, 2, 2]])), "hflip", {1: "boxes"}, "before it begi"),
    (lambda i: (image(i), torch.ones(HIGH, WIDE)), "mixup", {1: "dense"}, "a blend of images has"),
    (lambda i: (image(i), torch.ones(4, 2)), "mixup", {1: "keypoints"}, "belong to no boxes"),
    (pair, "copy_paste(1.0)", {1: "mask"}, "'copy_paste' shows several samples"),
    (lambda i: (image(i), i), "mosaic", None, "'mosaic' shows several samples"),
    (detection, "copy_paste(1.0)", None, "without a mask of each"),
    (pair, "aug_mix", {1: "mask"}, "'aug_mix' moves pixels in chains which it blends"),
    (pair, "sequence([equalize, timm('augmix-m1')])", {1: "mask"}, "'timm' moves pixels in chains"),
    (pair, "aug_mix(p=0.0)", {1: Mask(ignore_index=-1)}, None),
    (pair, 'kornia("RandomHorizontalFlip", p=0.5)', {1: "mask"}, "write horizontal_flip in its"),
    (pair, 'kornia("RandomFisheye", center_x=[0.0, 0.1], center_y=[0.0, 0.1], gamma=[0.9, 1.0])',
     {1: "mask"}, "RandomFisheye's own, so that 1 cannot follow: leave it out"),
])  # fmt: skip
def test_what_cannot_follow_is_refused(make: Any, policy: str, fields: Any, message: Any) -> None:
    if "kornia" in policy:
        pytest.importorskip("kornia")
    if message is None:
        assert loaded(Samples(make), policy, fields=fields)
        return
    with pytest.raises((InputError, InputTypeError), match=message):
        loaded(Samples(make), policy, fields=fields)


@pytest.mark.parametrize("stays", [{"fields": {1: "passive"}}, {"passive": [1]}])
def test_what_is_said_to_stay_stays(stays: dict[str, Any]) -> None:
    def make(i: int) -> Any:
        return image(i), torch.arange(HIGH * WIDE).view(HIGH, WIDE)

    found = loaded(Samples(make), "hflip(p=1.0)", **stays)[0][1]
    assert torch.equal(found[0], make(0)[1])


@pytest.mark.parametrize(("given", "message"), [
    ({"format": "yxyx"}, "not a format"), ({"min_share": 2.0}, "min_share=2.0"),
    ({"min_side": -1.0}, "min_side=-1.0"), ({"max_aspect": 0.5}, "max_aspect=0.5"),
    ({"pad": 0}, "pad=0"),
])  # fmt: skip
def test_bounds_of_boxes_are_named(given: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        Boxes(**given)


def test_boxes_of_which_little_is_left_are_dropped() -> None:
    boxes = torch.tensor([[0.0, 0, 10, 10], [11, 11, 21, 21], [8, 0, 24, 2], [4, 4, 20, 20]])
    data = Samples(lambda i: {"image": image(i), "boxes": boxes, "labels": torch.arange(4)})
    for given, left in (({}, [0, 1, 3]), ({"min_share": 0.4}, [1, 3]),
                        ({"max_aspect": 2.0}, [1, 3]), ({"min_side": 7.0}, [1, 3])):  # fmt: skip
        options: dict[str, Any] = given
        found = loaded(data, "center_crop(16)", fields={"boxes": Boxes(**options)})[0]
        assert found["labels"][0].tolist() == left


SHARES = torch.tensor([[0.2, 0.2, 0.5, 0.5]])


def test_boxes_are_corners_in_every_sample_not_only_in_the_first() -> None:
    def make(i: int) -> Any:
        return {"image": image(i), "boxes": SHARES[: i % 4], "labels": torch.zeros(min(i % 4, 1))}

    with pytest.raises(InputError, match="not corners in pixels"):
        loaded(Samples(make), "hflip(p=1.0)")
    given = {"boxes": Boxes(format="cxcywh", normalized=True)}
    found = loaded(Samples(make), "hflip(p=1.0)", fields=given)[0]["boxes"][1]
    assert torch.allclose(found, torch.tensor([[0.8, 0.2, 0.4, 0.4]]), atol=0.06)


@pytest.mark.parametrize(("beside", "cure"), [
    ({"names": ["a", "b"]}, r"follow=\('names'"), ({"track": torch.ones(2)}, r"follow=\('track'"),
])  # fmt: skip
def test_what_would_keep_the_entries_of_dropped_boxes_is_named(beside: Any, cure: str) -> None:
    boxes = torch.tensor([[0.0, 0, 3, 3], [10, 8, 20, 16]])

    def make(i: int) -> Any:
        return {"image": image(i), "boxes": boxes, "size": torch.ones(2), **beside}

    with pytest.raises(InputError, match=cure):
        loaded(Samples(make), "center_crop(12)", fields={"boxes": "boxes"})
    fields = {"boxes": Boxes(follow=(*beside,))}
    found = loaded(Samples(make), "center_crop(12)", fields=fields)[0]
    assert [len(one) for one in found[next(iter(beside))]] == [1] * 8
    assert found["size"].shape == (8, 2)
    loaded(Samples(make), "hflip", fields={"boxes": "boxes"})  # none is dropped


def test_labels_in_a_tuple_do_not_outlive_their_boxes() -> None:
    boxes = torch.tensor([[0.0, 0, 3, 3], [10, 8, 20, 16]])
    data = Samples(lambda i: (image(i), boxes, torch.arange(2)))
    with pytest.raises(InputError, match="samples that are dicts"):
        loaded(data, "center_crop(12)", fields={1: "boxes"})


@pytest.mark.parametrize("kind", [torch.int64, torch.int32])
def test_corners_and_points_of_whole_numbers_are_not_truncated(kind: torch.dtype) -> None:
    boxes, points = torch.tensor([[3, 3, 12, 9]]), torch.tensor([[5, 7]])
    data = Samples(lambda i: {"image": image(i), "b": boxes.to(kind), "k": points.to(kind)})
    fields = {"b": "boxes", "k": Keypoints(())}
    found = loaded(data, "resize((16, 16))", fields=fields)[0]
    assert torch.allclose(found["b"][0], torch.tensor([[1.5, 2, 6, 6]]))
    assert torch.allclose(found["k"][0], torch.tensor([[2.25, 4.5]]), atol=1e-5)


def test_labels_beside_a_mask_are_not_left_hard_in_silence() -> None:
    def make(i: int) -> Any:
        return {"image": image(i), "mask": mask(i), "kind": torch.full((5,), 0.2)}

    with pytest.raises(InputError, match="label_key"):
        loaded(Samples(make), "cutmix(1.0)")
    assert loaded(Samples(make), "cutmix(1.0)", passive=["kind"])
    named = Samples(lambda i: {"image": image(i), "mask": mask(i), "label": i % 4})
    assert loaded(named, "cutmix(1.0, p=1.0)", num_classes=4)[0]["label"].shape == (8, 4)


def test_a_field_that_a_later_sample_lacks_is_named() -> None:
    def make(i: int) -> Any:
        return {"image": image(i), **({"mask": mask(i)} if i != 3 else {})}

    with pytest.raises(InputError, match="'mask' of sample 3 is not where"):
        loaded(Samples(make), "hflip")


def test_fields_of_what_has_no_samples_of_parts_are_refused() -> None:
    with pytest.raises(InputError, match="samples have parts"):
        DataLoader(np.zeros((8, 6, 6, 3), np.uint8), 4, policy="hflip", fields={"mask": "mask"})
