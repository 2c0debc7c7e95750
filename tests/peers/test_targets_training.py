"""Training as torchvision's references do it: an epoch with torch's DataLoader, and with ours in
its place. Datasets, collate functions, losses and steps are those of vision/references."""

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

pytest.importorskip("torchvision", reason="torchvision is not installed: `make peers`")
pytest.importorskip("faster_coco_eval", reason="reads files of COCO: augfeed[coco]")

import faster_coco_eval
import torchvision
from PIL import Image
from torchvision import tv_tensors
from torchvision.datasets import wrap_dataset_for_transforms_v2
from torchvision.models.detection import ssdlite320_mobilenet_v3_large
from torchvision.models.segmentation import deeplabv3_mobilenet_v3_large
from torchvision.transforms import v2

from augfeed import DataLoader

COUNT, HIGH, WIDE = 4, 60, 80
LOADERS: dict[str, Any] = {
    "torch": (torch.utils.data.DataLoader, {}),
    "ours": (DataLoader, {}),
    "augmented": (DataLoader, {"seed": 1}),
}


@pytest.fixture(name="threads", autouse=True)
def _threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    yield
    torch.set_num_threads(before)


def painted(i: int) -> tuple[np.ndarray[Any, Any], list[int]]:
    x, y, w, h = 5 + 3 * i, 4 + 2 * i, 30 + i, 25 + 2 * i
    image = np.full((HIGH, WIDE, 3), 30, np.uint8)
    image[y : y + h, x : x + w] = 220
    return image, [x, y, w, h]


@pytest.fixture(name="coco")
def _coco(tmp_path: Path) -> Any:
    faster_coco_eval.init_as_pycocotools()  # what torchvision's dataset imports
    told: dict[str, Any] = {"images": [], "annotations": [], "categories": [{"id": 1}]}
    for i in range(COUNT):
        image, box = painted(i)
        Image.fromarray(image).save(tmp_path / f"{i}.png")
        told["images"].append({"id": 7 + i, "file_name": f"{i}.png", "height": HIGH, "width": WIDE})
        x, y, w, h = box
        outline = [x, y, x + w, y, x + w, y + h, x, y + h]
        told["annotations"].append({
            "id": 1 + i, "image_id": 7 + i, "category_id": 1, "bbox": box, "area": w * h,
            "iscrowd": 0, "segmentation": [outline],
        })  # fmt: skip
    (tmp_path / "instances.json").write_text(json.dumps(told))
    steps = v2.Compose([v2.ToImage(), v2.ToDtype(torch.float32, scale=True), v2.ToPureTensor()])
    return lambda keys, pure: wrap_dataset_for_transforms_v2(
        torchvision.datasets.CocoDetection(
            tmp_path, tmp_path / "instances.json",
            transforms=steps if pure else v2.Compose(list(steps.transforms[:2])),
        ), target_keys=keys,
    )  # fmt: skip


def detection_epoch(model: Any, data_loader: Any) -> list[float]:
    """`train_one_epoch` of references/detection/engine.py, on a CPU."""
    optimizer = torch.optim.SGD(model.parameters(), lr=0.005, momentum=0.9, weight_decay=1e-4)
    model.train()
    seen = []
    for images, targets in data_loader:
        images = [image.to("cpu") for image in images]
        targets = [{k: v.to("cpu") if isinstance(v, torch.Tensor) else v for k, v in t.items()}
                   for t in targets]  # fmt: skip
        loss_dict = model(images, targets)
        losses = sum(loss for loss in loss_dict.values())
        assert math.isfinite(losses.item()), loss_dict
        optimizer.zero_grad()
        losses.backward()
        optimizer.step()
        seen.append(losses.item())
    return seen


def collate_detection(batch: Any) -> Any:
    return tuple(zip(*batch, strict=True))


@pytest.mark.parametrize("name", LOADERS)
def test_the_reference_of_detection_runs_an_epoch(name: str, coco: Any) -> None:
    cls, more = LOADERS[name]
    if name == "augmented":
        more = {**more, "policy": "random_iou_crop(64) | hflip | color_jitter(0.2, 0.2, 0.2)"}
    data = coco(["boxes", "labels", "image_id"], pure=name != "augmented")
    loader = cls(data, batch_size=2, shuffle=True, collate_fn=collate_detection, **more)
    model = ssdlite320_mobilenet_v3_large(weights=None, weights_backbone=None, num_classes=2)
    assert len(detection_epoch(model, loader)) == COUNT // 2


