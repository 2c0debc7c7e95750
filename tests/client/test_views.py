"""Views, repeats and schedules over HTTP: what the loader in this process makes, bit for bit."""

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from augfeed import DataLoader, Views
from augfeed.errors import InputError, PolicyError, StateError
from augfeed.plan.repeats import Repeats
from augfeed.policy import Policy
from augfeed.wire import Description
from augfeed_client import Client, Connection, RemoteLoader
from tests.service.servers import MIXED, Running
from tests.waiting import HANG

Data = dict[str, Path]
FAST = Connection(workers=2, ahead=3, deadline=HANG, timeout=HANG / 4)
SMALL = "random_resized_crop(12, scale=(0.1, 0.3)) | hflip"
LARGE = "random_resized_crop(20) | hflip | gaussian_noise(0.1)"
NAMED = Views({"large": (LARGE, 2), "small": (SMALL, 3)}, share="color", inside={"small": "large"})
CASES: dict[str, dict[str, Any]] = {
    "a number of views of arrays": {
        "dataset": "digits", "views": 3, "policy": "random_crop(8, padding=2) | hflip"},
    "views by name": {"dataset": "photos", "views": NAMED},
    "another rank": {"dataset": "photos", "views": NAMED, "shard": (1, 2), "batch_size": 4},
    "a line of text": {
        "dataset": "photos", "views": f"share crop; a: {LARGE} x 2",
        "channels_last": True},
    "repeats that mix": {"dataset": "digits", "policy": MIXED, "repeats": 2, "batch_size": 24},
    "repeats over ranks": {
        "dataset": "digits", "policy": "hflip | gaussian_noise(0.1)", "repeats": (2, "ranks"),
        "shard": (1, 2), "drop_last": True},
    "views of repeats": {"dataset": "digits", "views": {"a": "hflip"}, "repeats": 2},
    "sizes by epoch": {
        "dataset": "photos",
        "policy": "random_resized_crop(24) | schedule(size=[[0, 12], [1, 16]])"},
    "sizes of views by epoch": {
        "dataset": "photos", "views": {
            "a": "random_resized_crop(24) | schedule(size=[[1, 12]])", "b": (SMALL, 2)}},
}  # fmt: skip


def both(running: Running, data: Data, **given: Any) -> tuple[RemoteLoader, DataLoader[Any]]:
    options: dict[str, Any] = {"batch_size": 8, "shuffle": True, "seed": 5,
                               "dtype": torch.float32, **given}  # fmt: skip
    name = options.pop("dataset")
    far = RemoteLoader(running.url, dataset=name, connection=FAST, **options)
    return far, DataLoader(data[name], **options)


def named(images: Any) -> dict[str, torch.Tensor]:
    return images if isinstance(images, dict) else {"": images}


def assert_equal(far: Any, near: Any) -> None:
    for (images, labels), (others, expected) in zip(far, near, strict=True):
        ours, theirs = named(images), named(others)
        assert [*ours] == [*theirs] and torch.equal(labels, expected)
        for name, image in ours.items():
            assert torch.equal(image, theirs[name]) and image.stride() == theirs[name].stride()


@pytest.mark.parametrize("case", CASES)
def test_batches_are_those_of_the_loader_in_process(
    running: Running, data: Data, case: str
) -> None:
    far, near = both(running, data, **CASES[case])
    assert len(far) == len(near)
    for _ in range(2):  # also in the next epoch
        assert_equal(far, near)


def test_windows_and_matrices_come_with_whole_batches(running: Running, data: Data) -> None:
    far, near = both(running, data, dataset="photos", views=NAMED)
    for batch, other in zip(far.batches(), near.batches(), strict=True):
        assert torch.equal(batch.ids, other.ids) and [*batch.views] == ["large", "small"]
        for name, view in batch.views.items():
            assert torch.equal(view.windows, other.views[name].windows)
            assert torch.equal(view.matrices, other.views[name].matrices)
            assert torch.equal(view.images, other.views[name].images)
    plan = far.description(1)
    with Client(running.url) as client:
        assert client.batch(plan, 0, 0, maps=True).views["small"].windows.shape == (3 * 8, 4)
        with pytest.raises(InputError, match="maps=true"):
            _ = client.batch(plan, 0, 0).views["small"].windows


