"""Folders of images, with `os` and Pillow as witnesses."""

import io
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import TensorDataset

from augfeed import DataLoader
from augfeed.errors import InputError, ReadError
from augfeed.read.folder import FolderSource
from augfeed.read.sources import open_source


def png(color: int, size: tuple[int, int] = (4, 3)) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", size, (color, 0, 0)).save(file, "PNG")
    return file.getvalue()


def tree(root: Path, *names: str) -> Path:
    for k, name in enumerate(names):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(png(k))
    return root


def listed(source: FolderSource) -> list[str]:
    return [os.path.relpath(source.path(i), source.root) for i in range(len(source))]


def test_the_order_is_that_of_torchvision(tmp_path: Path) -> None:
    names = ["b/z.png", "b/a-1/x.PNG", "b/a/y.JPEG", "b/a/sub/w.jpg", "b/B.png", "a b/1.webp"]
    tree(tmp_path, *names, "b/readme.txt", "loose.png")
    source = FolderSource(tmp_path)
    # Folders by their paths ("a-1" before "a/sub": a hyphen sorts before a slash), then names.
    assert listed(source) == [
        "a b/1.webp", "b/B.png", "b/z.png", "b/a/y.JPEG", "b/a-1/x.PNG", "b/a/sub/w.jpg",
    ]  # fmt: skip
    assert source.classes == ("a b", "b") and source.num_classes == 2
    assert source.labels is not None and source.labels.dtype == np.int64
    assert source.labels.tolist() == [0, 1, 1, 1, 1, 1]
    assert (source.sizes, source.name, source.channels) == (None, None, 3)


def test_a_folder_without_classes_has_no_labels(tmp_path: Path) -> None:
    source = FolderSource(tree(tmp_path, "2.png", "1.png", "notes.txt"))
    assert listed(source) == ["1.png", "2.png"]
    assert (source.labels, source.num_classes, source.classes) == (None, None, None)


@pytest.mark.parametrize(
    "parts", [("train", "val"), ("Train", "test", "valid"), ("train",), ("training", "validation")]
)
@pytest.mark.parametrize("below", ["cat/1.png", "1.png"])
def test_parts_of_a_dataset_are_not_its_classes(
    tmp_path: Path, parts: tuple[str, ...], below: str
) -> None:
    root = tree(tmp_path, *(f"{part}/{below}" for part in parts))
    with pytest.raises(
        InputError, match=f"parts of a dataset .* give one of them, as .*{parts[0]}"
    ):
        FolderSource(root)
    assert len(FolderSource(root / parts[0])) == 1


def test_a_class_may_have_the_name_of_a_part(tmp_path: Path) -> None:
    root = tree(tmp_path, "train/1.png", "tram/1.png")
    assert FolderSource(root).classes == ("train", "tram")


@pytest.mark.parametrize("split", ["test", "val", "typo"])
@pytest.mark.parametrize("name", ["cat/1.png", "1.png", "1.tar"])
def test_a_split_of_what_is_whole_is_an_error(tmp_path: Path, name: str, split: str) -> None:
    root = tree(tmp_path, name)
    for path in (root, root / name) if name.endswith(".tar") else (root,):
        with pytest.raises(InputError, match=f"split='{split}' "):
            open_source(path, split=split)


@pytest.mark.parametrize("split", ["test", "typo"])
@pytest.mark.parametrize("kind", [tuple, TensorDataset, list])
def test_a_split_of_what_is_not_a_path_is_an_error(tmp_path: Path, kind: Any, split: str) -> None:
    images, labels = torch.zeros(2, 3, 4, 4, dtype=torch.uint8), torch.arange(2)
    pairs = [(tree(tmp_path, "cat/1.png") / "cat/1.png", 0)]
    data = {tuple: (images, labels), TensorDataset: TensorDataset(images, labels), list: pairs}
    with pytest.raises(InputError, match=f"split='{split}' .* '{kind.__name__}' has none"):
        open_source(data[kind], split=split)
    with pytest.raises(InputError, match=f"split='{split}' .* '{kind.__name__}' has none"):
        DataLoader(data[kind], policy="center_crop(4)", split=split)


