"""Frames by NVIDIA DALI: pixels, damage, threads."""

import io
import multiprocessing
import pickle
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import cycle, product
from multiprocessing.pool import Pool
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from augfeed.constants import BICUBIC, NEAREST
from augfeed.errors import InputError
from augfeed.kernels.resample import resample
from augfeed.plan.windows import Windows
from augfeed.read import dali
from augfeed.read.crop import Pair, View
from augfeed.read.dali import DaliDecoder, available, fits
from augfeed.read.decode import Channels, decode
from augfeed.read.exif import upright_size
from augfeed.read.jpeg import read_header
from tests.waiting import HANG

needs_dali = pytest.mark.skipif(available() is not None, reason=f"{available()}")

Pixels = NDArray[np.uint8]
SIZE = (24, 24)
WIDE = (18, 31)
CPU = torch.device("cpu")
ENCODINGS: tuple[dict[str, Any], ...] = (
    {"subsampling": 0}, {"subsampling": 1}, {"subsampling": 2}, {"progressive": True},
    {"restart_marker_rows": 1}, {"grey": True}, {"grey": True, "progressive": True},
)  # fmt: skip


def photo(height: int, width: int, seed: int = 0) -> Image.Image:
    coarse = np.random.default_rng(seed).integers(0, 256, (7, 9, 3), np.uint8)
    return Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)


def jpeg(height: int = 75, width: int = 98, held: int = 1, seed: int = 0, **options: Any) -> bytes:
    """Return a JPEG that is stored with these sides."""
    image, file, exif = photo(height, width, seed), io.BytesIO(), Image.Exif()
    exif[0x0112] = held
    image = image.convert("L") if options.pop("grey", False) else image
    image.save(file, "JPEG", quality=90, exif=exif, **options)
    return file.getvalue()


class Batch(NamedTuple):
    """What a decoder is given, and one view a sample."""

    files: list[bytes]
    windows: Windows
    held: NDArray[np.int64]
    sizes: NDArray[np.int64]
    views: list[View]

    @classmethod
    def of(cls, files: list[bytes], views: list[View]) -> "Batch":
        headers = [header for header in map(read_header, files) if header is not None]
        held = np.array([header.orientation for header in headers], np.int64)
        sizes = [upright_size((one.height, one.width), one.orientation) for one in headers]
        parts = [np.array([view[i] for view in views], np.int32).reshape(-1, n)
                 for i, n in enumerate((4, 2, 2, 1))]  # fmt: skip
        cut = Windows(parts[0], parts[1], parts[2], parts[3][:, 0])
        return cls(files, cut, held, np.array(sizes, np.int64).reshape(-1, 2), views)

    def frames(self, decoder: DaliDecoder) -> Pixels:
        made, failed = decoder.frames(self.files, self.windows, self.held, self.sizes)
        assert made.dtype == torch.uint8 and made.is_contiguous() and not failed.size
        frames: Pixels = made.cpu().numpy()
        return frames

    def expected(self, size: Pair, channels: Channels) -> Pixels:
        out = np.empty((len(self.files), *size, channels), np.uint8)
        for file, view, frame in zip(self.files, self.views, out, strict=True):
            resample(decode(file, "a.jpg", channels), *view, 0, np.zeros(channels), frame)
        return out


def views(size: Pair) -> Iterator[View]:
    """Yield windows in images of at least 75 pixels a side, in turn."""
    height, width = size
    return cycle((
        View((0, 0, 75, 75), size, (0, 0)),
        View((5, 9, 61, 40), size, (0, 0)),
        View((30, 17, 11, 13), size, (0, 0), BICUBIC),  # enlarged
        View((3, 2, 70, 73), (height + 9, width + 4), (6, 1)),  # part of what is resized
        View((2, 4, 73, 71), (height + 9, width + 4), (6, 1), BICUBIC),
        View((1, 0, 74, 75), (74, 75), (29, 40)),  # not resized
        View((0, 0, 75, 70), (height, width + 30), (0, 30)),  # at the end of the box
    ))  # fmt: skip


def batch(size: Pair = SIZE, helds: Any = range(1, 9)) -> Batch:
    """Return every encoding in every orientation, each with another window than its neighbors."""
    files = [jpeg(held=held, seed=held, **options) for held, options in product(helds, ENCODINGS)]
    return Batch.of(files, [view for view, _ in zip(views(size), files, strict=False)])


def inner(frames: Pixels) -> NDArray[np.int64]:
    return frames[:, 2:-2, 2:-2].astype(np.int64)


