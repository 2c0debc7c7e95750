"""The loader with DALI as its reader: the same samples, labels, pixels and errors."""

import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.datasets import load_sample_image

import augfeed
from augfeed.errors import InputError, MissingExtraError, ReadError
from augfeed.read import dali, device_frames
from augfeed.read.dali import available

needs_dali = pytest.mark.skipif(available() is not None, reason=f"{available()}")
POLICY = "random_resized_crop(32) | hflip | one_of([mixup(1.0), cutmix])"
# Mean absolute difference, of 255, between DALI's steps on a GPU and the CPU reader: at the edges
# of a window DALI repeats the border pixel, and where the window has pixels to spare the CPU reader
# decodes at a smaller scale.
MEAN, WORST = 2.0, 12.0
COUNT = 24


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Photographs in every orientation, large and small, and some that are not JPEGs."""
    root = tmp_path_factory.mktemp("photos")
    photo = load_sample_image("flower.jpg")
    for k in range(COUNT):
        suffix = ".png" if k % 6 == 5 else ".jpg"
        path = root / "abc"[k % 3] / f"{k:02}{suffix}"
        path.parent.mkdir(exist_ok=True)
        exif = Image.Exif()
        exif[0x0112] = k % 8 + 1
        height, width = (60, 90) if k % 2 else (300, 400)
        part = Image.fromarray(photo[k * 4 : k * 4 + height, k * 9 : k * 9 + width])
        part.save(path, exif=exif, quality=92)
    return root


def loader(data: Any, reader: Any = "cpu", **options: Any) -> augfeed.DataLoader:
    given: dict[str, Any] = {"batch_size": 7, "shuffle": True, "seed": 3, "policy": POLICY}
    return augfeed.DataLoader(data, reader=reader, **{**given, **options})


def batches(made: augfeed.DataLoader) -> list[tuple[torch.Tensor, torch.Tensor]]:
    return [(batch.images, batch.targets) for batch in made.batches()]


def equal(some: list[Any], others: list[Any]) -> bool:
    return len(some) == len(others) and all(
        torch.equal(a, b) for one, other in zip(some, others, strict=True)
        for a, b in zip(one, other, strict=True)
    )  # fmt: skip


@needs_dali
@pytest.mark.parametrize("engine", ["cpu", "portable"])
def test_on_a_cpu_batches_are_those_of_the_cpu_reader(folder: Path, engine: str) -> None:
    expected = batches(loader(folder, engine=engine))
    for threads in (0, 3):
        made = loader(folder, "dali", engine=engine, num_workers=threads)
        assert equal(batches(made), expected)
    assert equal(batches(pickle.loads(pickle.dumps(made))), batches(made))


@needs_dali
def test_dali_makes_what_fits_it(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    counts: list[int] = []
    frames = dali.DaliDecoder.frames

    def counted(self: Any, encoded: Any, *given: Any) -> Any:
        counts.append(len(encoded))
        return frames(self, encoded, *given)

    monkeypatch.setattr(dali.DaliDecoder, "frames", counted)
    batches(loader(folder, "dali", policy="random_resized_crop(32)"))
    assert 5 < sum(counts) < 20  # not those that are not JPEGs, nor those decoded smaller


@pytest.fixture
def as_on_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the CPU take the steps of a GPU."""

    def decoder(*given: Any) -> dali.DaliDecoder:
        return dali.DaliDecoder(*given, as_on_gpu=True)

    monkeypatch.setattr(device_frames, "DaliDecoder", decoder)


@needs_dali
@pytest.mark.usefixtures("as_on_gpu")
def test_by_the_steps_of_a_gpu_the_readers_agree(folder: Path) -> None:
    agree(folder, 32, MEAN, WORST)


@needs_dali
@pytest.mark.usefixtures("as_on_gpu")
@pytest.mark.parametrize("name", ["photos", "photos-mixed"])
def test_the_readers_agree_on_photographs(name: str) -> None:
    root = os.environ.get("AUGFEED_PHOTOS")
    if not root:
        pytest.skip("AUGFEED_PHOTOS names no folder that holds photos and photos-mixed")
    agree(Path(root) / name, 224, 0.5, 2.0)


def agree(root: Path, size: int, mean: float, worst: float) -> None:
    policy = f"random_resized_crop({size}) | hflip"
    options: dict[str, Any] = {"policy": policy, "num_workers": 2, "on_error": "replace"}
    ours, other = (loader(root, reader, **options) for reader in ("cpu", "dali"))
    differences = []
    for one, by_dali in zip(ours.batches(), other.batches(), strict=True):
        assert torch.equal(one.ids, by_dali.ids) and torch.equal(one.targets, by_dali.targets)
        difference = (one.images - by_dali.images).abs().mean(dim=(1, 2, 3)) * 255
        differences += difference.tolist()
    assert np.mean(differences) < mean and np.max(differences) < worst


