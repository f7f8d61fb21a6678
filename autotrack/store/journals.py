"""How far each journal has been moved into the tables, and when its writer was last alive."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, select

from autotrack import events as ev
from autotrack.records import JournalInfo
from autotrack.store import schema
from autotrack.store.dialects import DIALECTS
from autotrack.store.engine import Store, retried


def advance_journal(
    connection: Connection, opened: ev.JournalOpened, old: int, new: int, now: int, closed: int | None = None
) -> bool:
    """Move a journal's offset, in the transaction that applies the events between.

    Args:
        connection: A transaction of `Store.transaction`.
        opened: The journal's first line.
        old: Where the caller believes it stands, in bytes.
        new: Where it stands afterwards.
        now: When its writer was last known to be alive: the present for one's own journal, else the file's last
            change. Runs that are lost end at this time.
        closed: When it was closed, where its last line says so.

    Returns:
        False when somebody else has moved it: the caller rolls back.
    """
    journals = schema.journals
    statement = (
        journals.update()
        .where(journals.c.journal_id == opened.journal_id, journals.c.offset == old)
        .values(offset=new, heartbeat=now, **({} if closed is None else {"closed": closed}))
    )
    if old == 0:
        connection.execute(
            DIALECTS[connection.engine.dialect.name].insert_missing(journals, ("journal_id",)), [_journal_row(opened)]
        )
    return connection.execute(statement).rowcount == 1


def beat(connection: Connection, journal_id: str, now: int) -> None:
    """Note that a journal's writer is alive."""
    journals = schema.journals
    connection.execute(journals.update().where(journals.c.journal_id == journal_id).values(heartbeat=now))


@retried
def beat_journal(store: Store, journal_id: str, now: int) -> None:
    """`beat`, in a transaction of its own.

    Raises:
        StoreError: The store cannot be written.
    """
    with store.transaction() as connection:
        beat(connection, journal_id, now)


def journals(store: Store, with_open_runs: bool = False) -> list[JournalInfo]:
    """How far each journal has been moved, and who writes it.

    Args:
        store: The store.
        with_open_runs: Only journals of processes that have a run in status RUNNING.

    Raises:
        StoreError: The store cannot be read.
    """
    table, runs = schema.journals.c, schema.runs.c
    columns = (table[name] for name in JournalInfo.__struct_fields__)
    query = select(*columns).order_by(table.opened, table.journal_id)
    if with_open_runs:
        query = query.where(table.journal_id.in_(select(runs.journal_id).where(runs.status == "RUNNING")))
    with store.reading() as connection:
        return [JournalInfo(*row) for row in connection.execute(query)]


def journal_offset(store: Store, journal_id: str) -> int:
    """How many bytes of a journal are in the store; 0 where it is not known.

    Raises:
        StoreError: The store cannot be read.
    """
    table = schema.journals.c
    with store.reading() as connection:
        found = connection.execute(select(table.offset).where(table.journal_id == journal_id)).scalar()
    return int(found or 0)


def _journal_row(opened: ev.JournalOpened) -> dict[str, Any]:
    return {
        "journal_id": opened.journal_id,
        "session_id": opened.session_id,
        "offset": 0,
        "host": opened.host,
        "boot_id": opened.boot_id,
        "pid": opened.pid,
        "process_started": opened.process_started,
        "opened": opened.time,
        "heartbeat": opened.time,
        "closed": None,
    }
