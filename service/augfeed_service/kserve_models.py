"""Policies as models of KServe's v2 protocol: metadata, configuration, index and statistics.

The protocol is the Open Inference Protocol (https://github.com/kserve/open-inference-protocol), the
rest are extensions of Triton's HTTP interface
(https://github.com/triton-inference-server/server/tree/main/docs/protocol).
"""

import time
from collections import Counter, OrderedDict
from dataclasses import dataclass, field
from typing import Any

from augfeed import __version__
from augfeed.errors import PolicyError
from augfeed.policy import Policy
from augfeed.presets import PRESETS
from augfeed.targets import softens
from augfeed_service.push import default_dtype

VERSION = "1"
PLATFORM = "augfeed"
MOST_NAMES = 128  # policies whose statistics are kept: the newest
EXTENSIONS = ("binary_tensor_data", "model_configuration", "model_repository", "schedule_policy",
              "statistics")  # fmt: skip
DATATYPES = {"uint8": "UINT8", "float16": "FP16", "bfloat16": "BF16", "float32": "FP32"}
PARTS = ("queue", "compute_input", "compute_infer", "compute_output")
_UNTIMED = ("cache_hit", "cache_miss")  # nothing is kept: every request is carried out


def server() -> dict[str, Any]:
    """Return the metadata of the server."""
    return {"name": "augfeed", "version": __version__, "extensions": [*EXTENSIONS]}


def inputs() -> list[dict[str, Any]]:
    """Return the input tensors of every policy; LABELS and IDS may be left out."""
    return [
        {"name": "IMAGES", "datatype": "UINT8", "shape": [-1, -1, -1, -1]},
        {"name": "LABELS", "datatype": "INT64", "shape": [-1]},
        {"name": "IDS", "datatype": "INT64", "shape": [-1]},
    ]


def outputs(policy: Policy) -> list[dict[str, Any]]:
    """Return the output tensors of a policy, as they are where a request has no parameters.

    What becomes of labels comes where LABELS are sent; of a policy that mixes or smooths them it is
    LABEL_A, LABEL_B and LAM, or LABELS where the parameter `labels` is "dense".
    """
    try:
        height, width = policy.size()
    except PolicyError:
        height, width = -1, -1  # those of the images sent
    found: list[dict[str, Any]] = [
        {"name": "IMAGES", "datatype": DATATYPES[default_dtype(policy)],
         "shape": [-1, height, width, -1]},
        {"name": "IDS", "datatype": "INT64", "shape": [-1]},
    ]  # fmt: skip
    if not softens(policy):
        return [*found, {"name": "LABELS", "datatype": "INT64", "shape": [-1]}]
    return [
        *found, {"name": "LABEL_A", "datatype": "INT64", "shape": [-1]},
        {"name": "LABEL_B", "datatype": "INT64", "shape": [-1]},
        {"name": "LAM", "datatype": "FP32", "shape": [-1]},
        {"name": "LABELS", "datatype": "FP32", "shape": [-1, -1]},
    ]  # fmt: skip


def metadata(name: str, policy: Policy) -> dict[str, Any]:
    """Return the metadata of a policy as a model."""
    return {
        "name": name, "versions": [VERSION], "platform": PLATFORM,
        "inputs": inputs(), "outputs": outputs(policy),
    }  # fmt: skip


def configuration(name: str, policy: Policy) -> dict[str, Any]:
    """Return the configuration of a policy, in the terms of Triton's `ModelConfig`."""

    def typed(tensor: dict[str, Any]) -> dict[str, Any]:
        kind = f"TYPE_{tensor['datatype']}"
        return {"name": tensor["name"], "data_type": kind, "dims": tensor["shape"]}

    return {
        "name": name, "platform": PLATFORM, "backend": PLATFORM,
        "version_policy": {"latest": {"num_versions": 1}},
        "max_batch_size": 0,  # dims count the images, too
        "input": [{**typed(one), "optional": one["name"] != "IMAGES"} for one in inputs()],
        "output": [typed(one) for one in outputs(policy)],
    }  # fmt: skip


def index() -> list[dict[str, Any]]:
    """Return the presets as models; any other policy is asked for by its line or its JSON."""
    return [{"name": name, "version": VERSION, "state": "READY", "reason": ""} for name in PRESETS]


@dataclass(slots=True)
class _Known:
    # What is counted of a policy.
    images: int = 0
    requests: int = 0
    last: int = 0  # milliseconds since 1970
    counts: Counter[str] = field(default_factory=Counter)
    nanoseconds: Counter[str] = field(default_factory=Counter)


class Clock:
    """The time that parts of one request take."""

    def __init__(self) -> None:
        self.begun = self._last = time.perf_counter_ns()
        self.parts: dict[str, int] = {}

    def ended(self, part: str) -> None:
        """Note that a part, one of `PARTS`, ends now; it began where the one before it ended."""
        now = time.perf_counter_ns()
        self.parts[part], self._last = now - self._last, now


class Statistics:
    """What was asked of policies, and how long it took: of the `MOST_NAMES` newest."""

    def __init__(self) -> None:
        self._known: OrderedDict[str, _Known] = OrderedDict()

    def note(self, name: str, clock: Clock, images: int | None) -> None:
        """Count a request that was answered with some images, or failed (None)."""
        known = self._known.setdefault(name, _Known())
        self._known.move_to_end(name)
        while len(self._known) > MOST_NAMES:
            self._known.popitem(last=False)
        took = {("fail" if images is None else "success"): time.perf_counter_ns() - clock.begun}
        if images is not None:
            took |= clock.parts
            known.images += images
            known.requests += 1
            known.last = time.time_ns() // 10**6
        known.counts.update(took.keys())
        known.nanoseconds.update(took)

    def names(self) -> list[str]:
        """Return the policies that are counted, the one asked for last at the end."""
        return [*self._known]

    def of(self, name: str) -> dict[str, Any]:
        """Return what is known of a policy, in the terms of Triton's statistics."""
        known = self._known.get(name, _Known())
        return {
            "name": name, "version": VERSION, "last_inference": known.last,
            "inference_count": known.images, "execution_count": known.requests,
            "inference_stats": {
                part: {"count": known.counts[part], "ns": known.nanoseconds[part]}
                for part in ("success", "fail", *PARTS, *_UNTIMED)
            },
            "batch_stats": [],
        }  # fmt: skip
