"""The benchmark of resident datasets: everyone does the work, and the gate sees who does not."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from augfeed.presets import CIFAR10_MEAN, CIFAR10_STD
from benchmarks import bench_resident, gate_resident, peer_resident
from benchmarks.bench_resident import LOADERS, Loader, check, timed, warm_up
from benchmarks.data import make_pictures
from benchmarks.gate import GateError
from benchmarks.gate_resident import decisions, hole_centres, probe
from benchmarks.peer_resident import HOLE, PADDING, Epoch, Gathered, Job, Masked, Pair
from benchmarks.result import Ratio
from benchmarks.result_resident import ResidentResult, render
from benchmarks.table import tables
from tests.sampling import sampled

CPU = torch.device("cpu")
AUGFEED, AIRBENCH, GATHER, GATHER_BATCH, WORKERS = LOADERS
Change = Callable[[torch.Tensor, torch.Tensor], Pair]


@pytest.fixture(autouse=True)
def one_thread() -> None:
    # Operations on small tensors in several threads take far longer where cores are shared. Each
    # test gets the usual number back: tests/conftest.py.
    torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def seeded() -> None:
    # The peers draw from torch's generator, and laws hold up to chance.
    torch.manual_seed(5)


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    # So many that another law of the hole's center is seen: 47 of each row, and not 0.
    monkeypatch.setattr(gate_resident, "ALIKE", 1600)
    monkeypatch.setattr(gate_resident, "MARKED", 700)


@pytest.fixture(scope="module")
def job() -> Job:
    images, labels = make_pictures(300)
    return Job(
        images, labels, CIFAR10_MEAN, CIFAR10_STD, 64, CPU, torch.float32, workers=1, processes=0
    )


def nothing(_: str) -> None:
    pass


# The loaders


# The peers only cast at the end.
@sampled(lambda dtype, loader: dtype == torch.float32 or loader == AUGFEED,
         {"dtype": [torch.float32, torch.float16], "loader": LOADERS},
         ids=lambda item: getattr(item, "name", str(item)))  # fmt: skip
def test_loader_passes_the_gate(loader: Loader, dtype: torch.dtype, job: Job) -> None:
    job = replace(job, dtype=dtype)
    check(job, [loader], nothing)
    (entry,) = warm_up(job, [loader], 1e-9, nothing)
    assert entry.epochs == 1


def test_loaders_have_the_same_statistics(job: Job) -> None:
    entries = warm_up(job, LOADERS, 1e-9, nothing)
    assert [entry.loader for entry in entries] == list(LOADERS)


def test_holes_follow_the_paper() -> None:
    hidden = peer_resident.holes(400, 11, CPU)[:, 0]
    areas = {int(area) for area in hidden.sum((1, 2))}
    assert min(areas) == (HOLE // 2) ** 2
    assert max(areas) == HOLE**2
    centres = hole_centres(hidden)
    assert centres is not None
    for one, y, x in zip(hidden, *centres, strict=True):
        wanted = torch.zeros(11, 11, dtype=torch.bool)
        top, left = int(y) - HOLE // 2, int(x) - HOLE // 2
        wanted[max(top, 0) : top + HOLE, max(left, 0) : left + HOLE] = True
        assert torch.equal(one, wanted)


def test_padding_mirrors_as_torch_does() -> None:
    images = torch.randint(256, (2, 3, 7, 7))
    wanted = F.pad(images.float(), (PADDING,) * 4, mode="reflect")
    assert torch.equal(peer_resident.reflected(images).float(), wanted)


def test_an_epoch_at_once_is_the_same_as_batch_by_batch(job: Job) -> None:
    epochs = []
    for whole in (True, False):
        loader = Gathered(job, whole=whole)
        torch.manual_seed(1)
        epochs.append(list(loader()))
    for one, other in zip(*epochs, strict=True):
        assert torch.equal(one[0], other[0])
        assert torch.equal(one[1], other[1])


def test_workers_leave_the_memory_of_the_data_where_it_is(job: Job) -> None:
    before = job.images.data_ptr(), job.labels.data_ptr()
    epoch = peer_resident.workers(replace(job, processes=1))
    assert sum(len(labels) for _, labels in epoch()) == 256
    assert (job.images.data_ptr(), job.labels.data_ptr()) == before


# The gate


def broken(change: Change) -> Callable[[Job], Epoch]:
    """Return a loader that does the work, then one thing more to each batch."""

    def make(job: Job) -> Epoch:
        inner = Gathered(job, whole=False)

        def epoch() -> Iterator[Pair]:
            for images, labels in inner():
                yield change(images, labels)

        return epoch

    return make


def again(images: torch.Tensor, labels: torch.Tensor) -> Pair:
    which = torch.arange(len(images)) // 2
    return images[which], labels[which]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda x, y: (x[:, :, 1:], y), "shapes"),
        (lambda x, y: (x, y[1:]), "shapes"),
        (lambda x, y: (x.double(), y), "torch.float64"),
        (lambda x, y: (x, y.int()), "torch.int32"),
        (lambda x, y: (x.transpose(2, 3), y), "not contiguous"),
        (lambda x, y: (x / 0, y), "not finite"),
        (lambda x, y: (x, y.roll(1)), "labels that are not"),
        (again, "twice"),
        (lambda x, y: (x.roll(1, 3), y), "off every mirrored shift"),
        (lambda x, y: (x + (x != 0) * 0.1, y), "off every mirrored shift"),
        (lambda x, y: (torch.cat([0 * x[:, :, :1], x[:, :, 1:]], 2), y), "not a square"),
    ],
)
def test_gate_stops(change: Change, message: str, job: Job) -> None:
    assert message in "\n".join(probe(broken(change), job))


def ones(*shape: Any, device: Any = None) -> torch.Tensor:
    return torch.ones(*shape, device=device)


@pytest.mark.parametrize(
    ("module", "name", "value", "message"),
    [
        (torch, "rand", ones, "one flip for all"),
        (peer_resident, "PADDING", 3, "shift of the rows: 0 of"),
        (peer_resident, "HOLE", 6, "not a square of 8"),
        (torch, "randperm", lambda count, device: torch.arange(count), "order of the dataset"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_gate_stops_another_law(
    module: Any, name: str, value: Any, message: str, job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, name, value)
    assert message in "\n".join(probe(Masked, job))


def test_gate_stops_holes_that_stay_inside(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    def inside(count: int, side: int, device: torch.device) -> torch.Tensor:
        first = torch.randint(0, side - HOLE + 1, (2, count, 1), device=device)
        along = torch.arange(side, device=device)
        spans = (along >= first) & (along < first + HOLE)
        return (spans[0, :, :, None] & spans[1, :, None, :])[:, None]

    monkeypatch.setattr(peer_resident, "holes", inside)
    assert "row of the hole's center: 0 of" in "\n".join(probe(Masked, job))


def test_gate_stops_epochs_that_are_all_alike(job: Job) -> None:
    def make(job: Job) -> Epoch:
        kept = list(Gathered(job, whole=False)())
        return lambda: iter(kept)

    assert probe(make, job) == ["two epochs in the same order"]
    alike = gate_resident.alike(job, 600)
    assert gate_resident.check_alike(make(alike), alike) == ["two epochs with the same draws"]


def test_gate_stops_other_statistics(job: Job) -> None:
    loader = Loader("other", "brighter", broken(lambda x, y: (x + 0.5, y)))
    with pytest.raises(GateError, match="other: mean"):
        warm_up(job, [AUGFEED, loader], 1e-9, nothing)


def test_missing_batches_are_noticed(job: Job) -> None:
    def short(job: Job) -> Epoch:
        inner = Gathered(job, whole=False)
        return lambda: iter(list(inner())[1:])

    with pytest.raises(GateError, match="other: 3 batches in an epoch, not 4"):
        warm_up(job, [Loader("other", "short", short)], 1e-9, nothing)
    entry = bench_resident.Entry(Loader("other", "short", short), job, short(job))
    with pytest.raises(GateError, match="192 images came in 1 epochs"):
        timed(entry)


def test_decisions_are_read_from_the_pixels(job: Job) -> None:
    alike = gate_resident.alike(job, count=2)
    padded = peer_resident.normalised(peer_resident.reflected(alike.images), alike)
    images = torch.stack([padded[0, :, 1:33, 8:40], padded[1, :, 4:36, 2:34].flip(2)])
    images[0, :, :3, 28:] = 0  # the center would lie outside, in row -1
    images[1, :, 10:18, 20:28] = 0
    assert decisions(images, alike) == ["a hole that is not a square of 8 cut off at the border"]
    images[0] = padded[0, :, 1:33, 8:40]
    images[0, :, :4, 27:] = 0
    drawn = decisions(images, alike)
    assert not isinstance(drawn, list)
    assert drawn.rows().tolist() == [[0, 1, 8, 0, 31], [1, 4, 2, 14, 24]]


# The result


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("resident")
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (130, 32, 32, 3)).astype(np.uint8)
    data, made = folder / "pictures.npz", folder / "result.json"
    np.savez(data, images=images, labels=rng.integers(0, 10, 130))
    arguments = f"--quick --data {data} --batch-size 32 64 --rounds 3 --num-workers 1 --only gather"
    assert bench_resident.main([*arguments.split(), "--out", str(made)]) == 0
    return made


def test_result_has_a_row_for_every_loader_and_batch(out: Path) -> None:
    result = ResidentResult.model_validate_json(out.read_text())
    rows = [(row.name, row.batch) for row in result.rows]
    assert rows == [("augfeed", 32), ("gather", 32), ("augfeed", 64), ("gather", 64)]
    assert all(len(row.seconds) == 3 for row in result.rows)
    own, other = result.row("augfeed", 64), result.row("gather", 64)
    assert other.slower == Ratio.of(other.seconds, own.seconds)
    assert other.rate.median == pytest.approx(1 / sorted(other.seconds)[1])
    assert own.plans is not None
    assert own.plans > 0


def test_result_shows_what_was_measured_on_what(out: Path) -> None:
    result = ResidentResult.model_validate_json(out.read_text())
    assert {"python", "torch", "augfeed"} <= set(result.versions)
    assert result.device.kind == "cpu"
    assert result.dtype == "float32"
    assert result.samples == 130
    assert "cutout(8)" in result.chain
    assert "--data pictures.npz --batch-size 32 64" in result.command
    assert str(out.parent) not in out.read_text()


def test_tables_of_results_hold_the_resident_one(out: Path) -> None:
    table = tables([out])
    assert table == render(ResidentResult.model_validate_json(out.read_text()))
    assert table.count("| one gather for the whole epoch |") == 2


def test_nothing_is_printed_when_the_gate_is_red(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = Loader("other", "wrong labels", broken(lambda x, y: (x, y.roll(1))))
    monkeypatch.setattr(bench_resident, "LOADERS", (AUGFEED, other))
    arguments = [
        "--quick",
        "--samples",
        "64",
        "--batch-size",
        "32",
        "--out",
        str(tmp_path / "x.json"),
    ]
    assert bench_resident.main(arguments) == 1
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "other: labels that are not those of their images" in printed.err
    assert not (tmp_path / "x.json").exists()


def test_only_a_gpu_meets_the_loader_with_workers_by_itself() -> None:
    assert WORKERS not in bench_resident.chosen(None, CPU)
    assert bench_resident.chosen(None, torch.device("cuda")) == LOADERS
    assert bench_resident.chosen("workers", CPU) == (AUGFEED, WORKERS)
    with pytest.raises(SystemExit, match="nobody"):
        bench_resident.chosen("nobody", CPU)


def test_made_images_are_the_same_every_time() -> None:
    for one, other in zip(make_pictures(40), make_pictures(40), strict=True):
        assert torch.equal(one, other)
