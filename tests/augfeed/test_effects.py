"""What operations tell of themselves, and what is left of an image under each."""

from dataclasses import fields, replace
from typing import Any, ClassVar, Literal

import numpy as np
import pytest
import torch

from augfeed import DataLoader
from augfeed.errors import InvarianceError
from augfeed.invariances import KNOWN, RULES, Invariances
from augfeed.notation import parse_policy
from augfeed.operation import Column, Drawn, Pointwise, SampleValues, Wording, kind, operation
from augfeed.operation.effects import Setting
from augfeed.operation.kornia_effects import _BLURS, _BY_PARAMETER, _FIXED, _FREE, _IN_PLACE, _LEFT
from augfeed.operation.program import parts_of
from augfeed.operation.reference import SampleColumns
from augfeed.pipeline import Pipeline
from augfeed.policy import OPERATIONS, Policy, Solarize
from augfeed.policy.check import check_policy, findings
from augfeed.read.sources import ArraySource
from tests.cases import line_of

# One of each operation, at a strength that is usual.
LINES = {
    "resize": "resize(8)",
    "random_resized_crop": "random_resized_crop(8)",
    "random_crop": "random_crop(12, padding=2)",
    "center_crop": "center_crop(12)",
    "letterbox": "letterbox(12)",
    "random_iou_crop": "random_iou_crop(12)",
    "bbox_safe_crop": "bbox_safe_crop(12)",
    "kornia": 'kornia("RandomGamma")',
    "rotate": "rotate(5)",
    "border": "rotate(5) | border",
    "schedule": "mixup | schedule(mixing_until=3)",
    "normalize": "normalize(0.5, 0.25)",
    "one_of": "one_of([mixup, cutmix])",
}
IMAGES = np.random.default_rng(0).integers(0, 256, (8, 16, 16, 3), np.uint8)


# An operation says what it does


DECLARED = ("op", "moves", "effects", "explain", "order", "cases", "draw", "stream", "uniforms",
            "columns", "reads", "pixel", "reference")  # fmt: skip


@pytest.mark.parametrize("name", DECLARED)
def test_a_class_that_leaves_out_what_its_kind_declares_is_no_operation(name: str) -> None:
    class Blur(Pointwise):
        op: Literal["blur"] = kind("blur")
        moves = False
        order = 590
        stream = 999
        uniforms = 1
        columns = (Column("blurred", np.float32),)
        reads = columns
        cases: ClassVar[dict[str, str]] = {}

        def effects(self, setting: Setting) -> Any:
            yield from ()

        def explain(self, seen: SampleValues) -> Wording:
            return Wording("blurred")

        def draw(self, u: Any, applied: Any, size: Any) -> Drawn:
            return Drawn({}, {"blurred": applied})

        @staticmethod
        def pixel(value: Any, *reads: Any) -> Any:
            return value

        def reference(self, values: torch.Tensor, given: SampleColumns) -> torch.Tensor:
            return values

    assert operation(Blur)
    delattr(Blur, name)
    with pytest.raises(TypeError, match=f"operation Blur does not declare {name}: say"):
        operation(Blur)


def test_an_operation_stands_where_its_kind_does() -> None:
    class Late(Solarize):
        order = 600

    with pytest.raises(TypeError, match=r"order=600, and its kind goes from 500 to 599"):
        operation(Late)
    with pytest.raises(TypeError, match="int is not of a kind"):
        operation(int)  # type: ignore[type-var]


def steps_of(made: Any) -> set[str]:
    """The names of the steps that a law draws, and of its own parameters."""
    parts = (part for part, _ in parts_of(made.program) if isinstance(part, tuple))
    return {entry.candidate.name for entry, _ in parts} | {item.name for item in fields(made)}


