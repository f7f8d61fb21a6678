"""`autotrack push` into databases that a real MLflow opens."""

from __future__ import annotations

import io
import json
import math
import sqlite3
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy

from autotrack.bridge import tables
from autotrack.client import Client
from autotrack.errors import StoreError
from autotrack.store.engine import Store

READ = """
    import json, os, sys
    import mlflow
    mlflow.set_tracking_uri(sys.argv[1])
    client = mlflow.MlflowClient()
    experiments = client.search_experiments()
    found = {"experiments": {one.name: one.experiment_id for one in experiments}, "runs": {}}
    for run in client.search_runs([one.experiment_id for one in experiments], order_by=["start_time"]):
        info, data, run_id = run.info, run.data, run.info.run_id
        paths, folders = [], [""]
        while folders:
            for file in client.list_artifacts(run_id, folders.pop() or None):
                (folders if file.is_dir else paths).append(file.path)
        found["runs"][info.run_name] = {
            "run_id": run_id, "status": info.status, "times": [info.start_time, info.end_time], "params": data.params,
            "tags": data.tags, "metrics": {key: repr(value) for key, value in data.metrics.items()}, "paths": paths,
            "histories": {key: [[point.step, point.timestamp, repr(point.value)]
                for point in client.get_metric_history(run_id, key)] for key in data.metrics},
            "inputs": [[one.dataset.name, one.dataset.digest, json.loads(one.dataset.schema or "null"),
                {tag.key: tag.value for tag in one.tags}] for one in run.inputs.dataset_inputs],
            "outputs": [one.model_id for one in run.outputs.model_outputs],
        }
        with_models = len(sys.argv) == 2
        if with_models and (any(path == "model/MLmodel" for path in paths) or run.outputs.model_outputs):
            from sklearn.datasets import load_iris
            X, _ = load_iris(return_X_y=True, as_frame=True)
            uris = [f"runs:/{run_id}/model", *(f"models:/{one.model_id}" for one in run.outputs.model_outputs)]
            found["runs"][info.run_name]["predictions"] = [
                [int(one) for one in mlflow.pyfunc.load_model(uri).predict(X)[:3]] for uri in uris
            ]
        if "autotrack/trials.json" in paths:
            found["trials"] = mlflow.load_table("autotrack/trials.json", run_ids=[run_id]).to_dict("list")
    found["registered"] = {
        model.name: {
            "aliases": {key: str(value) for key, value in model.aliases.items()},
            "tags": model.tags,
            "versions": {version.version: [version.run_id, version.tags]
                for version in client.search_model_versions(f"name = '{model.name}'")},
        }
        for model in client.search_registered_models()
    }
    if "X" in globals():
        found["champion"] = [int(one) for one in mlflow.pyfunc.load_model("models:/iris@champion").predict(X)[:3]]
    found["filtered"] = [run.info.run_name for run in client.search_runs(
        list(found["experiments"].values()), "metrics.acc_5 > 0.5 and tags.team = 'blue'")]
    print(json.dumps(found))
"""


LOGGED_MODEL = """
    import json, sys
    import mlflow
    from sklearn.datasets import load_iris
    mlflow.set_tracking_uri(sys.argv[1])
    run = mlflow.get_run(sys.argv[2])
    ids = [one.model_id for one in run.outputs.model_outputs]
    X, _ = load_iris(return_X_y=True, as_frame=True)
    predictions = [int(one) for one in mlflow.sklearn.load_model(f"models:/{ids[0]}").predict(X)[:3]]
    print(json.dumps({"outputs": ids, "tags": run.data.tags, "predictions": predictions}))
"""

ALL_THERE = "pushed 4 runs to {}: 4 there already; 1 registered model: 1 there already\n"


def counts(url: str) -> dict[str, int]:
    """Rows of each table of a SQLite file."""
    with sqlite3.connect(url.removeprefix("sqlite:///")) as connection:
        names = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        return {name: connection.execute(f"SELECT count(*) FROM {name}").fetchone()[0] for name in names}


