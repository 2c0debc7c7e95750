import json
import threading
from io import StringIO
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from rich.console import Console

from augfeed.engines import Output
from augfeed.errors import InputError
from augfeed.notation import parse_policy
from augfeed.pipeline import Form, Order, Pipeline
from augfeed.plan import CUTMIX
from augfeed.policy import OPERATIONS
from augfeed.read.sources import ArraySource
from augfeed.show import (
    Explanation,
    Share,
    Step,
    draw_sample,
    explain_sample,
    preview,
    share_text,
    terminal,
    to_pictures,
)
from augfeed.show.grid import wrap
from augfeed.show.images import SMALL, display, original
from augfeed.show.labels import share_parts, shares_of
from augfeed.targets import Targets
from tests.cases import line_of
from tests.waiting import eventually

NAMES = ("shirt", "bag", "coat")
CHAIN = (
    "random_crop(12, padding=2, p=0.9) | hflip | vflip | rotate(30) | translate | scale | shear"
    ' | perspective | border("reflect") | jitter(0.4, 0.4, 0.4, 0.1) | gray | invert | posterize'
    " | solarize | one_of([mixup, cutmix]) | cutout(4) | erase | normalize([0.4, 0.5, 0.6], 0.25)"
    " | noise | salt_and_pepper | label_smoothing"
)


def noise(count: int, *shape: int) -> NDArray[np.uint8]:
    values = np.arange(count * int(np.prod(shape)), dtype=np.uint64)
    hashed = (values * np.uint64(2654435761) >> np.uint64(13)) % np.uint64(256)
    return hashed.astype(np.uint8).reshape(count, *shape)


def pipeline(
    line: str, images: Any = None, labels: Any = None, *, targets: Form = "auto", **options: Any
) -> Pipeline:
    images = noise(24, 12, 12, 3) if images is None else images
    labels = np.arange(len(images)) % 3 if labels is None else labels
    source = ArraySource(images, labels, NAMES if np.ndim(labels) == 1 else None)
    return Pipeline(
        source, parse_policy(line), order=Order(shuffle=True), targets=targets, **options
    )


def step(explanation: Explanation, operation: str) -> Step:
    return next(step for step in explanation.steps if step.operation == operation)


# Images


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_a_normalised_batch_comes_back_as_the_pixels_it_was_made_of(dtype: torch.dtype) -> None:
    made = pipeline("normalize([0.4, 0.5, 0.6], [0.2, 0.3, 0.4])", output=Output(dtype))
    back = to_pictures(made.sample(3, 0).images, made.policy)
    assert back.shape == (1, 12, 12, 3)
    assert (back[0] == original(made.source, 3)).all()


def test_values_that_leave_the_range_of_colours_are_clamped() -> None:
    images = torch.tensor([-3.0, 0.5, 7.0]).view(1, 1, 1, 3)
    assert to_pictures(images, parse_policy("")).ravel().tolist() == [0, 128, 255]


def test_bytes_are_shown_as_they_are() -> None:
    images = torch.from_numpy(noise(2, 3, 5, 4))
    assert (to_pictures(images, parse_policy("")) == images.permute(0, 2, 3, 1).numpy()).all()


def test_small_images_are_enlarged_by_a_whole_factor() -> None:
    pixels = noise(1, 8, 8, 1)[0]
    shown = np.asarray(display(pixels))
    factor = SMALL // 8
    assert (shown[..., 0] == pixels[..., 0].repeat(factor, 0).repeat(factor, 1)).all()
    assert display(noise(1, 300, 600, 3)[0]).size == (224, 112)


def test_a_preview_has_the_original_in_its_colours_beside_each_epoch() -> None:
    red_top = np.zeros((8, 12, 12, 3), np.uint8)
    red_top[:, :6] = (250, 10, 20)
    red_top[:, 6:] = (10, 20, 250)
    made = pipeline("vflip(1.0) | normalize(0.5, 0.5)", red_top)
    image = preview(made, indices=[5], epochs=[0, 1])
    pixels = np.asarray(image)
    first_red = np.argwhere((pixels == (250, 10, 20)).all(axis=2))[0]
    first_blue = np.argwhere((pixels == (10, 20, 250)).all(axis=2))[0]
    assert (pixels == (250, 10, 20)).all(axis=2).sum() == 3 * SMALL * SMALL // 2
    assert first_blue[0] == first_red[0], "the flipped ones begin with blue"
    assert first_blue[1] > first_red[1], "and stand right of the original"


def test_a_preview_is_the_same_every_time_and_has_a_row_for_each_sample() -> None:
    made = pipeline(CHAIN)
    image = preview(made, indices=[1, 2], epochs=range(3))
    assert image.tobytes() == preview(made, indices=[1, 2], epochs=range(3)).tobytes()
    one = preview(made, indices=[1], epochs=range(3))
    assert image.width == one.width > 4 * SMALL
    assert image.height > one.height + SMALL


