"""Images of a request, augmented: together with those of others, and independent of them."""

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from augfeed.batch import Batch
from augfeed.engines import DTYPES, Engine, Output
from augfeed.errors import AugfeedError, InputError, PolicyError, ReadError
from augfeed.executor import staged
from augfeed.kernels.resample import resample
from augfeed.operation.describe import describe
from augfeed.plan import BatchRows, draw_plan
from augfeed.plan.batch_rows import joined
from augfeed.plan.policy_constants import PolicyConstants
from augfeed.policy import CutMix, Mixup, Normalize, OneOf, Policy
from augfeed.policy.check import check_single
from augfeed.presets import resolve_policy
from augfeed.read.frames import views_of
from augfeed.read.image_frame import Encoded
from augfeed.targets import make_targets, softens
from augfeed_service.images import Images, invalid
from augfeed_service.limits import LONGEST_POLICY
from augfeed_service.memory_cost import label_bytes, npz_bytes, staged_bytes
from augfeed_service.metrics import Metrics
from augfeed_service.plans import check_policy
from augfeed_service.problems import Problem
from augfeed_service.settings import Settings

WAIT = 0.002  # seconds that a small request waits for others
SMALL, TOGETHER = 32, 256  # images of a request that waits, and of those made together


class Ask(BaseModel):
    """What is asked of images, beside themselves."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    policy: str = Field(
        max_length=LONGEST_POLICY,
        description="a preset, a line such as 'hflip | cutmix(1.0)', or JSON",
    )
    seed: int = Field(0, ge=0, lt=2**64)
    epoch: int = Field(0, ge=0, lt=2**32)
    dtype: Literal["uint8", "float16", "bfloat16", "float32"] | None = None
    layout: Literal["NCHW", "NHWC"] = "NCHW"
    labels: Literal["compact", "dense"] = "compact"
    num_classes: int | None = Field(None, ge=1, le=1 << 20)

    @classmethod
    def of(cls, given: dict[str, Any]) -> "Ask":
        """Return what is asked; raise `Problem`."""
        try:
            return cls.model_validate(given)
        except ValidationError as error:
            raise Problem(400, "malformed", describe(error, cls)) from None

    def with_dtype(self, dtype: Any) -> "Ask":
        """Return the same for another element type."""
        return self.model_copy(update={"dtype": dtype})

    def resolved(self, settings: Settings) -> Policy:
        """Return the policy; raise `Problem` for one that cannot be, or may not be asked for."""
        try:
            policy = resolve_policy(self.policy, files=False)
            check_policy(policy, settings)
        except (PolicyError, InputError) as error:
            raise Problem(422, "invalid-policy", str(error)) from None
        self.check(policy)
        return policy

    def check(self, policy: Policy) -> None:
        """Raise `Problem` for an element type that cannot hold what a policy makes."""
        try:
            check_single(policy)
            Output(DTYPES[self.dtype or default_dtype(policy)]).check(policy)
        except InputError as error:
            raise Problem(422, "invalid-policy", str(error)) from None


def default_dtype(policy: Policy) -> str:
    """Return the element type of images for which none is asked: float32 where they are
    normalized, else uint8."""
    return "uint8" if policy.find(Normalize) is None else "float32"


@dataclass(frozen=True, slots=True)
class Push:
    """A request: images, what is asked, and the policy that is meant."""

    images: Images
    ask: Ask
    policy: Policy

    @property
    def dtype(self) -> torch.dtype:
        """The element type of what comes out."""
        return DTYPES[self.ask.dtype or default_dtype(self.policy)]

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of what comes out; raises `Problem` if images of one size are needed."""
        try:
            return self.policy.size(self.images.size)
        except PolicyError as error:
            raise Problem(422, "invalid-policy", str(error)) from None

    @property
    def nbytes(self) -> int:
        """Bytes that the request takes while it is carried out: its images as they came, frames
        one by one and together, what comes out of all and its own part of that, and labels."""
        given, count = self.images, len(self.images.pictures)
        values = self.size[0] * self.size[1] * given.channels
        made = values * count * (2 + 2 * self.dtype.itemsize)
        made += staged_bytes(self.policy, values, count, 1)
        dense = self.ask.labels == "dense"
        labels = label_bytes(given.labels, count, count, dense=dense, classes=self.ask.num_classes)
        return given.nbytes + made + labels

    @property
    def npz_bytes(self) -> int:
        """Bytes that a file for `numpy.load` takes, with those of the batch that it is made of."""
        count, labels = len(self.images.pictures), self.images.labels
        values = self.size[0] * self.size[1] * self.images.channels
        size = self.dtype.itemsize
        wide = max(4 if self.dtype == torch.bfloat16 else 1, size)
        width = self.ask.num_classes or 1
        if labels is not None and labels.ndim == 2:
            width = 2 * labels.shape[1]
        file = npz_bytes([((count, values), wide), ((count, width), 4)])
        return file + count * (values * size + 4 * width)

    @property
    def key(self) -> tuple[Any, ...]:
        """What requests have to share to be made together."""
        ask = self.ask
        return (self.policy.digest, ask.seed, ask.epoch, self.dtype, ask.layout, self.size,
                self.images.channels)  # fmt: skip


