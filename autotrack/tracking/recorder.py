"""The recorder: the one way from this process into a store. One per store that the process records into.

It owns the process's journal, the thread that ingests it, the background worker, and the runs that are open. After
a fork the child keeps the object and loses the parent's journal, threads and locks: its own begin with its first event.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterable
from functools import partial
from weakref import WeakSet

from autotrack import clock, config, console, events
from autotrack.errors import NotFoundError, StoreError
from autotrack.events import encode
from autotrack.hooks import calls, guard
from autotrack.store.location import Location, locate
from autotrack.store.places import is_portable
from autotrack.tracking import failure, program_facts, rank_watch, ranks, scope, session
from autotrack.tracking import job as jobs
from autotrack.tracking.ingest import IngestThread
from autotrack.tracking.job import Job
from autotrack.tracking.journal import Journal
from autotrack.tracking.ledger import NOT_OF_THE_PROGRAM, Ledger, told_so_far
from autotrack.tracking.progress import Progress
from autotrack.tracking.redaction import redact
from autotrack.tracking.run import Root, RunWriter
from autotrack.tracking.system_metrics import SystemMetrics
from autotrack.tracking.values import UNENCODABLE, encoded
from autotrack.tracking.worker import Worker

HELD = (events.RunStarted, events.ParamsLogged, events.TagsSet, events.FitLogged, events.RunEnded)
"""What of one part of a handler is written together. No points: those of a call in a signal handler are not to wait."""

MAX_ATTACHED = 1_000
"""Runs of other processes whose writers are kept."""

MAX_FLUSH = 2.0
"""Seconds that are waited at exit in order to know what the ingest took."""

STARTED_BY_TAG = "autotrack.started_by_run"
"""The run that was open where this program was started, where that run is in another store."""


class _Held(threading.local):
    """What a handler of this thread has told and is not written yet."""

    def __init__(self) -> None:
        self.lines: deque[bytes] = deque()


class Recorder:
    """Records into one store.

    Attributes:
        location: The store.
        session_id: This process's session.
        worker: What is done behind the training thread.
        runs: Runs of this process that are open.
        attached: Writers of runs that other processes opened, by run id.
    """

    def __init__(self, location: Location) -> None:
        self.location = location
        self.session_id = session.session_id()
        self.worker = Worker(self.write_held)
        self._held = _Held()
        self.runs: dict[str, RunWriter] = {}
        self.attached: dict[str, RunWriter] = {}
        self._ledger = Ledger()
        self._journal: Journal | None = None
        self._thread: IngestThread | None = None
        self._load: SystemMetrics | None = None
        self._attended: RunWriter | None = None
        """The training that this process takes part in as another rank than 0."""
        self._artifact_roots: dict[str, str] = {}
        self._experiments: set[tuple[str, str | None]] = set()
        # Reentrant: a signal handler may log while the thread that it interrupts is in here.
        self._lock = threading.RLock()
        _recorders.add(self)

    @property
    def journal(self) -> Journal:
        """This process's journal; opened at the first use.

        Raises:
            StoreError: No journal can be written anywhere.
        """
        return self._journal or self._open()

    @property
    def journal_or_none(self) -> Journal | None:
        """This process's journal, if there is one already."""
        return self._journal

    def _open(self) -> Journal:
        with self._lock:
            if self._journal is None:
                told = session.is_delegate() and session.is_told(self.location, self.session_id)
                journal = Journal(self.location, self.session_id)
                started = None if told else session.started(self.session_id)
                if started is not None:
                    journal.append(encoded(started))
                settings = config.settings()
                load = self._load = SystemMetrics(settings)
                tick = partial(self._on_tick, load)
                self._thread = IngestThread(self.location, journal, settings, self._on_trouble, tick, self._on_share)
                self._thread.start()
                self._journal = journal
                _close_with_pool()
                if started is not None:
                    self.worker.submit(self._capture_environment)
            return self._journal

    def write(self, event: events.Event) -> None:
        """Append one event to the journal.

        Raises:
            StoreError: No journal can be written anywhere.
        """
        try:
            line = encode(event)
        except UNENCODABLE:
            line = encoded(event)
        self._append(line, isinstance(event, HELD))

    def write_all(self, several: Iterable[events.Event]) -> None:
        """Append several events to the journal in one write: a process that is killed leaves all of them, or none.

        Raises:
            StoreError: No journal can be written anywhere.
        """
        told = list(several)
        if told:
            self._append(b"".join(map(encoded, told)), all(isinstance(event, HELD) for event in told))

    def _append(self, lines: bytes, can_wait: bool) -> None:
        """Append lines to the journal at once; those of one part of a handler that can wait go there together.

        Each write lets go of the interpreter, and the training thread then has to wait for it.
        """
        held = self._held.lines
        if can_wait and calls.is_handling():
            if not held:
                calls.when_over(self.write_held)
            held.append(lines)
            return
        if held:
            held.append(lines)
            self.write_held()
        else:
            self._append_now(lines)

    def _append_now(self, lines: bytes) -> None:
        if not (self._journal or self._open()).append(lines):
            self._open().append(lines)  # it was closed in this moment: the program ends

    def write_held(self) -> None:
        """Write what a handler of this thread has told so far: what else is done may build upon it.

        Raises:
            StoreError: No journal can be written anywhere.
        """
        held = self._held.lines
        if held:
            lines = []
            with contextlib.suppress(IndexError):  # a signal handler that logs takes what is left, and writes it
                while held:
                    lines.append(held.popleft())
            self._append_now(b"".join(lines))

    def _on_tick(self, load: SystemMetrics) -> None:
        runs = list(self.runs.values())
        for run in runs:
            run.write_waiting()
        load.tick([run for run in runs if run.source not in NOT_OF_THE_PROGRAM])
        if self._thread is not None:
            self.write_all(self._ledger.tell(self._ledger.settled(self._thread.passes)))

    def _on_share(self, run_id: str, seconds: float) -> None:
        """What moving a run's events into the store took."""
        run = self.writer_of(run_id)
        cost = run.cost if run is not None else self._ledger.cost_of(run_id)
        if cost is not None:
            cost.ingest += seconds

    def tell_costs(self) -> None:
        """Write down now what recording the runs of this process has taken so far."""
        if self._journal is not None and not scope.is_off():
            self.write_all([*self._ledger.tell(self._ledger.ended()), *told_so_far(self.runs.values())])

    def _on_trouble(self, reason: str) -> None:
        for run in list(self.runs.values()):
            run.degrade(reason)

    def artifact_root(self, experiment: str, experiment_id: str | None) -> Root:
        """Where new runs of an experiment keep their files: its own place, the setting's, the store's.

        Args:
            experiment: Its name.
            experiment_id: Its id, which wins over the name.
        """
        own, wanted = self.location.artifact_root, config.settings().artifact_uri
        try:
            place = self._artifact_location(experiment, experiment_id)
        except NotFoundError:
            place = own
        except StoreError:
            return Root(wanted or own, False)
        if place != own:
            return Root(place, True)
        return Root(wanted or own, not wanted and is_portable(self.location))

    def _expect_files_of(self, experiment: str, experiment_id: str | None) -> None:
        """Runs of this experiment are recorded; where its files may go far away, that has to end in time."""
        if experiment_id or experiment != "Default" or "://" in (config.settings().artifact_uri or ""):
            self._experiments.add((experiment, experiment_id))
            _close_before_pools()

    def has_files_elsewhere(self) -> bool:
        """Whether files of runs that were started here go to a URL."""
        return any("://" in self.artifact_root(*experiment).uri for experiment in self._experiments)

    def _artifact_location(self, experiment: str, experiment_id: str | None) -> str:
        """An experiment's place for files, read from the store once."""
        if experiment_id is None and experiment in ("", "Default"):
            return self.location.artifact_root
        key = f"#{experiment_id}" if experiment_id else experiment
        if key not in self._artifact_roots:
            from autotrack.store.engine import Store
            from autotrack.store.reading import Reader

            reader = Reader(Store.open(self.location.url))
            found = reader.experiment(experiment_id) if experiment_id else reader.experiment_by_name(experiment)
            self._artifact_roots[key] = found.artifact_location
        return self._artifact_roots[key]

    def start_run(
        self,
        name: str,
        *,
        experiment: str | None = None,
        experiment_id: str | None = None,
        parent_run_id: str | None = None,
        source: str = "fluent",
        description: str | None = None,
        start_time: int | None = None,
        made_up: bool = False,
    ) -> RunWriter:
        """Open a new run; in another rank than 0 of a distributed job, take part in rank 0's.

        Args:
            name: Its name.
            experiment: Name of its experiment; what the settings say by default.
            experiment_id: The experiment's id, which wins over the name.
            parent_run_id: Whose child it is.
            source: Who opens it: "fluent", "client", or an integration's name.
            description: What it is about.
            start_time: ms since the epoch; now by default.
            made_up: Nobody chose the name.

        Raises:
            StoreError: No journal can be written anywhere.
        """
        failure.program_goes_on()
        settings = config.settings()
        outer = config.parent_run() if source not in NOT_OF_THE_PROGRAM and parent_run_id is None else None
        if outer is not None and outer[1] == self.location.key:
            parent_run_id = outer[0]
        name, experiment = redact(name), redact(experiment or settings.experiment)
        self._expect_files_of(experiment, experiment_id)
        place = None if source in NOT_OF_THE_PROGRAM else ranks.next_place(self.location, source)
        belongs = (name, experiment, experiment_id, parent_run_id, source)
        if place is not None and place.job.rank:
            return self._take_part(ranks.RankWriter(self, place, *belongs), place.job, "" if made_up else name)
        run = RunWriter(self, clock.new_id() if place is None else place.run_id, *belongs)
        run.start_time = start_time or run.start_time
        self.write(
            events.RunStarted(
                run_id=run.run_id,
                session_id=self.session_id,
                time=run.start_time,
                name=name,
                experiment=run.experiment,
                experiment_id=experiment_id,
                parent_run_id=parent_run_id,
                source=source,
                user=session.user_name(),
                description=None if description is None else redact(description),
            )
        )
        self.write_held()  # from here on other threads may write of the run
        if place is not None:
            ranks.take_part(run, place.job)
            rank_watch.watch(run, place.job)
        self.runs[run.run_id] = run
        if outer is not None and parent_run_id is None:  # no run of this store
            run.set_tags({STARTED_BY_TAG: outer[0]})
        if source not in NOT_OF_THE_PROGRAM:
            _opened.run = run
        if scope.is_off():
            run.log_system_metrics = False
        elif source not in NOT_OF_THE_PROGRAM:
            health = guard.health("tracking", breaker=False)
            guard.call(health, "arguments and seeds", program_facts.begin, run, source == "fluent")
        return run

    def _take_part(self, run: RunWriter, job: Job, name: str) -> RunWriter:
        ranks.take_part(run, job, name)
        self.runs[run.run_id] = run
        _opened.run = run
        return run

    def attend(self, integration: str, device: str) -> RunWriter | None:
        """Rank 0 records a training that this rank takes part in, and nothing more; it is over with the next one."""
        if self._attended is not None:
            self._attended.end()
        place = ranks.next_place(self.location, integration)
        if place is None or not place.job.rank:
            return None
        run = ranks.RankWriter(self, place, "", config.settings().experiment, source=integration)
        ranks.take_part(run, place.job, device=device)
        self.runs[run.run_id] = self._attended = run
        return run

    def writer_of(self, run_id: str) -> RunWriter | None:
        """The writer of a run, where this process has one."""
        return self.runs.get(run_id) or self.attached.get(run_id)

    def attach(self, run: RunWriter) -> None:
        """Keep the writer of a run that this process did not open, so that its steps count on."""
        while len(self.attached) >= MAX_ATTACHED:
            self.attached.pop(next(iter(self.attached)), None)
        self.attached[run.run_id] = run

    def resume_run(self, run: RunWriter, by_the_program: bool = False) -> None:
        """Open a run again that is in the store already.

        Args:
            run: The run.
            by_the_program: The program goes on with it itself; another rank than 0 takes part in it.
        """
        # Of two processes' words on a run the later one counts, and their clocks may differ, or have been set back.
        time = max(clock.now(), run.start_time, run.end_time or 0)
        run.status = "RUNNING"
        run.end_time = None
        self.runs[run.run_id] = run
        if not isinstance(run, ranks.RankWriter):
            self.write(events.RunResumed(run.run_id, self.session_id, time))
        job = jobs.current() if by_the_program else None
        if job is not None:
            ranks.take_part(run, job)

    def forget(self, run: RunWriter) -> None:
        """A run has ended."""
        self.runs.pop(run.run_id, None)
        if self._thread is not None:
            self._ledger.add(run, self._thread.passes)

    def flush(self, seconds: float | None = None) -> bool:
        """Have all that was recorded so far in the store: what waits in the background and in the journal.

        Returns:
            Whether all is there; False when the store is away or the time is up.
        """
        limit = config.settings().drain_seconds if seconds is None else seconds
        thread = self._thread
        if self._journal is None or thread is None:
            return True
        self.write_held()
        for run in [*self.runs.values(), *self.attached.values()]:
            run.read_ring()
        done = self.worker.drain(limit)
        return thread.flush(limit) and done

    def close(self) -> None:
        """The end of the process: end what is open, let what waits be done (bounded), close the journal."""
        thread = self._thread
        if self._journal is None or thread is None:
            return
        self.write_held()
        thread.look_after_disk()
        if self._load is not None:
            self._load.stop()
        status, error = failure.of_process()
        for run in reversed(list(self.runs.values())):
            run.end(status, error)
        for run in list(self.attached.values()):
            run.leave(status, error)
            run.leave_ranks(status, error)
        progress = Progress(config.settings().drain_seconds)
        try:
            self._finish_jobs(progress)
            self._finish_costs(thread, progress)
            self._close_journal()
            done = thread.finish(progress.left(), progress)
        finally:  # Ctrl-C ends the wait, not the journal
            progress.end()
            self._close_journal()
        if not done:
            console.say("what was recorded is in the journal; the next reader moves it into the store")

    def _finish_jobs(self, progress: Progress) -> None:
        if not self.worker.drain(progress.left(), progress):
            progress.end()
            console.say(f"{self.worker.waiting()} recordings were not finished in time and are lost")
        self.worker.stop(progress.left())

    def _finish_costs(self, thread: IngestThread, progress: Progress) -> None:
        """Most of the ingest of a short program comes now: it belongs to what its runs took."""
        if self._ledger.ended():
            thread.flush(min(progress.left(), MAX_FLUSH), progress)
            with guard.shield(guard.health("tracking", breaker=False), "costs"):
                self.write_all(self._ledger.tell(self._ledger.ended()))

    def _close_journal(self) -> None:
        with self._lock:
            journal, self._journal, self._thread = self._journal, None, None
        if journal is None:
            return
        if config.settings().durability == "fsync":
            with contextlib.suppress(OSError):
                journal.sync()
        lost = journal.close()
        if lost:
            console.say(f"{lost} recorded events are lost: {journal.failure}")

    def report_health(self) -> None:
        """Keep what went wrong inside autotrack for `autotrack doctor`."""
        from autotrack.tracking import health_reports

        health_reports.write(self.location, self.session_id, session.program_name())

    def problem(self) -> str:
        """Why what was recorded does not get into the store; empty where it does."""
        thread = self._thread
        return thread.problem if thread is not None else ""

    def reset_after_fork(self) -> None:
        """In a forked child: begin anew, and leave the parent's journal and runs alone."""
        self._lock = threading.RLock()
        if self._journal is not None:
            self._journal.abandon()
        self._journal = None
        self._thread = self._load = None
        self.worker = Worker(self.write_held)
        self._held = _Held()
        self.attached.update(self.runs)
        self.runs = {}
        self._attended = None
        self._ledger.clear()
        for run in self.attached.values():
            run.reset_after_fork()

    def before_fork(self) -> None:
        """The child may record into the runs that the program has open."""
        for run in list(self.runs.values()):
            if run.source == "fluent":
                run.share()

    def _capture_environment(self) -> None:
        settings = config.settings()
        if settings.capture_environment:
            from autotrack.tracking import environment

            digest, content = environment.capture(settings)
            self.write(events.EnvironmentCaptured(self.session_id, digest, content))


_opened = threading.local()
_recorders: WeakSet[Recorder] = WeakSet()
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
            found = _by_store[location.key] = Recorder(location)
        return found


def current() -> Recorder:
    """The recorder of the store that this process records into now; errors as for `location`."""
    global _current
    where = _location or location()
    if _current is None or _current.location.url != where.url:
        _current = recorder_for(where)
    return _current


def last_opened() -> RunWriter | None:
    """The run that this thread opened last, by a call or for a training; None in a child that was forked since."""
    run: RunWriter | None = getattr(_opened, "run", None)
    return None if run is None or run.is_inherited else run


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
    global _current, _location, _uri, _opened
    close_all()
    _opened = threading.local()
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
    if os.getpid() == pid or any(recorder.journal_or_none is not None for recorder in _by_store.values()):
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
        if not any(recorder.has_files_elsewhere() for recorder in all_recorders()):
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


def _before_fork() -> None:
    with guard.shield(guard.health("tracking", breaker=False), "before a fork"):
        for recorder in list(_recorders):
            recorder.before_fork()


def _after_fork() -> None:
    global _lock
    _lock = threading.RLock()
    scope.reset_after_fork()
    for recorder in list(_recorders):
        recorder.reset_after_fork()
