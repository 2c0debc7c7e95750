import pickle
from copy import copy, deepcopy
from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from augfeed import philox
from augfeed.errors import InputError
from augfeed.notation import parse_policy
from augfeed.philox import Stream
from augfeed.plan import BatchRows, Columns, Plan, draw_plan
from augfeed.plan.draws import DRAWN
from augfeed.policy import (
    OPERATIONS,
    ColorJitter,
    CutMix,
    Cutout,
    Equalize,
    GaussianBlur,
    GaussianNoise,
    Grayscale,
    HorizontalFlip,
    Invert,
    Mixup,
    OneOf,
    Perspective,
    Policy,
    Posterize,
    RandomErasing,
    RandomResizedCrop,
    Rotate,
    SaltAndPepper,
    Scale,
    Shear,
    Solarize,
    Translate,
    VerticalFlip,
)
from tests.cases import line_of

SIZE = (37, 53)
USUAL = Policy(
    [
        RandomResizedCrop(SIZE, p=0.8),
        Equalize(0.4),
        GaussianBlur(5, p=0.6),
        HorizontalFlip(),
        VerticalFlip(),
        Rotate(20, p=0.2),
        Translate(p=0.1),
        Scale(p=0.1),
        Shear(10, 5, p=0.1),
        Perspective(p=0.1),
        ColorJitter(0.4, 0.4, 0.4, 0.1, p=0.8),
        Grayscale(0.3),
        Invert(0.3),
        Posterize(3),
        Solarize(0.4),
        OneOf((Mixup(0.4, p=0.7), CutMix()), p=0.9),
        Cutout(11, p=0.6),
        RandomErasing(),
        GaussianNoise((0.1, 0.3), p=0.5),
        SaltAndPepper((0.1, 0.3), salt=0.4, p=0.5),
    ]
)


def every() -> Policy:
    """Return `USUAL` and all other operations that draw, each for some samples."""
    known = [name for name, cls in OPERATIONS.items()
             if cls.cases and cls.stream and not cls.exclusive]  # fmt: skip
    items: list[Any] = [parse_policy(line_of(name)).find(OPERATIONS[name]) for name in known]
    return USUAL.with_(*(replace(item, p=0.4) for item in items if not USUAL.find(type(item))))


EVERY = every()


def test_plan_is_a_pure_function() -> None:
    first, second = (plan(EVERY, np.arange(50)) for _ in range(2))
    same(decided(first), decided(second))


@pytest.mark.parametrize("key", [{"seed": 1}, {"epoch": 1}], ids=str)
def test_another_seed_or_epoch_decides_anew(key: dict[str, int]) -> None:
    first, second = (
        decided(plan(EVERY, np.arange(200))),
        decided(plan(EVERY, np.arange(200), **key)),
    )
    drawn = {cls.columns[0].name for cls in OPERATIONS.values() if cls.columns}
    for name, values in first.items():
        # A parameter that is a number, and neutral, all samples have alike.
        alike = name == "ids" or (name not in drawn and (values == values[:1]).all())
        assert alike or not np.array_equal(values, second[name]), name


@settings(max_examples=25, deadline=None)
@given(count=st.integers(1, 60), batch=st.integers(1, 25), data=st.data())
def test_batch_of_any_size_gets_the_same_decisions(
    count: int, batch: int, data: st.DataObject
) -> None:
    order = np.array(data.draw(st.permutations(range(100, 100 + count))))
    whole = decided(at(EVERY, np.arange(count), order))
    for start in range(0, count, batch):
        places = np.arange(start, min(start + batch, count))
        part = decided(at(EVERY, places, order))
        same(part, {name: values[places] for name, values in whole.items()})


@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_any_choice_of_positions_gets_the_same_decisions(data: st.DataObject) -> None:
    order = np.arange(1000, 1045)
    whole = decided(at(EVERY, np.arange(45), order))
    some = st.lists(st.integers(0, 44), min_size=1, max_size=20, unique=True)
    places = np.array(data.draw(some))
    same(decided(at(EVERY, places, order)), {name: rows[places] for name, rows in whole.items()})


def test_ranks_of_a_strided_epoch_get_the_same_decisions() -> None:
    order = np.arange(64)[::-1].copy()
    whole = decided(at(EVERY, np.arange(64), order))
    for rank in range(3):
        places = np.arange(rank, 64, 3)
        same(
            decided(at(EVERY, places, order)), {name: rows[places] for name, rows in whole.items()}
        )


@pytest.mark.parametrize("operation", EVERY.operations, ids=lambda operation: str(operation.op))
def test_operation_decides_the_same_without_the_others(operation: Any) -> None:
    alone = decided(plan(Policy([operation]), np.arange(60)))
    among = decided(plan(EVERY, np.arange(60)))
    changed = [name for name in alone if name in MADE_BY.get(operation.op, ())]
    same({name: alone[name] for name in changed}, {name: among[name] for name in changed})
    own = f"{operation.op}."
    decisions = [name for name in alone if name.startswith(own)]
    assert changed or decisions
    same({name: alone[name] for name in decisions}, {name: among[name] for name in decisions})


