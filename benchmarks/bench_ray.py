"""What it costs to have batches made elsewhere: the time of cores that a batch takes, in all
processes together, by the way that it comes. `python -m benchmarks.bench_ray [--data folder]`.

In an environment with Ray (`make ray` makes `.venv-ray`). Time of cores, not of the clock, so that
what else the machine does matters little; the clock is printed beside it.
"""

import argparse
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import psutil
import torch

from augfeed import DataLoader
from augfeed.errors import MissingExtraError

try:
    import ray
    from ray import serve
    from ray.cluster_utils import Cluster
except ImportError as error:
    raise MissingExtraError("ray[serve]", "ray") from error

from augfeed.ray import Actors, RayLoader
from augfeed_client import Connection, RemoteLoader
from augfeed_service.ray import app
from tests.client.faults import free_port
from tests.service.servers import Process

STORE = 1 << 30  # bytes of the object store: some 20 batches
NAMES = ("ray::", "raylet", "gcs_server", "haproxy")
STEPS = 12


class Row(NamedTuple):
    """What a batch took: milliseconds of cores, in all and in this process, and of the clock."""

    name: str
    cores: float
    here: float
    clock: float


def busy() -> float:
    """Return the seconds of cores that this process, its children and those of Ray took so far."""
    me = psutil.Process()
    mine = {process.pid for process in me.children(recursive=True)} | {me.pid}
    total = 0.0
    for process in psutil.process_iter(["pid", "name", "cmdline"]):
        command = " ".join(process.info["cmdline"] or [])[:200]
        if process.info["pid"] in mine or any(name in command for name in NAMES):
            try:
                times = process.cpu_times()
            except psutil.Error:
                continue
            total += times.user + times.system
    return total


def measured(name: str, loader: Any, size: int, *, cached: bool = False) -> Row:
    """Take batches, the first four of which only warm up; return what one took.

    With `cached` there is a whole epoch before, which fills the cache.
    """
    if cached:
        for _ in loader:
            pass
    iterator = iter(loader)
    for _ in range(4):
        next(iterator)
    time.sleep(1.0)  # what was made ahead is ready: as much is at the end
    cores, here, clock = busy(), time.process_time(), time.perf_counter()
    for _ in range(STEPS):
        images, _ = next(iterator)
        assert len(images) == size
    clock = time.perf_counter() - clock
    time.sleep(1.0)
    taken = busy() - cores, time.process_time() - here, clock
    return Row(name, *(1e3 * part / STEPS for part in taken))


@contextmanager
def served(data: str, **head: Any) -> Iterator[str]:
    """Yield the address of the service on Ray Serve."""
    port = free_port()
    serve.start(http_options={"host": "127.0.0.1", "port": port})
    given = {"datasets": {"data": data}, "threads": 1, "num_replicas": 1, "look_ahead": 0,
             "cache_bytes": 0, **head}  # fmt: skip
    serve.run(app(given), name="augfeed")
    yield f"http://127.0.0.1:{port}"
    serve.shutdown()


def rows(data: str, policy: str, size: int, cache: str | None) -> Iterator[Row]:
    """Measure each way."""
    made: dict[str, Any] = {"policy": policy, "dtype": torch.uint8, "seed": 0, "shuffle": True}
    one = Connection(workers=1, ahead=2, deadline=600)
    few = Actors(least=1, most=1, num_cpus=1, window=2)
    local: DataLoader[Any] = DataLoader(data, size, num_workers=1, cache=cache, **made)
    warm = cache is not None
    yield measured("in process", local, size, cached=warm)
    loader = RayLoader(data, size, cache=cache, actors=few, **made)
    yield measured("RayLoader", loader, size, cached=warm)
    loader.close()
    loader = RayLoader(data, size, cache=cache, actors=few, augment="here", **made)
    yield measured("RayLoader, augmented here", loader, size, cached=warm)
    loader.close()
    settings = ["--set", "threads=1", "--set", "look_ahead=0", "--set", "cache_bytes=0"]
    if cache:
        settings += ["--set", f"image_cache={cache}"]
    process = Process("--dataset", f"data={data}", "--port", "0", *settings)
    url = f"http://127.0.0.1:{process.port}"
    remote = RemoteLoader(url, dataset="data", batch_size=size, connection=one, **made)
    yield measured("HTTP, augfeed serve", remote, size, cached=warm)
    remote.close()
    process.end()
    with served(data, **({"image_cache": cache} if cache else {})) as url:
        remote = RemoteLoader(url, dataset="data", batch_size=size, connection=one, **made)
        yield measured("HTTP, Ray Serve", remote, size, cached=warm)
        remote.close()


def arrays(folder: Path, count: int = 4096) -> str:
    """Write images of 224 x 224 pixels; return their file."""
    images = np.zeros((count, 224, 224, 3), np.uint8)
    path = folder / "images.npz"
    np.savez(path, images=images, labels=np.arange(count) % 1000)
    return str(path)


def show(title: str, measure: Callable[[], Iterator[Row]], nbytes: int) -> None:
    """Print a table."""
    print(f"{title}: {nbytes / 1e6:.1f} MB a batch\n")
    print("| way | ms of cores a batch | in the training | ms of the clock |\n|---|---|---|---|")
    for row in measure():
        print(f"| {row.name} | {row.cores:.0f} | {row.here:.0f} | {row.clock:.0f} |", flush=True)
    print()


def main() -> None:
    """Measure on a cluster of this machine."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", help="folder of photos; without it images in memory alone")
    given = parser.parse_args()
    cluster = Cluster()
    cluster.add_node(num_cpus=4, object_store_memory=STORE, include_dashboard=False)
    ray.init(address=cluster.address, log_to_driver=False)
    try:
        with tempfile.TemporaryDirectory() as folder:
            data = arrays(Path(folder))
            show("Images in memory", lambda: rows(data, "hflip", 256, None), 256 * 150_528)
        if given.data:
            policy = "random_resized_crop(224) | hflip"
            for cache in (None, "ram"):
                title = "Photos" if cache is None else "Photos, decoded images in a cache"
                show(title, lambda: rows(given.data, policy, 16, cache), 16 * 150_528)  # noqa: B023
    finally:
        ray.shutdown()
        cluster.shutdown()


if __name__ == "__main__":
    main()
