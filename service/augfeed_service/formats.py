"""The formats that batches come in, and which one a request asks for."""

import io

import numpy as np
import torch

from augfeed.batch import Batch
from augfeed.targets import Targets
from augfeed.wire import MEDIA_TYPE, Body, batch_tensors
from augfeed.wire.batches import Layout
from augfeed_service.problems import Problem

SAFETENSORS, NPZ = "safetensors", "npz"
TYPES = {SAFETENSORS: MEDIA_TYPE, NPZ: "application/x-npz"}
_ASKED = {
    MEDIA_TYPE: SAFETENSORS, "application/octet-stream": SAFETENSORS, "application/*": SAFETENSORS,
    "*/*": SAFETENSORS, "application/x-npz": NPZ,
}  # fmt: skip


def wanted(accept: str | None) -> str:
    """Return the format that an `Accept` header asks for most; raise `Problem` if none is made."""
    if not accept or not accept.strip():
        return SAFETENSORS
    found: list[tuple[float, int, str]] = []
    for place, part in enumerate(accept.split(",")[:32]):
        kind, *parameters = (piece.strip().lower() for piece in part.split(";"))
        weight = 1.0
        for parameter in parameters:
            if parameter.startswith("q="):
                try:
                    weight = float(parameter[2:])
                except ValueError:
                    weight = 0.0
        if kind in _ASKED and weight > 0:
            found.append((-weight, place, _ASKED[kind]))
    if not found:
        raise Problem(
            406, "not-acceptable",
            f"Accept: {accept[:100]!r} names none of {', '.join(TYPES.values())}: ask for one",
        )  # fmt: skip
    return min(found)[2]


def npz(batch: Batch, layout: Layout, *, maps: bool = False) -> Body:
    """Return a batch as a file for `numpy.load`; bfloat16 becomes float32, which holds it."""
    tensors, _ = batch_tensors(batch, layout=layout, maps=maps)
    if isinstance(batch.targets, Targets):
        tensors["epsilon"] = torch.tensor(batch.targets.epsilon)
    file = io.BytesIO()
    arrays = {
        name: (tensor.float() if tensor.dtype == torch.bfloat16 else tensor).cpu().numpy()
        for name, tensor in tensors.items()
    }
    np.savez(file, **arrays)  # type: ignore[arg-type]
    return Body((file.getbuffer(),))
