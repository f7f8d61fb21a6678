"""Opening a store: from a URL, a folder or nothing to an engine whose database has the right schema."""

from __future__ import annotations

import contextlib
import functools
import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar, ParamSpec, TypeVar

import msgspec
import sqlalchemy
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from autotrack import clock
from autotrack.errors import SchemaVersionError, StoreError
from autotrack.store import schema
from autotrack.store.dialects import Dialect, of, store_error
from autotrack.store.location import Location, locate, sqlite_file

P = ParamSpec("P")
T = TypeVar("T")

_CREATING = "creating"
"""Revision of a database whose tables are being made (seen only where that is no transaction)."""

_TRIES = 10
"""How often a transaction that other writers stood in the way of is begun."""


def retried(write: Callable[P, T]) -> Callable[P, T]:
    """Make a function whose one effect is one transaction begin it anew when other writers were in its way.

    Deadlocks between writers are part of the ordinary life of a database server: it takes one of them back whole.
    """

    @functools.wraps(write)
    def again(*args: P.args, **kwargs: P.kwargs) -> T:
        for attempt in range(1, _TRIES):
            try:
                return write(*args, **kwargs)
            except StoreError as error:
                if not error.conflict:
                    raise
                # Pauses differ, lest the same writers meet again; the program's own random numbers are not touched.
                time.sleep(0.001 * os.urandom(1)[0] / 255 * 2**attempt)
        return write(*args, **kwargs)

    return again


def resolve_url(uri: str | os.PathLike[str] | None = None) -> str:
    """The URL, in its one normal form, of the store that a tracking URI names (see `location.locate`).

    Raises:
        InvalidArgumentError: The URI is of no known kind.
    """
    return locate(uri).url


