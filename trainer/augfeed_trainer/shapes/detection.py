"""Boxes as maps of centers: what a network is to give, its loss, and boxes of what it gives."""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F

from augfeed.errors import MissingExtraError
from augfeed_trainer.shapes.networks import CenterNet

Boxes = dict[str, torch.Tensor]
MOST_FOUND, SIDES_WEIGHT = 20, 0.2


def center_maps(
    targets: dict[str, Any], classes: int, size: tuple[int, int]
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return what is wanted of a batch: heat `[B, K, h, w]`, sides `[B, 4, h, w]`, and where these
    count, bool `[B, h, w]`. `size` is that of the images; labels count from 1."""
    stride = CenterNet.STRIDE
    height, width = size[0] // stride, size[1] // stride
    count = len(targets["boxes"])
    heat = torch.zeros(count, classes, height, width)
    sides, there = torch.zeros(count, 4, height, width), torch.zeros(count, height, width) > 0
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    for b, (boxes, labels) in enumerate(zip(targets["boxes"], targets["labels"], strict=True)):
        for box, label in zip(boxes / stride, labels.tolist(), strict=True):
            wide, high = box[2] - box[0], box[3] - box[1]
            center = (box[:2] + box[2:]) / 2
            column = min(int(center[0]), width - 1)
            row = min(int(center[1]), height - 1)
            spread = max(float(wide + high) / 12, 0.4)
            spot = torch.exp(-((x - column) ** 2 + (y - row) ** 2) / (2 * spread**2))
            heat[b, label - 1] = torch.maximum(heat[b, label - 1], spot)
            offset = center - torch.tensor([column, row])
            sides[b, :, row, column] = torch.stack([wide, high, offset[0], offset[1]])
            there[b, row, column] = True
    return heat, sides, there


def center_loss(
    made: tuple[torch.Tensor, torch.Tensor], wanted: tuple[torch.Tensor, torch.Tensor, torch.Tensor]
) -> torch.Tensor:
    """Return the focal loss of centers, and the L1 loss of sides, of one batch."""
    (logits, sides), (heat, right, there) = made, wanted
    share = torch.sigmoid(logits)
    hit = heat == 1
    near = (1 - share) ** 2 * F.logsigmoid(logits)
    far = (1 - heat) ** 4 * share**2 * F.logsigmoid(-logits)
    centers = -torch.where(hit, near, far).sum() / hit.sum().clamp(min=1)
    off = (sides - right).abs().sum(1)[there]
    return centers + SIDES_WEIGHT * off.sum() / there.sum().clamp(min=1)


def boxes_of(made: tuple[torch.Tensor, torch.Tensor]) -> list[Boxes]:
    """Return, for each image, "boxes" `[n, 4]` in pixels, "scores" `[n]` and "labels" `[n]`."""
    logits, sides = made
    share, stride = torch.sigmoid(logits), CenterNet.STRIDE
    best = torch.where(F.max_pool2d(share, 3, 1, 1) == share, share, 0)
    count, _, height, width = best.shape
    scores, at = best.reshape(count, -1).topk(MOST_FOUND)
    labels, place = at // (height * width), at % (height * width)
    found = []
    for b in range(count):
        rows, columns = place[b] // width, place[b] % width
        wide, high, right, down = sides[b][:, rows, columns]
        x, y = columns + right, rows + down
        boxes = torch.stack([x - wide / 2, y - high / 2, x + wide / 2, y + high / 2], 1) * stride
        found.append({"boxes": boxes, "scores": scores[b], "labels": labels[b] + 1})
    return found


def evaluation_library() -> Any:
    """Return the module that has COCO's measure; raise `MissingExtraError` without it."""
    try:
        import faster_coco_eval
    except ImportError:
        raise MissingExtraError("faster-coco-eval, which measures mAP,", "coco") from None
    return faster_coco_eval


def mean_average_precision(
    found: Sequence[Boxes], wanted: Sequence[Boxes], size: int, classes: int
) -> dict[str, float]:
    """Return COCO's "map" (over IoU from .50 to .95) and "map_50" of boxes in images."""
    library = evaluation_library()
    images = [{"id": k, "width": size, "height": size} for k in range(len(wanted))]
    truth = [
        {"id": 0, "image_id": k, "category_id": int(label), "iscrowd": 0, **_sides(box)}
        for k, each in enumerate(wanted)
        for box, label in zip(each["boxes"], each["labels"], strict=True)
    ]
    for number, item in enumerate(truth, 1):
        item["id"] = number
    categories = [{"id": k, "name": str(k)} for k in range(1, classes + 1)]
    known = library.COCO({"images": images, "annotations": truth, "categories": categories})
    given = [
        {"image_id": k, "category_id": int(label), "score": float(score), **_sides(box)}
        for k, each in enumerate(found)
        for box, label, score in zip(each["boxes"], each["labels"], each["scores"], strict=True)
    ]
    measured = library.COCOeval_faster(
        known, known.loadRes(given), "bbox", print_function=lambda *_: None
    )
    measured.evaluate()
    measured.accumulate()
    measured.summarize()
    return {"map": float(measured.stats[0]), "map_50": float(measured.stats[1])}


def _sides(box: torch.Tensor) -> dict[str, Any]:
    left, top, right, bottom = box.tolist()
    width, height = max(right - left, 0.0), max(bottom - top, 0.0)
    return {"bbox": [left, top, width, height], "area": width * height}


__all__ = ["boxes_of", "center_loss", "center_maps", "evaluation_library", "mean_average_precision"]
