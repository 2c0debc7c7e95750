"""Plans and their batches."""

import time
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Query, Request, Response
from fastapi.responses import JSONResponse

from augfeed.errors import InputError
from augfeed.wire import Description
from augfeed_service import pull
from augfeed_service.disconnect import watched
from augfeed_service.formats import TYPES, wanted
from augfeed_service.limits import check_length, check_text
from augfeed_service.openapi_bodies import batch_answer, description_body, plan_answers, problems
from augfeed_service.parameters import integer_of, json_object
from augfeed_service.plans import Plan
from augfeed_service.problems import Problem
from augfeed_service.pull import Address
from augfeed_service.responses import BytesResponse
from augfeed_service.service import Service, service_of

router = APIRouter(tags=["pull"])
PlanId = Annotated[str, Path(max_length=64, examples=["59e237e6070e5172d236e7c45bdd485e"])]
FOREVER = "max-age=31536000, immutable"


@router.put(
    "/v1/plans/{plan_id}", openapi_extra=description_body(),
    responses={**plan_answers(200, 201), **problems(404, 408, 409, 422, 503)},
    summary="Register a plan under the hash of its canonical JSON",
)  # fmt: skip
async def put_plan(plan_id: PlanId, request: Request) -> Response:
    """Register a plan; answers 201 if it was not known, else 200."""
    service = service_of(request)
    service.allow(request, "pull")
    check_length(request)
    async with service.body(request) as body:
        plan, new = await service.in_pool(_register, service, plan_id, bytes(body))
    return JSONResponse(plan.as_json(), 201 if new else 200)


@router.post(
    "/v1/plans", openapi_extra=description_body(),
    responses={**plan_answers(200, 201), **problems(404, 408, 422, 503)},
    summary="Register a plan, and learn its id",
)  # fmt: skip
async def post_plan(request: Request) -> Response:
    """Register a plan whatever its id, which the answer has; 201 if it was not known, else 200."""
    service = service_of(request)
    service.allow(request, "pull")
    check_length(request)
    async with service.body(request) as body:
        plan, new = await service.in_pool(_register, service, None, bytes(body))
    return JSONResponse(plan.as_json(), 201 if new else 200, {"Location": f"/v1/plans/{plan.id}"})


def _register(service: Service, plan_id: str | None, body: bytes) -> tuple[Plan, bool]:
    check_text(len(body))
    json_object(body, "the description")
    try:
        description = Description.parse(body)
    except InputError as error:
        raise Problem(422, "invalid-description", str(error)) from None
    return service.plans.put(description.id if plan_id is None else plan_id, description)


@router.get(
    "/v1/plans/{plan_id}", responses={**plan_answers(200), **problems(404)},
    summary="What is known of a plan",
)  # fmt: skip
async def get_plan(plan_id: PlanId, request: Request) -> Response:
    """Return a plan, its sizes and its fingerprint."""
    service = service_of(request)
    service.allow(request, "pull")
    return JSONResponse(service.plans.get(plan_id).as_json())


BATCH = "/v1/plans/{plan_id}/epochs/{epoch}/batches/{step}"


@router.get(
    BATCH, response_class=Response,
    responses={**batch_answer("The batch"), 304: {"description": "The client has it"},
               **problems(404, 406, 412, 422, 500, 503)},
    summary="A batch, a pure function of its address",
)  # fmt: skip
async def get_batch(
    plan_id: PlanId, epoch: int, step: int, request: Request,
    rank: Annotated[int, Query(description="which part of the batch")] = 0,
    world: Annotated[int, Query(ge=1, le=1 << 20, description="of how many")] = 1,
    maps: Annotated[
        Literal["true", "false"], Query(description="whether windows and matrices of views come")
    ] = "false",
) -> Response:  # fmt: skip
    """Return a batch of an epoch, or the part of a rank."""
    service, at = service_of(request), Address(epoch, step, rank, world, maps == "true")
    service.allow(request, "pull")
    plan = service.plans.get(plan_id)
    format_: Any = wanted(request.headers.get("accept"))
    pull.check(plan, at)
    if world > 1 and "rank" not in request.query_params:
        detail = f"world={world} without rank: give rank, in [0, {world}), which part is meant"
        raise Problem(400, "malformed", detail)
    _check_fingerprint(request, plan)
    tag = pull.tag(plan, at, format_)
    headers = _headers(service, plan, tag)
    if _has(request.headers.get("if-none-match"), tag):
        return Response(status_code=304, headers=headers)
    order = await pull.order(plan, at, format_, service.pool)
    async with watched(request) as gone:
        made = await service.batches.get(order, _deadline(request), gone)
    following = [address for address in at.next(service.settings.look_ahead)
                 if address.step < len(plan.pipeline(rank, world))]  # fmt: skip
    jobs = [await pull.order(plan, it, format_, service.pool) for it in following]
    service.batches.ahead(jobs)
    service.batches.sending(made)
    timings = (f"{name};dur={1000 * seconds:.2f}" for name, seconds in made.timings.items())
    headers["Server-Timing"] = ", ".join(timings)
    service.metrics.response_bytes.inc(made.body.nbytes)
    return BytesResponse(
        made.body.parts, headers, TYPES[format_], seconds=service.settings.send_seconds,
        done=lambda: service.batches.sent(made),
    )  # fmt: skip


def _headers(service: Service, plan: Plan, tag: str) -> dict[str, str]:
    private = service.keys.asked and not service.settings.shared_cache
    return {
        "ETag": f'"{tag}"', "Cache-Control": f"{'private' if private else 'public'}, {FOREVER}",
        "Vary": "Accept, Authorization", "Augfeed-Fingerprint": plan.fingerprint,
    }  # fmt: skip


def _check_fingerprint(request: Request, plan: Plan) -> None:
    expected = request.headers.get("augfeed-expect-fingerprint")
    if expected is not None and expected != plan.fingerprint:
        raise Problem(
            412, "fingerprint-mismatch",
            f"Augfeed-Expect-Fingerprint: {expected[:64]!r} is not {plan.fingerprint!r}, that of "
            "the bytes made here: ask another replica, or begin again with these",
            fingerprint=plan.fingerprint,
        )  # fmt: skip


def _has(header: str | None, tag: str) -> bool:
    if header is None:
        return False
    tags = [part.strip().removeprefix("W/") for part in header.split(",")]
    return "*" in tags or f'"{tag}"' in tags


def _deadline(request: Request) -> float | None:
    given = request.headers.get("augfeed-deadline-ms")
    if given is None:
        return None
    milliseconds = integer_of(given)
    if milliseconds is None or not 0 <= milliseconds < 10**9:
        raise Problem(
            400, "malformed",
            f"Augfeed-Deadline-Ms: {given[:20]!r}: give whole milliseconds, below 10**9",
        )  # fmt: skip
    return time.monotonic() + milliseconds / 1000
