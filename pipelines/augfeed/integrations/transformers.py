"""Hugging Face's `Trainer`: a callback that resumes an augmenting loader in mid-epoch."""

import sys
import warnings
from typing import Any

from augfeed.errors import InputError, MissingExtraError
from augfeed.loader import DataLoader
from augfeed.targets import softens

try:
    from transformers.trainer_callback import ExportableState, TrainerCallback
except ImportError as error:
    raise MissingExtraError("transformers >= 4.46", "transformers") from error

Callback: Any = TrainerCallback
Exportable: Any = ExportableState


class ResumeCallback(Callback, Exportable):  # type: ignore[misc]
    """Lets `Trainer.train(resume_from_checkpoint=...)` go on at the batch after the checkpoint.

    `Trainer(..., callbacks=[ResumeCallback()])`, where `get_train_dataloader` returns an
    `augfeed.DataLoader` with a policy. Checkpoints then hold the state of the loader; one without
    it will do where the loader has a seed. No batch is made to be thrown away. Other loaders are
    left to the trainer, and so is the data under `ignore_data_skip=True`. Warns once if a model has
    taken soft labels for those of several classes at a time.
    """

    def __init__(self) -> None:
        self._loader: DataLoader[Any] | None = None
        self._unset = False  # whether the model is to find out by its labels which loss it takes

    def state(self) -> dict[str, Any]:
        """Return what a checkpoint is to hold: the state of the loader."""
        held = None if self._loader is None else self._loader.state_dict()
        return {"args": {}, "attributes": {"held": held}}

    def on_train_begin(self, args: Any, state: Any, control: Any, **others: Any) -> None:
        """Bring the loader to where the checkpoint was taken."""
        loader = others.get("train_dataloader")
        if not isinstance(loader, DataLoader) or loader.lane == "torch":
            return
        self._loader = loader
        config = getattr(others.get("model"), "config", None)
        self._unset = config is not None and getattr(config, "problem_type", None) is None
        # The trainer asks for the name when it saves, also in a run that began without it.
        nothing = {"args": {}, "attributes": {"held": None}}
        held = _held(state.stateful_callbacks.setdefault(type(self).__name__, nothing))
        if not state.global_step or args.ignore_data_skip:
            return
        if held is not None:
            loader.load_state_dict(held)
        _install(loader, None if held is not None else int(state.epoch or 0))

    def on_step_end(self, args: Any, state: Any, control: Any, **others: Any) -> None:
        """Warn, after the first step, of a loss that soft labels have chosen."""
        loader, unset, self._unset = self._loader, self._unset, False
        if loader is None or not unset:
            return
        kind = getattr(others["model"].config, "problem_type", None)
        policy = loader._state.policy
        soft = loader.targets == "dense" or (policy is not None and softens(policy))
        if kind == "multi_label_classification" and soft:
            warnings.warn(
                "the model has taken soft labels for those of several classes at a time "
                f"(config.problem_type={kind!r}), and its loss is a binary cross entropy: if each "
                "image has one class, give the Trainer "
                "compute_loss_func=lambda out, y, **_: cross_entropy(out.logits, y)",
                stacklevel=2,
            )

    def on_train_end(self, args: Any, state: Any, control: Any, **others: Any) -> None:
        """Leave the trainer's module as it was."""
        _uninstall()


def _held(told: Any) -> dict[str, Any] | None:
    # A list where there are several callbacks of this class: all hold the same.
    first = told[0] if isinstance(told, list) else told
    held: dict[str, Any] | None = first["attributes"].get("held")
    return held


def _install(loader: DataLoader[Any], epoch: int | None) -> None:
    """Have the trainer skip batches by the loader itself, in an epoch if it is not there yet.

    The trainer would rebuild a plain loader from its attributes, without the policy.
    """
    _uninstall()
    module: Any = sys.modules["transformers.trainer"]
    before = module.skip_first_batches

    def skip(given: Any, batches: int = 0) -> Any:
        if given is not loader:
            return before(given, batches)
        if epoch is not None:
            if loader.seed is None:
                raise InputError(
                    f"the checkpoint has no state of this loader, and with seed={loader.seed!r} "
                    "nothing else says which batches came before it: give seed=, or train with "
                    "ResumeCallback() from the start"
                )
            loader.set_epoch(epoch)
            loader.skip(batches)
        return loader

    skip.augfeed_before = before  # type: ignore[attr-defined]
    module.skip_first_batches = skip


def _uninstall() -> None:
    module: Any = sys.modules["transformers.trainer"]
    found = module.skip_first_batches
    module.skip_first_batches = getattr(found, "augfeed_before", found)


__all__ = ["ResumeCallback"]
