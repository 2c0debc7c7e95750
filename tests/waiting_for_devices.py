"""Where the host would wait for a device: found without one, on tensors that have no values."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

NOWHERE = torch.device("meta")
_READ = {torch.ops.aten._local_scalar_dense.default, torch.ops.aten.nonzero.default,
         torch.ops.aten.masked_select.default}  # fmt: skip


class WaitingError(AssertionError):
    """The host would wait."""


class NothingWaits(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Raises where values of a device are read, and at copies to it that block.

    `meta` tensors stand for those of a device.
    """

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Look at one operation, then do it."""
        kwargs = kwargs or {}
        tensors = [one for one in args if isinstance(one, torch.Tensor)]
        if func in _READ and any(one.device == NOWHERE for one in tensors):
            raise WaitingError(f"{func} reads values of a device")
        moves = func is torch.ops.aten._to_copy.default and kwargs.get("device") is not None
        if moves and kwargs["device"] != args[0].device and not kwargs.get("non_blocking"):
            raise WaitingError(f"{func} from {args[0].device} to {kwargs['device']} blocks")
        if func is torch.ops.aten.index.Tensor and any(
            one is not None and one.device != args[0].device for one in args[1]
        ):
            raise WaitingError(f"{func} copies an index to {args[0].device}")
        return func(*args, **kwargs)


@contextmanager
def waiting_is_an_error() -> Iterator[None]:
    """Raise `WaitingError` where the host would wait for a device."""
    mode: Any = NothingWaits  # whose base has no annotations
    with mode():
        yield
