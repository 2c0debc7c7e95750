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

MOST_BYTES = 8 << 20  # of files that are held at once


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
        source, first = self.frames.source, 0
        assert isinstance(source, EncodedSource)
        while first < len(samples):
            left = samples[first:]
            found = self._find(source, samples_of(asked.plans[0].ids[left]))
            views = _views_of(asked, left[: len(found)], found)
            for k, sample in enumerate(left[: len(found)].tolist()):
                own = [out[first + k :: len(samples)] for out in outs]
                self._make(
                    source, asked, sample, own, (found[k], None if views is None else views[k])
                )
            first += len(found)

    def _find(self, source: EncodedSource, numbers: Indices) -> list[Found | Exception]:
        # Some images, or files, of which not too many are held at once, or what was raised.
        found: list[Found | Exception] = []
        held = 0
        for number in numbers.tolist():
            try:
                image = self.frames.find(source, number)
            except (InputError, ReadError) as error:
                found.append(error)
                continue
            found.append(image)
            held += len(image.data) if isinstance(image, Encoded) else 0
            if held > MOST_BYTES:
                break
        return found

    def _make(
        self, source: EncodedSource, asked: ViewsAsked, sample: int, outs: list[NDArray[Any]],
        given: tuple[Found | Exception, list[View] | None],
    ) -> None:  # fmt: skip
        number = int(samples_of(asked.plans[0].ids[sample : sample + 1])[0])
        found, views = given
        try:
            if isinstance(found, Exception):
                raise found
            self._show(source, asked, (sample, number), outs, found, views)
        except (InputError, ReadError) as error:
            if self.frames.reading.on_error == "raise":
                raise
            self._replace(source, asked, (sample, number), outs, error)

    def _replace(
        self, source: EncodedSource, asked: ViewsAsked, place: tuple[int, int],
        outs: list[NDArray[Any]], error: Exception,
    ) -> None:  # fmt: skip
        (sample, number), plan, path = place, asked.plans[0], source.path(place[1])
        others = candidates(plan.seed, plan.epoch, int(plan.ids[sample]), len(source))
        for other in others:
            try:
                self._show(source, asked, (sample, other), outs, self.frames.find(source, other))
            except (InputError, ReadError):
                continue
            asked.taken.ids[sample], asked.taken.unread[sample] = other, True
            self.frames.log.add(ReadFailure(plan.epoch, number, path, str(error), other))
            return
        raise no_substitute(path, str(error), len(others)) from error

    def _show(
        self, source: EncodedSource, asked: ViewsAsked, place: tuple[int, int],
        outs: list[NDArray[Any]], found: Found, views: list[View] | None = None,
    ) -> None:  # fmt: skip
        sample, number = place
        if views is None:
            try:
                (views,) = _windows(asked, np.array([sample]), [size_of(found)])
            except InputError as error:
                raise InputError(f"{source.path(number)}: {error}") from error
        self._cut(found, views, [frame for out in outs for frame in out])
        asked.sizes[sample] = size_of(found)

    def _cut(self, found: Found, views: list[View], outs: list[NDArray[Any]]) -> None:
        pad = self.frames.fixed.pad_mode, self.frames.fixed.pad_fill
        if isinstance(found, Encoded):
            found.show_all(views, outs, pad)
            return
        for view, out in zip(views, outs, strict=True):
            self.frames.show(found, view, out)


def _views_of(
    asked: ViewsAsked, samples: Indices, found: Sequence[Found | Exception]
) -> list[list[View]] | None:
    # What is shown of each sample, reckoned for all at once; None if it cannot be of one of them.
    sizes = [size_of(image) for image in found if not isinstance(image, Exception)]
    if len(sizes) < len(found):
        return None
    try:
        return _windows(asked, samples, sizes)
    except InputError:
        return None


def _windows(
    asked: ViewsAsked, samples: Indices, sizes: Sequence[tuple[int, int]]
) -> list[list[View]]:
    shown: list[list[View]] = [[] for _ in samples]
    heights, widths = np.array(sizes).T
    for part, plan in enumerate(asked.plans):
        rows = asked.rows(part, samples)
        times = len(rows) // len(samples)
        windows = plan.window.take(rows).at(np.tile(heights, times), np.tile(widths, times))
        for k, view in enumerate(views_of(windows)):
            shown[k % len(samples)].append(view)
    return shown
