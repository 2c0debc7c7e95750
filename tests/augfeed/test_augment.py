"""`Augment`: the bytes of the loader, for batches that are there already."""

import copy
import gc
import pickle
import weakref
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
import torch

from augfeed import Augment, DataLoader
from augfeed.errors import InputError, InputTypeError
from augfeed.executor import cpu_tensors
from augfeed.fields import MixedMask

COUNT, SIDE = 32, 20
PIXELS = np.random.default_rng(3).integers(0, 256, (COUNT, SIDE, SIDE, 3), np.uint8)
LABELS = np.arange(COUNT) % 7
POLICIES = (
    "", "hflip", "random_crop(16) | normalize(0.5, 0.25)", "random_crop(20, padding=3) | cutout(6)",
    "rotate(30) | jitter(0.4, 0.4, 0.4, 0.1) | noise(0.1)", "random_resized_crop(12) | hflip",
    "resize(30) | center_crop(24)", "mixup(0.4)", "cutmix(1.0) | label_smoothing(0.1)",
    "equalize(0.5) | gaussian_blur(5)", "one_of([mixup(0.4), cutmix(1.0)]) | grayscale",
    "letterbox(24) | hflip",
)  # fmt: skip


def batch(k: int, size: int = 8) -> tuple[torch.Tensor, torch.Tensor]:
    part = slice(k * size, (k + 1) * size)
    return torch.from_numpy(PIXELS[part]).permute(0, 3, 1, 2), torch.from_numpy(LABELS[part])


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("engine", ["cpu", "portable"])
def test_batches_are_those_of_the_loader(policy: str, engine: str) -> None:
    augment = Augment(policy, num_classes=7, seed=5, engine=engine)
    loader = DataLoader((PIXELS, LABELS), 8, policy=policy, seed=5, num_classes=7, engine=engine)
    for epoch in range(2):
        augment.set_epoch(epoch)
        for k, (images, targets) in enumerate(loader):
            found, labels = augment(*batch(k))
            assert torch.equal(found, images) and torch.equal(labels, targets)


@pytest.mark.parametrize("options", [
    {"dtype": torch.bfloat16}, {"dtype": torch.float16, "channels_last": True},
    {"dtype": torch.uint8},
])  # fmt: skip
def test_element_types_and_layouts_are_those_of_the_loader(options: dict[str, Any]) -> None:
    policy = "random_crop(16) | hflip | mixup(0.4)"
    loader = DataLoader((PIXELS, LABELS), 8, policy=policy, seed=1, **options)
    found = Augment(policy, seed=1, **options)(batch(0)[0])
    images = next(iter(loader))[0]
    assert found.dtype == images.dtype and torch.equal(found, images)
    assert found.is_contiguous(memory_format=torch.channels_last) == bool(
        options.get("channels_last")
    )


def test_ids_name_the_draws_whatever_the_batch() -> None:
    augment = Augment("rotate(40) | hflip", seed=2)
    images, _ = batch(0)
    whole = augment(images, ids=range(100, 108))
    order = [5, 2, 7, 0]
    some = augment(images[order], ids=torch.tensor(order) + 100)
    assert torch.equal(some, whole[order])
    assert not torch.equal(augment(images, ids=range(8)), whole)


