"""A database server that stops in the middle of a training, and comes back: real servers, of this test alone."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy

from autotrack import Client
from autotrack.store.engine import Store
from autotrack.store.location import locate
from autotrack.tracking import recorders

pytestmark = pytest.mark.skipif(os.name != "posix", reason="the servers are started as on POSIX")
ROOT = Path(__file__).resolve().parents[2]
AS_ROOT = os.name == "posix" and os.geteuid() == 0

TRAIN = """
import sys

import autotrack
from sklearn.linear_model import LogisticRegression

autotrack.autolog()

def say(text):
    print(text, flush=True)
    sys.stdin.readline()

with autotrack.start_run(run_name="loop"):
    for part in range(3):
        autotrack.log_param(f"part {part}", part)
        for step in range(part * 100, part * 100 + 100):
            autotrack.log_metric("loss", 1 / (step + 1), step=step)
        if part == 0:
            assert autotrack.flush(240)
        if part < 2:
            say(f"part {part}")
        if part == 0:
            with autotrack.start_run(run_name="while away", nested=True):
                LogisticRegression().fit([[0.0], [1.0], [2.0], [3.0]], [0, 0, 1, 1])
print("done", flush=True)
"""


class Server:
    """A database server with a folder, a port and a user of its own."""

    def __init__(self, folder: Path, programs: Path, user: str) -> None:
        self.folder = folder
        self.programs = programs
        self.user = user if AS_ROOT else None
        self.port = _free_port()
        self.process: subprocess.Popen[bytes] | None = None

    def command(self) -> list[str]:
        """What runs in the foreground until it is told to end."""
        raise NotImplementedError

    def run(self, *words: str) -> None:
        """Run one of the server's tools to its end."""
        done = subprocess.run(words, cwd=self.folder, user=self.user, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stdout + done.stderr

    def start(self, admin: str) -> None:
        """Start it, and wait until it answers."""
        log = (self.folder / "log").open("ab")
        self.process = subprocess.Popen(self.command(), cwd=self.folder, user=self.user, stdout=log, stderr=log)
        log.close()
        engine = sqlalchemy.create_engine(locate(admin).url, poolclass=sqlalchemy.NullPool)
        deadline = time.monotonic() + 300
        while True:
            try:
                engine.connect().close()
            except sqlalchemy.exc.OperationalError:
                assert self.process.poll() is None, (self.folder / "log").read_text(errors="replace")
                assert time.monotonic() < deadline
                time.sleep(0.05)
            else:
                return

    def stop(self, kill: bool = False) -> None:
        """End it, in order or not, and wait until it is gone."""
        if self.process is not None:
            (self.process.kill if kill else self.process.terminate)()
            self.process.wait(300)


class PostgreSQL(Server):
    """PostgreSQL; SIGINT is its "fast" shutdown, which cuts its clients off."""

    def command(self) -> list[str]:
        """One cluster, on one port."""
        options = [f"-p{self.port}", "-h127.0.0.1", f"-k{self.folder}", "-F"]
        return [str(self.programs / "postgres"), "-D", str(self.folder / "data"), *options]

    def create(self) -> str:
        """Make the cluster."""
        options = ["-Upostgres", "-Atrust", "--no-sync", "-EUTF8"]
        self.run(str(self.programs / "initdb"), "-D", str(self.folder / "data"), *options)
        return f"postgresql://postgres@127.0.0.1:{self.port}/postgres"

    def stop(self, kill: bool = False) -> None:
        """SIGTERM would wait for the clients; SIGQUIT is a crash that takes the children along."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(3 if kill else 2)
            self.process.wait(300)


class MariaDB(Server):
    """MariaDB."""

    def command(self) -> list[str]:
        """One folder, on one port."""
        where = [f"--datadir={self.folder}/data", f"--socket={self.folder}/s", f"--pid-file={self.folder}/pid"]
        network = [f"--port={self.port}", "--bind-address=127.0.0.1", "--skip-name-resolve"]
        return [str(self.programs / "mariadbd"), "--no-defaults", *where, *network]

    def create(self) -> str:
        """Make the folder."""
        options = ["--auth-root-authentication-method=normal", "--skip-test-db", "--skip-name-resolve"]
        tool = str(shutil.which("mariadb-install-db"))
        self.run(tool, "--no-defaults", f"--datadir={self.folder}/data", *options)
        return f"mysql://root@127.0.0.1:{self.port}/mysql"


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def _folder(user: str) -> Iterator[Path]:
    """A folder that the server's user can use; pytest's own are shut to others."""
    folder = Path(tempfile.mkdtemp(prefix="autotrack-server-"))
    try:
        if AS_ROOT:
            shutil.chown(folder, user, user)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _programs(name: str) -> Path:
    """The folder of a server's programs; skips the test where it is not installed, or cannot be run."""
    found = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), reverse=True)
    path = next(iter(found), None) or shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/local/sbin")
    if path is None:
        pytest.skip(f"{name} is not installed here: no server to stop")
    return Path(path).parent


