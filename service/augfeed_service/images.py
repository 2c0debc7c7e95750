"""The images of a request: read from safetensors or files, within limits."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import xxhash
from numpy.typing import NDArray

from augfeed.errors import ReadError, WireError
from augfeed.memory_pool import Memory
from augfeed.operation.parameter_types import MOST_CHANNELS
from augfeed.plan.batch_rows import MAX_ID
from augfeed.read.channel_axis import ALONE, channel_axis
from augfeed.read.image_frame import Encoded
from augfeed.wire import decode
from augfeed_service.problems import Problem
from augfeed_service.settings import Settings

MAGIC = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"RIFF")  # JPEG, PNG, WebP
MOST_REASONS, LONGEST_REASON = 64, 300  # in an answer, which is to stay small
Picture = NDArray[np.uint8] | Encoded


@dataclass(frozen=True, slots=True)
class Images:
    """Images uint8 `[h, w, C]`, or files whose headers were read; their labels and ids."""

    pictures: Sequence[Picture]
    labels: NDArray[Any] | None
    ids: NDArray[np.int64]
    channels: int

    @property
    def sizes(self) -> NDArray[np.int64]:
        """(height, width) of each, upright, int64 `[N, 2]`."""
        sizes = [_size(picture) for picture in self.pictures]
        return np.array(sizes, np.int64).reshape(-1, 2)

    @property
    def nbytes(self) -> int:
        """Bytes of the images as they came, and of their labels."""
        sizes = (len(p.data) if isinstance(p, Encoded) else p.nbytes for p in self.pictures)
        return sum(sizes) + (0 if self.labels is None else self.labels.nbytes)

    @property
    def size(self) -> tuple[int, int] | None:
        """(height, width) if all are of one size."""
        sizes = {_size(picture) for picture in self.pictures}
        return next(iter(sizes)) if len(sizes) == 1 else None


def _size(picture: Picture) -> tuple[int, int]:
    if isinstance(picture, Encoded):
        return picture.header.upright
    return picture.shape[0], picture.shape[1]


def invalid(detail: str, wrong: dict[int, str] | None = None) -> Problem:
    """Return the answer for images that cannot be used; `wrong` says of each which and why."""
    if wrong is None:
        return Problem(422, "invalid-images", detail)
    images: list[dict[str, Any]] = [{"index": index} for index in wrong]
    for entry, reason in zip(images[:MOST_REASONS], wrong.values(), strict=False):
        entry["detail"] = reason[:LONGEST_REASON]
    return Problem(422, "invalid-images", detail, images=images)


def from_tensors(body: Any, settings: Settings) -> Images:
    """Return the images of a safetensors body; raise `Problem`."""
    try:
        tensors, _ = decode(body)
    except WireError as error:
        raise Problem(400, "malformed", str(error)) from None
    unknown = sorted(set(tensors) - {"images", "labels", "ids"})
    if unknown or "images" not in tensors:
        raise invalid(
            f"tensors {sorted(tensors)}: send images, and labels and ids if there are any"
        )
    images = tensors["images"]
    if images.dtype != torch.uint8 or images.ndim != 4 or 0 in images.shape[1:]:
        raise invalid(
            f"images of {images.dtype} and shape {tuple(images.shape)}: send uint8 [N, H, W, C] or "
            "[N, C, H, W]"
        )
    axis = 2 if images.shape[3] in ALONE else channel_axis(images.shape[1:], tensor=True)
    if axis is None:
        raise invalid(
            f"images of shape {tuple(images.shape)} would have {images.shape[1]} channels: send "
            "[N, C, H, W] where there are not 1 or 3"
        )
    if axis == 0:
        images = images.permute(0, 2, 3, 1)
    if images.shape[3] > MOST_CHANNELS:
        raise invalid(f"images of {images.shape[3]} channels: send {MOST_CHANNELS} at most")
    _check_count(len(images), int(images.shape[1] * images.shape[2]), settings)
    array = np.ascontiguousarray(images.numpy())
    return _with_labels(
        list(array), tensors.get("labels"), tensors.get("ids"), int(array.shape[3]),
        [memoryview(picture) for picture in array],
    )  # fmt: skip


def from_files(files: Sequence[bytes], labels: Any, ids: Any, settings: Settings) -> Images:
    """Return the images of files, headers read and nothing decoded; raise `Problem`.

    JPEG, PNG and WebP are read; what cannot be is listed with its number.
    """
    if len(files) > settings.max_images:
        _check_count(len(files), 1, settings)
    memory, found, pixels = Memory(), [], 0
    wrong: dict[int, str] = {}
    for index, data in enumerate(files):
        try:
            if not data.startswith(MAGIC):
                raise ReadError(f"images[{index}]: is none of JPEG, PNG and WebP: convert it")
            one = Encoded(data, f"images[{index}]", 3, memory, settings.max_pixels)
        except ReadError as error:
            wrong[index] = str(error)
            continue
        if (taken := one.decoded_bytes()) > settings.decode_bytes:
            raise Problem(
                413, "too-large",
                f"images[{index}] takes {taken:,} bytes while it is decoded, above decode_bytes="
                f"{settings.decode_bytes:,}: scale it down",
            )  # fmt: skip
        pixels += one.header.upright[0] * one.header.upright[1]
        found.append(one)
    if wrong:
        raise invalid(f"{len(wrong)} of {len(files)} files cannot be read", wrong)
    if pixels > settings.max_request_pixels:
        raise Problem(
            413, "too-large",
            f"{pixels:,} pixels in all are above {settings.max_request_pixels:,}: send fewer",
        )  # fmt: skip
    parts = [memoryview(data) for data in files]
    return _with_labels(found, _tensor("labels", labels), _tensor("ids", ids), 3, parts)


def undecoded(images: Images) -> dict[int, str]:
    """Return which files cannot be decoded, and why."""
    wrong: dict[int, str] = {}
    for index, picture in enumerate(images.pictures):
        try:
            if isinstance(picture, Encoded):
                picture.decoded()
        except ReadError as error:
            wrong[index] = str(error)
    return wrong


def _check_count(count: int, pixels: int, settings: Settings) -> None:
    if count > settings.max_images:
        raise Problem(
            413, "too-large", f"{count:,} images are above {settings.max_images:,}: send fewer"
        )
    if pixels > settings.max_pixels or count * pixels > settings.max_request_pixels:
        raise Problem(
            413, "too-large",
            f"{count:,} images of {pixels:,} pixels are above {settings.max_pixels:,} pixels each "
            f"or {settings.max_request_pixels:,} in all: send smaller or fewer ones",
        )  # fmt: skip


def _tensor(name: str, values: Any) -> torch.Tensor | None:
    if values is None:
        return None
    try:
        return torch.tensor(values)
    except (ValueError, TypeError, RuntimeError, OverflowError) as error:
        raise invalid(f"{name} is not an array of numbers ({str(error)[:100]}): fix them") from None


def _with_labels(
    pictures: Sequence[Picture], labels: torch.Tensor | None, ids: torch.Tensor | None,
    channels: int, parts: Sequence[memoryview],
) -> Images:  # fmt: skip
    count = len(pictures)
    if not count:
        raise invalid("there are no images: send one at least")
    if ids is None:
        # A name that depends on the image alone: requests may then be repeated.
        names = [xxhash.xxh3_64_intdigest(part) % MAX_ID for part in parts]
        ids = torch.tensor(names, dtype=torch.int64)
    if ids.shape != (count,) or ids.is_floating_point() or ids.dtype == torch.bool:
        raise invalid(f"ids of {ids.dtype} and shape {tuple(ids.shape)}: send integers [{count}]")
    numbers = ids.to(torch.int64)
    if int(numbers.min()) < 0 or int(numbers.max()) >= MAX_ID:
        raise invalid(f"ids from {int(numbers.min())} to {int(numbers.max())}: use [0, 2**48)")
    array = None
    if labels is not None:
        array = labels.numpy() if labels.dtype != torch.bfloat16 else labels.float().numpy()
        if len(array.shape) not in (1, 2) or len(array) != count:
            raise invalid(f"labels of shape {tuple(labels.shape)}: send [{count}] or [{count}, K]")
        if not np.isfinite(array).all():
            raise invalid("labels are not finite: send numbers")
    return Images(pictures, array, numbers.numpy(), channels)