def test_a_pass_goes_on_and_refuses_what_repeats_otherwise(running: Running, data: Data) -> None:
    far, _ = both(running, data, **CASES["repeats that mix"])
    expected = [images for images, _ in far]
    again, _ = both(running, data, **CASES["repeats that mix"])
    iterator = iter(again)
    next(iterator)
    state = json.loads(json.dumps(again.state_dict()))
    later, _ = both(running, data, **CASES["repeats that mix"])
    later.load_state_dict(state)
    assert all(torch.equal(a, b) for a, (b, _) in zip(expected[1:], later, strict=True))
    options = {**CASES["repeats that mix"], "batch_size": 48}
    half, _ = both(running, data, **options)
    with pytest.raises(StateError):
        half.load_state_dict(state)


def test_a_state_of_repeats_is_refused_where_ranks_hold_others(
    running: Running, data: Data
) -> None:
    options: dict[str, Any] = {"dataset": "digits", "policy": "hflip", "repeats": 2}
    whole, _ = both(running, data, **options, batch_size=16)
    half, _ = both(running, data, **options, batch_size=8, shard=(0, 2))
    next(iter(whole))
    with pytest.raises(StateError, match="in 16 images of a rank, and these do in 8"):
        half.load_state_dict(whole.state_dict())


def test_views_are_named_arrays_of_numpy(running: Running) -> None:
    plan = Description(dataset="photos", views=NAMED, batch_size=4)
    path = running.register(plan)
    answer = running.ask("GET", f"{path}/0/batches/0?maps=true", Accept="application/x-npz")
    found = np.load(io.BytesIO(answer.body))
    assert {name: found[name].shape for name in found} == {
        "view.large": (8, 3, 20, 20), "view.small": (12, 3, 12, 12), "ids": (4,), "epsilon": (),
        "label_a": (4,), "label_b": (4,), "lam": (4,),
        "view.large.windows": (8, 4), "view.large.matrices": (8, 3, 3),
        "view.small.windows": (12, 4), "view.small.matrices": (12, 3, 3),
    }  # fmt: skip


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "no views": ({"views": 0, "policy": {"operations": []}}, "views=0 is not 1 or more"),
    "no policy": ({"views": 2}, "give policy="),
    "neither": ({}, "give policy, or views"),
    "a file here": ({"views": {"a": "/etc/policy.json"}}, "cannot be read"),
    "views from a file": ({"views": "/etc/views.json"}, "cannot be read"),
    "a preset that is none": ({"views": "dinno"}, "did you mean 'dino'"),
    "mixing": ({"views": {"a": "random_crop(8) | mixup"}}, "labels of views come once"),
    "a stage of Kornia": ({"views": {"a": 'kornia("RandomBoxBlur")'}}, "not allowed here"),
    "a huge one": ({"views": {"a": "resize([20000, 8])"}}, "above 16384 pixels"),
    "later a huge one": (
        {"policy": {"operations": [{"op": "random_resized_crop", "size": 8},
                                   {"op": "schedule", "size": [[7, 65535]]}]}},
        "above 16384 pixels"),
    "no whole repeats": (
        {"dataset": "digits", "policy": {"operations": []}, "repeats": 3, "batch_size": 16},
        "use 18"),
    "over what": ({"policy": {"operations": []}, "repeats": [2, "gpus"]}, "'gpus' is unknown"),
    "too much": ({"views": {"a": ("resize([4096, 4096])", 8)}, "batch_size": 64}, "or fewer"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_is_refused_with_its_cure(running: Running, case: str) -> None:
    given, message = REFUSED[case]
    answer = running.ask("POST", "/v1/plans", json.dumps({"dataset": "photos", **given}))
    assert answer.status == 422 and message in answer.detail


def test_ranks_that_hold_no_whole_repeats_are_refused(running: Running) -> None:
    path = running.register(
        Description(dataset="digits", policy=Policy(), batch_size=6, repeats=Repeats(3))
    )
    assert running.ask("GET", f"{path}/0/batches/0?rank=1&world=2").status == 200
    answer = running.ask("GET", f"{path}/0/batches/0?rank=1&world=6")
    assert answer.problem == "uneven-ranks" and "use 3" in answer.detail


def test_places_of_views_are_asked_for_where_there_are_some(running: Running) -> None:
    path = running.register(Description(dataset="digits", policy=Policy()))
    answer = running.ask("GET", f"{path}/0/batches/0?maps=true")
    assert answer.status == 422 and "leave maps out" in answer.detail


def test_the_loader_refuses_at_once_what_the_service_would(running: Running) -> None:
    with pytest.raises(InputError, match="give a policy, or views"):
        RemoteLoader(running.url, dataset="digits")
    with pytest.raises(PolicyError, match="leave one of them out"):
        RemoteLoader(running.url, dataset="digits", views="dino", policy="hflip")
    with pytest.raises(InputError, match="not a multiple of repeats"):
        RemoteLoader(running.url, dataset="digits", policy="hflip", batch_size=5, repeats=2)
