"""`batch(epoch, step)` is a pure function, whatever the batch size, threads or order."""

import hashlib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from augfeed import (
    Batch,
    DataLoader,
    Order,
    Output,
    Pipeline,
    Policy,
    open_source,
    parse_policy,
    presets,
)
from augfeed.engines import Place
from augfeed.errors import InputError, InputTypeError, InvarianceError, PolicyError
from augfeed.plan import CUTMIX, MIXUP

COUNT = 83  # neither a multiple of a mixing group nor of any batch size below
WHOLE = parse_policy(
    "random_crop(12, padding=2) | hflip | rotate(20, p=0.3) | color_jitter(0.4, 0.4, 0.4, hue=0.1)"
    " | one_of([mixup(0.4), cutmix], p=0.9) | cutout(4) | random_erasing(fill='noise', p=0.3)"
    " | normalize(0.5, 0.25) | gaussian_noise(0.1) | label_smoothing(0.1)"
)


def make_images(
    count: int = COUNT, size: tuple[int, int] = (12, 12), channels: int = 3
) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(3)
    images = rng.integers(0, 256, (count, *size, channels), dtype=np.uint8)
    return images, np.arange(count) % 5


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("photos")
    rng = np.random.default_rng(4)
    for k in range(20):
        height, width = int(rng.integers(20, 60)), int(rng.integers(20, 60))
        small = Image.fromarray(rng.integers(0, 256, (4, 5, 3), dtype=np.uint8))
        where = root / "ab"[k % 2]
        where.mkdir(exist_ok=True)
        small.resize((width, height)).save(where / f"{k}.{'png' if k % 3 else 'jpg'}")
    return root


def epoch_of(
    data: object, policy: Policy, batch_size: int, threads: int, epoch: int = 0
) -> tuple[torch.Tensor, torch.Tensor]:
    loader = DataLoader(data, batch_size, True, policy=policy, num_workers=threads, seed=5)
    loader.set_epoch(epoch)
    images, targets = zip(*loader, strict=True)
    return torch.cat(images), torch.cat(targets)


@pytest.mark.parametrize(("batch_size", "threads"), [(8, 0), (32, 1), (256, 4), (7, 2), (1, 0)])
def test_a_batch_size_and_threads_change_nothing(batch_size: int, threads: int) -> None:
    expected = epoch_of(make_images(), WHOLE, 16, 0)
    found = epoch_of(make_images(), WHOLE, batch_size, threads)
    assert all(map(torch.equal, expected, found))


@pytest.mark.parametrize(("batch_size", "threads"), [(3, 2), (8, 0), (32, 4)])
def test_files_read_in_any_batch_size_and_threads_are_the_same(
    folder: Path, batch_size: int, threads: int
) -> None:
    policy = parse_policy("random_resized_crop(16) | hflip | mixup(0.5) | normalize(0.5, 0.2)")
    expected = epoch_of(folder, policy, 20, 1)
    assert all(map(torch.equal, expected, epoch_of(folder, policy, batch_size, threads)))


def test_batches_asked_for_in_any_order_are_the_same() -> None:
    pipeline = Pipeline(make_images(), WHOLE, order=Order(16, shuffle=True), seed=5)
    forward = [pipeline.batch(2, step).images for step in range(len(pipeline))]
    backward = [pipeline.batch(2, step).images for step in reversed(range(len(pipeline)))]
    assert all(map(torch.equal, forward, reversed(backward)))


def test_epochs_and_seeds_differ() -> None:
    one = Pipeline(make_images(), WHOLE, order=Order(16), seed=5)
    other = Pipeline(make_images(), WHOLE, order=Order(16), seed=6)
    assert not torch.equal(one.batch(0, 0).images, one.batch(1, 0).images)
    assert not torch.equal(one.batch(0, 0).images, other.batch(0, 0).images)


def test_ranks_together_give_the_epoch_of_one() -> None:
    alone = Pipeline(make_images(), WHOLE, order=Order(32, shuffle=True), seed=5)
    ranks = [
        Pipeline(make_images(), WHOLE, order=Order(8, True, rank=rank, world=4), seed=5)
        for rank in range(4)
    ]
    for step in range(2):
        together = torch.cat([rank.batch(0, step).images for rank in ranks])
        assert torch.equal(together, alone.batch(0, step).images)


