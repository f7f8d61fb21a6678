"""Ingest: moves journal bytes into SQL, exactly once, whoever does it.

A transaction holds both the rows that a piece of a journal makes and the journal's new offset, set by compare-and-set:
who loses the race rolls back and has nothing to repeat. The process's own thread does it every second, the next
reader (`Client`, the CLI, another process) does it for journals whose process is gone.
"""

from autotrack.tracking.ingest.moving import ingest_file
from autotrack.tracking.ingest.pending import files, finish_lost, ingest_pending
from autotrack.tracking.ingest.thread import IngestThread

__all__ = ["IngestThread", "files", "finish_lost", "ingest_file", "ingest_pending"]
