"""A run of ours in MLflow's terms."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

import msgspec

from autotrack import records
from autotrack.bridge.contents import Limits, RunContents
from autotrack.bridge.naming import CLIPPED, RENAMED, clipped, renamed
from autotrack.events import DatasetInfo
from autotrack.store.reading import Reader

TRIALS_FILE = "autotrack/trials.json"
"""Table of the trials among the run's artifacts, of the kind that MLflow shows as a table."""

REPORTED = ("reported", "last_step", "last_value", "intermediate")
"""Columns of that table about what a trial reported on the way."""

MAX_ATTRIBUTES = 100
"""Attributes that have a column."""

RUN_ID = "autotrack.run_id"
"""Tag: the run's id here. Over HTTP, MLflow gives a run an id of its own."""

DATASET_LENGTHS = {"name": 500, "digest": 36, "source_type": 36}

_TYPES = {
    "bool": "boolean", "int8": "integer", "int16": "integer", "int32": "integer", "uint8": "integer",
    "uint16": "integer", "int64": "long", "uint32": "long", "float16": "float", "float32": "float", "float64": "double",
}  # fmt: skip
"""MLflow's name of a column type by numpy's."""


def gather(reader: Reader, run_id: str, limits: Limits) -> RunContents:
    """All about a run, as the target takes it.

    Raises:
        NotFoundError: There is no such run.
    """
    run = reader.run(run_id)
    trials = reader.trials(run_id)
    contents = RunContents(
        run_id=run_id,
        experiment=reader.experiment(run.info.experiment_id).name,
        name=run.info.run_name,
        status=run.info.status,
        start_time=run.info.start_time,
        end_time=run.info.end_time,
        user=run.info.user_id,
        lifecycle=run.info.lifecycle_stage,
        inputs=merged_inputs(run.inputs.dataset_inputs),
        models=run.outputs.model_outputs,
        artifact_uri=run.info.artifact_uri,
    )
    tags = _tags(run)
    if run.info.session_id:
        session = reader.session(run.info.session_id)
        contents.source_name = session.program
        environment = reader.environment_of_run(run_id)
        git = (environment.content.get("git") if environment is not None else None) or {}
        contents.source_version = str(git.get("commit") or "")
        tags |= _source_tags(session.program, git)
    if trials:
        contents.files[TRIALS_FILE] = table_of_trials(trials)
        tags["mlflow.loggedArtifacts"] = _with_table(tags.get("mlflow.loggedArtifacts", ""), TRIALS_FILE)
    histories = {key: reader.metric_history(run_id, key) for key in run.data.series}
    _fit_in(contents, run.data.params, tags, histories, limits)
    return contents


def _tags(run: records.Run) -> dict[str, str]:
    info = run.info
    said = {
        RUN_ID: info.run_id,
        "mlflow.runName": info.run_name,
        "mlflow.user": info.user_id,
        "mlflow.parentRunId": info.parent_run_id or "",
        "mlflow.note.content": info.description,
        "autotrack.source": info.source,
        "autotrack.degraded": info.degraded,
        "autotrack.error": f"{info.error.type}: {info.error.message}" if info.error else "",
    }
    return run.data.tags | {key: value for key, value in said.items() if value}


def _source_tags(program: str, git: Mapping[str, Any]) -> dict[str, str]:
    said = {
        "mlflow.source.name": program,
        "mlflow.source.type": "LOCAL",
        "mlflow.source.git.commit": git.get("commit"),
        "mlflow.source.git.branch": git.get("branch"),
        "mlflow.source.git.repoURL": git.get("remote"),
    }
    return {key: str(value) for key, value in said.items() if value}


def _fit_in(
    contents: RunContents,
    params: Mapping[str, str],
    tags: Mapping[str, str],
    curves: Mapping[str, list[records.Metric]],
    limits: Limits,
) -> None:
    """Keys and values within the target's limits; tags say what was changed."""
    short: list[str] = []
    changed: dict[str, str] = {}
    for kind, values in (("metrics", curves), ("params", params), ("tags", tags)):
        names = renamed(values, limits.key, limits.fold_case)
        changed |= {f"{kind}.{new}": old for old, new in names.items() if old != new}
        if kind == "metrics":
            contents.curves = {names[key]: points for key, points in curves.items()}
            continue
        limit = limits.param if kind == "params" else limits.tag
        texts: dict[str, str] = {}
        for key, text in (params if kind == "params" else tags).items():
            texts[names[key]] = clipped(text, limit)
            if len(text) > limit:
                short.append(f"{kind}.{names[key]} ({len(text)} characters)")
        setattr(contents, kind, texts)
    if short:
        contents.tags[CLIPPED] = clipped(", ".join(short), limits.tag)
    if changed:
        contents.tags[RENAMED] = clipped(json.dumps(changed, ensure_ascii=False), limits.tag)


