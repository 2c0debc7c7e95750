"""Frames of several views of the same samples, whose images are read and decoded once."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from augfeed.errors import InputError, ReadError
from augfeed.plan import Plan
from augfeed.plan.batch_rows import samples_of
from augfeed.read.crop import View
from augfeed.read.frames import Found, Frames, Indices, size_of, views_of
from augfeed.read.image_frame import Encoded
from augfeed.read.protocols import EncodedSource
from augfeed.read.read_errors import ReadFailure, RowSources, candidates, no_substitute


@dataclass(frozen=True, slots=True)
class ViewsAsked:
    """The plans of the parts of a batch of views; each holds all samples, one view after another.

    Whose images the samples show, and their heights and widths, is written to `taken` and `sizes`.
    """

    plans: Sequence[Plan]
    taken: RowSources
    sizes: NDArray[np.int64]

    def rows(self, part: int, samples: Indices) -> Indices:
        """Return the rows of some samples in the plan of a part, one view after another."""
        count = len(self.sizes)
        views = len(self.plans[part].ids) // max(1, count)
        rows: Indices = (np.arange(views)[:, None] * count + samples).ravel()
        return rows


class ViewFrames:
    """Makes the frames of all views of a sample of one decoded image.

    It is decoded at the smallest scale that has the pixels of every view, and only where one of
    them shows it; so what a view shows is a function of the key and of all views.
    """

    def __init__(self, frames: Frames) -> None:
        """Read by `frames`, whose cache is used."""
        self.frames = frames

    def read(self, asked: ViewsAsked, samples: Indices, outs: Sequence[NDArray[Any]]) -> None:
        """Write the frames of some samples to `outs`, one array a part, in the order of `rows`.

        Raises `ReadError` naming a file, if errors are to be raised or nothing can take its place.
        """
        source = self.frames.source
        assert isinstance(source, EncodedSource)
        for k, sample in enumerate(samples.tolist()):
            own = [out[k :: len(samples)] for out in outs]
            number = int(samples_of(asked.plans[0].ids[sample : sample + 1])[0])
            try:
                self._show(source, asked, (sample, number), own)
            except (InputError, ReadError) as error:
                if self.frames.reading.on_error == "raise":
                    raise
                self._replace(source, asked, (sample, number), own, error)

    def _replace(
        self, source: EncodedSource, asked: ViewsAsked, place: tuple[int, int],
        outs: list[NDArray[Any]], error: Exception,
    ) -> None:  # fmt: skip
        (sample, number), plan, path = place, asked.plans[0], source.path(place[1])
        others = candidates(plan.seed, plan.epoch, int(plan.ids[sample]), len(source))
        for other in others:
            try:
                self._show(source, asked, (sample, other), outs)
            except (InputError, ReadError):
                continue
            asked.taken.ids[sample], asked.taken.unread[sample] = other, True
            self.frames.log.add(ReadFailure(plan.epoch, number, path, str(error), other))
            return
        raise no_substitute(path, str(error), len(others)) from error

    def _show(
        self, source: EncodedSource, asked: ViewsAsked, place: tuple[int, int],
        outs: list[NDArray[Any]],
    ) -> None:  # fmt: skip
        sample, number = place
        found = self.frames.find(source, number)
        size = size_of(found)
        views: list[View] = []
        try:
            for part, plan in enumerate(asked.plans):
                rows = asked.rows(part, np.array([sample]))
                heights, widths = (np.full(len(rows), side) for side in size)
                views += views_of(plan.window.take(rows).at(heights, widths))
        except InputError as error:
            raise InputError(f"{source.path(number)}: {error}") from error
        self._cut(found, views, [frame for out in outs for frame in out])
        asked.sizes[sample] = size

    def _cut(self, found: Found, views: list[View], outs: list[NDArray[Any]]) -> None:
        pad = self.frames.fixed.pad_mode, self.frames.fixed.pad_fill
        if isinstance(found, Encoded):
            found.show_all(views, outs, pad)
            return
        for view, out in zip(views, outs, strict=True):
            self.frames.show(found, view, out)
