"""Tensors as bytes, in the layout of safetensors: written without a copy, read without one."""

import json
import math
import re
import struct
from collections.abc import Iterator, Mapping
from typing import Any

import torch
import xxhash

from augfeed.errors import WireError

MEDIA_TYPE = "application/vnd.safetensors"
MOST_HEADER = 64 << 10  # bytes; safetensors itself allows 100 MB
ALIGN = 64  # bytes, at a multiple of which the data begin
DIGEST = "xxh3_128"
_NO_DIGEST = "0" * 32
_DTYPES = {
    "F64": torch.float64, "I64": torch.int64, "F32": torch.float32, "I32": torch.int32,
    "F16": torch.float16, "BF16": torch.bfloat16, "U8": torch.uint8, "BOOL": torch.bool,
}  # fmt: skip
_NAMES = {dtype: name for name, dtype in _DTYPES.items()}


class Body:
    """The bytes of some tensors: a header and the memory of each, one after the other.

    It shares the tensors' memory, which must not change while the body is used.
    """

    __slots__ = ("nbytes", "parts")

    def __init__(self, parts: tuple[memoryview, ...]) -> None:
        self.parts, self.nbytes = parts, sum(part.nbytes for part in parts)

    def __bytes__(self) -> bytes:
        return b"".join(self.parts)

    def __iter__(self) -> Iterator[memoryview]:
        return iter(self.parts)

    def __len__(self) -> int:
        return self.nbytes


def encode(tensors: Mapping[str, torch.Tensor], metadata: Mapping[str, str]) -> Body:
    """Return the bytes of named tensors, with a checksum (XXH3, 128 bits) among their metadata.

    Contiguous tensors on the CPU are not copied. Larger element types come first, which keeps every
    tensor aligned; readers do not depend on it. Raises `WireError` for what cannot be sent.
    """
    given = sorted(tensors.items(), key=lambda item: (-item[1].element_size(), item[0]))
    header: dict[str, Any] = {"__metadata__": {**metadata, DIGEST: _NO_DIGEST}}
    data, at = [], 0
    for name, tensor in given:
        if tensor.dtype not in _NAMES or name == "__metadata__":
            raise WireError(f"{name!r} of {tensor.dtype} cannot be sent: use one of {[*_DTYPES]}")
        view = memory_of(tensor)
        header[name] = {
            "dtype": _NAMES[tensor.dtype],
            "shape": list(tensor.shape),
            "data_offsets": [at, at + view.nbytes],
        }
        at += view.nbytes
        data.append(view)
    text = json.dumps(header, separators=(",", ":")).encode()
    text = text.replace(_NO_DIGEST.encode(), checksum(data).encode(), 1)
    text += b" " * (-(len(text) + 8) % ALIGN)
    if len(text) > MOST_HEADER:
        raise WireError(
            f"a header of {len(text)} bytes is above {MOST_HEADER}: send fewer tensors or metadata"
        )
    return Body((memoryview(struct.pack("<Q", len(text)) + text), *data))


def decode(body: Any) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    """Return the tensors of a body and their metadata.

    Tensors share the body's memory if that is writable (`bytearray`, `memoryview`) and they lie
    there aligned. Whatever the bytes are, either they are a whole body, of no gap and no overlap
    and with its checksum if it has one, or `WireError` says why not.
    """
    view = memoryview(body).cast("B")
    if view.readonly:
        view = memoryview(bytearray(view))
    header, begin = _header(view)
    metadata = header.pop("__metadata__", {})
    if not _is_text_by_text(metadata):
        raise WireError("__metadata__ is not a mapping of text to text: write it with safetensors")
    spans = sorted((_Span(name, entry) for name, entry in header.items()), key=_Span.place)
    at = 0
    for span in spans:
        if span.begin != at:
            raise WireError(f"{span.name!r} begins at {span.begin}, not at {at}: leave no gaps")
        at = span.end
    if begin + at != view.nbytes:
        raise WireError(
            f"a body of {view.nbytes} bytes is not the {begin + at} of its header: it was cut, or "
            "grew, on its way"
        )
    if DIGEST in metadata and metadata[DIGEST] != checksum([view[begin:]]):
        raise WireError(f"the data do not have the checksum {metadata[DIGEST]!r}: send them again")
    return {span.name: span.tensor(view, begin) for span in spans}, metadata


