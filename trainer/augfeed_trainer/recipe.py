"""A recipe: all settings of a training run, each regularizer off unless it is asked for."""

from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from augfeed import resolve_policy
from augfeed.errors import InputError
from augfeed.json_text import parsed_json
from augfeed.operation.describe import describe
from augfeed.policy import CutMix, Cutout, GaussianNoise, LabelSmoothing, Mixup, OneOf, Policy

Norm = Literal["batch", "instance", "group", "layer", "none"]
NETWORKS = ("mlp", "cnn", "resnet", "resnet10", "resnet18")  # the reference networks
Rate = Annotated[float, Field(ge=0, lt=1)]
Positive = Annotated[float, Field(gt=0)]
NotNegative = Annotated[float, Field(ge=0)]


class WeightNoise(BaseModel):
    """Gaussian noise on weights while they learn (Graves, NeurIPS 2011; 1211.1544).

    Its standard deviation is `std`, or `std` times the root mean square of each weight tensor if
    `relative`. Fresh noise is drawn at every step, the same on every rank unless `per_rank`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    std: Positive
    relative: bool = True
    per_rank: bool = False


class Recipe(BaseModel):
    """What a run does. Every default is "off": what remains is a plain network."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: Annotated[
        str, Field(description="mlp, cnn, resnet, resnet10, resnet18 or package.module:callable")
    ] = "cnn"
    norm: Annotated[Norm, Field(description="batch, instance, group, layer or none")] = "none"

    policy: Annotated[str | None, Field(description="augmentation: preset, notation or JSON")] = (
        None
    )
    mixup: Annotated[NotNegative, Field(description="alpha of Mixup (1710.09412)")] = 0.0
    cutmix: Annotated[NotNegative, Field(description="alpha of CutMix (1905.04899)")] = 0.0
    cutout: Annotated[int, Field(ge=0, description="side in pixels (1708.04552)")] = 0
    input_noise: Annotated[NotNegative, Field(description="std of normalized pixels")] = 0.0
    label_smoothing: Annotated[Rate, Field(description="epsilon (1512.00567)")] = 0.0

    dropout: Annotated[Rate, Field(description="of elements (1207.0580)")] = 0.0
    channel_dropout: Annotated[Rate, Field(description="of channels (1411.4280)")] = 0.0
    stochastic_depth: Annotated[Rate, Field(description="of residual blocks (1603.09382)")] = 0.0
    weight_decay: Annotated[NotNegative, Field(description="decoupled (1711.05101)")] = 0.0
    l2: Annotated[NotNegative, Field(description="factor of half the squared norm in the loss")] = (
        0.0
    )
    l1: Annotated[NotNegative, Field(description="factor of the sum of magnitudes")] = 0.0
    weight_noise: WeightNoise | None = None
    patience: Annotated[int, Field(ge=0, description="epochs without gain; 0: no stopping")] = 0
    min_delta: Annotated[NotNegative, Field(description="gain in validation loss that counts")] = (
        0.0
    )
    unmixed_epochs: Annotated[int, Field(ge=0, description="last epochs without mixing")] = 0
    reestimate_norm: Annotated[bool, Field(description="batch statistics from clean data")] = False
    ema: Annotated[float | None, Field(gt=0, lt=1, description="decay of averaged weights")] = None

    epochs: Annotated[int, Field(ge=1)] = 20
    batch_size: Annotated[int, Field(ge=1, description="of one process")] = 128
    optimizer: Literal["adam", "sgd"] = "adam"
    lr: Positive = 2e-3
    momentum: Annotated[Rate, Field(description="of sgd")] = 0.9
    schedule: Literal["cosine", "constant"] = "cosine"
    warmup: Annotated[float, Field(ge=0, le=0.5, description="share of all steps")] = 0.05
    precision: Literal["32-true", "16-mixed", "bf16-mixed"] = "32-true"
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0

    @field_validator("model")
    @classmethod
    def _named(cls, name: str) -> str:
        if name not in NETWORKS and ":" not in name:
            raise ValueError(
                f"model={name!r} is unknown: use one of {[*NETWORKS]}, or 'package.module:callable'"
            )
        return name

    @field_validator("policy")
    @classmethod
    def _known(cls, text: str | None) -> str | None:
        if text is not None:
            resolve_policy(text)
        return text

    def augmentation(self) -> Policy:
        """Return the policy of training: that of `policy`, and what the other settings add to it.

        Raises `InputError` where a setting and the policy would do the same thing twice.
        """
        base = Policy() if self.policy is None else resolve_policy(self.policy)
        mixers: list[Any] = [Mixup(self.mixup)] if self.mixup else []
        mixers += [CutMix(self.cutmix)] if self.cutmix else []
        added: list[Any] = [OneOf(tuple(mixers))] if len(mixers) > 1 else mixers
        added += [Cutout(self.cutout)] if self.cutout else []
        added += [GaussianNoise(self.input_noise)] if self.input_noise else []
        added += [LabelSmoothing(self.label_smoothing)] if self.label_smoothing else []
        _refuse_twice(base, added)
        return base.with_(*added) if added else base

    @classmethod
    def load(cls, path: Path) -> Self:
        """Return the recipe of a JSON file; raise `InputError` naming what is wrong in it."""
        try:
            return cls.model_validate(parsed_json(path.read_bytes()))
        except OSError as error:
            raise InputError(f"{str(path)!r} cannot be read as a recipe: {error}") from None
        except ValidationError as error:
            raise InputError(f"{str(path)!r}: {describe(error, cls)}") from None
        except ValueError as error:
            raise InputError(f"{str(path)!r} is not JSON: {error}") from None

    def with_(self, **settings: Any) -> Self:
        """Return a recipe with other settings, checked; raise `InputError` naming a wrong one."""
        try:
            return type(self).model_validate({**self.model_dump(exclude_unset=True), **settings})
        except ValidationError as error:
            raise InputError(describe(error, type(self))) from None

    def changes(self) -> dict[str, Any]:
        """Return the settings that are not the defaults."""
        return self.model_dump(mode="json", exclude_defaults=True)


def _refuse_twice(base: Policy, added: list[Any]) -> None:
    mixers = (Mixup, CutMix, OneOf)
    for item in added:
        kinds: Any = mixers if isinstance(item, mixers) else (type(item),)
        if any(base.find(kind) for kind in kinds):
            raise InputError(
                f"{item.op!r} is asked for by the policy and by a setting of its own: "
                "leave out one of them, or it would not be clear which counts"
            )
