"""Workers, threads and memory: what a loader leaves behind, and what it does not touch."""

import copy
import gc
import json
import os
import pickle
import random
import signal
import textwrap
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import Dataset, TensorDataset

from augfeed import DataLoader
from tests.sampling import pairwise, sampled, slow
from tests.template import run_script, template
from tests.waiting import eventually

COUNT = 48
PIXELS = torch.from_numpy(
    np.random.default_rng(4).integers(0, 256, (COUNT, 3, 8, 8), dtype=np.uint8)
)
POLICY = "hflip | mixup(0.4) | gaussian_noise(0.1)"
LANES = ("general", "native")
TOO_MANY = pytest.mark.filterwarnings("ignore:This DataLoader will create")


class Pairs(Dataset[Any]):
    classes = tuple("abcde")

    def __len__(self) -> int:
        return COUNT

    def __getitem__(self, i: int) -> Any:
        return PIXELS[i], i % 5


def loader(lane: str, **options: Any) -> DataLoader[Any]:
    data: Any = Pairs() if lane == "general" else TensorDataset(PIXELS, torch.arange(COUNT) % 5)
    given = {"shuffle": True, "policy": POLICY, "seed": 3, **options}
    made: DataLoader[Any] = DataLoader(data, 8, **given)
    assert made.lane == lane
    return made


def make_images(batches: Any) -> torch.Tensor:
    return torch.cat([images for images, _ in batches])


@pytest.fixture(scope="module", autouse=True)
def compiled() -> None:
    """Compile what these loaders run: it leaves cycles, which hold whatever compiled it."""
    for lane in LANES:
        make_images(loader(lane))
    gc.collect()


def children() -> set[int]:
    found = set()
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rsplit(")", 1)[1].split()
        except OSError:
            continue
        if int(fields[1]) == os.getpid() and fields[0] != "Z":
            found.add(int(path.parent.name))
    return found


# The same batches however they are made


@TOO_MANY
@pytest.mark.parametrize("lane", LANES)
@pytest.mark.parametrize("workers", [1, 2, 4])
def test_the_number_of_workers_changes_nothing(lane: str, workers: int) -> None:
    assert torch.equal(
        make_images(loader(lane, num_workers=workers)), make_images(loader("native"))
    )


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_the_start_method_changes_nothing(method: str) -> None:
    given = loader("general", num_workers=1, multiprocessing_context=method)
    assert torch.equal(make_images(given), make_images(loader("native")))


@pytest.mark.parametrize("lane", LANES)
def test_workers_that_persist_make_the_same_epochs(lane: str) -> None:
    given = loader(lane, num_workers=2, persistent_workers=True)
    fresh = loader("native")
    for _ in range(3):
        assert torch.equal(make_images(given), make_images(fresh))


def through_pickle(given: DataLoader[Any]) -> DataLoader[Any]:
    again: DataLoader[Any] = pickle.loads(pickle.dumps(given))
    return again


@pairwise({"lane": LANES, "copied": [through_pickle, copy.deepcopy, copy.copy],
           "persistent": [False, True]})  # fmt: skip
def test_a_used_loader_can_be_copied(lane: str, copied: Any, persistent: bool) -> None:
    given = loader(lane, num_workers=1, persistent_workers=persistent)
    iterator = iter(given)
    next(iterator)
    other = copied(given)
    assert other.state_dict() == given.state_dict()
    rest = make_images(iterator)
    assert torch.equal(make_images(other), make_images(given)) or len(rest)
    other.set_epoch(0)
    assert torch.equal(make_images(other), make_images(loader("native")))


# Random numbers


def orders(given: Any) -> list[list[int]]:
    # Images are known by their sums, which the stock loader gives out.
    sums = {int(image.sum()): i for i, image in enumerate(PIXELS)}
    return [[sums[int(image.sum())] for image in images] for images, _ in given]


@pytest.mark.parametrize("lane", LANES)
@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("own", [False, True])
def test_a_policy_leaves_torchs_order_and_random_state(lane: str, workers: int, own: bool) -> None:
    def options() -> dict[str, Any]:
        made: dict[str, Any] = {"shuffle": True, "num_workers": workers}
        if own:
            made["generator"] = torch.Generator()
            made["generator"].manual_seed(6)
        return made

    torch.manual_seed(1)
    stock: Any = torch.utils.data.DataLoader(Pairs(), 8, **options())
    expected = [orders(stock) for _ in range(2)]
    state = torch.get_rng_state()
    torch.manual_seed(1)
    given = loader(lane, seed=None, **options())
    found = [[batch.ids.tolist() for batch in given.batches()] for _ in range(2)]
    assert found == expected
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("lane", LANES)
@pytest.mark.parametrize("persistent", [False, True])
def test_manual_seed_reproduces_a_run_whose_epochs_all_differ(lane: str, persistent: bool) -> None:
    def run() -> list[torch.Tensor]:
        torch.manual_seed(8)
        options = {"num_workers": 1, "persistent_workers": True} if persistent else {}
        given = loader(lane, seed=None, shuffle=False, **options)
        return [make_images(given) for _ in range(3)]

    first, again = run(), run()
    assert all(map(torch.equal, first, again))
    assert not any(torch.equal(first[i], first[j]) for i, j in ((0, 1), (0, 2), (1, 2)))


