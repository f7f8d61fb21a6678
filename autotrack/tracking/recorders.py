"""The recorders of this process: which one records now, and what becomes of them all when the process forks or ends."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from collections.abc import Callable
from weakref import WeakSet

from autotrack import config, console
from autotrack.hooks import guard
from autotrack.store.location import Location, locate
from autotrack.tracking import failure, ranks, scope, session
from autotrack.tracking.recorder import Recorder, forget_opened

_ever: WeakSet[Recorder] = WeakSet()
"""Those, too, whose store was forgotten: their runs may be in use."""
_by_store: dict[str, Recorder] = {}
_lock = threading.RLock()
_before_close: list[Callable[[], None]] = []
_uri: str | None = None
_location: Location | None = None
_current: Recorder | None = None
_exit_registered = False


def set_uri(uri: str | None) -> None:
    """Record into another store from now on; runs that are open stay where they are.

    Raises:
        InvalidArgumentError: The URI is of no known kind.
    """
    global _uri, _location
    _location = None if uri is None else locate(uri)
    _uri = uri


def uri() -> str | None:
    """The store that was set by a call; None where the settings decide."""
    return _uri


def location() -> Location:
    """The store that this process records into now; found once, so that a change of folder does not move it.

    Raises:
        ConfigurationError: A setting has a value that cannot be used.
        InvalidArgumentError: The tracking URI is of no known kind.
    """
    global _location
    if _location is None:
        _location = locate(None)
    return _location


def recorder_for(location: Location) -> Recorder:
    """The recorder of a store."""
    with _lock:
        found = _by_store.get(location.key)
        if found is None:
            _register_exit()
            found = _by_store[location.key] = Recorder(location, _close_with_pool, _close_before_pools)
            _ever.add(found)
        return found


def current() -> Recorder:
    """The recorder of the store that this process records into now; errors as for `location`."""
    global _current
    where = _location or location()
    if _current is None or _current.location.url != where.url:
        _current = recorder_for(where)
    return _current


def existing(location: Location) -> Recorder | None:
    """The recorder of a store, if this process records into it."""
    return _by_store.get(location.key)


def all_recorders() -> list[Recorder]:
    """All recorders of this process."""
    return list(_by_store.values())


def before_close(callback: Callable[[], None]) -> None:
    """Have something called before journals are closed at exit."""
    _before_close.append(callback)


def forget_before_close(callback: Callable[[], None]) -> None:
    """Take `before_close` back."""
    if callback in _before_close:
        _before_close.remove(callback)


def close_all() -> None:
    """End what is open and close all journals (at exit, and between tests)."""
    for callback in _before_close:
        guard.call(guard.health("tracking", breaker=False), "close", callback)
    for _ in range(2):  # what waits in one may register models in another
        for recorder in all_recorders():
            with guard.shield(guard.health("tracking", breaker=False), "close"):
                recorder.close()
    if guard.troubled():
        for recorder in all_recorders():
            with guard.shield(guard.health("tracking", breaker=False), "report"):
                recorder.report_health()


def forget_store(location: Location) -> None:
    """Close one store's recorder, as at exit; what comes next for that store gets another one."""
    global _current
    with _lock:
        found = _by_store.pop(location.key, None)
        _current = None
    if found is not None:
        with guard.shield(guard.health("tracking", breaker=False), "close"):
            found.close()


def forget_all() -> None:
    """Close everything and begin anew, as a fresh process would."""
    global _current, _location, _uri
    close_all()
    forget_opened()
    failure.unwatch_exit()
    _by_store.clear()
    session.forget()
    ranks.forget()
    _current = None
    _location = None
    _uri = None


def _register_exit() -> None:
    global _exit_registered
    failure.watch_exit()
    if not _exit_registered:
        _exit_registered = True
        import atexit

        atexit.register(_at_exit, os.getpid())
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(before=_before_fork, after_in_child=_after_fork)


def _at_exit(pid: int) -> None:
    if os.getpid() == pid or any(recorder.journal_or_none is not None for recorder in all_recorders()):
        try:
            close_all()
        except KeyboardInterrupt:
            console.say("not waited for: what was recorded is in the journal; the next reader moves it into the store")


_watches_pools = False


def _close_before_pools() -> None:
    """Have uploads end before Python shuts its thread pools down: clients of storage look names up in one.

    That comes before exit handlers, when the main thread has ended; the one hook there is for it is not public.
    """
    global _watches_pools
    register = getattr(threading, "_register_atexit", None)
    if _watches_pools or register is None:
        return
    import concurrent.futures.thread  # noqa: F401 - hooks are called in the opposite order: after the pools' own

    _watches_pools = True
    with contextlib.suppress(RuntimeError):  # the program is ending already
        register(_at_end_of_main, os.getpid())


def _at_end_of_main(pid: int) -> None:
    if os.getpid() != pid:
        return
    with guard.shield(guard.health("tracking", breaker=False), "uploads at exit"):
        if not any(recorder.roots.are_far() for recorder in all_recorders()):
            return
        others = set(threading.enumerate()) - {threading.main_thread(), threading.current_thread()}
        if all(thread.daemon for thread in others):
            _at_exit(pid)
        else:  # they may still record
            for recorder in all_recorders():
                recorder.worker.drain(config.settings().drain_seconds)


def _close_with_pool() -> None:
    """A child of `multiprocessing` ends without exit handlers; it has its own."""
    multiprocessing = sys.modules.get("multiprocessing")
    if multiprocessing is not None and multiprocessing.parent_process() is not None:
        from multiprocessing.util import Finalize

        Finalize(None, _at_exit, (os.getpid(),), exitpriority=-100)
        failure.watch_child()


def _before_fork() -> None:
    with guard.shield(guard.health("tracking", breaker=False), "before a fork"):
        for recorder in list(_ever):
            recorder.before_fork()


def _after_fork() -> None:
    global _lock
    _lock = threading.RLock()
    scope.reset_after_fork()
    for recorder in list(_ever):
        recorder.reset_after_fork()
