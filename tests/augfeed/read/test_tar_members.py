"""Members of a shard, in any order and of any kind: the right labels, or an error."""

import io
import json
import logging
import tarfile
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

import augfeed
from augfeed.errors import InputError, InputTypeError
from augfeed.read import tar as tar_module
from augfeed.read import tar_members as members_module
from augfeed.read.tar import TarSource

Members = list[tuple[str, bytes]]
Links = list[tuple[str, bytes | tarfile.TarInfo]]


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUGFEED_CACHE", str(tmp_path_factory.mktemp("kept")))


def shard(path: Path, members: Iterable[tuple[str, bytes | tarfile.TarInfo]]) -> Path:
    with tarfile.open(path, "w") as archive:
        for name, data in members:
            if isinstance(data, tarfile.TarInfo):
                archive.addfile(data)
                continue
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return path


def link(name: str, to: str, kind: bytes) -> tuple[str, tarfile.TarInfo]:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, to
    return name, info


def labels(source: TarSource) -> list[int] | None:
    return None if source.labels is None else source.labels.tolist()


def names(source: TarSource) -> list[str]:
    return [source.path(i).rpartition(".tar/")[2] for i in range(len(source))]


# Any order

LARGE = json.dumps([0.5] * 20_000)
FACTS = [{"url": "x"}, {"label": None, "url": "x"}, {"class": "cat"}, [[4, 5, 60, 70]], "cat", None]


def held(label: int, form: str, facts: Any) -> dict[str, bytes]:
    """Return the members of a sample that hold a label, and others."""
    number = str(label).encode()
    return {
        "cls": {"cls": number + b"\n"},
        "json": {"json": json.dumps({"label": label, "text": "x"}).encode()},
        "plain json": {"json": number},
        "cls and facts": {"cls": number, "json": json.dumps(facts).encode()},
        "cls and broken json": {"cls": number, "json": b'{"label": '},
        "cls, json and text": {"txt": b"5", "json": json.dumps({"cls": 9}).encode(), "cls": number},
        "large": {"json": f'{{"numbers": {LARGE}, "class": {label}}}'.encode()},
        "in capitals": {"CLS": number},
        "named twice": {"coarse.cls": number, "cls": number},
    }[form]


FORMS = [
    "cls", "json", "plain json", "cls and facts", "cls and broken json", "cls, json and text",
    "large", "in capitals", "named twice",
]  # fmt: skip
SAMPLES = st.lists(
    st.tuples(st.integers(0, 99), st.sampled_from(FORMS), st.sampled_from(FACTS)),
    min_size=1, max_size=5,
)  # fmt: skip


def packed(samples: list[Any], folder: str = "") -> Members:
    members = []
    for k, (label, form, facts) in enumerate(samples):
        members.append((f"{folder}{k}.jpg", b"picture %d" % k))
        members += [(f"{folder}{k}.{end}", data) for end, data in held(label, form, facts).items()]
    return members


@settings(deadline=None, max_examples=80)
@given(SAMPLES, st.data(), st.sampled_from(["", "./", "a.b/", "train/cat/"]))
def test_in_any_order_every_image_has_its_own_label(
    samples: list[Any], data: st.DataObject, folder: str
) -> None:
    members = data.draw(st.permutations(packed(samples, folder)))
    with tempfile.TemporaryDirectory() as place:
        source = TarSource([shard(Path(place) / "a.tar", members)])
        images = [source.read(i) for i in range(len(source))]
    assert images == [content for name, content in members if name.endswith(".jpg")]
    assert labels(source) == [samples[int(content.split()[1])][0] for content in images]


@settings(deadline=None, max_examples=80)
@given(SAMPLES, st.data())
def test_a_label_that_is_lost_is_an_error_unless_the_image_is_lost_too(
    samples: list[Any], data: st.DataObject
) -> None:
    members = packed(samples)
    gone = data.draw(st.sampled_from(range(len(samples))))
    other = data.draw(st.sampled_from(["labels/", "other-"]))
    moved = [(other + name if name.startswith(f"{gone}.") and not name.endswith("jpg") else name,
              content) for name, content in members]  # fmt: skip
    with tempfile.TemporaryDirectory() as place:
        path = shard(Path(place) / "a.tar", data.draw(st.permutations(moved)))
        with pytest.raises(InputError, match=rf"{gone}\.jpg has no label"):
            TarSource([path])
        kept = [item for item in moved if item[0] != f"{gone}.jpg"]
        if len(samples) > 1:
            source = TarSource([shard(path, data.draw(st.permutations(kept)))])
            assert sum(source.skipped.values()) == 1
            expected = {f"{k}.jpg": sample[0] for k, sample in enumerate(samples)}
            assert labels(source) == [expected[name] for name in names(source)]


