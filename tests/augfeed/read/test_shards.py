"""Paths and patterns of shards: a name that exists comes before what it would stand for."""

import os
import tarfile
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import augfeed
from augfeed.errors import InputError, ReadError
from augfeed.read.shards import shards_of
from augfeed.read.tar import TarSource

AWKWARD = [
    "birds [2024]", "[v1]", "a{b,c}", "x{0..3}", "{a,b}{1..2}", "what?", "a*b", "**", "[!a]", "{",
    "[", "}{", "a{b", "c}d", "{{a,b},c}", "~", "#", "a b",
]  # fmt: skip


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUGFEED_CACHE", str(tmp_path_factory.mktemp("kept")))


def touch(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder


def found(folder: Path, pattern: str) -> list[str]:
    return [os.path.relpath(path, folder) for path in shards_of(f"{folder}/{pattern}")]


@pytest.mark.parametrize("name", AWKWARD)
def test_any_folder_may_hold_shards(tmp_path: Path, name: str) -> None:
    tmp_path = tmp_path / "top"
    touch(tmp_path / name, "s-000.tar", "s-001.tar", "t.tar")
    touch(tmp_path, "v/s-000.tar", "ab/t.tar", "ac/t.tar", "x1/t.tar", "whats/t.tar")
    assert found(tmp_path, f"{name}/t.tar") == [f"{name}/t.tar"]
    both = [f"{name}/s-000.tar", f"{name}/s-001.tar"]
    for pattern in ("s-{000..001}.tar", "s-*.tar", "{s-000,s-001}.tar", "s-00[01].tar"):
        assert found(tmp_path, f"{name}/{pattern}") == both
    assert found(tmp_path.parent, f"{tmp_path.name[:-1]}?/{name}/s-{{000..001}}.tar") == [
        f"{tmp_path.name}/{path}" for path in both
    ]


@pytest.mark.parametrize("name", AWKWARD)
def test_a_shard_may_have_any_name(tmp_path: Path, name: str) -> None:
    touch(tmp_path, f"{name}.tar", "ab.tar", "ac.tar", "v.tar", "x1.tar")
    assert found(tmp_path, f"{name}.tar") == [f"{name}.tar"]
    path = tmp_path / f"{name}.tar"
    with tarfile.open(path, "w") as archive:
        archive.addfile(tarfile.TarInfo("0.jpg"))
    for data in (path, str(path), [path]):
        source = augfeed.open_source(data)
        assert isinstance(source, TarSource) and source.shards == (str(path),)


@pytest.mark.parametrize("name", [*AWKWARD, "shards.tar", "x.tgz"])
def test_a_folder_of_shards_or_images_may_have_any_name(tmp_path: Path, name: str) -> None:
    (tmp_path / name / "__MACOSX").mkdir(parents=True)
    with tarfile.open(tmp_path / name / "a.tar", "w") as archive:
        archive.addfile(tarfile.TarInfo("0.jpg"))
    assert len(augfeed.open_source(tmp_path / name)) == 1
    touch(tmp_path / name, "cat/x.jpg", "cat/y.jpg")
    assert len(augfeed.open_source(str(tmp_path / name))) == 2


LETTERS = st.text("ab[]{},.*?!-~0", min_size=1, max_size=8).filter(lambda name: name.strip("."))


@settings(deadline=None, max_examples=150)
@given(st.lists(LETTERS, min_size=1, max_size=3), st.lists(LETTERS, max_size=3))
def test_a_path_that_exists_is_itself(parts: list[str], others: list[str]) -> None:
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        for k in range(len(parts) - 1):  # what stands beside it changes nothing
            (folder.joinpath(*parts[: k + 1])).mkdir(exist_ok=True)
        path = "/".join(parts) + ".tar"
        touch(folder, path, *(f"{name}.tar" for name in others if f"{name}.tar" != parts[0]))
        assert found(folder, path) == [os.path.normpath(path)]


def test_of_braces_the_order_is_kept_and_each_must_be_there(tmp_path: Path) -> None:
    touch(tmp_path, *(f"{k}/{name}-{n:02}.tar" for k in "xy" for name in "ba" for n in (8, 9, 10)))
    assert found(tmp_path, "x/{b,a}-{09..10}.tar") == [
        "x/b-09.tar", "x/a-09.tar", "x/b-10.tar", "x/a-10.tar",
    ]  # fmt: skip
    assert found(tmp_path, "*/a-{08..09}.tar") == [
        "x/a-08.tar", "y/a-08.tar", "x/a-09.tar", "y/a-09.tar",
    ]  # fmt: skip
    assert found(tmp_path, "{x,y}/{a,b}-08.tar")[0] == "x/a-08.tar"
    assert found(tmp_path, "{x/a,y/{a,b}}-08.tar") == ["x/a-08.tar", "y/a-08.tar", "y/b-08.tar"]
    for pattern, missing in (
        ("x/a-{08..11}.tar", "x/a-11.tar"),
        ("x/a-{07..09}.tar", "x/a-07.tar"),
        ("x/{a,c}-08.tar", "x/c-08.tar"),
        ("{x,z}/a-*.tar", "z/a-*.tar"),
        ("x/a-{9..8}.tar", "x/a-{9..8}.tar"),
        ("z/a-{0..999999999999}.tar", "z/a-0.tar"),
    ):
        with pytest.raises(InputError) as caught:
            found(tmp_path, pattern)
        assert f"'{tmp_path}/{missing}' matches no file" in str(caught.value)


def test_patterns_leave_hidden_names_out_unless_they_begin_with_a_dot(tmp_path: Path) -> None:
    touch(tmp_path, "a.tar", "._a.tar", ".b.tar", "__MACOSX/a.tar", "x/a.tar")
    assert found(tmp_path, "*.tar") == ["a.tar"]
    assert found(tmp_path, ".*.tar") == ["._a.tar", ".b.tar"]
    assert found(tmp_path, "*/a.tar") == ["x/a.tar"]


def test_a_folder_that_may_not_be_listed_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    touch(tmp_path, "x/a.tar")

    def refused(path: Any) -> Any:
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr(os, "listdir", refused)
    with pytest.raises(ReadError, match=r"x/: cannot be read \(Permission denied\)"):
        found(tmp_path, "x/*.tar")
    monkeypatch.setattr(os, "scandir", refused)
    with pytest.raises(ReadError, match=r"cannot be read \(Permission denied\)"):
        augfeed.open_source(tmp_path)


def test_a_tilde_is_the_home_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touch(tmp_path, "s-0.tar", "s-1.tar")
    monkeypatch.setenv("HOME", str(tmp_path))
    for pattern in ("~/s-{0..1}.tar", "~/s-*.tar"):
        assert shards_of(pattern) == [f"{tmp_path}/s-0.tar", f"{tmp_path}/s-1.tar"]


def test_patterns_may_be_relative(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touch(tmp_path, "x[1]/s-0.tar", "s-0.tar")
    monkeypatch.chdir(tmp_path)
    for pattern in ("x[1]/s-*.tar", "./x[1]/s-{0..0}.tar", "x*/s-?.tar"):
        assert [os.path.normpath(path) for path in shards_of(pattern)] == ["x[1]/s-0.tar"]
    assert shards_of("s-*.tar") == ["s-0.tar"]
