from pathlib import Path

import pytest
from PIL import Image
from rich.console import Console

from augfeed_trainer.demo import recipes, run_demo

pytest.importorskip("sklearn")


def test_both_recipes_stop_by_the_same_rule_and_only_one_regularizes() -> None:
    plain, regularized = recipes().values()
    assert (plain.patience, plain.epochs) == (regularized.patience, regularized.epochs)
    assert plain.augmentation().operations == ()
    assert {"policy", "norm", "label_smoothing", "weight_decay"} <= regularized.changes().keys()


def test_the_demo_shows_a_table_and_curves(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    fewer = {name: recipe.with_(epochs=4) for name, recipe in recipes().items()}
    monkeypatch.setattr("augfeed_trainer.demo.recipes", lambda: fewer)
    (one_image,) = run_demo(Console(width=100), tmp_path, seeds=(0,))
    printed = capsys.readouterr().out
    assert "259 to train on, 143 for early stopping, 359 for the test" in printed
    assert "plain" in printed and "regularized" in printed and "epochs to stop" in printed
    with Image.open(one_image) as image:
        assert image.width > 500
