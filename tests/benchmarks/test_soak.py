"""The soak: what it sees is what happened, and what does not hold is said."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks import soak_service
from benchmarks.result_soak import Life, SoakResult, server_fault
from benchmarks.soak_attacks import ATTACKS, bomb, exchange, upload
from benchmarks.table import rendered
from tests.client.fronts import Scripted, answered
from tests.waiting import eventually

SAFE = "half-headers,garbage,framing,unknown-plans"


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> SoakResult:
    """A short run, against attacks that a service of any size withstands."""
    out = tmp_path_factory.mktemp("soak") / "soak.json"
    given = ["--minutes", "0.05", "--replicas", "2", "--seed", "3", "--attacks", SAFE]
    code = soak_service.main([*given, "--out", str(out)])
    found = SoakResult.model_validate_json(out.read_text())
    assert code == bool(found.broken())
    assert "The batch service among its enemies" in rendered(out.read_text())
    return found


def test_every_batch_of_a_short_soak_is_that_made_in_process(result: SoakResult) -> None:
    assert result.batches > 10 and result.wrong == 0 and not result.failures
    assert not any(map(server_fault, result.statuses)) and result.statuses["200"] > 10


def test_memory_is_seen_of_every_process(result: SoakResult) -> None:
    assert {life.replica for life in result.lives} == {0, 1}
    assert 1 <= result.killed + result.terminated <= len(result.lives) - 1
    assert all(life.base > 1e7 and life.budget > 1e7 for life in result.lives)
    assert any(life.points and life.peak >= max(size for _, size in life.points)
               for life in result.lives)  # fmt: skip


def changed(result: SoakResult, **given: Any) -> list[str]:
    return SoakResult(**{**result.model_dump(), **given}).broken()


def test_whatever_does_not_hold_is_said(result: SoakResult) -> None:
    base = {"statuses": {"200": 9, "503": 3}, "outcomes": {}, "failures": {}, "wrong": 0,
            "batches": 9, "lives": ()}  # fmt: skip
    whole = SoakResult(**{**result.model_dump(), **base})
    assert not whole.broken()
    assert changed(whole, wrong=2) == ["2 answers are not those that they should be"]
    assert changed(whole, batches=0) == ["no batch was read"]
    assert changed(whole, failures={"gone": 2}) == ["2 x gone"]
    assert changed(whole, statuses={"500": 1}) == ["1 answers of status 500"]
    assert changed(whole, outcomes={"bombs": {"502": 4, "cut off": 1}}) == [
        "4 answers of status 502"
    ]
    for peak, struck, held in ((300, False, True), (301, False, False), (10, True, False)):
        life = Life(replica=1, base=200, budget=100, peak=peak, points=(), struck=struck)
        assert (not changed(whole, lives=(life,))) == held


@pytest.mark.parametrize("name", [one for one in ATTACKS if one != "lying-length"])
def test_an_attack_ends_and_returns_what_came_of_it(name: str) -> None:
    with Scripted(lambda head, n: answered(418, b"", "Connection: close")) as server:
        outcome = ATTACKS[name](server.port, np.random.default_rng(0))
        assert outcome in ("418", "cut off", "no answer", "left")
        assert eventually(lambda: server.taken == 1)


def test_attacks_are_those_of_their_seed() -> None:
    def heads() -> list[bytes]:
        with Scripted(lambda head, n: answered(418, b"", "Connection: close")) as server:
            rng = np.random.default_rng(5)
            for _ in range(6):
                ATTACKS["unknown-plans"](server.port, rng)
        return [head.split(b"\r\n")[0] for head in server.heads]

    assert heads() == heads()


def test_a_bomb_is_small_and_says_that_it_is_large() -> None:
    assert len(bomb(4000)) < 100_000 and bomb(4000)[16:24] == b"\0\0\x0f\xa0" * 2
    with Scripted(lambda head, n: answered(413, b"", "Connection: close")) as server:
        assert exchange(server.port, upload([bomb(30)], "hflip")) == "413"


def test_unknown_attacks_and_too_few_replicas_are_named(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    for given, said in ((["--attacks", "bombs,nothing"], "['nothing']"),
                        (["--replicas", "1"], "replicas=1")):  # fmt: skip
        with pytest.raises(SystemExit):
            soak_service.main([*given, "--out", str(tmp_path / "x.json")])
        assert said in capsys.readouterr().err
