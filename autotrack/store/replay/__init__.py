"""A run as the events that would make it again, out of one store and into another.

`run_events` reads a run as a stream, `write_events` applies such streams in bounded transactions, as often as one
likes: what is there already is compared, never doubled, and what is missing is added. `encode` and `decode` are the
stream as lines of JSON, the format of archives.

Besides the events of a journal a stream has items of its own, for what no journal says: how an experiment is, who still
writes a run, and a run's life after its end.
"""

from autotrack.store.replay.items import (
    ExperimentState,
    Item,
    OpenJournal,
    RegisteredModelState,
    RunState,
    VersionState,
    decode,
    encode,
)
from autotrack.store.replay.reading import run_events
from autotrack.store.replay.writing import write_events

__all__ = [
    "ExperimentState",
    "Item",
    "OpenJournal",
    "RegisteredModelState",
    "RunState",
    "VersionState",
    "decode",
    "encode",
    "run_events",
    "write_events",
]
