"""Requests and answers of KServe's v2 protocol ("Open Inference Protocol"), with binary tensors.

A model is a policy: inputs IMAGES (UINT8 [N, H, W, C]), LABELS and IDS; outputs IMAGES, IDS, and
LABELS or LABEL_A, LABEL_B and LAM.
"""

import json
import math
from typing import Any

import numpy as np
import torch

from augfeed.batch import Batch
from augfeed.operation.describe import shown, suggest
from augfeed.targets import Targets
from augfeed.wire import encode
from augfeed.wire.tensors import memory_of
from augfeed_service.images import Images, from_tensors, invalid
from augfeed_service.kserve_models import VERSION
from augfeed_service.parameters import integer_of, json_object
from augfeed_service.problems import Problem
from augfeed_service.settings import Settings

HEADER = "Inference-Header-Content-Length"
INPUTS = {"IMAGES": "images", "LABELS": "labels", "IDS": "ids"}
PARAMETERS = ("seed", "epoch", "dtype", "layout", "labels", "num_classes")
MEMBERS = ("id", "parameters", "inputs", "outputs")
INPUT_MEMBERS = ("name", "shape", "datatype", "parameters", "data")
OUTPUT_MEMBERS = ("name", "parameters")
# The protocol's own: how the answer is written, and hints to a scheduler; there is none.
HINTS = ("priority", "timeout")
OWN = ("binary_data_output", *HINTS)
ANSWER = {
    "type": "object", "required": ["model_name", "model_version", "outputs"],
    "properties": {
        "model_name": {"type": "string"}, "model_version": {"type": "string"},
        "id": {"type": "string"}, "parameters": {"type": "object"},
        "outputs": {"type": "array", "items": {
            "type": "object", "required": ["name", "datatype", "shape"],
            "properties": {"name": {"type": "string"}, "datatype": {"type": "string"},
                           "shape": {"type": "array", "items": {"type": "integer"}},
                           "parameters": {"type": "object"}, "data": {"type": "array"}}}},
    },
}  # fmt: skip
_DTYPES = {
    "UINT8": torch.uint8, "INT32": torch.int32, "INT64": torch.int64, "FP16": torch.float16,
    "FP32": torch.float32, "FP64": torch.float64, "BF16": torch.bfloat16, "BOOL": torch.bool,
}  # fmt: skip
_NAMES = {dtype: name for name, dtype in _DTYPES.items()}


def parse(
    body: memoryview, header: str | None, settings: Settings
) -> tuple[Images, dict[str, Any]]:
    """Return the images of a request, and all of its JSON; raise `Problem`."""
    length: int | None = len(body)
    if header is not None:
        length = integer_of(header)
        if length is None or not 0 <= length <= len(body):
            raise _malformed(f"{HEADER}: {header[:40]!r} is not a length in [0, {len(body)}]")
    asked = json_object(bytes(body[:length]), "the request")
    _known(asked, MEMBERS, "the request")
    if not isinstance(asked.get("id", ""), str):
        raise _malformed(f"id={shown(asked['id'])} is not a text: send one, or none")
    if not isinstance(asked.get("inputs"), list):
        raise _malformed("the request has no list of inputs")
    tensors: dict[str, torch.Tensor] = {}
    rest = body[length:]
    for entry in asked["inputs"]:
        name, tensor, rest = _input(entry, rest, settings)
        if name in tensors:
            raise _malformed(f"input {entry['name']!r} comes twice")
        tensors[name] = tensor
    if len(rest):
        raise _malformed(f"{len(rest)} bytes are left over behind the inputs")
    # One reader of images for all ways in: it checks them.
    return from_tensors(bytearray(bytes(encode(tensors, {}))), settings), asked


def _malformed(detail: str) -> Problem:
    return Problem(400, "malformed", detail)


def _known(given: dict[str, Any], known: tuple[str, ...], what: str) -> None:
    for name in given:
        if name.startswith("shared_memory") and "shared_memory" not in known:
            raise _malformed(f"{what} has {name!r}: shared memory is not read; send the tensor "
                             "in the body, and take the answer from there")  # fmt: skip
        if name not in known:
            raise _malformed(
                f"{what} has {shown(name)}, which means nothing: {suggest(name, known)}"
            )


def _parameters(entry: dict[str, Any], known: tuple[str, ...], what: str) -> dict[str, Any]:
    given = entry.get("parameters", {})
    if not isinstance(given, dict):
        raise _malformed(f"{what}: parameters={shown(given)} is not a JSON object: send one")
    _known(given, known, f"{what}, in its parameters,")
    return given


def _input(entry: Any, rest: memoryview, settings: Settings) -> tuple[str, Any, memoryview]:
    if not isinstance(entry, dict) or entry.get("name") not in [*INPUTS]:
        raise invalid(f"input {_named(entry)} is not one of {[*INPUTS]}: there is no other")
    what = f"input {entry['name']!r}"
    _known(entry, INPUT_MEMBERS, what)
    shape: Any = entry.get("shape")
    kind = entry.get("datatype")
    counts = isinstance(shape, list) and 0 < len(shape) <= 4 and all(
        isinstance(side, int) and not isinstance(side, bool) and 0 <= side < 2**31 for side in shape
    )  # fmt: skip
    if not counts or kind not in _DTYPES:
        raise invalid(f"input {entry['name']!r}: give a shape, and a datatype of {[*_DTYPES]}")
    dtype, count = _DTYPES[kind], math.prod(shape)
    if count * dtype.itemsize > settings.max_body_bytes:
        raise Problem(413, "too-large", f"input {entry['name']!r} of {count:,} elements: send less")
    parameters = _parameters(entry, ("binary_data_size",), what)
    size = parameters.get("binary_data_size")
    name = INPUTS[entry["name"]]
    if "binary_data_size" in parameters and "data" in entry:
        raise _malformed(f"{what} has data and binary_data_size: send it in one of the two ways")
    if "binary_data_size" not in parameters:
        try:
            return name, _values(entry.get("data"), dtype, shape), rest
        except (ValueError, TypeError, RuntimeError, OverflowError) as error:
            raise invalid(f"input {entry['name']!r}: {str(error)[:200]}") from None
    if (
        not isinstance(size, int)
        or isinstance(size, bool)
        or size != count * dtype.itemsize
        or size > len(rest)
    ):
        raise invalid(
            f"input {entry['name']!r}: binary_data_size={size!r} is not the {count} elements of "
            f"{kind} that shape says, or not there"
        )
    data = bytearray(rest[:size])
    tensor = torch.frombuffer(data, dtype=dtype) if size else torch.empty(0, dtype=dtype)
    return name, tensor.reshape(shape), rest[size:]


