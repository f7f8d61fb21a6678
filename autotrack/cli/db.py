"""`autotrack db`: the store's database: its schema, whether it is whole, a copy of it."""

from __future__ import annotations

import argparse

from autotrack.cli import checking, copying, terminal
from autotrack.cli.stores import add_store_option, open_client
from autotrack.errors import SchemaVersionError
from autotrack.store.engine import Store, revision_of
from autotrack.store.location import Location, sqlite_file
from autotrack.store.schema import REVISIONS, SCHEMA_REVISION


def add_options(parser: argparse.ArgumentParser) -> None:
    """The actions."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True, title="actions")
    text = "say which revision the schema is at; nothing is changed (status 1 where it is not this version's)"
    add_store_option(actions.add_parser("status", help=text, description=text))
    text = "bring the schema to this version of autotrack; a SQLite file is copied first"
    add_store_option(actions.add_parser("upgrade", help=text, description=text))
    checking.add_check(actions)
    copying.add_copy(actions)


def run(options: argparse.Namespace) -> int:
    """Do what the action says."""
    if options.action == "check":
        return checking.check(options)
    if options.action == "copy":
        return copying.copy(options)
    location = open_client(options.store).location
    return _status(location) if options.action == "status" else _upgrade(location)


def revision(location: Location) -> str | None:
    """The revision that a database is at; None where it has no tables yet.

    Raises:
        StoreError: It cannot be read.
    """
    file = sqlite_file(location.url)
    if file is not None and not file.exists():
        return None
    store = Store(location)
    with store.reading() as connection:
        return revision_of(connection)


def verdict(found: str | None) -> str:
    """What to do about a revision; empty where it is this version's."""
    if found == SCHEMA_REVISION:
        return ""
    if found is None:
        return "there are no tables yet; the first run makes them, or: autotrack db upgrade"
    if found in REVISIONS:
        return f"this autotrack needs {SCHEMA_REVISION}: run autotrack db upgrade"
    return f"this autotrack knows up to {SCHEMA_REVISION}: upgrade autotrack"


def _status(location: Location) -> int:
    found = revision(location)
    advice = verdict(found)
    terminal.write(f"{location.safe_url}: schema revision {found or 'none'}, {advice or 'up to date'}")
    return 1 if advice else 0


def _upgrade(location: Location) -> int:
    found = revision(location)
    if found is None:
        Store.open(location.url)
        terminal.write(f"{location.safe_url}: made, at schema revision {SCHEMA_REVISION}")
        return 0
    if found not in REVISIONS:
        raise SchemaVersionError(location.safe_url, found, SCHEMA_REVISION)
    if found == SCHEMA_REVISION:
        terminal.write(f"{location.safe_url}: schema revision {found}, up to date")
        return 0
    from autotrack.store.migrations import upgrade

    store = Store(location)
    with store.translated():
        copy = upgrade(store)
    kept = f"; the file as it was: {copy}" if copy else ""
    terminal.write(f"{location.safe_url}: upgraded from schema revision {found} to {SCHEMA_REVISION}{kept}")
    return 0