def test_mlflow_shows_all_that_was_pushed(
    recorded: Path, tmp_path: Path, command: Callable[..., Any], run_mlflow: Callable[..., Any]
) -> None:
    """A file that no MLflow has seen opens in a real one, with every run whole; to push again changes nothing."""
    url = f"sqlite:///{tmp_path / 'deep' / 'runs.db'}"
    push = ("push", "--all", "--to", url, "--store", recorded)
    assert command(*push) == (f"pushed 4 runs to {url}: 4 new; 1 registered model: 1 new\n", "", 0)
    before = counts(url)
    assert command(*push) == (ALL_THERE.format(url), "", 0)
    assert counts(url) == before

    shown = run_mlflow(READ, url)  # it brings the tables up to date first
    client = Client(recorded)
    ours = {run.info.run_name: run for run in client.search_runs()}
    assert set(shown["experiments"]) == {"Default", "by hand"}
    assert shown["experiments"]["Default"] == "0"
    assert set(shown["runs"]) == set(ours) == {"GridSearchCV", "LogisticRegression", "parent", "child"}
    for name, run in ours.items():
        there = shown["runs"][name]
        assert there["run_id"] == run.info.run_id
        assert (there["status"], there["times"]) == (run.info.status, [run.info.start_time, run.info.end_time])
        assert there["tags"].items() >= {"mlflow.runName": name, "autotrack.run_id": run.info.run_id}.items()

    search = shown["runs"]["GridSearchCV"]
    assert search["params"] == ours["GridSearchCV"].data.params
    assert "figures/training_confusion_matrix.json" in search["paths"]
    assert search["inputs"][0][2]["mlflow_colspec"][0] == {
        "type": "double", "name": "sepal length (cm)", "required": True,
    }  # fmt: skip
    assert search["predictions"] == [[0, 0, 0]]
    assert shown["trials"]["params.C"] == [0.5, 1.0]
    assert len(shown["trials"]["mean_test_score"]) == 2
    assert shown["runs"]["LogisticRegression"]["status"] == "FAILED"
    assert "InvalidParameterError: The 'C'" in shown["runs"]["LogisticRegression"]["tags"]["autotrack.error"]
    assert shown["runs"]["child"]["tags"]["mlflow.parentRunId"] == ours["parent"].info.run_id
    check_parent(shown["runs"]["parent"], client, ours["parent"].info.run_id)
    assert shown["filtered"] == ["parent"]
    check_registry(shown)
    assert set(shown["registered"]["iris"]["versions"]) == {"1", "3"}

    # MLflow has upgraded the file: what comes new is a logged model of MLflow 3, what is there stays as it is.
    assert counts(url)["logged_models"] == 0
    assert command(*push).out == ALL_THERE.format(url)
    with sqlite3.connect(tmp_path / "deep" / "runs.db") as connection:
        for table in ("params", "tags", "metrics", "latest_metrics", "runs"):
            connection.execute(
                f"DELETE FROM {table} WHERE run_uuid IN (SELECT run_uuid FROM runs WHERE name = 'GridSearchCV')"
            )
    assert "1 new, 3 there already" in command(*push).out
    assert "4 there already" in command(*push).out
    (model,) = ours["GridSearchCV"].outputs.model_outputs
    again = run_mlflow(LOGGED_MODEL, url, search["run_id"])
    assert again == {"outputs": [f"m-{model.model_id}"], "tags": again["tags"], "predictions": [0, 0, 0]}
    assert again["tags"].items() < search["tags"].items()


def check_registry(shown: dict[str, Any]) -> None:
    """The registered model with its two versions, as MLflow has it."""
    model = shown["registered"]["iris"]
    run_id = shown["runs"]["GridSearchCV"]["run_id"]
    first, last = (model["versions"][number] for number in sorted(model["versions"]))
    assert (first[0], last[0]) == (run_id, run_id)
    assert first[1]["checked"] == "yes"
    assert "checked" not in last[1]
    assert model["aliases"] == {"champion": max(model["versions"])}
    assert model["tags"] == {"team": "blue"}
    assert shown["champion"] == [0, 0, 0]


