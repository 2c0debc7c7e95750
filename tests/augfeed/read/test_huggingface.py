"""Datasets of Hugging Face: a look-alike, and the real ones where `datasets` is installed."""

import io
import pickle
import threading
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image as Pillow
from torch.utils.data import Subset

from augfeed import DataLoader, Pipeline, open_source, parse_policy
from augfeed.datasets import HuggingFaceDetection
from augfeed.errors import InputError, PolicyError, ReadError
from augfeed.read.channel_count import mode_channels, picture_mode
from augfeed.read.datasets import Recognised, native_source
from augfeed.read.huggingface import HuggingFaceSource, with_size
from augfeed.read.protocols import EncodedSource

RNG = np.random.default_rng(0)
MODES = {"1": 1, "L": 1, "LA": 1, "I;16": 1, "P": 3, "RGB": 3, "RGBA": 3, "CMYK": 3}


def encoded(mode: str = "RGB", kind: str = "PNG", size: tuple[int, int] = (6, 5)) -> bytes:
    file, shape = io.BytesIO(), (size[1], size[0])
    if mode == "I;16":
        image = Pillow.fromarray(RNG.integers(0, 65536, shape, np.uint16))
    else:
        image = Pillow.fromarray(RNG.integers(0, 256, (*shape, 3), np.uint8)).convert(mode)
    image.save(file, kind)
    return file.getvalue()


# What stands for features, columns and tables of `datasets`.


class Image:
    def __init__(self, mode: str | None = None, *, decode: bool = True) -> None:
        self.mode, self.decode = mode, decode


class ClassLabel:
    dtype = "int64"

    def __init__(self, *names: str) -> None:
        self.names = list(names)


class Value:
    def __init__(self, dtype: str) -> None:
        self.dtype = dtype


class Column(list[Any]):
    @property
    def null_count(self) -> int:
        return self.count(None)

    def to_numpy(self) -> Any:
        return np.array(self)

    def __getitem__(self, i: Any) -> Any:
        return SimpleNamespace(as_py=lambda: list.__getitem__(self, i))


class Table(dict[str, Column]):
    def column(self, key: Any) -> Column:
        return self[key if isinstance(key, str) else list(self)[key]]


class Dataset:
    """A `datasets.Dataset` with the members that are looked at."""

    __module__ = "datasets.arrow_dataset"
    _fingerprint = "0123456789abcdef"

    def __init__(self, features: dict[str, Any], indices: Any = None, **columns: Any) -> None:
        self.features, self.column_names = features, list(features)
        self.data = Table({name: Column(values) for name, values in columns.items()})
        self._indices = None if indices is None else Table(indices=Column(indices))
        self.format = {"type": None, "columns": self.column_names}

    def __len__(self) -> int:
        return len(self._indices["indices"] if self._indices else next(iter(self.data.values())))

    def __getitem__(self, i: int) -> Any:
        raise NotImplementedError


FILES = [encoded() for _ in range(4)]
CATS = {"image": Image(), "label": ClassLabel("cat", "dog", "eel")}


def rows(*files: Any) -> list[Any]:
    return [{"bytes": file, "path": None} for file in files]


def animals(**changes: Any) -> Dataset:
    return Dataset(**{"features": CATS, "image": rows(*FILES), "label": [0, 1, 1, 0], **changes})


def found(data: Any) -> Recognised:
    got = native_source(data)
    assert isinstance(got, Recognised), got
    return got


def test_images_and_labels_are_those_of_the_columns() -> None:
    got = found(animals())
    source = got.source
    assert (got.keys, got.form) == (("image", "label"), dict)
    assert isinstance(source, EncodedSource) and len(source) == 4
    assert source.labels is not None and source.labels.tolist() == [0, 1, 1, 0]
    assert (source.num_classes, source.classes) == (3, ("cat", "dog", "eel"))
    assert (source.channels, source.name, source.sizes) == (3, None, None)
    assert [source.read(i) for i in range(4)] == FILES
    assert source.path(2) == "data[2]['image']"
    np.testing.assert_array_equal(source.image(3), np.array(Pillow.open(io.BytesIO(FILES[3]))))


