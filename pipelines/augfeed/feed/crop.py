"""Images of a batch, cut and resized as the draws of their samples say."""

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import get_worker_info

from augfeed.constants import CONSTANT, EDGES
from augfeed.feed.batch_requests import BatchRequest
from augfeed.fields.placements import Placement, placements
from augfeed.kernels.resample import resample
from augfeed.kernels.resample_stack import resample_stack
from augfeed.memory_pool import Memory
from augfeed.plan import Scenes, Windows, rows_of_views
from augfeed.plan.batch_rows import Ids
from augfeed.plan.policy_constants import PolicyConstants
from augfeed.plan.windows import WindowDraws
from augfeed.policy import Policy, RandomCrop
from augfeed.read.resident import cut_by_engine
from augfeed.views import Views

SCRATCH = Memory()


def sizes_of(pictures: list[NDArray[Any]], policy: Policy) -> tuple[Ids, tuple[int, int]]:
    """Return (height, width) of all images `[M, 2]`, and that of the frames that they become."""
    sizes = np.array([picture.shape[:2] for picture in pictures], np.int64)
    same = bool((sizes == sizes[0]).all())
    return sizes, policy.size((int(sizes[0, 0]), int(sizes[0, 1])) if same else None)


def cut(
    pictures: list[NDArray[Any]], request: BatchRequest, policy: Policy,
    scenes: Scenes | None = None, needed: Ids | None = None, windows: Windows | None = None,
) -> torch.Tensor:  # fmt: skip
    """Return frames `[M, H, W, C]`: each image cut and resized as its sample's draws say.

    With `scenes` a frame may show several of them. Those not `needed` (None: all are) are black.
    `windows` are given where they are not functions of the sizes alone.
    """
    sizes, size = sizes_of(pictures, policy)
    fixed = PolicyConstants.of(policy, pictures[0].shape[2])
    if windows is None:
        draws = WindowDraws(policy, request.seed, request.epoch, request.rows.ids)
        windows = draws.at(sizes[:, 0], sizes[:, 1])
    frames = _empty((len(pictures), *size, pictures[0].shape[2]), pictures[0].dtype)
    out = frames.numpy()
    if needed is not None and len(needed) < len(pictures):
        out[np.setdiff1d(np.arange(len(pictures)), needed)] = 0
    for k in range(len(pictures)) if needed is None else needed.tolist():
        if scenes is not None and scenes.mosaics[k]:
            cells = placements(scenes, k, size, sizes)
            _lay(pictures, cells, windows.filters, scenes.fill, out[k])
        else:
            window = (part[k] for part in windows.parts)
            resample(pictures[k], *window, fixed.pad_mode, fixed.pad_fill, out[k])
    return frames


@dataclass(frozen=True, slots=True)
class CutViews:
    """Frames of each part of the views of samples, and height and width of their images."""

    frames: tuple[torch.Tensor, ...]
    sizes: Ids

    def pin_memory(self) -> "CutViews":
        """Return the frames in page-locked memory."""
        return replace(self, frames=tuple(part.pin_memory() for part in self.frames))


def cut_views(pictures: list[NDArray[Any]], request: BatchRequest, views: Views) -> CutViews:
    """Return the frames `[V * M, H, W, C]` of each part, those of one view after another."""
    frames = []
    for part in views.parts:
        policy, rows = (
            part.policy.at(request.epoch),
            rows_of_views(request.rows, part.first, part.count),
        )
        draws = WindowDraws(policy, request.seed, request.epoch, rows.ids, part.sharing)
        own = pictures * part.count
        sizes, _ = sizes_of(own, policy)
        windows = draws.at(sizes[:, 0], sizes[:, 1])
        frames.append(cut(own, request, policy, windows=windows))
    sizes, _ = sizes_of(pictures, views.parts[0].policy)
    return CutViews(tuple(frames), sizes)


def _lay(
    pictures: list[NDArray[Any]], cells: list[Placement], filters: NDArray[np.int32], fill: float,
    out: NDArray[Any],
) -> None:  # fmt: skip
    # The images of a mosaic, each in its place.
    out[:] = fill if out.dtype != np.uint8 else round(fill * 255)
    outside = np.zeros(out.shape[2])
    for cell in cells:
        where = cell.where
        part = SCRATCH.take((*where.size, out.shape[2]), out.dtype)
        resample(pictures[cell.row], where.box, where.resized, where.offset, filters[cell.row],
                 CONSTANT, outside, part)  # fmt: skip
        out[cell.part] = part


def cut_stack(
    images: NDArray[Any], request: BatchRequest, policy: Policy, *, uncut: bool = False
) -> tuple[torch.Tensor, bool]:
    """Return what `cut` does, of images of one size `[M, h, w, C]`, and False.

    With `uncut` the images as they are, and True, where an engine can cut them by itself; not from
    a worker process, whose time is cheaper.
    """
    policy = policy.at(request.epoch)
    height, width, channels = images.shape[1:]
    size, fixed = policy.size((height, width)), PolicyConstants.of(policy, channels)
    draws = WindowDraws(policy, request.seed, request.epoch, request.rows.ids)
    uncut = uncut and get_worker_info() is None and cut_by_engine(policy, (height, width))
    if uncut and _pads_alike(policy, fixed, images.dtype):
        draws.take(slice(1)).offsets(height, width)  # raises for a crop that does not fit
        return torch.from_numpy(images), True
    windows = draws.at(height, width)
    frames = _empty((len(images), *size, channels), images.dtype)
    resample_stack(images, *windows.parts, fixed.pad_mode, fixed.pad_fill, frames.numpy())
    return frames, False


def _pads_alike(policy: Policy, fixed: PolicyConstants, dtype: Any) -> bool:
    # What is padded by a byte is rounded to one, unless the engine does it.
    crop = policy.find(RandomCrop)
    if crop is None or not crop.padding or fixed.pad_mode != EDGES["constant"]:
        return True
    values = fixed.pad_fill * 255.0
    return dtype != np.uint8 or bool((values == np.rint(values)).all())


def _empty(shape: tuple[int, ...], dtype: Any) -> torch.Tensor:
    # In a worker the frames are made where the main process will find them.
    kind = torch.uint8 if dtype == np.uint8 else torch.float32
    if get_worker_info() is None:
        return torch.empty(shape, dtype=kind)
    # As torch's default_collate does: memory shared from the start need not be copied.
    elements = math.prod(shape)
    empty: Any = torch.empty(0, dtype=kind)
    shared = empty._typed_storage()._new_shared(elements)
    return torch.empty(0, dtype=kind).set_(shared).view(shape)
