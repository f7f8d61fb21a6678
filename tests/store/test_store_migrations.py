"""Upgrading an existing database, by real alembic."""

from __future__ import annotations

import gzip
import importlib
import json
import multiprocessing
import os
import runpy
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy
from alembic import command
from alembic.config import Config
from sqlalchemy.engine.interfaces import ReflectedColumn
from sqlalchemy.engine.reflection import Inspector

from autotrack import events as ev
from autotrack.cli import main as cli
from autotrack.errors import SchemaVersionError, StoreError
from autotrack.store import migrations, schema
from autotrack.store.engine import Store, revision_of
from autotrack.store.location import Location, locate
from autotrack.store.reading import Reader
from autotrack.store.writing import Writer

HEAD = schema.SCHEMA_REVISION

ADD_COLUMN = f"""
import sqlalchemy as sa
from alembic import op

revision = "9000"
down_revision = "{HEAD}"


def upgrade() -> None:
    op.add_column("runs", sa.Column("extra", sa.Text(), nullable=True))
"""


def column_of(column: ReflectedColumn) -> tuple[str, ...]:
    """What makes a column; in which order columns stand counts for nothing."""
    collation = getattr(column["type"], "collation", None)
    return column["name"], str(column["type"]), str(column["nullable"]), str(collation), str(column["default"])


def shape_of(inspector: Inspector) -> dict[str, object]:
    """All that reflection tells of a database."""
    return {
        table: (
            sorted(map(column_of, inspector.get_columns(table))),
            inspector.get_table_options(table),
            inspector.get_pk_constraint(table),
            sorted(inspector.get_foreign_keys(table), key=str),
            sorted(inspector.get_indexes(table), key=str),
            sorted(inspector.get_unique_constraints(table), key=str),
        )
        for table in inspector.get_table_names()
        if table != "alembic_version"
    }


