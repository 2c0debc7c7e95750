"""Files that cannot be read: an error, another sample in their place, or left out."""

import logging
import pickle
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import augfeed
from augfeed.errors import InputError, ReadError
from augfeed.read.read_errors import ReadFailure, ReadFailureLog, candidates

BROKEN = (3, 7, 20)  # sample numbers
COUNT = 24
POLICY = "random_resized_crop(8) | hflip | normalize(0.5, 0.5)"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Images of one color each, so that a sample is known by its mean; some are broken."""
    root = tmp_path_factory.mktemp("pictures")
    for k in range(COUNT):
        path = root / "abc"[k // 8] / f"{k:02}.png"
        path.parent.mkdir(exist_ok=True)
        Image.new("RGB", (20, 16), (k * 10, k * 10, k * 10)).save(path)
        if k in BROKEN:
            # One is not an image by its header, one only when it is decoded.
            path.write_bytes(b"<html>" if k == 7 else path.read_bytes()[:-30])
    return root


def loaded(folder: Path, **options: Any) -> augfeed.DataLoader:
    given: dict[str, Any] = {"policy": POLICY, "batch_size": 5, "shuffle": True, "seed": 1}
    return augfeed.DataLoader(folder, **{**given, **options})


def samples(images: torch.Tensor) -> list[int]:
    values = ((images.mean(dim=(1, 2, 3)) * 0.5 + 0.5) * 255 / 10).round()
    return [int(value) for value in values]


def digest(loader: augfeed.DataLoader) -> list[bytes]:
    return [images.numpy().tobytes() + targets.numpy().tobytes() for images, targets in loader]


def test_an_error_comes_in_its_place_and_the_next_batch_after_it(folder: Path) -> None:
    for workers in (0, 2):
        iterator = iter(loaded(folder, num_workers=workers, shuffle=False))
        with pytest.raises(ReadError, match=r"03\.png: cannot be decoded"):
            next(iterator)
        with pytest.raises(ReadError, match=r"07\.png: is not an image"):
            next(iterator)
        assert samples(next(iterator)[0]) == [10, 11, 12, 13, 14]


def test_another_sample_takes_the_place_of_a_broken_one_with_its_label(folder: Path) -> None:
    loader = loaded(folder, on_error="replace")
    seen = []
    for batch in loader.batches():
        found = samples(batch.images)
        assert found == batch.ids.tolist()
        assert batch.targets.tolist() == [k // 8 for k in found]
        seen += found
    assert len(seen) == COUNT and not set(seen) & set(BROKEN)
    unread = {item.sample: item for item in loader.unread}
    assert sorted(unread) == list(BROKEN)
    assert sorted(set(range(COUNT)) - set(BROKEN)) == sorted(set(seen))
    instead = sorted(item.instead for item in unread.values())
    assert sorted(seen) == sorted([*(set(range(COUNT)) - set(BROKEN)), *instead])


def test_what_takes_the_place_depends_on_seed_epoch_and_sample_alone(folder: Path) -> None:
    whole = loaded(folder, on_error="replace", batch_size=COUNT)
    chosen = []
    for epoch in range(3):
        whole.set_epoch(epoch)
        ((images, _),) = list(whole)
        order = samples(images)
        chosen.append([item.instead for item in whole.unread])
        parts = loaded(folder, on_error="replace", batch_size=7, num_workers=2)
        parts.set_epoch(epoch)
        assert [k for images, _ in parts for k in samples(images)] == order
        assert [item.instead for item in parts.unread] == chosen[-1]
    assert chosen[0] != chosen[1] or chosen[1] != chosen[2]


def test_a_broken_file_changes_no_other_sample(folder: Path, tmp_path: Path) -> None:
    mended = tmp_path / "mended"
    shutil.copytree(folder, mended)
    for k in BROKEN:
        Image.new("RGB", (20, 16), (k * 10,) * 3).save(mended / "abc"[k // 8] / f"{k:02}.png")
    good, replaced = (next(iter(loaded(where, on_error="replace", batch_size=COUNT).batches()))
                      for where in (mended, folder))  # fmt: skip
    same = ~np.isin(good.ids.numpy(), BROKEN)
    assert torch.equal(good.images[torch.from_numpy(same)], replaced.images[torch.from_numpy(same)])


def test_a_broken_one_is_left_out_and_its_batch_is_smaller(folder: Path) -> None:
    loader = loaded(folder, on_error="skip")
    batches = list(loader.batches())
    assert [len(batch) for batch in batches] != [5, 5, 5, 5, 4]
    ids = [k for batch in batches for k in batch.ids.tolist()]
    assert sorted(ids) == sorted(set(range(COUNT)) - set(BROKEN))
    for batch in batches:
        assert samples(batch.images) == batch.ids.tolist()
        assert batch.targets.tolist() == [k // 8 for k in batch.ids.tolist()]
        assert len(batch.images) == len(batch)


def test_a_batch_of_which_nothing_is_left_is_left_out(folder: Path) -> None:
    loader = loaded(folder, on_error="skip", batch_size=1, shuffle=False)
    assert [k for images, _ in loader for k in samples(images)] == sorted(
        set(range(COUNT)) - set(BROKEN)
    )


def test_with_several_ranks_an_empty_batch_is_an_error(folder: Path) -> None:
    loader = loaded(folder, on_error="skip", batch_size=1, shuffle=False, shard=(1, 2))
    iterator = iter(loader)
    assert samples(next(iterator)[0]) == [1]
    with pytest.raises(ReadError, match="on_error='replace' with several ranks"):
        next(iterator)


@pytest.mark.parametrize("mode", ["replace", "skip"])
def test_mixing_goes_by_the_labels_of_what_is_shown(folder: Path, mode: Any) -> None:
    mixing = f"{POLICY} | mixup(1.0)"
    loader = loaded(folder, on_error=mode, policy=mixing, batch_size=8)
    for images, targets in loader:
        np.testing.assert_allclose(targets.sum(dim=1), 1, atol=1e-6)
        assert len(images) == len(targets) and images.isfinite().all()
    assert len(loader.unread) == len(BROKEN)


@pytest.mark.parametrize("mode", ["replace", "skip"])
def test_digests_do_not_depend_on_threads(folder: Path, mode: Any) -> None:
    policy = f"{POLICY} | cutmix"
    runs = [digest(loaded(folder, on_error=mode, policy=policy, num_workers=n)) for n in (0, 1, 3)]
    assert runs[0] == runs[1] == runs[2]


@pytest.mark.parametrize(("mode", "word"), [("replace", "replaced"), ("skip", "left out")])
def test_the_end_of_an_epoch_shows_what_was_not_read(
    folder: Path, mode: Any, word: str, caplog: pytest.LogCaptureFixture
) -> None:
    loader = loaded(folder, on_error=mode)
    with caplog.at_level(logging.WARNING, "augfeed"):
        list(loader)
    (record,) = caplog.records
    text = record.getMessage()
    assert text.startswith(f"epoch 0: 3 files could not be read and were {word}:")
    assert all(f"{k:02}.png" in text for k in BROKEN)


def test_an_image_smaller_than_its_crop_is_named_and_counts_as_broken(folder: Path) -> None:
    small = folder.parent / "small"
    shutil.copytree(folder, small, dirs_exist_ok=True)
    Image.new("RGB", (5, 5)).save(small / "a" / "00.png")
    options: dict[str, Any] = {"policy": "random_crop(8)", "shuffle": False}
    with pytest.raises(InputError, match=r"00\.png: random_crop\(size=\(8, 8\)\) is larger than"):
        next(iter(loaded(small, **options)))
    loader = loaded(small, on_error="replace", **options)
    list(loader)
    assert [item.sample for item in loader.unread] == [0, *BROKEN]


def test_nothing_is_replaced_for_ever(tmp_path: Path) -> None:
    for k in range(5):
        (tmp_path / f"{k}.png").write_bytes(b"broken")
    with pytest.raises(ReadError, match=r"0\.png: is not an image.*nor could any of 32 other"):
        next(iter(loaded(tmp_path, on_error="replace", shuffle=False)))


def test_a_single_broken_file_has_no_substitute(tmp_path: Path) -> None:
    (tmp_path / "0.png").write_bytes(b"broken")
    with pytest.raises(ReadError, match="nor could any of 0 other"):
        next(iter(loaded(tmp_path, on_error="replace", batch_size=1)))


def test_substitutes_are_others_and_evenly_spread() -> None:
    drawn = [candidates(0, 0, sample, 10) for sample in range(200 * 10)[:10]]
    assert all(sample not in others for sample, others in enumerate(drawn))
    many = np.array([candidates(seed, 0, 4, 5) for seed in range(300)])
    counts = np.bincount(many.ravel(), minlength=5)
    assert counts[4] == 0 and np.abs(counts[:4] / many.size - 0.25).max() < 0.02
    assert candidates(0, 0, 0, 1) == []


def test_a_sample_is_counted_once_an_epoch() -> None:
    log = ReadFailureLog()
    for epoch, sample in ((0, 5), (0, 2), (0, 5), (1, 5)):
        log.add(ReadFailure(epoch, sample, "p", f"p{sample}: broken", 0))
    assert [item.sample for item in log.of(0)] == [2, 5]
    assert log.report(2, skipped=False) == ""
    assert pickle.loads(pickle.dumps(log)).of(0) == ()


def test_a_pass_forgets_what_is_fixed_and_what_is_long_past(tmp_path: Path) -> None:
    for k in range(3):
        Image.new("RGB", (9, 9)).save(tmp_path / f"{k}.png")
    whole = (tmp_path / "1.png").read_bytes()
    (tmp_path / "1.png").write_bytes(b"broken")
    made = loaded(tmp_path, on_error="replace")
    for _ in range(5):
        list(made)
    assert [item.epoch for item in made.unread] == [4]
    assert [len(made.pipeline.log.of(epoch)) for epoch in range(5)] == [0, 0, 1, 1, 1]
    (tmp_path / "1.png").write_bytes(whole)
    made.set_epoch(4)
    list(made)
    assert made.unread == ()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"on_error": "ignore"}, "on_error='ignore' is unknown"),
        ({"cache": "memory"}, "cache='memory' is unknown"),
        ({"cache": "gpu"}, "cache='gpu' is for batches that are made on a GPU"),
        ({"max_pixels": 0}, "max_pixels=0"),
    ],
)
def test_unknown_options_are_named(folder: Path, options: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        loaded(folder, **options)


def test_a_dataset_of_ones_own_refuses_what_is_for_files() -> None:
    data = [(torch.zeros(3, 8, 8), 0)] * 4
    with pytest.raises(InputError, match="for files that the loader reads itself"):
        augfeed.DataLoader(data, policy="hflip", on_error="skip")
