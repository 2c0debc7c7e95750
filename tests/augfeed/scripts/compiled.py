"""Compile the kernels for GPUs that are not here; a line of JSON for each on standard output.

`python -m tests.augfeed.scripts.compiled`, without TRITON_INTERPRET: all of them for the usual GPU,
and every few for the others; with `--all`, all for all.
"""

import json
import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from multiprocessing import get_context
from typing import Any

import torch

from augfeed import Policy, presets
from augfeed.doctor.environment import cores
from augfeed.engines import Output
from augfeed.engines.cuda.spec import Spec
from augfeed.policy import Normalize, RandomCrop
from tests.cases import CASES, policy_of
from tests.sampling import ALL

OFTEN, SELDOM = 90, (80, 100)  # H100, H200; A100, B200
FEW = 12  # that are compiled for the others, too
OUTPUTS = [Output(dtype, last) for last in (False, True)
           for dtype in (torch.float32, torch.float16, torch.bfloat16, torch.uint8)]  # fmt: skip
USUAL = OUTPUTS[2]
ONES = "1 x 1"
Job = tuple[str, Spec, torch.dtype, bool]  # name, what for, output, sides divisible by 16


def spec_of(
    policy: Policy, output: Output = USUAL, *, channels: int = 3, side: int = 224, larger: int = 0,
    dtype: torch.dtype = torch.uint8,
) -> Spec:  # fmt: skip
    images = torch.empty((1, side + larger, side + larger, channels), dtype=dtype)
    return Spec.of(policy, (side, side), images, output, framed=not larger and not padded(policy))


def padded(policy: Policy) -> bool:
    crop = policy.find(RandomCrop)
    return crop is not None and crop.padding > 0


def jobs() -> Iterator[Job]:
    """Yield the operation table, presets, outputs, windows and kinds of images."""
    for case in ("whole chain", "geometry, reflect", "cutmix, some", "all noise", "jitter, some"):
        for channels in (1, 3):
            spec = spec_of(policy_of(CASES[case], channels), channels=channels, side=1)
            yield f"{ONES}, {case}, {channels}", spec, USUAL.dtype, False
    for name, operations in CASES.items():
        yield name, spec_of(policy_of(operations, 3)), USUAL.dtype, True
    for preset in (presets.seed_chain(), presets.imagenet(), presets.evaluation(224, 256)):
        for output in OUTPUTS[:3] + OUTPUTS[4:7]:
            yield str(preset.name), spec_of(preset, output), output.dtype, True
    for preset, channels, side in (
        (presets.cifar(), 3, 32), (presets.fashion(), 1, 28), (presets.digits(), 1, 28)
    ):  # fmt: skip
        for output in OUTPUTS[:3] + OUTPUTS[4:7]:
            spec = spec_of(preset, output, channels=channels, side=side)
            yield f"{preset.name}, {side}", spec, output.dtype, side % 16 == 0
    for case in ("frames, moved and mixed", "frames, recoloured"):
        yield case, spec_of(policy_of(CASES[case], 3)), torch.float32, True
        for channels, side, dtype in ((1, 224, torch.uint8), (3, 37, torch.uint8),
                                      (3, 224, torch.float32)):  # fmt: skip
            spec = spec_of(policy_of(CASES[case], channels), channels=channels, side=side,
                           dtype=dtype)  # fmt: skip
            yield f"{case}, {channels} x {side} of {dtype}", spec, USUAL.dtype, side % 16 == 0
        for rule in ("constant", "edge", "reflect"):
            policy = policy_of(CASES[case], 3, RandomCrop(224, 9, mode=rule))
            yield f"{case}, {rule} padding", spec_of(policy), USUAL.dtype, True
    for case in ("sequence of all kinds", "some of, nested"):
        for channels, side, dtype in ((1, 37, torch.uint8), (3, 224, torch.float32)):
            spec = spec_of(policy_of(CASES[case], channels), channels=channels, side=side,
                           dtype=dtype)  # fmt: skip
            yield f"{case}, {channels} x {side} of {dtype}", spec, USUAL.dtype, side % 16 == 0
    for case in ("whole chain", "geometry, reflect", "cutmix, some", "all noise"):
        policy = policy_of(CASES[case], 3)
        for output in OUTPUTS:
            if output.dtype == torch.uint8:
                policy = Policy([o for o in policy.operations if not isinstance(o, Normalize)])
            yield f"{case}, as {output}", spec_of(policy, output), output.dtype, True
        for channels, side, dtype in ((1, 224, torch.uint8), (3, 37, torch.uint8),
                                      (3, 224, torch.float32)):  # fmt: skip
            policy = policy_of(CASES[case], channels)
            spec = spec_of(policy, channels=channels, side=side, dtype=dtype)
            yield f"{case}, {channels} x {side} of {dtype}", spec, USUAL.dtype, side % 16 == 0
        for mode in ("constant", "edge", "reflect"):
            policy = policy_of(CASES[case], 3, RandomCrop(224, 9, mode=mode))
            yield f"{case}, {mode} padding", spec_of(policy), USUAL.dtype, True
        yield f"{case}, cut", spec_of(policy_of(CASES[case], 3), larger=32), USUAL.dtype, True


def compiled(task: tuple[Job, int]) -> dict[str, Any]:
    from augfeed.engines.cuda.report import (
        compile_augment,
        compile_finish,
        compile_for_ones,
        compile_programs,
        compile_steps,
        compile_sums,
    )

    (name, spec, dtype, divisible), arch = task
    report = compile_augment(spec, dtype, arch, divisible=divisible)
    if name.startswith(ONES):  # a constant in place of each integer: other code for Triton
        compile_for_ones(spec, dtype, arch)
    found = {"name": name, "arch": arch, "spec": asdict(spec), "dtype": str(dtype),
             "divisible": divisible, "augment": asdict(report)}  # fmt: skip
    if spec.mean:
        found["sums"] = asdict(compile_sums(spec, arch, divisible=divisible))
        found["finish"] = asdict(compile_finish(spec, arch))
    found |= {part: asdict(made) for part, made in compile_steps(spec, arch).items()}
    found |= {part: asdict(made) for part, made in compile_programs(spec, arch).items()}
    return found


def main() -> None:
    unique: dict[Any, Job] = {}
    for job in jobs():
        unique.setdefault(job[1:], job)
    every = [*unique.values()]
    others = every if ALL in sys.argv else every[:: len(every) // FEW]
    tasks = [(job, OFTEN) for job in every] + [(job, arch) for job in others for arch in SELDOM]
    with ProcessPoolExecutor(cores(), mp_context=get_context("spawn")) as pool:
        for found in pool.map(compiled, tasks):
            sys.stdout.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    main()
