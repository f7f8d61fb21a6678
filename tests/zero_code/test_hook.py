"""The zero-code hook in the interpreters that inherit it: it stands in for the sitecustomize that it shadows, activates
where it should, and is silent."""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from test_launcher import ROLE, SHOW
from zero_code_interpreters import (
    HOOK,
    ROOT,
    THIS_VERSION,
    Interpreter,
    Outcome,
    clean_environment,
    make_environment,
    other_interpreter,
)

Write = Callable[..., Path]

HEAVY = (
    "asyncio",
    "dataclasses",
    "importlib.metadata",
    "inspect",
    "logging",
    "msgspec",
    "numpy",
    "sklearn",
    "sqlalchemy",
    "torch",
    "typing",
    "wrapt",
)


@pytest.fixture
def user_folder(tmp_path: Path) -> Callable[[str], Path]:
    """Make a folder with a `sitecustomize.py` of the user's."""

    def make(text: str) -> Path:
        folder = tmp_path / "user"
        folder.mkdir()
        (folder / "sitecustomize.py").write_text(text, "utf-8")
        return folder

    return make


def test_folder_holds_one_file() -> None:
    """Each file in the folder would shadow the user's module of that name."""
    assert [entry.name for entry in HOOK.iterdir() if entry.name != "__pycache__"] == ["sitecustomize.py"]


@pytest.mark.parametrize("place", ["PYTHONPATH", "site-packages"])
def test_shadowed_sitecustomize_runs_once_under_its_name(
    python: Interpreter, tmp_path: Path, base_executable: str, user_folder: Callable[[str], Path], place: str
) -> None:
    """The user's sitecustomize runs as `site` runs it, and is the one in `sys.modules`."""
    folder = user_folder("print('ran', __name__, __file__, __spec__.name)")
    command = "import sys, sitecustomize as s; print(s is sys.modules['sitecustomize'], s.__file__); "
    if place == "PYTHONPATH":
        plain = python.run("-c", command, PYTHONPATH=str(folder))
        hooked = python.hooked("-c", command, path=(folder,))
        role = python.hooked("-c", ROLE, path=(folder,))
    else:
        other = make_environment(tmp_path / "venv", base_executable, THIS_VERSION, ROOT, folder)
        plain, hooked, role = other.run("-c", command), other.hooked("-c", command), other.hooked("-c", ROLE)
    if place == "site-packages" and plain.stdout.count("ran sitecustomize") == 0:
        pytest.skip("this Python has a sitecustomize of its own, which comes before that of site-packages")
    assert plain.stdout.count("ran sitecustomize") == 1
    assert hooked == plain
    assert role.stdout.endswith("\nmain\n")


@pytest.mark.parametrize(
    "text",
    ["raise ValueError('mine')", "raise ImportError('mine')", "import no_such_module", "def", "import sitecustomize_2"],
)
def test_shadowed_sitecustomize_that_raises_is_reported_by_site(
    python: Interpreter, user_folder: Callable[[str], Path], text: str
) -> None:
    """Site's own two lines appear as without autotrack, which is active nevertheless."""
    folder = user_folder(text)
    plain = python.run("-c", "print(1)", PYTHONPATH=str(folder))
    assert plain.stderr.startswith("Error in sitecustomize; set PYTHONVERBOSE for traceback:\n")
    assert python.hooked("-c", "print(1)", path=(folder,)) == plain
    assert python.hooked("-c", ROLE, path=(folder,)).stdout == "main\n"


def test_shadowed_sitecustomize_that_exits_is_as_fatal_as_ever(
    python: Interpreter, user_folder: Callable[[str], Path]
) -> None:
    """`sys.exit` in a sitecustomize ends the interpreter with Python's fatal error."""
    folder = user_folder("import sys; sys.exit(3)")
    plain = python.run("-c", "print(1)", PYTHONPATH=str(folder))
    hooked = python.hooked("-c", "print(1)", path=(folder,))
    assert (hooked.stdout, hooked.status) == (plain.stdout, plain.status) == ("", 1)
    assert hooked.stderr.splitlines()[0] == plain.stderr.splitlines()[0]
    assert hooked.stderr.splitlines()[-1] == plain.stderr.splitlines()[-1]


