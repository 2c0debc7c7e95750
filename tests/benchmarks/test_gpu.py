"""All that needs a GPU: steps in order, limits, what an earlier run left, a rehearsal."""

import ast
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from augfeed.bench.chains import chains
from augfeed.bench.result import Shape
from benchmarks.gpu import __main__ as gpu
from benchmarks.gpu.steps import CHAINS, LARGE, SMALL, STARTING, RunInputs, Step, steps
from tests.sampling import slow


def program(text: str) -> list[str]:
    """Return arguments of Python, as steps have them, that run a text."""
    return ["timeit", "-n", "1", "-r", "1", text]


@pytest.fixture
def given(tmp_path: Path) -> RunInputs:
    return RunInputs(tmp_path)


def test_steps_come_in_order_of_worth_and_every_module_is_there() -> None:
    names = [step.name for step in steps(RunInputs(Path(), fashion=Path()))]
    assert names[:3] == ["smoke", "compile", "kernel-large"]
    assert names[-1] == "sanitizer"
    assert len(set(names)) == len(names)
    root = Path(gpu.__file__).parents[2]
    for step in steps(RunInputs(Path())):
        for module, *_ in step.processes.values():
            assert (root / f"{module.replace('.', '/')}.py").exists(), module


@pytest.mark.parametrize("shape", [LARGE, SMALL])
def test_every_chain_that_is_named_exists(shape: str) -> None:
    assert set(CHAINS) <= set(chains(Shape.parse(shape)))


def test_a_step_that_fails_says_so_and_keeps_its_log(given: RunInputs) -> None:
    step = Step("two", {"good": program("print('fine')"), "bad": program("raise SystemExit(3)")},
                60)  # fmt: skip
    assert gpu.run(step, given, 60) == "failed: bad"
    assert "fine" in (given.out / "good.log").read_text()


def test_tables_are_told_how_long_they_have(
    given: RunInputs, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[list[str]] = []

    class Process:
        pid = 0

        def __init__(self, command: list[str], **_: Any) -> None:
            seen.append(command)

        def wait(self, *_: Any) -> int:
            return 0

    monkeypatch.setattr("benchmarks.gpu.__main__.subprocess.Popen", Process)
    (tables,) = (step for step in steps(given) if step.name == "tables")
    gpu.run(tables, given, STARTING + 90)
    assert seen
    assert all(command[command.index("--seconds") + 1] == "90" for command in seen)


def test_a_step_is_ended_at_its_limit_with_the_processes_that_it_began(given: RunInputs) -> None:
    text = (
        "import subprocess, sys; "
        "subprocess.run([sys.executable, '-c', 'import time; time.sleep(600)'])"
    )
    assert gpu.run(Step("long", {"long": program(text)}, 60), given, 1.0) == "ended at its limit"


def run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, made: list[Step], *words: str) -> int:
    monkeypatch.setattr(gpu, "steps", lambda _: made)
    monkeypatch.setattr(gpu, "MARGIN", 0.0)
    return gpu.main([str(tmp_path), *words])


def outcomes(tmp_path: Path) -> dict[str, Any]:
    found = json.loads((tmp_path / "steps.json").read_text())
    return {name: item["outcome"] for name, item in found.items()}


def test_a_failure_does_not_stop_the_next_step(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    made = [Step("bad", {"bad": program("raise SystemExit(1)")}, 60),
            Step("good", {"good": program("pass")}, 60)]  # fmt: skip
    assert run(monkeypatch, tmp_path, made) == 1
    assert outcomes(tmp_path) == {"bad": "failed: bad", "good": "done"}
    assert (tmp_path / "gpu-results.tar.gz").exists()


def test_a_run_goes_on_where_the_last_one_left_off(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    count = tmp_path / "count"
    good = f"open({str(count)!r}, 'a').write('x')"
    bad = Step("bad", {"bad": program("raise SystemExit(1)")}, 60)
    made = [Step("good", {"good": program(good)}, 60), bad]
    assert run(monkeypatch, tmp_path, made) == 1
    made[1] = Step("bad", {"bad": program("pass")}, 60)
    assert run(monkeypatch, tmp_path, made, "--resume") == 0
    assert count.read_text() == "x"
    assert outcomes(tmp_path) == {"good": "done", "bad": "done"}


def test_a_step_without_time_left_is_not_begun(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    made = [Step("late", {"late": program("pass")}, 60)]
    assert run(monkeypatch, tmp_path, made, "--seconds", "1") == 1
    assert outcomes(tmp_path) == {"late": "not begun"}


def test_an_unknown_step_is_named(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="nothing"):
        gpu.main([str(tmp_path), "--only", "nothing"])


@pytest.mark.parametrize("names", ["smoke", slow("smoke,compile")])
def test_the_first_step_and_the_compiler_are_rehearsed_without_a_gpu(
    names: str, tmp_path: Path
) -> None:
    words = ["--rehearse", "--only", names, "--seconds", "250"]
    code = gpu.main([str(tmp_path), *words])
    logs = "\n".join(path.read_text() for path in sorted(tmp_path.glob("*.log")))
    assert code == 0, logs
    found = json.loads((tmp_path / "smoke.json").read_text())
    assert (found["as portable"], found["as cpu"]) == ("agrees", "agrees")
    assert sys.version.split()[0] == found["versions"]["python"]


# What a machine with a GPU has beside a CUDA build of torch.
THERE = {"torch", "triton", "numpy", "numba", "PIL", "lightning", "torchvision", "timm", "typer",
         "rich", "xxhash", "pydantic", "pydantic_core", "simplejpeg", "kornia", "click",
         "typing_extensions", "llvmlite"}  # fmt: skip


def imported_by(path: Path) -> set[str]:
    """Return the modules that a file imports when it is imported itself."""
    found, left = set[str](), list[ast.AST](ast.parse(path.read_text()).body)
    for node in left:
        if isinstance(node, ast.Import):
            found |= {name.name for name in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{name.name}" for name in node.names)}
        elif isinstance(node, ast.Try):
            left += node.body
    return found


def test_no_step_imports_what_a_machine_with_a_gpu_may_lack() -> None:
    root = Path(gpu.__file__).parents[2]
    roots = {"augfeed": root / "pipelines", "augfeed_trainer": root / "trainer",
             "benchmarks": root, "tests": root}  # fmt: skip
    left = ["benchmarks.gpu.__main__", *(
        module for step in steps(RunInputs(Path())) for module, *_ in step.processes.values()
    )]  # fmt: skip
    seen, lacking = set[str](), list[str]()
    for module in left:
        top = module.partition(".")[0]
        if module in seen:
            continue
        seen.add(module)
        left.append(module.rpartition(".")[0] or module)
        if top not in roots:
            if top not in THERE | set(sys.stdlib_module_names):
                lacking.append(module)
            continue
        path = roots[top] / module.replace(".", "/")
        file = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
        if file.exists():
            left += imported_by(file)
    assert not lacking
    assert {"tests.cases", "augfeed.engines.cuda.kernel", "benchmarks.data"} <= seen