@pytest.mark.parametrize("masks", ["with masks", "without"])
def test_what_the_reference_of_detection_gets_is_where_the_pixels_are(
    masks: str, coco: Any
) -> None:
    keys = ["boxes", "labels", "image_id", *(["masks"] if masks == "with masks" else [])]
    policy = "hflip(p=1.0) | scale((1.0, 1.4), p=1.0)"
    loader = DataLoader(coco(keys, pure=False), batch_size=2, collate_fn=collate_detection,
                        policy=policy, seed=1)  # fmt: skip
    count = 0
    for images, targets in loader:
        for image, target in zip(images, targets, strict=True):
            assert isinstance(target["boxes"], tv_tensors.BoundingBoxes)
            ys, xs = torch.nonzero(image[0] > 0.5, as_tuple=True)
            found = torch.stack([xs.min(), ys.min(), xs.max() + 1, ys.max() + 1])
            assert (target["boxes"][0] - found).abs().max() <= 1
            assert target["labels"].tolist() == [1] and target["image_id"] == 7 + count
            if "masks" in keys:
                assert ((target["masks"][0] > 0) != (image[0] > 0.5)).float().mean() < 0.02
            count += 1
    assert count == COUNT


@pytest.fixture(name="voc")
def _voc(tmp_path: Path) -> Any:
    base = tmp_path / "VOCdevkit" / "VOC2012"
    for part in ("JPEGImages", "SegmentationClass", "ImageSets/Segmentation"):
        (base / part).mkdir(parents=True)
    for i in range(COUNT):
        image, (x, y, w, h) = painted(i)
        Image.fromarray(image).save(base / "JPEGImages" / f"{i}.jpg", quality=95)
        mask = np.zeros((HIGH, WIDE), np.uint8)
        mask[y : y + h, x : x + w] = 1
        mask[y, x : x + w] = 255  # a border that counts for nothing
        classes = Image.fromarray(mask).convert("L").convert("P")
        classes.putdata(mask.ravel().tolist())
        classes.save(base / "SegmentationClass" / f"{i}.png")
    names = "\n".join(map(str, range(COUNT)))
    (base / "ImageSets" / "Segmentation" / "train.txt").write_text(names)
    types = {tv_tensors.Image: torch.float32, tv_tensors.Mask: torch.int64, "others": None}
    flat = v2.Lambda(lambda mask: mask.squeeze(0), tv_tensors.Mask)
    steps = v2.Compose([v2.ToImage(), v2.ToDtype(types, scale=True), flat])
    data = torchvision.datasets.VOCSegmentation(tmp_path, image_set="train", transforms=steps)
    return wrap_dataset_for_transforms_v2(data)


def cat_list(images: Any, fill_value: int = 0) -> torch.Tensor:
    """As in references/segmentation/utils.py."""
    max_size = tuple(max(s) for s in zip(*[img.shape for img in images], strict=True))
    batch_shape = (len(images), *max_size)
    batched_imgs: torch.Tensor = images[0].new(*batch_shape).fill_(fill_value)
    for img, pad_img in zip(images, batched_imgs, strict=True):
        pad_img[..., : img.shape[-2], : img.shape[-1]].copy_(img)
    return batched_imgs


def collate_segmentation(batch: Any) -> Any:
    images, targets = list(zip(*batch, strict=True))
    return cat_list(images, fill_value=0), cat_list(targets, fill_value=255)


def segmentation_epoch(model: Any, data_loader: Any) -> list[float]:
    """`train_one_epoch` of references/segmentation/train.py, on a CPU."""
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9, weight_decay=1e-4)
    steps = len(data_loader)
    schedule = torch.optim.lr_scheduler.PolynomialLR(optimizer, total_iters=steps, power=0.9)
    model.train()
    seen = []
    for image, target in data_loader:
        output = model(image)
        losses = {name: torch.nn.functional.cross_entropy(x, target, ignore_index=255)
                  for name, x in output.items()}  # fmt: skip
        loss = losses["out"] + 0.5 * losses["aux"]
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        schedule.step()
        assert math.isfinite(loss.item())
        seen.append(loss.item())
    return seen


@pytest.mark.parametrize("name", LOADERS)
def test_the_reference_of_segmentation_runs_an_epoch(name: str, voc: Any) -> None:
    cls, more = LOADERS[name]
    if name == "augmented":
        more = {**more, "policy": "random_resized_crop(48, (0.5, 1.0)) | hflip | rotate(10)"}
    loader = cls(voc, batch_size=2, shuffle=True, drop_last=True, collate_fn=collate_segmentation,
                 **more)  # fmt: skip
    model = deeplabv3_mobilenet_v3_large(weights=None, weights_backbone=None, num_classes=2,
                                         aux_loss=True)  # fmt: skip
    assert len(segmentation_epoch(model, loader)) == COUNT // 2
