"""The loader with a cache of decoded images: the same batches, cold and warm, and no decoding."""

import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_sample_image

import augfeed
from augfeed.read import image_frame as picture_module
from augfeed.read.cache import Cache
from tests.template import template

POLICY = "random_resized_crop(32) | hflip | one_of([mixup(1.0), cutmix])"
COUNT = 20


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("photos")
    photo = load_sample_image("flower.jpg")
    for k in range(COUNT):
        path = root / "ab"[k % 2] / f"{k:02}.jpg"
        path.parent.mkdir(exist_ok=True)
        part = photo[k * 7 : k * 7 + 90 + 9 * k, k * 11 : k * 11 + 150 - 3 * k]
        Image.fromarray(part).save(path, "JPEG", quality=92)
    return root


def loader(folder: Path, cache: Any, **options: Any) -> augfeed.DataLoader:
    given: dict[str, Any] = {"batch_size": 6, "shuffle": True, "seed": 3, "policy": POLICY}
    if isinstance(cache, Cache) and cache.kind == "gpu":
        given["engine"] = "portable"  # runs on the CPU as it does on a GPU
    return augfeed.DataLoader(folder, cache=cache, **{**given, **options})


def epochs(made: augfeed.DataLoader, count: int = 2) -> list[bytes]:
    return [part.numpy().tobytes() for _ in range(count) for batch in made for part in batch
            if part is not None]  # fmt: skip


@pytest.fixture(params=["ram", "disk", "gpu"])
def cache(request: pytest.FixtureRequest, tmp_path: Path) -> Cache:
    kind: Any = request.param
    folder, limit = (tmp_path / "kept" if kind == "disk" else None), (1 << 20) * (kind == "gpu")
    return Cache(kind, side=48, folder=folder, limit=limit or None)


def test_later_epochs_decode_nothing(
    folder: Path, cache: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = loader(folder, cache)
    epochs(made, 1)
    monkeypatch.setattr(picture_module, "decode", None)
    monkeypatch.setattr(picture_module, "decode_jpeg", None)
    assert len(epochs(made, 3)) == 3 * 2 * 4


def test_batches_are_the_same_cold_and_warm_and_for_any_threads(folder: Path, cache: Cache) -> None:
    cold = epochs(loader(folder, cache))
    made = loader(folder, cache, num_workers=3)
    assert epochs(made) == cold  # cold in RAM, warm on disk
    made.set_epoch(0)
    assert epochs(made) == cold


def test_what_does_not_fit_gives_the_same_batches(folder: Path, cache: Cache) -> None:
    small = Cache(cache.kind, side=48, limit=30_000, folder=cache.folder)
    assert epochs(loader(folder, small)) == epochs(loader(folder, cache))


def test_crops_come_from_images_of_the_side_that_is_stated(folder: Path, cache: Cache) -> None:
    policy = "resize(48) | center_crop(48)"
    (images, _) = next(iter(loader(folder, cache, policy=policy, batch_size=1, shuffle=False)))
    with Image.open(folder / "a" / "00.jpg") as file:
        width, height = file.size
        size = (48 * width // height, 48)
        small = file.convert("RGB").resize(size, Image.Resampling.BILINEAR)
    left = round((size[0] - 48) / 2)
    witness = np.asarray(small)[:, left : left + 48]
    got = images[0].permute(1, 2, 0).numpy() * 255
    assert np.abs(got - witness).mean() < 2.0


def test_a_changed_file_is_decoded_anew(tmp_path: Path, cache: Cache) -> None:
    for k in range(2):
        Image.new("RGB", (60, 60), (100 * k, 0, 0)).save(tmp_path / f"{k}.png")
    options: dict[str, Any] = {"policy": "center_crop(48)", "shuffle": False}
    made = loader(tmp_path, cache, **options)
    epochs(made, 1)
    Image.new("RGB", (60, 60), (0, 0, 255)).save(tmp_path / "0.png")
    os.utime(tmp_path / "0.png", ns=(1, 1))
    (images, _) = next(iter(made))
    assert images[0, 2].min() == 1.0 and images[1, 0].max() < 0.5


def test_the_fingerprint_shows_the_side(folder: Path) -> None:
    caches = (None, Cache("ram", side=48), Cache("ram", side=64), Cache("ram", 64))
    prints = {loader(folder, cache).pipeline.fingerprint for cache in caches}
    assert len(prints) == 3
    assert loader(folder, "ram").pipeline.kept_side == 40  # 8/7 of 32, in steps of 8


def test_broken_files_are_replaced_from_the_cache_too(folder: Path, cache: Cache) -> None:
    broken = folder.parent / f"broken-{cache.kind}"
    (broken / "a").mkdir(parents=True)
    for path in sorted((folder / "a").iterdir()):
        (broken / "a" / path.name).write_bytes(path.read_bytes())
    (broken / "a" / "04.jpg").write_bytes(b"\xff\xd8\xff\xe0")
    made = loader(broken, cache, on_error="replace")
    cold = epochs(made)
    made.set_epoch(0)
    assert epochs(made) == cold and [item.sample for item in made.unread] == [2]


def test_explain_names_the_cache(folder: Path, cache: Cache) -> None:
    text = loader(folder, cache).explain()
    assert "kept in" in text and "with a short side of 48 pixels" in text
    assert "kept in" not in loader(folder, None).explain()


def test_arrays_have_no_cache() -> None:
    images = np.zeros((4, 8, 8, 3), np.uint8)
    made = augfeed.DataLoader(images, 2, policy="hflip", cache="ram")
    assert made.pipeline.kept_side == 0 and len(list(made)) == 2


KILLED = """
import sys
import augfeed
from augfeed.read.cache import Cache
folder, kept = sys.argv[1:]
loader = augfeed.DataLoader(folder, 2, policy={policy!r}, seed=3, shuffle=True,
                            cache=Cache("disk", side=48, folder=kept))
for batch in loader:
    print("batch", flush=True)
""".replace("{policy!r}", repr(POLICY))


def test_batches_are_the_same_after_a_kill_in_mid_write(folder: Path, tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    given = [str(folder), str(kept)]
    for batches in (1, 2):
        process = template().fork(KILLED, given, os.environ, imports=["augfeed.loader"])
        with process.stdout, process.stderr:
            for _ in range(batches):
                assert process.stdout.readline() == "batch\n"
            process.kill()
            process.wait()
    assert any(kept.rglob("*.pack"))
    expected = epochs(loader(folder, Cache("ram", side=48)))
    assert epochs(loader(folder, Cache("disk", side=48, folder=kept))) == expected


def test_images_of_a_loader_that_is_copied_are_its_own(folder: Path, cache: Cache) -> None:

    made = loader(folder, cache)
    first = epochs(made, 1)
    again = pickle.loads(pickle.dumps(made))
    again.set_epoch(0)
    assert epochs(again, 1) == first
