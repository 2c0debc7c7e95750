"""`DataLoader.explain`: which lane, why, and what each stage runs on and costs."""

from typing import Any

from torch.utils.data import DataLoader

from augfeed.feed.lanes import Lane
from augfeed.feed.loader_state import LoaderState
from augfeed.feed.native_lane import NativeLane
from augfeed.feed.schedule import split_of
from augfeed.notation import format_policy
from augfeed.pipeline import Pipeline
from augfeed.read.skipped_files import summary

# What torch's loader does with worker processes, and the native lane has none.
_OF_WORKERS = {
    "timeout": 0,
    "worker_init_fn": None,
    "multiprocessing_context": None,
    "persistent_workers": False,
    "in_order": True,
}


def explained(state: LoaderState) -> str:
    """Return some lines for people."""
    if (lane := state.lane) is None:
        return "lane: torch (no policy is given, so everything is as torch's DataLoader does it)"
    lines = [f"lane: {lane.name} ({lane.reason})", f"order: {_order(state)}", *_asked(state)]
    if isinstance(lane, NativeLane):
        lines += _native(state.loader, lane)
    else:
        lines += _general(state.loader.num_workers, lane)
    return "\n".join(lines)


def _asked(state: LoaderState) -> list[str]:
    # Views, repeats, and how the policy changes by epoch.
    lines = []
    if state.views is not None:
        parts = [f"{part.count} of {part.name or 'the images'}: {format_policy(part.policy)}"
                 for part in state.views.parts]  # fmt: skip
        shared = f"; all draw together: {', '.join(state.views.share)}" * bool(state.views.share)
        lines.append(f"views: {state.views.count} of each sample{shared}")
        lines += [f"  {line}" for line in parts]
    if state.repeats.count > 1:
        where = "a batch" if state.repeats.over == "batch" else "a step, over its ranks"
        lines.append(f"repeats: each sample comes {state.repeats.count} times in {where}")
    if state.policy is not None and len(stages := state.policy.scheduled) > 1:
        lines.append("schedule: " + "; ".join(
            f"from epoch {epoch} on {format_policy(policy)}" for epoch, policy in stages
        ))  # fmt: skip
    return lines


def _order(state: LoaderState) -> str:
    sampler = state.sampler
    kind = type(sampler).__name__
    seed = f"seed={state.seed}" if state.seed is not None else "torch's generator"
    if not getattr(sampler, "augfeed_own", False):
        order = f"as the given {kind} says"
    elif kind in ("SequentialSampler", "InOrder"):
        order = "that of the dataset"
    elif state.seed is None:
        order = "shuffled by torch's generator"
    else:
        order = f"shuffled, a function of {seed} and the epoch"
    rank, world = state.rank_and_world
    ours = f"; rank {rank} of {world}" if world > 1 and split_of(state) else ""
    return f"{order}; augmentation keyed by {seed}{ours}"


def _native(loader: DataLoader[Any], lane: NativeLane) -> list[str]:
    pipeline, threads = lane.pipeline, loader.num_workers
    where = f"{threads} threads of this process" if threads else "the calling thread"
    if pipeline.in_memory:
        read = f"read: nothing to do, the images lie in memory{_resident(pipeline)}"
    else:
        read = f"read: files or arrays are {_by(pipeline, where)}{_kept(pipeline)}"
    left = summary(getattr(pipeline.source, "skipped", {}))
    lines = [f"of the dataset {left}"] if left else []
    lines += [read + _cost(lane, "read"), _augment(lane, lane.config.place.engine_name, where)]
    unused = [name for name, default in _OF_WORKERS.items() if getattr(loader, name) != default]
    if unused:
        lines.append(f"without effect, as there are no worker processes: {', '.join(unused)}")
    return [*lines, _delivery(lane)]


def _by(pipeline: Pipeline, where: str) -> str:
    if pipeline.reader == "cpu":
        return f"decoded, cut and resized in {where}"
    return f"opened in {where}; NVIDIA DALI decodes JPEGs on {pipeline.place.device}"


def _kept(pipeline: Pipeline) -> str:
    cache = pipeline.reading.kept
    if not pipeline.kept_side or cache is None:
        return ""
    places = {"ram": "in memory", "gpu": f"in the memory of {pipeline.place.device}"}
    place = places.get(cache.kind) or f"in {cache.place()}"
    return f", and kept {place} with a short side of {pipeline.kept_side} pixels"


def _resident(pipeline: Pipeline) -> str:
    place = pipeline.place
    if place.known.type == "cpu" or place.resident is False:
        return ""
    if place.resident:
        return f" and are copied to that of {place.device} once"
    if place.known.type != "cuda":
        return ""
    return f" and are copied to that of {place.device} once if they take a quarter of it or less"


def _general(workers: int, lane: Lane) -> list[str]:
    where = f"{workers} worker processes of torch's" if workers else "this process"
    fetch = f"fetch: samples are taken from the dataset, cut, resized and collated in {where}"
    augment = _augment(lane, lane.config.place.engine_name, "this process")
    return [fetch + _cost(lane, "read"), augment, _delivery(lane)]


def _augment(lane: Lane, engine: str, where: str) -> str:
    return f"augment: by the {engine} engine in {where}{_cost(lane, 'augment')}"


def _delivery(lane: Lane) -> str:
    config = lane.config
    layout = "channels last" if config.output.channels_last else "[B, C, H, W]"
    dtype = str(config.output.dtype).removeprefix("torch.")
    return f"deliver: {dtype}, {layout}, on {config.place.device}"


def _cost(lane: Lane, stage: str) -> str:
    each = lane.costs.each(stage)
    if each is None:
        return ""
    count = lane.costs.stages[stage][1]
    return f" - {each * 1e6:,.1f} us a sample so far ({count:,} samples)"