@pytest.mark.parametrize(
    ("where", "images", "labelled"),
    [
        ("one shard", "images/0.jpg", "labels/0.cls"),
        ("one shard", "IMG_0.jpg", "img_0.cls"),
        ("one shard", "0.jpg", "0_label.json"),
        ("two shards", "0.jpg", "0.cls"),
    ],
)
def test_labels_apart_from_all_images_are_an_error(
    tmp_path: Path, where: str, images: str, labelled: str
) -> None:
    content = b'{"label": 1}' if labelled.endswith("json") else b"1"
    first, second = [(images, b"picture")], [(labelled, content)]
    paths = [shard(tmp_path / "a.tar", first + second)]
    if where == "two shards":
        paths = [shard(tmp_path / "a.tar", first), shard(tmp_path / "b.tar", second)]
    with pytest.raises(InputError, match=rf"{labelled} holds a label and its sample has no image"):
        TarSource(paths)


@pytest.mark.parametrize("repeats", [2, 3])
def test_samples_that_are_repeated_whole_are_each_one(tmp_path: Path, repeats: int) -> None:
    members: Members = [("0.jpg", b"a"), ("0.cls", b"1"), ("1.cls", b"0"), ("1.jpg", b"b")]
    source = TarSource([shard(tmp_path / "a.tar", members * repeats)])
    assert names(source) == ["0.jpg", "1.jpg"] * repeats and labels(source) == [1, 0] * repeats


@pytest.mark.parametrize(
    "members",
    [
        [("0.jpg", b"a"), ("0.cls", b"1"), ("1.jpg", b"b"), ("1.cls", b"0"), ("0.cls", b"2")],
        [("0.jpg", b"a"), ("1.jpg", b"b"), ("0.jpg", b"c"), ("0.cls", b"1"), ("1.cls", b"1")],
        [("0.jpg", b"a"), ("0.jpg", b"b"), ("0.cls", b"1")],
        [("0.jpg", b"a"), ("0.JPG", b"b")],
        [("0.jpg", b"a"), ("0.cls", b"1"), ("0.jpg", b"b"), ("0.cls", b"2")],
    ],
)
def test_a_member_of_which_there_are_two_is_an_error(tmp_path: Path, members: Members) -> None:
    twice = r"'0' has ('0\.\w+' and '0\.JPG'|'0\.\w+' twice) in one sample"
    with pytest.raises(InputError, match=twice):
        TarSource([shard(tmp_path / "a.tar", members)])


@pytest.mark.parametrize("text", [b"007", b" 0007\r\n", b"7\n", b"0" * 19 + b"7"])
def test_a_class_number_may_have_zeros_in_front(tmp_path: Path, text: bytes) -> None:
    path = shard(tmp_path / "a.tar", [("a.jpg", b""), ("a.cls", text)])
    assert labels(TarSource([path])) == [7]


@pytest.mark.parametrize(("facts", "expected"), [
    ({"meta": {"label": 3, "label.fine": 4}}, 3), ({"meta.label": 5, "meta": {"label": 3}}, 5),
])  # fmt: skip
def test_label_key_names_a_field_in_another(tmp_path: Path, facts: Any, expected: int) -> None:
    path = shard(tmp_path / "a.tar", [("a.jpg", b""), ("a.json", json.dumps(facts).encode())])
    assert labels(TarSource([path], label_key="meta.label")) == [expected]
    for key in ("meta.other", "other.label", "meta.label.x"):
        with pytest.raises(InputError, match=rf"what label_key='{key}' names"):
            TarSource([path], label_key=key)


# What is not a label


@pytest.mark.parametrize(
    ("ending", "content"),
    [
        ("cls", b"cat"), ("cls", b""), ("cls", b"-1"), ("cls", b"1.0"), ("cls", b"true"),
        ("cls", b"[1]"), ("cls", b"null"), ("cls", b'{"label": 1}'), ("cls", b"1" * 30),
        ("json", b"{"), ("json", b""), ("json", b"[0, 1]"), ("json", b'"cat"'),
        ("json", b'{"label": "cat"}'), ("json", b'{"label": [0, 1]}'), ("json", b'{"label": true}'),
        ("json", b'{"label": -1}'), ("json", b"[" * 200_000), ("json", b"9" * 5000),
    ],
)  # fmt: skip
def test_what_is_no_class_number_is_shown(tmp_path: Path, ending: str, content: bytes) -> None:
    members = [("a.jpg", b""), (f"a.{ending}", content)]
    with pytest.raises(InputError, match=rf"'a\.{ending}' holds b.* which is not a class number"):
        TarSource([shard(tmp_path / "a.tar", members)])


