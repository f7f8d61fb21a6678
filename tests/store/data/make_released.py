"""Write down a store as one release made it: its tables on each engine, rows in them, and what its reader made of them.

    PYTHONPATH=<checkout of the release> python make_released.py released_0001.json.gz

This was run once, with the code of the release; the tests upgrade what came out. Never run it again for a revision that
is out; for a new one, add its rows.
"""

from __future__ import annotations

import gzip
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from sqlalchemy import create_mock_engine, select

from autotrack import events as ev
from autotrack.store import schema, writing
from autotrack.store.engine import Store
from autotrack.store.reading import Reader
from autotrack.store.writing import Writer

URLS = {"sqlite": "sqlite://", "postgresql": "postgresql+psycopg://h/d", "mysql": "mariadb+pymysql://h/d"}
A, B, C, D = ("a" * 32, "b" * 32, "c" * 32, "d" * 32)
LONG = "x" * 7_000 + "ü€😀"
ODD = ["acc@5", "f1(macro)", "Key", "key", "kéy", "損失", "k😀", "it's", 'say "so"', "50%", "k" * 600]


def statements(name: str) -> list[str]:
    """What makes the tables on an engine."""
    made: list[str] = []
    engine = create_mock_engine(URLS[name], lambda sql, *_, **__: made.append(str(sql.compile(dialect=engine.dialect))))
    schema.metadata.create_all(engine, checkfirst=False)
    return made


def fill(store: Store) -> None:
    """Runs of every kind, with all that a run can have."""
    team = writing.create_experiment(store, "Team ü", "s3://bucket/x", {"note": LONG, "key": "v"})
    gone = writing.create_experiment(store, "gone")
    with store.transaction() as connection:
        write = Writer(store).apply
        write(connection, [*session_events(), *rich_run(), *other_runs(team, gone)], "journal-1")
        opened = ev.JournalOpened(1, "journal-1", "s1", store.safe_url, "host", "boot", 42, 7, 1_000)
        writing.advance_journal(connection, opened, 0, 12_345, 5_000, None)
        for table, row in registry_rows():
            connection.execute(table.insert(), [row])
    writing.delete_run(store, C)
    writing.delete_experiment(store, gone)


def session_events() -> list[ev.Event]:
    """A session in an environment."""
    environment = {"python": "3.11", "packages": {"numpy": "2.0"}, "git": {"commit": "f" * 40, "diff": LONG}}
    return [
        ev.SessionStarted("s1", 1_000, "host", 42, "ann", "train.py", ["train.py", "--é"], "/home/ann"),
        ev.SessionStarted("s2", 1_100, parent_session_id="s1"),
        ev.EnvironmentCaptured("s1", "e" * 64, environment),
    ]


def rich_run() -> list[ev.Event]:
    """A run with everything."""
    signature = json.dumps({"inputs": []})
    trial = ev.TrialInfo(0, [ev.Param("C", "1.0", "1.0")], {"test_score": [0.5, "NaN"]}, 0.5, 0.1, 1, 0.01)
    return [
        ev.RunStarted(A, "s1", 2_000, "rich", source="sklearn", user="ann", description="all of it"),
        ev.ParamsLogged(A, [ev.Param(key, f"{n}", f"{n}") for n, key in enumerate(ODD)]),
        ev.ParamsLogged(A, [ev.Param("long", LONG, json.dumps(LONG)), ev.Param("none", "None", "null")]),
        ev.ParamsLogged(
            A, [ev.Param("gap", "nan", "NaN"), ev.Param("text", "<object>"), ev.Param("yes", "True", "true")]
        ),
        ev.TagsSet(A, {**{key: key for key in ODD}, "long": LONG}),
        *(ev.MetricLogged(A, key, n / 7, 2_000 + n, n) for n, key in enumerate(ODD)),
        ev.CurveLogged(A, "loss", [0, 1, 2, 3, 3], [1, 2, 3, 4, 5], [3.5, "NaN", "Infinity", "-Infinity", 0.1]),
        ev.MetricLogged(A, "only nan", "NaN", 2_500, -3),
        ev.DatasetLogged(
            A, ev.DatasetInfo("iris", "d1", "csv", "iris.csv", "{}", '{"rows": 150}'), "train", {"k": "v"}
        ),
        ev.DatasetLogged(A, ev.DatasetInfo("iris", "d2"), "eval"),
        ev.FitLogged("f1", "s1", 2_010, A, 1, "search", "sklearn.GridSearchCV", "fit", "FINISHED", 1.5, None, "t.py:3"),
        ev.FitLogged("f0", "s1", 1_500, None, 1, "preparation", "sklearn.StandardScaler", status="FINISHED"),
        ev.TrialsLogged(A, [trial, ev.TrialInfo(1, state="FAILED", error="ValueError")], "f1"),
        ev.ModelLogged(
            "m1", A, "model", 2_600, "/models/m1", "model", ["sklearn"], 99, "9" * 64, signature, "clf", {"k": 1}
        ),
        ev.ArtifactLogged(A, "plots/é.png", 12, "8" * 64, 2_700),
        ev.RunDegraded(A, "the disk was full"),
        ev.RunEnded(A, "FINISHED", 3_000),
    ]


