"""Masks and boxes from a service: the batches of the loader in process, byte for byte."""

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from augfeed import DataLoader
from augfeed.datasets import CocoDetection, MaskFolder, YOLODetection
from augfeed.errors import InputError
from augfeed_client import RemoteError, RemoteLoader
from tests.augfeed.datasets import small
from tests.augfeed.wire.test_fields import check_same
from tests.service.servers import Running, described, serving

POLICY = "random_resized_crop(24) | hflip"


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fields")


@pytest.fixture(scope="module")
def service(root: Path) -> Iterator[Running]:
    small.masks(root / "masks")
    small.yolo(root / "yolo")
    small.coco(root / "coco")
    paths = {name: root / name for name in ("masks", "yolo", "coco")}
    with serving(datasets=paths) as running:
        yield running


def here(name: str, root: Path) -> Any:
    match name:
        case "masks":
            return MaskFolder(root / name)
        case "yolo":
            return YOLODetection(root / name)
    return CocoDetection(
        root / name / "train", root / name / "annotations" / "instances_train.json"
    )


@pytest.mark.parametrize(
    ("name", "policy"),
    [("masks", POLICY), ("masks", f"{POLICY} | cutmix(1.0)"), ("masks", f"{POLICY} | mixup(0.4)"),
     ("yolo", f"{POLICY} | rotate(10)"), ("coco", POLICY),
     ("masks", "letterbox(24) | mosaic"), ("yolo", "letterbox(24) | mosaic | mixup(0.4)"),
     ("yolo", f"{POLICY} | cutmix(1.0)"), ("coco", "random_iou_crop(24) | mosaic(0.5)")],
)  # fmt: skip
def test_batches_are_those_of_the_loader_in_process(
    service: Running, root: Path, name: str, policy: str
) -> None:
    given: Any = {"shuffle": True, "policy": policy, "seed": 5, "dtype": torch.uint8}
    remote = RemoteLoader(service.url, dataset=name, batch_size=4, **given)
    local = DataLoader(here(name, root), 4, **given)
    for (images, targets), (others, wanted) in zip(remote, local, strict=True):
        assert torch.equal(images, others)
        check_same(targets, wanted)
    assert remote.info.fields == ({"mask": "mask"} if name == "masks" else {"boxes": "boxes"})
    remote.close()


def test_what_has_no_meaning_is_refused_on_both_sides(service: Running) -> None:
    for given, message in (
        ({"targets": "sparse"}, "targets='sparse' is for classes of images"),
        ({"policy": None, "views": {"a": POLICY}}, "cannot follow all: leave views out"),
        ({"policy": f"{POLICY} | label_smoothing(0.1)"}, "label_smoothing is for classes"),
        ({"policy": "letterbox(24) | copy_paste"}, "'copy_paste' shows several samples in one"),
    ):
        asked: dict[str, Any] = {"dataset": "masks", "policy": POLICY, **given}
        loader = RemoteLoader(service.url, **asked)
        with pytest.raises((InputError, RemoteError), match=message):
            next(iter(loader))
        loader.close()


def test_a_file_for_numpy_has_the_fields(service: Running) -> None:
    plan = described("yolo", POLICY, batch_size=3, shuffle=False)
    path = service.register(plan)
    reply = service.ask("GET", f"{path}/0/batches/0", Accept="application/x-npz")
    assert reply.status == 200
    found = np.load(io.BytesIO(reply.body))
    assert found["field.boxes"].shape == (found["field.boxes.counts"].sum(), 4)
