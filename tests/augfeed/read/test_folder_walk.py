"""What is listed of a folder: hidden files, links, folders that may not be read, other endings."""

import logging
import os
import shutil
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from augfeed import DataLoader
from augfeed.errors import InputError, ReadError
from augfeed.read import cached_listing
from augfeed.read.folder import EXTENSIONS, FolderSource
from augfeed.read.subset import SubsetSource

HIDDEN = [
    ".thumbnails", ".ipynb_checkpoints", ".Trash-0", "._cat", "__MACOSX", "@eaDir", "$RECYCLE.BIN",
    "System Volume Information", "lost+found",
]  # fmt: skip


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUGFEED_CACHE", str(tmp_path_factory.mktemp("kept")))


def tree(root: Path, names: Iterable[str]) -> Path:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return root


def listed(root: Path) -> list[str]:
    source = FolderSource(root)
    return [os.path.relpath(source.path(i), root) for i in range(len(source))]


@pytest.mark.parametrize("name", HIDDEN)
def test_hidden_folders_are_no_classes_and_add_nothing_to_one(tmp_path: Path, name: str) -> None:
    tree(tmp_path, ["cat/x.jpg", "dog/y.jpg", f"{name}/x.jpg", f"{name}/cat/x.jpg"])
    tree(tmp_path, [f"dog/{name}/y.jpg", f"dog/deep/{name}/z/y.jpg", "dog/deep/w.jpg"])
    source = FolderSource(tmp_path)
    assert source.classes == ("cat", "dog") and listed(tmp_path) == [
        "cat/x.jpg", "dog/y.jpg", "dog/deep/w.jpg",
    ]  # fmt: skip
    assert source.skipped == {"hidden": 3}


@pytest.mark.parametrize("name", HIDDEN)
def test_a_folder_of_images_stays_one_beside_hidden_folders(tmp_path: Path, name: str) -> None:
    tree(tmp_path, ["1.jpg", "2.jpg", f"{name}/3.jpg"])
    source = FolderSource(tmp_path)
    assert (source.labels, source.classes, len(source)) == (None, None, 2)


@pytest.mark.parametrize("root", [".", "cat", "cat/deep"])
def test_hidden_files_are_not_images(tmp_path: Path, root: str) -> None:
    tree(tmp_path / root, ["x.jpg", "._x.jpg", ".x.png"])
    source = FolderSource(tmp_path)
    assert len(source) == 1 and source.skipped == {"hidden": 2}


def test_a_folder_below_a_hidden_one_is_listed_when_it_is_asked_for(tmp_path: Path) -> None:
    assert listed(tree(tmp_path / ".cache" / "photos", ["a/1.jpg"])) == ["a/1.jpg"]


NAMES = st.sampled_from(["a", "b", "a-1", ".a", "__MACOSX", "c.d"])
FILES = st.sampled_from(["1.jpg", "2.PNG", "._1.jpg", "3.txt", ".jpg", "4"])
PATHS = st.tuples(st.sampled_from(["a", "b"]), st.lists(NAMES, max_size=3), FILES)


@settings(deadline=None, max_examples=40)
@given(st.lists(PATHS, min_size=1, max_size=12))
def test_of_any_tree_what_is_not_hidden_is_listed_in_the_order_of_os_walk(
    paths: list[tuple[str, list[str], str]],
) -> None:
    with tempfile.TemporaryDirectory() as place:
        root = tree(Path(place), ["a/0.jpg", "b/0.jpg"])
        tree(root, ["/".join((name, *folders, file)) for name, folders, file in paths])
        expected = [
            os.path.relpath(os.path.join(folder, file), root)
            for name in ("a", "b")
            for folder, _, files in sorted(os.walk(root / name))
            for file in sorted(files)
            if file.lower().endswith((".jpg", ".png"))
        ]
        seen = [
            path
            for path in expected
            if not any(part.startswith(".") or part == "__MACOSX" for part in path.split("/"))
        ]
        assert listed(root) == seen


@pytest.mark.parametrize(
    ("at", "to"),
    [
        ("cat/all", ".."),
        ("cat/all", "."),
        ("cat/deep/all", "../.."),
        ("cat/deep/all", ".."),
        ("cat/up", "../.."),
        ("all", "."),
        ("cat/dogs", "../dog"),
    ],
)
def test_a_link_that_leads_back_is_refused(tmp_path: Path, at: str, to: str) -> None:
    root = tree(tmp_path / "photos", ["cat/x.jpg", "cat/deep/z.jpg", "dog/y.jpg"])
    (root / at).symlink_to(to)
    if at == "cat/dogs":  # two that lead to one another
        (root / "dog" / "cats").symlink_to("../cat")
    with pytest.raises(InputError, match=r"leads back to a folder .* remove the link"):
        FolderSource(root)


def test_a_link_to_another_folder_is_followed(tmp_path: Path) -> None:
    root = tree(tmp_path, ["photos/cat/x.jpg", "store/y.jpg", "store/deep/z.jpg"]) / "photos"
    (root / "cat" / "more").symlink_to(tmp_path / "store")
    (root / "dog").symlink_to(tmp_path / "store")
    assert listed(root) == [
        "cat/x.jpg", "cat/more/y.jpg", "cat/more/deep/z.jpg", "dog/y.jpg", "dog/deep/z.jpg",
    ]  # fmt: skip


@pytest.mark.parametrize("at", ["dog", "cat/more", "cat/v1.0"])
def test_a_link_to_nothing_that_may_be_a_folder_is_an_error(tmp_path: Path, at: str) -> None:
    root = tree(tmp_path, ["cat/x.jpg"])
    (root / at).symlink_to("gone")
    with pytest.raises(ReadError, match=rf"{at}: is a link to 'gone', where nothing is"):
        FolderSource(root)


