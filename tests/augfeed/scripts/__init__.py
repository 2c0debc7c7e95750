"""Scripts that tests start, each in a process of its own."""

import os
import sys

from torch import distributed


def leave() -> None:
    """End a rank at once, when all have come here.

    Threads that torch's gloo and gradients leave behind can abort a process whose interpreter ends
    ("terminate called without an active exception"): beside a load one in twelve runs of plain
    torch and Accelerate did. `test_exit.py` is about how our own threads end.
    """
    if distributed.is_initialized():
        distributed.barrier()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)