def merged_inputs(inputs: list[records.DatasetInput]) -> list[records.DatasetInput]:
    """One input for each dataset, as MLflow has it: what it was used for stands in one tag."""
    found: dict[tuple[str, str], records.DatasetInput] = {}
    for one in inputs:
        dataset = _dataset(one.dataset)
        place = (dataset.name, dataset.digest)
        before = found.get(place)
        contexts = [*(before.context.split(", ") if before and before.context else []), one.context]
        context = ", ".join(dict.fromkeys(filter(None, contexts)))
        tags = {**(before.tags if before else {}), **one.tags}
        found[place] = records.DatasetInput(before.dataset if before else dataset, context, tags)
    return list(found.values())


def _dataset(dataset: DatasetInfo) -> DatasetInfo:
    cut = {name: getattr(dataset, name)[:length] for name, length in DATASET_LENGTHS.items()}
    return msgspec.structs.replace(
        dataset,
        **cut,
        source=dataset.source if _json(dataset.source) is not None else json.dumps({"uri": dataset.source}),
        schema=_schema(dataset.schema),
        profile=_profile(dataset.profile),
    )


def _json(text: str) -> Any:
    try:
        found = json.loads(text)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def _schema(text: str) -> str:
    """Columns and their types as MLflow lists them."""
    schema = _json(text)
    if schema is None or not isinstance(schema.get("columns"), dict):
        return text
    columns = [
        {"type": _TYPES.get(str(kind), "datetime" if str(kind).startswith("datetime") else "string"), "name": name}
        for name, kind in schema["columns"].items()
    ]
    return json.dumps({"mlflow_colspec": [{**column, "required": True} for column in columns]})


def _profile(text: str) -> str:
    profile = _json(text)
    if profile is None or "num_rows" in profile or not isinstance(profile.get("rows"), int):
        return text
    return json.dumps({"num_rows": profile["rows"], **profile})


def table_of_trials(trials: list[records.Trial]) -> bytes:
    """Trials as MLflow's table artifact: JSON of columns and rows; means over the folds, NaN as null.

    What a trial reported on the way is how often, the last step and value, and all of it as JSON.
    """
    params = list(dict.fromkeys(key for trial in trials for key in trial.params))
    scores = list(dict.fromkeys(key for trial in trials for key in trial.scores))
    attributes = list(dict.fromkeys(key for trial in trials for key in trial.attributes))[:MAX_ATTRIBUTES]
    columns = ["number", "state", "rank", "mean", "std", *(f"params.{key}" for key in params)]
    columns += [*(f"mean_{key}" for key in scores), *(f"folds.{key}" for key in scores)]
    reported = any(trial.intermediate for trial in trials)
    columns += [*(REPORTED if reported else ()), *(f"attributes.{key}" for key in attributes), "fit_time", "error"]
    rows = []
    for trial in trials:
        row = [trial.number, trial.state, trial.rank, trial.mean, trial.std]
        row += [trial.params.get(key) for key in params]
        row += [_mean(trial.scores.get(key, [])) for key in scores]
        row += [trial.scores.get(key) for key in scores]
        row += _reported(trial) if reported else []
        row += [trial.attributes.get(key) for key in attributes]
        rows.append(_finite([*row, trial.fit_time, trial.error]))
    return json.dumps({"columns": columns, "data": rows}, ensure_ascii=False).encode()


def _reported(trial: records.Trial) -> list[Any]:
    steps = sorted(trial.intermediate)
    last = steps[-1] if steps else None
    values = {step: _finite(trial.intermediate[step]) for step in steps}
    return [len(steps), last, None if last is None else values[last], values or None]


def _mean(values: list[float]) -> float | None:
    return sum(values) / len(values) if values else None


def _finite(value: Any) -> Any:
    if isinstance(value, list):
        return [_finite(item) for item in value]
    if isinstance(value, dict):
        return json.dumps(value, default=str)
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _with_table(text: str, path: str) -> str:
    """MLflow's tag that lists table artifacts, with one more."""
    try:
        listed = json.loads(text or "[]")
    except ValueError:
        listed = []
    entry = {"path": path, "type": "table"}
    return json.dumps([*(one for one in listed if one != entry), entry])
