"""Datasets by name, opened when the service starts."""

import hashlib
import platform
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from augfeed import __version__, open_source
from augfeed.engines import resolved_engine
from augfeed.errors import AugfeedError, InputError
from augfeed.read.annotated_paths import open_annotated
from augfeed.read.annotation import is_annotated
from augfeed.read.arrays import ArraySource
from augfeed.read.cache_dir import expanded
from augfeed.read.decode import reader_version
from augfeed.read.sources import Source
from augfeed_service.object_masks import Counts, masks_in
from augfeed_service.problems import Problem
from augfeed_service.settings import Settings


@dataclass(frozen=True, slots=True)
class Mounted:
    """A dataset, and the fingerprint of the bytes that are made of it here."""

    name: str
    source: Source
    root: Path
    fingerprint: str
    masks: Counts | None = None  # of objects: see `object_masks`

    def as_json(self) -> dict[str, Any]:
        """Return what clients are reported."""
        source = self.source
        return {
            "name": self.name, "num_samples": len(source), "num_classes": source.num_classes,
            "classes": None if source.classes is None else list(source.classes),
            "channels": source.channels, "sizes": source.sizes, "fingerprint": self.fingerprint,
            "fields": self.kinds,
        }  # fmt: skip

    @property
    def kinds(self) -> dict[str, str]:
        """The kinds of what follows the images, as "boxes", by name; empty without any."""
        if not is_annotated(self.source):
            return {}
        return {name: type(field).__name__.lower() for name, field in self.source.fields.items()}

    def hidden(self, text: str) -> str:
        """Return a message without the place of the dataset on this machine."""
        return text.replace(str(self.root.resolve()), self.name).replace(str(self.root), self.name)


class Datasets:
    """The datasets of a service; a name is all that reaches one."""

    def __init__(self, settings: Settings, tell: Callable[[str], None] = lambda _: None) -> None:
        """Open all; raise `InputError` that names the dataset which cannot be."""
        self._mounted: dict[str, Mounted] = {}
        for name, path in settings.datasets.items():
            tell(name)
            self._mounted[name] = mount(name, path, settings)

    def get(self, name: str) -> Mounted:
        """Return a dataset; raise `Problem` if none has that name."""
        try:
            return self._mounted[name]
        except KeyError:
            raise Problem(
                404, "unknown-dataset", f"dataset={name!r} is not mounted: ask GET /v1/datasets"
            ) from None

    def put(self, mounted: Mounted) -> None:
        """Put a dataset in the place of the one with its name."""
        self._mounted[mounted.name] = mounted

    def has(self, mounted: Mounted) -> bool:
        """Return whether a dataset is still the one with its name."""
        return self._mounted.get(mounted.name) is mounted

    def __iter__(self) -> Any:
        return iter(self._mounted.values())

    def __len__(self) -> int:
        return len(self._mounted)


def mount(name: str, path: Path, settings: Settings) -> Mounted:
    """Open a dataset; raise `InputError` that names it if it cannot be."""
    try:
        source = _opened(path, settings.dataset_options.get(name, {}))
    except AugfeedError as error:
        raise InputError(f"dataset {name}: {error}") from error
    place = Path(expanded(path))
    return Mounted(name, source, place, fingerprint(source, settings), masks_in(source))


def _opened(path: Path, options: Mapping[str, Any]) -> Source:
    place = Path(expanded(path))
    if not options or not place.exists():
        return open_source(str(path))
    found: Source | None = open_annotated(place, "train", options)
    if found is None:
        raise InputError(
            f"options {dict(options)} are for datasets with masks or boxes, and {str(path)!r} is "
            "not read as one: leave them out"
        )
    return found


def fingerprint(source: Source | None, settings: Settings) -> str:
    """Return what bytes depend on beside a plan and its address: 32 hexadecimal digits.

    The dataset, the versions of augfeed and of what it decodes and computes with, the engine, the
    kind of device, what becomes of broken files, and at which size decoded images are kept.
    """
    device = torch.device(settings.device)
    kind = platform.machine()
    if device.type == "cuda":
        kind = f"{torch.cuda.get_device_name(device)} {torch.version.cuda}"
    kept: list[str] = []
    if settings.image_cache is not None and not isinstance(source, ArraySource | None):
        # Images that are kept were made smaller once: where they lie changes nothing.
        kept = [f"images kept at {settings.image_cache_side or 'the side of the policy'}"]
    parts = [
        __version__, torch.__version__, version("numba"), reader_version(),
        resolved_engine(device, "auto"), device.type, kind, settings.reader, settings.on_error,
        "" if source is None else source.fingerprint(), *kept,
    ]  # fmt: skip
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:32]