def broken(folder: Path, tmp_path: Path) -> Path:
    """A copy of the images, some of them empty, cut in the header, cut in the scan."""
    for path in folder.rglob("*.*"):
        data = path.read_bytes()
        k = int(path.stem)
        if k in (1, 7, 13):
            data = {1: b"", 7: data[:-9], 13: data[: len(data) // 3]}[k]
        (tmp_path / path.parent.name).mkdir(exist_ok=True)
        (tmp_path / path.parent.name / path.name).write_bytes(data)
    return tmp_path


@needs_dali
@pytest.mark.parametrize("engine", ["cpu", "portable"])
@pytest.mark.parametrize("mode", ["replace", "skip"])
def test_broken_files_are_replaced_and_left_out_as_by_the_cpu_reader(
    folder: Path, tmp_path: Path, mode: Any, engine: str
) -> None:
    root = broken(folder, tmp_path)
    ours, other = (loader(root, reader, on_error=mode, engine=engine) for reader in ("cpu", "dali"))
    assert equal(batches(other), batches(ours))
    assert other.unread == ours.unread and len(other.unread) == 3


@needs_dali
@pytest.mark.usefixtures("as_on_gpu")
@pytest.mark.parametrize("engine", ["cpu", "portable"])
def test_what_dali_refuses_is_judged_by_the_cpu_reader(
    folder: Path, monkeypatch: pytest.MonkeyPatch, engine: str
) -> None:
    run = dali.DaliDecoder._run

    def refusing(self: Any, jobs: Any) -> Any:
        odd = any(len(file) % 3 == 0 for file in jobs.files)
        return None if odd else run(self, jobs)

    expected = batches(loader(folder, engine=engine))
    monkeypatch.setattr(dali.DaliDecoder, "_run", refusing)
    made = batches(loader(folder, "dali", engine=engine))
    assert all(torch.equal(a[1], b[1]) for a, b in zip(made, expected, strict=True))
    assert (
        max(float((a[0] - b[0]).abs().mean()) for a, b in zip(made, expected, strict=True)) < 0.02
    )


@needs_dali
def test_an_error_names_the_file_in_the_place_of_its_batch(folder: Path, tmp_path: Path) -> None:
    root = broken(folder, tmp_path)
    iterator = iter(
        loader(root, "dali", batch_size=1, shuffle=False, policy="random_resized_crop(9)")
    )
    seen = 0
    for _ in range(COUNT):
        try:
            next(iterator)
        except ReadError as error:
            assert any(name in str(error) for name in ("01.jpg", "07.jpg", "13.jpg"))
            seen += 1
    assert seen == 3


def test_the_reader_is_part_of_the_fingerprint_and_of_explain(folder: Path) -> None:
    assert loader(folder, "auto").pipeline.reader == "cpu"
    if available() is None:
        made = loader(folder, "dali")
        assert "NVIDIA DALI decodes JPEGs on cpu" in made.explain()
        assert made.pipeline.fingerprint != loader(folder).pipeline.fingerprint


def test_auto_is_dali_on_a_gpu_that_has_it(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source, gpu = augfeed.open_source(folder), torch.device("cuda")
    reading = loader(folder, "auto").pipeline.reading
    for there in (True, False):
        monkeypatch.setattr(device_frames, "is_installed", lambda there=there: there)
        assert device_frames.reader_for(reading, source, gpu) == ("dali" if there else "cpu")
    assert device_frames.reader_for(reading, source, torch.device("cpu")) == "cpu"


def test_a_reader_that_cannot_be_used_is_refused_with_the_cure(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(InputError, match="reader='nvjpeg' is unknown"):
        loader(folder, "nvjpeg")
    with pytest.raises(InputError, match="leave out cache, or reader"):
        loader(folder, "dali", cache="ram")
    with pytest.raises(InputError, match="use reader='cpu'"):
        loader(folder, "dali", device="mps", engine="portable")
    monkeypatch.setattr(device_frames, "available", lambda: "not there")
    monkeypatch.setattr(device_frames, "is_installed", lambda: False)
    with pytest.raises(MissingExtraError, match=r"pip install 'augfeed\[dali\]'"):
        loader(folder, "dali")
    assert loader(np.zeros((4, 40, 40, 3), np.uint8), "dali", policy="hflip").lane == "native"
