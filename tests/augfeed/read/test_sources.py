"""`open_source`: everything that stands for a dataset, and what does not."""

import gzip
import struct
from collections import namedtuple
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.datasets import load_digits
from torch.utils.data import TensorDataset

from augfeed.errors import InputError, InputTypeError, ReadError
from augfeed.read.folder import FolderSource
from augfeed.read.idx import read_idx
from augfeed.read.sources import ArraySource, EncodedSource, open_source

IMAGES = np.random.default_rng(0).integers(0, 256, (6, 5, 7), np.uint8)
LABELS = np.array([0, 1, 2, 2, 1, 0], np.uint8)


def idx(array: Any) -> bytes:
    header = struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape)
    return header + bytes(array)


def write_idx(folder: Path, split: str = "train", *, dot: str = "-", zipped: bool = True) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, array in ((f"images{dot}idx3", IMAGES), (f"labels{dot}idx1", LABELS)):
        path = folder / f"{split}-{name}-ubyte{'.gz' if zipped else ''}"
        path.write_bytes(gzip.compress(idx(array)) if zipped else idx(array))
    return folder


def check(source: Any, name: str | None = None) -> None:
    assert isinstance(source, ArraySource)
    np.testing.assert_array_equal(source.images[..., 0], IMAGES)
    np.testing.assert_array_equal(source.labels, LABELS)
    assert source.name == name


class Stored:
    """A dataset in memory as torchvision's are."""

    transform: Any = None
    target_transform: Any = None
    classes = ("x", "y", "z")

    def __init__(self) -> None:
        self.data, self.targets = torch.from_numpy(IMAGES), torch.from_numpy(LABELS)

    def __getitem__(self, i: int) -> tuple[Any, int]:
        return Image.fromarray(self.data[i].numpy()), int(self.targets[i])


class FashionMNIST(Stored):
    pass


class ImageFolder:
    """Files as torchvision's dataset of this name holds them."""

    transform: Any = None
    loader: Any = None

    def __init__(self, root: Path) -> None:
        self.classes = ["cat", "dog"]
        self.samples = [(str(root / "b.png"), 1), (str(root / "a.png"), 0)]

    def __getitem__(self, i: int) -> tuple[Any, int]:
        return Image.open(self.samples[i][0]).convert("RGB"), self.samples[i][1]


@pytest.fixture
def images(tmp_path: Path) -> Path:
    for name in ("a", "b"):
        Image.fromarray(IMAGES[0]).save(tmp_path / f"{name}.png")
    return tmp_path


def test_arrays_and_pairs_are_sources() -> None:
    check(open_source(IMAGES, LABELS))
    check(open_source((torch.from_numpy(IMAGES), LABELS.tolist())))
    check(open_source(TensorDataset(torch.from_numpy(IMAGES), torch.from_numpy(LABELS))))
    assert open_source(IMAGES).labels is None
    assert open_source((IMAGES, LABELS), classes="abc").classes == ("a", "b", "c")
    ambiguous = np.zeros((6, 3, 5, 1), np.uint8)
    assert open_source((ambiguous, LABELS), layout="NCHW").channels == 3


def test_a_source_is_itself(images: Path) -> None:
    for source in (ArraySource(IMAGES), FolderSource(images)):
        assert open_source(source) is source
    assert isinstance(FolderSource(images), EncodedSource)
    assert not isinstance(ArraySource(IMAGES), EncodedSource)


def test_a_folder_of_images_is_a_source(images: Path) -> None:
    for path in (images, str(images)):
        source = open_source(path, channels=1)
        assert isinstance(source, FolderSource) and source.channels == 1 and len(source) == 2


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("dot", ["-", "."])
@pytest.mark.parametrize(
    ("folder", "name"),
    [
        ("fashion-mnist", "fashion"),
        ("FashionMNIST/raw", "fashion"),
        ("MNIST/raw", "mnist"),
        ("my-mnist", "mnist"),
        ("kmnist", None),
        ("other", None),
    ],
)
def test_idx_files_are_a_source(
    tmp_path: Path, folder: str, name: str | None, dot: str, zipped: bool
) -> None:
    place = write_idx(tmp_path / folder, dot=dot, zipped=zipped)
    source = open_source(place.parent if place.name == "raw" else place)
    check(source, name)
    assert (source.classes is not None) == (name is not None)
    assert source.num_classes == (10 if name else 3)
    assert isinstance(source, ArraySource) and source.images.flags.writeable
    check(open_source(next(place.glob("*images*"))), name)


