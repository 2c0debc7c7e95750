"""The versions that are promised: bounds of dependencies, and the tested ones inside of them."""

import tomllib
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
# What these change in a new version no test has seen; each has an upper bound.
BOUNDED = {"numba", "pydantic", "pillow", "kornia", "urllib3"}


def requirements() -> Iterator[Requirement]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for lines in (project["dependencies"], *project["optional-dependencies"].values()):
        yield from map(Requirement, lines)


def versions_tested() -> dict[str, str]:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pairs = (line.split("==") for line in lines if line and not line.startswith("#"))
    return {str(canonicalize_name(name)): held for name, held in pairs}


REQUIREMENTS = [each for each in requirements() if canonicalize_name(each.name) != "augfeed"]


@pytest.mark.parametrize("requirement", REQUIREMENTS, ids=str)
def test_the_tested_version_lies_inside_the_bounds(requirement: Requirement) -> None:
    held = versions_tested().get(str(canonicalize_name(requirement.name)))
    if held is not None:
        assert requirement.specifier.contains(held, prereleases=True), (str(requirement), held)


def test_the_versions_at_hand_lie_inside_the_bounds() -> None:
    wrong = []
    for requirement in REQUIREMENTS:
        try:
            held = version(requirement.name)
        except PackageNotFoundError:
            continue
        if not requirement.specifier.contains(held, prereleases=True):
            wrong.append((str(requirement), held))
    assert not wrong


@pytest.mark.parametrize("name", sorted(BOUNDED))
def test_what_may_change_unseen_has_an_upper_bound_wherever_it_is_named(name: str) -> None:
    found = [each for each in REQUIREMENTS if canonicalize_name(each.name) == name]
    assert found
    for requirement in found:
        operators = {part.operator for part in requirement.specifier}
        assert {">=", "<"} <= operators, str(requirement)


def test_all_that_has_bounds_was_tested() -> None:
    assert versions_tested().keys() >= BOUNDED
