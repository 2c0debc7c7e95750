"""A row of views for each sample, beside the image that they are cut of."""

from collections.abc import Sequence

import torch
from PIL import Image

from augfeed.batch import Batch
from augfeed.errors import InputError
from augfeed.show.explain import label_of
from augfeed.show.grid import CUT, HOLE, PATCH, Tile, draw_grid
from augfeed.show.images import display, original, outline, to_pictures
from augfeed.view_notation import format_views
from augfeed.view_pipeline import ViewPipeline

COLORS = {"yellow": CUT, "blue": PATCH, "red": HOLE}


def preview_views(pipeline: ViewPipeline, *, indices: Sequence[int], epoch: int) -> Image.Image:
    """Return a grid: each row a sample, first as it is, then its views as they come in an epoch.

    Windows are outlined in the original, those of each tensor in a color of its own, and views keep
    their sizes beside each other. Raises `InputError` for a sample that is not there.
    """
    if not indices:
        raise InputError("indices must not be empty: give one at least")
    views = pipeline.views
    rows = [_row(pipeline, index, epoch) for index in indices]
    heads = ["original"]
    for name, own in views.tensors:
        count = sum(view.count for view in own)
        heads += [f"{name or 'view'} {k}" for k in range(count)]
    title = [views.name or format_views(views), f"epoch {epoch}", f"seed {pipeline.seed}"]
    return draw_grid(" | ".join(title), heads, rows)


def _row(pipeline: ViewPipeline, index: int, epoch: int) -> list[Tile]:
    batch, source = pipeline.sample(index, epoch), pipeline.source
    if int(batch.ids[0]) != index:
        raise InputError(f"sample {index} cannot be read: show another with --index")
    side = max(max(view.images.shape[2:]) for view in batch.views.values())
    pixels = original(source, index)
    marked, legend = _marked(display(pixels), pixels.shape[1], batch)
    row = [Tile(marked, [f"{index}: {label_of(source, index)}", *legend], ", ")]
    for number, image in enumerate(_images(batch)):
        policy = pipeline.views.part_of(number).policy
        row.append(Tile(display(to_pictures(image[None], policy)[0], side), []))
    return row


def _images(batch: Batch) -> list[torch.Tensor]:
    return [image for view in batch.views.values() for image in view.images]


def _marked(shown: Image.Image, width: int, batch: Batch) -> tuple[Image.Image, list[str]]:
    colors, legend = list(COLORS.items()), list[str]()
    for k, (name, view) in enumerate(batch.views.items()):
        word, color = colors[k % len(colors)]
        for top, left, high, wide in view.windows.tolist():
            outline(shown, (top, left, top + high, left + wide), shown.width / width, color)
        legend.append(f"{word}: {name}" if name else f"{word}: cut")
    return shown, legend
