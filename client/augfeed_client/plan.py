"""A plan as the client knows it: registered, and its batches asked for and checked."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import partial

from augfeed.batch import Batch
from augfeed.errors import WireError
from augfeed.wire import MEDIA_TYPE, Description, decode_batch, most_field_bytes
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
    fields: Mapping[str, str] = field(default_factory=dict)

    def most(self, world: int) -> int:
        """Return how many bytes a batch may take, with rows of shares too."""
        count = self.description.batch_size // world
        channels, height, width = self.image_shape
        item = self.description.output.dtype.itemsize
        labels = 32 + 8 * (self.num_classes or 0) + most_field_bytes(self.fields, (height, width))
        return count * (channels * height * width * item + labels) + SPARE


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
            bool(told["softens"]), dict(told.get("fields") or {}),
        )  # fmt: skip
    except (KeyError, TypeError) as error:
        raise ValueError(f"what is reported of the plan lacks {error}") from None


def batch_request(info: PlanInfo, at: Place, fingerprint: str | None) -> Request:
    """Return the request for a batch; its answer becomes a `Batch`, checked to be that one."""
    epoch, step, rank, world = at
    path = f"/v1/plans/{info.id}/epochs/{epoch}/batches/{step}"
    query = f"?rank={rank}&world={world}" if world > 1 else ""
    headers = {"Accept": MEDIA_TYPE}
    if fingerprint is not None:
        headers[EXPECT] = fingerprint
    return Request(
        "GET", path + query, f"{info.id}\n{epoch}\n{step}", headers,
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
    shape = tuple(batch.images.shape[1:])
    if shape != info.image_shape or batch.images.dtype != info.description.output.dtype:
        raise WireError(f"images of {batch.images.dtype} and shape {shape} came: another plan")
    return batch