@pytest.mark.parametrize("policy", [
    "mixup(0.4)", "cutmix(1.0)", "one_of([mixup(0.4), cutmix(1.0)])", 'mixup(0.4, per="batch")',
])  # fmt: skip
def test_ids_alone_say_who_mixes_with_whom(policy: str) -> None:
    augment = Augment(policy, num_classes=7, seed=2)
    loader = DataLoader((PIXELS, LABELS), 8, policy=policy, seed=2, num_classes=7)
    for k, (images, targets) in reversed(list(enumerate(loader))):
        found, labels = augment(*batch(k), ids=range(8 * k, 8 * k + 8))
        assert torch.equal(found, images) and torch.equal(labels, targets)
    seen = []
    for ids in ([5, 2, 7, 0, 1, 3, 4, 6, 9, 8], [2, 5, 7, 0, 1, 3, 4, 6, 9, 8]):
        made = [augment(batch(0, 10)[0], ids=ids) for _ in range(2)]
        augment(batch(0)[0])
        made.append(augment(batch(0, 10)[0], ids=torch.tensor(ids)))
        assert all(torch.equal(one, made[0]) for one in made)
        assert augment.last is not None
        seen.append(augment.last.mixes.partner.tolist())
        assert all(a // 8 == b // 8 for a, b in enumerate(seen[-1]))
    assert seen[0] != seen[1]


def test_floats_and_channels_last_images_are_taken() -> None:
    augment = Augment("rotate(40, p=1.0)", seed=2)
    images, _ = batch(0)
    ids = range(8)
    found = augment(images, ids=ids)
    again = augment(images.contiguous(memory_format=torch.channels_last), ids=ids)
    assert torch.equal(found, again)
    for kind in (torch.float32, torch.float64):
        assert torch.allclose(augment(images.to(kind) / 255, ids=ids), found, atol=1e-5)
    before = images.clone()
    augment(images)
    assert torch.equal(images, before)


@pytest.mark.parametrize("kind", [torch.float32, torch.float16, torch.bfloat16])
def test_floats_that_rounding_left_beside_one_are_taken_as_one(kind: torch.dtype) -> None:
    one = torch.ones(2, 3, 4, 4).to(kind)
    beside = torch.nextafter(one, one + 1) if kind != torch.float16 else one
    assert torch.equal(Augment("hflip")(beside), torch.ones(2, 3, 4, 4))
    assert bool((beside >= 1).all())


@pytest.mark.parametrize("policy", POLICIES)
def test_any_number_of_threads_makes_the_same(policy: str, monkeypatch: Any) -> None:
    alone = Augment(policy, num_classes=7)(batch(0)[0])
    monkeypatch.setattr(cpu_tensors, "SHARE", 1)
    for threads in (3, 100):
        monkeypatch.setattr(torch, "get_num_threads", lambda threads=threads: threads)
        assert torch.equal(Augment(policy, num_classes=7)(batch(0)[0]), alone)


def test_batches_that_are_kept_keep_their_memory() -> None:
    augment = Augment("hflip")
    images, _ = batch(0)
    made = [augment(images, ids=range(8)) for _ in range(3)]
    before = made[0].clone()
    view = made[2].numpy()
    del made[1:]
    again = augment(255 - images, ids=range(8))
    assert torch.equal(made[0], before) and np.array_equal(view, before.numpy())
    assert not torch.equal(again, before)


def test_the_state_goes_on_where_it_was() -> None:
    augment = Augment("rotate(40) | cutmix(1.0)", seed=2)
    augment.set_epoch(3)
    augment(batch(0)[0])
    state = augment.state_dict()
    expected = augment(batch(1)[0])
    other = Augment("rotate(40) | cutmix(1.0)", seed=2)
    other.load_state_dict(state)
    assert torch.equal(other(batch(1)[0]), expected)
    for one in (copy.deepcopy(other), pickle.loads(pickle.dumps(other))):
        assert one.count == 16 and one.epoch == 3
        assert torch.equal(one(batch(2)[0]), other(batch(2)[0]))
        other.count -= 8


def test_masks_and_boxes_follow() -> None:
    images = torch.zeros(8, 3, SIDE, SIDE, dtype=torch.uint8)
    images[:, :, 4:10, 3:15] = 255
    masks = (images[:, 0] > 0).long()
    boxes = torch.tensor([[3.0, 4.0, 15.0, 10.0]]).repeat(8, 1, 1)
    augment = Augment("random_crop(16) | hflip", seed=1)
    found, moved, (there, valid) = augment(images, masks=masks, boxes=boxes)
    assert torch.equal((found[:, 0] > 0.5).long(), moved)
    assert valid.all()
    for mask, box in zip(moved, there[:, 0], strict=True):
        y, x = mask.nonzero().unbind(1)
        assert box.tolist() == [int(x.min()), int(y.min()), int(x.max()) + 1, int(y.max()) + 1]
    assert augment.matrices.shape == (8, 3, 3)


def test_mixed_masks_come_in_pairs() -> None:
    values = torch.arange(8).view(8, 1, 1).expand(8, SIDE, SIDE) * 10
    images = values[:, None].expand(8, 3, SIDE, SIDE).to(torch.uint8)
    found, mixed = Augment("mixup(1.0, p=1.0)", num_classes=3)(images, masks=values)
    assert isinstance(mixed, MixedMask)
    share = mixed.share[:, None, None]
    blended = share * mixed.own + (1 - share) * mixed.partner
    assert torch.allclose(found[:, 0] * 255, blended, atol=1e-3)
    pasted, masks = Augment("cutmix(1.0, p=1.0)")(images, masks=values)
    assert torch.equal((pasted[:, 0] * 255).round().long(), masks)


@pytest.mark.parametrize(("call", "message"), [
    (lambda a: a(torch.zeros(3, 8, 8)), r"not \[B, C, H, W\]"),
    (lambda a: a(torch.zeros(2, 0, 8, 8)), "of a channel or more"),
    (lambda a: a(np.zeros((2, 3, 8, 8))), "not a tensor"),
    (lambda a: a(torch.zeros(2, 3, 8, 8, dtype=torch.int64)), "not uint8, uint16 or floats"),
    (lambda a: a(torch.full((2, 3, 8, 8), 7.0)), r"not in \[0, 1\]"),
    (lambda a: a(torch.full((2, 3, 8, 8), torch.nan)), r"not in \[0, 1\]"),
    (lambda a: a(torch.zeros(2, 3, 8, 8), ids=[1]), "one for each"),
    (lambda a: a(torch.zeros(2, 3, 8, 8), ids=[1, -4]), "not in"),
    (lambda a: a(torch.zeros(2, 3, 8, 8), torch.zeros(3).long()), "not one for each"),
    (lambda a: a(torch.zeros(2, 3, 8, 8), masks=torch.zeros(1, 8, 8).long()), "2 masks"),
    (lambda a: a(torch.zeros(2, 3, 8, 8), boxes=torch.zeros(2, 4)), "xyxy in pixels"),
    (lambda a: a(torch.zeros(2, 3, 0, 8)), "no pixels"),
    (lambda a: a.matrices, "call the module first"),
    (lambda a: a.set_extra_state(torch.zeros(2)), "is not the state of Augment"),
    (lambda a: torch.export.export(a, (torch.zeros(2, 3, 8, 8),)), "what is exported"),
])  # fmt: skip
def test_what_it_cannot_take_is_refused(call: Any, message: str) -> None:
    with pytest.raises((InputError, InputTypeError), match=message):
        call(Augment("hflip"))


@pytest.mark.parametrize("engine", ["cpu", "portable"])
@pytest.mark.parametrize("policy", [*POLICIES, "trivial_augment_wide() | random_erasing(p=1.0)"])
def test_an_empty_batch_gives_an_empty_batch(policy: str, engine: str) -> None:
    augment = Augment(policy, num_classes=7, engine=engine)
    images, targets = augment(torch.zeros(0, 3, 24, 24), torch.zeros(0, dtype=torch.int64))
    assert len(images) == len(targets) == 0 and images.shape[1] == 3 and augment.count == 0


@pytest.mark.parametrize("engine", ["cpu", "portable"])
def test_what_is_around_a_call_does_not_change_it(engine: str) -> None:
    policy = "rotate(30) | equalize(0.5) | gaussian_blur(5) | mixup(0.4)"
    images, labels = batch(0)

    def made() -> tuple[torch.Tensor, torch.Tensor]:
        found: tuple[torch.Tensor, torch.Tensor] = Augment(
            policy, num_classes=7, engine=engine)(images, labels)  # fmt: skip
        return found

    wanted = made()
    contexts = (torch.autocast("cpu", torch.bfloat16), torch.inference_mode(), torch.no_grad(),
                torch.device("meta"), torch.enable_grad())  # fmt: skip
    for context in contexts:
        with context:
            found = made()
        for one, other in zip(found, wanted, strict=True):
            assert one.dtype == other.dtype and torch.equal(one, other)
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        found = made()
    finally:
        torch.set_default_dtype(before)
    assert all(a.dtype == b.dtype and torch.equal(a, b) for a, b in zip(found, wanted, strict=True))


@pytest.mark.parametrize("engine", ["cpu", "portable"])
def test_a_module_of_inference_mode_serves_training(engine: str) -> None:
    images, _ = batch(0)
    with torch.inference_mode():
        augment = Augment("equalize(0.5) | gaussian_blur(5) | hflip", engine=engine)
        augment(images)
    layer = torch.nn.Linear(3 * SIDE * SIDE, 2)
    layer(augment(images).flatten(1)).sum().backward()
    assert layer.weight.grad is not None


def test_how_images_lie_in_memory_is_of_no_account() -> None:
    augment = Augment("rotate(40) | random_crop(16)")
    images, _ = batch(0)
    wanted = augment(images.contiguous(), ids=range(8))
    wide = images.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)
    for given in (
        wide[:, :, ::2, ::2], images.repeat_interleave(2, dim=0)[::2], images.transpose(2, 3)
        .contiguous().transpose(2, 3), images.contiguous(memory_format=torch.channels_last),
    ):  # fmt: skip
        assert torch.equal(augment(given, ids=range(8)), wanted)


