"""Who asks the service during the soak: loaders, pushes, previews; attackers; who ends replicas."""

import hashlib
import io
import signal
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import torch
from PIL import Image

from augfeed import DataLoader
from augfeed_client import Client, Connection, RemoteError, RemoteLoader
from benchmarks.soak_attacks import ATTACKS, Attack, Halves, Rng, slow_reader
from benchmarks.soak_replicas import Herd

LEAST = 500  # images that are read in each part
EPOCHS = 6  # of each plan; loaders begin again after the last
PATIENT = Connection(workers=2, ahead=4, deadline=60.0, timeout=5.0)
HASTY = Connection(workers=1, deadline=15.0, timeout=5.0)
POLICIES = ("random_crop(24, padding=2) | hflip", "hflip | cutmix", "rotate(20) | cutout(6)")
STAGES = ("hflip", "hflip | cutmix", "cutout(6)")  # after a crop, of previews


@dataclass(frozen=True)
class Plan:
    """What a loader reads, and the digests of its batches as they are made in this process."""

    dataset: str
    policy: str
    batch_size: int
    seed: int
    digests: tuple[tuple[str, ...], ...]  # by epoch, by step

    def loader(self, urls: list[str]) -> RemoteLoader:
        """Return the loader of these batches over HTTP."""
        return RemoteLoader(urls, dataset=self.dataset, connection=PATIENT, **self.shared)

    @property
    def shared(self) -> dict[str, Any]:
        """What a loader in this process is given, too."""
        return {"policy": self.policy, "batch_size": self.batch_size, "seed": self.seed,
                "shuffle": True, "dtype": torch.uint8}  # fmt: skip


def plans_of(data: dict[str, Path], seed: int) -> list[Plan]:
    """Return plans of the datasets of `write_data`, with their digests."""
    made = []
    for dataset, policy, batch in (
        ("small", "random_crop(32, padding=4) | hflip | one_of([mixup(1.0), cutmix])", 32),
        ("photos", "random_resized_crop(64) | hflip | mixup(0.4)", 8),
    ):
        plan = Plan(dataset, policy, batch, seed, ())
        loader: Any = DataLoader(data[dataset], num_workers=0, **plan.shared)
        digests = tuple(tuple(digest(*batch) for batch in loader) for _ in range(EPOCHS))
        made.append(Plan(dataset, policy, batch, seed, digests))
    return made


def digest(images: torch.Tensor, targets: torch.Tensor) -> str:
    """Return what two equal batches have in common."""
    found = hashlib.blake2b(images.contiguous().numpy().tobytes(), digest_size=16)
    found.update(targets.contiguous().numpy().tobytes())
    return found.hexdigest()


def write_data(folder: Path, seed: int) -> dict[str, Path]:
    """Write two small datasets: arrays, and a folder of JPEG files."""
    rng = np.random.default_rng(seed)
    small = folder / "small.npz"
    np.savez(small, images=rng.integers(0, 256, (512, 32, 32, 3), np.uint8),
             labels=np.arange(512) % 10)  # fmt: skip
    for k in range(48):
        path = folder / "photos" / "ab"[k % 2] / f"{k:02}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        coarse = rng.integers(0, 256, (9, 12, 3), np.uint8)
        Image.fromarray(coarse).resize((240, 180)).save(path, quality=90)
    return {"small": small, "photos": folder / "photos"}


@dataclass
class Tally:
    """What was seen; threads add to it."""

    images: Counter[str] = field(default_factory=Counter)  # read by loaders, by part of the soak
    counts: Counter[str] = field(default_factory=Counter)
    outcomes: dict[str, Counter[str]] = field(default_factory=dict)
    failures: Counter[str] = field(default_factory=Counter)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, name: str, number: int = 1) -> None:
        """Count something."""
        with self.lock:
            self.counts[name] += number

    def fail(self, text: str) -> None:
        """Note what must not happen, cut if it is long."""
        with self.lock:
            self.failures[text[:500]] += 1

    def outcome(self, attack: str, what: str) -> None:
        """Note what came of an attack."""
        with self.lock:
            self.outcomes.setdefault(attack, Counter())[what] += 1