@pytest.mark.parametrize(("indices", "epochs"), [([24], [0]), ([-1], [0]), ([], [0]), ([0], [])])
def test_a_preview_of_no_sample_is_refused(indices: list[int], epochs: list[int]) -> None:
    with pytest.raises(InputError):
        preview(pipeline("hflip"), indices=indices, epochs=epochs)


@pytest.mark.parametrize("width", [40, 90, 400])
def test_wrapped_text_keeps_every_character_and_breaks_between_parts(width: int) -> None:
    parts = ["Ankle boot 0.71", "T-shirt/top 0.25", "rest 0.04"]
    lines = wrap(parts, " + ", width)
    assert "".join("".join(lines).split()) == "".join(" + ".join(parts).split())
    assert (len(lines) == 1) == (width == 400)


def test_a_sample_is_drawn_with_its_partner_and_what_was_done_outlined() -> None:
    made = pipeline("cutmix | cutout(4)")
    explanations = [explain_sample(made, index, 0) for index in range(8)]
    mixed = next(item for item in explanations if item.partner)
    alone = pipeline("normalize(0.5, 0.5)")
    wide = draw_sample(made, mixed)
    assert wide.width > 4 * SMALL
    narrow = draw_sample(alone, explain_sample(alone, 0, 0))
    assert narrow.width < wide.width
    yellow, red = ((np.asarray(wide) == color).all(axis=2).any()
                   for color in ((255, 208, 0), (255, 77, 77)))  # fmt: skip
    assert red
    assert not yellow, "nothing was cut"


# Words


def test_an_explanation_shows_every_operation_in_order_and_fits_json() -> None:
    explanation = explain_sample(pipeline(CHAIN), 4, 2)
    said = [step.operation for step in explanation.steps]
    assert said == [operation.op for operation in parse_policy(CHAIN).operations]
    assert json.loads(json.dumps(explanation.as_dict())) == explanation.as_dict()
    assert len(explanation.lines) == 3 + len(explanation.rows)
    assert explanation.lines[0] == f"sample 4 ({NAMES[1]}), epoch 2, seed 0"


# What stands for an operation that needs an argument, or another operation.
LINES = {
    "border": "rotate([5, 5]) | border", "center_crop": "center_crop(8)", "resize": "resize(8)",
    "kornia": 'kornia("RandomGamma")', "normalize": "normalize(0.5, 0.5)",
    "one_of": "one_of([mixup])", "letterbox": "letterbox(8)",
    "random_crop": "random_crop(8)", "rotate": "rotate(5)",
    "random_resized_crop": "random_resized_crop(8)",
}  # fmt: skip


# No source has the samples of these; of a schedule an explanation shows the policy of the epoch.
APART = {"mosaic", "copy_paste", "random_iou_crop", "bbox_safe_crop", "schedule"}


@pytest.mark.parametrize("name", [name for name in OPERATIONS if name not in APART])
def test_no_operation_is_left_out_of_an_explanation(name: str) -> None:
    made = pipeline(LINES.get(name) or line_of(name))
    steps = explain_sample(made, 4, 2).steps
    said = [step.operation for step in steps
            if step.operation != "whole" and not step.stage.startswith("step ")]  # fmt: skip
    assert said == [operation.op for operation in made.policy.operations]
    assert name in said


def test_the_steps_of_a_program_are_reported_in_their_order() -> None:
    line = "random_order([rotate(30), posterize(3, p=1.0), one_of([solarize(p=1.0)])]) | mixup"
    made = pipeline(f"hflip | {line}")
    explanation = explain_sample(made, 4, 2)
    program = explanation.batch.plan.program
    assert program is not None
    drawn = [program.leaves[k - 1].op for k in program.slots.leaf[0] if k]
    said = [one for one in explanation.steps if one.stage.startswith("step ")]
    assert [one.operation for one in said] == drawn and len(drawn) == 3
    assert [one.stage for one in said] == ["step 1", "step 2", "step 3"]
    turned = next(one for one in said if one.operation == "rotate")
    assert "turned" in turned.text and abs(turned.values["degrees"]) <= 30
    whole = step(explanation, "random_order")
    assert whole.stage == "program" and "3 steps" in whole.text
    assert [one["operation"] for one in whole.values["steps"]] == drawn
    assert explanation.partner is not None
    assert any(one.operation == "random_order" for one in explanation.partner.steps)


def test_an_explanation_is_recomputed_the_same() -> None:
    assert explain_sample(pipeline(CHAIN), 4, 2) == explain_sample(pipeline(CHAIN), 4, 2)
    assert (
        explain_sample(pipeline(CHAIN), 4, 2).lines != explain_sample(pipeline(CHAIN), 4, 3).lines
    )


