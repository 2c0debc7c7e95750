"""triton-augment's fused transform on the batch, with the conversion from uint8 and without."""

import os
from functools import partial
from typing import Any

import torch

from augfeed.policy import ColorJitter, Grayscale, HorizontalFlip, Normalize
from benchmarks.kernel_peer import Affine, Made, UnsupportedError, Work, lacking, steps

READY = "is given floats in [0, 1], already in the output's dtype, in place of uint8"


def make(work: Work) -> Made:
    """Return the chain of a work, from uint8."""
    transform, notes = _transform(work)

    @torch.inference_mode()
    def run(planes: torch.Tensor) -> torch.Tensor:
        return work.given_out(transform(_floats(planes, work.dtype)))

    return Made(run, notes)


def make_ready(work: Work) -> Made:
    """Return the chain of a work from floats that were converted before the clock started."""
    transform, notes = _transform(work)

    @torch.inference_mode()
    def run(floats: torch.Tensor) -> torch.Tensor:
        return work.given_out(transform(floats))

    return Made(run, (READY, *notes), partial(_floats, dtype=work.dtype))


def _floats(planes: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    # Straight to the output's dtype, which its kernel keeps: the fewest bytes that it can move.
    return planes.to(dtype).mul_(1 / 255)


def _transform(work: Work) -> tuple[Any, tuple[str, ...]]:
    arguments, notes = _arguments(work)
    os.environ.setdefault("TRITON_AUGMENT_SUPPRESS_FIRST_RUN_MESSAGE", "1")
    import triton_augment  # type: ignore[import-not-found, unused-ignore]

    if "degrees" in arguments:
        arguments["interpolation"] = triton_augment.InterpolationMode.BILINEAR
    return triton_augment.TritonFusedAugment(**arguments), notes


def _arguments(work: Work) -> tuple[dict[str, Any], tuple[str, ...]]:
    # What the chain is in its words; whatever it has no word for is not supported.
    arguments: dict[str, Any] = {}
    notes = [] if work.dtype == torch.float32 else [f"computes in {str(work.dtype)[6:]}"]
    if work.shape.channels != 3:
        raise UnsupportedError("images of one channel")
    for step in steps(work.policy):
        match step:
            case HorizontalFlip(p=p):
                arguments["horizontal_flip_p"] = p
            case Affine(p=1.0):
                given = {"translate": step.translate, "scale": step.scale, "shear": step.shear}
                arguments |= {"degrees": step.degrees}
                arguments |= {name: value for name, value in given.items() if value is not None}
            case ColorJitter(hue=0.0, about="half", p=1.0):
                arguments["brightness"] = step.brightness
                arguments |= {"contrast": step.contrast, "saturation": step.saturation}
                notes.append("clamps after every color operation")
            case Grayscale(p=p):
                arguments["grayscale_p"] = p
            case Normalize(mean=tuple(mean), std=tuple(std)):
                arguments |= {"mean": mean, "std": std}
            case _:
                raise lacking(step)
    if not arguments:
        raise UnsupportedError("a conversion alone")
    return arguments, tuple(notes)
