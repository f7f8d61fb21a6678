"""The fluent API's logged models, across runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from autotrack import records
from autotrack.client import Client
from autotrack.errors import InvalidArgumentError
from autotrack.tracking.pages import all_pages


def get_logged_model(model_id: str) -> records.LoggedModel:
    """A logged model, with the tags, parameters and metrics that were logged for it.

    Raises:
        NotFoundError: There is none of that id.
    """
    return Client().get_logged_model(model_id)


def search_logged_models(
    experiment_ids: Sequence[str] | None = None,
    filter_string: str | None = None,
    datasets: Sequence[Mapping[str, str]] | None = None,
    max_results: int | None = None,
    order_by: Sequence[Any] | None = None,
    output_format: Literal["pandas", "list"] = "pandas",
) -> Any:
    """Logged models that a filter matches, newest first unless `order_by` says otherwise.

    Args:
        experiment_ids: Only models of runs of these experiments; all by default.
        filter_string: As for `Client.search_logged_models`.
        datasets: Not supported.
        max_results: Models at most; all by default.
        order_by: As for `Client.search_logged_models`.
        output_format: "pandas" for a DataFrame, one column a field; "list" for a list of `LoggedModel`.

    Raises:
        FilterSyntaxError: The filter or the order does not parse.
        InvalidArgumentError: An argument is not usable.
        IntegrationNotAvailableError: pandas is not installed, and a DataFrame is asked for.
    """
    if output_format not in ("pandas", "list"):
        raise InvalidArgumentError("output_format", output_format, "'pandas' or 'list'")
    client = Client()
    models = all_pages(
        lambda size, token: client.search_logged_models(experiment_ids, filter_string, datasets, size, order_by, token),
        max_results,
    )
    if output_format == "list":
        return models
    from autotrack.tracking.frames import frame_of_models

    return frame_of_models(models)


def set_logged_model_tags(model_id: str, tags: Mapping[str, Any]) -> None:
    """Set tags of a logged model.

    Raises:
        NotFoundError: There is none of that id.
        InvalidArgumentError: The tags are no dict, or a key is not usable.
    """
    Client().set_logged_model_tags(model_id, tags)


def delete_logged_model_tag(model_id: str, key: str) -> None:
    """Remove a tag of a logged model.

    Raises:
        NotFoundError: There is none of that id, or it has no such tag.
    """
    Client().delete_logged_model_tag(model_id, key)


def log_model_params(params: Mapping[str, Any], model_id: str | None = None) -> None:
    """Set parameters of a logged model.

    Args:
        params: The parameters.
        model_id: The model.

    Raises:
        NotFoundError: There is none of that id.
        InvalidArgumentError: An argument is not usable.
    """
    if model_id is None:
        raise InvalidArgumentError("model_id", model_id, "a logged model's id; log_model(...).model_id is one")
    Client().log_model_params(model_id, params)


def delete_logged_model(model_id: str) -> None:
    """Forget a logged model; its files stay until they are collected as garbage.

    Raises:
        NotFoundError: There is none of that id.
    """
    Client().delete_logged_model(model_id)
