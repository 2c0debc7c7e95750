"""What an operation costs: the files that speak of it, and the places in them.

`python -m tests.count_operation solarize [word ...]` prints them for its name, the name of its
class and further words (of its columns, say), in the library and what surrounds it. Generated
files, which `python -m augfeed.ops.generate` writes, are counted apart: nobody edits them. Other
operations and recipes that use it are left out: it would be there without them.
"""

import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LIBRARY = ("pipelines/augfeed/**/*.py",)
AROUND = ("README.md", "CONTRIBUTING.md", "tests/cases.py", "tests/augfeed/test_effects.py")
GENERATED = "python -m augfeed.ops.generate"
MARK = re.compile(r"<!-- operations -->.*?<!-- /operations -->", re.DOTALL)
# Where operations are used, named or compared with others, and not made.
USERS = (
    "presets.py",
    "published_recipes.py",
    "self_supervised_recipes.py",
    "bench/",
    "doctor/",
    "demo/",
    "operation/kornia_effects.py",
    "policy/foreign.py",
)


def operations() -> list[str]:
    """Return the names of all operations, those of their files."""
    return [path.stem for path in (ROOT / "pipelines/augfeed/ops").glob("[!_]*.py")]


def words_of(name: str, more: Iterable[str] = ()) -> re.Pattern[str]:
    """Return what finds an operation: its name, its class, its stream, and further words."""
    title = "".join(part.title() for part in name.split("_"))
    every = "|".join(re.escape(word) for word in (name, title, name.upper(), *more))
    longer = "|".join(other[len(name) :] for other in operations() if other.startswith(f"{name}_"))
    return re.compile(rf"(?<![A-Za-z])(?:{every})(?!{longer or chr(0)})(?![A-Za-z])")


def places(operation: str, more: Iterable[str] = ()) -> Iterator[tuple[str, int, bool]]:
    """Yield file, number of lines that speak of the operation, and whether it is generated."""
    words = words_of(operation, more)
    found = [path for pattern in (*LIBRARY, *AROUND) for path in sorted(ROOT.glob(pattern))]
    for path in found:
        name = path.relative_to(ROOT).as_posix()
        if any(f"augfeed/{user}" in name for user in USERS):
            continue
        text = path.read_text(encoding="utf-8")
        generated = f"{GENERATED}` from" in text and "ops/generate.py" not in name
        generated = generated and not name.endswith("_emit.py")
        if "augfeed/ops/" in name and not generated and path.stem != operation:
            continue
        lines = MARK.sub("", text).splitlines()
        if count := sum(bool(words.search(line)) for line in lines):
            yield name, count, generated


def main(name: str, *more: str) -> None:
    """Print the files and lines of an operation."""
    files, edits, made = 0, 0, 0
    for path, count, generated in places(name, more):
        print(f"{count:4}  {path}{'  (generated)' if generated else ''}")
        files, edits, made = files + (not generated), edits + count * (not generated), (
            made + generated
        )  # fmt: skip
    print(f"{name}: {files} files, {edits} lines; {made} generated files")


if __name__ == "__main__":
    main(*sys.argv[1:])
