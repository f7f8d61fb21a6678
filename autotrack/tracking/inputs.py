"""The fluent API's inputs and outputs of a run: datasets, and logged models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from autotrack.client import Client
from autotrack.errors import InvalidArgumentError
from autotrack.tracking.current_run import client_of, writer_for
from autotrack.tracking.datasets import inputs_of
from autotrack.tracking.values import checked_list, checked_tags, checked_text


def log_input(
    dataset: Any = None, context: str | None = None, tags: Mapping[str, str] | None = None, model: Any = None
) -> None:
    """Say that the active run used a dataset, or began with a logged model.

    Args:
        dataset: An `autotrack.DatasetInfo(name=..., digest=...)`; a dataset of `mlflow.data`'s; or the data itself
            (DataFrame, array, tensor, dict of columns, list), of which a bounded sample is hashed.
        context: What it was used for: "train", "eval", ...
        tags: More about the use.
        model: A logged model, or its id.

    Raises:
        InvalidArgumentError: `dataset` is none, or another argument is not usable.
        NotFoundError: There is no such model.
    """
    if dataset is None and model is None:
        raise InvalidArgumentError("dataset", dataset, "a dataset, or a model")
    log_inputs(
        None if dataset is None else [dataset],
        None if dataset is None else [context],
        None if dataset is None else [tags],
        None if model is None else [model],
    )


def log_inputs(
    datasets: Sequence[Any] | None = None,
    contexts: Sequence[str | None] | None = None,
    tags_list: Sequence[Mapping[str, str] | None] | None = None,
    models: Sequence[Any] | None = None,
) -> None:
    """Say that the active run used several datasets, or began with logged models.

    Args:
        datasets: As for `log_input`.
        contexts: What each was used for.
        tags_list: More about each use.
        models: Logged models, or their ids.

    Raises:
        InvalidArgumentError: An argument is not usable, or the lists differ in length; nothing is logged then.
        NotFoundError: There is no such model.
    """
    found = inputs_of(datasets)
    places = _as_many(contexts, "contexts", len(found))
    labels = [checked_tags(one) for one in _as_many(tags_list, "tags_list", len(found))]
    used = [checked_text(one, "context") if one is not None else "" for one in places]
    client = Client()
    given = [client.model_as_input(one, "models") for one in checked_list(models, "models", "models")]
    writer = writer_for()
    for (dataset, context, tags), place, more in zip(found, used, labels, strict=True):
        writer.log_dataset(dataset, place or context, {**tags, **more})
    for model in given:
        writer.log_dataset(model, "model")


def _as_many(values: Sequence[Any] | None, argument: str, count: int) -> list[Any]:
    if values is None:
        return [None] * count
    found = checked_list(values, argument, "one a dataset")
    if len(found) != count:
        raise InvalidArgumentError(argument, values, f"as many as there are datasets ({count})")
    return found


def log_outputs(models: Sequence[Any] | None = None) -> None:
    """Say which logged models the active run put out.

    Args:
        models: Objects with `model_id` (and `step`), or ids.

    Raises:
        InvalidArgumentError: An item is neither.
        NotFoundError: There is no such model.
    """
    given = checked_list(models, "models", "models")
    for place, one in enumerate(given):
        Client().model_of(one, f"models[{place}]")
    writer = writer_for()
    client_of(writer).log_outputs(writer.run_id, given)
