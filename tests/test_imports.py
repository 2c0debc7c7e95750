"""What importing the packages, and using a part of them, loads: asked of one new process."""

import json
import os
import subprocess
import sys

import pytest

HEAVY = {"fastapi", "kornia", "lightning", "nvidia.dali", "ray", "torchvision", "triton"}
# One step after another, as modules only become more: what one loads, the next would show, too.
STEPS = """
import json, sys
import torch

loaded = {"torch": list(sys.modules)}
import augfeed
loaded["the door"] = list(sys.modules)
import augfeed_client
loaded["the client"] = list(sys.modules)
[getattr(augfeed, name) for name in augfeed.__all__]
loaded["all behind the door"] = list(sys.modules)
from augfeed.doctor import machine
machine()
loaded["the doctor"] = list(sys.modules)
import numpy as np
sys.modules["kornia"] = None
loader = augfeed.DataLoader(np.zeros((4, 8, 8, 3), np.uint8), 2, policy="hflip")
print(json.dumps([loaded, len(list(loader))]))
"""
Loaded = tuple[dict[str, set[str]], int]


@pytest.fixture(scope="module")
def found() -> Loaded:
    """Return the modules that are loaded after each step, and the batches of the last one."""
    done = subprocess.run(
        [sys.executable, "-c", STEPS], capture_output=True, text=True, timeout=240, check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    loaded, batches = json.loads(done.stdout)
    return {step: set(names) for step, names in loaded.items()}, batches


@pytest.mark.parametrize(
    ("step", "banned"), [("the door", HEAVY | {"numba"}), ("all behind the door", HEAVY)]
)
def test_import_loads_nothing_heavy(step: str, banned: set[str], found: Loaded) -> None:
    assert "augfeed" in found[0][step]
    assert not banned & (found[0][step] - found[0]["torch"])


def test_the_client_loads_no_engine_and_no_server(found: Loaded) -> None:
    heavy = {"numba", "kornia", "fastapi", "uvicorn", "nvidia.dali", "triton", "httpx"}
    assert "augfeed_client" in found[0]["the client"]
    assert not heavy & found[0]["the client"]


def test_machine_looks_without_importing(found: Loaded) -> None:
    assert not {"kornia", "nvidia.dali", "triton"} & found[0]["the doctor"]


def test_a_policy_without_stages_needs_no_kornia(found: Loaded) -> None:
    assert found[1] == 2
