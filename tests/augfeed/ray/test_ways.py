"""Finished batches and crops that are augmented here are those of the in-process loader, whatever
a sample gives: views, repeats, masks and boxes. No cluster is needed for that."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from augfeed import DataLoader, Views
from augfeed.engines import Place
from augfeed.errors import InputError, InvarianceError, PolicyError, ReadError, StateError
from tests.augfeed.datasets import small

ray = pytest.importorskip("ray", reason="needs Ray: pip install 'augfeed[ray]', or make ray")

from augfeed.ray import Actors, RayLoader  # noqa: E402  (behind the skip)
from augfeed.ray.crops import Finisher  # noqa: E402
from tests.augfeed.ray.clusters import DATA, PIXELS, at_home, in_process, whole  # noqa: E402

CROP = "random_resized_crop(16)"
WAYS = ("there", "here")


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Twenty files of several sizes, one of which is broken, in two folders."""
    folder = tmp_path_factory.mktemp("photos")
    for k in range(20):
        (folder / str(k % 2)).mkdir(exist_ok=True)
        rows = np.random.default_rng(k).integers(0, 255, (5, 6, 3), dtype=np.uint8)
        file = io.BytesIO()
        Image.fromarray(rows).resize((40 + 2 * k, 36)).save(file, "JPEG", quality=95)
        data = b"broken" if k == 7 else file.getvalue()
        (folder / str(k % 2) / f"{k:02}.jpg").write_bytes(data)
    return str(folder)


def batches_of(loader: Any, epochs: int = 1) -> list[Any]:
    return [whole(batch) for _ in range(epochs) for batch in loader.batches()]


@pytest.mark.parametrize("augment", WAYS)
@pytest.mark.parametrize(
    "given",
    [
        {},
        {"policy": f"{CROP} | hflip | mixup(1.0) | normalize(0.5, 0.25)", "batch_size": 5,
         "dtype": torch.bfloat16, "channels_last": True, "targets": "sparse"},
        {"policy": "hflip | rotate(20)", "dtype": torch.uint8, "drop_last": True},
        {"repeats": 2, "batch_size": 16},
        {"repeats": 3, "policy": "hflip | gaussian_noise(0.1)", "batch_size": 6, "shuffle": False},
    ],
    ids=["cut by the engine", "resized, groups cut off", "uint8", "repeats, mixed",
         "repeats, in order"],
)  # fmt: skip
def test_arrays_come_as_in_process(given: dict[str, Any], augment: Any) -> None:
    assert batches_of(at_home(**given, augment=augment), 2) == in_process(epochs=2, **given)


@pytest.mark.parametrize("augment", WAYS)
def test_images_of_floats_come_as_in_process(augment: Any) -> None:
    data = (PIXELS.astype(np.float32) / 255, DATA[1])
    for policy in ("random_crop(8)", CROP):
        given: dict[str, Any] = {"policy": policy}
        assert batches_of(at_home(data, **given, augment=augment)) == in_process(data, **given)


@pytest.mark.parametrize("augment", WAYS)
@pytest.mark.parametrize("on_error", ["replace", "skip"])
def test_files_come_as_in_process_and_those_that_are_broken_are_reported(
    photos: str, augment: Any, on_error: Any, caplog: pytest.LogCaptureFixture
) -> None:
    given: dict[str, Any] = {"policy": f"{CROP} | hflip | cutmix(1.0)", "on_error": on_error}
    loader = at_home(photos, **given, augment=augment)
    assert batches_of(loader) == in_process(photos, **given)
    local: DataLoader[Any] = DataLoader(photos, 4, True, seed=3, **given)
    list(local)
    assert loader.unread == local.unread and len(loader.unread) == 1
    assert caplog.text.count("1 file could not be read") == 3


@pytest.mark.parametrize("augment", WAYS)
def test_a_batch_of_which_nothing_can_be_read_is_left_out_or_an_error(
    photos: str, augment: Any
) -> None:
    given: dict[str, Any] = {
        "policy": CROP,
        "on_error": "skip",
        "batch_size": 1,
        "augment": augment,
    }
    assert len(batches_of(at_home(photos, **given))) == 19
    with pytest.raises(ReadError, match=r"on_error='replace' with several ranks"):
        for rank in range(2):
            list(at_home(photos, **given, shard=(rank, 2)))


