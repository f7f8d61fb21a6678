"""What this process is among the processes of one program: read off its command line and its environment; and what a
forked one has to have anew.

The lowest layer: anything may ask for the role. Loaded at the start of every interpreter that the zero-code hook
reaches, so it imports nothing that `site` has not imported before it.
"""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any

activated: bool = False
"""The import hooks are installed. A forked child inherits them, and this."""

role: str = "main"
""" "main", "worker" (of a process pool; attaches to its parent's run) or "rank" (of a distributed job, and not 0)."""

source: str = ""
"""What activated: "hook" (zero-code start), "launcher" (zero-code in process) or "api"; empty until then."""

suspended: bool = False
"""Nothing is activated or patched, whoever asks: autotrack is kept off under pytest (`bootstrap.suspend`)."""

settings_of_program: Callable[[], tuple[Any, ...]] = tuple
"""Tells what the program has set by calls, for its workers; () where it has set nothing.

Others know it and put it here: a module that their own imports pass through would set it back.
"""

RANK_VARIABLES = (
    ("RANK", "WORLD_SIZE"),
    ("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE"),
    ("PMI_RANK", "PMI_SIZE"),
    ("SLURM_PROCID", "SLURM_NTASKS"),
)
"""Rank and size in the environment: torchrun and accelerate, Open MPI, MPICH, SLURM."""

LOCAL_RANK_VARIABLES = ("LOCAL_RANK", "NODE_RANK")
"""What Lightning tells the copies of a script that it starts by itself, beside `WORLD_SIZE`."""

NAMING_VARIABLES = (
    *(name for name, _ in RANK_VARIABLES),
    "LOCAL_RANK",
    "OMPI_COMM_WORLD_LOCAL_RANK",
    "MPI_LOCALRANKID",
    "SLURM_LOCALID",
    "TORCHELASTIC_RUN_ID",
    "TORCHELASTIC_RESTART_COUNT",
)
"""Variables that a launcher gives each rank: a process without them, or with others, is not of the same rank."""

_POOLS = ("multiprocessing", "multiprocess", "joblib", "loky", "billiard")
"""Packages whose child processes are told by the last part of the module that they run."""

_POOL_ROLES = {
    "resource_tracker": "helper",
    "semaphore_tracker": "helper",
    "spawn": "worker",
    "forkserver": "worker",
    "popen_loky_posix": "worker",
    "popen_loky_win32": "worker",
}

_TOOLS = (
    "autotrack", "pip", "ensurepip", "venv", "virtualenv", "py_compile", "compileall", "pipx", "uv", "poetry", "ray",
)  # fmt: skip
"""Modules and commands that train nothing. The launcher itself is one: it is replaced by its target."""

_RAY = (
    "ray/_private/workers/setup_worker.py",
    "ray/_private/log_monitor.py",
    "ray/_private/runtime_env/agent/main.py",
    "ray/autoscaler/_private/monitor.py",
    "ray/autoscaler/v2/monitor.py",
    "ray/dashboard/agent.py",
    "ray/dashboard/dashboard.py",
)
"""Scripts that keep a Ray cluster going."""

_RAY_WORKER = "ray/_private/workers/default_worker.py"
"""Script of the processes in which Ray's tasks and actors run."""

_COMPILER = ("torch", "_inductor", "compile_worker")
"""Folder of the script that torch.compile starts to compile kernels."""

_VALUED = ("-W", "-X", "--check-hash-based-pycs")
"""Interpreter options that take a value."""


