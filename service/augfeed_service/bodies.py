"""The bodies of requests: counted as in flight from their first byte until nothing uses them."""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect, Request

from augfeed_service.batches import Batches
from augfeed_service.problems import Problem, overloaded
from augfeed_service.settings import Settings

SMALL = 64 << 10  # bytes of a body that has its place in any case: that of a plan, for one
MOST_FIELDS, LONGEST_FIELD = 8, 1 << 20  # of a form; bytes


@dataclass(frozen=True, slots=True)
class Form:
    """What a form of images holds: its files, and the text of its field `request`; `nbytes` are
    those of the body."""

    files: list[bytes]
    field: bytes | None
    nbytes: int


class Bodies:
    """Reads bodies into memory; all methods are for the event loop's thread.

    They have at most half of the bytes in flight, or what the largest one needs, so that those who
    send do not keep others from batches. What they declare is not counted, what comes is.
    """

    def __init__(self, settings: Settings, batches: Batches) -> None:
        self.settings, self.batches = settings, batches
        self.most = min(settings.max_body_bytes, settings.inflight_bytes)
        self.share = max(settings.inflight_bytes // 2, self.most)
        self.nbytes = 0

    @asynccontextmanager
    async def read(self, request: Request) -> AsyncIterator[bytearray]:
        """Yield the body of a request; raise `Problem` if it cannot be read."""
        async with self._counted(request) as coming:
            found = bytearray()
            async for chunk in coming.chunks:
                found += chunk
            yield found

    @asynccontextmanager
    async def form(self, request: Request) -> AsyncIterator[Form]:
        """Yield the form that a request holds; raise `Problem` if it cannot be read."""
        async with self._counted(request) as coming:
            parser = _InMemory(
                request.headers, coming.chunks, max_files=self.settings.max_images,
                max_fields=MOST_FIELDS, max_part_size=LONGEST_FIELD,
            )  # fmt: skip
            try:
                form = await parser.parse()
            except MultiPartException as error:
                raise Problem(400, "malformed", error.message) from None
            try:
                yield await _parts(form.multi_items(), coming.nbytes)
            finally:
                await form.close()

    @asynccontextmanager
    async def _counted(self, request: Request) -> AsyncIterator["_Coming"]:
        coming = _Coming(self, request)
        try:
            yield coming
        finally:
            await coming.chunks.aclose()
            self._give_back(coming.nbytes)

    def _take(self, nbytes: int, before: int) -> None:
        if before + nbytes > SMALL and self.nbytes + nbytes > self.share:
            self.batches.metrics.rejected.labels("bodies").inc()
            raise overloaded(
                f"bodies of {self.nbytes:,} bytes are in flight, of {self.share:,}: send it again"
            )
        self.batches.take(nbytes, "a request")
        self.nbytes += nbytes

    def _give_back(self, nbytes: int) -> None:
        self.nbytes -= nbytes
        self.batches.give_back(nbytes)


class _Coming:
    # A body as it comes: its chunks, and how many bytes of them are counted by now.

    def __init__(self, bodies: Bodies, request: Request) -> None:
        self.nbytes = 0
        self.chunks = self._counting(bodies, request)

    async def _counting(self, bodies: Bodies, request: Request) -> AsyncGenerator[bytes, None]:
        try:
            async for chunk in request.stream():
                bodies._take(len(chunk), self.nbytes)
                self.nbytes += len(chunk)
                yield chunk
        except ClientDisconnect:
            detail = "the body ended early: send all of it"
            raise Problem(400, "malformed", detail) from None


class _InMemory(MultiPartParser):
    spool_max_size = 1 << 62  # bytes are counted, so none of them go to a disk


async def _parts(items: list[tuple[str, UploadFile | str]], nbytes: int) -> Form:
    files, fields = [], []
    for name, value in items:
        data = await _data(value)
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
    return Form(files, fields[0] if fields else None, nbytes)


async def _data(value: UploadFile | str) -> bytes:
    if isinstance(value, str):
        return value.encode()
    try:
        return await value.read()
    finally:
        await value.close()  # one file at a time is there twice
