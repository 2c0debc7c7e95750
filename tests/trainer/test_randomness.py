"""Draws keyed by seed and step, out of torch's generators, which are then as before."""

import torch

from augfeed_trainer.randomness import keyed


def test_keyed_draws_repeat_and_leave_the_generator_as_it_was() -> None:
    before = torch.random.get_rng_state()
    drawn = []
    for seed, step, use in ((1, 2, "a"), (1, 2, "a"), (1, 3, "a"), (2, 2, "a"), (1, 2, "b")):
        with keyed(seed, step, use):
            drawn.append(torch.empty(4).uniform_().tolist())
    assert drawn[0] == drawn[1] and len({tuple(one) for one in drawn}) == 4
    assert torch.equal(before, torch.random.get_rng_state())
