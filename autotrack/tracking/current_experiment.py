"""The store and the experiment that this process records into, as the fluent API sets them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from autotrack import config, console, records
from autotrack.client import Client
from autotrack.errors import InvalidArgumentError, StoreError
from autotrack.tracking import recorders, registry_access
from autotrack.tracking.values import checked_name, checked_tags

_experiment: records.Experiment | None = None


def set_tracking_uri(uri: Any) -> None:
    """Record into another store from now on.

    Args:
        uri: Store URL or folder; None goes back to what the settings say.

    Raises:
        InvalidArgumentError: The URI is of no known kind.
    """
    global _experiment
    if uri is not None and not isinstance(uri, (str, os.PathLike)):
        raise InvalidArgumentError("uri", uri, "a store's URL or folder, or None")
    recorders.set_uri(None if uri is None else os.fspath(uri))
    _experiment = None


def get_tracking_uri() -> str:
    """The store that this process records into, without credentials."""
    return recorders.location().safe_url


def is_tracking_uri_set() -> bool:
    """Whether a store was named, by `set_tracking_uri` or by a setting."""
    return bool(recorders.uri() or config.settings().tracking_uri)


def set_experiment(
    experiment_name: str | None = None, experiment_id: str | None = None, *, tags: Mapping[str, Any] | None = None
) -> records.Experiment:
    """Have runs go to an experiment from now on; it is made where there is none of that name.

    When the store is away, runs are recorded under the name all the same and the experiment is made later.

    Args:
        experiment_name: Its name.
        experiment_id: Its id, instead of the name.
        tags: Tags that are set on it.

    Returns:
        The experiment; its `experiment_id` is empty where the store is away.

    Raises:
        InvalidArgumentError: Not exactly one of name and id is given, the name is not usable, or the experiment is
            deleted.
        NotFoundError: There is no experiment of that id.
    """
    global _experiment
    if (experiment_name is None) == (experiment_id is None):
        raise InvalidArgumentError("experiment", (experiment_name, experiment_id), "either a name or an id")
    labels = checked_tags(tags)
    client = Client()
    if experiment_id is not None:
        found = client.get_experiment(experiment_id)
    else:
        found = _experiment_of(client, checked_name(experiment_name, "experiment name"))
    if found.lifecycle_stage != "active":
        raise InvalidArgumentError("experiment", found.name, "one that is not deleted; restore it first")
    for key, value in labels.items():
        client.set_experiment_tag(found.experiment_id, key, value)
    _experiment = found
    return found


def _experiment_of(client: Client, name: str) -> records.Experiment:
    from autotrack.store import managing

    try:
        managing.ensure_experiment(client.store, name)
        return client.reader.experiment_by_name(name)
    except StoreError as error:
        console.say_once(f"experiment {name}", f"{error}; runs are recorded under {name!r} all the same")
        return records.Experiment("", name)


def experiment_by_id(experiment_id: str) -> dict[str, Any]:
    """An experiment that a run is to go to, as arguments of `Recorder.start_run`.

    Raises:
        NotFoundError: There is none of that id.
        InvalidArgumentError: It is deleted.
    """
    if _experiment is None or _experiment.experiment_id != experiment_id:
        try:
            Client().open_experiment(experiment_id)
        except StoreError as error:
            console.say_once(f"experiment {experiment_id}", f"{error}; the run is recorded all the same")
    return {"experiment_id": experiment_id}


def default_experiment() -> dict[str, Any]:
    """The experiment that runs go to unless told otherwise, as arguments of `Recorder.start_run`."""
    if _experiment is None:
        return {"experiment": config.settings().experiment}
    if _experiment.experiment_id:
        return {"experiment": _experiment.name, "experiment_id": _experiment.experiment_id}
    return {"experiment": _experiment.name}


def current_experiment_id() -> str:
    """Id of the experiment that runs go to unless told otherwise, made where there is none of that name.

    Raises:
        StoreError: The store is away.
    """
    where = default_experiment()
    if where.get("experiment_id"):
        return str(where["experiment_id"])
    from autotrack.store import managing

    return managing.ensure_experiment(Client().store, checked_name(where["experiment"], "experiment name"))


def adopt(experiment_id: str, name: str) -> None:
    """In a worker process: the experiment that was set in the program."""
    global _experiment
    if _experiment is None or (_experiment.experiment_id, _experiment.name) != (experiment_id, name):
        _experiment = records.Experiment(experiment_id, name)


def experiment_that_was_set() -> records.Experiment | None:
    """The experiment that `set_experiment` was called with; None where it was not called."""
    return _experiment


def reset() -> None:
    """Forget what was set, but for the store's URI (between tests)."""
    global _experiment
    _experiment = None
    registry_access.set_uri(None)
