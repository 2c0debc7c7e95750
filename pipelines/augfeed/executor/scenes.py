"""Frames of policies that show several samples in one image, with what belongs to them."""

import threading

import numpy as np
import torch

from augfeed.executor import FrameSet, Indices, Planned
from augfeed.executor.inputs import BatchInputs
from augfeed.plan import BatchRows
from augfeed.read.scene_frames import SceneFrames, paste


class SceneReader:
    """Frames of a plan by its groups, whose members may be seen in each other's frames.

    Each is one task: its files are read and decoded once, and annotations are moved, which say
    what is pasted. With a `buffer` `[M, H, W, C]` all frames are given out in it by the last task.
    """

    def __init__(
        self, inputs: BatchInputs, planned: Planned, buffer: torch.Tensor | None = None
    ) -> None:
        """Read nothing yet."""
        self.inputs, self.planned, self.buffer = inputs, planned, buffer
        self.parts = groups_of(planned.rows)
        self._left, self._lock = len(self.parts), threading.Lock()
        self._frames = SceneFrames(inputs.frames)
        if buffer is not None:
            buffer.zero_()  # rows that nobody sees

    def read(self, part: Indices) -> FrameSet | None:
        """Return the frames of some rows; with a buffer those of all, or None if some are left."""
        plan, taken, follow = self.planned.plan, self.planned.taken, self.planned.driver.follow
        assert plan.scenes is not None and follow is not None
        shown = plan.shown(part)
        with self.inputs.costs.of("read", len(part)):
            frames = self._frames.read(plan, shown, taken)
            mover = follow.mover(plan, part, taken)
            where = {row: mover.where_pasted(row) for row in plan.mixes.needed(part).tolist()}
            given = {row: one for row, one in where.items() if one is not None}
            paste(frames, shown, plan.scenes, given)
            follow.move(plan, part, taken, mover)
        if self.buffer is not None:
            self.buffer.numpy()[shown] = frames
            return FrameSet(self.buffer, np.arange(plan.count)) if self._ended() else None
        places = np.zeros(len(plan.ids), np.int64)
        places[shown] = np.arange(len(shown))
        return FrameSet(torch.from_numpy(frames), part, shown, places)

    def _ended(self) -> bool:
        with self._lock:
            self._left -= 1
            return self._left == 0


def groups_of(rows: BatchRows) -> list[Indices]:
    """Return the rows that come out, by groups of those that may be seen in each other."""
    starts = np.flatnonzero(np.diff(rows.groups[: rows.count], prepend=-1))
    return np.split(np.arange(rows.count), starts[1:])


__all__ = ["SceneReader", "groups_of"]
