"""Masks and boxes in tar shards and in columns of Hugging Face's datasets."""

import io
import json
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from augfeed import DataLoader
from augfeed.datasets import (
    HuggingFaceDetection,
    HuggingFaceSegmentation,
    ShardDetection,
    ShardSegmentation,
)
from augfeed.errors import InputError, ReadError
from tests.augfeed.datasets import small


def png(array: Any) -> bytes:
    file = io.BytesIO()
    Image.fromarray(array).save(file, "PNG")
    return file.getvalue()


def xywh(i: int) -> list[int]:
    left, top, right, bottom = small.box(i)
    return [left, top, right - left, bottom - top]


def told(i: int) -> dict[str, Any]:
    return {"boxes": [small.box(i)], "labels": [small.label(i)]}


def shard(path: Path, change: Any = None) -> Path:
    members = {}
    for i in range(small.COUNT):
        members[f"{i}.png"] = png(small.pixels(i))
        members[f"{i}.mask.png"] = png(small.mask(i))
        members[f"{i}.json"] = json.dumps(told(i)).encode()
    if change is not None:
        change(members)
    with tarfile.open(path, "w") as archive:
        for name, data in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return path


def table(**columns: Any) -> Any:
    datasets = pytest.importorskip("datasets")
    features = datasets.Features({
        "image": datasets.Image(), "mask": datasets.Image(),
        "objects": {"bbox": datasets.Sequence(datasets.Sequence(datasets.Value("float32"))),
                    "category": datasets.Sequence(datasets.ClassLabel(names=list("sabcd")))},
    })  # fmt: skip
    given = {
        "image": [{"bytes": png(small.pixels(i)), "path": None} for i in range(small.COUNT)],
        "mask": [{"bytes": png(small.mask(i)), "path": None} for i in range(small.COUNT)],
        "objects": [{"bbox": [xywh(i)], "category": [small.label(i)]} for i in range(small.COUNT)],
        **columns,
    }
    return datasets.Dataset.from_dict(given, features=features)


@pytest.fixture(params=["shards", "table"])
def both(request: Any, tmp_path: Path) -> Any:
    if request.param == "shards":
        path = shard(tmp_path / "a.tar")
        return ShardSegmentation(path, num_classes=5), ShardDetection(path, num_classes=5)
    data = table()
    return HuggingFaceSegmentation(data, num_classes=5), HuggingFaceDetection(data)


def test_samples_are_those_that_were_written(both: Any) -> None:
    masks, boxes = both
    image, mask = masks[2]
    assert torch.equal(mask, torch.from_numpy(small.mask(2)).long())
    assert torch.equal(image[0].long(), mask * small.LEVEL)
    _, target = boxes[2]
    assert target["boxes"].tolist() == [list(map(float, small.box(2)))]
    assert target["labels"].tolist() == [small.label(2)]


def test_masks_and_boxes_follow_in_the_threads_of_the_loader(both: Any) -> None:
    masks = both[0]
    for data in both:
        loader = DataLoader(data, 3, policy="random_crop(24) | hflip", seed=2, num_workers=2)
        assert loader.lane == "native"
        assert len(data.fingerprint()) == 64
        for images, target in loader:
            classes = torch.round(images[:, 0] * 255 / small.LEVEL).long()
            if data is masks:
                assert torch.equal(target, classes)
                continue
            for one, found in zip(classes, target["boxes"], strict=True):
                for left, top, right, bottom in found.long().tolist():
                    assert (one[top:bottom, left:right] > 0).all()


FAULTS: dict[str, tuple[Any, str]] = {
    "text": (b"{", "is not JSON"),
    "list": (b"[]", "not a list of 4 numbers"),
    "no labels": (json.dumps({"boxes": [[1, 2, 3, 4]]}).encode(), "not a list of 4 numbers"),
    "3 numbers": (json.dumps({"boxes": [[1, 2, 3]], "labels": [1]}).encode(), "not a list of 4"),
    "other count": (json.dumps({**told(0), "labels": [1, 2]}).encode(), "not a list of 4"),
    "class": (json.dumps({**told(0), "labels": [9]}).encode(), r"class 9, not in \[0, 5"),
    "outside": (json.dumps({**told(0), "boxes": [[1, 2, 300, 4]]}).encode(), "leaves the image"),
    "ends first": (json.dumps({**told(0), "boxes": [[9, 2, 3, 4]]}).encode(), "ends before"),
    "nan": (b'{"boxes": [[NaN, 2, 3, 4]], "labels": [1]}', "not finite"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_json_that_is_wrong_is_named_with_its_shard(tmp_path: Path, fault: str) -> None:
    data, message = FAULTS[fault]
    path = shard(tmp_path / "a.tar", lambda members: members.update({"0.json": data}))
    with pytest.raises(ReadError, match=message) as error:
        ShardDetection(path, num_classes=5)[0]
    assert str(error.value).startswith(f"{path}/0.json")


def test_a_sample_without_its_mask_is_named(tmp_path: Path) -> None:
    path = shard(tmp_path / "a.tar", lambda members: members.pop("3.mask.png"))
    with pytest.raises(InputError, match=r"'3'|3\.png"):
        ShardSegmentation(path)


def test_columns_that_are_not_there_are_named() -> None:
    with pytest.raises(InputError, match=r"'label' is not a column .* \['image', 'mask'"):
        HuggingFaceSegmentation(table(), mask="label")
    wrong = table(mask=[{"bytes": png(np.full((3, 3), 2, np.uint8)), "path": None}] * small.COUNT)
    with pytest.raises(ReadError, match=r"data\[0\]\['mask'\]: is of 3 x 3 pixels"):
        HuggingFaceSegmentation(wrong)[0]
    names = HuggingFaceDetection(table()).classes
    assert names == tuple("sabcd")
