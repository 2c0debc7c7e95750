"""`MapBatches`: a policy for `ray.data.Dataset.map_batches`."""

import math
from functools import partial
from typing import Any, cast

import numpy as np
import ray
import torch
from numpy.typing import NDArray

from augfeed.engines import Output, Place, engine_for
from augfeed.engines.cpu import Job, allocate, job_of
from augfeed.errors import InputError, InputTypeError
from augfeed.executor import staged
from augfeed.executor.cpu import spread
from augfeed.memory_pool import Memory
from augfeed.philox import check_key
from augfeed.plan import BatchRows, Plan, draw_plan
from augfeed.plan.policy_constants import PolicyConstants
from augfeed.policy import Normalize, Policy
from augfeed.policy.check import check_single
from augfeed.presets import resolve_policy
from augfeed.ray.pictures import PictureFrames, Pictures
from augfeed.read.decode import Channels
from augfeed.read.image_frame import Encoded
from augfeed.read.read_errors import RowSources
from augfeed.targets import Form, make_targets, softens
from augfeed.whole_number import whole_number

Columns = dict[str, Any]


class MapBatches:
    """Augments the batches of a Ray dataset: columns `image`, `label` and `id` in, arrays out.

    ```python
    dataset.map_batches(
        augfeed.ray.MapBatches, fn_constructor_kwargs={"policy": "imagenet(224)", "seed": 0},
        batch_size=256, num_cpus=4, concurrency=(1, 8),
    )
    ```

    `image` holds encoded files (bytes, of which only what is shown is decoded; `channels` 1 or 3)
    or uint8 `[H, W]` or `[H, W, C]`, C as `channels` says; `label`, which may be missing, class
    numbers or rows of shares; `id` whole numbers in [0, 2**48). What comes out: `image`
    `[B, C, H, W]` (with `channels_last` `[B, H, W, C]`), `label` int64 `[B]` or float32
    `[B, num_classes]`, and all other columns as they were. `dtype` is uint8 by default, and float32
    for a policy that normalizes; NumPy has no bfloat16. `policy="evaluation"` is what models are
    tested with: nothing in it is random.

    The draws of a sample are a pure function of `seed`, `epoch` and `id`: those that
    `augfeed.DataLoader` has for the sample of that number, in whichever block, on whichever node,
    and once more after a node is lost. Ray Data decides the rest. Batches come in the order of
    Ray's, unless its `preserve_order` is set. Partners of `mixup` and `cutmix` are neighbors in the
    batch that `map_batches` gives, so that they are other ones where blocks are cut in another
    way; a group has 8 samples, so give a `batch_size` that 8 divides, and repartition before.
    Iterators of Ray Data cannot be resumed in mid-epoch. `augfeed.ray.RayLoader` promises all
    three.

    Raises `InputError` for columns that are missing or cannot be used, `ReadError` for files.
    """

    def __init__(
        self, policy: Policy | str, *, seed: int = 0, epoch: int = 0,
        num_classes: int | None = None, dtype: torch.dtype | None = None,
        channels_last: bool = False, channels: int = 3, device: str = "cpu",
    ) -> None:  # fmt: skip
        """Check the arguments; nothing is compiled yet."""
        self.policy = resolve_policy(policy)
        check_single(self.policy)
        self.seed = whole_number("seed", seed, 0)
        self.epoch = whole_number("epoch", epoch, 0)
        check_key(self.seed, self.epoch)
        if num_classes is not None:
            whole_number("num_classes", num_classes, 1)
        self.num_classes = num_classes
        self.channels = whole_number("channels", channels, 1)
        PolicyConstants.of(self.policy, channels)
        if dtype is None:
            dtype = torch.float32 if self.policy.find(Normalize) else torch.uint8
        if dtype == torch.bfloat16:
            raise InputError(
                f"dtype={dtype!r}: NumPy, and so Ray Data, has no bfloat16: use float16"
            )
        self.output = Output(dtype, channels_last)
        self.output.check(self.policy)
        self.place = Place(device)
        self.place.check()
        self._memory = Memory()

    def __call__(self, columns: Columns) -> Columns:
        """Return a batch of Ray Data's, augmented."""
        images, ids = _column(columns, "image"), _ids(columns)
        labels = columns.get("label")
        pictures = [self._picture(image, f"id {name}")
                    for image, name in zip(images, ids.tolist(), strict=True)]  # fmt: skip
        made = dict(columns)
        if not pictures:
            return {**made, **self._empty(labels)}
        given = Pictures.of(pictures, self.channels)
        plan = draw_plan(
            self.policy, BatchRows.of(ids), seed=self.seed, epoch=self.epoch,
            size=self.policy.size(given.sizes),
        )  # fmt: skip
        batch = self._augmented(plan, self._frames(plan, given, ids))
        made["image"] = (batch.permute(0, 2, 3, 1) if self.output.channels_last else batch).numpy()
        if labels is not None:
            form: Form = "auto"
            targets: Any = make_targets(
                _labels(labels), plan, num_classes=self.num_classes, form=form
            )
            made["label"] = targets.numpy()
        return made

    def _empty(self, labels: Any) -> Columns:
        # What an empty block becomes has the shape of all others.
        height, width = self.policy.size((1, 1))
        shape: tuple[int, ...] = (0, self.channels, height, width)
        if self.output.channels_last:
            shape = (0, height, width, self.channels)
        made: Columns = {"image": torch.empty(shape, dtype=self.output.dtype).numpy()}
        if labels is not None and softens(self.policy):
            made["label"] = np.empty((0, self.num_classes or 0), np.float32)
        return made

    def _picture(self, image: Any, name: str) -> Any:
        if isinstance(image, bytes | bytearray | memoryview):
            if self.channels not in (1, 3):
                raise InputTypeError(
                    f"image of {name} is an encoded file, which has 1 or 3 channels, and channels="
                    f"{self.channels!r}: give uint8 [H, W, {self.channels}], or channels=3"
                )
            return Encoded(bytes(image), name, cast(Channels, self.channels), self._memory)
        array = np.asarray(image)
        array = array[..., None] if array.ndim == 2 else array
        if array.dtype != np.uint8 or array.ndim != 3 or array.shape[2] != self.channels:
            raise InputTypeError(
                f"image of {name} has dtype {array.dtype} and shape {array.shape}: give encoded "
                f"bytes, or uint8 [H, W, {self.channels}], or other `channels`"
            )
        return array

    def _frames(self, plan: Plan, batch: Pictures, ids: NDArray[np.int64]) -> NDArray[np.uint8]:
        frames = PictureFrames(batch, ids, self.policy, self._memory)
        out = np.empty((len(batch), *plan.size, self.channels), np.uint8)
        taken = RowSources.of(plan.ids)

        def show(rows: NDArray[np.int64]) -> None:
            frames.read(plan, rows, taken, out[rows[0] : rows[-1] + 1])

        spread(show, _parts(len(batch)))
        return out

    def _augmented(self, plan: Plan, frames: NDArray[np.uint8]) -> torch.Tensor:
        device = self.place.known
        images = staged(plan, torch.from_numpy(frames).to(device))
        if device.type != "cpu":
            return engine_for(device).apply(plan, images, output=self.output).cpu()
        pixels = np.ascontiguousarray(images.numpy())
        out, batch = allocate(plan.count, self.channels, plan.size, self.output)
        job = job_of(plan, PolicyConstants.of(self.policy, self.channels), self.output)
        spread(partial(_run, job, pixels, out), _parts(plan.count))
        return batch