def split_options(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """Split what follows `python` on a command line into its options and what it is to run.

    Clustered options come back one by one (`-um mod` as `-u` and `-m mod`), each value as an element of its own.

    Returns:
        The options, and the target: `["-m", module, ...]`, `["-c", command, ...]`, `["-", ...]`, `[path, ...]` or
        nothing.
    """
    options: list[str] = []
    rest = list(arguments)
    while rest:
        word = rest[0]
        if word == "-" or not word.startswith("-"):
            break
        del rest[0]
        if word == "--":
            break
        if not word.startswith("--"):
            word = _split_cluster(word[1:], options, rest)
        if word in ("-m", "-c"):
            return options, [word, *rest]
        options.append(word)
        if word in _VALUED and rest:
            options.append(rest.pop(0))
    return options, rest


def _split_cluster(letters: str, options: list[str], rest: list[str]) -> str:
    """Move all letters but the last one to `options`, a value that clings to it to `rest`; return the last."""
    for index, letter in enumerate(letters):
        if letter in "mcWX":
            if letters[index + 1 :]:
                rest.insert(0, letters[index + 1 :])
            return "-" + letter
        if index + 1 < len(letters):
            options.append("-" + letter)
    return "-" + letters[-1]


def rank_of(environ: Mapping[str, str]) -> tuple[int, int]:
    """Rank and size that a distributed launcher put into the environment; (0, 1) where none did."""
    for rank, size in RANK_VARIABLES:
        if environ.get(rank, "").isdecimal():
            return int(environ[rank]), int(environ[size]) if environ.get(size, "").isdecimal() else 1
    size = environ.get("WORLD_SIZE", "")
    if size.isdecimal() and int(size) > 1:
        # How many ranks a node has is not told, so of the others' ranks only that they are not 0 is known.
        found = [int(environ[name]) for name in LOCAL_RANK_VARIABLES if environ.get(name, "").isdecimal()]
        return (max(found), int(size)) if found else (0, 1)
    return 0, 1


def claim_of(pid: int, environ: Mapping[str, str]) -> str:
    """What a rank leaves in its environment: its children, which inherit its rank, know by it that they are none."""
    return " ".join([str(pid), *(f"{name}={environ[name]}" for name in NAMING_VARIABLES if name in environ)])


def role_of(command_line: Sequence[str], environ: Mapping[str, str]) -> str:
    """The role of a Python process.

    Args:
        command_line: As in `sys.orig_argv`: the interpreter, its options, what it runs.
        environ: Its environment.

    Returns:
        One of `role`'s values, or "helper" (a tracker of a process pool) or "tool" (pip and the like), which are left
        alone.
    """
    target = split_options(command_line[1:])[1]
    found = _role_of_target(target) if target else "main"
    return "rank" if found == "main" and rank_of(environ)[0] > 0 else found


def _role_of_target(target: list[str]) -> str:
    """The role by what the interpreter runs: `-m module`, `-c command`, or a file."""
    option, given = target[0], target[1] if len(target) > 1 else ""
    if option == "-m":
        return "tool" if given in _TOOLS else _role_of_module(given)
    if option == "-c":
        words = given.split()  # pools start their workers by `from module import main; main(...)`
        if words[:2] == ["import", "sys;"]:  # the fork server's command begins so in late 3.13, 3.14 and after
            del words[:2]
        return _role_of_module("".join(words[1:2]) if words[:1] == ["from"] else given)
    return _role_of_file(target[0])


def _role_of_module(name: str) -> str:
    if name.split(".")[0] in _POOLS:
        return _POOL_ROLES.get(name.rpartition(".")[2], "main")
    return "helper" if name == "ray.util.client.server" else "main"


def _role_of_file(name: str) -> str:
    path = name.replace("\\", "/")
    if path.endswith(_RAY_WORKER):
        return "worker"
    if path.endswith(_RAY) or os.path.join(*_COMPILER) in name:
        return "helper"
    command = os.path.basename(name).rstrip("0123456789.")
    return "tool" if command in _TOOLS and command != "autotrack" else "main"


def renew_in_children(namespace: dict[str, Any], name: str, make: Callable[[], object]) -> None:
    """Have a module's lock be another one in a forked child: a thread that is not there may have held it.

    Args:
        namespace: The module's `globals()`.
        name: What the lock is called there.
        make: Makes one.
    """

    def renew() -> None:
        namespace[name] = make()

    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=renew)
