from collections.abc import Callable
from dataclasses import replace

import pytest
import torch

from augfeed import presets
from benchmarks import bench_arrays, bench_recipes, common
from benchmarks.bench_recipes import OF_2021, OF_TIMM, RECIPES, SMALL
from benchmarks.chain import Chain, policy_of
from benchmarks.contest import Contestant, Job, Passes, Suite
from benchmarks.data import Arrays, make_arrays
from benchmarks.gate import GateError
from benchmarks.peer_kornia_recipes import Trivial

BATCH = 64


def names(chain: Chain) -> set[str]:
    return {repr(item) for item in policy_of(chain).operations}


def test_the_recipes_are_those_that_are_published() -> None:
    assert names(OF_2021) == {repr(item) for item in presets.imagenet(224).operations}
    timm = [item.op for item in policy_of(OF_TIMM).operations]
    assert "timm" in timm and "border" in timm and "trivial_augment_wide" not in timm
    assert {policy_of(recipe.chain).size(None) for recipe in RECIPES.values()} == {
        (224, 224),
        (32, 32),
    }


def suite_of(*contestants: Contestant[Arrays], erasing: float = 0.0) -> Suite[Arrays]:
    data, chain = make_arrays(4 * BATCH, BATCH, 32, 3), replace(SMALL, erasing=erasing)
    job = Job(data, chain, data.classes, BATCH, threads=1, workers=0)
    return Suite("recipes", "", data.name, job, contestants, bench_arrays.Probes(chain))


AUGFEED: Contestant[Arrays] = Contestant("augfeed", "augfeed", bench_arrays.augfeed)


def broken(chain: Callable[[Chain], Chain]) -> Contestant[Arrays]:
    def make(job: Job[Arrays]) -> Passes:
        return bench_arrays.augfeed(replace(job, chain=chain(job.chain)))

    return Contestant("other", "broken", make)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda chain: replace(chain, program=""), "other: program leaves 1 different"),
        (lambda chain: replace(chain, erasing=0.0), "other: erasing leaves 1 different"),
    ],
)
def test_the_gate_stops_who_leaves_a_part_of_a_recipe_out(
    change: Callable[[Chain], Chain], message: str
) -> None:
    with pytest.raises(GateError, match=message):
        common.measure(suite_of(AUGFEED, broken(change), erasing=0.5), 1, "")


def test_kornia_draws_a_step_for_each_sample() -> None:
    torch.manual_seed(0)
    images = torch.rand(1, 3, 16, 16).expand(56, -1, -1, -1)
    made = Trivial()(images)
    assert made.shape == images.shape and bool(made.isfinite().all())
    assert len(torch.unique(made.flatten(1), dim=0)) > 25
    assert 0 < int((made == images).flatten(1).all(1).sum()) < 20  # identity


def test_one_file_is_of_one_recipe(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        bench_recipes.main(["--out", "result.json"])
    assert "say which --recipe" in capsys.readouterr().err
