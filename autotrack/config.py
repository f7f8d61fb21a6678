"""The one place that reads the environment. Light: what the settings are stands in `settings`, loaded at first use.

The zero-code hook and the launcher read the few variables that they need on their own, since they run before this.
"""

from __future__ import annotations

import os
import sys

from autotrack import console, process

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from autotrack.settings import Origin, Settings

PARENT_RUN = "AUTOTRACK_PARENT_RUN"

_loaded: tuple[Settings, dict[str, Origin], list[str]] | None = None
_outer_session: str | None = None
_session: str | None = None
_session_pid = 0
_launched: str | None = None


def settings() -> Settings:
    """The settings of this process, read once.

    Raises:
        ConfigurationError: A setting has a value that cannot be used.
    """
    return _load()[0]


def origins() -> dict[str, Origin]:
    """The value of each setting and where it came from.

    Raises:
        ConfigurationError: A setting has a value that cannot be used.
    """
    return _load()[1]


def warnings() -> list[str]:
    """What is odd about the configuration: unknown variables and keys, with the nearest name.

    Raises:
        ConfigurationError: A setting has a value that cannot be used.
    """
    return _load()[2]


def reload() -> None:
    """Forget what was read; the next `settings()` reads anew."""
    global _loaded
    _loaded = None


def _load() -> tuple[Settings, dict[str, Origin], list[str]]:
    global _loaded
    if _loaded is None:
        from pathlib import Path

        from autotrack.settings import read

        _loaded = read(os.environ, Path.cwd())
        if _loaded[0].silent:
            console.silent = True
        console.verbose = _loaded[0].debug
    return _loaded


def is_disabled() -> bool:
    """Whether the environment switches everything off; without reading the settings."""
    return os.environ.get("AUTOTRACK_DISABLE", "").strip().lower() in ("1", "true", "yes", "on")


def role() -> str:
    """The role of a process that activates by itself: "worker", "rank", else "main" (see `process.role_of`)."""
    found = process.role_of(sys.orig_argv, os.environ)
    return found if found in ("worker", "rank") else "main"


def claim_rank() -> None:
    """If this process is a rank of a distributed job, have its children know that they are not."""
    if process.rank_of(os.environ)[1] > 1:
        claimed = os.environ.get("AUTOTRACK_RANK", "")
        own = process.claim_of(os.getpid(), os.environ)
        if claimed.partition(" ")[2] != own.partition(" ")[2]:
            os.environ["AUTOTRACK_RANK"] = own


def environment_variables(names: tuple[str, ...]) -> dict[str, str]:
    """The named environment variables that are set."""
    return {name: os.environ[name] for name in names if name in os.environ}


def helper_environment() -> dict[str, str]:
    """The environment for programs that autotrack itself starts: without what would switch autotrack on in them."""
    environ = dict(os.environ)
    environ.pop("AUTOTRACK_ACTIVE", None)
    environ.pop(PARENT_RUN, None)
    hook = environ.pop("AUTOTRACK_HOOK_DIR", None)
    if hook and environ.get("PYTHONPATH"):
        folders = [folder for folder in environ.pop("PYTHONPATH").split(os.pathsep) if folder != hook]
        if folders:
            environ["PYTHONPATH"] = os.pathsep.join(folders)
    return environ


def parent_session_id() -> str | None:
    """Session of the process that started this one, where that one is recorded."""
    return _outer_session if _session else os.environ.get("AUTOTRACK_SESSION_ID") or None


def own_session_id() -> str | None:
    """The session that was begun in this process, or in the one that it was forked from; None until then."""
    return _session


def session_pid() -> int:
    """The process that began the session; 0 until then."""
    return _session_pid


def begin_session(session_id: str, pid: int) -> None:
    """This process's session; child processes learn it from the environment."""
    global _outer_session, _session, _session_pid
    _outer_session = parent_session_id()
    _session, _session_pid = session_id, pid
    os.environ["AUTOTRACK_SESSION_ID"] = session_id


def end_session() -> None:
    """Take `begin_session` back (between tests)."""
    global _session, _session_pid
    if _session is not None:
        _set_variable("AUTOTRACK_SESSION_ID", _outer_session)
    _session, _session_pid = None, 0


def parent_run() -> tuple[str, str] | None:
    """The run that was open where this program was started: its id, and the key of its store."""
    run_id, _, key = os.environ.get(PARENT_RUN, "").partition(":")
    return (run_id, key) if run_id and key else None


def environment_below(run_id: str, key: str, given: Mapping[str, str] | None) -> dict[str, str] | None:
    """The environment of a program that is started while a run is open.

    Args:
        run_id: The run.
        key: Key of its store.
        given: The environment that the program gives it; None: this process's.

    Returns:
        None where it is to stay as it is: what is given is none that autotrack would be active with.
    """
    if given is None:
        return {**os.environ, PARENT_RUN: f"{run_id}:{key}"}
    if "AUTOTRACK_SESSION_ID" not in given:
        return None
    return {**given, PARENT_RUN: f"{run_id}:{key}"}


def launch_children(on: bool) -> None:
    """Have child processes start without the zero-code hook's effect; on: as this process was started, again."""
    global _launched
    if on:
        _set_variable("AUTOTRACK_ACTIVE", _launched)
    else:
        _launched = os.environ.pop("AUTOTRACK_ACTIVE", None)


def _set_variable(name: str, value: str | None) -> None:
    if value is None:
        os.environ.pop(name, None)
    else:
        os.environ[name] = value


def home(folder: Path | None = None) -> Path:
    """The folder `.autotrack`: in the nearest ancestor of `folder` that has one, else in `folder` itself.

    Args:
        folder: Where to begin; the current folder by default.
    """
    from pathlib import Path

    start = (folder or Path.cwd()).absolute()
    for parent in (start, *start.parents):
        if (parent / ".autotrack").is_dir():
            return parent / ".autotrack"
    return start / ".autotrack"
