"""Plans by id: what is known of them, and the pipelines that make their batches."""

import math
import threading
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

from augfeed import Order, Pipeline
from augfeed.engines import Place
from augfeed.errors import AugfeedError
from augfeed.operation.parameter_types import pair
from augfeed.policy import CenterCrop, Policy, RandomCrop, RandomResizedCrop, Resize
from augfeed.read.arrays import ArraySource
from augfeed.read.cache.shared import SharedCache
from augfeed.read.read_config import Reading
from augfeed.targets import Form
from augfeed.view_pipeline import ViewPipeline
from augfeed.wire import MAP_BYTES, Description, most_field_bytes, most_values, tensors_of
from augfeed_service import memory_cost
from augfeed_service.budget import Budget
from augfeed_service.datasets import Datasets, Mounted
from augfeed_service.object_masks import object_bytes
from augfeed_service.problems import Problem
from augfeed_service.settings import Settings

LONGEST = 16384  # pixels of a side that a policy makes
SHOWN = 5  # samples whose objects one image shows, at most
BASE, EACH = 64 << 10, 16  # bytes of a plan, and of each byte of its description


@dataclass(frozen=True, slots=True)
class Shared:
    """What all plans share: the settings, the memory, the decoded images."""

    settings: Settings
    budget: Budget
    cache: SharedCache | None


class Plan:
    """A description with its dataset, and the pipeline that all ranks share."""

    def __init__(self, description: Description, mounted: Mounted, shared: Shared) -> None:
        """Check that batches can be made; raise `Problem` if not."""
        self.description, self.mounted, self.settings = description, mounted, shared.settings
        settings = shared.settings
        self.own_bytes = BASE + EACH * len(description.canonical())
        self.id, self.fingerprint = description.id, mounted.fingerprint
        for policy in description.policies:
            check_policy(policy, settings)
        self.base_pipeline = pipeline = self._build(shared)
        self.tensors = tensors_of(description, pipeline.fixed.channels, pipeline.source.sizes)
        self.frame_bytes = most_values(self.tensors)
        self.sample_bytes = self.frame_bytes * description.output.dtype.itemsize
        self._check_bytes()

    def _check_bytes(self) -> None:
        most, count = self.settings.max_batch_bytes, self.description.batch_size
        if count * self.sample_bytes > most:
            raise Problem(
                422, "invalid-description",
                f"batch_size={count} of {self.sample_bytes:,} bytes each is more than {most:,} "
                f"bytes: use {max(1, most // self.sample_bytes)} or fewer, or smaller images",
            )  # fmt: skip

    @property
    def sides(self) -> tuple[int, int]:
        """Height and width of the images, of the largest ones where a schedule changes them."""
        return max((shape[1:] for _, shape in self.tensors[0].shapes), key=math.prod)

    def nbytes(self, world: int) -> int:
        """Return the bytes that the making of a batch takes: images, frames, labels."""
        share = self.description.batch_size // world
        pipeline, given, source = self.base_pipeline, self.description, self.mounted.source
        scenes = any(stage.scenes for policy in given.policies for _, stage in policy.scheduled)
        rows = memory_cost.rows_of(share, mixes=given.softens or scenes)
        frames = 0
        if not pipeline.in_memory:
            size = source.images.dtype.itemsize if isinstance(source, ArraySource) else 1
            values = self.frame_bytes
            frames = rows * values * size
            for policy in self.description.policies:
                frames += memory_cost.staged_bytes(policy, values, rows, self.settings.threads)
        labels = memory_cost.label_bytes(
            source.labels, share, rows, dense=pipeline.form == "dense", classes=pipeline.num_classes
        )
        fields = 2 * rows * most_field_bytes(self.counted, self.sides)
        fields *= SHOWN if scenes else 1
        maps = share * MAP_BYTES * (given.views.count if given.views else 0)
        return share * self.sample_bytes + frames + labels + fields + maps

    @property
    def counted(self) -> dict[str, str]:
        """The kinds of fields whose bytes `nbytes` counts: all but masks of objects that
        `object_bytes` does."""
        kinds = self.mounted.kinds
        return {name: kind for name, kind in kinds.items()
                if self.mounted.masks is None or kind != "mask"}  # fmt: skip

    def object_bytes(self, epoch: int, step: int, rank: int, world: int) -> int:
        """Return the bytes that masks of objects take while a batch is made, by its samples."""
        if self.mounted.masks is None:
            return 0
        pipeline = self.pipeline(rank, world)
        assert isinstance(pipeline, Pipeline), "views have no fields"
        return object_bytes(
            self.mounted.masks, pipeline.rows(epoch, step), self.description.policies, self.sides
        )

    def npz_bytes(self, world: int) -> int:
        """Return the bytes that a file for `numpy.load` takes beside those of its batch."""
        share = self.description.batch_size // world
        made = self.base_pipeline
        wide = 4 if self.description.dtype == "bfloat16" else made.output.dtype.itemsize
        labels = self.mounted.source.labels
        width = made.num_classes or 1
        if labels is not None and labels.ndim == 2:
            width = 2 * labels.shape[1]
        fields = most_field_bytes(self.counted, self.sides)
        shapes = [((share, self.frame_bytes), wide), ((share, width), 4), ((share, fields), 1)]
        return memory_cost.npz_bytes(shapes)

    def pipeline(self, rank: int, world: int) -> Pipeline:
        """Return the pipeline of a rank; raise `Problem` if batches cannot be shared out so."""
        size = self.description.batch_size
        if not 0 <= rank < world:
            raise Problem(
                422, "uneven-ranks", f"rank={rank} is not in [0, {world}): give one of {world}"
            )
        if size % world:
            raise Problem(
                422, "uneven-ranks",
                f"world={world} does not divide batch_size={size}: use a multiple of {world}",
            )  # fmt: skip
        if world == 1:
            return self.base_pipeline
        try:
            return self.base_pipeline.for_rank(self._order(rank, world))
        except AugfeedError as error:
            raise Problem(422, "uneven-ranks", str(error)) from None

    def _order(self, rank: int, world: int) -> Order:
        given = self.description
        share = given.batch_size // world
        return Order(share, given.shuffle, given.drop_last, rank, world, given.repeats)

    def _build(self, shared: Shared) -> Pipeline:
        given, settings, order = self.description, self.settings, self._order(0, 1)
        labels = self.mounted.source.labels
        # Plain numbers to regress on have no compact form; they go through as they are.
        numbers = labels is not None and labels.ndim == 1 and labels.dtype.kind == "f"
        form: Form = "dense" if given.labels == "dense" else "auto" if numbers else "sparse"
        if self.mounted.kinds and form == "sparse":
            form = "auto"
        try:
            options: dict[str, Any] = {
                "order": order, "seed": given.seed, "output": given.output, "targets": form,
                "place": Place(settings.device),
                "reading": Reading(settings.on_error, shared.cache, settings.max_pixels,
                                   settings.reader, shared.budget.memory),
            }  # fmt: skip
            made = (
                ViewPipeline(self.mounted.source, given.views, **options)
                if given.views is not None
                else Pipeline(self.mounted.source, given.policies[0], **options)
            )
            made.orders = shared.budget.orders
            made.check(None)
        except AugfeedError as error:
            raise Problem(422, "invalid-description", self.mounted.hidden(str(error))) from error
        return made

    def as_json(self) -> dict[str, Any]:
        """Return what clients are reported."""
        pipeline, source = self.base_pipeline, self.mounted.source
        return {
            "id": self.id,
            "description": self.description.model_dump(mode="json"),
            "fingerprint": self.fingerprint,
            "num_samples": len(source),
            "batches_per_epoch": len(pipeline),
            "num_classes": source.num_classes,
            "classes": None if source.classes is None else list(source.classes),
            "image_shape": [*self.tensors[0].shape],
            "softens": self.description.softens,
            "fields": self.mounted.kinds,
            "tensors": [each.as_json() for each in self.tensors],
        }


