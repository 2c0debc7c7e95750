"""`native_source`: what can be read in place of a dataset, and why the rest cannot."""

from collections import namedtuple
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.datasets import load_digits
from torch.utils.data import Dataset, Subset, TensorDataset, random_split

from augfeed.read.arrays import ArraySource
from augfeed.read.datasets import Recognised, native_source
from augfeed.read.folder import FolderSource
from augfeed.read.subset import SubsetSource

RNG = np.random.default_rng(0)
GRAY = torch.from_numpy(RNG.integers(0, 256, (7, 5, 6), np.uint8))
LABELS = torch.tensor([0, 1, 2, 2, 1, 0, 1])


class Stored:
    """A dataset in memory as torchvision's are."""

    transform: Any = None
    target_transform: Any = None
    transforms: Any = None

    def __init__(self, data: Any = GRAY, targets: Any = LABELS) -> None:
        self.data, self.targets = data, targets

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, i: int) -> Any:
        return Image.fromarray(np.asarray(self.data[i])), int(self.targets[i])


class FashionMNIST(Stored):
    pass


class Unlabelled(Stored):
    def __getitem__(self, i: int) -> Any:
        return self.data[i], self.targets


class Files:
    """Files as torchvision's `ImageFolder` holds them."""

    transform: Any = None
    loader: Any = None

    def __init__(self, root: Path) -> None:
        self.classes = ["cat", "dog"]
        self.samples = [(str(root / f"{k}.png"), k % 2) for k in (2, 0, 1)]

    def __getitem__(self, i: int) -> Any:
        path, label = self.samples[i]
        return Image.open(path).convert("RGB"), label


def of_library(kind: type[Any], module: str) -> Any:
    """Return a copy of a class that says it is of a library."""
    members = {k: v for k, v in vars(kind).items() if k not in ("__dict__", "__weakref__")}
    return type(kind.__name__, (), {**members, "__module__": module})


Library = of_library(Stored, "torchvision.datasets.mnist")
LibraryFiles = of_library(Files, "torchvision.datasets.folder")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for k in range(3):
        image = RNG.integers(0, 256, (8 + k, 9, 3), np.uint8)
        Image.fromarray(image).save(tmp_path / f"{k}.png")
    return tmp_path


def found(data: Any) -> Recognised:
    got = native_source(data)
    assert isinstance(got, Recognised), got
    return got


def reason(data: Any) -> str:
    got = native_source(data)
    assert isinstance(got, str), got
    return got


def test_images_in_memory_are_read_from_there() -> None:
    for data in (Stored(), Library(), FashionMNIST(GRAY.numpy(), LABELS.tolist())):
        got = found(data)
        assert (got.keys, got.form) == ((0, 1), tuple)
        assert isinstance(got.source, ArraySource)
        assert np.shares_memory(got.source.images, GRAY.numpy())
        np.testing.assert_array_equal(got.source.labels, LABELS)
    assert (found(FashionMNIST()).source.name, found(Stored()).source.name) == ("fashion", None)


def test_labels_may_be_called_labels_as_those_of_svhn_are() -> None:
    class SVHN:
        def __init__(self) -> None:
            self.data = RNG.integers(0, 256, (4, 3, 8, 9), np.uint8)
            self.labels = np.array([3, 0, 1, 2])

        def __getitem__(self, i: int) -> Any:
            return Image.fromarray(self.data[i].transpose(1, 2, 0)), int(self.labels[i])

    source = found(SVHN()).source
    assert (source.sizes, source.channels, source.num_classes) == ((8, 9), 3, 4)


def test_of_the_eight_numbers_of_qmnist_the_first_is_the_label() -> None:
    class QMNIST(Stored):
        compat = True

        def __getitem__(self, i: int) -> Any:
            return Image.fromarray(self.data[i].numpy()), int(self.targets[i][0])

    source = found(QMNIST(targets=torch.stack([LABELS] * 8, dim=1))).source
    np.testing.assert_array_equal(source.labels, LABELS)


@pytest.mark.parametrize("kind", [Files, LibraryFiles])
def test_files_are_read_by_their_paths(root: Path, kind: type[Files]) -> None:
    got = found(kind(root))
    assert isinstance(got.source, FolderSource) and (got.keys, got.form) == ((0, 1), tuple)
    assert [Path(got.source.path(i)).name for i in range(3)] == ["2.png", "0.png", "1.png"]
    assert got.source.labels is not None and got.source.labels.tolist() == [0, 0, 1]


