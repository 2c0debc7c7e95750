"""RemoteLoader: the batches of the loader in process, in order, each once; and what goes wrong."""

import json
import pickle
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from augfeed import DataLoader, parse_policy
from augfeed.engines import DTYPES
from augfeed.errors import InputError, StateError
from augfeed_client import Client, Connection, RemoteError, RemoteLoader
from augfeed_client.errors import Problem
from tests.client.faults import Proxy
from tests.sampling import slow
from tests.service.servers import MIXED, Running, described, serving
from tests.template import run_script
from tests.waiting import HANG, closed_port, eventually

Data = dict[str, Path]
FAST = Connection(workers=2, ahead=3, deadline=HANG, timeout=HANG / 4)


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    """Whatever a test does, the threads of its loaders end."""
    before = set(threading.enumerate())
    yield
    assert eventually(
        lambda: (
            not any(one.name.startswith("augfeed_") for one in {*threading.enumerate()} - before)
        )
    )


def remote(urls: Any, **given: Any) -> RemoteLoader:
    options: dict[str, Any] = {"dataset": "digits", "policy": MIXED, "batch_size": 16, "seed": 3,
                               "shuffle": True, "connection": FAST}  # fmt: skip
    return RemoteLoader(urls, **{**options, **given})


def equal(some: Any, others: Any) -> bool:
    def parts(batch: Any) -> list[torch.Tensor]:
        images, targets = batch
        if isinstance(targets, torch.Tensor):
            return [images, targets]
        return [images] if targets is None else [images, targets.a, targets.b, targets.lam]

    some, others = list(some), list(others)
    return len(some) == len(others) and all(
        torch.equal(a, b) and a.stride() == b.stride() and a.dtype == b.dtype
        for one, other in zip(some, others, strict=True)
        for a, b in zip(parts(one), parts(other), strict=True)
    )


@pytest.mark.parametrize("dtype", DTYPES.values())
@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize("shard", [None, (1, 2)])
def test_batches_are_those_of_the_loader_in_process(
    running: Running, data: Data, dtype: torch.dtype, last: bool, shard: Any
) -> None:
    for name, policy in (("digits", MIXED), ("photos", f"random_resized_crop(20) | {MIXED}")):
        shared: dict[str, Any] = {
            "policy": policy, "batch_size": 8, "shuffle": True, "seed": 5, "dtype": dtype,
            "channels_last": last, "shard": shard,
        }  # fmt: skip
        loader = remote(running.url, dataset=name, **shared)
        local = DataLoader(data[name], **shared)
        assert len(loader) == len(local)
        for _ in range(2):  # also in the next epoch
            assert equal(loader, local)


@pytest.mark.parametrize("targets", ["auto", "dense", "sparse"])
@pytest.mark.parametrize("policy", ["hflip", MIXED])
@pytest.mark.parametrize("drop", [False, True])
def test_labels_come_in_the_form_of_the_loader_in_process(
    running: Running, data: Data, targets: Any, policy: str, drop: bool
) -> None:
    shared: dict[str, Any] = {"policy": policy, "batch_size": 32, "targets": targets,
                              "drop_last": drop, "seed": 3, "dtype": torch.uint8}  # fmt: skip
    loader = remote(running.url, shuffle=False, **shared)
    assert equal(loader, DataLoader(data["digits"], **shared))


def test_the_type_is_uint8_where_it_can_be(running: Running) -> None:
    assert next(iter(remote(running.url)))[0].dtype == torch.uint8
    images = next(iter(remote(running.url, policy="normalize(0.5, 0.5)")))[0]
    assert images.dtype == torch.float32
    with pytest.raises(InputError, match="cannot hold normalized values"):
        remote(running.url, policy="normalize(0.5, 0.5)", dtype=torch.uint8)


@pytest.mark.parametrize("step", range(9))
def test_a_pass_goes_on_exactly_where_a_state_was_taken(running: Running, step: int) -> None:
    whole = remote(running.url)
    expected = [*whole, *whole]
    loader, seen = remote(running.url), []
    for batch in loader:
        seen.append(batch)
        if len(seen) == step:
            break
    state = json.loads(
        json.dumps(loader.state_dict() if step else remote(running.url).state_dict())
    )
    again = remote(running.url)
    again.load_state_dict(state)
    assert equal([*seen[:step], *again], expected[: 16 if step == 8 else 8])


def test_a_state_goes_on_with_other_ranks_of_the_same_batch(running: Running) -> None:
    expected = list(remote(running.url))
    loader, given = remote(running.url), []
    for batch in loader:
        given.append(batch)
        if len(given) == 3:
            break
    parts = []
    for rank in range(2):
        half = remote(running.url, batch_size=8, shard=(rank, 2))
        half.load_state_dict(loader.state_dict())
        parts.append(list(half))
    for step, (first, second) in enumerate(zip(*parts, strict=True)):
        images = torch.cat([first[0], second[0]])
        assert torch.equal(images, expected[3 + step][0])
    with pytest.raises(StateError, match="other data, policy, seed"):
        remote(running.url, seed=4).load_state_dict(loader.state_dict())
    with pytest.raises(StateError, match="not a state"):
        remote(running.url).load_state_dict({"epoch": 1})


