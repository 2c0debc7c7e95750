"""Samples that are looked at by columns make the batch that they make one by one."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.data import default_collate

from augfeed import DataLoader
from augfeed.errors import InputError, InputTypeError
from augfeed.feed import fetch, stacked_samples
from augfeed.feed.batch_requests import BatchRequest
from augfeed.feed.fetch import make_batch
from augfeed.feed.recipe import Fetched, Recipe
from augfeed.feed.sample_fields import channels_last
from augfeed.feed.spatial import SpatialCheck
from augfeed.feed.stacked_samples import columns_of, stacked
from augfeed.notation import parse_policy
from augfeed.plan import BatchRows

COUNT, SHOWN = 11, 9  # rows of a batch, of which some are partners only
IMAGES: dict[str, Callable[[np.random.Generator], Any]] = {
    "array": lambda r: r.integers(0, 256, (10, 12, 3), dtype=np.uint8),
    "array, planes": lambda r: r.integers(0, 256, (3, 10, 12), dtype=np.uint8),
    "array, turned": lambda r: r.integers(0, 256, (10, 12, 3), dtype=np.uint8).transpose(2, 0, 1),
    "array, gray": lambda r: r.integers(0, 256, (10, 12), dtype=np.uint8),
    "array, one channel": lambda r: r.integers(0, 256, (10, 12, 1), dtype=np.uint8),
    "array of floats": lambda r: r.random((10, 12, 3), dtype=np.float32),
    "array of doubles": lambda r: r.random((10, 12, 3)),
    "tensor": lambda r: torch.from_numpy(r.integers(0, 256, (3, 10, 12), dtype=np.uint8)),
    "tensor, channels last": lambda r: torch.from_numpy(
        r.integers(0, 256, (10, 12, 3), dtype=np.uint8)
    ),
    "tensor, one channel": lambda r: torch.from_numpy(
        r.integers(0, 256, (1, 10, 12), dtype=np.uint8)
    ),
    "tensor of floats": lambda r: torch.from_numpy(r.random((3, 10, 12), dtype=np.float32)),
    "tensor that rounding left": lambda r: (
        torch.from_numpy(r.random((3, 10, 12), dtype=np.float32)) * 1.0000005
    ),
    "tensor of halves": lambda r: torch.from_numpy(r.random((3, 10, 12))).half(),
    "tensor that wants a gradient": lambda r: torch.rand(
        (3, 10, 12), generator=torch.Generator().manual_seed(int(r.integers(99)))
    ).requires_grad_(),
    "sizes": lambda r: r.integers(0, 256, (int(r.integers(10, 14)), 12, 3), dtype=np.uint8),
}
LABELS: dict[str, Callable[[int], Any]] = {
    "int": lambda k: k % 5,
    "numpy": lambda k: np.int64(k % 5),
    "tensor": lambda k: torch.tensor(k % 5),
    "shares": lambda k: torch.eye(5)[k % 5],
}
FORMS: dict[str, Callable[[Any, Any, int], Any]] = {
    "tuple": lambda image, label, k: (image, label),
    "list": lambda image, label, k: [label, image],
    "more": lambda image, label, k: (image, f"name {k}", label, {"weight": 0.5 * k}, b"same"),
    "dict": lambda image, label, k: {"image": image, "label": label, "id": k},
    "nested": lambda image, label, k: {"input": {"image": image}, "label": label},
}
POLICIES = ("", "random_crop(8) | hflip | cutmix(1.0)", "random_resized_crop(9) | mixup(0.4)",
            "random_crop((12, 14), padding=2, mode='reflect')", "center_crop(7)")  # fmt: skip


def request(seed: int) -> BatchRequest:
    ids = np.arange(COUNT) + seed
    rows = BatchRows(ids, ids // 8, ids % 8, SHOWN)
    return BatchRequest(0, 3, seed, list(range(COUNT)), rows, SHOWN)


def recipe(policy: str, form: str = "tuple") -> Recipe:
    chosen = parse_policy(policy)
    image, label = (("input", "image"), "label") if form == "nested" else (None, None)
    return Recipe(chosen, None, image, label, "mix" in policy, SpatialCheck.under(chosen, None))


def one_by_one(samples: list[Any], asked: BatchRequest, made: Recipe) -> Fetched:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fetch, "columns_of", lambda samples: None)
        patch.setattr(fetch, "stacked", lambda given: None)
        return make_batch(samples, asked, made)


def assert_equal(found: Any, wanted: Any) -> None:
    assert type(found) is type(wanted)
    if isinstance(wanted, dict):
        assert list(found) == list(wanted)
        found, wanted = list(found.values()), list(wanted.values())
    if isinstance(wanted, torch.Tensor):
        assert found.dtype == wanted.dtype and torch.equal(found, wanted)
    elif isinstance(wanted, list | tuple):
        assert len(found) == len(wanted)
        for pair in zip(found, wanted, strict=True):
            assert_equal(*pair)
    else:
        assert found == wanted


@settings(deadline=None, max_examples=150)
@given(
    image=st.sampled_from(sorted(IMAGES)), label=st.sampled_from(sorted(LABELS)),
    form=st.sampled_from(sorted(FORMS)), policy=st.sampled_from(POLICIES), seed=st.integers(0, 99),
)  # fmt: skip
def test_a_batch_is_the_same_by_columns_and_one_by_one(
    image: str, label: str, form: str, policy: str, seed: int
) -> None:
    random = np.random.default_rng(seed)
    samples = [FORMS[form](IMAGES[image](random), LABELS[label](k), k) for k in range(COUNT)]
    if image == "sizes" and "crop" not in policy:
        return  # images of several sizes need a window
    made, asked = recipe(policy, form), request(seed)
    if form == "more":
        made = Recipe(made.policy, None, 0, 2, made.labelled, made.still)
    found, wanted = make_batch(samples, asked, made), one_by_one(samples, asked, made)
    assert (found.where, found.request) == (wanted.where, asked)
    assert_equal(found.frames, wanted.frames)
    assert found.frames.is_contiguous()
    assert_equal(found.labels, wanted.labels)
    assert_equal(found.batch, wanted.batch)


@pytest.mark.parametrize("image", ["array", "array, planes", "tensor", "tensor of floats"])
def test_usual_images_are_stacked(image: str) -> None:
    random = np.random.default_rng(0)
    given = [IMAGES[image](random) for _ in range(3)]
    found = stacked(given)
    assert found is not None and found.shape == (3, 10, 12, 3)


def test_images_alone_are_stacked_too() -> None:
    samples = [IMAGES["array"](np.random.default_rng(k)) for k in range(COUNT)]
    found = make_batch(samples, request(0), recipe("random_crop(8)"))
    wanted = one_by_one(samples, request(0), recipe("random_crop(8)"))
    assert_equal(found.frames, wanted.frames)
    assert_equal(found.batch, wanted.batch)


def test_large_images_are_not_copied_once_more(monkeypatch: pytest.MonkeyPatch) -> None:
    given = [np.zeros((10, 12, 3), np.uint8)] * 3
    monkeypatch.setattr(stacked_samples, "LARGE", 10 * 12 * 3 - 1)
    assert stacked(given) is None


@pytest.mark.parametrize("odd", [1, 4, COUNT - 1])
@pytest.mark.parametrize(
    ("broken", "error", "words"),
    [
        (lambda: torch.full((3, 10, 12), 2.0), InputError, "image of sample {} has values"),
        (lambda: torch.full((3, 10, 12), np.nan), InputError, "image of sample {} has NaN"),
        (lambda: torch.zeros((3, 10, 12), dtype=torch.int32), InputTypeError, " of dtype int32"),
        (lambda: torch.zeros((3, 10)), InputError, "image of sample {} has 1 channels"),
    ],
)
def test_the_sample_at_fault_is_named(
    odd: int, broken: Callable[[], Any], error: type[Exception], words: str
) -> None:
    samples = [(torch.full((3, 10, 12), 0.5), k % 5) for k in range(COUNT)]
    samples[odd] = (broken(), 0)
    with pytest.raises(error, match=words.format(odd)):
        make_batch(samples, request(0), Recipe(parse_policy(""), None, 0, 1, labelled=False))


@pytest.mark.parametrize("odd", [0, 4, COUNT - 1])
@pytest.mark.parametrize("mask", [np.zeros((10, 12)), torch.zeros(20, 24), [[1.0, 2.0, 3.0, 4.0]]])
def test_a_part_that_would_be_left_behind_is_found_in_any_sample(odd: int, mask: Any) -> None:
    samples = [{"image": np.zeros((10, 12, 3), np.uint8), "extra": 1} for _ in range(COUNT)]
    samples[odd]["extra"] = mask
    with pytest.raises(InputError, match=f"part 'extra' of sample {odd} is "):
        make_batch(samples, request(0), recipe("hflip"))


@pytest.mark.parametrize(
    "samples",
    [[(1, 2), [1, 2]], [(1, 2), (1, 2, 3)], [{"a": 1}, {"b": 1}], [{"a": 1}, {"a": 1, "b": 2}],
     ["ab", "cd"], [np.zeros(2), np.zeros(2)]],
)  # fmt: skip
def test_samples_of_several_forms_have_no_columns(samples: list[Any]) -> None:
    assert columns_of(samples) is None


@pytest.mark.parametrize("kind", [tuple, list, dict])
def test_columns_are_collated_as_samples_are(kind: Any) -> None:
    parts = [(k, f"{k}", 0.5 * k, torch.tensor([k, 1]), (k, k)) for k in range(5)]
    samples = [dict(zip("abcde", part, strict=True)) if kind is dict else kind(part)
               for part in parts]  # fmt: skip
    columns = columns_of(samples)
    assert columns is not None
    made = stacked_samples.collated(columns, samples[0], 5, set())
    assert_equal(made, default_collate(samples))


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
@pytest.mark.parametrize("size", [(1, 1), (3, 5), (17, 33), (32, 32)])
def test_planes_are_interleaved(channels: int, dtype: Any, size: tuple[int, int]) -> None:
    planes = np.random.default_rng(0).integers(0, 256, (3, channels, *size)).astype(dtype)
    for images in (planes, planes[::-1], np.broadcast_to(planes[:1], planes.shape)):
        made = channels_last(images)
        assert made.flags.c_contiguous and np.array_equal(made, images.transpose(0, 2, 3, 1))


@pytest.mark.parametrize(
    "policy",
    [
        "random_crop(8) | jitter(0.4, 0.8, 0.4, 0.1) | cutmix(1.0)",
        "random_crop((12, 14), padding=3, mode='reflect') | jitter(contrast=0.8) | noise(0.1)",
        "random_crop(10, padding=2, fill=0.3) | rotate(20) | one_of([mixup(0.4), cutmix(1.0)])",
        "random_crop(10, padding=2, fill=0.2) | rotate(20) | solarize(0.3)",
        "random_crop(10, padding=2, fill=0.0) | jitter(contrast=0.8) | perspective(0.3) | noise",
        "random_crop(10, padding=2, mode='edge') | hflip | gaussian_blur(3) | equalize",
        "center_crop(7) | hflip | cutout(4) | normalize(0.5, 0.25)",
        "resize((10, 12)) | hflip",
        "",
    ],
)
@pytest.mark.parametrize("image", ["array", "tensor", "tensor of floats"])
def test_images_that_the_engine_cuts_are_those_that_are_cut_before(policy: str, image: str) -> None:
    random = np.random.default_rng(0)
    data: Any = [(IMAGES[image](random), k % 5) for k in range(COUNT)]
    found, wanted = (
        DataLoader(data, 4, True, policy=policy, seed=1, num_classes=5) for _ in range(2)
    )
    lane: Any = wanted._state.lane
    assert found.lane == "general" and lane.recipe.uncut
    lane.recipe = replace(lane.recipe, uncut=False)
    for one, other in zip(found, wanted, strict=True):
        assert torch.equal(one[0], other[0]) and torch.equal(one[1], other[1])