@needs_dali
@pytest.mark.parametrize("channels", [1, 3])
def test_frames_on_a_cpu_equal_those_of_the_cpu_reader(channels: Channels) -> None:
    asked = batch()
    made = asked.frames(DaliDecoder(CPU, 2, channels, SIZE))
    np.testing.assert_array_equal(made, asked.expected(SIZE, channels))
    wide = batch(WIDE, range(1, 5))
    single = Batch.of(wide.files, [view._replace(kind=NEAREST) for view in wide.views])
    for asked in (wide, single):
        made = asked.frames(DaliDecoder(CPU, 1, channels, WIDE))
        np.testing.assert_array_equal(made, asked.expected(WIDE, channels))


def close_to_the_cpu_reader(device: torch.device, channels: Channels) -> None:
    for size, helds in ((SIZE, range(1, 9)), (WIDE, range(1, 5))):
        asked = batch(size, helds)
        made = asked.frames(DaliDecoder(device, 2, channels, size, as_on_gpu=True))
        expected = asked.expected(size, channels)
        assert np.abs(inner(made) - inner(expected)).max() <= 1
        # At the edges of a box that is shrunk the border pixel weighs more than in Pillow.
        difference = np.abs(made.astype(np.int64) - expected)
        assert difference.mean() <= 0.5 and difference.max() <= 24


@needs_dali
@pytest.mark.parametrize("channels", [1, 3])
def test_frames_by_the_steps_of_a_gpu_differ_by_rounding(channels: Channels) -> None:
    close_to_the_cpu_reader(CPU, channels)


@needs_dali
@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU")
def test_frames_on_a_gpu_are_close_and_stay_while_others_are_made() -> None:
    device, asked = torch.device("cuda"), batch()
    decoder = DaliDecoder(device, 4, 3, SIZE)
    stream: Any = torch.cuda.Stream  # has no annotations
    with torch.cuda.stream(stream()):
        kept = [decoder.frames(*asked[:4]).frames for _ in range(20)]
        sums = torch.stack([frames.sum() for frames in kept])
        first = kept[0].cpu().numpy()
    assert kept[0].is_cuda and len(set(sums.tolist())) == 1
    off = np.abs(inner(first) - inner(asked.expected(SIZE, 3)))
    assert off.mean() <= 1 and off.max() <= 16  # nvJPEG's transform is another one


@needs_dali
@pytest.mark.parametrize("as_on_gpu", [False, True])
def test_frames_are_as_pillow_cuts_and_resizes(as_on_gpu: bool) -> None:
    asked = batch(helds=[1])
    made = asked.frames(DaliDecoder(CPU, 1, 3, SIZE, as_on_gpu=as_on_gpu))
    for frame, file, view in zip(made, asked.files, asked.views, strict=True):
        (top, left, height, width), resized, offset, kind = view
        image = Image.open(io.BytesIO(file)).convert("RGB")
        image = image.crop((left, top, left + width, top + height))
        image = image.resize(resized[::-1], (0, 2, 3)[kind])  # Pillow's numbers
        y, x = offset
        expected = np.asarray(image.crop((x, y, x + SIZE[1], y + SIZE[0])))[None]
        assert np.abs(inner(frame[None]) - inner(expected)).max() <= 1


