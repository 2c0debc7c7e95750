"""Images of clients, augmented; and pictures to look at."""

import io
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException

from augfeed.errors import AugfeedError
from augfeed.wire import MEDIA_TYPE, encode_batch
from augfeed_service.documents import BINARY, batch_answer, images_body, problems
from augfeed_service.formats import SAFETENSORS, TYPES, npz, wanted
from augfeed_service.images import Images, from_files, from_tensors, invalid, undecoded
from augfeed_service.parameters import json_object
from augfeed_service.preview import PreviewAsk, draw, drawn_of
from augfeed_service.problems import Problem
from augfeed_service.push import Ask, Push, too_small
from augfeed_service.sending import BytesResponse
from augfeed_service.service import Service, service_of

router = APIRouter(tags=["push"])
TENSORS = (MEDIA_TYPE, "application/octet-stream")
Text = Annotated[str | None, Query(max_length=65536)]
PolicyText = Annotated[
    str | None, Query(max_length=65536, examples=["random_resized_crop(224) | hflip"])
]
Number = Annotated[int | None, Query()]


async def _pushed(service: Service, request: Request, given: dict[str, Any]) -> tuple[Images, Ask]:
    # The images of a request, in whichever way they came, and what is asked of them.
    kind = request.headers.get("content-type", "").split(";")[0].strip().lower()
    if kind in TENSORS:
        async with service.body(request) as body:
            ask = Ask.of(given)
            return await service.in_pool(from_tensors, body, service.settings), ask
    if kind != "multipart/form-data":
        raise Problem(
            415, "unsupported-media-type",
            f"Content-Type: {kind[:60]!r}: send {MEDIA_TYPE} or multipart/form-data",
        )  # fmt: skip
    length = int(request.headers.get("content-length") or service.settings.max_body_bytes)
    service.batches.take(length, "a request")
    try:
        files, field = await _form(service, request)
        told = {} if field is None else json_object(field, "the field 'request'")
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
        images = await service.in_pool(from_files, files, labels, ids, service.settings)
        return images, ask
    finally:
        service.batches.give_back(length)


async def _form(service: Service, request: Request) -> tuple[list[bytes], bytes | None]:
    try:
        form = await request.form(
            max_files=service.settings.max_images, max_fields=8, max_part_size=1 << 20
        )
    except HTTPException as error:
        raise Problem(400, "malformed", str(error.detail)) from None
    try:
        files, fields = [], []
        for name, value in form.multi_items():
            data = await value.read() if isinstance(value, UploadFile) else value.encode()
            if name == "request":
                fields.append(data)
            elif name != "images" or not isinstance(value, UploadFile):
                raise Problem(
                    400, "malformed",
                    f"part {name[:60]!r}: there are files named 'images' and a field 'request'",
                )  # fmt: skip
            else:
                files.append(data)
        if len(fields) > 1:
            detail = f"the field 'request' comes {len(fields)} times: send it once"
            raise Problem(400, "malformed", detail)
        return files, fields[0] if fields else None
    finally:
        await form.close()


def _given(**parameters: Any) -> dict[str, Any]:
    return {name: value for name, value in parameters.items() if value is not None}


async def made_of(service: Service, push: Push) -> Any:
    """Return the batch of a request, counted as in flight meanwhile; raise `Problem`."""
    service_bytes = push.nbytes
    most = service.settings.max_batch_bytes
    if service_bytes > 2 * most:
        raise Problem(
            413, "too-large",
            f"{service_bytes:,} bytes would come out, above {most:,}: send fewer images, or ask "
            "for smaller ones",
        )  # fmt: skip
    service.batches.take(service_bytes, "a request")
    try:
        return await service.together.augment(push)
    finally:
        service.batches.give_back(service_bytes)


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
    async with service.pushing():
        images, ask = await _pushed(service, request, given)
        push = Push(images, ask, await service.in_pool(ask.resolved, service.settings))
        batch = await made_of(service, push)
        if format_ == SAFETENSORS:
            told = {"fingerprint": service.fingerprint}
            body = encode_batch(batch, told, layout=ask.layout)
        else:
            body = await service.in_pool(npz, batch, ask.layout)
    headers = {"Vary": "Accept", "Augfeed-Fingerprint": service.fingerprint}
    return counted(service, body.parts, headers, TYPES[format_])


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
    responses={200: {"description": "A picture", "content": {"image/png": BINARY}},
               **problems(404, 408, 422, 429, 503)},
    summary="What a policy does, as a picture",
)  # fmt: skip
async def preview(
    request: Request, policy: PolicyText = None, seed: Number = None, epoch: Number = None
) -> Response:
    """Return a PNG: samples as they are, and as they come in some epochs."""
    service = service_of(request)
    service.allow(request, "push")
    kind = request.headers.get("content-type", "").split(";")[0].strip().lower()
    given = _given(policy=policy, seed=seed, epoch=epoch)
    async with service.pushing():
        if kind == "application/json":
            if given:
                raise Problem(
                    400, "malformed",
                    f"{[*given]} are in the query, and the body is JSON: give them in the body",
                )  # fmt: skip
            async with service.body(request) as body:
                asked = PreviewAsk.of(bytes(body))
            picture = await service.in_pool(_of_dataset, service, asked)
        else:
            images, ask = await _pushed(service, request, given)
            picture = await service.in_pool(_of_images, service, images, ask)
    return Response(picture, media_type="image/png")


def _of_dataset(service: Service, asked: PreviewAsk) -> bytes:
    mounted = service.datasets.get(asked.dataset)
    policy = Ask.of({"policy": asked.policy, "dtype": "float32"}).resolved(service.settings)
    try:
        return _png(draw(mounted.source, policy, asked, service.settings))
    except AugfeedError as error:
        raise Problem(422, "invalid-policy", mounted.hidden(str(error))) from None


def _of_images(service: Service, images: Images, ask: Ask) -> bytes:
    policy = ask.with_dtype("float32").resolved(service.settings)
    try:
        return _png(drawn_of(images, policy, ask, service.settings))
    except AugfeedError as error:
        wrong = undecoded(images) or too_small(Push(images, ask, policy))
        raise invalid(str(error), wrong or None) from None


def _png(picture: Any) -> bytes:
    file = io.BytesIO()
    picture.save(file, "PNG")
    return file.getvalue()
