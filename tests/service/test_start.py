"""How a service starts: signals that come early, files that may be open."""

import resource
import sys
from pathlib import Path

import psutil
import pytest

from augfeed_service.server import FILES
from augfeed_service.settings import Settings
from tests.service.servers import Process, ask, photos
from tests.waiting import eventually

STARTED = """
import os, resource, shutil, signal, sys
from pathlib import Path
from augfeed_service import server
from augfeed_service.cli import run, settings_of
from augfeed_service.logs import logging_to

make_app, root = server.make_app, Path(sys.argv[1])
hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]

def opened(*given):
    made = make_app(*given)
    shutil.copy(next(root.glob("*/*.jpg")), root / "a" / "new.jpg")
    os.kill(os.getpid(), signal.SIGHUP)
    return made

{first}
with logging_to(sys.stderr):
    run(settings_of({{"datasets": {{"photos": root}}, "port": 0, "drain": 0}}))
"""


def started(folder: Path, first: str) -> Process:
    code = STARTED.format(first=first)
    return Process(str(photos(folder, 12)), code=code)


def test_a_signal_to_read_again_that_comes_during_the_start_is_obeyed(tmp_path: Path) -> None:
    server = started(tmp_path, "server.make_app = opened")
    assert server.port, server.lines  # such a signal ends a process that does not expect it
    assert eventually(lambda: b'"num_samples":13' in ask(server.port, "GET", "/v1/datasets").body)
    assert server.end() == 0


@pytest.mark.skipif(sys.platform != "linux", reason="limits of another process are Linux's")
@pytest.mark.parametrize("most", [None, 300])
def test_a_service_may_have_its_connections_and_their_files_open(
    tmp_path: Path, most: int | None
) -> None:
    hard = "hard" if most is None else most
    server = started(tmp_path, f"resource.setrlimit(resource.RLIMIT_NOFILE, (256, {hard}))")
    needed = Settings().max_connections + FILES
    allowed = resource.getrlimit(resource.RLIMIT_NOFILE)[1] if most is None else most
    if allowed == resource.RLIM_INFINITY or allowed > needed:
        allowed = needed
    soft, _ = psutil.Process(server.process.pid).rlimit(psutil.RLIMIT_NOFILE)
    assert soft == allowed
    assert any("raise `ulimit -n`" in line for line in server.lines) == (allowed < needed)
    assert server.end() == 0
