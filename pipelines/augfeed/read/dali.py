"""JPEGs to frames by NVIDIA DALI: on a GPU all the way, on a CPU the decoding."""

import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from functools import partial
from importlib.util import find_spec
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.dlpack import from_dlpack

from augfeed.constants import BICUBIC, NEAREST
from augfeed.errors import InputError, MissingExtraError
from augfeed.kernels.resample_box import resample_part
from augfeed.plan.windows import Windows
from augfeed.read.cache.image_cache import on_fork
from augfeed.read.crop import Pair, View, scale_for
from augfeed.read.decode import MAX_SCANS, Channels
from augfeed.read.exif import upright
from augfeed.read.jpeg import Header, scans

Ids = NDArray[np.int64]
MOST = 1024  # samples that DALI is given at once
_MARGIN = 1  # pixels beyond the reach of a filter, for how two libraries round
_FROM_BELOW, _FROM_RIGHT = (3, 4, 7, 8), (2, 3, 6, 7)  # orientations whose first row, column of
# the upright image is the last one stored
_START_OF_FRAME, _ADOBE, _SCAN = (0xC0, 0xC1, 0xC2), 0xEE, b"\xff\xda"
_END_OF_IMAGE = b"\xff\xd9"
_YCBCR_NAMES, _YCBCR = bytes((1, 2, 3)), 1  # of the components; Adobe's number for the space
# Columns and rows of luma for one of chroma, as nvJPEG knows them: 4:4:4, 4:2:2, 4:2:0, ...
_SAMPLINGS = frozenset(bytes((luma, 0x11, 0x11)) for luma in (0x11, 0x21, 0x22, 0x12, 0x41, 0x42))
_LEFT: list[Any] = []  # by forks: threads that are not there cannot be ended


def available() -> str | None:
    """Return why DALI cannot be used here, None if it can."""
    try:
        import nvidia.dali  # noqa: F401
    except ModuleNotFoundError:
        return str(MissingExtraError("NVIDIA DALI", "dali"))
    except (ImportError, OSError) as error:
        return f"NVIDIA DALI cannot be loaded ({error}): install the libraries that it needs"
    return None


def is_installed() -> bool:
    """Return whether DALI is there, without loading it."""
    try:
        return find_spec("nvidia.dali") is not None
    except ModuleNotFoundError:
        return False


def fits(header: Header, data: bytes, view: View, size: Pair) -> bool:
    """Return whether DALI may make the frame, of `size` (height, width), of a JPEG.

    It may if all decoders mean the same by the file: Huffman-coded, 8 bits, gray or YCbCr in a
    usual subsampling, and not cut short. Its window must lie in the resized box, and an image
    that is stored on its side needs a square frame. All else is for the CPU reader.
    """
    turned = header.orientation >= 5 and size[0] != size[1]
    if turned or not view.inside(size) or (header.progressive and scans(data) > MAX_SCANS):
        return False
    return _is_plain(data)


def _is_plain(data: bytes) -> bool:
    at, frame, space = 2, b"", _YCBCR
    while at + 4 <= len(data) and data[at] == 0xFF and data[at + 1] != _SCAN[1]:
        marker, end = data[at + 1], at + 2 + (data[at + 2] << 8 | data[at + 3])
        if marker in _START_OF_FRAME:
            frame = data[at + 4 : end]
        elif marker == _ADOBE and data[at + 4 : at + 9] == b"Adobe":
            space = data[end - 1] if end <= len(data) else -1
        at = end
    if data[at : at + 2] != _SCAN or not data.endswith(_END_OF_IMAGE) or frame[:1] != b"\x08":
        return False
    if frame[5] == 1:
        return frame[7::3] == b"\x11"
    return frame[6::3] == _YCBCR_NAMES and frame[7::3] in _SAMPLINGS and space == _YCBCR


class Decoded(NamedTuple):
    """Frames uint8 `[N, H, W, C]`, and the rows, int64 `[M]`, that DALI refused: they are zeros."""

    frames: torch.Tensor
    failed: Ids


