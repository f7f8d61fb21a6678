"""This process as a session: its id, and what was started."""

from __future__ import annotations

import os
import sys

from autotrack import cells, clock, config, events, process

_session: str | None = None
_announced = False
_user: str | None = None


def forget() -> None:
    """Begin anew, as a fresh process would."""
    global _session, _announced
    if _announced:
        config.announce_session(None)
    _session = None
    _announced = False


def session_id() -> str:
    """This process's session; a worker of a process pool belongs to its parent's."""
    global _session
    if _session is None:
        parent = config.parent_session_id()
        _session = parent if parent and process.role == "worker" else clock.new_id()
    return _session


def started(own: str) -> events.SessionStarted | None:
    """The session's beginning, told once by a process that is no worker and no forked child.

    Args:
        own: The session's id.
    """
    global _announced
    parent = config.parent_session_id()
    if _announced or parent == own:
        return None
    _announced = True
    config.announce_session(own)
    from autotrack.tracking.redaction import redact_argv

    argv = redact_argv(list(getattr(sys, "orig_argv", sys.argv)))
    return events.SessionStarted(
        session_id=own,
        time=clock.now(),
        host=os.uname().nodename if hasattr(os, "uname") else "",
        pid=os.getpid(),
        user=user_name(),
        program=program_name(),
        argv=argv,
        cwd=_cwd(),
        parent_session_id=parent,
    )


def _cwd() -> str:
    try:
        return os.getcwd()
    except OSError:
        return ""


def program_name() -> str:
    """What was started: a file's name, `-m module`, `-c`, the notebook's name or `notebook`, or `interactive`."""
    notebook = cells.notebook()
    if notebook is not None:
        return notebook
    main = sys.modules.get("__main__")
    spec = getattr(main, "__spec__", None)
    if spec is not None:
        return f"-m {spec.name.removesuffix('.__main__')}"
    file = getattr(main, "__file__", None)
    if file:
        return os.path.basename(str(file))
    return "-c" if sys.argv[:1] == ["-c"] else "interactive"


def user_name() -> str:
    """Name of the user that this process belongs to."""
    global _user
    if _user is None:
        import getpass

        try:
            _user = str(getpass.getuser())
        except (OSError, KeyError, ImportError):
            _user = ""
    return _user
