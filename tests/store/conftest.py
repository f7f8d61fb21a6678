"""Stores to test with: a new SQLite file each time, and real servers where the environment names some."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from uuid import uuid4

import pytest
import sqlalchemy

from autotrack import clock
from autotrack import events as ev
from autotrack.store import schema
from autotrack.store.engine import Store, add_default_experiment
from autotrack.store.location import locate
from autotrack.store.reading import Reader
from autotrack.store.writing import Writer

SERVERS = {"postgresql": "AUTOTRACK_TEST_POSTGRES_URL", "mysql": "AUTOTRACK_TEST_MARIADB_URL"}

Record = Callable[..., None]


@pytest.fixture(scope="session")
def server_database() -> Iterator[Callable[[str], str]]:
    """A function of an engine's name to the URL of a database on its server, one per session, dropped at its end."""
    made: dict[str, sqlalchemy.URL] = {}

    def url_of(scheme: str) -> str:
        if scheme not in made:
            made[scheme] = sqlalchemy.make_url(locate(_server(scheme)).url).set(database=f"autotrack_{uuid4().hex}")
            _execute(_server(scheme), f"CREATE DATABASE {made[scheme].database}")
        return made[scheme].render_as_string(hide_password=False)

    yield url_of
    for scheme, url in made.items():
        Store.forget(locate(url.render_as_string(hide_password=False)))
        _execute(_server(scheme), f"DROP DATABASE {url.database}")


@pytest.fixture(params=["sqlite", *SERVERS])
def store(request: pytest.FixtureRequest, tmp_path: Path, server_database: Callable[[str], str]) -> Iterator[Store]:
    """An empty store on each engine: a new file, or the session's database, emptied afterwards."""
    if request.param == "sqlite":
        made = Store.open(tmp_path)
        yield made
        made.dispose()
        return
    made = Store.open(server_database(request.param))
    yield made
    with made.transaction() as connection:
        for table in reversed(schema.metadata.sorted_tables):
            if table is not schema.alembic_version:
                connection.execute(table.delete())
        add_default_experiment(connection, clock.now())
    Store.forget(made.location)


def _server(scheme: str) -> str:
    url = os.environ.get(SERVERS[scheme])
    if not url:
        pytest.skip(f"{SERVERS[scheme]} names no server")
    return url


def _execute(url: str, statement: str) -> None:
    engine = sqlalchemy.create_engine(locate(url).url, isolation_level="AUTOCOMMIT", poolclass=sqlalchemy.NullPool)
    with engine.connect() as connection:
        connection.exec_driver_sql(statement)


@pytest.fixture
def reader(store: Store) -> Reader:
    """Reads the store."""
    return Reader(store)


@pytest.fixture
def record(store: Store) -> Record:
    """Writes events of a journal ("j" by default) in one transaction."""

    def write(*events: ev.Event, journal: str = "j") -> None:
        with store.transaction() as connection:
            Writer(store).apply(connection, events, journal)

    return write


@pytest.fixture
def run(record: Record) -> Callable[..., str]:
    """Starts a run and writes events of it, made by functions of its id; gives the id back."""
    count = iter(range(1, 1_000_000))

    def start(*more: Callable[[str], ev.Event], time: int = 0, name: str = "", experiment: str = "Default") -> str:
        number = next(count)
        run_id = f"{number:032x}"
        begun = ev.RunStarted(run_id, "session", time or number * 1000, name or f"run-{number}", experiment)
        events: Sequence[ev.Event] = [make(run_id) for make in more]
        record(begun, *events)
        return run_id

    return start
