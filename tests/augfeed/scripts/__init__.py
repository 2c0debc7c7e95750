"""Scripts that tests start, each in a process of its own."""

import os
import sys
from collections.abc import Callable
from types import ModuleType

from torch import distributed
from torch.distributed import TCPStore  # type: ignore[attr-defined]

from tests.template import run_script

RANKS = 2
STARTED = """
import torch
from tests.augfeed.scripts import on_ranks
from {} import main
torch.set_num_threads(1)
on_ranks(main)
"""


def run_on_ranks(script: ModuleType, *arguments: str) -> str:
    """Run the `main` of a module on two ranks; return what they print."""
    name = script.__name__
    ran = run_script(
        STARTED.format(name), *arguments, imports=[name], environment={"OMP_NUM_THREADS": "1"}
    )
    assert ran.returncode == 0, ran.stderr[-3000:]
    return ran.stdout


def on_ranks(main: Callable[[], None]) -> None:
    """Run `main` on two ranks, forked from this process, which has imported all that they need.

    They find each other as those that `torchrun` starts do: by variables and a store.
    """
    store = TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(store.port),
                   "WORLD_SIZE": str(RANKS), "LOCAL_WORLD_SIZE": str(RANKS),
                   "TORCHELASTIC_USE_AGENT_STORE": "True", "TORCHELASTIC_RESTART_COUNT": "0",
                   "TORCHELASTIC_RUN_ID": "none"}  # fmt: skip
    pids = []
    for rank in range(RANKS):
        pids.append(os.fork())
        if pids[-1] == 0:
            os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank)}
            try:
                main()
            except BaseException:
                sys.excepthook(*sys.exc_info())
            os._exit(1)  # `main` ends by `leave`
    codes = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids]
    assert not any(codes), codes


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
