import warnings
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter

from augfeed.errors import PolicyError
from augfeed.notation import ALIASES, LONGEST, format_policy, parse_policy
from augfeed.operation import Geometry, Program
from augfeed.ops.generate import in_programs
from augfeed.policy import (
    OPERATIONS,
    AugMix,
    AutoAugment,
    BboxSafeCrop,
    Border,
    CenterCrop,
    ColorJitter,
    CutMix,
    Cutout,
    GaussianNoise,
    HorizontalFlip,
    Kornia,
    Letterbox,
    Mixup,
    Normalize,
    OneOf,
    Policy,
    RandAugment,
    RandomCrop,
    RandomErasing,
    RandomIouCrop,
    RandomOrder,
    RandomResizedCrop,
    Resize,
    Rotate,
    Scale,
    Schedule,
    Sequence,
    SomeOf,
)

HOLDERS = (OneOf, SomeOf, Sequence, RandomOrder)
PARTS = tuple(cls for cls in OPERATIONS.values() if in_programs(cls) and cls not in HOLDERS)
EXAMPLE = (
    "random_resized_crop(224) | hflip | color_jitter(0.4, 0.4, 0.4, hue=0.1) | "
    "one_of([mixup(0.2), cutmix], weights=[0.5, 0.5]) | normalize([0.5], [0.2])"
)


def class_of(title: str) -> Any:
    return next(cls for cls in OPERATIONS.values() if cls.__name__ == title)


@cache
def schema_of(title: str) -> dict[str, Any]:
    return TypeAdapter(class_of(title)).json_schema()