@pytest.mark.parametrize("policy", [WHOLE, parse_policy("mixup(1.0, per='batch') | hflip")])
def test_a_sample_alone_is_the_sample_in_its_batch(policy: Policy) -> None:
    pipeline = Pipeline(make_images(), policy, order=Order(32, shuffle=True), seed=5)
    batch = pipeline.batch(1, 1)
    for row in (0, 5, 31):
        alone = pipeline.sample(int(batch.ids[row]), epoch=1)
        assert torch.equal(alone.images[0], batch.images[row])
        assert torch.equal(alone.targets[0], batch.targets[row])


@pytest.mark.parametrize("mixer", ["mixup(1.0)", "cutmix", "one_of([mixup(1.0), cutmix])"])
@pytest.mark.parametrize("batch_size", [1, 5, 8, 31])
@pytest.mark.parametrize("size", [(7, 5), (1, 9), (16, 16)])
def test_soft_label_equals_pixel_share(mixer: str, batch_size: int, size: tuple[int, int]) -> None:
    # Every image has one color, that of its class, so that pixels can be counted.
    count = 31
    labels = np.arange(count)
    images = np.broadcast_to(
        (labels * 8).astype(np.uint8)[:, None, None, None], (count, *size, 1)
    ).copy()
    source = open_source((images, labels), layout="NHWC")
    pipeline = Pipeline(source, parse_policy(mixer), order=Order(batch_size, True))
    for step in range(len(pipeline)):
        batch = pipeline.batch(0, step)
        for row in range(len(batch)):
            check_share(batch, row, labels)


def check_share(batch: Batch, row: int, labels: np.ndarray) -> None:
    plan, image = batch.plan, batch.images[row] * 255 / 8
    own, partner = plan.ids[row], plan.ids[plan.mixes.partner[row]]
    if plan.mixes.mode[row] == MIXUP:
        shown = image.double().mean()
        stated = (batch.targets[row].double() * torch.from_numpy(labels)).sum()
        assert own != partner
        assert shown == pytest.approx(float(stated), abs=1e-4)
    else:
        counted = torch.zeros(len(labels), dtype=torch.float64)
        for label, pixels in zip(*torch.unique(image.round().long(), return_counts=True),
                                 strict=True):  # fmt: skip
            counted[label] = int(pixels) / image.numel()
        assert (own != partner) == (plan.mixes.mode[row] == CUTMIX)
        # float32 holds most shares only rounded: half a unit in the last place of 1 either way.
        assert torch.allclose(counted, batch.targets[row].double(), rtol=0, atol=2**-24)


def test_a_sample_alone_in_its_group_is_left_unmixed() -> None:
    images, labels = make_images(9)
    pipeline = Pipeline((images, labels), parse_policy("mixup(1.0)"), order=Order(9))
    batch = pipeline.batch(0, 0)
    assert batch.plan.mixes.lam[8] == 1.0
    assert torch.equal(batch.images[8], torch.from_numpy(images[8]).permute(2, 0, 1) * (1 / 255))


def test_portable_engine_gives_the_same_batches_within_rounding() -> None:
    order = Order(16, shuffle=True)
    fast = Pipeline(make_images(), WHOLE, order=order, seed=5).batch(0, 1)
    portable = Place(engine="portable")
    slow = Pipeline(make_images(), WHOLE, order=order, seed=5, place=portable).batch(0, 1)
    assert torch.allclose(fast.images, slow.images, atol=2e-4)
    assert torch.equal(fast.targets, slow.targets)


def test_arrays_cut_by_the_engine_equal_frames_cut_by_the_reader(tmp_path: Path) -> None:
    # The same images in memory (the engine cuts and pads) and in files (the reader does).
    images, labels = make_images(10, (14, 11))
    for i, image in enumerate(images):
        where = tmp_path / str(labels[i])
        where.mkdir(exist_ok=True)
        Image.fromarray(image).save(where / f"{i}.png")
    order = sorted(range(10), key=lambda i: (str(labels[i]), f"{i}.png"))
    policy = parse_policy("random_crop(12, padding=3, mode='reflect') | hflip | rotate(30)")
    memory = Pipeline((images[order], labels[order]), policy, order=Order(10))
    files = Pipeline(tmp_path, policy, order=Order(10))
    assert torch.equal(memory.batch(0, 0).images, files.batch(0, 0).images)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_low_precision_is_the_rounded_float32(dtype: torch.dtype) -> None:
    full = Pipeline(make_images(), WHOLE, order=Order(16)).batch(0, 0).images
    for last in (False, True):
        output = Output(dtype, channels_last=last)
        found = Pipeline(make_images(), WHOLE, order=Order(16), output=output).batch(0, 0).images
        assert torch.equal(found, full.to(dtype))
        layout = torch.channels_last if last else torch.contiguous_format
        assert found.is_contiguous(memory_format=layout)


