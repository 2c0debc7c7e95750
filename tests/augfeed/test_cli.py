import importlib.metadata
import json
import subprocess
import sys
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer
from PIL import Image
from typer.testing import CliRunner, Result

import augfeed
from augfeed import doctor
from augfeed.cli import app
from augfeed.errors import InvarianceError, MissingExtraError
from augfeed.notation import parse_policy
from augfeed.pipeline import Order, Pipeline
from augfeed.presets import PRESETS
from augfeed.read.sources import open_source
from augfeed.show import explain_sample

POLICY = "random_crop(12, padding=2) | hflip | cutmix | normalize(0.5, 0.25)"


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def size(path: Path) -> tuple[int, int]:
    with Image.open(path) as image:
        return image.size


@pytest.fixture
def data(tmp_path: Path) -> Path:
    path = tmp_path / "small.npz"
    images = (np.arange(16 * 12 * 12 * 3) * 37 % 256).astype(np.uint8).reshape(16, 12, 12, 3)
    np.savez(path, images=images, labels=np.arange(16) % 4)
    return path


@pytest.fixture
def mirrored(tmp_path: Path) -> Path:
    """A policy that breaks a rule which it states itself."""
    path = tmp_path / "policy.json"
    path.write_text(parse_policy("hflip").model_copy(
        update={"invariances": PRESETS["digits"]().invariances}
    ).to_json())  # fmt: skip
    return path


def refused(result: Result, *words: str) -> None:
    assert result.exit_code == 2
    assert result.stdout == ""
    said = [line for line in result.stderr.splitlines() if "the embedded" not in line]
    assert said[0].startswith("error: ")
    assert "Traceback" not in result.stderr
    for word in words:
        assert word in result.stderr


# The command itself


def test_help_lists_the_commands() -> None:
    result = run("--help")
    assert result.exit_code == 0
    for name in ("demo", "preview", "explain", "doctor", "policies"):
        assert name in result.stdout


def test_version_is_that_of_the_package() -> None:
    assert run("--version").stdout == f"augfeed {augfeed.__version__}\n"


def test_python_runs_the_package_as_the_command() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "augfeed", "--version"],
        capture_output=True, text=True, check=True, env={"PYTHONPATH": ":".join(sys.path)},
    )  # fmt: skip
    assert done.stdout == f"augfeed {augfeed.__version__}\n"


def test_help_imports_nothing_large() -> None:
    code = "import sys; from augfeed.cli import app; app(['--help'], standalone_mode=False); "
    done = subprocess.run(
        [sys.executable, "-c", f"{code} print('loaded', *sys.modules)"],
        capture_output=True, text=True, check=True, env={"PYTHONPATH": ":".join(sys.path)},
    )  # fmt: skip
    loaded = set(done.stdout.partition("loaded")[2].split())
    assert "augfeed.cli" in loaded
    assert not loaded & {"torch", "numpy", "numba", "pydantic", "PIL", "sklearn"}


def test_policies_lists_every_preset_with_its_rules() -> None:
    result = run("policies")
    assert result.exit_code == 0
    assert all(name in result.stdout for name in PRESETS)
    assert "horizontal_flip=False" in result.stdout