@needs_dali
@pytest.mark.parametrize("as_on_gpu", [False, True])
def test_a_frame_has_the_same_bits_in_any_batch_and_with_any_threads(
    as_on_gpu: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = batch(helds=[1, 6])
    expected = asked.frames(DaliDecoder(CPU, 1, 3, SIZE, as_on_gpu=as_on_gpu))
    monkeypatch.setattr(dali, "MOST", 4)  # also more samples than DALI is given at once
    decoder = DaliDecoder(CPU, 3, 3, SIZE, as_on_gpu=as_on_gpu)
    for step in (1, 3, 5, len(asked.files)):
        for at in range(0, len(asked.files), step):
            rows = slice(at, at + step)
            part = Batch.of(asked.files[rows], asked.views[rows])
            np.testing.assert_array_equal(part.frames(decoder), expected[rows])
    assert Batch.of([], []).frames(decoder).shape == (0, *SIZE, 3)


@needs_dali
@pytest.mark.parametrize("as_on_gpu", [False, True])
def test_frames_stay_as_they_are_while_others_are_made(as_on_gpu: bool) -> None:
    decoder = DaliDecoder(CPU, 2, 3, SIZE, as_on_gpu=as_on_gpu)
    kept, copies = [], []
    for seed in range(30):
        one = Batch.of([jpeg(seed=seed)] * (1 + seed % 3), [next(views(SIZE))] * (1 + seed % 3))
        kept.append(decoder.frames(*one[:4]).frames)
        copies.append(kept[-1].clone())
    assert all(map(torch.equal, kept, copies))
    assert len({frames.data_ptr() for frames in kept}) == 30


def without_scan(file: bytes) -> bytes:
    at = file.rindex(b"\xff\xda")
    return file[: at + 2] + file[-2:]


@needs_dali
@pytest.mark.parametrize("as_on_gpu", [False, True])
def test_broken_files_are_named_and_change_no_other_frame(as_on_gpu: bool) -> None:
    asked = batch(helds=[1, 8])
    decoder = DaliDecoder(CPU, 2, 3, SIZE, as_on_gpu=as_on_gpu)
    expected = asked.frames(decoder)
    broken = {0: b"", 3: b"no picture", 4: b"\xff\xd8\xff\xd9", 11: without_scan(asked.files[11])}
    broken[12] = jpeg(40, 50)  # smaller than was said
    files = [broken.get(k, file) for k, file in enumerate(asked.files)]
    made, failed = decoder.frames(files, *asked[1:4])
    assert failed.tolist() == list(broken)
    for k, frame in enumerate(made.numpy()):
        np.testing.assert_array_equal(frame, 0 if k in broken else expected[k])
    np.testing.assert_array_equal(asked.frames(decoder), expected)


@needs_dali
def test_damage_within_a_scan_gives_the_pixels_that_the_cpu_reader_gives() -> None:
    whole, rng = jpeg(), np.random.default_rng(3)
    files = []
    for _ in range(12):
        file = bytearray(whole)
        for at in rng.integers(whole.index(b"\xff\xda") + 14, len(whole) - 2, 3):
            if 0xFF not in file[at - 1 : at + 1]:  # a marker is another kind of damage
                file[at] = rng.integers(0, 255)
        files.append(bytes(file))
    asked = Batch.of(files, [view for view, _ in zip(views(SIZE), files, strict=False)])
    made = asked.frames(DaliDecoder(CPU, 1, 3, SIZE))
    np.testing.assert_array_equal(made, asked.expected(SIZE, 3))


@needs_dali
@pytest.mark.parametrize("as_on_gpu", [False, True])
def test_many_threads_get_the_frames_that_they_asked_for_from_one_pipeline(
    as_on_gpu: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[Any] = []
    make = DaliDecoder._make

    def counted(*given: Any) -> Any:
        made.append(make(*given))
        return made[-1]

    monkeypatch.setattr(DaliDecoder, "_make", counted)
    decoder = DaliDecoder(CPU, 2, 3, SIZE, as_on_gpu=as_on_gpu)
    asked = [Batch.of([jpeg(seed=k)] * (k + 1), [next(views(SIZE))] * (k + 1)) for k in range(4)]
    alone = DaliDecoder(CPU, 1, 3, SIZE, as_on_gpu=as_on_gpu)
    expected = [one.frames(alone) for one in asked]
    with ThreadPoolExecutor(4) as threads:
        for _ in range(5):
            got = list(threads.map(lambda one: one.frames(decoder), asked))
            for frames, known in zip(got, expected, strict=True):
                np.testing.assert_array_equal(frames, known)
    assert len(made) == 2


@needs_dali
def test_a_call_that_was_interrupted_leaves_nothing_to_the_next() -> None:
    first, second = (Batch.of([jpeg(seed=k)], [next(views(SIZE))]) for k in range(2))
    decoder = DaliDecoder(CPU, 1, 3, SIZE)
    expected = second.frames(decoder)
    run = decoder._pipeline.run

    def interrupted() -> None:
        decoder_pipeline.run = run
        raise KeyboardInterrupt

    decoder_pipeline = decoder._pipeline
    decoder_pipeline.run = interrupted
    with pytest.raises(KeyboardInterrupt):
        first.frames(decoder)
    np.testing.assert_array_equal(second.frames(decoder), expected)


@needs_dali
def test_a_copy_and_a_closed_decoder_start_anew() -> None:
    one = Batch.of([jpeg()], [next(views(SIZE))])
    decoder = DaliDecoder(CPU, 2, 3, SIZE, as_on_gpu=True)
    expected = one.frames(decoder)
    copy = pickle.loads(pickle.dumps(decoder))
    decoder.close()
    np.testing.assert_array_equal(one.frames(copy), expected)
    np.testing.assert_array_equal(one.frames(decoder), expected)


_decoder: Any = None


def _in_child(one: Batch) -> Pixels:
    return one.frames(_decoder)


@needs_dali
@pytest.mark.skipif(sys.platform == "win32", reason="Windows does not fork")
def test_a_forked_process_makes_frames(monkeypatch: pytest.MonkeyPatch) -> None:
    one = Batch.of([jpeg()], [next(views(SIZE))])
    decoder = DaliDecoder(CPU, 2, 3, SIZE)
    expected = one.frames(decoder)
    monkeypatch.setitem(globals(), "_decoder", decoder)
    pool: Pool
    with multiprocessing.get_context("fork").Pool(1) as pool:
        np.testing.assert_array_equal(pool.apply_async(_in_child, (one,)).get(HANG), expected)
    np.testing.assert_array_equal(one.frames(decoder), expected)


def replaced(file: bytes, at: int, value: int) -> bytes:
    """Return a file with byte `at` of its start of frame set to a value."""
    frame = next(k for k in range(len(file)) if file[k : k + 2] in (b"\xff\xc0", b"\xff\xc2"))
    return file[: frame + at] + bytes([value]) + file[frame + at + 1 :]


def with_adobe(file: bytes, space: int) -> bytes:
    return file[:2] + b"\xff\xee\x00\x0eAdobe\0d\0\0\0\0" + bytes([space]) + file[2:]


def cmyk() -> bytes:
    file = io.BytesIO()
    photo(75, 98).convert("CMYK").save(file, "JPEG")
    return file.getvalue()


WINDOW = View((0, 0, 9, 9), SIZE, (0, 0))
FILES = {
    "usual": (jpeg(), True),
    "grey": (jpeg(grey=True), True),
    "progressive": (jpeg(progressive=True), True),
    "on its side": (jpeg(held=6), True),
    "YCbCr by Adobe": (with_adobe(jpeg(), 1), True),
    "RGB by Adobe": (with_adobe(jpeg(), 0), False),
    "RGB": (jpeg(keep_rgb=True), False),
    "CMYK": (cmyk(), False),
    "components of other names": (replaced(jpeg(), 10, ord("R")), False),
    "arithmetic": (replaced(jpeg(), 1, 0xC9), False),
    "12 bits": (replaced(jpeg(), 4, 12), False),
    "unusual subsampling": (replaced(jpeg(), 11, 0x13), False),
    "cut short": (jpeg()[:-2], False),
    "bytes behind the end": (jpeg() + b"\0", False),
}


def fitting(file: bytes, view: View = WINDOW, size: Pair = SIZE) -> bool:
    header = read_header(file)
    return header is not None and fits(header, file, view, size)


@pytest.mark.parametrize("name", FILES)
def test_only_plain_jpegs_fit(name: str) -> None:
    file, expected = FILES[name]
    assert fitting(file) is expected


def test_windows_with_padding_and_images_on_their_side_in_frames_not_square_do_not_fit() -> None:
    assert not fitting(jpeg(), View((0, 0, 9, 9), (20, 24), (0, 0)))
    wide = View((0, 0, 9, 9), WIDE, (0, 0))
    assert [held for held in range(1, 9) if fitting(jpeg(held=held), wide, WIDE)] == [1, 2, 3, 4]


def test_a_cpu_takes_no_image_that_the_cpu_reader_decodes_at_a_smaller_scale() -> None:
    file, whole, part = (
        jpeg(),
        View((0, 0, 75, 98), SIZE, (0, 0)),
        View((0, 0, 47, 60), SIZE, (0, 0)),
    )
    header = read_header(file)
    assert header is not None
    here, there = (DaliDecoder(CPU, 1, 3, SIZE, as_on_gpu=on_gpu) for on_gpu in (False, True))
    assert [here.takes(header, file, view) for view in (whole, part)] == [False, True]
    assert [there.takes(header, file, view) for view in (whole, part)] == [True, True]
    single = whole._replace(kind=NEAREST)
    assert here.takes(header, file, single) and not there.takes(header, file, single)
    assert not here.takes(header, file[:-2], part) and not there.takes(header, file[:-2], part)


def test_no_prefix_of_a_jpeg_fits() -> None:
    file = jpeg(held=6)
    assert not any(fitting(file[:end]) for end in range(2, len(file), 3))


def test_without_dali_the_reason_is_the_line_that_installs_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "nvidia.dali", None)
    reason = available()
    assert reason is not None and "pip install 'augfeed[dali]'" in reason


@pytest.mark.parametrize(
    ("device", "threads", "named"), [("meta", 1, "device="), ("cpu", 0, "threads=0")]
)
def test_an_argument_out_of_bounds_is_named(device: str, threads: int, named: str) -> None:
    with pytest.raises(InputError, match=named):
        DaliDecoder(torch.device(device), threads, 3, SIZE)