def test_without_a_sitecustomize_nothing_is_said(python: Interpreter, program: Write) -> None:
    """A child looks as under plain Python: output, argv, globals, `sys.path`."""
    script = program(SHOW)
    assert python.hooked(script) == python.run(script)


def test_hook_leaves_the_path_and_stays_in_the_environment(python: Interpreter, tmp_path: Path) -> None:
    """The hook's folder is gone from `sys.path`, and inherited by children."""
    command = f"import os, sys; print({str(HOOK)!r} in sys.path, os.environ['PYTHONPATH'])"
    done = python.hooked("-c", command, path=(tmp_path,))
    assert done == Outcome(f"False {HOOK}{os.pathsep}{tmp_path}\n", "", 0)


def test_hook_stays_in_front_of_an_agent_that_puts_itself_first(python: Interpreter, tmp_path: Path) -> None:
    """OpenTelemetry's file makes itself the first for children, and loads no other: there, too, ours comes first."""
    agent = tmp_path / "agent"
    agent.mkdir()
    (agent / "sitecustomize.py").write_text(
        "import os\n"
        "here, path = os.path.dirname(__file__), os.environ['PYTHONPATH'].split(os.pathsep)\n"
        "os.environ['PYTHONPATH'] = os.pathsep.join([here] + [one for one in path if one != here])\n"
    )
    again = f"import os; print(os.environ['PYTHONPATH']); {ROLE}"
    asked = f"subprocess.check_output([sys.executable, '-c', {again!r}], text=True)"
    command = f"import subprocess, sys; {ROLE}; print({asked}, end='')"
    done = python.hooked("-c", command, path=(agent, tmp_path))
    assert done == Outcome(f"main\n{os.pathsep.join(map(str, (HOOK, agent, tmp_path)))}\nmain\n", "", 0)


def test_two_copies_of_the_hook_activate_once(
    python: Interpreter, tmp_path: Path, user_folder: Callable[[str], Path]
) -> None:
    """Of two installations on PYTHONPATH one activates, and the user's file still runs once."""
    second = tmp_path / "second"
    shutil.copytree(HOOK, second)
    folder = user_folder("print('ran')")
    done = python.hooked("-c", ROLE, path=(second, folder), AUTOTRACK_DEBUG="1")
    assert (done.stdout, done.status) == ("ran\nmain\n", 0)
    assert done.stderr.count(": active") == 1
    assert "another copy" in done.stderr


@pytest.mark.parametrize("version", ["2.7", "3.6", "3.7", "3.8", "3.9"])
def test_older_python_runs_the_users_file_and_stays_plain(
    tmp_path: Path, user_folder: Callable[[str], Path], version: str
) -> None:
    """A Python that autotrack does not support reads the hook without an error."""
    shutil.copytree(HOOK, tmp_path / "hook", ignore=shutil.ignore_patterns("__pycache__"))
    old = Interpreter(other_interpreter(version))
    command = "import sys; print([m for m in sys.modules if m.startswith('autotrack')])"
    for text in ("import sys; sys.stdout.write('ran')", "raise ValueError('mine')"):
        folder = user_folder(text)
        for options in ({}, {"PYTHONDONTWRITEBYTECODE": "1"}):
            plain = old.run("-c", command, PYTHONPATH=str(folder), **options)
            hooked = old.hooked("-c", command, hook=tmp_path / "hook", path=(folder, ROOT), **options)
            assert hooked == plain
        shutil.rmtree(folder)
    without = old.hooked("-c", command, hook=tmp_path / "hook", AUTOTRACK_DEBUG="1")
    assert (without.stdout, without.status) == ("[]\n", 0)
    assert without.stderr.endswith("is older than 3.10\n")


