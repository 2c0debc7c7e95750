"""Decoding within a bound: threads wait for each other, and what is too large is refused."""

import importlib
import io
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from PIL import Image

from augfeed.errors import ReadError
from augfeed.memory_pool import Memory
from augfeed.read.crop import View
from augfeed.read.decode_memory import DecodeMemory, decoded_bytes, decoding, use_decode_memory
from augfeed.read.image_frame import Encoded
from tests.waiting import HANG, eventually

SIDE = 64
decoders: Any = importlib.import_module("augfeed.read.decode")


def file(kind: str, **options: Any) -> bytes:
    pixels = np.random.default_rng(1).integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, kind, **options)
    return out.getvalue()


FILES = {
    "png": file("PNG"), "webp": file("WEBP"), "jpeg": file("JPEG"),
    "progressive": file("JPEG", progressive=True), "damaged": file("JPEG")[:-900],
}  # fmt: skip


def shown(data: bytes) -> Any:
    out = np.empty((SIDE, SIDE, 3), np.uint8)
    Encoded(data, "one", 3, Memory()).show(View((0, 0, SIDE, SIDE), (SIDE, SIDE), (0, 0)), out)
    return out


def decoded(data: bytes) -> Any:
    return decoders.decode(data, "one", 3)


@pytest.mark.parametrize("name", [*FILES])
@pytest.mark.parametrize("read", [shown, decoded])
def test_threads_together_hold_no_more_than_the_room(
    name: str, read: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    room, most = DecodeMemory(decoded_bytes((SIDE, SIDE), None), "raise the room"), 0
    lock, inside = threading.Lock(), 0

    def counted(function: Any) -> Any:
        def call(*given: Any, **more: Any) -> Any:
            nonlocal inside, most
            with lock:
                inside += 1
                most = max(most, inside)
            assert 0 < room.used <= room.limit
            try:
                return function(*given, **more)
            finally:
                with lock:
                    inside -= 1

        return call

    monkeypatch.setattr(decoders, "_pixels", counted(decoders._pixels))
    monkeypatch.setattr(decoders, "decode_jpeg", counted(decoders.decode_jpeg))

    def one(_: int) -> Any:
        use_decode_memory(room)
        try:
            return read(FILES[name]).tobytes()
        except ReadError as error:
            return str(error)

    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(one, range(24), timeout=HANG))
    assert len(set(found)) == 1 and room.used == 0
    if name in ("png", "webp"):
        assert most == 1


@pytest.mark.parametrize("name", [*FILES])
@pytest.mark.parametrize("read", [shown, decoded])
def test_an_image_larger_than_the_room_is_named_with_its_bytes(name: str, read: Any) -> None:
    def one() -> None:
        use_decode_memory(DecodeMemory(100, "raise decode_bytes"))
        with pytest.raises(ReadError, match=r"one: .* above 100: .* raise decode_bytes"):
            read(FILES[name])

    thread = ThreadPoolExecutor(1)
    thread.submit(one).result(HANG)


def test_pixels_are_the_same_within_a_room() -> None:
    for name in ("png", "webp", "jpeg", "progressive"):
        free = shown(FILES[name])
        use_decode_memory(DecodeMemory(1 << 20, ""))
        try:
            assert (shown(FILES[name]) == free).all()
        finally:
            use_decode_memory(None)


def test_large_images_are_not_overtaken_for_ever() -> None:
    room, order = DecodeMemory(10, ""), []

    def take(name: str, nbytes: int) -> None:
        with room.reserved(nbytes):
            order.append(name)

    with room.reserved(5):
        large = threading.Thread(target=take, args=("large", 10))
        large.start()
        assert eventually(lambda: len(room._line) == 1)
        small = threading.Thread(target=take, args=("small", 5))
        small.start()
        assert eventually(lambda: len(room._line) == 2)
        assert order == []
    large.join(HANG)
    small.join(HANG)
    assert order == ["large", "small"]


def test_a_thread_that_holds_room_does_not_wait_for_more() -> None:
    use_decode_memory(DecodeMemory(10, ""))
    try:
        with decoding(8, "a"), decoding(8, "b"), pytest.raises(ReadError), decoding(11, "c"):
            pass
    finally:
        use_decode_memory(None)
