"""Single calls: a batch, images to augment, an image to look at."""

import json
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlencode

import numpy as np
import torch

from augfeed.batch import Batch
from augfeed.errors import InputError
from augfeed.operation.describe import shown
from augfeed.policy import Policy
from augfeed.presets import resolve_policy
from augfeed.whole_number import whole_number
from augfeed.wire import MEDIA_TYPE, Description, decode_batch, encode
from augfeed_client.connection import Connection
from augfeed_client.errors import RemoteError
from augfeed_client.plan import PlanInfo, batch_request, register
from augfeed_client.replica import Answer
from augfeed_client.replicas import Replicas, Request

BOUNDARY = "augfeed-7d1f3c9be2"


class Client:
    """Calls of a service; every one is safe to repeat, and is repeated until it succeeds.

    Raises `RemoteError` when no replica answers within the deadline, or the service refuses.
    """

    def __init__(
        self,
        urls: str | list[str],
        connection: Connection = Connection(),  # noqa: B008  (frozen)
    ) -> None:
        """Ask for nothing yet."""
        self._replicas = Replicas(urls, connection)

    def info(self) -> dict[str, Any]:
        """Return the version, the device and the limits of a replica."""
        found: dict[str, Any] = self._get("/v1/info")
        return found

    def datasets(self) -> list[dict[str, Any]]:
        """Return the datasets that are mounted, with their sizes and classes."""
        found: list[dict[str, Any]] = self._get("/v1/datasets")
        return found

    def register(self, description: Description) -> PlanInfo:
        """Return what is known of a plan after telling it to the service."""
        return register(self._replicas, description)

    def batch(
        self, description: Description, epoch: int, step: int, *, rank: int = 0, world: int = 1,
        maps: bool = False,
    ) -> Batch:  # fmt: skip
        """Return a batch of a plan, or the part of a rank; labels as they are sent.

        With `maps` its views have their windows and matrices.
        """
        place = (
            whole_number("epoch", epoch, 0), whole_number("step", step, 0),
            whole_number("rank", rank, 0), whole_number("world", world, 1),
        )  # fmt: skip
        info = self.register(description)
        request = batch_request(info, place, info.fingerprint, maps=maps)
        found: Batch = self._replicas.ask(request)
        return found

    def augment(
        self, images: Any, labels: Any = None, ids: Any = None, *, policy: Policy | str,
        seed: int = 0, epoch: int = 0, names: Sequence[str] | None = None, **options: Any,
    ) -> Batch:  # fmt: skip
        """Return images augmented; the same call gives the same bytes.

        `images` are uint8 `[N, H, W, C]` or `[N, C, H, W]` (tensor or array), or encoded files
        (a list of bytes: JPEG, PNG, WebP). `labels` are class numbers `[N]` or shares `[N, K]`,
        `ids` integers `[N]` that name the images; without them their content does. `names` are what
        an error calls the images, beside their places, as the names of their files. `options` are
        `dtype`, `layout`, `labels_form` ("compact" or "dense") and `num_classes`.
        """
        called = _called(images, ids, names)
        asked = self._asked(policy, seed, epoch, options)
        path, headers, body = _pushed("/v1/augment", images, labels, ids, asked)
        headers["Accept"] = MEDIA_TYPE
        request = Request("POST", path, path[:64], headers, body, check=_batch)
        found: Batch = self._push(request, called)
        return found

    def preview(
        self, images: Any = None, *, policy: Policy | str, dataset: str | None = None,
        seed: int = 0, names: Sequence[str] | None = None, **options: Any,
    ) -> bytes:  # fmt: skip
        """Return a PNG: samples before and after, of a dataset or of images as for `augment`.

        `options` for a dataset are `indices` and `epochs`, for images `epoch`.
        """
        if (images is None) == (dataset is None):
            raise InputError("preview() needs either images or dataset: give one of them")
        known = ("epoch",) if dataset is None else ("indices", "epochs")
        if unknown := sorted(set(options) - set(known)):
            raise InputError(f"options {unknown} are unknown: use some of {[*known]}")
        seed = whole_number("seed", seed, 0)
        called = _called(images, None, names)
        if dataset is not None:
            told = {"dataset": dataset, "policy": _text(policy), "seed": seed, **options}
            headers = {"Content-Type": "application/json"}
            path, body = "/v1/preview", json.dumps(told).encode()
        else:
            epoch = whole_number("epoch", options.get("epoch", 0), 0)
            asked = {"policy": _text(policy), "seed": str(seed), "epoch": str(epoch)}
            path, headers, body = _pushed("/v1/preview", images, None, None, asked)
        request = Request("POST", path, "preview", headers, body,
                          check=lambda answer: bytes(answer.body))  # fmt: skip
        found: bytes = self._push(request, called)
        return found

    def close(self) -> None:
        """End the connections."""
        self._replicas.close()

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()

    def __del__(self) -> None:
        if "_replicas" in self.__dict__:
            self.close()

    def _push(self, request: Request, called: list[str]) -> Any:
        try:
            return self._replicas.ask(request)
        except RemoteError as error:
            if not error.images:
                raise
            raise error.naming(called) from None

    def _get(self, path: str) -> Any:
        return self._replicas.ask(Request("GET", path, path, check=_json))

    def _asked(
        self, policy: Policy | str, seed: int, epoch: int, options: dict[str, Any]
    ) -> dict[str, str]:
        known = {"dtype": "dtype", "layout": "layout", "labels_form": "labels",
                 "num_classes": "num_classes"}  # fmt: skip
        if unknown := sorted(set(options) - set(known)):
            raise InputError(f"options {unknown} are unknown: use some of {[*known]}")
        given = {known[name]: value for name, value in options.items() if value is not None}
        numbers = {"seed": seed, "epoch": epoch}
        if "num_classes" in given:
            numbers["num_classes"] = given["num_classes"]
        given |= {name: whole_number(name, value, 0) for name, value in numbers.items()}
        return {"policy": _text(policy), **{name: str(value) for name, value in given.items()}}


