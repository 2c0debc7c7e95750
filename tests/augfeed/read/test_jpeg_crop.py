"""Windows of JPEGs: the pixels of a whole decode, and nothing where only that can tell."""

import io
import threading
from typing import Any

import numpy as np
import psutil
import pytest
import simplejpeg
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image
from sklearn.datasets import load_sample_image

from augfeed.memory_pool import Memory
from augfeed.read import jpeg, jpeg_crop
from augfeed.read.crop import View
from augfeed.read.frames import windows_of
from augfeed.read.image_frame import Encoded
from tests.sampling import pairwise, slow
from tests.template import run_script

Pixels = NDArray[np.uint8]
PHOTO: Pixels = load_sample_image("flower.jpg")
SAMPLINGS = ("444", "422", "420", "440", "411", "Gray")


@pytest.fixture(autouse=True)
def _needs_the_library() -> None:
    if reason := jpeg_crop.why_not():
        pytest.skip(reason)


def encoded(height: int, width: int, sampling: str = "420", quality: int = 85) -> bytes:
    pixels = np.ascontiguousarray(PHOTO[40 : 40 + height, 90 : 90 + width])
    if sampling == "Gray":
        gray = np.ascontiguousarray(pixels[..., :1])
        return bytes(simplejpeg.encode_jpeg(gray, quality, "GRAY", "Gray"))
    return bytes(simplejpeg.encode_jpeg(pixels, quality, "RGB", sampling))


def by_pillow(height: int = 120, width: int = 200, **options: Any) -> bytes:
    file = io.BytesIO()
    Image.fromarray(PHOTO[:height, :width]).save(file, "JPEG", **options)
    return file.getvalue()