class Store:
    """One database, opened and checked. `Store.open` gives the same object for the same URL, per process.

    After a fork the child gets connections of its own and never touches those of its parent.
    """

    _open: ClassVar[dict[tuple[str, int], Store]] = {}
    _lock: ClassVar[threading.Lock] = threading.Lock()
    _inherited: ClassVar[list[Any]] = []
    """Pools of a parent process: kept, since a connection that is collected is also closed."""

    def __init__(self, location: Location) -> None:
        """Use `Store.open`; this makes neither a connection nor a table."""
        self.location = location
        self.dialect: Dialect = of(location.url)
        self._pid = os.getpid()
        self._file: tuple[int, int] | None = None
        self._engine = self._make_engine()
        self._readers = self._engine.execution_options(**self.dialect.reading_options)

    @property
    def url(self) -> str:
        """Normal form, with credentials."""
        return self.location.url

    @property
    def safe_url(self) -> str:
        """The URL without credentials."""
        return self.location.safe_url

    @property
    def key(self) -> str:
        """Short name of this database, the same in every process."""
        return self.location.key

    @classmethod
    def open(cls, url: str | os.PathLike[str] | None = None) -> Store:
        """The store at `url`; made where there is none.

        Args:
            url: A tracking URI, as for `location.locate`.

        Raises:
            InvalidArgumentError: The URI is of no known kind.
            SchemaVersionError: A newer version of autotrack made this database; it is left as it is.
            StoreError: It cannot be opened or made; `transient` says whether trying again may help.
        """
        location = locate(url)
        with cls._lock:
            place = (location.url, os.getpid())
            store = cls._open.get(place)
            if store is not None and store.is_gone():
                store.dispose()
                store = None
            if store is None:
                store = cls(location)
                store._check()
                store._file = store._identity()
                cls._open[place] = store
            return store

    @classmethod
    def forget(cls, location: Location) -> None:
        """Close all connections of this process to a store; the next `open` looks at it anew."""
        with cls._lock:
            store = cls._open.pop((location.url, os.getpid()), None)
        if store is not None:
            store.dispose()

    def is_gone(self) -> bool:
        """Whether somebody has removed or replaced the file: what is written to the open one nobody ever reads."""
        return self._file is not None and self._identity() != self._file

    def _identity(self) -> tuple[int, int] | None:
        """What the file is on its disk; None for a server's database, and where there is no file."""
        file = sqlite_file(self.url)
        try:
            found = None if file is None else file.stat()
        except OSError:
            return None
        return None if found is None else (found.st_dev, found.st_ino)

    @property
    def engine(self) -> Engine:
        """This process's engine. `begin()` on it locks for writing at once."""
        self._renew_after_fork()
        return self._engine

    @contextlib.contextmanager
    def transaction(self) -> Iterator[Connection]:
        """A transaction that writes: committed at the end, rolled back when an exception leaves it.

        The function that uses it is `retried`, where other processes write to the same rows.

        Raises:
            StoreError: Instead of any error of the database or its driver.
        """
        with self.translated(), self.engine.begin() as connection:
            yield connection

    @contextlib.contextmanager
    def reading(self) -> Iterator[Connection]:
        """A transaction that reads one consistent state.

        Raises:
            StoreError: Instead of any error of the database or its driver.
        """
        with self.translated(), self._reading_engine().connect() as connection:
            yield connection

    @contextlib.contextmanager
    def translated(self) -> Iterator[None]:
        """Turn errors of the database into `StoreError`."""
        try:
            yield
        except SQLAlchemyError as error:
            raise store_error(self.dialect, self.safe_url, error, self._hint(error)) from error
        except self.engine.dialect.loaded_dbapi.Error as error:
            raise store_error(self.dialect, self.safe_url, error, self._hint(error)) from error
        except UnicodeDecodeError as error:  # of SQLite's message about names in a file that is damaged
            reason = f"malformed: {error.object[:200].decode('utf-8', 'replace')}"
            raise StoreError(self.safe_url, reason, _DAMAGED) from error
        except msgspec.DecodeError as error:
            raise StoreError(self.safe_url, f"a row of it is damaged: {error}", _CHECK) from error

    def dispose(self) -> None:
        """Close all connections; the next use opens new ones."""
        self.engine.dispose()

    def _reading_engine(self) -> Engine:
        """The engine of readers: the same connections, in transactions that only read."""
        self._renew_after_fork()
        return self._readers

    def _make_engine(self) -> Engine:
        try:
            url = self.dialect.engine_url(self.url)
            options = self.dialect.engine_options()
            defaults = {name: value for name, value in self.dialect.connect_options.items() if name not in url.query}
            options["connect_args"] = {**defaults, **options.get("connect_args", {})}
            engine = sqlalchemy.create_engine(url, **options)
        except (ArgumentError, ValueError):
            hint = "write scheme://user:password@host:port/database"
            raise StoreError(self.safe_url, "this URL does not parse", hint) from None  # which shows the password
        except ImportError as error:
            hint = f"install it with: {self.dialect.install}"
            raise StoreError(self.safe_url, f"the driver is missing ({error})", hint) from error
        self.dialect.configure(engine)
        return engine

    def _renew_after_fork(self) -> None:
        if self._pid != os.getpid():
            self._inherited.append(self._engine.pool)
            self._engine.dispose(close=False)
            self._pid = os.getpid()

    def _check(self) -> None:
        """Bring the database to this version's schema, or refuse it."""
        if self.dialect.is_file:
            self._make_folder(self.location.folder)
        with self.translated():
            revision = self._revision()
            if revision in (None, _CREATING):
                self.dialect.prepare(self.engine)
                with self.engine.begin() as connection, self.dialect.creating(connection):
                    revision = self._create(connection)
        if revision != schema.SCHEMA_REVISION:
            self._upgrade(str(revision))

    def _make_folder(self, folder: Path) -> None:
        new = not folder.is_dir()
        try:
            folder.mkdir(parents=True, exist_ok=True)
            if folder.name == ".autotrack" and (new or not (folder / ".gitignore").exists()):
                (folder / ".gitignore").write_text("*\n", "utf-8")
                for name in ("artifacts", "journal"):
                    (folder / name).mkdir(exist_ok=True)
        except OSError as error:
            if new or not os.access(folder, os.R_OK):
                raise StoreError(
                    self.safe_url, f"cannot make the folder {folder}: {error.strerror}", _FOLDER
                ) from error

    def _revision(self) -> str | None:
        with self._reading_engine().connect() as connection:
            return revision_of(connection)

    def _create(self, connection: Connection) -> str:
        """Make and stamp the tables, unless another process just did.

        Returns:
            The revision that the database has now.
        """
        found = revision_of(connection)
        if found not in (None, _CREATING):
            return str(found)
        present = set(sqlalchemy.inspect(connection).get_table_names()) if found is None else set()
        # Where making a table is no transaction, a process may have died right behind the first one.
        begun = present == {schema.alembic_version.name}
        if not begun and (present & set(schema.metadata.tables) or (present and self.dialect.is_file)):
            names = ", ".join(sorted(present)[:5])
            raise StoreError(self.safe_url, f"this database holds other tables ({names})", "use another one")
        tables = self.dialect.tables(connection, schema.metadata)
        version = tables.tables[schema.alembic_version.name]
        if found is None:
            version.create(connection, checkfirst=begun)
            connection.execute(version.insert().values(version_num=_CREATING))
        others = [table for table in tables.sorted_tables if table is not version]
        tables.create_all(connection, others, checkfirst=found is not None)
        if found is not None:  # a table that is there may lack its indexes, which are made after it
            for index in (index for table in others for index in table.indexes):
                index.create(connection, checkfirst=True)
        add_default_experiment(connection, clock.now())
        connection.execute(version.update().values(version_num=schema.SCHEMA_REVISION))
        return schema.SCHEMA_REVISION

    def _upgrade(self, revision: str) -> None:
        if revision not in schema.REVISIONS:
            raise SchemaVersionError(self.safe_url, revision, schema.SCHEMA_REVISION)
        if not self.dialect.is_file:
            reason = f"its schema is at revision {revision}, this autotrack needs {schema.SCHEMA_REVISION}"
            raise StoreError(self.safe_url, reason, "run: autotrack db upgrade")
        from autotrack.store.migrations import upgrade

        with self.translated():
            upgrade(self)

    def _hint(self, error: Exception) -> str:
        text = str(getattr(error, "orig", error))
        return next((hint for words, hint in _HINTS.items() if words in text), "")


