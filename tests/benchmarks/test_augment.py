"""The benchmark of `Augment`: a gate that refuses other work, and a result that can be read."""

from pathlib import Path

import pytest
import torch

from benchmarks import bench_augment
from benchmarks.gate import GateError
from benchmarks.result_augment import AugmentResult, render


def test_the_gate_refuses_one_draw_for_all_and_other_pixels() -> None:
    own, images = bench_augment.augfeed(), bench_augment.images_of(8, 8)

    def still(images: torch.Tensor) -> torch.Tensor:
        return own(images[:1].expand(8, -1, -1, -1))[:1].expand(len(images), -1, -1, -1)

    for other, message in ((still, "comes out the same"), (lambda x: own(x) + 1, "mean"),
                           (lambda x: own(x).half(), "float16")):  # fmt: skip
        with pytest.raises(GateError, match=message):
            bench_augment.check({"augfeed": own, "other": other}, images)


def test_a_run_leaves_a_row_for_each_side(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    known = {"augfeed": bench_augment.CONTESTANTS["augfeed"]}
    monkeypatch.setattr(bench_augment, "CONTESTANTS", known)
    monkeypatch.setattr(bench_augment, "SIDES", (16, 8))
    out = tmp_path / "augment.json"
    words = ["--batch-size", "8", "--rounds", "2", "--num-workers", "1", "--out", str(out)]
    assert bench_augment.main(words) == 0
    result = AugmentResult.model_validate_json(out.read_text())
    assert [(row.side, row.name) for row in result.rows] == [(16, "augfeed"), (8, "augfeed")]
    assert render(result) in capsys.readouterr().out