MADE_BY = {
    "random_resized_crop": ("box",),
    "horizontal_flip": ("flip_x",),
    "vertical_flip": ("flip_y",),
    "color_jitter": ("brightness", "contrast", "saturation", "hue"),
    "grayscale": ("gray",),
    "invert": ("inverted",),
    "posterize": ("bits",),
    "solarize": ("threshold",),
    "one_of": ("mode", "partner", "lam", "patch"),
    "cutout": ("cutout",),
    "random_erasing": ("erased",),
    "gaussian_noise": ("sigma",),
    "salt_and_pepper": ("salt", "pepper"),
}


def test_sample_gets_the_same_next_to_others_without_mixing() -> None:
    policy = EVERY.without("one_of")
    whole = decided(draw(policy, BatchRows.of(np.arange(20))))
    for sample in range(20):
        alone = decided(draw(policy, BatchRows.of([sample])))
        del alone["partner"]
        same(alone, {name: whole[name][[sample]] for name in alone})


def test_sample_twice_in_a_batch_gets_the_same_twice() -> None:
    both = decided(draw(EVERY.without("one_of"), BatchRows.of([7, 7])))
    for name in both.keys() - {"partner"}:
        assert np.array_equal(both[name][0], both[name][1]), name


def test_ids_that_differ_above_32_bits_decide_differently() -> None:
    low, high = (decided(plan(EVERY, np.arange(100) + add)) for add in (0, 2**32))
    assert not np.array_equal(low["box"], high["box"])
    assert not np.array_equal(low["brightness"], high["brightness"])


@pytest.mark.parametrize("policy", [EVERY, Policy()], ids=["every operation", "none"])
@pytest.mark.parametrize("per", ["sample", "batch"])
def test_plan_of_no_samples_is_empty(policy: Policy, per: Any) -> None:
    policy = policy.without("one_of") if policy.operations else policy
    drawn = draw(policy.with_(CutMix(per=per)), BatchRows.of([]))
    assert len(drawn) == 0
    assert all(len(values) == 0 for values in decided(drawn).values())


def test_p_of_zero_leaves_all_neutral_and_one_leaves_none() -> None:
    never = plan(with_p(EVERY, 0.0), np.arange(40))
    assert not (never.flip_x | never.flip_y | never.warped).any()
    assert (never.inverse == np.eye(3, dtype=np.float32)).all()
    colors = never.colors
    for factor in (colors.brightness, colors.contrast, colors.saturation):
        assert (factor == 1).all()
    assert (colors.hue == 0).all()
    assert not (colors.gray | colors.inverted).any()
    assert (colors.bits == 8).all()
    assert (colors.threshold == 2).all()
    for box in (never.cutout, never.erased, never.mixes.patch):
        assert (box == 0).all()
    for strength in (never.sigma, never.salt, never.pepper):
        assert (strength == 0).all()
    assert (never.mixes.mode == 0).all()
    assert (never.mixes.lam == 1).all()
    assert (never.window.at(*SIZE).box == [0, 0, *SIZE]).all()
    always = plan(with_p(EVERY, 1.0), np.arange(40))
    assert (always.flip_x & always.flip_y & always.warped).all()
    assert (always.colors.gray & always.colors.inverted).all()
    assert (always.colors.bits == 3).all()
    assert (always.colors.threshold == np.float32(0.4)).all()
    assert (always.cutout[:, 2] > always.cutout[:, 0]).all()
    assert (always.mixes.mode > 0).all()
    assert (always.sigma >= 0.1).all()
    assert (always.salt > 0).all()


