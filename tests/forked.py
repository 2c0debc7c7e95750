"""Scripts of tests, in forks of a process that has imported what they need, which takes seconds.

Each process of a run of all tests forks that one of itself as soon as it has collected them: later
there would be threads, of OpenMP and of gradients, which no fork has. In other runs a script has a
new process.
"""

import faulthandler
import gc
import json
import os
import signal
import socket
import subprocess
import sys
import traceback
import warnings
from contextlib import suppress
from types import ModuleType
from typing import IO, Any

MOST = 1 << 17  # bytes of a request
_template: list[socket.socket] = []
_threads: list[int] = []


class Script:
    """A process as `subprocess.Popen` has it: `stdin`, `stdout`, `stderr` are pipes of text."""

    def __init__(self, given: dict[str, Any]) -> None:
        pipes = [os.pipe() for _ in range(4)]  # (to read, to write)
        own = [pipes[0][1], *(reading for reading, _ in pipes[1:])]
        others = [pipes[0][0], *(writing for _, writing in pipes[1:])]
        socket.send_fds(_template[0], [json.dumps(given).encode()], others)
        for number in others:
            os.close(number)
        self.stdin: IO[str] = os.fdopen(own[0], "w", buffering=1)
        self.stdout, self.stderr, self._status = (os.fdopen(number) for number in own[1:])
        self.pid = int(self._status.readline())

    def send_signal(self, number: int) -> None:
        """Send a signal, which does nothing to a process that has ended."""
        with suppress(ProcessLookupError):
            os.kill(self.pid, number)

    def communicate(self) -> tuple[str, str]:
        """Return what is still to be read of both, the errors last."""
        self.stdin.close()
        return self.stdout.read(), self.stderr.read()

    def wait(self) -> int:
        """Return the exit status, negative for a signal, and close what was open."""
        status = int(self._status.readline())
        for file in (self.stdin, self.stdout, self.stderr, self._status):
            file.close()
        return status


class _New(subprocess.Popen[str]):
    def wait(self, timeout: float | None = None) -> int:
        """Return the exit status, and close what was open."""
        status = super().wait(timeout)
        for file in (self.stdin, self.stdout, self.stderr):
            assert file is not None
            file.close()
        return status


def started(code: str, *arguments: object, **environment: str) -> Any:
    """Return a process that runs some code: a `Script`, or a `Popen` with the same pipes."""
    words, given = list(map(str, arguments)), {**os.environ, **environment}
    if _template:
        return Script({"code": code, "arguments": words, "environment": given, "cwd": os.getcwd()})
    given["PYTHONPATH"] = os.pathsep.join(path for path in sys.path if path)
    return _New(
        [sys.executable, "-W", "ignore", "-c", code, *words], text=True, env=given, bufsize=1,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def said(code: str, *arguments: object, **environment: str) -> str:
    """Return what some code prints that ends as it should."""
    process = started(code, *arguments, **environment)
    out, errors = process.communicate()
    assert process.wait() == 0, errors[-3000:]
    return str(out)


def fork_template(threads: int) -> None:
    """Fork the process from which scripts are forked; where there are no forks, do nothing.

    `threads` are PyTorch's in a script, unless its environment has another number.

    PyTorch must not have run anything in threads yet: a fork would wait for them without having
    them.
    """
    if not hasattr(os, "fork") or not hasattr(socket, "send_fds"):
        return
    _threads.append(threads)
    here, there = socket.socketpair()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # newer Pythons warn where a process has threads
        if os.fork() == 0:
            try:
                _serve(there.detach())
            finally:
                os._exit(1)
    there.close()
    _template.append(here)


def _serve(number: int) -> None:
    gc.disable()
    faulthandler.disable()
    nothing = os.open(os.devnull, os.O_RDWR)
    for standard in range(3):
        os.dup2(nothing, standard)
    os.dup2(number, 3)
    os.closerange(4, 4096)  # the pipes of pytest-xdist would stay open
    requests = socket.socket(fileno=3)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    while True:
        request, files, *_ = socket.recv_fds(requests, MOST, 4)
        if not request:
            os._exit(0)
        if os.fork() == 0:
            requests.close()
            _watch(json.loads(request), files)
        for file in files:
            os.close(file)


def _watch(given: dict[str, Any], files: list[int]) -> None:
    # The parent of a script writes down how it ends.
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    pid = os.fork()
    if pid == 0:
        _run(given, files)
    for file in files[:3]:
        os.close(file)
    os.write(files[3], b"%d\n" % pid)
    os.write(files[3], b"%d\n" % os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
    os._exit(0)


def _run(given: dict[str, Any], files: list[int]) -> None:
    os.close(files[3])
    for number, file in enumerate(files[:3]):
        os.dup2(file, number)
        os.close(file)
    sys.stdin, sys.stdout, sys.stderr = (
        os.fdopen(number, "rw"[number > 0], buffering=1) for number in range(3)
    )
    signal.signal(signal.SIGINT, signal.default_int_handler)
    warnings.resetwarnings()
    warnings.simplefilter("ignore")
    gc.enable()
    os.environ.clear()
    os.environ.update(given["environment"])
    os.chdir(given["cwd"])
    status = 0
    try:
        _carry_out(given["code"], given["arguments"])
    except SystemExit as ended:
        status = ended.code if isinstance(ended.code, int) else ended.code is not None
    except BaseException:
        traceback.print_exc()
        status = 1
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def _carry_out(code: str, arguments: list[str]) -> None:
    import torch

    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", _threads[0])))
    sys.argv = ["-c", *arguments]
    main = sys.modules["__main__"] = ModuleType("__main__")
    exec(compile(code, "<script>", "exec"), vars(main))
