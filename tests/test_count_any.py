"""Types say what functions take: how many parameters are `Any`, and that it stays few."""

import ast

from tests.count_any import LIBRARY, ROOT, annotations, counted, is_any, sources_of

MOST = 0.11  # of the parameters; loops compiled by Numba, and data of any form, have their reasons


def test_parameters_are_counted_as_annotated() -> None:
    source = (
        "def f(a: Any, /, b: int, *rest: Any, c: Any = 3, **more: Any) -> Any: ...\n"
        "class C:\n"
        "    async def g(self, x: list[Any], y, z: Any | None): ...\n"
    )
    assert [is_any(each) for each in annotations(source)] == [True, False, True, False, False]
    every, vague = counted({"one": source, "two": "def h(x: Any): ..."})
    assert (every.total(), vague.total(), vague["two"]) == (6, 3, 1)


def test_few_parameters_of_the_library_are_of_any_type() -> None:
    every, vague = counted(sources_of(None))
    assert vague.total() <= MOST * every.total(), vague.most_common(10)


def test_no_function_takes_a_loader_of_any_type() -> None:
    """What it may ask of one would be anybody's guess; see `augfeed.feed.loader_state`."""
    found = []
    for path in (ROOT / LIBRARY).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.arg) and node.arg in ("loader", "state"):
                found += [(path.name, node.lineno)] if _is_vague(path.name, node) else []
    assert not found


def _is_vague(file: str, node: ast.arg) -> bool:
    # A state that somebody loads may be anything; so may the trainer's of transformers.
    if node.arg == "state" and file in ("epoch_pass.py", "transformers.py"):
        return False
    return node.annotation is not None and is_any(node.annotation)
