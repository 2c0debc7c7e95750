"""What a study tries: each regularizer as one change of a recipe, at a usual strength."""

from dataclasses import dataclass, field
from typing import Any

from augfeed.errors import AugfeedError, InvarianceError
from augfeed.policy.check import check_policy
from augfeed_trainer.data import Data
from augfeed_trainer.recipe import Recipe
from augfeed_trainer.train import network_of


@dataclass(frozen=True, slots=True)
class Technique:
    """A change of a recipe; of those in one `group` a recipe has at most one."""

    name: str
    settings: dict[str, Any] = field(hash=False)
    group: str = ""

    def on(self, recipe: Recipe) -> Recipe:
        """Return a recipe with this technique; raise `InputError` if it cannot have it."""
        return recipe.with_(**self.settings)


@dataclass(frozen=True, slots=True)
class Refused:
    """A technique that is not tried, and why."""

    name: str
    reason: str


def techniques(
    base: Recipe, data: Data, size: tuple[int, int]
) -> tuple[list[Technique], list[Refused]]:
    """Return what is tried on some data, and what is not: it would make labels wrong, or has no
    effect on the network. `size` is (height, width) of the network's images."""
    tried: list[Technique] = []
    refused: list[Refused] = []
    for technique in _all(base, data, size):
        try:
            recipe = technique.on(base)
            policy = recipe.augmentation()
            if data.name is not None:
                check_policy(policy, data.name)
            if technique.group == "norm":
                network_of(recipe, data)
        except InvarianceError as error:
            refused.append(Refused(technique.name, _first_line(error)))
        except AugfeedError as error:
            refused.append(Refused(technique.name, _first_line(error)))
        else:
            tried.append(technique)
    if not base.model.startswith("resnet"):
        refused.append(Refused("stochastic depth", f"model={base.model!r} has no residual blocks"))
    return tried, refused


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0]


def _all(base: Recipe, data: Data, size: tuple[int, int]) -> list[Technique]:
    found = [
        Technique("early stopping", {"patience": 5, "min_delta": 0.001}),
        Technique("weight decay", {"weight_decay": 0.1}),
        Technique("L2 penalty", {"l2": 1e-3}),
        Technique("L1 penalty", {"l1": 1e-5}),
        Technique("input noise", {"input_noise": 0.1}),
        Technique("weight noise", {"weight_noise": {"std": 0.1}}),
        Technique("label smoothing", {"label_smoothing": 0.1}),
        Technique("mixup", {"mixup": 0.2}, "mixing"),
        Technique("cutmix", {"cutmix": 1.0}, "mixing"),
        Technique("cutout", {"cutout": max(1, min(size) * 2 // 7)}),
        Technique("dropout", {"dropout": 0.2}),
        Technique("channel dropout", {"channel_dropout": 0.1}),
        Technique("averaged weights", {"ema": 0.99}),
    ]
    found += [
        Technique(name, {"policy": text}, "policy") for name, text in _policies(base, data, size)
    ]
    norms = [norm for norm in ("batch", "group", "layer", "instance") if norm != base.norm]
    if base.model == "mlp":
        norms.remove("instance")
        found = [item for item in found if item.name != "channel dropout"]
    found += [Technique(f"{norm} norm", {"norm": norm}, "norm") for norm in norms]
    if base.model.startswith("resnet"):
        found.append(Technique("stochastic depth", {"stochastic_depth": 0.1}))
    return [item for item in found if not _has(base, item)]


def _policies(base: Recipe, data: Data, size: tuple[int, int]) -> list[tuple[str, str]]:
    if base.policy is not None or data.train.sizes is None:
        return []
    side = size[0] if size[0] == size[1] else list(size)
    padding = max(1, min(size) // 14)
    shift = f"random_crop({side}, padding={padding})"
    return [
        ("shift", shift),
        ("shift and flip", f"{shift} | horizontal_flip"),
        ("small warps", f"{shift} | rotate(10) | scale([0.9, 1.1]) | shear(5)"),
    ]


def _has(base: Recipe, technique: Technique) -> bool:
    given = base.model_dump(mode="json")
    return all(given[name] not in (None, 0, 0.0, "none") for name in technique.settings)
