"""A network that swallows packets: connections stay open and nothing comes through. The training goes on."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import sqlalchemy
from dropping import DroppingProxy

from autotrack import Client
from autotrack.errors import StoreError
from autotrack.store.engine import Store
from autotrack.store.location import locate
from autotrack.tracking import recorders

ROOT = Path(__file__).resolve().parents[2]

SERVERS = pytest.mark.parametrize("server", ["postgres_url", "mariadb_url"])

TRAIN = """
import sys

import autotrack

with autotrack.start_run(run_name="loop") as run:
    assert autotrack.flush(60)
    print("go", flush=True)
    for part, _ in enumerate(iter(sys.stdin.readline, "end\\n")):
        for step in range(part * 10, part * 10 + 10):
            autotrack.log_metric("loss", step / 8, step=step)
        autotrack.set_tag("part", part)
        autotrack.flush(0.5)  # true or not
        print("part", flush=True)
"""

PATIENCE = {"read_timeout": "2", "connect_timeout": "2"}

Speak = Callable[[], None]


@contextmanager
def proxied(request: pytest.FixtureRequest, server: str) -> Iterator[tuple[DroppingProxy, str]]:
    """A proxy before a new database, and the URL that goes through it; two seconds of silence are enough for it."""
    direct = sqlalchemy.make_url(request.getfixturevalue(server))
    assert direct.host is not None
    with DroppingProxy(direct.host, direct.port or 0, seed=0) as proxy:
        through = direct.set(host="127.0.0.1", port=proxy.port).update_query_dict(PATIENCE)
        url = through.render_as_string(hide_password=False)
        try:
            yield proxy, url
        finally:
            proxy.be_back()
            recorders.forget_store(locate(url))
            Store.forget(locate(url))


@contextmanager
def training(url: str, folder: Path) -> Iterator[tuple[subprocess.Popen[str], Speak]]:
    """A training that records through the proxy, and what has it train one part more."""
    environ = {
        "PYTHONPATH": str(ROOT),
        "AUTOTRACK_TRACKING_URI": url,
        "AUTOTRACK_TICK_SECONDS": "0.02",
        "AUTOTRACK_DRAIN_SECONDS": "3",
    }
    child = subprocess.Popen(
        [sys.executable, "-c", TRAIN], env={**os.environ, **environ}, cwd=folder, text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    assert child.stdout is not None

    def part() -> None:
        assert child.stdin is not None
        assert child.stdout is not None
        child.stdin.write("on\n")
        child.stdin.flush()
        assert child.stdout.readline() == "part\n", child.communicate()[1]

    try:
        assert child.stdout.readline() == "go\n", child.communicate()[1]
        yield child, part
    finally:
        child.kill()
        child.wait()


def ended(child: subprocess.Popen[str]) -> str:
    """What the training said to stderr, when it has come to its end in order."""
    _, said = child.communicate("end\n", timeout=120)
    assert child.returncode == 0, said
    assert "Traceback" not in said
    return said


def check(client: Client, parts: int) -> None:
    """Each point is there, and once."""
    (run,) = client.search_runs()
    assert (run.info.status, run.info.degraded) == ("FINISHED", "")
    points = client.get_metric_history(run.info.run_id, "loss")
    assert [(point.step, point.value) for point in points] == [(step, step / 8) for step in range(parts * 10)]
    assert run.data.tags["part"] == str(parts - 1)


@SERVERS
def test_a_training_outlasts_a_silent_network_and_all_is_in_the_store_once(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, server: str
) -> None:
    """It gives the connection up and tries others; what the network held back comes late, and counts once."""
    with proxied(request, server) as (proxy, url), training(url, tmp_path) as (child, part):
        part()
        proxy.fall_silent()
        before, parts = proxy.accepted, 1
        while proxy.accepted < before + 2:  # the connection was given up, and so was the one in its place
            assert parts < 1000
            part()
            parts += 1
        proxy.be_back()
        part()
        said = ended(child)
        assert said.count("autotrack:") <= 2, said
        assert "traceback" not in said.lower()
        monkeypatch.chdir(tmp_path)
        check(Client(url), parts + 1)


@SERVERS
def test_a_program_ends_while_the_network_is_silent_and_the_next_reader_has_it_all(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, server: str
) -> None:
    """Its exit is waited for no longer than the drain; its status is that of the program."""
    with proxied(request, server) as (proxy, url), training(url, tmp_path) as (child, part):
        part()
        proxy.fall_silent()
        part()
        part()
        said = ended(child)
        assert "is in the journal" in said
        proxy.be_back()
        monkeypatch.chdir(tmp_path)
        check(Client(url), 3)


@SERVERS
def test_a_reader_is_told_that_the_server_says_nothing(request: pytest.FixtureRequest, server: str) -> None:
    """A call that reads raises what says where, and what to do; it does not hang. Afterwards it works again."""
    with proxied(request, server) as (proxy, url):
        client = Client(url)
        assert len(client.search_experiments()) == 1
        proxy.fall_silent()
        with pytest.raises(StoreError, match="see that the database server runs") as caught:
            client.search_experiments()
        assert caught.value.transient
        proxy.be_back()
        assert len(client.search_experiments()) == 1


@SERVERS
def test_an_unhurried_statement_may_take_longer_than_the_timeout(request: pytest.FixtureRequest, server: str) -> None:
    """What goes through whole tables is waited for; the limit is back behind it."""
    pause = {"postgres_url": "SELECT pg_sleep(4)", "mariadb_url": "SELECT SLEEP(4)"}[server]
    with proxied(request, server) as (_, url):
        store = Store.open(url)
        with store.reading() as connection, store.dialect.unhurried(connection):
            connection.execute(sqlalchemy.text(pause)).all()
        with pytest.raises(StoreError), store.reading() as connection:
            connection.execute(sqlalchemy.text(pause)).all()