def check_parent(there: dict[str, Any], client: Client, run_id: str) -> None:
    """The run of odd names and values, as MLflow has it."""
    tags = there["tags"]
    renamed = next(key for key in there["metrics"] if key.startswith("acc_5_"))
    assert json.loads(tags["autotrack.renamed_keys"]) == {
        f"metrics.{renamed}": "acc@5", "params.f1_macro_": "f1(macro)", "tags.a_b": "a,b",
    }  # fmt: skip
    history = client.get_metric_history(run_id, "acc@5")
    points = [[point.step, point.timestamp, repr(point.value)] for point in history]
    assert sorted(there["histories"][renamed]) == sorted(points)
    assert there["metrics"]["acc_5"] == "0.75"
    largest = repr(sys.float_info.max)
    assert sorted(value for _, _, value in there["histories"]["odd"]) == sorted(["1.0", "nan", largest, f"-{largest}"])
    assert there["params"] == {"rate": "0.1", "f1_macro_": "None", "long": "x" * 5997 + "..."}
    assert tags["autotrack.clipped"] == "params.long (7000 characters)"
    assert (tags["team"], tags["a_b"], tags["mlflow.note.content"]) == ("blue", "tag", "what for")
    assert there["paths"] == ["notes/hello.txt"]
    assert there["inputs"] == [["rows", "d" * 36, None, {"mlflow.data.context": "eval, train"}]]


@pytest.mark.parametrize("server", ["postgres_url", "mariadb_url"])
def test_mlflow_opens_a_database_on_a_server(
    server: str,
    recorded: Path,
    tmp_path: Path,
    command: Callable[..., Any],
    run_mlflow: Callable[..., Any],
    request: pytest.FixtureRequest,
) -> None:
    """The same on a server: MLflow brings autotrack's tables up to date and reads them, and the next push finds all."""
    url = request.getfixturevalue(server)
    push = ("push", "--all", "--to", url, "--store", recorded, "--artifacts", tmp_path / "files")
    assert "4 new" in command(*push).out
    assert "4 there already" in command(*push).out
    drivers = {"postgresql": "postgresql+psycopg", "mysql": "mysql+pymysql"}
    scheme = url.partition("://")[0]
    # MLflow brings the tables up to date first.
    shown = run_mlflow(READ, url.replace(scheme, drivers[scheme], 1), "without models")
    client = Client(recorded)
    parent = shown["runs"]["parent"]
    check_parent(parent, client, parent["run_id"])
    assert "model/MLmodel" in shown["runs"]["GridSearchCV"]["paths"]
    assert shown["registered"]["iris"]["aliases"] == {"champion": "3"}
    assert command(*push).out.endswith("4 there already; 1 registered model: 1 there already\n")

    pull = ("pull", "--from", url, "--store", tmp_path / "back")
    assert "4 new; 1 registered model: 1 new" in command(*pull).out
    assert "4 there already; 1 registered model: 1 there already" in command(*pull).out
    back = Client(tmp_path / "back")
    assert back.get_run(parent["run_id"]).data.params["f1(macro)"] == "None"
    assert len(back.get_metric_history(parent["run_id"], "acc@5")) == 1200
    assert back.get_model_version_by_alias("iris", "champion").version == "3"


def test_a_database_of_mlflow_2_0_gets_what_it_has_tables_for(
    recorded: Path, tmp_path: Path, command: Callable[..., Any]
) -> None:
    """Without tables for datasets and aliases all else is carried, and a word says so."""
    engine = sqlalchemy.create_engine(f"sqlite:///{tmp_path / 'old.db'}")
    later = {"datasets", "inputs", "input_tags", "registered_model_aliases"}
    tables.metadata.create_all(engine, [one for one in tables.metadata.sorted_tables if one.name not in later])
    with engine.begin() as connection:
        connection.execute(tables.alembic_version.insert().values(version_num="97727af70f4d"))
    engine.dispose()
    url = f"sqlite:///{tmp_path / 'old.db'}"
    push = ("push", "--all", "--to", url, "--store", recorded)
    first = command(*push)
    assert "4 new; 1 registered model: 1 new" in first.out
    assert "MLflow 2.0's, which has no datasets and aliases" in first.err
    assert command(*push).out == ALL_THERE.format(url)
    assert "4 new; 1 registered model: 1 new" in command("pull", "--from", url, "--store", tmp_path / "back").out
    (run,) = Client(tmp_path / "back").search_runs(filter_string="run_name = 'GridSearchCV'")
    assert run.outputs.model_outputs[0].digest


