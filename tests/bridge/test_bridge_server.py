"""`autotrack push` to, and `pull` from, a real MLflow server on loopback."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from mlflow_environment import MLflowServer, mlflow_environ
from test_push_database import ALL_THERE, READ, check_parent, check_registry

from autotrack.client import Client

INTERRUPTED = """
    import sys
    from mlflow import MlflowClient
    from mlflow.entities import Metric
    client = MlflowClient(sys.argv[1])
    experiment = client.create_experiment("by hand")
    run = client.create_run(experiment, tags={"autotrack.run_id": sys.argv[2]})
    client.log_batch(run.info.run_id, [Metric("odd", float("nan"), int(sys.argv[3]), 3)])
"""


@pytest.fixture
def with_client(mlflow_python: str, tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """autotrack's command line in the interpreter that has MLflow's client."""

    def run(*words: object, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [mlflow_python, "-m", "autotrack.cli", *map(str, words)],
            env=mlflow_environ(**environment),
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=300,
        )

    return run


def test_runs_go_to_a_server_and_come_back(
    recorded: Path,
    tmp_path: Path,
    mlflow_server: MLflowServer,
    with_client: Callable[..., Any],
    run_mlflow: Callable[..., Any],
) -> None:
    """A push that was broken off is completed, the client sees every run whole, and pulling brings them back."""
    client = Client(recorded)
    ours = {run.info.run_name: run for run in client.search_runs()}
    parent = ours["parent"].info.run_id
    nan = next(point for point in client.get_metric_history(parent, "odd") if point.value != point.value)
    run_mlflow(INTERRUPTED, mlflow_server.url, parent, nan.timestamp)

    push = ("push", "--all", "--to", mlflow_server.url, "--store", recorded)
    done = with_client(*push)
    assert done.stdout == (f"pushed 4 runs to {mlflow_server.url}: 3 new, 1 completed; 1 registered model: 1 new\n"), (
        done.stderr
    )
    assert done.stderr == ""
    again = with_client(*push)
    assert again.stdout == ALL_THERE.format(mlflow_server.url), again.stderr

    shown = run_mlflow(READ, mlflow_server.url)
    assert set(shown["runs"]) == set(ours)
    for name, run in ours.items():
        there = shown["runs"][name]
        assert there["tags"].items() >= {"mlflow.runName": name, "autotrack.run_id": run.info.run_id}.items()
        assert there["status"] == run.info.status
        if name != "parent":
            assert there["times"] == [run.info.start_time, run.info.end_time]
    check_parent(shown["runs"]["parent"], client, parent)
    assert shown["runs"]["child"]["tags"]["mlflow.parentRunId"] == shown["runs"]["parent"]["run_id"]
    search = shown["runs"]["GridSearchCV"]
    assert search["params"] == ours["GridSearchCV"].data.params
    assert search["predictions"] == [[0, 0, 0]] * 2
    assert shown["trials"]["params.C"] == [0.5, 1.0]
    check_registry(shown)

    pull = ("pull", "--from", mlflow_server.url, "--store", tmp_path / "back")
    assert "4 new" in (first := with_client(*pull)).stdout, first.stderr
    assert "4 there already" in (second := with_client(*pull)).stdout, second.stderr
    assert "1 registered model: 1 new" in first.stdout
    assert second.stdout.endswith("1 registered model: 1 there already\n")
    assert first.stderr == second.stderr == ""
    assert Client(tmp_path / "back").get_model_version_by_alias("iris", "champion").version == "2"
    missing = with_client("pull", "--from", mlflow_server.url, "--run", "f" * 32, "--store", tmp_path / "back")
    assert "no run" in missing.stderr
    assert missing.returncode == 1
    back = {run.info.run_name: run for run in Client(tmp_path / "back").search_runs()}
    assert set(back) == set(ours)
    for name, run in back.items():
        assert run.info.run_id == shown["runs"][name]["run_id"]
        assert {key: one.count for key, one in run.data.series.items()} == {
            key: one.count for key, one in ours[name].data.series.items()
        }
    (model,) = back["GridSearchCV"].outputs.model_outputs
    assert model.digest == ours["GridSearchCV"].outputs.model_outputs[0].digest


class Closed(BaseHTTPRequestHandler):
    """A server that is there, and lets nobody in."""

    def do_GET(self) -> None:
        """Only the question whether it is there is answered."""
        self.send_response(200 if self.path == "/health" else 404 if "other" in self.path else 401)
        self.end_headers()

    do_POST = do_GET

    def log_message(self, *_: object) -> None:
        """Nothing."""


def test_what_is_wrong_with_a_server_is_said(recorded: Path, with_client: Callable[..., Any]) -> None:
    """A server that is away, refuses access or is none of MLflow's: one line, with the remedy and without passwords."""

    def refusal(url: str) -> str:
        done = with_client("push", "@", "--to", url, "--store", recorded)
        assert done.returncode == 1
        assert len(done.stderr.splitlines()) == 1
        return str(done.stderr)

    with ThreadingHTTPServer(("127.0.0.1", 0), Closed) as closed:
        thread = threading.Thread(target=closed.serve_forever)
        thread.start()
        address = f"127.0.0.1:{closed.server_address[1]}"
        try:
            refused = refusal(f"http://{address}")
            assert f"store http://{address}: the server refuses access" in refused
            assert "set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD" in refused
            assert "this is no MLflow server" in refusal(f"http://{address}/other")
        finally:
            closed.shutdown()
            thread.join()
    away = refusal(f"http://me:secret@{address}")
    assert f"store http://{address}: the server cannot be reached" in away
    assert "secret" not in away


def test_without_the_client_the_error_names_the_extra(recorded: Path, tmp_path: Path) -> None:
    """The command that installs it stands in the error, and nothing of autotrack imports it by itself."""
    source = """
import sys
from importlib.machinery import PathFinder
find = PathFinder.find_spec
PathFinder.find_spec = classmethod(lambda cls, name, *rest: None if name == "mlflow" else find(name, *rest))
import autotrack, autotrack.client, autotrack.cli, autotrack.cli.push, autotrack.cli.pull
from autotrack.bridge import database_source, database_target, folder_source, server_source, server_target
status = autotrack.cli.main(sys.argv[1:])
assert "mlflow" not in sys.modules
sys.exit(status)
"""
    command = [sys.executable, "-c", source, "push", "@", "--to", "http://127.0.0.1:9", "--store", str(recorded)]
    root = Path(__file__).resolve().parents[2]
    environment = {**os.environ, "PYTHONPATH": str(root)}
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=environment)
    assert done.returncode == 1, done.stderr
    assert "install it with: pip install 'autotrack[mlflow]'" in done.stderr
