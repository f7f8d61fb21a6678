"""What all tests share: a clean environment, an honest shield, databases, child interpreters."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from mlflow_environment import mlflow_python, mlflow_server, run_mlflow  # noqa: F401 - fixtures

from autotrack import config, testing
from autotrack.hooks import guard

ROOT = Path(__file__).resolve().parents[1]

# Read by native libraries when they are loaded, in children too. Threads of theirs that spin until it is their turn
# make a run many times slower where the suite's workers already have all the cores.
for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(name, "1")

pytest.register_assert_rewrite("handed_out")  # what it finds wrong is shown as in a test

# How long an example takes to be made or to run says something of the machine, and nothing of what is tested.
settings.register_profile("suite", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("suite")


def pytest_addoption(pluginmanager: pytest.PytestPluginManager) -> None:
    """A checkout that is not installed has no entry point: load the plugin by hand."""
    if not pluginmanager.is_registered(testing):
        pluginmanager.register(testing, "autotrack")


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """This suite is about autotrack: it is not kept off, though each test has to switch it on.

    An error that ends one of its background threads fails the test.
    """
    config.option.autotrack = True
    config.addinivalue_line("filterwarnings", "error::pytest.PytestUnhandledThreadExceptionWarning")


@pytest.fixture(autouse=True)
def _isolation(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """No setting of the machine counts, nothing is recorded into this project, and nothing outlives the test."""
    for name in [name for name in os.environ if name.startswith("AUTOTRACK_") and "_TEST_" not in name]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AUTOTRACK_TRACKING_URI", str(tmp_path / "default-store"))
    config.reload()
    yield
    testing.reset()


@pytest.fixture(autouse=True)
def _honest_shield() -> Iterator[None]:
    """The shield raises what it catches, so that it cannot hide a bug; see `shield_on`."""
    before = guard.reraise, guard.silent
    guard.reraise = True
    yield
    guard.reraise, guard.silent = before


@pytest.fixture
def shield_on(_honest_shield: None) -> None:
    """The shield as users have it: errors of autotrack's own are recorded and swallowed."""
    guard.reraise = False


@pytest.fixture
def postgres_url() -> Iterator[str]:
    """A new, empty PostgreSQL database."""
    with _database("AUTOTRACK_TEST_POSTGRES_URL", "DROP DATABASE {} WITH (FORCE)") as url:
        yield url


@pytest.fixture
def mariadb_url() -> Iterator[str]:
    """A new, empty MariaDB (or MySQL) database."""
    with _database("AUTOTRACK_TEST_MARIADB_URL", "DROP DATABASE {}") as url:
        yield url


@contextmanager
def _database(variable: str, drop: str) -> Iterator[str]:
    server = os.environ.get(variable)
    if not server:
        pytest.skip(f"{variable} is not set: no server to test with")
    import sqlalchemy

    from autotrack.store.engine import Store
    from autotrack.store.location import locate
    from autotrack.tracking import recorders

    name = f"autotrack_test_{uuid.uuid4().hex[:12]}"
    _execute(server, f"CREATE DATABASE {name}")
    url = sqlalchemy.make_url(server).set(database=name).render_as_string(hide_password=False)
    try:
        yield url
    finally:
        recorders.forget_store(locate(url))
        Store.forget(locate(url))
        _execute(server, drop.format(name))


def _execute(url: str, statement: str) -> None:
    import sqlalchemy

    from autotrack.store.location import locate

    engine = sqlalchemy.create_engine(locate(url).url, isolation_level="AUTOCOMMIT", poolclass=sqlalchemy.NullPool)
    with engine.connect() as connection:
        connection.exec_driver_sql(statement)


@pytest.fixture
def run_python(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run a real interpreter in which autotrack can be imported, in the test's folder.

    `run_python(source)` runs text of several lines, `run_python(Path("train.py"), "--fast")` or
    `run_python("-m", "autotrack", "train.py")` a command line. Variables in `env` are set beside those of this process
    (None: taken away). The test fails where the exit status is not `status` (None: any).
    """

    def run(
        *arguments: str | Path,
        env: Mapping[str, str | None] | None = None,
        cwd: Path | None = None,
        stdin: str = "",
        status: int | None = 0,
        timeout: float = 120,
    ) -> subprocess.CompletedProcess[str]:
        command = [str(argument) for argument in arguments]
        if "\n" in command[0]:
            command = ["-c", textwrap.dedent(command[0]), *command[1:]]
        done = subprocess.run(
            [sys.executable, *command],
            input=stdin,
            env=_environment(env or {}),
            cwd=cwd or tmp_path,
            capture_output=True,
            text=True,
            encoding="utf-8",
            timeout=timeout,
        )
        assert status is None or done.returncode == status, f"status {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done

    return run


def _environment(changes: Mapping[str, str | None]) -> dict[str, str]:
    """This environment with the changes, and the checkout in front of what is installed."""
    environ: dict[str, Any] = {**os.environ, **changes}
    folders = [str(ROOT), *filter(None, (environ.get("PYTHONPATH") or "").split(os.pathsep))]
    environ["PYTHONPATH"] = os.pathsep.join(dict.fromkeys(folders))
    return {name: value for name, value in environ.items() if value is not None}
