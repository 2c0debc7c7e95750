"""Parts of sources: chosen samples of files, and of arrays in stage 1."""

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from augfeed.errors import InputError
from augfeed.memory_pool import Memory
from augfeed.notation import parse_policy
from augfeed.plan import BatchRows, Plan, draw_plan
from augfeed.read.arrays import ArraySource
from augfeed.read.folder import FolderSource
from augfeed.read.frames import Frames
from augfeed.read.protocols import EncodedSource
from augfeed.read.read_config import Reading
from augfeed.read.read_errors import ReadFailureLog, RowSources
from augfeed.read.resident import resident_pictures
from augfeed.read.subset import SubsetSource, subset

IMAGES = np.random.default_rng(0).integers(0, 256, (6, 5, 7, 3), np.uint8)


@pytest.fixture
def folder(tmp_path: Path) -> FolderSource:
    for k, image in enumerate(IMAGES):
        path = tmp_path / "abc"[k % 3] / f"{k}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(image).save(path)
    return FolderSource(tmp_path)


def test_a_part_has_the_chosen_samples_and_the_classes_of_the_whole(folder: FolderSource) -> None:
    part = SubsetSource(folder, [4, 0, 4])
    assert isinstance(part, EncodedSource) and len(part) == 3
    assert folder.labels is not None and part.labels is not None
    assert part.labels.tolist() == folder.labels[[4, 0, 4]].tolist()
    assert (part.num_classes, part.classes) == (3, ("a", "b", "c"))
    assert (part.channels, part.name, part.sizes) == (3, None, None)
    assert (part.read(0), part.path(0)) == (folder.read(4), folder.path(4))
    np.testing.assert_array_equal(part.image(1), folder.image(0))


def test_a_part_of_files_without_labels_has_none(tmp_path: Path) -> None:
    Image.fromarray(IMAGES[0]).save(tmp_path / "a.png")
    assert SubsetSource(FolderSource(tmp_path), [0, 0]).labels is None


@pytest.mark.parametrize("i", [-1, 2])
def test_an_image_that_is_not_in_the_part_is_named(folder: FolderSource, i: int) -> None:
    part = SubsetSource(folder, [4, 0])
    for ask in (part.image, part.read, part.path):
        with pytest.raises(InputError, match=rf"i={i} is not in \[0, 2\)"):
            ask(i)


def test_indices_beyond_the_whole_are_named(folder: FolderSource) -> None:
    with pytest.raises(InputError, match=r"indices\[1\]=6 is not in \[0, 6\)"):
        SubsetSource(folder, [0, 6])


def test_the_fingerprint_depends_on_the_indices(folder: FolderSource) -> None:
    parts: list[Any] = [folder, *(SubsetSource(folder, item) for item in ([0, 1], [1, 0], [0]))]
    prints = {part.fingerprint() for part in parts}
    assert len(prints) == 4 and {len(text) for text in prints} == {64}
    assert pickle.loads(pickle.dumps(parts[1])).fingerprint() == parts[1].fingerprint()


def test_a_part_of_a_part_is_a_part_of_the_whole(folder: FolderSource) -> None:
    twice = subset(subset(folder, [5, 3, 1]), [2, 0])
    assert isinstance(twice, SubsetSource) and twice.source is folder
    assert twice.fingerprint() == SubsetSource(folder, [1, 5]).fingerprint()


def test_a_part_of_arrays_is_picked() -> None:
    part = subset(ArraySource(IMAGES), [3, 1])
    assert isinstance(part, ArraySource) and np.shares_memory(part.images, IMAGES)


def frames_of(source: Any, plan: Plan, which: Any) -> Any:
    frames = Frames(source, plan.policy, Memory(), Reading(), ReadFailureLog())
    return frames.read(plan, which, RowSources.of(plan.ids))


@pytest.mark.parametrize("policy", ["random_crop(4, padding=1)", "random_resized_crop(4)"])
def test_frames_of_a_part_are_those_of_the_chosen_samples(policy: str, folder: Any) -> None:
    made, chosen = parse_policy(policy), [4, 0, 3, 4]
    rows = BatchRows.of(np.array([3, 1, 0], np.int64))
    plan = draw_plan(made, rows, seed=0, epoch=0, size=(4, 4))
    which = np.arange(3)
    for whole, alone in ((ArraySource(IMAGES), ArraySource(IMAGES[chosen])), (folder, None)):
        part = subset(whole, chosen)
        frames = frames_of(part, plan, which)
        if alone is None:
            alone = ArraySource(np.stack([part.image(i) for i in range(4)]))
        expected = frames_of(alone, plan, which)
        np.testing.assert_array_equal(frames, expected)


def test_images_in_memory_stay_where_they_are_for_a_part() -> None:
    whole = ArraySource(IMAGES)
    assert resident_pictures(whole.pick([1]), parse_policy("hflip")) is whole.images
