"""Tar shards: the samples that WebDataset's convention says, any of them by its number."""

import io
import json
import pickle
import tarfile
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import augfeed
from augfeed.errors import InputError, ReadError
from augfeed.read import tar as tar_module
from augfeed.read.protocols import EncodedSource
from augfeed.read.shards import shards_of
from augfeed.read.tar import TarSource
from augfeed.read.tar_members import members_of

POLICY = "random_resized_crop(8) | hflip | cutmix"


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUGFEED_CACHE", str(tmp_path / "kept"))


def make_image(k: int, kind: str = "PNG") -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.random.default_rng(k).integers(0, 256, (12, 14, 3), np.uint8)).save(
        file, kind
    )
    return file.getvalue()


def shard(path: Path, members: Iterable[tuple[str, bytes]], **options: Any) -> Path:
    with tarfile.open(path, "w", **options) as archive:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return path


def pairs(first: int, count: int) -> list[tuple[str, bytes]]:
    members = []
    for k in range(first, first + count):
        members += [(f"{k:06}.png", make_image(k)), (f"{k:06}.cls", str(k % 3).encode())]
    return members


@pytest.fixture
def shards(tmp_path: Path) -> Path:
    folder = tmp_path / "shards"
    folder.mkdir()
    for k in range(3):
        shard(folder / f"train-{k:02}.tar", pairs(k * 10, 10))
    return folder


def test_samples_come_in_the_order_of_shards_and_members(shards: Path) -> None:
    source = augfeed.open_source(str(shards / "train-{00..02}.tar"))
    assert isinstance(source, TarSource) and isinstance(source, EncodedSource)
    assert len(source) == 30 and source.num_classes == 3 and source.labels is not None
    assert source.labels.tolist() == [k % 3 for k in range(30)]
    for k in (29, 0, 17):
        assert source.read(k) == make_image(k)
        assert source.path(k) == f"{shards}/train-{k // 10:02}.tar/{k:06}.png"
        np.testing.assert_array_equal(source.image(k), Image.open(io.BytesIO(make_image(k))))


@pytest.mark.parametrize("form", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT, tarfile.USTAR_FORMAT])
def test_every_member_is_read_as_tarfile_does(tmp_path: Path, form: int) -> None:
    folder = "deep/" * 18 + "er"
    long = "k" * 150 if form != tarfile.USTAR_FORMAT else "k" * 60
    names = [f"{folder}/{long}{k}.seg.jpg" for k in range(4)]
    members = [(name, make_image(k, "JPEG")) for k, name in enumerate(names)]
    path = shard(tmp_path / "a.tar", members, format=form)
    source = TarSource([path])
    with tarfile.open(path) as archive:
        for k, name in enumerate(names):
            file = archive.extractfile(name)
            assert file is not None and source.read(k) == file.read()
    assert source.labels is None


def test_a_loader_gives_the_batches_of_the_same_files(shards: Path, tmp_path: Path) -> None:
    files = []
    for k in range(30):
        path = tmp_path / f"{k}.png"
        path.write_bytes(make_image(k))
        files.append((path, k % 3))
    options: dict[str, Any] = {"policy": POLICY, "batch_size": 4, "shuffle": True, "seed": 0}
    packed = augfeed.DataLoader(str(shards / "train-*.tar"), num_workers=2, **options)
    plain = augfeed.DataLoader(files, **options)
    assert packed.lane == plain.lane == "native"
    ours, theirs = ([(x.numpy().tobytes(), y.numpy().tobytes()) for x, y in loader]
                    for loader in (packed, plain))  # fmt: skip
    assert ours == theirs
    iterator = iter(packed)
    state = None
    for _ in range(3):
        next(iterator)
        state = packed.state_dict()
    again = augfeed.DataLoader(shards, **options)
    again.load_state_dict(state)  # type: ignore[arg-type]
    rest = [x.numpy().tobytes() for x, _ in again]
    assert rest == [x.numpy().tobytes() for x, _ in iterator]