def test_labels_may_be_whole_numbers_or_missing() -> None:
    numbers = found(animals(features={"image": Image(), "label": Value("int32")})).source
    assert (numbers.num_classes, numbers.classes) == (2, None)
    alone = found(Dataset({"picture": Image()}, picture=rows(*FILES)))
    assert (alone.keys, alone.source.labels) == (("picture", None), None)


def test_chosen_rows_are_followed() -> None:
    source = found(animals(indices=[3, 1])).source
    assert isinstance(source, EncodedSource) and len(source) == 2
    assert [source.read(0), source.read(1)] == [FILES[3], FILES[1]]
    assert source.labels is not None and source.labels.tolist() == [0, 1]


def test_a_subset_is_of_the_chosen_rows_and_names_the_samples_of_the_whole() -> None:
    data: Any = animals(indices=[3, 2, 1])
    part = found(Subset(Subset(data, [2, 1]), [1, 0, 0]))
    assert (part.keys, part.form) == (("image", "label"), dict)
    source = part.source
    assert isinstance(source, HuggingFaceSource) and len(source) == 3
    assert [source.read(i) for i in range(3)] == [FILES[2], FILES[1], FILES[1]]
    assert source.path(0) == "data[1]['image']"
    with pytest.raises(InputError, match=r"i=3 is not in \[0, 3\)"):
        source.read(3)


def test_files_beside_the_table_are_read(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(FILES[0])
    held = [{"bytes": None, "path": str(path)}, {"bytes": None, "path": str(tmp_path / "b.png")}]
    source = found(Dataset({"image": Image()}, image=held)).source
    assert isinstance(source, HuggingFaceSource) and source.read(0) == FILES[0]
    with pytest.raises(
        ReadError, match=r"data\[1\]\['image'\]: '.*b.png' cannot be read \(No such"
    ):
        source.read(1)


def test_the_fingerprint_is_that_of_the_dataset_and_of_the_chosen_samples() -> None:
    other = animals()
    other._fingerprint = "fedcba9876543210"
    sources: list[Any] = [found(data).source for data in (animals(), other)]
    sources += [sources[0].pick(chosen) for chosen in ([0, 1], [1, 0])]
    prints = {source.fingerprint() for source in sources}
    assert len(prints) == 4 and {len(text) for text in prints} == {64}


@pytest.mark.parametrize("mode", MODES)
def test_the_channels_are_those_of_the_first_image(mode: str) -> None:
    kinds = {"CMYK": ["JPEG", "TIFF"], "L": ["PNG", "JPEG", "TIFF"], "RGB": ["PNG", "JPEG", "WEBP"]}
    for kind in kinds.get(mode, ["PNG"]):
        file = encoded(mode, kind)
        with Pillow.open(io.BytesIO(file)) as one_image:
            assert picture_mode(file, "x") == one_image.mode == mode
        source = found(Dataset({"image": Image()}, image=rows(file))).source
        assert source.channels == mode_channels(mode) == MODES[mode]
        assert source.image(0).shape == (5, 6, MODES[mode])


def test_an_image_of_other_channels_than_the_first_is_named() -> None:
    data: Any = Dataset({"image": Image()}, image=rows(encoded("L"), FILES[0], encoded("1")))
    source = found(data).source
    assert source.image(2).shape == (5, 6, 1)
    with pytest.raises(
        ReadError, match=r"data\[1\]\['image'\]: has 3 channels, and the first .* 1"
    ):
        source.image(1)
    assert found(Subset(data, [1])).source.channels == 3


def test_images_made_rgb_may_be_mixed() -> None:
    data = Dataset({"image": Image("RGB")}, image=rows(encoded("L"), FILES[0], encoded("LA")))
    source = found(data).source
    assert {source.image(i).shape for i in range(3)} == {(5, 6, 3)}


def test_a_broken_image_is_named_and_the_first_is_as_any_other() -> None:
    data = Dataset({"image": Image()}, image=[None, *rows(FILES[0], b"\xff\xd8\xff", b"xx")])
    source = found(data).source
    for i, message in ((0, "is missing"), (2, "JPEG header is malformed"), (3, "not an image in")):
        with pytest.raises(ReadError, match=rf"data\[{i}\]\['image'\]: .*{message}"):
            source.image(i)
    loader = DataLoader(data, 4, policy="hflip", on_error="skip")
    assert loader.lane == "native" and [len(batch["image"]) for batch in loader] == [1]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"features": {**CATS, "id": Value("int64")}}, "columns ['image', 'label', 'id'] are not"),
        ({"features": {"image": Image(), "label": Image()}}, "are not one of images"),
        ({"features": {"label": ClassLabel("a")}}, "are not one of images"),
        ({"features": {**CATS, "image": Image(decode=False)}}, "are handed out as <"),
        ({"features": {**CATS, "image": Image("L")}}, "are handed out as <"),
        ({"features": {**CATS, "label": Value("string")}}, "holds no class numbers"),
        ({"features": {**CATS, "label": Value("float32")}}, "holds no class numbers"),
        ({"label": [0, None, 1, 0]}, "its column 'label' lacks 1 labels"),
        ({"indices": []}, "the dataset is empty"),
        ({"image": rows(b"xx", b"yy", b"", b"zz")}, "data[0]['image']: is not an image"),
        ({"image": [{"bytes": None, "path": "https://a.b/c.png"}] * 4}, "not on"),
        ({"features": {**CATS, "image": Image("RGB")}, "image": rows(encoded("I;16"), *FILES[1:])},
         "mode 'I;16', whose values would be clipped"),
    ],
)  # fmt: skip
def test_what_is_unsuitable_is_a_reason(changes: dict[str, Any], message: str) -> None:
    got = native_source(animals(**changes))
    assert isinstance(got, str) and message in got


