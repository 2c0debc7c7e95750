"""A process that has imported what a service needs, from which services are forked."""

import atexit
import json
import os
import signal
import subprocess
import sys
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO

from tests.waiting import HANG, eventually

# What `augfeed serve` runs.
SERVE = """
import sys
from augfeed.cli import main
sys.argv[1:1] = ["serve"]
main()
"""
# For each line: a process that waits for the service, and writes down how it ended.
TEMPLATE = """
import json, os, signal, sys
import uvicorn
import augfeed.cli, augfeed_service.cli, augfeed_service.server

code = ""
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
for line in sys.stdin:
    if os.fork():
        continue
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    given = json.loads(line)
    pid = os.fork()
    if pid:
        print(pid, flush=True)
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        with open(given["ended"] + ".new", "w") as file:
            file.write(str(status))
        os.rename(given["ended"] + ".new", given["ended"])
        os._exit(0)
    nothing = os.open(os.devnull, os.O_RDWR)
    for number, own in enumerate((nothing, nothing, os.open(given["said"], os.O_WRONLY))):
        os.dup2(own, number)
    sys.stdin = open(0, closefd=False)
    sys.stdout, sys.stderr = (open(k, "w", buffering=1, closefd=False) for k in (1, 2))
    os.environ.clear()
    os.environ.update(given["environment"])
    sys.argv, code = ["serve", *given["arguments"]], given["code"]
    break
exec(code, {"__name__": "__main__"})
"""


class Forked:
    """A process as `subprocess.Popen` has it, of which this one is not the parent."""

    def __init__(self, pid: int, stderr: IO[str], ended: Path) -> None:
        self.pid, self.stderr, self._ended = pid, stderr, ended

    def send_signal(self, number: int) -> None:
        if not self._ended.exists():
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def wait(self, timeout: float = HANG) -> int:
        """Return the exit status, negative for a signal."""
        assert eventually(self._ended.exists)
        return int(self._ended.read_text())


class Template:
    """Starts what it forks from with the first of them."""

    def __init__(self) -> None:
        self.own, self.count = TemporaryDirectory(), 0
        atexit.register(self.close)
        paths = os.pathsep.join(path for path in sys.path if path)
        self.process = subprocess.Popen(
            [sys.executable, "-c", TEMPLATE], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            text=True, env={**os.environ, "PYTHONPATH": paths},
        )  # fmt: skip

    def close(self) -> None:
        self.process.communicate()
        self.own.cleanup()

    def fork(self, code: str, arguments: list[str], environment: dict[str, str]) -> Forked:
        """Return a process that runs some code."""
        self.count += 1
        ended, said = (Path(self.own.name, f"{self.count}.{name}") for name in ("ended", "said"))
        os.mkfifo(said)
        assert self.process.stdin is not None and self.process.stdout is not None
        given = {"code": code, "arguments": arguments, "environment": environment,
                 "ended": str(ended), "said": str(said)}  # fmt: skip
        self.process.stdin.write(json.dumps(given) + "\n")
        self.process.stdin.flush()
        pid = int(self.process.stdout.readline())
        return Forked(pid, said.open(), ended)


@cache
def template() -> Template:
    """Return the one of this process."""
    return Template()
