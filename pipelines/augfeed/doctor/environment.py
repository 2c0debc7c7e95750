"""What this machine can run: versions, cores, GPUs, engines, decoders."""

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec

import torch
from PIL import features

from augfeed.bench.machine import cores as cores
from augfeed.engines import why_not_cuda
from augfeed.kernels.philox import fill_words
from augfeed.read.dali import is_installed
from augfeed.read.jpeg_crop import SWITCH, why_not

FORMATS = {"webp": "WebP", "avif": "AVIF", "jpg_2000": "JPEG 2000"}


def machine() -> list[tuple[str, str]]:
    """Return what this machine can run, as pairs of a thing and its state.

    Looks for optional packages without importing them.
    """
    gpus = _gpus()
    return [
        ("Python", f"{platform.python_version()} on {platform.system()} {platform.machine()}"),
        ("PyTorch", torch.__version__),
        ("CPU cores usable", str(cores())),
        ("GPU", ", ".join(gpus) or "none"),
        ("engine cpu", f"yes, Numba {version('numba')}"),
        ("engine portable", _package("kornia", "Kornia", "kornia")),
        ("engine cuda", _cuda_engine(gpus)),
        ("JPEG", f"simplejpeg {version('simplejpeg')}; {_crops()}"),
        ("other images", _pillow()),
        ("DALI", _dali()),
        ("compiled code kept in", _cache()),
    ]


def _gpus() -> list[str]:
    names = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
    return [*names, "Apple MPS"] if torch.backends.mps.is_available() else names


def _found(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:  # the package that the module would be in is not there
        return False


def _package(module: str, name: str, extra: str) -> str:
    if not _found(module):
        return f"no: pip install 'augfeed[{extra}]'"
    try:
        return f"yes, {name} {version(module)}"
    except PackageNotFoundError:  # the distribution has another name
        return f"yes, {name}"


def _cuda_engine(gpus: list[str]) -> str:
    if reason := why_not_cuda(torch.device("cuda")):
        return f"no: {reason}"
    found = f"Triton {version('triton')}"
    return f"yes, on {gpus[0]}, {found}" if torch.cuda.is_available() else f"no GPU, but {found}"


def _crops() -> str:
    reason = why_not()
    if reason:
        return f"images are decoded whole: {reason}"
    return f"of a crop, only the crop ({SWITCH}=0 turns that off)"


def _dali() -> str:
    if not is_installed():
        return "no: pip install 'augfeed[dali]'"
    return "yes, decodes on the GPU" if torch.cuda.is_available() else "yes, for reader='dali'"


def _pillow() -> str:
    known = [name for key, name in FORMATS.items() if features.check(key)]
    return f"Pillow {version('pillow')} with {', '.join(known) or 'the basic formats'}"


def _cache() -> str:
    path = fill_words.stats.cache_path
    if not path:
        return "memory only: every process compiles again"
    writable = os.access(path, os.W_OK)
    return path if writable else f"{path}, not writable: set NUMBA_CACHE_DIR to a folder that is"
