"""What commands say of their options: at once, and of options that exist."""

import ast
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import typer

from augfeed.cli import app
from augfeed.commands import added, load
from augfeed_service import Settings
from augfeed_service.settings import MAX_PIXELS, cores
from tests.template import run_script

pytestmark = pytest.mark.timeout(300)
ROOT = Path(__file__).parent.parent
HEAVY = ("torch", "lightning", "numba", "fastapi", "uvicorn", "kornia", "triton", "sklearn",
         "matplotlib", "scipy", "torchmetrics", "tensorboard", "torchvision")  # fmt: skip


def commands() -> Iterator[tuple[tuple[str, ...], Any]]:
    """Yield every command, and every group of commands, with what it is called by."""
    group: Any = typer.main.get_command(app)
    yield (), group
    own = dict(group.commands)
    theirs = {name: load(entry) for name, entry in added().items() if name not in own}
    for name, command in {**own, **theirs}.items():
        yield (name,), command
        for inner, below in getattr(command, "commands", {}).items():
            yield (name, inner), below


COMMANDS = dict(commands())
# Values that are wrong, and what is said of them.
WRONG = {
    ("train", "--data", "nowhere"): "'nowhere' does not exist",
    ("train", "--data", "fashon:x"): "'fashon' is not a known name",
    ("train", "--share", "2"): "share=2.0 is not in (0, 1]",
    ("train", "--validation", "0"): "validation=0.0 is not in (0, 1)",
    ("train", "--model", "vgg"): "model='vgg' is unknown",
    ("train", "--norm", "weight"): "norm='weight'",
    ("train", "--policy", "hflop"): "'hflop'",
    ("train", "--epochs", "0"): "epochs=0",
    ("train", "--epochs", "x"): "--epochs",
    ("train", "--accelerator", "abacus"): "accelerator='abacus' is unknown",
    ("train", "--recipe", "absent.json"): "cannot be read as a recipe",
    ("train", "--service", "http://x", "--share", "0.5"): "does not go with --service",
    ("study", "--data", "nowhere"): "'nowhere' does not exist",
    ("study", "--minutes", "0"): "minutes=0.0",
    ("study", "--seeds", "1"): "--seeds",
    ("serve", "--set", "nonsense=1"): "'nonsense'",
    ("serve", "--set", "max_plans=x"): "max_plans='x'",
    ("serve", "--dataset", "digits"): "NAME=PATH",
    ("serve", "--dataset", "digits=/nowhere"): "'/nowhere' does not exist",
    ("serve", "--host", "0.0.0.0"): "no keys are set",
    ("serve", "--port", "70000"): "port=70000",
    ("preview", "--data", "digits", "--policy", "hflop"): "'hflop'",
    ("preview", "--data", "digits", "--policy", "hflip", "--out", "x.txt"): "is not an image",
    ("explain", "--data", "digits", "--policy", "hflop", "--index", "0"): "'hflop'",
}
SCRIPT = """
import contextlib, io, json, sys
from augfeed.cli import app

for line in sys.stdin:
    said, code = io.StringIO(), None
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        try:
            app(json.loads(line), standalone_mode=True)
        except SystemExit as ended:
            code = ended.code
    heavy = sorted(set(sys.argv[1:]) & set(sys.modules))
    print(json.dumps({"code": code, "said": said.getvalue(), "heavy": heavy}), flush=True)
"""


@pytest.fixture(scope="module")
def process() -> Iterator[Any]:
    """A process that runs one command after the other, and says what was imported so far."""
    paths = os.pathsep.join(path for path in sys.path if path)
    made = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, *HEAVY], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        text=True, env={**os.environ, "PYTHONPATH": paths, "COLUMNS": "200", "NO_COLOR": "1"},
    )  # fmt: skip
    assert made.stdin is not None and made.stdout is not None

    def ask(*arguments: str) -> dict[str, Any]:
        assert made.stdin is not None and made.stdout is not None
        made.stdin.write(json.dumps(arguments) + "\n")
        made.stdin.flush()
        said: dict[str, Any] = json.loads(made.stdout.readline())
        return said

    yield ask
    made.stdin.close()
    made.stdout.close()
    assert made.wait(30) == 0


