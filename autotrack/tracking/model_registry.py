"""The fluent API's model registry, and what `runs:` and `models:` URIs stand for."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from autotrack import events, records
from autotrack.client import Client
from autotrack.errors import AutotrackError
from autotrack.models import register_resolver
from autotrack.tracking import model_places, recorder, recorders, registry_access, session
from autotrack.tracking.pages import all_pages
from autotrack.tracking.registry_access import place_of_model
from autotrack.tracking.registry_names import checked_model_name
from autotrack.tracking.values import checked_number


def set_registry_uri(uri: str | os.PathLike[str] | None) -> None:
    """Register models in another store than that of the runs from now on.

    Args:
        uri: Store URL or folder; None goes back to what the settings say.

    Raises:
        InvalidArgumentError: The URI is of no known kind.
    """
    registry_access.set_uri(None if uri is None else str(uri))


def get_registry_uri() -> str:
    """The store that models are registered in, without credentials."""
    return registry_access.registry_location(recorders.location()).safe_url


def register_model(
    model_uri: str,
    name: str,
    await_registration_for: float | None = 300,
    *,
    tags: Mapping[str, Any] | None = None,
) -> records.ModelVersion:
    """Make a model the next version of a registered model, which is made where there is none of that name.

    Args:
        model_uri: `runs:/<run id>/<name>`, `models:/<model id>`, `models:/<name>/<version>`, a path or a URL.
        name: The registered model: 1 to 500 characters without `/` and `:`.
        await_registration_for: Seconds to wait for models that this process still writes behind the training.
        tags: The version's tags.

    Raises:
        NotFoundError: There is no such run, model, version or alias.
        ModelFormatError: It is a path or URL, and no model is there.
        InvalidArgumentError: An argument is not usable.
    """
    client = Client()
    own = recorders.existing(client.location)
    if own is not None and await_registration_for:
        own.flush(checked_number(await_registration_for, "await_registration_for"))
    return client.register_model(model_uri, name, tags)


def search_registered_models(
    max_results: int | None = None, filter_string: str | None = None, order_by: Sequence[str] | None = None
) -> list[records.RegisteredModel]:
    """Registered models that a filter matches, by name unless `order_by` says otherwise.

    Args:
        max_results: Models at most; all by default.
        filter_string: As for `Client.search_registered_models`.
        order_by: For example `["last_updated_timestamp DESC"]`.

    Raises:
        FilterSyntaxError: The filter or the order does not parse.
        InvalidArgumentError: Another argument is not usable.
    """
    search = Client().search_registered_models
    return all_pages(lambda size, token: search(filter_string, size, order_by, token), max_results)


def search_model_versions(
    max_results: int | None = None, filter_string: str | None = None, order_by: Sequence[str] | None = None
) -> list[records.ModelVersion]:
    """Versions of registered models that a filter matches, what was changed last first.

    Args:
        max_results: Versions at most; all by default.
        filter_string: As for `Client.search_model_versions`: `name = 'fraud' and tags.team = 'blue'`.
        order_by: For example `["version_number DESC"]`.

    Raises:
        FilterSyntaxError: The filter or the order does not parse.
        InvalidArgumentError: Another argument is not usable.
    """
    search = Client().search_model_versions
    return all_pages(lambda size, token: search(filter_string, size, order_by, token), max_results)


def set_model_version_tag(
    name: str, version: str | int | None = None, key: str | None = None, value: Any = None
) -> None:
    """Set a tag of a version of a registered model.

    Raises:
        NotFoundError: There is no such model or version.
        InvalidArgumentError: The version or the key is not usable.
    """
    Client().set_model_version_tag(name, version, key, value)


def set_registered_model_alias(name: str, alias: str, version: str | int) -> None:
    """Have an alias of a registered model point at a version from now on; `models:/<name>@<alias>` is that version.

    Raises:
        NotFoundError: There is no such model or version.
        InvalidArgumentError: The alias is not usable: it would be taken for a version, or holds other characters.
    """
    Client().set_registered_model_alias(name, alias, version)


def delete_registered_model_alias(name: str, alias: str) -> None:
    """Delete an alias of a registered model; one that is not there is no error.

    Raises:
        NotFoundError: There is no such model.
    """
    Client().delete_registered_model_alias(name, alias)


def log_and_register(own: recorder.Recorder, logged: events.ModelLogged, name: str) -> None:
    """Record that a model was logged, and that it is to be a version of a registered model: both, or neither.

    Args:
        own: Records the run that put the model out.
        logged: The model.
        name: The registered model, which is made where there is none of that name.

    Raises:
        AutotrackError: The name, or where models are registered, is not usable; the model is logged all the same.
    """
    try:
        version = events.ModelRegistered(
            checked_model_name(name, "registered_model_name"), logged.model_id, logged.run_id, logged.time, logged.uri,
            logged.digest, logged.signature, session.user_name(),
        )  # fmt: skip
        where = registry_access.registry_location(own.location)
    except AutotrackError:
        own.write(logged)
        raise
    if where.url == own.location.url:
        own.write_all([logged, version])
    else:
        own.write(logged)
        recorders.recorder_for(where).write(version)


def resolve(uri: str) -> Path:
    """The local directory of a `runs:` or `models:` URI.

    Raises:
        InvalidArgumentError: The URI is of no known form.
        NotFoundError: There is no such run, model, version or alias.
        ArtifactError: The model is at a URL and cannot be had from there.
    """
    client = Client()
    return model_places.local_copy(place_of_model(client, uri).source, client.location)


register_resolver("runs", resolve)
register_resolver("models", resolve)