@pytest.mark.parametrize("augment", WAYS)
def test_a_policy_with_a_schedule_comes_as_in_process(augment: Any) -> None:
    given: dict[str, Any] = {"policy": f"{CROP} | cutmix(1.0) | schedule(mixing_until=1)"}
    assert batches_of(at_home(**given, augment=augment), 2) == in_process(epochs=2, **given)


@pytest.mark.parametrize("policy", ["random_crop(8, padding=1) | cutmix(1.0)", f"{CROP} | hflip"])
def test_crops_become_the_batches_of_the_engine_of_the_device(policy: str) -> None:
    loader = at_home(policy=policy, augment="here")
    loader._finisher = Finisher(loader._pool.job, Place("cpu", "portable"))
    assert batches_of(loader) == in_process(policy=policy, engine="portable")


# Views


VIEWS = {
    "global": (f"{CROP} | hflip | color_jitter(0.4)", 2),
    "local": ("random_resized_crop(8)", 3),
}


@pytest.mark.parametrize("source", ["files", "arrays"])
@pytest.mark.parametrize("views", [VIEWS, Views(VIEWS, inside={"local": "global"}), "two"],
                         ids=["names", "inside", "a number"])  # fmt: skip
def test_views_come_as_in_process(photos: str, source: str, views: Any) -> None:
    data: Any = photos if source == "files" else DATA
    given: dict[str, Any] = {"views": views, "on_error": "replace"}
    if views == "two":
        given = {"views": 2, "policy": CROP, "on_error": "replace"}
    loader = at_home(data, **given)
    assert batches_of(loader, 2) == in_process(data, epochs=2, **given)
    local: DataLoader[Any] = DataLoader(data, 4, True, seed=3, **given)
    assert loader.state_dict()["policy"] == local.state_dict()["policy"]
    loader.set_epoch(0)
    for mine, own in zip(loader.batches(), local.batches(), strict=True):
        assert type(mine.given) is type(own.given)
    for name, view in own.views.items():
        assert torch.equal(view.windows, mine.views[name].windows)
        assert torch.equal(view.matrices, mine.views[name].matrices)


def test_the_plan_of_a_batch_is_that_of_the_in_process_loader() -> None:
    local: DataLoader[Any] = DataLoader(DATA, 4, True, seed=3, policy="hflip | rotate(20)")
    for augment in WAYS:
        loader = at_home(policy="hflip | rotate(20)", augment=augment)
        for mine, own in zip(loader.batches(), local.batches(), strict=True):
            assert np.array_equal(mine.plan.inverse, own.plan.inverse)
        local.set_epoch(0)


# Masks, boxes and keypoints


KINDS: dict[str, Any] = {"masks": small.masks, "voc": small.voc, "yolo": small.yolo}


@pytest.mark.parametrize("augment", WAYS)
@pytest.mark.parametrize(
    ("kind", "policy"),
    [("masks", f"{CROP} | hflip"), ("masks", f"{CROP} | mixup(1.0)"),
     ("yolo", "letterbox(24) | hflip"), ("yolo", f"{CROP} | rotate(10)")],
)  # fmt: skip
def test_masks_and_boxes_come_as_in_process(
    tmp_path: Path, kind: str, policy: str, augment: Any
) -> None:
    data = str(KINDS[kind](tmp_path))
    given: dict[str, Any] = {"policy": policy, "batch_size": 3}
    assert batches_of(at_home(data, **given, augment=augment), 2) == in_process(
        data, epochs=2, **given
    )


def test_fields_say_how_they_follow_as_in_process(tmp_path: Path) -> None:
    from augfeed.fields import Boxes

    data = str(small.yolo(tmp_path))
    local: DataLoader[Any] = DataLoader(data, 3, policy=CROP)
    (name,) = [key for key, value in next(iter(local))[1].items() if key == "boxes"]
    given: dict[str, Any] = {"policy": CROP, "batch_size": 3, "fields": {name: Boxes(pad=4)}}
    assert batches_of(at_home(data, **given)) == in_process(data, **given)


# States