def test_epochs_follow_each_other_and_can_be_set(running: Running) -> None:
    loader = remote(running.url)
    first, second = list(loader), list(loader)
    assert not equal(first, second)
    loader.set_epoch(0)
    assert equal(loader, first)
    again = remote(running.url)
    again.set_epoch(1)
    assert equal(again, second)
    assert equal(pickle.loads(pickle.dumps(loader)), second)


def test_an_iterator_that_is_dropped_ends_its_threads(running: Running) -> None:
    loader = remote(running.url)
    for _ in range(3):
        for _batch in loader:
            break
    iterator = iter(loader)
    next(iterator)
    del iterator
    loader.close()
    assert len(list(loader)) == 8


def test_two_loaders_share_what_the_service_makes(running: Running) -> None:
    made = running.metric("augfeed_batches_total", source="made")
    ahead = running.metric("augfeed_batches_ahead_total")
    loaders = [remote(running.url, seed=77) for _ in range(4)]
    for batches in zip(*loaders, strict=True):
        assert all(torch.equal(batch[0], batches[0][0]) for batch in batches)
    made = running.metric("augfeed_batches_total", source="made") - made
    assert made + running.metric("augfeed_batches_ahead_total") - ahead == 8


# What goes wrong

KINDS = ("cut", "reset", "flip")


