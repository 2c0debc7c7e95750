"""Training without labels: losses, the teacher, probes, and a tiny run of each objective."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from augfeed import open_source
from augfeed.errors import InputError
from augfeed_trainer.data import Data
from augfeed_trainer.objectives import DINO, Encoder, Objective, nt_xent
from augfeed_trainer.probes import linear_probe, nearest
from augfeed_trainer.recipe import Recipe
from augfeed_trainer.self_supervised import pretrain


def data(count: int = 48) -> Data:
    rng = np.random.default_rng(0)
    labels = np.arange(count) % 2
    images = rng.integers(0, 100, (count, 12, 12, 3))
    images[labels == 1, :, 6:] += 120
    source = open_source((images.astype(np.uint8), labels))
    return Data(source, source, source, "halves")


def test_nt_xent_is_the_sum_over_pairs_written_out() -> None:
    values = torch.randn(6, 4, generator=torch.Generator().manual_seed(0))
    units = F.normalize(values, dim=1)
    losses = []
    for i in range(6):
        j = (i + 3) % 6
        alike = [math.exp(float(units[i] @ units[k]) / 0.5) for k in range(6) if k != i]
        losses.append(-math.log(math.exp(float(units[i] @ units[j]) / 0.5) / sum(alike)))
    assert float(nt_xent(values)) == pytest.approx(sum(losses) / 6, rel=1e-5)


def test_views_that_agree_have_a_lower_loss() -> None:
    values = torch.eye(4)
    assert nt_xent(torch.cat([values, values])) < nt_xent(torch.cat([values, values.roll(1, 0)]))


def dino() -> DINO:
    torch.manual_seed(0)
    return DINO(Encoder(nn.Conv2d(3, 8, 3)), 8, 16)


def test_a_teacher_is_the_average_of_its_student_and_learns_nothing_itself() -> None:
    model = dino()
    images = {"global": torch.randn(4, 3, 8, 8), "local": torch.randn(6, 3, 6, 6)}
    model(images).backward()
    assert all(value.grad is None for value in model.teacher.parameters())
    before = [value.clone() for value in model.teacher.parameters()]
    with torch.no_grad():
        for value in model.encoder.parameters():
            value.add_(1.0)
    model.after_step(0.0)
    mine = next(model.encoder.parameters())
    moved = next(model.teacher.parameters())
    assert torch.allclose(moved, before[0].lerp(mine, 0.01))
    model.after_step(1.0)
    assert torch.equal(next(model.teacher.parameters()), moved)


def test_the_loss_of_dino_is_that_of_all_pairs_but_a_view_with_itself() -> None:
    model = dino()
    images = {"global": torch.randn(4, 3, 8, 8), "local": torch.randn(6, 3, 6, 6)}
    with torch.no_grad():
        wanted = (model.teacher(images["global"]) / 0.04).softmax(1).split(2)
        seen = [*model.head(model.encoder(images["global"])).split(2),
                *model.head(model.encoder(images["local"])).split(2)]  # fmt: skip
        losses = [-(wanted[t] * (seen[v] / 0.1).log_softmax(1)).sum(1).mean()
                  for t in range(2) for v in range(5) if v != t]  # fmt: skip
        assert float(model(images)) == pytest.approx(float(torch.stack(losses).mean()), rel=1e-4)


def test_probes_tell_what_can_be_told_and_guess_the_rest() -> None:
    rng = torch.Generator().manual_seed(0)
    labels = torch.arange(200) % 2
    parted = torch.randn(200, 3, generator=rng) + (8 * labels - 4)[:, None]
    noise = torch.randn(200, 3, generator=rng)
    for probe in (nearest, linear_probe):
        assert probe((parted, labels), (parted, labels), classes=2) > 0.98
    held = torch.randn(200, 3, generator=rng)
    assert 0.3 < linear_probe((noise, labels), (held, labels), classes=2) < 0.7


@pytest.mark.parametrize("objective", ["simclr", "dino"])
def test_a_run_is_a_function_of_its_seed(objective: Objective) -> None:
    recipe = Recipe(model="cnn", epochs=2, batch_size=16, lr=3e-3, seed=1)
    made, again = (pretrain(objective, recipe, data()) for _ in range(2))
    assert made.losses == again.losses and made.after == again.after
    assert len(made.losses) == 2 and all(math.isfinite(loss) for loss in made.losses)
    assert 0 <= made.before.linear <= 1 and made.after.nearest > 0.8


@pytest.mark.parametrize(
    ("settings", "options", "message"),
    [
        ({"batch_size": 64}, {}, "not from 2 to 48"),
        ({"policy": "hflip"}, {}, "leave it out"),
        ({"model": "mlp"}, {}, "no features to learn"),
        ({}, {"size": 4}, "below 8 pixels"),
        ({}, {"objective": "moco"}, "unknown"),
    ],
)
def test_what_cannot_be_trained_is_refused(
    settings: dict[str, Any], options: dict[str, Any], message: str
) -> None:
    recipe = Recipe(**{"batch_size": 16, "epochs": 1} | settings)
    given = {"objective": "simclr"} | options
    with pytest.raises(InputError, match=message):
        pretrain(given.pop("objective"), recipe, data(), **given)


def test_the_command_refuses_what_does_not_go_with_it(tmp_path: Path) -> None:
    from augfeed_trainer.cli import _pretrain

    options: dict[str, Any] = {"service": None, "out": tmp_path}
    with pytest.raises(InputError, match="resume"):
        _pretrain("simclr", Recipe(), options, resume=True)
    with pytest.raises(InputError, match="service"):
        _pretrain("simclr", Recipe(), options | {"service": ["http://a"]}, resume=False)
