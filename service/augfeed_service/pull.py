"""A batch of a plan by its address: what makes it, its tag, its bytes."""

import asyncio
import hashlib
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal

from augfeed.errors import InputError, ReadError
from augfeed.fields.annotated import FieldTargets
from augfeed.targets import Targets
from augfeed.wire import encode_batch, is_fields
from augfeed_service.batches import BatchJob, EncodedBatch
from augfeed_service.formats import NPZ, SAFETENSORS, npz
from augfeed_service.plans import Plan
from augfeed_service.problems import Problem

Format = Literal["safetensors", "npz"]
MOST_EPOCHS = 1 << 32


@dataclass(frozen=True, slots=True)
class Address:
    """Which batch of a plan."""

    epoch: int
    step: int
    rank: int = 0
    world: int = 1
    maps: bool = False  # whether the places of views are sent

    def next(self, count: int) -> list["Address"]:
        """Return the addresses that follow in the epoch."""
        steps = range(self.step + 1, self.step + 1 + count)
        return [replace(self, step=step) for step in steps]


def tag(plan: Plan, at: Address, format_: Format) -> str:
    """Return the entity tag of a batch: what its bytes depend on, hashed, without making it."""
    parts = [plan.id, at.epoch, at.step, at.rank, at.world, plan.fingerprint, format_]
    parts += ["maps"] if at.maps else []
    return hashlib.sha256("\n".join(map(str, parts)).encode()).hexdigest()[:32]


def check(plan: Plan, at: Address) -> None:
    """Raise `Problem` if a plan has no such batch."""
    if at.maps and plan.description.views is None:
        raise Problem(
            422, "invalid-description",
            "maps=true asks where the views of samples lie, and this plan has none: leave maps out",
        )  # fmt: skip
    pipeline = plan.pipeline(at.rank, at.world)
    if not 0 <= at.epoch < MOST_EPOCHS or not 0 <= at.step < len(pipeline):
        raise Problem(
            404, "unknown-batch",
            f"epoch={at.epoch}, step={at.step}: an epoch of this plan has {len(pipeline)} batches, "
            f"from 0, and there are {MOST_EPOCHS:,} epochs",
        )  # fmt: skip


async def order(plan: Plan, at: Address, format_: Format, pool: ThreadPoolExecutor) -> BatchJob:
    """Return what makes a batch."""
    run = partial(make, plan, at, format_, pool)
    nbytes = plan.nbytes(at.world) + (plan.npz_bytes(at.world) if format_ == NPZ else 0)
    if plan.mounted.masks is not None:
        # It asks for the order of the epoch, which takes time.
        objects = await asyncio.to_thread(
            plan.object_bytes, at.epoch, at.step, at.rank, at.world
        )  # fmt: skip
        nbytes += objects * (2 if format_ == NPZ else 1)
    return BatchJob(tag(plan, at, format_), run, nbytes)


def make(plan: Plan, at: Address, format_: Format, pool: ThreadPoolExecutor) -> EncodedBatch:
    """Return a batch as bytes; raise `Problem` naming a file that cannot be read.

    Its parts are made side by side by the threads of `pool`, as far as they are free: this thread
    does whatever they have not begun.
    """
    begun = time.perf_counter()
    try:
        work = plan.pipeline(at.rank, at.world).work(at.epoch, at.step)
        _side_by_side(work.tasks, pool)
        batch = work.finish()
    except ReadError as error:
        raise Problem(500, "unreadable", plan.mounted.hidden(str(error))) from error
    except InputError as error:
        raise Problem(422, "invalid-description", plan.mounted.hidden(str(error))) from error
    made = time.perf_counter()
    metadata = {"plan": plan.id, "fingerprint": plan.fingerprint, "rank": str(at.rank),
                "world": str(at.world)}  # fmt: skip
    batch = _on_host(batch)
    if format_ == SAFETENSORS:
        body = encode_batch(batch, metadata, layout=plan.description.layout, maps=at.maps)
    else:
        body = npz(batch, plan.description.layout, maps=at.maps)
    ended = time.perf_counter()
    return EncodedBatch(body, {"make": made - begun, "encode": ended - made}, len(batch))


def _side_by_side(tasks: Any, pool: ThreadPoolExecutor) -> None:
    # This thread belongs to the pool, too: it must not wait for a task that no thread is free for.
    if len(tasks) < 2:
        for task in tasks:
            task()
        return
    futures = [pool.submit(task) for task in tasks]
    begun = []
    for future, task in zip(reversed(futures), reversed(tasks), strict=True):
        if future.cancel():
            task()
        else:
            begun.append(future)
    for future in begun:
        future.result()


def _on_host(batch: Any) -> Any:
    targets = batch.targets
    if is_fields(targets):
        targets = FieldTargets.of(targets, len(batch)).to("cpu").value
    elif isinstance(targets, Targets):
        targets = targets.to("cpu")
    elif targets is not None:
        targets = targets.cpu()
    views = {name: replace(view, images=view.images.cpu()) for name, view in batch.views.items()}
    images = next(iter(views.values())).images if views else batch.images.cpu()
    return replace(batch, images=images, targets=targets, views=views)