@pytest.mark.parametrize("held", [FILES[0], {"bytes": FILES[0], "path": None},
                                  {"bytes": None, "path": "a.png"}])  # fmt: skip
@pytest.mark.parametrize("options", [{}, {"image_key": "photo"}])
def test_images_that_are_not_decoded_say_how_they_are(held: Any, options: dict[str, Any]) -> None:
    samples: Any = [{"photo": held, "label": 1}] * 4
    with pytest.raises(InputError, match=r"data\.cast_column\('photo', datasets\.Image\(\)\)"):
        next(iter(DataLoader(samples, 2, policy="hflip", **options)))


class Several(dict[str, Any]):
    pass


@pytest.mark.parametrize("kind", [dict, Several])
@pytest.mark.parametrize(
    "data", [animals(), torch.utils.data.TensorDataset(torch.zeros(2, 3, 4, 4))]
)
def test_a_dict_of_datasets_names_its_parts(data: Any, kind: Any) -> None:
    several = kind(train=data, test=data)
    for opened in (partial(DataLoader, policy="hflip"), open_source, HuggingFaceDetection):
        with pytest.raises(InputError, match=r"\['train', 'test'\]: .* dataset\['train'\]"):
            opened(several)
    assert DataLoader(several).dataset is several  # what it means to torch is torch's affair


def test_a_dataset_is_a_source() -> None:
    assert isinstance(open_source(animals()), HuggingFaceSource)


@pytest.mark.parametrize(
    ("change", "shown"), [({"type": "custom"}, "'custom'"), ({"columns": ["image"]}, "['image']")]
)
def test_a_format_or_transform_is_a_reason(change: dict[str, Any], shown: str) -> None:
    data = animals()
    data.format.update(change)
    got = native_source(data)
    assert isinstance(got, str) and f"its format {shown} would be skipped" in got


def test_a_getitem_of_its_own_is_a_reason() -> None:
    class Mine(Dataset):
        def __getitem__(self, i: int) -> Any:
            return {}

    got = native_source(Mine(CATS, image=rows(*FILES), label=[0, 1, 1, 0]))
    assert isinstance(got, str) and got.startswith("its Mine.__getitem__ may do something")


# The real ones.