@pytest.mark.parametrize(("p", "u"), [(0.0, 0.0), (1.0, 1 - 2.0**-24)])
def test_never_and_always_hold_for_the_ends_of_the_uniforms(
    p: float, u: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    lawful = philox.draw
    monkeypatch.setattr("augfeed.plan.draws.draw", lambda *key: np.full_like(lawful(*key), u))
    drawn = plan(with_p(EVERY, p), np.arange(8))
    for name, values in decided(drawn).items():
        if name.endswith(".applied"):
            assert (values == bool(p)).all(), name


def test_operations_share_no_stream_but_for_those_that_exclude_each_other() -> None:
    streams = {cls: stream for cls, (stream, _) in DRAWN.items() if cls not in (CutMix, OneOf)}
    assert len(set(streams.values())) == len(streams)
    taken = {Stream.ORDER, Stream.PARTNER, Stream.MIX_LAMBDA, Stream.CROP, Stream.NOISE_PIXELS}
    assert not taken & set(streams.values())


@pytest.mark.parametrize(
    ("key", "bound"),
    [
        ({"seed": -1}, r"seed=-1 is not in \[0, 2\*\*64\)"),
        ({"seed": 2**64}, r"seed=18446744073709551616 is not in"),
        ({"epoch": -1}, r"epoch=-1 is not in \[0, 2\*\*32\)"),
        ({"epoch": 2**32}, r"epoch=4294967296 is not in"),
    ],
    ids=str,
)
def test_key_out_of_range_is_refused(key: dict[str, int], bound: str) -> None:
    with pytest.raises(InputError, match=bound):
        plan(EVERY, np.arange(3), **key)


def test_salt_and_pepper_share_the_amount() -> None:
    drawn = plan(Policy([SaltAndPepper(0.25, salt=0.4)]), np.arange(5))
    assert (drawn.salt == 16384).all()
    assert (drawn.pepper == round(16384 * 0.6)).all()
    whole = plan(Policy([SaltAndPepper(1.0, salt=1.0)]), np.arange(5))
    assert (whole.salt == 65536).all()
    assert (whole.pepper == 0).all()


def test_factors_of_a_number_reach_from_one_minus_to_one_plus_it() -> None:
    jitter = ColorJitter(brightness=0.3, contrast=1.5, saturation=(0.2, 0.4), hue=0.1)
    colors = plan(Policy([jitter]), np.arange(20_000)).colors
    for factor, low, high in (
        (colors.brightness, 0.7, 1.3),
        (colors.contrast, 0.0, 2.5),
        (colors.saturation, 0.2, 0.4),
        (colors.hue, -0.1, 0.1),
    ):
        margin = (high - low) * 1e-3
        assert low - 1e-6 <= factor.min() < low + margin
        assert high - margin < factor.max() <= high + 1e-6


def plan(policy: Policy, ids: NDArray[Any], seed: int = 0, epoch: int = 0) -> Plan:
    return draw_plan(policy, BatchRows.of(ids), seed=seed, epoch=epoch, size=SIZE)


def draw(policy: Policy, rows: BatchRows) -> Plan:
    return draw_plan(policy, rows, seed=5, epoch=3, size=SIZE)


def at(policy: Policy, places: NDArray[Any], order: NDArray[Any]) -> Plan:
    return draw(policy, BatchRows.at(places, order, mixing=True))


def with_p(policy: Policy, p: float) -> Policy:
    def changed(operation: Any) -> Any:
        values = {name: getattr(operation, name) for name in operation.__dataclass_fields__}
        return type(operation)(**{**values, "p": p})

    one_of = OneOf((Mixup(p=p), CutMix(p=p)), p=p)
    operations = [changed(item) for item in policy.operations if not isinstance(item, OneOf)]
    return Policy([*operations, one_of])


def decided(drawn: Plan) -> dict[str, NDArray[Any]]:
    """Return every decision about the rows that come out; the partner as a sample id."""
    out: dict[str, NDArray[Any]] = {"ids": drawn.ids}
    out["box"] = drawn.window.at(300, 500).box
    for name in ("flip_x", "flip_y", "warped", "inverse", "cutout", "erased"):
        out[name] = getattr(drawn, name)
    for name in ("sigma", "salt", "pepper"):
        out[name] = getattr(drawn, name)
    for part in (drawn.colors, drawn.mixes, drawn.frames):
        out |= {field.name: getattr(part, field.name) for field in fields(part)}
    out["partner"] = drawn.ids[drawn.mixes.partner]
    for op, values in drawn.decisions.items():
        out |= {f"{op}.{name}": array for name, array in values.items()}
    return {name: array[: drawn.count] for name, array in out.items()}


def same(first: dict[str, NDArray[Any]], second: dict[str, NDArray[Any]]) -> None:
    assert first.keys() <= second.keys()
    for name, values in first.items():
        np.testing.assert_array_equal(values, second[name], err_msg=name)


def test_columns_that_nothing_has_drawn_are_neutral() -> None:
    columns = draw(parse_policy("hflip | solarize(0.4, p=0.0)"), BatchRows.of(np.arange(5))).columns
    wanted = {column.name: column for cls in OPERATIONS.values() for column in cls.columns}
    assert len(fields(Columns)) > 10
    for field in fields(Columns):
        column, found = wanted[field.name], getattr(columns, field.name)
        assert found.shape == (5, *column.shape) and found.dtype == column.dtype
        assert field.name == "flip_x" or (found == column.neutral).all()
        assert getattr(columns, field.name) is found
    with pytest.raises(AttributeError, match="no column 'flip_z'"):
        _ = columns.flip_z  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "copied", [copy, deepcopy, replace, lambda c: pickle.loads(pickle.dumps(c))]
)
def test_a_copy_of_columns_has_the_same_values(copied: Any) -> None:
    columns = draw(parse_policy("hflip"), BatchRows.of(np.arange(50))).columns
    made = copied(columns)
    for field in fields(Columns):
        assert np.array_equal(getattr(made, field.name), getattr(columns, field.name))