def test_a_file_that_lies_by_exif_is_recognised_by_its_size(root: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    with Image.open(root / "0.png") as image:
        image.save(root / "0.png", exif=exif)
    assert found(Files(root)).source.image(1).shape == (9, 8, 3)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_tensors_of_floats_are_read_from_memory(dtype: torch.dtype) -> None:
    images = (torch.arange(7 * 3 * 4 * 5).reshape(7, 3, 4, 5) / 420).to(dtype)
    got = found(TensorDataset(images.requires_grad_(), LABELS))
    assert (got.keys, got.form, got.source.sizes) == ((0, 1), tuple, (4, 5))


def test_tensors_of_bytes_are_read_from_memory_with_and_without_labels() -> None:
    assert found(TensorDataset(GRAY, LABELS)).source.num_classes == 3
    assert found(TensorDataset(GRAY, torch.eye(3)[LABELS])).source.num_classes == 3
    alone = found(TensorDataset(GRAY))
    assert (alone.keys, alone.source.labels) == ((0, None), None)


def test_a_subset_of_arrays_shares_their_images() -> None:
    part = found(Subset(Stored(), [4, 0, 4]))  # type: ignore[arg-type]
    assert isinstance(part.source, ArraySource) and (part.keys, part.form) == ((0, 1), tuple)
    assert np.shares_memory(part.source.images, GRAY.numpy())
    assert part.source.labels is not None and part.source.labels.tolist() == [1, 0, 1]
    np.testing.assert_array_equal(part.source.image(2)[..., 0], GRAY[4])


@pytest.mark.parametrize("indices", [[2, 0], range(2, -1, -2), torch.tensor([2, 0])])
def test_a_subset_of_files_has_their_paths(root: Path, indices: Any) -> None:
    part = found(Subset(Files(root), indices)).source  # type: ignore[arg-type]
    assert isinstance(part, SubsetSource)
    assert [Path(part.path(i)).name for i in range(2)] == ["1.png", "2.png"]


def test_the_parts_of_a_random_split_have_all_samples_once() -> None:
    parts = random_split(TensorDataset(GRAY, LABELS), [4, 3])
    sources = [found(part).source for part in parts]
    assert all(isinstance(source, ArraySource) for source in sources)
    images = [source.image(i) for source in sources for i in range(len(source))]
    together = [*parts[0].indices, *parts[1].indices]
    np.testing.assert_array_equal(np.stack(images)[..., 0], GRAY[together])
    nested = found(Subset(parts[0], [3, 1])).source
    np.testing.assert_array_equal(nested.image(0)[..., 0], GRAY[parts[0].indices[3]])


def test_a_source_is_itself_and_may_have_subsets(root: Path) -> None:
    source = ArraySource(GRAY, LABELS)
    assert found(source) == Recognised(source, None, tuple)
    assert found(FolderSource(root)).keys is None
    assert len(found(Subset(source, [1, 2])).source) == 2  # type: ignore[arg-type]


def test_a_bunch_hands_out_no_samples() -> None:
    Bunch = namedtuple("Bunch", ["images", "target"])
    assert found(Bunch(GRAY.numpy(), LABELS.numpy())).keys is None
    assert found(load_digits()).source.name == "digits"


@pytest.mark.parametrize("kind", [Stored, Library])
@pytest.mark.parametrize("name", ["transform", "transforms", "target_transform"])
def test_a_transform_is_a_reason(kind: type[Stored], name: str) -> None:
    data = kind()
    setattr(data, name, RNG)
    expected = f"its {name}=Generator would be skipped"
    assert reason(data).startswith(expected)
    assert reason(Subset(data, [0])).startswith(expected)  # type: ignore[arg-type]
    assert ("the policy can take over" in reason(data)) == (name != "target_transform")


def test_a_loader_of_its_own_is_a_reason(root: Path) -> None:
    data = Files(root)
    data.loader = np.load
    assert reason(data) == "its loader=load would be skipped; augfeed decodes files itself"
    data.loader = RNG
    assert reason(data).startswith("its loader=Generator would")

    def pil_loader(path: str) -> Any:
        return Image.open(path)

    library = LibraryFiles(root)
    library.loader = pil_loader
    assert reason(library).startswith("its loader=pil_loader would")
    pil_loader.__module__ = "torchvision.datasets.folder"
    assert isinstance(native_source(library), Recognised)


@pytest.mark.parametrize("method", ["__getitem__", "__getitems__", "__len__"])
def test_a_method_of_its_own_over_that_of_a_library_is_a_reason(method: str) -> None:
    for base, given in ((Library, ()), (TensorDataset, (GRAY, LABELS))):
        old = getattr(base, method, None)
        kind = type("Mine", (base,), {method: lambda self, *a, old=old: old(self, *a)})
        assert reason(kind(*given)).startswith(f"its Mine.{method} may do something of its own")
        plain = type("Mine", (base,), {})
        assert isinstance(native_source(plain(*given)), Recognised)


def test_a_getitem_over_that_of_torch_is_a_reason_in_a_subset_too() -> None:
    class Mine(Dataset[Any]):
        data, targets = GRAY, LABELS

        def __getitem__(self, i: int) -> Any:
            return self.data[i], self.targets[i]

    assert reason(Mine()).startswith("its Mine.__getitem__ may do something")
    assert reason(Subset(Mine(), [0])) == reason(Mine())

    class Part(Subset[Any]):
        def __getitem__(self, i: Any) -> Any:
            return self.dataset[i]

        def __getitems__(self, i: Any) -> Any:
            return [self.dataset[k] for k in i]

    assert reason(Part(TensorDataset(GRAY), [0])).startswith("its Part.__getitem__ may")


def test_a_package_of_ones_own_called_datasets_is_no_library(root: Path) -> None:
    class Flipped(Files):
        __module__ = "datasets.mine"

        def __getitem__(self, i: int) -> Any:
            image, label = super().__getitem__(i)
            return image.transpose(Image.Transpose.FLIP_LEFT_RIGHT), label

    assert reason(Flipped(root)).startswith("the image of its sample 0 is not")


@pytest.mark.parametrize("place", [0, 3, 6])
def test_a_sample_other_than_in_store_is_a_reason(place: int) -> None:
    class Changed(Stored):
        what = ""

        def __getitem__(self, i: int) -> Any:
            image, label = self.data[i], int(self.targets[i])
            if i == place and self.what == "label":
                return image, label + 1
            return image.flip(1) if i == place else image, label

    data = Changed()
    assert reason(data) == f"the image of its sample {place} is not the one that it has in store"
    data.what = "label"
    assert reason(data) == f"the label of its sample {place} is not the one that it has in store"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda image, label: [image, label], "is not (image, label) but a list"),
        (lambda image, label: {"image": image}, "but a dict"),
        (lambda image, label: (image, label, 0), "is not (image, label) but a tuple"),
        (lambda image, label: image.crop((0, 0, 2, 2)), "is not (image, label) but a Image"),
        (lambda image, label: (image.resize((9, 9)), label), "image of its sample 0 is not"),
        (lambda image, label: (image.convert("L"), label), "image of its sample 0 is not"),
        (lambda image, label: (np.asarray(image)[..., ::-1], label), "is not the one"),
        (lambda image, label: (image, str(label)), "label of its sample 0 is not"),
        (lambda image, label: 1 // 0, "looking at its samples failed (ZeroDivisionError: "),
    ],
)
def test_files_handed_out_otherwise_are_a_reason(root: Path, change: Any, message: str) -> None:
    class Changed(Files):
        def __getitem__(self, i: int) -> Any:
            return change(*super().__getitem__(i))

    assert message in reason(Changed(root))


