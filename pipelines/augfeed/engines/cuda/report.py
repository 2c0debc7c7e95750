"""What the compiler makes of the kernels, for a GPU that need not be there."""

import re
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from augfeed.engines.cuda import (
    color,
    elastic,
    frames,
    jpeg,
    kernel,
    mask_launch,
    masks,
    program,
    program_blur,
    program_chains,
    spatial,
    stencils,
)
from augfeed.engines.cuda.frame_steps import slot_start
from augfeed.engines.cuda.launch import (
    constants,
    finish_constants,
    options_of,
    sum_constants,
    sum_options,
)
from augfeed.engines.cuda.mask_launch import mask_constants
from augfeed.engines.cuda.program_launch import cut_constants, kernels_of, spatial_constants
from augfeed.engines.cuda.program_layout import program_start
from augfeed.engines.cuda.scratch import (
    OPTIONS,
    kernel_constants,
    reading_constants,
    step_constants,
    table_constants,
)
from augfeed.engines.cuda.spec import Spec
from augfeed.errors import InputError
from augfeed.operation import Blocks, Displacement
from augfeed.plan.frames import FRAMES, has_kernel, has_table, is_spatial

_POINTERS = {
    torch.float32: "*fp32", torch.float16: "*fp16", torch.bfloat16: "*bf16", torch.uint8: "*u8",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Report:
    """Resources of one kernel, and the instructions that it moves data with.

    `local` is the bytes of local memory a thread has, and `stack` of its frame: spilled registers
    and arrays indexed at run time would be there. `loads` and `stores` count the instructions of
    global memory by their width in bits.
    """

    registers: int
    stack: int
    local: int
    shared: int
    loads: dict[int, int]
    stores: dict[int, int]


def compile_augment(spec: Spec, dtype: torch.dtype, arch: int, *, divisible: bool = True) -> Report:
    """Return what `kernel.augment` becomes on compute capability `arch`, as 90 for 9.0.

    `divisible`: the sides of images are multiples of 16, as those of 224 x 224 are.
    """
    return _report(_augment(spec, dtype, arch, divisible=divisible))


def compile_for_ones(spec: Spec, dtype: torch.dtype, arch: int) -> list[Report]:
    """Return what all kernels become where every integer is 1, which Triton makes a constant."""
    return [_report(_compiled(function, signature, {**constant, **_ones(signature)}, spec, arch,
                              divisible=False))
            for function, signature, constant in (
                (kernel.augment, _augment_signature(spec, dtype), constants(spec)),
                (kernel.sum_frames, _sums_signature(spec), sum_constants(spec)),
                (color.finish_colors, _FINISH, finish_constants(spec)),
            )]  # fmt: skip


def _ones(signature: dict[str, str]) -> dict[str, int]:
    return {name: 1 for name, kind in signature.items() if kind == "i32"}


def compile_sums(spec: Spec, arch: int, *, divisible: bool = True) -> Report:
    """Return what `kernel.sum_frames` becomes; see `compile_augment`."""
    return _report(_sums(spec, arch, divisible=divisible))


def augment_code(spec: Spec, dtype: torch.dtype, arch: int, *, divisible: bool = True) -> str:
    """Return the machine code of `kernel.augment` as nvdisasm prints it, with lines of source."""
    return _disassembled(_augment(spec, dtype, arch, divisible=divisible))


def sums_code(spec: Spec, arch: int, *, divisible: bool = True) -> str:
    """Return the machine code of `kernel.sum_frames`; see `augment_code`."""
    return _disassembled(_sums(spec, arch, divisible=divisible))


def compile_finish(spec: Spec, arch: int) -> Report:
    """Return what `color.finish_colors` becomes; see `compile_augment`."""
    return _report(_compiled(color.finish_colors, _FINISH, finish_constants(spec), spec, arch,
                             divisible=False))  # fmt: skip


def compile_masks(
    arch: int, *, sampled: bool, displaced: bool, mixed: bool, border: int, wide: bool
) -> Report:
    """Return what `masks.show_masks` becomes: for masks of int64 if `wide`, else of uint8."""
    kind = "*i64" if wide else "*u8"
    signature = {"values": kind, "table": "*i64", "lines": "*i32", "fields": "*fp32", "out": kind,
                 "planes": "i32", "pitch": "i32", "height": "i32", "width": "i32"}  # fmt: skip
    constant = mask_constants(sampled=sampled, displaced=displaced, mixed=mixed, border=border,
                              padding=border)  # fmt: skip
    return _report(_compiled_as(masks.show_masks, signature, constant, arch, mask_launch.OPTIONS))


def compile_steps(spec: Spec, arch: int) -> dict[str, Report]:
    """Return what the kernels become that make frames before the pass, by name."""
    images = "*fp32" if spec.float_in else "*u8"
    given = {"images": images, "frames": images, "table": "*i32"}
    rest = {"begin": "i32", "height": "i32", "width": "i32"}
    found: dict[str, tuple[Any, dict[str, str], dict[str, Any]]] = {}
    for slot, code in ((slot, code) for slot, codes in enumerate(spec.slots) for code in codes):
        if not (has_kernel(code) or has_table(code)):
            own = step_constants(spec, slot, code)
            step = {"NUMBERS": slot_start(spec, slot), "PAD": spec.pad, "QUANTIZED": False}
            found |= _spatial_steps(code, own, step, given)
        elif has_table(code):
            own, read = (each(spec, slot, code) for each in (table_constants, reading_constants))
            tables = {"table": "*i32", "counts": "*i32", "tables": "*i32"}
            found |= {
                "count_levels": (frames.count_levels, {**given, "counts": "*i32", **_SIDES}, read),
                "fill_tables": (frames.fill_tables, tables, own),
                "look_up": (frames.look_up, {**given, "tables": "*i32", **_SIDES}, read),
            }
        else:
            own = kernel_constants(spec, slot, code)
            across = {**own, "REACH": spec.reach, "PAD": spec.pad}
            sums = {**given, "sums": "*fp32", "begin": "i32", **_SIDES}
            down = {"frames": images, "table": "*i32", "sums": "*fp32", **rest}
            found |= {"weigh_across": (frames.weigh_across, sums, across),
                      "weigh_down": (frames.weigh_down, down, own)}  # fmt: skip
    return {name: _report(_compiled(function, signature, constant, spec, arch, divisible=False))
            for name, (function, signature, constant) in found.items()}  # fmt: skip


def compile_programs(spec: Spec, arch: int) -> dict[str, Report]:
    """Return what the kernels become that carry out programs, by name, at their largest slot."""
    return {name: _report(made) for name, made in _programs(spec, arch)}


def programs_code(spec: Spec, arch: int) -> dict[str, str]:
    """Return the machine code of those kernels; see `augment_code`."""
    return {name: _disassembled(made) for name, made in _programs(spec, arch)}


def _programs(spec: Spec, arch: int) -> Iterator[tuple[str, Any]]:
    images = "*fp32" if spec.float_in else "*u8"
    given = {"images": images, "frames": images, "table": "*i32"}
    own = {"rows": "i32", "height": "i32", "width": "i32"}
    tables = {"counts": "*i32", "tables": "*i32", "means": "*fp32"}
    weighed = {**given, "sums": "*fp32", "begin": "i32", **own}
    signatures: dict[str, dict[str, str]] = {
        "count_drawn": {**given, "counts": "*i32", **own},
        "fill_drawn": {"table": "*i32", **tables, "pixels": "i32"},
        "look_up_drawn": {**given, "tables": "*i32", **own},
        "combine_drawn": {**given, "means": "*fp32", **own},
        "warp_drawn": {**given, **own},
        "bring_back": {**given, **own},
        "mix_drawn": {**given, "kept": images, "totals": "*fp32", **own},
        "weigh_drawn_across": weighed,
        "weigh_drawn_down": weighed,
    }
    found: dict[str, tuple[dict[str, str], dict[str, Any]]] = {}
    if spec.program:
        found["cut_frames"] = {**given, "rows": "i32", **_SIDES}, cut_constants(spec)
    for slot in range(len(spec.program)):
        found |= {name: (signatures[name], constant)
                  for name, constant in kernels_of(spec, slot).items()}  # fmt: skip
    made = {name: (_drawn_kernel(name), *rest) for name, rest in found.items()}
    for slot, codes in enumerate(spec.program):
        for code in filter(is_spatial, codes):
            step = {"NUMBERS": program_start(spec, slot), "PAD": spec.pad, "QUANTIZED": True}
            steps = _spatial_steps(code, spatial_constants(spec, slot, code), step, given)
            made |= {f"{name} drawn": kernel for name, kernel in steps.items()}
    for name, (function, signature, constant) in made.items():
        yield name, _compiled(function, signature, constant, spec, arch, divisible=False)


def _spatial_steps(
    code: int, own: dict[str, Any], step: dict[str, Any], given: dict[str, str]
) -> dict[str, tuple[Any, dict[str, str], dict[str, Any]]]:
    number, write = {"NUMBERS": step["NUMBERS"]}, {**own, "BLOCK": spatial.BLOCK}
    read = {**write, "PAD": step["PAD"]}
    rows, sides = {"begin": "i32", "pitch": "i32"}, {"height": "i32", "width": "i32"}
    taken = {**given, "sums": "*fp32", **rows, **_SIDES}
    put = {"frames": given["frames"], "table": "*i32", "sums": "*fp32", **rows, **sides}
    if issubclass(FRAMES[code], Blocks):
        blocks = {"table": "*i32", "sums": "*fp32", "numbers": "*i32", **rows, **sides}
        return {
            "fill_planes": (jpeg.fill_planes, taken, read),
            "transform_planes": (jpeg.transform_planes, blocks,
                                 {**own, **number, "MANY": spatial.MANY}),
            "put_planes": (jpeg.put_planes, put, write),
        }  # fmt: skip
    if issubclass(FRAMES[code], Displacement):
        field = {"table": "*i32", "sums": "*fp32", **rows, **sides}
        smooth = {**write, **number}
        return {
            "fill_fields": (elastic.fill_fields, field, smooth),
            "smooth_fields": (elastic.smooth_fields, field, {**smooth, "DOWN": 0}),
            "smooth_fields down": (elastic.smooth_fields, field, {**smooth, "DOWN": 1}),
            "displace": (elastic.displace, taken, {**read, **number}),
            "put_frames": (stencils.put_frames, put, write),
        }
    return {"make_stencils": (stencils.make_stencils, taken,
                              {**read, **step}),
            "put_frames": (stencils.put_frames, put, write)}  # fmt: skip


def _drawn_kernel(name: str) -> Any:
    files = {"weigh": program_blur, "mix": program_chains}
    return getattr(files.get(name.partition("_")[0], program), name)


_SIDES = {"height": "i32", "width": "i32", "source_height": "i32", "source_width": "i32"}
_QUOTIENT = {"factor": "i32", "shift": "i32"}
_FINISH = {"table": "*i32", "sums": "*i64", "offsets": "*fp32", "count": "i32", "pixels": "i32",
           "unit": "fp32"}  # fmt: skip


def _augment_signature(spec: Spec, dtype: torch.dtype) -> dict[str, str]:
    return {
        **_given(spec), "table": "*i32",
        "offsets": "*fp32" if spec.mean else "*i32", "out": _POINTERS[dtype], **_SIDES,
        **_QUOTIENT,
    }  # fmt: skip


def _sums_signature(spec: Spec) -> dict[str, str]:
    return {
        **_given(spec), "table": "*i32", "sums": "*i64", **_SIDES, **_QUOTIENT,
    }  # fmt: skip


def _given(spec: Spec) -> dict[str, str]:
    images = "*fp32" if spec.float_in else "*u8"
    return {"words": "*i32", "images": images, "frame_words": "*i32", "frames": images}


def _augment(spec: Spec, dtype: torch.dtype, arch: int, *, divisible: bool) -> Any:
    return _compiled(kernel.augment, _augment_signature(spec, dtype), constants(spec), spec, arch,
                     divisible=divisible)  # fmt: skip


def _sums(spec: Spec, arch: int, *, divisible: bool) -> Any:
    return _compiled(kernel.sum_frames, _sums_signature(spec), sum_constants(spec), spec, arch,
                     divisible=divisible)  # fmt: skip


def _compiled(
    function: Any, signature: dict[str, str], constant: dict[str, Any], spec: Spec, arch: int,
    *, divisible: bool,
) -> Any:  # fmt: skip
    # A kernel as Triton's compiler returns it.
    options = options_of(spec)
    if function not in (kernel.augment, color.finish_colors):
        options = sum_options(spec) if function is kernel.sum_frames else OPTIONS
        options = spatial.NARROW if function is jpeg.transform_planes else options
    return _compiled_as(function, signature, constant, arch, options, sides=divisible)


def _compiled_as(
    function: Any, signature: dict[str, str], constant: dict[str, Any], arch: int,
    options: dict[str, Any], *, sides: bool = False,
) -> Any:  # fmt: skip
    # `sides`: those of images are multiples of 16.
    aligned = [["tt.divisibility", 16]]
    attrs = {(k,): aligned for k, (name, kind) in enumerate(signature.items())
             if kind[0] == "*" or (sides and name in _SIDES)}  # fmt: skip
    whole = {**signature, **dict.fromkeys(constant, "constexpr")}
    source = ASTSource(fn=function, signature=whole, constexprs=constant, attrs=attrs)
    return triton.compile(source, target=GPUTarget("cuda", arch, 32), options=options)


def _report(made: Any) -> Report:
    told = _told(made, "cuobjdump", "-res-usage")
    usage = {name: int(value) for name, value in re.findall(r"(\w+):(\d+)", told)}
    ptx = made.asm["ptx"]
    return Report(
        usage["REG"], usage["STACK"], usage["LOCAL"], made.metadata.shared,
        _widths(ptx, r"ld\.global"), _widths(ptx, r"st\.global"),
    )  # fmt: skip


def _disassembled(made: Any) -> str:
    return _told(made, "nvdisasm", "-c", "-g", "-ndf")  # no analysis, of which nothing is printed


def _told(made: Any, tool: str, *options: str) -> str:
    # What a tool of CUDA, of those that Triton brings, says about a kernel.
    path = Path(triton.__file__).parent / "backends/nvidia/bin" / tool
    if not path.exists():
        raise InputError(f"{tool} is not at {str(path)!r}: use a Triton built for NVIDIA GPUs")
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(made.asm["cubin"])
        file.flush()
        command = [str(path), *options, file.name]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def _widths(ptx: str, kind: str) -> dict[int, int]:
    counts: dict[int, int] = {}
    for vector, bits in re.findall(kind + r"[.\w:]*?(?:\.v(\d))?\.[busf](\d+)", ptx):
        width = int(bits) * int(vector or 1)
        counts[width] = counts.get(width, 0) + 1
    return dict(sorted(counts.items()))
