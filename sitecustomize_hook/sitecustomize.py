"""Zero-code start: `site` imports this file when an interpreter starts, the launcher having put its folder first on
PYTHONPATH.

Every Python that the program starts reads it, also another version or another virtual environment: its syntax is
Python 2.7's, and up to the gates it imports `os` and `sys` alone. It stands in for the `sitecustomize` that it shadows,
writes nothing to stdout, and raises nothing but what that one raised. Nothing else may ever lie in this folder: it
would shadow the user's module of that name.
"""

import os
import sys

SENTINEL = "_autotrack_hook"
"""Name in `sys.modules` of the first copy of this file that runs in a process; the others do not activate."""

PROTOCOL = "1"
"""Version of the contract between launcher and hook."""

VERDICT = "still running"
"""What came of it, for `autotrack doctor`."""


def _is_on(name, default):
    return os.environ.get(name, default).strip().lower() not in ("", "0", "false", "no", "off")


def _is_at(entry, folder):
    try:
        return os.path.realpath(entry) == folder
    except (AttributeError, OSError, TypeError, ValueError):  # no path, or relative to a folder that is gone
        return False


def _leave_path(folder):
    """Take this folder off `sys.path`; return where it stood, None where it was not on it."""
    positions = [index for index, entry in enumerate(sys.path) if _is_at(entry, folder)]
    for index in reversed(positions):
        del sys.path[index]
    return positions[0] if positions else None


def _leave_environment(folder):
    """Child processes are to be plain: they do not get this folder."""
    entries = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    kept = [entry for entry in entries if not _is_at(entry, folder)]
    if kept:
        os.environ["PYTHONPATH"] = os.pathsep.join(kept)
    else:
        os.environ.pop("PYTHONPATH", None)


def _stay_first(entry):
    """OpenTelemetry's file, loaded by this one, puts its folder first for children, where it would load no other."""
    entries = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    if entry in entries[1:]:
        entries.remove(entry)
        entries.insert(0, entry)
        os.environ["PYTHONPATH"] = os.pathsep.join(entries)


def _load_shadowed(position):
    """Import the `sitecustomize` that this file shadows, as `site` would have; what it raises is for `site` too."""
    this = sys.modules.pop("sitecustomize")
    try:
        if position and sys.version_info >= (3, 4):
            _load_behind(position)
        else:
            __import__("sitecustomize")
    except ImportError as error:
        if getattr(error, "name", "sitecustomize") != "sitecustomize":
            raise
    finally:
        # The import system, and other agents that load this file, expect a module of this name afterwards.
        sys.modules.setdefault("sitecustomize", this)


def _load_behind(position):
    """What stands before this file on the path has had its turn: another agent's, say, which loaded this one."""
    import _frozen_importlib

    for finder in sys.meta_path:
        find = getattr(finder, "find_spec", None)
        spec = find and find("sitecustomize", sys.path[position:])
        if spec:
            _frozen_importlib._load(spec)
            return


def _activate(position):
    """Pass the gates and activate; return what came of it."""
    if os.environ.get("AUTOTRACK_ACTIVE") != "1":
        return "inactive: not started by the launcher (AUTOTRACK_ACTIVE is not 1)"
    if _is_on("AUTOTRACK_DISABLE", "0"):
        return "inactive: AUTOTRACK_DISABLE is set"
    protocol = os.environ.get("AUTOTRACK_PROTOCOL", PROTOCOL)
    if protocol != PROTOCOL:
        return "inactive: the launcher speaks protocol " + protocol + ", this hook " + PROTOCOL
    if sys.version_info < (3, 10):  # noqa: UP036 - any Python may read this file
        return "inactive: Python " + sys.version.split()[0] + " is older than 3.10"
    try:
        from autotrack.process import role_of
    except ImportError as error:
        return "inactive: autotrack cannot be imported in " + sys.prefix + ": " + str(error)
    role = role_of(sys.orig_argv, os.environ)
    if role in ("helper", "tool"):
        return "inactive: this process is a " + role
    from autotrack.bootstrap import activate

    return activate(role, "hook", position)


def _finish(position):
    """Activate; whatever is broken in autotrack, the program starts."""
    try:
        return _activate(position)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - the shield is not loaded here
        return "inactive: " + type(error).__name__ + ": " + str(error)


def _say(text):
    if _is_on("AUTOTRACK_DEBUG", "0") and sys.stderr is not None:
        try:
            sys.stderr.write("autotrack[" + str(os.getpid()) + "]: " + text + "\n")
        except (OSError, ValueError):  # stderr is closed
            return


def _run():
    global VERDICT
    this = sys.modules[__name__]
    first = sys.modules.setdefault(SENTINEL, this) is this
    folder = os.path.realpath(os.path.dirname(os.path.abspath(__file__)))
    position = _leave_path(folder)
    if not _is_on("AUTOTRACK_FOLLOW", "1"):
        _leave_environment(folder)
    entry = os.environ.get("PYTHONPATH", "").split(os.pathsep)[0]
    try:
        _load_shadowed(position)
    finally:
        if _is_at(entry, folder):
            _stay_first(entry)
        VERDICT = _finish(position) if first else "inactive: another copy of this hook came first"
        _say(VERDICT)


if __name__ == "sitecustomize":
    _run()
