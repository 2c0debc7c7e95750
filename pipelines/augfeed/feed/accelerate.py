"""What Hugging Face Accelerate keeps in its own loaders, kept for ours.

Accelerate's `prepare` rebuilds a stock loader from attributes, which would lose the policy; ours
says that it is prepared already, shards by itself, and tells Accelerate's gradient state when an
epoch ends. Accelerate is never imported: without it, or before its state exists, nothing happens.
"""

import sys
import weakref
from typing import Any, Protocol


def accelerate_device() -> Any:
    """Return the device of Accelerate's process, None where there is none."""
    state = getattr(sys.modules.get("accelerate.state"), "PartialState", None)
    if state is None or not state._shared_state:
        return None
    return state().device


class Prepared(Protocol):
    """A loader as Accelerate sees it."""

    end_of_dataloader: bool
    remainder: int


class GradientEnd:
    """Says Accelerate's gradient state that an epoch runs, and which batch is its last."""

    def __init__(self, loader: Prepared, remainder: int) -> None:
        """Begin an epoch; `remainder` samples are in a last batch that is not whole, or -1."""
        self._loader = weakref.ref(loader)
        self._state = self._find()
        loader.end_of_dataloader, loader.remainder = False, remainder
        if self._state is not None:
            self._state._add_dataloader(loader)

    def last(self) -> None:
        """Mark the batch about to be given out as the last one."""
        if (loader := self._loader()) is not None:
            loader.end_of_dataloader = True

    def end(self) -> None:
        """End the epoch."""
        loader = self._loader()
        if self._state is not None and loader in self._state.dataloader_references:
            self._state._remove_dataloader(loader)

    @staticmethod
    def _find() -> Any:
        state = getattr(sys.modules.get("accelerate.state"), "GradientState", None)
        return state() if state is not None and state._shared_state else None