@pytest.mark.parametrize("ending", ["cls", "json"])
def test_a_label_that_is_too_large_is_an_error_that_says_so(
    tmp_path: Path, ending: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(members_module.LONGEST, ending, 100)
    path = shard(tmp_path / "a.tar", [("a.jpg", b""), (f"a.{ending}", b"1" + b" " * 100)])
    with pytest.raises(InputError, match=r"has 101 bytes, more than the 100 that are read"):
        TarSource([path])


def test_two_labels_that_differ_are_an_error_that_says_how_to_choose(tmp_path: Path) -> None:
    members = [("a.jpg", b""), ("a.fine.cls", b"7"), ("a.coarse.cls", b"2")]
    path = shard(tmp_path / "a.tar", members)
    with pytest.raises(InputError, match=r"two labels, 7 in .* choose with label_key='fine\.cls'"):
        TarSource([path])
    assert labels(TarSource([path], label_key="coarse.cls")) == [2]
    assert labels(TarSource([path], label_key="fine.cls")) == [7]


@pytest.mark.parametrize(
    ("key", "expected"),
    [("txt", 4), ("category", 3), ("json", 5), ("cls", 6), (".CLS", 6), ("label", 5)],
)
def test_label_key_names_a_member_or_a_field(tmp_path: Path, key: str, expected: int) -> None:
    facts = json.dumps({"category": 3, "label": 5}).encode()
    members = [("a.jpg", b""), ("a.txt", b"4"), ("a.json", facts), ("a.cls", b"6")]
    path = shard(tmp_path / "a.tar", members)
    assert labels(TarSource([path], label_key=key)) == [expected]
    with pytest.raises(InputError, match=r"a\.jpg has no label: .* label_key='fine' names"):
        TarSource([path], label_key="fine")


@pytest.mark.parametrize("beside", [("txt", b"3"), ("json", b'{"category": 3}'), ("npy", b"x")])
def test_images_read_without_labels_beside_other_members_are_reported(
    tmp_path: Path, beside: tuple[str, bytes], caplog: pytest.LogCaptureFixture
) -> None:
    path = shard(tmp_path / "a.tar", [("a.jpg", b""), (f"a.{beside[0]}", beside[1])])
    assert labels(TarSource([path])) is None
    assert f"images are read without labels; beside them are 1 .{beside[0]}" in caplog.text
    caplog.clear()
    assert labels(TarSource([shard(path, [("a.jpg", b""), ("b.jpg", b"")])])) is None
    assert not caplog.messages


# Which image


def two_images(tmp_path: Path) -> Path:
    buffers = []
    for size in ((4, 6), (8, 10)):
        file = io.BytesIO()
        Image.new("RGB", size).save(file, "PNG")
        buffers.append(file.getvalue())
    members = []
    for k in range(3):
        members += [(f"{k}.seg.png", buffers[1]), (f"{k}.cls", b"1"), (f"{k}.PNG", buffers[0])]
    return shard(tmp_path / "a.tar", members)


def test_of_two_images_one_is_chosen_by_its_ending(tmp_path: Path) -> None:
    path = two_images(tmp_path)
    with pytest.raises(InputError, match=r"'0' has two images, .* image_key='seg\.png'"):
        TarSource([path])
    for key, size, ending in (("png", (6, 4), "PNG"), ("seg.png", (10, 8), "seg.png")):
        loader = augfeed.DataLoader(path, 2, policy="resize(2) | center_crop(2)", image_key=key)
        source = loader.pipeline.source
        assert (
            isinstance(source, TarSource)
            and source.image(1).shape[:2] == size
            and source.path(2).endswith(f"/2.{ending}")
        )
        assert len(list(loader)) == 2


def test_image_key_takes_the_first_that_a_sample_has(tmp_path: Path) -> None:
    members = [("a.png", b"1"), ("a.jpg", b"2"), ("b.png", b"3"), ("c.heic", b"4")]
    path = shard(tmp_path / "a.tar", members)
    assert names(TarSource([path], image_key="jpg;png")) == ["a.jpg", "b.png"]
    assert names(TarSource([path], image_key="jpg; PNG;heic")) == ["a.jpg", "b.png", "c.heic"]
    with pytest.raises(InputError, match=r"'b' has no member for image_key='jpg', .*'jpg;png'"):
        TarSource([path], image_key="jpg")


@pytest.mark.parametrize("key", [1, ("a",), "", b"jpg"])
def test_keys_of_shards_are_texts(tmp_path: Path, key: Any) -> None:
    path = two_images(tmp_path)
    for name in ("image_key", "label_key"):
        with pytest.raises(InputTypeError, match=rf"{name}=.* is not text: for shards"):
            augfeed.open_source(path, **{name: key})


def test_keys_for_what_has_no_members_are_refused(tmp_path: Path) -> None:
    Image.new("RGB", (4, 4)).save(tmp_path / "a.png")
    opened = TarSource([two_images(tmp_path.parent)], image_key="png")
    arrays = np.zeros((2, 4, 4, 3), np.uint8), [0, 1]
    for data in (tmp_path, [tmp_path / "a.png"], opened, arrays):
        with pytest.raises(InputError, match=r"label_key='png' chooses among the members of a"):
            augfeed.open_source(data, label_key="png")
        with pytest.raises(InputError, match=r"image_key='png' chooses .*: leave it out"):
            augfeed.DataLoader(data, 1, policy="", image_key="png")


def test_an_index_is_kept_for_the_keys_that_it_was_made_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tar_module, "KEPT_FROM", 0.0)
    path = two_images(tmp_path)
    for _ in range(2):
        for key in ("png", "seg.png"):
            assert names(TarSource([path], image_key=key))[0].lower() == f"0.{key}"


