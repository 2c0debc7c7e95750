import copy
import json
import pickle
import random
from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import BaseModel, TypeAdapter, ValidationError

import augfeed.policy
from augfeed.errors import PolicyError
from augfeed.invariances import KNOWN, Invariances
from augfeed.notation import parse_policy
from augfeed.policy import (
    OPERATIONS,
    STAGES,
    Border,
    CenterCrop,
    ColorJitter,
    CutMix,
    Cutout,
    GaussianNoise,
    Grayscale,
    HorizontalFlip,
    Invert,
    LabelSmoothing,
    Mixup,
    Normalize,
    OneOf,
    Policy,
    RandomCrop,
    RandomErasing,
    RandomResizedCrop,
    Resize,
    Rotate,
    Shear,
    Translate,
)
from tests.cases import line_of

untyped: Any = augfeed.policy  # for arguments that a type checker would refuse

WHOLE = (
    RandomResizedCrop((96, 128), scale=(0.3, 1)),
    HorizontalFlip(),
    Rotate((-10, 20), p=0.3),
    Shear(5, 2),
    Border("reflect"),
    ColorJitter(0.4, (0.5, 1.5), 0.4, 0.1),
    OneOf((Mixup(0.2), CutMix()), weights=(1, 3)),
    Cutout(16),
    RandomErasing(0.25, fill="mean"),
    Normalize((0.5, 0.4, 0.3), (0.2, 0.2, 0.2)),
    GaussianNoise((0.0, 0.1), space="pixel"),
    LabelSmoothing(0.1),
)


