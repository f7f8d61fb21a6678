"""The way from every earlier schema to the present one, by alembic, which nothing but `upgrade` imports.

A new database never comes here: it is made from `schema.metadata` and stamped. How to add a migration stands in
CONTRIBUTING.md.
"""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from autotrack.store.engine import Store

SCRIPTS = Path(__file__).parent
"""Alembic's script folder."""


def upgrade(store: Store) -> Path | None:
    """Bring a database to the newest schema, in one transaction where the engine can; the SQLite file is copied first.

    One copy stays for each upgrade that got through; nothing removes it, and an upgrade that fails leaves none.

    Args:
        store: The store; other processes wait meanwhile, or find it done.

    Returns:
        Where the copy is; None for a server, and where nothing was to be done.

    Raises:
        StoreError: It failed; on SQLite and PostgreSQL nothing was changed then.
    """
    from alembic import command
    from alembic.config import Config

    from autotrack.store import schema
    from autotrack.store.engine import revision_of

    options = Config()
    options.set_main_option("script_location", str(SCRIPTS).replace("%", "%%"))
    dialect = store.dialect
    with store.transaction() as connection, dialect.unhurried(connection), dialect.creating(connection):
        revision = revision_of(connection)
        if revision == schema.SCHEMA_REVISION:
            return None
        copy = store.dialect.back_up(store.url, str(revision))
        with contextlib.ExitStack() as undoing:
            if copy is not None:  # where it fails the file stays as it was: copies would pile up with every try
                undoing.callback(copy.unlink, missing_ok=True)
            options.attributes["connection"] = connection
            command.upgrade(options, "head")
            undoing.pop_all()
    return copy
