"""`Augment` on a device: the host reads nothing there, and what is resized there is the same."""

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from augfeed import Augment
from augfeed.engines import Output
from augfeed.executor.given_images import cut_on_device
from augfeed.plan import Plan

META = torch.device("meta")
SIDE = 20
POLICIES = (
    "hflip | rotate(20) | normalize(0.5, 0.5)", "random_crop(16, padding=3) | cutmix(1.0)",
    "random_resized_crop(12) | one_of([mixup(0.4), cutmix(1.0)]) | label_smoothing(0.1)",
    "resize(24) | random_crop(22, padding=4)", "equalize(0.5) | gaussian_blur(5)",
)  # fmt: skip


class Unread:
    """The engine of a GPU as far as shapes go: it queues work and reads nothing."""

    name = "cuda"

    def apply(
        self, plan: Plan, images: torch.Tensor, *, places: Any = None,
        offsets: NDArray[np.int32] | None = None, output: Output = Output(),  # noqa: B008
    ) -> torch.Tensor:  # fmt: skip
        """Return memory for the batch."""
        assert images.device == META and (offsets is not None or images.shape[1:3] == plan.size)
        shape = (plan.count, images.shape[3], *plan.size)
        return torch.empty(shape, dtype=output.dtype, device=META)


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("kind", [torch.uint8, torch.float32])
@pytest.mark.parametrize("targets", ["auto", "sparse", "dense"])
def test_the_host_reads_nothing_of_a_device(policy: str, kind: torch.dtype, targets: Any) -> None:
    """Tensors of "meta" have no values: to read one on the host, or to wait for it, fails."""
    augment = Augment(policy, num_classes=7, targets=targets)
    augment._engines[META] = Unread()
    images = torch.empty(8, 3, SIDE, SIDE, dtype=kind, device=META)
    for labels in (
        torch.empty(8, dtype=torch.int64, device=META), torch.empty(8, 7, device=META)
    ):  # fmt: skip
        found, made = augment(images, labels)
        assert found.device == META and found.shape[0] == 8
        assert (made if isinstance(made, torch.Tensor) else made.lam).device == META
    with pytest.raises((NotImplementedError, RuntimeError)):
        images.flatten()[0].item()


def both(line: str, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return what the CPU makes, and the CPU's engine of what is cut as on a device."""
    augment = Augment(line, seed=3)
    here = augment(images)
    plan = augment.last
    assert plan is not None
    pixels = images.permute(0, 2, 3, 1).contiguous()
    frames, offsets = cut_on_device(pixels, plan.window.at(*pixels.shape[1:3]), plan)
    engine = augment._engine(torch.device("cpu"))
    return here, engine.apply(plan, frames, offsets=offsets, output=augment.output)


@pytest.mark.parametrize("line", [
    "random_resized_crop(12) | hflip", "resize(30) | center_crop(24)",
    "resize(24) | random_crop(22, padding=4)", "random_resized_crop(31)",
])  # fmt: skip
@pytest.mark.parametrize("channels", [1, 3])
def test_a_device_resizes_bytes_to_the_same_and_floats_to_the_last_bits(
    line: str, channels: int
) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (8, channels, 25, SIDE), np.uint8)
    images = torch.from_numpy(pixels)
    here, made = both(line, images)
    assert torch.equal(here, made)
    here, made = both(line, images.float() / 255)
    assert (here - made).abs().max() < 2e-6