def augment(pushes: list[Push], engine: Engine) -> list[Batch | Problem]:
    """Return the batches of requests that share their key, each as if it were alone.

    Images mix within a request, in groups of 8 from its first one on, whose numbers name their
    draws; so requests that mix are carried out one by one. What is wrong with one request is in
    its place.
    """
    if len(pushes) > 1 and mixes(pushes[0].policy):
        return [made for push in pushes for made in augment([push], engine)]
    found: list[Any] = [None] * len(pushes)
    cut = []
    for k, push in enumerate(pushes):
        try:
            cut.append((k, push, _frames(push)))
        except Problem as error:
            found[k] = error
    if cut:
        rows = joined([BatchRows.of(push.images.ids) for _, push, _ in cut])
        first = cut[0][1]
        plan = draw_plan(
            first.policy, rows, seed=first.ask.seed, epoch=first.ask.epoch, size=first.size
        )
        frames = torch.from_numpy(np.concatenate([frames for _, _, frames in cut]))
        output = Output(first.dtype, first.ask.layout == "NHWC")
        device = getattr(engine, "device", torch.device("cpu"))
        images = engine.apply(plan, staged(plan, frames.to(device)), output=output).cpu()
        begin = 0
        for k, push, own in cut:
            part = images[begin : begin + len(own)]
            # A part of its own: else who reads slowly would hold the images of all.
            found[k] = _batch(push, part if len(cut) == 1 else part.clone())
            begin += len(own)
    return found


def mixes(policy: Policy) -> bool:
    """Return whether images of a batch are mixed with each other."""
    return any(policy.find(kind) is not None for kind in (Mixup, CutMix, OneOf))


def _frames(push: Push) -> Any:
    images, policy = push.images, push.policy
    plan = draw_plan(policy, BatchRows.of(images.ids), seed=push.ask.seed, epoch=push.ask.epoch,
                     size=push.size)  # fmt: skip
    try:
        windows = plan.window.at(images.sizes[:, 0], images.sizes[:, 1])
    except InputError as error:
        raise invalid(str(error), too_small(push)) from None
    try:
        fixed = PolicyConstants.of(policy, images.channels)
    except InputError as error:
        raise Problem(422, "invalid-policy", str(error)) from None
    out = np.empty((len(images.pictures), *push.size, images.channels), np.uint8)
    wrong: dict[int, str] = {}
    pad = fixed.pad_mode, fixed.pad_fill
    for k, (picture, view) in enumerate(zip(images.pictures, views_of(windows), strict=True)):
        if not isinstance(picture, Encoded):
            resample(picture, *view, *pad, out[k])
            continue
        try:
            picture.show(view, out[k], pad)
        except ReadError as error:
            wrong[k] = str(error)
    if wrong:
        raise invalid(f"{len(wrong)} of {len(images.pictures)} files cannot be decoded", wrong)
    return out