def test_gradients_stop_at_it() -> None:
    images = (batch(0)[0].float() / 255).requires_grad_()
    for given in (images, images.contiguous(memory_format=torch.channels_last)):
        assert not Augment("rotate(40)")(given).requires_grad


def test_replicas_in_threads_draw_no_sample_twice() -> None:
    images, _ = batch(0)
    augment, plain = Augment("rotate(40)", seed=1), Augment("rotate(40)", seed=1)
    replicas = [augment._replicate_for_data_parallel() for _ in range(3)]  # type: ignore[no-untyped-call]
    with ThreadPoolExecutor(3) as pool:
        jobs = [pool.submit(replica, images) for replica in replicas * 4]
        found = {job.result().numpy().tobytes() for job in jobs}
    assert found == {plain(images).numpy().tobytes() for _ in range(12)}
    assert augment.count == plain.count == 96


def test_no_draw_comes_from_a_global_generator() -> None:
    images, _ = batch(0)
    before = torch.get_rng_state()
    Augment("rotate(40) | noise(0.1) | mixup(0.4)", num_classes=3)(images)
    assert torch.equal(torch.get_rng_state(), before)


USES: dict[str, Callable[[Augment], object]] = {
    "images": lambda augment: augment(batch(0)[0]),
    "labels": lambda augment: augment(*batch(0)),
    "batches planned as one": lambda augment: [augment(batch(k)[0]) for k in range(4)],
    "ids": lambda augment: augment(*batch(0), ids=torch.arange(8)),
    "masks": lambda augment: augment(batch(0)[0], masks=torch.zeros(8, SIDE, SIDE).long()),
    "last": lambda augment: (augment(batch(0)[0]), augment.last, augment.matrices),
    "plan": lambda augment: augment.plan(8, (SIDE, SIDE)),
    "copy": lambda augment: copy.deepcopy(augment)(batch(0)[0]),
}


@pytest.mark.parametrize("use", USES)
@pytest.mark.parametrize("engine", ["cpu", "portable"])
def test_a_module_that_nobody_holds_goes_at_once(use: str, engine: str) -> None:
    # Its memory, and that on a device, is not left to the garbage collector.
    augment = Augment("hflip | rotate(20)", engine=engine)
    gc.disable()
    try:
        USES[use](augment)
        gone = weakref.ref(augment)
        del augment
        assert gone() is None
    finally:
        gc.enable()


def test_the_last_plan_is_that_of_its_batch_whatever_the_module_is_set_to_since() -> None:
    augment, same = Augment("rotate(30)", seed=3), Augment("rotate(30)", seed=3)
    augment(batch(0)[0])
    same(batch(0)[0])
    augment.seed = 4
    assert torch.equal(augment.matrices, same.matrices)
