"""Ray Data with `MapBatches` beside torchvision v2 in `map_batches`: what an image costs its actor.
`python -m benchmarks.bench_ray_data --data folder [--count 1536]`.

In an environment with Ray and torchvision. Time of the actor's core, all that Ray does there
included, not of the clock, so that what else the machine does matters little. Each way has one
actor of one core; the first row ships arrays of zeros, which is what Ray Data itself takes.
"""

import argparse
import io
import os
import time
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from augfeed.errors import InputError, MissingExtraError

try:
    import ray
    from ray.cluster_utils import Cluster
except ImportError as error:
    raise MissingExtraError("ray[data]", "ray") from error

from augfeed.ray import MapBatches

SIZE = 224
CROP = f"random_resized_crop({SIZE}) | hflip"
JITTER = 'color_jitter(0.8, 0.8, 0.8, 0.2, p=0.8, hue_space="hsv", ordering="random", clamp="each")'
POLICIES = {
    "crop, flip": CROP,
    "crop, flip, color": f"{CROP} | color_jitter(0.4, 0.4, 0.4)",
    "a view of SimCLR": f"{CROP} | sequence([{JITTER}, grayscale(p=0.2), "
    "gaussian_blur(23, p=0.5)])",
}
WARM = 2  # batches of an actor that are not measured: code is compiled, memory is taken
Columns = dict[str, Any]


class Zeros:
    """Ships images of zeros, which cost nothing to make."""

    def __init__(self, policy: str) -> None:
        self.policy = policy

    def __call__(self, columns: Columns) -> Columns:
        images = np.zeros((len(columns["id"]), 3, SIZE, SIZE), np.uint8)
        return {"image": images, "label": columns["label"]}


class Torchvision:
    """What a user of torchvision writes; `decoder` is "PIL" or "torchvision.io"."""

    def __init__(self, policy: str, decoder: str) -> None:
        from torchvision.transforms import v2

        torch.set_num_threads(1)
        color: list[Any] = {
            POLICIES["crop, flip"]: [],
            POLICIES["crop, flip, color"]: [v2.ColorJitter(0.4, 0.4, 0.4)],
            POLICIES["a view of SimCLR"]: [
                v2.RandomApply([v2.ColorJitter(0.8, 0.8, 0.8, 0.2)], 0.8),
                v2.RandomGrayscale(0.2), v2.RandomApply([v2.GaussianBlur(23, (0.1, 2.0))], 0.5),
            ],
        }[policy]  # fmt: skip
        last = [v2.PILToTensor()] if decoder == "PIL" else []
        crop = v2.RandomResizedCrop(SIZE, antialias=True)
        self.transform = v2.Compose([crop, v2.RandomHorizontalFlip(), *color, *last])
        self.decoder = decoder

    def __call__(self, columns: Columns) -> Columns:
        images = [self.transform(self._decoded(data)).numpy() for data in columns["image"]]
        return {"image": np.stack(images), "label": columns["label"]}

    def _decoded(self, data: bytes) -> Any:
        if self.decoder == "PIL":
            from PIL import Image

            return Image.open(io.BytesIO(data)).convert("RGB")
        from torchvision.io import ImageReadMode, decode_image

        return decode_image(torch.frombuffer(bytearray(data), dtype=torch.uint8), ImageReadMode.RGB)


class Timed:
    """Notes beside each image how long its actor has computed so far."""

    def __init__(self, kind: type, *given: Any) -> None:
        self.made: Any = kind(*given)

    def __call__(self, columns: Columns) -> Columns:
        made: Columns = self.made(columns)
        made["cpu"] = np.full(len(columns["id"]), time.process_time())
        return made


class Row(NamedTuple):
    """What an image took: milliseconds of the actor's core, and of this process."""

    name: str
    actor: float
    here: float


def photos(folder: str, count: int) -> Any:
    """Return a Ray dataset of `count` encoded images."""
    files = sorted(path for path in Path(folder).rglob("*") if path.suffix.lower() == ".jpg")
    if not files:
        raise InputError(f"--data {folder!r} has no .jpg: give a folder of photographs")
    data = [path.read_bytes() for path in files]
    rows = [{"image": data[k % len(data)], "label": k % 10, "id": k} for k in range(count)]
    return ray.data.from_items(rows, override_num_blocks=max(1, count // 512)).materialize()


def measured(name: str, dataset: Any, size: int, kind: type, *given: Any) -> Row:
    """Return what an image takes, once the actor is warm."""
    mapped = dataset.map_batches(
        Timed, fn_constructor_args=(kind, *given), batch_size=size, num_cpus=1, concurrency=1
    )
    begun, marks, images = time.process_time(), [], 0
    for batch in mapped.iter_batches(batch_size=size, prefetch_batches=1):
        assert batch["image"].shape[1:] == (3, SIZE, SIZE)
        images += len(batch["cpu"])
        marks += batch["cpu"].tolist()
    ends = sorted(set(marks))
    after = sum(mark > ends[WARM] for mark in marks)
    if not after:
        raise InputError(f"{images} images are no more than {WARM + 1} batches: raise --count")
    return Row(name, 1e3 * (ends[-1] - ends[WARM]) / after,
               1e3 * (time.process_time() - begun) / images)  # fmt: skip


def main() -> None:
    """Measure on a cluster of this machine."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", required=True, help="folder of photographs")
    parser.add_argument("--count", type=int, default=1536, help="images of a pass")
    parser.add_argument("--size", type=int, default=64, help="images of a batch")
    given = parser.parse_args()
    os.environ["RAY_AUTH_MODE"] = "disabled"  # else Ray writes a token into the home folder
    cluster = Cluster()
    cluster.add_node(num_cpus=2, object_store_memory=1 << 30, include_dashboard=False)
    ray.init(address=cluster.address, log_to_driver=False)
    try:
        ray.data.DataContext.get_current().enable_progress_bars = False
        dataset = photos(given.data, given.count)
        for title, policy in POLICIES.items():
            show(title, [
                measured("zeros", dataset, given.size, Zeros, policy),
                measured("torchvision v2, PIL", dataset, given.size, Torchvision, policy, "PIL"),
                measured("torchvision v2, its decoder", dataset, given.size, Torchvision, policy,
                         "torchvision.io"),
                measured("MapBatches", dataset, given.size, MapBatches, policy),
            ])  # fmt: skip
    finally:
        ray.shutdown()
        cluster.shutdown()


def show(title: str, rows: list[Row]) -> None:
    """Print a table."""
    last = rows[-1].actor
    print(f"{title}\n\n| in map_batches | ms of the actor's core | here | times MapBatches' |")
    print("|---|---:|---:|---:|")
    for row in rows:
        print(f"| {row.name} | {row.actor:.2f} | {row.here:.2f} | {row.actor / last:.1f} |")
    print(flush=True)


if __name__ == "__main__":
    main()
