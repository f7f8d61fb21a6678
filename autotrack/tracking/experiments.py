"""The fluent API's experiments."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from autotrack import records
from autotrack.client import Client, ViewType
from autotrack.tracking.current_experiment import current_experiment_id
from autotrack.tracking.pages import all_pages
from autotrack.tracking.values import checked_key, checked_mapping, checked_tags


def get_experiment(experiment_id: str) -> records.Experiment:
    """An experiment by id.

    Raises:
        NotFoundError: There is none.
    """
    return Client().get_experiment(experiment_id)


def get_experiment_by_name(name: str) -> records.Experiment | None:
    """An experiment by name; None where there is none."""
    return Client().get_experiment_by_name(name)


def create_experiment(name: str, artifact_location: str | None = None, tags: Mapping[str, Any] | None = None) -> str:
    """Make an experiment.

    Args:
        name: Its name.
        artifact_location: Folder or URL for the files of its runs; the store's own by default.
        tags: Its tags.

    Returns:
        Its id.

    Raises:
        AlreadyExistsError: There is one of that name.
        InvalidArgumentError: An argument is not usable.
    """
    return Client().create_experiment(name, artifact_location, tags)


def search_experiments(
    view_type: ViewType = "ACTIVE_ONLY",
    max_results: int | None = None,
    filter_string: str | None = None,
    order_by: Sequence[str] | None = None,
) -> list[records.Experiment]:
    """Experiments that a filter matches, newest first unless `order_by` says otherwise.

    Args:
        view_type: Which stages of life to look at.
        max_results: Experiments at most; all by default.
        filter_string: For example `name LIKE 'churn%' and tags.team = 'a'`.
        order_by: For example `["name"]`.

    Raises:
        FilterSyntaxError: The filter or the order does not parse.
        InvalidArgumentError: An argument is not usable.
    """
    client = Client()
    return all_pages(
        lambda size, token: client.search_experiments(view_type, size, filter_string, order_by, token), max_results
    )


def rename_experiment(experiment_id: str, new_name: str) -> None:
    """Rename an experiment.

    Raises:
        NotFoundError: There is no such experiment.
        AlreadyExistsError: There is one of the new name.
    """
    Client().rename_experiment(experiment_id, new_name)


def delete_experiment(experiment_id: str) -> None:
    """Mark an experiment and its runs as deleted; `restore_experiment` brings them back.

    Raises:
        NotFoundError: There is no such experiment.
    """
    Client().delete_experiment(experiment_id)


def restore_experiment(experiment_id: str) -> None:
    """Bring a deleted experiment back.

    Raises:
        NotFoundError: There is no such experiment.
    """
    Client().restore_experiment(experiment_id)


def set_experiment_tag(key: str, value: Any) -> None:
    """Set a tag of the experiment that runs go to.

    Raises:
        InvalidArgumentError: The key is not usable.
    """
    set_experiment_tags({checked_key(key): value})


def set_experiment_tags(tags: Mapping[str, Any]) -> None:
    """Set several tags of the experiment that runs go to; errors as for `set_experiment_tag`."""
    labels = checked_tags(checked_mapping(tags, "tags"))
    client, experiment_id = Client(), current_experiment_id()
    for key, value in labels.items():
        client.set_experiment_tag(experiment_id, key, value)


def delete_experiment_tag(key: str) -> None:
    """Remove a tag of the experiment that runs go to.

    Raises:
        NotFoundError: It has no such tag.
    """
    Client().delete_experiment_tag(current_experiment_id(), key)
