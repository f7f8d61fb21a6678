"""Small programs that autotrack asks about the machine and the code (git, nvidia-smi): bounded in time and in output.

They run without a shell, with nothing on stdin, in a process group of their own (so that a Ctrl-C meant for the
training does not reach them, and that none of their own children outlives the time limit), and without autotrack's
zero-code hook in their environment.
"""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from collections.abc import Mapping
from typing import IO, Any, NamedTuple

from autotrack import config

SECONDS = 5.0
"""How long one program may take."""


class Output(NamedTuple):
    """What a program wrote to stdout."""

    data: bytes
    problem: str = ""
    """Why there is nothing or not all; empty where all went well."""
    clipped: bool = False
    """Whether there was more output than was asked for."""


def run(
    command: list[str],
    limit: int,
    environment: Mapping[str, str | None] | None = None,
    errors: bool = False,
    seconds: float = SECONDS,
) -> Output:
    """Run a program to its end, or until it has written enough or taken too long.

    Args:
        command: Program and arguments.
        limit: Bytes of output that are read at most.
        environment: Variables that are set for it (None: that are not there for it) beside those of this process.
        errors: Read what it writes to stderr, too.
        seconds: How long it may take.
    """
    try:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT if errors else subprocess.DEVNULL,
            env=_environment(environment or {}),
            start_new_session=os.name == "posix",
            creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
        )
    except (OSError, RuntimeError, ValueError) as error:  # RuntimeError: the interpreter is shutting down
        return Output(b"", f"{command[0]} cannot be started: {error}")
    with process:
        return _read(process, command[0], limit, seconds)


def _environment(changes: Mapping[str, str | None]) -> dict[str, str]:
    environ: dict[str, str | None] = {**config.helper_environment(), **changes}
    return {name: value for name, value in environ.items() if value is not None}


def _read(process: subprocess.Popen[bytes], program: str, limit: int, seconds: float) -> Output:
    expired = threading.Event()
    timer = threading.Timer(seconds, _expire, (process, expired))
    timer.daemon = True
    try:
        timer.start()
        stream: IO[bytes] | Any = process.stdout
        data = stream.read(limit + 1)
    except (OSError, RuntimeError) as error:
        _kill(process)
        return Output(b"", f"{program} cannot be read: {error}")
    if len(data) > limit:
        _kill(process)
    code = process.wait()
    timer.cancel()
    if expired.is_set():
        return Output(data[:limit], f"{program} took longer than {seconds:g} s")
    if len(data) > limit:
        return Output(data[:limit], clipped=True)
    return Output(data, f"{program} ended with code {code}" if code else "")


def _expire(process: subprocess.Popen[bytes], expired: threading.Event) -> None:
    expired.set()
    _kill(process)


def _kill(process: subprocess.Popen[bytes]) -> None:
    if process.returncode is not None:
        return
    try:
        if os.name == "posix":
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()
    except OSError:  # it has just ended
        return
