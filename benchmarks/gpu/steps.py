"""What is done on a GPU, in order of worth: each step a process, or several side by side."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from augfeed.doctor.environment import cores
from tests.augfeed.gpu_checks import TABLES
from tests.augfeed.gpu_loaders import LOADING
from tests.augfeed.gpu_modules import MODULES

CHECKS = "tests.augfeed.gpu_checks"
SHARDS = 16
SECONDS = "{seconds}"  # an argument that stands for the time of a step, less `STARTING`
STARTING = 40.0  # seconds of imports, and of what is not broken off
# Of the engine's chains those that tell most, the cheapest first.
CHAINS = (
    "normalize", "crop_flip_normalize", "imagenet", "trivial_augment", "rotate", "mixup", "cutmix",
    "flip_jitter_normalize", "seed_chain_no_noise", "seed_chain", "gaussian_noise",
)  # fmt: skip
LARGE, SMALL = "256x3x224x224", "1024x3x32x32"


@dataclass(frozen=True)
class Step:
    """One step: the arguments of Python's processes by name, and the seconds that it may take."""

    name: str
    processes: dict[str, list[str]]
    limit: float
    about: str = field(default="", compare=False)


@dataclass(frozen=True)
class RunInputs:
    """What the caller has for the steps: where results go, data, and the commit of the code."""

    out: Path
    rehearse: bool = False
    commit: str | None = None
    fashion: Path | None = None
    photos: Path | None = None

    @property
    def device(self) -> list[str]:
        """The device, as arguments of a benchmark."""
        return ["--device", "cpu"] if self.rehearse else ["--device", "cuda"]

    def file(self, name: str) -> str:
        """Return the path of a result."""
        return str(self.out / f"{name}.json")


def steps(given: RunInputs) -> list[Step]:
    """Return the steps in their order."""
    return [
        Step("smoke", {"smoke": ["benchmarks.gpu.smoke", *given.device, "--out",
                                 given.file("smoke")]}, 60,
             "imports, versions, one chain on the GPU beside the CPU"),
        Step("compile", dict(_compiled(given)), 120, "kernels compiled, and compared"),
        *_kernels(given),
        *_resident(given),
        *_training(given),
        _checks(given, "checks-modules", [*MODULES], 150),
        Step("modules", {"modules": ["benchmarks.gpu.modules", *given.device, "--out",
             given.file("modules"), *_commit(given), *_quick(given)]}, 150,
             "batches that are there already, masks, programs, views"),
        _checks(given, "checks", [name for name in LOADING] + ["graph_equals_eager",
                "cache_on_the_device", "several_devices"], 200),
        Step("tables", dict(_tables(given)), 240, "the table of cases, in many processes"),
        Step("compiled", {"kernel-compiled": [*_kernel(given, LARGE, "compiled"), "--only",
                          "kornia_compiled", *_chains(["normalize", "imagenet"], given)]}, 120,
             "beside torch.compile of Kornia"),
        _checks(given, "dali", ["dali_reads"], 60),
        Step("dali-rates", {"dali-rates": ["benchmarks.gpu.dali", *given.device, "--out",
             given.file("dali-rates"), *_commit(given), *_photos(given), *_quick(given)]}, 120,
             "DALI's decoding in our order beside its own pipeline"),
        # Compiled before: under the tool everything is slow.
        _checks(given, "sanitizer", ["small_shapes", "memcheck", "racecheck"], 300),
    ]  # fmt: skip


def _kernels(given: RunInputs) -> Iterator[Step]:
    peers = "kornia,torchvision,triton_augment,triton_ready,portable"
    for name, shape, more, limit in (
        ("large", LARGE, ["--only", peers], 150),
        ("large-last", LARGE, ["--channels-last", "--only", "portable"], 60),
        ("small", SMALL, ["--only", peers], 120),
        ("small-last", SMALL, ["--channels-last", "--only", "portable"], 60),
    ):
        arguments = [*_kernel(given, shape, name), *more, *_chains(CHAINS, given)]
        yield Step(f"kernel-{name}", {f"kernel-{name}": arguments}, limit,
                   "the pass, the time of the host, the share of the copy's bandwidth")  # fmt: skip


