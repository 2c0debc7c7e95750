"""Operations as declarations: what follows from them is written, and nothing is left out."""

import pickle
from pathlib import Path

import pytest

from augfeed.notation import parse_policy
from augfeed.ops import generate
from augfeed.philox import Stream
from augfeed.policy import OPERATIONS, Declaration, Policy, Solarize
from tests.cases import CASES

OUTPUTS = generate.outputs()


@pytest.mark.parametrize("path", OUTPUTS, ids=lambda path: path.name)
def test_writing_what_follows_from_the_declarations_changes_nothing(path: Path) -> None:
    assert path.read_text(encoding="utf-8") == OUTPUTS[path], "python -m augfeed.ops.generate"


def test_only_files_that_differ_are_written(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    one.write_text("1")
    assert generate.write({one: "1", two: "2"}) == [two]
    assert generate.write({one: "1", two: "3"}) == [two]
    assert two.read_text() == "3"


def test_every_file_of_an_operation_is_listed_by_its_name() -> None:
    files = {path.stem for path in Path(generate.PACKAGE / "ops").glob("[a-z]*.py")} - {"generate"}
    assert files == {*OPERATIONS}
    assert [cls.order for cls in OPERATIONS.values()] == sorted(
        cls.order for cls in OPERATIONS.values()
    )


def test_streams_of_operations_are_their_own() -> None:
    own = [cls.stream for cls in OPERATIONS.values() if cls.stream and not cls.exclusive]
    assert len({*own, *Stream}) == len(own) + len(Stream)
    assert all(0 < stream < 2**16 for stream in own)


@pytest.mark.parametrize("what", ["order", "stream", "columns", "short", "cases"])
def test_an_operation_that_takes_what_is_anothers_is_refused(what: str) -> None:
    own = {"order": 599, "stream": 9999, "columns": (), "short": "own", "cases": {}}
    taken = {"short": "hflip", **{name: getattr(Solarize, name) for name in own if name != "short"}}
    twin = type("Twin", (Solarize,), {**own, what: taken[what]})
    twin.__dataclass_fields__ = {"op": type("F", (), {"default": "twin"})}  # type: ignore[attr-defined]
    with pytest.raises(TypeError, match=r"is (Solarize|HorizontalFlip)'s already"):
        generate._check([*OPERATIONS.values(), twin])


def test_every_operation_that_engines_carry_out_has_a_case() -> None:
    apart = {"resize", "random_resized_crop", "random_crop", "center_crop",  # cases of windows
             "kornia", "border", "label_smoothing"}  # fmt: skip
    assert {name for name, cls in OPERATIONS.items() if not cls.cases} == apart
    for cls in OPERATIONS.values():
        for name in cls.cases:
            assert any(isinstance(item, cls) for item in CASES[name])


@pytest.mark.parametrize("name", sorted(CASES))
def test_operations_survive_pickling_json_and_notation(name: str) -> None:
    policy = Policy(CASES[name])
    assert pickle.loads(pickle.dumps(policy)) == policy
    assert Policy.from_json(policy.to_json()) == policy
    assert parse_policy(" | ".join(_line(item) for item in policy.operations)) == policy


def _line(item: Declaration) -> str:
    from augfeed.notation import format_policy

    return format_policy(Policy.model_construct(operations=(item,)))
