"""Grids of images with what belongs below them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from PIL import Image, ImageDraw, ImageFont

from augfeed.batch import Batch
from augfeed.errors import InputError
from augfeed.notation import format_policy
from augfeed.pipeline import Pipeline
from augfeed.plan import Plan
from augfeed.plan.batch_rows import samples_of
from augfeed.read.annotation import is_annotated
from augfeed.read.sources import Source
from augfeed.show.annotations import annotations_of, drawn, row_of, words_of
from augfeed.show.downsized import reduced
from augfeed.show.explain import Explanation, label_of, source_size
from augfeed.show.images import display, original, outline, to_pictures
from augfeed.show.labels import batch_shares, share_parts, targets_shares
from augfeed.show.windows import region, window_of

GAP, MARGIN, LINE = 10, 16, 17
NARROWEST = 520  # of a grid, so that the line above it has room
TEXT, SOFT, PAPER, BEHIND = "#1c1c1c", "#6a6a6a", "white", "#eeeeee"
CUT, PATCH, HOLE = "#ffd000", "#00c8ff", "#ff4d4d"


@dataclass(frozen=True, slots=True)
class Tile:
    """An image, and the text below it: parts that lines are broken between."""

    picture: Image.Image
    parts: Sequence[str]
    joint: str = " + "


def preview(
    pipeline: Pipeline, *, indices: Sequence[int], epochs: Sequence[int],
    before: Callable[[], None] = lambda: None,
) -> Image.Image:  # fmt: skip
    """Return a grid: each row a sample, first as it is, then as it comes in each epoch.

    The label stands below each, with the share of every class in it. Images larger than they are
    shown are made smaller (`reduced`), with the labels of the large ones. `before` is called before
    each image is made; what it raises ends the preview. Raises `InputError` for a sample that is
    not there, and for images that are too large to be made.
    """
    if not indices or not epochs:
        raise InputError("indices and epochs must not be empty: give one of each at least")
    source = pipeline.source
    for index in indices:
        if not 0 <= index < len(source):
            raise InputError(f"index={index!r} is not in [0, {len(source)}): give a sample of it")
    small = reduced(pipeline)
    rows: list[list[Tile]] = []
    for index in indices:
        before()
        rows.append([_original_tile(source, index)])
    for epoch in epochs:
        for row, index in zip(rows, indices, strict=True):
            before()
            batch = small.sample(index, epoch)
            if is_annotated(source):
                row.append(_result_tile(pipeline, batch))
                continue
            shares = batch_shares(batch, 0, source.classes)
            if small is not pipeline and int(batch.ids[0]) == index:
                plan, targets = pipeline.sample_plan(index, epoch)
                shares = targets_shares(targets, plan, source.classes)
            picture = display(to_pictures(batch.images, small.policy)[0])
            row.append(Tile(picture, share_parts(shares)))
    heads = ["original", *(f"epoch {epoch}" for epoch in epochs)]
    title = " | ".join(filter(None, (format_policy(pipeline.policy), f"seed {pipeline.seed}")))
    return draw_grid(title, heads, rows)


def _original_tile(source: Source, index: int) -> Tile:
    pixels = original(source, index)
    picture = display(pixels)
    if not is_annotated(source):
        return Tile(picture, [f"{index}: {label_of(source, index)}"])
    size = pixels.shape[0], pixels.shape[1]
    parts, classes = annotations_of(source, index, size), source.classes
    words = words_of(parts, source.fields, classes)
    return Tile(drawn(picture, parts, source.fields, size, classes),
                [f"{index}: {words[0]}", *words[1:]], ", ")  # fmt: skip


def _result_tile(pipeline: Pipeline, batch: Batch) -> Tile:
    source: Any = pipeline.source
    picture = display(to_pictures(batch.images, pipeline.policy)[0])
    parts = row_of(batch.targets, 0)
    picture = drawn(picture, parts, source.fields, pipeline.size, source.classes)
    return Tile(picture, words_of(parts, source.fields, source.classes), ", ")


def draw_sample(pipeline: Pipeline, explanation: Explanation) -> Image.Image:
    """Return a sample before and after, with its partner if it has one, and what was done outlined.

    Yellow: what was cut from an image; blue: CutMix's box; red: what was hidden.
    """
    plan = explanation.batch.plan
    heads, tiles = ["original"], [_cut_tile(pipeline, plan, 0)]
    if explanation.partner:
        heads.append("partner")
        tiles.append(_cut_tile(pipeline, plan, int(plan.mixes.partner[0])))
    result = display(to_pictures(explanation.batch.images, pipeline.policy)[0])
    heads.append(f"epoch {explanation.epoch}")
    if is_annotated(pipeline.source):
        tiles.append(_result_tile(pipeline, explanation.batch))
    else:
        tiles.append(Tile(result, share_parts(explanation.shares)))
    marked, scale, legend = result.copy(), result.width / plan.size[1], []
    boxes = [(plan.mixes.patch, PATCH, "blue: pasted"), (plan.cutout, HOLE, "red: hidden")]
    boxes += [(box, HOLE, "red: hidden") for box in plan.all_erased.swapaxes(0, 1)]
    for column, color, meaning in boxes:
        top, left, bottom, right = map(float, column[0])
        if bottom > top and right > left:
            outline(marked, (top, left, bottom, right), scale, color)
            legend.append(meaning)
    if legend:
        heads.append("outlined")
        tiles.append(Tile(marked, list(dict.fromkeys(legend)), ", "))
    return draw_grid(f"{explanation.policy} | seed {explanation.seed}", heads, [tiles])


def _cut_tile(pipeline: Pipeline, plan: Plan, row: int) -> Tile:
    source, index = pipeline.source, int(samples_of(plan.ids)[row])
    tile, size = _original_tile(source, index), source_size(source, index)
    picture, parts = tile.picture, [*tile.parts]
    cut = region(window_of(plan, row, size), plan.size)
    if cut != (0, 0, *size):
        outline(picture, cut, picture.width / size[1], CUT)
        parts.append("yellow: cut")
    return Tile(picture, parts, ", ")


def draw_grid(title: str, heads: Sequence[str], rows: Sequence[Sequence[Tile]]) -> Image.Image:
    """Return images in rows below a title, each column under its head, each text centered."""
    columns = list(zip(*rows, strict=True))
    widths = [max(tile.picture.width for tile in column) for column in columns]
    inner = max(sum(widths) + GAP * (len(widths) - 1), NARROWEST)
    titles = wrap(title.split(" | "), " | ", inner)
    texts = [[wrap(tile.parts, tile.joint, width) for tile, width in zip(row, widths, strict=True)]
             for row in rows]  # fmt: skip
    pictures = [max(tile.picture.height for tile in row) for row in rows]
    below = [max(map(len, lines)) * LINE + GAP for lines in texts]
    head = MARGIN + (len(titles) + 1) * LINE + GAP
    canvas = Image.new("RGB", (inner + 2 * MARGIN, head + sum(pictures) + sum(below)), PAPER)
    draw = ImageDraw.Draw(canvas)
    for k, line in enumerate(titles):
        draw.text((MARGIN, MARGIN + k * LINE), line, TEXT, font=_font())
    lefts = [MARGIN + sum(widths[:k]) + GAP * k for k in range(len(widths))]
    for left, width, name in zip(lefts, widths, heads, strict=True):
        _centred(draw, name, left, width, head - LINE - 4, SOFT)
    top = head
    for row, lines, height, room in zip(rows, texts, pictures, below, strict=True):
        for tile, left, width, text in zip(row, lefts, widths, lines, strict=True):
            picture = tile.picture
            draw.rectangle((left, top, left + width - 1, top + height - 1), fill=BEHIND)
            place = left + (width - picture.width) // 2, top + (height - picture.height) // 2
            canvas.paste(picture, place)
            for k, line in enumerate(text):
                _centred(draw, line, left, width, top + height + 2 + k * LINE, TEXT)
        top += height + room
    return canvas


def wrap(parts: Sequence[str], joint: str, width: int) -> list[str]:
    """Return text in lines of at most `width` pixels, broken between its parts where it can be."""
    lines: list[str] = []
    for k, part in enumerate(parts):
        piece = part + joint.rstrip() * (k + 1 < len(parts))
        if lines and _font().getlength(f"{lines[-1]} {piece}") <= width:
            lines[-1] += f" {piece}"
            continue
        lines += _broken(piece, width)
    return lines


def _broken(text: str, width: int) -> list[str]:
    # A part that is too long by itself is broken anywhere.
    lines = [""]
    for char in text:
        if lines[-1] and _font().getlength(lines[-1] + char) > width:
            lines.append("")
        lines[-1] += char
    return lines


def _centred(
    draw: ImageDraw.ImageDraw, text: str, left: int, width: int, top: int, color: str
) -> None:
    draw.text((left + (width - _font().getlength(text)) / 2, top), text, color, font=_font())


@cache
def _font() -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(13)
