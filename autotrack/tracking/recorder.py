"""The recorder: the one way from this process into a store. One per store that the process records into (`recorders`).

It owns the process's journal, the thread that ingests it, the background worker, and the runs that are open. After
a fork the child keeps the object and loses the parent's journal, threads and locks: its own begin with its first event.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from functools import partial

from autotrack import clock, config, console, events
from autotrack.hooks import guard
from autotrack.store.location import Location
from autotrack.tracking import failure, program_facts, rank_watch, ranks, scope, session
from autotrack.tracking import job as jobs
from autotrack.tracking.ingest import IngestThread
from autotrack.tracking.job import Job
from autotrack.tracking.journal import Journal
from autotrack.tracking.ledger import NOT_OF_THE_PROGRAM, Ledger, told_so_far
from autotrack.tracking.lines import Lines
from autotrack.tracking.progress import Progress
from autotrack.tracking.redaction import redact
from autotrack.tracking.roots import Roots
from autotrack.tracking.run import RunWriter
from autotrack.tracking.system_metrics import SystemMetrics
from autotrack.tracking.values import encoded, safe_name
from autotrack.tracking.worker import Worker

MAX_ATTACHED = 1_000
"""Runs of other processes whose writers are kept."""

MAX_FLUSH = 2.0
"""Seconds that are waited at exit in order to know what the ingest took."""

STARTED_BY_TAG = "autotrack.started_by_run"
"""The run that was open where this program was started, where that run is in another store."""


def _nothing() -> None:
    """What nobody has to be told of."""


class Recorder:
    """Records into one store.

    Attributes:
        location: The store.
        session_id: This process's session.
        worker: What is done behind the training thread.
        runs: Runs of this process that are open.
        attached: Writers of runs that other processes opened, by run id.
        roots: Where files of runs go.
        write: Appends one event to the journal, see `Lines`.
        write_all: Appends several.
        together: Around what tells several things that are to be appended in one piece.

    Args:
        location: The store.
        opened: Called when the journal has been opened.
        far: Called where files of runs may go far away.
    """

    def __init__(
        self, location: Location, opened: Callable[[], None] = _nothing, far: Callable[[], None] = _nothing
    ) -> None:
        self.location = location
        self.session_id = session.session_id()
        self.roots = Roots(location, far)
        self._opened = opened
        self._lines = Lines(lambda: self.journal)
        self.write, self.write_all, self.together = self._lines.write, self._lines.write_all, self._lines.together
        self.worker = Worker(self._lines.write_held)
        self.runs: dict[str, RunWriter] = {}
        self.attached: dict[str, RunWriter] = {}
        self._ledger = Ledger()
        self._journal: Journal | None = None
        self._thread: IngestThread | None = None
        self._load: SystemMetrics | None = None
        self._attended: RunWriter | None = None
        """The training that this process takes part in as another rank than 0."""
        # Reentrant: a signal handler may log while the thread that it interrupts is in here.
        self._lock = threading.RLock()

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
                self._opened()
                if started is not None:
                    self.worker.submit(self._capture_environment)
            return self._journal

    def _on_tick(self, load: SystemMetrics) -> None:
        runs = list(self.runs.values())
        for run in runs:
            run.write_waiting()
        load.tick([run for run in runs if run.source not in NOT_OF_THE_PROGRAM])
        with self._lock:  # the program may just be closing the journal: no other is to be opened for this
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
            self.write_all([*self._ledger.tell(self._ledger.ended()), *told_so_far(list(self.runs.values()))])

    def _on_trouble(self, reason: str) -> None:
        for run in list(self.runs.values()):
            run.degrade(reason)

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
        name, experiment = safe_name(name), safe_name(experiment or settings.experiment)
        self.roots.expect(experiment, experiment_id)
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
        self._lines.write_held()  # from here on other threads may write of the run
        if place is not None:
            ranks.take_part(run, place.job)
            rank_watch.watch(run, place.job)
        self.runs[run.run_id] = run
        if outer is not None and parent_run_id is None:  # no run of this store
            run.set_tags({STARTED_BY_TAG: outer[0]})
        if source not in NOT_OF_THE_PROGRAM:
            _by_thread.run = run
        if scope.is_off():
            run.log_system_metrics = False
        elif source not in NOT_OF_THE_PROGRAM:
            health = guard.health("tracking", breaker=False)
            guard.call(health, "arguments and seeds", program_facts.begin, run, source == "fluent")
        return run

    def _take_part(self, run: RunWriter, job: Job, name: str) -> RunWriter:
        ranks.take_part(run, job, name)
        self.runs[run.run_id] = run
        _by_thread.run = run
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
        too_many = len(self.attached) + 1 - MAX_ATTACHED
        for oldest in list(self.attached)[:too_many] if too_many > 0 else ():
            self.attached.pop(oldest, None)
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
        self._lines.write_held()
        for run in [*self.runs.values(), *self.attached.values()]:
            run.read_ring()
        done = self.worker.drain(limit)
        return thread.flush(limit) and done

    def close(self) -> None:
        """The end of the process: end what is open, let what waits be done (bounded), close the journal."""
        thread = self._thread
        if self._journal is None or thread is None:
            return
        self._lines.write_held()
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
        self._lines.reset_after_fork()
        self.worker = Worker(self._lines.write_held)
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


_by_thread = threading.local()


def last_opened() -> RunWriter | None:
    """The run that this thread opened last, by a call or for a training; None in a child that was forked since."""
    run: RunWriter | None = getattr(_by_thread, "run", None)
    return None if run is None or run.is_inherited else run


def forget_opened() -> None:
    """As a fresh process would (between tests)."""
    global _by_thread
    _by_thread = threading.local()
