"""One rule for labels: whatever form they have, anyone who gives them, the targets are the same."""

import io
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import Dataset, TensorDataset

from augfeed import DataLoader
from augfeed.errors import AugfeedError, InputError
from augfeed_client import RemoteLoader
from tests.sampling import pairwise
from tests.service.servers import Running, serving

COUNT, CLASSES = 20, 5
NUMBERS = (np.arange(COUNT) * 7) % CLASSES
ONE_HOT = np.eye(CLASSES, dtype=np.int64)[NUMBERS]
IMAGES = np.random.default_rng(1).integers(0, 256, (COUNT, 8, 8, 3), np.uint8)

FORMS: dict[str, Any] = {
    "int": NUMBERS,
    "int of shape [1]": NUMBERS[:, None],
    "one-hot int": ONE_HOT,
    "one-hot uint8": ONE_HOT.astype(np.uint8),
    "one-hot bool": ONE_HOT.astype(bool),
    "float soft": (0.7 * ONE_HOT + 0.3 / CLASSES).astype(np.float32),
    "one-hot float": ONE_HOT.astype(np.float64),
    "multi-hot int": ONE_HOT | np.roll(ONE_HOT, 1, axis=1),
    "multi-hot bool": (ONE_HOT | np.roll(ONE_HOT, 1, axis=1)).astype(bool),
    "multi-hot of any number": np.where(np.arange(COUNT)[:, None] % 3 == 1, 1, ONE_HOT),
    "negative": np.where(NUMBERS == 3, -1, NUMBERS),
    "ignored": np.where(NUMBERS == 3, -100, NUMBERS),
    "beyond num_classes": NUMBERS + 1,
    "too wide": np.eye(CLASSES + 1, dtype=np.float32)[NUMBERS],
    "strings": np.array(list("abcde"))[NUMBERS],
}
REFUSED = {"negative", "ignored", "beyond num_classes", "too wide", "strings"}
HARD = "hflip"
SIZED = "resize([8, 8]) | "  # files have no size that is known
SOFT = ("label_smoothing(0.1)", "mixup(0.4)", "cutmix | label_smoothing(0.2)")


class Own(Dataset[Any]):
    def __init__(self, labels: Any) -> None:
        self.labels = labels

    def __len__(self) -> int:
        return COUNT

    def __getitem__(self, i: int) -> Any:
        label = self.labels[i]
        return IMAGES[i], str(label) if self.labels.dtype.kind == "U" else label


def tensors(labels: Any) -> Any:
    return TensorDataset(torch.from_numpy(IMAGES), torch.from_numpy(labels))


def png(i: int) -> bytes:
    out = io.BytesIO()
    Image.fromarray(IMAGES[i]).save(out, "PNG")
    return out.getvalue()


def listed(labels: Any, folder: Path) -> Any:
    pairs = []
    for i, label in enumerate(labels.tolist()):
        (folder / f"{i:02}.png").write_bytes(png(i))
        pairs.append((folder / f"{i:02}.png", label))
    return pairs


def shard(labels: Any, folder: Path) -> Any:
    with tarfile.open(folder / "a.tar", "w") as archive:
        for i, label in enumerate(labels.tolist()):
            for ending, data in (("png", png(i)), ("cls", str(label).encode())):
                info = tarfile.TarInfo(f"{i:02}.{ending}")
                info.size = len(data)
                archive.addfile(info, io.BytesIO(data))
    return folder / "a.tar"


MAKERS: dict[str, Callable[[Any, Path], tuple[Any, dict[str, Any]]]] = {
    "TensorDataset": lambda labels, _: (tensors(labels), {}),
    "own": lambda labels, _: (Own(labels), {}),
    "own, tensors": lambda labels, _: (list(zip(IMAGES, torch.tensor(labels), strict=True)), {}),
    "own, workers": lambda labels, _: (Own(labels), {"num_workers": 2}),
    "files": lambda labels, folder: (listed(labels, folder), {}),
    "shard": lambda labels, folder: (shard(labels, folder), {}),
}  # fmt: skip


def possible(lane: str, form: str) -> bool:
    plain = FORMS[form].ndim == 1 and FORMS[form].dtype.kind == "i"
    if lane == "shard":
        return bool(plain and FORMS[form].min() >= 0)
    if lane == "files":
        return bool(plain)
    return form != "strings" or lane in ("own", "own, workers")


def outcome(data: Any, policy: str, **options: Any) -> Any:
    """Return the targets of an epoch, or the kind of error."""
    given = {"num_classes": CLASSES, "seed": 0, **options}
    try:
        return [batch[1] for batch in DataLoader(data, 6, policy=SIZED + policy, **given)]
    except InputError:
        return InputError


def assert_alike(found: Any, expected: Any) -> None:
    assert (found is InputError) == (expected is InputError)
    if expected is not InputError:
        for one, other in zip(found, expected, strict=True):
            assert torch.equal(one, other)