def test_the_commands_are_those_that_are_known() -> None:
    known = {"demo", "preview", "explain", "doctor", "policies", "serve", "train", "study"}
    assert {(name,) for name in known} | {("bench", "kernel"), ("bench", "loader")} < {*COMMANDS}


@pytest.mark.parametrize("name", COMMANDS, ids=" ".join)
def test_a_command_shows_its_options_at_once(process: Any, name: tuple[str, ...]) -> None:
    said = process(*name, "--help")
    assert said["code"] == 0 and "Usage" in said["said"]
    for option in COMMANDS[name].params:
        assert all(text in said["said"] for text in option.opts if text.startswith("--"))
    assert said["heavy"] == []


@pytest.mark.parametrize("name", COMMANDS, ids=" ".join)
def test_a_command_refuses_unknown_options_at_once(process: Any, name: tuple[str, ...]) -> None:
    said = process(*name, "--nonsense")
    assert said["code"] == 2 and "--nonsense" in said["said"]
    assert said["heavy"] == []


@pytest.mark.parametrize("call", WRONG, ids=" ".join)
def test_a_command_refuses_wrong_values_at_once(process: Any, call: tuple[str, ...]) -> None:
    said = process(*call)
    assert said["code"] == 2 and WRONG[call] in said["said"], said["said"]
    assert said["heavy"] == []


def test_what_settings_know_without_what_is_heavy_is_what_that_says() -> None:
    from augfeed.bench import machine
    from augfeed.read.decode import MAX_PIXELS as most
    from augfeed_trainer.models import MODELS
    from augfeed_trainer.recipe import NETWORKS

    assert most == MAX_PIXELS and machine.cores() == cores()
    assert tuple(MODELS) == NETWORKS


def test_the_trainer_has_its_function_whatever_was_imported_before() -> None:
    once = ("import augfeed_trainer as made; from augfeed_trainer import train; "
            "from augfeed_trainer.train import train as other; "
            "assert made.train is train is other and callable(train)")  # fmt: skip
    anew = "import sys; [sys.modules.pop(k) for k in [*sys.modules] if 'augfeed_trainer' in k]"
    code = f"{anew}\nimport augfeed_trainer.train; {once}\n{anew}\nimport augfeed_trainer; {once}"
    run_script(code, imports=["lightning.pytorch"]).check_returncode()


# One word for one thing, in all commands and benchmarks

SAID_OTHERWISE = {
    "--workers": "--num-workers", "--threads": "--num-workers", "--batch": "--batch-size",
    "--folder": "--data", "--dir": "--data", "--output": "--out",
}  # fmt: skip
FORMER = {(("train",), "--folder")}  # still taken beside today's option, as scripts have it


