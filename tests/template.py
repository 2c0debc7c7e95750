"""A process that has imported what scripts and services need, from which they are forked.

`import torch` takes a core 1.5 seconds, `import lightning` 5; many tests start scripts of these.
It is not the process of the tests, nor a fork of it: it imports and does nothing else, so that it
has no threads, for which a fork would wait for ever.
"""

import atexit
import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO

from tests.waiting import HANG, eventually

INTERPRET = "TRITON_INTERPRET"  # a variable that Triton reads when it is imported

# For each line: a process that waits for the script, and writes down how it ended. A module that is
# imported once stays: what comes later finds it.
TEMPLATE = """
import gc, importlib, json, os, signal, sys

code, given = "", {"finalize": True}
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
for line in sys.stdin:
    gc.disable()
    for name in json.loads(line)["imports"]:
        importlib.import_module(name)
    if "numba" in sys.modules:  # which imports more, SciPy too, with its first call
        from numba.core.registry import cpu_target
        cpu_target.typing_context.refresh()
        cpu_target.target_context.refresh()
    gc.freeze()  # what is there already is looked at by no collection, neither here nor there
    gc.enable()
    tasks = "/proc/self/task"
    if os.path.isdir(tasks) and len(os.listdir(tasks)) > 1:
        sys.exit("no fork has the threads that these imports began: " + line)
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
    os.dup2(os.open(os.devnull, os.O_RDWR), 0)
    for number, name in ((2, "stderr"), (1, "stdout")):
        own = os.open(given[name], os.O_WRONLY)
        os.dup2(own, number)
        os.close(own)
    sys.stdin = open(0, closefd=False)
    sys.stdout, sys.stderr = (open(k, "w", buffering=1, closefd=False) for k in (1, 2))
    os.environ.clear()
    os.environ.update(given["environment"])
    sys.argv, code = [given["name"], *given["arguments"]], given["code"]
    break
if given["finalize"]:
    exec(code, globals())  # which stay to the end, as those of a script do
else:
    # The interpreter would free all modules one by one, in pages that are shared until then.
    import atexit, threading
    status = None
    try:
        exec(code, globals())
    except SystemExit as error:
        status = error.code
    except BaseException:
        sys.excepthook(*sys.exc_info())
        status = 1
    if isinstance(status, str):
        print(status, file=sys.stderr)
        status = 1
    threading._shutdown()
    atexit._run_exitfuncs()
    sys.stdout.flush()
    os._exit(status or 0)
"""


class Forked:
    """A process as `subprocess.Popen` has it, of which this one is not the parent."""

    def __init__(self, pid: int, ended: Path, stdout: IO[str], stderr: IO[str]) -> None:
        self.pid, self._ended, self.stdout, self.stderr = pid, ended, stdout, stderr

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

    def __init__(self, flags: Sequence[str], *, left_out: Sequence[str] = ()) -> None:
        self.own, self.count = TemporaryDirectory(), 0
        atexit.register(self.close)
        paths = os.pathsep.join(path for path in sys.path if path)
        inherited = {name: value for name, value in os.environ.items() if name not in left_out}
        self.process = subprocess.Popen(
            [sys.executable, *flags, "-c", TEMPLATE], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            text=True, env={**inherited, "PYTHONPATH": paths, "OPENBLAS_NUM_THREADS": "1"},
        )  # fmt: skip

    def close(self) -> None:
        self.process.communicate()
        self.own.cleanup()

    def fork(
        self, code: str, arguments: Sequence[str], environment: Mapping[str, str], *,
        name: str = "-c", imports: Sequence[str] = (), live: bool = True, finalize: bool = False,
    ) -> Forked:  # fmt: skip
        """Return a process that runs some code, its output to be read while it runs, or after.

        With `finalize` the interpreter ends as it does after a script, which takes half a second.
        """
        self.count += 1
        files = {key: Path(self.own.name, f"{self.count}.{key}")
                 for key in ("ended", "stdout", "stderr")}  # fmt: skip
        for key in ("stdout", "stderr"):
            if live:
                os.mkfifo(files[key])
            else:
                files[key].touch()
        given = {
            "code": code,
            "name": name,
            "finalize": finalize,
            "arguments": [*arguments],
            "imports": [*imports],
            "environment": {**environment},
            **{key: str(files[key]) for key in files},
        }
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.write(json.dumps(given) + "\n")
        self.process.stdin.flush()
        pid = int(self.process.stdout.readline())
        stderr = files["stderr"].open()  # in the order in which the process opens them
        return Forked(pid, files["ended"], files["stdout"].open(), stderr)


@cache
def template(*flags: str) -> Template:
    """Return the one of this process whose interpreter got these flags."""
    return Template(flags)


@cache
def compiling_template() -> Template:
    """Return the one of this process where Triton compiles kernels, and interprets none."""
    return Template((), left_out=[INTERPRET])


def run_script(
    code: str, *arguments: str, imports: Sequence[str], flags: Sequence[str] = (),
    finalize: bool = False, environment: Mapping[str, str] | None = None,
) -> subprocess.CompletedProcess[str]:  # fmt: skip
    """Run a script to its end in an interpreter that has imported some modules before."""
    return _ended(template(*flags).fork(
        code, arguments, {**os.environ, **(environment or {})}, imports=imports, live=False,
        finalize=finalize,
    ), arguments)  # fmt: skip


def run_compiling(
    name: str, *arguments: str, imports: Sequence[str] = ()
) -> subprocess.CompletedProcess[str]:
    """Run the `main` of a module to its end where Triton compiles kernels for GPUs."""
    environment = {key: value for key, value in os.environ.items() if key != INTERPRET}
    return _ended(compiling_template().fork(
        f"from {name} import main\nmain()", arguments, environment, imports=[name, *imports],
        live=False,
    ), arguments)  # fmt: skip


def _ended(forked: Forked, arguments: Sequence[str]) -> subprocess.CompletedProcess[str]:
    try:
        status = forked.wait()
    finally:
        forked.kill()
        with forked.stdout, forked.stderr:
            said, errors = forked.stdout.read(), forked.stderr.read()
    return subprocess.CompletedProcess([*arguments], status, said, errors)