@pytest.fixture
def newer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A program that knows one revision more than the databases made so far."""
    scripts = tmp_path / "scripts 100%"
    shutil.copytree(migrations.SCRIPTS, scripts)
    (scripts / "versions" / "r9000_add_column.py").write_text(ADD_COLUMN, "utf-8")
    monkeypatch.setattr(migrations, "SCRIPTS", scripts)
    monkeypatch.setattr(schema, "REVISIONS", (*schema.REVISIONS, "9000"))
    monkeypatch.setattr(schema, "SCHEMA_REVISION", "9000")


def test_migrating_from_nothing_gives_the_same_tables_as_the_metadata(tmp_path: Path) -> None:
    """The frozen first migration and `schema.metadata` describe one and the same database."""
    migrated = sqlalchemy.create_engine(f"sqlite:///{tmp_path}/migrated.db")
    options = Config()
    options.set_main_option("script_location", str(migrations.SCRIPTS))
    with migrated.begin() as connection:
        options.attributes["connection"] = connection
        command.upgrade(options, "head")
    made = Store.open(tmp_path / "made.db")
    assert shape_of(sqlalchemy.inspect(migrated)) == shape_of(sqlalchemy.inspect(made.engine))
    with migrated.connect() as connection:
        version = connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar()
    assert version == schema.SCHEMA_REVISION == schema.REVISIONS[-1]


def test_an_older_sqlite_database_is_copied_and_upgraded_when_it_is_opened(
    tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """Opening an older file migrates it, keeps its rows, and leaves a copy of how it was, unwritten log included."""
    old = Store.open(tmp_path / "old.db")
    with old.transaction() as connection:
        connection.exec_driver_sql("UPDATE experiments SET name = 'kept'")
    Store._open.clear()
    request.getfixturevalue("newer")
    new = Store.open(tmp_path / "old.db")
    with new.reading() as connection:
        assert connection.exec_driver_sql("SELECT name FROM experiments").scalar() == "kept"
        assert connection.exec_driver_sql("SELECT extra FROM runs").all() == []
        assert connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar() == "9000"
    (copy,) = tmp_path.glob(f"old.db.backup-{HEAD}-*")
    with sqlite3.connect(copy) as backup:
        assert backup.execute("SELECT name FROM experiments").fetchone() == ("kept",)
        assert backup.execute("SELECT version_num FROM alembic_version").fetchone() == (HEAD,)


def test_a_migration_that_fails_changes_nothing(tmp_path: Path, newer: None) -> None:
    """Where a migration breaks half-way, the file has its old tables and revision, and no copies of it pile up."""
    old = Store.open(tmp_path / "old.db")
    with old.transaction() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = ?", (HEAD,))
    Store._open.clear()
    broken = migrations.SCRIPTS / "versions" / "r9000_add_column.py"
    broken.write_text(ADD_COLUMN + "    op.execute('DROP TABLE no_such_table')\n", "utf-8")
    with pytest.raises(StoreError, match="no_such_table"):
        Store.open(tmp_path / "old.db")
    with sqlite3.connect(tmp_path / "old.db") as raw:
        assert raw.execute("SELECT version_num FROM alembic_version").fetchone() == (HEAD,)
        assert "extra" not in [row[1] for row in raw.execute("PRAGMA table_info(runs)")]
    assert list(tmp_path.glob("old.db.backup-*")) == []


def test_a_newer_database_is_refused_and_left_alone(tmp_path: Path) -> None:
    """The error names the revision that was found and the one that is known; the file stays byte for byte."""
    store = Store.open(tmp_path / "new.db")
    with store.transaction() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    with store.engine.connect() as connection:
        connection.rollback()
        connection.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    store.dispose()
    Store._open.clear()
    before = (tmp_path / "new.db").read_bytes()
    with pytest.raises(SchemaVersionError) as caught:
        Store.open(tmp_path / "new.db")
    assert (caught.value.found, caught.value.known) == ("9999", schema.SCHEMA_REVISION)
    assert "9999" in str(caught.value)
    assert schema.SCHEMA_REVISION in str(caught.value)
    assert (tmp_path / "new.db").read_bytes() == before


def test_opening_and_using_a_store_imports_neither_alembic_nor_the_orm(tmp_path: Path) -> None:
    """A first run in a new store does without alembic, sqlalchemy.orm, and what belongs to servers."""
    code = (
        "import sys; from autotrack.store.engine import Store; from autotrack.store import writing, reading\n"
        f"store = Store.open({str(tmp_path)!r}); reading.Reader(store).search_runs(None, 'metrics.a > 1')\n"
        "print([n for n in ('alembic', 'sqlalchemy.orm', 'sqlalchemy.dialects.mysql',\n"
        "    'sqlalchemy.dialects.postgresql', 'psycopg', 'pymysql') if n in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


DATA = Path(__file__).parent / "data"


def released(revision: str) -> dict[str, Any]:
    """A store as a release made it; see `data/make_released.py`."""
    content: dict[str, Any] = json.loads(gzip.decompress((DATA / f"released_{revision}.json.gz").read_bytes()))
    return content


def load(url: str, content: dict[str, Any]) -> Location:
    """Make such a store in an empty database, by nothing but its own statements."""
    store = Store(locate(url))
    store.location.folder.mkdir(parents=True, exist_ok=True)
    preparation = {"mysql": "SET SESSION sql_mode = CONCAT(@@sql_mode, ',NO_AUTO_VALUE_ON_ZERO')"}
    with store.engine.begin() as connection:
        connection.exec_driver_sql(preparation.get(store.dialect.scheme, "SELECT 1"))
        for statement in content["tables"][store.dialect.scheme]:
            connection.exec_driver_sql(statement)
        for name, rows in content["rows"].items():
            if rows:
                table = sqlalchemy.table(name, *map(sqlalchemy.column, rows[0]))
                connection.execute(table.insert(), rows)
            if rows and "id" in rows[0] and store.dialect.scheme == "postgresql":
                connection.exec_driver_sql(f"SELECT setval(pg_get_serial_sequence('{name}', 'id'), 100)")
    store.dispose()
    return store.location


@pytest.fixture(params=["sqlite", "postgresql", "mariadb"])
def old(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Location]:
    """A store of the first release on each engine."""
    servers = {"postgresql": "postgres_url", "mariadb": "mariadb_url"}
    name = servers.get(request.param)
    location = load(request.getfixturevalue(name) if name else f"{tmp_path}/old.db", released("0001"))
    yield location
    Store.forget(location)


def same(found: Any, wanted: Any) -> bool:
    """Whether all that was told then is told now; more may be."""
    if isinstance(wanted, dict):
        return isinstance(found, dict) and all(key in found and same(found[key], wanted[key]) for key in wanted)
    if isinstance(wanted, list):
        return isinstance(found, list) and len(found) == len(wanted) and all(map(same, found, wanted))
    return found == wanted or (found != found and wanted != wanted)


def test_a_store_of_the_first_release_is_upgraded_and_reads_the_same(
    old: Location, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """By `autotrack db upgrade`: every record reads as that release read it, the tables are as new, and it goes on."""
    command_line = ["--store", old.url]
    assert cli(["db", "status", *command_line]) == 1
    assert "0001" in capsys.readouterr().out
    assert cli(["db", "upgrade", *command_line]) == 0
    assert cli(["db", "status", *command_line]) == 0
    assert "up to date" in capsys.readouterr().out
    store = Store.open(old.url)
    readings, wanted = runpy.run_path(str(DATA / "make_released.py"))["readings"](store), released("0001")["readings"]
    for name in wanted:
        assert same(readings[name], wanted[name]), name
    with store.transaction() as connection:
        Writer(store).apply(connection, [ev.RunStarted("1" * 32, "s9", 9, "n", "A new one"), *LATER], "j")
        upgraded = shape_of(sqlalchemy.inspect(connection))
    assert Reader(store).run("1" * 32).data.tags == {"a": "1", "a ": "2"}
    copies = list(tmp_path.glob("old.db.backup-0001-*"))
    assert len(copies) == store.dialect.is_file
    everything = sqlalchemy.MetaData()
    with store.engine.begin() as connection:
        everything.reflect(connection)
        everything.drop_all(connection)
    Store.forget(old)
    assert upgraded == shape_of(sqlalchemy.inspect(Store.open(old.url).engine))


LATER = [ev.TagsSet("1" * 32, {"a": "1", "a ": "2"}), ev.MetricLogged("1" * 32, "m", 1.0, 1)]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_eight_processes_upgrade_one_store_once(old: Location, tmp_path: Path) -> None:
    """One does it while the others wait; none fails, and there is one copy of the file."""
    importlib.import_module("alembic.command")
    context = multiprocessing.get_context("fork")
    barrier = context.Barrier(8)

    def upgrade() -> None:
        barrier.wait()
        migrations.upgrade(Store(old))

    children = [context.Process(target=upgrade) for _ in range(8)]
    for child in children:
        child.start()
    for child in children:
        child.join()
    assert [child.exitcode for child in children] == [0] * 8
    store = Store.open(old.url)
    assert Reader(store).run("a" * 32).data.series["loss"].count == 5
    assert len(list(tmp_path.glob("old.db.backup-*"))) == store.dialect.is_file


@pytest.mark.parametrize("old", ["mariadb"], indirect=True)
def test_an_upgrade_that_broke_off_half_way_goes_on_where_tables_change_at_once(old: Location) -> None:
    """MariaDB keeps the steps that were done: they are passed over, and the rest follows."""
    store = Store(old)
    with store.transaction() as connection:
        connection.exec_driver_sql("ALTER TABLE model_versions ADD COLUMN run_link LONGTEXT")
        connection.exec_driver_sql("CREATE INDEX ix_sessions_environment ON sessions (environment)")
    migrations.upgrade(store)
    store.dispose()
    assert Reader(Store.open(old.url)).run("a" * 32).info.run_name == "rich"


@pytest.mark.parametrize("old", ["postgresql", "mariadb"], indirect=True)
def test_an_older_store_on_a_server_asks_for_the_upgrade(old: Location) -> None:
    """A server is shared, and nobody copies it first: opening it changes nothing, and says what to run."""
    with pytest.raises(StoreError, match=r"revision 0001.*autotrack db upgrade"):
        Store.open(old.url)
    store = Store(old)
    with store.reading() as connection:
        assert revision_of(connection) == "0001"
    store.dispose()
