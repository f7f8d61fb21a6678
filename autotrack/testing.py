"""Tests of programs that autotrack records: throwaway stores, fixed time and ids, and a pytest plugin.

Under pytest autotrack stays off, whatever the code under test calls and however pytest was started, unless

- pytest is given `--autotrack`: it is then as it would be without pytest, or
- a test asks for it, by the marker `@pytest.mark.autotrack` or the fixture `autotrack_store`.

A test that asks begins as a process in which nobody has switched autotrack on (it, or the code that it calls, does that
by `autotrack.autolog()`), records into a store of its own, and leaves nothing behind: that is checked after it. The
marker counts for the fixtures of the test too, the fixture for those that come after it.

Explicit calls (`start_run`, `log_metric`) are the program's own wish and record at all times.

    def test_training_is_recorded(autotrack_store):
        autotrack.autolog()
        train()
        assert autotrack_store.only_run().data.metrics["training_accuracy_score"] > 0.9
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

TYPE_CHECKING = False
if TYPE_CHECKING:
    from autotrack.client import Client
    from autotrack.records import Run

pytest_plugins = ("autotrack.pytest_plugin",)
"""This module is the entry point; hooks and fixtures are in one that imports pytest."""

START = 1_700_000_000_000
"""When a fixed clock begins, in milliseconds since the epoch: 2023-11-14 22:13:20 UTC."""


class FixedClock:
    """Time that stands still until it is told to go on, and ids that count from 1.

    Attributes:
        time: Milliseconds since the epoch.
    """

    def __init__(self, start_ms: int = START) -> None:
        self.time = start_ms
        self._ids = itertools.count(1)

    def now(self) -> int:
        """What the clock shows, in milliseconds since the epoch."""
        return self.time

    def now_ns(self) -> int:
        """The same in nanoseconds."""
        return 1_000_000 * self.time

    def new_id(self) -> str:
        """The next id: 32 hexadecimal digits."""
        return f"{next(self._ids):032x}"

    def advance(self, milliseconds: int) -> None:
        """Let time pass."""
        self.time += milliseconds


@contextmanager
def fixed_clock(start_ms: int = START) -> Iterator[FixedClock]:
    """Replace the time and the ids that autotrack records, for a block, in the whole process.

    Args:
        start_ms: What the clock shows first, in milliseconds since the epoch.

    Yields:
        The clock. Durations (of fits) are measured all the same.
    """
    from autotrack import clock

    fixed, before = FixedClock(start_ms), (clock.now, clock.now_ns, clock.new_id)
    clock.now, clock.now_ns, clock.new_id = fixed.now, fixed.now_ns, fixed.new_id
    try:
        yield fixed
    finally:
        clock.now, clock.now_ns, clock.new_id = before


class TemporaryStore:
    """A store in a folder that is thrown away.

    Attributes:
        path: The folder.
        uri: What `set_tracking_uri` takes.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.uri = str(path)

    @property
    def client(self) -> Client:
        """A client of this store."""
        from autotrack.client import Client

        return Client(self.uri)

    def runs(self) -> list[Run]:
        """All runs with all that was recorded so far, the oldest first."""
        found = self.client.search_runs(max_results=50_000)
        return found[::-1]  # a search has the newest first, and of one millisecond those that were recorded last

    def only_run(self) -> Run:
        """The one run that was recorded.

        Raises:
            AssertionError: There is none, or there are several.
        """
        found = self.runs()
        if len(found) != 1:
            names = ", ".join(run.info.run_name for run in found)
            raise AssertionError(
                f"expected one run in {self.uri}, found {len(found)}" + (f": {names}" if names else "")
            )
        return found[0]


@contextmanager
def temporary_store(path: Path | None = None) -> Iterator[TemporaryStore]:
    """Record into a store of its own, for a block.

    Args:
        path: Its folder, which is kept; by default a temporary one, which is deleted at the end.

    Yields:
        The store. Runs that are open in it at the end are ended; the tracking URI is then what it was before.
    """
    from tempfile import TemporaryDirectory

    if path is None:
        place = TemporaryDirectory(prefix="autotrack-", ignore_cleanup_errors=True)
        with place as folder, temporary_store(Path(folder) / "store") as store:
            yield store
        return
    from autotrack.store.engine import Store
    from autotrack.store.location import locate
    from autotrack.tracking import current_experiment, current_run, recorders, scope

    store, before = TemporaryStore(path), recorders.uri()
    current_experiment.set_tracking_uri(store.uri)
    try:
        yield store
    finally:
        location = locate(store.uri)
        own = recorders.existing(location)
        while own is not None and (run := scope.explicit_run()) is not None and run.recorder is own:
            current_run.end_run()
        recorders.forget_store(location)
        Store.forget(location)
        if recorders.uri() == store.uri:
            current_experiment.set_tracking_uri(before)


@contextmanager
def fresh_process() -> Iterator[None]:
    """Begin as a process in which nobody has called autotrack; at the end all is as before the block.

    Runs that are open when it begins are ended.

    Raises:
        AssertionError: Something could not be taken back at the end: a patch, a thread, an open run.
    """
    from autotrack import bootstrap, process
    from autotrack.integrations import registry

    was_suspended, was_active, options = process.suspended, bootstrap.STATE.active, registry.configured()
    interrupted = bootstrap.STATE.interrupted
    reset()
    process.suspended = False
    try:
        yield
    finally:
        reset()
        left = leftovers()
        process.suspended = was_suspended
        registry.reset(options)
        bootstrap.STATE.interrupted = interrupted
        if was_active:
            bootstrap.activate()
            registry.refresh()
    if left:
        raise AssertionError("autotrack has left behind: " + "; ".join(left))


def reset() -> None:
    """End what is open, take everything off, forget everything: as in a process in which nobody has called autotrack.

    Settings are read anew.
    """
    from autotrack import bootstrap, config, console
    from autotrack.hooks import guard
    from autotrack.integrations import registry

    bootstrap.deactivate()
    for part in ("current_run", "current_experiment"):
        module = sys.modules.get(f"autotrack.tracking.{part}")
        if module is not None:
            module.reset()
    recorders = sys.modules.get("autotrack.tracking.recorders")
    if recorders is not None:
        recorders.forget_all()
    registry.reset()
    for name in ("program_facts", "system_metrics"):
        module = sys.modules.get(f"autotrack.tracking.{name}")
        if module is not None:
            module.forget()
    for health in guard.all_health().values():
        health.reset()
    guard.on_first_error = None
    console.reset()
    config.reload()


def leftovers() -> list[str]:
    """What of autotrack is still at work in this process: patches, the import finder, threads, open runs."""
    import threading

    from autotrack.hooks import imports

    layers = sys.modules.get("autotrack.hooks.layers")
    recorders = sys.modules.get("autotrack.tracking.recorders")
    scope = sys.modules.get("autotrack.tracking.scope")
    taps = sys.modules.get("autotrack.hooks.taps")
    light = sys.modules.get("autotrack.hooks.light")
    patched = [target for module in (layers, light) if module is not None for target in module.installed()]
    found = [f"patch on {target}" for target in patched]
    found += [f"tap on {target}" for target in taps.installed()] if taps is not None else []
    if imports.is_installed():
        found.append("the import finder")
    found += [f"thread {one.name}" for one in threading.enumerate() if one.name.startswith("autotrack-")]
    if recorders is not None:
        found += [f"open run {run_id}" for one in recorders.all_recorders() for run_id in one.runs]
    if scope is not None:
        found += [f"an open scope ({frame.kind})" for frame in scope.stack()]
    return found
