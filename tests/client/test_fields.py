"""Masks and boxes from a service: the batches of the loader in process, byte for byte."""

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import typer

from augfeed import DataLoader
from augfeed.datasets import CocoDetection, MaskFolder, YOLODetection
from augfeed.errors import InputError
from augfeed_client import RemoteError, RemoteLoader
from augfeed_service import cli
from augfeed_service.cli import settings_of
from augfeed_service.datasets import mount
from augfeed_service.object_masks import COPIES
from augfeed_service.settings import Settings
from tests.augfeed.datasets import small
from tests.augfeed.wire.test_fields import check_same
from tests.service.servers import Running, described, serving

POLICY = "random_resized_crop(24) | hflip"


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fields")


# Options of a mount are those of the class, by name.
OPTIONS: dict[str, dict[str, Any]] = {
    "objects": {"masks": True, "labels": "contiguous"}, "people": {"keypoints": True},
}  # fmt: skip


@pytest.fixture(scope="module")
def service(root: Path) -> Iterator[Running]:
    small.masks(root / "masks")
    small.yolo(root / "yolo")
    small.coco(root / "coco")
    paths = {name: root / name for name in ("masks", "yolo", "coco")}
    paths |= dict.fromkeys(OPTIONS, root / "coco")
    with serving(datasets=paths, dataset_options=OPTIONS) as running:
        yield running


KINDS = {
    "masks": {"mask": "mask"}, "objects": {"boxes": "boxes", "masks": "mask"},
    "people": {"boxes": "boxes", "keypoints": "keypoints"},
}  # fmt: skip


def here(name: str, root: Path) -> Any:
    match name:
        case "masks":
            return MaskFolder(root / name)
        case "yolo":
            return YOLODetection(root / name)
    return CocoDetection(
        root / "coco" / "train", root / "coco" / "annotations" / "instances_train.json",
        **OPTIONS.get(name, {}),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("name", "policy"),
    [("masks", POLICY), ("masks", f"{POLICY} | cutmix(1.0)"), ("masks", f"{POLICY} | mixup(0.4)"),
     ("yolo", f"{POLICY} | rotate(10)"), ("coco", POLICY),
     ("masks", "letterbox(24) | mosaic"), ("yolo", "letterbox(24) | mosaic | mixup(0.4)"),
     ("yolo", f"{POLICY} | cutmix(1.0)"), ("coco", "random_iou_crop(24) | mosaic(0.5)"),
     ("objects", "letterbox(24) | copy_paste(1.0, 1.0) | hflip"), ("objects", f"{POLICY} | mosaic"),
     ("objects", "letterbox(24) | mosaic(0.5) | copy_paste | cutmix(1.0) | rotate(20)"),
     ("people", f"{POLICY} | mosaic(0.5)")],
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
    assert remote.info.fields == KINDS.get(name, {"boxes": "boxes"})
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


def test_objects_are_pasted_with_their_masks(service: Running) -> None:
    policy = "letterbox(48) | copy_paste(1.0, 1.0)"
    loader = RemoteLoader(service.url, dataset="objects", policy=policy, batch_size=6)
    (images, targets), *_ = loader
    assert [len(rows) for rows in targets["masks"]] == [len(rows) for rows in targets["boxes"]]
    assert max(map(len, targets["boxes"])) == 2
    for image, masks in zip(images, targets["masks"], strict=True):
        assert masks.shape[1:] == image.shape[1:] and masks.any(dim=(1, 2)).all()
        assert not (masks[0] * masks[1:].sum(dim=0)).any(), "a pixel is of one object"
    loader.close()


@pytest.mark.parametrize(
    "policy",
    [
        "letterbox(32)",
        "letterbox(640) | copy_paste(0.5) | mosaic",
        "letterbox(32) | mosaic | copy_paste(1.0, 1.0) | cutmix(1.0)",
    ],
)
def test_memory_is_asked_for_by_the_masks_that_a_batch_has(service: Running, policy: str) -> None:
    loader = RemoteLoader(
        service.url, dataset="objects", policy=policy, batch_size=6, dtype=torch.uint8
    )
    (_, targets), *_ = loader
    plan = service.service.plans.get(loader.info.id)
    own = sum(int(masks.numel()) for masks in targets["masks"])
    counted = plan.object_bytes(0, 0, 0, 1)
    assert COPIES * own <= counted < 512 << 20
    assert plan.nbytes(1) < 64 << 20, "masks of objects are not counted by the most there may be"
    loader.close()


def test_another_option_of_a_mount_is_another_fingerprint(root: Path, service: Running) -> None:
    place, prints = root / "coco", set()
    given: list[dict[str, Any]] = [{}, {"masks": True}, {"labels": "contiguous"}, {"crowd": True}]
    for options in given:
        settings = Settings(datasets={"a": place}, dataset_options={"a": options})
        prints.add(mount("a", place, settings).fingerprint)
    assert len(prints) == len(given)


@pytest.mark.parametrize(("options", "message"), [
    ({"mask": True}, "option 'mask' is not one of CocoDetection, .* did you mean 'masks'"),
    ({"masks": "perhaps"}, "option masks='perhaps' of CocoDetection: Input should be a valid bool"),
    ({"labels": "names"}, "option labels='names' of CocoDetection: Input should be 'ids' or"),
    ({"annFile": "other.json"}, "option 'annFile' is not one of CocoDetection"),
])  # fmt: skip
def test_options_that_a_dataset_does_not_have_are_named(
    root: Path, service: Running, options: dict[str, Any], message: str
) -> None:
    settings = Settings(datasets={"a": root / "coco"}, dataset_options={"a": options})
    with pytest.raises(InputError, match=f"dataset a: {message}"):
        mount("a", root / "coco", settings)


def test_options_are_for_datasets_that_are_there_and_have_some(
    root: Path, service: Running
) -> None:
    for given, message in (
        ({"b": {"masks": True}}, "dataset_options: 'b' is not a dataset here: give one of"),
        ({"a": {"masks": True}}, "are for datasets with masks or boxes"),
    ):
        with pytest.raises(InputError, match=message):
            settings = settings_of({"datasets": {"a": root / "coco" / "train"},
                                    "dataset_options": given})  # fmt: skip
            mount("a", root / "coco" / "train", settings)


def test_a_command_line_gives_options_of_a_dataset(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Settings] = []
    monkeypatch.setattr(cli, "run", lambda settings, engine: made.append(settings))
    texts = ["a.b.masks=true", "a.b.labels=contiguous", "c.num_classes=5"]
    cli.serve(dataset=["a.b=x", "c=y"], setting=[*texts, "threads=3"])
    assert made[0].dataset_options == {
        "a.b": {"masks": True, "labels": "contiguous"}, "c": {"num_classes": 5}}  # fmt: skip
    assert made[0].threads == 3
    for wrong in ("masks=true", "a.masks=", ".masks=true", "b.masks=true", "a.b.masks=true"):
        with pytest.raises((InputError, typer.Exit)):
            cli.serve(dataset=["a=x"], setting=[wrong])


def test_a_file_for_numpy_has_the_fields(service: Running) -> None:
    plan = described("yolo", POLICY, batch_size=3, shuffle=False)
    path = service.register(plan)
    reply = service.ask("GET", f"{path}/0/batches/0", Accept="application/x-npz")
    assert reply.status == 200
    found = np.load(io.BytesIO(reply.body))
    assert found["field.boxes"].shape == (found["field.boxes.counts"].sum(), 4)
