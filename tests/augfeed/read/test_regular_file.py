"""What has the name of an image or a shard and is not a file is an error, and nothing hangs."""

import os
import socket
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from augfeed import DataLoader, open_source
from augfeed.errors import ReadError
from augfeed.read.regular_file import file_bytes

POLICY = "resize(8) | center_crop(8)"
CURE = "it is a pipe or a device, not a file"


def pipe(path: Path) -> None:
    os.mkfifo(path)


def link_to_pipe(path: Path) -> None:
    os.mkfifo(path.with_suffix(".pipe"))
    path.symlink_to(path.with_suffix(".pipe"))


def link_to_device(path: Path) -> None:
    path.symlink_to("/dev/zero")


KINDS = [pipe, link_to_pipe, link_to_device]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "cat").mkdir()
    Image.new("RGB", (9, 9)).save(tmp_path / "cat" / "a.png")
    return tmp_path


@pytest.mark.parametrize("make", KINDS)
@pytest.mark.parametrize("on_error", ["raise", "skip", "replace"])
def test_an_image_that_is_not_a_file_is_one_that_cannot_be_read(
    folder: Path, make: Any, on_error: Any
) -> None:
    make(folder / "cat" / "b.png")
    loader = DataLoader(folder, 2, policy=POLICY, on_error=on_error)
    if on_error == "raise":
        with pytest.raises(ReadError, match=rf"b\.png: cannot be read \({CURE}\)"):
            list(loader)
    else:
        assert sum(len(images) for images, _ in loader) == (1 if on_error == "skip" else 2)
        assert [CURE in failure.reason for failure in loader.unread] == [True]


@pytest.mark.parametrize("make", KINDS)
def test_a_shard_that_is_not_a_file_is_an_error(tmp_path: Path, make: Any) -> None:
    make(tmp_path / "a.tar")
    for path in (tmp_path, tmp_path / "a.tar"):
        with pytest.raises(ReadError, match=CURE):
            open_source(path)


def test_files_are_read_and_all_else_is_an_error_of_the_system(folder: Path) -> None:
    path = folder / "cat" / "a.png"
    assert file_bytes(str(path)) == path.read_bytes()
    with pytest.raises(FileNotFoundError):
        file_bytes(str(folder / "none"))
    with pytest.raises(IsADirectoryError):
        file_bytes(str(folder))
    before = len(os.listdir("/dev/fd"))
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(str(folder / "s"))
        with pytest.raises(OSError):
            file_bytes(str(folder / "s"))
    with pytest.raises(OSError, match="not a file"):
        file_bytes("/dev/null")
    assert len(os.listdir("/dev/fd")) == before
