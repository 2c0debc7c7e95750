"""The chain in Kornia's augmentation classes, on the batch, `same_on_batch=False` throughout."""

from typing import Any

import kornia.augmentation as K
import torch
import torch.nn.functional as F

from benchmarks.chain import Chain

Pair = tuple[torch.Tensor, torch.Tensor]
DIFFERS = "Mixup or CutMix is chosen for the batch as a whole; Cutout stays inside the image"


class Kornia:
    """The whole chain (`augment`), or what follows the crop and the flip (`finish`)."""

    def __init__(self, chain: Chain, classes: int) -> None:
        self.chain, self.classes = chain, classes
        self.window, self.color, self.after = _window(chain), _color(chain), _after(chain)
        keys: Any = ["input", "class"]
        self.mixers = (
            K.RandomMixUpV2(data_keys=keys),
            K.RandomCutMixV2(data_keys=keys, use_correct_lambda=True),
        )

    @torch.inference_mode()
    def augment(self, images: torch.Tensor, labels: torch.Tensor) -> Pair:
        """Return the batch of uint8 images `[B, C, H, W]` after the whole chain."""
        return self._finish(self.window(images.float().mul_(1 / 255)), labels)

    @torch.inference_mode()
    def finish(self, images: torch.Tensor, labels: torch.Tensor) -> Pair:
        """Return uint8 images that are cut and flipped after the rest of the chain."""
        return self._finish(images.float().mul_(1 / 255), labels)

    def _finish(self, values: torch.Tensor, labels: torch.Tensor) -> Pair:
        values = self.color(values)
        shares = F.one_hot(labels, self.classes).float()
        if self.chain.mixing:
            values, shares = self._mixed(values, labels)
        if self.chain.smoothing:
            shares.mul_(1 - self.chain.smoothing).add_(self.chain.smoothing / self.classes)
        return self.after(values), shares

    def _mixed(self, values: torch.Tensor, labels: torch.Tensor) -> Pair:
        # Each row has (own class, partner's class, lambda), and lambda is the share of the partner
        # after Mixup, of the own image after CutMix with the corrected lambda.
        which = int(torch.randint(2, ()))
        values, rows = self.mixers[which](values, labels)
        rows = rows.view(-1, 3)
        own, partner = (F.one_hot(rows[:, k].long(), self.classes).float() for k in (0, 1))
        lam = rows[:, 2:]
        return values, torch.lerp(own, partner, 1 - lam if which else lam)


def _window(chain: Chain) -> torch.nn.Sequential:
    modules: list[torch.nn.Module] = []
    if chain.padding and chain.crop:
        # Of the two modes, "slice" took half the time of "resample" on a CPU.
        size = (chain.size, chain.size)
        modules.append(K.RandomCrop(size, padding=chain.padding, cropping_mode="slice"))
    if chain.flip:
        modules.append(K.RandomHorizontalFlip(p=chain.flip))
    return torch.nn.Sequential(*modules)


def _color(chain: Chain) -> torch.nn.Sequential:
    # ColorJitter has the law of contrast that the chain has; ColorJiggle has another.
    return torch.nn.Sequential(*([K.ColorJitter(*chain.jitter)] if any(chain.jitter) else []))


def _after(chain: Chain) -> torch.nn.Sequential:
    modules: list[torch.nn.Module] = [K.Normalize(chain.mean, chain.std)]
    if chain.cutout:
        # Erasing with one area and one aspect is a square of fixed size.
        area = (chain.cutout / chain.size) ** 2
        modules.append(K.RandomErasing((area, area), (1.0, 1.0), value=0.0, p=1.0))
    if chain.noise:
        modules.append(K.RandomGaussianNoise(0.0, chain.noise, p=1.0))
    return torch.nn.Sequential(*modules)