@pytest.mark.parametrize("name", OPERATIONS)
def test_every_operation_shows_effects_of_its_own_parameters_under_rules_that_there_are(
    name: str,
) -> None:
    policy = parse_policy(LINES.get(name) or line_of(name))
    parameters = {item.name for item in fields(OPERATIONS[name])}
    for size in (None, (16, 16)):
        made = next(item for item in policy.operations if item.op == name)
        for effect in made.effects(Setting(policy, size)):
            assert effect.rule in RULES
            named = effect.parameter if made.program is None else effect.parameter.split(".")[0]
            known = parameters if made.program is None else {*OPERATIONS, *steps_of(made)}
            assert named in known or name == "kornia"
    for rules in KNOWN.values():
        findings(policy, rules, source=(16, 16))


@pytest.mark.parametrize("name", OPERATIONS)
def test_every_operation_is_held_against_a_rule_or_has_a_reason_not_to_be(name: str) -> None:
    policy = parse_policy(LINES.get(name) or line_of(name))
    found = [item for item in findings(policy, "digits", source=(16, 16)) if item.operation == name]
    assert bool(found) != bool(OPERATIONS[name].harmless)


def test_every_class_of_kornia_has_a_word_once() -> None:
    named = _FREE, {*_BY_PARAMETER, *_LEFT, *_BLURS, *_FIXED}
    assert not named[0] & named[1]
    assert named[0] | named[1] >= _IN_PLACE
    assert not _IN_PLACE & _FREE


# What is left of the image

DESTROYING = (
    "salt_and_pepper(1.0)", "salt_and_pepper([0.999, 1.0])", "jitter(brightness=[0, 0])",
    "jitter(brightness=[0, 0.001])", "jitter(contrast=[0, 0])", "normalize(0.5, 1e9)",
    "normalize([0.5, 0.5, 0.5], [58.4, 57.1, 255.0])", "gaussian_noise(100.0)", "cutout(32)",
    "cutout((16, 16), inside=True)", "cutout(200)", "random_crop(1)", "center_crop(1)",
    "resize((1, 1))", "resize(1)", "random_resized_crop(1)",
    "random_resized_crop(16, scale=[1e-6, 1e-6])", "random_resized_crop(16, scale=[1e-6, 0.002])",
)  # fmt: skip
SOMETIMES = (
    "salt_and_pepper([0, 1])", "jitter(brightness=1)", "jitter(brightness=[1, 100])",
    "jitter(contrast=1)", "gaussian_noise([0, 50])", "cutout(17)", "random_crop(8, padding=8)",
    "erase(scale=[0.1, 1.0])", "translate(1.0, 0)", "translate(0, 0.99)", "scale([0.05, 1])",
    "scale([1, 20])", "random_resized_crop(16, scale=[0.001, 1])", "normalize(0.5, 50)",
    "gaussian_blur(31, [0.1, 100.0])",
)  # fmt: skip


@pytest.mark.parametrize("line", DESTROYING)
def test_what_leaves_nothing_of_any_image_breaks_a_rule_of_every_dataset(line: str) -> None:
    policy = parse_policy(line)
    for rules in (*KNOWN.values(), Invariances()):
        with pytest.raises(InvarianceError, match="min_content"):
            check_policy(policy, rules, source=(16, 16))
        check_policy(policy, rules, source=(16, 16), allow=[*RULES])
    for build in (lambda: DataLoader(IMAGES, policy=line),
                  lambda: Pipeline(ArraySource(IMAGES), policy).check(None)):  # fmt: skip
        with pytest.raises(InvarianceError, match="min_content"):
            build()
    DataLoader(IMAGES, policy=line, allow="min_content")


@pytest.mark.parametrize("line", SOMETIMES)
def test_what_may_leave_nothing_breaks_a_rule_of_known_datasets(line: str) -> None:
    policy = parse_policy(line)
    for rules in KNOWN.values():
        with pytest.raises(InvarianceError):
            check_policy(policy, rules, source=(16, 16))
        with pytest.raises(InvarianceError, match="min_content"):
            check_policy(policy, Invariances(min_content=0.05), source=(16, 16))
    check_policy(policy, Invariances(), source=(16, 16))


