"""Noise on weights, penalties, early stopping: by their definitions."""

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import nn

from augfeed_trainer.data import open_data
from augfeed_trainer.models import Shape, build_model, decayed
from augfeed_trainer.noise import NoisyWeights
from augfeed_trainer.penalty import decay_at_steps, penalty
from augfeed_trainer.recipe import Recipe, WeightNoise
from augfeed_trainer.stopping import BestWeights
from augfeed_trainer.train import Run, train

SHAPE = Shape(1, 8, 8, 10)


def network() -> nn.Module:
    return build_model("cnn", SHAPE, norm="batch")


def flat(module: nn.Module) -> torch.Tensor:
    return torch.cat([parameter.detach().flatten() for parameter in module.parameters()])


@pytest.mark.parametrize("relative", [False, True])
def test_noise_has_its_deviation_and_comes_off_to_the_last_bit(relative: bool) -> None:
    made = network()
    clean = copy.deepcopy(made.state_dict())
    noisy = NoisyWeights(made, WeightNoise(std=0.1, relative=relative), seed=3)
    noisy.add(0)
    chosen = {id(weight) for weight in decayed(made)}
    for name, parameter in made.named_parameters():
        change = parameter.detach() - clean[name]
        if id(parameter) not in chosen:
            assert not change.any()
            continue
        scale = float(clean[name].square().mean().sqrt()) if relative else 1.0
        assert change.std().item() == pytest.approx(0.1 * scale, rel=0.2)
    noisy.remove()
    assert all(torch.equal(clean[name], value) for name, value in made.state_dict().items())


def test_noise_is_fresh_at_each_step_and_for_each_rank_only_if_asked() -> None:
    def noise(step: int, rank: int, *, per_rank: bool) -> torch.Tensor:
        made = network()
        NoisyWeights(made, WeightNoise(std=0.1, per_rank=per_rank), 3).add(step, rank)
        return flat(made)

    assert torch.equal(noise(4, 0, per_rank=False), noise(4, 1, per_rank=False))
    assert not torch.equal(noise(4, 0, per_rank=False), noise(5, 0, per_rank=False))
    assert not torch.equal(noise(4, 0, per_rank=True), noise(4, 1, per_rank=True))


class Watch(Callback):
    """Looks at weights and gradients as a run goes on."""

    def __init__(self) -> None:
        self.forward: list[torch.Tensor] = []
        self.stepped: list[torch.Tensor] = []
        self.validated: list[torch.Tensor] = []
        self.gradients: list[torch.Tensor] = []
        self.batches: list[Any] = []

    def on_train_batch_start(self, trainer: Trainer, pl_module: Any, batch: Any, i: int) -> None:
        self.forward.append(flat(pl_module.network))
        self.batches.append(batch)

    def on_before_optimizer_step(self, trainer: Trainer, pl_module: Any, optimizer: Any) -> None:
        self.stepped.append(flat(pl_module.network))
        gradients = [p.grad.flatten() for p in pl_module.network.parameters()]
        self.gradients.append(torch.cat(gradients).clone())

    def on_validation_start(self, trainer: Trainer, pl_module: Any) -> None:
        self.validated.append(flat(pl_module.network))


def test_the_gradient_at_the_noisy_point_moves_the_clean_weights() -> None:
    recipe = Recipe(model="mlp", epochs=1, batch_size=512, optimizer="sgd", lr=0.1, momentum=0,
                    schedule="constant", warmup=0, weight_noise=WeightNoise(std=0.2))  # fmt: skip
    watch = Watch()
    trained = train(recipe, open_data("digits"), Run(progress=False), callbacks=(watch,))
    start = flat(build_model("mlp", SHAPE, seed=0))
    assert torch.equal(watch.stepped[0], start) and not torch.equal(watch.forward[0], start)
    by_hand = build_model("mlp", SHAPE, seed=0)
    NoisyWeights(by_hand, recipe.weight_noise or WeightNoise(std=1), 0).add(1)
    assert torch.equal(flat(by_hand), watch.forward[0])
    images, targets = watch.batches[0]
    loss: Any = F.cross_entropy(by_hand(images), targets.a)
    loss.backward()
    gradient = torch.cat([p.grad.flatten() for p in by_hand.parameters() if p.grad is not None])
    torch.testing.assert_close(watch.gradients[0], gradient)
    torch.testing.assert_close(watch.stepped[1], start - 0.1 * watch.gradients[0])
    # Validation, and what is left at the end, see the weights that the last step made.
    torch.testing.assert_close(watch.validated[-1], watch.stepped[-1] - 0.1 * watch.gradients[-1])
    assert torch.equal(flat(trained.network), watch.validated[-1])


class Stop(Callback):
    """Ends a run by an error while weights are noisy."""

    def on_before_backward(self, trainer: Trainer, pl_module: Any, loss: Any) -> None:
        self.module = pl_module.network
        raise RuntimeError("stop")


