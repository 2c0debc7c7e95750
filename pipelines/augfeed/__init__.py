"""augfeed turns samples into augmented batches on the device, fast, and so that every batch can be
made again."""

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from augfeed import presets as presets
    from augfeed.augment import Augment as Augment
    from augfeed.batch import Batch as Batch
    from augfeed.consistency_loss import jsd_loss as jsd_loss
    from augfeed.engines import Output as Output
    from augfeed.invariances import Invariances as Invariances
    from augfeed.loader import DataLoader as DataLoader
    from augfeed.notation import format_policy as format_policy
    from augfeed.notation import parse_policy as parse_policy
    from augfeed.ops.kornia import Kornia as Kornia
    from augfeed.pipeline import Order as Order
    from augfeed.pipeline import Pipeline as Pipeline
    from augfeed.policy import Policy as Policy
    from augfeed.presets import resolve_policy as resolve_policy
    from augfeed.read.sources import open_source as open_source
    from augfeed.targets import Targets as Targets
    from augfeed.targets import soft_cross_entropy as soft_cross_entropy

# Where each public name comes from. It is imported on first use, so that `import augfeed` costs
# little and a client without the engines stays light.
_HOMES = {
    "Augment": "augfeed.augment",
    "Batch": "augfeed.batch",
    "DataLoader": "augfeed.loader",
    "Invariances": "augfeed.invariances",
    "Kornia": "augfeed.ops.kornia",
    "Order": "augfeed.pipeline",
    "Output": "augfeed.engines",
    "Pipeline": "augfeed.pipeline",
    "Policy": "augfeed.policy",
    "Targets": "augfeed.targets",
    "format_policy": "augfeed.notation",
    "jsd_loss": "augfeed.consistency_loss",
    "open_source": "augfeed.read.sources",
    "parse_policy": "augfeed.notation",
    "presets": "augfeed.presets",
    "resolve_policy": "augfeed.presets",
    "soft_cross_entropy": "augfeed.targets",
}
__all__ = [
    "Augment",
    "Batch",
    "DataLoader",
    "Invariances",
    "Kornia",
    "Order",
    "Output",
    "Pipeline",
    "Policy",
    "Targets",
    "__version__",
    "format_policy",
    "jsd_loss",
    "open_source",
    "parse_policy",
    "presets",
    "resolve_policy",
    "soft_cross_entropy",
]


def _import_rich() -> None:
    # Its styles draw a number from Python's generator as they are imported. All of our packages
    # come by here first, so that none of them moves the generator.
    import random  # noqa: TID251  # to put it back
    import sys

    if "rich.style" not in sys.modules:
        from rich import color, terminal_theme  # noqa: F401  # most of the time, and no draw

        held = random.getstate()
        from rich import style  # noqa: F401

        random.setstate(held)


_import_rich()


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'augfeed' has no attribute {name!r}")
    from importlib import import_module

    home = import_module(_HOMES[name])
    return home if name == "presets" else getattr(home, name)


def __dir__() -> list[str]:
    return __all__
