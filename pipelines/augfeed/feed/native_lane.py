"""The native lane: threads of this process read and augment; there are no worker processes."""

from collections import deque
from collections.abc import Callable, Iterator
from functools import partial
from itertools import islice
from typing import Any

from torch.utils.data import DataLoader as TorchLoader

from augfeed.batch import Batch
from augfeed.errors import ReadError
from augfeed.executor import Group, Work
from augfeed.feed.batch_requests import BatchRequest
from augfeed.feed.lanes import AugmentConfig, LoadedBatch, PassRequest
from augfeed.feed.shuffle import foreseen
from augfeed.pipeline import Pipeline
from augfeed.prefetch import Prefetcher
from augfeed.read.datasets import Recognised
from augfeed.read.read_errors import LOG
from augfeed.read.sources import Source
from augfeed.stage_costs import Costs
from augfeed.task_threads import KeptThreads
from augfeed.view_pipeline import ViewPipeline

GROUPS_AHEAD, GROUPS_AHEAD_ON_DEVICE = 4, 2  # of batches made together, which take memory meanwhile


class NativeLane:
    """Our own threads read and augment; no worker processes."""

    name = "native"

    def __init__(self, config: AugmentConfig, recognised: Recognised, reason: str) -> None:
        """Build the pipeline, which checks that policy, data and output fit each other."""
        self.recognised, self.reason = recognised, reason
        self.config, self.pipeline = config, self._build(config, recognised)
        self._threads = KeptThreads()

    @property
    def costs(self) -> Costs:
        """What the stages took so far."""
        return self.pipeline.costs

    @staticmethod
    def _build(config: AugmentConfig, recognised: Recognised) -> Pipeline:
        given: dict[str, Any] = {
            "output": config.output, "targets": config.form, "place": config.place,
            "reading": config.reading,
        }  # fmt: skip
        pipeline = (
            Pipeline(recognised.source, config.policy, **given)
            if config.views is None
            else ViewPipeline(recognised.source, config.views, **given)
        )
        pipeline.declare(config.num_classes)
        return pipeline

    @property
    def source(self) -> Source:
        """The dataset."""
        return self.recognised.source

    @property
    def ended(self) -> Callable[[int], None]:
        """What says, at the end of an epoch, what could not be read in it."""
        return self._report

    def open(self, loader: TorchLoader[Any], asked: PassRequest) -> "Threads":
        """Return the batches of the requests of a pass; raise `InputError` if the dataset is not
        what it was."""
        self.recognised.parts.check()
        if self.pipeline.device != self.config.place.known:
            self.pipeline = self._build(self.config, self.recognised)
        pipeline = self.pipeline
        pipeline.begin()
        pipeline.log.begin(asked.key[1])
        threads, most, kept = loader.num_workers, GROUPS_AHEAD, None
        if pipeline.whole_batches and pipeline.engine_name != "cpu":
            # The device makes the pixels. What is left is Python, and several threads only take it
            # from one another. One stays; several, which are woken at once, would share a core for
            # a while, where new ones are spread over all.
            threads, most, kept = min(threads, 1), GROUPS_AHEAD_ON_DEVICE, self._threads
        each = max(1, threads) if pipeline.whole_batches else 1
        ahead = (loader.prefetch_factor or 2) * each
        # On a CPU as torch does: without threads no batch is begun before it is asked for, and of a
        # sampler of the user's no more is read ahead than `prefetch_factor` says.
        known, on_cpu = foreseen(loader.batch_sampler), pipeline.engine_name == "cpu"
        requests, alone = asked.requests(), threads == 0 and on_cpu
        works: Iterator[Work[BatchRequest]]
        if alone:
            together = pipeline.planned_together if known else _alone
            lazily = partial(pipeline.works_of, lazily=pipeline.whole_batches)
            works = map(lazily, _grouped(requests, together))
        elif pipeline.together(1) > 1 and (known or not on_cpu):
            groups = _grouped(requests, pipeline.together)
            works = pipeline.planned_ahead(groups) if on_cpu else map(pipeline.works_of, groups)
            ahead = min(ahead, max(most, threads + 1))
        else:
            works = map(pipeline.works_of, _grouped(requests, _alone))
        prefetcher = Prefetcher(works, threads=threads, ahead=ahead, kept=kept)
        return Threads(prefetcher, self._output, alone=asked.world == 1)

    def _report(self, epoch: int) -> None:
        skipped = self.config.reading.on_error == "skip"
        if report := self.pipeline.log.report(epoch, skipped=skipped):
            LOG.warning(report)

    def _output(self, batch: Batch) -> Any:
        # In the form of the dataset's own samples.
        parts = [batch.given, batch.targets]
        keys = self.recognised.keys
        if keys is None:
            return parts
        if keys[1] is None:
            del parts[1]
        if issubclass(self.recognised.form, dict):
            return dict(zip(keys, parts, strict=False))
        return [parts[key] for key in sorted(range(len(parts)), key=lambda k: keys[k])]


def _alone(count: int) -> int:
    return 1


def _grouped(
    requests: Iterator[BatchRequest], together: Callable[[int], int]
) -> Iterator[list[BatchRequest]]:
    # Batches that are made, or planned, as one: of any number but one for a dataset in memory.
    sizes: dict[int, int] = {}
    for request in requests:
        group, error, count = [request], None, request.rows.count
        if count not in sizes:
            sizes[count] = together(count)
        try:
            for other in islice(requests, sizes[count] - 1):
                group.append(other)
        except Exception as caught:  # of a sampler: the batches before it come first
            error = caught
        yield group
        if error is not None:
            raise error


class Threads:
    """Batches from our own threads."""

    def __init__(
        self,
        works: Prefetcher[Group[BatchRequest]],
        form: Callable[[Batch], Any],
        *,
        alone: bool,
    ) -> None:
        """Take the prefetcher, whose pieces are one batch or more, and what brings a batch into the
        form of the dataset; `alone` without other ranks."""
        self._works, self._form, self._alone = works, form, alone
        self._left = deque[tuple[Group[BatchRequest], int]]()

    def __iter__(self) -> "Threads":
        return self

    def __next__(self) -> LoadedBatch:
        while True:
            if not self._left:
                group = next(self._works)
                self._left.extend((group, k) for k in range(len(group)))
            group, k = self._left.popleft()
            batch, request = group.take(k), group.requests[k]
            if len(batch):
                return LoadedBatch(self._form(batch), batch, request)
            if not self._alone:
                # The other ranks have a batch here, and would wait for this one for ever.
                raise ReadError(
                    f"batch {request.step} has no image that can be read, and on_error='skip' "
                    "leaves nothing of it: use on_error='replace' with several ranks"
                )