def test_the_words_about_a_cut_name_the_pixels_that_came_out() -> None:
    made = pipeline("random_crop(12, padding=3)")
    explanation = explain_sample(made, 7, 1)
    top, left, bottom, right = step(explanation, "random_crop").values["frame"]
    padded = np.pad(original(made.source, 7), ((3, 3), (3, 3), (0, 0)))
    cut = padded[top + 3 : bottom + 3, left + 3 : right + 3]
    assert (to_pictures(explanation.batch.images, made.policy)[0] == cut).all()
    assert f"cut 12 x 12 at ({top}, {left})" in step(explanation, "random_crop").text


def test_a_resized_crop_is_reported_by_its_box() -> None:
    explanation = explain_sample(pipeline("random_resized_crop(8)"), 7, 1)
    done = step(explanation, "random_resized_crop")
    top, left, bottom, right = done.values["box"]
    assert done.values["share"] == pytest.approx((bottom - top) * (right - left) / 144)
    assert f"cut {bottom - top} x {right - left} at ({top}, {left}) of 12 x 12" in done.text
    assert "resized to 8 x 8" in done.text


@pytest.mark.parametrize("p", [0.0, 0.5])
def test_a_window_that_is_not_cut_at_random_says_so(p: float) -> None:
    made = pipeline(f"random_resized_crop(8, p={p})")
    steps = [step(explain_sample(made, i, 0), "random_resized_crop") for i in range(20)]
    assert any("the whole 12 x 12" in item.text for item in steps)
    assert any(item.applied for item in steps) == (p > 0)
    assert all(item.applied == ("not applied" not in item.text) for item in steps)


def dot(row: int, column: int) -> NDArray[np.uint8]:
    image = np.zeros((1, 21, 21, 1), np.uint8)
    image[0, row, column] = 255
    return image


def centre_of(explanation: Explanation) -> tuple[float, float]:
    image = explanation.batch.images[0, 0].numpy()
    rows, columns = np.indices(image.shape)
    return float((rows * image).sum() / image.sum()), float((columns * image).sum() / image.sum())


@pytest.mark.parametrize(("degrees", "way"), [((20, 30), "counter-"), ((-30, -20), "")])
def test_the_direction_of_a_turn_is_that_of_the_pixels(degrees: tuple[int, int], way: str) -> None:
    explanation = explain_sample(pipeline(f"rotate({list(degrees)})", dot(3, 10)), 0, 0)
    _, column = centre_of(explanation)
    assert f" degrees {way}clockwise" in step(explanation, "rotate").text
    assert (column < 10) == bool(way), "the top goes left when turned counter-clockwise"


def test_the_direction_of_a_shift_is_that_of_the_pixels() -> None:
    made = pipeline("translate(0.3, 0.3)", dot(10, 10))
    for epoch in range(4):
        explanation = explain_sample(made, 0, epoch)
        row, column = centre_of(explanation)
        text = step(explanation, "translate").text
        assert f"moved {abs(column - 10):.1f} pixels {'right' if column > 10 else 'left'}" in text
        assert f"and {abs(row - 10):.1f} {'down' if row > 10 else 'up'}" in text


def test_colours_of_grey_images_are_reported_to_stay() -> None:
    explanation = explain_sample(pipeline("jitter(0.4, 0, 0.4)", noise(3, 9, 9, 1)), 0, 0)
    text = step(explanation, "color_jitter").text
    assert "saturation has no effect on gray" in text
    assert "contrast" not in text
    assert "uniform in [0.6, 1.4])" in text


def test_what_was_hidden_is_reported_by_its_box() -> None:
    explanation = explain_sample(pipeline("cutout(6)"), 2, 0)
    top, left, bottom, right = step(explanation, "cutout").values["box"]
    assert (explanation.batch.images[0, :, top:bottom, left:right] == 0).all()
    assert f"hid {bottom - top} x {right - left} at ({top}, {left})" in explanation.lines[4]


def test_the_share_of_a_label_is_the_share_of_the_pixels_that_is_reported() -> None:
    made = pipeline("cutmix")
    for index in range(12):
        explanation = explain_sample(made, index, 0)
        said, plan = step(explanation, "cutmix"), explanation.batch.plan
        assert plan.mixes.mode[0] == CUTMIX
        assert explanation.partner is not None
        assert explanation.partner.index == said.values["partner"]
        shares = {share.name: share.share for share in explanation.shares}
        if explanation.partner.label != explanation.label and said.values["area"] > 0:
            assert shares[explanation.partner.label] == pytest.approx(said.values["area"])
        assert sum(shares.values()) == pytest.approx(1)
        assert f"{said.values['area']:.1%} of the pixels" in said.text


