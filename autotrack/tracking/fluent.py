"""The fluent API: what `autotrack.log_metric()`, `autotrack.set_tag()` and their like do in the active run.

Names and arguments are MLflow's where the two mean the same. Logging without an active run opens one, which lasts until
`end_run()` or the end of the process. `start_run()` and its like are in `current_run.py`, `set_experiment()` and
`set_tracking_uri()` in `current_experiment.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from time import perf_counter
from typing import Any

from autotrack import clock
from autotrack.client import Client
from autotrack.events import Param
from autotrack.tracking import recorders
from autotrack.tracking.current_run import client_of, writer_for
from autotrack.tracking.datasets import dataset_of
from autotrack.tracking.model_calls import note_metrics
from autotrack.tracking.run import MAX_STEP
from autotrack.tracking.scope import explicit_run
from autotrack.tracking.values import (
    checked_int,
    checked_key,
    checked_mapping,
    checked_name,
    checked_number,
    checked_tags,
    explicit_param,
)

MAX_KNOWN = 10_000

_known_keys: dict[str, str] = {}
"""Keys that have been checked, as they are written."""


def log_metric(
    key: str,
    value: Any,
    step: int | None = None,
    synchronous: bool | None = None,
    timestamp: int | None = None,
    run_id: str | None = None,
    model_id: str | None = None,
    dataset: Any = None,
) -> None:
    """Log one point of a metric.

    Args:
        key: The metric, for example `val_loss`.
        value: A number of any numeric type; NaN and infinities are kept as such. A tensor on an accelerator is not
            waited for.
        step: Where on the curve; one behind the key's last by default. Steps may go backwards.
        synchronous: True waits until it is in the database.
        timestamp: Milliseconds since the epoch; now by default.
        run_id: Another run than the active one.
        model_id: A logged model that the metric says something of, too.
        dataset: What the metric was measured on (see `log_input`); it becomes an input of the run.

    Raises:
        InvalidArgumentError: An argument is not usable; nothing is logged then.
        RunEndedError: The run has ended.
        NotFoundError: There is no run or model of that id.
    """
    if model_id is not None or dataset is not None:
        log_metrics({checked_name(key): value}, step, synchronous, run_id, timestamp, model_id, dataset)
        return
    try:
        key = _known_keys[key]
    except (KeyError, TypeError):  # TypeError: it cannot be looked up at all
        key = _learn(key)
    if step is not None and (type(step) is not int or not -MAX_STEP <= step <= MAX_STEP):
        step = checked_int(step, "step")
    if timestamp is not None:
        timestamp = checked_int(timestamp, "timestamp")
    if type(value) is float:
        run = explicit_run() if run_id is None else None
        if run is None or run.status != "RUNNING":
            run = writer_for(run_id)
        timed = run.cost.logging
        timed.count += 1
        if timed.count < timed.due:
            run.log_metric(key, value, step, timestamp)
        else:
            begun = perf_counter()
            run.log_metric(key, value, step, timestamp)
            timed.took(perf_counter() - begun)
    elif _is_on_accelerator(value):
        writer_for(run_id).log_tensor(key, value, step, timestamp)
    else:
        number = checked_number(value)
        writer_for(run_id).log_metric(key, number, step, timestamp)
    if synchronous:
        flush()


def _wait(synchronous: bool | None) -> None:
    if synchronous:
        flush()


def _learn(key: str) -> str:
    plain = checked_name(key)
    if len(_known_keys) >= MAX_KNOWN:
        _known_keys.clear()
    return _known_keys.setdefault(str.__str__(key), plain)


def _is_on_accelerator(value: Any) -> bool:
    kind = type(value)
    return (
        kind.__module__.partition(".")[0] == "torch"
        and getattr(value, "device", None) is not None
        and (value.device.type != "cpu" and value.numel() == 1)
    )


def log_metrics(
    metrics: Mapping[str, Any],
    step: int | None = None,
    synchronous: bool | None = None,
    run_id: str | None = None,
    timestamp: int | None = None,
    model_id: str | None = None,
    dataset: Any = None,
) -> None:
    """Log points of several metrics at one step. Arguments and errors as for `log_metric`."""
    given = {checked_name(key): value for key, value in checked_mapping(metrics, "metrics").items()}
    tensors = {key: value for key, value in given.items() if _is_on_accelerator(value)}
    numbers = {key: checked_number(value) for key, value in given.items() if key not in tensors}
    where = None if step is None else checked_int(step, "step")
    when = None if timestamp is None else checked_int(timestamp, "timestamp")
    about = None if dataset is None else dataset_of(dataset)
    if model_id is not None:
        Client().require_model(model_id)
    writer = writer_for(run_id)
    writer.log_metrics(numbers, where, when)
    for key, value in tensors.items():
        writer.log_tensor(key, value, where, when)
    if about is not None:
        writer.log_dataset(about)
    if model_id is not None:
        numbers |= {key: checked_number(value) for key, value in tensors.items()}
        described = (about.name, about.digest) if about is not None else ("", "")
        time = clock.now() if when is None else when
        note_metrics(writer, model_id, numbers, time, where or 0, *described)
    _wait(synchronous)


def log_param(key: str, value: Any, synchronous: bool | None = None) -> Any:
    """Log a parameter; its type is kept beside its text. A key that is there already gets the new value.

    Args:
        key: The parameter.
        value: Its value; numbers, text, booleans, None, and lists and dicts of these keep their type.
        synchronous: True waits until it is in the database.

    Returns:
        The value.

    Raises:
        InvalidArgumentError: The key is not usable.
        RunEndedError: The run has ended.
    """
    param = explicit_param(key, value)
    writer_for().log_params([param])
    _wait(synchronous)
    return value


def log_params(params: Mapping[str, Any], synchronous: bool | None = None, run_id: str | None = None) -> None:
    """Log several parameters.

    Args:
        params: The parameters by key, as for `log_param`.
        synchronous: True waits until they are in the database.
        run_id: Another run than the active one.

    Raises:
        InvalidArgumentError: A key is not usable; nothing is logged then.
        RunEndedError: The run has ended.
        NotFoundError: There is no run of that id.
    """
    rows: list[Param] = [explicit_param(key, value) for key, value in checked_mapping(params, "params").items()]
    writer_for(run_id).log_params(rows)
    _wait(synchronous)


def set_tag(key: str, value: Any, synchronous: bool | None = None) -> None:
    """Set a tag of the active run.

    Args:
        key: The tag.
        value: Its value, whose `str` is stored.
        synchronous: True waits until it is in the database.

    Raises:
        InvalidArgumentError: The key is not usable.
    """
    set_tags({checked_key(key): value}, synchronous)


def set_tags(tags: Mapping[str, Any], synchronous: bool | None = None) -> None:
    """Set several tags of the active run; errors as for `set_tag`."""
    labels = checked_tags(checked_mapping(tags, "tags"))
    writer_for().set_tags(labels)
    _wait(synchronous)


def delete_tag(key: str) -> None:
    """Remove a tag of the active run.

    Raises:
        NotFoundError: There is no such tag.
        InvalidArgumentError: The key is not usable.
    """
    name = checked_name(key)
    writer = writer_for()
    client_of(writer).delete_tag(writer.run_id, name)


def flush(seconds: float | None = None) -> bool:
    """Wait until all that was recorded so far is in the store.

    Args:
        seconds: How long at most; the setting `drain_seconds` by default.

    Returns:
        Whether all is there; False when the store is away or the time is up (nothing is lost then).

    Raises:
        InvalidArgumentError: `seconds` is no number.
    """
    limit = None if seconds is None else checked_number(seconds, "seconds")
    done = [one.flush(limit) for one in recorders.all_recorders()]
    return all(done)


def flush_async_logging() -> None:
    """Wait until all that was recorded so far is in the store; MLflow's name for `flush`."""
    flush()