def other_runs(team: str, gone: str) -> list[ev.Event]:
    """A failed child, a deleted run, and one that is still open."""
    error = ev.ErrorInfo("ValueError", "no", "Traceback ...", "t.py:5 in f")
    return [
        ev.RunStarted(B, "s2", 2_100, "child", experiment_id=team, parent_run_id=A),
        ev.MetricLogged(B, "loss", 2.5, 2_200),
        ev.FitLogged("f2", "s2", 2_150, B, status="FAILED", error=error),
        ev.RunEnded(B, "FAILED", 2_300, error),
        ev.RunStarted(C, "s1", 2_400, "deleted", experiment_id=gone),
        ev.ParamsLogged(C, [ev.Param("C", "0.5", "0.5")]),
        ev.RunStarted(D, "s1", 2_500, "open", experiment_id=team),
    ]


def registry_rows() -> list[tuple[Any, dict[str, Any]]]:
    """A registered model; this release had the tables alone."""
    times = {"creation_time": 4_000, "last_update_time": 4_100}
    version = {"model": 1, "version": 3, "source": "runs:/a/model", "run_id": A, "model_id": "m1", "status": "READY"}
    return [
        (schema.registered_models, {"id": 1, "name": "Wein", "description": "ü", **times}),
        (schema.registered_model_tags, {"model": 1, "key": "k", "value": "v"}),
        (schema.model_versions, {"id": 1, **version, "description": "", "user_id": "ann", **times}),
        (schema.model_version_tags, {"version": 1, "key": "k", "value": "v"}),
        (schema.registered_model_aliases, {"model": 1, "alias": "champion", "version": 3}),
    ]


def readings(store: Store) -> dict[str, Any]:
    """What this code's reader makes of a store, as plain data; the store's own folder is `{root}`."""
    reader = Reader(store)
    found = {
        "runs": [reader.run(run_id).to_dict() for run_id in (A, B, C, D)],
        "models": [model.to_dict() for model in reader.models(A)],
        "artifacts": [file.to_dict() for file in reader.artifacts(A)],
        "histories": {key: [m.to_dict() for m in reader.metric_history(A, key)] for key in ("loss", "only nan", *ODD)},
        "trials": [trial.to_dict() for trial in reader.trials(A)],
        "fits": {run_id: [fit.to_dict() for fit in reader.fits(run_id)] for run_id in (A, B)},
        "preparations": [fit.to_dict() for fit in reader.preparations("s1")],
        "sessions": [reader.session(name).to_dict() for name in ("s1", "s2")],
        "environment": reader.environment_of_run(A).to_dict(),  # type: ignore[union-attr]
        "experiments": [one.to_dict() for one in reader.search_experiments("ALL", order_by=["name"])],
        "journals": [journal.to_dict() for journal in reader.journals()],
        "found": [run.info.run_id for run in reader.search_runs(None, "metrics.min.loss = -inf and params.key = 3")],
    }
    root = json.dumps(store.location.artifact_root)[1:-1]
    plain: dict[str, Any] = json.loads(json.dumps(found).replace(root, "{root}"))
    return plain


def main(target: Path) -> None:
    """Make the store, and write it down."""
    with tempfile.TemporaryDirectory() as folder:
        store = Store.open(folder)
        fill(store)
        with store.reading() as connection:
            tables = schema.metadata.sorted_tables
            rows = {table.name: [dict(row._mapping) for row in connection.execute(select(table))] for table in tables}
        content = {
            "tables": {name: statements(name) for name in URLS},
            "rows": rows,
            "readings": readings(store),
        }
    target.write_bytes(gzip.compress(json.dumps(content, indent=1).encode(), mtime=0))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
