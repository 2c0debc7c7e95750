"""Small Ray clusters of this machine, and what happens to them."""

import os
import pickle
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from augfeed import DataLoader
from augfeed.prefetch import tensors_of
from tests.waiting import eventually

ray = pytest.importorskip("ray", reason="needs Ray: pip install 'augfeed[ray]', or make ray")

from augfeed.ray import RayLoader  # noqa: E402  (behind the skip)
from augfeed.ray.feeder import Feeder  # noqa: E402
from augfeed.ray.pool import Pool  # noqa: E402

ROOT = Path(__file__).resolve().parents[3]
STORE = 80 << 20  # bytes; Ray takes no less than 75 MB
COUNT, BATCH = 52, 4  # 13 steps
PIXELS: NDArray[np.uint8] = np.random.default_rng(4).integers(
    0, 256, (COUNT, 12, 10, 3), dtype=np.uint8
)
DATA = (PIXELS, np.arange(COUNT) % 5)
POLICY = "random_crop(8, padding=1) | hflip | cutmix(1.0) | normalize(0.5, 0.25)"
Digest = tuple[Any, ...]


@contextmanager
def cluster(nodes: int, **head: Any) -> Iterator[Any]:
    """Yield a cluster: a head without cores, and nodes of two cores each."""
    from ray.cluster_utils import Cluster

    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    os.environ["RAY_AUTH_MODE"] = "disabled"  # else Ray writes a token into the home folder
    # Other processes import what these tests do.
    os.environ["PYTHONPATH"] = os.pathsep.join(
        path for path in sys.path if Path(path).is_relative_to(ROOT)
    )
    made = Cluster()
    made.add_node(num_cpus=0, object_store_memory=STORE, include_dashboard=False, **head)
    for number in range(nodes):
        add_node(made, place=f"n{number}")
    try:
        ray.init(address=made.address, log_to_driver=False)
        yield made
    finally:
        ray.shutdown()
        made.shutdown()


def add_node(made: Any, **labels: str) -> None:
    """Add a node of two cores, with labels."""
    made.add_node(num_cpus=2, object_store_memory=STORE, labels=labels)


def ready(loader: Any, count: int) -> None:
    """Wait until so many actors have opened the dataset."""
    assert len(loader)
    assert any(eventually(lambda: len(loader._pool) == count) for _ in range(4))


def pid_of(actor: Any) -> int:
    """Return the process of an actor."""
    found: int = ray.get(actor.__ray_call__.remote(lambda _: os.getpid()), timeout=60)
    return found


def node_of(actor: Any) -> str:
    """Return the id of the node of an actor."""
    found: str = ray.get(
        actor.__ray_call__.remote(lambda _: ray.get_runtime_context().get_node_id()), timeout=60
    )
    return found


def kill_one(actors: list[Any]) -> None:
    """End the process of the first actor that has one, as a lack of memory does."""
    for actor in actors:
        try:
            os.kill(pid_of(actor), signal.SIGKILL)
        except (ray.exceptions.RayError, ProcessLookupError):
            continue
        return


def whole(batch: Any) -> Digest:
    """Return all of a batch, to be compared."""
    parts = tensors_of((batch.given, batch.targets, batch.ids))
    return tuple((str(part.dtype), *_form(part), _bytes(part)) for part in parts)


def _form(part: torch.Tensor) -> tuple[Any, ...]:
    # What is empty has no order in memory.
    return tuple(part.shape), part.stride() if part.numel() else ()


def _bytes(part: torch.Tensor) -> bytes:
    flat = part.contiguous().view(torch.uint8) if part.dim() and part.numel() else part
    return flat.numpy().tobytes()


class AtHome(Pool):
    """A pool whose only actor is of this process; what it is asked and makes is pickled."""

    feeder: Any = None

    def known(self) -> Any:
        if self.feeder is None:
            self.feeder = Feeder(2, self.actors.device)
            self.info = self.feeder.open(_sent(self.job))
        return self.info

    def ask(self, at: Any, *, crops: bool = False) -> Any:
        self.known()
        came = _sent((self.feeder.crops if crops else self.feeder.batch)(_sent(at)))
        self.stats.received += came.nbytes
        return came


def _sent(given: Any) -> Any:
    buffers: list[pickle.PickleBuffer] = []
    data = pickle.dumps(given, protocol=5, buffer_callback=buffers.append)
    # As Ray does: what comes out of the object store cannot be written to.
    return pickle.loads(data, buffers=[bytes(part.raw()) for part in buffers])


def at_home(data: Any = DATA, **given: Any) -> Any:
    """Return a `RayLoader` that needs no cluster."""
    loader: Any = RayLoader(data, **_options(given))
    loader._pool = AtHome(loader._pool.job, loader._pool.actors)
    return loader


def _options(given: dict[str, Any]) -> dict[str, Any]:
    policy = {} if "views" in given else {"policy": POLICY}
    return {"batch_size": BATCH, "shuffle": True, "seed": 3, **policy, **given}


def in_process(data: Any = DATA, *, epochs: int = 1, **given: Any) -> list[Digest]:
    """Return the batches of some epochs as `augfeed.DataLoader` makes them."""
    loader: DataLoader[Any] = DataLoader(data, **_options(given))
    return [whole(batch) for _ in range(epochs) for batch in loader.batches()]
