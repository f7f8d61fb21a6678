"""What differs between SQLite, PostgreSQL and MariaDB/MySQL; nothing outside this folder asks which one it is."""

from __future__ import annotations

from autotrack.errors import StoreError
from autotrack.store.dialects.base import Dialect
from autotrack.store.dialects.mysql import MySQL
from autotrack.store.dialects.postgresql import PostgreSQL
from autotrack.store.dialects.sqlite import SQLite

__all__ = ["BUSY_MS", "DIALECTS", "Dialect", "MySQL", "PostgreSQL", "SQLite", "of", "store_error"]

BUSY_MS = 30_000
"""How long a writer waits for another one."""

DIALECTS: dict[str, Dialect] = {
    "sqlite": SQLite(),
    "postgresql": PostgreSQL(),
    "mysql": MySQL(),
}
"""Dialects by the scheme of a URL."""


def of(url: str) -> Dialect:
    """The dialect of a store's URL (as in `Location.url`)."""
    return DIALECTS[url.partition("://")[0].partition("+")[0]]


def store_error(dialect: Dialect, url: str, error: Exception, hint: str = "") -> StoreError:
    """What a driver's error means to a user."""
    reason = str(getattr(error, "orig", None) or error).strip().splitlines()
    text = reason[0] if reason else type(error).__name__
    return StoreError(url, text, hint, dialect.is_transient(error), dialect.is_conflict(error))
