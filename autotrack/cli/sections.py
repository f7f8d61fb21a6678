"""The sections of `autotrack show`: records into lines. Each is empty where the run has nothing of the kind."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterable, Sequence
from typing import Any

from autotrack import records
from autotrack.cli import terminal
from autotrack.events import DatasetInfo, ErrorInfo
from autotrack.tracking import cost

BEST_TRIALS = 10
"""Trials that are shown."""

MAX_FILES = 50
MAX_SOURCES = 10
MAX_CELL = 32


def head(run: records.Run, experiment: records.Experiment, now: int) -> list[str]:
    """The run itself."""
    info = run.info
    end = info.end_time or (now if info.status == "RUNNING" else None)
    length = terminal.duration((end - info.start_time) / 1000) if end is not None else ""
    return terminal.pairs(
        (
            ("run", info.run_id),
            ("name", info.run_name),
            ("experiment", experiment.name),
            ("status", info.status + (", deleted" if info.lifecycle_stage == "deleted" else "")),
            ("degraded", info.degraded),
            ("started", f"{terminal.moment(info.start_time)} ({terminal.age(info.start_time, now)})"),
            ("duration", length),
            ("recorded by", info.source),
            ("user", info.user_id),
            ("parent run", info.parent_run_id),
            ("description", info.description),
            ("artifacts", info.artifact_uri),
        ),
        indent=0,
    )


def error(found: ErrorInfo | None) -> list[str]:
    """Why a run failed: type and message, the user's line, the traceback."""
    if found is None:
        return []
    first = f"{found.type}: {found.message}" if found.message else found.type
    where = [f"at {found.frame}"] if found.frame else []
    text = "\n".join([first, *where, *([found.traceback.rstrip()] if found.traceback else [])])
    return _block(text)


def _block(text: str) -> list[str]:
    return [f"  {terminal.printable(line, keep=chr(9))}" for line in text.split("\n")]


def params(data: records.RunData, width: int) -> list[str]:
    """Parameters by name, a line each; `--json` has those whole that are longer than a line."""
    wide = max(map(len, data.params), default=0)
    limit = max(20, width - wide - 4)
    return terminal.pairs((key, terminal.clip(data.params[key], limit)) for key in sorted(data.params))


def metrics(data: records.RunData) -> list[str]:
    """Last, lowest and highest value of each curve, with their steps."""
    rows: list[tuple[str, ...]] = []
    for key in sorted(data.series):
        one = data.series[key]
        if one.count == 1:
            rows.append((key, terminal.number(one.last), "", "", ""))
            continue
        values = (one.last, one.min, one.max)
        steps = (one.last_step, one.min_step, one.max_step)
        cells = [f"{terminal.number(value)} @{step}" for value, step in zip(values, steps, strict=True)]
        rows.append((key, *cells, str(one.count)))
    return _table(("name", "last @step", "min", "max", "points"), rows, right=(1, 2, 3, 4))


def tags(data: records.RunData) -> list[str]:
    """Tags by name, but for those that `autotrack explain` puts into words."""
    told = (cost.COST_TAG, cost.SKIPPED_TAG)
    return terminal.pairs(sorted(item for item in data.tags.items() if not item[0].startswith(told)))


def _table(titles: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[int] = ()) -> list[str]:
    """An indented table without its empty columns; empty without rows."""
    kept = [index for index in range(len(titles)) if any(row[index] for row in rows)]
    cells = [[row[index] for index in kept] for row in rows]
    heads = [titles[index] for index in kept]
    return [f"  {line}" for line in terminal.table(heads, cells, [index in right for index in kept])] if kept else []


def datasets(inputs: records.RunInputs) -> list[str]:
    """What went in: name, what for, shape, source, digest."""
    rows = [
        (
            terminal.clip(item.dataset.name, MAX_CELL),
            item.context,
            _shape(item.dataset.profile),
            "" if _sources(item.dataset) else terminal.clip(item.dataset.source or item.dataset.source_type, 60),
            item.dataset.digest,
        )
        for item in inputs.dataset_inputs
    ]
    sources = dict.fromkeys(line for item in inputs.dataset_inputs for line in _sources(item.dataset))
    return _table(("name", "context", "shape", "source", "digest"), rows) + [f"  {line}" for line in sources]


def _sources(dataset: DatasetInfo) -> list[str]:
    """What a dataset was read from: `X: train.csv, sha256 5891b5b522d5, rows 800 of 1000`."""
    profile = _json(dataset.profile)
    sources = profile.get("sources") if isinstance(profile, dict) else None
    found = [one for one in sources if isinstance(one, dict)] if isinstance(sources, list) else []
    lines = [f"{dataset.name}: {_source(one, profile, len(found) == 1)}" for one in found[:MAX_SOURCES]]
    more = profile.get("more_sources") if found else None
    left_out = max(0, len(found) - MAX_SOURCES) + (more if isinstance(more, int) else 0)
    if left_out:
        lines.append(f"{dataset.name}: and {left_out} more")
    return [terminal.printable(line) for line in lines]


def _source(source: dict[str, Any], profile: dict[str, Any], only: bool) -> str:
    said = [terminal.clip(str(source.get("name", "")), 60)]
    if "sha256" in source:
        said.append(f"sha256 {str(source['sha256'])[:12]}")
    elif "not_hashed" in source:
        said.append(str(source["not_hashed"]))
    used, read = profile.get("rows"), profile.get("rows_read") if only else source.get("rows")
    if only and read is not None:
        said.append(f"rows {used} of {read}")
    elif read is not None:
        said.append(f"{read} rows read")
    if "offset" in source:
        said.append(f"from row {source['offset']} on")
    return ", ".join(said)