def test_no_policy_gives_the_images_in_0_to_1() -> None:
    images, labels = make_images()
    batch = Pipeline((images, labels), Policy(), order=Order(COUNT)).batch(0, 0)
    assert torch.equal(batch.images, torch.from_numpy(images).permute(0, 3, 1, 2) * (1 / 255))
    assert batch.targets.tolist() == labels.tolist()


def test_flipping_digits_is_refused_with_the_cure_and_allowed_by_name() -> None:
    policy = presets.digits(12).with_(*parse_policy("hflip").operations)
    pipeline = Pipeline(make_images(channels=1), policy)
    with pytest.raises(
        InvarianceError, match=r"6 turned is 9(.|\n)*horizontal_flip: p=0.5(.|\n)*allow="
    ):
        pipeline.check(None)
    pipeline.check(None, allow=["horizontal_flip"])


def test_crop_larger_than_the_image_names_both_and_the_cure() -> None:
    with pytest.raises(InputError, match=r"random_crop\(size=\(20, 20\)\).*12 x 12.*padding"):
        Pipeline(make_images(), parse_policy("random_crop(20)"))


def test_normalize_for_other_channels_is_refused() -> None:
    with pytest.raises(InputError, match="3 channels and the images have 1"):
        Pipeline(make_images(channels=1), parse_policy("normalize([0.1, 0.2, 0.3], 0.5)"))


def test_uint8_with_normalize_is_refused() -> None:
    with pytest.raises(InputError, match="uint8 cannot hold normalized"):
        Pipeline(make_images(), WHOLE, output=Output(torch.uint8))
    with pytest.raises(InputTypeError, match="float64"):
        Pipeline(make_images(), WHOLE, output=Output(torch.float64))


def test_files_of_many_sizes_without_a_window_are_refused(folder: Path) -> None:
    with pytest.raises(PolicyError, match="random_resized_crop"):
        Pipeline(folder, parse_policy("hflip"))


def test_fingerprint_keeps_data_policy_and_seed_apart() -> None:
    base = Pipeline(make_images(), WHOLE, seed=1)
    same = Pipeline(make_images(), WHOLE, seed=1, order=Order(8), place=Place(engine="portable"))
    images, labels = make_images()
    images[3, 2, 1, 0] ^= 1
    others = [
        Pipeline(make_images(), WHOLE, seed=2),
        Pipeline(make_images(), WHOLE.without("cutout"), seed=1),
        Pipeline((images, labels), WHOLE, seed=1),
    ]
    prints = [hashlib.sha256(other.fingerprint.encode()).hexdigest() for other in others]
    assert base.fingerprint == same.fingerprint
    assert len({base.fingerprint, *prints}) == 4


def test_a_sample_of_the_last_batch_of_several_ranks_draws_what_its_batch_draws() -> None:
    policy = parse_policy("mixup(1.0, per='batch')")
    order = Order(4, rank=1, world=2)
    pipeline = Pipeline(make_images(10), policy, order=order)
    batch = pipeline.batch(0, 1)
    assert batch.ids.tolist() == [9]
    assert torch.equal(pipeline.sample(9, 0).images, batch.images)


@pytest.mark.parametrize("text", ["cutout(16, inside=True)", "center_crop(16)", "random_crop(20)"])
def test_what_fails_in_every_batch_is_reported_when_built_for_files_too(
    folder: Path, text: str
) -> None:
    with pytest.raises(InputError, match=text.split("(")[0]):
        Pipeline(folder, parse_policy(f"resize([8, 8]) | {text}"))


@pytest.mark.parametrize("text", ["normalize(0.5, 7e-6)", "normalize([0, 0.5, 1], [1, 1, 1e-5])"])
def test_a_std_that_float16_makes_infinite_pixels_of_is_refused(text: str) -> None:
    policy, images = parse_policy(text), make_images()
    with pytest.raises(
        InputError, match=r"normalize makes pixels of up to \d+, .*float16 holds 65504"
    ):
        Pipeline(images, policy, output=Output(torch.float16))
    for dtype in (torch.float32, torch.bfloat16):
        Output(dtype).check(policy)


def test_the_largest_pixels_that_float16_holds_are_given() -> None:
    policy = parse_policy("normalize(0, 1.53e-5)")  # 1 becomes 65359
    white = np.full((2, 8, 8, 3), 255, np.uint8)
    images = Pipeline((white, [0, 1]), policy, output=Output(torch.float16)).batch(0, 0).images
    assert images.isfinite().all() and images.max() > 65000
