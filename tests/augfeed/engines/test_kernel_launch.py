"""Kernels that are launched at little cost are those that Triton would launch."""

import json
from typing import Any

import pytest
import torch

from augfeed.engines.cuda import kernel_launch
from tests.template import run_compiling


def test_what_reaches_the_device_is_what_triton_would_have_launched() -> None:
    done = run_compiling("tests.augfeed.scripts.launched")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["calls"] == 20
    for own, first, again in found["rows"]:
        assert own == first == again
    assert found["rows"][-1][0][:3] == [2, 3, 1]
    functions = {row[0][4] for row in found["rows"]}
    assert len(functions) > 8  # specializations that differ


class Compiled:
    def __init__(self, ran: list[Any]) -> None:
        self.ran = ran

    def __getitem__(self, grid: tuple[int, ...]) -> Any:
        return lambda *args: self.ran.append((grid, args))


class Kernel:
    """Stands in for a Triton kernel, which is compiled, or interpreted."""

    class Parameter:
        def __init__(self, name: str) -> None:
            self.name = name

    def __init__(self, *, interpreted: bool) -> None:
        self.interpreted, self.calls, self.ran = interpreted, list[Any](), list[Any]()
        self.params = [self.Parameter(name) for name in ("values", "count", "B", "A")]

    def __getitem__(self, grid: tuple[int, ...]) -> Any:
        def launch(*args: Any, **constants: Any) -> Any:
            self.calls.append((grid, args, constants))
            return None if self.interpreted else Compiled(self.ran)

        return launch


@pytest.mark.parametrize("interpreted", [False, True])
def test_triton_is_asked_once_for_arguments_of_a_kind_and_each_time_where_it_interprets(
    *, interpreted: bool
) -> None:
    kernel, values = Kernel(interpreted=interpreted), torch.zeros(8)
    for count in (3, 5, 7):
        kernel_launch.launch_kernel(kernel, (2,), (values, count), {"A": 1, "B": 2, "num_warps": 4})
    assert len(kernel.calls) == (3 if interpreted else 1)
    assert kernel.ran == ([] if interpreted else [((2, 1, 1), (values, n, 2, 1)) for n in (5, 7)])
    other = {"A": 1, "B": 3, "num_warps": 4}
    kernel_launch.launch_kernel(kernel, (2,), (values, 5), other)
    assert kernel.calls[-1][2] == other
