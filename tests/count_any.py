"""Counts the parameters of the library that are typed `Any`: `python -m tests.count_any`."""

import argparse
import ast
import subprocess
import tarfile
from collections import Counter
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LIBRARY = "pipelines/augfeed"


def annotations(source: str) -> Iterator[ast.expr]:
    """Yield the annotation of each parameter of each function; `*args` and `**kwargs` left out.

    Code for Triton's compiler has none.
    """
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            own = node.args
            for each in [*own.posonlyargs, *own.args, *own.kwonlyargs]:
                if each.annotation is not None:
                    yield each.annotation


def is_any(annotation: ast.expr) -> bool:
    """Return whether an annotation is `Any` itself; `list[Any]` says more than that."""
    return isinstance(annotation, ast.Name) and annotation.id == "Any"


def counted(sources: dict[str, str]) -> tuple[Counter[str], Counter[str]]:
    """Return, by file, how many parameters there are and how many of them are `Any`."""
    every, vague = Counter[str](), Counter[str]()
    for path, source in sources.items():
        for annotation in annotations(source):
            every[path] += 1
            vague[path] += is_any(annotation)
    return every, vague


def sources_of(revision: str | None) -> dict[str, str]:
    """Return the library's files: those of the working tree, or of a revision of git's."""
    if revision is None:
        return {path.relative_to(ROOT).as_posix(): path.read_text()
                for path in (ROOT / LIBRARY).rglob("*.py")}  # fmt: skip
    command = ["git", "archive", revision, LIBRARY]
    packed = subprocess.run(command, cwd=ROOT, check=True, capture_output=True).stdout
    with tarfile.open(fileobj=BytesIO(packed)) as archive:
        files = [member for member in archive if member.name.endswith(".py")]
        return {file.name: _text(archive, file) for file in files}


def _text(archive: tarfile.TarFile, member: tarfile.TarInfo) -> str:
    file = archive.extractfile(member)
    assert file is not None
    return file.read().decode()


def main() -> None:
    """Print the count, and the files that have most of them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--revision", help="of git's; the working tree without it")
    parser.add_argument("--files", type=int, default=10, help="how many files to show")
    given = parser.parse_args()
    every, vague = counted(sources_of(given.revision))
    share = vague.total() / every.total()
    print(f"{vague.total()} of {every.total():,} parameters are Any ({share:.1%})")
    for path, count in vague.most_common(given.files):
        print(f"{count:5}  {path}")


if __name__ == "__main__":
    main()
