"""Masks and boxes that follow their images: `python -m benchmarks.bench_targets`.

Photographs of 500 x 375 with masks, cropped to 512, flipped and jittered; and mosaics of 640 with
boxes. Contestants are timed by turns, once each has passed the gate: targets fit their pixels.
"""

import argparse
import gc
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import simplejpeg
import torch
from rich.console import Console
from torch.utils.data import DataLoader as TorchLoader
from torch.utils.data import Dataset

from augfeed import DataLoader
from augfeed.datasets import MaskFolder, YOLODetection
from benchmarks import common, peer_targets
from benchmarks.contest import Contestant, Job
from benchmarks.gate import GateError
from benchmarks.result import Ratio, Result, Row, Spread, commit_here, machine_here, now
from benchmarks.result import versions_here as versions
from benchmarks.table import render
from benchmarks.targets_data import Scenes, check_boxes, check_masks, make_scenes

SAMPLES, QUICK = 256, 32
MASK_POLICY = "random_resized_crop(512) | hflip | color_jitter(0.4, 0.4, 0.4)"
MOSAIC_POLICY = "letterbox(640) | mosaic(zoom=(0.5, 1.5), shift=0.1) | hflip"
FILES = "augfeed, files read in threads"
WORKERS = "augfeed, a dataset of the caller's in DataLoader workers"
Batches = Callable[[], Iterator[tuple[Any, Any]]]
Check = Callable[[str, Iterator[Any], int], None]


@dataclass(frozen=True)
class Question:
    """One question: what is made, who makes it, and what the gate looks at."""

    name: str
    title: str
    policy: str
    size: int
    check: Check
    makers: dict[str, tuple[str, Callable[[Scenes, argparse.Namespace], Batches]]]


class Decoded(Dataset[Any]):
    """Samples of images and boxes, decoded by simplejpeg."""

    def __init__(self, scenes: Scenes) -> None:
        self.scenes = scenes

    def __len__(self) -> int:
        return len(self.scenes)

    def __getitem__(self, i: int) -> Any:
        image = simplejpeg.decode_jpeg(self.scenes.images[i].read_bytes(), "RGB")
        boxes = torch.from_numpy(self.scenes.boxes[i])
        return {"image": image, "boxes": boxes, "labels": torch.ones(len(boxes))}


def mask_files(scenes: Scenes, options: argparse.Namespace) -> Batches:
    data = MaskFolder(scenes.folder, num_classes=2)
    loader = DataLoader(data, options.batch, shuffle=True, num_workers=options.threads,
                        policy=MASK_POLICY, seed=1)  # fmt: skip
    return lambda: iter(loader)


def mosaic_files(scenes: Scenes, options: argparse.Namespace) -> Batches:
    data = YOLODetection(scenes.folder, classes=["rectangle"])
    loader = DataLoader(data, options.batch, shuffle=True, num_workers=options.threads,
                        policy=MOSAIC_POLICY, seed=1)  # fmt: skip

    def one_pass() -> Iterator[tuple[Any, Any]]:
        for images, targets in loader:
            yield images, targets["boxes"]

    return one_pass


def mosaics(scenes: Scenes, options: argparse.Namespace) -> Batches:
    loader = DataLoader(
        Decoded(scenes), options.batch, shuffle=True, policy=MOSAIC_POLICY, seed=1,
        fields={"boxes": "boxes"}, **_workers(options),
    )  # fmt: skip

    def one_pass() -> Iterator[tuple[Any, Any]]:
        for batch in loader:
            yield batch["image"], batch["boxes"]

    return one_pass


def _peer(
    kind: Callable[[Scenes, int], Dataset[Any]], size: int, scenes: Scenes,
    options: argparse.Namespace,
) -> Batches:  # fmt: skip
    loader = TorchLoader(kind(scenes, size), options.batch, shuffle=True, collate_fn=_listed,
                         **_workers(options))  # fmt: skip
    return lambda: iter(loader)


def _listed(samples: Sequence[Any]) -> Any:
    images, targets = zip(*samples, strict=True)
    alike = len({target.shape for target in targets}) == 1 and targets[0].ndim == 2
    masks = alike and targets[0].dtype == torch.int64
    return torch.stack(images), torch.stack(targets) if masks else list(targets)