def _kernel(given: RunInputs, shape: str, name: str) -> list[str]:
    small = ["--engine", "cuda", "--rounds", "3", "--repeats", "3"] if given.rehearse else []
    shape = "4x3x16x16" if given.rehearse else shape
    rounds = [] if given.rehearse else ["--rounds", "7", "--repeats", "15"]
    return [
        "benchmarks.bench_kernel", *given.device, "--shape", shape, "--dtype", "bfloat16",
        "--out", given.file(f"kernel-{name}"), "--resume", *_commit(given), *small, *rounds,
    ]  # fmt: skip


def _chains(names: "list[str] | tuple[str, ...]", given: RunInputs) -> list[str]:
    chosen = names[:1] if given.rehearse else names
    return [word for name in chosen for word in ("--chain", name)]


def _compiled(given: RunInputs) -> Iterator[tuple[str, list[str]]]:
    count = _processes(given)
    for k in range(count):
        yield f"compile-{k}", ["benchmarks.gpu.compiled", *given.device, "--shard", f"{k}/{count}",
                               "--out", given.file(f"compile-{k}"), *_quick(given)]  # fmt: skip


def _resident(given: RunInputs) -> Iterator[Step]:
    quick = ["--engine", "portable", "--samples", "128", "--rounds", "2", "--batch-size", "64"]
    more = quick if given.rehearse else ["--rounds", "7", "--num-workers", "4"]
    for name, data in (("color", []), ("gray", ["--data", str(given.fashion)])):
        if name == "gray" and given.fashion is None:
            continue
        arguments = ["benchmarks.bench_resident", *given.device, "--out",
                     given.file(f"resident-{name}"), *data, *more, *_quick(given)]  # fmt: skip
        yield Step(f"resident-{name}", {f"resident-{name}": arguments}, 120,
                   "epochs a second of a dataset that stays on the device")  # fmt: skip


def _training(given: RunInputs) -> Iterator[Step]:
    for name, limit in (("photos", 150), ("arrays", 120)):
        arguments = ["benchmarks.gpu.training", *given.device, "--task", name, "--out",
                     given.file(f"training-{name}"), *_commit(given),
                     *_quick(given)]  # fmt: skip
        arguments += _photos(given) if name == "photos" else []
        about = "an epoch of ResNet-18 by who feeds it, and how much of loading shows"
        yield Step(f"training-{name}", {f"training-{name}": arguments}, limit, about)


def _checks(given: RunInputs, name: str, names: list[str], limit: float) -> Step:
    arguments = [CHECKS, "--only", ",".join(names), "--json", given.file(name)]
    return Step(name, {name: arguments}, limit, ", ".join(names))


def _tables(given: RunInputs) -> Iterator[tuple[str, list[str]]]:
    count = 128 if given.rehearse else _processes(given)  # of a rehearsal a small part is done
    for k in range(min(count, _processes(given))):
        yield f"tables-{k}", [CHECKS, "--only", ",".join(TABLES), "--shard", f"{k}/{count}",
                              "--seconds", "20" if given.rehearse else SECONDS, "--json",
                              given.file(f"tables-{k}")]  # fmt: skip


def _processes(given: RunInputs) -> int:
    return 2 if given.rehearse else max(1, min(SHARDS, cores()))


def _photos(given: RunInputs) -> list[str]:
    return ["--photos", str(given.photos)] if given.photos else []


def _commit(given: RunInputs) -> list[str]:
    return ["--commit", given.commit] if given.commit else []


def _quick(given: RunInputs) -> list[str]:
    return ["--quick"] if given.rehearse else []
