"""The CUDA engine's own parts: numbers, words, colors of padding, graphs; who is refused."""

from dataclasses import replace
from importlib.metadata import PackageNotFoundError
from typing import Any

import numpy as np
import pytest
import torch
import triton.language as tl
from triton import jit

from augfeed import engines
from augfeed.engines import Output, Place, check_engine, engine_for, resolved_engine
from augfeed.engines.cuda import CudaEngine
from augfeed.engines.cuda.noise import blocks_of, normal, number
from augfeed.engines.cuda.spec import Spec
from augfeed.engines.cuda.table import Layout
from augfeed.engines.portable import philox
from augfeed.errors import InputError
from augfeed.philox import Stream, normal_quantiles
from augfeed.plan import BatchRows, draw_plan
from augfeed.policy import (
    Border,
    ColorJitter,
    HorizontalFlip,
    Normalize,
    Policy,
    RandomCrop,
    Rotate,
    Scale,
    VerticalFlip,
)
from tests.cases import (
    CASES,
    JITTER,
    ON_GPU,
    SMALL,
    STATISTICS,
    USUAL,
    Shape,
    assert_agree,
    make_images,
    offsets_of,
    plan_of,
    policy_of,
    run,
)
from tests.interpreted import watch_overflow
from tests.sampling import pairwise

DEVICE = "cuda" if ON_GPU else "cpu"


# Numbers


def normals(out: Any, COUNT: tl.constexpr) -> None:
    k = tl.arange(0, COUNT)
    tl.store(out + k, normal(k))


def numbers(out: Any, blocks: Any, c: Any, STREAM: tl.constexpr, COUNT: tl.constexpr) -> None:
    zero = tl.full([], 0, tl.uint32)
    key = (zero + 0xFFFFFFFD, zero + 0xFFFFFFFE, zero + 7, zero + 0x89ABCDEF, zero + 0x12340000)
    first = tl.arange(0, COUNT)
    words = blocks_of(first, c, key, STREAM, blocks)
    for lane in range(8):
        tl.store(out + lane * COUNT + first, number(words, lane))


def test_normal_numbers_are_the_quantiles_of_the_other_engines() -> None:
    out = torch.empty(65536, device=DEVICE)
    jit(normals)[(1,)](out, COUNT=65536, enable_fp_fusion=False)
    table = torch.from_numpy(normal_quantiles().copy())
    assert (out.cpu() - table).abs().max() < 2e-6


@pytest.mark.parametrize("plane", [0, 2])
def test_numbers_are_those_of_philox(plane: int) -> None:
    out = torch.empty((8, 32), dtype=torch.int32, device=DEVICE)
    jit(numbers)[(1,)](out, 100, plane, STREAM=int(Stream.NOISE_PIXELS), COUNT=32)
    name, seed = (0x1234 << 32) | 0x89ABCDEF, 2**64 - 2**32 - 3
    parts = (name & 0xFFFFFFFF, 7, int(Stream.NOISE_PIXELS) | (name >> 32) << 16)
    counter = tuple(torch.tensor([part]) for part in parts)
    words = philox((*counter, plane * 100 + torch.arange(32)), seed)  # type: ignore[arg-type]
    halves = [half for word in words for half in (word & 0xFFFF, word >> 16)]
    assert torch.equal(out.cpu().long(), torch.stack(halves))


# Wide words


def exact(plan: Any, images: torch.Tensor, **options: Any) -> None:
    """Fail unless bytes in are the same bytes out, whichever engine moves them."""
    output = Output(torch.uint8)
    made = run("cuda", plan, images, output=output, **options)
    assert torch.equal(made, run("cpu", plan, images, output=output, **options))