def _values(data: Any, dtype: torch.dtype, shape: list[int]) -> torch.Tensor:
    # Torch cuts fractions off, and has numbers below 0 wrap around.
    given = np.array(data)
    if given.ndim > 1 and list(given.shape) != shape:
        raise ValueError(f"data of shape {list(given.shape)} and shape={shape}: make them agree")
    values = torch.tensor(given.tolist(), dtype=dtype).reshape(shape)
    if not dtype.is_floating_point:
        changed = given.ravel() != values.numpy().ravel()
        if changed.any():
            odd = given.ravel()[changed][0].item()
            raise ValueError(f"{odd!r} is not a value of {_NAMES[dtype]}: give what it can hold")
    return values


def asked_of(asked: dict[str, Any]) -> dict[str, Any]:
    """Return the settings among a request's parameters; raise `Problem` for unknown ones."""
    parameters = _parameters(asked, (*PARAMETERS, *OWN), "the request")
    for name in HINTS:
        value = parameters.get(name, 0)
        if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 2**64:
            raise _malformed(f"{name}={shown(value)} is not a whole number in [0, 2**64): give one")
    _flag(parameters, "binary_data_output")
    return {name: parameters[name] for name in PARAMETERS if name in parameters}


def respond(
    batch: Batch, asked: dict[str, Any], name: str, layout: str
) -> tuple[bytes, list[memoryview]]:
    """Return the JSON of an answer, and the binary tensors behind it (none: all in the JSON)."""
    images = batch.images if layout == "NCHW" else batch.images.permute(0, 2, 3, 1)
    tensors = {"IMAGES": images, "IDS": batch.ids}
    if isinstance(batch.targets, Targets):
        tensors |= {"LABEL_A": batch.targets.a, "LABEL_B": batch.targets.b,
                    "LAM": batch.targets.lam}  # fmt: skip
    elif batch.targets is not None:
        tensors["LABELS"] = batch.targets
    wanted = _wanted(asked, tensors)
    outputs: list[dict[str, Any]] = []
    data: list[memoryview] = []
    for key, binary in wanted.items():
        tensor = tensors[key]
        entry: dict[str, Any] = {
            "name": key, "datatype": _NAMES[tensor.dtype], "shape": list(tensor.shape)
        }  # fmt: skip
        if binary:
            part = memory_of(tensor)
            entry["parameters"] = {"binary_data_size": part.nbytes}
            data.append(part)
        else:
            entry["data"] = tensor.flatten().tolist()
        outputs.append(entry)
    answer: dict[str, Any] = {"model_name": name, "model_version": VERSION, "outputs": outputs}
    if "id" in asked:
        answer["id"] = asked["id"]
    if isinstance(batch.targets, Targets):
        answer["parameters"] = _of_targets(batch.targets)
    return json.dumps(answer).encode(), data


def _of_targets(targets: Targets) -> dict[str, Any]:
    # Without these, compact labels are not the whole of them: smoothing is still to be applied.
    found: dict[str, Any] = {"epsilon": targets.epsilon, "multi_hot": targets.multi_hot}
    if targets.num_classes is not None:
        found["num_classes"] = targets.num_classes
    return found


def _wanted(asked: dict[str, Any], tensors: dict[str, torch.Tensor]) -> dict[str, bool]:
    all_binary = _flag(asked.get("parameters", {}), "binary_data_output") or False
    listed = asked.get("outputs")
    if listed is not None and not isinstance(listed, list):
        raise _malformed(f"outputs={shown(listed)} is not a list of outputs: send one, or none")
    if not listed:
        return dict.fromkeys(tensors, all_binary)
    found: dict[str, bool] = {}
    for entry in listed:
        if not isinstance(entry, dict) or entry.get("name") not in [*tensors]:
            raise invalid(
                f"output {_named(entry)} is not one of {[*tensors]}, which come of this request: "
                "ask for these"
            )
        name = entry["name"]
        _known(entry, OUTPUT_MEMBERS, f"output {name!r}")
        own = _parameters(entry, ("binary_data", "classification"), f"output {name!r}")
        if name in found:
            raise _malformed(f"output {name!r} comes twice: ask for it once")
        if "classification" in own:
            raise invalid(f"output {name!r}: classification={shown(own['classification'])} is not "
                          "for images and labels: leave it out")  # fmt: skip
        binary = _flag(own, "binary_data")
        found[name] = all_binary if binary is None else binary
    return found


def _flag(parameters: dict[str, Any], name: str) -> bool | None:
    value: bool | None = parameters.get(name)
    if name in parameters and not isinstance(value, bool):
        raise _malformed(f"{name}={shown(value)} is not a flag: give true or false")
    return value


def _named(entry: Any) -> str:
    return shown(entry.get("name") if isinstance(entry, dict) else entry)
