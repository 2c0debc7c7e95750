"""What the compiler makes of the kernels, for GPUs that are not here: no spills, wide accesses."""

import json
from typing import Any

import pytest

from augfeed.constants import BILINEAR
from tests.augfeed.scripts.compiled import FEW, OFTEN, SELDOM
from tests.sampling import ALL
from tests.template import run_compiling

BITS = {"torch.float32": 32, "torch.float16": 16, "torch.bfloat16": 16, "torch.uint8": 8}
Rows = list[dict[str, Any]]


@pytest.fixture(scope="module")
def whole(pytestconfig: pytest.Config) -> bool:
    """Whether all are compiled for all architectures, not only a part."""
    return bool(pytestconfig.option.whole)


@pytest.fixture(scope="module")
def compiled(whole: bool) -> Rows:
    """Compile the specializations, in a process without the interpreter."""
    done = run_compiling(
        "tests.augfeed.scripts.compiled", *([ALL] if whole else []),
        imports=["augfeed.engines.cuda.report"],
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def named(row: dict[str, Any]) -> str:
    return f"{row['name']} {row['dtype']} sm_{row['arch']} {row['spec']}"


pytestmark = pytest.mark.timeout(1200)  # a minute; seconds with a warm cache; with all, minutes


def test_every_specialisation_compiles_and_some_for_every_architecture(
    compiled: Rows, whole: bool
) -> None:
    kinds: dict[str, set[int]] = {}
    for row in compiled:
        kinds.setdefault(json.dumps([row["spec"], row["dtype"], row["divisible"]]), set()).add(
            row["arch"]
        )
    assert len(kinds) > (140 if whole else 35)
    assert all(OFTEN in found for found in kinds.values())
    everywhere = sum(found == {OFTEN, *SELDOM} for found in kinds.values())
    assert everywhere == len(kinds) if whole else everywhere == len(FEW)


def test_nothing_spills_and_no_array_lies_in_local_memory(compiled: Rows, whole: bool) -> None:
    names = ("augment", "sums", "finish", "count_levels", "fill_tables", "look_up", "weigh_across",
             "weigh_down", "cut_frames", "bring_back", "count_drawn", "fill_drawn", "look_up_drawn",
             "combine_drawn", "warp_drawn", "weigh_drawn_across",
             "weigh_drawn_down", "make_stencils", "put_frames", "fill_planes",
             "transform_planes", "put_planes", "fill_fields", "smooth_fields", "displace",
             "make_stencils drawn", "put_frames drawn",
             *(f"show_masks {k}" for k in (range(6) if whole else range(3, 6))))  # fmt: skip
    kernels = [(named(row), row[name]) for row in compiled for name in names if name in row]
    assert {name for row in compiled for name in row} > {*names}
    assert not [name for name, kernel in kernels if kernel["stack"] or kernel["local"]]


def test_groups_of_pixels_are_stored_at_once(compiled: Rows) -> None:
    wrong = []
    for row in compiled:
        width, stores = row["spec"]["vec"] * BITS[row["dtype"]], row["augment"]["stores"]
        if row["spec"]["vec"] > 1 and set(map(int, stores)) != {min(width, 128)}:
            wrong.append(f"{named(row)}: {stores}")
    assert not wrong


def test_bytes_are_read_as_words(compiled: Rows) -> None:
    """Of frames all, warped or not; of windows, all but what lies beyond a border.

    But for warps by other filters than bilinear, whose neighbors are read one by one.
    """
    for row in compiled:
        if row["spec"]["warp"] and row["spec"]["filters"] != 1 << BILINEAR:
            continue
        spec, loads = row["spec"], {int(bits) for bits in row["augment"]["loads"]}
        if spec["vec"] > 1 and spec["pad"] < 0:
            assert min(loads) >= 32, named(row)
        if spec["vec"] == 8 and spec["pad"] < 0:
            assert max(loads) == 64, named(row)


def test_a_policy_pays_only_for_what_it_uses(compiled: Rows) -> None:
    def loads(name: str) -> int:
        row = next(row for row in compiled if row["name"] == name and row["arch"] == 90)
        return sum(row["augment"]["loads"].values())

    plain = loads("nothing")
    assert plain < loads("horizontal flip") < loads("contrast about mean") < loads("whole chain")
    assert plain < loads("mixup") and plain < loads("rotate")
