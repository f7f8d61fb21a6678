"""The part of `Client` that logs into runs: parameters, metrics, tags, inputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from autotrack import clock, events, records
from autotrack.errors import InvalidArgumentError, NotFoundError
from autotrack.tracking.datasets import inputs_of
from autotrack.tracking.model_calls import ModelCalls, note_metrics
from autotrack.tracking.values import (
    checked_int,
    checked_key,
    checked_list,
    checked_mapping,
    checked_name,
    checked_number,
    checked_tags,
    checked_text,
    explicit_param,
)


class LogCalls(ModelCalls):
    """Calls that log into runs."""

    def log_param(self, run_id: str, key: str, value: object, synchronous: bool | None = None) -> object:
        """Log a parameter; a key that is there already gets the new value.

        Returns:
            The value.

        Raises:
            NotFoundError: There is no such run.
            RunEndedError: It has ended.
            InvalidArgumentError: The key is not usable.
        """
        param = explicit_param(key, value)
        self.writer_of_open_run(run_id).log_params([param])
        self._wait(synchronous)
        return value

    def log_params(self, run_id: str, params: Mapping[str, object], synchronous: bool | None = None) -> None:
        """Log several parameters; errors as for `log_param`, and nothing is logged then."""
        rows = [explicit_param(key, value) for key, value in checked_mapping(params, "params").items()]
        self.writer_of_open_run(run_id).log_params(rows)
        self._wait(synchronous)

    def log_metric(
        self,
        run_id: str,
        key: str,
        value: object,
        timestamp: int | None = None,
        step: int | None = None,
        synchronous: bool | None = None,
        dataset_name: str | None = None,
        dataset_digest: str | None = None,
        model_id: str | None = None,
    ) -> None:
        """Log one point of a metric.

        Args:
            run_id: The run.
            key: The metric.
            value: A number of any numeric type; NaN and infinities are kept as such.
            timestamp: Milliseconds since the epoch; now by default.
            step: Where on the curve; one behind the last by default.
            synchronous: True waits until it is in the database.
            dataset_name: Of the dataset that the model was judged on; kept with the model's metric.
            dataset_digest: The same dataset's digest.
            model_id: A logged model that the metric says something of, too.

        Raises:
            NotFoundError: There is no such run or model.
            RunEndedError: It has ended.
            InvalidArgumentError: An argument is not usable.
        """
        name, number = checked_name(key), checked_number(value)
        where = None if step is None else checked_int(step, "step")
        when = clock.now() if timestamp is None else checked_int(timestamp, "timestamp")
        dataset = (_text_or_none(dataset_name, "dataset_name"), _text_or_none(dataset_digest, "dataset_digest"))
        if model_id is not None:
            self.require_model(model_id)
        run = self.writer_of_open_run(run_id)
        run.log_metric(name, number, where, when)
        if model_id is not None:
            note_metrics(run, model_id, {name: number}, when, where or 0, *dataset)
        self._wait(synchronous)

    def log_metrics(
        self,
        run_id: str,
        metrics: Mapping[str, object],
        step: int | None = None,
        timestamp: int | None = None,
        synchronous: bool | None = None,
    ) -> None:
        """Log points of several metrics at one step; errors as for `log_metric`, and nothing is logged then."""
        numbers = {
            checked_name(key): checked_number(value) for key, value in checked_mapping(metrics, "metrics").items()
        }
        where = None if step is None else checked_int(step, "step")
        when = None if timestamp is None else checked_int(timestamp, "timestamp")
        self.writer_of_open_run(run_id).log_metrics(numbers, where, when)
        self._wait(synchronous)

    def log_batch(
        self,
        run_id: str,
        metrics: Sequence[Any] = (),
        params: Sequence[Any] = (),
        tags: Sequence[Any] = (),
        synchronous: bool | None = None,
    ) -> None:
        """Log metrics, parameters and tags at once, in one write.

        Args:
            run_id: The run.
            metrics: `autotrack.Metric`, or objects with its fields; step 0 and the present where they have none.
            params: Objects with `key` and `value` (`autotrack.entities.Param`), or a dict.
            tags: Objects with `key` and `value` (`autotrack.entities.RunTag`), or a dict.
            synchronous: True waits until all is in the database.

        Raises:
            NotFoundError: There is no such run.
            RunEndedError: It has ended.
            InvalidArgumentError: A key or value is not usable; nothing is logged then.
        """
        now = clock.now()
        points = [_point(metric, f"metrics[{n}]", now) for n, metric in enumerate(checked_list(metrics, "metrics"))]
        rows = [explicit_param(key, value) for key, value in _pairs(params, "params")]
        labels = checked_tags(dict(_pairs(tags, "tags")))
        run = self.writer_of_open_run(run_id) if points or rows else self.attached_writer(run_id)
        run.log_batch(points, rows, labels)
        self._wait(synchronous)

    def set_tag(self, run_id: str, key: str, value: object, synchronous: bool | None = None) -> None:
        """Set a tag; allowed on ended runs too.

        Raises:
            NotFoundError: There is no such run.
            InvalidArgumentError: The key is not usable.
        """
        self.set_tags(run_id, {checked_key(key): value}, synchronous)

    def set_tags(self, run_id: str, tags: Mapping[str, object], synchronous: bool | None = None) -> None:
        """Set several tags; errors as for `set_tag`."""
        labels = checked_tags(checked_mapping(tags, "tags"))
        self.attached_writer(run_id).set_tags(labels)
        self._wait(synchronous)

    def delete_tag(self, run_id: str, key: str) -> None:
        """Remove a tag.

        Raises:
            NotFoundError: There is no such run, or no such tag.
            InvalidArgumentError: The key is not usable.
        """
        run = self.attached_writer(run_id)
        key = checked_name(key)
        if key not in self.reader.run(run_id).data.tags:
            raise NotFoundError("tag", key, f"run {run_id} has other tags")
        run.delete_tag(key)

    def log_inputs(
        self, run_id: str, datasets: Sequence[Any] | None = None, models: Sequence[Any] | None = None
    ) -> None:
        """Say what went into a run.

        Args:
            run_id: The run; it may have ended.
            datasets: Datasets (see `autotrack.log_input`), or `autotrack.entities.DatasetInput`, which say what each
                was used for.
            models: Logged models that the run began with, or their ids.

        Raises:
            NotFoundError: There is no such run or model.
            InvalidArgumentError: An item is neither; nothing is logged then.
        """
        inputs = inputs_of(datasets)
        inputs += [(self.model_as_input(one, f"models[{n}]"), "model", {}) for n, one in _numbered(models, "models")]
        run = self.attached_writer(run_id)
        for dataset, context, tags in inputs:
            run.log_dataset(dataset, context, tags)

    def log_outputs(self, run_id: str, models: Sequence[Any]) -> None:
        """Say which logged models a run put out.

        Args:
            run_id: The run; it may have ended.
            models: Objects with `model_id` (and `step`), or ids. A model of another run's is listed under this one too,
                by an id of its own.

        Raises:
            NotFoundError: There is no such run or model.
            InvalidArgumentError: An item is neither; nothing is logged then.
        """
        run = self.attached_writer(run_id)
        found = [(self.model_of(one, f"models[{n}]"), _step_of(one)) for n, one in _numbered(models, "models")]
        for model, step in found:
            output = _output(model, run_id, step)
            run.recorder.write(output)
            if output.model_id != model.model_id:
                run.recorder.write(_notes_of(model, output.model_id))

    def _wait(self, synchronous: bool | None) -> None:
        if synchronous:
            self._recorder.flush()


def _numbered(values: object, argument: str) -> list[tuple[int, Any]]:
    return list(enumerate(checked_list(values, argument, "models")))


def _text_or_none(value: object, argument: str) -> str:
    return "" if value is None else checked_text(value, argument)


def _step_of(given: Any) -> int | None:
    step = getattr(given, "step", None)
    return None if step is None else checked_int(step, "step")


def _output(model: records.LoggedModel, run_id: str, step: int | None) -> events.ModelLogged:
    return events.ModelLogged(
        model_id=model.model_id if model.run_id == run_id else clock.new_id(),
        run_id=run_id,
        name=model.name,
        time=model.creation_time,
        uri=model.uri,
        path=model.path,
        flavors=model.flavors,
        size=model.size,
        digest=model.digest,
        signature=model.signature,
        model_type=model.model_type,
        metadata=model.metadata,
        step=model.step if step is None else step,
    )


def _notes_of(model: records.LoggedModel, model_id: str) -> events.ModelChanged:
    metrics = [
        events.ModelMetric(
            m.key, events.number_of(m.value), m.timestamp, m.step, m.run_id, m.dataset_name, m.dataset_digest
        )
        for m in model.metrics
    ]
    return events.ModelChanged(model_id, dict(model.tags), model.params, metrics)


def _point(metric: Any, argument: str, now: int) -> tuple[str, float, int, int]:
    if not hasattr(metric, "key") or not hasattr(metric, "value"):
        raise InvalidArgumentError(argument, metric, "an object with key and value (and step, timestamp)")
    step, time = getattr(metric, "step", None), getattr(metric, "timestamp", None)
    return (
        checked_name(metric.key, f"{argument}.key"),
        checked_number(metric.value, f"{argument}.value"),
        0 if step is None else checked_int(step, f"{argument}.step"),
        checked_int(time, f"{argument}.timestamp") if time else now,
    )


def _pairs(given: object, argument: str) -> list[tuple[Any, Any]]:
    if isinstance(given, Mapping):
        return list(given.items())
    items = checked_list(given, argument, "objects with key and value")
    for place, item in enumerate(items):
        if not hasattr(item, "key") or not hasattr(item, "value"):
            raise InvalidArgumentError(f"{argument}[{place}]", item, "an object with key and value")
    return [(item.key, item.value) for item in items]