def test_older_python_is_told_by_its_version_where_none_is_installed(python: Interpreter, tmp_path: Path) -> None:
    """The hook holds no syntax that Python 3.4 does not know, and an interpreter that says 3.9 is left plain."""
    ast.parse((HOOK / "sitecustomize.py").read_text("utf-8"), feature_version=(3, 4))
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "sitecustomize.py").write_text(
        "import sys\nversion = sys.version_info\nsys.version_info = (3, 9, 18)\n"
        f"sys.path.remove({str(outside)!r})\ndel sys.modules['sitecustomize']\n"
        "try:\n    import sitecustomize\nfinally:\n    sys.version_info = version\n"
    )
    command = "import sys; print(sys.modules['_autotrack_hook'].VERDICT, 'autotrack' in sys.modules)"
    done = python.hooked("-c", command, hook=outside, path=(HOOK,))
    version = sys.version.split()[0]
    assert done == Outcome(f"inactive: Python {version} is older than 3.10 False\n", "", 0)


@pytest.mark.parametrize("version", ["3.10", "3.11", "3.12", "3.13", "3.14", "3.13t", "3.14t"])
def test_supported_python_is_recorded(tmp_path: Path, program: Write, version: str) -> None:
    """Launcher and hook work in every supported version, also free-threaded, where autotrack is installed."""
    base = other_interpreter(version)
    installed = make_environment(tmp_path / "with", base, version, ROOT)
    script = program(SHOW)
    assert installed.hooked("-c", ROLE) == installed.launched("-c", ROLE) == Outcome("main\n", "", 0)
    assert installed.launched(script) == installed.hooked(script) == installed.run(script)
    assert make_environment(tmp_path / "without", base, version).hooked("-c", ROLE) == Outcome("inactive\n", "", 0)


def test_other_virtual_environment_is_left_alone(python: Interpreter, stranger: Interpreter, program: Write) -> None:
    """A launched program that starts another environment's Python gets that one's plain output and status."""
    child = program("print('child'); raise SystemExit(6)", "child.py")
    text = f"import subprocess, sys; sys.exit(subprocess.run([{stranger.executable!r}, {str(child)!r}]).returncode)"
    assert python.launched(program(text)) == Outcome("child\n", "", 6)


@pytest.mark.parametrize(
    ("variables", "verdict"),
    [
        ({"AUTOTRACK_PROTOCOL": "2"}, "inactive: the launcher speaks protocol 2, this hook 1"),
        ({"AUTOTRACK_DISABLE": "1"}, "inactive: AUTOTRACK_DISABLE is set"),
        ({"AUTOTRACK_DISABLE": "Yes"}, "inactive: AUTOTRACK_DISABLE is set"),
        ({"AUTOTRACK_DISABLE": "0"}, "active (role main, by hook)"),
        ({"AUTOTRACK_ACTIVE": ""}, "inactive: not started by the launcher (AUTOTRACK_ACTIVE is not 1)"),
        ({}, "active (role main, by hook)"),
    ],
)
def test_gates_decide_and_say_why_when_asked(python: Interpreter, variables: dict[str, str], verdict: str) -> None:
    """What closes a gate leaves the process plain; the reason is on stderr under AUTOTRACK_DEBUG alone."""
    role = "main" if verdict.startswith("active") else "inactive"
    assert python.hooked("-c", ROLE, **variables) == Outcome(f"{role}\n", "", 0)
    debug = python.hooked("-c", ROLE, **variables, AUTOTRACK_DEBUG="1")
    assert debug.stdout == f"{role}\n"
    assert debug.stderr.partition("]: ")[2] == f"{verdict}\n"


def test_disabled_process_loads_nothing_of_autotrack(python: Interpreter) -> None:
    """AUTOTRACK_DISABLE=1 keeps even the import finder away: modules and finders are those of plain Python."""
    command = "import sys; print(sys.meta_path, file=sys.stderr); print(*sys.modules)"
    plain = python.run("-c", command)
    disabled = python.hooked("-c", command, AUTOTRACK_DISABLE="1")
    assert disabled.stderr == plain.stderr
    without = set(plain.stdout.split())  # Debian's Python has a sitecustomize of its own
    assert set(disabled.stdout.split()) - without == {"_autotrack_hook", "sitecustomize"} - without


