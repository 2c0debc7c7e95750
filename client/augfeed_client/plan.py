"""A plan as the client knows it: registered, and its batches asked for and checked."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any
from urllib.parse import urlencode

from augfeed.batch import Batch
from augfeed.errors import WireError
from augfeed.wire import (
    MAP_BYTES,
    MEDIA_TYPE,
    Description,
    ImageTensor,
    decode_batch,
    most_field_bytes,
    most_values,
)
from augfeed_client.errors import Problem
from augfeed_client.replica import Answer, HttpRequest, Replica
from augfeed_client.replicas import EXPECT, FINGERPRINT, Replicas, Request

MOST_PLAN = 16 << 20  # bytes of what is reported of a plan
SPARE = 1 << 20  # bytes of a batch beside its images: header and labels, and one wide row of shares
Place = tuple[int, int, int, int]  # epoch, step, rank, world


@dataclass(frozen=True, slots=True)
class PlanInfo:
    """What a service knows of a plan."""

    id: str
    description: Description
    fingerprint: str
    num_samples: int
    batches_per_epoch: int
    num_classes: int | None
    classes: tuple[str, ...] | None
    image_shape: tuple[int, int, int]
    softens: bool
    tensors: tuple[ImageTensor, ...]
    fields: Mapping[str, str] = field(default_factory=dict)

    def most(self, world: int) -> int:
        """Return how many bytes a batch may take, with rows of shares and places of views too."""
        count = self.description.batch_size // world
        sides = max((shape[1:] for _, shape in self.tensors[0].shapes), key=math.prod)
        labels = 32 + 8 * (self.num_classes or 0) + most_field_bytes(self.fields, sides)
        views = MAP_BYTES * sum(tensor.views for tensor in self.tensors)
        images = most_values(self.tensors) * self.description.output.dtype.itemsize
        return count * (images + labels + views) + SPARE


def register(replicas: Replicas, description: Description) -> PlanInfo:
    """Return what a service knows of a plan after telling it; raise `RemoteError`."""
    info: PlanInfo = replicas.ask(_registration(description))
    return info


def _registration(description: Description) -> Request:
    return Request(
        "PUT", f"/v1/plans/{description.id}", description.id,
        {"Content-Type": "application/json"}, description.to_json(),
        check=partial(_info, description), most=MOST_PLAN,
    )  # fmt: skip


def _info(description: Description, answer: Answer) -> PlanInfo:
    told = json.loads(bytes(answer.body))
    try:
        if told["id"] != description.id:
            raise ValueError(f"plan {told['id']!r} was reported of, not {description.id!r}")
        channels, height, width = (int(side) for side in told["image_shape"])
        classes = told["classes"]
        return PlanInfo(
            description.id, description, str(told["fingerprint"]), int(told["num_samples"]),
            int(told["batches_per_epoch"]),
            None if told["num_classes"] is None else int(told["num_classes"]),
            None if classes is None else tuple(map(str, classes)), (channels, height, width),
            bool(told["softens"]), _tensors(description, told, (channels, height, width)),
            dict(told.get("fields") or {}),
        )  # fmt: skip
    except (KeyError, TypeError) as error:
        raise ValueError(f"what is reported of the plan lacks {error}") from None


def _tensors(
    description: Description, told: dict[str, Any], shape: tuple[int, int, int]
) -> tuple[ImageTensor, ...]:
    # A service that knows no views reports the shape of its images alone.
    if "tensors" not in told:
        return (ImageTensor("", 1, ((0, shape),)),)
    made = tuple(map(ImageTensor.of_json, told["tensors"]))
    views = description.views
    names = ("",) if views is None else views.names
    if tuple(tensor.name for tensor in made) != names:
        raise ValueError(f"tensors={told['tensors']!r} are reported, not {names}")
    return made


def batch_request(
    info: PlanInfo, at: Place, fingerprint: str | None, *, maps: bool = False
) -> Request:
    """Return the request for a batch; its answer becomes a `Batch`, checked to be that one.

    With `maps` the windows and matrices of its views come along.
    """
    epoch, step, rank, world = at
    path = f"/v1/plans/{info.id}/epochs/{epoch}/batches/{step}"
    asked: dict[str, Any] = {"rank": rank, "world": world} if world > 1 else {}
    query = urlencode(asked | ({"maps": "true"} if maps else {}))
    headers = {"Accept": MEDIA_TYPE}
    if fingerprint is not None:
        headers[EXPECT] = fingerprint
    return Request(
        "GET", f"{path}?{query}" if query else path, f"{info.id}\n{epoch}\n{step}", headers,
        check=partial(_batch, info, at, fingerprint), prepare=partial(_tell, info.description),
        most=info.most(world),
    )  # fmt: skip


def _tell(description: Description, replica: Replica, base: HttpRequest) -> None:
    request = _registration(description)
    headers = {**request.headers, **base.headers}
    answer = replica.ask(
        replace(base, path=request.path, headers=headers, body=request.body, most=MOST_PLAN)
    )
    if answer.status not in (200, 201):
        problem = Problem.of(answer.status, bytes(answer.body))
        if not problem.passes:
            raise problem.error(f"{replica.url}{request.path}", answer.headers.get("Location"))


def _batch(info: PlanInfo, at: Place, fingerprint: str | None, answer: Answer) -> Batch:
    # Raises ValueError, as WireError is one, for whatever is not the batch that was asked for.
    batch, told = decode_batch(answer.body)
    epoch, step, rank, world = at
    expected = {
        "plan": info.id, "epoch": str(epoch), "step": str(step), "rank": str(rank),
        "world": str(world), "fingerprint": fingerprint or answer.headers.get(FINGERPRINT),
    }  # fmt: skip
    for name, value in expected.items():
        if told.get(name) != value:
            raise WireError(f"{name}={told.get(name)!r} came, not {value!r}: another batch")
    images = {"": batch} if info.description.views is None else batch.views
    if [*images] != [tensor.name for tensor in info.tensors]:
        raise WireError(f"views {[*batch.views]} came: another plan")
    for tensor in info.tensors:
        found, dtype = images[tensor.name].images, info.description.output.dtype
        if tuple(found.shape[1:]) != tensor.at(epoch) or found.dtype != dtype:
            raise WireError(
                f"images of {found.dtype} and shape {tuple(found.shape)} came: another plan"
            )
        if len(found) != tensor.views * len(batch):
            raise WireError(f"{len(found)} images came of {len(batch)} samples: another plan")
    return batch
