"""The measurement of an engine: what is counted, what is refused; no time is ever asserted."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from typer.testing import CliRunner, Result

from augfeed.bench import clock, kernel, work
from augfeed.bench.chains import chains
from augfeed.bench.clock import copied
from augfeed.bench.kernel import Options, measure
from augfeed.bench.machine import command_here, commit_here, device_here, versions_of
from augfeed.bench.result import KernelResult, KernelRow, Shape, Spread, Timed
from augfeed.bench.work import BenchImages, Task, bytes_moved, offsets_of, sets_for
from augfeed.cli import app
from augfeed.engines import Output, engine_for
from augfeed.memory_pool import Memory
from augfeed.plan import draw_plan
from augfeed.policy import OPERATIONS, GaussianNoise, LabelSmoothing, Policy

SHAPE = Shape(9, 3, 12, 10)
CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clock, "WARM", 0.0)
    monkeypatch.setattr(clock, "SHORTEST", {"cuda": 1e-5, "cpu": 1e-5})
    monkeypatch.setattr(clock, "COPY", {"cpu": 1 << 16})
    monkeypatch.setattr(clock, "COPIES", 3)


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["bench", "kernel", *map(str, arguments)])


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(2) as made:
        yield made


def task_of(policy: Policy, pool: ThreadPoolExecutor, engine: Any = None, sets: int = 3) -> Task:
    engine = engine or engine_for("cpu")
    return Task(engine, policy, BenchImages(SHAPE, CPU, sets), Output(), pool, 2, Memory())


class Loading:
    """An engine that separates a plan that is ready from carrying it out."""

    name = "loading"

    def __init__(self) -> None:
        self.inner = engine_for("cpu")
        self.applied = self.runs = 0

    def apply(self, *arguments: Any, **options: Any) -> torch.Tensor:
        self.applied += 1
        return self.inner.apply(*arguments, **options)

    def load(self, plan: Any, images: Any, **options: Any) -> "Loading.BoundPlan":
        return Loading.BoundPlan(self, self.inner.apply(plan, images, **options))

    class BoundPlan:
        def __init__(self, engine: "Loading", made: torch.Tensor) -> None:
            self.engine, self.made = engine, made

        def run(self, out: torch.Tensor | None = None) -> torch.Tensor:
            self.engine.runs += 1
            return self.made.clone() if out is None else out.copy_(self.made)


# What is counted


@pytest.mark.parametrize(
    ("dtype", "each"), [(torch.float32, 5), (torch.bfloat16, 3), (torch.float16, 3)]
)
def test_bytes_are_every_input_read_once_and_every_output_written_once(
    dtype: torch.dtype, each: int
) -> None:
    assert bytes_moved(Shape(2, 3, 5, 7), dtype) == 2 * 3 * 5 * 7 * each
    assert bytes_moved(Shape(256, 3, 224, 224), dtype) == 256 * 3 * 224 * 224 * each


def test_copy_counts_what_is_read_and_what_is_written() -> None:
    copy = copied(CPU, 2)
    assert copy.moved == 2 * (1 << 16)
    assert len(copy.seconds) == 3
    assert copy.bandwidth == Spread.of([copy.moved / taken for taken in copy.seconds])


def test_copy_copies_all(monkeypatch: pytest.MonkeyPatch) -> None:
    parts = []
    monkeypatch.setattr(np, "copyto", lambda to, source: parts.append(source.nbytes))
    copied(CPU, 3)
    assert sum(parts) % (1 << 16) == 0
    assert len(parts) == 3 * (1 + 1 + 3)  # threads; first, warm-up, copies


def test_row_is_a_share_of_the_copy() -> None:
    timed = Timed("flip", "flip", Shape(4, 3, 8, 8), 1000, 3, "pass", 7)
    row = KernelRow.of(timed, [2.0, 1.0, 4.0], [8.0, 8.0, 8.0], bandwidth=2000.0)
    assert row.time == Spread(median=2.0, low=1.5, high=3.0)
    assert row.share == 0.25  # 1000 bytes in 2 s, of 2000 bytes/s
    assert row.rate.median == 2.0
    assert row.whole_rate.median == 0.5


@pytest.mark.parametrize("cache", [1 << 20, 50 << 20])
def test_batches_by_turns_fill_the_cache_twice(cache: int) -> None:
    shape = Shape(64, 3, 224, 224)
    sets = sets_for(shape, torch.bfloat16, cache)
    assert sets >= 3
    # Also without the batch that was made last.
    assert (sets - 1) * bytes_moved(shape, torch.bfloat16) >= 2 * cache


def test_batches_by_turns_leave_memory_free() -> None:
    each = bytes_moved(SHAPE, torch.float32)
    assert sets_for(SHAPE, torch.float32, 1 << 30) == 64
    assert sets_for(SHAPE, torch.float32, 1 << 30, free=10 * each) == 5
    assert sets_for(SHAPE, torch.float32, 1 << 30, free=1) == 1


# What is measured


def test_chains_are_no_larger_than_their_images() -> None:
    for shape in (Shape(2, 3, 32, 32), Shape(2, 1, 40, 30), Shape(2, 3, 224, 224)):
        for policy in chains(shape).values():
            assert policy.size(shape.size) == shape.size
            assert "random_resized_crop" not in {item.op for item in policy.operations}
            assert policy.find(LabelSmoothing) is None


def test_every_kind_of_work_is_measured_alone() -> None:
    alone = [policy.operations for policy in chains(Shape(2, 3, 32, 32)).values()]
    kinds = {operations[0].op for operations in alone if len(operations) == 1}
    wanted = {"horizontal_flip", "rotate", "perspective", "color_jitter", "grayscale", "posterize",
              "solarize", "mixup", "cutmix", "cutout", "random_erasing", "normalize",
              "gaussian_noise", "salt_and_pepper", "random_crop"}  # fmt: skip
    assert wanted <= OPERATIONS.keys()
    assert kinds == wanted
    assert () in alone


def test_seed_chain_is_measured_with_noise_and_without() -> None:
    made = chains(SHAPE)
    noisy, plain = made["seed_chain"].operations, made["seed_chain_no_noise"].operations
    assert [item for item in noisy if not isinstance(item, GaussianNoise)] == list(plain)
    assert len(noisy) == len(plain) + 1


def test_padded_crop_is_for_small_images() -> None:
    assert "padded_crop" in chains(Shape(2, 3, 32, 32))
    assert "padded_crop" not in chains(Shape(2, 3, 224, 224))


@pytest.mark.parametrize("name", ["seed_chain", "padded_crop", "cutmix"])
def test_passes_are_the_batches_of_the_engine(name: str, pool: ThreadPoolExecutor) -> None:
    task = task_of(chains(SHAPE)[name], pool)
    run, engine = task.passes(), engine_for("cpu")
    for turn in (0, 1, 2, 0):
        plan = task.plan(turn, 0)
        wanted = engine.apply(plan, task.pictures.batches[turn], offsets=offsets_of(plan))
        assert torch.equal(run(), wanted)
        assert torch.equal(task.batch(turn), wanted)


def test_plans_are_fresh(pool: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = []

    def noted(policy: Policy, rows: Any, **options: Any) -> Any:
        drawn.append((options["seed"], options["epoch"], int(rows.ids[0])))
        return draw_plan(policy, rows, **options)

    monkeypatch.setattr(work, "draw_plan", noted)
    task = task_of(chains(SHAPE)["jitter"], pool)
    task.passes()
    assert len({seed for seed, _, _ in drawn}) == 3
    whole = task.planned_passes()
    drawn.clear()
    for _ in range(7):
        whole()
    assert len(set(drawn)) == 7


def test_images_are_random_and_the_same_every_time() -> None:
    one, other = BenchImages(SHAPE, CPU, 2), BenchImages(SHAPE, CPU, 2)
    assert all(map(torch.equal, one.batches, other.batches))
    assert not torch.equal(*one.batches)
    assert one.batches[0].shape == (9, 12, 10, 3)
    assert len(set(one.batches[0].flatten().tolist())) > 200


def test_engine_that_loads_plans_is_timed_by_its_runs(pool: ThreadPoolExecutor) -> None:
    engine = Loading()
    task = task_of(chains(SHAPE)["flip"], pool, engine)
    assert task.tells_apart
    passes = task.passes()
    batches = [passes() for _ in range(6)]
    assert engine.applied == 0
    assert engine.runs == 3 + 6
    # Each batch into memory of its own, which is the same every time round.
    assert len({batch.data_ptr() for batch in batches}) == 3
    assert all(a is b for a, b in zip(batches[:3], batches[3:], strict=True))
    task.planned_passes()()
    assert engine.applied == 1


def test_engine_that_does_not_is_timed_as_a_whole(pool: ThreadPoolExecutor) -> None:
    task = task_of(chains(SHAPE)["flip"], pool, engine_for("cpu", "portable"))
    assert not task.tells_apart
    assert torch.equal(task.passes()(), task.batch(0))


# The result, and the command


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> tuple[Result, Path]:
    out = tmp_path_factory.mktemp("bench") / "result.json"
    shapes = ("--shape", "9x3x16x16", "--shape", "5x1x8x6")
    picked = ("--chain", "seed_chain", "--chain", "padded_crop")
    with pytest.MonkeyPatch.context() as patch:
        for name, value in (("WARM", 0.0), ("COPIES", 3), ("COPY", {"cpu": 1 << 16})):
            patch.setattr(clock, name, value)
        return run(*shapes, *picked, "--repeats", 3, "--json", out), out


def test_command_prints_a_table_for_each_shape(written: tuple[Result, Path]) -> None:
    result, _ = written
    assert result.exit_code == 0, result.stderr
    for text in ("9x3x16x16", "5x1x8x6", "seed_chain", "padded_crop", "GB/s", "pixels agree"):
        assert text in result.stdout


def test_command_writes_raw_times_and_what_they_were_measured_on(
    written: tuple[Result, Path],
) -> None:
    _, path = written
    result = KernelResult.model_validate_json(path.read_text())
    assert result.device.kind == "cpu" and result.device.name
    assert {"python", "torch", "augfeed", "numba"} <= result.versions.keys()
    assert result.date.endswith("+00:00")
    assert (result.engine, result.dtype, result.checked) == ("cpu", "float32", "portable")
    assert [(row.chain, row.shape.name) for row in result.rows] == [
        (chain, shape)
        for shape in ("9x3x16x16", "5x1x8x6")
        for chain in ("seed_chain", "padded_crop")
    ]
    for row in result.rows:
        assert len(row.seconds) == len(row.whole) == result.repeats == 3
        assert row.timed == "pass"
        assert row.moved == row.shape.values * 5
        bandwidth = result.copied.bandwidth.median
        assert row.share == pytest.approx(row.moved / row.time.median / bandwidth)
    assert result.row("seed_chain", Shape(5, 1, 8, 6)).policy.startswith("horizontal_flip")


def test_result_round_trips_and_refuses_what_it_does_not_know(
    written: tuple[Result, Path],
) -> None:
    text = written[1].read_text()
    result = KernelResult.model_validate_json(text)
    assert KernelResult.model_validate_json(result.model_dump_json()) == result
    assert str(written[1].parent) not in text
    with pytest.raises(ValidationError, match="host"):
        KernelResult.model_validate({**json.loads(text), "host": "x"})


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--shape", "3x224"), "64x3x224x224"),
        (("--shape", "0x3x8x8"), "64x3x224x224"),
        (("--shape", "4x2x8x8"), "use 1 or 3"),
        (("--chain", "blur"), "use one of"),
        (("--dtype", "uint8"), "bfloat16"),
        (("--repeats", "2"), "use 3 or more"),
        (("--device", "gpu9"), "cannot be used"),
        (("--engine", "fast"), "is unknown"),
        (("--json", "no/such/folder.json"), "make it first"),
    ],
)
def test_command_refuses(arguments: tuple[str, str], message: str) -> None:
    result = run(*arguments)
    assert result.exit_code == 2
    assert result.stderr.startswith("error: ")
    assert message in result.stderr
    assert result.stdout == ""


def test_options_default_to_what_suits_the_device() -> None:
    options = Options.of("cpu")
    assert options.output == Output(torch.float32)
    assert [shape.name for shape in options.wanted] == ["64x3x224x224", "1024x3x32x32"]
    assert kernel.SHAPES["cuda"] == ("64x3x224x224", "256x3x224x224", "1024x3x32x32")
    assert options.steps == 2 + sum(map(len, options.wanted.values()))


def test_versions_are_of_what_is_installed() -> None:
    found = versions_of(("torch", "no-such-package"))
    assert set(found) == {"python", "augfeed", "torch"}
    assert found["torch"] == torch.__version__


def test_command_is_reported_without_paths(monkeypatch: pytest.MonkeyPatch) -> None:
    words = ["/some/where/augfeed", "bench", "kernel", "--json", "/else/where.json"]
    monkeypatch.setattr("sys.argv", words)
    assert command_here() == "augfeed bench kernel --json where.json"


def test_commit_is_none_outside_a_repository(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("augfeed.bench.machine.__file__", str(tmp_path / "bench" / "machine.py"))
    assert commit_here() is None


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU")
def test_gpu_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clock, "COPY", {"cuda": 1 << 22})
    options = Options.of("cuda", shapes=["8x3x32x32"], chains=["seed_chain", "cifar"], repeats=3)
    result = measure(replace(options, repeats=3), "test")
    assert result.device == device_here(torch.device("cuda"))
    assert result.dtype == "bfloat16"
    assert all(taken > 0 for row in result.rows for taken in (*row.seconds, *row.whole))
