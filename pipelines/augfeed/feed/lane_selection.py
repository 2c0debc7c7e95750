"""Which lane a loader takes, and other decisions at its construction."""

import os
from collections.abc import Callable, Sequence, Sized
from dataclasses import dataclass, replace
from functools import partial
from inspect import signature
from typing import Any, get_args

import numpy as np
import torch
from torch.utils.data import DataLoader as TorchLoader
from torch.utils.data import (
    Dataset,
    IterableDataset,
    IterDataPipe,
    MapDataPipe,
    default_collate,
    default_convert,
)
from torch.utils.data._utils.collate import collate as collate_by
from torch.utils.data._utils.collate import default_collate_fn_map

from augfeed.datasets.annotated_images import AnnotatedImages
from augfeed.engines import known_device
from augfeed.errors import InputError, InputTypeError
from augfeed.feed.fields import FieldOptions
from augfeed.feed.general_lane import GeneralLane, recipe_for
from augfeed.feed.lanes import AugmentConfig, Lane
from augfeed.feed.named_parts import NamedParts
from augfeed.feed.native_lane import NativeLane
from augfeed.feed.spatial import passive_of
from augfeed.fields.annotated import check_fields
from augfeed.invariances import ANY, Invariances
from augfeed.pipeline import Form
from augfeed.policy import Policy
from augfeed.policy.check import check_policy
from augfeed.presets import resolve_policy
from augfeed.read.annotation import is_annotated
from augfeed.read.cache_dir import expanded
from augfeed.read.datasets import Recognised, known_name, native_source
from augfeed.read.huggingface import check_single
from augfeed.read.protocols import is_source
from augfeed.read.read_config import Reading
from augfeed.read.sources import (
    check_split,
    is_file_list,
    open_source,
)
from augfeed.targets import softens
from augfeed.views import Views, resolve_views
from augfeed.whole_number import whole_number

CURE = (
    "this loader's policy would be left out: something (Accelerate's skip_first_batches does it) "
    "has rebuilt a plain torch DataLoader from the attributes of an augfeed.DataLoader. Keep the "
    "loader and let it skip by itself:\n"
    "    loader.skip(number_of_batches)      # or loader.load_state_dict(state)\n"
    "    for batch in loader: ...\n"
    "or build it again from its class: augfeed.DataLoader(..., policy=...). Hugging Face's Trainer "
    "resumes with callbacks=[augfeed.integrations.transformers.ResumeCallback()]. With Ray Train "
    "do without prepare_data_loader: shard='auto' splits epochs over the workers, and device= is "
    "where batches go"
)


class GuardedCollate:
    """The `collate_fn` that an augmenting loader shows: anyone who takes it alone gets an error.

    A stock loader that is rebuilt from the attributes would give out images that are not
    augmented, without a word.
    """

    def __init__(self, given: Any) -> None:
        """Take the caller's function, if there is one."""
        self.given = given

    def __call__(self, samples: Any) -> Any:
        """Raise `InputError`."""
        raise InputError(CURE)


def guarded(collate: Any) -> GuardedCollate:
    """Return what stands for a collate function in an augmenting loader."""
    return GuardedCollate(collate)


def check_collate(held: Any, value: Any, kind: str) -> None:
    """Raise `ValueError` where a built loader is given another collate function.

    `held` is the one that it shows. Its lane was chosen by, and goes on with, its first.
    """
    if isinstance(held, GuardedCollate) and value is not held:
        raise ValueError(
            f"collate_fn attribute should not be set after {kind} is initialized with a policy, "
            "which would leave it out: build the loader with collate_fn="
        )


def given_collate(collate: Any, *, batched: bool) -> Any:
    """Return the caller's own collate function; None where it is what torch takes by itself.

    An augmenting loader's own may have been passed on.
    """
    given = collate.given if isinstance(collate, GuardedCollate) else collate
    plain: Any = given
    if isinstance(given, partial) and _binds_nothing(given):
        plain = default_collate if given.func is collate_by else given.func
    default = plain is default_collate or (plain is default_convert and not batched)
    return None if default else given


def _binds_nothing(given: partial[Any]) -> bool:
    # `default_collate` is `collate` with torch's own table.
    bound = {"collate_fn_map": default_collate_fn_map} if given.func is collate_by else {}
    return not given.args and given.keywords == bound