def _batch(answer: Answer) -> Batch:
    return decode_batch(answer.body)[0]


def _json(answer: Answer) -> Any:
    return json.loads(bytes(answer.body))


def _text(policy: Policy | str) -> str:
    return policy.to_json() if isinstance(policy, Policy) else resolve_policy(policy).to_json()


def _called(images: Any, ids: Any, names: Sequence[str] | None) -> list[str]:
    # What the caller calls images, for errors.
    if names is None:
        return [] if ids is None else [f"id {id_}" for id_ in np.asarray(ids).reshape(-1).tolist()]
    if isinstance(names, str) or len(names) != len(() if images is None else images):
        raise InputError(f"names={shown(names)} are not one for each image: give as many")
    return [repr(str(name)) for name in names]


def _pushed(
    path: str, images: Any, labels: Any, ids: Any, asked: dict[str, str]
) -> tuple[str, dict[str, str], bytes]:
    if isinstance(images, np.ndarray | torch.Tensor):
        tensors = {"images": torch.as_tensor(images)}
        for name, values in (("labels", labels), ("ids", ids)):
            if values is not None:
                tensors[name] = torch.as_tensor(values)
        body = bytes(encode(tensors, {}))
        return f"{path}?{urlencode(asked)}", {"Content-Type": MEDIA_TYPE}, body
    kinds = "give an array, a tensor, or a list of encoded files as bytes"
    if not isinstance(images, Sequence) or isinstance(images, str | bytes):
        raise InputError(f"images of type {type(images).__name__!r} cannot be sent: {kinds}")
    if wrong := [k for k, one in enumerate(images) if not isinstance(one, bytes)]:
        first = f"images[{wrong[0]}]={shown(images[wrong[0]])}"
        raise InputError(f"{first} ({len(wrong)} such) cannot be sent: {kinds}")
    told: dict[str, Any] = {name: int(value) if name in ("seed", "epoch", "num_classes") else value
                            for name, value in asked.items()}  # fmt: skip
    for name, values in (("label_values", labels), ("ids", ids)):
        if values is not None:
            told[name] = np.asarray(values).tolist()
    parts = [_part('name="request"', "application/json", json.dumps(told).encode())]
    parts += [
        _part(f'name="images"; filename="{k}"', "application/octet-stream", one)
        for k, one in enumerate(images)
    ]
    body = b"".join(parts) + f"--{BOUNDARY}--\r\n".encode()
    return path, {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}, body


def _part(disposition: str, kind: str, data: bytes) -> bytes:
    head = f"--{BOUNDARY}\r\nContent-Disposition: form-data; {disposition}\r\n"
    return f"{head}Content-Type: {kind}\r\n\r\n".encode() + data + b"\r\n"
