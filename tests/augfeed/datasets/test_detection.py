"""Datasets of boxes and points: what they give, in both lanes, and what they refuse."""

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from augfeed import DataLoader
from augfeed.datasets import CocoDetection, CocoKeypoints, VOCDetection, YOLODetection
from augfeed.errors import InputError, MissingExtraError, ReadError
from augfeed.fields import Boxes
from tests.augfeed.datasets import small
from tests.augfeed.wire.test_fields import check_same

Make = Callable[[Path], Any]
NAMES = ("cow", "dog")
SETS: dict[str, Make] = {
    "voc": lambda root: VOCDetection(small.voc(root), classes=NAMES),
    "coco": lambda root: CocoDetection(*small.coco(root)),
    "yolo": lambda root: YOLODetection(small.yolo(root)),
}
POLICY = "random_resized_crop(32, (0.5, 1.0)) | hflip | vflip"


@pytest.fixture(params=SETS)
def data(request: Any, tmp_path: Path) -> Any:
    return SETS[request.param](tmp_path)


def shown(image: torch.Tensor) -> list[int]:
    """Return the rectangle that an image shows, xyxy in edges; all 0 without one."""
    there = image[0].numpy() > 0.5 * small.LEVEL / 255
    if not there.any():
        return [0, 0, 0, 0]
    rows, columns = np.flatnonzero(there.any(1)), np.flatnonzero(there.any(0))
    return [columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]


def test_a_sample_is_an_image_and_a_dict_of_its_boxes(data: Any) -> None:
    image, target = data[2]
    assert image.shape == (3, *small.size(2)) and image.dtype == torch.uint8
    assert target["boxes"].dtype == torch.float32
    assert torch.allclose(target["boxes"], torch.tensor([small.box(2)], dtype=torch.float32))
    want = 1 if isinstance(data, VOCDetection) else small.label(2)
    assert target["labels"].tolist() == [want] and target["labels"].dtype == torch.int64
    assert int(target["image_id"]) == (102 if isinstance(data, CocoDetection) else 2)


def test_boxes_are_the_rectangles_that_images_show(data: Any) -> None:
    loader = DataLoader(data, 3, policy=POLICY, seed=1, num_workers=2, shuffle=True)
    assert loader.lane == "native"
    for images, target in loader:
        assert isinstance(target["boxes"], list) and len(target["boxes"]) == 3
        for image, boxes, labels in zip(images, target["boxes"], target["labels"], strict=True):
            assert len(boxes) == len(labels)
            for box in boxes:
                assert np.abs(box.numpy() - shown(image)).max() < 1.5


JOINED = ("letterbox(48) | mosaic(0.7, zoom=(0.5, 1.5), shift=0.1) | hflip | rotate(20)",
          "random_crop(24) | cutmix(1.0, p=0.8)", "random_crop(24) | hflip | mixup(1.0, p=0.8)",
          "letterbox(48) | mosaic | mixup(1.0, p=0.5)", "random_iou_crop(32) | hflip",
          "bbox_safe_crop(32) | mosaic(0.4)", "resize((40, 40)) | cutout(40)")  # fmt: skip


@pytest.mark.parametrize("policy", [POLICY, f"{POLICY} | rotate(30)", "random_crop(24)", *JOINED])
def test_both_lanes_give_the_same_bytes(data: Any, policy: str) -> None:
    fields = {"boxes": Boxes(min_side=3, min_share=0.3, max_occlusion=0.6)}
    native = DataLoader(data, 4, policy=policy, seed=3, fields=fields, num_workers=2)
    general = DataLoader(data, 4, policy=policy, seed=3, fields=fields, passive=["image_id"])
    assert (native.lane, general.lane) == ("native", "general")
    for (images, target), (others, other) in zip(native, general, strict=True):
        assert torch.equal(images, others)
        check_same(target, other)


def test_the_usual_collate_function_of_detection_models_works(data: Any) -> None:
    def collate(batch: Any) -> Any:
        return tuple(zip(*batch, strict=True))

    loader = DataLoader(data, 2, policy=POLICY, seed=3, collate_fn=collate)
    images, targets = next(iter(loader))
    assert images[0].shape == (3, 32, 32)
    assert targets[1]["boxes"].shape == (len(targets[1]["labels"]), 4)


def test_boxes_are_padded_on_request(data: Any) -> None:
    loader = DataLoader(data, 3, policy=POLICY, seed=3, fields={"boxes": Boxes(pad=4)})
    _, target = next(iter(loader))
    assert target["boxes"].shape == (3, 4, 4) and target["labels"].shape == (3, 4)
    assert target["valid"].dtype == torch.bool and target["valid"].shape == (3, 4)
    assert (target["boxes"][~target["valid"]] == 0).all()


