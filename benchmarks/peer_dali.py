"""NVIDIA DALI's own pipeline, reader to normalized batch, on the CPU."""

from collections.abc import Iterator
from importlib import import_module
from typing import Any

from torch.utils.dlpack import from_dlpack

from benchmarks.chain import AREA, ASPECT
from benchmarks.contest import Job, Passes
from benchmarks.data import Photos

DIFFERS = "no color, mixing, Cutout, noise; labels are numbers; its own order"


def dali_basic(job: Job[Photos]) -> Passes:
    """Return passes of crop, resize, flip and normalization, each shuffled again."""
    pipeline = _pipeline(job)
    steps = len(job.data) // job.batch

    def one_pass() -> Iterator[tuple[Any, Any]]:
        for _ in range(steps):
            images, labels = pipeline.run()
            yield (
                from_dlpack(images.as_tensor()),
                from_dlpack(labels.as_tensor())[:, 0].long(),
            )

    return one_pass


def _pipeline(job: Job[Photos]) -> Any:
    # As `Any`: its annotations lag behind what it takes.
    dali: Any = import_module("nvidia.dali")
    fn: Any = import_module("nvidia.dali.fn")
    types: Any = import_module("nvidia.dali.types")
    chain = job.chain

    def build() -> Any:
        encoded, labels = fn.readers.file(
            files=list(job.data.paths), labels=list(job.data.labels), random_shuffle=True,
            initial_fill=len(job.data), name="reader",
        )  # fmt: skip
        pictures = fn.decoders.image_random_crop(
            encoded, device="cpu", random_area=list(AREA), random_aspect_ratio=list(ASPECT)
        )
        resized = fn.resize(
            pictures, size=[chain.size] * 2, interp_type=types.INTERP_LINEAR, antialias=True
        )
        images = fn.crop_mirror_normalize(
            resized, mirror=fn.random.coin_flip(probability=chain.flip), output_layout="CHW",
            mean=[255 * value for value in chain.mean], std=[255 * value for value in chain.std],
        )  # fmt: skip
        return images, labels

    # Nothing is made ahead: what is left of a pass would be made while others are timed, and then
    # be there when the next pass begins.
    define = dali.pipeline_def(
        batch_size=job.batch, num_threads=job.threads, device_id=None, exec_async=False,
        exec_pipelined=False, prefetch_queue_depth=1,
    )  # fmt: skip
    pipeline = define(build)()
    pipeline.build()
    return pipeline
