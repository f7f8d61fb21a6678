"""The part of `Client` that is about logged models."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from autotrack import events, records
from autotrack.errors import InvalidArgumentError, NotFoundError, StoreError
from autotrack.tracking.access import Access
from autotrack.tracking.run import RunWriter
from autotrack.tracking.values import (
    checked_experiment_id,
    checked_filter,
    checked_id,
    checked_key,
    checked_list,
    checked_mapping,
    checked_name,
    checked_tags,
    checked_text,
    safe_tag,
)


class ModelCalls(Access):
    """Calls about logged models."""

    _known_models: frozenset[tuple[str, str]] = frozenset()
    """Store and id of models that are known to be there."""

    def get_logged_model(self, model_id: str) -> records.LoggedModel:
        """A logged model, with the tags, parameters and metrics that were logged for it.

        Raises:
            NotFoundError: There is none of that id.
        """
        from autotrack.store import logged_models

        return logged_models.model(self.reader.store, checked_id(model_id, "model_id"))

    def search_logged_models(
        self,
        experiment_ids: Sequence[str] | None = None,
        filter_string: str | None = None,
        datasets: Sequence[Mapping[str, str]] | None = None,
        max_results: int | None = None,
        order_by: Sequence[Any] | None = None,
        page_token: str | None = None,
    ) -> records.Page[records.LoggedModel]:
        """Logged models that a filter matches, newest first unless `order_by` says otherwise.

        Args:
            experiment_ids: Only models of runs of these experiments; all by default.
            filter_string: For example `name = 'model' and metrics.accuracy > 0.9`; metrics and parameters are those of
                the run that put the model out.
            datasets: Of MLflow, which restricts metrics to datasets; not supported.
            max_results: Models in a page; 100 by default.
            order_by: Clauses such as `"metrics.accuracy DESC"`, or MLflow's
                `{"field_name": "metrics.accuracy", "ascending": False}`.
            page_token: The `token` of the page before.

        Raises:
            FilterSyntaxError: The filter or the order does not parse.
            InvalidArgumentError: An argument is not usable.
        """
        from autotrack.store import logged_models

        if datasets:
            raise InvalidArgumentError("datasets", datasets, "None; name the metric of the dataset in the filter")
        ids = None
        if experiment_ids is not None:
            ids = [
                checked_experiment_id(one, "experiment_ids") for one in checked_list(experiment_ids, "experiment_ids")
            ]
        text = checked_filter(filter_string)
        order = [_clause(one) for one in checked_list(order_by, "order_by")]
        limit = 100 if max_results is None else max_results
        return logged_models.search(self.reader.store, ids, text, limit, order, page_token)

    def set_logged_model_tags(self, model_id: str, tags: Mapping[str, object]) -> None:
        """Set tags of a logged model.

        Raises:
            NotFoundError: There is none of that id.
            InvalidArgumentError: The tags are no dict, or a key is not usable.
        """
        labels = checked_tags(checked_mapping(tags, "tags"))
        self.get_logged_model(model_id)
        self._change(events.ModelChanged(model_id, tags=dict(labels)))

    def delete_logged_model_tag(self, model_id: str, key: str) -> None:
        """Remove a tag of a logged model.

        Raises:
            NotFoundError: There is none of that id, or it has no such tag.
        """
        model = self.get_logged_model(model_id)
        key = checked_name(key)
        if key not in model.tags:
            raise NotFoundError("tag", key, f"model {model_id} has other tags")
        self._change(events.ModelChanged(model_id, tags={key: None}))

    def log_model_params(self, model_id: str, params: Mapping[str, object]) -> None:
        """Set parameters of a logged model.

        Raises:
            NotFoundError: There is none of that id.
            InvalidArgumentError: The parameters are no dict, or a key is not usable.
        """
        texts = {
            checked_name(key): safe_tag(key, str(value)) for key, value in checked_mapping(params, "params").items()
        }
        self.get_logged_model(model_id)
        self._change(events.ModelChanged(model_id, params=texts))

    def delete_logged_model(self, model_id: str) -> None:
        """Forget a logged model; its files stay until nothing refers to them and they are collected as garbage.

        Raises:
            NotFoundError: There is none of that id.
        """
        from autotrack.store import logged_models

        logged_models.delete(self.reader.store, checked_id(model_id, "model_id"))
        ModelCalls._known_models -= {(self.location.key, model_id)}

    def list_logged_model_artifacts(self, model_id: str, path: str | None = None) -> list[records.FileInfo]:
        """Files and folders directly below a path in a logged model's directory.

        Raises:
            NotFoundError: There is none of that id.
            ArtifactError: The path is refused, or the directory cannot be read.
        """
        from autotrack.artifacts import Artifacts

        return Artifacts(self.get_logged_model(model_id).uri).list(_path(path))

    def require_model(self, model_id: object) -> None:
        """See that there is a logged model of that id, unless the store is away; looked up once.

        Raises:
            NotFoundError: There is none.
            InvalidArgumentError: It is no id.
        """
        place = (self.location.key, checked_id(model_id, "model_id"))
        if place in ModelCalls._known_models:
            return
        try:
            self.get_logged_model(place[1])
        except StoreError:
            return
        ModelCalls._known_models = frozenset((place, *list(ModelCalls._known_models)[:1000]))

    def model_of(self, given: Any, argument: str) -> records.LoggedModel:
        """The logged model that an argument means: an id, or an object with `model_id`.

        Raises:
            NotFoundError: There is none.
            InvalidArgumentError: It is neither.
        """
        model_id = getattr(given, "model_id", given)
        if not isinstance(model_id, str) or not model_id:
            raise InvalidArgumentError(argument, given, "a logged model, or its model_id")
        return self.get_logged_model(model_id)

    def model_as_input(self, given: Any, argument: str) -> events.DatasetInfo:
        """A logged model as what went into a run; errors as for `model_of`."""
        model = self.model_of(given, argument)
        source = json.dumps({"model_id": model.model_id, "run_id": model.run_id, "uri": model.uri})
        return events.DatasetInfo(model.name, model.digest or model.model_id, "logged_model", source)

    def _change(self, event: events.ModelChanged) -> None:
        self._recorder.write(event)


def note_metrics(
    writer: RunWriter,
    model_id: str,
    metrics: Mapping[str, float],
    time: int,
    step: int,
    dataset_name: str = "",
    dataset_digest: str = "",
) -> None:
    """Keep metrics with the model of which they say something, beside the curve of the run that measured them."""
    rows = [
        events.ModelMetric(key, events.number_of(value), time, step, writer.run_id, dataset_name, dataset_digest)
        for key, value in metrics.items()
    ]
    writer.recorder.write(events.ModelChanged(model_id, metrics=rows))


def _path(path: object) -> str:
    return "" if path is None else checked_text(path, "path")


def _clause(given: Any) -> str:
    """An order-by clause; MLflow's form is a dict."""
    if isinstance(given, Mapping):
        name = checked_key(given.get("field_name"), "order_by: field_name")
        return f"{name} {'ASC' if given.get('ascending', True) else 'DESC'}"
    return checked_text(given, "order_by")