def test_a_cache_keeps_smaller_images_and_their_boxes_fit(tmp_path: Path) -> None:
    data = VOCDetection(small.voc(tmp_path), classes=NAMES)
    loader = DataLoader(data, 3, policy="resize(20) | center_crop(20)", seed=0, cache="ram")
    for images, target in [*loader, *loader]:
        for image, boxes in zip(images, target["boxes"], strict=True):
            assert np.abs(boxes[0].numpy() - shown(image)).max() < 1.5


@pytest.mark.parametrize("kind", ["yolo", "yaml", "coco", "voc"])
def test_a_path_is_enough(tmp_path: Path, kind: str) -> None:
    match kind:
        case "coco":
            small.coco(tmp_path)
            path = tmp_path
        case "voc":
            path = small.voc(tmp_path / "VOC2007")
            for i in range(small.COUNT):
                (path / "SegmentationClass" / f"{i}.png").unlink()
            (path / "SegmentationClass").rmdir()
        case _:
            path = small.yolo(tmp_path) / ("data.yaml" if kind == "yaml" else "")
    _, target = next(iter(DataLoader(path, 3, policy="random_crop(36)")))
    assert len(target["boxes"]) == 3 and target["boxes"][0].shape[1:] == (4,)


def test_a_folder_of_voc_with_boxes_and_masks_needs_a_word(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"VOCDetection\(path\) or .*VOCSegmentation\(path\)"):
        DataLoader(small.voc(tmp_path), policy="hflip")
    assert len(VOCDetection(tmp_path.parent / tmp_path.name)) == small.COUNT
    with pytest.raises(InputError, match="image_set='val' is not a list"):
        VOCDetection(tmp_path, "val")


# Files that are not as they should be: all of a kind, in each format

NAN = math.nan
BOXES: dict[str, tuple[list[float], str]] = {
    "outside": ([6, 8, 90, 30], "leaves the image"),
    "negative": ([-20, 8, 10, 30], "leaves the image"),
    "ends first": ([20, 8, 10, 30], "ends before it begins"),
    "nan": ([NAN, 8, 10, 30], "not finite"),
}


@pytest.mark.parametrize("fault", BOXES)
def test_a_box_of_voc_that_is_wrong_is_named_with_its_file(tmp_path: Path, fault: str) -> None:
    small.voc(tmp_path)
    corners, message = BOXES[fault]
    path = tmp_path / "Annotations" / "0.xml"
    path.write_text(small.voc_xml(0, corners=corners))
    data = VOCDetection(tmp_path, classes=NAMES)
    with pytest.raises(ReadError, match=message) as told:
        data[0]
    assert str(told.value).startswith(f"{path}: box 0, [") and str(corners[2]) in str(told.value)
    check_policies(data, message)


def check_policies(data: Any, message: str) -> None:
    """Check that `on_error` means for annotations what it does for images."""
    with pytest.raises(ReadError, match=message):
        list(DataLoader(data, 2, policy="random_crop(24)", num_workers=2))
    replaced = DataLoader(data, 2, policy="random_crop(40)", on_error="replace", seed=0)
    for images, target in replaced:
        for image, boxes in zip(images, target["boxes"], strict=True):
            assert np.abs(boxes[0].numpy() - shown(image)).max() < 1.5
    assert [item.sample for item in replaced.unread] == [0]
    skipped = DataLoader(data, 2, policy="random_crop(24)", on_error="skip", seed=0)
    assert sum(len(target["boxes"]) for _, target in skipped) == small.COUNT - 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is not XML"),
        ("<annotation>", "is not XML"),
        ("<annotation/>", "has no <size/height>"),
        (small.voc_xml(0, name="unicorn"), r"class 'unicorn', which is not one of \['cow'"),
        (small.voc_xml(0, corners=("a", 1, 2, 3)), "<bndbox/xmin> is 'a', not a number"),
        (small.voc_xml(0, high=-3), "is -3, not a positive whole number"),
        (small.voc_xml(0, high=90), "is of 56 x 90 pixels, and .*0.png is of 56 x 40"),
        ('<!DOCTYPE x [<!ENTITY a "b">]>' + small.voc_xml(0), "entities"),
    ],
)
def test_a_file_of_voc_that_is_broken_is_named(tmp_path: Path, text: str, message: str) -> None:
    small.voc(tmp_path)
    (tmp_path / "Annotations" / "0.xml").write_text(text)
    data = VOCDetection(tmp_path, classes=NAMES)
    with pytest.raises(ReadError, match=message) as told:
        data[0]
    assert "0.xml" in str(told.value)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("1 0.5 0.5 0.2", "not a class number from 0 and 4 shares"),
        ("1 0.5 0.5 0.2 a", "not a class number"),
        ("1.5 0.5 0.5 0.2 0.2", "not a class number"),
        ("-1 0.5 0.5 0.2 0.2", "not a class number"),
        ("9 0.5 0.5 0.2 0.2", r"class 9, which is not in \[0, 5\)"),
        ("1 20 30 10 10", "shares of the image from 0 to 1"),
        ("1 0.5 0.5 nan 0.2", "shares of the image"),
        ("1 0.1 0.5 0.9 0.2", "leaves the image"),
        ("1 0.1 0.1 0.2 0.1 0.2 1.2", "point that is not in"),
    ],
)
def test_a_line_of_yolo_that_is_wrong_is_named(tmp_path: Path, line: str, message: str) -> None:
    small.yolo(tmp_path)
    path = tmp_path / "labels" / "train" / "0.txt"
    path.write_text(f"{small.yolo_line(0)}{line}\n")
    data = YOLODetection(tmp_path)
    with pytest.raises(ReadError, match=message) as told:
        data[0]
    assert str(told.value).startswith(f"{path}: line 2 ")
    check_policies(data, message)


