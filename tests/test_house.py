"""The house tests itself: what the wheel holds, who imports whom, how the code is written."""

import ast
import os
import re
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from types import FunctionType, ModuleType

import pytest

import augfeed

ROOT = Path(__file__).resolve().parents[1]
ROOMS = {"pipelines": "augfeed", "service": "augfeed_service", "client": "augfeed_client",
         "trainer": "augfeed_trainer"}  # fmt: skip
PRESENT = {room: package for room, package in ROOMS.items() if (ROOT / room / package).is_dir()}

MOST_LINES = 400  # of a file
LONGEST = 80  # lines of a function
MOST_PARAMETERS = 8

# Functions that may break a rule on signatures or length: "file: function" -> the reason.
EXEMPT: dict[str, str] = {
    "pipelines/augfeed/cli.py: kernel": "typer makes each option of a command from a parameter",
    "pipelines/augfeed/cli.py: explain": "typer makes each option of a command from a parameter",
    "pipelines/augfeed/cli.py: preview": "typer makes each option of a command from a parameter",
    "pipelines/augfeed/feed/shuffle.py: Shuffle.__init__": "torch's own arguments",
    "client/augfeed_client/loader.py: RemoteLoader.__init__": "DataLoader's",
    "pipelines/augfeed/ray/loader.py: RayLoader.__init__": "DataLoader's",
    "pipelines/augfeed/loader.py: DataLoader.__init__": "takes the place of torch's DataLoader",
}


