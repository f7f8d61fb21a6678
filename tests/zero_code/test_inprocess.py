"""The launcher's second way, in process: for options under which Python does not run the hook."""

from __future__ import annotations

import py_compile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from test_launcher import EXITS, ROLE, SHOW
from zero_code_interpreters import ROOT, Interpreter, make_environment, other_interpreter

Write = Callable[..., Path]

NOTE = (
    "autotrack: -I and -E make Python ignore PYTHONPATH: "
    "running the program in this process, child processes are not followed\n"
)
SHOW_HERE = SHOW.replace(", sys.orig_argv", "")


def assert_same_but_for_the_note(python: Interpreter, option: str, *target: str | Path, **options: object) -> None:
    """Plain and launched outcome are the same after autotrack's one line."""
    plain = python.run(option, *target, **options)  # type: ignore[arg-type]
    done = python.launched(*target, flags=(option,), **options)
    assert done == plain._replace(stderr=NOTE + plain.stderr)


@pytest.mark.parametrize("option", ["-E", "-I"])
@pytest.mark.parametrize("form", ["script", "module", "command", "stdin", "folder", "zip", "compiled", "missing"])
def test_program_looks_as_under_plain_python_in_process(
    python: Interpreter, program: Write, option: str, form: str
) -> None:
    """Output, status, argv, globals and sys.path are those of plain Python, but for one line on stderr."""
    script = program(SHOW_HERE)
    program(SHOW_HERE, "folder/__main__.py")
    with zipfile.ZipFile(script.parent / "packed.zip", "w") as packed:
        packed.writestr("__main__.py", SHOW_HERE)
    target = {
        "script": "program.py",
        "module": "-m program" if option == "-E" else "-m this",
        "stdin": "-",
        "folder": "folder",
        "zip": "packed.zip",
        "compiled": "compiled.pyc",
        "missing": "missing.py",
        "command": "-c",
    }[form].split()
    if form == "command":
        target.append(SHOW_HERE)
    if form == "compiled":
        py_compile.compile(str(script), str(script.parent / "compiled.pyc"))
    assert_same_but_for_the_note(python, option, *target, "one", cwd=script.parent, stdin=SHOW_HERE)


@pytest.mark.parametrize("way", EXITS)
def test_program_ends_as_under_plain_python_in_process(python: Interpreter, program: Write, way: str) -> None:
    """Exit status and traceback are the same in process; no frame of autotrack is in it."""
    assert_same_but_for_the_note(python, "-I", program(EXITS[way]))


def test_module_that_raises_shows_pythons_own_frames_only(python: Interpreter, program: Write) -> None:
    """A traceback of `-m module` begins where Python's own begins."""
    script = program("1/0")
    assert_same_but_for_the_note(python, "-E", "-m", "program", cwd=script.parent)
    assert_same_but_for_the_note(python, "-E", "-m", "not_there", cwd=script.parent)
    assert_same_but_for_the_note(python, "-E", ".", cwd=script.parent)


@pytest.mark.parametrize("version", ["3.10", "3.12", "3.13", "3.14"])
def test_main_module_is_the_interpreters_on_every_version(tmp_path: Path, program: Write, version: str) -> None:
    """The names in `__main__` follow the version of Python."""
    other = make_environment(tmp_path / "venv", other_interpreter(version), version, ROOT)
    script = program(SHOW_HERE)
    for target in (["program.py"], ["-c", SHOW_HERE], ["-"], ["-m", "program"]):
        assert_same_but_for_the_note(other, "-E", *target, cwd=script.parent, stdin=SHOW_HERE)


def test_program_is_recorded_in_process_by_its_role(python: Interpreter) -> None:
    """In process too ranks are told apart, tools and disabled programs are left alone."""
    assert python.launched("-c", ROLE, flags=("-I",)).stdout == "main\n"
    assert python.launched("-c", ROLE, flags=("-I",), RANK="1").stdout == "rank\n"
    assert python.launched("-c", ROLE, flags=("-I",), AUTOTRACK_DISABLE="1").stdout == "inactive\n"
    assert "autotrack" not in python.launched("-m", "compileall", "-h", flags=("-I",)).stderr


def test_options_after_the_launcher_are_refused_in_process(python: Interpreter) -> None:
    """A running interpreter cannot take options any more."""
    done = python.launched("-O", "-c", "print(1)", flags=("-I",))
    assert (done.stdout, done.status) == ("", 2)
    assert "-O goes to this interpreter" in done.stderr


def test_interpreter_without_site_cannot_find_autotrack(python: Interpreter, program: Write) -> None:
    """Under -S there are no site-packages: Python's own message says that there is no autotrack."""
    done = python.launched(program(ROLE), flags=("-S",))
    assert done.status == 1
    assert done.stderr.endswith("No module named autotrack\n")


def test_interpreter_without_site_that_finds_autotrack_runs_the_program_here(
    stranger: Interpreter, program: Write
) -> None:
    """Where PYTHONPATH leads to autotrack, -S only keeps the hook from running."""
    done = stranger.launched(program(ROLE), flags=("-S",), PYTHONPATH=str(ROOT))
    assert (done.stdout, done.status) == ("main\n", 0)
    assert done.stderr.startswith("autotrack: -S makes Python ignore sitecustomize")