ALWAYS = ("normalize", "resize", "center_crop", "random_crop(1)", "random_resized_crop(1)")
NEVER = [line for line in (*DESTROYING, *SOMETIMES) if not line.startswith(ALWAYS)]


@pytest.mark.parametrize("line", NEVER)
def test_what_no_sample_gets_leaves_everything(line: str) -> None:
    made: Any = parse_policy(line).operations[0]
    check_policy(Policy([replace(made, p=0)]), Invariances(min_content=0.05), source=(16, 16))


@pytest.mark.parametrize("line", [
    "jitter(0.4, 0.4, 0.4, 0.1)", "jitter(brightness=0.8, contrast=0.8)", "noise(1.0)",
    "normalize(0.5, 0.25) | noise(2.0)", "random_crop(16, padding=4)", "cutout(8)", "erase",
    "random_crop(8, padding=8, mode=\"reflect\")", "random_resized_crop(16)", "posterize(1)",
    "solarize(0.0)", "invert", "salt_and_pepper(0.5)", "normalize(0.0, 1.0)", "center_crop(2)",
    "equalize(1.0)", "gaussian_blur(9)", "gaussian_blur(31, [0.1, 2.0])",
])  # fmt: skip
def test_usual_strengths_leave_enough_of_any_image(line: str) -> None:
    check_policy(parse_policy(line), Invariances(min_content=0.05), source=(16, 16))


def test_noise_counts_in_the_space_that_it_is_added_in() -> None:
    least = Invariances(min_content=0.05)
    check_policy(parse_policy("normalize(0.5, 0.25) | noise(4.0)"), least)
    for line in ("noise(4.0)", "normalize(0.5, 1.0) | noise(4.0)",
                 'normalize(0.5, 0.25) | noise(4.0, space="pixel")'):  # fmt: skip
        with pytest.raises(InvarianceError, match="sigma"):
            check_policy(parse_policy(line), least)


def test_an_image_of_one_pixel_keeps_it() -> None:
    check_policy(parse_policy("resize(1)"), Invariances(), source=(1, 1))
    check_policy(parse_policy("random_crop(1)"), Invariances(), source=(1, 1))


@pytest.mark.parametrize(
    "line", [line for line in DESTROYING if "size" not in line and "crop" not in line]
)
def test_what_is_refused_leaves_no_image_apart_from_another(line: str) -> None:
    options: dict[str, Any] = {"policy": line, "seed": 0, "allow": "min_content"}
    one, other = (next(iter(DataLoader(images, 4, **options)))[0]
                  for images in (IMAGES, IMAGES[::-1].copy()))  # fmt: skip
    spread = max(1.0, float(one.std()))
    assert float((one - other).abs().max()) / spread < 0.05
    assert torch.isfinite(one).all()


KORNIA = (
    '"RandomBrightness", brightness=[0.0, 0.0]', '"RandomContrast", contrast=[0.0, 0.0]',
    '"RandomGamma", gain=[0.0, 0.0]', '"RandomGaussianNoise", std=100.0',
    '"RandomSaltAndPepperNoise", amount=1.0', '"RandomChannelDropout", num_drop_channels=3',
    '"ColorJitter", brightness=[0.0, 0.0]', '"ColorJiggle", contrast=[0.0, 0.0]',
    '"RandomErasing", scale=[1.0, 1.0]', '"RandomTranslate", translate_x=[1.0, 1.0]',
)  # fmt: skip


@pytest.mark.parametrize("stage", KORNIA)
def test_stages_of_kornia_that_leave_nothing_are_refused(stage: str) -> None:
    pytest.importorskip("kornia")
    policy = parse_policy(f"kornia({stage})")
    for rules in (Invariances(), KNOWN["imagenet"]):
        with pytest.raises(InvarianceError, match="min_content"):
            check_policy(policy, rules)
