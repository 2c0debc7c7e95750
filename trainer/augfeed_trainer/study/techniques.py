"""What a study tries: each regularizer as a change of a recipe, at several strengths."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from augfeed import resolve_policy
from augfeed.errors import AugfeedError, InputError
from augfeed.notation import format_policy
from augfeed.policy import Policy
from augfeed.policy.check import check_policy
from augfeed_trainer.data import Data
from augfeed_trainer.recipe import Recipe
from augfeed_trainer.study.automatic import automatic
from augfeed_trainer.train import network_of


@dataclass(frozen=True, slots=True)
class Strength:
    """One way to have a technique: settings of a recipe, and operations added to its policy."""

    label: str
    settings: dict[str, Any] = field(default_factory=dict, hash=False)
    operations: str = ""

    def on(self, recipe: Recipe) -> Recipe:
        """Return a recipe with this; raise `AugfeedError` if it cannot have it."""
        if not self.operations:
            return recipe.with_(**self.settings)
        base = Policy() if recipe.policy is None else resolve_policy(recipe.policy)
        added = resolve_policy(self.operations).operations
        for item in added:
            if base.find(type(item)) is not None:
                raise InputError(f"policy={recipe.policy!r} has {item.op!r} already: leave it out")
        policy = format_policy(base.with_(*added))
        return recipe.with_(policy=policy, **self.settings)


@dataclass(frozen=True, slots=True)
class Technique:
    """A regularizer and its strengths, weakest first; of one `group` a recipe has at most one."""

    name: str
    strengths: tuple[Strength, ...]
    group: str = ""

    @property
    def strength(self) -> Strength:
        """The one that was chosen; the first of several."""
        return self.strengths[0]

    def at(self, strength: Strength) -> "Technique":
        """Return the technique with one strength."""
        return replace(self, strengths=(strength,))

    def on(self, recipe: Recipe) -> Recipe:
        """Return a recipe with this technique; raise `AugfeedError` if it cannot have it."""
        return self.strength.on(recipe)


@dataclass(frozen=True, slots=True)
class Refused:
    """A technique, or some strengths of it, that are not tried, and why."""

    name: str
    reason: str


def techniques(
    base: Recipe, data: Data, size: tuple[int, int], given: tuple[Technique, ...] | None = None
) -> tuple[list[Technique], list[Refused]]:
    """Return what is tried on some data, and what is not: it would make labels wrong, or has no
    effect on the network. `size` is (height, width) of the network's images; `given` takes the
    place of the usual techniques."""
    tried: list[Technique] = []
    refused: list[Refused] = []
    for technique in _usual(base, data, size) if given is None else given:
        kept, reasons = [], {}
        for strength in technique.strengths:
            reason = _reason(strength, technique, base, data)
            if reason:
                reasons[strength.label] = reason
            else:
                kept.append(strength)
        if kept:
            tried.append(replace(technique, strengths=tuple(kept)))
        if reasons:
            labels = f" {', '.join(reasons)}" if kept else ""
            refused.append(Refused(f"{technique.name}{labels}", next(iter(reasons.values()))))
    if given is None and not base.model.startswith("resnet"):
        refused.append(Refused("stochastic depth", f"model={base.model!r} has no residual blocks"))
    return tried, refused


def _reason(strength: Strength, technique: Technique, base: Recipe, data: Data) -> str:
    try:
        recipe = strength.on(base)
        policy = recipe.augmentation()
        if data.name is not None:
            check_policy(policy, data.name, source=data.train.sizes)
        if technique.group == "norm":
            network_of(recipe, data)
    except AugfeedError as error:
        lines = str(error).strip().splitlines()
        return " ".join(lines[:2])
    return ""


def _set(name: str, *values: Any) -> tuple[Strength, ...]:
    return tuple(Strength(f"{value:g}", {name: value}) for value in values)


def _op(text: str, *values: Any) -> tuple[Strength, ...]:
    # `{}` of the text is the value, or several if it is a tuple.
    made = []
    for value in values:
        parts = value if isinstance(value, tuple) else (value,)
        made.append(Strength(", ".join(f"{part:g}" for part in parts), {}, text.format(*parts)))
    return tuple(made)


def _usual(base: Recipe, data: Data, size: tuple[int, int]) -> list[Technique]:
    found = [
        Technique("early stopping", _set("patience", 5, 10, 20)),
        Technique("weight decay", _set("weight_decay", 0.03, 0.1, 0.3, 1.0)),
        Technique("L2 penalty", _set("l2", 1e-4, 3e-4, 1e-3, 3e-3)),
        Technique("L1 penalty", _set("l1", 1e-6, 1e-5, 1e-4)),
        Technique("input noise", _set("input_noise", 0.05, 0.1, 0.2, 0.4)),
        Technique("weight noise", tuple(
            Strength(f"{std:g}", {"weight_noise": {"std": std}}) for std in (0.03, 0.1, 0.2)
        )),
        Technique("label smoothing", _set("label_smoothing", 0.05, 0.1, 0.2)),
        Technique("mixup", _set("mixup", 0.1, 0.2, 0.5, 1.0), "mixing"),
        Technique("cutmix", _set("cutmix", 0.2, 0.5, 1.0), "mixing"),
        Technique("cutout", _set("cutout", *_sides(size))),
        Technique("dropout", _set("dropout", 0.1, 0.2, 0.4)),
        Technique("channel dropout", _set("channel_dropout", 0.05, 0.1, 0.2)),
        Technique("averaged weights", _set("ema", 0.98, 0.99, 0.995, 0.998)),
    ]  # fmt: skip
    norms = [norm for norm in ("batch", "group", "layer", "instance") if norm != base.norm]
    if base.model == "mlp":
        norms.remove("instance")
        found = [item for item in found if item.name != "channel dropout"]
    found += [Technique(f"{norm} norm", (Strength("", {"norm": norm}),), "norm") for norm in norms]
    if base.model.startswith("resnet"):
        found.append(Technique("stochastic depth", _set("stochastic_depth", 0.05, 0.1, 0.2)))
    found = [item for item in found if not _has(base, item)]
    return found + list(_operations(data, size))


def _sides(size: tuple[int, int]) -> list[int]:
    return sorted({max(1, round(min(size) * share)) for share in (0.15, 0.3, 0.5)})


def _operations(data: Data, size: tuple[int, int]) -> Iterator[Technique]:
    side: Any = size[0] if size[0] == size[1] else list(size)
    paddings = sorted({max(1, round(min(size) * share)) for share in (0.04, 0.08, 0.15)})
    shifts = tuple(
        Strength(f"{padding} px", {}, f"random_crop({side}, padding={padding})")
        for padding in paddings
    )
    zooms = tuple(
        Strength(f"{least:g}", {}, f"random_resized_crop({side}, scale=[{least}, 1.0])")
        for least in (0.8, 0.5, 0.25)
    )
    jitter, strengths = "color_jitter({0}, {0})", list[Any]([0.1, 0.25, 0.5])
    if data.train.channels == 3:
        jitter = "color_jitter({0}, {0}, {0}, {1})"
        strengths = [(0.1, 0.02), (0.25, 0.05), (0.5, 0.1)]
    yield Technique("shift", shifts, "window")
    yield Technique("zoom", zooms, "window")
    yield Technique("flip", (Strength("", {}, "horizontal_flip"),))
    yield Technique("rotation", _op("rotate({0})", 5, 10, 20, 45))
    yield Technique("scale", tuple(
        Strength(f"{most:g}", {}, f"scale([{1 / most:.4g}, {most:g}])") for most in (1.1, 1.25, 1.5)
    ))  # fmt: skip
    yield Technique("shear", _op("shear({0})", 5, 10, 20))
    yield Technique("color jitter", _op(jitter, *strengths))
    for name, texts in automatic(data, size):
        strengths_ = tuple(Strength(label, {}, text) for label, text in texts)
        yield Technique(name, strengths_, "automatic")


def _has(base: Recipe, technique: Technique) -> bool:
    given = base.model_dump(mode="json")
    settings = technique.strength.settings
    return all(given[name] not in (None, 0, 0.0, "none") for name in settings)
