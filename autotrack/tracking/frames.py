"""Runs as a pandas DataFrame, with MLflow's column names."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from autotrack.errors import IntegrationNotAvailableError, InvalidArgumentError
from autotrack.records import LoggedModel, Run


def frame_of_runs(runs: Sequence[Run]) -> Any:
    """A DataFrame with one row a run.

    Columns: `run_id`, `experiment_id`, `status`, `artifact_uri`, `start_time`, `end_time` (UTC), then `metrics.<key>`
    (float, NaN where the run has none), `params.<key>`, `tags.<key>` (text, None where the run has none), among them
    `tags.mlflow.runName` and, for children, `tags.mlflow.parentRunId`.

    Raises:
        IntegrationNotAvailableError: pandas is not installed.
    """
    pandas = _pandas("search_runs makes a DataFrame unless output_format='list'")
    columns: dict[str, list[Any]] = {
        name: [getattr(run.info, name) for run in runs]
        for name in ("run_id", "experiment_id", "status", "artifact_uri", "run_name", "start_time", "end_time")
    }
    for name in ("start_time", "end_time"):
        columns[name] = pandas.to_datetime(columns[name], unit="ms", utc=True)
    for kind, missing in (("metrics", float("nan")), ("params", None), ("tags", None)):
        tables = [_tags_of(run) if kind == "tags" else getattr(run.data, kind) for run in runs]
        for key in sorted({key for table in tables for key in table}):
            columns[f"{kind}.{key}"] = [table.get(key, missing) for table in tables]
    return pandas.DataFrame(columns)


def _tags_of(run: Run) -> dict[str, str]:
    """A run's tags, with those that MLflow keeps what autotrack has in fields of its own in."""
    parent = {} if run.info.parent_run_id is None else {"mlflow.parentRunId": run.info.parent_run_id}
    return {"mlflow.runName": run.info.run_name, **parent, **run.data.tags}


def frame_of_models(models: Sequence[LoggedModel]) -> Any:
    """A DataFrame with one row a logged model, one column a field.

    Raises:
        IntegrationNotAvailableError: pandas is not installed.
    """
    pandas = _pandas("search_logged_models makes a DataFrame unless output_format='list'")
    names = ("model_id", "name", "source_run_id", "artifact_location", "model_type", "creation_time", "step")
    more = ("flavors", "size", "digest", "tags", "params", "metrics", "metadata")
    frame = pandas.DataFrame({name: [getattr(model, name) for model in models] for name in (*names, *more)})
    frame["creation_time"] = pandas.to_datetime(frame["creation_time"], unit="ms", utc=True)
    return frame


def frame_of_tables(tables: Sequence[tuple[Run, Any]], extra_columns: Sequence[str]) -> Any:
    """Stored tables, one below the other, as a DataFrame.

    Args:
        tables: Runs, and what each has stored: `{"columns": [...], "data": [[...], ...]}`.
        extra_columns: What to add of each table's run: a field of `RunInfo`, `metrics.x`, `params.y` or `tags.z`.

    Raises:
        InvalidArgumentError: What is stored is no table, or a column names nothing of a run.
        IntegrationNotAvailableError: pandas is not installed.
    """
    pandas = _pandas("load_table makes a DataFrame")
    frames = []
    for run, table in tables:
        try:
            frame = pandas.DataFrame(table["data"], columns=table["columns"])
        except (KeyError, TypeError, ValueError):
            raise InvalidArgumentError("artifact_file", f"a file of run {run.info.run_id}", "a table") from None
        for name in extra_columns:
            frame[name] = [_column_of(run, name)] * len(frame)
        frames.append(frame)
    return pandas.concat(frames, ignore_index=True)


def _column_of(run: Run, name: str) -> Any:
    kind, _, key = name.partition(".")
    if key and kind in ("metrics", "params", "tags"):
        return getattr(run.data, kind).get(key)
    if name not in run.info.__struct_fields__:
        raise InvalidArgumentError("extra_columns", name, "run_id, run_name, metrics.x, params.y, tags.z, ...")
    return getattr(run.info, name)


def _pandas(why: str) -> Any:
    try:
        import pandas
    except ImportError:
        raise IntegrationNotAvailableError("pandas", why, "pip install pandas") from None
    return pandas