def _workers(options: argparse.Namespace) -> dict[str, Any]:
    return common.workers_of(Job[Any](None, None, 0, options.batch, options.threads,  # type: ignore[arg-type]
                                      options.threads))  # fmt: skip


def questions() -> tuple[Question, ...]:
    """Return what is asked, with the peers that are installed."""
    masks: Any = {"augfeed": (FILES, mask_files)}
    boxes: Any = {"augfeed": (FILES, mosaic_files), "augfeed, general": (WORKERS, mosaics)}
    if peer_targets.has("torchvision"):
        maker = partial(_peer, peer_targets.TorchvisionMasks, 512)
        masks["torchvision"] = ("torchvision v2 with tv_tensors in DataLoader workers", maker)
    if peer_targets.has("albumentations"):
        maker = partial(_peer, peer_targets.AlbumentationsMasks, 512)
        masks["albumentations"] = ("AlbumentationsX in DataLoader workers", maker)
    if peer_targets.has("cv2"):
        maker = partial(_peer, peer_targets.OpencvMosaics, 640)
        boxes["opencv"] = ("a mosaic of NumPy and OpenCV in DataLoader workers", maker)
    return (
        Question("targets-masks", "JPEG photographs of 500 px with masks to 512 x 512",
                 MASK_POLICY, 512, check_masks, masks),
        Question("targets-mosaic", "mosaics of JPEG photographs with boxes, 640 x 640",
                 MOSAIC_POLICY, 640, check_boxes, boxes),
    )  # fmt: skip


def measure(question: Question, scenes: Scenes, options: argparse.Namespace) -> Result:
    """Return the result of a question; raise `GateError` before any time is taken."""
    torch.set_num_threads(options.threads)
    machine, entries = machine_here(options.threads), []
    for name, (title, make) in question.makers.items():
        batches = make(scenes, options)
        question.check(name, batches(), question.size)
        contestant: Contestant[Any] = Contestant(name, title, lambda job: lambda: iter(()))
        entry = common.Entry(contestant, batches)
        once = common.timed(entry, len(scenes))
        passes = max(1, min(common.MOST_PASSES, round(common.SHORTEST / once)))
        entries.append(replace(entry, passes=passes))
    seconds: dict[str, list[float]] = {entry.contestant.name: [] for entry in entries}
    for _ in range(options.rounds):
        for entry in entries:
            gc.collect()
            seconds[entry.contestant.name].append(common.timed(entry, len(scenes)))
    rows = tuple(
        Row(name=entry.contestant.name, title=entry.contestant.title, work="whole", differs="",
            passes=entry.passes, seconds=tuple(own), rate=Spread.of([len(scenes) / t for t in own]),
            slower=Ratio.of(own, seconds["augfeed"]), of_limit=None)
        for entry in entries for own in [seconds[entry.contestant.name]]
    )  # fmt: skip
    return Result(
        suite=question.name, title=question.title, date=now(),
        command=common.command_of("targets", options), commit=commit_here(), machine=machine,
        versions=versions(), data=f"{len(scenes)} photographs with painted objects",
        samples=len(scenes), batch=options.batch, chain=question.policy, rounds=options.rounds,
        rows=rows,
    )  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> int:
    parser = common.parser("targets", "not used: data are made", batch=16)
    options = parser.parse_args(arguments)
    start = time.perf_counter()
    options.rounds = options.rounds or (common.QUICK_ROUNDS if options.quick else common.ROUNDS)
    count = (options.samples or (QUICK if options.quick else SAMPLES)) // options.batch
    with tempfile.TemporaryDirectory() as name:
        scenes = make_scenes(Path(name), max(1, count) * options.batch)
        for question in questions():
            if options.only is not None:
                kept = {"augfeed", *options.only.split(",")}
                makers = {key: one for key, one in question.makers.items() if key in kept}
                question = replace(question, makers=makers)
            try:
                result = measure(question, scenes, options)
            except GateError as error:
                Console(stderr=True).print(f"no figures: the work is not the same\n{error}")
                return 1
            sys.stdout.write(render(result))
            out = options.out or (None if options.quick else common.RESULTS)
            if out is not None:
                path = Path(out) / f"{question.name}.json"
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(result.model_dump_json(indent=1) + "\n")
    Console(stderr=True).print(f"{time.perf_counter() - start:.0f} s")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