def _user(name: str) -> str:
    import pwd

    if AS_ROOT and name not in {entry.pw_name for entry in pwd.getpwall()}:
        pytest.skip(f"there is no user {name} to run the server as")
    return name


@pytest.fixture(scope="module", params=["postgresql", "mariadb"])
def server(request: pytest.FixtureRequest) -> Iterator[tuple[Server, str]]:
    """A server of our own, running, and the URL of its administrator."""
    postgres = request.param == "postgresql"
    programs = _programs("initdb" if postgres else "mariadbd")
    if not postgres and shutil.which("mariadb-install-db") is None:
        pytest.skip("mariadb-install-db is not installed here: no server to stop")
    user = _user("postgres" if postgres else "mysql")
    with _folder(user) as folder:
        made: PostgreSQL | MariaDB = (PostgreSQL if postgres else MariaDB)(folder, programs, user)
        admin = made.create()
        try:
            made.start(admin)
            yield made, admin
        finally:
            made.stop()


@pytest.mark.parametrize("back_in_time", [True, False], ids=["back before the end", "back after the end"])
def test_a_training_does_not_notice_that_its_server_stops(
    server: tuple[Server, str], back_in_time: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stopped in the middle and started again, before or after the training's end: one warning, and all is there."""
    made, admin = server
    url = sqlalchemy.make_url(admin).set(database=f"back_{back_in_time}".lower()).render_as_string(False)
    _create_database(admin, url)
    environ = {**os.environ, "PYTHONPATH": str(ROOT), "AUTOTRACK_TRACKING_URI": url}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    child = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(TRAIN)], env=environ, cwd=tmp_path, text=True, **pipes
    )
    _hear(child, "part 0\n")
    made.stop(kill=not back_in_time)
    _go_on(child)
    _hear(child, "part 1\n")
    if back_in_time:
        made.start(admin)
    _go_on(child)
    rest, said = child.communicate(timeout=300)
    if not back_in_time:
        made.start(admin)
    assert (child.returncode, rest) == (0, "done\n"), said
    assert said.count("nothing is lost") <= 1
    assert "Traceback" not in said
    monkeypatch.chdir(tmp_path)
    _check(url)


def _check(url: str) -> None:
    client = Client(url)
    try:
        runs = {run.info.run_name: run for run in client.search_runs()}
        assert {(name, run.info.status, run.info.degraded) for name, run in runs.items()} == {
            ("loop", "FINISHED", ""),
            ("while away", "FINISHED", ""),
        }
        points = client.get_metric_history(runs["loop"].info.run_id, "loss")
        assert [(point.step, point.value) for point in points] == [(step, 1 / (step + 1)) for step in range(300)]
        assert runs["loop"].data.param_values == {f"part {part}": part for part in range(3)}
        assert runs["while away"].data.metrics["training_accuracy_score"] == 1.0
    finally:
        recorders.forget_store(locate(url))
        Store.forget(locate(url))


def _create_database(admin: str, url: str) -> None:
    engine = sqlalchemy.create_engine(locate(admin).url, isolation_level="AUTOCOMMIT", poolclass=sqlalchemy.NullPool)
    with engine.connect() as connection:
        connection.exec_driver_sql(f"CREATE DATABASE {sqlalchemy.make_url(url).database}")


def _hear(child: subprocess.Popen[str], line: str) -> None:
    assert child.stdout is not None
    heard = child.stdout.readline()
    assert heard == line, child.communicate()[1]


def _go_on(child: subprocess.Popen[str]) -> None:
    assert child.stdin is not None
    child.stdin.write("\n")
    child.stdin.flush()
