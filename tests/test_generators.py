"""No import and no first use moves a global generator; torch's, as far as torch's loader does."""

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
# Modules that need an engine that `dev` does not bring.
APART = () if find_spec("ray") else ("augfeed.ray", "augfeed_service.ray")
ROOMS = {"pipelines": "augfeed", "service": "augfeed_service", "client": "augfeed_client",
         "trainer": "augfeed_trainer"}  # fmt: skip

STATES = """
import gc, random, sys
gc.disable()  # there is little else than imports, of which it makes each longer
import numpy as np
import torch

def states():
    name, words, place, *_ = np.random.get_state()
    return random.getstate(), words.tobytes(), place, torch.get_rng_state().numpy().tobytes()

def moved(before):
    names = "random", "numpy.random", "numpy.random", "torch"
    return [name for name, a, b in zip(names, before, states()) if a != b]
"""

IMPORTS = """
import importlib, warnings

warnings.simplefilter("ignore")
assert "rich.style" not in sys.modules
for name in sys.argv[1:]:
    before = states()
    importlib.import_module(name)
    if found := moved(before):
        print(name, *found)
before = states()
random.random()
print("this script", *moved(before), flush=True)
"""

USES = """
warnings.simplefilter("default")
import tempfile
from pathlib import Path
from PIL import Image

def reported(what, before, allowed=()):
    if found := set(moved(before)) - set(allowed):
        print(what, *found)

before = states()
import augfeed
augfeed.DataLoader
reported("the class", before)
images, labels = torch.ones(16, 3, 8, 8), torch.arange(16)
folder = Path(tempfile.mkdtemp())
for k in range(4):
    (folder / str(k % 2)).mkdir(exist_ok=True)
    Image.new("RGB", (32, 32), (k, 9, 9)).save(folder / str(k % 2) / f"{k}.jpg")
blur = augfeed.Policy([augfeed.Kornia("RandomGaussianBlur", kernel_size=(3, 3), sigma=(0.1, 1))])
for what, data, policy, options in (
    ("arrays", (images, labels), "hflip", {}),
    ("own data set", [(images[k], k) for k in range(16)], "hflip", {}),
    ("folder", folder, "random_resized_crop(16)", {"cache": "ram"}),
    ("stages", (images, labels), blur, {}),
):
    before = states()
    loader = augfeed.DataLoader(data, 4, shuffle=True, policy=policy, seed=3, **options)
    reported(f"making a loader of {what}", before)
    list(loader)
    reported(f"iterating over {what}", before, ["torch"])
    before = states()
    str(loader.explain())
    reported(f"explaining {what}", before)
before = states()
from augfeed.doctor import machine, self_test
from augfeed.show import explain_sample, preview
pipeline = augfeed.Pipeline(augfeed.open_source(folder), augfeed.presets.imagenet(16))
preview(pipeline, indices=[0], epochs=[0])
explain_sample(pipeline, 0, 0)
machine()
self_test(4000)
from augfeed.demo import digits
digits()
reported("showing", before)
"""


@pytest.fixture(scope="module")
def moving() -> list[str]:
    """Return what moved which generators, in a process that imports all and then uses it."""
    every = [name for room in ROOMS for name in modules(room)]
    done = subprocess.run(
        [sys.executable, "-c", STATES + IMPORTS + USES, *every], capture_output=True, text=True,
        timeout=250,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout.splitlines()


def modules(room: str) -> list[str]:
    folder = ROOT / room
    names = [path.relative_to(folder).with_suffix("").parts for path in folder.rglob("*.py")]
    found = [".".join(parts[: -1 if parts[-1] == "__init__" else None]) for parts in names]
    # What is not installed in the environment of the tests cannot be imported there.
    missing = [] if find_spec("transformers") else ["augfeed.integrations.transformers"]
    left = ("__main__", *missing)
    return sorted(name for name in found if not (name.endswith(left) or name.startswith(APART)))


def test_importing_the_modules_moves_no_generator_and_one_that_moves_is_found(
    moving: list[str],
) -> None:
    assert moving[0] == "this script random"


def test_using_it_moves_no_generator_but_what_torch_itself_draws(moving: list[str]) -> None:
    assert moving[moving.index("this script random") + 1 :] == []