@pairwise({"lane": MAKERS, "form": FORMS, "policy": SOFT})
def test_every_form_makes_the_same_targets_in_every_lane(
    lane: str, form: str, policy: str, tmp_path: Path
) -> None:
    if not possible(lane, form):
        return
    expected = outcome((IMAGES, FORMS[form]), policy)
    assert (expected is InputError) == (form in REFUSED)
    data, options = MAKERS[lane](FORMS[form], tmp_path)
    assert_alike(outcome(data, policy, **options), expected)


@pairwise({"targets": ["auto", "dense", "sparse"], "lane": MAKERS,
           "form": ["int", "negative", "ignored", "beyond num_classes"]})  # fmt: skip
def test_numbers_that_are_not_softened_come_as_they_are_in_every_lane(
    lane: str, form: str, targets: str, tmp_path: Path
) -> None:
    if not possible(lane, form):
        return
    data, options = MAKERS[lane](FORMS[form], tmp_path)
    found = outcome(data, HARD, targets=targets, **options)
    if form == "beyond num_classes" or (targets == "dense" and form != "int"):
        assert found is InputError
        return
    numbers = [part.a if targets == "sparse" else part for part in found]
    if targets == "dense":
        numbers = [rows.argmax(dim=1) for rows in numbers]
    assert torch.cat(numbers).tolist() == FORMS[form].tolist()


@pytest.mark.parametrize("form", sorted({*FORMS} - {"strings", "beyond num_classes", "too wide"}))
def test_a_dataset_gives_its_labels_as_torch_does_where_nothing_softens_them(form: str) -> None:
    data = tensors(FORMS[form])
    stock = torch.utils.data.DataLoader(data, 6)
    for (_, found), (_, other) in zip(DataLoader(data, 6, policy=HARD), stock, strict=True):
        assert found.dtype == other.dtype
        assert torch.equal(found, other)


def test_of_smoothed_flags_one_class_sums_to_one_and_several_move_to_a_half() -> None:
    for form in ("one-hot int", "one-hot bool"):
        rows = torch.cat(outcome(Own(FORMS[form]), SOFT[0]))
        assert torch.allclose(rows, 0.9 * torch.from_numpy(ONE_HOT).float() + 0.02)
    rows = torch.cat(outcome(Own(FORMS["multi-hot of any number"]), SOFT[0]))
    assert torch.allclose(rows, 0.9 * torch.tensor(FORMS["multi-hot of any number"]).float() + 0.05)


@pytest.mark.parametrize("dtype", [np.int64, bool])
def test_flags_that_were_taken_for_shares_are_never_taken_for_several_classes(dtype: Any) -> None:
    # Of a stream of samples the first batches may have one class each by chance.
    flags = ONE_HOT.copy()
    flags[13, :] = 1
    data = Own(flags.astype(dtype))
    with pytest.raises(InputError, match=r"sample 13\) has not one class set"):
        list(DataLoader(data, 6, policy=SOFT[0], seed=0))
    assert len(list(DataLoader(data, 6, policy="mixup", seed=0))) == 4  # it makes no difference


@pytest.mark.parametrize("num_classes", [0, -1, 2.5, True, "5"])
def test_num_classes_is_a_number_of_classes_in_every_lane(num_classes: Any) -> None:
    for data in ((IMAGES, NUMBERS), tensors(NUMBERS), Own(NUMBERS)):
        with pytest.raises(InputError, match="num_classes="):
            DataLoader(data, 6, policy=HARD, num_classes=num_classes)


@pytest.mark.parametrize("width", [5, 6, 11])
@pytest.mark.parametrize("lane", MAKERS)
def test_rows_are_as_wide_as_num_classes_says(lane: str, width: int, tmp_path: Path) -> None:
    data, options = MAKERS[lane](NUMBERS, tmp_path)
    for row in outcome(data, "mixup", **options, num_classes=width):
        assert row.shape[1] == width


# Over HTTP

SERVED = sorted({*FORMS} - {"strings", "beyond num_classes", "too wide"})


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    root = tmp_path_factory.mktemp("labels")
    paths = {}
    for k, form in enumerate(SERVED):
        paths[f"d{k}"] = root / f"{k}.npz"
        np.savez(paths[f"d{k}"], images=IMAGES, labels=FORMS[form])
    with serving(datasets=paths) as made:
        yield made


@pytest.mark.parametrize("policy", (HARD, *SOFT))
@pytest.mark.parametrize("form", SERVED)
def test_every_form_makes_the_same_targets_over_http(
    form: str, policy: str, running: Running
) -> None:
    expected = outcome((IMAGES, FORMS[form]), policy)
    loader = RemoteLoader(
        running.url, dataset=f"d{SERVED.index(form)}", policy=SIZED + policy, batch_size=6
    )
    if expected is InputError:
        with pytest.raises(AugfeedError, match="is negative"):
            list(loader)
    else:
        assert_alike([targets for _, targets in loader], expected)
