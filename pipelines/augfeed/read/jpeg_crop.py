"""A window of a JPEG, by libjpeg-turbo: what lies outside of it is decoded as little as can be.

No Python package offers that: simplejpeg and PyTurboJPEG decode whole images. libjpeg-turbo does,
and Pillow brings one along; its functions are called here. Whether they are there, have the
interface that is expected and yield the very pixels of a whole decode is tried once in a process,
on images made for it. Where they do not, whole images are decoded; so they are where nobody has
tried this (`_unknown_platform`), or where the environment variable `AUGFEED_JPEG_CROP` is 0.
"""

import ctypes
import io
import math
import os
import platform
import sys
import threading
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import simplejpeg
from numpy.typing import NDArray
from PIL import Image

from augfeed.kernels.crop_region import columns
from augfeed.plan import Windows
from augfeed.read import jpeg
from augfeed.read.exif import Picture

if TYPE_CHECKING:
    from augfeed.kernels.libjpeg import Addresses

SWITCH = "AUGFEED_JPEG_CROP"
Box = tuple[int, int, int, int]
_LEAST, _MOST = 1 << 20, 1 << 23  # bytes that a thread keeps for windows
_TRIED = (97, 131)  # (height, width): no multiples of 16
_TRIED_BOX = (33, 35, 41, 50)
# Where integers and pointers are passed as `kernels.libjpeg` does it, and structures are laid out
# as it has them.
_SYSTEMS = ("linux", "darwin")
_MACHINES = ("x86_64", "amd64", "aarch64", "arm64")
_SIZES = {ctypes.c_void_p: 8, ctypes.c_size_t: 8, ctypes.c_long: 8, ctypes.c_int: 4}
_JUMPS = ("_setjmp", "_longjmp")  # compiled code that lacks one would end the process


class Functions(NamedTuple):
    """libjpeg's functions, by their numbers in the memory of a call, and ours that it calls.

    `loops` is the module `kernels.libjpeg`.
    """

    found: dict[int, int]
    set_errors: int
    ours: "Addresses"
    loops: Any


class Window(NamedTuple):
    """Decoded lines, uint8 `[h, w, C]`, and which column of the image is their first.

    They stand in memory of the thread that decoded them, until it decodes the next.
    """

    pixels: Picture
    left: int


def decode_window(
    data: bytes, header: jpeg.Header, box: Box, scale: int, channels: int
) -> Window | None:
    """Return lines of a JPEG that hold a box, and a few columns more.

    `box` is (top, left, height, width) in the image as stored, made 1 / `scale` (1, 2, 4 or 8) as
    large, and lies inside it; the lines are those of the box. Pixels are those of a whole decode.
    None if only a whole decode can tell: the file is damaged, of a rare kind, or cut short, or the
    library lacks what it takes.
    """
    functions = _library.get()
    if functions is None or not header.runs_on(data):
        return None
    return _decode(functions, data, header, box, scale, channels)


def decode_frames(
    files: Sequence[tuple[bytes, jpeg.Header, int]], windows: Windows, frames: NDArray[np.uint8]
) -> list[bool]:
    """Write what windows show of JPEGs to some of `frames` `[N, H, W, C]`; return which are there.

    `files` are the encoded images, their headers and the numbers of their frames; each window
    lies inside its image as stored, and the frame inside what is resized. A frame that is not
    there afterwards is for `decode_window`, and the decoders of whole images.
    """
    functions = _library.get()
    if functions is None:
        return [False] * len(files)
    table = np.array(
        [(_place(data), len(data), header.height, header.width, header.unit, number)
         for data, header, number in files], np.int64,
    )  # fmt: skip
    done = np.zeros(len(files), np.bool_)
    memory, held = _call_memory(functions), _scratch()
    functions.loops.decode_frames(
        memory, functions.ours.decode, table, windows.box, windows.resized, windows.offset,
        windows.filters, held, frames, done,
    )  # fmt: skip
    return done.tolist()


def _place(data: bytes) -> int:
    return int(np.frombuffer(data, np.uint8).__array_interface__["data"][0])


def why_not() -> str | None:
    """Return why windows of JPEGs are not decoded alone in this process; None if they are."""
    return None if _library.get() is not None else _library.reason


