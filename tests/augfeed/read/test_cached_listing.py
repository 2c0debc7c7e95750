"""Listings of folders are kept as long as they are true."""

import json
import os
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from augfeed.read import cached_listing
from augfeed.read import folder_walk as tree_module
from augfeed.read.cache_dir import cache_folder
from augfeed.read.folder import FolderSource

AGES = count(1)  # seconds since 1970


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("AUGFEED_CACHE", str(tmp_path / "kept"))
    monkeypatch.setattr(cached_listing, "SLOW", 0.0)
    folder = tmp_path / "photos"
    for name in ("a/1.jpg", "a/deep/2.jpg", "b/3.PNG"):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    age(folder)
    return folder


def age(folder: Path) -> None:
    """Make folders old enough to be trusted, and other than they were."""
    when = next(AGES)
    for place, _, _ in os.walk(folder):
        os.utime(place, (when, when))


def scans(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    seen: list[Any] = []
    scan = tree_module._scan

    def noted(*given: Any) -> Any:
        seen.append(given)
        return scan(*given)

    monkeypatch.setattr(tree_module, "_scan", noted)
    return seen


def paths(root: Path) -> list[str]:
    source = FolderSource(root)
    return [os.path.relpath(source.path(i), root) for i in range(len(source))]


def test_a_folder_is_listed_once(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = scans(monkeypatch)
    first = paths(root)
    assert first == ["a/1.jpg", "a/deep/2.jpg", "b/3.PNG"]
    assert paths(root) == first and len(seen) == 1


def test_a_change_is_seen_at_any_depth(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = scans(monkeypatch)
    paths(root)
    (root / "a" / "deep" / "0.jpg").touch()
    assert paths(root) == ["a/1.jpg", "a/deep/0.jpg", "a/deep/2.jpg", "b/3.PNG"]
    (root / "b" / "3.PNG").rename(root / "b" / "4.png")
    age(root)
    assert paths(root)[-1] == "b/4.png"
    (root / "c").mkdir()
    (root / "c" / "5.jpg").touch()
    assert len(paths(root)) == 5 and len(seen) == 4


def test_a_folder_that_changed_a_moment_ago_is_not_kept(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = scans(monkeypatch)
    (root / "a" / "9.jpg").touch()
    monkeypatch.setattr(cached_listing, "SETTLED", 3600 * 10**9)  # this test takes less
    assert len(paths(root)) == len(paths(root)) == 4 and len(seen) == 2
    age(root)
    assert len(paths(root)) == len(paths(root)) == 4 and len(seen) == 3


def test_quick_scans_are_not_kept(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cached_listing, "SLOW", 60.0)
    paths(root)
    assert not cache_folder("listings").exists()


@pytest.mark.parametrize("text", ["", "{", "[]", '{"version": 1}', '{"version": 99, "key": "k"}'])
def test_a_broken_file_is_made_anew(root: Path, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = scans(monkeypatch)
    first = paths(root)
    (kept,) = cache_folder("listings").iterdir()
    kept.write_text(text)
    assert paths(root) == first and len(seen) == 2
    assert json.loads(kept.read_text())["version"] == cached_listing.VERSION
    assert paths(root) == first and len(seen) == 2


def test_a_writer_that_was_killed_leaves_no_half_file(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", killed)
        with pytest.raises(KeyboardInterrupt):
            paths(root)
    assert not list(cache_folder("listings").glob("*.json"))
    assert len(paths(root)) == 3


def test_where_nothing_can_be_written_nothing_is_kept(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (root.parent / "file").touch()
    monkeypatch.setenv("AUGFEED_CACHE", str(root.parent / "file"))
    assert len(paths(root)) == len(paths(root)) == 3


def test_names_that_are_no_text_are_kept(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = scans(monkeypatch)
    with open(os.fsencode(root) + b"/a/\xff.jpg", "wb"):
        pass
    age(root)
    assert paths(root) == paths(root) and len(paths(root)) == 4 and len(seen) == 1


def test_places_follow_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("AUGFEED_CACHE", str(tmp_path))
    assert cache_folder("x") == tmp_path / "x"
    monkeypatch.delenv("AUGFEED_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))
    assert cache_folder("x") == tmp_path / "home" / "augfeed" / "x"


def test_a_listing_holds_for_the_folder_as_it_is_given(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(root.parent)
    assert FolderSource("photos").path(0) == os.path.join("photos", "a", "1.jpg")
    monkeypatch.chdir("/")
    assert FolderSource(root).path(0) == str(root / "a" / "1.jpg")
