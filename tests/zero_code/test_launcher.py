"""The launcher: what runs under `python -m autotrack` is told from what runs under `python` by nothing it can see."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from zero_code_interpreters import HOOK, ROOT, Interpreter, Outcome, clean_environment, make_environment

from autotrack.__main__ import _wait_for_child

Write = Callable[..., Path]

SHOW = """
import sys
print(sys.argv, __name__, sorted(globals()), sys.path, sys.executable, sys.orig_argv)
print(sys.flags, sys.warnoptions, sys._xoptions)
print(globals().get("__file__"), __package__, __spec__ and __spec__.name, type(__loader__), file=sys.stderr)
sys.exit(3)
"""

ROLE = "import sys; m = sys.modules.get('autotrack.process'); print(m.role if m and m.activated else 'inactive')"


def assert_same(python: Interpreter, *target: str | Path, flags: tuple[str, ...] = (), **options: object) -> Outcome:
    """Run the target under plain Python and under autotrack; what a user sees is the same, byte for byte."""
    plain = python.run(*flags, *target, **options)  # type: ignore[arg-type]
    assert python.launched(*target, flags=flags, **options) == plain
    return plain


@pytest.fixture
def forms(program: Write, tmp_path: Path) -> dict[str, list[str]]:
    """One program in every form that Python runs."""
    script = program(SHOW)
    program(SHOW, "module.py")
    program(SHOW, "folder/__main__.py")
    with zipfile.ZipFile(tmp_path / "programs" / "packed.zip", "w") as packed:
        packed.writestr("__main__.py", SHOW)
    return {
        "script": [str(script)],
        "module": ["-m", "module"],
        "package": ["-m", "folder"],
        "command": ["-c", SHOW],
        "stdin": ["-"],
        "folder": ["folder"],
        "zip": ["packed.zip"],
        "relative": ["program.py"],
    }


@pytest.mark.parametrize("form", ["script", "module", "package", "command", "stdin", "folder", "zip", "relative"])
def test_every_form_of_program_looks_as_under_plain_python(
    python: Interpreter, forms: dict[str, list[str]], tmp_path: Path, form: str
) -> None:
    """Output, status, argv, globals and sys.path are those of plain Python, and autotrack is active."""
    where = {"cwd": tmp_path / "programs", "stdin": SHOW}
    plain = assert_same(python, *forms[form], "one", "two words", **where)
    assert plain.status == 3
    assert "one" in plain.stdout
    verdict = python.launched(*forms[form], **where, AUTOTRACK_DEBUG="1").stderr
    assert "active (role main, by hook)" in verdict


@pytest.mark.parametrize(
    ("target", "status"), [(["missing.py"], 2), (["-m", "missing_module"], 1), (["empty"], 1), (["-c", "1 +"], 1)]
)
def test_missing_program_fails_with_pythons_own_words(
    python: Interpreter, tmp_path: Path, target: list[str], status: int
) -> None:
    """Message and exit status of a program that cannot be run are Python's."""
    (tmp_path / "empty").mkdir()
    assert assert_same(python, *target, cwd=tmp_path).status == status


def test_program_name_in_messages_is_the_one_the_user_typed(python: Interpreter) -> None:
    """Started as `python`, found on PATH, Python's messages begin with `python:` in both cases."""
    folder = Path(python.executable).parent
    named = Interpreter("python")
    path = f"{folder}{os.pathsep}{os.environ['PATH']}"
    shell = ["/bin/sh", "-c", 'exec "$@"', "sh"]
    outcomes = [
        subprocess.run(
            [*shell, named.executable, *extra, "missing.py"],
            env=clean_environment(PATH=path),
            capture_output=True,
            text=True,
        )
        for extra in ([], ["-m", "autotrack"])
    ]
    assert outcomes[0].stderr.startswith("python: can't open file")
    assert outcomes[1].stderr == outcomes[0].stderr


@pytest.mark.parametrize(
    "flags",
    [
        ("-O", "-X", "dev", "-W", "error"),
        ("-u",),
        ("-B", "-q", "-s"),
        ("-Wd", "-Xutf8"),
        ("-OO", "-b", "-X", "tracemalloc"),
        pytest.param(("-P",), marks=pytest.mark.skipif(sys.version_info < (3, 11), reason="-P is new in 3.11")),
    ],
)
def test_interpreter_options_reach_the_program(python: Interpreter, program: Write, flags: tuple[str, ...]) -> None:
    """Options given before `-m autotrack` hold for the program."""
    script = program(SHOW.replace(", sys.orig_argv", ""))
    assert_same(python, script, flags=flags)
    assert python.launched("-c", ROLE, flags=flags).stdout == "main\n"


