"""Images that come with scikit-learn: handwritten digits, and crops of its two photographs."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from PIL import Image

from augfeed.errors import MissingExtraError
from augfeed.read.folder import FolderSource
from augfeed.read.sources import Source, open_source
from augfeed.replaced_file import save_image

DIGITS, PHOTOS = "digits", "photos"
CUT = (375, 500)  # height, width of a crop of a photograph
GRID = 4  # crops of each photograph, along each side


def digits() -> Source:
    """Return scikit-learn's 1,797 digits of 8 x 8 pixels."""
    return open_source(_sklearn().load_digits())


def photos(folder: Path) -> FolderSource:
    """Write overlapping crops of two photographs as JPEG files and return them as a source."""
    bunch = _sklearn().load_sample_images()
    samples: list[tuple[Path, int]] = []
    classes = [Path(name).stem for name in bunch.filenames]
    for label, (name, picture) in enumerate(zip(classes, bunch.images, strict=True)):
        (folder / name).mkdir(parents=True)
        for k in range(GRID * GRID):
            top, left = ((side - cut) * place // (GRID - 1) for side, cut, place in zip(
                picture.shape, CUT, divmod(k, GRID), strict=False
            ))  # fmt: skip
            path = folder / name / f"{k:02}.jpg"
            crop = Image.fromarray(picture[top : top + CUT[0], left : left + CUT[1]])
            save_image(path, crop, quality=90)
            samples.append((path, label))
    return FolderSource.of(samples, classes)


@contextmanager
def opened(data: str, split: str = "train") -> Iterator[Source]:
    """Open a path, or the embedded `digits` or `photos` where there is no path of that name."""
    if data not in (DIGITS, PHOTOS) or Path(data).exists():
        yield open_source(data, split=split)
        return
    print(f"no file or folder {data!r} here: the embedded {data}", file=sys.stderr)
    if data == DIGITS:
        yield digits()
    else:
        with TemporaryDirectory(prefix="augfeed-") as folder:
            yield photos(Path(folder))


def _sklearn() -> Any:
    try:
        from sklearn import datasets
    except ImportError:
        raise MissingExtraError("scikit-learn", "demo") from None
    return datasets
