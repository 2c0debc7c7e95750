"""Every decision about one sample, recomputed: nothing was logged."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from augfeed.batch import Batch
from augfeed.notation import format_policy
from augfeed.pipeline import Pipeline
from augfeed.plan import CUTMIX, MIXUP, NONE, Plan
from augfeed.policy import CutMix, LabelSmoothing, Mixup, OneOf
from augfeed.read.decode import picture_size
from augfeed.read.sources import ArraySource, Source
from augfeed.show.labels import HARDLY, Share, batch_shares, class_name, share_text
from augfeed.show.steps import (
    Step,
    Values,
    box_text,
    color_steps,
    frame_steps,
    geometry_steps,
    kornia_steps,
    later_steps,
)
from augfeed.show.windows import window_steps

UNITS = "sizes are height x width, places (top, left), both in pixels"


@dataclass(frozen=True, slots=True)
class Partner:
    """The sample that another one was mixed with, and what happened to it before."""

    index: int
    label: str
    steps: tuple[Step, ...]

    def as_dict(self) -> Values:
        """Return the partner as values that JSON knows."""
        steps = [step.as_dict() for step in self.steps]
        return {"index": self.index, "label": self.label, "steps": steps}


@dataclass(frozen=True, slots=True)
class Explanation:
    """What was decided about a sample in an epoch: `steps` in the order they were carried out.

    `label` is that of the dataset, `shares` what became of it. `batch` is the sample itself.
    """

    index: int
    epoch: int
    seed: int
    policy: str
    label: str
    steps: tuple[Step, ...]
    partner: Partner | None
    shares: tuple[Share, ...]
    batch: Batch = field(repr=False, compare=False)

    @property
    def rows(self) -> tuple[tuple[str, str, str], ...]:
        """The decisions as rows of a table: stage, operation, what was done.

        Of the partner's, only what was applied.
        """
        rows = []
        for step in self.steps:
            rows.append((step.stage, step.operation, step.text))
            if step.stage == "mixing" and self.partner:
                rows += [("  partner", other.operation, other.done)
                         for other in self.partner.steps if other.done]  # fmt: skip
        rows.append(("result", "label", share_text(self.shares)))
        return tuple(rows)

    @property
    def title(self) -> str:
        """Which sample this is about."""
        return f"sample {self.index} ({self.label}), epoch {self.epoch}, seed {self.seed}"

    @property
    def lines(self) -> tuple[str, ...]:
        """The explanation as lines of text."""
        stage, operation = (max(len(row[k]) for row in self.rows) for k in (0, 1))
        table = (f"{row[0]:<{stage}}  {row[1]:<{operation}}  {row[2]}" for row in self.rows)
        return (self.title, f"policy: {self.policy}", UNITS, *table)

    def as_dict(self) -> Values:
        """Return the explanation as values that JSON knows."""
        return {
            "index": self.index,
            "epoch": self.epoch,
            "seed": self.seed,
            "policy": self.policy,
            "label": self.label,
            "steps": [step.as_dict() for step in self.steps],
            "partner": self.partner.as_dict() if self.partner else None,
            "shares": [
                {"class": share.name or None, "share": share.share, "classes": share.count}
                for share in self.shares
            ],
        }


def explain_sample(pipeline: Pipeline, index: int, epoch: int) -> Explanation:
    """Return every decision about one sample in an epoch; raise `InputError` for no such sample."""
    batch = pipeline.sample(index, epoch)
    plan, source = batch.plan, pipeline.source
    steps = [*_before(plan, 0, source), *_mixing(plan, source), *later_steps(plan, 0)]
    if smoothing := plan.policy.find(LabelSmoothing):
        done = f"{smoothing.epsilon:g} of the label moved to all {source.num_classes} classes alike"
        steps.append(Step("label", smoothing.op, done, values={"epsilon": smoothing.epsilon}))
    partner = None
    if plan.mixes.mode[0] != NONE:
        row = int(plan.mixes.partner[0])
        other = int(plan.ids[row])
        partner = Partner(other, label_of(source, other), tuple(_before(plan, row, source)))
    return Explanation(
        index=index,
        epoch=epoch,
        seed=pipeline.seed,
        policy=format_policy(pipeline.policy),
        label=label_of(source, index),
        steps=tuple(steps),
        partner=partner,
        shares=batch_shares(batch, 0, source.classes),
        batch=batch,
    )


def label_of(source: Source, index: int) -> str:
    """Return the label that a dataset gives a sample, in words."""
    if source.labels is None:
        return "no label"
    label = source.labels[index]
    if label.ndim == 0:
        return class_name(int(label), source.classes)
    shares = [Share(class_name(k, source.classes), float(label[k])) for k in label.nonzero()[0]]
    return share_text(shares)


def source_size(source: Source, index: int) -> tuple[int, int]:
    """Return `(height, width)` of an image of a source."""
    if isinstance(source, ArraySource):
        return source.sizes
    return picture_size(source.read(index), source.path(index))


def _before(plan: Plan, row: int, source: Source) -> Iterator[Step]:
    yield from window_steps(plan, row, source_size(source, int(plan.ids[row])))
    yield from kornia_steps(plan, row, source.channels)
    yield from frame_steps(plan, row)
    yield from geometry_steps(plan, row)
    yield from color_steps(plan, row, source.channels)


def _mixing(plan: Plan, source: Source) -> Iterator[Step]:
    for operation in plan.policy.operations:
        if isinstance(operation, Mixup | CutMix | OneOf):
            yield _mixed(plan, operation, source)


def _mixed(plan: Plan, mixer: Mixup | CutMix | OneOf, source: Source) -> Step:
    mixes, row = plan.mixes, int(plan.mixes.partner[0])
    choices = mixer.operations if isinstance(mixer, OneOf) else (mixer,)
    mode, lam = int(mixes.mode[0]), float(mixes.lam[0])
    if mode == NONE:
        done = "" if row else "nobody in its group to mix with"
        return Step("mixing", mixer.op, done, _chance(mixer), mixer.p, False, {"share": 1.0})
    other = int(plan.ids[row])
    whom = f"sample {other} ({label_of(source, other)})"
    chosen = next(item for item in choices if isinstance(item, Mixup if mode == MIXUP else CutMix))
    values: Values = {"mode": chosen.op, "partner": other, "share": lam, "alpha": chosen.alpha}
    if mode == CUTMIX:
        box = tuple(map(int, mixes.patch[0]))
        area = (box[2] - box[0]) * (box[3] - box[1]) / (plan.size[0] * plan.size[1])
        values |= {"box": list(box), "area": area}
        done = f"{box_text(box)} pasted from {whom}: {area:.1%} of the pixels"
        if abs(1 - lam - area) > HARDLY:
            done += f", {1 - lam:.1%} of the label"
    else:
        done = f"{lam:.3f} of itself + {1 - lam:.3f} of {whom}"
    law = f"lambda ~ Beta({chosen.alpha:g}, {chosen.alpha:g})"
    if chosen.per == "batch":
        law += ", one for the batch: here as if the sample came first in it"
    if isinstance(mixer, OneOf):
        done, law = f"{chosen.op}: {done}", f"{_chance(mixer)}; {law}"
    return Step("mixing", mixer.op, done, law, mixer.p, True, values)


def _chance(mixer: Mixup | CutMix | OneOf) -> str:
    if not isinstance(mixer, OneOf):
        return ""
    names: Sequence[str] = [item.op for item in mixer.operations]
    weights = mixer.weights or (1.0,) * len(names)
    pairs = zip(names, weights, strict=True)
    return " or ".join(f"{name} ({weight / sum(weights):.0%})" for name, weight in pairs)