def test_an_error_leaves_clean_weights_behind() -> None:
    recipe = Recipe(model="mlp", epochs=1, weight_noise=WeightNoise(std=0.2))
    stop = Stop()
    with pytest.raises(RuntimeError, match="stop"):
        train(recipe, open_data("digits"), Run(progress=False), callbacks=(stop,))
    assert torch.equal(flat(stop.module), flat(build_model("mlp", SHAPE, seed=0)))


def test_the_penalty_is_the_formula() -> None:
    weights = [nn.Parameter(torch.tensor([[1.0, -2.0]])), nn.Parameter(torch.tensor([[3.0]]))]
    assert penalty(weights, l2=0.1).item() == pytest.approx(0.1 / 2 * (1 + 4 + 9))
    assert penalty(weights, l1=0.1).item() == pytest.approx(0.1 * 6)
    both: Any = penalty(weights, l2=0.1, l1=0.01)
    both.backward()
    assert weights[0].grad is not None
    torch.testing.assert_close(weights[0].grad, torch.tensor([[0.1 + 0.01, -0.2 - 0.01]]))
    assert penalty([]).item() == 0


@pytest.mark.parametrize("adam", [False, True])
def test_decay_shrinks_weights_by_rate_times_factor_apart_from_the_gradient(adam: bool) -> None:
    made, plain = network(), network()
    optimizers: list[Any] = [
        torch.optim.Adam(m.parameters(), 0.1) if adam
        else torch.optim.SGD(m.parameters(), 0.1, momentum=0.9) for m in (made, plain)
    ]  # fmt: skip
    decay_at_steps(optimizers[0], decayed(made), 0.5)
    chosen = [any(p is weight for weight in decayed(made)) for p in made.parameters()]
    for _ in range(2):
        before = [p.detach().clone() for p in made.parameters()]
        drift = [p.detach().clone() for p in plain.parameters()]
        for parameters in (made.parameters(), plain.parameters()):
            for p in parameters:
                p.grad = torch.full_like(p, 0.3)
        for optimizer in optimizers:
            optimizer.step()
        for old, p, then, q, is_weight in zip(
            before, made.parameters(), drift, plain.parameters(), chosen, strict=True
        ):
            step = q.detach() - then  # what the optimizer does without decay
            shrunk = old * (1 - 0.1 * 0.5) if is_weight else old
            torch.testing.assert_close(p.detach(), shrunk + step)


class Scripted(LightningModule):
    """Validation losses as written; the weight counts the epochs."""

    def __init__(self, losses: list[float]) -> None:
        super().__init__()
        self.losses, self.weight = losses, nn.Parameter(torch.zeros(1))

    def training_step(self, batch: Any, i: int) -> torch.Tensor:
        with torch.no_grad():
            self.weight.fill_(self.current_epoch)
        return self.weight.sum() * 0

    def validation_step(self, batch: Any, i: int) -> None:
        self.log("validation/loss", self.losses[self.current_epoch])

    def configure_optimizers(self) -> Any:
        return torch.optim.SGD(self.parameters(), 0.0)


@pytest.mark.parametrize(
    ("losses", "patience", "delta", "ended", "best"),
    [
        ([5, 4, 3, 3.5, 3.6, 3.7, 1, 1], 3, 0.0, 6, 2),
        ([5, 4, 3, 3.5, 2.9, 3.6, 3.7, 3.8], 3, 0.0, 8, 4),
        ([5, 4, 3.95, 3.94, 3.93, 1], 3, 0.1, 5, 1),
        ([5, 4, 3, 2, 1, 0.5], 2, 0.0, 6, 5),
    ],
)
def test_training_stops_at_the_stated_epoch_with_the_best_weights(
    losses: list[float], patience: int, delta: float, ended: int, best: int
) -> None:
    module, stopping = Scripted(losses), BestWeights(patience, delta)
    trainer = Trainer(
        max_epochs=len(losses), accelerator="cpu", callbacks=[stopping], logger=False,
        enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
        num_sanity_val_steps=0,
    )  # fmt: skip
    data: Any = [torch.zeros(1)]
    with pytest.warns():
        trainer.fit(module, data, data)
    assert trainer.current_epoch == ended
    assert stopping.best_epoch == best and module.weight.item() == best


def test_checkpoints_hold_clean_weights(tmp_path: Path) -> None:
    recipe = Recipe(model="mlp", epochs=1, weight_noise=WeightNoise(std=0.3))
    run = Run(tmp_path, every=4, progress=False)
    watch = Watch()
    train(recipe, open_data("digits"), run, callbacks=(watch,))
    path = next((tmp_path / "checkpoints").glob("*.ckpt"))
    step = int(path.stem)
    state = torch.load(path, weights_only=False)["state_dict"]
    kept = torch.cat([value.flatten() for name, value in state.items() if "network." in name])
    assert torch.equal(kept, watch.stepped[step] if step < len(watch.stepped) else kept)
    assert not torch.equal(kept, watch.forward[step - 1])