@pytest.mark.parametrize("kind", KINDS)
def test_answers_that_are_spoiled_are_never_taken(
    running: Running, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = list(remote(running.url))
    proxy = Proxy(running.port, lambda n: kind if n % 3 == 1 else "", at=1200)
    loader = remote(proxy.url)
    try:
        assert equal(loader, expected)
        assert proxy.faults >= 3
        # A connection that was used before may be reset: it is tried again, without a fault.
        assert kind == "reset" or loader.stats.retries["connection"] >= 3
    finally:
        proxy.close()


def test_a_replica_that_stalls_costs_its_timeout_and_another_one_answers(running: Running) -> None:
    expected = list(remote(running.url))
    proxy = Proxy(running.port, lambda n: "stall" if n == 1 else "", at=1200)
    try:
        short = Connection(workers=2, ahead=3, deadline=HANG, timeout=1)
        assert equal(remote([proxy.url, running.url], connection=short), expected)
    finally:
        proxy.close()


def test_a_replica_that_is_not_there_costs_nothing_but_the_first_try(running: Running) -> None:
    with closed_port() as port:
        loader = remote([f"http://127.0.0.1:{port}", running.url])
        assert equal(loader, remote(running.url))
    assert loader.stats.retries["connection"] < 8


def test_no_replica_is_an_error_within_the_deadline(running: Running) -> None:
    with closed_port() as one, closed_port() as other:
        gone = [f"http://127.0.0.1:{port}" for port in (one, other)]
        loader = remote(gone, connection=Connection(deadline=1.0))
        with pytest.raises(RemoteError, match="no whole answer within deadline=1 seconds"):
            next(iter(loader))
    silent = Proxy(running.port, lambda n: "stall", at=1200)
    loader = remote(silent.url, connection=Connection(deadline=1.5, timeout=0.5))
    try:
        with pytest.raises(RemoteError, match="within deadline"):
            list(loader)
    finally:
        silent.close()


def test_a_replica_that_forgot_the_plan_is_given_it_again(data: Data) -> None:
    with serving(datasets=data, max_plans=1) as running:
        loader, seen = remote(running.url), []
        expected = list(remote(running.url))
        for k, batch in enumerate(loader):
            seen.append(batch)
            running.register(described(seed=100 + k))
        assert equal(seen, expected)


def test_replicas_that_make_other_bytes_are_never_mixed(running: Running, data: Data) -> None:
    expected = list(remote(running.url))
    with serving(datasets=data, on_error="replace") as other:
        loader = remote([running.url, other.url])
        state = {**remote(running.url).state_dict()}
        loader.load_state_dict(state)
        assert equal(loader, expected)
        wrong = remote(other.url)
        wrong.load_state_dict(state)
        with pytest.raises(RemoteError, match=r"have the fingerprint .* and .* has") as caught:
            list(wrong)
        assert caught.value.status == 412


def test_what_will_not_change_is_reported_at_once(
    running: Running, data: Data, tmp_path: Path
) -> None:
    from tests.service.servers import photos

    with pytest.raises(RemoteError, match="404 unknown-dataset: dataset='other'"):
        len(remote(running.url, dataset="other"))
    with pytest.raises(RemoteError, match="422 invalid-description"):
        len(remote(running.url, policy="center_crop(99)"))
    with pytest.raises(RemoteError, match=r"404 not-found"):
        len(remote(f"{running.url}/prefix"))
    root = photos(tmp_path)
    (root / "a" / "00.jpg").write_bytes(b"")
    with serving(datasets={"photos": root}) as broken:
        loader = remote(
            broken.url, dataset="photos", policy="random_resized_crop(9)", shuffle=False
        )
        iterator = iter(loader)
        with pytest.raises(RemoteError, match=r"500 unreadable: photos/a/00\.jpg"):
            next(iterator)
        assert not loader.stats.retries


def test_a_key_goes_along(data: Data, tmp_path: Path) -> None:
    from augfeed_service.auth import line_of

    (tmp_path / "keys").write_text(line_of("me", "pull", "secret") + "\n")
    with serving(datasets=data, keys=tmp_path / "keys") as running:
        assert len(list(remote(running.url, connection=Connection(key="secret")))) == 8
        with pytest.raises(RemoteError, match="401 unauthorized"):
            len(remote(running.url))
        with Client(running.url, Connection(key="secret")) as client:
            assert client.preview(dataset="digits", policy="hflip").startswith(b"\x89PNG")
            with pytest.raises(RemoteError, match="403 forbidden"):
                client.augment(np.zeros((1, 8, 8, 3), np.uint8), policy="hflip")


@pytest.mark.parametrize(
    ("given", "said"),
    [({"urls": []}, "names no service"), ({"urls": "ftp://x"}, "is not an address"),
     ({"urls": "http://x:port"}, "is not an address"), ({"urls": "nonsense"}, "is not an address"),
     ({"urls": "http://x", "dataset": "../a"}, "dataset"),
     ({"urls": "http://x", "batch_size": 0}, "batch_size=0"),
     ({"urls": "http://x", "targets": "soft"}, "targets='soft'"),
     ({"urls": "http://x", "policy": "hflop"}, "hflop"),
     ({"urls": "http://x", "shard": (2, 2)}, "rank=2")],
)  # fmt: skip
def test_wrong_arguments_are_named_before_anything_is_asked(given: Any, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        remote(given.pop("urls"), **given)
    for wrong in ({"workers": 0}, {"deadline": 0}, {"timeout": -1.0}):
        with pytest.raises(InputError):
            Connection(**wrong)


def test_pages_of_proxies_are_no_problem_documents() -> None:
    assert Problem.of(502, b"<html>Bad gateway").passes
    assert str(Problem.of(502, b"<html>")) == "502 : <html>"
    assert not Problem.of(403, b"[]").passes and Problem.of(500, b"{}").passes


def test_a_single_batch_is_had_without_a_loader(running: Running) -> None:
    plan = described(batch_size=16, shuffle=True, seed=3)
    with Client(running.url) as client:
        assert torch.equal(client.batch(plan, 0, 2).images, list(remote(running.url))[2][0])
        assert client.info()["engine"] == "cpu"
        assert [one["name"] for one in client.datasets()] == ["digits", "photos"]
        with pytest.raises(InputError, match="either images or dataset"):
            client.preview(policy="hflip")
        with pytest.raises(InputError, match="cannot be sent"):
            client.augment(3, policy="hflip")
        with pytest.raises(InputError, match="options"):
            client.augment([b""], policy=parse_policy("hflip"), nonsense=1)


@pytest.mark.parametrize("ending", ["", slow("raise SystemExit(0)"), "sys.kept = held; del held"])
def test_a_script_that_ends_within_a_pass_ends_in_silence(running: Running, ending: str) -> None:
    code = f"""
import sys
from augfeed_client import RemoteLoader
loader = RemoteLoader({running.url!r}, dataset="digits", policy="hflip", batch_size=4)
held = [iter(loader), loader.batches()]
for iterator in held:
    next(iterator)
{ending}
"""
    flags = ("-X", "dev", "-W", "ignore")
    ended = run_script(code, imports=["augfeed_client.loader"], flags=flags, finalize=True)
    assert (ended.returncode, ended.stderr) == (0, "")


# Frameworks


@pytest.mark.filterwarnings("ignore:.*validation_step.*", "ignore:.*treespec.*:FutureWarning")
def test_lightning_trains_on_two_replicas_to_the_weights_of_the_loader_in_process(
    running: Running, data: Data
) -> None:
    from augfeed_trainer.data import Epochs
    from augfeed_trainer.models import Shape, build_model
    from augfeed_trainer.module import Classifier
    from augfeed_trainer.recipe import Recipe
    from augfeed_trainer.train import Run, _quiet, _trainer

    recipe = Recipe(model="mlp", epochs=2, batch_size=16)
    policy = "mixup(0.4) | normalize(0.3, 0.4)"
    states = []
    with serving(datasets=data) as other:
        far = remote([running.url, other.url], policy=policy, targets="sparse", drop_last=True)
        near = DataLoader(data["digits"], 16, True, policy=policy, targets="sparse", drop_last=True,
                          seed=3)  # fmt: skip
        for loader in (far, near):
            module = Classifier(build_model("mlp", Shape(1, 8, 8, 10)), recipe, 14)
            with _quiet():
                _trainer(recipe, Run(accelerator="cpu", progress=False), []).fit(
                    module, Epochs(loader)
                )
            states.append(module.network.state_dict())
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])


def test_accelerate_leaves_it_as_it_is(running: Running) -> None:
    accelerate = pytest.importorskip("accelerate", reason="needs: pip install accelerate")

    loader = remote(running.url)
    prepared = accelerate.Accelerator(cpu=True).prepare(loader)
    assert prepared is loader and len(list(prepared)) == 8
