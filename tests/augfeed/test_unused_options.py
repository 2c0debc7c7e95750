"""Options of our own are refused where they would change nothing, or cannot be meant."""

from typing import Any

import numpy as np
import pytest
import torch

import augfeed
from augfeed.errors import InputError, InputTypeError
from augfeed.feed.lane_selection import OF_A_POLICY

IMAGES = torch.arange(8 * 3 * 6 * 6, dtype=torch.uint8).reshape(8, 3, 6, 6)
DATASETS = {  # of the native lane, and of the general one
    "native": torch.utils.data.TensorDataset(IMAGES, torch.arange(8)),
    "general": [(image, label) for label, image in enumerate(IMAGES)],
}
OTHERS: dict[str, Any] = {
    "device": "cuda", "dtype": torch.float16, "channels_last": True, "targets": "dense",
    "split": "test", "on_error": "skip",
}  # fmt: skip


@pytest.fixture(params=DATASETS)
def dataset(request: pytest.FixtureRequest) -> Any:
    """A dataset of each lane."""
    return DATASETS[request.param]


@pytest.mark.parametrize("name", OF_A_POLICY)
def test_what_would_be_left_out_without_a_policy_is_refused(name: str) -> None:
    with pytest.raises(InputError, match=f"^{name}=.* does nothing without a policy: give one"):
        augfeed.DataLoader(DATASETS["native"], 4, **{name: OTHERS[name]})


def test_what_changes_nothing_is_taken_without_a_policy() -> None:
    same: dict[str, Any] = {
        "device": torch.device("cpu"), "dtype": torch.float32, "seed": 3, "shard": None,
        "num_classes": 8, "image_key": 0, "label_key": 1, "fields": {"mask": 1}, "cache": "ram",
    }  # fmt: skip
    loader = augfeed.DataLoader(DATASETS["native"], 4, **same)
    assert loader.lane == "torch"
    assert torch.equal(torch.cat([images for images, _ in loader]), IMAGES)


@pytest.mark.parametrize("policy", [None, "hflip"])
def test_a_device_without_values_is_refused(dataset: Any, policy: str | None) -> None:
    with pytest.raises(InputError, match="device='meta' cannot be used here"):
        next(iter(augfeed.DataLoader(dataset, 4, policy=policy, device="meta")))


@pytest.mark.parametrize("device", ["mps", "xla", "hpu"])
def test_a_device_that_is_not_here_is_named(dataset: Any, device: str) -> None:
    try:
        torch.empty(0, device=device)
    except Exception:  # whatever torch says here
        with pytest.raises(InputError, match=f"'{device}'.*cannot be used here .{{0,99}}: use"):
            next(iter(augfeed.DataLoader(dataset, 4, policy="hflip", device=device)))


@pytest.mark.parametrize("value", [1.5, "2", 2.0])
@pytest.mark.parametrize("name", ["num_workers", "prefetch_factor"])
def test_numbers_of_workers_are_whole(dataset: Any, name: str, value: Any) -> None:
    given = {"num_workers": 1, name: value}
    with pytest.raises(InputTypeError, match=f"^{name}={value!r} is not an integer"):
        augfeed.DataLoader(dataset, 4, policy="hflip", **given)


@pytest.mark.parametrize("value", [True, np.int64(1)])
def test_integers_of_any_type_are_numbers_of_workers(value: Any) -> None:
    loader = augfeed.DataLoader(DATASETS["native"], 4, policy="", num_workers=value)
    assert [len(images) for images, _ in loader] == [4, 4]


def test_both_lanes_name_the_argument_that_is_unknown(dataset: Any) -> None:
    with pytest.raises(InputError, match=r"^targets='soft' is unknown: use one of"):
        augfeed.DataLoader(dataset, 4, policy="hflip", targets="soft")  # type: ignore[arg-type]


@pytest.mark.parametrize("policy", [None, "hflip"])
@pytest.mark.parametrize("given", [{"cache": "ssd"}, {"reader": "x"}, {"max_pixels": -1}], ids=str)
def test_what_cannot_be_meant_is_refused_without_a_policy_too(
    given: dict[str, Any], policy: str | None
) -> None:
    with pytest.raises(InputError, match=f"^{next(iter(given))}="):
        augfeed.DataLoader(DATASETS["native"], 4, policy=policy, **given)