def test_building_a_loader_changes_no_global_state() -> None:
    def state() -> tuple[Any, ...]:
        return (
            torch.get_rng_state().tolist(), np.random.get_state()[1].tolist(),  # type: ignore[index]
            random.getstate(), torch.get_num_threads(),
            torch.multiprocessing.get_start_method(allow_none=True),
            [signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM, signal.SIGCHLD)],
            torch.cuda.is_initialized(),  # type: ignore[no-untyped-call]
        )  # fmt: skip

    before, threads = state(), set(threading.enumerate())
    for lane in LANES:
        loader(lane, num_workers=2)
        loader(lane, device="cuda")  # found missing when it is used, not before
    assert state() == before
    assert set(threading.enumerate()) <= threads


# What is left behind


@pytest.mark.parametrize("way", ["break", "del", "error"])
def test_workers_of_an_abandoned_iterator_go_though_the_loader_lives(way: str) -> None:
    given, before = loader("general", num_workers=2), children()
    try:
        for _ in given:
            assert children() > before
            if way == "error":
                raise LookupError("in the loop")
            break
    except LookupError:
        pass
    if way == "del":
        iterator = iter(given)
        next(iterator)
        del iterator
    assert eventually(lambda: children() <= before)
    assert len(given) == 6


def test_persistent_workers_go_with_their_loader_without_a_collector() -> None:
    before = children()
    gc.disable()
    try:
        given = loader("general", num_workers=1, persistent_workers=True)
        make_images(given)
        assert children() > before
        del given
        assert eventually(lambda: children() <= before)
    finally:
        gc.enable()


@pytest.mark.parametrize("lane", LANES)
@pytest.mark.parametrize("epochs", [15, slow(50)])
def test_many_epochs_leak_nothing(epochs: int, lane: str) -> None:
    seen = {os.getpid()}

    def held() -> tuple[int, int, int, int]:
        gc.collect()
        files = [path.name.split("_") for path in Path("/dev/shm").glob("torch_*")]
        shared = sum(int(name[1]) in seen for name in files)  # torch_PID_random
        return len(children()), threading.active_count(), len(os.listdir("/proc/self/fd")), shared

    given = loader(lane, num_workers=1)
    make_images(given)
    first = held()
    for epoch in range(epochs):
        for k, _ in enumerate(given):
            seen |= children()
            if epoch % 2 and k == 2:
                break
    assert eventually(lambda: all(a <= b for a, b in zip(held(), first, strict=True)))


# The handler of torch raises wherever Python is, also where an iterator is let go.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_killed_worker_is_an_error_and_no_hang() -> None:
    iterator: Any = iter(loader("general", num_workers=1))
    next(iterator)
    os.kill(iterator._workers[0].pid, signal.SIGKILL)
    # Torch's own error, or that of the connection over which it fetches what was made already.
    with pytest.raises((RuntimeError, OSError, EOFError)):
        while True:
            next(iterator)


USUAL = ("general", signal.SIGKILL)
SCRIPT = """
    import json, os, signal, sys, time
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell may ignore it
    from tests.augfeed.test_processes import loader
    iterator = iter(loader(sys.argv[1], num_workers=2))
    next(iterator)
    workers = [w.pid for w in getattr(iterator, "_workers", [])]
    print(json.dumps([os.getpid(), *workers]), flush=True)
    while True:
        time.sleep(0.1)
"""


# A process that is terminated does no more for its workers than one that is killed.
@sampled(lambda lane, number: number == signal.SIGINT or (lane, number) == USUAL,
         {"lane": LANES, "number": [signal.SIGINT, signal.SIGTERM, signal.SIGKILL]})  # fmt: skip
def test_a_signal_leaves_no_process_behind(lane: str, number: signal.Signals) -> None:
    process = template().fork(textwrap.dedent(SCRIPT), [lane], os.environ, imports=[__name__])
    with process.stdout, process.stderr:
        pids = json.loads(process.stdout.readline())
        assert len(pids) == (3 if lane == "general" else 1)
        process.send_signal(number)
        try:
            process.wait()
        finally:
            process.kill()
    assert eventually(lambda: not any(alive(pid) for pid in pids))


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


FORKED = """
    import gc, os, signal
    from tests.augfeed.test_processes import loader
    given = loader("native", num_workers=2)
    for _ in given: pass
    iterators = [iter(given)]
    next(iterators[0])
    pid = os.fork()
    if pid == 0:
        signal.alarm(60)  # ends a child that waits for ever
        try:
            next(iterators[0])
        except Exception as error:
            print(type(error).__name__, error, flush=True)
        iterators.clear()
        gc.collect()
        print(len(list(given)), flush=True)
        os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0
    print(len(list(iterators[0])), flush=True)
"""


def test_an_iterator_says_that_a_forked_process_cannot_go_on_with_it() -> None:
    done = run_script(textwrap.dedent(FORKED), imports=[__name__])
    done.check_returncode()
    said, in_child, in_parent = done.stdout.splitlines()
    assert said.startswith("StateError this iterator is of process ")
    assert said.endswith("begin a pass of its own with iter(loader)")
    steps = len(loader("native"))
    assert (int(in_child), int(in_parent)) == (steps, steps - 1)
