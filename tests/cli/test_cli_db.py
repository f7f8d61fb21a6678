from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from autotrack.store.schema import SCHEMA_REVISION


@pytest.fixture
def copy(recorded: Path, tmp_path: Path) -> Path:
    """A store that the test may change."""
    shutil.copytree(recorded, tmp_path / "copy")
    return tmp_path / "copy"


def stamp(store: Path, revision: str) -> None:
    """Say that a database is of another revision."""
    with closing(sqlite3.connect(store / "autotrack.db")) as connection, connection:
        connection.execute("UPDATE alembic_version SET version_num = ?", (revision,))


def test_status_of_a_present_schema(recorded: Path, autotrack: Callable) -> None:
    """A database of this version's schema is up to date, and there is nothing to upgrade."""
    for action in ("status", "upgrade"):
        shown = autotrack("db", action, "--store", recorded)
        assert (shown.err, shown.status) == ("", 0)
        assert shown.out.endswith(f"schema revision {SCHEMA_REVISION}, up to date\n")


def test_newer_schema_is_told_and_left_alone(copy: Path, autotrack: Callable) -> None:
    """A database of a newer autotrack is status 1 for each command, names both revisions, and stays as it is."""
    stamp(copy, "9999")
    before = (copy / "autotrack.db").read_bytes()
    status = autotrack("db", "status", "--store", copy)
    assert status.status == 1
    assert f"schema revision 9999, this autotrack knows up to {SCHEMA_REVISION}" in status.out
    for words in (("db", "upgrade"), ("ls",), ("show", "@")):
        shown = autotrack(*words, "--store", copy)
        assert (shown.out, shown.status) == ("", 1)
        assert "9999" in shown.err
        assert SCHEMA_REVISION in shown.err
    assert (copy / "autotrack.db").read_bytes() == before


def test_database_that_is_not_there_is_not_made_by_looking(tmp_path: Path, autotrack: Callable) -> None:
    """Both actions want a store; where there is none they make none."""
    for action in ("status", "upgrade"):
        shown = autotrack("db", action, "--store", tmp_path / "none")
        assert (shown.out, shown.status) == ("", 1)
        assert "there is no such store" in shown.err
    assert not (tmp_path / "none").exists()


def test_database_without_tables_gets_them_by_upgrade(tmp_path: Path, autotrack: Callable) -> None:
    """An empty database is told apart from a current one, and upgrading makes its tables."""
    (tmp_path / "empty.db").touch()
    status = autotrack("db", "status", "--store", tmp_path / "empty.db")
    assert status.status == 1
    assert "there are no tables yet" in status.out
    assert autotrack("db", "upgrade", "--store", tmp_path / "empty.db").status == 0
    assert autotrack("db", "status", "--store", tmp_path / "empty.db").status == 0