@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-", "<&- >&- 2>&-"])
def test_closed_streams_do_not_matter(python: Interpreter, tmp_path: Path, closed: str) -> None:
    """A program without stdout and stderr starts, is recorded, and ends with its own status."""
    command = f"import builtins, sys; f = open({str(tmp_path / 'role')!r}, 'w'); print = lambda x: f.write(x); {ROLE}"
    shell = ["/bin/sh", "-c", f'exec "$@" {closed}', "sh", python.executable]
    environment = clean_environment(AUTOTRACK_DEBUG="1")
    done = subprocess.run([*shell, "-m", "autotrack", "-c", command + "; sys.exit(5)"], env=environment, cwd=tmp_path)
    assert done.returncode == 5
    assert (tmp_path / "role").read_text() == "main"


def test_warnings_as_errors_do_not_matter(python: Interpreter) -> None:
    """Under `-W error` autotrack starts and warns of nothing, in the parent and in its children."""
    command = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {ROLE!r}])"
    for flags in (("-W", "error"), ("-X", "dev", "-W", "error", "-bb")):
        assert python.launched("-c", command, flags=flags, PYTHONWARNINGS="error") == Outcome("main\n", "", 0)


def test_child_without_the_environment_is_plain(python: Interpreter) -> None:
    """Children with an empty environment or under -I, -E, -S are inactive, without an error."""
    child = f"import sys; {ROLE}"
    command = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}], env={{}})"
    assert python.launched("-c", command) == Outcome("inactive\n", "", 0)
    for option in ("-I", "-E", "-S"):
        assert python.hooked(option, "-c", child) == Outcome("inactive\n", "", 0)


def test_hook_loads_autotracks_few_light_modules_and_no_others(python: Interpreter) -> None:
    """Beyond plain Python's there are a handful of autotrack's own modules in `sys.modules`, none of them heavy."""
    command = "import sys; print(*sorted(sys.modules))"
    plain = set(python.run("-c", command).stdout.split())
    extra = set(python.hooked("-c", command).stdout.split()) - plain
    assert {"autotrack.bootstrap", "autotrack.hooks.imports"} <= extra
    assert not extra.intersection(HEAVY)
    others = {name for name in extra if name.partition(".")[0] != "autotrack"}
    assert others <= {"__future__", "_autotrack_hook", "sitecustomize"}
    assert len(extra) <= 12


@pytest.mark.parametrize(
    "name", ["preload", "_load", "_bootstrap", "bootstrap", "process", "imports", "autotrack_mine"]
)
def test_users_modules_are_not_shadowed(python: Interpreter, program: Write, name: str) -> None:
    """A module of the user's is imported, whatever its name."""
    script = program(f"import {name}; print({name}.MINE)")
    program("MINE = 'yes'", f"{name}.py")
    assert python.launched(script) == Outcome("yes\n", "", 0)


BROKEN = {
    "syntax": {"__init__.py": "def"},
    "import": {"__init__.py": "import no_such_module"},
    "exit": {"__init__.py": "import sys; sys.exit(7)"},
    "error": {"__init__.py": "1/0"},
    "empty": {"__init__.py": ""},
    "half": {"__init__.py": "", "process.py": "def role_of(a, b): return 'main'", "bootstrap.py": "raise OSError('x')"},
}


@pytest.mark.parametrize("how", BROKEN)
def test_broken_installation_does_not_reach_the_program(
    tmp_path: Path, base_executable: str, program: Write, how: str
) -> None:
    """Whatever importing autotrack raises, the program runs as if it were not there."""
    package = tmp_path / "lib" / "autotrack"
    package.mkdir(parents=True)
    for name, text in BROKEN[how].items():
        (package / name).write_text(text)
    broken = make_environment(tmp_path / "venv", base_executable, THIS_VERSION, tmp_path / "lib")
    script = program(SHOW)
    assert broken.hooked(script) == broken.run(script)
    assert ": inactive: " in broken.hooked(script, AUTOTRACK_DEBUG="1").stderr


