"""Loops use the instructions of the processor that they are compiled for, which may be another."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from numba.core import codegen, config

from augfeed.kernels import processor
from augfeed.kernels.processor import has
from tests.waiting import HANG

SCRIPT = """
import numpy as np, torch, augfeed
images = (np.arange(14652) % 256).astype(np.uint8).reshape(4, 33, 37, 3)
options = {"batch_size": 4, "seed": 1, "dtype": torch.float16}
policy = "sequence([posterize(3), equalize]) | normalize(0.5, 0.25)"
for batch, _ in augfeed.DataLoader(images, policy=policy, **options):
    print(batch.float().sum().item())
"""
TARGETS = {
    "NUMBA_CPU_NAME": "generic",
    "NUMBA_ENABLE_AVX": "0",
    "NUMBA_CPU_FEATURES": "+sse4.2,-avx512vbmi,-f16c",
}


def test_features_are_those_of_the_target(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(config, "CPU_FEATURES", "+sse2,+f16c,-avx512vbmi")
    assert has("f16c") and has("sse2", "f16c")
    assert not has("avx512vbmi") and not has("f16c", "avx512vbmi") and not has("f16")
    monkeypatch.setattr(config, "CPU_FEATURES", "")
    assert not has("sse2")


def test_features_without_a_named_target_are_those_that_numba_takes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(config, "CPU_FEATURES", None)
    monkeypatch.setattr(processor, "get_host_cpu_features", lambda: "+avx2,-avx512bw")
    assert has("avx2") and not has("avx512bw")
    monkeypatch.undo()
    monkeypatch.setattr(config, "CPU_FEATURES", None)
    monkeypatch.setattr(config, "ENABLE_AVX", 0)
    assert "+avx" not in codegen.get_host_cpu_features() and not has("avx2")


def test_no_other_module_asks_what_the_host_has() -> None:
    files = Path(processor.__file__).parent.glob("*.py")
    asking = [file.name for file in files if "get_host_cpu_features" in file.read_text()]
    assert asking == ["processor.py"]


@pytest.mark.slow
@pytest.mark.parametrize("name", TARGETS)
def test_loops_compile_for_another_processor(name: str, tmp_path: Path) -> None:
    made = os.environ | {name: TARGETS[name], "NUMBA_CACHE_DIR": str(tmp_path)}
    ran = subprocess.run([sys.executable, "-c", SCRIPT], env=made, capture_output=True, text=True,
                         timeout=HANG)  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    assert len(ran.stdout.split()) == 1
