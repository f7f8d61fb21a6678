"""The launcher: `python -m autotrack [-m module | -c command | script.py | - | folder | zip] arguments...`.

It puts the zero-code hook's folder first on PYTHONPATH and replaces itself by the same interpreter, with the same
options, on the target. From then on it is plain Python that runs: output, tracebacks, `__main__`, exit status and
signals are Python's own. Where the hook cannot be reached (`-I`, `-E`, `-S`, an installation inside a zip file) the
target runs in this process, see `inprocess.py`.

Like the hook it reads the few environment variables that it needs on its own: `config.py` is too heavy for here.
"""

from __future__ import annotations

import os
import sys

from autotrack import __version__
from autotrack.process import role_of, split_options

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import FrameType

PROTOCOL = "1"
"""Version of the contract between launcher and hook."""

USAGE = "usage: python -m autotrack [-m module | -c command | script.py | - | folder | zip] [arguments ...]"

HELP = f"""{USAGE}

Run a Python program as `python` would, and record what it trains. The program needs no change.

  -m module      run a module
  -c command     run the program given as text
  -              run the program read from standard input
  -h, --help     show this and exit
  --version      show autotrack's version and exit

Options of the interpreter go first: python -u -m autotrack train.py
AUTOTRACK_DISABLE=1 runs the program without recording; AUTOTRACK_FOLLOW=0 leaves its child processes alone;
AUTOTRACK_DEBUG=1 says on standard error what autotrack does. Everything else: autotrack --help
"""

_UNREACHABLE = {"-E", "-I", "-S"}
"""Options under which Python does not run the hook."""


def main(arguments: list[str]) -> int:
    """Run the command line `python -m autotrack`; returns the exit status where this process lives on."""
    first = arguments[0] if arguments else ""
    if first in ("-h", "--help"):
        sys.stdout.write(HELP)
        return 0
    if first == "--version":
        sys.stdout.write(f"autotrack {__version__}\n")
        return 0
    return launch(arguments)


def launch(arguments: list[str]) -> int:
    """Run a program under the zero-code hook.

    On POSIX this process becomes the program. On Windows, which cannot do that, the program is a child process.

    Args:
        arguments: What would follow `python` on the command line: options of the interpreter, then the target and its
            arguments.

    Returns:
        The exit status, where this process lives on.
    """
    options, target = split_options(arguments)
    if not target:
        return _refuse("nothing to run")
    if target[0] in ("-m", "-c") and len(target) == 1:
        return _refuse(f"{target[0]} takes an argument")
    if refused := sorted(_UNREACHABLE.intersection(options)):
        return _refuse(f"{refused[0]} goes to this interpreter: python {refused[0]} -m autotrack ...")
    disabled = _is_on("AUTOTRACK_DISABLE")
    hook = _hook_folder()
    obstacle = "sys.executable is empty" if not sys.executable else "" if disabled else _obstacle(hook)
    if not obstacle:
        environment = dict(os.environ) if disabled else _environment(hook)
        own_options = split_options(sys.orig_argv[1:])[0]
        try:
            return _become([sys.orig_argv[0], *own_options, *arguments], environment)
        except OSError as error:
            obstacle = f"{sys.executable} cannot be started: {error}"
    if options:
        return _refuse(f"{options[0]} goes to this interpreter ({obstacle})")
    return _stay(target, obstacle, disabled)


def hook_for_doctor() -> tuple[str, str]:
    """The zero-code hook's folder (empty: there is none), and why it would not be used (empty: it would)."""
    hook = _hook_folder()
    return hook, "sys.executable is empty" if not sys.executable else _obstacle(hook)


def _stay(target: list[str], obstacle: str, disabled: bool) -> int:
    from autotrack.inprocess import run

    role = role_of([sys.executable, *target], os.environ)
    if not disabled and role not in ("helper", "tool"):
        _say(f"{obstacle}: running the program in this process, child processes are not followed")
        from autotrack.bootstrap import activate

        activate(role, "launcher")
    return run(target)