class DaliDecoder:
    """Makes frames of JPEGs that `fits`, in threads of its own, for any threads that ask.

    On a GPU DALI decodes whole images (by the hardware decoder if there is one, else partly by
    CPU threads), cuts and resizes them. On a CPU libjpeg-turbo decodes, through DALI, what a window
    needs, and our resampling follows, which takes a fraction of the time of DALI's: to the pixels
    that the CPU reader makes of an image decoded at full size. A GPU's differ from those by how
    it decodes and rounds, and at the edges of a box that is shrunk: DALI repeats the border pixel.

    DALI is loaded, and its threads start, with the first frames; in a process that was forked, or
    got a pickled copy, they start again.
    """

    def __init__(
        self, device: torch.device, threads: int, channels: Channels, size: Pair,
        *, as_on_gpu: bool = False,
    ) -> None:  # fmt: skip
        """Take the device, the number of CPU threads, and the size (height, width) of a frame.

        `as_on_gpu` has a CPU take the steps of a GPU, to test them. Raises `InputError`.
        """
        if device.type not in ("cpu", "cuda"):
            raise InputError(f"device={device!r} is none of DALI's: use 'cpu' or 'cuda'")
        if threads < 1:
            raise InputError(f"threads={threads!r} is below 1: give the number of CPU threads")
        self.device, self.threads, self.channels, self.size = device, threads, channels, size
        self.as_on_gpu = as_on_gpu or device.type == "cuda"
        self._pipeline: Any = None
        self._pool: ThreadPoolExecutor | None = None
        self._lock = threading.Lock()
        on_fork(self, DaliDecoder._renew)

    def _renew(self) -> None:
        _LEFT.append((self._pipeline, self._pool))
        self._pipeline, self._pool, self._lock = None, None, threading.Lock()

    def __reduce__(self) -> tuple[Any, ...]:
        make = partial(DaliDecoder, as_on_gpu=self.as_on_gpu)
        return make, (self.device, self.threads, self.channels, self.size)

    def takes(self, header: Header, data: bytes, view: View) -> bool:
        """Return whether the frame of a JPEG is best made here.

        It `fits`, and on a CPU its window has no pixels to spare: else the CPU reader, which
        decodes at a smaller scale then, is faster. On a GPU it is not of single pixels: of an image
        that is stored mirrored DALI takes others, where two are equally near.
        """
        best = view.kind != NEAREST if self.as_on_gpu else scale_for(view) == 1
        return best and fits(header, data, view, self.size)

    def frames(
        self,
        encoded: Sequence[bytes | NDArray[np.uint8]],
        windows: Windows,
        orientation: Ids,
        sizes: Ids,
    ) -> Decoded:
        """Return frames, on the device, of encoded images, cut as windows say.

        `orientation` `[N]` are those of EXIF; `sizes` `[N, 2]` are their heights and widths
        turned upright, which the windows are for. A frame depends on its file and window alone.
        On a GPU they are made in the order of the current stream, and the host does not wait for
        them. Their memory stays theirs while they live, and then goes back to DALI in the order of
        that stream, which `record_stream` does not change.
        """
        files = [np.frombuffer(file, np.uint8) for file in encoded]
        jobs = _Jobs.of(files, windows, orientation, sizes, self.size)
        with self._lock:
            self._pool = self._pool or ThreadPoolExecutor(self.threads)
            parts, pool = list(self._decoded(jobs)), self._pool
        ends = np.cumsum([len(part.files) for part, _ in parts], dtype=np.int64)
        failed = ends[[pictures is None for _, pictures in parts]] - 1
        frames = self._joined(parts) if self.as_on_gpu else self._resampled(parts, pool)
        return Decoded(frames, failed)

    def close(self) -> None:
        """End the threads; they start again if frames are asked for."""
        with self._lock:
            pool, self._pipeline, self._pool = self._pool, None, None
        if pool is not None:
            pool.shutdown()

    def _decoded(self, jobs: "_Jobs") -> Iterator["_Part"]:
        # DALI says that a batch failed, not which file of it: its halves are tried to find out.
        count = len(jobs.files)
        if 0 < count <= MOST:
            pictures = self._run(jobs)
            if pictures is not None or count == 1:
                yield jobs, pictures
                return
        if count:
            yield from self._decoded(jobs.take(slice(0, count // 2)))
            yield from self._decoded(jobs.take(slice(count // 2, None)))

    def _run(self, jobs: "_Jobs") -> Any:
        cuda = self.device.type == "cuda"
        pipeline, self._pipeline = self._pipeline, None  # not to be used again after an error
        with torch.cuda.device(self.device) if cuda else nullcontext():
            pipeline = pipeline or self._make(torch.cuda.current_device() if cuda else None)
            pipeline.feed_input("files", jobs.files)
            pipeline.feed_input("begins", np.ascontiguousarray(jobs.stored[:, :2]))
            pipeline.feed_input("shapes", np.ascontiguousarray(jobs.stored[:, 2:]))
            if self.as_on_gpu:
                pipeline.feed_input("starts", jobs.starts)
                pipeline.feed_input("ends", jobs.ends)
                pipeline.feed_input("filters", list(jobs.filters))
            try:
                (pictures,) = pipeline.run(*((torch.cuda.current_stream(),) if cuda else ()))
            except RuntimeError:
                return None
        self._pipeline = pipeline
        return pictures

    def _make(self, index: int | None) -> Any:
        from nvidia.dali import fn
        from nvidia.dali.pipeline import Pipeline
        from nvidia.dali.types import DALIDataType, DALIImageType

        make: Any = Pipeline  # has no annotations
        # With this executor what comes out is not overwritten as long as somebody holds it.
        made = make(MOST, self.threads, index, exec_dynamic=True, prefetch_queue_depth=1)
        kind = DALIImageType.RGB if self.channels == 3 else DALIImageType.GRAY
        options: Any = {"output_type": kind, "adjust_orientation": False}
        pixels: Any = {"normalized_anchor": False, "normalized_shape": False, "axis_names": "HW"}
        with made:
            # A GPU may still read the files when `run` returns.
            files = fn.external_source(name="files", no_copy=index is None)
            part = fn.external_source(name="begins"), fn.external_source(name="shapes")
            if not self.as_on_gpu:
                made.set_outputs(fn.decoders.image_slice(files, *part, **options, **pixels))
                return made
            # Decoded whole: what nvJPEG can do with regions differs between GPUs and versions.
            pictures = fn.decoders.image(
                files, device="cpu" if index is None else "mixed", jpeg_fancy_upsampling=True,
                **options,
            )  # fmt: skip
            frames = fn.resize(
                fn.slice(pictures, *part, **pixels), size=list(self.size), antialias=True,
                interp_type=fn.reinterpret(
                    fn.external_source(name="filters"), dtype=DALIDataType.INTERP_TYPE
                ),
                roi_start=fn.external_source(name="starts"),
                roi_end=fn.external_source(name="ends"),
            )  # fmt: skip
            made.set_outputs(frames)
        return made

    def _joined(self, parts: list["_Part"]) -> torch.Tensor:
        shape = (*self.size, self.channels)
        made = []
        for jobs, pictures in parts:
            if pictures is None:
                made.append(torch.zeros((1, *shape), dtype=torch.uint8, device=self.device))
                continue
            frames = from_dlpack(pictures.as_tensor())
            for k in np.flatnonzero(jobs.orientation >= 5).tolist():
                frames[k] = frames[k].transpose(0, 1).clone()
            made.append(frames)
        if not made:
            return torch.empty((0, *shape), dtype=torch.uint8, device=self.device)
        return made[0] if len(made) == 1 else torch.cat(made)

    def _resampled(self, parts: list["_Part"], pool: ThreadPoolExecutor) -> torch.Tensor:
        count = sum(len(jobs.files) for jobs, _ in parts)
        frames = torch.empty((count, *self.size, self.channels), dtype=torch.uint8)
        out = frames.numpy()
        for jobs, pictures in parts:
            here, out = out[: len(jobs.files)], out[len(jobs.files) :]
            if pictures is None:
                here[:] = 0
                continue
            shares = [range(k, len(here), self.threads) for k in range(self.threads)]
            list(pool.map(partial(_resample, jobs, pictures, here), shares))
        return frames


def _resample(jobs: "_Jobs", pictures: Any, out: NDArray[np.uint8], rows: range) -> None:
    for k in rows:
        orientation, box = int(jobs.orientation[k]), tuple(jobs.box[k].tolist())
        inner = 0.0, 0.0, float(box[2]), float(box[3])
        resized, offset = tuple(jobs.resized[k].tolist()), tuple(jobs.offset[k].tolist())
        kind, picture = int(jobs.filters[k]), upright(np.asarray(pictures.at(k)), orientation)
        # The box begins before the image, which holds only what the output needs of it.
        resample_part(picture, box, inner, resized, offset, kind, out[k])


class _Jobs(NamedTuple):
    """Samples: a file, its region that is decoded, and what is shown of that."""

    files: list[NDArray[np.uint8]]
    orientation: Ids
    stored: NDArray[np.int32]  # [N, 4], the region (top, left, height, width) as stored
    box: Ids  # [N, 4], the window's box as seen from the region's upright corner
    resized: Ids
    offset: Ids
    filters: NDArray[np.int32]  # [N], whose numbers are DALI's own
    starts: NDArray[np.float32]  # [N, 2], where the frame begins in the region as stored, and
    ends: NDArray[np.float32]  # ends; the other way round where it is mirrored

    @classmethod
    def of(
        cls,
        files: list[NDArray[np.uint8]],
        windows: Windows,
        orientation: Ids,
        sizes: Ids,
        size: Pair,
    ) -> "_Jobs":
        box, resized, offset = (
            part.astype(np.int64) for part in (windows.box, windows.resized, windows.offset)
        )
        first, span = _needed(box[:, 2:], resized, offset, size, windows.filters)
        scale = box[:, 2:] / resized
        starts = offset * scale - first
        edges = starts, starts + np.array(size) * scale
        back = np.stack(
            [np.isin(orientation, _FROM_BELOW), np.isin(orientation, _FROM_RIGHT)], axis=1
        )
        corner = box[:, :2] + first
        corner = np.where(back, sizes - corner - span, corner)
        edges = np.where(back, span - edges[0], edges[0]), np.where(back, span - edges[1], edges[1])
        order = np.where((orientation >= 5)[:, None], [1, 0], [0, 1])
        stored = [np.take_along_axis(part, order, axis=1) for part in (corner, span)]
        starts, ends = (np.take_along_axis(part, order, axis=1) for part in edges)
        return cls(
            files, orientation, np.concatenate(stored, axis=1).astype(np.int32),
            np.concatenate([-first, box[:, 2:]], axis=1), resized, offset, windows.filters,
            starts.astype(np.float32), ends.astype(np.float32),
        )  # fmt: skip

    def take(self, rows: slice) -> "_Jobs":
        """Return some of the samples."""
        return _Jobs(*(part[rows] for part in self))  # type: ignore[arg-type]


_Part = tuple[_Jobs, Any]  # and DALI's list of images, or None if it refuses the one file


def _needed(
    length: Ids, resized: Ids, offset: Ids, size: Pair, filters: NDArray[np.int32]
) -> tuple[Ids, Ids]:
    """Return the first pixel of boxes, and how many from it on, that frames of `size` need.

    All are int64 `[N, 2]`, rows and columns; `length` is the boxes' own.
    """
    scale = length / resized
    support = np.maximum(scale, 1.0) * np.where(filters == BICUBIC, 2.0, 1.0)[:, None]
    taps = np.ceil(2 * support) + 3  # `kernels.resample` reads up to 3 more, with weight 0
    first = np.floor((offset + 0.5) * scale - support + 0.5) - _MARGIN
    last = np.floor((offset + np.array(size) - 0.5) * scale - support + 0.5) + taps + _MARGIN
    first = np.maximum(first, 0).astype(np.int64)
    return first, np.minimum(last.astype(np.int64), length) - first
