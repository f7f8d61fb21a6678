"""Runs with something of everything, and a look at all that a store holds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sqlalchemy import select

from autotrack import events as ev
from autotrack.store import schema
from autotrack.store.reading import Reader
from autotrack.store.replay import Item, write_events
from autotrack.tracking.access import Access

ERROR = ev.ErrorInfo("ValueError", "bad", "Traceback ...", "train.py:3 in main")


def fill(access: Access, run_id: str, experiment: str = "exp", time: int = 1000, status: str = "FAILED") -> None:
    """A run with something of everything: rows, two files, a model."""
    store = access.store
    root = Path(access.location.artifact_root)
    files = {f"{run_id}/a/b.txt": b"hello", f"{run_id}/big.bin": b"\0" * 300_000, f"models/{run_id[:8]}/MLmodel": b"x"}
    files[f"models/{run_id[:8]}/data/w.bin"] = b"weights " + run_id.encode()
    for path, data in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(data)
    digest = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"
    session = f"session-{run_id[:8]}"
    dataset = ev.DatasetInfo("iris", "d1", "code", "src", "{}", '{"rows":150}')
    trial = ev.TrialInfo(0, [ev.Param("C", "0.5", "0.5")], {"test_score": [0.5, "NaN"]}, "NaN", 0.1, 1, 0.01, 0.02)
    items: list[Item] = [
        ev.SessionStarted(session, 1, "host", 7, "me", "train.py", ["a", "b"], "/w", "parent"),
        ev.EnvironmentCaptured(session, "e" * 8, {"python": "3.11"}),
        ev.RunStarted(run_id, session, time, "name", experiment, None, None, "sklearn", "me", "two\nlines"),
        ev.ParamsLogged(run_id, [ev.Param("C", "0.5", "0.5"), ev.Param("long", "x" * 9000)]),
        ev.TagsSet(run_id, {"team": "blue"}),
        ev.CurveLogged(run_id, "loss", [0, 1, 0], [time, time, time + 1], [0.1 + 0.2, "NaN", "-Infinity"]),
        ev.DatasetLogged(run_id, dataset, "train", {"k": "v"}),
        ev.FitLogged(f"fit-{run_id}", session, time, run_id, 1, "search", "GridSearchCV", "fit", "FAILED", 1.5, ERROR),
        ev.FitLogged(f"prep-{run_id}", session, time, None, 1, "preparation", "Scaler", status="FINISHED"),
        ev.TrialsLogged(run_id, [trial], f"fit-{run_id}"),
        ev.ModelLogged(f"m-{run_id}", run_id, "model", time, f"{root}/models/{run_id[:8]}", "model", ["sklearn"], 10),
        ev.ArtifactLogged(run_id, "a/b.txt", 5, digest, time),
        ev.RunEnded(run_id, status, time + 1000, ERROR if status == "FAILED" else None),
    ]
    write_events(store, items)


def records_of(access: Access, run_id: str, experiment: bool = True) -> dict[str, str]:
    """All that a store says about a run, files included; what is the store's own business left out."""
    reader = Reader(access.store)
    record = reader.run(run_id)
    run: dict[str, Any] = record.to_dict()
    names = ("artifact_uri", "experiment_id")
    uri, key = (run["info"].pop(name) for name in names)
    models = [model.pop("uri") for model in run["outputs"]["model_outputs"]]
    parts = {
        "run": run,
        "experiment": reader.experiment(key).name if experiment else "",
        "curves": {name: reader.metric_history(run_id, name) for name in record.data.metrics},
        "trials": reader.trials(run_id),
        "fits": reader.fits(run_id),
        "preparations": reader.preparations(record.info.session_id),
        "artifacts": reader.artifacts(run_id),
        "session": reader.session(record.info.session_id),
        "environment": reader.environment_of_run(run_id),
        "files": files_below(uri),
        "models": [files_below(model) for model in models],
    }
    return {name: repr(part) for name, part in parts.items()}  # NaN is not equal to itself


def files_below(folder: str | Path) -> dict[str, bytes]:
    """Every file below a folder, with its content."""
    place = Path(folder)
    return {
        path.relative_to(place).as_posix(): path.read_bytes() for path in sorted(place.rglob("*")) if path.is_file()
    }


def contents(access: Access) -> dict[str, list[str]]:
    """Every row of every table."""
    with access.store.reading() as connection:
        return {
            name: sorted(repr(tuple(row)) for row in connection.execute(select(table)))
            for name, table in schema.metadata.tables.items()
        }
