"""`Augment` on an NVIDIA GPU, as plain functions: it waits for nothing, and masks are a CPU's."""

from typing import Any

import torch
from torch.utils._pytree import tree_leaves

from augfeed import Augment
from tests.augfeed.gpu_loaders import DEVICE, REAL, syncs_are_errors

COUNT, SIDE = (256, 224) if REAL else (4, 12)
CUT = SIDE * 3 // 4
NORMALIZE = "normalize(0.5, 0.25)"
# With masks and labels, and with boxes too where nothing is mixed.
FIELDS = (
    f"random_crop({CUT}) | hflip | {NORMALIZE}",
    f"random_resized_crop({CUT}) | hflip | rotate(20, p=0.5)",
    f"random_crop({SIDE}, padding=4, mode='reflect') | perspective(0.3)",
    "hflip | one_of([mixup(0.4), cutmix(1.0)]) | label_smoothing(0.1)",
    "hflip | one_of([rotate(40), shear(20), hflip(p=1.0)])",
)
PROGRAMS = (
    f"trivial_augment_wide() | {NORMALIZE}", f"rand_augment(2, 9) | {NORMALIZE}",
    f"aug_mix() | {NORMALIZE}", f"equalize(0.5) | gaussian_blur(5) | {NORMALIZE}",
)  # fmt: skip


def batch(policy: str) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """Return images, and what goes with them under a policy."""
    generator = torch.Generator().manual_seed(4)
    images = torch.randint(0, 256, (COUNT, 3, SIDE, SIDE), generator=generator).byte()
    given = {"labels": torch.arange(COUNT) % 10}
    if policy in FIELDS:
        given["masks"] = torch.arange(COUNT * SIDE * SIDE).view(COUNT, SIDE, SIDE)
        if "mixup" not in policy:
            box = torch.tensor([[1.0, 2.0, SIDE / 2, SIDE - 2.0]])
            given["boxes"] = box.repeat(COUNT, 1, 1)
    return images, given


def module(policy: str, engine: str) -> Augment:
    """Return the module for a policy; two of them draw the same."""
    return Augment(policy, num_classes=10, seed=3, dtype=torch.float32, engine=engine)


def augment_waits_for_nothing() -> None:
    """Images, targets, masks and boxes of batches on the device, once its kernels are compiled."""
    for policy in FIELDS + PROGRAMS[: None if REAL else 1]:
        images, given = batch(policy)
        there = {name: part.to(DEVICE) for name, part in given.items()}
        augment, pixels = module(policy, "cuda"), images.to(DEVICE)
        augment(pixels, **there)
        torch.cuda.synchronize()
        print(f"compiled: {policy}", flush=True)
        with syncs_are_errors():
            try:
                made = augment(pixels, **there)
            except RuntimeError as error:
                raise AssertionError(f"{policy}: {error}") from error
        assert all(part.device.type == DEVICE for part in tree_leaves(made)), policy


def masks_are_those_of_a_cpu() -> None:
    """Masks exactly, boxes within rounding, targets: beside the host's own."""
    for policy in FIELDS:
        images, given = batch(policy)
        there = {name: part.to(DEVICE) for name, part in given.items()}
        own = module(policy, "cuda")(images.to(DEVICE), **there)
        wanted = module(policy, "cpu")(images, **given)
        pairs = zip(tree_leaves(own[1:]), tree_leaves(wanted[1:]), strict=True)
        for made, expected in pairs:
            _compare(made.cpu(), expected, policy)
        print(f"as on a CPU: {policy}", flush=True)


def _compare(made: torch.Tensor, wanted: torch.Tensor, policy: str) -> None:
    if made.is_floating_point():
        assert torch.allclose(made, wanted, atol=1e-4), policy
    else:
        wrong = int((made != wanted).sum())
        assert not wrong, f"{policy}: {wrong} of {made.numel()} differ"


MODULES: dict[str, Any] = {
    check.__name__: check for check in (augment_waits_for_nothing, masks_are_those_of_a_cpu)
}
