"""What revisions are made of: steps that leave alone what is there already.

MySQL and MariaDB end the transaction with every statement that changes a table, so an upgrade that broke off half-way
goes through its steps a second time.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

LONG_TEXT = sa.Text().with_variant(sa.Text(2**32 - 1), "mysql", "mariadb")


def add_column(table: str, column: sa.Column[Any]) -> None:
    """Add a column; one that is not nullable needs a `server_default`."""
    if column.name not in {found["name"] for found in sa.inspect(op.get_bind()).get_columns(table)}:
        op.add_column(table, column)


def add_index(name: str, table: str, columns: list[str]) -> None:
    """Add an index; its name is `ix_<table>_<columns>`."""
    if name not in _indices(table):
        op.create_index(name, table, columns)


def drop_index(name: str, table: str) -> None:
    """Take an index away."""
    if name in _indices(table):
        op.drop_index(name, table)


def _indices(table: str) -> set[str | None]:
    return {found["name"] for found in sa.inspect(op.get_bind()).get_indexes(table)}