def refused(make: Any) -> str:
    with pytest.raises(PolicyError) as caught:
        make()
    return str(caught.value)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (
            lambda: untyped.HorizontalFlip(1.5),
            ["HorizontalFlip: p=1.5", "at most 1", "from 0 to 1"],
        ),
        (lambda: untyped.HorizontalFlip(p=-0.5), ["p=-0.5", "at least 0"]),
        (lambda: untyped.GaussianNoise(-1), ["sigma=-1", "at least 0", "standard deviation"]),
        (lambda: untyped.GaussianNoise((0.1, -1)), ["sigma[1]=-1", "at least 0"]),
        (lambda: untyped.Rotate(500), ["degrees=500", "at most 180", "a number a for (-a, a)"]),
        (
            lambda: untyped.Rotate((20, 10)),
            ["degrees=(20.0, 10.0)", "give (low, high) with -180 <= low"],
        ),
        (lambda: untyped.Rotate(float("nan")), ["degrees=nan", "finite"]),
        (lambda: untyped.Rotate((float("-inf"), 3)), ["degrees[0]=-inf", "finite"]),
        (lambda: untyped.Rotate("a"), ["degrees='a'", "a valid number"]),
        (lambda: untyped.Rotate(), ["needs 'degrees'", "Rotate(degrees=...)"]),
        (lambda: untyped.Rotate(1, degrees=2), ["gets 'degrees' twice"]),
        (lambda: untyped.VerticalFlip(1, 1), ["takes p", "1 is one too many"]),
        (lambda: untyped.Rotate(degree=1), ["no parameter 'degree'", "did you mean 'degrees'?"]),
        (lambda: untyped.Rotate(1, angle=1), ["no parameter 'angle'", "use one of degrees, p"]),
        (lambda: untyped.ColorJitter(hue=0.7), ["hue=0.7", "at most 0.5"]),
        (lambda: untyped.ColorJitter(contrast=(2, 1)), ["contrast=(2.0, 1.0)", "low <= high"]),
        (lambda: untyped.ColorJitter(brightness=float("nan")), ["brightness=nan", "finite"]),
        (lambda: untyped.RandomCrop(0), ["size=0", "at least 1", "a number for a square"]),
        (lambda: untyped.RandomCrop((3, 0)), ["size[1]=0", "at least 1"]),
        (lambda: untyped.RandomCrop(3.5), ["size=3.5", "a valid integer"]),
        (lambda: untyped.RandomCrop(3, mode="edges"), ["'constant', 'edge' or 'reflect'"]),
        (
            lambda: untyped.RandomResizedCrop(9, scale=(0.5, 0.1)),
            ["scale=(0.5, 0.1)", "low <= high"],
        ),
        (lambda: untyped.Scale((0.9, 30)), ["factor[1]=30", "at most 20"]),
        (lambda: untyped.GaussianBlur(4), ["kernel_size=4", "odd", "3 or 5"]),
        (lambda: untyped.GaussianBlur((3, 6)), ["kernel_size=(3, 6)", "5 or 7"]),
        (lambda: untyped.GaussianBlur(3, (2.0, 0.1)), ["sigma=(2.0, 0.1)", "low <= high"]),
        (lambda: untyped.GaussianBlur(3, 0.0), ["sigma=0.0", "above 0"]),
        (lambda: untyped.Posterize(9), ["bits=9", "at most 8"]),
        (lambda: untyped.Mixup(0), ["alpha=0", "above 0"]),
        (lambda: untyped.LabelSmoothing(1), ["epsilon=1", "below 1"]),
        (lambda: untyped.SaltAndPepper(2), ["amount=2", "at most 1"]),
        (lambda: untyped.Normalize([0.5], [0.0]), ["std[0]=0.0", "at least 1e-06"]),
        (lambda: untyped.Normalize([], 1), ["mean=[]", "a list of at least 1"]),
        (
            lambda: untyped.Normalize((0.1, 0.2, 0.3), (1, 2)),
            ["3 channels", "std has 2", "give as many"],
        ),
        (lambda: untyped.RandomErasing(fill="means"), ["fill='means'", "'mean' or 'noise'"]),
        (
            lambda: untyped.OneOf([untyped.Mixup(), untyped.Rotate(3)]),
            ["'mixup' mixes samples, and 'rotate' changes one", "a one_of for each"],
        ),
        (lambda: untyped.OneOf([Mixup]), ["Mixup is a class", "Mixup(...)"]),
        (lambda: untyped.OneOf([{"op": "mixup", "alpha": -1}]), ["mixup: alpha=-1", "above 0"]),
        (lambda: untyped.OneOf([]), ["operations=[]", "a list of at least 1"]),
        (
            lambda: untyped.OneOf([untyped.Mixup()], weights=[1, 2]),
            ["2 entries for 1", "one weight for each"],
        ),
        (lambda: untyped.OneOf([untyped.Mixup()], weights=[0]), ["sum to 0", "give one above 0"]),
        (
            lambda: untyped.OneOf([untyped.Mixup(per="batch"), untyped.CutMix()]),
            ["per differs", "one value for all"],
        ),
    ],
)
def test_an_operation_refused_names_value_bound_and_cure_in_one_line(
    make: Any, said: list[str]
) -> None:
    message = refused(make)
    assert len(message.splitlines()) == 1
    for part in said:
        assert part in message


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ([{"op": "rotate", "degrees": 500}], "rotate: degrees=500 is not allowed: it must be at"),
        ([{"op": "rotate", "degrees": [9, 1]}], "rotate: degrees=(9.0, 1.0) is not an interval"),
        ([{"op": "rotate", "degrees": 1, "q": 1}], "rotate has no parameter 'q'"),
        ([{"op": "rotat"}], "no operation 'rotat': did you mean 'rotate'?"),
        ([{"degrees": 500}], 'give it an "op"'),
        ([{"op": ["rotate"]}], 'give it an "op"'),
        ([{"op": "one_of", "operations": [{"op": "mixup", "alpha": -1}]}], "mixup: alpha=-1"),
        ([{"op": "one_of", "operations": [{"op": "cutout"}]}], "one_of has no operation 'cutout'"),
        (["hflip"], "operations[0]='hflip' is not an operation: give one, as in "),
        ([Rotate], "Rotate is a class: call it"),
        (
            Rotate(3),
            "operations=Rotate(degrees=3.0, p=1.0, interpolation='bilinear') is not allowed: "
            "it must be a list",
        ),
        ("hflip", "operations='hflip' is not allowed: it must be a list"),
        (None, "operations=None is not allowed: it must be a list"),
        ([Rotate(1), Rotate(2)], "'rotate' occurs 2 times: keep one"),
        ([Mixup(), CutMix()], "'mixup' and 'cutmix' cannot stand in one policy: choose between"),
        ([CenterCrop(3), RandomCrop(3)], "'center_crop' and 'random_crop' cannot stand"),
        ([Resize(3), RandomResizedCrop(3)], "would resize twice: remove 'resize'"),
        ([Border()], "has no effect: remove it"),
        ([GaussianNoise(space="pixel")], "add normalize(...)"),
        ([RandomErasing(fill="mean")], "add normalize(...)"),
    ],
)
def test_a_policy_refused_says_what_to_change_in_one_line(given: Any, said: str) -> None:
    message = refused(lambda: Policy(given))
    assert said in message
    assert len(message.splitlines()) == 1


def test_all_that_is_wrong_is_reported_at_once() -> None:
    message = refused(
        lambda: Policy([{"op": "rotate", "degrees": 999}, {"op": "cutout", "size": -1}])
    )
    assert "degrees=999" in message
    assert "size=-1" in message