# What is shipped


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Build the wheel and return the names of its files."""
    folder = tmp_path_factory.mktemp("wheel")
    _run("-m", "hatchling", "build", "-t", "wheel", "-d", str(folder))
    (path,) = folder.glob("*.whl")
    with zipfile.ZipFile(path) as archive:
        return archive.namelist()


def test_wheel_holds_the_packages_and_nothing_else(wheel: list[str]) -> None:
    tops = {name.split("/")[0] for name in wheel}
    metadata = {top for top in tops if top.endswith(".dist-info")}
    assert len(metadata) == 1
    assert tops - metadata == set(PRESENT.values())


def test_wheel_holds_every_file_of_the_packages(wheel: list[str]) -> None:
    files = {
        path.relative_to(ROOT / room).as_posix()
        for room, package in PRESENT.items()
        for path in (ROOT / room / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert {f"{package}/py.typed" for package in PRESENT.values()} <= files
    assert {name for name in wheel if ".dist-info/" not in name} == files


def test_every_tool_knows_every_source_root() -> None:
    with (ROOT / "pyproject.toml").open("rb") as file:
        tool = tomllib.load(file)["tool"]
    build = tool["hatch"]["build"]
    packages = [f"{room}/{package}" for room, package in PRESENT.items()]
    rooms = list(PRESENT)
    lists: dict[str, tuple[list[str], list[str]]] = {
        "hatch dev-mode-dirs": (build["dev-mode-dirs"], rooms),
        "hatch wheel packages": (build["targets"]["wheel"]["packages"], packages),
        "hatch sdist only-include": (build["targets"]["sdist"]["only-include"], rooms),
        "pytest pythonpath": (tool["pytest"]["ini_options"]["pythonpath"], rooms),
        "mypy mypy_path": (tool["mypy"]["mypy_path"], rooms),
        "mypy files": (tool["mypy"]["files"], rooms),
        "pyright include": (tool["pyright"]["include"], rooms),
        "pyright extraPaths": (tool["pyright"]["extraPaths"], rooms),
        "ruff src": (tool["ruff"]["src"], rooms),
        "importlinter root_packages": (
            tool["importlinter"]["root_packages"],
            list(PRESENT.values()),
        ),
    }
    _nobody(
        f"{name} lacks {item!r}"
        for name, (listed, wanted) in lists.items()
        for item in wanted
        if item not in listed
    )


# Who imports whom


@pytest.mark.slow  # `make lint` does it, too
def test_imports_follow_the_contracts() -> None:
    command = "from importlinter.cli import lint_imports_command as run; run()"
    _run("-c", command, "--no-cache", "--no-logo")


def test_tests_and_benchmarks_import_packages_and_not_source_roots() -> None:
    named = re.compile(rf"(?<![\w.])(?:{'|'.join(ROOMS)})\b")  # else no tree of it has one
    _nobody(
        f"{path.relative_to(ROOT)}: {found}"
        for path in _files(["tests", "benchmarks"])
        if named.search(_text(path))
        for found in source_root_imported(_tree(path))
    )


# How it is written


@dataclass(frozen=True)
class Definition:
    """A function, and where it stands."""

    name: str
    node: ast.FunctionDef | ast.AsyncFunctionDef
    method: bool
    public: bool

    @cached_property
    def decorators(self) -> set[str]:
        """The last names of the decorators: `jit` for `@numba.jit(nogil=True)`."""
        return {_last_name(decorator) for decorator in self.node.decorator_list}

    @property
    def positional(self) -> list[ast.arg]:
        """The parameters that can be given by position, without `self` or `cls`."""
        given = [*self.node.args.posonlyargs, *self.node.args.args]
        return given[1:] if self.method and "staticmethod" not in self.decorators else given

    @property
    def parameters(self) -> list[ast.arg]:
        """All parameters, without `self` or `cls`."""
        args = self.node.args
        stars = [star for star in (args.vararg, args.kwarg) if star is not None]
        return [*self.positional, *args.kwonlyargs, *stars]

    @property
    def special(self) -> bool:
        """Whether the language names it, and so gives its signature."""
        return self.name.rpartition(".")[2].startswith("__") and not self.name.endswith("__init__")


def source_root_imported(tree: ast.Module) -> Iterator[str]:
    """Find imports of a folder that holds a package, in place of the package."""
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=aliases):
                names = [alias.name for alias in aliases]
            case ast.ImportFrom(module=str(module), level=0):
                names = [module]
            case _:
                names = []
        yield from (name for name in names if name.split(".")[0] in ROOMS)


def undocumented(tree: ast.Module) -> Iterator[str]:
    """Find public modules, classes, functions and methods without a docstring."""
    if not ast.get_docstring(tree):
        yield "the module"
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef) and not (node.name[0] == "_" or ast.get_docstring(node)):
            yield node.name
    for found in _definitions(tree):
        told_elsewhere = found.decorators & {"override", "overload", "setter"}
        if found.public and not told_elsewhere and not ast.get_docstring(found.node):
            yield found.name


def unannotated(tree: ast.Module) -> Iterator[str]:
    """Find functions with a parameter or a result that has no type.

    Triton takes annotations for types of its own, and infers what has none.
    """
    for found in _definitions(tree):
        if "jit" in found.decorators:
            continue
        bare = [parameter.arg for parameter in found.parameters if parameter.annotation is None]
        if bare or found.node.returns is None:
            yield f"{found.name}: {', '.join(bare) or 'its result'}"


def too_many_parameters(tree: ast.Module) -> Iterator[str]:
    """Find functions with more parameters than a reader can hold."""
    for found in _definitions(tree):
        if not _is_kernel(found) and len(found.parameters) > MOST_PARAMETERS:
            yield f"{found.name}: {len(found.parameters)} parameters"


def boolean_by_position(tree: ast.Module) -> Iterator[str]:
    """Find booleans that a call could give without their name.

    The first parameter may be one, if it has no default: then it is what is acted on. The
    command line's, written `Annotated[bool, ...]`, are given by name anyway.
    """
    for found in _definitions(tree):
        if _is_kernel(found) or found.special or "setter" in found.decorators:
            continue
        required = len(found.positional) - len(found.node.args.defaults)
        for place, parameter in enumerate(found.positional):
            if _is_boolean(parameter) and (place > 0 or required == 0):
                yield f"{found.name}: {parameter.arg}"


def too_long(tree: ast.Module) -> Iterator[str]:
    """Find functions that do not fit on a page."""
    for found in _definitions(tree):
        lines = (found.node.end_lineno or 0) - found.node.lineno + 1
        if not _is_kernel(found) and lines > LONGEST:
            yield f"{found.name}: {lines} lines"


Rule = Callable[[ast.Module], Iterator[str]]
IN_KERNELS_TOO: list[Rule] = [undocumented, unannotated]
NOT_IN_KERNELS: list[Rule] = [too_many_parameters, boolean_by_position, too_long]


@pytest.mark.parametrize("rule", [*IN_KERNELS_TOO, *NOT_IN_KERNELS])
def test_package_has_nothing(rule: Rule) -> None:
    lines = _offenders(PRESENT, rule, kernels=rule in IN_KERNELS_TOO)
    _nobody(line for line in lines if not any(line.startswith(f"{key}: ") for key in EXEMPT))


def test_no_exemption_is_stale() -> None:
    broken = [line for rule in NOT_IN_KERNELS for line in _offenders(PRESENT, rule)]
    _nobody(key for key in EXEMPT if not any(line.startswith(f"{key}: ") for line in broken))


def test_no_file_is_long() -> None:
    counts = {path: _text(path).count("\n") for path in _files([*PRESENT, "tests", "benchmarks"])}
    _nobody(
        f"{path.relative_to(ROOT)}: {count} lines"
        for path, count in counts.items()
        if count > MOST_LINES
    )


def test_package_never_seeds_the_global_generator() -> None:
    seeding = re.compile(r"torch(\.cuda)?\.(manual_seed|seed)\(|\brandom\.seed\(")
    found = {str(path.relative_to(ROOT)) for path in _files(PRESENT) if seeding.search(_text(path))}
    _nobody(sorted(found - {"trainer/augfeed_trainer/randomness.py"}))  # puts it back


def test_every_name_at_the_door_is_there_and_documented() -> None:
    assert augfeed.__all__
    things = {name: getattr(augfeed, name) for name in augfeed.__all__}
    _nobody(
        name
        for name, thing in things.items()
        if isinstance(thing, type | FunctionType | ModuleType) and not _told(name, thing)
    )


DOCUMENTED = '"""Doc."""\n'


@pytest.mark.parametrize(
    ("rule", "code", "found"),
    [
        (source_root_imported, "import augfeed, pipelines.augfeed", 1),
        (source_root_imported, "from client import x\nfrom augfeed_client import y", 1),
        (undocumented, "x = 1", 1),
        (undocumented, DOCUMENTED + "def f(): ...\ndef _g(): ...", 1),
        (undocumented, DOCUMENTED + "class A:\n  def f(self): ...\n  def __len__(self): ...", 2),
        (undocumented, DOCUMENTED + "class _A:\n  def f(self): ...", 0),
        (unannotated, "def f(a: int, b, *c, d, **e) -> int: ...", 1),
        (unannotated, "class A:\n  def f(self): ...\n  def g(self) -> None: ...", 1),
        (unannotated, "def f() -> None:\n  def g(): ...", 1),
        (too_many_parameters, "def f(a, b, c, d, e, f, g, *, h): ...", 0),
        (too_many_parameters, "def f(a, b, c, d, e, f, g, *, h, i): ...", 1),
        (too_many_parameters, "class A:\n  def f(self, a, b, c, d, e, f, g, h): ...", 0),
        (too_many_parameters, "@njit(x=1)\ndef f(a, b, c, d, e, f, g, h, i): ...", 0),
        (boolean_by_position, "def f(a: int, b: bool): ...", 1),
        (boolean_by_position, "def f(a: int, b: bool | None = None): ...", 1),
        (boolean_by_position, "def f(a: bool, b: int = 1): ...", 0),
        (boolean_by_position, "class A:\n  def __init__(self, a: int, b: bool): ...", 1),
        (boolean_by_position, "class A:\n  def __exit__(self, a: int, b: bool): ...", 0),
        (boolean_by_position, "def f(a: bool = True): ...", 1),
        (boolean_by_position, "def f(a: int, *, b: bool = True): ...", 0),
        pytest.param(too_long, "def f():\n" + "  x = 1\n" * 79, 0, id="80 lines"),
        pytest.param(too_long, "def f():\n" + "  x = 1\n" * 80, 1, id="81 lines"),
    ],
)
def test_rule_finds(rule: Rule, code: str, found: int) -> None:
    assert len(list(rule(ast.parse(code)))) == found


# Helpers


def _run(*arguments: str) -> str:
    """Run Python at the root of the repository and return what it printed."""
    path = os.pathsep.join(str(ROOT / room) for room in PRESENT)
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def _nobody(offenders: Iterable[str]) -> None:
    found = sorted(offenders)
    assert not found, "\n" + "\n".join(found)


def _files(folders: Iterable[str]) -> list[Path]:
    files = [path for folder in folders for path in sorted((ROOT / folder).rglob("*.py"))]
    assert files, f"no Python files under {list(folders)}"
    return files


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8")


@cache
def _tree(path: Path) -> ast.Module:
    return ast.parse(_text(path))


def _offenders(folders: Iterable[str], rule: Rule, *, kernels: bool = True) -> Iterator[str]:
    for path in _files(folders):
        if kernels or "kernels" not in path.parts:
            for offender in rule(_tree(path)):
                yield f"{path.relative_to(ROOT)}: {offender}"


@cache
def _definitions(tree: ast.Module) -> list[Definition]:
    """Return the functions of a module, nested ones too."""

    def inside(node: ast.AST, path: str, public: bool) -> Iterator[Definition]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
                shown = public and not child.name.startswith("_")
                name = path + child.name
                yield Definition(name, child, isinstance(node, ast.ClassDef), shown)
                yield from inside(child, f"{name}.", False)
            elif isinstance(child, ast.ClassDef):
                shown = public and not child.name.startswith("_")
                yield from inside(child, f"{path}{child.name}.", shown)
            else:
                yield from inside(child, path, public)

    return list(inside(tree, "", True))


def _last_name(decorator: ast.expr) -> str:
    target = decorator.func if isinstance(decorator, ast.Call) else decorator
    return ast.unparse(target).rpartition(".")[2]


def _is_kernel(found: Definition) -> bool:
    return bool(found.decorators & {"jit", "njit"})


def _is_boolean(parameter: ast.arg) -> bool:
    words = ast.unparse(parameter.annotation).split(" | ") if parameter.annotation else []
    return "bool" in words


def _told(name: str, thing: object) -> bool:
    """Whether a docstring was written: `dataclass` fills in the signature where there is none."""
    return bool(thing.__doc__) and not str(thing.__doc__).startswith(f"{name}(")


def test_loops_compile_where_no_code_can_be_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    from numba import njit
    from numba.core import caching

    from augfeed.kernels import compiled

    def double(x: int) -> int:
        return 2 * x

    monkeypatch.setattr(caching.FunctionCache._impl_class, "_locator_classes", [])
    with pytest.raises(RuntimeError, match="no locator"):
        njit(cache=True)(double)
    assert compiled()(double)(21) == 42