def test_the_test_split_is_found(tmp_path: Path) -> None:
    check(open_source(write_idx(tmp_path / "a", "t10k"), split="test"))
    with pytest.raises(InputError, match="split='valid' is unknown"):
        open_source(tmp_path / "a", split="valid")


def test_labels_beside_an_idx_file_may_be_zipped_or_not(tmp_path: Path) -> None:
    folder = write_idx(tmp_path)
    labels = folder / "train-labels-idx1-ubyte.gz"
    (folder / "train-labels-idx1-ubyte").write_bytes(gzip.decompress(labels.read_bytes()))
    labels.unlink()
    check(open_source(folder))
    (folder / "train-labels-idx1-ubyte").unlink()
    with pytest.raises(InputError, match=r"has no labels beside it: add 'train-labels-idx1-ubyte"):
        open_source(folder)


@pytest.mark.parametrize("dtype", ["u1", ">i2", ">i4", ">f4", ">f8"])
def test_idx_types_are_read(tmp_path: Path, dtype: str) -> None:
    codes = {"u1": 8, ">i2": 0x0B, ">i4": 0x0C, ">f4": 0x0D, ">f8": 0x0E}
    array = np.arange(6).reshape(2, 3).astype(dtype)
    path = tmp_path / "x"
    path.write_bytes(struct.pack(">BBBBII", 0, 0, codes[dtype], 2, 2, 3) + array.tobytes())
    np.testing.assert_array_equal(read_idx(path), array)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "begins with b'', which is not idx"),
        (b"\x89PNG\r\n", "which is not idx"),
        (idx(IMAGES)[:-1], "has 225 bytes where its header .* says 226"),
        (idx(IMAGES) + b"\0", "has 227 bytes where"),
        (idx(IMAGES)[:9], "has 9 bytes where"),
        (gzip.compress(idx(IMAGES))[:-12], "cannot be read"),
        (b"\x1f\x8b" + b"x" * 40, "cannot be read"),
    ],
)
def test_a_broken_idx_file_is_named(tmp_path: Path, data: bytes, message: str) -> None:
    path = tmp_path / "train-images-idx3-ubyte"
    path.write_bytes(data)
    with pytest.raises(ReadError, match=message) as caught:
        read_idx(path)
    assert str(caught.value).startswith(str(path))


@pytest.mark.parametrize(
    ("split", "keys"),
    [
        ("train", ("images", "labels")),
        ("train", ("x", "y")),
        ("train", ("x_train", "y_train")),
        ("train", ("data", "targets")),
        ("test", ("x_test", "y_test")),
    ],
)
def test_npz_files_are_sources(tmp_path: Path, split: str, keys: tuple[str, str]) -> None:
    path = tmp_path / "a.npz"
    np.savez(path, **{keys[0]: IMAGES, keys[1]: LABELS}, extra=LABELS)  # type: ignore[arg-type]
    check(open_source(path, split=split))