def policy_of(policy: Any, dataset: Any) -> Policy | None:
    """Return the policy that is meant, None without one; "" is one that changes nothing."""
    if policy is None:
        if isinstance(dataset, os.PathLike) or (isinstance(dataset, str) and _exists(dataset)):
            raise InputError(
                f"dataset={str(dataset)!r} is a path, which needs a policy: give one, or policy='' "
                "for images as they are"
            )
        return None
    return Policy() if isinstance(policy, str) and not policy else resolve_policy(policy)


def views_of(views: Any, policy: Any) -> Views | None:
    """Return the views that are meant, None without any."""
    return None if views is None else resolve_views(views, policy)


def _exists(text: str) -> bool:
    try:
        return os.path.exists(expanded(text))
    except ValueError:
        return False


# Options of what comes of a policy. Those that describe the dataset, or how it is read, may stand
# where the policy is left out for comparison.
OF_A_POLICY = ("device", "dtype", "channels_last", "targets", "split", "on_error")


def refuse_unused(loader: TorchLoader[Any], built_by: Callable[..., None]) -> None:
    """Raise `InputError` for options that a loader without a policy would leave out."""
    known = signature(built_by).parameters
    for name in OF_A_POLICY:
        value, default = getattr(loader, name), known[name].default
        on_cpu = name == "device" and value is not None and known_device(value).type == "cpu"
        if not (on_cpu or value == default):
            raise InputError(
                f"{name}={value!r} does nothing without a policy: give one, or policy='' for "
                f"images as they are, or leave {name} out"
            )


def check_workers(num_workers: Any, prefetch_factor: Any) -> None:
    """Raise `InputTypeError` for what does not count; torch says what is too small."""
    for name, value in (("num_workers", num_workers), ("prefetch_factor", prefetch_factor)):
        if value is not None and not isinstance(value, bool):
            whole_number(name, value)


def wants_order(dataset: object, sampler: object, batch_sampler: object) -> bool:
    """Return whether the loader is to make its own sampler."""
    return sampler is None and batch_sampler is None and not isinstance(dataset, IterableDataset)


@dataclass(frozen=True, slots=True)
class LaneOptions:
    """What a caller says of a dataset: see `DataLoader`."""

    split: str = "train"
    image_key: Any = None
    label_key: Any = None
    passive: Any = None
    fields: Any = None
    invariances: Invariances | str | None = None
    allow: Sequence[str] = ()

    @property
    def keys(self) -> tuple[Any, Any]:
        """Where image and label are in a sample."""
        return self.image_key, self.label_key


def lane_for(
    options: LaneOptions, dataset: Any, collate: Any, batch_size: int | None, config: AugmentConfig
) -> Lane:
    """Return the lane for a dataset; raise what would make every batch fail."""
    if isinstance(dataset, IterDataPipe | MapDataPipe):
        raise InputTypeError(
            f"dataset of type {type(dataset).__name__!r} is a data pipe, which a policy cannot be "
            "applied to: give the dataset inside it, or leave policy out"
        )
    if config.form not in get_args(Form):
        raise InputError(f"targets={config.form!r} is unknown: use one of {get_args(Form)}")
    check_single(dataset)
    check_split(dataset, options.split)
    passive_of(options.passive)
    FieldOptions.of(options.fields)
    if config.num_classes is not None:
        config = replace(config, num_classes=whole_number("num_classes", config.num_classes, 1))
    found = _native(dataset, options, collate, batch_size, config)
    if isinstance(found, str):
        lane: Lane = _general(options, dataset, collate, config, found)
        name, sizes = known_name(dataset), None
    else:
        lane = NativeLane(config, found, f"{_kind(dataset)} is recognized, without a transform")
        name, sizes = found.source.name, found.source.sizes
    known = name if config.views is None else None  # nobody trains on the labels of views
    for policy in config.policies:
        for rules in (options.invariances, policy.invariances, known, ANY):
            if rules is not None:
                check_policy(policy, rules, allow=options.allow, source=sizes)
    return lane


