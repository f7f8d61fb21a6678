"""Making the tables of a new database, and dying in the midst of it."""

from __future__ import annotations

from typing import Any

import pytest
import sqlalchemy
from sqlalchemy import event

from autotrack.errors import StoreError
from autotrack.store import schema
from autotrack.store.engine import Store, revision_of
from autotrack.store.location import locate


class Died(BaseException):
    """The process is gone."""


def shape(store: Store) -> dict[str, Any]:
    """Tables with their columns, indexes and constraints."""
    look = sqlalchemy.inspect(store.engine)
    return {
        name: (
            [column["name"] for column in look.get_columns(name)],
            sorted(str(index["name"]) for index in look.get_indexes(name)),
            sorted(str(key["referred_table"]) for key in look.get_foreign_keys(name)),
        )
        for name in sorted(look.get_table_names())
    }


@pytest.mark.parametrize("server", ["mariadb_url", "postgres_url"])
def test_a_process_that_dies_while_it_makes_the_tables_leaves_them_to_the_next(
    request: pytest.FixtureRequest, server: str
) -> None:
    """Five die before their 2nd, 3rd, 5th, ... change, one after the other; the sixth has the whole schema."""
    url = request.getfixturevalue(server)
    location = locate(url)
    at: dict[str, int] = {"now": 0, "death": 0}

    def count(connection: Any, cursor: Any, statement: str, *_: Any) -> None:
        if statement.lstrip().startswith(("CREATE", "INSERT", "UPDATE", "ALTER")):
            at["now"] += 1
            if at["now"] == at["death"]:
                raise Died

    event.listen(sqlalchemy.Engine, "before_cursor_execute", count)
    try:
        for death in (2, 3, 5, 7, 9):
            at |= {"now": 0, "death": death}
            with pytest.raises(Died):
                Store.open(url)
        at["death"] = 0
        left = Store.open(url)
    finally:
        event.remove(sqlalchemy.Engine, "before_cursor_execute", count)
    found = shape(left)
    with left.engine.begin() as connection:
        assert revision_of(connection) == schema.SCHEMA_REVISION
        left.dialect.tables(connection, schema.metadata).drop_all(connection)
    Store.forget(location)
    whole = Store.open(url)
    assert found == shape(whole)
    assert set(found) == set(schema.metadata.tables)


def test_an_empty_version_table_beside_the_tables_of_another_program_is_left_alone(mariadb_url: str) -> None:
    """Other programs keep their revision under that name too."""
    store = Store(locate(mariadb_url))
    with store.engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE alembic_version (version_num VARCHAR(32))")
        connection.exec_driver_sql("CREATE TABLE customers (id INTEGER)")
    with pytest.raises(StoreError, match="other tables"):
        Store.open(mariadb_url)
    with store.reading() as connection:
        assert sorted(sqlalchemy.inspect(connection).get_table_names()) == ["alembic_version", "customers"]
    store.dispose()
