"""KServe's v2 protocol ("Open Inference Protocol") with its extension for binary tensors.

A model is a policy: inputs IMAGES (UINT8 [N, H, W, C]), LABELS and IDS; outputs IMAGES, and LABELS
or LABEL_A, LABEL_B and LAM.
"""

import json
import math
from typing import Any

import numpy as np
import torch

from augfeed.batch import Batch
from augfeed.policy.describe import shown
from augfeed.targets import Targets
from augfeed.wire import encode
from augfeed.wire.tensors import memory_of
from augfeed_service.images import Images, from_tensors, invalid
from augfeed_service.parameters import json_object, whole
from augfeed_service.problems import Problem
from augfeed_service.settings import Settings

HEADER = "Inference-Header-Content-Length"
INPUTS = {"IMAGES": "images", "LABELS": "labels", "IDS": "ids"}
PARAMETERS = ("seed", "epoch", "dtype", "layout", "labels", "num_classes")
MEMBERS = ("id", "parameters", "inputs", "outputs")
# The protocol's own: how the answer is written, and hints to a scheduler; there is none.
OWN = ("binary_data_output", "priority", "timeout")
VERSION = "1"
_DTYPES = {
    "UINT8": torch.uint8, "INT32": torch.int32, "INT64": torch.int64, "FP16": torch.float16,
    "FP32": torch.float32, "FP64": torch.float64, "BF16": torch.bfloat16, "BOOL": torch.bool,
}  # fmt: skip
_NAMES = {dtype: name for name, dtype in _DTYPES.items()}


def server() -> dict[str, Any]:
    """Return the metadata of the server."""
    from augfeed import __version__

    return {"name": "augfeed", "version": __version__, "extensions": ["binary_tensor_data"]}


def model(name: str) -> dict[str, Any]:
    """Return the metadata of a policy as a model."""
    return {
        "name": name, "versions": [VERSION], "platform": "augfeed",
        "inputs": [
            {"name": "IMAGES", "datatype": "UINT8", "shape": [-1, -1, -1, -1]},
            {"name": "LABELS", "datatype": "INT64", "shape": [-1]},
            {"name": "IDS", "datatype": "INT64", "shape": [-1]},
        ],
        "outputs": [
            {"name": "IMAGES", "datatype": "UINT8", "shape": [-1, -1, -1, -1]},
            {"name": "LABELS", "datatype": "INT64", "shape": [-1]},
        ],
    }  # fmt: skip


def parse(
    body: memoryview, header: str | None, settings: Settings
) -> tuple[Images, dict[str, Any]]:
    """Return the images of a request, and all of its JSON; raise `Problem`."""
    length: int | None = len(body)
    if header is not None:
        length = whole(header)
        if length is None or not 0 <= length <= len(body):
            raise _malformed(f"{HEADER}: {header[:40]!r} is not a length in [0, {len(body)}]")
    asked = json_object(bytes(body[:length]), "the request")
    if unknown := sorted(set(asked) - set(MEMBERS)):
        raise _malformed(f"the request has {unknown}, which mean nothing: it may have {MEMBERS}")
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


def _input(entry: Any, rest: memoryview, settings: Settings) -> tuple[str, Any, memoryview]:
    if not isinstance(entry, dict) or entry.get("name") not in INPUTS:
        raise invalid(f"inputs are {[*INPUTS]}: there is no other")
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
    parameters = entry.get("parameters")
    size = parameters.get("binary_data_size") if isinstance(parameters, dict) else None
    name = INPUTS[entry["name"]]
    if size is None:
        try:
            return name, _values(entry.get("data"), dtype, shape), rest
        except (ValueError, TypeError, RuntimeError, OverflowError) as error:
            raise invalid(f"input {entry['name']!r}: {str(error)[:200]}") from None
    if not isinstance(size, int) or size != count * dtype.itemsize or size > len(rest):
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
            raise ValueError(f"{odd!r} is no value of {_NAMES[dtype]}: give what it can hold")
    return values


def asked_of(asked: dict[str, Any]) -> dict[str, Any]:
    """Return the settings among a request's parameters; raise `Problem` for unknown ones."""
    parameters = asked.get("parameters", {})
    if not isinstance(parameters, dict):
        raise _malformed(f"parameters={shown(parameters)} are no JSON object: send one")
    if unknown := sorted(set(parameters) - {*PARAMETERS, *OWN}):
        raise _malformed(f"parameters {unknown} are not known: there are {[*PARAMETERS, *OWN]}")
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
    if isinstance(asked.get("id"), str):
        answer["id"] = asked["id"]
    return json.dumps(answer).encode(), data


def _wanted(asked: dict[str, Any], tensors: dict[str, torch.Tensor]) -> dict[str, bool]:
    all_binary = _flag(asked.get("parameters"), "binary_data_output") or False
    listed = asked.get("outputs")
    if listed is not None and not isinstance(listed, list):
        raise _malformed(f"outputs={shown(listed)} is no list of outputs: send one, or none")
    if not listed:
        return dict.fromkeys(tensors, all_binary)
    found: dict[str, bool] = {}
    for entry in listed:
        if not isinstance(entry, dict) or entry.get("name") not in tensors:
            raise invalid(f"outputs are {[*tensors]}: there is no other")
        name, own = entry["name"], entry.get("parameters")
        if name in found:
            raise _malformed(f"output {name!r} comes twice: ask for it once")
        if isinstance(own, dict) and own.get("classification"):
            raise invalid(f"output {name!r}: classification={shown(own['classification'])} is not "
                          "for images and labels: leave it out")  # fmt: skip
        binary = _flag(own, "binary_data")
        found[name] = all_binary if binary is None else binary
    return found


def _flag(parameters: Any, name: str) -> bool | None:
    value = parameters.get(name) if isinstance(parameters, dict) else None
    if value is not None and not isinstance(value, bool):
        raise _malformed(f"{name}={shown(value)} is not a flag: give true or false")
    return value