def test_clustered_options_are_taken_apart(python: Interpreter) -> None:
    """`python -uBm autotrack` keeps `-u` and `-B`; options after it are taken as well."""
    command = "import sys; print(sys.dont_write_bytecode, sys.stdout.write_through, sys.flags.optimize)"
    done = python.run("-uBm", "autotrack", "-O", "-c", command)
    assert done == Outcome("True True 1\n", "", 0)


@pytest.mark.parametrize("option", ["-I", "-E", "-S", "-sE"])
def test_option_that_hides_the_hook_is_refused_after_the_launcher(python: Interpreter, option: str) -> None:
    """An option that would silently switch recording off must be given to the launcher's own interpreter."""
    done = python.launched(option, "-c", "print(1)")
    assert (done.stdout, done.status) == ("", 2)
    assert "goes to this interpreter" in done.stderr


EXITS = {
    "number": "import sys; sys.exit(7)",
    "text": "import sys; sys.exit('good-bye')",
    "nothing": "import sys; sys.exit(None)",
    "exception": "def f():\n    raise ValueError('no')\nf()",
    "chained": "try:\n    1/0\nexcept ZeroDivisionError as e:\n    raise KeyError('x') from e",
    "interrupt": "raise KeyboardInterrupt",
    "at exit": "import atexit; atexit.register(print, 'bye'); raise SystemExit(4)",
    "abrupt": "import os; os._exit(9)",
    "syntax": "x = = 1",
    "hook": "import sys\nsys.excepthook = lambda *a: print('mine', a[0])\n1/0",
}