def test_a_length_other_than_that_of_the_store_is_a_reason() -> None:
    class Half(Stored):
        def __len__(self) -> int:
            return 3

    assert reason(Half()) == "it has 3 samples, and 7 images in store"


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (TensorDataset(GRAY, LABELS, LABELS), "its samples have 3 parts"),
        (TensorDataset(GRAY.long(), LABELS), "dtype int64 are not uint8, uint16 or float"),
        (TensorDataset(GRAY / 100, LABELS), "not in [0, 1]"),
        (TensorDataset(torch.zeros(7, 10), LABELS), "are not [N, H, W]"),
        (TensorDataset(torch.zeros(7, 3, 5, 3), LABELS), "pass layout="),
        (TensorDataset(GRAY, LABELS.float()), "not class numbers"),
        (TensorDataset(GRAY, LABELS[:, None]), "the label of its sample 0"),
        (TensorDataset(GRAY.to("meta")), "not in CPU memory"),
        (Stored(targets=list("abcabca")), "dtype <U1 are not numbers"),
        (Stored(targets=[[0], [1, 2], *[[0]] * 5]), "labels are ragged"),
        (Unlabelled(targets=None), "is not (image,) but a tuple"),
        (Subset(TensorDataset(GRAY), [0, -1]), "indices[1]=-1 is not in [0, 7)"),
        (Subset(TensorDataset(GRAY), [7]), "indices[0]=7 is not in [0, 7)"),
        (Subset(TensorDataset(GRAY), []), "indices are empty"),
        (Subset(TensorDataset(GRAY), [True] * 7), "dtype bool"),
    ],
)
def test_what_is_unsuitable_is_a_reason(data: Any, message: str) -> None:
    assert message in reason(data)


@pytest.mark.parametrize("data", [None, 5, [GRAY], {"images": GRAY}, object(), GRAY, GRAY.numpy()])
def test_anything_else_is_a_reason(data: Any) -> None:
    name = type(data).__name__
    assert reason(data) == f"{name} is not a dataset that augfeed knows how to read itself"


def test_whatever_a_dataset_raises_is_a_reason() -> None:
    class Broken:
        @property
        def data(self) -> Any:
            raise OSError("no disk")

        def __len__(self) -> int:
            raise RuntimeError

    assert reason(Broken()) == "looking at its samples failed (OSError: no disk)"
    missing = LibraryFiles(Path("none"))
    assert isinstance(native_source(missing), Recognised)  # told when it is read
    assert "FileNotFoundError" in reason(Files(Path("none")))


def test_looking_at_samples_leaves_random_state_as_it_is(root: Path) -> None:
    before = torch.get_rng_state(), np.random.get_state()[1].copy()  # type: ignore[index]
    for data in (Stored(), Files(root), TensorDataset(GRAY), Subset(TensorDataset(GRAY), [0])):
        found(data)
    assert torch.equal(torch.get_rng_state(), before[0])
    assert np.array_equal(np.random.get_state()[1], before[1])  # type: ignore[index]
