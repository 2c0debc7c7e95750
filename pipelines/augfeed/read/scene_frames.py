"""Frames of samples that show several images: each is read and decoded once for all of them."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from augfeed.errors import ReadError
from augfeed.fields.placements import Placement, placement
from augfeed.plan import Plan, Scenes
from augfeed.read.crop import View, scale_for
from augfeed.read.frames import Found, Frames, Ready, size_of
from augfeed.read.image_frame import Encoded
from augfeed.read.read_errors import RowSources

Indices = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Shown:
    """Where an image is seen: what `view` shows of it is put into `part` of the frame of `row`."""

    row: int
    part: tuple[slice, slice]
    view: View

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the part."""
        rows, columns = self.part
        return rows.stop - rows.start, columns.stop - columns.start


class SceneFrames:
    """Makes the frames of a policy with a mosaic, each image decoded once for all that show it.

    A JPEG is decoded at the smallest scale that has the pixels of all frames of its group, so that
    what comes out does not depend on which of them are in a batch.
    """

    def __init__(self, frames: Frames) -> None:
        """Read by `frames`, whose cache is used."""
        self.frames = frames

    def read(self, plan: Plan, rows: Indices, taken: RowSources) -> NDArray[Any]:
        """Return the frames of some rows of a plan, `[len(rows), H, W, C]`.

        Raises `ReadError` naming a file, if errors are to be raised or nothing can take its place.
        """
        scenes, frames = plan.scenes, self.frames
        if scenes is None or not scenes.mosaics[rows].any():
            return frames.read(plan, rows, taken)
        made = frames.memory.take((len(rows), *plan.size, frames.source.channels), np.uint8)
        made[scenes.mosaics[rows]] = round(scenes.fill * 255)
        places = {row: k for k, row in enumerate(rows.tolist())}
        ready = frames.prepare(plan, scenes.seen(rows), taken)
        for k in range(len(ready.found)):
            self._put(ready, k, made, places)
        return made

    def _put(self, ready: Ready, k: int, made: NDArray[Any], places: dict[int, int]) -> None:
        def use(found: Found, view: View) -> None:
            asked = _asked(ready.plan, int(ready.rows[k]), size_of(found), view)
            self._show(found, asked, made, places)

        try:
            use(ready.found[k], ready.view(k))
        except ReadError as error:
            self.frames.replace(ready.place(k), error, use)

    def _show(
        self, found: Found, asked: list[Shown], made: NDArray[Any], places: dict[int, int]
    ) -> None:
        here = [one for one in asked if one.row in places]
        if not here:
            return
        memory = self.frames.memory
        outs = [memory.take((*one.size, made.shape[3]), made.dtype) for one in here]
        pad = self.frames.fixed.pad_mode, self.frames.fixed.pad_fill
        if isinstance(found, Encoded):
            found.show_all([one.view for one in here], outs, pad, scale=_scale(asked))
        else:
            for one, out in zip(here, outs, strict=True):
                self.frames.show(found, one.view, out)
        for one, out in zip(here, outs, strict=True):
            made[places[one.row]][one.part] = out


def _asked(plan: Plan, row: int, size: tuple[int, int], view: View) -> list[Shown]:
    # All frames of the group in which an image of `size` is seen, those of other batches too.
    scenes, asked = plan.scenes, []
    assert scenes is not None
    if not scenes.mosaics[row]:
        asked.append(Shown(row, (slice(0, plan.size[0]), slice(0, plan.size[1])), view))
    for frame, cell in np.argwhere((scenes.cells == row) & scenes.mosaics[:, None]).tolist():
        place = placement(scenes, frame, cell, plan.size, size)
        if place is not None:
            asked.append(Shown(frame, place.part, _view(place, view.kind)))
    return asked


def _view(place: Placement, kind: int) -> View:
    where = place.where
    return View(where.box, where.resized, where.offset, kind)


def _scale(asked: list[Shown]) -> int:
    # What needs padding is decoded whole.
    if not all(one.view.inside(one.size) for one in asked):
        return 1
    return min(scale_for(one.view) for one in asked)


def paste(frames: NDArray[Any], rows: Indices, scenes: Scenes, where: dict[int, Any]) -> None:
    """Put objects of donors on frames of some `rows`, in place.

    `where` is bool `[H, W]` for each row that gets some: which of its pixels are those of its
    donor, as that is without objects of its own donor.
    """
    places = {row: k for k, row in enumerate(rows.tolist())}
    donors = {int(scenes.donor[row]) for row in where}
    plain = {row: frames[places[row]].copy() for row in donors}
    for row, shown in where.items():
        frames[places[row]][shown] = plain[int(scenes.donor[row])][shown]


__all__ = ["SceneFrames", "paste"]