@pytest.mark.parametrize("way", EXITS)
def test_program_ends_as_under_plain_python(python: Interpreter, program: Write, way: str) -> None:
    """Exit status and traceback are the same; no frame of autotrack is in it."""
    assert_same(python, program(EXITS[way]))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signal_ends_the_program_as_under_plain_python(
    python: Interpreter, program: Write, number: signal.Signals
) -> None:
    """A signal to the launched process reaches the program itself, and kills it with the same status and output."""
    script = program("import time\nprint('ready', flush=True); time.sleep(30)")
    outcomes = []
    for extra in ([], ["-m", "autotrack"]):
        child = subprocess.Popen(
            [python.executable, *extra, str(script)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=clean_environment(PYTHONNODEBUGRANGES="1"),
        )
        assert child.stdout is not None
        child.stdout.readline()
        child.send_signal(number)
        outcomes.append((*child.communicate(timeout=30), child.returncode))
    assert outcomes[0] == outcomes[1]
    assert outcomes[0][2] == -number


def test_arguments_after_the_program_are_the_programs(python: Interpreter, program: Write) -> None:
    """Spaces, options and even autotrack's own options behind the target are left to it."""
    script = program(SHOW)
    arguments = ("a b", "-h", "--", "-m", "x", "--version", "-I", "", "ünïcode")
    assert "ünïcode" in assert_same(python, script, *arguments).stdout


def test_nested_launch_activates_once_and_keeps_the_users_path(python: Interpreter, tmp_path: Path) -> None:
    """The hook stands on PYTHONPATH once, and the user's entries behind it are kept."""
    command = "import os; print(os.environ['PYTHONPATH']); " + ROLE
    user_path = f"{tmp_path}{os.pathsep}/nowhere"
    done = python.launched("-m", "autotrack", "-c", command, PYTHONPATH=user_path, AUTOTRACK_DEBUG="1")
    assert done.stdout == f"{HOOK}{os.pathsep}{user_path}\nmain\n"
    assert done.stderr.count(": active") == 1


@pytest.mark.parametrize(
    "given", [{}, {"PYTHONPATH": ""}, {"PYTHONPATH": "/nowhere"}, {"PYTHONPATH": f"/a{os.pathsep}"}]
)
def test_working_folder_does_not_come_onto_the_path(
    python: Interpreter, program: Write, given: dict[str, str], tmp_path: Path
) -> None:
    """No empty element is added to PYTHONPATH, one that the user put there is kept."""
    script = program("import sys; print(sys.path)")
    assert_same(python, script, cwd=tmp_path, **given)


PICKLE_AT_THE_END = """
import pickle, threading, time
class Thing: pass
def late():
    threading.main_thread().join()
    print(len(pickle.dumps(Thing())) > 0)
threading.Thread(target=late).start()
"""

SPAWN = """
import multiprocessing
def square(x): return x * x
if __name__ == "__main__":
    process = multiprocessing.get_context("spawn").Process(target=square, args=(3,))
    process.start(); process.join(); print(process.exitcode)
"""


@pytest.mark.parametrize("flags", [(), ("-I",)])
def test_main_module_lives_to_the_end_and_is_found_by_children(
    python: Interpreter, program: Write, flags: tuple[str, ...]
) -> None:
    """A thread that outlives the main program pickles its classes, spawned children find its functions."""
    for text in (PICKLE_AT_THE_END, SPAWN):
        done = python.launched(program(text), flags=flags, AUTOTRACK_SILENT="1")
        assert done in (Outcome("True\n", "", 0), Outcome("0\n", "", 0))


def test_missing_hook_folder_is_said_and_the_program_runs_here(
    tmp_path: Path, base_executable: str, program: Write
) -> None:
    """Installed without its hook, autotrack still records the program, in process, and says so in one line."""
    shutil.copytree(ROOT / "autotrack", tmp_path / "lib" / "autotrack", ignore=shutil.ignore_patterns("__pycache__"))
    lame = make_environment(tmp_path / "venv", base_executable, f"3.{sys.version_info[1]}", tmp_path / "lib")
    done = lame.launched(program(ROLE), AUTOTRACK_HOOK_DIR=str(tmp_path))
    assert (done.stdout, done.status) == ("main\n", 0)
    assert done.stderr.startswith("autotrack: the folder sitecustomize_hook is missing")
    assert done.stderr.count("\n") == 1


def test_hook_inside_the_package_is_found(tmp_path: Path, base_executable: str) -> None:
    """In a wheel the hook's folder lies in the package: the launcher finds it there."""
    package = tmp_path / "lib" / "autotrack"
    shutil.copytree(ROOT / "autotrack", package, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(HOOK, package / "sitecustomize_hook", ignore=shutil.ignore_patterns("__pycache__"))
    wheel = make_environment(tmp_path / "venv", base_executable, f"3.{sys.version_info[1]}", tmp_path / "lib")
    done = wheel.launched("-c", "import os; print(os.environ['AUTOTRACK_HOOK_DIR']); " + ROLE)
    assert done == Outcome(f"{package / 'sitecustomize_hook'}\nmain\n", "", 0)


def test_package_inside_a_zip_runs_the_program_here(stranger: Interpreter, tmp_path: Path, program: Write) -> None:
    """Imported from a zip file, where no hook can be read, autotrack runs the program in process."""
    with zipfile.ZipFile(tmp_path / "autotrack.zip", "w") as packed:
        for file in (ROOT / "autotrack").rglob("*.py"):
            packed.write(file, file.relative_to(ROOT))
    done = stranger.launched(program(ROLE), PYTHONPATH=str(tmp_path / "autotrack.zip"))
    assert (done.stdout, done.status) == ("main\n", 0)
    assert "running the program in this process" in done.stderr


def test_package_found_in_the_working_folder_only_runs_the_program_here(stranger: Interpreter, program: Write) -> None:
    """From a checkout that is not installed the hook would find no autotrack: the program runs in process instead."""
    done = stranger.launched(program(ROLE), cwd=ROOT)
    assert (done.stdout, done.status) == ("main\n", 0)
    assert "autotrack is not installed" in done.stderr


def test_hook_folder_that_pythonpath_cannot_hold_runs_the_program_here(
    python: Interpreter, tmp_path: Path, program: Write
) -> None:
    """A folder with a path separator in its name would be torn in two: the program runs in process instead."""
    odd = tmp_path / f"a{os.pathsep}b"
    shutil.copytree(HOOK, odd)
    done = python.launched(program(ROLE), AUTOTRACK_HOOK_DIR=str(odd))
    assert (done.stdout, done.status) == ("main\n", 0)
    assert "PYTHONPATH cannot hold" in done.stderr


def test_interpreter_that_does_not_know_its_path_runs_the_program_here(python: Interpreter, program: Write) -> None:
    """With an empty `sys.executable` there is nothing to exec."""
    command = f"import sys; sys.executable = ''; from autotrack.__main__ import main; main([{str(program(ROLE))!r}])"
    done = python.run("-c", command)
    assert (done.stdout, done.status) == ("main\n", 0)
    assert "sys.executable is empty" in done.stderr


@pytest.mark.parametrize("folder", ["with space", "ünï", "a:b"])
def test_odd_folders_and_changes_of_folder_do_not_matter(
    python: Interpreter, program: Write, folder: str, tmp_path: Path
) -> None:
    """Paths with spaces, other scripts and colons run; a child started after `chdir` still finds the hook."""
    text = f"import os, subprocess, sys\nos.chdir('/')\nsubprocess.run([sys.executable, '-c', {ROLE!r}])"
    script = program(text, f"{folder}/program.py")
    shutil.copytree(HOOK, tmp_path / "hook ü")
    for hook in ("hook ü", ""):
        done = python.launched("program.py", cwd=script.parent, AUTOTRACK_HOOK_DIR=f"../../{hook}" if hook else "")
        assert done == Outcome("main\n", "", 0)


def test_hook_is_found_through_a_relative_pythonpath(stranger: Interpreter, tmp_path: Path, program: Write) -> None:
    """The hook's own path is absolute, so that a child in another folder finds it."""
    script = program("import os; print(os.path.isabs(os.environ['PYTHONPATH'].split(os.pathsep)[0]))")
    done = stranger.launched(script, cwd=tmp_path, PYTHONPATH=os.path.relpath(ROOT, tmp_path))
    assert done == Outcome("True\n", "", 0)


def test_disabled_launcher_starts_plain_python(python: Interpreter, program: Write) -> None:
    """Under AUTOTRACK_DISABLE=1 the environment is not touched either."""
    script = program("import os, sys; print(sorted(os.environ.items()), sorted(sys.modules))")
    assert_same(python, script, AUTOTRACK_DISABLE="1")


def test_usage_help_and_version(python: Interpreter) -> None:
    """Without a program: usage on stderr and status 2; help and version go to stdout."""
    assert python.launched().status == 2
    assert python.launched().stdout == ""
    assert "nothing to run" in python.launched("-O").stderr
    assert "takes an argument" in python.launched("-m").stderr
    for option in ("-h", "--help"):
        done = python.launched(option)
        assert (done.stderr, done.status) == ("", 0)
        assert done.stdout.startswith("usage: python -m autotrack")
    assert python.launched("--version").stdout.startswith("autotrack ")


def test_console_script_hands_over_its_interpreters_options(python: Interpreter, program: Write) -> None:
    """`launch` as called by a script takes the options in front of the script, and nothing of the script's own."""
    script = program("import sys; from autotrack.__main__ import launch; sys.exit(launch(sys.argv[2:]))", "autotrack")
    target = program(SHOW.replace(", sys.orig_argv", ""))
    plain = python.run("-B", target, "-x")
    assert python.run("-B", script, "run", target, "-x") == plain


def test_waiting_launcher_returns_the_childs_status_and_leaves_interrupts_to_it() -> None:
    """Where a process cannot become another (Windows), Ctrl-C is the child's, and its status is returned."""
    before = signal.getsignal(signal.SIGINT)
    interrupted = (
        "import os, signal, sys\n"
        "def stop(*_): sys.exit(5)\n"
        "signal.signal(signal.SIGINT, stop)\n"
        "os.kill(os.getppid(), signal.SIGINT); os.kill(os.getpid(), signal.SIGINT)"
    )
    assert _wait_for_child([sys.executable, "-c", interrupted], clean_environment()) == 5
    assert _wait_for_child([sys.executable, "-c", "raise SystemExit(0)"], clean_environment()) == 0
    assert signal.getsignal(signal.SIGINT) is before


CONSOLE = f"""
import os, signal, sys
{ROLE}
hits = []
signal.signal(signal.SIGINT, lambda *_: hits.append(1))
print("ready", os.getppid(), flush=True)
while not hits:
    signal.pause()
sys.exit(40 + len(hits))
"""

AS_ON_WINDOWS = """
import os, subprocess, sys
os.name = "nt"
from autotrack.__main__ import main
sys.exit(main(sys.argv[1:]))
"""
"""The launcher as it goes where `os.execve` would leave the console: `subprocess` has looked at the system before."""


def test_launcher_that_waits_behaves_as_one_that_becomes_the_program(python: Interpreter, program: Write) -> None:
    """Where a process cannot become another, output and status are the program's; Ctrl-C reaches it once."""
    script = program(SHOW.replace(", sys.orig_argv", ""))
    assert python.run("-c", AS_ON_WINDOWS, script, "-x", "a b") == python.run(script, "-x", "a b")
    command = [python.executable, "-c", AS_ON_WINDOWS, str(program(CONSOLE, "console.py"))]
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    child = subprocess.Popen(command, env=clean_environment(), start_new_session=True, **pipes)
    assert child.stdout is not None
    assert [child.stdout.readline(), child.stdout.readline()] == ["main\n", f"ready {child.pid}\n"]
    os.killpg(child.pid, signal.SIGINT)  # as a terminal does: to the launcher, and to the program
    assert child.communicate(timeout=60) == ("", "")
    assert child.returncode == 41
