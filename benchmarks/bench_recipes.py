"""Published recipes, each beside those who have it: `python -m benchmarks.bench_recipes`."""

import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from torch.utils.data import DataLoader

from benchmarks import bench_arrays, bench_photos, common, peer_loaders, peer_transforms
from benchmarks.bench_photos import IN_KORNIA, NOTHING, PILLOW
from benchmarks.chain import SIMCLR, Chain
from benchmarks.contest import Contestant, Job, Passes, Suite
from benchmarks.data import Arrays, CutPhotos, Photos, make_arrays, make_photos, read_photos
from benchmarks.peer_kornia_recipes import TRIVIAL, VIEWS
from benchmarks.peer_kornia_recipes import Recipe as KorniaRecipe

PHOTOS, QUICK_PHOTOS = 768, 192
ARRAYS, QUICK_ARRAYS = 25_600, 5_120
PHOTO = Chain(
    size=224, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225), padding=None, noise=0.0
)
OF_2021 = replace(PHOTO, program="trivial_augment_wide", erasing=0.1, alphas=(0.2, 1.0))
OF_TIMM = replace(OF_2021, program='timm("rand-m9-mstd0.5-inc1")')
OF_SIMCLR = replace(PHOTO, program=SIMCLR, mixing=False, smoothing=0.0)
SMALL = Chain(
    size=32, mean=(0.4914, 0.4822, 0.4465), std=(0.2470, 0.2435, 0.2616), padding=4, noise=0.0,
    mixing=False, smoothing=0.0, program="trivial_augment_wide",
)  # fmt: skip
ERASED = "a box is erased before mixing; mixing for each sample, and soft labels, by PyTorch"
OF_BATCH = "mixes bytes in its workers, partners from the other end"


def kornia_after_workers(job: Job[Photos]) -> Passes:
    """Return passes of workers that decode, cut and flip, and Kornia on the batch."""
    recipe = KorniaRecipe(job.chain, job.classes, whole=False)
    samples = CutPhotos(job.data, job.chain)
    loader = DataLoader(samples, job.batch, shuffle=True, drop_last=True, **common.workers_of(job))

    def one_pass() -> Iterator[tuple[Any, Any]]:
        for images, labels in loader:
            yield recipe.augment(images, labels)

    return one_pass


def kornia_on_batches(job: Job[Arrays]) -> Passes:
    """Return passes of Kornia on batches in this process."""
    return bench_arrays.in_process(job, KorniaRecipe(job.chain, job.classes, whole=True).augment)


def _torchvision(note: str) -> tuple[Contestant[Any], ...]:
    if not (peer_transforms.has("torchvision") and peer_transforms.has("timm")):
        return ()
    name = "torchvision's transforms v2 in DataLoader workers"
    return (Contestant("torchvision", name, peer_transforms.torchvision, note),)


def _timm(note: str) -> tuple[Contestant[Photos], ...]:
    if not peer_transforms.has("timm"):
        return ()
    return (Contestant("timm", "timm's loader", peer_loaders.timm, note),)


PHOTO_BASE: tuple[Contestant[Photos], ...] = (
    Contestant("augfeed", "augfeed", bench_photos.augfeed),
    Contestant("decoding", "simplejpeg in threads", bench_photos.decoding, NOTHING, "decode"),
)


@dataclass(frozen=True)
class Recipe:
    """A recipe: its chain, who does it, and what is said of both."""

    title: str
    chain: Chain
    contestants: Callable[[], tuple[Contestant[Any], ...]]

    @property
    def small(self) -> bool:
        """Whether images are in memory."""
        return self.chain.padding is not None


RECIPES = {
    "2021": Recipe(
        "torchvision's of 2021 (TrivialAugmentWide, erasing, Mixup or CutMix), photos to 224",
        OF_2021, lambda: (*PHOTO_BASE, *_torchvision(f"{PILLOW}; {ERASED}")),
    ),
    "timm": Recipe(
        "timm's RandAugment (rand-m9-mstd0.5-inc1), erasing, Mixup or CutMix, photos to 224",
        OF_TIMM, lambda: (
            *PHOTO_BASE, *_torchvision(f"{PILLOW}; RandAugment by timm; {ERASED}"),
            *_timm(f"{PILLOW}; a box is erased after mixing; {OF_BATCH}"),
        ),
    ),
    "simclr": Recipe(
        "a view of SimCLR (crop, flip, jitter, gray, blur), photos to 224",
        OF_SIMCLR, lambda: (
            *PHOTO_BASE, *_torchvision(PILLOW), *_timm(PILLOW),
            Contestant("kornia", IN_KORNIA, kornia_after_workers, f"{PILLOW}; {VIEWS}"),
        ),
    ),
    "small": Recipe(
        "32 x 32 x 3 in memory: crop, flip, TrivialAugmentWide",
        SMALL, lambda: (
            Contestant("augfeed", "augfeed", bench_arrays.augfeed), *_torchvision(""),
            Contestant("kornia", "Kornia's classes on the batch", kornia_on_batches, TRIVIAL),
        ),
    ),
}  # fmt: skip


def suite_of(name: str, options: Any, folder: Path) -> Suite[Any]:
    """Return the suite of a recipe; photos that are made go into `folder`."""
    recipe = RECIPES[name]
    made, probes = folder / "made", folder / "probes"
    batch = options.batch * (4 if recipe.small else 1)
    data: Photos | Arrays
    if recipe.small:
        wanted = options.samples or (QUICK_ARRAYS if options.quick else ARRAYS)
        data, tried = make_arrays(wanted, batch, 32, 3), bench_arrays.Probes(recipe.chain)
    else:
        made.mkdir(exist_ok=True)
        probes.mkdir(exist_ok=True)
        wanted = options.samples or (QUICK_PHOTOS if options.quick else PHOTOS)
        data = (
            read_photos(options.data, wanted, batch)
            if options.data
            else make_photos(made, wanted, batch)
        )
        tried = bench_photos.Probes(probes)  # type: ignore[assignment]
    job = Job(data, recipe.chain, data.classes, batch, options.threads, options.threads)
    return Suite(f"recipes-{name}", recipe.title, data.name, job, recipe.contestants(), tried)


def main(arguments: Sequence[str] | None = None) -> int:
    data = "folder with a folder of JPEG files for every class; default: made of two photographs"
    parser = common.parser("recipes", data, batch=64)
    parser.add_argument("--recipe", choices=tuple(RECIPES), help="one of them; default: all")
    options = parser.parse_args(arguments)
    if options.out and not options.recipe:
        parser.error("--out is one file: say which --recipe it is of")
    status = 0
    for name in [options.recipe] if options.recipe else RECIPES:
        options.recipe = name
        with tempfile.TemporaryDirectory() as folder:
            status |= common.main(suite_of(name, options, Path(folder)), options)
    return status


if __name__ == "__main__":
    raise SystemExit(main())
