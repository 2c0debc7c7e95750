"""Grids of pictures with what belongs below them."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from PIL import Image, ImageDraw, ImageFont

from augfeed.errors import InputError
from augfeed.notation import format_policy
from augfeed.pipeline import Pipeline
from augfeed.plan import CUTMIX
from augfeed.show.explain import Explanation, label_of, source_size
from augfeed.show.labels import share_parts, shares_of
from augfeed.show.pictures import display, original, outline, to_pictures
from augfeed.show.windows import region, window_of

GAP, MARGIN, LINE = 10, 16, 17
NARROWEST = 520  # of a grid, so that the line above it has room
TEXT, SOFT, PAPER = "#1c1c1c", "#6a6a6a", "white"
CUT, PATCH, HOLE = "#ffd000", "#00c8ff", "#ff4d4d"


@dataclass(frozen=True, slots=True)
class Tile:
    """A picture, and the parts of the text below it, which are joined by `+`."""

    picture: Image.Image
    parts: Sequence[str]


def preview(pipeline: Pipeline, *, indices: Sequence[int], epochs: Sequence[int]) -> Image.Image:
    """Return a grid: each row a sample, first as it is, then as it comes in each epoch.

    The label stands below each, with the share of every class in it.
    """
    if not indices or not epochs:
        raise InputError("indices and epochs must not be empty: give one of each at least")
    source = pipeline.source
    rows: list[list[Tile]] = []
    for index in indices:
        if not 0 <= index < len(source):
            raise InputError(f"index={index!r} is not in [0, {len(source)}): give a sample of it")
        rows.append([Tile(display(original(source, index)), [f"{index}: {label_of(source, index)}"])])
    for epoch in epochs:
        for row, index in zip(rows, indices, strict=True):
            batch = pipeline.sample(index, epoch)
            parts = share_parts(shares_of(batch.targets, 0, source.classes))
            row.append(Tile(display(to_pictures(batch.images, pipeline.policy)[0]), parts))
    heads = ["original", *(f"epoch {epoch}" for epoch in epochs)]
    return draw_grid(f"{_policy(pipeline)}   (seed {pipeline.seed})", heads, rows)


def draw_sample(pipeline: Pipeline, explanation: Explanation) -> Image.Image:
    """Return a sample before and after, with its partner if it has one, and what was cut outlined.

    Yellow: what was cut from a picture; blue: CutMix's box; red: what was hidden.
    """
    source, plan = pipeline.source, explanation.batch.plan
    heads, tiles = [], []
    rows = [0, int(plan.mixes.partner[0])] if explanation.partner else [0]
    for row in rows:
        index = int(plan.ids[row])
        size = source_size(source, index)
        picture = display(original(source, index))
        cut = region(window_of(plan, row, size), plan.size)
        if cut != (0, 0, *size):
            outline(picture, cut, picture.width / size[1], CUT)
        heads.append("partner" if row else "original")
        tiles.append(Tile(picture, [f"{index}: {label_of(source, index)}"]))
    result = display(to_pictures(explanation.batch.images, pipeline.policy)[0])
    marked = result.copy()
    scale = result.width / plan.size[1]
    if plan.mixes.mode[0] == CUTMIX:
        outline(marked, tuple(map(float, plan.mixes.patch[0])), scale, PATCH)
    for hidden in (plan.cutout, plan.erased):
        outline(marked, tuple(map(float, hidden[0])), scale, HOLE)
    heads += [f"epoch {explanation.epoch}"]
    tiles += [Tile(result, share_parts(explanation.shares))]
    if marked.tobytes() != result.tobytes():
        heads.append("outlined")
        tiles.append(Tile(marked, ["blue: pasted"] * int(plan.mixes.mode[0] == CUTMIX) + [""]))
    return draw_grid(f"{explanation.policy}   (seed {explanation.seed})", heads, [tiles])


def draw_grid(title: str, heads: Sequence[str], rows: Sequence[Sequence[Tile]]) -> Image.Image:
    """Return pictures in rows below a title, each column under its head, each text centred."""
    columns = list(zip(*rows, strict=True))
    widths = [max(tile.picture.width for tile in column) for column in columns]
    inner = max(sum(widths) + GAP * (len(widths) - 1), NARROWEST)
    titles = wrap(title.split(" | "), " | ", inner)
    texts = [[wrap(tile.parts, " + ", width) for tile, width in zip(row, widths, strict=True)]
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
            place = left + (width - tile.picture.width) // 2, top + (height - tile.picture.height) // 2
            canvas.paste(tile.picture, place)
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


def _policy(pipeline: Pipeline) -> str:
    return format_policy(pipeline.policy) or "no operation"


def _centred(
    draw: ImageDraw.ImageDraw, text: str, left: int, width: int, top: int, color: str
) -> None:
    draw.text((left + (width - _font().getlength(text)) / 2, top), text, color, font=_font())


@cache
def _font() -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(13)