@pytest.mark.parametrize("mine", [{}, {"PYTHONPATH": "/mine"}])
def test_program_alone_is_followed_on_request(python: Interpreter, mine: dict[str, str]) -> None:
    """Under AUTOTRACK_FOLLOW=0 the program is recorded, its children get the environment without the hook."""
    command = (
        f"import os, subprocess, sys; {ROLE}; print(os.environ.get('PYTHONPATH'), flush=True);"
        f"subprocess.run([sys.executable, '-c', {ROLE!r}])"
    )
    done = python.launched("-c", command, AUTOTRACK_FOLLOW="0", **mine)
    assert done == Outcome(f"main\n{mine.get('PYTHONPATH')}\ninactive\n", "", 0)


def test_usercustomize_still_runs(tmp_path: Path, base_executable: str) -> None:
    """A `usercustomize`, where site runs one, comes after the hook as ever."""
    other = make_environment(tmp_path / "venv", base_executable, THIS_VERSION, ROOT)
    config = tmp_path / "venv" / "pyvenv.cfg"
    config.write_text(config.read_text().replace("system-site-packages = false", "system-site-packages = true"))
    packages = tmp_path / "home" / "lib" / f"python{THIS_VERSION}" / "site-packages"
    packages.mkdir(parents=True)
    (packages / "usercustomize.py").write_text("print('user file')")
    variables = {"PYTHONUSERBASE": str(tmp_path / "home")}
    assert other.hooked("-c", ROLE, **variables) == Outcome("user file\nmain\n", "", 0)


def test_nothing_is_written_where_nothing_may_be(python: Interpreter, tmp_path: Path) -> None:
    """With a read-only home and working folder the program runs, and no file appears in either."""
    for name in ("home", "work"):
        (tmp_path / name).mkdir()
        (tmp_path / name).chmod(0o555)
    variables = {"HOME": str(tmp_path / "home"), "PYTHONDONTWRITEBYTECODE": "1"}
    assert python.launched("-c", ROLE, cwd=tmp_path / "work", **variables) == Outcome("main\n", "", 0)
    assert [list((tmp_path / name).iterdir()) for name in ("home", "work")] == [[], []]


def test_working_folder_that_is_gone_does_not_matter(python: Interpreter, tmp_path: Path) -> None:
    """A child started in a folder that was removed starts as it would have."""
    gone = tmp_path / "gone"
    command = (
        f"import os, subprocess, sys; os.mkdir({str(gone)!r}); os.chdir({str(gone)!r}); os.rmdir({str(gone)!r});"
        f"subprocess.run([sys.executable, '-c', {ROLE!r}])"
    )
    assert python.launched("-c", command) == Outcome("main\n", "", 0)


def test_other_agents_that_load_the_shadowed_file_find_a_module(python: Interpreter, tmp_path: Path) -> None:
    """An agent outside that loads our file through its loader, as New Relic's does, goes on undisturbed."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "sitecustomize.py").write_text(
        "import sys, os\n"
        "from importlib.machinery import PathFinder\n"
        "here = os.path.dirname(__file__)\n"
        "spec = PathFinder.find_spec('sitecustomize', [p for p in sys.path if p != here])\n"
        "if spec is not None:\n"
        "    spec.loader.load_module('sitecustomize')\n"
        "OUTSIDE = True\n"
        "print('outside went on')\n"
    )
    command = f"import warnings; {ROLE}"
    done = python.hooked("-W", "ignore", "-c", command, hook=outside, path=(HOOK,))
    assert done == Outcome("outside went on\nmain\n", "", 0)
    inside = python.hooked("-W", "ignore", "-c", command, path=(outside,))
    assert inside == done


def test_hook_only_runs_as_sitecustomize(python: Interpreter) -> None:
    """Read under another name, the file does nothing."""
    command = f"import runpy; runpy.run_path({str(HOOK / 'sitecustomize.py')!r}); {ROLE}"
    assert python.run("-c", command, AUTOTRACK_ACTIVE="1").stdout == "inactive\n"
