"""Start and memory: `python -m benchmarks.bench_startup`. Every figure is of new processes."""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from rich.progress import track

from augfeed.bench.machine import commit_here, machine_here, now, versions_of
from augfeed.bench.result import Spread
from benchmarks.common import RESULTS
from benchmarks.data import make_photos
from benchmarks.result import slug
from benchmarks.result_startup import PACKAGES, Row, StartupResult, render

COUNT, BATCH, EPOCHS = 256, 32, 4

# Each prints one number. `paths` and `labels` come from the command line.
HEAD = "import sys, json; paths, labels = json.load(open(sys.argv[1])); "
# Of no module of ours, which would be on its clock, and in its memory.
PEER = """
import numpy as np
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset

class Files(Dataset):
    def __len__(self):
        return len(paths)

    def __getitem__(self, i):
        with Image.open(paths[i]) as file:
            image = file.convert("RGB")
        side = int(torch.randint(120, min(image.size), ()))
        left, top = (int(torch.randint(0, have - side + 1, ())) for have in image.size)
        image = image.resize((224, 224), 2, box=(left, top, left + side, top + side))
        if torch.rand(()) < 0.5:
            image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1).contiguous()
        return pixels.float().div_(255), labels[i]

loader = DataLoader(Files(), 32, True, num_workers=2, persistent_workers=True)
"""
OURS = """
from augfeed import DataLoader
from augfeed.read.folder import FolderSource
source = FolderSource.of(list(zip(paths, labels)), ("a", "b"))
policy = (
    "random_resized_crop(224) | hflip | jitter(0.4, 0.4, 0.4) | one_of([mixup(0.2), cutmix(1.0)])"
    " | random_erasing(0.25) | normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])"
    " | label_smoothing(0.1)"
)
loader = DataLoader(source, 32, True, num_workers=2, policy=policy, seed=0)
"""
CLOCK = "import time; begin = time.perf_counter()\n"
TOOK = "\nprint(time.perf_counter() - begin)"
FIRST = f"\nnext(iter(loader)){TOOK}"
MEMORY = f"""
import psutil
for _ in range({EPOCHS}):
    for _ in loader:
        pass
own = psutil.Process()
print(sum(one.memory_full_info().pss for one in (own, *own.children(recursive=True))))
"""
SCRIPTS: dict[str, tuple[str, str, str]] = {  # question, who, script
    "torch": ("import", "torch", f"{CLOCK}import torch{TOOK}"),
    "augfeed": ("import", "augfeed.DataLoader", f"{CLOCK}from augfeed import DataLoader{TOOK}"),
    "first_torch": (
        "first batch, from the start", "torch DataLoader, 2 workers, crop and flip by Pillow",
        f"{CLOCK}{HEAD}{PEER}{FIRST}",
    ),
    "first": ("first batch, from the start", "augfeed, 2 threads", f"{CLOCK}{HEAD}{OURS}{FIRST}"),
    "first_cold": (
        "first batch, from the start", "augfeed, once after it was installed: compiles",
        f"{CLOCK}{HEAD}{OURS}{FIRST}",
    ),
    "memory_torch": (
        f"memory after {EPOCHS} epochs", "torch DataLoader, 2 workers, crop and flip by Pillow",
        f"{HEAD}{PEER}{MEMORY}",
    ),
    "memory": (f"memory after {EPOCHS} epochs", "augfeed, 2 threads", f"{HEAD}{OURS}{MEMORY}"),
}  # fmt: skip


def measured(name: str, listing: Path, folder: Path) -> float:
    """Return the number that a script prints in a new process."""
    environment = dict(os.environ)
    if name == "first_cold":
        with tempfile.TemporaryDirectory(dir=folder) as empty:
            return _printed(name, listing, {**environment, "NUMBA_CACHE_DIR": empty})
    return _printed(name, listing, environment)


def _printed(name: str, listing: Path, environment: dict[str, str]) -> float:
    command = [sys.executable, "-W", "ignore", "-c", SCRIPTS[name][2], str(listing)]
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    value = float(done.stdout)
    return value / 1e6 if name.startswith("memory") else value


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print a table, and write the result; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.bench_startup")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", help="rows, with commas between")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args(arguments)
    names = options.only.split(",") if options.only else [*SCRIPTS]
    if unknown := sorted(set(names) - SCRIPTS.keys()):
        parser.error(f"--only {unknown} is unknown: use {[*SCRIPTS]}")
    machine = machine_here(2)
    values: dict[str, list[float]] = {name: [] for name in names}
    with tempfile.TemporaryDirectory() as folder:
        photos = make_photos(Path(folder), COUNT, BATCH)
        listing = Path(folder, "listing.json")
        listing.write_text(json.dumps([photos.paths, photos.labels]))
        _printed("first", listing, dict(os.environ))  # compiled, and in the page cache
        for name in track([*names] * options.rounds, description="measuring"):
            values[name].append(measured(name, listing, Path(folder)))
    result = StartupResult(
        title="Start and memory", date=now(), commit=commit_here(), machine=machine,
        command=f"python -m benchmarks.bench_startup --rounds {options.rounds}",
        versions=versions_of(PACKAGES), samples=COUNT, batch=BATCH, rounds=options.rounds,
        rows=tuple(_row(name, values[name]) for name in names),
    )  # fmt: skip
    out = options.out or RESULTS / f"startup--{slug(f'{machine.cpu} {machine.cores} cores')}.json"
    out.write_text(result.model_dump_json(indent=1) + "\n")
    print(render(result))
    return 0


def _row(name: str, values: list[float]) -> Row:
    question, title, _ = SCRIPTS[name]
    return Row(
        name=name, question=question, title=title, unit="MB" if name[:6] == "memory" else "s",
        values=tuple(values), spread=Spread.of(values),
    )  # fmt: skip


if __name__ == "__main__":
    raise SystemExit(main())
