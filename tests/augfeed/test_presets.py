import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from augfeed import presets, published_recipes, self_supervised_recipes
from augfeed.errors import PolicyError
from augfeed.notation import ALIASES, format_policy, parse_policy
from augfeed.policy import (
    OPERATIONS,
    CenterCrop,
    CutMix,
    Grayscale,
    HorizontalFlip,
    Invert,
    Letterbox,
    Mixup,
    Normalize,
    OneOf,
    Policy,
    RandomCrop,
    RandomResizedCrop,
    Resize,
    Rotate,
)
from augfeed.policy.check import check_policy
from augfeed.presets import PRESETS, resolve_policy, without_augmentation

RANDOM = {cls for name, cls in OPERATIONS.items()} - {Resize, CenterCrop, Letterbox, Normalize}


@pytest.mark.parametrize(("name", "make"), PRESETS.items())
def test_a_preset_keeps_its_own_rules_and_knows_its_name(
    name: str, make: Callable[..., Policy]
) -> None:
    policy = make()
    assert policy.name == name
    assert policy.invariances is not None
    size = policy.size()
    found = check_policy(policy, policy.invariances, source=size)
    assert all(item.ok for item in found)


@pytest.mark.parametrize(("name", "size"), [("digits", 8), ("fashion", 8), ("cifar", 64)])
def test_a_preset_of_small_images_keeps_its_rules_at_other_sizes(name: str, size: int) -> None:
    policy = PRESETS[name](size)
    assert policy.invariances is not None
    check_policy(policy, policy.invariances, source=(size, size))
    assert policy.size() == (size, size)


def test_the_presets_are_the_public_functions_that_make_a_policy() -> None:
    made = {
        name
        for name, value in vars(presets).items()
        if inspect.isfunction(value)
        and not name.startswith("_")
        and value.__module__
        in (presets.__name__, published_recipes.__name__, self_supervised_recipes.__name__)
        and all(
            parameter.default is not inspect.Parameter.empty
            for parameter in inspect.signature(value).parameters.values()
        )
    }
    assert made == set(PRESETS)
    assert not set(PRESETS) & {*OPERATIONS, *ALIASES}
    assert all(make.__doc__ for make in PRESETS.values())


@pytest.mark.parametrize("make", PRESETS.values())
def test_a_preset_survives_line_and_json(make: Callable[..., Policy]) -> None:
    policy = make()
    assert parse_policy(format_policy(policy)).digest == policy.digest
    assert Policy.from_json(policy.to_json()) == policy


@pytest.mark.parametrize("make", PRESETS.values())
def test_the_evaluation_twin_of_a_preset_has_its_size_and_nothing_random(
    make: Callable[..., Policy],
) -> None:
    policy = make()
    twin = without_augmentation(policy)
    assert twin.size() == policy.size()
    assert twin.find(Normalize) == policy.find(Normalize)
    assert twin.invariances == policy.invariances
    assert not any(type(operation) in RANDOM for operation in twin.operations)
    assert without_augmentation(twin) == twin


@pytest.mark.parametrize(
    ("line", "twin"),
    [
        ("random_resized_crop(224)", "resize(256) | center_crop(224)"),
        ("random_resized_crop((100, 224))", "resize(256) | center_crop((100, 224))"),
        ("random_resized_crop(7, p=0)", "resize((7, 7))"),
        ("resize(9) | random_crop(7, padding=2)", "resize(9) | center_crop(7)"),
        ("resize(9) | center_crop(7)", "resize(9) | center_crop(7)"),
        ("grayscale(p=1) | invert(p=0.5) | vflip(p=1)", "grayscale(p=1) | vflip(p=1)"),
        ("rotate(9) | border | mixup | cutout | noise | label_smoothing", ""),
        ("rotate(9) | normalize(0.5, 0.2)", "normalize(0.5, 0.2)"),
    ],
)
def test_the_evaluation_twin_keeps_what_prepares_the_image(line: str, twin: str) -> None:
    assert without_augmentation(parse_policy(line)) == parse_policy(twin)


def test_the_whole_chain_has_every_family_of_operations() -> None:
    names = {operation.op for operation in presets.seed_chain().operations}
    assert names >= {
        "random_resized_crop", "horizontal_flip", "rotate", "color_jitter", "grayscale",
        "gaussian_noise", "cutout", "one_of", "normalize", "label_smoothing",
    }  # fmt: skip
    mixing = presets.seed_chain().find(OneOf)
    assert mixing is not None
    assert mixing.operations == (Mixup(0.2), CutMix(1.0))


@pytest.mark.parametrize(
    ("spec", "policy"),
    [
        ("digits", presets.digits()),
        (" imagenet ( 176 ) ", presets.imagenet(176)),
        ("digits(8, mean=0.3053, std=0.3760)", presets.digits(8, 0.3053, 0.3760)),
        ("evaluation((96, 128), resize=128)", presets.evaluation((96, 128), 128)),
        ("hflip | rotate(3)", Policy([HorizontalFlip(), Rotate(3)])),
        ("", Policy()),
        (Policy([Rotate(3)]).to_json(), Policy([Rotate(3)])),
        (Policy([Grayscale()]), Policy([Grayscale()])),
    ],
)
def test_a_policy_is_resolved_from_all_its_forms(spec: Any, policy: Policy) -> None:
    assert resolve_policy(spec) == policy


def test_a_policy_is_resolved_from_a_file(tmp_path: Path) -> None:
    policy = Policy([RandomCrop(32, padding=4), Invert()], name="mine")
    path = tmp_path / "policy.json"
    path.write_text(policy.to_json())
    assert resolve_policy(path) == policy
    assert resolve_policy(str(path)) == policy


def test_text_of_somebody_else_reads_no_file(tmp_path: Path) -> None:
    path = tmp_path / "policy.json"
    path.write_text(Policy().to_json())
    with pytest.raises(PolicyError):
        resolve_policy(str(path), files=False)


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ("imagene(224)", "did you mean 'imagenet'?"),
        ("hflp", "did you mean 'hflip'?"),
        ("imagenet(siz=3)", "did you mean 'size'?"),
        ("imagenet('a')", "size='a' is not allowed"),
        ("digits('a')", "size='a' is not a number of pixels"),
        ("cifar((3, 4))", "size=(3, 4) is not a number of pixels"),
        ("digits(0)", "digits(size=28, mean=0.1307, std=0.3081)"),
        ("imagenet(224) | hflip", "stands alone: presets.imagenet(...).with_(...)"),
        ("{", "not JSON"),
        ("no/such/file.json", "'no/such/file.json' cannot be read as a policy"),
        (Path("no/such/file.json"), "cannot be read as a policy"),
        ("\x00.json", "cannot be read as a policy"),
        ([RandomResizedCrop(3)], "give a Policy, a line of text or a path"),
    ],
)
def test_what_cannot_be_resolved_says_why(spec: Any, said: str) -> None:
    with pytest.raises(PolicyError) as caught:
        resolve_policy(spec)
    assert said in str(caught.value)


def test_a_broken_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "policy.json"
    path.write_text('{"operations": [{"op": "rotat"}]}')
    with pytest.raises(PolicyError, match=r"policy.json.*did you mean 'rotate'"):
        resolve_policy(path)
