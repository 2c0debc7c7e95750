"""Compile the kernels for GPUs that are not here; a line of JSON for each on standard output.

`python -m tests.augfeed.scripts.compiled`, without TRITON_INTERPRET: for the usual GPU, and every
few for the others; with `--all`, the whole product for all.
"""

import json
import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from functools import cache
from itertools import product
from multiprocessing import get_context
from typing import Any

import torch

from augfeed import Policy, presets
from augfeed.doctor.environment import cores
from augfeed.engines import Output
from augfeed.engines.cuda.spec import Spec
from augfeed.plan.program import codes_of
from augfeed.policy import Normalize, RandomCrop
from tests.cases import CASES, policy_of
from tests.sampling import ALL, covering_names, each_value

OFTEN, SELDOM = 90, (80, 100)  # H100, H200; A100, B200
FEW = ("contrast about mean", "translate, bicubic")  # compiled for the others by a usual run, too
OUTPUTS = [Output(dtype, last) for last in (False, True)
           for dtype in (torch.float32, torch.float16, torch.bfloat16, torch.uint8)]  # fmt: skip
USUAL = OUTPUTS[2]
ONES = "1 x 1"
ALONE = ("whole chain", "jitter, some")  # that a usual run compiles for images of one pixel
MASKS = "rotate"  # the case beside which the kernel for masks is compiled
NAMED = ("nothing", "horizontal flip", "contrast about mean", "whole chain", "mixup", "rotate")
CHAINS = ("frames, moved and mixed", "frames, recoloured",
          "whole chain", "geometry, reflect", "cutmix, some", "all noise")  # fmt: skip
SHORT = ("frames, moved and mixed", "frames, recoloured", "geometry, reflect", "cutmix, some",
         "all noise", "all noise", "frames, recoloured", "geometry, reflect", "cutmix, some",
         "all noise", "geometry, reflect", "cutmix, some")  # fmt: skip
PROGRAMS = ("sequence of all kinds", "some of, nested")
PRESETS = [(presets.seed_chain(), 3, 224), (presets.imagenet(), 3, 224),
           (presets.evaluation(224, 256), 3, 224), (presets.cifar(), 3, 32),
           (presets.fashion(), 1, 28), (presets.digits(), 1, 28)]  # fmt: skip
VARIANTS: list[tuple[str, Any]] = [
    ("images", (1, 224, torch.uint8)), ("images", (3, 37, torch.uint8)),
    ("images", (3, 224, torch.float32)),
    ("padding", "constant"), ("padding", "edge"), ("padding", "reflect"), ("cut", 32),
]  # fmt: skip
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


def jobs(*, whole: bool) -> Iterator[Job]:
    """Yield the operation table, presets, outputs, windows and kinds of images.

    Of products a usual run compiles as many as have every value, and of the table every operation.
    """
    combined: Any = product if whole else each_value
    rest = ("geometry, reflect", "cutmix, some", "all noise") if whole else ()
    for case, channels in combined((*ALONE, *rest), (1, 3)):
        spec = spec_of(policy_of(CASES[case], channels), channels=channels, side=1)
        yield f"{ONES}, {case}, {channels}", spec, USUAL.dtype, False
    for name in CASES if whole else compiled_alone():
        yield name, spec_of(policy_of(CASES[name], 3)), USUAL.dtype, True
    for (preset, channels, side), output in combined(PRESETS, OUTPUTS[:3] + OUTPUTS[4:7]):
        spec = spec_of(preset, output, channels=channels, side=side)
        yield f"{preset.name}, {side}", spec, output.dtype, side % 16 == 0
    for case, images in combined(PROGRAMS,
                                 ((1, 37, torch.uint8), (3, 224, torch.float32))):  # fmt: skip
        yield variant_of(case, "images", images)
    outputs = OUTPUTS if whole else OUTPUTS[3:]  # the presets have the others
    chains = CHAINS if whole else SHORT
    for case, variant in combined(chains, [*(("output", each) for each in outputs), *VARIANTS]):
        yield variant_of(case, *variant)


def compiled_alone() -> list[str]:
    """Return the cases that tests name, and a few others, so that all `kinds` are compiled.

    Those that variants have are compiled with these.
    """
    found = [*NAMED, *(name for name in FEW if name not in NAMED)]
    seen = {kind for name in (*found, *CHAINS, *PROGRAMS) for kind in kinds(name)}
    every = {name: kinds(name) for name in CASES}
    return found + covering_names(every, {kind for each in every.values() for kind in each - seen})


@cache
def kinds(case: str) -> frozenset[Any]:
    """Return what a case has: operations, steps of programs, and what borders repeat."""
    policy = Policy(CASES[case])
    alone = {(type(one), getattr(one, "mode", "")) for one in policy.operations if not one.program}
    return frozenset(alone | {code for codes in codes_of(policy) for code in codes})


def variant_of(case: str, kind: str, given: Any) -> Job:
    """Return a chain for another output, for other images, or behind a window."""
    policy = policy_of(CASES[case], 3)
    match kind:
        case "output":
            if given.dtype == torch.uint8:
                policy = Policy([o for o in policy.operations if not isinstance(o, Normalize)])
            return f"{case}, as {given}", spec_of(policy, given), given.dtype, True
        case "images":
            channels, side, dtype = given
            policy = policy_of(CASES[case], channels)
            spec = spec_of(policy, channels=channels, side=side, dtype=dtype)
            name = f"{case}, {channels} x {side} of {dtype}"
            return name, spec, USUAL.dtype, side % 16 == 0
        case "padding":
            policy = policy_of(CASES[case], 3, RandomCrop(224, 9, mode=given))
            return f"{case}, {given} padding", spec_of(policy), USUAL.dtype, True
    return f"{case}, cut", spec_of(policy, larger=given), USUAL.dtype, True


def compiled(task: tuple[Job, int]) -> dict[str, Any]:
    from augfeed.engines.cuda.report import (
        compile_augment,
        compile_finish,
        compile_for_ones,
        compile_masks,
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
    if name == MASKS:
        found |= {
            f"show_masks {k}": asdict(
                compile_masks(
                    arch,
                    sampled=k != 3,
                    displaced=k > 3,
                    mixed=k != 3,
                    border=k % 3,
                    wide=k % 2 == 0,
                )
            )
            for k in (range(6) if ALL in sys.argv else range(3, 6))
        }
    return found


def main() -> None:
    whole, unique = ALL in sys.argv, dict[Any, Job]()
    for job in jobs(whole=whole):
        unique.setdefault(job[1:], job)
    every = [*unique.values()]
    others = every if whole else [job for job in every if job[0] in FEW]
    tasks = [(job, OFTEN) for job in every] + [(job, arch) for job in others for arch in SELDOM]
    if not whole:  # the other cores run other tests, and each process imports all again
        print(*(json.dumps(compiled(task)) for task in tasks), sep="\n")
        return
    with ProcessPoolExecutor(cores(), mp_context=get_context("spawn")) as pool:
        for found in pool.map(compiled, tasks):
            sys.stdout.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    main()
