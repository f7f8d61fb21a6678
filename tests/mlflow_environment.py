"""A real MLflow to test against: an interpreter of its own that has it, and its server on loopback.

MLflow stays out of the environment that the suite runs in: other frameworks change what they do where they find it.
`AUTOTRACK_TEST_MLFLOW_PYTHON` names an interpreter that has MLflow, autotrack's dependencies and the drivers of the
databases; without it one is made in `.mlflow`, see made_environments.py.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import textwrap
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from made_environments import MadeEnvironment

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parents[1]
VERSION = "3.17.2"
EXTRAS = ("sklearn", "lightgbm", "postgres", "mysql")
"""Extras of autotrack whose packages the interpreter has too."""

START_TIMEOUT = 120
"""Seconds that a server is given to answer."""

RunMLflow = Callable[..., Any]


class MLflowServer(NamedTuple):
    """A server that runs."""

    url: str
    database: str
    """SQLAlchemy URL of what it keeps its runs in."""
    artifacts: Path
    """Where it keeps files."""


@pytest.fixture(scope="session")
def mlflow_python() -> str:
    """An interpreter that has MLflow; it can import autotrack with the checkout on PYTHONPATH."""
    folder = ROOT / ".mlflow" / f"{VERSION}-{sys.implementation.cache_tag}"
    return MadeEnvironment("MLFLOW", f"MLflow {VERSION}", folder, _requirements()).python()


def _requirements() -> list[str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    extras = [one for name in EXTRAS for one in project["optional-dependencies"][name]]
    torch = [one for one in project["optional-dependencies"]["test"] if one.startswith("torch==")]
    return [f"mlflow=={VERSION}", *project["dependencies"], *extras, *torch]


def mlflow_environ(**changes: str) -> dict[str, str]:
    """Environment of a process that uses MLflow, and of an autotrack beside it."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AUTOTRACK_", "MLFLOW_"))}
    quiet = {"MLFLOW_DISABLE_TELEMETRY": "true", "GIT_PYTHON_REFRESH": "quiet", "PYTHONWARNINGS": "ignore"}
    return {**kept, **quiet, "PYTHONPATH": str(ROOT), **changes}


@pytest.fixture
def run_mlflow(mlflow_python: str, tmp_path: Path) -> RunMLflow:
    """Run text in the interpreter that has MLflow: `run_mlflow(source, "argument", VARIABLE="value")`.

    Gives back the last line that it printed, read as JSON; None where it printed nothing.
    """

    def run(source: str, *arguments: object, **environment: str) -> Any:
        done = subprocess.run(
            [mlflow_python, "-c", textwrap.dedent(source), *map(str, arguments)],
            env=mlflow_environ(**environment),
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert done.returncode == 0, f"{done.stdout[-3000:]}\n{done.stderr[-5000:]}"
        lines = done.stdout.strip().splitlines()
        return json.loads(lines[-1]) if lines else None

    return run


@pytest.fixture(scope="session")
def mlflow_server(mlflow_python: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[MLflowServer]:
    """MLflow's server on loopback, with a SQLite database and files in folders of its own."""
    folder = tmp_path_factory.mktemp("mlflow-server")
    database = f"sqlite:///{folder / 'mlflow.db'}"
    with contextlib.ExitStack() as stack:
        for attempt in (1, 2, 3):
            port = _free_port()
            process = stack.enter_context(_process(mlflow_python, folder, database, port))
            url = f"http://127.0.0.1:{port}"
            if _answers(url, process):
                break
            assert attempt < 3, (folder / "server.log").read_text("utf-8")[-5000:]
        yield MLflowServer(url, database, folder / "artifacts")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def _process(python: str, folder: Path, database: str, port: int) -> Iterator[subprocess.Popen[bytes]]:
    command = [python, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    command += ["--backend-store-uri", database, "--artifacts-destination", str(folder / "artifacts")]
    environ = mlflow_environ(MLFLOW_SERVER_ENABLE_JOB_EXECUTION="false")
    with open(folder / "server.log", "ab") as log:
        process = subprocess.Popen(
            command, cwd=folder, env=environ, stdout=log, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True
        )
    try:
        yield process
    finally:
        _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a server with all its workers."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(10)


def _answers(url: str, process: subprocess.Popen[bytes]) -> bool:
    """Wait until a server answers; False where it ended, or the time is up."""
    deadline = time.monotonic() + START_TIMEOUT
    while process.poll() is None and time.monotonic() < deadline:
        with contextlib.suppress(urllib.error.URLError, OSError), urllib.request.urlopen(f"{url}/health", timeout=5):
            return True
        time.sleep(0.2)
    return False
