"""Words: what the field says, in place of what it does not."""

import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
CODE = ("pipelines", "service", "client", "trainer", "benchmarks", "tests")
# After "is no" and "are no".
RIGHT = "longer|more|less|fewer|such|other|further|need|way|one|doubt|matter"
# A pattern, and what to write. Names of files and identifiers are left out.
WORDS = {
    r"pictures?(?!\.npz)": "image",
    r"data sets?": "dataset",
    r"colours?": "color",
    r"grey": "gray",
    rf"(?<!there )(is|are) no (?!{RIGHT})\w+": "is not a",
    r"(is|are|was|were|be|been) told": "is reported, or returned",
    r"anew": "again",
    r"whoever": "anyone who",
    r"mend(ed|s)?": "fix",
    r"no telling": "not clear",
    r"had from": "served by",
    r"normalis(e|ed|es|ing|ation)": "normalize",
    r"recognis(e|ed|es|ing)": "recognize",
}
PATTERNS = {re.compile(rf"(?<![\w/.`\"'-])(?:{word})(?![/`\"'=(]|\.py|\w)", re.IGNORECASE): cure
            for word, cure in WORDS.items()}  # fmt: skip


def prose_of(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the comments, docstrings and messages of a file, or the text of a page, by line."""
    if path.suffix == ".md":
        # Tables of results are made from files that nobody edits.
        made = r"<!-- measured -->.*?<!-- end of measured -->"
        code = r"```.*?```|`[^`\n]*`|\]\([^)]*\)"
        text = re.sub(f"{made}|{code}", _blank, path.read_text(), flags=re.DOTALL)
        yield from enumerate(text.splitlines(), 1)
        return
    with tokenize.open(path) as file:
        for token in tokenize.generate_tokens(file.readline):
            if token.type == tokenize.COMMENT or (
                token.type == tokenize.STRING and " " in token.string
            ):
                text = re.sub(r"\{[^}]*\}|`[^`]*`", _blank, token.string)
                yield from enumerate(text.splitlines(), token.start[0])


def _blank(found: re.Match[str]) -> str:
    return re.sub(r"[^\n]", "_", found.group())


def places(paths: list[Path]) -> list[str]:
    return [
        f"{path.relative_to(ROOT)}:{number}: {found.group()!r}: write {cure!r}"
        for path in paths for number, line in prose_of(path)
        for pattern, cure in PATTERNS.items() if (found := pattern.search(line))
    ]  # fmt: skip


@pytest.mark.parametrize("folder", [*CODE, "docs"])
def test_prose_uses_the_words_of_the_field(folder: str) -> None:
    paths = sorted(path for ending in ("*.py", "*.md") for path in (ROOT / folder).rglob(ending))
    assert paths
    assert places([path for path in paths if path != Path(__file__)]) == []


def test_pages_at_the_top_do_too() -> None:
    assert places([ROOT / "README.md", ROOT / "CONTRIBUTING.md"]) == []


@pytest.mark.parametrize(
    "line", ["a picture of it", "It is no number.", "the data set", "is told", "Grey."]
)
def test_a_word_is_found(line: str) -> None:
    assert any(pattern.search(line) for pattern in PATTERNS)


@pytest.mark.parametrize("line", ["read/pictures.py", "`picture`", "there is no way", "datasets"])
def test_names_are_left_alone(line: str) -> None:
    assert not any(pattern.search(line) for pattern in PATTERNS)
