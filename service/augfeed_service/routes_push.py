"""Images of clients, augmented; and images to look at."""

import io
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response

from augfeed.errors import AugfeedError
from augfeed.wire import MEDIA_TYPE, Body, encode_batch
from augfeed_service.bodies import Form
from augfeed_service.formats import SAFETENSORS, TYPES, npz, wanted
from augfeed_service.images import Images, from_files, from_tensors, invalid, undecoded
from augfeed_service.openapi_bodies import BINARY, batch_answer, images_body, problems
from augfeed_service.parameters import json_object
from augfeed_service.preview import Drawing, PreviewAsk, draw, drawn_of
from augfeed_service.problems import Problem
from augfeed_service.push import Ask, Push, too_small
from augfeed_service.responses import BytesResponse
from augfeed_service.service import Service, service_of

router = APIRouter(tags=["push"])
TENSORS = (MEDIA_TYPE, "application/octet-stream")
Text = Annotated[str | None, Query(max_length=65536)]
PolicyText = Annotated[
    str | None, Query(max_length=65536, examples=["random_resized_crop(224) | hflip"])
]
Number = Annotated[int | None, Query()]


@dataclass(frozen=True, slots=True)
class Pushed:
    """Images of a request, and what is asked; the body of `nbytes` is in flight meanwhile."""

    images: Images
    ask: Ask
    nbytes: int


@asynccontextmanager
async def _pushed(
    service: Service, request: Request, given: dict[str, Any]
) -> AsyncIterator[Pushed]:
    # The images of a request, in whichever way they came, and what is asked of them.
    kind = request.headers.get("content-type", "").split(";")[0].strip().lower()
    if kind in TENSORS:
        async with service.body(request) as body, service.pushing():
            ask = Ask.of(given)
            images = await service.in_pool(from_tensors, body, service.settings)
            yield Pushed(images, ask, len(body))
    elif kind == "multipart/form-data":
        async with service.bodies.form(request) as form, service.pushing():
            yield await _of_form(service, form, given)
    else:
        raise Problem(
            415, "unsupported-media-type",
            f"Content-Type: {kind[:60]!r}: send {MEDIA_TYPE} or multipart/form-data",
        )  # fmt: skip


async def _of_form(service: Service, form: Form, given: dict[str, Any]) -> Pushed:
    told = {} if form.field is None else json_object(form.field, "the field 'request'")
    if twice := sorted(set(given) & set(told)):
        raise Problem(
            400, "malformed",
            f"{twice} are in the query and in the field 'request': give each in one of them",
        )  # fmt: skip
    asked = {**given, **told}
    labels, ids = asked.pop("label_values", None), asked.pop("ids", None)
    if isinstance(asked.get("labels"), list):
        labels = asked.pop("labels")
    ask = Ask.of(asked)
    images = await service.in_pool(from_files, form.files, labels, ids, service.settings)
    return Pushed(images, ask, form.nbytes)


def _given(**parameters: Any) -> dict[str, Any]:
    return {name: value for name, value in parameters.items() if value is not None}


async def made_of(service: Service, push: Push, beside: int) -> Any:
    """Return the batch of a request, counted as in flight meanwhile; raise `Problem`.

    `beside` bytes are those of its body, which is in flight for as long.
    """
    cure = "send fewer images, or ask for smaller ones, or for fewer classes"
    with service.batches.holding(push.nbytes, "augmenting the images", cure, beside=beside):
        return await service.together.augment(push)


@router.post(
    "/v1/augment", openapi_extra=images_body(), response_class=Response,
    responses={**batch_answer("The images, augmented"), **problems(406, 408, 422, 429, 503)},
    summary="Augment the client's own images",
)  # fmt: skip
async def augment(
    request: Request, policy: PolicyText = None, seed: Number = None, epoch: Number = None,
    dtype: Text = None, layout: Text = None, labels: Text = None, num_classes: Number = None,
) -> Response:  # fmt: skip
    """Return images augmented: a function of the request alone, so that it may be sent again."""
    service = service_of(request)
    service.allow(request, "push")
    format_ = wanted(request.headers.get("accept"))
    given = _given(policy=policy, seed=seed, epoch=epoch, dtype=dtype, layout=layout, labels=labels,
                   num_classes=num_classes)  # fmt: skip
    service.check_pushes()
    async with _pushed(service, request, given) as pushed:
        ask = pushed.ask
        push = Push(pushed.images, ask, await service.in_pool(ask.resolved, service.settings))
        body = await _encoded(service, push, format_, pushed.nbytes)
    headers = {"Vary": "Accept", "Augfeed-Fingerprint": service.fingerprint}
    return counted(service, body.parts, headers, TYPES[format_])