_FOLDER = "choose a folder that can be written, by AUTOTRACK_TRACKING_URI or set_tracking_uri()"

_SERVER = "see that the database server runs there, and that host and port in the URL are right"

_LOGIN = "see that user and password in the URL are right"

_DATABASE = "make it there (CREATE DATABASE), or correct its name in the URL"

_CHECK = "see which, and what to do, by: autotrack db check"

_DAMAGED = "the file is damaged: copy it, then try `sqlite3 FILE .recover`; or move it away"

_HINTS = {
    "refused": _SERVER,
    "timed out": _SERVER,
    "timeout expired": _SERVER,
    "on socket": _SERVER,
    "resolve host": "see that the host in the URL is right, and that this machine reaches the network",
    "Can't connect to": _SERVER,
    "FATAL:  database": _DATABASE,
    "Unknown database": _DATABASE,
    "FATAL:  role": _LOGIN,
    "authentication failed": _LOGIN,
    "Access denied": _LOGIN,
    "file is not a database": "the file is no SQLite database, or it is damaged: move it away, or use another path",
    "malformed": _DAMAGED,
    "Could not decode": _CHECK,
    "no such column": _CHECK,
    "no such table": _CHECK,
    "unable to open database file": _FOLDER,
    "readonly database": _FOLDER,
    "database is locked": "another program holds the database open for writing",
    "disk is full": "make room on the disk",
}


def revision_of(connection: Connection) -> str | None:
    """The revision that a database is stamped with; None where it has no stamp."""
    if not sqlalchemy.inspect(connection).has_table(schema.alembic_version.name):
        return None
    return connection.execute(sqlalchemy.select(schema.alembic_version.c.version_num)).scalar()


def add_default_experiment(connection: Connection, now: int) -> None:
    """Make the experiment that runs go to by default; MySQL takes an inserted 0 for "next number", hence two steps."""
    table = schema.experiments
    if connection.execute(sqlalchemy.select(table.c.id).where(table.c.id == schema.DEFAULT_EXPERIMENT_ID)).first():
        return
    row = {"name": schema.DEFAULT_EXPERIMENT, "artifact_location": "", "lifecycle": "active"}
    connection.execute(table.insert().values(**row, creation_time=now, last_update_time=now))
    named = table.c.name == schema.DEFAULT_EXPERIMENT
    connection.execute(table.update().where(named).values(id=schema.DEFAULT_EXPERIMENT_ID))


def default_artifact_root(store: Store) -> str:
    """The folder that artifacts go to by default: beside the SQLite file; for servers in the project's folder."""
    return store.location.artifact_root


def _after_fork_in_child() -> None:
    """A thread of the parent may have held the lock; the parent's stores renew themselves when they are used."""
    Store._lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
