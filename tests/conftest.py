"""Without a GPU Triton interprets its kernels; that is decided before anything imports Triton."""

import os
from importlib.util import find_spec
from typing import Any

import numpy as np
import torch

if not torch.cuda.is_available() and find_spec("triton"):
    os.environ["TRITON_INTERPRET"] = "1"

    import triton.language as tl
    from triton.runtime import interpreter

    patching, converting = interpreter.InterpretedFunction.__call__, interpreter._convert_float

    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        """Call a function within a kernel.

        Triton's own way patches `triton.language` for every call anew; for ours the kernel's launch
        has done it, and it is a third of the time of these tests.
        """
        if self.fn.__module__.startswith("augfeed."):
            return self.rewrite()(*args, **kwargs)
        return patching(self, *args, **kwargs)

    def convert(values: Any, source: Any, target: Any, mode: Any) -> Any:
        """Round float32 to the nearest bfloat16, as GPUs do; the interpreter cuts bits off."""
        if source == tl.float32 and target == tl.bfloat16:
            rounded = torch.from_numpy(np.ascontiguousarray(values)).to(torch.bfloat16)
            return rounded.view(torch.uint16).numpy()
        return converting(values, source, target, mode)

    interpreter.InterpretedFunction.__call__ = call
    interpreter._convert_float = convert