def values(schema: dict[str, Any], definitions: dict[str, Any]) -> st.SearchStrategy[Any]:
    """Everything that the JSON schema of a parameter allows."""
    match schema:
        case {"$ref": ref}:
            return operations(ref.rpartition("/")[2], definitions)
        case {"anyOf": branches} | {"oneOf": branches}:
            return st.one_of([values(branch, definitions) for branch in branches])
        case {"const": name}:
            return st.just(name)
        case {"enum": names}:
            return st.sampled_from(names)
        case {"type": "string", "examples": examples}:
            return st.sampled_from(examples)
        case {"type": "null"}:
            return st.none()
        case {"type": "boolean"}:
            return st.booleans()
        case {"type": "integer", "not": {"multipleOf": 2}, "minimum": low, "maximum": high}:
            return st.integers((low - 1) // 2, (high - 1) // 2).map(lambda half: 2 * half + 1)
        case {"type": "integer", "minimum": low, "maximum": high}:
            return st.integers(low, high)
        case {"type": "number"}:
            low = schema.get("minimum", schema.get("exclusiveMinimum"))
            high = schema.get("maximum", schema.get("exclusiveMaximum"))
            return st.floats(
                low, high, allow_nan=False, allow_infinity=False,
                exclude_min="exclusiveMinimum" in schema, exclude_max="exclusiveMaximum" in schema,
            )  # fmt: skip
        case {"type": "array", "prefixItems": [item, _]}:
            pairs = st.tuples(values(item, definitions), values(item, definitions))
            return pairs if item["type"] == "integer" else pairs.map(lambda pair: (*sorted(pair),))
        case {"type": "array", "items": item}:
            least, most = schema.get("minItems", 0), schema.get("maxItems", 4)
            return st.lists(values(item, definitions), min_size=least, max_size=most).map(tuple)
    raise AssertionError(f"no strategy for {schema}")


@st.composite
def operations(draw: st.DrawFn, title: str, definitions: dict[str, Any] | None = None) -> Any:
    cls = class_of(title)
    if cls is Kornia:
        bounds = [draw(st.floats(0.5, 1)), draw(st.floats(1, 2))]
        return Kornia("RandomGamma", gamma=bounds, p=draw(st.floats(0, 1)))
    if cls in HOLDERS:
        return draw(programs(cls))
    if cls is Schedule:
        epochs = draw(st.lists(st.integers(0, 99), min_size=1, max_size=3, unique=True).map(sorted))
        return Schedule(size=tuple((epoch, draw(st.integers(1, 500))) for epoch in epochs))
    schema = schema_of(title)
    given = {}
    for name, field in schema["properties"].items():
        if name != "op" and (name in schema.get("required", ()) or draw(st.booleans())):
            given[name] = draw(values(field, definitions or schema.get("$defs", {})))
    if cls is Normalize and isinstance(given["mean"], tuple) and isinstance(given["std"], tuple):
        channels = min(len(given["mean"]), len(given["std"]))
        given |= {"mean": given["mean"][:channels], "std": given["std"][:channels]}
    if issubclass(cls, Geometry | Program):  # of which all have one, within programs too
        given.pop("interpolation", None)
    if given.get("clamp", "end") == "end":  # of color jitter
        given.pop("hue_space", None), given.pop("ordering", None)
    elif cls is ColorJitter:
        given |= {"hue_space": "hsv", "about": "mean", "brightness": 0.5}
    if given.get("mode") == "alternate":  # of flips, each of which half of the images get
        given.pop("p", None)
    if cls is RandAugment:
        given["magnitude"] = min(given.get("magnitude", 9), given.get("bins", 31) - 1)
    if cls is AugMix and given.get("depth") == 0:
        given.pop("depth")
    if cls is AutoAugment and given.get("flavor") == "timm":
        given["policy"] = "imagenet"
    for name in ("quality", "count"):
        if isinstance(given.get(name), tuple):
            given[name] = (*sorted(given[name]),)
    return cls(**given)


@st.composite
def programs(draw: st.DrawFn, cls: type[Any], depth: int = 2) -> Any:
    """Operations that hold others, some of which hold others again."""
    mixing = cls is OneOf and draw(st.booleans())
    names = [Mixup, CutMix] if mixing else [*PARTS, *(HOLDERS if depth else ())]
    members = [
        draw(programs(name, depth - 1) if name in HOLDERS else operations(name.__name__))
        for name in draw(st.lists(st.sampled_from(names), min_size=1, max_size=4))
    ]
    members = [item for item in members if not getattr(item, "mixes", False)] or [HorizontalFlip()]
    if mixing:
        members = [replace(item, per=members[0].per) for item in members]
    given: dict[str, Any] = {"operations": tuple(members), "p": draw(st.floats(0, 1))}
    if cls in (OneOf, SomeOf):
        weights = draw(st.lists(st.floats(0.01, 9), min_size=len(members), max_size=len(members)))
        given["weights"] = draw(st.sampled_from([(), tuple(weights)]))
    if cls is SomeOf:
        n = sorted(draw(st.tuples(*[st.integers(0, len(members))] * 2)))
        given["n"] = draw(st.sampled_from([n[0], tuple(n)]))
    return cls(**given)


@st.composite
def policies(draw: st.DrawFn) -> Policy:
    """Policies of any operations with any parameters, in any order, that can be carried out."""
    names = draw(st.lists(st.sampled_from(sorted(OPERATIONS)), unique=True, max_size=12))
    chosen = [draw(operations(OPERATIONS[name].__name__)) for name in names]
    windows = RandomResizedCrop, RandomCrop, CenterCrop, Letterbox, RandomIouCrop, BboxSafeCrop
    mixers = (Mixup, CutMix, OneOf)
    for one in (windows, mixers):
        found = [item for item in chosen if isinstance(item, one) and item.program is None]
        chosen = [item for item in chosen if item not in found] + found[:1]
    if any(isinstance(item, RandomResizedCrop | RandomIouCrop | BboxSafeCrop) for item in chosen):
        chosen = [item for item in chosen if not isinstance(item, Resize)]
    if not any(isinstance(item, (*windows, Resize)) for item in chosen):
        chosen = [item for item in chosen if not isinstance(item, Schedule)]
    if any(isinstance(item, Border) for item in chosen):
        chosen = [*(item for item in chosen if not isinstance(item, Scale)), Scale()]
    means = GaussianNoise | RandomErasing | Border | RandomCrop | Letterbox
    if any(isinstance(item, means) for item in chosen):
        chosen = [*(item for item in chosen if not isinstance(item, Normalize)), Normalize(0, 1)]
    return Policy(draw(st.permutations(chosen)))


@settings(deadline=None)
@given(policies())
def test_every_policy_survives_the_round_trip_exactly(policy: Policy) -> None:
    again = parse_policy(format_policy(policy))
    assert again == policy
    assert again.digest == policy.digest


@pytest.mark.parametrize("name", sorted(OPERATIONS))
@settings(deadline=None, max_examples=20)
@given(st.data())
def test_every_operation_survives_the_round_trip_exactly(name: str, data: st.DataObject) -> None:
    operation = data.draw(operations(OPERATIONS[name].__name__))
    needs: dict[str, list[Any]] = {
        "border": [Scale(), Normalize(0, 1)], "schedule": [RandomResizedCrop(9)],
    }  # fmt: skip
    for with_mean in ("gaussian_noise", "random_erasing", "random_crop", "letterbox"):
        needs[with_mean] = [Normalize(0, 1)]
    policy = Policy([operation, *needs.get(name, [])])
    assert repr(parse_policy(format_policy(policy))) == repr(policy)


def test_the_line_says_what_the_operations_say() -> None:
    assert parse_policy(EXAMPLE) == Policy(
        [
            RandomResizedCrop(224),
            HorizontalFlip(),
            ColorJitter(0.4, 0.4, 0.4, hue=0.1),
            OneOf((Mixup(0.2), CutMix()), weights=(0.5, 0.5)),
            Normalize((0.5,), (0.2,)),
        ]
    )


def test_the_written_form_leaves_defaults_out_and_names_what_is_not_first() -> None:
    assert format_policy(parse_policy(EXAMPLE)) == (
        "random_resized_crop(224) | horizontal_flip | "
        "color_jitter(0.4, contrast=0.4, saturation=0.4, hue=0.1) | "
        "one_of([mixup, cutmix], weights=[0.5, 0.5]) | normalize([0.5], [0.2])"
    )
    assert format_policy(Policy([HorizontalFlip(0.3)])) == "horizontal_flip(p=0.3)"
    assert format_policy(Policy([RandomCrop((3, 4), mode="edge")])) == (
        'random_crop([3, 4], mode="edge")'
    )


def test_a_number_of_numpy_is_written_as_a_number() -> None:
    assert format_policy(Policy([Rotate(np.float64(0.1))])) == "rotate(0.1)"


def test_zero_keeps_its_sign() -> None:
    policy = Policy([Cutout(fill=-0.0)])
    assert parse_policy(format_policy(policy)).digest == policy.digest != Policy([Cutout()]).digest


def test_an_empty_line_is_the_empty_policy() -> None:
    assert parse_policy(" \n") == Policy()
    assert format_policy(Policy()) == ""


def test_lines_may_be_broken_anywhere_between_words() -> None:
    assert parse_policy("hflip |\n  rotate(10,\n\tp=0.5)\n") == parse_policy(
        "hflip | rotate(10, p=0.5)"
    )


@pytest.mark.parametrize(("short", "name"), ALIASES.items())
def test_a_short_name_stands_for_an_operation(short: str, name: str) -> None:
    assert parse_policy(short) == parse_policy(name)
    assert short not in OPERATIONS


@pytest.mark.parametrize(
    ("line", "marked", "said"),
    [
        ("hflip | rotat(10)", "rotat(10)", "did you mean 'rotate'?"),
        ("RandomCrop(3)", "RandomCrop(3)", "did you mean 'random_crop'?"),
        ("gaussian(3)", "gaussian(3)", "did you mean 'gaussian_blur' or 'gaussian_noise'?"),
        ("qqq", "qqq", "use one of resize, random_resized_crop"),
        ("é | qqq", "é", "is not an operation"),
        ("hflip | rotate(degree=10)", "degree=10", "did you mean 'degrees'?"),
        ("rotate(500, p=0.1)", "rotate(500, p=0.1)", "rotate(degrees, p=1.0, interp"),
        ("rotate(500)", "rotate(500)", "degrees=500 is not allowed: it must be at most 180"),
        ("rotate", "rotate", "needs 'degrees'"),
        ("vflip(0.5, 7)", "7", "takes p: this is one too many"),
        ("rotate(3, degrees=4)", "degrees=4", "'degrees' twice"),
        ("rotate(p=1, p=0)", "p=0", "'p' twice"),
        ("rotate(*[3])", "*[3]", "not a value"),
        ("rotate(**{'p': 1})", "**{'p': 1}", "no parameter"),
        ("rotate({-10, 10})", "{-10, 10}", "not a value"),
        ("rotate(9j)", "9j", "not a value"),
        ("random_crop(3, mode=edge)", "edge", '"text"'),
        ("one_of(mixup)", "mixup", "as [rotate(30), solarize]"),
        ("one_of([cutout])", "one_of([cutout])", "no operation 'cutout': use one of equalize"),
        ("sequence([mixup])", "sequence([mixup])", "no operation 'mixup': use one of equalize"),
        ("sequence([rotate(30), one_of([rotat(3)])])", "rotat(3)", "did you mean 'rotate'?"),
        ("some_of([hflip], 2)", "some_of([hflip], 2)", "n=2 of 1 operations is not possible"),
        (
            "random_order([one_of([cutmix])])",
            "random_order([one_of([cutmix])])",
            "'one_of' of mixing operations mixes samples",
        ),
        (
            "one_of([mixup, hflip])",
            "one_of([mixup, hflip])",
            "'mixup' mixes samples, and 'horizontal_flip' changes one",
        ),
        ("one_of([mixup(-1)])", "mixup(-1)", "alpha=-1 is not allowed: it must be above 0"),
        ("hflip + vflip", "hflip + vflip", "write name(value, ...) | name"),
        ("hflip # and so on", "#", "remove it"),
        ("hflip | | vflip", "|", "cannot be read"),
        ("rotate(10 | hflip", "(", "cannot be read"),
    ],
)
def test_an_error_points_at_the_place_and_says_what_to_write(
    line: str, marked: str, said: str
) -> None:
    with pytest.raises(PolicyError) as caught:
        parse_policy(line)
    *_, shown, carets = str(caught.value).splitlines()
    assert said in str(caught.value)
    assert shown == f"  {line}"
    assert shown[carets.index("^") :][: carets.count("^")] == marked


def test_an_error_at_the_end_of_the_line_points_there() -> None:
    with pytest.raises(PolicyError, match=r"\n  hflip \|\n         ?\^$"):
        parse_policy("hflip |")


def test_an_error_far_into_a_long_line_is_shown_with_its_surroundings() -> None:
    with pytest.raises(PolicyError) as caught:
        parse_policy(" | ".join(["hflip"] * 50 + ["rotat(3)"] + ["vflip"] * 99))
    *_, shown, carets = str(caught.value).splitlines()
    assert len(shown) < 100
    assert shown[carets.index("^") :][: carets.count("^")] == "rotat(3)"


@pytest.mark.parametrize(
    "line",
    [
        "rotate(__import__('os').getpid())",
        "rotate((lambda: 3)())",
        "rotate([x for x in (1, 2)])",
        "__import__('os')",
        "hflip.__class__",
        "rotate(f'{1}')",
        "rotate(2 ** 3)",
    ],
)
def test_nothing_is_evaluated(line: str) -> None:
    with pytest.raises(PolicyError):
        parse_policy(line)


@pytest.mark.parametrize(
    "line",
    [
        "(" * 5000,
        "[" * 150 + "]" * 150,
        "-" * 5000 + "1",
        "hflip | " * 1200 + "hflip",
        "rotate(" + "9" * 9000 + ")",
        "rotate(0x" + "f" * 9000 + ")",
        "rotate(" + "9" * 400 + ")",
        "rotate(1e999)",
        "hflip\x00",
        "random_crop(3, mode='\\d')",
        "x" * (LONGEST + 1),
    ],
)
def test_a_hostile_line_is_a_policy_error_and_a_short_one(line: str) -> None:
    with warnings.catch_warnings(), pytest.raises(PolicyError) as caught:
        warnings.simplefilter("error")
        parse_policy(line)
    assert len(str(caught.value)) < 1000