def _shape(profile: str) -> str:
    content = _json(profile)
    shape = content.get("shape") if isinstance(content, dict) else None
    return " x ".join(map(str, shape)) if isinstance(shape, list) else ""


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return None


def fits(found: Iterable[records.Fit]) -> list[str]:
    """Training calls: what was called, how it went, how long it took, from where."""
    rows = [
        (
            str(fit.number) if fit.run_id else "",
            f"{fit.estimator.rpartition('.')[2]}.{fit.method}" if fit.estimator else fit.method,
            fit.kind,
            fit.status,
            terminal.duration(fit.duration) if fit.duration is not None else "",
            fit.caller,
        )
        for fit in found
    ]
    return _table(("fit", "call", "kind", "status", "duration", "called from"), rows, right=(0, 4))


def trials_title(found: Sequence[records.Trial]) -> str:
    """Says whether all are shown."""
    return f"Trials (best {BEST_TRIALS} of {len(found)})" if len(found) > BEST_TRIALS else "Trials"


def trials(found: Sequence[records.Trial]) -> list[str]:
    """The best first: number, what was varied, and how it did. Without ranks (folds) in their order."""
    ordered = sorted(found, key=lambda trial: (trial.rank is None, trial.rank or 0, trial.number))
    keys = list(dict.fromkeys(key for trial in found for key in trial.params))
    varied = [key for key in keys if len({repr(trial.params.get(key)) for trial in found}) > 1] or keys
    rows = [
        (
            str(trial.number),
            "" if trial.rank is None else str(trial.rank),
            *(terminal.clip(str(trial.params.get(key, "")), MAX_CELL) for key in varied),
            _number(trial.mean),
            _number(trial.std),
            *_scores(trial),
            _reported(trial),
            terminal.clip(" ".join(f"{key}={value}" for key, value in trial.attributes.items()), MAX_CELL),
            "" if trial.fit_time is None else terminal.duration(trial.fit_time),
            "" if trial.state == "COMPLETE" else trial.state,
        )
        for trial in ordered[:BEST_TRIALS]
    ]
    titles = ("trial", "rank", *varied, "mean", "std", "scores", "reported", "attributes", "fit time", "state")
    last = len(titles)
    return _table(titles, rows, right=(0, 1, last - 7, last - 6, last - 2))


def _reported(trial: records.Trial) -> str:
    """How many values a trial reported on the way, and the last one."""
    if not trial.intermediate:
        return ""
    step = max(trial.intermediate)
    return f"{len(trial.intermediate)}, last {terminal.number(trial.intermediate[step])} at {step}"


def _scores(trial: records.Trial) -> tuple[str]:
    """Scores by name, where no mean stands for them."""
    if trial.mean is not None:
        return ("",)
    shown = (f"{key}={','.join(map(terminal.number, values))}" for key, values in sorted(trial.scores.items()))
    return (terminal.clip(" ".join(shown), 60),)


def _number(value: float | None) -> str:
    return "" if value is None else terminal.number(value)


def models(run: records.Run) -> list[str]:
    """Models, each with the URI and the line that loads it."""
    text = []
    for model in run.outputs.model_outputs:
        uri = f"runs:/{run.info.run_id}/{model.path or model.name}"
        kinds = ", ".join(flavor for flavor in model.flavors if flavor != "python_function")
        about = f"{model.name} ({kinds}, {terminal.size(model.size)})" if kinds else model.name
        text += [f"  {terminal.printable(about)}", f"    {uri}", f"    autotrack.load_model({uri!r})"]
    return text


def artifacts(found: Sequence[records.FileInfo]) -> list[str]:
    """Files, with their sizes."""
    rows = [(file.path, terminal.size(file.file_size or 0)) for file in found[:MAX_FILES]]
    rest = [f"  and {len(found) - MAX_FILES} more"] if len(found) > MAX_FILES else []
    return terminal.pairs(rows) + rest


def session(found: records.Session) -> list[str]:
    """The process that recorded the run."""
    return terminal.pairs(
        (
            ("command", shlex.join(found.argv)),
            ("folder", found.cwd),
            ("host", found.host),
            ("process", found.pid or None),
            ("session", found.session_id),
            ("started by", found.parent_session_id),
        )
    )


def environment(found: records.Environment | None) -> list[str]:
    """What it ran in, in short; `--json` has all of it."""
    if found is None:
        return []
    content = found.content
    return terminal.pairs(
        (
            ("python", _at(content, "python", "version").partition(" ")[0]),
            ("system", " ".join(filter(None, (_at(content, "os", "system"), _at(content, "os", "release"))))),
            ("processors", _at(content, "cpu", "count")),
            ("graphics", ", ".join(str(_name_of(gpu)) for gpu in content.get("gpus") or ())),
            ("git", _git(content.get("git"))),
            ("packages", f"{len(content.get('packages') or ())} recorded"),
        )
    )


def _at(content: dict[str, Any], *path: str) -> str:
    value: Any = content
    for key in path:
        value = value.get(key) if isinstance(value, dict) else None
    return "" if value is None else str(value)


def _name_of(gpu: Any) -> Any:
    return gpu.get("name", gpu) if isinstance(gpu, dict) else gpu


def _git(git: Any) -> str:
    if not isinstance(git, dict) or not git.get("commit"):
        return ""
    branch = f" on {git['branch']}" if git.get("branch") else ""
    return f"{git['commit'][:12]}{branch}{', with changes that are not committed' if git.get('dirty') else ''}"
