"""What batches are made of: the job that actors share, and the address of a batch of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from augfeed.engines import Output, Place
from augfeed.errors import InputError
from augfeed.invariances import Invariances
from augfeed.pipeline import Pipeline
from augfeed.plan.repeats import Repeats
from augfeed.policy import Policy
from augfeed.read.annotation import is_annotated
from augfeed.read.order import Order
from augfeed.read.read_config import Reading
from augfeed.read.sources import Source, open_source
from augfeed.targets import Form
from augfeed.view_pipeline import ViewPipeline
from augfeed.views import Views


@dataclass(frozen=True, slots=True)
class Address:
    """Which batch of a job: of which epoch, step and rank, of how many ranks."""

    epoch: int
    step: int
    rank: int = 0
    world: int = 1


@dataclass(frozen=True, slots=True)
class Dataset:
    """What opens a dataset: see `augfeed.DataLoader`."""

    data: Any
    split: str = "train"
    image_key: str | None = None
    label_key: str | None = None
    fields: Any = None

    def open(self) -> Source:
        """Return the source; raise `InputError` for what cannot be opened."""
        source = open_source(
            self.data, split=self.split, image_key=self.image_key, label_key=self.label_key
        )
        if not self.fields:
            return source
        if not is_annotated(source):
            raise InputError(
                f"fields={self.fields!r} are for images with masks, boxes or keypoints, and "
                f"{source!r} has none: leave fields out, or give the folder of such a dataset"
            )
        annotated: Any = source
        opened: Source = annotated.with_fields(self.fields)
        return opened


@dataclass(frozen=True, slots=True)
class Job:
    """All that the batches of a loader depend on, but for machine and versions."""

    dataset: Dataset
    policy: Policy  # that of the first view, if there are views
    seed: int
    order: Order  # of one rank alone
    output: Output
    form: Form
    reading: Reading
    views: Views | None = None
    repeats: Repeats = Repeats()  # noqa: RUF009  (frozen)
    num_classes: int | None = None
    invariances: Invariances | str | None = None
    allow: Sequence[str] = ()

    def open(self, place: Place) -> Pipeline:
        """Return the pipeline that makes the batches of one rank; raise what makes all fail."""
        given: dict[str, Any] = {
            "order": self.order, "seed": self.seed, "output": self.output, "targets": self.form,
            "place": place, "reading": self.reading,
        }  # fmt: skip
        source = self.dataset.open()
        made = (
            Pipeline(source, self.policy, **given)
            if self.views is None
            else ViewPipeline(source, self.views, **given)
        )
        made.declare(self.num_classes)
        made.check(self.invariances, self.allow)
        return made
