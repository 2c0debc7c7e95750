"""How good features are: nearest neighbors, and a linear classifier on what does not change."""

import torch
import torch.nn.functional as F
from torch import nn

Labelled = tuple[torch.Tensor, torch.Tensor]  # features [N, D], class numbers [N]


def nearest(train: Labelled, test: Labelled, *, classes: int, neighbors: int = 20) -> float:
    """Return the accuracy of a vote of nearest neighbors by cosine (1805.01978).

    A vote weighs `exp(cosine / 0.07)`, as in DINO's evaluation.
    """
    known, asked = (F.normalize(part[0], dim=1) for part in (train, test))
    count = min(neighbors, len(known))
    right = 0
    for part, labels in zip(torch.split(asked, 512), torch.split(test[1], 512), strict=True):
        near, rows = (part @ known.T).topk(count, dim=1)
        votes = torch.zeros(len(part), classes)
        votes.scatter_add_(1, train[1][rows], (near / 0.07).exp())
        right += int((votes.argmax(1) == labels).sum())
    return right / len(test[1])


def linear_probe(
    train: Labelled, test: Labelled, *, classes: int, decay: float = 1e-3, steps: int = 100
) -> float:
    """Return the accuracy of a logistic regression on standardized features, by L-BFGS."""
    mean, std = train[0].mean(0), train[0].std(0).clamp_min(1e-6)
    known, asked = ((part[0] - mean) / std for part in (train, test))
    layer = nn.Linear(known.shape[1], classes)
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    optimizer = torch.optim.LBFGS(layer.parameters(), max_iter=steps, line_search_fn="strong_wolfe")

    def loss() -> torch.Tensor:
        optimizer.zero_grad()
        value = F.cross_entropy(layer(known), train[1]) + decay * layer.weight.square().sum()
        value.backward()  # type: ignore[no-untyped-call]
        return value

    optimizer.step(loss)  # type: ignore[no-untyped-call]
    with torch.no_grad():
        right = layer(asked).argmax(1) == test[1]
    return float(right.float().mean())
