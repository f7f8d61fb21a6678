"""What a stream is made of, and its lines of JSON."""

from __future__ import annotations

import msgspec

from autotrack import events as ev

PIECE = 5_000
"""Points in one event of a stream, and about as many rows in one transaction."""


class ExperimentState(msgspec.Struct, tag_field="t", tag="experiment", omit_defaults=True):
    """An experiment; one that is there already keeps all but the tags that it does not have."""

    name: str
    creation_time: int
    last_update_time: int
    lifecycle: str = "active"
    tags: dict[str, str] = {}


class OpenJournal(msgspec.Struct, tag_field="t", tag="open", omit_defaults=True):
    """Who still writes the run that follows: only that tells, later, that its process is gone."""

    journal_id: str
    session_id: str
    host: str
    boot_id: str
    pid: int
    process_started: int
    opened: int
    heartbeat: int


class RegisteredModelState(msgspec.Struct, tag_field="t", tag="registered", omit_defaults=True):
    """A registered model that the run put out a version of; one that is there already keeps all but missing tags."""

    name: str
    creation_time: int
    last_update_time: int
    description: str = ""
    tags: dict[str, str] = {}


class VersionState(msgspec.Struct, tag_field="t", tag="version", omit_defaults=True):
    """A version of a registered model. One of the same origin is left alone; a number that is taken is not used."""

    name: str
    version: int
    source: str
    run_id: str | None
    model_id: str | None
    status: str
    creation_time: int
    last_update_time: int
    description: str = ""
    user_id: str = ""
    run_link: str | None = None
    status_message: str | None = None
    digest: str | None = None
    signature: str | None = None
    tags: dict[str, str] = {}
    aliases: list[str] = []
    """Those that point at it; where one is there already, it stays what it is."""


class RunState(msgspec.Struct, tag_field="t", tag="state", omit_defaults=True):
    """Last item of a run: what its events do not say."""

    run_id: str
    start_time: int
    status_time: int
    lifecycle: str = "active"
    deleted_time: int | None = None


Item = ev.Event | ExperimentState | OpenJournal | RegisteredModelState | VersionState | RunState
"""What a stream is made of."""

Point = tuple[int, int, float]
"""Step, time, value."""

_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Item)


def encode(item: Item) -> bytes:
    """An item as a line of JSON, without its newline."""
    return _encoder.encode(item)


def decode(line: bytes) -> Item:
    """Inverse of `encode`.

    Raises:
        msgspec.DecodeError: It is no such line.
    """
    item: Item = _decoder.decode(line)
    return item