@pytest.mark.parametrize("what", ["", "cat", "cat/part2", "dog/part1/deep"])
def test_a_folder_that_may_not_be_listed_is_an_error_that_names_it(
    tmp_path: Path, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tree(tmp_path, ["cat/part1/x.jpg", "cat/part2/x.jpg", "dog/part1/deep/x.jpg"])
    scandir = os.scandir

    def refusing(path: Any = ".") -> Any:  # anyone who runs the tests may list everything
        if os.path.normpath(path) == str(root / what):
            raise PermissionError(13, "Permission denied", os.fspath(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refusing)
    with pytest.raises(ReadError, match=rf"{what}/?: cannot be read \(Permission denied\)"):
        FolderSource(root)


OTHERS = [".heic", ".HEIF", ".dng", ".svg", ".mp4", ""]


@pytest.mark.parametrize("ending", OTHERS)
def test_files_of_other_endings_are_counted_and_reported(
    tmp_path: Path, ending: str, caplog: pytest.LogCaptureFixture
) -> None:
    tree(tmp_path, ["cat/x.jpg", "dog/x.jpg", *(f"cat/{k}{ending}" for k in range(3))])
    reason = f"of ending '{ending.lower()}'" if ending else "without ending"
    with caplog.at_level(logging.WARNING, "augfeed"):
        loader = DataLoader(tmp_path, 2, policy="resize(4) | center_crop(4)")
    source = loader.pipeline.source
    assert isinstance(source, FolderSource) and source.skipped == {reason: 3}
    assert caplog.messages == [f"{tmp_path}: left out: 3 {reason}"]
    assert f"of the dataset left out: 3 {reason}" in loader.explain()
    assert SubsetSource(source, [0]).skipped == source.skipped


def test_what_is_not_an_image_by_its_ending_is_counted_without_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    tree(tmp_path, ["cat/x.jpg", "cat/x.txt", "cat/x.json", "readme.md", "cat/.DS_Store"])
    with caplog.at_level(logging.WARNING, "augfeed"):
        source = FolderSource(tmp_path)
    assert sum(source.skipped.values()) == 4 and not caplog.messages


def test_images_beside_class_folders_are_counted_and_reported(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    tree(tmp_path, ["cat/x.jpg", "1.jpg", "2.png"])
    assert FolderSource(tmp_path).skipped == {"images beside the class folders": 2}
    assert "left out: 2 images beside the class folders" in caplog.text


def test_an_error_for_no_images_says_what_is_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no images: .*left out: 2 of ending '\.heic'"):
        FolderSource(tree(tmp_path, ["cat/1.heic", "cat/2.HEIC"]))


@pytest.mark.parametrize("ending", [item for item in EXTENSIONS if item != ".tga"])
def test_every_ending_is_read_in_small_letters_and_large(tmp_path: Path, ending: str) -> None:
    tree(tmp_path, [f"cat/x{ending}", f"cat/y{ending.upper()}"])
    assert len(FolderSource(tmp_path)) == 2


# The listing that is kept


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(cached_listing, "SLOW", 0.0)
    root = tmp_path / "photos"
    names = [f"{name}/{deep}/{k}.jpg" for name in "abc" for deep in ("", "deep") for k in range(40)]
    tree(root, [*names, "a/x.heic", "a/.hidden.jpg"])
    for place, _, _ in os.walk(root):
        os.utime(place, (1e9, 1e9))
    return root


def test_a_second_opening_lists_nothing_and_looks_once_at_each_folder(
    kept: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, skipped = listed(kept), FolderSource(kept).skipped
    looked: list[str] = []
    for name in ("scandir", "stat", "lstat", "listdir"):
        call = getattr(os, name)

        def noted(path: Any = ".", *rest: Any, call: Any = call, **options: Any) -> Any:
            if os.fspath(path).startswith(str(kept)):
                looked.append(os.path.relpath(path, kept))
            return call(path, *rest, **options)

        monkeypatch.setattr(os, name, noted)
    source = FolderSource(kept)
    monkeypatch.undo()
    folders = [".", "a", "a/deep", "b", "b/deep", "c", "c/deep"]
    assert sorted(set(looked)) == folders and len(looked) <= len(folders) + 2
    assert [os.path.relpath(source.path(i), kept) for i in range(len(source))] == first
    assert source.skipped == skipped == {"of ending '.heic'": 1, "hidden": 1}
    assert source.labels is not None and source.labels.tolist() == [0] * 80 + [1] * 80 + [2] * 80


@pytest.mark.parametrize("below", ["a", "b/deep", "c"])
def test_a_change_is_seen_though_the_time_was_set_back(kept: Path, below: str) -> None:
    before = len(listed(kept))
    (kept / below / "new.jpg").touch()
    os.utime(kept / below, (1e9, 1e9))  # as tar and rsync do
    assert len(listed(kept)) == before + 1
    os.remove(kept / below / "new.jpg")
    os.utime(kept / below, (1e9, 1e9))
    assert len(listed(kept)) == before


def test_a_listing_holds_wherever_it_is_opened_from(
    kept: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed(kept)
    shutil.copytree(kept, kept.parent / "other")
    monkeypatch.chdir(kept)
    assert FolderSource(".").path(0) == os.path.join("a", "0.jpg")
    assert FolderSource("../photos").path(0) == os.path.join("..", "photos", "a", "0.jpg")
