"""Plans by id: what is known of them, and the pipelines that make their batches."""

import threading
from collections import OrderedDict
from typing import Any

from augfeed import Order, Pipeline
from augfeed.engines import Place
from augfeed.errors import AugfeedError
from augfeed.policy import CenterCrop, Policy, RandomCrop, RandomResizedCrop, Resize
from augfeed.policy.base import pair
from augfeed.read.reading import Reading
from augfeed.targets import Form, softens
from augfeed.wire import Description
from augfeed_service.datasets import Datasets, Mounted
from augfeed_service.problems import Problem
from augfeed_service.settings import Settings

LONGEST = 16384  # pixels of a side that a policy makes
MOST_RANKS = 64  # pipelines of one plan that are kept


class Plan:
    """A description with its data set; pipelines are built when a rank asks for its first batch."""

    def __init__(self, description: Description, mounted: Mounted, settings: Settings) -> None:
        """Check that batches can be made; raise `Problem` if not."""
        self.description, self.mounted, self.settings = description, mounted, settings
        self.id, self.fingerprint = description.id, mounted.fingerprint
        check_policy(description.policy, settings)
        self._pipelines: OrderedDict[tuple[int, int], Pipeline] = OrderedDict()
        self._lock = threading.Lock()
        self.whole = self.pipeline(0, 1)
        each = self.whole.fixed.channels * self.whole.size[0] * self.whole.size[1]
        self.sample_bytes = each * description.output.dtype.itemsize
        self.frame_bytes = each
        self._check_bytes()

    def _check_bytes(self) -> None:
        most, count = self.settings.max_batch_bytes, self.description.batch_size
        if count * self.sample_bytes > most:
            raise Problem(
                422, "invalid-description",
                f"batch_size={count} of {self.sample_bytes:,} bytes each is more than {most:,} "
                f"bytes: use {max(1, most // self.sample_bytes)} or fewer, or smaller images",
            )  # fmt: skip

    def nbytes(self, world: int) -> int:
        """Return the bytes that the making of a batch takes: of the images, and of frames."""
        share = self.description.batch_size // world
        mixing = self.whole.in_memory
        return share * (self.sample_bytes + (0 if mixing else self.frame_bytes))

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
        with self._lock:
            made = self._pipelines.get((rank, world))
            if made is None:
                made = self._pipelines[rank, world] = self._build(rank, world)
                while len(self._pipelines) > MOST_RANKS:
                    self._pipelines.popitem(last=False)
            self._pipelines.move_to_end((rank, world))
            return made

    def _build(self, rank: int, world: int) -> Pipeline:
        given, settings = self.description, self.settings
        order = Order(given.batch_size // world, given.shuffle, given.drop_last, rank, world)
        labels = self.mounted.source.labels
        # Plain numbers to regress on have no compact form; they go through as they are.
        numbers = labels is not None and labels.ndim == 1 and labels.dtype.kind == "f"
        form: Form = "dense" if given.labels == "dense" else "auto" if numbers else "sparse"
        try:
            made = Pipeline(
                self.mounted.source, given.policy, order=order, seed=given.seed,
                output=given.output, targets=form, place=Place(settings.device),
                reading=Reading(settings.on_error, None, settings.max_pixels, settings.reader),
            )  # fmt: skip
            made.check(None)
        except AugfeedError as error:
            raise Problem(422, "invalid-description", self.mounted.hidden(str(error))) from error
        return made

    def told(self) -> dict[str, Any]:
        """Return what clients are told."""
        whole, source = self.whole, self.mounted.source
        return {
            "id": self.id,
            "description": self.description.model_dump(mode="json"),
            "fingerprint": self.fingerprint,
            "num_samples": len(source),
            "batches_per_epoch": len(whole),
            "num_classes": source.num_classes,
            "classes": None if source.classes is None else list(source.classes),
            "image_shape": [whole.fixed.channels, *whole.size],
            "softens": softens(self.description.policy),
        }


class Plans:
    """The newest plans of a service; who asks for a forgotten one registers it anew."""

    def __init__(self, settings: Settings, datasets: Datasets) -> None:
        self.settings, self.datasets = settings, datasets
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
            if (known := self._known.get(id_)) is not None:
                self._known.move_to_end(id_)
                return known, False
        made = Plan(description, self.datasets.get(description.dataset), self.settings)
        with self._lock:
            known = self._known.setdefault(id_, made)
            while len(self._known) > self.settings.max_plans:
                self._known.popitem(last=False)
        return known, True

    def get(self, id_: str) -> Plan:
        """Return a known plan; raise `Problem` for another."""
        with self._lock:
            if (known := self._known.get(id_)) is not None:
                self._known.move_to_end(id_)
                return known
        raise Problem(
            404, "unknown-plan", f"plan {id_!r} is not known here: PUT its description, then ask"
        )

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
    kinds: tuple[Any, ...] = (RandomResizedCrop, RandomCrop, CenterCrop, Resize)
    found: list[Any] = [policy.find(kind) for kind in kinds]
    sides = [side for one in found if one is not None for side in pair(one.size)]
    crop = policy.find(RandomCrop)
    sides.append(0 if crop is None else crop.padding)
    if max(sides) > LONGEST:
        raise Problem(
            422, "invalid-policy", f"size={max(sides)} is above {LONGEST} pixels: use a smaller one"
        )