def _run(job: Job, pixels: NDArray[Any], out: NDArray[Any], rows: NDArray[np.int64]) -> None:
    job.run(pixels, rows, out)


def _parts(count: int) -> list[NDArray[np.int64]]:
    return np.array_split(np.arange(count), min(threads(), count))


def threads() -> int:
    """Return how many cores Ray has reserved for the actor or task that asks; 1 outside of one."""
    context = ray.get_runtime_context() if ray.is_initialized() else None
    if context is None or context.worker.mode != ray.WORKER_MODE:  # a driver has none reserved
        return 1
    reserved: dict[str, float] = context.get_assigned_resources()
    return max(1, math.floor(reserved.get("CPU", 1)))


def _column(columns: Columns, name: str) -> Any:
    if name not in columns:
        cure = {
            "image": 'rename it by `rename_columns`, as {"bytes": "image"} of read_binary_files',
            "id": "every sample needs a number of its own, which names its draws: write it with "
                  "the data, or `zip` with `ray.data.range`",
        }[name]  # fmt: skip
        raise InputError(f"the batch has columns {sorted(columns)} and no {name!r}: {cure}")
    return columns[name]


def _ids(columns: Columns) -> NDArray[np.int64]:
    ids = np.asarray(_column(columns, "id"))
    if ids.ndim != 1 or ids.dtype.kind not in "iu":
        raise InputTypeError(f"column 'id' has dtype {ids.dtype} and shape {ids.shape}: give int64")
    return ids.astype(np.int64)


def _labels(labels: Any) -> torch.Tensor:
    array = np.asarray(labels)
    if array.dtype == object:  # rows of lists
        array = np.stack([np.asarray(row) for row in array])
    if array.dtype.kind not in "biuf":
        raise InputTypeError(
            f"column 'label' has dtype {array.dtype}: give class numbers, or rows of shares"
        )
    return torch.from_numpy(np.array(array))
