"""Other loaders with means of their own: timm's, and SPDL's threads."""

from collections.abc import Iterator
from importlib import import_module
from typing import Any

import numpy as np
import torch
from torch.utils.data import Dataset

from benchmarks import peer_torch
from benchmarks.chain import AREA, ASPECT, SIMCLR, Chain
from benchmarks.contest import Job, Passes
from benchmarks.data import Photos, resized_crop
from benchmarks.peer_transforms import keep_a_bit, with_pillow

TIMM = (
    "decodes whole images with Pillow; mixes bytes in its workers, partners from the other end; "
    "Cutout stays inside the image, and comes after mixing; noise by PyTorch"
)
SPDL = "no color, mixing, Cutout, noise; labels are numbers; resizes by FFmpeg"


class _Files(Dataset[Any]):
    """Files as timm's own dataset gives them: a PIL image after `transform`, and a label."""

    def __init__(self, photos: Photos) -> None:
        self.photos = photos
        self.transform: Any = None  # set by timm

    def __len__(self) -> int:
        return len(self.photos)

    def __getitem__(self, i: int) -> tuple[Any, int]:
        return self.transform(with_pillow(self.photos.paths[i])), self.photos.labels[i]


def timm(job: Job[Photos]) -> Passes:
    """Return the passes of timm's `create_loader`, with its collation that mixes."""
    chain = job.chain
    loader = _timm_loader(job)

    def one_pass() -> Iterator[tuple[Any, Any]]:
        for images, targets in loader:
            yield peer_torch.add_noise(images, chain), targets

    return one_pass


def _timm_loader(job: Job[Photos]) -> Any:
    data: Any = import_module("timm.data")
    chain = job.chain
    collate = data.FastCollateMixup(
        *chain.alphas, prob=float(chain.mixing), mode="elem", label_smoothing=chain.smoothing,
        num_classes=job.classes,
    )  # fmt: skip
    # Without a crop, of a probe: the window is the whole image.
    area, ratio = (AREA, ASPECT) if chain.crop else ((1.0, 1.0), (4 / 3, 4 / 3))
    files = _Files(job.data)
    loader = data.create_loader(
        files, (3, chain.size, chain.size), job.batch, is_training=True,
        scale=area, ratio=ratio, hflip=chain.flip, mean=chain.mean, std=chain.std,
        re_prob=chain.erasing or float(chain.cutout > 0), **_looks(chain),
        num_workers=job.workers, persistent_workers=job.workers > 0,
        collate_fn=collate if chain.softens else None, device=torch.device("cpu"),
    )  # fmt: skip
    for part in files.transform.transforms:
        keep_a_bit(part)
    if chain.cutout:  # a square of one size, which its arguments cannot say
        erasing = loader.random_erasing
        erasing.min_area = erasing.max_area = (chain.cutout / chain.size) ** 2
        erasing.log_aspect_ratio = (0.0, 0.0)
    return loader


def _looks(chain: Chain) -> dict[str, Any]:
    # What changes levels, by timm's own options.
    if chain.program == SIMCLR:
        return {"color_jitter": (0.8, 0.8, 0.8, 0.2), "color_jitter_prob": 0.8,
                "grayscale_prob": 0.2, "gaussian_blur_prob": 0.5}  # fmt: skip
    if chain.program:
        return {"auto_augment": chain.program.split('"')[1], "color_jitter": None}
    return {"color_jitter": chain.jitter if any(chain.jitter) else None}


def has_spdl() -> bool:
    """Return whether SPDL is installed, and with it a version of FFmpeg that it can load."""
    try:
        import_module("spdl.io").demux_image(b"no picture")
    except ImportError:
        return False
    except RuntimeError as error:  # FFmpeg's own, of these bytes, if there is one
        return "libspdl" not in str(error).partition("(")[0]
    return True


def spdl_basic(job: Job[Photos]) -> Passes:
    """Return passes of crop, resize, flip and normalization in the threads of SPDL's pipeline."""
    parts: Any = import_module("spdl.pipeline")
    photos, chain = job.data, job.chain

    def decode(i: int) -> tuple[Any, int]:
        return _with_ffmpeg(photos.paths[i], chain), photos.labels[i]

    def collate(samples: list[tuple[Any, int]]) -> tuple[torch.Tensor, torch.Tensor]:
        pixels = torch.from_numpy(np.stack([pixels for pixels, _ in samples]))
        values = pixels.permute(0, 3, 1, 2).float().div_(255)
        images = peer_torch.normalise(values, chain).contiguous()
        return images, torch.tensor([label for _, label in samples])

    def one_pass() -> Iterator[tuple[Any, Any]]:
        order = torch.randperm(len(photos)).tolist()
        pipeline = (
            parts.PipelineBuilder().add_source(order).pipe(decode, concurrency=job.threads)
            .aggregate(job.batch, drop_last=True).pipe(collate).add_sink(2)
            .build(num_threads=job.threads)
        )  # fmt: skip
        with pipeline.auto_stop():
            yield from pipeline.get_iterator()

    return one_pass


def _with_ffmpeg(path: str, chain: Chain) -> Any:
    io: Any = import_module("spdl.io")
    packets = io.demux_image(path)
    left, top, right, bottom = resized_crop(packets.width, packets.height)
    steps = [
        f"crop={right - left}:{bottom - top}:{left}:{top}",
        f"scale={chain.size}:{chain.size}:flags=bilinear",
        *(["hflip"] if torch.rand(()) < chain.flip else []),
        "format=pix_fmts=rgb24",
    ]
    frames = io.decode_packets(packets, filter_desc=",".join(steps))
    return io.to_numpy(io.convert_frames(frames))
