"""Names that `passive=` and `fields=` give and no sample has are errors, in every lane."""

from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import Dataset, IterableDataset, TensorDataset

from augfeed import DataLoader
from augfeed.errors import InputError

PIXELS = np.random.default_rng(0).integers(0, 255, (8, 12, 12, 3), np.uint8)
IMAGES = torch.from_numpy(PIXELS).permute(0, 3, 1, 2)
MOVES, STAYS = "hflip(p=1.0)", "solarize(0.5)"


class Own(Dataset[Any]):
    def __init__(self, more: Any) -> None:
        self.more = more

    def __len__(self) -> int:
        return 8

    def __getitem__(self, i: int) -> Any:
        return {"image": IMAGES[i], "target": {"label": i, "objects": self.more[i % 2]}}


class Stream(IterableDataset[Any]):
    def __iter__(self) -> Any:
        own = Own([[1], [1]])
        return (own[i] for i in range(8))


class Whole(Own):
    def __getitem__(self, i: Any) -> Any:
        return {"image": IMAGES[i], "target": {"label": i, "objects": 1}}

    __getitems__: Any = None


def listed(samples: list[Any]) -> Any:
    return {"image": torch.stack([sample["image"] for sample in samples])}


DATA: dict[str, tuple[Any, dict[str, Any]]] = {
    "samples": (Own([[1], [2]]), {}),
    "collated by a function": (Own([[1], [2]]), {"collate_fn": listed}),
    "views": (Own([[1], [2]]), {"views": 2}),
    "stream": (Stream(), {}),
    "whole batches": (Whole([1]), {"batch_size": None, "sampler": [[*range(8)]]}),
    "TensorDataset": (TensorDataset(IMAGES, torch.arange(8)), {}),
    "arrays": ((PIXELS, np.arange(8)), {}),
}


def first(data: Any, **options: Any) -> Any:
    return next(iter(DataLoader(data, **{"batch_size": 4, "seed": 0, **options})))


@pytest.mark.parametrize("policy", [MOVES, STAYS])
@pytest.mark.parametrize("key", ["lable", 5, -4, ("target", "lable"), ("image", "target")])
@pytest.mark.parametrize("name", DATA)
def test_what_stays_must_be_a_part_of_samples(name: str, key: Any, policy: str) -> None:
    data, options = DATA[name]
    with pytest.raises(InputError, match="passive="):
        first(data, policy=policy, passive=[key], **options)


@pytest.mark.parametrize("policy", [MOVES, STAYS])
@pytest.mark.parametrize("kind", ["mask", "boxes", "passive"])
@pytest.mark.parametrize("name", sorted({*DATA} - {"views"}))
def test_what_follows_must_be_a_part_of_samples(name: str, kind: str, policy: str) -> None:
    data, options = DATA[name]
    with pytest.raises(InputError, match="fields="):
        first(data, policy=policy, fields={"msak": kind}, **options)


@pytest.mark.parametrize(
    "key",
    ["target", "label", "objects", ("target",), ("target", "objects"), ("target", "objects", 0)],
)  # fmt: skip
def test_parts_at_any_depth_may_be_named(key: Any) -> None:
    for policy in (MOVES, STAYS):
        assert first(Own([[1], [2]]), policy=policy, passive=[key])


@pytest.mark.parametrize("empty", [[], None, {}])
def test_a_name_is_looked_for_until_a_sample_has_what_may_bear_it(empty: Any) -> None:
    data = Own([empty, [{"area": 1.0}]])
    options: dict[str, Any] = {"collate_fn": listed, "policy": MOVES, "batch_size": 1, "seed": 0}
    assert len(list(DataLoader(data, passive=["area"], **options))) == 8
    given = iter(DataLoader(data, passive=["aera"], **options))
    assert next(given)
    with pytest.raises(InputError, match="passive='aera' names no part"):
        next(given)