def whole(data: bytes, scale: int, channels: int) -> Pixels:
    height, width = (-(-side // scale) for side in simplejpeg.decode_jpeg_header(data)[:2])
    space = "RGB" if channels == 3 else "GRAY"
    pixels: Pixels = simplejpeg.decode_jpeg(data, space, min_height=height, min_width=width)
    return pixels


def window(
    data: bytes, box: tuple[int, int, int, int], scale: int = 1, channels: int = 3
) -> Pixels | None:
    header = jpeg.read_header(data)
    assert header is not None
    made = jpeg_crop.decode_window(data, header, box, scale, channels)
    if made is None:
        return None
    assert made.pixels.shape[0] == box[2]
    cut = made.pixels[:, box[1] - made.left :][:, : box[3]]
    assert cut.shape == (*box[2:], channels)
    return cut.copy()


@st.composite
def boxes(draw: Any, height: int, width: int) -> tuple[int, int, int, int]:
    rows, columns = draw(st.integers(1, height)), draw(st.integers(1, width))
    top, left = draw(st.integers(0, height - rows)), draw(st.integers(0, width - columns))
    return top, left, rows, columns


@pairwise({"sampling": SAMPLINGS, "scale": [1, 2, 4, 8], "channels": [1, 3]})
@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_a_window_has_the_pixels_of_a_whole_decode(
    sampling: str, scale: int, channels: int, data: Any
) -> None:
    least = 1 if scale == 1 else 9  # of less, several scales make as many pixels
    height, width = data.draw(st.integers(least, 90)), data.draw(st.integers(least, 120))
    file = encoded(height, width, sampling)
    full = whole(file, scale, channels)
    box = data.draw(boxes(*full.shape[:2]))
    made, (top, left, rows, columns) = window(file, box, scale, channels), box
    assert made is not None
    np.testing.assert_array_equal(made, full[top : top + rows, left : left + columns])


@pytest.mark.parametrize("scale", [1, 2])
@pytest.mark.parametrize("sampling", SAMPLINGS)
@pytest.mark.parametrize("width", [63, 64, 65, 70, *map(slow, (66, 67, 68, 69, 133))])
def test_every_first_and_last_column_is_exact(width: int, sampling: str, scale: int) -> None:
    file = encoded(33 * scale, width, sampling)
    full = whole(file, scale, 3)
    columns = full.shape[1]
    for left in range(columns):
        for end in {left + 1, left + 2, left + 17, columns - 1, columns}:
            if left < end <= columns:
                made = window(file, (5, left, 20, end - left), scale)
                assert made is not None
                np.testing.assert_array_equal(made, full[5:25, left:end])


@pytest.mark.parametrize("options", [{"restart_marker_blocks": 3}, {"restart_marker_rows": 1},
                                     {"optimize": True}, {"keep_rgb": True}])  # fmt: skip
def test_restart_markers_own_tables_and_stored_rgb_change_nothing(options: dict[str, Any]) -> None:
    file = by_pillow(**options)
    full = np.asarray(Image.open(io.BytesIO(file)))
    made = window(file, (30, 50, 70, 120))
    assert made is not None
    np.testing.assert_array_equal(made, full[30:100, 50:170])


def test_a_file_whose_lines_do_not_follow_each_other_is_decoded_whole() -> None:
    assert window(by_pillow(progressive=True), (30, 50, 70, 120)) is None
    file = io.BytesIO()
    Image.fromarray(PHOTO[:120, :200]).convert("CMYK").save(file, "JPEG")
    assert window(file.getvalue(), (30, 50, 70, 120)) is None


def test_only_a_scan_of_all_components_runs_on() -> None:
    file = encoded(40, 60)
    header = jpeg.read_header(file)
    assert header is not None and header.runs_on(file)
    at = header.scan + 4
    first = jpeg.read_header(file[:at] + b"\x01" + file[at + 1 :])  # of several scans
    assert first is not None and not first.runs_on(file)
    cut = jpeg.read_header(file[:at])
    assert cut is None or not cut.runs_on(file[:at])


@pytest.mark.parametrize("kept", [0.98, 0.5, 0.1])
def test_a_file_that_was_cut_short_is_never_decoded_in_part(kept: float) -> None:
    # Not even where the window lies above the cut: it would fail in some epochs, and not in others.
    file = encoded(120, 200)
    assert window(file[: int(kept * len(file))], (0, 0, 8, 8)) is None


def damaged(file: bytes, share: float) -> bytes:
    """A marker, where a share of the scan is over, that says that it ends there."""
    header = jpeg.read_header(file)
    assert header is not None
    at = header.scan + int(share * (len(file) - header.scan))
    return file[:at] + b"\xff\xd9" + file[at + 2 :]


def test_damage_in_a_window_leaves_the_file_to_the_whole_decoder() -> None:
    assert window(damaged(encoded(240, 320), 0.3), (0, 0, 239, 300)) is None


def test_damage_below_a_window_does_not_touch_it() -> None:
    file = encoded(240, 320)
    made = window(damaged(file, 0.9), (0, 20, 100, 200))
    assert made is not None
    np.testing.assert_array_equal(made, whole(file, 1, 3)[:100, 20:220])


def test_a_header_that_libjpeg_refuses_is_left_to_the_whole_decoder() -> None:
    file = encoded(120, 200)
    at = file.index(b"\xff\xdb")  # the first quantization table, taken out
    length = int.from_bytes(file[at + 2 : at + 4], "big")
    assert window(file[:at] + file[at + 2 + length :], (10, 10, 20, 20)) is None
    at = file.index(b"\xff\xc0")
    assert window(file[: at + 4] + b"\x0c" + file[at + 5 :], (10, 10, 20, 20)) is None  # 12 bits
    smaller = bytearray(file)
    smaller[at + 5 : at + 7] = (300).to_bytes(2, "big")  # more lines than there are
    assert window(bytes(smaller), (200, 10, 90, 20)) is None


def test_a_box_that_is_not_in_the_image_is_refused() -> None:
    file = encoded(40, 60)
    header = jpeg.read_header(file)
    assert header is not None
    taller = header._replace(height=80, width=90)
    assert jpeg_crop.decode_window(file, taller, (30, 0, 20, 20), 1, 3) is None
    assert jpeg_crop.decode_window(file, taller, (0, 30, 20, 40), 1, 3) is None
    other = header._replace(unit=8)  # 4:2:0 begins at every 16th column
    assert jpeg_crop.decode_window(file, other, (0, 25, 20, 20), 1, 3) is None


def _attack(count: int) -> None:
    """Decode files with bytes changed anywhere; the process must live, and stay small."""
    words = np.random.default_rng(7)
    files = [encoded(96, 128, sampling) for sampling in SAMPLINGS]
    process, before = psutil.Process(), 0
    for k in range(count):
        file = bytearray(files[k % len(files)])
        for at in words.integers(2, len(file), 1 + k % 7):
            file[at] = words.integers(0, 256)
        header = jpeg.read_header(bytes(file))
        if header is None or header.height * header.width > 1 << 22:
            continue
        rows, columns = min(header.height, 40), min(header.width, 50)
        box = (header.height - rows, header.width - columns, rows, columns)
        jpeg_crop.decode_window(bytes(file), header, box, 1, 3)
        before = before or (process.memory_info().rss if k > count // 2 else 0)
    assert process.memory_info().rss - before < 32 << 20


def test_changed_bytes_end_no_process_and_leak_no_memory() -> None:
    # Imported in the script: there are threads then, of which nothing is forked.
    attack = f"from {__name__} import _attack\n_attack(6000)"
    ended = run_script(attack, imports=["augfeed.loader"])
    assert ended.returncode == 0, ended.stderr


def test_threads_decode_side_by_side() -> None:
    file = encoded(240, 320)
    full, wrong = whole(file, 1, 3), []

    def work(number: int) -> None:
        for k in range(200):
            top, left = (7 * k + number) % 140, (11 * k + number) % 200
            made = window(damaged(file, 0.0) if k % 5 == 0 else file, (top, left, 100, 120))
            if k % 5 == 0:
                continue
            if made is None or (made != full[top : top + 100, left : left + 120]).any():
                wrong.append((number, k))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


@pytest.mark.parametrize("held", range(1, 9))
@pytest.mark.parametrize("scale", [1, 2])
def test_a_frame_is_the_same_without_the_library(
    held: int, scale: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    exif = Image.Exif()
    exif[0x0112] = held
    data = by_pillow(181, 243, exif=exif.tobytes())
    image = Encoded(data, "a.jpg", 3, Memory())
    height, width = image.header.upright
    for box in ((0, 0, height - 9, width), (11, 7, height - 20, width - 30), (40, 3, 90, 80)):
        resized = box[2] // scale, box[3] // scale
        size = resized[0] - 3, resized[1] - 6
        view = View(box, resized, (2, 5))
        outs = [np.empty((*size, 3), np.uint8) for _ in range(2)]
        image.show(view, outs[0])
        with monkeypatch.context() as patch:
            patch.setattr(jpeg_crop, "_library", _Nothing())
            image.show(view, outs[1])
        np.testing.assert_array_equal(outs[0], outs[1])


class _Nothing:
    reason = "for a test"

    def get(self) -> None:
        return None


def make_images(count: int) -> list[Encoded]:
    """JPEGs of many sizes and kinds: gray, in every sampling, progressive, turned."""
    turned = Image.Exif()
    turned[0x0112] = 6
    files = [encoded(40 + 37 * k, 60 + 29 * k, SAMPLINGS[k % 6]) for k in range(count - 3)]
    files += [by_pillow(progressive=True), by_pillow(exif=turned.tobytes()), by_pillow()]
    return [Encoded(file, f"{k}.jpg", 3, Memory()) for k, file in enumerate(files)]


@pytest.mark.parametrize("size", [(64, 64), (17, 90)])
def test_frames_made_at_once_equal_those_made_one_by_one(size: tuple[int, int]) -> None:
    rng = np.random.default_rng(3)
    files, views, asked = make_images(14), [], []
    for k, image in enumerate(files):
        height, width = image.header.upright
        rows, columns = rng.integers(1, height + 1), rng.integers(1, width + 1)
        top, left = rng.integers(0, height - rows + 1), rng.integers(0, width - columns + 1)
        box = (int(top), int(left), int(rows), int(columns))
        view = View(box, (size[0] + k % 3, size[1] + k % 2), (k % 3, k % 2))
        if image.in_lines and view.inside(size):
            assert image.header.jpeg is not None
            asked.append((image.data, image.header.jpeg, k))
            views.append(view)
    assert [number for _, _, number in asked] == [*range(11), 13]
    frames = np.full((len(files), *size, 3), 77, np.uint8)
    assert all(jpeg_crop.decode_frames(asked, windows_of(views), frames))
    for (_, _, number), view in zip(asked, views, strict=True):
        alone = np.empty((*size, 3), np.uint8)
        files[number].show(view, alone)
        np.testing.assert_array_equal(frames[number], alone)
    assert (frames[11:13] == 77).all()


def test_of_frames_made_at_once_only_the_damaged_one_is_missing() -> None:
    file = encoded(240, 320)
    broken = damaged(file, 0.2)
    asked, views = [], []
    for k, data in enumerate((file, broken, file)):
        header = jpeg.read_header(data)
        assert header is not None
        asked.append((data, header, 2 - k))
        views.append(View((5, 6, 200, 300), (32, 32), (0, 0)))
    frames = np.zeros((3, 32, 32, 3), np.uint8)
    assert jpeg_crop.decode_frames(asked, windows_of(views), frames) == [True, False, True]
    np.testing.assert_array_equal(frames[0], frames[2])
    assert frames[0].any()


def test_a_window_larger_than_the_memory_kept_for_it_is_made_alone() -> None:
    big = np.asarray(Image.fromarray(PHOTO).resize((1280, 854)))
    data = bytes(simplejpeg.encode_jpeg(np.ascontiguousarray(big), 80))
    image = Encoded(data, "a.jpg", 3, Memory())
    view = View((4, 8, 800, 1200), (800, 1200), (0, 0))
    assert image.header.jpeg is not None
    frames = np.empty((1, 800, 1200, 3), np.uint8)
    jpeg_crop._local.__dict__.pop("pixels", None)
    files = [(data, image.header.jpeg, 0)]
    assert jpeg_crop.decode_frames(files, windows_of([view]), frames) == [False]
    image.show(view, frames[0])
    np.testing.assert_array_equal(frames[0], image.decoded()[4:804, 8:1208])


def test_only_the_window_is_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: object) -> None:
        raise AssertionError("the whole image was decoded")

    image = Encoded(encoded(240, 320), "a.jpg", 3, Memory())
    monkeypatch.setattr("augfeed.read.image_frame.decode", never)
    monkeypatch.setattr("augfeed.read.image_frame.decode_jpeg", never)
    out = np.empty((64, 64, 3), np.uint8)
    image.show(View((10, 20, 100, 120), (64, 64), (0, 0)), out)
    cut_after_resizing = View((0, 0, 240, 320), (96, 128), (16, 32))
    image.show(cut_after_resizing, out)
    with pytest.raises(AssertionError, match="whole"):
        image.show(View((0, 0, 240, 320), (64, 64), (0, 0)), out)


@pytest.mark.parametrize("broken", ["jpeg_crop_scanline", "jpeg_std_error"])
def test_a_library_without_what_it_takes_is_not_used(
    broken: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = jpeg_crop._address

    def address(library: Any, name: str) -> int:
        return found(library, name if name != broken else "no_such_function")

    monkeypatch.setattr(jpeg_crop, "_address", address)
    library = jpeg_crop._Library()
    assert library.get() is None
    assert "cannot be called" in library.reason and "no_such_function" in library.reason


def test_a_library_that_is_not_proven_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jpeg_crop, "_proven", lambda functions: False)
    library = jpeg_crop._Library()
    assert library.get() is None and "otherwise" in library.reason


def test_an_image_whose_pixels_differ_proves_a_library_wrong(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    functions = jpeg_crop._library.get()
    assert functions is not None and jpeg_crop._proven(functions)
    made = simplejpeg.decode_jpeg

    def other(*args: Any, **options: Any) -> Any:
        return made(*args, **options) ^ np.uint8(1)

    monkeypatch.setattr(simplejpeg, "decode_jpeg", other)
    assert not jpeg_crop._proven(functions)
