"""Scripts that are forked from a template run and end as those of an interpreter of their own."""

import os
import signal

import pytest

from tests.template import run_script, template


@pytest.mark.parametrize("finalize", [False, True])
def test_a_script_has_its_arguments_variables_streams_and_status(finalize: bool) -> None:
    code = "import os, sys; print(*sys.argv[1:], os.environ['A']); sys.exit('no')"
    ended = run_script(code, "a", "b c", imports=[], environment={"A": "1"}, finalize=finalize)
    assert (ended.returncode, ended.stdout, ended.stderr) == (1, "a b c 1\n", "no\n")


def test_what_a_script_holds_lives_until_the_interpreter_ends() -> None:
    code = """
import atexit
class Held:
    def __del__(self): print("gone")
held = Held()
atexit.register(print, "exit")
"""
    assert run_script(code, imports=["torch"], finalize=True).stdout == "exit\ngone\n"


@pytest.mark.parametrize("finalize", [False, True])
def test_an_error_and_a_signal_end_a_script(finalize: bool) -> None:
    ended = run_script("1 // 0", imports=[], finalize=finalize)
    assert ended.returncode == 1 and ended.stderr.endswith("by zero\n")
    process = template().fork("print('here', flush=True)\nwhile True: pass", [], os.environ)
    with process.stdout, process.stderr:
        assert process.stdout.readline() == "here\n"
        process.send_signal(signal.SIGTERM)
        assert process.wait() == -signal.SIGTERM


def test_modules_are_imported_once_for_all_scripts() -> None:
    code = "import os, colorsys; print(os.getpid(), id(colorsys), hasattr(colorsys, 'mine')); \
colorsys.mine = 1"
    (one, at, first), (other, there, second) = (
        run_script(code, imports=["colorsys"]).stdout.split() for _ in range(2)
    )
    assert one != other and at == there and first == second == "False"
