"""The fluent API's questions to the store about runs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from autotrack import records
from autotrack.client import Client, ViewType
from autotrack.errors import InvalidArgumentError, NotFoundError
from autotrack.tracking.current_experiment import experiment_that_was_set
from autotrack.tracking.pages import all_pages
from autotrack.tracking.values import checked_list, checked_texts


def get_run(run_id: str) -> records.Run:
    """A run, read from the store.

    Raises:
        NotFoundError: There is no such run.
    """
    return Client().get_run(run_id)


def delete_run(run_id: str) -> None:
    """Mark a run as deleted; `Client.restore_run` brings it back.

    Raises:
        NotFoundError: There is no such run.
    """
    Client().delete_run(run_id)


def restore_run(run_id: str) -> None:
    """Bring a deleted run back.

    Raises:
        NotFoundError: There is no such run.
    """
    Client().restore_run(run_id)


def get_parent_run(run_id: str) -> records.Run | None:
    """The run whose child a run is; None where it is none's.

    Raises:
        NotFoundError: There is no such run.
    """
    return Client().get_parent_run(run_id)


def search_runs(
    experiment_ids: Sequence[str] | None = None,
    filter_string: str = "",
    run_view_type: ViewType = "ACTIVE_ONLY",
    max_results: int = 100_000,
    order_by: Sequence[str] | None = None,
    output_format: Literal["pandas", "list"] = "pandas",
    search_all_experiments: bool = False,
    experiment_names: Sequence[str] | None = None,
) -> Any:
    """Runs that a filter matches.

    Args:
        experiment_ids: Only runs of these experiments; by default of the one that `set_experiment` was called with,
            and of all where it was not called.
        filter_string: For example `metrics.accuracy > 0.9 and params.solver = 'lbfgs'`.
        run_view_type: Which stages of life to look at.
        max_results: Runs at most.
        order_by: For example `["metrics.accuracy DESC"]`; newest first by default.
        output_format: "pandas" for a DataFrame with columns `run_id`, `metrics.x`, `params.y`, `tags.z`, ...; "list"
            for a list of `Run`.
        search_all_experiments: Search all, whichever was set.
        experiment_names: Only runs of the experiments of these names.

    Raises:
        FilterSyntaxError: The filter or the order does not parse.
        NotFoundError: There is no experiment of that name.
        InvalidArgumentError: An argument is not usable.
    """
    if output_format not in ("pandas", "list"):
        raise InvalidArgumentError("output_format", output_format, "'pandas' or 'list'")
    client = Client()
    ids = _experiments(client, experiment_ids, experiment_names, search_all_experiments)
    runs = all_pages(
        lambda size, token: client.search_runs(ids, filter_string, run_view_type, size, order_by, token),
        100_000 if max_results is None else max_results,
    )
    if output_format == "list":
        return runs
    from autotrack.tracking.frames import frame_of_runs

    return frame_of_runs(runs)


def _experiments(
    client: Client, ids: Sequence[str] | None, names: Sequence[str] | None, search_all: bool
) -> list[str] | None:
    """Ids of the experiments to search; None for all."""
    if ids is None and names is None:
        current = experiment_that_was_set()
        return None if search_all or current is None or not current.experiment_id else [current.experiment_id]
    found = checked_list(ids, "experiment_ids", "ids")
    return found + [_id_of(client, name) for name in checked_texts(names, "experiment_names")]


def _id_of(client: Client, name: str) -> str:
    found = client.get_experiment_by_name(name)
    if found is None:
        raise NotFoundError("experiment", name)
    return found.experiment_id
