"""Views of a dataset's samples: a pipeline whose batches hold several images of each."""

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from augfeed.engines import Output, Place
from augfeed.errors import InputError
from augfeed.executor import R, Work
from augfeed.executor.views import ViewWork
from augfeed.invariances import ANY, Invariances
from augfeed.pipeline import Form, Order, Pipeline
from augfeed.policy.check import check_policy
from augfeed.read.annotation import is_annotated
from augfeed.read.arrays import ArraySource
from augfeed.read.read_config import Reading
from augfeed.read.sources import open_source
from augfeed.read.view_frames import ViewFrames
from augfeed.views import Views


class ViewPipeline(Pipeline):
    """Batches of views, each a pure function of `(epoch, step)`: see `Pipeline`, and `Views`.

    Each file is read and decoded once for all its views, on the host. Labels are not trained on, so
    that only rules that are asked for, and those of the policies, are checked.
    """

    def __init__(
        self,
        data: Any,
        views: Views,
        *,
        order: Order = Order(),  # noqa: B008  (frozen)
        seed: int = 0,
        output: Output = Output(),  # noqa: B008  (frozen)
        targets: Form = "auto",
        place: Place = Place(),  # noqa: B008  (frozen)
        reading: Reading = Reading(),  # noqa: B008  (frozen)
    ) -> None:
        """Open the data and check that views, data and output fit each other."""
        reading = _on_host(reading)
        data = open_source(data)
        if is_annotated(data):
            names = " and ".join(map(repr, data.fields))
            raise InputError(
                f"each view moves the image in a way of its own, and {names} of {data!r} cannot "
                "follow all: leave views out, or give the folder of the images alone"
            )
        given: dict[str, Any] = {"order": order, "seed": seed, "output": output,
                                 "targets": targets, "place": place}  # fmt: skip
        super().__init__(data, views.parts[0].policy, **given, reading=reading)
        self.views = views
        shared = replace(reading, memory=self._memory)
        self._each = [Pipeline(self.source, part.policy, **given, reading=shared)
                      for part in views.parts]  # fmt: skip
        for own in self._each:
            own.share(self.costs, self.log)
        self._mixing = False
        largest = max(self._each, key=lambda own: own.kept_side)
        self._frames = largest._frames
        files = not isinstance(self.source, ArraySource)
        self._views_read = ViewFrames(self._frames) if files else None

    def check(self, invariances: Invariances | str | None, allow: Sequence[str] = ()) -> None:
        """Raise `InvarianceError` if a view breaks its own rules, or these.

        So it does if it leaves nothing of any image.
        """
        for part in self.views.parts:
            for rules in (invariances, part.policy.invariances, ANY):
                if rules is not None:
                    check_policy(part.policy, rules, allow=allow, source=self.source.sizes)

    @property
    def whole_batches(self) -> bool:
        """False: each part has tasks of its own."""
        return False

    @property
    def fingerprint(self) -> str:
        """What a sample in an epoch depends on, all its views included; 64 hexadecimals."""
        return hashlib.sha256(f"{super().fingerprint}\n{self.views.digest}".encode()).hexdigest()

    def works_of(self, requests: Sequence[R], *, lazily: bool = False) -> Work[R]:
        """Return the work of one batch: `requests` are one."""
        (request,) = requests
        parts = [(part, own.at(request.epoch)._driver(sharing=part.sharing))
                 for part, own in zip(self.views.parts, self._each, strict=True)]  # fmt: skip
        return ViewWork(parts, request, self._targets, self._views_read, sizes=self.source.sizes)


def _on_host(reading: Reading) -> Reading:
    if reading.reader == "dali":
        raise InputError(
            "reader='dali' decodes an image for each of its views: leave reader out, and each is "
            "decoded once"
        )
    if reading.kept is not None and reading.kept.kind == "gpu":
        raise InputError("cache='gpu' does not hold images for views: use cache='ram', or 'disk'")
    return replace(reading, reader="cpu")


__all__ = ["ViewPipeline"]
