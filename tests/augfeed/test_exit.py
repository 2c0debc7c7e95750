"""A script that ends while iterators live ends in silence, anyone who holds them."""

import tarfile

import numpy as np
import pytest
from PIL import Image

from tests.sampling import sampled
from tests.template import run_script

# Of every lane, with threads, workers and neither.
BEGUN = """
import atexit, builtins, itertools, sys, threading, types
import numpy as np
import torch
from torch.utils.data import Dataset
from augfeed import DataLoader

class Own(Dataset):
    def __len__(self):
        return 400
    def __getitem__(self, i):
        return torch.full((3, 8, 8), i % 200, dtype=torch.uint8), i % 5

arrays = (np.zeros((4000, 8, 8, 3), np.uint8), np.zeros(4000, int))
threads, kept = dict(num_workers=2), dict(num_workers=1, persistent_workers=True)
workers = dict(num_workers=1)

def begin():
    loaders = [
        DataLoader(Own(), 4), DataLoader(Own(), 4, **workers), DataLoader(Own(), 4, **kept),
        *(DataLoader(Own(), 4, policy="hflip", **given) for given in ({}, workers, kept)),
        *(DataLoader(arrays, 4, policy="hflip", **given) for given in ({}, threads, kept)),
        *(DataLoader(folder, 4, policy="random_resized_crop(8)", **given)
          for folder in sys.argv[1:] for given in ({}, threads)),
    ]
    begun = [iter(loader) for loader in loaders] + [loaders[-1].batches()]
    for iterator in begun:
        next(iterator)
    return loaders, begun
"""
BEGIN = "loaders, begun = begin()\n"
HELD = {
    "held by loops, generators and errors": """
first = loaders, begun = begin()
for batch in loaders[-1]:
    break
def through():
    for loader in loaders[-3:]:
        for batch in loader:
            yield batch
held = through(); next(held); pairs = zip(*loaders[-2:]); next(pairs)
def fail():
    for batch in loaders[-1]:
        raise ValueError
try:
    fail()
except ValueError as error:
    kept_error = error
""",
    "held by threads, used at exit": """
second = loaders, begun = begin()
ready = threading.Barrier(3)
def hold(loader):
    iterator = iter(loader); next(iterator); ready.wait(); threading.Event().wait()
for loader in loaders[-3:-1]:
    threading.Thread(target=hold, args=[loader], daemon=True).start()
ready.wait()
late = iter(loaders[-1])
for loader in loaders[-5:]:
    atexit.register(lambda loader=loader: [next(iter(loader)) for _ in range(2)])
atexit.register(lambda: [next(late) for _ in range(9)])
""",
    "held by modules and circles": """
import gc
loaders, begun = begin()
sys.modules["mine"] = mine = types.ModuleType("mine")
mine.begun, mine.itself = begun[::4], mine
sys.begun, torch.begun, builtins.begun = begun[1::4], begun[2::4], begun[3::4]
gc.disable(); begun.append(begun); loaders.append(begun)
del begun, loaders
""",
}
ENDINGS = {
    "held by all of these": "".join(HELD.values()),
    "an error": BEGIN + "for batch in itertools.chain(*begun): raise ValueError('stop')",
    **HELD,
    "sys.exit": BEGIN + "for batch in itertools.chain(*begun): sys.exit(0)",
}


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Return a folder of images, and one of a shard of them."""
    root = tmp_path_factory.mktemp("pictures")
    (root / "shards").mkdir()
    with tarfile.open(root / "shards" / "0.tar", "w") as shard:
        for k in range(60):
            path = root / "folder" / "ab"[k % 2] / f"{k:02}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(np.full((8, 8, 3), k, np.uint8)).save(path)
            shard.add(path, path.name)
    return [str(root / "folder"), str(root / "shards")]


# An error unwinds all that `sys.exit` does.
@sampled(lambda ending: ending in [*ENDINGS][:2], {"ending": ENDINGS})
def test_a_script_that_ends_with_iterators_ends_in_silence(ending: str, sources: list[str]) -> None:
    # Deprecations are those of a newer Python's fork; everything else would be reported.
    flags = ("-X", "dev", "-W", "error", "-W", "ignore::DeprecationWarning")
    ended = run_script(
        BEGUN + ENDINGS[ending], *sources, imports=["torch", "augfeed.loader"], flags=flags,
        finalize=True,
    )  # fmt: skip
    if ending == "an error":
        assert ended.returncode == 1
        assert ended.stderr.count("Traceback") == 1
        assert ended.stderr.endswith("ValueError: stop\n")
    else:
        assert (ended.returncode, ended.stderr) == (0, "")
