"""The bytes of tensors: those of safetensors; whatever else comes is refused."""

import json
import struct
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
import safetensors.torch
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from augfeed.errors import WireError
from augfeed.wire.tensors import ALIGN, MOST_HEADER, decode, encode

DTYPES = (
    torch.float64, torch.int64, torch.float32, torch.int32, torch.float16, torch.bfloat16,
    torch.uint8, torch.bool,
)  # fmt: skip


def sample() -> dict[str, torch.Tensor]:
    return {
        "images": torch.arange(2 * 3 * 5 * 7, dtype=torch.uint8).view(2, 3, 5, 7),
        "ids": torch.tensor([3, 1 << 47]),
        "lam": torch.tensor([0.25, 1.0]),
    }


def equal(some: dict[str, torch.Tensor], others: dict[str, torch.Tensor]) -> bool:
    return some.keys() == others.keys() and all(
        some[name].dtype == others[name].dtype and torch.equal(some[name], others[name])
        for name in some
    )


shapes = st.lists(st.integers(0, 5), max_size=4)


@settings(max_examples=60, deadline=None)
@given(
    st.dictionaries(
        st.text(min_size=1, max_size=9), st.tuples(st.sampled_from(DTYPES), shapes), max_size=6
    ),
    st.dictionaries(st.text(max_size=5), st.text(max_size=9), max_size=3),
)
def test_the_library_reads_what_is_written_and_the_other_way_round(
    asked: dict[str, Any], metadata: dict[str, str]
) -> None:
    generator = torch.Generator().manual_seed(0)
    tensors = {
        name: torch.randint(0, 2, shape, generator=generator).to(dtype)
        for name, (dtype, shape) in asked.items()
        if name != "__metadata__"
    }
    body = bytes(encode(tensors, metadata))
    assert equal(safetensors.torch.load(body), tensors)
    mine, said = decode(bytearray(body))
    assert equal(mine, tensors) and said == {**metadata, "xxh3_128": said["xxh3_128"]}
    again, said = decode(safetensors.torch.save(tensors, metadata or None))
    assert equal(again, tensors) and said == metadata


def test_nothing_is_copied_on_either_side() -> None:
    tensors = sample()
    body = encode(tensors, {})
    tensors["images"][0, 0, 0, 0] = 77
    assert bytes(body.parts[-1])[0] == 77
    received = bytearray(bytes(encode(tensors, {})))
    images = decode(received)[0]["images"]
    received[-images.numel()] = 88
    assert int(images[0, 0, 0, 0]) == 88


def test_data_begin_aligned_and_every_tensor_lies_aligned() -> None:
    body = encode({**sample(), "half": torch.ones(3, dtype=torch.float16)}, {"a": "b"})
    assert len(body.parts[0]) % ALIGN == 0
    (length,) = struct.unpack("<Q", body.parts[0][:8])
    for name, entry in json.loads(bytes(body.parts[0][8 : 8 + length])).items():
        if name != "__metadata__":
            assert entry["data_offsets"][0] % 2 == 0
    decoded, _ = decode(bytearray(bytes(body)))
    assert all(t.data_ptr() % t.dtype.itemsize == 0 for t in decoded.values())


def test_tensors_that_lie_unaligned_are_copied() -> None:
    written = bytearray(safetensors.numpy.save({"a": np.arange(3, dtype=np.int64)}))
    shifted = memoryview(bytearray(1) + written)[1:]
    assert decode(shifted)[0]["a"].tolist() == [0, 1, 2]


def test_strided_and_channels_last_tensors_are_written_in_order() -> None:
    base = torch.arange(24, dtype=torch.float32).view(2, 3, 4)
    tensors = {"t": base.transpose(0, 2), "s": base[:, ::2], "e": base[:0]}
    assert equal(decode(bytes(encode(tensors, {})))[0], tensors)


@pytest.mark.parametrize("end", [0, 7, 8, 40, -1])
def test_a_body_that_was_cut_is_refused(end: int) -> None:
    body = bytes(encode(sample(), {}))
    with pytest.raises(WireError):
        decode(body[:end])
    with pytest.raises(WireError, match="cut, or grew"):
        decode(body + b"\0")


def test_no_byte_of_the_data_changes_unseen() -> None:
    body = bytearray(bytes(encode(sample(), {})))
    for at in range(len(body) - 226, len(body), 5):
        body[at] ^= 16
        with pytest.raises(WireError, match="checksum"):
            decode(body)
        body[at] ^= 16
    assert equal(decode(body)[0], sample())


def with_header(header: Any, data: bytes = b"\0" * 8) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def entry(dtype: Any = "U8", shape: Any = (8,), offsets: Any = (0, 8), **more: Any) -> Any:
    return {"dtype": dtype, "shape": shape, "data_offsets": offsets, **more}


HOSTILE = {
    "length beyond the body": struct.pack("<Q", 1 << 60) + b"{}",
    "long header": struct.pack("<Q", MOST_HEADER + 1) + b" " * (MOST_HEADER + 1),
    "no JSON": with_header(b"{]"),
    "no UTF-8": with_header(b'{"\xff": 1}'),
    "deep": with_header(b"[" * 60000),
    "a list": with_header([]),
    "NaN": with_header(b'{"a": NaN}'),
    "a name twice": with_header(b'{"a":{"dtype":"U8","shape":[8],"data_offsets":[0,8]},"a":1}'),
    "no entry": with_header({"a": 3}),
    "more in an entry": with_header({"a": entry(more=1)}),
    "unknown type": with_header({"a": entry("F8_E4M3")}),
    "type of no text": with_header({"a": entry(["U8"])}),
    "negative length": with_header({"a": entry(shape=[-8])}),
    "lengths that overflow": with_header({"a": entry(shape=[1 << 32, 1 << 32])}),
    "a length of no integer": with_header({"a": entry(shape=[8.0])}),
    "a length that is true": with_header({"a": entry(shape=[True, 8])}),
    "many dimensions": with_header({"a": entry(shape=[1] * 9 + [8])}),
    "one offset": with_header({"a": entry(offsets=[0])}),
    "offsets the wrong way": with_header({"a": entry(offsets=[8, 0])}),
    "offset behind the end": with_header({"a": entry(shape=[9], offsets=[0, 9])}),
    "shape and offsets disagree": with_header({"a": entry(shape=[7])}),
    "overlap": with_header({"a": entry(), "b": entry(offsets=[0, 8])}),
    "gap": with_header({"a": entry(shape=[4], offsets=[4, 8])}),
    "metadata of numbers": with_header({"__metadata__": {"a": 1}, "a": entry()}),
    "metadata of no mapping": with_header({"__metadata__": [], "a": entry()}),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_bytes_are_refused(name: str) -> None:
    with pytest.raises(WireError):
        decode(HOSTILE[name])


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_mutated_bodies_are_read_whole_or_refused(data: Any) -> None:
    body = bytearray(bytes(encode(sample(), {"a": "b"})))
    for _ in range(data.draw(st.integers(1, 4))):
        body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    try:
        tensors, _ = decode(body)
    except WireError:
        return
    assert sum(t.numel() * t.element_size() for t in tensors.values()) <= len(body)


def test_what_cannot_be_sent_is_refused_with_its_name() -> None:
    with pytest.raises(WireError, match=r"'z' of torch\.complex64"):
        encode({"z": torch.zeros(1, dtype=torch.complex64)}, {})
    with pytest.raises(WireError, match="__metadata__"):
        encode({"__metadata__": torch.zeros(1)}, {})
    with pytest.raises(WireError, match=f"above {MOST_HEADER}"):
        encode({}, {"a": "b" * MOST_HEADER})
