"""Without a GPU Triton interprets its kernels; that is decided before anything imports Triton."""

import os
from typing import Any

import torch

if not torch.cuda.is_available():
    os.environ["TRITON_INTERPRET"] = "1"

    from triton.runtime.interpreter import InterpretedFunction

    patching = InterpretedFunction.__call__

    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        """Call a function within a kernel.

        Triton's own way patches `triton.language` for every call anew; for ours the kernel's launch
        has done it, and it is a third of the time of these tests.
        """
        if self.fn.__module__.startswith("augfeed."):
            return self.rewrite()(*args, **kwargs)
        return patching(self, *args, **kwargs)

    InterpretedFunction.__call__ = call