@pairwise({"channels": [1, 3], "width": [8, 12, 16], "mode": ["constant", "edge", "reflect"]})
def test_every_offset_of_a_window_is_read_right(channels: int, width: int, mode: Any) -> None:
    """Groups whose bytes begin at each of the four places of a word, mirrored or not."""
    policy = Policy([HorizontalFlip(), VerticalFlip(), RandomCrop((5, width), 9, mode, 0.4)])
    shape = Shape(channels, 5, width, 16)
    plan, images = plan_of(policy, shape), make_images(shape, larger=(3, 20 - width))
    left = np.arange(-8, 8, dtype=np.int32)
    exact(plan, images, offsets=np.stack([left[::-1] // 2, left], axis=1))


@pytest.mark.parametrize("last", [False, True])
def test_images_that_begin_anywhere_in_memory_are_read_right(last: bool) -> None:
    shape = Shape(3, 8, 8, 3)
    plan, images = plan_of(policy_of(CASES["flips, some"], 3), shape), make_images(shape)
    for start in (0, 1, 4, 7):
        memory = torch.zeros(images.numel() + start, dtype=torch.uint8)
        memory[start:] = images.flatten()
        moved = memory[start:].view(images.shape)
        output = Output(torch.uint8, last)
        assert torch.equal(run("cuda", plan, moved, output=output), run("cpu", plan, images,
                                                                        output=output))  # fmt: skip


def test_odd_images_are_read_one_by_one_and_even_ones_in_groups() -> None:
    def vec(height: int, width: int, dtype: torch.dtype, *, noisy: bool = False) -> int:
        images = torch.zeros((2, height, width, 3), dtype=torch.uint8)
        policy = policy_of(CASES["gaussian noise"] if noisy else (), 3)
        return Spec.of(policy, (height, width), images, Output(dtype), framed=True).vec

    assert vec(224, 224, torch.bfloat16) == 8
    assert vec(224, 224, torch.float32) == 4
    assert vec(224, 224, torch.bfloat16, noisy=True) == 4
    assert vec(6, 12, torch.bfloat16) == 4
    assert vec(7, 13, torch.bfloat16) == 1
    assert vec(28, 28, torch.float32, noisy=True) == 1  # 98 numbers a lane


# Tiles of warped images


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("window", [{}, {"padding": 7, "mode": "reflect"}])
@pytest.mark.parametrize("border", ["constant", "edge"])
def test_tiles_far_from_borders_and_near_them_make_one_image(
    channels: int, window: dict[str, Any], border: Any
) -> None:
    """A tile that no border is near is read in a way of its own."""
    shape = Shape(channels, 64, 96, 2)
    crop = (RandomCrop((64, 96), **window),) if window else ()
    operations = (HorizontalFlip(), Rotate(9), Scale((1.0, 1.3)), Border(border, 0.4), *crop)
    plan, images = plan_of(Policy(operations), shape), make_images(shape)
    options = {"offsets": offsets_of(plan, images)} if window else {}
    assert_agree(run("cpu", plan, images, **options), run("cuda", plan, images, **options), plan)


# Rows hold what a policy uses


def test_a_table_holds_what_a_policy_uses_and_no_more() -> None:
    def words(*operations: Any) -> int:
        images = torch.zeros((1, 8, 8, 3), dtype=torch.uint8)
        spec = Spec.of(Policy(operations), (8, 8), images, Output(), framed=True)
        return Layout.of(spec).width

    assert words() == words(HorizontalFlip()) == words(STATISTICS) == 4
    assert words(JITTER) > words()
    assert words(*CASES["whole chain"]) <= 64


@pytest.mark.parametrize("fill", [0.3, 1.0])
@pytest.mark.parametrize("floats", [False, True])
def test_constant_padding_counts_in_the_grey_mean(fill: float, floats: bool) -> None:
    shape = Shape(3, 12, 16, 4)
    policy = Policy([ColorJitter(0.3, (0.2, 0.4)), RandomCrop((12, 16), 6, fill=fill)])
    plan, images = plan_of(policy, shape), make_images(shape)
    images = images.float() / 255 if floats else images
    offsets = offsets_of(plan, images)
    assert_agree(run("cpu", plan, images, offsets=offsets),
                 run("cuda", plan, images, offsets=offsets), plan)  # fmt: skip


# Loaded once, run often; graphs


def test_a_loaded_plan_runs_again_and_into_given_memory() -> None:
    plan, images = plan_of(policy_of(CASES["jitter"], 3), USUAL), make_images(USUAL)
    loaded = CudaEngine(DEVICE).load(plan, images)
    first, out = loaded.run(), loaded.empty().fill_(torch.nan)
    assert loaded.run(out) is out
    assert torch.equal(first, out)


@pytest.mark.parametrize("case", ["geometry, some", "jitter", "one of, some", "frames, recoloured"])
def test_a_recorded_pass_replays_other_plans(case: str) -> None:
    shape, policy = Shape(3, 8, 8, 6), policy_of(CASES[case], 3)
    images = make_images(shape).to(DEVICE)
    recorded = CudaEngine(DEVICE).record(plan_of(policy, shape, seed=1), images)
    for seed in (1, 2):
        plan = plan_of(policy, shape, seed=seed)
        assert torch.equal(recorded.replay(plan).cpu(), run("cuda", plan, images))
    places = np.array([5, 4, 3, 2, 1, 0])
    made = recorded.replay(plan, places=places)
    assert torch.equal(made.cpu(), run("cuda", plan, images, places=places))


def test_a_recorded_pass_refuses_what_it_was_not_recorded_for() -> None:
    shape = Shape(3, 8, 8, 4)
    policy = policy_of(CASES["cutout"], 3)
    images = make_images(shape).to(DEVICE)
    recorded = CudaEngine(DEVICE).record(plan_of(policy, shape), images)
    with pytest.raises(InputError, match="another policy"):
        recorded.replay(plan_of(policy_of(CASES["invert"], 3), shape))
    with pytest.raises(InputError, match=r"3 rows, 3 to come out .* does not fit the recorded 4"):
        recorded.replay(plan_of(policy, shape._replace(batch=3)))
    with pytest.raises(InputError, match="offsets were not given"):
        recorded.replay(plan_of(policy, shape), offsets=np.zeros((4, 2), np.int32))
    with pytest.raises(InputError, match="places from 1 to 4"):
        recorded.replay(plan_of(policy, shape), places=np.arange(1, 5))


def test_no_rows_make_an_empty_batch() -> None:
    plan = draw_plan(Policy([STATISTICS]), BatchRows.of([]), seed=0, epoch=0, size=(8, 8))
    made = run("cuda", plan, make_images(Shape(3, 8, 8, 2)))
    assert made.shape == (0, 3, 8, 8)


# Who is refused


@pytest.fixture
def compiled_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forget that kernels may be interpreted."""
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)


@pytest.mark.usefixtures("compiled_only")
def test_the_engine_is_chosen_for_nvidia_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    gpu = torch.device("cuda")
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    assert resolved_engine(gpu, "auto") == "cuda"
    assert Place("cuda").engine_name == "cuda"
    monkeypatch.setattr(torch.version, "cuda", None)  # AMD's GPUs go by the same name
    assert resolved_engine(gpu, "auto") == "portable"
    assert resolved_engine(torch.device("mps"), "auto") == "portable"
    assert resolved_engine(torch.device("cpu"), "auto") == "cpu"


@pytest.mark.usefixtures("compiled_only")
def test_the_engine_is_refused_elsewhere_with_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match=r"'cuda' does not run on device='cpu' \(it is for NVIDIA"):
        engine_for("cpu", "cuda")
    gpu = torch.device("cuda")
    monkeypatch.setattr(torch.version, "cuda", "12.4")
    monkeypatch.setattr(engines, "version", lambda name: "3.2.0")
    with pytest.raises(InputError, match=r"Triton 3\.2\.0 is older than 3\.3"):
        check_engine(gpu, "cuda")
    assert resolved_engine(gpu, "auto") == "portable"

    def missing(name: str) -> str:
        raise PackageNotFoundError(name)

    monkeypatch.setattr(engines, "version", missing)
    with pytest.raises(InputError, match="Triton is not installed"):
        check_engine(gpu, "cuda")


def test_normalize_of_the_wrong_space_is_refused_as_by_the_others() -> None:
    policy = replace(Normalize(0.5, 0.25))
    plan = plan_of(Policy([policy]), USUAL)
    with pytest.raises(InputError, match="cannot hold normalized"):
        CudaEngine(DEVICE).load(plan, make_images(USUAL), output=Output(torch.uint8))


@pytest.mark.skipif(ON_GPU, reason="compiled code is not watched")
@pytest.mark.parametrize("case", ["whole chain", "program of frames"])
def test_no_integer_of_a_kernel_overflows(case: str, pytestconfig: pytest.Config) -> None:
    """Watched for two cases; with `--all`, wherever a kernel is interpreted."""
    plan, images = plan_of(policy_of(CASES[case], 3), SMALL), make_images(SMALL)
    watch_overflow(on=True)
    try:
        run("cuda", plan, images)
    finally:
        watch_overflow(on=pytestconfig.option.whole)