# What is not a member

APPLE = b"\x00\x05\x16\x07\x00\x02\x00\x00Mac OS X        "


@pytest.fixture(params=["", "./", "train/", "./train/cat/"])
def folder(request: pytest.FixtureRequest) -> Iterator[str]:
    yield request.param


@pytest.mark.parametrize("kinds", [("jpg", "cls"), ("jpg",), ("jpg", "json")])
def test_hidden_members_are_none(tmp_path: Path, folder: str, kinds: tuple[str, ...]) -> None:
    members: Members = []
    for key in "ab":
        for kind in kinds:
            content = b"p" if kind == "jpg" else b"1"
            members += [(f"{folder}._{key}.{kind}", APPLE), (f"{folder}{key}.{kind}", content)]
            members.append((f"__MACOSX/{folder}._{key}.{kind}", APPLE))
            members.append((f"{folder}.thumbnails/{key}.{kind}", content))
    source = TarSource([shard(tmp_path / "a.tar", members)])
    assert names(source) == [f"{folder}a.jpg", f"{folder}b.jpg"]
    assert labels(source) == (None if kinds == ("jpg",) else [1, 1])
    assert source.skipped == {"hidden": 6 * len(kinds)}


def test_samples_without_an_image_are_counted_and_reported(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    members = [("a.jpg", b""), ("a.cls", b"0"), ("b.heic", b""), ("b.cls", b"1"), ("c.txt", b"")]
    path = shard(tmp_path / "a.tar", members)
    with caplog.at_level(logging.WARNING, "augfeed"):
        loader = augfeed.DataLoader(path, 1, policy="resize(2) | center_crop(2)")
    assert "1 without an image (.cls .heic)" in loader.explain()
    assert "1 without an image (.txt)" in caplog.text


@pytest.mark.parametrize("kind", [tarfile.LNKTYPE, tarfile.SYMTYPE])
def test_links_are_the_files_that_they_lead_to(tmp_path: Path, kind: bytes) -> None:
    to = ("x/0.jpg", "x/0.cls") if kind == tarfile.LNKTYPE else ("../x/0.jpg", "../x/0.cls")
    members: Links = [("x/0.jpg", b"a"), ("x/0.cls", b"3"), link("y/1.jpg", to[0], kind),
               link("y/1.cls", to[1], kind)]  # fmt: skip
    source = TarSource([shard(tmp_path / "a.tar", members)])
    assert names(source) == ["x/0.jpg", "y/1.jpg"] and labels(source) == [3, 3]
    assert source.read(1) == b"a"


@pytest.mark.parametrize("name", ["1.jpg", "1.cls"])
@pytest.mark.parametrize("to", ["gone.jpg", "1.jpg", "/etc/hostname"])
def test_a_link_out_of_the_shard_is_an_error(tmp_path: Path, name: str, to: str) -> None:
    members: Links = [("0.jpg", b"a"), link(name, to if to != "1.jpg" else name, tarfile.SYMTYPE)]
    with pytest.raises(InputError, match=rf"'{name}' is a link to .* tar --dereference"):
        TarSource([shard(tmp_path / "a.tar", members)])
