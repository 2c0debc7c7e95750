"""The chain in plain PyTorch: a batch at a time, every parameter drawn for each sample."""

import torch
import torch.nn.functional as F

from benchmarks.chain import Chain

Pair = tuple[torch.Tensor, torch.Tensor]
LUMA = torch.tensor([0.299, 0.587, 0.114])
YIQ = torch.tensor(
    [[0.299, 0.587, 0.114], [0.595716, -0.274453, -0.321263], [0.211456, -0.522591, 0.311135]]
)
RGB = torch.linalg.inv(YIQ)


@torch.no_grad()
def augment(images: torch.Tensor, labels: torch.Tensor, chain: Chain, classes: int) -> Pair:
    """Return the batch of uint8 images `[B, C, H, W]` after the whole chain."""
    return finish(crop_and_flip(images, chain), labels, chain, classes)


def crop_and_flip(images: torch.Tensor, chain: Chain) -> torch.Tensor:
    """Cut a window out of every padded image, mirrored or not: one gather for both."""
    count, channels, height, width = images.shape
    pad = chain.padding if chain.padding and chain.crop else 0
    if not pad and not chain.flip:
        return images
    padded = F.pad(images, (pad, pad, pad, pad)).flatten(2)
    across = torch.arange(width)
    flipped = torch.rand(count, 1) < chain.flip
    rows = torch.randint(0, 2 * pad + 1, (count, 1)) + torch.arange(height)
    columns = torch.randint(0, 2 * pad + 1, (count, 1))
    columns = columns + torch.where(flipped, width - 1 - across, across)
    places = (rows[:, :, None] * (width + 2 * pad) + columns[:, None, :]).flatten(1)
    cut = padded.gather(2, places[:, None].expand(-1, channels, -1))
    return cut.view(count, channels, height, width)


@torch.no_grad()
def finish(images: torch.Tensor, labels: torch.Tensor, chain: Chain, classes: int) -> Pair:
    """Return uint8 images that are cut and flipped after the rest of the chain."""
    values, shares = mix(_colored(images.float(), chain), labels, chain, classes)
    normalise(values, chain)
    if chain.cutout:
        size = torch.full((len(values),), chain.cutout)
        values.mul_(~_boxes(size, size, values.shape[2], values.shape[3]))
    return add_noise(values, chain), shares


def normalise(values: torch.Tensor, chain: Chain) -> torch.Tensor:
    """Normalize values in [0, 1] in place, and return them."""
    values.sub_(torch.tensor(chain.mean)[:, None, None])
    return values.div_(torch.tensor(chain.std)[:, None, None])


def add_noise(values: torch.Tensor, chain: Chain) -> torch.Tensor:
    """Add the chain's noise in place, and return the values."""
    return values.add_(torch.randn_like(values), alpha=chain.noise) if chain.noise else values


@torch.no_grad()
def mix(values: torch.Tensor, labels: torch.Tensor, chain: Chain, classes: int) -> Pair:
    """Return images after Mixup or CutMix, and their labels as shares, smoothed."""
    shares = F.one_hot(labels, classes).float()
    if chain.mixing:
        values, shares = _mixed(values, shares, chain.alphas)
    if chain.smoothing:
        shares.mul_(1 - chain.smoothing).add_(chain.smoothing / classes)
    return values, shares


def _colored(values: torch.Tensor, chain: Chain) -> torch.Tensor:
    # All of color is linear: one matrix a sample, one product for the batch.
    if not any(chain.jitter):
        return values.mul_(1 / 255)
    count, channels, height, width = values.shape
    brightness, contrast, saturation = (_factors(count, bound) for bound in chain.jitter[:3])
    pixels = values.flatten(2)
    mean = pixels.mean(2) / 255  # [B, C]
    luma = LUMA if channels == 3 else torch.ones(1)
    shift = (1 - contrast) * brightness * (mean @ luma)
    matrix = (contrast * brightness / 255)[:, None, None] * torch.eye(channels)
    bias = shift[:, None].expand(-1, channels)
    if channels == 1:
        return values.mul_(matrix[..., None]).add_(bias[..., None, None]).clamp_(0, 1)
    rest = _hue(count, chain.jitter[3]) @ _saturation(saturation)
    bias = (rest @ bias[..., None]).expand(-1, -1, height * width)
    return torch.baddbmm(bias, rest @ matrix, pixels).clamp_(0, 1).view(count, 3, height, width)


def _factors(count: int, bound: float) -> torch.Tensor:
    return torch.empty(count).uniform_(1 - bound, 1 + bound)


def _saturation(share: torch.Tensor) -> torch.Tensor:
    share = share[:, None, None]
    return share * torch.eye(3) + (1 - share) * LUMA.expand(3, 3)


def _hue(count: int, bound: float) -> torch.Tensor:
    angle = torch.empty(count).uniform_(-bound, bound) * (2 * torch.pi)
    turn = torch.eye(3).repeat(count, 1, 1)
    turn[:, 1, 1] = turn[:, 2, 2] = angle.cos()
    turn[:, 2, 1] = angle.sin()
    turn[:, 1, 2] = -turn[:, 2, 1]
    turned: torch.Tensor = RGB @ turn @ YIQ
    return turned


def _mixed(values: torch.Tensor, shares: torch.Tensor, alphas: tuple[float, float]) -> Pair:
    # The batch is shuffled, so the neighbor is a random partner, and never oneself.
    count, _, height, width = values.shape
    blended = torch.rand(count) < 0.5
    own = torch.where(blended, _beta(alphas[0], count), _beta(alphas[1], count))
    cut = (1 - own).sqrt()
    boxes = _boxes((cut * height).long(), (cut * width).long(), height, width)
    own = torch.where(blended, own, 1 - boxes.float().mean((1, 2, 3)))
    weights = torch.where(blended[:, None, None, None], own[:, None, None, None], (~boxes).float())
    mixed = torch.lerp(values.roll(1, 0), values, weights)
    return mixed, torch.lerp(shares.roll(1, 0), shares, own[:, None])


def _beta(alpha: float, count: int) -> torch.Tensor:
    if alpha == 1:
        return torch.rand(count)
    bound = torch.tensor(alpha)
    drawn: torch.Tensor = torch.distributions.Beta(bound, bound).sample((count,))
    return drawn


def _boxes(tall: torch.Tensor, wide: torch.Tensor, height: int, width: int) -> torch.Tensor:
    # Where boxes lie, bool [B, 1, H, W]: the center uniform over the pixels, cut off at the border.
    rows = _spans(tall, height)
    columns = _spans(wide, width)
    return (rows[:, :, None] & columns[:, None, :])[:, None]


def _spans(lengths: torch.Tensor, side: int) -> torch.Tensor:
    first = torch.randint(0, side, (len(lengths),)) - lengths // 2
    along = torch.arange(side)
    return (along >= first[:, None]) & (along < (first + lengths)[:, None])
