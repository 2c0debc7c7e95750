"""Every decision about one sample, recomputed: nothing was logged."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from augfeed.batch import Batch
from augfeed.constants import CUTMIX, NONE
from augfeed.notation import format_policy
from augfeed.pipeline import Pipeline
from augfeed.plan import Plan
from augfeed.plan.batch_rows import samples_of
from augfeed.read.annotation import is_annotated
from augfeed.read.decode import picture_size
from augfeed.read.sources import ArraySource, Source
from augfeed.show.annotations import annotations_of, row_of, words_of
from augfeed.show.fates import BoxFate, fates_of, with_boxes
from augfeed.show.labels import Share, batch_shares, class_name, share_text
from augfeed.show.steps import (
    Step,
    Values,
    mixing_step,
    steps_after_mixing,
    steps_before_mixing,
)

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

    `label` is that of the dataset, `shares` what became of it. `batch` is the sample itself. Of a
    dataset with masks or boxes `contents` is what is left, in words, and `boxes` the fate of each.
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
    boxes: tuple[BoxFate, ...] = ()
    contents: tuple[str, ...] = ()

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
        if self.contents:
            rows += [("result", f"box {fate.number}", fate.text) for fate in self.boxes]
            rows.append(("result", "boxes" if self.boxes else "target", ", ".join(self.contents)))
        else:
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
            **({} if not self.contents else {
                "contents": [*self.contents],
                "boxes": [{"box": fate.number, "class": fate.name, "before": fate.before,
                           "after": fate.after, "dropped": fate.reason or None}
                          for fate in self.boxes],
            }),
        }  # fmt: skip


def explain_sample(pipeline: Pipeline, index: int, epoch: int) -> Explanation:
    """Return every decision about one sample in an epoch; raise `InputError` for no such sample."""
    batch = pipeline.sample(index, epoch)
    source = pipeline.source
    batch = replace(batch, drawn=with_boxes(batch.plan, source, int(batch.ids[0])))
    plan = batch.plan
    after = steps_after_mixing(plan, 0, source.channels, source.num_classes)
    steps = [*_before(plan, 0, source), *_mixing(plan, source), *after]
    partner = None
    if plan.mixes.mode[0] != NONE:
        row = int(plan.mixes.partner[0])
        other = int(samples_of(plan.ids)[row])
        partner = Partner(other, label_of(source, other), tuple(_before(plan, row, source)))
    boxes: list[BoxFate] = []
    contents: list[str] = []
    if is_annotated(source):
        shown = int(batch.ids[0])
        boxes = fates_of(plan, source, shown)
        contents = words_of(row_of(batch.targets, 0), source.fields, source.classes)
    return Explanation(
        index=index,
        epoch=epoch,
        seed=pipeline.seed,
        policy=format_policy(pipeline.policy),
        label=label_of(source, index),
        steps=tuple(steps),
        partner=partner,
        shares=() if contents else batch_shares(batch, 0, source.classes),
        batch=batch,
        boxes=tuple(boxes),
        contents=tuple(contents),
    )


def label_of(source: Source, index: int) -> str:
    """Return the label that a dataset gives a sample, in words."""
    if is_annotated(source):
        parts = annotations_of(source, index, source_size(source, index))
        return ", ".join(words_of(parts, source.fields, source.classes))
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
    size = source_size(source, int(samples_of(plan.ids)[row]))
    yield from steps_before_mixing(plan, row, size, source.channels)


def _mixing(plan: Plan, source: Source) -> Iterator[Step]:
    for item in plan.policy.operations:
        if item is plan.policy.mixer:
            mixed = bool(plan.mixes.mode[0] != NONE)
            yield mixing_step(plan, item, _mixed(plan, source), applied=mixed)


def _mixed(plan: Plan, source: Source) -> Values:
    # What the words of a mixing operation are about.
    mixes, row = plan.mixes, int(plan.mixes.partner[0])
    mode, share, other = int(mixes.mode[0]), float(mixes.lam[0]), int(samples_of(plan.ids)[row])
    name = "cutmix" if mode == CUTMIX else "mixup"
    return {
        "alone": "" if row else "nobody in its group to mix with",
        "whom": f"sample {other} ({label_of(source, other)})",
        "share": share,
        "box": mixes.patch[0].tolist(),
        "mixed": {"mode": name, "partner": other, "share": share},
    }