async def _encoded(service: Service, push: Push, format_: str, beside: int) -> Body:
    if format_ == SAFETENSORS:
        batch = await made_of(service, push, beside)
        told = {"fingerprint": service.fingerprint}
        return encode_batch(batch, told, layout=push.ask.layout)
    file = push.npz_bytes, "a file for numpy.load", f"ask for {TYPES[SAFETENSORS]}, or send less"
    service.batches.check(*file, beside=beside)  # before the batch is made
    batch = await made_of(service, push, beside)
    with service.batches.holding(*file, beside=beside):
        body: Body = await service.in_pool(npz, batch, push.ask.layout)
        return body


def counted(service: Service, parts: Any, headers: dict[str, str], kind: str) -> BytesResponse:
    """Return an answer whose bytes are counted as in flight until they are sent."""
    nbytes = sum(len(part) for part in parts)
    service.batches.take(nbytes, "an answer")
    service.metrics.response_bytes.inc(nbytes)
    return BytesResponse(
        parts, headers, kind, seconds=service.settings.send_seconds,
        done=lambda: service.batches.give_back(nbytes),
    )  # fmt: skip


@router.post(
    "/v1/preview", openapi_extra=images_body(PreviewAsk.model_json_schema()),
    response_class=Response,
    responses={200: {"description": "An image", "content": {"image/png": BINARY}},
               **problems(404, 408, 422, 429, 503)},
    summary="What a policy does, as an image",
)  # fmt: skip
async def preview(
    request: Request, policy: PolicyText = None, seed: Number = None, epoch: Number = None
) -> Response:
    """Return a PNG: samples as they are, and as they come in some epochs."""
    service = service_of(request)
    kind = request.headers.get("content-type", "").split(";")[0].strip().lower()
    # Samples of a dataset are for who may pull it.
    service.allow(request, "pull" if kind == "application/json" else "push")
    given = _given(policy=policy, seed=seed, epoch=epoch)
    service.check_pushes()
    if kind == "application/json":
        if given:
            raise Problem(
                400, "malformed",
                f"{[*given]} are in the query, and the body is JSON: give them in the body",
            )  # fmt: skip
        async with service.body(request) as body, service.pushing():
            asked = PreviewAsk.of(bytes(body))
            drawn = partial(_of_dataset, service, asked)
            picture = await service.previews.draw(request, drawn, len(body))
    else:
        async with _pushed(service, request, given) as pushed:
            copies, cure = 2 * pushed.images.nbytes, "send fewer or smaller images"
            with service.batches.holding(copies, "the images", cure, beside=pushed.nbytes):
                drawn = partial(_of_images, service, pushed.images, pushed.ask)
                picture = await service.previews.draw(request, drawn, copies + pushed.nbytes)
    return counted(service, [picture], {}, "image/png")


def _of_dataset(service: Service, asked: PreviewAsk, drawing: Drawing) -> bytes:
    mounted = service.datasets.get(asked.dataset)
    policy = Ask.of({"policy": asked.policy, "dtype": "float32"}).resolved(service.settings)
    try:
        return _png(draw(mounted.source, policy, asked, drawing))
    except AugfeedError as error:
        raise Problem(422, "invalid-policy", mounted.hidden(str(error))) from None


def _of_images(service: Service, images: Images, ask: Ask, drawing: Drawing) -> bytes:
    policy = ask.with_dtype("float32").resolved(service.settings)
    try:
        return _png(drawn_of(images, policy, ask, drawing))
    except AugfeedError as error:
        wrong = undecoded(images) or too_small(Push(images, ask, policy))
        raise invalid(str(error), wrong or None) from None


def _png(picture: Any) -> bytes:
    file = io.BytesIO()
    picture.save(file, "PNG")
    return file.getvalue()
