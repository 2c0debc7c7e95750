"""Which images the batches of a plan hold, and of which size in which epoch."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from augfeed.errors import WireError
from augfeed.policy import Policy
from augfeed.wire.description import Description

Shape = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class ImageTensor:
    """A tensor of a plan's batches: its name, "" for images without one, the number of its views
    of each sample, and `(C, H, W)` in the epochs from which each shape holds."""

    name: str
    views: int
    shapes: tuple[tuple[int, Shape], ...]

    @property
    def shape(self) -> Shape:
        """The shape of the first epoch."""
        return self.shapes[0][1]

    def at(self, epoch: int) -> Shape:
        """Return the shape of an epoch."""
        return next(shape for first, shape in reversed(self.shapes) if first <= epoch)

    @property
    def values(self) -> int:
        """How many values a sample has at most."""
        return self.views * max(c * h * w for _, (c, h, w) in self.shapes)

    def as_json(self) -> dict[str, Any]:
        """Return what clients are reported."""
        shapes = [{"epoch": epoch, "image_shape": [*shape]} for epoch, shape in self.shapes]
        return {"name": self.name, "views": self.views, "shapes": shapes}

    @classmethod
    def of_json(cls, told: Any) -> "ImageTensor":
        """Return what `as_json` gave; raise `WireError` for anything else."""
        try:
            shapes = [(int(one["epoch"]), *map(int, one["image_shape"])) for one in told["shapes"]]
            found = tuple((epoch, (c, h, w)) for epoch, c, h, w in shapes)
            name, views = told["name"], int(told["views"])
        except (KeyError, TypeError, ValueError) as error:
            raise WireError(f"{str(told)[:99]!r} says nothing of a tensor ({error!r})") from None
        if not isinstance(name, str) or views < 1 or not found or found[0][0] != 0:
            raise WireError(f"{str(told)[:99]!r} has no name, views and shapes from epoch 0")
        return cls(name, views, found)


def tensors_of(
    description: Description, channels: int, sizes: tuple[int, int] | None
) -> tuple[ImageTensor, ...]:
    """Return the tensors of a plan over images of one size (height, width), or of any."""
    views = description.views
    if views is None:
        return (ImageTensor("", 1, tuple(_shapes(description.policies, channels, sizes))),)
    return tuple(
        ImageTensor(name, sum(view.count for view in own),
                    tuple(_shapes([view.policy for view in own], channels, sizes)))
        for name, own in views.tensors
    )  # fmt: skip


def _shapes(
    policies: Sequence[Policy], channels: int, sizes: tuple[int, int] | None
) -> Iterator[tuple[int, Shape]]:
    # Policies of one tensor have one size in every epoch.
    last: Shape | None = None
    for epoch in sorted({epoch for policy in policies for epoch, _ in policy.scheduled}):
        shape = (channels, *policies[0].at(epoch).size(sizes))
        if shape != last:
            yield epoch, shape
        last = shape


def most_values(tensors: Sequence[ImageTensor]) -> int:
    """Return how many values all images of a sample have at most."""
    return sum(tensor.values for tensor in tensors)