def checksum(parts: list[memoryview]) -> str:
    """Return the XXH3 checksum of bytes, 32 hexadecimal digits."""
    hashed = xxhash.xxh3_128()
    for part in parts:
        hashed.update(part)
    return hashed.hexdigest()


def memory_of(tensor: torch.Tensor) -> memoryview:
    """Return the bytes of a tensor, in its own memory if that is contiguous and the CPU's."""
    flat = tensor.detach().cpu().contiguous().reshape(-1)
    if not flat.numel():
        return memoryview(b"")
    array: Any = flat.view(torch.uint8).numpy()
    return memoryview(array)


def _header(view: memoryview) -> tuple[dict[str, Any], int]:
    if view.nbytes < 8:
        raise WireError(f"a body of {view.nbytes} bytes has no header: send safetensors")
    (length,) = struct.unpack("<Q", view[:8])
    if length > min(MOST_HEADER, view.nbytes - 8):
        raise WireError(
            f"a header of {length} bytes is above {min(MOST_HEADER, view.nbytes - 8)}: "
            "send safetensors, with few tensors"
        )
    try:
        header = json.loads(
            bytes(view[8 : 8 + length]).decode(), object_pairs_hook=_once, parse_constant=_refuse
        )
    except (ValueError, RecursionError) as error:
        raise WireError(f"the header is not JSON ({error}): send safetensors") from None
    if not isinstance(header, dict):
        raise WireError("the header is not a JSON object: send safetensors")
    return header, 8 + length


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a name occurs twice")
    return found


def _refuse(name: str) -> Any:
    raise ValueError(f"{name} is not a number of JSON")


def _is_text_by_text(metadata: Any) -> bool:
    return isinstance(metadata, dict) and all(isinstance(text, str) for text in metadata.values())


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**63


class _Span:
    # An entry of the header, checked.

    def __init__(self, name: str, entry: Any) -> None:
        wanted = {"dtype", "shape", "data_offsets"}
        if not isinstance(entry, dict) or set(entry) != wanted:
            raise WireError(f"{name!r} has not just {sorted(wanted)}: write it with safetensors")
        shape, offsets, dtype = entry["shape"], entry["data_offsets"], entry["dtype"]
        if not isinstance(dtype, str) or dtype not in _DTYPES:
            raise WireError(f"{name!r} of dtype {dtype!r} is not read: use one of {[*_DTYPES]}")
        if not isinstance(shape, list) or len(shape) > 8 or not all(map(_is_count, shape)):
            raise WireError(f"{name!r} has no shape of up to 8 lengths: fix it")
        if not isinstance(offsets, list) or len(offsets) != 2 or not all(map(_is_count, offsets)):
            raise WireError(f"{name!r} has no two data_offsets: write it with safetensors")
        self.name, self.shape, self.dtype = name, shape, _DTYPES[dtype]
        self.begin, self.end = offsets
        if math.prod(shape) * self.dtype.itemsize != self.end - self.begin:
            raise WireError(
                f"{name!r} of shape {shape} and {dtype} does not take the "
                f"{self.end - self.begin} bytes of its data_offsets: fix one of them"
            )

    def place(self) -> tuple[int, int]:
        return self.begin, self.end

    def tensor(self, view: memoryview, begin: int) -> torch.Tensor:
        part = view[begin + self.begin : begin + self.end]
        if not part.nbytes:
            return torch.empty(self.shape, dtype=self.dtype)
        tensor = torch.frombuffer(part, dtype=torch.uint8)
        if tensor.data_ptr() % self.dtype.itemsize:
            tensor = tensor.clone()
        return tensor.view(self.dtype).view(self.shape)


_WORD = re.compile(r"[\x21-\x7e]{1,200}")


def is_word(text: str) -> bool:
    """Whether a text can stand in a header of HTTP as it is: 1 to 200 visible ASCII characters."""
    return _WORD.fullmatch(text) is not None
