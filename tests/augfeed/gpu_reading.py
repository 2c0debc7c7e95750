"""Checks of reading that need an NVIDIA GPU: DALI's decoding, images kept in the GPU's memory."""

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from augfeed import DataLoader
from augfeed.read.cache import Cache
from augfeed.read.dali import available
from tests.augfeed.gpu_loaders import ENGINE, REAL

POLICY = "random_resized_crop(64) | hflip | one_of([mixup(1.0), cutmix])"
COUNT = 48
# Of 255. nvJPEG's inverse DCT and chroma are not libjpeg's, and DALI repeats the border pixel.
MEAN, WORST = 2.5, 16.0


def photographs(root: Path) -> None:
    """Write smooth images in all orientations, every sixth of them as PNG."""
    for k in range(COUNT):
        coarse = np.random.default_rng(k).integers(0, 256, (6, 8, 3), np.uint8)
        size = (90 + 11 * (k % 5), 70 + 7 * (k % 3)) if k % 4 else (600, 420)
        image = Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC)
        path, exif = root / "ab"[k % 2] / f"{k:02}{'.png' if k % 6 == 5 else '.jpg'}", Image.Exif()
        path.parent.mkdir(exist_ok=True)
        exif[0x0112] = k % 8 + 1
        image.save(path, exif=exif, quality=92)


def loader(root: Path, **options: Any) -> DataLoader[Any]:
    given: dict[str, Any] = {"batch_size": 20, "shuffle": True, "seed": 3, "num_workers": 3}
    return DataLoader(root, policy=POLICY, **ENGINE, **{**given, **options})


def digests(made: DataLoader[Any]) -> list[bytes]:
    return [images.cpu().numpy().tobytes() for images, _ in made]


def dali_reads() -> None:
    """DALI on the GPU: the samples and labels of the CPU reader, pixels close to it, same bits."""
    if reason := available() or ("" if REAL else "there is no GPU"):
        raise LookupError(reason)
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        photographs(root)
        ours, other = loader(root, reader="cpu"), loader(root)
        assert other.pipeline.reader == "dali"
        differences = []
        for one, by_dali in zip(ours.batches(), other.batches(), strict=True):
            assert torch.equal(one.ids, by_dali.ids) and torch.equal(one.targets, by_dali.targets)
            difference = (one.images - by_dali.images).abs().mean(dim=(1, 2, 3)) * 255
            differences += difference.tolist()
        print(f"mean {np.mean(differences):.3f}, largest {np.max(differences):.3f} of 255")
        assert np.mean(differences) < MEAN and np.max(differences) < WORST
        known = digests(loader(root))
        assert digests(loader(root, num_workers=0)) == known
        (root / "a" / "00.jpg").write_bytes((root / "a" / "00.jpg").read_bytes()[:300])
        made = loader(root, on_error="replace")
        assert sum(len(images) for images, _ in made) == COUNT and len(made.unread) == 1


def cache_on_the_device() -> None:
    """Images kept on the GPU give the batches that images kept in RAM give, cold and warm."""
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        photographs(root)
        known = digests(loader(root, cache="ram"))
        for limit in (None, 200_000):
            made = loader(root, cache=Cache("gpu" if REAL else "ram", limit=limit))
            assert digests(made) == known
            made.set_epoch(0)
            assert digests(made) == known


READING = {"dali_reads": dali_reads, "cache_on_the_device": cache_on_the_device}