@pytest.mark.parametrize(
    "given",
    [{"repeats": 2, "batch_size": 16}, {"repeats": (2, "ranks")}, {"views": VIEWS}],
    ids=["repeats", "over ranks", "views"],
)
def test_a_state_goes_from_either_loader_to_the_other(given: dict[str, Any]) -> None:
    options = {**given, **({} if "views" in given else {"policy": "hflip"}), "shard": (1, 2)}
    expected = in_process(**options)
    local: DataLoader[Any] = DataLoader(DATA, **{"batch_size": 4, "shuffle": True, "seed": 3,
                                                 **options})  # fmt: skip
    loader = at_home(**options)
    for one, other in ((loader, local), (local, loader)):
        one.set_epoch(0)
        iterator = one.batches()
        next(iterator)
        state = one.state_dict()
        other.load_state_dict(state)
        assert other.state_dict() == state
        assert batches_of(other) == expected[1:]
    other = at_home(policy="hflip", batch_size=options.get("batch_size", 4), shard=(1, 2))
    with pytest.raises(StateError, match=r"shuffle=|policy="):
        other.load_state_dict(state)


# Which way


def test_the_bytes_of_either_way_are_known_and_counted() -> None:
    policy = f"{CROP} | normalize(0.5, 0.25)"
    each = 16 * 16 * 3
    for augment, taken in (("there", 4 * each), ("here", each)):
        loader = at_home(policy=policy, augment=augment)
        assert loader.bytes_per_image == {"there": 4 * each, "here": each}
        list(loader)
        assert loader.stats.received == taken * len(DATA[0])


@pytest.mark.parametrize(
    ("device", "policy", "dtype", "here"),
    [
        ("cuda", f"{CROP} | normalize(0.5, 0.25)", torch.float32, True),
        ("cuda", CROP, torch.uint8, False),  # as many bytes: what is shared already stays so
        ("cuda", "random_crop(4)", torch.uint8, False),  # of 10 x 12 pixels in memory
        (None, f"{CROP} | normalize(0.5, 0.25)", torch.float32, False),
    ],
    ids=["floats on a GPU", "bytes on a GPU", "a small part of an array", "on the CPU"],
)
def test_auto_augments_here_where_a_gpu_does_it_and_fewer_bytes_come(
    device: Any, policy: str, dtype: Any, here: bool
) -> None:
    loader = at_home(policy=policy, dtype=dtype, device=device, augment="auto")
    assert loader._augments_here is here


# What is wrong


@pytest.mark.parametrize(
    ("given", "error", "text"),
    [
        ({"augment": "gpu"}, InputError, r"augment='gpu' is unknown"),
        ({"augment": "here", "views": 2}, InputError, r"augment='here'.*augment='there'"),
        ({"augment": "here", "actors": Actors(device="cuda", num_gpus=1)}, InputError,
         r"device='cuda'.*augment='there'"),
        ({"policy": None}, InputError, r"policy=None.*give a policy"),
        ({"policy": "cutmix(1.0)", "views": 2}, PolicyError, "mixes samples"),
        ({"policy": None, "views": 2}, PolicyError, "views=2 are made by a policy"),
        ({"repeats": 0}, InputError, "repeats=0"),
        ({"repeats": 3}, InputError, r"batch_size=4 is not a multiple of repeats=3"),
        ({"repeats": 2}, InputError, r"mixing takes partners"),
        ({"max_pixels": 0}, InputError, "max_pixels=0"),
        ({"device": "gpu"}, InputError, "device='gpu'"),
        ({"fields": 5}, InputError, "fields"),
    ],
)  # fmt: skip
def test_what_cannot_be_meant_is_an_error_before_an_actor_is_started(
    given: dict[str, Any], error: type[Exception], text: str
) -> None:
    options: dict[str, Any] = {
        "policy": "cutmix(1.0)" if "views" not in given else "hflip",
        **given,
    }
    with pytest.raises(error, match=text):
        RayLoader(DATA, 4, True, **options)


def test_what_does_not_fit_the_data_is_the_error_of_its_opening(photos: str) -> None:
    with pytest.raises(InputError, match=r"fields=.*has none"):
        len(at_home(photos, policy=CROP, fields={"mask": "mask"}))
    with pytest.raises(InputError, match=r"image_key='jpg' chooses among the members"):
        len(at_home(photos, policy=CROP, image_key="jpg"))
    with pytest.raises(InvarianceError):
        len(at_home(policy="hflip", invariances="digits"))
