"""Hugging Face's Trainer goes on in mid-epoch as if nothing had happened."""

import importlib
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import Dataset

from augfeed import DataLoader
from augfeed.errors import InputError, MissingExtraError

try:
    import transformers
except ImportError:
    transformers = None
needed = pytest.mark.skipif(
    transformers is None, reason="needs transformers: pip install transformers"
)
pytestmark = [
    # Of transformers, accelerate and what they import.
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore:This DataLoader will create"),
]
COUNT, BATCH = 44, 4  # 11 batches
PIXELS = torch.from_numpy(
    np.random.default_rng(4).integers(0, 256, (COUNT, 3, 8, 8), dtype=np.uint8)
)
POLICY = "random_crop(8, padding=1) | hflip | normalize(0.5, 0.25)"
ORDERS: dict[str, Any] = {
    "seed": lambda: {"seed": 5},
    "generator": lambda: {"generator": torch.Generator().manual_seed(3)},
    "torch": dict,
    "workers": lambda: {"seed": 5, "num_workers": 1, "persistent_workers": True},
}


class Pictures(Dataset[Any]):
    classes = tuple("abcd")

    def __len__(self) -> int:
        return COUNT

    def __getitem__(self, i: int) -> Any:
        return {"pixel_values": PIXELS[i], "labels": i % 4}


class Tiny(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(192, 4)

    def forward(self, pixel_values: Any, labels: Any) -> Any:
        logits = self.layer(pixel_values.flatten(1))
        return {"loss": torch.nn.functional.cross_entropy(logits, labels), "logits": logits}


def callback() -> Any:
    from augfeed.integrations.transformers import ResumeCallback

    return ResumeCallback()


class Run:
    """What a training saw, and where it ended."""

    def __init__(self, folder: Path, order: str, resume: int | None = None, **options: Any) -> None:
        self.seen: list[Any] = []
        callbacks = options.pop("callbacks", None)
        given = {"policy": POLICY, "shuffle": True, **ORDERS[order](), **options.pop("loader", {})}
        seen, model = self.seen, options.pop("model", Tiny)
        from transformers import Trainer, TrainingArguments

        class Watched(Trainer):  # type: ignore[misc]
            def get_train_dataloader(self) -> Any:
                loader: DataLoader[Any] = DataLoader(Pictures(), BATCH, **given)
                return self.accelerator.prepare(loader)

            def training_step(self, model: Any, inputs: Any, *args: Any, **kwargs: Any) -> Any:
                seen.append((float(inputs["pixel_values"].double().sum()), inputs["labels"]))
                return super().training_step(model, inputs, *args, **kwargs)

        torch.manual_seed(17 if resume else 1)  # another process
        settings: dict[str, Any] = {
            "num_train_epochs": 2, "report_to": [], "remove_unused_columns": False,
            "save_strategy": "steps", "save_steps": 1, "use_cpu": True, "disable_tqdm": True,
            "logging_steps": 1000, "seed": 3, **options,
        }  # fmt: skip
        arguments = TrainingArguments(str(folder), **settings)
        self.trainer = Watched(
            model=model(), args=arguments,
            callbacks=[callback()] if callbacks is None else callbacks,
        )  # fmt: skip
        there = None if resume is None else str(folder / f"checkpoint-{resume}")
        self.trainer.train(resume_from_checkpoint=there)
        self.weights = [part.detach().clone() for part in self.trainer.model.parameters()]

    @property
    def end(self) -> tuple[Any, ...]:
        return self.trainer.state.global_step, self.trainer.state.epoch


def same(found: list[Any], expected: list[Any]) -> bool:
    return len(found) == len(expected) and all(
        a == b and torch.equal(x, y) for (a, x), (b, y) in zip(found, expected, strict=True)
    )


@needed
@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("together", [1, 2])
def test_a_resumed_training_sees_what_an_uninterrupted_one_does(
    order: str, together: int, tmp_path: Path
) -> None:
    options = {"gradient_accumulation_steps": together}
    whole = Run(tmp_path, order, **options)
    steps = -(-11 // together)
    for step in (1, steps - 1, steps, steps + 2):
        resumed = Run(tmp_path, order, step, **options)
        begin = min(step * together, 11) + max(0, step - steps) * together
        assert same(resumed.seen, whole.seen[begin:]), step
        assert resumed.end == whole.end
        assert all(map(torch.equal, resumed.weights, whole.weights))


@needed
def test_a_checkpoint_without_a_state_will_do_where_a_seed_says_all(tmp_path: Path) -> None:
    whole = Run(tmp_path, "seed", callbacks=[])
    assert same(Run(tmp_path, "seed", 14).seen, whole.seen[14:])
    Run(tmp_path, "torch", callbacks=[])
    with pytest.raises(InputError, match="give seed="):
        Run(tmp_path, "torch", 3)


@needed
def test_without_the_callback_the_error_names_it_and_nothing_is_left_of_it(tmp_path: Path) -> None:
    Run(tmp_path, "seed")
    Run(tmp_path, "seed", 3)
    with pytest.raises(InputError, match="ResumeCallback"):
        Run(tmp_path, "seed", 3, callbacks=[])


@needed
def test_other_loaders_and_those_asked_to_begin_anew_are_the_trainers(tmp_path: Path) -> None:
    plain = {"policy": None, "shuffle": False, "collate_fn": scaled, "seed": None}
    whole = Run(tmp_path, "seed", loader=plain)
    assert same(Run(tmp_path, "seed", 3, loader=plain).seen, whole.seen[3:])
    begun = Run(tmp_path, "seed")
    anew = Run(tmp_path, "seed", 3, ignore_data_skip=True)
    assert same(anew.seen, begun.seen[:19])


def scaled(samples: list[Any]) -> Any:
    return {
        "pixel_values": torch.stack([one["pixel_values"] for one in samples]) / 255,
        "labels": torch.tensor([one["labels"] for one in samples]),
    }


@needed
@pytest.mark.parametrize(("policy", "warns"), [("mixup(0.4)", True), ("hflip", False)])
def test_a_loss_that_soft_labels_have_chosen_is_reported(
    policy: str, warns: bool, tmp_path: Path, recwarn: pytest.WarningsRecorder
) -> None:
    from transformers import ViTConfig, ViTForImageClassification

    config = ViTConfig(
        hidden_size=8, num_hidden_layers=1, num_attention_heads=1, intermediate_size=8,
        image_size=8, patch_size=4, num_labels=4,
    )  # fmt: skip
    options: dict[str, Any] = {"max_steps": 3, "save_strategy": "no"}
    loader = {"policy": f"{policy} | normalize(0.5, 0.25)"}
    Run(tmp_path, "seed", model=lambda: ViTForImageClassification(config), loader=loader, **options)
    said = [str(one.message) for one in recwarn if "compute_loss_func" in str(one.message)]
    assert len(said) == warns


def test_without_transformers_the_error_is_the_pip_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    monkeypatch.setitem(sys.modules, "transformers.trainer_callback", None)
    monkeypatch.delitem(sys.modules, "augfeed.integrations.transformers", raising=False)
    with pytest.raises(MissingExtraError, match=r"pip install 'augfeed\[transformers\]'"):
        importlib.import_module("augfeed.integrations.transformers")


def test_the_guard_of_an_augmenting_loader_names_the_callback() -> None:
    loader: DataLoader[Any] = DataLoader(Pictures(), BATCH, policy=POLICY)
    with pytest.raises(InputError, match=r"augfeed\.integrations\.transformers\.ResumeCallback"):
        loader.collate_fn([])