def test_yolo_takes_polygons_and_images_without_objects(tmp_path: Path) -> None:
    small.yolo(tmp_path)
    (tmp_path / "labels" / "train" / "0.txt").write_text("2 0.25 0.5 0.5 0.25 0.5 0.75\n")
    (tmp_path / "labels" / "train" / "1.txt").unlink()
    data = YOLODetection(tmp_path / "data.yaml")
    assert data[0][1]["boxes"].tolist() == [[14.0, 10.0, 28.0, 30.0]]
    assert data[1][1]["boxes"].shape == (0, 4) and data[1][1]["labels"].shape == (0,)
    assert data.skipped == {"images without a text file, which count as empty": 1}
    _, target = next(iter(DataLoader(data, 3, policy=POLICY)))
    assert target["boxes"][1].shape == (0, 4)
    assert data.classes == ("sky", "a", "b", "c", "d")


@pytest.mark.parametrize("shape", [(2, 2), (4, 3), (17, 3)])
def test_yolo_takes_the_box_of_a_line_with_keypoints(
    tmp_path: Path, shape: tuple[int, int]
) -> None:
    small.yolo(tmp_path)
    described, file = tmp_path / "data.yaml", tmp_path / "labels" / "train" / "0.txt"
    box, point = "2 0.5 0.5 0.5 0.25", " 0.1 0.9 1"[: 8 if shape[1] == 2 else 10]
    file.write_text(f"{box}{point * shape[0]}\n")
    described.write_text(f"{described.read_text()}\nkpt_shape: {[*shape]}\n")
    data = YOLODetection(tmp_path)
    assert data[0][1]["boxes"].tolist() == [[14.0, 15.0, 42.0, 25.0]]
    file.write_text(f"{box}{point * shape[0]} 0.5 0.5\n")
    count = shape[0] * shape[1]
    with pytest.raises(ReadError, match=f"of {count + 7} words.* the {count} numbers of keypoints"):
        data[0]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("train: images/none\n", "is not a folder"),
        ("- 1\n", "is not a mapping"),
        ("a: [", "cannot be read"),
        ("names: [a]\nnc: 3\ntrain: images/train\n", "as many names as nc says"),
        ("names: {0: a, 2: b}\ntrain: images/train\n", "without gaps"),
        ("names: {0: a, x: b}\ntrain: images/train\n", r"\[0, 'x'\]: number them from 0"),
        ("kpt_shape: 17\ntrain: images/train\n", r"is 17: .* as \[17, 3\]"),
    ],
)
def test_a_description_of_yolo_that_is_wrong_is_named(
    tmp_path: Path, text: str, message: str
) -> None:
    small.yolo(tmp_path)
    (tmp_path / "data.yaml").write_text(text)
    with pytest.raises(InputError, match=message):
        YOLODetection(tmp_path)


COCO: dict[str, tuple[dict[str, Any], str]] = {
    "outside": ({"bbox": [6, 8, 90, 30]}, "leaves the image"),
    "negative side": ({"bbox": [20, 8, -10, 30]}, "ends before it begins"),
    "nan": ({"bbox": [NAN, 8, 10, 30]}, "not finite"),
    "shares": ({"bbox": [0.1, 0.2, 0.5, 0.5]}, "is less than a pixel.* multiply them by width"),
    "3 numbers": ({"bbox": [1, 8, 10]}, "not 4 numbers"),
    "text": ({"bbox": [1, 8, 10, "a"]}, "not 4 numbers"),
    "category": ({"category_id": 77}, "category_id=77, which is not among the 4 categories"),
}


