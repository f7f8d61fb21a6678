"""A database of the child's own: in its folder, or on the server that the environment names, dropped at the end."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

import side

SERVERS = {"postgresql": "BENCHMARK_POSTGRES_URL", "mariadb": "BENCHMARK_MARIADB_URL"}
DRIVERS = {"postgresql": "postgresql+psycopg", "mariadb": "mysql+pymysql"}


@contextlib.contextmanager
def database(engine: str) -> Iterator[str]:
    """The URL of an empty database, as both sides understand it."""
    if engine == "sqlite":
        name = {"autotrack": "autotrack.db", "mlflow": "mlflow.db"}[side.NAME]
        yield f"sqlite:///{side.FOLDER}/{name}"
        return
    import sqlalchemy

    url = sqlalchemy.make_url(os.environ[SERVERS[engine]]).set(drivername=DRIVERS[engine])
    server = sqlalchemy.create_engine(url, isolation_level="AUTOCOMMIT", poolclass=sqlalchemy.NullPool)
    name = f"benchmark_{os.getpid()}"
    with server.connect() as connection:
        connection.exec_driver_sql(f"CREATE DATABASE {name}")
    try:
        yield url.set(database=name).render_as_string(hide_password=False)
    finally:
        forced = " WITH (FORCE)" if engine == "postgresql" else ""
        with server.connect() as connection:
            connection.exec_driver_sql(f"DROP DATABASE {name}{forced}")
