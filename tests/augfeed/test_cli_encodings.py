"""Terminals of every encoding: names that one lacks are spelled out, and no command ends."""

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from augfeed.cli import main
from tests.sampling import slow

NAMES = ("cat", "été", "собака", "猫")
# The encoding of what is written to each.
TERMINALS = {name: name for name in ("ascii", "latin-1", "cp1252", "utf-8")} | {"C": "ascii"}
# Names of files are read as this says when a process begins.
C = {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("photos")
    for name in NAMES:
        (root / name).mkdir()
        Image.new("RGB", (40, 40), (200, 2, 3)).save(root / name / "a.jpg")
    return root


# What a process of its own does: it prints what commands say to a terminal of its encoding.
EACH = """
import json, sys
from tests.augfeed.test_cli_encodings import to_files
words, encoding = json.loads(sys.argv.pop()), sys.stdout.encoding
for arguments in words:
    print(json.dumps(to_files(arguments, encoding)), file=sys.__stdout__)
"""
Said = tuple[int, str, str]  # status, output, errors


def to_files(arguments: list[str], encoding: str) -> Said:
    """Return what a command says to files of an encoding, in this process."""
    written = [io.TextIOWrapper(io.BytesIO(), encoding, write_through=True) for _ in range(2)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["augfeed", *arguments])
        for name, stream in zip(("stdout", "stderr"), written, strict=True):
            patch.setattr(sys, name, stream)
        try:
            main()
            code = 0
        except SystemExit as ended:
            code = int(ended.code or 0)
    out, errors = (stream.buffer.getvalue().decode(encoding) for stream in written)
    return code, out, errors


def run(terminal: str, *commands: tuple[object, ...]) -> list[Said]:
    """Return what commands say to a terminal, one after another.

    Those to "C" have a process of their own, as it settles how names of files are read.
    """
    encoding = TERMINALS[terminal]
    words = [[str(word) for word in arguments] for arguments in commands]
    if terminal != "C":
        return [to_files(arguments, encoding) for arguments in words]
    kept = {key: value for key, value in os.environ.items() if not key.startswith("PYTHONIO")}
    given = json.dumps(words, ensure_ascii=False)  # as a shell gives them
    done = subprocess.run(
        [sys.executable, "-c", EACH, given], capture_output=True,
        env={**kept, **C, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)},
        timeout=200,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr.decode(encoding)
    made = [json.loads(line) for line in done.stdout.decode(encoding).splitlines()]
    assert len(made) == len(commands)
    return [(code, out, errors) for code, out, errors in made]


def spelled(text: str, terminal: str) -> str:
    encoding = TERMINALS[terminal]
    return text.encode(encoding, errors="backslashreplace").decode(encoding)


def explanation(photos: Path, index: int, out: Path) -> tuple[object, ...]:
    return ("explain", "--data", photos, "--policy", "imagenet(32)", "--index", index, "--out", out)


def check_explained(terminal: str, said: Said, out: Path) -> None:
    assert said[0] == 0
    if terminal != "C":  # there the name is not decoded as it is listed
        assert spelled("собака", terminal) in "".join(said[1].split())
    assert out.is_file()


COMMANDS: list[tuple[object, ...]] = [
    ("--help",), ("policies",), ("explain", "--help"), ("bench", "loader", "--help"),
    ("train", "--help"), ("serve", "--help"), ("doctor", "--samples", 4000),
    ("preview", "--data", "digits", "--policy", "hflip", "--allow", "hflip", "--out",
     os.devnull + "/猫.png"),
]  # fmt: skip


@pytest.fixture(scope="module")
def narrow(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Said]:
    """What each command says to a terminal that has ASCII alone, beside an explained sample."""
    index, out = sorted(NAMES).index("собака"), tmp_path_factory.mktemp("narrow") / "sample.png"
    *said, explained = run("ascii", *COMMANDS, explanation(photos, index, out))
    check_explained("ascii", explained, out)
    return {named(arguments): each for arguments, each in zip(COMMANDS, said, strict=True)}


def named(arguments: tuple[object, ...]) -> str:
    return " ".join(map(str, arguments[:2]))


@pytest.mark.parametrize("name", list(map(named, COMMANDS)))
def test_every_command_writes_to_a_narrow_terminal(name: str, narrow: dict[str, Said]) -> None:
    code, out, said = narrow[name]
    assert code in (0, 2) and "Traceback" not in out + said
    assert out + said


@pytest.mark.parametrize("terminal", ["C", *map(slow, ("utf-8", "latin-1", "cp1252"))])
def test_a_sample_of_a_class_of_any_name_is_explained(
    terminal: str, photos: Path, tmp_path: Path
) -> None:
    out = tmp_path / "sample.png"
    (said,) = run(terminal, explanation(photos, sorted(NAMES).index("собака"), out))
    check_explained(terminal, said, out)


@pytest.mark.parametrize("terminal", ["cp1252", slow("ascii"), slow("C")])
def test_any_name_may_stand_in_an_error_and_in_a_path_to_write_to(
    terminal: str, photos: Path, tmp_path: Path
) -> None:
    missing, path = photos / "не такой", tmp_path / "猫.png"
    error, written = run(
        terminal,
        ("preview", "--data", missing, "--policy", "hflip", "--out", tmp_path / "p.png"),
        ("preview", "--data", photos, "--policy", "imagenet(32)", "--count", 1, "--epochs", 1,
         "--out", path),
    )  # fmt: skip
    assert error[0] == 2 and "error: " in error[2] and "Traceback" not in error[2]
    assert written[0] == 0 and path.is_file()
    assert terminal == "C" or "\\u732b.png" in written[1]


def test_a_name_that_is_not_text_is_spelled_out(tmp_path: Path) -> None:
    folder = os.fsencode(tmp_path) + b"/\xff\xfe"
    os.mkdir(folder)
    Image.new("RGB", (40, 40)).save(os.fsdecode(folder) + "/a.jpg")
    ((code, out, _),) = run("utf-8", explanation(tmp_path, 0, tmp_path / "sample.png"))
    assert code == 0 and "\\udcff" in out