def test_a_long_value_is_cut_in_the_message() -> None:
    assert len(refused(lambda: untyped.Rotate("x" * 9999))) < 300


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "not JSON"),
        ("[]", 'give {"operations": [...]}'),
        ('{"operation": []}', "did you mean 'operations'?"),
        ('{"operations": 3}', "it must be a list"),
        ('{"operations": [{"op": "rotate", "degrees": NaN}]}', "degrees=nan"),
        ('{"invariances": {"max_rotation": 500}}', "invariances: max_rotation=500"),
        ('{"invariances": {"max_rotatio": 5}}', "did you mean 'max_rotation'?"),
        ('{"invariances": "digit"}', "digit"),
    ],
)
def test_json_refused_says_what_is_wrong_in_it(text: str, said: str) -> None:
    assert said in refused(lambda: Policy.from_json(text))


def test_lists_are_taken_for_tuples() -> None:
    given = [untyped.OneOf([Mixup(), CutMix()], weights=[1, 3]), untyped.Normalize([0.5], [0.2])]
    assert Policy(given) == Policy([OneOf((Mixup(), CutMix()), (1, 3)), Normalize((0.5,), (0.2,))])


def test_json_holds_the_whole_policy() -> None:
    policy = Policy(WHOLE, invariances=KNOWN["imagenet"], name="mine")
    text = policy.to_json()
    assert Policy.from_json(text) == policy
    assert Policy.from_json(text.encode()).to_json() == text
    assert set(json.loads(text)) == {"operations", "invariances", "name"}


def test_json_may_leave_out_what_has_a_default() -> None:
    assert Policy.from_json('{"operations":[{"op":"mixup"}]}') == Policy([Mixup()])
    assert Policy.from_json("{}") == Policy()


def test_a_policy_is_a_field_of_other_models() -> None:
    class Request(BaseModel):
        policy: Policy

    data = {"policy": {"operations": [{"op": "rotate", "degrees": 5}]}}
    assert Request.model_validate(data).policy == Policy([Rotate(5)])
    data["policy"]["operations"][0]["degrees"] = 500
    with pytest.raises(ValidationError, match="degrees=500 is not allowed"):
        Request.model_validate(data)


def test_operations_stand_in_the_order_of_execution_whatever_order_is_given() -> None:
    shuffled = list(WHOLE)
    for seed in range(10):
        random.Random(seed).shuffle(shuffled)
        given = [item for item in shuffled if not isinstance(item, (HorizontalFlip, Rotate, Shear))]
        policy = Policy([HorizontalFlip(), *given, Rotate((-10, 20), p=0.3), Shear(5, 2)])
        assert policy.operations == WHOLE
        assert policy.digest == Policy(WHOLE).digest


def test_geometric_operations_keep_the_order_given() -> None:
    first, second = [Shear(5), Translate(), Rotate(9)], [Rotate(9), Translate(), Shear(5)]
    assert Policy(first).operations == tuple(first)
    assert Policy(second).operations == tuple(second)
    assert Policy(first).digest != Policy(second).digest


def test_every_operation_has_a_place_in_the_order() -> None:
    assert {cls for stage in STAGES for cls in stage} == set(OPERATIONS.values())
    branches = Policy.model_json_schema()["properties"]["operations"]["items"]["oneOf"]
    assert len(branches) == len(OPERATIONS)


def test_policies_and_operations_are_frozen() -> None:
    policy = Policy(WHOLE)
    with pytest.raises(ValidationError, match="frozen"):
        policy.name = "other"
    with pytest.raises(AttributeError):
        policy.operations[2].p = 1.0  # type: ignore[misc,union-attr]


def test_equal_policies_are_one_key() -> None:
    twin = Policy(WHOLE, invariances=KNOWN["photos"])
    assert len({Policy(WHOLE), Policy(list(WHOLE)), twin}) == 2
    assert Policy([Rotate(10)]) == Policy([Rotate(10.0, p=1)])


def test_copies_are_equal() -> None:
    policy = Policy(WHOLE, invariances="digits")
    assert pickle.loads(pickle.dumps(policy)) == policy
    assert copy.deepcopy(policy) == policy


def test_the_digest_is_of_what_is_done_and_not_of_the_names() -> None:
    plain, named = Policy(WHOLE), Policy(WHOLE, invariances=KNOWN["digits"], name="mine")
    assert plain.digest == named.digest
    assert len(plain.digest) == 64
    assert plain.digest != plain.with_(Cutout(17)).digest
    assert plain.digest != plain.without("cutout").digest


def test_the_digest_is_the_same_in_every_process() -> None:
    assert Policy([Rotate(10), Normalize(0.5, 0.2)]).digest == (
        "41a499ff6c436b439a28d74d4d37ddb18a88a170e6d24fc04446fabfa5061451"
    )