@pytest.mark.parametrize("fault", COCO)
def test_an_object_of_coco_that_is_wrong_is_named(tmp_path: Path, fault: str) -> None:
    change, message = COCO[fault]
    folder, file = small.coco(tmp_path, lambda told: told["annotations"][0].update(change))
    data = CocoDetection(folder, file)
    with pytest.raises(ReadError, match=message) as told:
        data[0]
    assert str(told.value).startswith(f"{file}: image 100 (0.png)")
    check_policies(data, message)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda told: told.pop("images"), "has no list 'images'"),
        (lambda told: told["images"][1].pop("height"), r"images\[1\] lacks \['height'\]"),
        (lambda told: told["annotations"][0].update(image_id=3), "is of image 3, which is not in"),
        (lambda told: told["images"][1].update(id=100), "two images have one id"),
        (lambda told: told["categories"][1].update(id=1), "number them, each once"),
    ],
)
def test_a_file_that_is_not_of_coco_is_refused(tmp_path: Path, change: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        CocoDetection(*small.coco(tmp_path, change))


def test_coco_leaves_out_crowds_and_flat_boxes_and_says_so(tmp_path: Path) -> None:
    def change(told: dict[str, Any]) -> None:
        told["annotations"][0]["iscrowd"] = 1
        told["annotations"][1]["bbox"] = [3, 3, 0, 5]

    data = CocoDetection(*small.coco(tmp_path, change))
    assert data.skipped == {"crowds": 1, "boxes without area": 1}
    assert [len(data[i][1]["boxes"]) for i in range(3)] == [0, 0, 1]
    less = CocoDetection(tmp_path / "train", data.file, empty=False, labels="contiguous")
    assert len(less) == small.COUNT - 2 and less[0][1]["labels"].tolist() == [small.label(2) - 1]
    assert less.num_classes == small.CLASSES - 1 and data.num_classes == small.CLASSES
    assert data.classes is not None and data.classes[:2] == ("(no category 0)", "class 1")


def test_keypoints_change_places_as_their_names_say(tmp_path: Path) -> None:
    folder, file = small.coco(tmp_path)
    data = CocoKeypoints(folder, file)
    assert len(data) == 2  # those of the category that has points
    policy = "center_crop((36, 48)) | hflip(p=1.0)"
    images, target = next(iter(DataLoader(data, 2, policy=policy)))
    for image, points, boxes in zip(images, target["keypoints"], target["boxes"], strict=True):
        left, top, right, _ = boxes[0].tolist()
        assert points[0].tolist() == [[left, top, 2], [right - 1, top, 2]]
        assert image[0, int(top), int(left)] > 0
    told = json.loads(Path(file).read_text())
    told["annotations"][0]["keypoints"] = [1, 2, 2]
    Path(file).write_text(json.dumps(told))
    with pytest.raises(ReadError, match="has 3 numbers of keypoints, and 2 points are 6"):
        CocoKeypoints(folder, file)[0]


def test_instance_masks_need_their_library_or_follow(tmp_path: Path) -> None:
    folder, file = small.coco(tmp_path)
    try:
        data = CocoDetection(folder, file, masks=True)
    except MissingExtraError as error:
        assert "pip install 'augfeed[coco]'" in str(error)
        return
    image, target = data[1]
    assert torch.equal(target["masks"][0] > 0, image[0] > 0)
    images, batch = next(iter(DataLoader(data, 3, policy="random_crop(30) | hflip", seed=0)))
    for image, masks in zip(images, batch["masks"], strict=True):
        for mask in masks:
            assert torch.equal(mask > 0, image[0] > 0)
    lengths = {"size": [*small.size(0)], "counts": [0, small.HIGH * small.WIDE]}
    for given, message in (
        (lengths, ""),
        ({**lengths, "size": [3, 4]}, "its run lengths are of"),
        ({**lengths, "counts": [5]}, "end at 5"),
        ([[1, 2, 3]], "is not a list of polygons"),
        ([], "is not a list of polygons"),
        (None, "is not a list of polygons"),
    ):
        told = json.loads(Path(file).read_text())
        told["annotations"][0]["segmentation"] = given
        Path(file).write_text(json.dumps(told))
        data = CocoDetection(folder, file, masks=True)
        if not message:
            assert data[0][1]["masks"].all()
        else:
            with pytest.raises(ReadError, match=f"annotation 1: .*{message}"):
                data[0]