@pytest.fixture
def real() -> Any:
    datasets = pytest.importorskip("datasets")
    features = datasets.Features(
        {"image": datasets.Image(), "label": datasets.ClassLabel(names=["cat", "dog"])}
    )
    exif = Pillow.Exif()
    exif[0x0112] = 6
    turned = io.BytesIO()
    Pillow.fromarray(RNG.integers(0, 256, (8, 9, 3), np.uint8)).save(turned, "JPEG", exif=exif)
    files = [*FILES, encoded("RGBA"), encoded("P"), encoded("CMYK", "JPEG"), turned.getvalue()]
    held = {"image": rows(*files), "label": [0, 1] * 4}
    return datasets.Dataset.from_dict(held, features=features)


def same(data: Any, source: Any) -> None:
    """Check a source against what the dataset itself hands out."""
    assert len(data) == len(source)
    for i in range(len(data)):
        one_image, label = data[i]["image"], data[i]["label"]
        np.testing.assert_array_equal(np.asarray(one_image.convert("RGB")), source.image(i))
        assert label == source.labels[i]


@pytest.mark.parametrize(
    "change",
    [
        lambda data: data,
        lambda data: data.select([5, 2, 2]),
        lambda data: data.select(range(2, 6)),
        lambda data: data.shuffle(seed=1),
        lambda data: data.train_test_split(0.4, seed=2)["test"],
        lambda data: data.shard(2, 1),
        lambda data: Subset(data.shuffle(seed=3), [6, 0, 6]),
    ],
)
def test_images_are_those_that_hugging_face_hands_out(real: Any, change: Any) -> None:
    same(change(real), found(change(real)).source)


def test_a_dataset_on_disk_is_pickled_by_its_path(real: Any, tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    real.save_to_disk(tmp_path)
    data = datasets.load_from_disk(tmp_path).shuffle(seed=0)
    source = found(data).source
    source.image(0)
    text = pickle.dumps(source)
    assert FILES[0] not in text
    same(data, pickle.loads(text))
    assert pickle.loads(text).fingerprint() == source.fingerprint()


def test_formats_of_hugging_face_are_reasons(real: Any) -> None:
    for data in (
        real.with_format("numpy"),
        real.with_transform(lambda batch: batch),
        real.with_format(None, columns=["image"]),
        real.add_column("id", list(range(8))),
        real.to_iterable_dataset(),
    ):
        assert isinstance(native_source(data), str)


def test_threads_may_read_side_by_side(real: Any) -> None:
    source: Any = found(real.shuffle(seed=0)).source
    expected = [source.read(i) for i in range(8)]
    wrong: list[int] = []

    def read() -> None:
        wrong.extend(i for i in range(400) if source.read(i % 8) != expected[i % 8])

    threads = [threading.Thread(target=read) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


# One size of all, or none


def make_images(*sizes: tuple[int, int]) -> Any:
    files = rows(*(encoded(size=size) for size in sizes))
    return Dataset({"image": Image()}, image=files)


@pytest.mark.parametrize("policy", ["", "hflip | normalize(0.5, 0.25)", "resize(4) | cutout(2)"])
def test_images_of_one_size_need_no_crop(policy: str) -> None:
    loader: Any = DataLoader(make_images(*[(6, 5)] * 9), 4, policy=policy)
    shape = (4, 4) if "resize" in policy else (5, 6)
    assert loader.lane == "native"
    assert [len(batch["image"]) for batch in loader] == [4, 4, 1]
    assert {batch["image"].shape[2:] for batch in loader} == {torch.Size(shape)}
    assert Pipeline(found(make_images((6, 5))).source, loader.pipeline.policy).size == shape


@pytest.mark.parametrize("odd", [0, 1, 40, 99])
def test_images_of_other_sizes_need_one(odd: int) -> None:
    sizes = [(6, 5)] * 100
    sizes[odd] = (5, 6)
    with pytest.raises((PolicyError, ReadError), match=r"random_resized_crop\(size\)"):
        list(DataLoader(make_images(*sizes), 4, policy="hflip"))
    assert len(list(DataLoader(make_images(*sizes), 4, policy="center_crop(4)"))) == 25


def test_where_the_policy_gives_a_size_images_may_have_any() -> None:
    source: Any = found(make_images((6, 5), (6, 5))).source
    assert with_size(source, parse_policy("center_crop(4)")).sizes is None
    assert with_size(source, parse_policy("hflip")).sizes == (5, 6)
    assert source.pick([1]).sizes == (5, 6)