def _decode(
    functions: Functions, data: bytes, header: jpeg.Header, box: Box, scale: int, channels: int
) -> Window | None:
    top, left, height, width = box
    first, count = columns(left, width, -(-header.width // scale), max(header.unit // scale, 1))
    pixels = _pixels((height, count, channels))
    memory, file = _call_memory(functions), np.frombuffer(data, np.uint8)
    decode, place = functions.ours.decode, (top, first)
    done = functions.loops.decode_window(memory, decode, file, scale, place, pixels)
    return Window(pixels, first) if done else None


_local = threading.local()


def _pixels(shape: tuple[int, int, int]) -> Picture:
    size = math.prod(shape)
    return np.empty(shape, np.uint8) if size > _MOST else _scratch(size)[:size].reshape(shape)


def _scratch(size: int = 0) -> Picture:
    # Always the same memory of a thread, which stays in its core's cache.
    held: Picture | None = getattr(_local, "pixels", None)
    if held is None or held.size < size:
        held = _local.pixels = np.empty(max(size, _LEAST), np.uint8)
    return held


def _call_memory(functions: Functions) -> NDArray[np.int64]:
    # A thread's own, as a structure for errors in it keeps its address.
    words: NDArray[np.int64] | None = getattr(_local, "words", None)
    if words is None:
        libjpeg = functions.loops
        words = np.zeros(libjpeg.WORDS, np.int64)
        words[libjpeg.BASE] = words.ctypes.data
        for number, address in functions.found.items():
            words[number] = address
        errors = words.ctypes.data + 8 * libjpeg.ERRORS
        ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p)(functions.set_errors)(errors)
        handlers = words[libjpeg.ERRORS :]
        handlers[libjpeg.ERROR_EXIT] = functions.ours.error_exit
        handlers[libjpeg.EMIT_MESSAGE] = functions.ours.emit_message
        handlers[libjpeg.OUTPUT_MESSAGE] = functions.ours.output_message
        words[libjpeg.DECOMPRESSOR] = errors
        _local.words = words
    return words


class _Library:
    # Looked for by the first thread that asks; the others wait.

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._searched = False
        self._functions: Functions | None = None
        self.reason = ""

    def get(self) -> Functions | None:
        if not self._searched:
            with self._lock:
                if not self._searched:
                    self._functions = self._search()
                    self._searched = True
        return self._functions

    def _search(self) -> Functions | None:
        self.reason = _switched_off() or _unknown_platform() or ""
        if self.reason:
            return None
        try:
            functions = _found()
            if _proven(functions):
                return functions
            self.reason = "Pillow's libjpeg decodes a window otherwise than a whole image"
        except Exception as error:  # whatever another Pillow, Numba or LLVM raises
            self.reason = f"Pillow's libjpeg cannot be called ({error})"
        return None


_library = _Library()


def _switched_off() -> str | None:
    value = os.environ.get(SWITCH, "")
    if value in ("", "1"):
        return None
    return f"{SWITCH}=0 turns it off" if value == "0" else f"{SWITCH}={value!r} is neither 0 nor 1"


def _unknown_platform() -> str | None:
    # Before any symbol is looked for.
    machine = platform.machine().lower()
    if sys.platform not in _SYSTEMS or machine not in _MACHINES or sys.byteorder != "little":
        return f"it has not been tried on {sys.platform} {machine}"
    for kind, size in _SIZES.items():
        if ctypes.sizeof(kind) != size:
            return f"{kind.__name__} has not {size} bytes here"
    return None


def _found() -> Functions:
    # These are imported here, as what is private to Pillow, or new in Numba, may change.
    from PIL import _imaging

    process = ctypes.CDLL(None)
    for name in _JUMPS:
        _address(process, name)
    from augfeed.kernels import libjpeg

    # Whatever Pillow was linked with is found through its own module.
    pillow = ctypes.CDLL(_imaging.__file__)
    found = {number: _address(pillow, name) for number, name in libjpeg.FUNCTIONS.items()}
    errors = _address(pillow, "jpeg_std_error")
    return Functions(found, errors, libjpeg.addresses(), libjpeg)


def _address(library: ctypes.CDLL, name: str) -> int:
    address = ctypes.cast(getattr(library, name), ctypes.c_void_p).value
    assert address is not None
    return address


def _trials() -> Iterator[bytes]:
    # Blots of many colors: smoothing across columns, and from line to line, changes every pixel.
    blots = np.frombuffer(bytes(k * k * 89 % 251 for k in range(13 * 17 * 3)), np.uint8)
    color = Image.fromarray(blots.reshape(13, 17, 3)).resize(_TRIED[::-1])
    for picture, options in (
        (color, {"subsampling": "4:2:0"}),
        (color, {"subsampling": "4:4:4"}),
        (color, {"subsampling": "4:2:2", "restart_marker_blocks": 3}),
        (color.convert("L"), {}),
    ):
        file = io.BytesIO()
        picture.save(file, "JPEG", quality=90, **options)
        yield file.getvalue()


def _proven(functions: Functions) -> bool:
    return all(_proven_by(functions, data) for data in _trials())


def _proven_by(functions: Functions, data: bytes) -> bool:
    header = jpeg.read_header(data)
    assert header is not None
    for scale, channels in ((1, 3), (2, 3), (1, 1)):
        height, width = (-(-side // scale) for side in _TRIED)
        space = "RGB" if channels == 3 else "GRAY"
        whole = simplejpeg.decode_jpeg(data, space, min_height=height, min_width=width)
        top, left, rows, columns = (side // scale for side in _TRIED_BOX)
        made = _decode(functions, data, header, (top, left, rows, columns), scale, channels)
        if made is None:
            return False
        shown = made.pixels[:, left - made.left :][:, :columns]
        if not np.array_equal(shown, whole[top : top + rows, left : left + columns]):
            return False
    return True