def test_a_push_that_was_broken_off_is_completed(recorded: Path, tmp_path: Path, command: Callable[..., Any]) -> None:
    """What of a run is missing there is added, once; what was changed there is set right, what was added stays."""
    url = f"sqlite:///{tmp_path / 'runs.db'}"
    push = ("push", "--all", "--to", url, "--store", recorded)
    command(*push)
    whole = counts(url)
    with sqlite3.connect(tmp_path / "runs.db") as connection:
        connection.execute("DELETE FROM metrics WHERE step % 3 = 0")
        connection.execute("DELETE FROM latest_metrics WHERE key = 'odd'")
        connection.execute("DELETE FROM params WHERE key = 'rate'")
        connection.execute("DELETE FROM inputs")
        connection.execute("UPDATE runs SET status = 'RUNNING', end_time = NULL")
        connection.execute("INSERT INTO tags SELECT 'mine', 'kept', run_uuid FROM runs WHERE name = 'child'")
    (file,) = (tmp_path / "mlartifacts").rglob("hello.txt")
    file.unlink()
    assert "4 completed" in command(*push).out
    again = counts(url)
    assert again.pop("tags") == whole.pop("tags") + 1
    # The links to the datasets are new ones, with tags of their own.
    assert again.pop("input_tags") == 2 * whole.pop("input_tags")
    assert again == whole
    assert file.read_text("utf-8") == "hello"
    assert "4 there already" in command(*push).out


def test_which_runs_are_pushed(recorded: Path, tmp_path: Path, command: Callable[..., Any]) -> None:
    """By id, beginning of an id, best metric, experiment or filter; a deleted run is left out."""
    url = f"sqlite:///{tmp_path / 'runs.db'}"

    def push(*words: str) -> Any:
        return command("push", *words, "--to", url, "--store", recorded)

    client = Client(recorded)
    (parent,) = client.search_runs(filter_string="run_name = 'parent'")
    (gone,) = client.search_runs(run_view_type="DELETED_ONLY")
    assert "pushed 1 run to" in push(parent.info.run_id[:12], "best:acc_5").out
    assert "pushed 2 runs" in push("--experiment", "by hand").out
    assert "1 new" in push("--filter", "status = 'FAILED'").out
    assert "1 left out (deleted)" in push(gone.info.run_id).out
    assert push("--filter", "run_name = 'nobody'") == (
        "", f"autotrack: no run in {client.tracking_uri} is what was asked for\n", 1,
    )  # fmt: skip
    assert "or one of --experiment, --filter and --all" in push().err
    assert "or one of --experiment, --filter and --all" in push("@", "--all").err
    assert "no experiment 'nowhere'" in push("--experiment", "nowhere").err


