"""An Accelerate run on two ranks; the first prints what all got, as one line of JSON."""

import json
from typing import Any

import torch
from accelerate import Accelerator

from augfeed import DataLoader
from tests.augfeed.scripts import leave
from tests.augfeed.scripts.ranks import data_of


def main() -> None:
    """Prepare, train an epoch, gather."""
    accelerator = Accelerator(cpu=True, gradient_accumulation_steps=4)
    found: dict[str, Any] = {}
    for lane in ("general", "native"):
        policy = "hflip | mixup(0.4) | gaussian_noise(0.1)"
        given: DataLoader[Any] = DataLoader(data_of(lane), 8, True, policy=policy, seed=3)
        loader = accelerator.prepare(given)
        ids = [accelerator.gather_for_metrics(batch.ids).tolist() for batch in loader.batches()]
        ends = []
        layer = accelerator.prepare(torch.nn.Linear(192, 5))
        for images, targets in loader:
            with accelerator.accumulate(layer):
                output = layer(images.flatten(1))
                accelerator.backward(torch.nn.functional.cross_entropy(output, targets))
                ends.append(accelerator.sync_gradients)
        found[lane] = {"same": loader is given, "length": len(loader), "ids": ids, "ends": ends}
    if accelerator.is_main_process:
        print(json.dumps(found), flush=True)
    accelerator.wait_for_everyone()
    leave()
