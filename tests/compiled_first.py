"""Compiles the largest loops once, at the beginning of a run of all tests.

Each process that needs one would otherwise compile what it has in common with the others again.
"""

from pathlib import Path

import numpy as np
from PIL import Image

import augfeed
from tests.cases import CASES, SMALL, make_images, plan_of, policy_of, run

# In this order no two processes wait for each other: loops are compiled by one at a time.
BYTES = ("whole chain", "frames, recoloured", "program of frames")
FLOATS = ("frames, recoloured", "program of frames")


def compile_bytes() -> None:
    """Compile what images of bytes need."""
    for case in BYTES:
        run("cpu", plan_of(policy_of(CASES[case], 3), SMALL), make_images(SMALL))


def compile_floats(folder: Path) -> None:
    """Compile what images of floats need, then what reading and resizing do."""
    for case in FLOATS:
        run("cpu", plan_of(policy_of(CASES[case], 3), SMALL), make_images(SMALL).float() / 255)
    folder.mkdir()
    pixels = np.arange(40 * 30 * 3, dtype=np.uint8).reshape(40, 30, 3)
    for name in ("a.jpg", "b.png"):
        Image.fromarray(pixels).save(folder / name)
    for images in (folder, (pixels[None], [0]), (pixels[None] / np.float32(255), [0])):
        next(iter(augfeed.DataLoader(images, 2, policy="random_resized_crop(8)")))
