"""A line on the terminal while loops are compiled, which otherwise looks like a hang."""

import sys
from typing import Any

from numba.core import event

NAMES = {"augment": "augmentation", "resample": "resizing", "store": "the output's element type"}


class Notice(event.Listener):
    """Says, where people watch, which loops of this package are being compiled."""

    def on_start(self, event: Any) -> None:
        """Print a line as one of the outermost loops begins to be compiled."""
        function = event.data["dispatcher"].py_func
        if function.__module__.startswith("augfeed.") and function.__name__ in NAMES:
            print(
                f"augfeed: compiling the loops for {NAMES[function.__name__]}; once for each kind "
                "of input, some 15 seconds",
                file=sys.stderr,
            )

    def on_end(self, event: Any) -> None:
        """Say nothing."""


def install() -> None:
    """Listen from now on, if standard error is a terminal."""
    if sys.stderr is not None and sys.stderr.isatty():
        register: Any = event.register
        register("numba:compile", Notice())