def test_a_bar_on_a_terminal_shows_how_far_it_is(
    recorded: Path, tmp_path: Path, command: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of `push` and of `pull`, on stderr."""

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    stream = Terminal()
    monkeypatch.setattr("sys.stderr", stream)
    url = f"sqlite:///{tmp_path / 'runs.db'}"
    assert command("push", "--all", "--to", url, "--store", recorded).status == 0
    assert command("pull", "--from", url, "--store", tmp_path / "back").status == 0
    assert "pushing:" in stream.getvalue()
    assert "pulling:" in stream.getvalue()


def test_what_is_no_mlflow_database_is_refused_unchanged(
    recorded: Path, tmp_path: Path, command: Callable[..., Any]
) -> None:
    """autotrack's own stores, other programs' databases and unknown revisions: an error that names the remedy."""

    def refusal(url: str) -> str:
        shown = command("push", "--all", "--to", url, "--store", recorded)
        assert shown.status == 1
        assert not shown.out
        return str(shown.err)

    Store.open(tmp_path / "own").dispose()
    assert "a store of autotrack, not of MLflow" in refusal(f"sqlite:///{tmp_path / 'own' / 'autotrack.db'}")
    other = tmp_path / "other.db"
    with sqlite3.connect(other) as connection:
        connection.execute("CREATE TABLE runs (id INTEGER)")
    assert "this is no MLflow database" in refusal(f"sqlite:///{other}")
    newer = tmp_path / "newer.db"
    assert command("push", "--all", "--to", f"sqlite:///{newer}", "--store", recorded).status == 0
    with sqlite3.connect(newer) as connection:
        connection.execute("UPDATE alembic_version SET version_num = 'ffffffffffff'")
        connection.execute("DELETE FROM params")
    message = refusal(f"sqlite:///{newer}")
    assert "revision ffffffffffff, newer than MLflow 3.17" in message
    assert "nothing was changed" in message
    assert counts(f"sqlite:///{newer}")["params"] == 0
    assert "expected http(s)://server, sqlite:///" in refusal("somewhere")
    with sqlite3.connect(newer) as connection:
        connection.execute("UPDATE alembic_version SET version_num = ?", [tables.MADE_AT])
        connection.execute("UPDATE experiments SET lifecycle_stage = 'deleted' WHERE name = 'by hand'")
    assert "experiment 'by hand' is deleted there" in refusal(f"sqlite:///{newer}")


def test_the_tables_are_those_that_mlflow_makes(run_mlflow: Callable[..., Any], tmp_path: Path) -> None:
    """Columns, keys and indices are MLflow's own at that revision, but for two texts that may be longer."""
    run_mlflow(
        """
        import sys
        import sqlalchemy
        from alembic import command
        from mlflow.store.db.utils import _get_alembic_config
        from mlflow.store.tracking.dbmodels.initial_models import Base
        Base.metadata.create_all(sqlalchemy.create_engine(sys.argv[1]))
        command.upgrade(_get_alembic_config(sys.argv[1]), sys.argv[2])
        """,
        f"sqlite:///{tmp_path / 'theirs.db'}",
        tables.MADE_AT,
    )
    engine = sqlalchemy.create_engine(f"sqlite:///{tmp_path / 'ours.db'}")
    tables.metadata.create_all(engine)
    engine.dispose()
    ours, theirs = shape(tmp_path / "ours.db"), shape(tmp_path / "theirs.db")
    for table in ("params", "tags"):
        assert ours[table].pop("value")[0] == "VARCHAR(8000)"
        theirs[table].pop("value")
    assert ours == theirs


def shape(file: Path) -> dict[str, dict[str, Any]]:
    """Type, NOT NULL, default and place in the primary key of each column, and the columns of each index."""
    found: dict[str, dict[str, Any]] = {}
    with sqlite3.connect(file) as connection:
        for (table,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
            found[table] = {row[1]: row[2:] for row in connection.execute(f"PRAGMA table_info({table})")}
            for index in connection.execute(f"PRAGMA index_list({table})").fetchall():
                columns = [row[2] for row in connection.execute(f"PRAGMA index_info({index[1]})")]
                found[table][f"index {columns}"] = index[2]
    return found


def test_infinities_and_not_a_number_have_mlflows_form(
    recorded: Path, tmp_path: Path, command: Callable[..., Any]
) -> None:
    """The row of a NaN is 0 with a mark, the latest value is the one at the highest step."""
    url = f"sqlite:///{tmp_path / 'runs.db'}"
    command("push", "--all", "--to", url, "--store", recorded)
    with sqlite3.connect(tmp_path / "runs.db") as connection:
        rows = connection.execute("SELECT step, value, is_nan FROM metrics WHERE key = 'odd'").fetchall()
        latest = connection.execute("SELECT step, value FROM latest_metrics WHERE key = 'odd'").fetchall()
    assert (3, 0.0, 1) in rows
    assert {(step, math.copysign(1, value)) for step, value, _ in rows if abs(value) > 1e308} == {(3, 1.0), (1, -1.0)}
    assert latest[0][0] == 3


def test_a_store_that_is_locked_says_so(tmp_path: Path) -> None:
    """An error of the target is a `StoreError` with the target's URL."""
    from autotrack.bridge.pushing import open_target

    (tmp_path / "text.db").write_text("this is no database, but a text of some length " * 20, "utf-8")
    with pytest.raises(StoreError, match=r"text\.db: file is not a database"):
        open_target(f"sqlite:///{tmp_path / 'text.db'}")
