"""Decoded images kept by the service: the loader's bytes, within one limit, shown."""

from pathlib import Path
from typing import Any

import pytest

from augfeed import Order, Pipeline
from augfeed.read.cache import Cache
from augfeed.read.read_config import Reading
from augfeed.wire import decode_batch
from augfeed_service import Settings
from augfeed_service.datasets import fingerprint
from tests.service.servers import described, serving

Data = dict[str, Path]


def pulled(running: Any, plan: Any, epoch: int = 0, query: str = "") -> bytes:
    root = running.register(plan)
    answer = running.ask("GET", f"{root}/{epoch}/batches/0{query}")
    assert answer.status == 200
    return bytes(answer.body)


@pytest.mark.parametrize("kind", ["ram", "disk"])
@pytest.mark.parametrize("side", [None, 40])
def test_batches_are_those_of_the_loader_with_the_same_cache(
    data: Data, tmp_path: Path, kind: Any, side: int | None
) -> None:
    given: dict[str, Any] = {"image_cache": kind, "image_cache_side": side, "cache_bytes": 0,
                             "look_ahead": 0}  # fmt: skip
    folder = tmp_path / "kept" if kind == "disk" else None
    own = tmp_path / "own" if kind == "disk" else None
    plan = described("photos", "random_resized_crop(24) | hflip", batch_size=18)
    with serving(datasets=data, image_cache_folder=folder, **given) as running:
        reading = Reading(cache=Cache(kind, side, folder=own))
        local = Pipeline(data["photos"], plan.policies[0], order=Order(18, shuffle=True),
                         output=plan.output, reading=reading)  # fmt: skip
        for epoch in range(3):
            batch, _ = decode_batch(bytearray(pulled(running, plan, epoch)))
            assert (batch.images == local.batch(epoch, 0).images).all()
        assert running.metric("augfeed_image_cache_images") == 18
        assert running.metric("augfeed_image_cache_hits") == 36
        assert running.metric("augfeed_image_cache_misses") == 18
        if kind == "ram":
            held = running.metric("augfeed_image_cache_bytes")
            assert running.metric("augfeed_memory_bytes", part="images") == held > 0
        # Another seed, and a rank of it, find the same images.
        other = plan.model_copy(update={"seed": 5})
        pulled(running, other, query="?rank=1&world=2")
        assert running.metric("augfeed_image_cache_misses") == 18


def test_images_of_all_sides_together_stay_within_the_limit(data: Data) -> None:
    limit = 200_000
    with serving(datasets=data, image_cache="ram", image_cache_bytes=limit) as running:
        for side in (16, 24, 32, 40, 48):
            plan = described("photos", f"random_resized_crop({side})", batch_size=18)
            pulled(running, plan)
            assert running.metric("augfeed_memory_bytes", part="images") <= limit
        assert running.metric("augfeed_memory_bytes", part="images") > limit // 2


def test_the_fingerprint_says_what_changes_pixels_and_not_where_images_lie(
    data: Data, tmp_path: Path
) -> None:
    from augfeed import open_source

    photos, digits = open_source(str(data["photos"])), open_source(str(data["digits"]))

    def of(source: Any, **given: Any) -> str:
        return fingerprint(source, Settings(**given))

    none, ram = of(photos), of(photos, image_cache="ram")
    assert ram == of(photos, image_cache="disk", image_cache_folder=tmp_path)
    assert ram == of(photos, image_cache="ram", image_cache_bytes=5)
    assert len({none, ram, of(photos, image_cache="ram", image_cache_side=64)}) == 3
    assert of(digits) == of(digits, image_cache="ram")  # arrays are not decoded
    assert of(None) == of(None, image_cache="ram")