def test_no_command_has_an_option_of_its_own_for_what_others_have() -> None:
    found: dict[str, tuple[str, ...]] = {}
    for name in COMMANDS:
        for parameter in getattr(COMMANDS[name], "params", ()):
            own = [option for option in parameter.opts if (name, option) not in FORMER]
            found |= {option: name for option in own if option in SAID_OTHERWISE}
    for path in sorted((ROOT / "benchmarks").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("add_argument"):
                options = {ast.literal_eval(each) for each in node.args}
                found |= dict.fromkeys(options & {*SAID_OTHERWISE}, (path.name,))
    assert not found, {option: SAID_OTHERWISE[option] for option in found}


# Options and variables that texts name

FOLDERS = ("pipelines", "service", "client", "trainer")
OPTION = re.compile(r"(?<![\w-])--[a-z][a-z-]*")
VARIABLE = re.compile(r"AUGFEED_[A-Z0-9_]+")
CALL = re.compile(r"\baugfeed ((?:bench )?[a-z]+)((?: [^`|;#\n]*)?)")
# Options of other programs: git, nvidia-smi, docker, the benchmarks, timm.
OTHERS: dict[str, tuple[str, ...]] = {
    "pipelines/augfeed/bench/machine.py": (
        "--query-gpu", "--format", "--error-unmatch", "--short", "--porcelain",
    ),
    "pipelines/augfeed/read/tar_members.py": ("--dereference", "--sparse", "--concatenate"),  # tar
    "docs/benchmarks.md": (
        "--write", "--color", "--large", "--workers", "--processes", "--arrays", "--photos",
        "--only", "--threads", "--batch", "--images", "--test-images",
    ),
    "docs/recipes.md": (  # timm's, and those of torchvision's references
        "--aa", "--aug-repeats", "--aug-splits", "--color-jitter", "--epoch-repeats", "--hflip",
        "--train-interpolation",
        "--remode", "--reprob", "--scale", "--smoothing",
    ),
    "docs/deployment.md": ("--profile", "--build", "--scale"),
    "docs/migration.md": ("--no-aug", "--smoothing"),
}  # fmt: skip


@cache
def texts() -> list[tuple[str, str]]:
    """Return every text of the code, and the documents, with where they stand."""
    return [*_texts()]


def _texts() -> Iterator[tuple[str, str]]:
    for folder in FOLDERS:
        for path in sorted((ROOT / folder).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Constant) and isinstance(node.value, str):
                    yield f"{path.relative_to(ROOT)}:{node.lineno}", node.value
    for path in [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]:
        for number, line in enumerate(path.read_text().splitlines(), 1):
            yield f"{path.relative_to(ROOT)}:{number}", line


def options() -> set[str]:
    found = {text for command in COMMANDS.values() for option in command.params
             for text in (*option.opts, *option.secondary_opts)}  # fmt: skip
    return found | {"--help"}


def variables() -> set[str]:
    read = {f"AUGFEED_{name.upper()}" for name in Settings.model_fields}
    for path in [path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py")]:
        source = path.read_text()
        read |= {name for name in VARIABLE.findall(source)
                 if re.search(rf'(environ[^\n]*|envvar=)["\']{name}["\']', source)}  # fmt: skip
    return read


def of_compose() -> set[str]:
    return set(re.findall(r"\$\{(AUGFEED_[A-Z_]+)", (ROOT / "docker-compose.yml").read_text()))


def of_tests() -> set[str]:
    found = [VARIABLE.findall(path.read_text()) for path in (ROOT / "tests").rglob("*.py")]
    return {name for names in found for name in names}


def test_every_option_that_a_text_names_exists() -> None:
    known, seen = options(), set()
    for where, text in texts():
        file = where.partition(":")[0]
        for option in set(OPTION.findall(text)) - known:
            assert option in OTHERS.get(file, ()), f"{where} names {option}, which is not an option"
            seen.add((file, option))
    assert seen == {(file, option) for file, named in OTHERS.items() for option in named}


def test_a_command_in_a_text_has_the_options_that_it_is_given() -> None:
    count = 0
    for where, text in texts():
        for call, rest in CALL.findall(text):
            name = tuple(call.split())
            command = COMMANDS.get(name) or COMMANDS.get(name[:1])
            if command is None:
                continue
            known = {opt for option in command.params for opt in option.opts} | {"--help"}
            for option in OPTION.findall(rest):
                assert option in known, f"{where}: augfeed {call} has no {option}"
                count += 1
    assert count >= 10


def test_every_variable_that_a_text_names_is_read() -> None:
    known = variables() | of_compose() | of_tests()
    for where, text in texts():
        unknown = set(VARIABLE.findall(text)) - known - {"AUGFEED_"}
        assert not unknown, f"{where} names {unknown}, which nothing reads"


def test_compose_sets_variables_that_are_read() -> None:
    text = (ROOT / "docker-compose.yml").read_text()
    named = set(re.findall(r"^ +(AUGFEED_[A-Z_]+):", text, re.MULTILINE))
    assert named and named <= variables()


@pytest.mark.parametrize("name", ["AUGFEED_DATASETS", "AUGFEED_KORNIA", "AUGFEED_PORT"])
def test_a_variable_that_cannot_be_read_is_named(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from augfeed.errors import InputError
    from augfeed_service.cli import settings_of

    monkeypatch.setenv(name, "nonsense{")
    with pytest.raises(InputError, match=f"(?i){name.removeprefix('AUGFEED_')}"):
        settings_of({})