@pytest.mark.parametrize("name", [name for name, cls in OPERATIONS.items() if cls.later])
def test_what_was_added_later_is_left_out_of_json_at_its_default(name: str) -> None:
    cls = OPERATIONS[name]
    sized = {"resize": "resize(8)", "random_resized_crop": "random_resized_crop(8)"}
    item = parse_policy(sized.get(name) or line_of(name)).operations[0]
    written = json.loads(Policy([item]).to_json())["operations"][0]
    assert set(written) == set(cls.__pydantic_fields__) - set(cls.later)
    for mode in ("validation", "serialization"):  # and the schema knows every parameter
        schema = Policy.model_json_schema(mode=mode)["$defs"][cls.__name__]
        assert set(schema["properties"]) == set(cls.__pydantic_fields__)


def test_invariances_may_be_given_by_name() -> None:
    assert Policy(invariances="digits").invariances is KNOWN["digits"]
    assert "use one of" in refused(lambda: Policy(invariances="digit"))


def test_with_replaces_an_operation_of_the_same_kind_and_keeps_the_rules() -> None:
    rules = Invariances(name="mine", max_rotation=5)
    policy = Policy([Rotate(3), Cutout(16)], invariances=rules, name="preset")
    changed = policy.with_(Rotate(4), Grayscale())
    assert changed.operations == (Rotate(4), Grayscale(), Cutout(16))
    assert changed.invariances is rules
    assert changed.name is None
    assert policy.operations == (Rotate(3), Cutout(16))
    assert "one_of" in refused(lambda: policy.with_(Mixup()).with_(CutMix()))


def test_without_removes_by_name_and_knows_what_is_there() -> None:
    policy = Policy([Rotate(3), Cutout(16), Invert()], invariances=KNOWN["photos"])
    assert policy.without("rotate", "invert") == Policy([Cutout(16)], invariances=KNOWN["photos"])
    assert "it has ['cutout', 'invert', 'rotate']" in refused(lambda: policy.without("mixup"))


def test_find_returns_the_operation_of_a_class() -> None:
    assert Policy(WHOLE).find(Cutout) == Cutout(16)
    assert Policy(WHOLE).find(Mixup) is None


@pytest.mark.parametrize(
    ("operations", "source", "size"),
    [
        ([RandomResizedCrop(224)], None, (224, 224)),
        ([RandomCrop((3, 5), padding=1)], (32, 32), (3, 5)),
        ([Resize(256), CenterCrop(224)], (300, 400), (224, 224)),
        ([Resize((7, 9))], None, (7, 9)),
        ([Resize(10)], (30, 40), (10, 13)),
        ([Resize(10)], (40, 30), (13, 10)),
        ([Resize(1)], (1, 1), (1, 1)),
        ([Rotate(3)], (28, 30), (28, 30)),
    ],
)
def test_size_is_that_of_the_images_that_come_out(
    operations: list[Any], source: tuple[int, int] | None, size: tuple[int, int]
) -> None:
    assert Policy(operations).size(source) == size


@pytest.mark.parametrize("operations", [[], [Resize(10)], [Rotate(3)]])
def test_a_size_that_depends_on_the_source_says_what_to_add(operations: list[Any]) -> None:
    assert "add random_resized_crop(size)" in refused(lambda: Policy(operations).size())


# A color and a value after normalization may be any number.
UNBOUNDED = {("cutout", "fill"), ("random_erasing", "fill"), ("normalize", "mean")}


def numbers(schema: Any) -> Iterator[dict[str, Any]]:
    """The schemas of numbers inside one of a parameter."""
    if isinstance(schema, dict):
        if schema.get("type") in ("number", "integer") and "enum" not in schema:
            yield schema
        schema = [*schema.values()]
    if isinstance(schema, list):
        for part in schema:
            yield from numbers(part)


@pytest.mark.parametrize("name", sorted(OPERATIONS))
def test_the_json_schema_shows_title_description_and_bounds(name: str) -> None:
    schema = TypeAdapter(OPERATIONS[name]).json_schema()
    if "$ref" in schema:  # of what holds itself
        schema = schema["$defs"][schema["$ref"].rpartition("/")[2]]
    assert schema["title"] == OPERATIONS[name].__name__
    assert schema["description"]
    assert schema["additionalProperties"] is False
    for parameter, field in schema["properties"].items():
        assert field["title"]
        if parameter == "op":
            assert field["const"] == name
            continue
        assert field["description"]
        if (name, parameter) not in UNBOUNDED:
            for number in numbers(field):
                assert {"minimum", "exclusiveMinimum"} & set(number), (parameter, number)
                above = {"maximum", "exclusiveMaximum"} & set(number)
                assert above or parameter in ("weights", "std"), (parameter, number)
