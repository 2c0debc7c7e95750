"""`Augment` within `torch.compile`: a node of the graph where it can be, else one break."""

import copy
from typing import Any

import pytest
import torch

from augfeed import Augment
from augfeed.errors import InputError
from augfeed.fields import MixedMask
from augfeed.targets import Targets

SIDE = 12
IMAGES = torch.arange(8 * 3 * SIDE * SIDE).remainder(251).view(8, 3, SIDE, SIDE).byte()
LABELS = torch.arange(8) % 5
BOX = torch.tensor([[2.0, 3.0, 9.0, 11.0]]).repeat(8, 1, 1)
MASKS = (IMAGES[:, 0] > 99).long()


@pytest.fixture(autouse=True)
def _fresh() -> Any:
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


def counted() -> Any:
    """Return a backend that counts what it is given to compile."""
    from torch._dynamo.testing import CompileCounter  # a second of every process that collects

    return CompileCounter()


def modules(policy: str, **options: Any) -> tuple[Augment, Augment]:
    """Return two modules that draw the same: one to compile, one to compare with."""
    made = Augment(policy, num_classes=5, seed=3, **options)
    return made, copy.deepcopy(made)


def same(one: Any, other: Any) -> bool:
    if isinstance(one, tuple):
        return len(one) == len(other) and all(map(same, one, other))
    return one.dtype == other.dtype and one.stride() == other.stride() and torch.equal(one, other)


@pytest.mark.parametrize(("policy", "options", "given"), [
    ("random_crop(8) | hflip | normalize(0.5, 0.5)", {}, {}),
    ("random_resized_crop(8)", {"dtype": torch.bfloat16, "channels_last": True},
     {"labels": LABELS}),
    ("cutmix(1.0) | label_smoothing(0.1)", {"engine": "portable"}, {"labels": LABELS}),
    ("resize(9) | hflip", {"targets": "dense"}, {"labels": LABELS, "masks": MASKS, "boxes": BOX}),
    ("mixup(0.4)", {}, {"labels": torch.eye(5)[LABELS], "ids": torch.arange(8) + 3}),
    ("rotate(20)", {}, {"labels": LABELS.float(), "boxes": BOX}),
], ids=str)  # fmt: skip
def test_a_graph_holds_it_whole_and_makes_the_same(policy: str, options: Any, given: Any) -> None:
    augment, plain = modules(policy, **options)
    counter = counted()
    run = torch.compile(lambda: augment(IMAGES, **given), backend=counter, fullgraph=True)
    for _ in range(3):
        assert same(run(), plain(IMAGES, **given))
    assert counter.frame_count == 1 and augment.count == plain.count == 24


def test_calls_are_neither_merged_nor_left_out_nor_moved() -> None:
    augment, plain = modules("random_crop(8) | hflip")

    def twice(images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        first = augment(images)
        augment(images)
        return first, augment(images)

    run = torch.compile(twice, backend="aot_eager", fullgraph=True)
    for _ in range(2):
        first, last = run(IMAGES)
        wanted = [plain(IMAGES) for _ in range(3)]
        assert torch.equal(first, wanted[0]) and torch.equal(last, wanted[2])
    assert augment.count == 48 and augment.last is not None


def test_neither_epochs_nor_batches_of_other_sizes_compile_each_time() -> None:
    augment, plain = modules("random_crop(8) | hflip")
    counter = counted()
    run = torch.compile(augment, backend=counter, fullgraph=True)
    for epoch in range(12):
        augment.set_epoch(epoch)
        plain.set_epoch(epoch)
        for count in (8, 5, 3):
            images = IMAGES[:count]
            assert torch.equal(run(images), plain(images))
            assert torch.equal(run(images, epoch=epoch + 1), plain(images, epoch=epoch + 1))
    assert counter.frame_count <= 6


def test_gradients_stop_there_and_flow_behind_it() -> None:
    augment, plain = modules("hflip | normalize(0.5, 0.5)")
    layer = torch.nn.Linear(3 * SIDE * SIDE, 5)
    run = torch.compile(lambda x: layer(augment(x).flatten(1)), backend="aot_eager", fullgraph=True)
    images = (IMAGES.float() / 255).requires_grad_()
    run(images).sum().backward()
    assert images.grad is None and layer.weight.grad is not None
    wanted = plain(images).flatten(1).sum(0)
    assert torch.allclose(layer.weight.grad[0], wanted, atol=1e-4)


@pytest.mark.parametrize(("policy", "options", "given", "kind"), [
    ("mixup(0.4, p=1.0)", {"targets": "sparse"}, {"labels": LABELS}, Targets),
    ("mixup(0.4, p=1.0)", {}, {"masks": MASKS}, MixedMask),
    ("hflip", {}, {"labels": LABELS.tolist()}, torch.Tensor),
    ("random_crop(8) | schedule(size=[(0, 6), (1, 8)])", {}, {"labels": LABELS}, torch.Tensor),
])  # fmt: skip
def test_what_no_graph_holds_breaks_it_once(
    policy: str, options: Any, given: Any, kind: type[Any]
) -> None:
    augment, plain = modules(policy, **options)

    def step(images: torch.Tensor) -> Any:
        made, other = augment(images + 0, **given)
        return made + 1, other

    counter = counted()
    run = torch.compile(step, backend=counter)
    for epoch in range(3):
        for one in (augment, plain):
            one.set_epoch(epoch)
        images, other = run(IMAGES)
        wanted, others = plain(IMAGES, **given)
        assert torch.equal(images, wanted + 1) and type(other) is type(others) is kind
    assert counter.frame_count <= 3


@pytest.mark.parametrize(("images", "given", "message"), [
    (IMAGES.float(), {}, r"not in \[0, 1\]"),
    (IMAGES[0], {}, r"not \[B, C, H, W\]"),
    (IMAGES[..., :4], {}, "larger than an image"),
    (IMAGES, {"labels": LABELS + 3}, "number the classes from 0"),
    (IMAGES, {"ids": torch.arange(3)}, "one for each"),
])  # fmt: skip
@pytest.mark.filterwarnings("ignore:.*torch.compile:UserWarning")
def test_errors_are_those_of_a_call_that_is_not_compiled(
    images: torch.Tensor, given: Any, message: str
) -> None:
    augment = Augment("random_crop(8) | hflip", num_classes=5)
    with pytest.raises(InputError, match=message):
        torch.compile(augment, backend="aot_eager")(images, **given)
