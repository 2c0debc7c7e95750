"""The end of the process, whatever its threads do."""

import faulthandler
import logging
import os
import sys
import threading
import time
import traceback

LOG = logging.getLogger("augfeed.service")
AFTER = 2.0  # seconds from the one to the other


def end_hard(seconds: float) -> None:
    """Have the process end with status 1 in so many seconds, unless it has ended by then.

    The interpreter waits for its threads, and some work cannot be interrupted. A thread of Python
    says what runs still, and ends the process; a thread of C does it a little later, in case that
    work keeps the interpreter's lock.
    """
    faulthandler.dump_traceback_later(seconds + AFTER, exit=True, file=_nowhere())
    threading.Thread(target=_end, args=(seconds,), daemon=True).start()


def _nowhere() -> int:
    return os.open(os.devnull, os.O_WRONLY)


def _end(seconds: float) -> None:
    time.sleep(seconds)
    names = {thread.ident: thread.name for thread in threading.enumerate()}
    own = threading.get_ident()
    stacks = [
        f"{names.get(ident, ident)}: {''.join(traceback.format_stack(frame)[-2:])}"
        for ident, frame in sys._current_frames().items()
        if ident != own
    ]
    LOG.error("ended before all was done; what ran still: %s", "\n".join(stacks))
    logging.shutdown()
    os._exit(1)