class Plans:
    """The newest plans of a service; who asks for a forgotten one registers it again."""

    def __init__(self, datasets: Datasets, shared: Shared) -> None:
        self.settings, self.datasets, self.shared = shared.settings, datasets, shared
        self._known: OrderedDict[str, Plan] = OrderedDict()
        self._lock = threading.Lock()

    def put(self, id_: str, description: Description) -> tuple[Plan, bool]:
        """Return a plan, and whether it was not known; raise `Problem` if it cannot be."""
        if description.id != id_:
            raise Problem(
                409, "plan-id-mismatch",
                f"id={id_!r} is not {description.id!r}, the hash of the canonical JSON of this "
                "description (RFC 8785): use that, or POST /v1/plans, which answers with it",
                expected_id=description.id,
            )  # fmt: skip
        with self._lock:
            if (known := self._current(id_)) is not None:
                return known, False
        made = Plan(description, self.datasets.get(description.dataset), self.shared)
        with self._lock:
            known = self._known.setdefault(id_, made)
            while len(self._known) > 1 and (
                len(self._known) > self.settings.max_plans
                or self._plan_bytes > self.settings.plan_bytes // 4
            ):
                self._known.popitem(last=False)
        return known, True

    @property
    def _plan_bytes(self) -> int:
        return sum(plan.own_bytes for plan in self._known.values())

    @property
    def nbytes(self) -> int:
        """Bytes of the plans, as reckoned, and of the orders of their epochs."""
        with self._lock:
            return self._plan_bytes + self.shared.budget.orders.nbytes

    def get(self, id_: str) -> Plan:
        """Return a known plan; raise `Problem` for another."""
        with self._lock:
            if (known := self._current(id_)) is not None:
                return known
        raise Problem(
            404, "unknown-plan", f"plan {id_!r} is not known here: PUT its description, then ask"
        )

    def _current(self, id_: str) -> Plan | None:
        # None also for a plan of a dataset that was read again since, and has other samples.
        known = self._known.get(id_)
        if known is not None and not self.datasets.has(known.mounted):
            del self._known[id_]
            return None
        if known is not None:
            self._known.move_to_end(id_)
        return known

    def __len__(self) -> int:
        return len(self._known)


def check_policy(policy: Policy, settings: Settings) -> None:
    """Raise `Problem` for a policy that strangers may not ask for: stages of Kornia that are not
    allowed, and sizes that would take all memory."""
    for stage in policy.stages:
        if stage.name not in settings.kornia:
            allowed = ", ".join(settings.kornia) or "none"
            raise Problem(
                422, "invalid-policy",
                f"Kornia({stage.name!r}) is not allowed here, only {allowed}: leave it out, or "
                f"start the service with --set kornia={','.join((*settings.kornia, stage.name))}",
            )  # fmt: skip
    for _, later in policy.scheduled:
        _check_sides(later)


def _check_sides(policy: Policy) -> None:
    kinds: tuple[Any, ...] = (RandomResizedCrop, RandomCrop, CenterCrop, Resize)
    found: list[Any] = [policy.find(kind) for kind in kinds]
    sides = [side for one in found if one is not None for side in pair(one.size)]
    crop = policy.find(RandomCrop)
    sides.append(0 if crop is None else crop.padding)
    if max(sides) > LONGEST:
        raise Problem(
            422, "invalid-policy", f"size={max(sides)} is above {LONGEST} pixels: use a smaller one"
        )
