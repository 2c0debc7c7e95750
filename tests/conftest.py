"""Which tests run, in how many processes, and what they share.

Without a GPU Triton interprets its kernels; that is decided before anything imports Triton.
"""

import gc
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, suppress
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import HealthCheck, settings

# Before torch is imported, and for what tests start: a thread of torch that waits for another would
# take the core that another process could use.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
# Numba colors what it tries in vain, which nobody reads, where colorama is installed: of the time
# to compile that takes one part in thirty.
os.environ.setdefault("NUMBA_DISABLE_ERROR_MESSAGE_HIGHLIGHTING", "1")

import torch

from tests.huge_pages import use_huge_pages
from tests.interpreted import interpret_kernels, watch_overflow
from tests.sampling import ALL

ROOT = Path(__file__).resolve().parents[1]
THREADS = torch.get_num_threads()  # of a new process: sums of floats depend on it


# The same examples in every run, however slow the machine is; others are sought on request.
settings.register_profile(
    "suite", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile(
    "search", deadline=None, derandomize=False, suppress_health_check=[HealthCheck.too_slow]
)  # said in full: where CI is set, Hypothesis' own defaults are other ones
settings.load_profile("suite")
with suppress(ImportError, AttributeError):
    # It would try numbers that stand in the modules which happen to be loaded, other ones in each
    # process, and read all of them for that, which takes each process seconds.
    from hypothesis.internal.conjecture import providers

    _NO_CONSTANTS = providers._local_constants
    vars(providers)["_get_local_constants"] = lambda: _NO_CONSTANTS

INTERPRETED = not torch.cuda.is_available() and find_spec("triton") is not None
if INTERPRETED:
    interpret_kernels()


MANY = 5000  # tests: hardly less than all
COMPILING = ("gw0", "gw1")  # processes of pytest-xdist that compile what all need
compiling = ExitStack()  # holds a lock in each of these until it is done
MOST_PROCESSES = 4  # of pytest-xdist: each takes over a GB, and tests start processes of their own


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(ALL, action="store_true", dest="whole", help="run tests marked `slow`, too")


def pytest_configure(config: pytest.Config) -> None:
    """Set what processes begin with that these tests start: pytest-xdist's, and their own."""
    # Hundreds of processes import the package: they find what the first one compiled.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    sys.dont_write_bytecode = False
    if INTERPRETED:
        watch_overflow(on=config.option.whole)


def pytest_report_header(config: pytest.Config) -> str:
    return f"slow tests: {'run' if config.option.whole else f'left out, {ALL} runs them'}"


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out slow tests, unless all are asked for, or `slow` ones, or one by its name."""
    if config.option.whole or "slow" in config.option.markexpr:
        return
    named = {argument.partition("::")[2] for argument in config.args}
    left = {item for item in items if item.get_closest_marker("slow")}
    left -= {item for item in left if item.nodeid.partition("::")[2] in named}
    config.hook.pytest_deselected(items=[item for item in items if item in left])
    items[:] = [item for item in items if item not in left]


@pytest.hookimpl(tryfirst=True)
def pytest_collection(session: pytest.Session) -> None:
    """Import all tests before they are collected, each process from another of them on.

    pytest rewrites the asserts of a file where no process has done so before: so each rewrites its
    part of the files, and finds the others done. What fails here fails again where it is collected.
    """
    worker = os.environ.get("PYTEST_XDIST_WORKER", "")
    if not worker or session.config.args_source != pytest.Config.ArgsSource.TESTPATHS:
        return
    # Until all is collected and compiled: nearly all that is made stays, and each collection of
    # garbage looks at more of it, a tenth of the time.
    gc.disable()
    if worker in COMPILING:
        compiling.enter_context(_locked(shared=True))
    paths = sorted(Path(__file__).parent.rglob("test_*.py"))
    names = [".".join(path.relative_to(ROOT).with_suffix("").parts) for path in paths]
    begin = len(names) * int(worker[2:]) // int(os.environ["PYTEST_XDIST_WORKER_COUNT"])
    for name in names[begin:] + names[:begin]:
        with suppress(Exception, pytest.skip.Exception), warnings.catch_warnings():
            warnings.simplefilter("error")
            import_module(name)


@pytest.hookimpl(trylast=True)
def pytest_collection_finish(session: pytest.Session) -> None:
    """Compile what all tests need; make forks of this process cheap.

    No collection of garbage looks at what there is again, which would copy it, too.
    """
    worker, many = os.environ.get("PYTEST_XDIST_WORKER", ""), len(session.items) >= MANY
    with compiling:
        if many and worker in COMPILING:
            _compile_first(worker)
    gc.freeze()
    gc.enable()
    if many:
        use_huge_pages()
        if worker not in ("", *COMPILING):
            # Else this process would compile the same at the same time.
            with _locked(shared=False):
                pass


@pytest.hookimpl(trylast=True)
def pytest_unconfigure() -> None:
    """Let the process end at once: the last collection would look at all that tests have made."""
    gc.freeze()


def _locked(*, shared: bool) -> AbstractContextManager[None]:
    from augfeed.kernels.once import locked

    return locked(__file__, shared=shared)


def _compile_first(worker: str) -> None:
    # Not in a fixture, as the time of the first test is limited. What fails here fails in a test,
    # too, which says more about it.
    from tests.compiled_first import compile_bytes, compile_floats

    with suppress(Exception), TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setenv("AUGFEED_CACHE", folder)
        compile_bytes() if worker == "gw0" else compile_floats(Path(folder) / "images")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """Return the number of processes for `-n auto`, which `make test` gives."""
    from augfeed.bench.machine import cores

    # One more than cores: tests wait for processes that they start.
    return min(cores() + 1, MOST_PROCESSES)


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep listings and images apart from the user's, and from those of other runs."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AUGFEED_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(autouse=True)
def same_number_of_threads() -> Iterator[None]:
    """Give back torch's number of threads, which benchmarks set for the whole process."""
    yield
    if torch.get_num_threads() != THREADS:
        torch.set_num_threads(THREADS)
