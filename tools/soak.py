"""Kills programs that record at random moments, many times, and looks each time whether anything is lost.

    python tools/soak.py [--kills N] [--seed N] [--only KIND ...]

Of each kind (`tests/killing.py`) an equal share; the kinds that name a server run where AUTOTRACK_TEST_POSTGRES_URL and
AUTOTRACK_TEST_MARIADB_URL name one. The seed is printed, and with it the same moments are chosen again (as far as the
machine lets them be the same). What a kill that has gone wrong left is kept. Exits with status 1 where one has. POSIX
only.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import shutil
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

import killing  # noqa: E402 - of this checkout
import sqlalchemy  # noqa: E402

from autotrack.errors import AutotrackError  # noqa: E402
from autotrack.store.location import locate  # noqa: E402

SERVERS = {"postgresql": "AUTOTRACK_TEST_POSTGRES_URL", "mariadb": "AUTOTRACK_TEST_MARIADB_URL"}


def kinds() -> list[tuple[str, str]]:
    """Each kind of program with the engine that it records into."""
    found = [(kind, "sqlite") for kind in killing.KINDS]
    return found + [("ingest", engine) for engine, variable in SERVERS.items() if os.environ.get(variable)]


@contextlib.contextmanager
def store_of(engine: str, folder: Path) -> Iterator[str]:
    """The URI of a new store."""
    if engine == "sqlite":
        yield str(folder / "store")
        return
    server, name = os.environ[SERVERS[engine]], f"autotrack_soak_{uuid.uuid4().hex[:12]}"
    with _administrator(server) as connection:
        connection.exec_driver_sql(f"CREATE DATABASE {name}")
    yield sqlalchemy.make_url(server).set(database=name).render_as_string(hide_password=False)
    with _administrator(server) as connection:
        connection.exec_driver_sql(f"DROP DATABASE {name}" + (" WITH (FORCE)" if engine == "postgresql" else ""))


@contextlib.contextmanager
def _administrator(server: str) -> Iterator[sqlalchemy.Connection]:
    url = locate(server).url
    engine = sqlalchemy.create_engine(url, isolation_level="AUTOCOMMIT", poolclass=sqlalchemy.NullPool)
    with engine.connect() as connection:
        yield connection


def kill_all(kills: int, seed: int, only: list[str]) -> int:
    """Kill as often as asked, and tell.

    Returns:
        How many went wrong.
    """
    wanted = [(kind, engine) for kind, engine in kinds() if not only or kind in only]
    tallies = {pair: killing.Tally() for pair in wanted}
    wrong = 0
    began = time.monotonic()
    for number in range(kills):
        kind, engine = wanted[number % len(wanted)]
        folder = Path(tempfile.mkdtemp(prefix="autotrack-soak-"))
        os.chdir(folder)  # a server's journals and files lie in the project's folder
        try:
            with store_of(engine, folder) as uri:
                dice = random.Random(f"{seed} {number}")
                tallies[kind, engine] += killing.kill_one(kind, dice, uri, folder)
        except (AssertionError, AutotrackError, sqlalchemy.exc.SQLAlchemyError) as error:
            wrong += 1
            print(f"kill {number} ({kind}, {engine}), kept in {folder}: {error}", flush=True)
        else:
            os.chdir(ROOT)
            shutil.rmtree(folder)
        if number % 20 == 19:
            print(f"{number + 1} kills, {wrong} went wrong, {time.monotonic() - began:.0f} s", flush=True)
    for (kind, engine), tally in tallies.items():
        print(_line(f"{kind} ({engine})", tally))
    print(_line("all", sum(tallies.values(), killing.Tally())))
    print(f"seed {seed}, {kills} kills, {wrong} went wrong, {time.monotonic() - began:.0f} s")
    return wrong


def _line(name: str, tally: killing.Tally) -> str:
    return (
        f"{name}: {tally.kills} kills ({tally.in_transaction} in mid-transaction, {tally.at_commit} at or after a "
        f"commit, {tally.in_model} in mid-storing of a model), {tally.calls} calls had returned and are there once, "
        f"{tally.unreturned} had not and are there, {tally.models} models loaded"
    )


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=None, help="by default another one each time")
    parser.add_argument("--only", nargs="+", default=[], choices=list(killing.KINDS), metavar="KIND")
    options = parser.parse_args()
    seed = options.seed if options.seed is not None else int.from_bytes(os.urandom(4), "big")
    print(f"seed {seed}", flush=True)
    return 1 if kill_all(options.kills, seed, options.only) else 0


if __name__ == "__main__":
    sys.exit(main())
