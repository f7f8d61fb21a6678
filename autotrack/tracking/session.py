"""This process as a session: its id, and what was started.

Its worker processes and forked children belong to its session, and tell of it where it has not done so itself.
"""

from __future__ import annotations

import contextlib
import os
import sys
from typing import TYPE_CHECKING

from autotrack import cells, clock, config, events, process
from autotrack.errors import JournalFormatError

if TYPE_CHECKING:
    from autotrack.store.location import Location

MAX_LOOKED_AT = 100
"""Journals that are asked whose they are."""

_session: str | None = None
_announced = False
_user: str | None = None


def forget() -> None:
    """Begin anew, as a fresh process would."""
    global _session, _announced
    config.end_session()
    _session = None
    _announced = False


def session_id() -> str:
    """This process's session; a worker of a process pool belongs to its parent's."""
    global _session
    if _session is None:
        parent = config.parent_session_id()
        _session = parent if parent and process.role == "worker" else config.own_session_id() or clock.new_id()
    return _session


def adopt(session: str) -> None:
    """This process works for another one, and belongs to its session."""
    global _session
    if _session is None or process.role == "worker":
        _session = session
        for_children = config.own_session_id() or config.parent_session_id()
        if for_children != session:
            config.begin_session(session, os.getppid())


def is_delegate() -> bool:
    """Whether this process works in another one's session: a worker, or a forked child."""
    return process.role == "worker" or config.session_pid() not in (0, os.getpid())


def is_told(location: Location, session: str) -> bool:
    """Whether anybody has told a store of a session already, as far as its latest journals say."""
    from autotrack.tracking import journal_reading
    from autotrack.tracking.journal import folders

    paths = [path for folder in folders(location) for path in folder.glob("*.jsonl")]
    with contextlib.suppress(OSError, JournalFormatError):
        for path in sorted(paths, key=os.path.getmtime, reverse=True)[:MAX_LOOKED_AT]:
            opened = journal_reading.header(path)
            if opened is not None and opened.session_id == session:
                return True
    return False


def started(own: str) -> events.SessionStarted | None:
    """The session's beginning, told once.

    Args:
        own: The session's id.
    """
    global _announced
    if _announced:
        return None
    _announced = True
    parent: str | None = config.parent_session_id()
    is_worker = process.role == "worker"
    if is_worker:  # who started the process that this one works for, is not known here
        parent = None
    elif config.own_session_id() != own:
        config.begin_session(own, os.getpid())
    from autotrack.tracking.redaction import redact_argv

    # A worker's own command line is that of its pool; what the program's was, its pool has put in its place.
    argv = redact_argv([sys.executable, *sys.argv] if is_worker else list(getattr(sys, "orig_argv", sys.argv)))
    return events.SessionStarted(
        session_id=own,
        time=clock.now(),
        host=os.uname().nodename if hasattr(os, "uname") else "",
        pid=os.getppid() if is_worker else config.session_pid() or os.getpid(),
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
