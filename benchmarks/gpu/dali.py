"""DALI's decoding in augfeed's order beside DALI's own pipeline, on a GPU: images/s.

`python -m benchmarks.gpu.dali --out FILE`: decode, random resized crop to 224, flip, normalize, in
bfloat16 (DALI: float16). Both decode with nvJPEG; augfeed's order, windows and flips are those of
its plan.
"""

import argparse
import gc
import tempfile
import time
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from augfeed.bench.machine import commit_here, device_here, machine_here, now, versions_of
from augfeed.bench.result import Spread
from augfeed.doctor.environment import cores
from augfeed.read.dali import available
from benchmarks.bench_photos import CHAIN
from benchmarks.chain import AREA, ASPECT, Augfeed
from benchmarks.contest import Job, Passes
from benchmarks.data import Photos, make_photos, read_photos
from benchmarks.result import Ratio
from benchmarks.result_training import Row, TrainingResult

ROUNDS, BATCH, SAMPLES = 5, 256, 8_192
PACKAGES = ("torch", "nvidia-dali-cuda130", "nvidia-nvimgcodec-cu13", "numpy", "simplejpeg")
DEPTH = 3  # batches that DALI's own pipeline makes ahead


def own(job: Job[Photos], device: torch.device) -> Passes:
    """Return passes of DALI's own pipeline: its reader, its order, its windows."""
    dali: Any = import_module("nvidia.dali")
    fn: Any = import_module("nvidia.dali.fn")
    types: Any = import_module("nvidia.dali.types")
    torch_plugin: Any = import_module("nvidia.dali.plugin.pytorch")
    chain, cuda = job.chain, device.type == "cuda"

    @dali.pipeline_def(  # type: ignore[untyped-decorator, unused-ignore]
        batch_size=job.batch, num_threads=job.threads, device_id=0 if cuda else None,
        prefetch_queue_depth=DEPTH,
    )  # fmt: skip
    def build() -> Any:
        encoded, labels = fn.readers.file(
            files=list(job.data.paths), labels=list(job.data.labels), random_shuffle=True,
            initial_fill=len(job.data), name="reader",
        )  # fmt: skip
        pictures = fn.decoders.image_random_crop(
            encoded, device="mixed" if cuda else "cpu", random_area=list(AREA),
            random_aspect_ratio=list(ASPECT),
        )  # fmt: skip
        resized = fn.resize(
            pictures, size=[chain.size] * 2, interp_type=types.INTERP_LINEAR, antialias=True
        )
        images = fn.crop_mirror_normalize(
            resized, mirror=fn.random.coin_flip(probability=chain.flip), output_layout="CHW",
            dtype=types.FLOAT16, mean=[255 * value for value in chain.mean],
            std=[255 * value for value in chain.std],
        )  # fmt: skip
        return images, labels.gpu() if cuda else labels

    policy = torch_plugin.LastBatchPolicy.DROP
    made = torch_plugin.DALIGenericIterator(
        [build()], ["images", "labels"], reader_name="reader", last_batch_policy=policy,
        auto_reset=True,
    )  # fmt: skip

    def one_pass() -> Iterator[tuple[Any, Any]]:
        for (given,) in made:
            yield given["images"], given["labels"]

    return one_pass


def feeds(job: Job[Photos], device: torch.device) -> dict[str, tuple[str, Passes]]:
    """Return title and passes of those that are compared, by name."""
    basic = job.chain.only("crop", "flip")
    found: dict[str, tuple[str, Passes]] = {"dali": ("DALI's own pipeline", own(job, device))}
    for name, title, chain, reader in (
        ("augfeed", "augfeed, DALI decodes in its order", basic, "dali"),
        ("augfeed_whole", "the same, whole chain", job.chain, "dali"),
        ("augfeed_cpu", "augfeed, the CPU decodes", basic, "cpu"),
    ):
        options: dict[str, Any] = {"reader": reader, "dtype": torch.bfloat16, "device": device}
        if device.type == "cpu":
            options["engine"] = "portable"
        passes = Augfeed(job.data.source(), chain, batch=job.batch, threads=job.threads, **options)
        found[name] = title, passes
    return found


def timed(passes: Passes, device: torch.device, samples: int, *, exact: bool) -> float:
    """Return the seconds of a pass, in which every batch is looked at.

    Time is taken from the batch `DEPTH` on: DALI's own pipeline made the first ones in the pass
    before.
    """
    gc.collect()
    count, late, total, begun = 0, 0, torch.zeros((), device=device), time.perf_counter()
    for k, (images, _) in enumerate(passes()):
        count, total = count + len(images), total + images[:, 0, 0, 0].float().sum()
        if k < DEPTH:
            float(total)
            late, begun = count, time.perf_counter()
    float(total)  # waits for the device
    taken = time.perf_counter() - begun
    if exact and count != samples:
        raise SystemExit(f"{count} samples came, not {samples}")
    return taken * samples / (count - late)


def main() -> int:
    """Measure, and write the result after each round; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu.dali")
    parser.add_argument("--photos", type=Path)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--commit", help="of the code, where it is not a repository")
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    if reason := available():
        Console().print(reason, markup=False)
        return 0
    device, threads = torch.device(given.device), min(16, cores())
    samples, batch = (64, 16) if given.quick else (SAMPLES, BATCH)
    with tempfile.TemporaryDirectory() as folder:
        data = (
            read_photos(given.photos, samples, batch) if given.photos
            else make_photos(Path(folder), samples, batch)
        )  # fmt: skip
        job = Job(data, CHAIN, data.classes, batch, threads, threads)
        entries = feeds(job, device)
        for title, passes in entries.values():
            first = timed(passes, device, samples, exact=False)
            print(f"{title}: first pass {first:.2f} s", flush=True)
        seconds: dict[str, list[float]] = {name: [] for name in entries}
        for _ in range(2 if given.quick else ROUNDS):
            for name, (_, passes) in entries.items():
                seconds[name].append(timed(passes, device, samples, exact=name != "dali"))
            result = TrainingResult(
                title="DALI on a GPU", date=now(), commit=given.commit or commit_here(),
                machine=machine_here(threads), device=device_here(device),
                versions=versions_of(PACKAGES), rounds=len(seconds["dali"]),
                command="python -m benchmarks.gpu.dali",
                data=f"{data.name}; batches of {batch}",
                rows=tuple(Row(
                    task=f"{samples:,} JPEG files to 224", name=name, title=entries[name][0],
                    seconds=tuple(taken), rate=Spread.of([samples / took for took in taken]),
                    slower=Ratio.of(taken, seconds["augfeed"]),
                    over=Ratio.of(taken, seconds["dali"]), exposed=None,
                ) for name, taken in seconds.items()),
            )  # fmt: skip
            given.out.write_text(result.model_dump_json(indent=1) + "\n")
    for row in result.rows:
        share = 1 / row.over.of_medians
        print(f"{row.title}: {row.rate.median:,.0f} images/s, {share:.2f} x DALI's own")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