def too_small(push: Push) -> dict[int, str] | None:
    """Return which files are smaller than what is cut out of them; None for arrays, all alike."""
    images = push.images
    if not isinstance(images.pictures[0], Encoded):
        return None
    rows = BatchRows.of(images.ids)
    plan = draw_plan(push.policy, rows, seed=push.ask.seed, epoch=push.ask.epoch, size=push.size)
    wrong: dict[int, str] = {}
    for k, size in enumerate(images.sizes):
        try:
            plan.window.take(np.array([k])).at(size[:1], size[1:])
        except InputError:
            wrong[k] = f"{size[0]} x {size[1]} pixels are fewer than are cut out of it"
    return wrong


def _batch(push: Push, images: torch.Tensor) -> Batch | Problem:
    given, ask = push.images, push.ask
    targets = None
    if given.labels is not None:
        plan = draw_plan(push.policy, BatchRows.of(given.ids), seed=ask.seed, epoch=ask.epoch,
                         size=push.size)  # fmt: skip
        numbers = given.labels.ndim == 1 and given.labels.dtype.kind == "f"
        form: Any = "dense" if ask.labels == "dense" else "auto" if numbers else "sparse"
        if form == "sparse" and not softens(push.policy):
            form = "auto"
        try:
            targets = make_targets(given.labels, plan, num_classes=ask.num_classes, form=form)
        except AugfeedError as error:
            return invalid(str(error))
    ids = torch.from_numpy(given.ids.copy())
    return Batch(images, targets, ids, ask.epoch, 0, None)


class Together:
    """Has small requests that ask for the same wait for each other a little."""

    def __init__(self, engine: Engine, pool: ThreadPoolExecutor, metrics: Metrics) -> None:
        self.engine, self.pool, self.metrics = engine, pool, metrics
        self._waiting: dict[tuple[Any, ...], list[tuple[Push, asyncio.Future[Any]]]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def augment(self, push: Push) -> Batch:
        """Return the batch of a request; raise `Problem`."""
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        alone = len(push.images.pictures) > SMALL or mixes(push.policy)
        if alone:
            self._start([(push, future)])
        else:
            self._queue(push, future)
        result = await future
        if isinstance(result, Problem):
            raise result
        return result  # type: ignore[no-any-return]

    def _queue(self, push: Push, future: "asyncio.Future[Any]") -> None:
        waiting = self._waiting.setdefault(push.key, [])
        waiting.append((push, future))
        if len(waiting) == 1:
            asyncio.get_running_loop().call_later(WAIT, self._release, push.key)
        if sum(len(one.images.pictures) for one, _ in waiting) >= TOGETHER:
            self._release(push.key)

    def _release(self, key: tuple[Any, ...]) -> None:
        if waiting := self._waiting.pop(key, None):
            self._start(waiting)

    def _start(self, waiting: list[tuple[Push, "asyncio.Future[Any]"]]) -> None:
        task = asyncio.create_task(self._make(waiting))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _make(self, waiting: list[tuple[Push, "asyncio.Future[Any]"]]) -> None:
        pushes = [push for push, future in waiting if not future.done()]
        futures = [future for _, future in waiting if not future.done()]
        begun = time.perf_counter()
        try:
            made: list[Any] = await asyncio.get_running_loop().run_in_executor(
                self.pool, augment, pushes, self.engine
            )
        except BaseException as error:
            made = [error] * len(futures)
        self.metrics.make_seconds.observe(time.perf_counter() - begun)
        count = sum(len(push.images.pictures) for push in pushes)
        self.metrics.microbatch.observe(count)
        self.metrics.images.inc(count)
        for future, result in zip(futures, made, strict=True):
            if future.done():
                continue
            if isinstance(result, BaseException) and not isinstance(result, Problem):
                future.set_exception(result)
            else:
                future.set_result(result)