@pytest.mark.parametrize(
    ("label", "expected"),
    [
        (("cls", b"7\n"), 7),
        (("json", json.dumps({"label": 4, "text": "x"}).encode()), 4),
        (("json", json.dumps({"cls": 2}).encode()), 2),
        (("json", b"5"), 5),
    ],
)
def test_labels_of_every_form(tmp_path: Path, label: tuple[str, bytes], expected: int) -> None:
    members = [(f"a.{label[0]}", label[1]), ("a.jpg", make_image(0, "JPEG")), ("a.txt", b"caption")]
    source = TarSource([shard(tmp_path / "a.tar", members)])
    assert source.labels is not None and source.labels.tolist() == [expected]


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ([("a.png", b"1"), ("a.jpg", b"2")], "'a' has two images, 'a.png' and 'a.jpg'"),
        ([("a.png", b"1"), ("a.cls", b"cat")], "'a.cls' holds b'cat', which is not a class number"),
        ([("a.png", b"1"), ("a.cls", b"-1")], "'a.cls' holds b'-1'"),
        ([("a.png", b"1"), ("a.cls", b"1"), ("b.png", b"2")], "b.png has no label"),
        ([("a.txt", b"1")], "hold no images"),
    ],
)
def test_what_is_no_sample_is_named(tmp_path: Path, members: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        TarSource([shard(tmp_path / "a.tar", members)])


@pytest.mark.parametrize("cut", [700, 1024, 5000, -10240])
def test_a_shard_cut_short_is_an_error_that_names_it(tmp_path: Path, cut: int) -> None:
    path = shard(tmp_path / "a.tar", pairs(0, 5))
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(ReadError, match=r"a\.tar: is .*damaged"):
        TarSource([path])


def test_a_damaged_header_is_not_the_end(tmp_path: Path) -> None:
    path = shard(tmp_path / "a.tar", pairs(0, 5))
    data = bytearray(path.read_bytes())
    with tarfile.open(path) as archive:
        at = archive.getmembers()[4].offset
    data[at + 148 : at + 156] = b"99999999"
    path.write_bytes(data)
    with pytest.raises(ReadError, match=rf"a\.tar: is damaged or cut short at byte {at}"):
        TarSource([path])


def test_what_lies_behind_the_end_of_a_shard_is_not_left_out(tmp_path: Path) -> None:
    first, second = (shard(tmp_path / f"{k}.tar", pairs(k, 2)).read_bytes() for k in range(2))
    joined = tmp_path / "joined.tar"
    joined.write_bytes(first + second)
    with pytest.raises(ReadError, match=r"joined\.tar: goes on behind its end at byte 5120"):
        TarSource([joined])
    joined.write_bytes(first + bytes(1 << 21))
    assert len(TarSource([joined])) == 2


def test_a_folder_of_shards_with_a_compressed_one_is_an_error(tmp_path: Path) -> None:
    shard(tmp_path / "a.tar", pairs(0, 2))
    (tmp_path / "b.tar.gz").touch()
    with pytest.raises(InputError, match=r"b\.tar\.gz' is compressed: unpack it"):
        augfeed.open_source(tmp_path)


def test_a_compressed_shard_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is compressed: unpack it"):
        augfeed.open_source(str(tmp_path / "a.tar.gz"))


def test_patterns_stand_for_paths(tmp_path: Path) -> None:
    for name in ("a-08", "a-09", "a-10", "b-09"):
        (tmp_path / f"{name}.tar").touch()
    found = {
        pattern: [Path(path).name for path in shards_of(f"{tmp_path}/{pattern}.tar")]
        for pattern in ("a-{08..10}", "{a,b}-09", "{a,b}-{09..09}", "a-*", "a-1?")
    }
    assert found == {
        "a-{08..10}": ["a-08.tar", "a-09.tar", "a-10.tar"],
        "{a,b}-09": ["a-09.tar", "b-09.tar"],
        "{a,b}-{09..09}": ["a-09.tar", "b-09.tar"],
        "a-*": ["a-08.tar", "a-09.tar", "a-10.tar"],
        "a-1?": ["a-10.tar"],
    }
    with pytest.raises(InputError, match="matches no file"):
        shards_of(f"{tmp_path}/c-*.tar")
    with pytest.raises(ReadError, match="cannot be read"):
        TarSource([tmp_path / "gone.tar"])


def test_a_shard_is_scanned_once_and_again_when_it_changes(
    shards: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scanned: list[str] = []
    scan = members_of

    def noted(path: str, *rest: Any) -> Any:
        scanned.append(path)
        return scan(path, *rest)

    monkeypatch.setattr(tar_module, "members_of", noted)
    monkeypatch.setattr(tar_module, "KEPT_FROM", 0.0)
    paths = sorted(map(str, shards.iterdir()))
    first = TarSource(paths)
    second = TarSource(paths)
    assert scanned == paths and second.read(12) == first.read(12)
    assert second.fingerprint() == first.fingerprint()
    shard(shards / "train-01.tar", pairs(50, 12))
    third = TarSource(paths)
    assert scanned == [*paths, paths[1]] and len(third) == 32
    assert third.fingerprint() != first.fingerprint()
    assert third.identity(10) != first.identity(10) and third.identity(0) == first.identity(0)


def test_threads_read_side_by_side_and_copies_open_their_own(
    shards: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tar_module, "MOST_OPEN", 1)
    source = pickle.loads(pickle.dumps(augfeed.open_source(shards)))
    wrong: list[int] = []

    def read(seed: int) -> None:
        for k in np.random.default_rng(seed).integers(0, 30, 200).tolist():
            if source.read(k) != make_image(k):
                wrong.append(k)

    threads = [threading.Thread(target=read, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_lists_of_files_are_sources(tmp_path: Path) -> None:
    for k in range(3):
        (tmp_path / f"{k}.png").write_bytes(make_image(k))
    files: list[str | Path] = [tmp_path / "2.png", str(tmp_path / "0.png")]
    plain = augfeed.open_source(files)
    assert plain.labels is None and len(plain) == 2
    np.testing.assert_array_equal(plain.image(1), Image.open(files[1]))
    labelled = augfeed.open_source([(path, k) for k, path in enumerate(files)])
    assert labelled.labels is not None and labelled.labels.tolist() == [0, 1]
    with pytest.raises(augfeed.errors.InputTypeError, match=r"item 1 of the list is"):
        augfeed.open_source([files[0], (files[1], 0), files[1]])
