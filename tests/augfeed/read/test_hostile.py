"""Hostile and unusual files through the whole loader: nothing is lost, nothing hangs or grows."""

import io
import json
import os
import shutil
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_sample_image

import augfeed
from augfeed.errors import ReadError
from augfeed.read.dali import available
from tests.template import run_script

BAD = Path(os.environ.get("AUGFEED_BAD_IMAGES", ""))
BAD_LIST = BAD / "expectations.json"
# What Pillow decodes and we refuse, with the reason.
STRICTER = {
    "jpeg_declares_8000x8000.jpg": "most of its pixels are not in it: Pillow makes them gray"
}
WHOLE = "resize([8, 8])"  # every pixel of an image takes part
NO_DALI = pytest.mark.skipif(available() is not None, reason=f"{available()}")
READERS = ("cpu", pytest.param("dali", marks=NO_DALI))


def png_bomb(side: int) -> bytes:
    """A PNG of some kilobytes that declares, and holds, `side` x `side` pixels of one bit."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        check = struct.pack(">I", zlib.crc32(kind + data))
        return struct.pack(">I", len(data)) + kind + data + check

    packer = zlib.compressobj(9)
    row = bytes(1 + (side + 7) // 8)
    rows = b"".join(packer.compress(row) for _ in range(side)) + packer.flush()
    header = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    parts = (chunk(b"IHDR", header), chunk(b"IDAT", rows), chunk(b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def declared(data: bytes, height: int, width: int) -> bytes:
    at = data.index(b"\xff\xc0") + 5
    return data[:at] + struct.pack(">HH", height, width) + data[at + 4 :]


def photo() -> bytes:
    file = io.BytesIO()
    Image.fromarray(load_sample_image("china.jpg")).save(file, "JPEG")
    return file.getvalue()


def scans(count: int) -> bytes:
    """A progressive JPEG whose last scan comes again and again."""
    file = io.BytesIO()
    Image.fromarray(load_sample_image("china.jpg")).save(file, "JPEG", progressive=True)
    data = file.getvalue()
    last = data.rindex(b"\xff\xda")
    return data[:last] + data[last:-2] * count + data[-2:]


@pytest.fixture(scope="module")
def bombs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("bombs")
    for k in range(6):
        (root / f"good-{k}.jpg").write_bytes(photo())
    (root / "png-20000.png").write_bytes(png_bomb(20000))
    for side in (65500, 20000, 8000):
        (root / f"jpeg-{side}.jpg").write_bytes(declared(photo(), side, side))
    return root


MEASURE = """
import resource, sys
import augfeed

def run(folder):
    loader = augfeed.DataLoader(folder, batch_size=4, policy="random_resized_crop(32)", seed=0,
                                on_error="replace", num_workers=2)
    count = sum(len(images) for images, _ in loader)
    return count, len(loader.unread)

good = run(sys.argv[1])
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
bad = run(sys.argv[2])
after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(*good, *bad, (after - before) // 1024)
"""


def test_bombs_take_no_memory(bombs: Path, tmp_path: Path) -> None:
    for path in bombs.glob("good*"):
        shutil.copy(path, tmp_path)
    done = run_script(MEASURE, str(tmp_path), str(bombs), imports=["augfeed.loader"])
    assert done.returncode == 0, done.stderr
    good, unread, count, replaced, grown = map(int, done.stdout.split())
    assert (good, unread, count, replaced) == (6, 0, 10, 4)
    assert grown < 64  # MiB; the smallest bomb would take 192


def test_a_scan_that_comes_a_thousand_times_takes_no_time(tmp_path: Path) -> None:
    (tmp_path / "scans.jpg").write_bytes(scans(300))
    with pytest.raises(ReadError, match=r"scans\.jpg: has \d+ scans, more than"):
        next(iter(augfeed.DataLoader(tmp_path, policy="random_resized_crop(32)")))


def expectations() -> dict[str, Any]:
    if not BAD_LIST.is_file():
        pytest.skip("AUGFEED_BAD_IMAGES names no folder with expectations.json")
    files: dict[str, Any] = json.loads(BAD_LIST.read_text())["files"]
    return files


@pytest.mark.parametrize("reader", READERS)
def test_every_file_is_as_expected_or_names_itself(tmp_path: Path, reader: Any) -> None:
    for name, expected in expectations().items():
        source = augfeed.open_source([BAD / "files" / name])
        loader = augfeed.DataLoader(source, policy=WHOLE, reader=reader)
        if not expected["decodable_by_pillow"] or name in STRICTER:
            with pytest.raises(ReadError) as caught:
                next(iter(loader))
            assert name in str(caught.value)
            continue
        images = next(iter(loader))[0]
        mean = expected.get("mean_rgb_scaled_to_8bit", expected.get("mean_rgb"))
        if mean is None:
            continue
        found = images.mean(dim=(0, 2, 3)).numpy() * 255
        np.testing.assert_allclose(found, mean, atol=3.0, err_msg=name)


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("mode", ["replace", "skip"])
def test_ninety_percent_good_ones_come_through(tmp_path: Path, mode: Any, reader: Any) -> None:
    files = expectations()
    refused = [name for name, expected in files.items()
               if not expected["decodable_by_pillow"] or name in STRICTER]  # fmt: skip
    for k in range(9 * len(files)):
        path = tmp_path / "good" / f"{k:04}.jpg"
        path.parent.mkdir(exist_ok=True)
        if k:
            os.link(tmp_path / "good" / "0000.jpg", path)
        else:
            path.write_bytes(photo())
    sources = [*sorted((tmp_path / "good").iterdir()), *(BAD / "files" / name for name in files)]
    loader = augfeed.DataLoader(
        augfeed.open_source(sources), batch_size=32, shuffle=True, seed=0, num_workers=2,
        policy=WHOLE, on_error=mode, reader=reader,
    )  # fmt: skip
    count = sum(len(images) for images, _ in loader)
    assert count == len(sources) - (len(refused) if mode == "skip" else 0)
    assert sorted(Path(item.path).name for item in loader.unread) == sorted(refused)
