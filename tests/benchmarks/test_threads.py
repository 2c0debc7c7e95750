"""A benchmark sets torch's threads for its process; the tests after it have those of a new one."""

import torch

from tests.conftest import THREADS


def test_a_benchmark_sets_another_number_of_threads() -> None:
    torch.set_num_threads(THREADS + 1)
    assert torch.get_num_threads() == THREADS + 1


def test_the_next_test_has_the_number_of_a_new_process() -> None:
    assert torch.get_num_threads() == THREADS