def test_images_are_read_and_decoded(tmp_path: Path) -> None:
    root = tree(tmp_path, "a/0.png", "a/1.png", "b/2.png")
    source = FolderSource(str(root))
    assert source.read(1) == png(1)
    np.testing.assert_array_equal(source.image(2), np.full((3, 4, 3), (2, 0, 0)))
    assert FolderSource(root, channels=1).image(0).shape == (3, 4, 1)


def test_other_extensions_can_be_asked_for(tmp_path: Path) -> None:
    root = tree(tmp_path, "a/0.png", "a/1.tga", "b/2.TGA")
    assert len(FolderSource(root, extensions=["tga"])) == 2


@pytest.mark.parametrize(
    ("names", "where", "message"),
    [
        ((), "none", "'.*none' does not exist"),
        (("file.png",), "file.png", "is a file, not a folder"),
        (("notes.txt",), "", r"has no images: looked for \.jpg .* in it"),
        (("a/notes.txt", "b/notes.txt"), "", "in its 2 class folders"),
        (("a/0.png", "empty/notes.txt"), "", r"'.*empty' has no images \(\.jpg"),
    ],
)
def test_bad_folders_are_named(tmp_path: Path, names: Any, where: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        FolderSource(tree(tmp_path, *names) / where)


def test_bad_channels_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="channels=4 is not 1 or 3"):
        FolderSource(tree(tmp_path, "a/0.png"), channels=4)  # type: ignore[arg-type]


@pytest.mark.parametrize("i", [-1, 1])
def test_an_image_that_is_not_there_is_named(tmp_path: Path, i: int) -> None:
    with pytest.raises(InputError, match=rf"i={i} is not in \[0, 1\)"):
        FolderSource(tree(tmp_path, "a/0.png")).read(i)


def test_a_file_that_vanished_is_named(tmp_path: Path) -> None:
    source = FolderSource(tree(tmp_path, "a/0.png"))
    (tmp_path / "a/0.png").unlink()
    for read in (lambda: source.read(0), source.fingerprint):
        with pytest.raises(ReadError, match=r"a/0\.png: cannot be read \(No such file"):
            read()


def test_a_broken_file_is_named(tmp_path: Path) -> None:
    source = FolderSource(tree(tmp_path, "a/0.png"))
    (tmp_path / "a/0.png").write_bytes(png(0)[:40])
    with pytest.raises(ReadError, match=r"a/0\.png: "):
        source.image(0)


def test_the_fingerprint_is_of_the_list_wherever_the_folder_stands(tmp_path: Path) -> None:
    names = ("a/0.png", "b/1.png")
    first, second = (FolderSource(tree(tmp_path / name, *names)) for name in ("one", "two"))
    assert first.fingerprint() == second.fingerprint()
    (tmp_path / "two/b/1.png").write_bytes(png(1, (40, 30)))
    others = [
        FolderSource(tmp_path / "two"),
        FolderSource(tree(tmp_path / "three", "a/0.png", "c/1.png")),
        FolderSource(tree(tmp_path / "four", "a/0.png", "a/1.png")),
        FolderSource(tmp_path / "one", channels=1),
    ]
    prints = {source.fingerprint() for source in (first, *others)}
    assert len(prints) == 5


def test_given_files_keep_their_order(tmp_path: Path) -> None:
    root = tree(tmp_path, "a/0.png", "b/1.png", "c/2.png")
    pairs = [(root / "c/2.png", 1), (root / "a/0.png", 0), (root / "c/2.png", 1)]
    source = FolderSource.of(pairs, ["x", "y"], name="imagenet")
    assert listed(source) == ["c/2.png", "a/0.png", "c/2.png"]
    assert source.labels is not None and source.labels.tolist() == [1, 0, 1]
    assert (source.classes, source.name) == (("x", "y"), "imagenet")
    assert len(source.fingerprint()) == 64
    with pytest.raises(InputError, match="samples is empty"):
        FolderSource.of([], ["x"])
    with pytest.raises(InputError, match=r"labels\[0\]=2 is a label without class"):
        FolderSource.of([(root / "a/0.png", 2)], ["x", "y"])


def test_names_that_are_no_utf8_are_listed(tmp_path: Path) -> None:
    tree(tmp_path, "a/0.png")
    os.rename(tmp_path / "a/0.png", os.path.join(os.fsencode(tmp_path / "a"), b"\xff.png"))
    source = FolderSource(tmp_path)
    assert source.image(0).shape == (3, 4, 3)
    assert len(source.fingerprint()) == 64
