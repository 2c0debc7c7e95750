"""Terminals of every encoding: names that one lacks are spelled out, and no command ends."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from tests.sampling import slow

NAMES = ("cat", "été", "собака", "猫")
COMMAND = "from augfeed.cli import main; main()"
# What the environment says, and in which encoding the output then is.
TERMINALS = {
    "ascii": ({"PYTHONIOENCODING": "ascii"}, "ascii"),
    "latin-1": ({"PYTHONIOENCODING": "latin-1"}, "latin-1"),
    "cp1252": ({"PYTHONIOENCODING": "cp1252"}, "cp1252"),
    "utf-8": ({"PYTHONIOENCODING": "utf-8"}, "utf-8"),
    "C": ({"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}, "ascii"),
}


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("photos")
    for name in NAMES:
        (root / name).mkdir()
        Image.new("RGB", (40, 40), (200, 2, 3)).save(root / name / "a.jpg")
    return root


def run(terminal: str, *arguments: object, command: str = COMMAND) -> tuple[int, str, str]:
    environment, encoding = TERMINALS[terminal]
    kept = {key: value for key, value in os.environ.items() if not key.startswith("PYTHONIO")}
    done = subprocess.run(
        [sys.executable, "-c", command, *map(str, arguments)],
        env={**kept, **environment}, capture_output=True, timeout=200,
    )  # fmt: skip
    return done.returncode, done.stdout.decode(encoding), done.stderr.decode(encoding)


def spelled(text: str, terminal: str) -> str:
    encoding = TERMINALS[terminal][1]
    return text.encode(encoding, errors="backslashreplace").decode(encoding)


@pytest.mark.parametrize("terminal", ["ascii", "C", slow("utf-8"), slow("latin-1"), slow("cp1252")])
def test_a_sample_of_a_class_of_any_name_is_explained(
    terminal: str, photos: Path, tmp_path: Path
) -> None:
    index = sorted(NAMES).index("собака")
    code, out, _ = run(
        terminal, "explain", "--data", photos, "--policy", "imagenet(32)", "--index", index,
        "--out", tmp_path / "sample.png",
    )  # fmt: skip
    assert code == 0
    if terminal != "C":  # there the name is not decoded as it is listed
        assert spelled("собака", terminal) in "".join(out.split())
    assert (tmp_path / "sample.png").is_file()


@pytest.mark.parametrize("terminal", ["cp1252", slow("ascii"), slow("C")])
def test_an_error_about_any_name_is_an_error(terminal: str, photos: Path) -> None:
    missing = photos / "не такой"
    code, _, said = run(
        terminal, "preview", "--data", missing, "--policy", "hflip", "--out", photos / "p.png"
    )
    assert code == 2 and "error: " in said and "Traceback" not in said


COMMANDS: list[tuple[object, ...]] = [
    ("--help",), ("policies",), ("explain", "--help"), ("bench", "loader", "--help"),
    ("train", "--help"), ("serve", "--help"), ("doctor", "--samples", 4000),
    ("preview", "--data", "digits", "--policy", "hflip", "--allow", "hflip", "--out",
     os.devnull + "/猫.png"),
]  # fmt: skip
# One process for all commands: each writes to files of its own, in the encoding of the terminal.
EACH = """
import io, json, sys
from augfeed.cli import main
encoding = sys.stdout.encoding
for k, arguments in enumerate(json.loads(sys.argv.pop())):
    written = [io.TextIOWrapper(io.BytesIO(), encoding, write_through=True) for _ in range(2)]
    sys.argv[1:], (sys.stdout, sys.stderr) = arguments, written
    try:
        main()
        code = 0
    except SystemExit as ended:
        code = ended.code
    texts = [stream.buffer.getvalue().decode(encoding) for stream in written]
    print(json.dumps([code, *texts]), file=sys.__stdout__)
"""


@pytest.fixture(scope="module")
def narrow() -> dict[str, tuple[int, str, str]]:
    """What each command says to a terminal that has ASCII alone."""
    given = [[str(word) for word in arguments] for arguments in COMMANDS]
    code, out, said = run("ascii", json.dumps(given), command=EACH)
    assert code == 0, said
    made = [json.loads(line) for line in out.splitlines()]
    return {named(arguments): tuple(each) for arguments, each in zip(COMMANDS, made, strict=True)}


def named(arguments: tuple[object, ...]) -> str:
    return " ".join(map(str, arguments[:2]))


@pytest.mark.parametrize("name", list(map(named, COMMANDS)))
def test_every_command_writes_to_a_narrow_terminal(
    name: str, narrow: dict[str, tuple[int, str, str]]
) -> None:
    code, out, said = narrow[name]
    assert code in (0, 2) and "Traceback" not in out + said
    assert out + said


def test_an_image_is_written_to_a_path_of_any_name(photos: Path, tmp_path: Path) -> None:
    path = tmp_path / "猫.png"
    code, out, _ = run("cp1252", "preview", "--data", photos, "--policy", "imagenet(32)",
                       "--count", 1, "--epochs", 1, "--out", path)  # fmt: skip
    assert code == 0 and path.is_file()
    assert "\\u732b.png" in out


def test_a_name_that_is_not_text_is_spelled_out(tmp_path: Path) -> None:
    folder = os.fsencode(tmp_path) + b"/\xff\xfe"
    os.mkdir(folder)
    Image.new("RGB", (40, 40)).save(os.fsdecode(folder) + "/a.jpg")
    code, out, _ = run("utf-8", "explain", "--data", tmp_path, "--policy", "imagenet(32)",
                       "--index", 0, "--out", tmp_path / "sample.png")  # fmt: skip
    assert code == 0 and "\\udcff" in out
