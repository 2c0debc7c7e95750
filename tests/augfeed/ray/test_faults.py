"""Actors, nodes and the head are lost, and no batch is."""

import json
import os
import signal
import subprocess
import sys
from typing import Any

import pytest

from tests.augfeed.ray.clusters import (
    BATCH,
    COUNT,
    DATA,
    POLICY,
    ROOT,
    Digest,
    add_node,
    cluster,
    in_process,
    kill_one,
    node_of,
    ready,
    whole,
)

ray = pytest.importorskip("ray", reason="needs Ray: pip install 'augfeed[ray]', or make ray")

from augfeed.ray import Actors, ClusterError, RayLoader  # noqa: E402  (behind the skip)

pytestmark = pytest.mark.timeout(900)  # each starts clusters of many processes


def made(actors: Actors, **given: Any) -> Any:
    options = {"batch_size": BATCH, "shuffle": True, "policy": POLICY, "seed": 3, **given}
    return RayLoader(DATA, actors=actors, **options)


def test_actors_and_a_node_are_lost_and_every_sample_comes_once() -> None:
    epochs, found, ids = 4, [], []
    with cluster(3) as nodes:
        loader = made(Actors(least=3, most=3, num_cpus=1, deadline=240))
        ready(loader, 3)
        for epoch in range(epochs):
            for step, batch in enumerate(loader.batches()):
                found.append(whole(batch))
                ids += batch.ids.tolist()
                if step % 4 == 2:  # more often than once a second, while others are under way
                    kill_one(loader._pool.handles)
                if (epoch, step) == (1, 5):
                    nodes.remove_node(next(iter(nodes.worker_nodes)), allow_graceful=False)
        stats = loader.stats
        loader.close()
    assert found == in_process(epochs=epochs)
    assert sorted(ids) == sorted([*range(COUNT)] * epochs)
    assert stats.lost >= 8


def test_digests_are_equal_for_one_two_and_three_nodes() -> None:
    with cluster(0) as nodes:
        for count in (1, 2, 3):
            add_node(nodes)
            found, places = run_on(count)
            assert places == count
            assert found == in_process()


def run_on(count: int) -> tuple[list[Digest], int]:
    """Return the batches that so many actors make, and how many nodes these have."""
    loader = made(Actors(least=count, most=count, num_cpus=2, deadline=240))
    ready(loader, count)
    places = {node_of(actor) for actor in loader._pool.handles}
    found = [whole(batch) for batch in loader.batches()]
    loader.close()
    return found, len(places)


def test_a_batch_that_ends_every_actor_is_an_error_after_the_retries() -> None:
    with cluster(1):
        loader = made(Actors(least=1, most=1, num_cpus=0.5, retries=2, window=1))
        len(loader)
        fail_each_time(loader)
        loader.close()


def fail_each_time(loader: Any) -> None:
    pool = loader._pool
    asked = pool._result

    def fatal(ref: Any, until: float, what: str) -> Any:
        kill_one(pool.handles)
        return asked(ref, until, what)

    # An actor is killed for each time that the batch is asked for.
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pool, "_result", fatal)
        with pytest.raises(ClusterError, match=r"step=0.*3 actors were lost.*retries=2"):
            next(iter(loader))


HEAD = """
import json, sys
import numpy as np, ray
from augfeed.ray import Actors, ClusterError, RayLoader, head
from tests.augfeed.ray.clusters import BATCH, DATA, POLICY, pid_of
head.QUIET, head.GONE = 2.0, 15.0
ray.init(address=sys.argv[1], log_to_driver=False)
loader = RayLoader(DATA, BATCH, True, policy=POLICY, seed=3,
                   actors=Actors(least=1, most=1, window=1, deadline=200))
iterator = loader.batches()
for _ in range(5):
    next(iterator)
print(pid_of(loader._pool.handles[0]), flush=True)
sys.stdin.readline()
try:
    while True:
        next(iterator)
except ClusterError as error:
    print()
    print(json.dumps([str(error), loader.state_dict()]), flush=True)
"""


def test_the_loss_of_the_head_is_an_error_and_a_new_cluster_goes_on_exactly() -> None:
    with cluster(1) as nodes:
        training = subprocess.Popen(
            [sys.executable, "-c", HEAD, nodes.address], cwd=ROOT, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )  # fmt: skip
        try:
            assert training.stdin and training.stdout
            actor = int(training.stdout.readline())
            ray.shutdown()  # of this process
            nodes.remove_node(nodes.head_node, allow_graceful=False)
            os.kill(actor, signal.SIGKILL)  # one that runs needs no head
            print(file=training.stdin, flush=True)
            told = next(line for line in training.stdout if line.startswith("["))  # Ray writes, too
            text, state = json.loads(told)
        finally:
            training.kill()
            training.communicate()
    assert "the head of the Ray cluster has not answered" in text and "load_state_dict" in text
    step = state["position"] // BATCH
    assert step >= 5
    with cluster(1):
        loader = made(Actors(least=1, most=1, deadline=240))
        loader.load_state_dict(state)
        assert [whole(batch) for batch in loader.batches()] == in_process()[step:]
        loader.close()
