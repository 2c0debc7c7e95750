"""The service on Ray Serve answers as the service does."""

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from augfeed.errors import InputError
from augfeed_client import Connection, RemoteLoader
from tests.client.faults import free_port
from tests.service.servers import Reply, ask
from tests.waiting import HANG, eventually

ray = pytest.importorskip("ray", reason="needs Ray: pip install 'augfeed[ray]', or make ray")
serve = pytest.importorskip("ray.serve", reason="needs Ray Serve: make ray")

from augfeed_service.ray import app  # noqa: E402  (behind the skip)
from tests.augfeed.ray.clusters import cluster, in_process, kill_one, whole  # noqa: E402

# The tests of the service itself, of whatever `running` is.
from tests.service.test_pull import (  # noqa: E402, F401
    test_a_batch_is_that_of_the_pipeline,
    test_a_plan_shows_its_sizes,
    test_a_plan_that_cannot_be_carried_out_is_refused,
    test_every_part_of_the_address_is_in_the_tag,
    test_labels_come_dense_if_that_is_asked,
    test_the_library_of_safetensors_and_numpy_read_a_batch,
    test_what_cannot_be_answered_is_named,
)

pytestmark = pytest.mark.timeout(900)  # clusters start many processes

GIVEN: dict[str, Any] = {"policy": "hflip | cutmix(1.0)", "shuffle": True, "seed": 3}


class Served:
    """The service on Ray Serve, asked through its proxy."""

    def __init__(self, port: int) -> None:
        self.port, self.url = port, f"http://127.0.0.1:{port}"

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> Reply:
        return ask(self.port, method, path, body, HANG, **headers)

    def register(self, plan: Any) -> str:
        """Tell the service a plan; return the path of its batches."""
        answer = self.ask("PUT", f"/v1/plans/{plan.id}", plan.canonical())
        assert answer.status in (200, 201), answer.body
        return f"/v1/plans/{plan.id}/epochs"


@pytest.fixture(scope="module")
def running(data: dict[str, Path]) -> Iterator[Served]:
    """One replica, which holds both datasets; another one may not know a plan."""
    with cluster(1):
        port = free_port()
        serve.start(http_options={"host": "127.0.0.1", "port": port})
        given = {"datasets": {name: str(path) for name, path in data.items()}}
        serve.run(app({**given, "threads": 1, "num_replicas": 1}), name="augfeed")
        yield Served(port)
        serve.shutdown()


def replicas() -> list[Any]:
    found = ray.util.list_named_actors(all_namespaces=True)
    return [ray.get_actor(one["name"], namespace=one["namespace"])
            for one in found if "SERVE_REPLICA" in one["name"]]  # fmt: skip


def test_a_replica_is_killed_and_a_loader_gets_every_batch_once(
    running: Served, data: dict[str, Path]
) -> None:
    loader = RemoteLoader(running.url, dataset="digits", batch_size=8, **GIVEN,
                          connection=Connection(deadline=HANG))  # fmt: skip
    found = []
    for step, batch in enumerate(loader.batches()):
        found.append(whole(batch))
        if step == 4:
            kill_one(replicas())
    local = in_process(str(data["digits"]), batch_size=8, dtype=torch.uint8, **GIVEN)
    assert found == local


def test_a_rolling_update_under_load_is_no_error(running: Served, data: dict[str, Path]) -> None:
    """A loader, and requests without any retry, while all replicas are replaced."""
    before = {one._actor_id.hex() for one in replicas()}
    over, statuses, found = threading.Event(), list[int](), list[Any]()

    def ask_on() -> None:
        while not over.is_set():
            statuses.append(running.ask("GET", "/v1/datasets").status)

    def train() -> None:
        loader = RemoteLoader(running.url, dataset="digits", batch_size=8, **GIVEN,
                              connection=Connection(deadline=HANG))  # fmt: skip
        epoch = 0
        while not over.is_set() or not epoch:
            loader.set_epoch(0)
            found.append([whole(batch) for batch in loader.batches()])
            epoch += 1

    threads = [threading.Thread(target=ask_on), threading.Thread(target=train)]
    for thread in threads:
        thread.start()
    try:
        eventually(lambda: bool(statuses) and bool(found))
        given = {"datasets": {name: str(path) for name, path in data.items()}}
        # Other settings: Serve replaces the replica, and returns when the new one answers.
        serve.run(app({**given, "threads": 1, "num_replicas": 1, "look_ahead": 1}), name="augfeed")
        told, passes = len(statuses), len(found)
        eventually(lambda: len(statuses) > told + 3 and len(found) > passes)
    finally:
        over.set()
        for thread in threads:
            thread.join(HANG)
    assert not before & {one._actor_id.hex() for one in replicas()}
    assert set(statuses) == {200}
    local = in_process(str(data["digits"]), batch_size=8, dtype=torch.uint8, **GIVEN)
    assert all(epoch == local for epoch in found)


def test_settings_are_those_of_the_service() -> None:
    with pytest.raises(InputError, match=r"\['thread'\] are unknown"):
        app({"thread": 1})
    with pytest.raises(InputError, match="threads"):
        app({"threads": 0})
    with pytest.raises(InputError, match=r"datasets='photos'.*JSON"):
        app({"datasets": "photos"})