@pytest.mark.parametrize(("passed", "code"), [(True, 0), (False, 1)])
def test_doctor_fails_if_a_check_fails(
    passed: bool, code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: dict[str, Any] = {}

    def report(console: Any, **options: Any) -> bool:
        given.update(options)
        return passed

    monkeypatch.setattr(doctor, "report", report)
    assert run("doctor", "--samples", 5000, "--seed", 3).exit_code == code
    assert given == {"samples": 5000, "seed": 3}


# Preview


def test_preview_writes_a_grid_and_prints_its_path(data: Path, tmp_path: Path) -> None:
    out = tmp_path / "grid.png"
    result = run("preview", "--data", data, "--policy", POLICY, "--out", out, "--count", 2)
    assert result.exit_code == 0
    assert result.stdout.strip() == str(out)
    two = size(out)
    run("preview", "--data", data, "--policy", POLICY, "--out", out, "--index", 3, "--epochs", 6)
    assert size(out)[0] > two[0]
    assert size(out)[1] < two[1]


def test_preview_shows_a_row_of_views(data: Path, tmp_path: Path) -> None:
    out, widths = tmp_path / "views.png", []
    for views in ("a: random_crop(8) x 2", "a: random_crop(8) x 2; b: random_crop(4) x 9"):
        result = run("preview", "--data", data, "--views", views, "--out", out, "--count", 2)
        assert result.exit_code == 0, result.output
        widths.append(size(out)[0])
    assert widths[0] < widths[1]
    number = run("preview", "--data", data, "--views", 2, "--policy", "hflip", "--out", out)
    assert number.exit_code == 0


@pytest.mark.parametrize(
    ("given", "message"),
    [((), "give one of them"), (("--views", "dino", "--epochs", 2), "leave one of them out"),
     (("--views", "dino", "--policy", "hflip"), "leave one of them out"),
     (("--views", 0, "--policy", "hflip"), "views=0 is not 1 or more"),
     (("--views", -2, "--policy", "hflip"), "views=-2 is not 1 or more"),
     (("--views", 2), "give policy="), (("--views", "dinno"), "did you mean 'dino'"),
     (("--views", "2.5", "--policy", "hflip"), "leave one of them out")],
)  # fmt: skip
def test_preview_refuses_views_that_cannot_be(
    data: Path, tmp_path: Path, given: Any, message: str
) -> None:
    result = run("preview", "--data", data, "--out", tmp_path / "a.png", *given)
    assert result.exit_code == 2 and message in result.output.replace("\n", " ")


def test_preview_shows_no_sample_twice(data: Path, tmp_path: Path) -> None:
    heights = []
    for count in (16, 100):
        out = tmp_path / f"{count}.png"
        run("preview", "--data", data, "--policy", "hflip", "--out", out, "--count", count)
        heights.append(size(out)[1])
    assert heights[0] == heights[1]


@pytest.mark.parametrize("name", ["missing/grid.png", "grid.txt", "grid"])
def test_an_output_that_cannot_be_written_is_refused_before_any_work(
    name: str, tmp_path: Path
) -> None:
    out = tmp_path / name
    refused(run("preview", "--data", "nowhere", "--policy", "", "--out", out), str(out))


def test_an_output_that_is_a_folder_is_refused(data: Path, tmp_path: Path) -> None:
    out = tmp_path / "folder.png"
    out.mkdir()
    refused(run("preview", "--data", data, "--policy", "hflip", "--out", out), "cannot be written")


# Explain


def test_explain_prints_what_was_decided_and_draws_it(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = run("explain", "--data", data, "--policy", POLICY, "--index", 5, "--epoch", 2)
    assert result.exit_code == 0
    assert "sample 5 (class 1), epoch 2, seed 0" in result.stdout
    assert "horizontal_flip" in result.stdout
    assert result.stdout.rstrip().endswith("explain-5.png")
    assert size(tmp_path / "explain-5.png")[0] > 500


def test_explain_as_json_is_the_explanation(data: Path, tmp_path: Path) -> None:
    out = tmp_path / "sample.png"
    options = ("--index", 5, "--epoch", 2, "--seed", 9, "--out", out, "--json")
    said = json.loads(run("explain", "--data", data, "--policy", POLICY, *options).stdout)
    assert said.pop("picture") == str(out)
    assert out.exists()
    order = Order(shuffle=True)
    pipeline = Pipeline(open_source(data), parse_policy(POLICY), order=order, seed=9)
    expected = json.loads(json.dumps(explain_sample(pipeline, 5, 2).as_dict()))
    assert said == expected


def test_who_is_mixed_with_whom_follows_the_order_of_the_loader(data: Path, tmp_path: Path) -> None:
    said = []
    for order in ("--shuffle", "--no-shuffle"):
        options = ("--index", 5, "--out", tmp_path / "x.png", "--json", order)
        said.append(
            json.loads(run("explain", "--data", data, "--policy", "mixup", *options).stdout)
        )
    assert said[0]["partner"]["index"] != said[1]["partner"]["index"]
    assert said[1]["partner"]["index"] < 8


# Errors


@pytest.mark.parametrize(
    ("options", "word"),
    [
        (("--policy", "hfilp"), "did you mean 'hflip'?"),
        (("--policy", "hflip", "--index", "99"), "[0, 16)"),
        (("--policy", "hflip", "--epoch", "-1"), "epoch"),
        (("--policy", "hflip", "--seed", "-1"), "seed"),
        (("--policy", "random_crop(40)"), "random_crop"),
        (("--policy", "hflip", "--allow", "flips"), "flips"),
        (("--policy", "hflip", "--split", "valid"), "valid"),
        (("--policy", "hflip", "--data", "nowhere"), "nowhere"),
        (("--policy", "dino"), "as --view 0"),
        (("--policy", "hflip", "--out", "."), "it is a folder"),
    ],
)
def test_what_cannot_be_done_is_one_message(
    options: tuple[str, ...], word: str, data: Path
) -> None:
    rules = ("--policy", "hflip", *options) if "--policy" not in options else options
    if "--allow" in options:
        rules = (*rules, "--data", "digits")
        pytest.importorskip("sklearn")
    elif "--data" not in options:
        rules = (*rules, "--data", str(data))
    where = () if "--index" in options else ("--index", "0")
    result = run("explain", *rules, *where)
    assert word.lower() in result.stderr.lower()
    refused(result)


def test_a_policy_that_changes_labels_is_refused_unless_its_rule_is_allowed(
    data: Path, mirrored: Path, tmp_path: Path
) -> None:
    call = ("preview", "--data", data, "--policy", mirrored, "--out", tmp_path / "x.png")
    refused(run(*call), "horizontal_flip=False", "allow=")
    assert run(*call, "--allow", "vertical_flip").exit_code == 2
    assert run(*call, "--allow", "vertical_flip", "--allow", "horizontal_flip").exit_code == 0


def test_debug_shows_where_an_error_comes_from(
    data: Path, mirrored: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    call = ("preview", "--data", data, "--policy", mirrored)
    assert isinstance(run("--debug", *call).exception, InvarianceError)
    monkeypatch.setenv("AUGFEED_DEBUG", "1")
    assert isinstance(run(*call).exception, InvarianceError)


# Commands of other distributions

THEIRS = typer.Typer()


@THEIRS.command()
def status() -> None:
    """Tell how the service is."""
    print("the service is well")


@THEIRS.command()
def stop() -> None:
    """Stop the service."""


def greet(name: str = "you", *, fail: bool = False) -> None:
    """Greet somebody."""
    if fail:
        raise MissingExtraError("FastAPI", "service")
    print(f"hello {name}")


@pytest.fixture
def added(monkeypatch: pytest.MonkeyPatch) -> None:
    here = sys.modules[__name__]
    monkeypatch.setitem(sys.modules, "theirs", here)
    values = {
        "service": "theirs:THEIRS",
        "greet": "theirs:greet",
        "broken": "theirs.nothing:app",
        "explain": "theirs:greet",
    }
    entries = [EntryPoint(name, value, "augfeed.commands") for name, value in values.items()]
    monkeypatch.setattr(importlib.metadata, "entry_points", lambda group: entries)


@pytest.mark.usefixtures("added")
def test_others_add_commands_and_groups_of_commands() -> None:
    assert run("greet", "--name", "all").stdout == "hello all\n"
    assert run("service", "status").stdout == "the service is well\n"
    listed = run("--help").stdout
    assert "Greet somebody." in listed
    assert "service" in listed


@pytest.mark.usefixtures("added")
def test_their_errors_are_shown_like_our_own() -> None:
    refused(run("greet", "--fail"), "pip install 'augfeed[service]'")


@pytest.mark.usefixtures("added")
def test_a_command_that_cannot_be_loaded_breaks_no_other() -> None:
    assert run("--help").exit_code == 0
    assert run("greet").exit_code == 0
    refused(run("broken", "with", "--any", "arguments"), "'broken'", "ModuleNotFoundError")


@pytest.mark.usefixtures("added")
def test_nobody_replaces_our_commands() -> None:
    assert "Greet" not in run("explain", "--help").stdout


def test_a_full_disk_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: object) -> str:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("augfeed.notation.format_policy", full)
    result = run("policies")
    assert result.exit_code == 1
    assert result.stderr == "error: [Errno 28] No space left on device\n"
    assert isinstance(run("--debug", "policies").exception, OSError)
