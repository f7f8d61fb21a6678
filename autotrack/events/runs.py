"""Who records, and the life of a run: journals, sessions, runs and the ranks that take part in them."""

from __future__ import annotations

from typing import Any

import msgspec

from autotrack.events.parts import ErrorInfo, RunStatus


class JournalOpened(msgspec.Struct, tag_field="t", tag="journal", omit_defaults=True):
    """First line of every journal: who writes it, for which store."""

    version: int
    journal_id: str
    session_id: str
    store: str
    """Store URL without credentials."""
    host: str
    boot_id: str
    pid: int
    process_started: int
    """Start of the process in clock ticks or ms, as the OS counts it; with pid and boot id it names the process."""
    time: int
    sealed: bool = False
    """Every line ends with its checksum: one without is damaged."""


class JournalClosed(msgspec.Struct, tag_field="t", tag="close"):
    """Last line of a journal whose process ended in order."""

    time: int


class SessionStarted(msgspec.Struct, tag_field="t", tag="session", omit_defaults=True):
    """One process that records (workers and ranks attach to a session, they do not start one)."""

    session_id: str
    time: int
    host: str = ""
    pid: int = 0
    user: str = ""
    program: str = ""
    """File name, `-m module`, `-c` or notebook that was started."""
    argv: list[str] = []
    cwd: str = ""
    parent_session_id: str | None = None


class EnvironmentCaptured(msgspec.Struct, tag_field="t", tag="environment"):
    """What the session ran in; stored once by digest."""

    session_id: str
    digest: str
    content: dict[str, Any]


class RunStarted(msgspec.Struct, tag_field="t", tag="run", omit_defaults=True):
    """A run begins. `experiment_id` wins over `experiment` (a name, created if it is not there)."""

    run_id: str
    session_id: str
    time: int
    name: str
    experiment: str = "Default"
    experiment_id: str | None = None
    parent_run_id: str | None = None
    source: str = "fluent"
    """Who opened it: "fluent", "client" or an integration's name."""
    user: str = ""
    description: str | None = None


class RunResumed(msgspec.Struct, tag_field="t", tag="resume"):
    """An existing run is open again, in this process."""

    run_id: str
    session_id: str
    time: int


class RunUpdated(msgspec.Struct, tag_field="t", tag="update", omit_defaults=True):
    """A run's name or description is set anew."""

    run_id: str
    name: str | None = None
    description: str | None = None


class RunEnded(msgspec.Struct, tag_field="t", tag="end", omit_defaults=True):
    """A run ends."""

    run_id: str
    status: RunStatus
    time: int
    error: ErrorInfo | None = None


class RankJoined(msgspec.Struct, tag_field="t", tag="rank", omit_defaults=True):
    """A rank of a distributed job takes part in a run, which rank 0 begins and ends."""

    run_id: str
    session_id: str
    journal_id: str
    """The journal of the rank's process: by it a reader knows whether the process is there."""
    time: int
    rank: int
    size: int
    """How many ranks the job has."""
    facts: dict[str, Any] = {}
    """Host, pid, local rank, device: whatever is known."""
    name: str = ""
    """The run's, and where it belongs, should rank 0 never tell."""
    experiment: str = "Default"
    experiment_id: str | None = None
    source: str = "fluent"
    user: str = ""


class RankEnded(msgspec.Struct, tag_field="t", tag="rank_end", omit_defaults=True):
    """A rank's part in a run is over. One that failed makes the run a failed one, whatever rank 0 says."""

    run_id: str
    rank: int
    status: RunStatus
    time: int
    error: ErrorInfo | None = None
    killed: bool = False
    """The process was found dead, by the time given: what others raised shortly before may have come of it."""
    host: str = ""
    """Where it was, of a job on several machines."""


class RankGone(msgspec.Struct, tag_field="t", tag="rank_gone", omit_defaults=True):
    """Rank 0 saw a rank's process end; whether that was in order, the rank's own journal says.

    Without a time: rank 0 came to an end in order, so that nothing came of it.
    """

    run_id: str
    rank: int
    time: int | None = None


class RunDegraded(msgspec.Struct, tag_field="t", tag="degraded"):
    """Something of this run could not be recorded; its status stays what it is."""

    run_id: str
    reason: str