def _native(
    dataset: Any, options: LaneOptions, collate: Any, batch_size: int | None, config: AugmentConfig
) -> Recognised | str:
    if isinstance(dataset, IterableDataset):
        return "an iterable dataset cannot be asked for a sample by its number"
    source = dataset
    plain = _is_raw(dataset) or is_source(dataset)
    if plain and not is_annotated(dataset):
        image_key, label_key = options.keys
        source = open_source(dataset, split=options.split, image_key=image_key, label_key=label_key)
    if is_annotated(source):
        return _annotated(dataset, source, options, collate, batch_size, config)
    if plain:
        if options.fields:
            raise InputError(
                f"fields={options.fields!r} are for datasets whose samples have parts, and "
                f"{_kind(dataset)} is not one: give a torch.utils.data.Dataset"
            )
        if passive_of(options.passive):
            raise InputError(
                f"passive={options.passive!r} names parts of samples, and those of "
                f"{_kind(dataset)} have none beside image and label: leave it out"
            )
        return Recognised(source, None, tuple)
    if collate is not None:
        return "collate_fn is to see the samples"
    if batch_size is None:
        return "batch_size=None: samples come alone"
    if options.fields:
        return "fields say what follows the image"
    if config.policy.needs_fields:
        return f"{config.policy.needs_fields} needs the boxes or masks of samples"
    if options.keys != (None, None):
        return "image_key or label_key say where to look in a sample"
    found = native_source(dataset)
    if isinstance(found, Recognised) and found.keys is not None:
        keys = [key for key in found.keys if key is not None]
        sample: Any = dict.fromkeys(keys, 0) if issubclass(found.form, dict) else (0,) * len(keys)
        NamedParts.of(passive_of(options.passive), ()).check([sample])
    if isinstance(found, Recognised) and found.keys is not None and not softens(config.policy):
        labels = found.source.labels
        if config.form == "auto" and labels is not None and labels.ndim == 2:
            given = torch.as_tensor(dataset[0][found.keys[1]]).dtype
            if given != torch.float32:
                return f"its labels are rows of {given}, which are not softened and stay so"
    return found


def _annotated(
    dataset: Any, source: Any, options: LaneOptions, collate: Any, batch_size: int | None,
    config: AugmentConfig,
) -> Recognised | str:  # fmt: skip
    # A source with annotations, given as it is or by a path to it.
    if options.fields:
        source = source.with_fields(options.fields)
    if source is dataset or isinstance(dataset, Dataset):
        if collate is not None:
            return "collate_fn is to see the samples"
        if batch_size is None:
            return "batch_size=None: samples come alone"
        if options.keys != (None, None):
            return "image_key or label_key say where to look in a sample"
        if options.passive:
            return "passive= says what stays as it is"
    elif passive_of(options.passive):
        raise InputError(
            f"passive={options.passive!r} does not go with {_kind(dataset)}, whose masks and boxes "
            f"follow: give augfeed.datasets.{type(source).__name__}(...) itself"
        )
    check_fields(config.policy, source.fields)
    return Recognised(source, (0, 1), tuple)


def _is_raw(dataset: Any) -> bool:
    # What is not a dataset to torch: a path, an array, a pair of arrays.
    if isinstance(dataset, str | os.PathLike | np.ndarray):
        return True
    if isinstance(dataset, torch.Tensor) or is_file_list(dataset):
        return True
    return isinstance(dataset, tuple) and len(dataset) == 2 and np.ndim(dataset[0]) > 2


def _general(
    options: LaneOptions, dataset: Any, collate: Any, config: AugmentConfig, reason: str
) -> GeneralLane:
    if config.resident:
        raise InputError(
            f"resident=True is for datasets whose images lie in memory, and here {reason}: "
            "use resident=None"
        )
    if config.reading != Reading():
        raise InputError(
            "on_error, cache, max_pixels and reader are for files that the loader reads itself, "
            f"and here {reason}: leave them out, or give a folder, shards or a list of files"
        )
    config = replace(config, told_classes=classes_of(dataset))
    given = options.fields
    if isinstance(dataset, AnnotatedImages):
        given = dataset.with_fields(given or {}).collated_fields()
    fields = FieldOptions.of(given)
    recipe = recipe_for(
        config.policy, collate, options.keys, config.form, passive=options.passive, fields=fields,
        views=config.views,
    )  # fmt: skip
    return GeneralLane(config, recipe, reason)


def classes_of(dataset: Any) -> int | None:
    """Return the number of classes that a dataset reports, None if it does not."""
    if (inner := getattr(dataset, "dataset", None)) is not None:  # a Subset
        return classes_of(inner)
    for name in ("num_classes", "n_classes"):
        if isinstance(number := getattr(dataset, name, None), int):
            return number
    if isinstance(classes := getattr(dataset, "classes", None), Sized):
        return len(classes)
    features = getattr(dataset, "features", None)
    numbers = [getattr(item, "num_classes", None) for item in _values(features)]
    known = [number for number in numbers if isinstance(number, int)]
    return known[0] if len(known) == 1 else None


def _values(features: object) -> list[Any]:
    return list(features.values()) if isinstance(features, dict) else []


def _kind(dataset: object) -> str:
    return f"a path ({dataset})" if isinstance(dataset, str | os.PathLike) else (
        f"a dataset of type {type(dataset).__name__}")  # fmt: skip