def test_bad_npz_files_are_named(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    np.savez(path, pics=IMAGES)
    with pytest.raises(InputError, match=r"has arrays \['pics'\] and none of \['images', 'x'"):
        open_source(path)
    np.savez(path, images=np.array([{}], object))
    with pytest.raises(ReadError, match=r"a\.npz: cannot be read as \.npz"):
        open_source(path)
    np.save(tmp_path / "a.npy", IMAGES)
    array = (tmp_path / "a.npy").read_bytes()
    for data in (b"", b"PK\x03\x04", path.read_bytes()[:-30], array):
        path.write_bytes(data)
        with pytest.raises(ReadError, match=r"a\.npz: cannot be read as \.npz"):
            open_source(path)


def test_a_dataset_in_memory_is_recognised() -> None:
    source = open_source(FashionMNIST())
    check(source, "fashion")
    assert source.classes == ("x", "y", "z")
    check(open_source(Stored()))


def test_a_dataset_of_colour_images_in_memory_is_recognised() -> None:
    class CIFAR10(Stored):
        def __init__(self) -> None:
            self.data = np.random.default_rng(1).integers(0, 256, (6, 4, 4, 3), np.uint8)  # type: ignore[assignment]
            self.targets = LABELS.tolist()

        def __getitem__(self, i: int) -> tuple[Any, int]:
            return Image.fromarray(np.asarray(self.data[i])), int(self.targets[i])

    source = open_source(CIFAR10())
    assert (source.name, source.channels, source.sizes) == ("cifar", 3, (4, 4))


@pytest.mark.parametrize("name", ["transform", "target_transform", "transforms"])
def test_a_transform_is_never_skipped(name: str) -> None:
    data = Stored()
    setattr(data, name, np.flip)
    with pytest.raises(InputError, match=rf"{name}=.* of this Stored would be skipped"):
        open_source(data)


def test_a_getitem_that_does_more_is_never_skipped() -> None:
    class Flipped(Stored):
        def __getitem__(self, i: int) -> tuple[Any, int]:
            return self.data[i].flip(1), int(self.targets[i])

    class Relabelled(Stored):
        def __getitem__(self, i: int) -> tuple[Any, int]:
            return self.data[i], int(self.targets[i]) + 1

    class Other(Stored):
        def __getitem__(self, i: int) -> Any:
            return {"image": self.data[i]}

    for cls in (Flipped, Relabelled):
        with pytest.raises(InputError, match=f"this {cls.__name__} hands out another first sample"):
            open_source(cls())
    with pytest.raises(InputError, match=r"first sample of this Other is not an \(image, label\)"):
        open_source(Other())


def test_an_image_folder_is_recognised(images: Path) -> None:
    source = open_source(ImageFolder(images))
    assert isinstance(source, FolderSource) and source.classes == ("cat", "dog")
    assert source.labels is not None and source.labels.tolist() == [1, 0]
    assert [Path(source.path(i)).name for i in range(2)] == ["b.png", "a.png"]


def test_an_image_folder_that_does_more_is_refused(images: Path) -> None:
    data = ImageFolder(images)
    data.loader = np.load
    with pytest.raises(InputError, match="the 'load' of this ImageFolder would be skipped"):
        open_source(data)
    data = ImageFolder(images)
    data.transform = np.flip
    with pytest.raises(InputError, match=r"transform=.* would be skipped"):
        open_source(data)

    class Cropped(ImageFolder):
        def __getitem__(self, i: int) -> tuple[Any, int]:
            image, label = super().__getitem__(i)
            return image.crop((0, 0, 2, 2)), label

    with pytest.raises(InputError, match="this Cropped hands out another first sample"):
        open_source(Cropped(images))


def test_the_digits_of_scikit_learn_are_scaled_to_bytes() -> None:
    bunch = load_digits()
    source = open_source(bunch)
    assert isinstance(source, ArraySource)
    assert (source.name, source.num_classes, source.sizes) == ("digits", 10, (8, 8))
    np.testing.assert_array_equal(source.images[..., 0], np.rint(bunch.images * 255 / 16))
    assert source.classes == tuple("0123456789")


def test_other_bunches_keep_their_values() -> None:
    Bunch = namedtuple("Bunch", ["images", "target"])
    faces = np.linspace(0, 1, 60, dtype=np.float32).reshape(3, 5, 4)
    source = open_source(Bunch(faces, [0, 1, 1]))
    assert isinstance(source, ArraySource) and source.name is None
    np.testing.assert_array_equal(source.images[..., 0], faces)


@pytest.mark.parametrize("data", [None, 5, [IMAGES], {"images": IMAGES}, object(), (IMAGES,)])
def test_anything_else_is_refused_with_a_list_of_what_is_taken(data: Any) -> None:
    name = type(data).__name__
    with pytest.raises(InputTypeError, match=rf"type '{name}' is not a source .*npz.*ImageFolder"):
        open_source(data)


def test_paths_that_lead_nowhere_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"'.*none' does not exist"):
        open_source(tmp_path / "none")
    (tmp_path / "images.png").write_bytes(b"")
    with pytest.raises(InputError, match="is not a file of many images"):
        open_source(tmp_path / "images.png")


def test_labels_beside_a_source_with_its_own_are_refused(images: Path) -> None:
    with pytest.raises(InputError, match="which brings its own: leave labels out"):
        open_source(images, LABELS)
