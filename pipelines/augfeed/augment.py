"""`Augment`: a module for batches that are already there, on the CPU or on a device."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch._compile import _disable_dynamo

from augfeed.augment_op import Form as GraphForm
from augfeed.augment_op import call_in_graph, fits_graph, numbered
from augfeed.engines import Engine, Output, engine_for
from augfeed.errors import InputError
from augfeed.executor import staged
from augfeed.executor.given_images import Asked, cut_on_device, pixels_of
from augfeed.fields import maps_of
from augfeed.fields.follows import blends, check_moves
from augfeed.fields.whole_batches import DeviceMoves, HostMoves
from augfeed.memory_pool import Memory
from augfeed.philox import check_key
from augfeed.plan import BatchRows, Plan, draw_plan
from augfeed.plan.counted_rows import SampleCount, counted_rows, named_rows
from augfeed.policy import Policy
from augfeed.policy.check import check_single
from augfeed.presets import resolve_policy
from augfeed.read.resident import cut_by_engine
from augfeed.read.sixteen_bits import WhiteCheck
from augfeed.targets import AnyTargets, Form, make_targets, softens
from augfeed.whole_number import whole_number

if TYPE_CHECKING:
    from augfeed.executor.counted_batches import CountedBatches

_is_exporting: Any = getattr(torch.compiler, "is_exporting", bool)  # torch 2.6 has none
_is_tracing: Any = torch.jit.is_tracing  # type: ignore[attr-defined]


@dataclass
class _LastBatch:
    # The size of its images, and its plan, which is drawn when it is asked for: by a function that
    # does not refer to the module, which would then stay until Python collects garbage.
    size: tuple[int, int]
    draw: Callable[[], Plan]

    @cached_property
    def plan(self) -> Plan:
        return self.draw()


def _draw(policy: Policy, seed: int, epoch: int, size: tuple[int, int], rows: BatchRows) -> Plan:
    policy = policy.at(epoch)
    return draw_plan(policy, rows, seed=seed, epoch=epoch, size=policy.size(size))


def _draw_counted(
    policy: Policy, seed: int, epoch: int, size: tuple[int, int], first: int, count: int
) -> Plan:
    return _draw(policy, seed, epoch, size, counted_rows(first, count))


class Augment(torch.nn.Module):
    """Augments batches of images where they are, each image by draws of its own.

    Draws are a pure function of `seed`, `epoch` and the ids of the samples, as in `DataLoader`: the
    same keys give the same bytes. Without ids, samples are counted from 0 on; the count, and
    `epoch`, are the state of the module. Samples mix within groups of 8 consecutive ones of a
    batch. `eval()` does not turn it off: call it in training only. `torch.compile` makes a node of
    its graph of a call; what depends on the epoch (a schedule of sizes), `targets="sparse"`, masks
    under Mixup and labels that are not tensors break the graph once.

    Args:
        policy: a `Policy`, or a text as `"random_resized_crop(32) | hflip | normalize(0.5, 0.5)"`.
        num_classes: width of soft targets.
        seed: the key of all draws.
        dtype: element type of the images that come out.
        channels_last: whether they have `torch.channels_last` memory.
        targets: `"auto"`, `"dense"` or `"sparse"`, as for `DataLoader`.
        engine: `"auto"`, `"cpu"`, `"cuda"` or `"portable"`.
        channels: how many channels every batch has. Without it any number is taken, but a batch
            that looks like `[B, H, W, C]` is refused: one whose last side is 1 to 4 and neither of
            the two before it, unless `normalize` or a fill of the policy has C numbers.

    Example:
        >>> augment = Augment("hflip | cutmix(1.0)", num_classes=10)
        >>> images = torch.zeros(16, 3, 32, 32, dtype=torch.uint8)
        >>> images, targets = augment(images, torch.arange(16) % 10)
        >>> images.shape, targets.shape
        (torch.Size([16, 3, 32, 32]), torch.Size([16, 10]))
    """

    def __init__(
        self,
        policy: Policy | str,
        *,
        num_classes: int | None = None,
        seed: int = 0,
        dtype: torch.dtype = torch.float32,
        channels_last: bool = False,
        targets: Form = "auto",
        engine: str = "auto",
        channels: int | None = None,
    ) -> None:
        """Check the arguments; nothing is compiled yet."""
        super().__init__()
        self.policy = Policy() if policy == "" else resolve_policy(policy)
        self.output = Output(dtype, channels_last)
        check_single(self.policy)
        self.output.check(self.policy)
        check_key(seed, 0)
        if num_classes is not None:
            num_classes = whole_number("num_classes", num_classes, 1)
        self.channels = None if channels is None else whole_number("channels", channels, 1)
        self.num_classes, self.seed, self.form, self.engine_name = (
            num_classes, seed, targets, engine)  # fmt: skip
        self._position, self._white = SampleCount(), WhiteCheck()
        self._engines: dict[torch.device, Engine] = {}
        self._memory = Memory()  # of batches of the CPU
        self._ahead: CountedBatches | None = None
        self._last: _LastBatch | None = None
        sizes = {policy.size((7, 9)) for _, policy in self.policy.scheduled}
        plain = targets == "auto" and not softens(self.policy)
        self.form_in_graphs = GraphForm(
            len(sizes) == 1, plain, targets != "sparse", not blends(self.policy), num_classes
        )
        self._name_in_graphs()

    def _epoch(self, epoch: int | None) -> int:
        return self.epoch if epoch is None else whole_number("epoch", epoch, 0)

    def set_epoch(self, epoch: int) -> None:
        """Make `epoch` that of the draws, and count samples from 0 again."""
        self.epoch, self.count = whole_number("epoch", epoch, 0), 0

    @property
    def epoch(self) -> int:
        """The epoch of the draws."""
        return self._position.epoch

    @epoch.setter
    def epoch(self, epoch: int) -> None:
        self._position.epoch = whole_number("epoch", epoch, 0)

    @property
    def count(self) -> int:
        """How many samples the epoch has had."""
        return self._position.count

    @count.setter
    def count(self, count: int) -> None:
        self._position.count = whole_number("count", count, 0)

    def get_extra_state(self) -> dict[str, int]:
        """Return the epoch and the count of samples, for `state_dict`."""
        return {"epoch": self.epoch, "count": self.count}

    def set_extra_state(self, state: dict[str, int]) -> None:
        """Take what `get_extra_state` gave."""
        if not isinstance(state, dict) or not {"epoch", "count"} <= state.keys():
            raise InputError(f"{state!r} is not the state of Augment: give that of its state_dict")
        self.epoch, self.count = state["epoch"], state["count"]

    def forward(
        self,
        images: torch.Tensor,
        labels: Any = None,
        masks: torch.Tensor | None = None,
        boxes: torch.Tensor | None = None,
        *,
        ids: Any = None,
        epoch: int | None = None,
    ) -> Any:
        """Return augmented images, or a tuple of what was given: images, targets, masks, boxes.

        Args:
            images: `[B, C, H, W]` of any number of channels, uint8, uint16 (65535 is 1), or floats
                in [0, 1] (checked on the CPU). Where C is not 3, each channel is changed as a gray
                image is; what needs red, green and blue is refused unless C is 1 or 3.
            labels: class numbers `[B]`, or shares or flags `[B, K]`.
            masks: integers or bool `[B, H, W]` or `[B, N, H, W]`; under Mixup a `MixedMask`.
            boxes: xyxy `[B, N, 4]` in pixels. They come as a pair (boxes, valid): bool `[B, N]`
                says which are left.
            ids: integers `[B]` that name the samples in place of the count.
            epoch: in place of the module's own.

        Raises:
            InputError: a value or a shape is out of bounds.
        """
        if _is_tracing() or _is_exporting():
            raise InputError(
                "a program that is exported, or traced, would repeat one batch's draws for ever: "
                "call Augment outside of what is exported, or in training only"
            )
        if not torch.compiler.is_compiling():
            return self._run(images, labels, masks, boxes, ids=ids, epoch=epoch)
        if fits_graph(self.form_in_graphs, images, labels, masks, boxes, ids):
            return call_in_graph(self._number, self._order, images, labels, masks, boxes, ids=ids,
                                 epoch=epoch)  # fmt: skip
        return self.call_eagerly(images, labels, masks, boxes, ids=ids, epoch=epoch)

    @_disable_dynamo  # as `torch.compiler.disable`, which would import the compiler with this file
    def call_eagerly(
        self, images: torch.Tensor, labels: Any = None, masks: torch.Tensor | None = None,
        boxes: torch.Tensor | None = None, *, ids: Any = None, epoch: int | None = None,
    ) -> Any:  # fmt: skip
        """Do what a call of the module does; compiled code breaks its graph here."""
        return self._run(images, labels, masks, boxes, ids=ids, epoch=epoch)

    @torch.no_grad()
    def _run(
        self, images: Any, labels: Any, masks: Any, boxes: Any, *, ids: Any, epoch: int | None
    ) -> Any:
        pixels = pixels_of(images, self._memory, self.policy, self._white, self.channels)
        if ids is None and masks is None and boxes is None:
            return self._counted(pixels, labels, epoch)
        count, *size, channels = pixels.shape
        plan = self.plan(count, (size[0], size[1]), ids=ids, epoch=epoch)
        made: list[Any] = [self._images(plan, pixels)]
        if labels is not None:
            made.append(self._targets(labels, plan))
        if masks is not None or boxes is not None:
            check_moves(self.policy, "masks and boxes", ", or give the images alone")
            on_device = self._engine(pixels.device).name == "cuda"
            moves = (DeviceMoves if on_device else HostMoves).of(plan, (size[0], size[1]), channels)
            if masks is not None:
                made.append(moves.masks(masks))
            if boxes is not None:
                made.append(moves.boxes(boxes))
        return made[0] if len(made) == 1 else tuple(made)

    def plan(
        self, count: int, size: tuple[int, int], *, ids: Any = None, epoch: int | None = None
    ) -> Plan:
        """Return the plan of the next batch of `count` images of (height, width) `size`.

        It is kept as `last`. Samples are counted, and named by their count unless `ids` are given.
        """
        if ids is not None:
            ids = ids.cpu().numpy() if isinstance(ids, torch.Tensor) else ids
            rows = named_rows(ids, count)
        first = self._position.take(count)
        if ids is None:
            rows = counted_rows(first, count)
        made = _draw(self.policy, self.seed, self._epoch(epoch), size, rows)
        self._last = _LastBatch(size, lambda: made)
        return made

    def _counted(self, pixels: torch.Tensor, labels: Any, epoch: int | None) -> Any:
        # Images, and targets, of samples without ids, which may have been planned before.
        count, height, width, channels = pixels.shape
        size, number = (height, width), self._epoch(epoch)
        first, policy = self._position.take(count), self.policy.at(number)
        draw = partial(_draw_counted, self.policy, self.seed, number, size, first, count)
        self._last = last = _LastBatch(size, draw)
        batch = None
        if self._engine(pixels.device).name == "cpu":
            if self._ahead is None:
                from augfeed.executor.counted_batches import CountedBatches

                self._ahead = CountedBatches(self._memory)
            asked = Asked(policy, self.seed, number, size, channels, self.output)
            batch = self._ahead.next(asked, first, count)
        images = self._images(last.plan, pixels) if batch is None else batch.images(pixels)
        if labels is None:
            return images
        return images, self._targets(labels, last.plan if batch is None else batch.label_plan)

    @property
    def last(self) -> Plan | None:
        """The plan of the last batch, None before the first."""
        return None if self._last is None else self._last.plan

    @property
    def matrices(self) -> torch.Tensor:
        """Float32 `[B, 3, 3]` of the last batch: output edges (x, y, 1) -> edges of the image.

        They leave out what `elastic` displaces.
        """
        if self._last is None:
            raise InputError("there are no matrices before the first batch: call the module first")
        plan = self._last.plan
        sizes = np.array([self._last.size] * len(plan), np.int64).reshape(-1, 2)
        found = [where.to_source for where in maps_of(plan, sizes)]
        return torch.from_numpy(np.array(found, np.float32).reshape(-1, 3, 3))

    def extra_repr(self) -> str:
        """Return the policy, for `print`."""
        from augfeed.notation import format_policy

        return f"{format_policy(self.policy)!r}, seed={self.seed}"

    def __getstate__(self) -> dict[str, Any]:
        position = SampleCount(self.epoch, self.count)
        return {**self.__dict__, "_engines": {}, "_last": None, "_ahead": None,
                "_position": position}  # fmt: skip

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)  # type: ignore[no-untyped-call]
        self._name_in_graphs()

    def _name_in_graphs(self) -> None:
        # A tensor of inference mode could not be written to outside of it.
        with torch.inference_mode(mode=False):
            self._number, self._order = numbered(self), torch.zeros(1, device="cpu")

    def _engine(self, device: torch.device) -> Engine:
        if device not in self._engines:
            self._engines[device] = engine_for(device, self.engine_name)
        return self._engines[device]

    def _images(self, plan: Plan, pixels: torch.Tensor) -> torch.Tensor:
        frames, offsets = self._frames(plan, pixels)
        frames = staged(plan, frames)
        engine = self._engine(pixels.device)
        if engine.name == "cpu":
            from augfeed.executor.cpu_tensors import images_of

            return images_of(plan, frames, offsets, self.output, self._memory)
        return engine.apply(plan, frames, offsets=offsets, output=self.output)

    def _frames(
        self, plan: Plan, pixels: torch.Tensor
    ) -> tuple[torch.Tensor, NDArray[np.int32] | None]:
        height, width = pixels.shape[1:3]
        if cut_by_engine(plan.policy, (height, width)):
            return pixels, plan.window.offsets(height, width)
        if pixels.device.type != "cpu":
            return cut_on_device(pixels, plan.window.at(height, width), plan)
        from augfeed.executor.cpu_tensors import cut_stack

        return cut_stack(plan, pixels, self._memory), None

    def _targets(self, labels: Any, plan: Plan) -> AnyTargets:
        # Labels keep their form when a schedule mixes nothing any more.
        over = self.form == "auto" and softens(self.policy) and not softens(plan.policy)
        form: Form = "dense" if over else self.form
        return make_targets(labels, plan, num_classes=self.num_classes, form=form)