def _obstacle(hook: str) -> str:
    """Why the hook would not run, or not find this package; empty where it would."""
    if sys.flags.ignore_environment:
        return "-I and -E make Python ignore PYTHONPATH"
    if sys.flags.no_site:
        return "-S makes Python ignore sitecustomize"
    if not hook:
        return "the folder sitecustomize_hook is missing beside or in the package autotrack"
    if os.pathsep in hook:
        return f"PYTHONPATH cannot hold {hook!r}, it contains {os.pathsep!r}"
    if _only_in_working_folder():
        return "autotrack is not installed, it was found in the current folder"
    return ""


def _only_in_working_folder() -> bool:
    """`python -m` put the current folder on `sys.path`, where the hook's interpreter will not look."""
    if getattr(sys.flags, "safe_path", False):
        return False
    home = _package_parent()
    return os.path.realpath(sys.path[0]) == home and home not in [os.path.realpath(entry) for entry in sys.path[1:]]


def _package_parent() -> str:
    return os.path.realpath(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def _hook_folder() -> str:
    """The folder that holds the hook, empty where there is none: an outer launcher's, the wheel's, the checkout's."""
    package = os.path.dirname(os.path.abspath(__file__))
    candidates = (
        os.environ.get("AUTOTRACK_HOOK_DIR", ""),
        os.path.join(package, "sitecustomize_hook"),
        os.path.join(os.path.dirname(package), "sitecustomize_hook"),
    )
    for folder in candidates:
        if folder and os.path.isfile(os.path.join(folder, "sitecustomize.py")):
            return os.path.abspath(folder)
    return ""


def _environment(hook: str) -> dict[str, str]:
    """This process's environment with the hook first on PYTHONPATH, once; the user's part of it stays as it was."""
    environment = dict(os.environ)
    # An empty element stands for the current folder: the user's are kept, none may come from us.
    given = environment["PYTHONPATH"].split(os.pathsep) if environment.get("PYTHONPATH") else []
    kept = [entry for entry in given if not entry or os.path.realpath(entry) != os.path.realpath(hook)]
    environment["PYTHONPATH"] = os.pathsep.join([hook, *kept])
    environment.update(AUTOTRACK_ACTIVE="1", AUTOTRACK_HOOK_DIR=hook, AUTOTRACK_PROTOCOL=PROTOCOL)
    return environment


def _become(command: list[str], environment: dict[str, str]) -> int:
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.flush()
    if os.name == "posix":
        os.execve(sys.executable, command, environment)
    return _wait_for_child(command, environment)


def _wait_for_child(command: list[str], environment: dict[str, str]) -> int:
    """Run a child process to its end. Ctrl-C reaches it from the console; this process only waits for it."""
    import signal
    import subprocess

    # A handler, not SIG_IGN, which a child would inherit.
    previous = signal.signal(signal.SIGINT, _leave_to_child)
    try:
        status = subprocess.Popen(command, executable=sys.executable, env=environment).wait()
    finally:
        signal.signal(signal.SIGINT, previous)
    # Windows reports an unsigned number, such as 0xC000013A after Ctrl-C; `sys.exit` takes a signed one.
    return status - (1 << 32) if status > 0x7FFFFFFF else status


def _leave_to_child(_number: int, _frame: FrameType | None) -> None:
    return None


def _refuse(reason: str) -> int:
    sys.stderr.write(f"{USAGE}\nautotrack: {reason}\n")
    return 2


def _say(text: str) -> None:
    if not _is_on("AUTOTRACK_SILENT") and sys.stderr is not None:
        sys.stderr.write(f"autotrack: {text}\n")


def _is_on(name: str) -> bool:
    return os.environ.get(name, "").strip().lower() not in ("", "0", "false", "no", "off")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