class Actors:
    """Threads that ask, each with a generator of its own, all from one seed."""

    def __init__(
        self, herd: Herd, plans: Sequence[Plan], seed: int, attacks: Sequence[str]
    ) -> None:
        """Begin nothing yet."""
        self.herd, self.plans, self.seed, self.tally = herd, plans, seed, Tally()
        self.part = "calm"
        self.halves = Halves()
        known: dict[str, Attack] = {**ATTACKS, "half-headers": self.halves}
        self.attacks = {name: known[name] for name in attacks}
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []
        self._open: list[Any] = []

    def warm(self) -> None:
        """Have each replica make a batch of each plan."""
        for plan in self.plans:
            for url in self.herd.urls:
                loader = plan.loader([url])
                next(iter(loader))
                loader.close()

    def seen(self) -> bool:
        """Whether enough has happened in this part of the soak to say something of it."""
        ended = self.tally.counts["SIGKILL"] + self.tally.counts["SIGTERM"]
        return self.tally.images[self.part] >= LEAST and (self.part == "calm" or ended > 0)

    def begin(self, *ways: Callable[[Rng], None]) -> None:
        """Begin some of the methods below, each in a thread."""
        for way in ways:
            rng = np.random.default_rng([self.seed, len(self._threads)])
            thread = threading.Thread(target=self._run, args=(way, rng), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _run(self, way: Callable[[Rng], None], rng: Rng) -> None:
        try:
            way(rng)
        except Exception as error:
            if not self._stop.is_set():
                self.tally.fail(f"{getattr(way, '__name__', 'a loader')}: {error!r}")

    def end(self) -> None:
        """End all threads."""
        self._stop.set()
        self.herd.hurry.set()
        for one in self._open:
            one.close()
        for thread in self._threads:
            thread.join()
        self.halves.close()

    def reading(self, plan: Plan) -> Callable[[Rng], None]:
        """Return what reads the epochs of a plan again and again, and compares each batch."""

        def read(rng: Rng) -> None:
            loader = plan.loader(self.herd.urls)
            self._open.append(loader)
            while not self._stop.is_set():
                epoch = int(rng.integers(EPOCHS))
                loader.set_epoch(epoch)
                steps = 0
                for step, (images, targets) in enumerate(loader):
                    if digest(images, targets) != plan.digests[epoch][step]:
                        self.tally.add("wrong")
                    self.tally.add("batches")
                    with self.tally.lock:
                        self.tally.images[self.part] += len(images)
                    steps += 1
                    if self._stop.is_set():
                        return
                if steps != len(plan.digests[epoch]):
                    self.tally.fail(f"epoch {epoch} of {plan.dataset} ended after {steps} batches")

        return read

    def push(self, rng: Rng) -> None:
        """Send images to augment; the same request must get the same answer each time."""
        first: dict[int, str] = {}
        arrays = rng.integers(0, 256, (4, 16, 32, 32, 3), np.uint8)
        files = [[_jpeg(one) for one in images[:4]] for images in arrays]
        with self._client() as client:
            while not self._stop.is_set():
                k = int(rng.integers(8))
                images: Any = files[k // 2] if k % 2 else arrays[k // 2]
                labels = [*range(len(images))]

                def call(k: int = k, images: Any = images, labels: Any = labels) -> str:
                    batch = client.augment(images, labels, policy=POLICIES[k % 3], seed=k,
                                           labels_form="dense", num_classes=16)  # fmt: skip
                    return digest(batch.images, torch.as_tensor(batch.targets))

                self._compare("pushes", first, k, call)

    def preview(self, rng: Rng) -> None:
        """Ask for images of samples; the same request must get the same answer each time."""
        first: dict[int, str] = {}
        with self._client() as client:
            while not self._stop.wait(0.1):
                k = int(rng.integers(6))

                def call(k: int = k) -> str:
                    name = ("small", "photos")[k % 2]
                    policy = f"random_resized_crop(48) | {STAGES[k % 3]}"
                    png = client.preview(policy=policy, dataset=name, indices=[k, k + 1])
                    return hashlib.blake2b(png).hexdigest()

                self._compare("previews", first, k, call)

    def _client(self) -> Client:
        client = Client(self.herd.urls, HASTY)
        self._open.append(client)
        return client

    def _compare(self, what: str, first: dict[int, str], k: int, call: Callable[[], str]) -> None:
        try:
            found = call()
        except RemoteError as error:
            if self._stop.is_set():
                return
            if error.status not in (0, 408, 429, 503):
                self.tally.fail(f"{what}: {error}")
            self.tally.add("refused")
            return
        self.tally.add(what)
        if first.setdefault(k, found) != found:
            self.tally.add("wrong")

    def attack(self, rng: Rng) -> None:
        """Do harm, in ways and to replicas drawn at random."""
        names = [*self.attacks]
        while names and not self._stop.wait(float(rng.uniform(0, 0.1))):
            name = names[rng.integers(len(names))]
            port = self.herd.ports[rng.integers(len(self.herd.ports))]
            self.tally.outcome(name, self.attacks[name](port, rng))

    def dawdle(self, rng: Rng) -> None:
        """Read batches a few bytes at a time."""
        plan = self.plans[0]
        loader = plan.loader(self.herd.urls)
        name = loader.info.id
        loader.close()
        while not self._stop.is_set():
            epoch, step = rng.integers(EPOCHS), rng.integers(len(plan.digests[0]))
            port = self.herd.ports[rng.integers(len(self.herd.ports))]
            path = f"/v1/plans/{name}/epochs/{epoch}/batches/{step}"
            self.tally.outcome("slow-reader", slow_reader(port, rng, path))

    def kill(self, rng: Rng) -> None:
        """End replicas, one at a time, and start them again; also those that ended otherwise."""
        while not self._stop.wait(float(rng.uniform(0.5, 3.0))):
            for k, lives in enumerate(self.herd.lives):
                if not psutil.pid_exists(lives[-1].pid):
                    if not lives[-1].struck:
                        self.tally.fail(f"replica {k} ended by itself")
                    self.herd.start(k)
            k = int(rng.integers(len(self.herd.ports)))
            sig = (signal.SIGKILL, signal.SIGTERM)[rng.integers(2)]
            self.herd.end(k, sig)
            self.tally.add(sig.name)
            self.herd.start(k)


def _jpeg(pixels: Any) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG")
    return file.getvalue()