def test_a_label_that_does_not_follow_the_pixels_is_kept_apart() -> None:
    made = pipeline("cutmix(correct_lambda=False)")
    texts = [step(explain_sample(made, index, 0), "cutmix").text for index in range(12)]
    assert any("of the label" in text for text in texts)


def test_a_sample_alone_is_reported_to_have_nobody_to_mix_with() -> None:
    explanation = explain_sample(pipeline("mixup", noise(1, 12, 12, 3)), 0, 0)
    assert step(explanation, "mixup").text == "not applied: nobody in its group to mix with"
    assert explanation.partner is None


def test_of_a_partner_only_what_was_applied_is_reported() -> None:
    made = pipeline("hflip | mixup")
    for index in range(8):
        explanation = explain_sample(made, index, 0)
        assert explanation.partner is not None
        flipped = any(
            step.applied for step in explanation.partner.steps if "flip" in step.operation
        )
        said = [row for row in explanation.rows if row[:2] == ("  partner", "horizontal_flip")]
        assert bool(said) == flipped


@pytest.mark.parametrize("slow", [True, False])
def test_what_takes_long_gives_its_reason(slow: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(terminal, "PATIENCE", 0.01 if slow else 3600.0)
    printed, before = StringIO(), set(threading.enumerate())
    with terminal.patience(Console(file=printed), "drawing"):
        assert not slow or eventually(lambda: "compiling" in printed.getvalue())
    assert ("compiling" in printed.getvalue()) == slow
    timers = {one for one in threading.enumerate() if isinstance(one, threading.Timer)}
    assert timers <= before


# Labels


def test_shares_are_named_the_largest_first() -> None:
    rows = torch.tensor([[0.29, 0.71, 0.0]])
    assert share_text(shares_of(rows, 0, NAMES)) == "bag 0.710 + shirt 0.290"


@pytest.mark.parametrize(
    ("row", "parts"),
    [
        ([1.0, 0.0, 0.0], ["shirt"]),
        ([0.5, 0.3, 0.2], ["shirt 0.50", "bag 0.30", "coat 0.20"]),
        ([0.996, 0.004, 0.0], ["shirt 1.00"]),
        ([0.3325, 0.334, 0.3335], ["bag 0.34", "coat 0.33", "shirt 0.33"]),
    ],
)
def test_rounded_shares_have_the_right_sum(row: list[float], parts: list[str]) -> None:
    assert share_parts(shares_of(torch.tensor([row]), 0, NAMES)) == parts


def test_what_only_smoothing_gives_is_reported_as_the_rest() -> None:
    row = torch.tensor([[0.95, 0.025, 0.025]])
    shares = shares_of(row, 0, NAMES, epsilon=0.075)
    assert share_parts(shares) == ["shirt 0.95", "rest 0.05"]
    assert share_text(shares) == "shirt 0.950 + 2 others 0.025 each"
    smoothed = explain_sample(pipeline("label_smoothing(0.3)"), 0, 0)
    assert share_text(smoothed.shares) == "shirt 0.800 + 2 others 0.100 each"


def test_a_rest_of_one_class_is_named() -> None:
    shares = shares_of(torch.tensor([[0.95, 0.05]]), 0, NAMES, epsilon=0.1)
    assert share_text(shares) == "shirt 0.950 + bag 0.050"


def test_targets_of_every_form_give_the_same_words() -> None:
    words = {
        share_text(explain_sample(pipeline("mixup", targets=form), 5, 0).shares)
        for form in ("auto", "dense", "sparse")
    }
    assert len(words) == 1
    hard = {
        share_text(explain_sample(pipeline("hflip", targets=form), 5, 0).shares)
        for form in ("auto", "dense", "sparse")
    }
    assert hard == {"coat"}


def test_names_of_digits_are_quoted_and_classes_without_names_numbered() -> None:
    targets = Targets(torch.tensor([1]), torch.tensor([0]), torch.tensor([0.75]), num_classes=2)
    assert share_text(shares_of(targets, 0, ("4", "9"))) == "'9' 0.750 + '4' 0.250"
    assert share_text(shares_of(targets, 0, None)) == "class 1 0.750 + class 0 0.250"


def test_data_without_labels_are_explained_too() -> None:
    made = Pipeline(ArraySource(noise(9, 12, 12, 3)), parse_policy("mixup"))
    explanation = explain_sample(made, 0, 0)
    assert explanation.label == "no label"
    assert share_text(explanation.shares) == "no label"
    assert draw_sample(made, explanation).width


def test_labels_of_several_classes_are_all_named() -> None:
    flags = np.array([[1, 1, 0]] * 9, np.float32)
    explanation = explain_sample(pipeline("hflip", noise(9, 12, 12, 3), flags), 0, 0)
    assert explanation.shares == (Share("class 0", 1.0), Share("class 1", 1.0))
    assert explanation.label == "class 0 1.000 + class 1 1.000"
