"""Ids of plans as other languages make them; JavaScript's is run where there is node."""

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from augfeed import parse_policy
from augfeed.policy import ColorJitter, HorizontalFlip, Policy, Rotate
from augfeed.wire import Description, decode_batch
from tests.service.servers import Running, described
from tests.waiting import HANG

NODE = shutil.which("node")
needs_node = pytest.mark.skipif(NODE is None, reason="no node: JavaScript cannot be run")
DOCS = Path(__file__).resolve().parents[2] / "docs" / "service.md"
FLOATS = st.floats(0, 1)
DESCRIPTIONS = st.builds(
    lambda seed, jitter, degrees, chance, name: Description(
        dataset="a", seed=seed,
        policy=Policy([ColorJitter(*jitter), Rotate(degrees), HorizontalFlip(chance)], name=name),
    ),
    st.integers(0, 2**64 - 1), st.tuples(FLOATS, FLOATS, FLOATS), st.floats(0, 180), FLOATS,
    st.text(st.characters(codec="utf-8"), max_size=20),
)  # fmt: skip
AWKWARD = [
    Description(dataset="a", policy=Policy([ColorJitter(number)], name=name))
    for number in (1e-7, 5e-324, 0.1, 1 / 3, 1.0, 1e-6, 123e-20, 0.30000000000000004)
    for name in ("\u00e9", "\u2028", "\U0001f600", "\x00\x1f\x7f", '"\\/\b\f\n\r\t', "\ufb33")
]


def script() -> str:
    """Return the JavaScript of the documentation."""
    (found,) = re.findall(r"```js\n(.*?)```", DOCS.read_text(), re.DOTALL)
    return str(found)


def run_node(text: str, folder: Path, *arguments: str, given: str = "") -> str:
    assert NODE is not None
    (folder / "plan.mjs").write_text(text)
    command = [NODE, str(folder / "plan.mjs"), *arguments]
    done = subprocess.run(command, input=given, capture_output=True, text=True, timeout=HANG)
    assert done.returncode == 0, done.stderr
    return done.stdout


@needs_node
def test_the_example_in_javascript_makes_the_same_plan(running: Running, tmp_path: Path) -> None:
    said = run_node(script(), tmp_path, running.url, "photos").split()
    policy = parse_policy("random_resized_crop(32) | color_jitter(0.4)")
    plan = Description(dataset="photos", policy=policy, batch_size=8, seed=2**64 - 1)
    path = f"/v1/plans/{plan.id}/epochs/0/batches/0"
    batch, _ = decode_batch(running.ask("GET", path).body)
    assert said == [plan.id, "U8", "8x3x32x32", str(int(batch.images.sum()))]


@needs_node
def test_javascript_computes_the_id_of_any_plan(tmp_path: Path) -> None:
    functions = script()
    functions = functions[: functions.index("async function send")]
    loop = """
import { readFileSync } from "node:fs";
for (const text of JSON.parse(readFileSync(0, "utf8"))) console.log(planId(JSON.parse(text)));
"""
    plans = [*AWKWARD]

    @settings(max_examples=300, deadline=None, database=None)
    @given(DESCRIPTIONS)
    def collect(plan: Description) -> None:
        plans.append(plan)

    collect()
    # As the service sends descriptions, and as they are kept.
    texts = [json.dumps(json.loads(plan.to_json())) for plan in plans]
    found = run_node(functions + loop, tmp_path, given=json.dumps(texts)).split()
    assert found == [plan.id for plan in plans] and len(plans) > 300


def post(running: Running, text: Any) -> Any:
    return running.ask("POST", "/v1/plans", text)


@pytest.mark.parametrize("seed", [0, 2**53 - 1, 2**53, 2**64 - 1])
def test_a_short_description_is_answered_with_its_id_and_all_of_it(
    running: Running, seed: int
) -> None:
    plan = described(policy="hflip(0.123) | mixup", seed=seed)
    short = {
        "dataset": "digits",
        "batch_size": 16,
        "seed": seed,
        "policy": {"operations": [{"op": "mixup"}, {"op": "horizontal_flip", "p": 0.123}]},
    }
    answers = [post(running, json.dumps(short)), post(running, plan.canonical())]
    assert [answer.status for answer in answers] == [201, 200]
    for answer in answers:
        said = json.loads(answer.body)
        assert said["id"] == plan.id and answer.headers["location"] == f"/v1/plans/{plan.id}"
        assert Description.parse(json.dumps(said["description"])) == plan
    assert running.ask("GET", f"/v1/plans/{plan.id}").body == answers[0].body
    assert running.ask("PUT", f"/v1/plans/{plan.id}", json.dumps(short)).status == 200


def test_a_wrong_id_is_answered_with_the_right_one(running: Running) -> None:
    plan = described(seed=5)
    for wrong in ("0" * 32, plan.id.upper(), plan.id[:-1], "x"):
        answer = running.ask("PUT", f"/v1/plans/{wrong}", plan.canonical())
        assert (answer.status, answer.problem) == (409, "plan-id-mismatch")
        right = json.loads(answer.body)["expected_id"]
        assert running.ask("PUT", f"/v1/plans/{right}", plan.canonical()).status in (200, 201)


@pytest.mark.parametrize(
    ("text", "status", "problem"),
    [(b"", 400, "malformed"), (b"[]", 400, "malformed"), (b"{}", 422, "invalid-description"),
     (b'{"dataset": "nowhere", "policy": {}}', 404, "unknown-dataset"),
     (b'{"dataset": "digits", "policy": {}, "seed": "3"}', 422, "invalid-description"),
     (b'{"dataset": "digits", "dataset": "digits", "policy": {}}', 400, "malformed")],
)  # fmt: skip
def test_what_is_no_description_gets_no_id(
    running: Running, text: bytes, status: int, problem: str
) -> None:
    answer = post(running, text)
    assert (answer.status, answer.problem) == (status, problem)
