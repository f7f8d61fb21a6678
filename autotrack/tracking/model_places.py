"""Where a model's files are, from what a URI says of it: a run's model, a registered one, a logged one, a path."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import shutil
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from autotrack.artifacts import Artifacts
from autotrack.errors import InvalidArgumentError, ModelFormatError, NotFoundError
from autotrack.records import LoggedModel
from autotrack.store.location import Location
from autotrack.tracking.access import Access

if TYPE_CHECKING:
    from autotrack.store.engine import Store


_URL = re.compile("[A-Za-z][A-Za-z0-9+.-]+:")
"""How a URL begins; one letter is a drive."""


class Place(NamedTuple):
    """A model's files, and what is known of it."""

    source: str
    """Path or URL of its directory."""
    run_id: str | None = None
    model_id: str | None = None
    digest: str = ""
    signature: str = ""
    """JSON text."""


def of_run(tracking: Access, uri: str) -> Place:
    """What `runs:/<run id>/<name>` names: a model that the run put out, or a folder of its files that holds a model.

    Raises:
        InvalidArgumentError: The URI is not of that form.
        NotFoundError: There is no such run, or it has no such model.
    """
    run_id, _, name = uri.removeprefix("runs:").lstrip("/").partition("/")
    name = name.strip("/")
    if not run_id or not name:
        raise InvalidArgumentError("model_uri", uri, "runs:/<run id>/<model name>")
    reader = tracking.reader
    models = reader.models(run_id)
    found = [model for model in models if name in (model.name, model.path)]
    if found:
        return of_logged_model(found[-1])
    files = Artifacts(reader.run(run_id).info.artifact_uri)
    if ".." not in name.split("/") and files.exists(f"{name}/MLmodel"):
        return described(Place(f"{files.root.rstrip('/')}/{name}", run_id), tracking.location)
    names = ", ".join(sorted({model.name for model in models})) or "none"
    raise NotFoundError("model", name, f"run {run_id} has: {names}")


def of_models_uri(tracking: Access, registry: Callable[[], Store], uri: str) -> Place:
    """What a `models:` URI names.

    Args:
        tracking: Where logged models are.
        registry: Gives the store that registered models are in, with what is pending moved into it.
        uri: `models:/name/3`, `models:/name/latest`, `models:/name@alias` or `models:/<model id>`.

    Raises:
        InvalidArgumentError: The URI is not of that form.
        NotFoundError: There is no such model, version or alias.
    """
    from autotrack.models.uris import parse_models_uri
    from autotrack.store import logged_models, registry_reading

    wanted = parse_models_uri(uri)
    if wanted.model_id:
        try:
            return of_logged_model(logged_models.model(tracking.reader.store, wanted.model_id))
        except NotFoundError:
            hint = f"of a registered model, name a version or an alias: models:/{wanted.model_id}/latest"
            raise NotFoundError("logged model", wanted.model_id, hint) from None
    if wanted.alias:
        version = registry_reading.aliased(registry(), wanted.name, wanted.alias)
    elif wanted.version is not None:
        version = registry_reading.version(registry(), wanted.name, wanted.version)
    else:
        newest = registry_reading.latest(registry(), wanted.name)
        if newest is None:
            raise NotFoundError(f"version of the registered model {wanted.name!r}", "latest", "it has none")
        version = newest
    return Place(version.source, version.run_id, version.model_id, version.digest, version.signature)


def of_logged_model(model: LoggedModel) -> Place:
    """Where a logged model is."""
    return Place(model.uri, model.run_id, model.model_id, model.digest, model.signature)


def of_path(source: str, location: Location) -> Place:
    """Where a path points, made absolute; what is known of the model comes from its `MLmodel`, where there is one.

    A URL stays as it is, and is not looked at.
    """
    if _URL.match(source) and not source.startswith("file:"):
        return Place(source)
    from autotrack.models.uris import local_path

    place = Place(os.path.abspath(local_path(source)))
    try:
        return described(place, location)
    except ModelFormatError:
        return place


def described(place: Place, location: Location) -> Place:
    """A place with the digest and the signature that its `MLmodel` tells.

    Raises:
        ModelFormatError: There is none, or it cannot be read.
    """
    from autotrack.models.mlmodel import Model

    if _is_url(place.source):
        if not Artifacts(place.source).exists("MLmodel"):
            raise ModelFormatError(f"{place.source}: no MLmodel in it")
        model = Model.load(local_copy(place.source, location))
    else:
        model = Model.load(Path(place.source))
    signature = json.dumps(model.signature.to_dict()) if model.signature is not None else ""
    return place._replace(digest=str((model.autotrack or {}).get("digest", "")), signature=signature)


def local_copy(source: str, location: Location) -> Path:
    """The local directory of a model: where it is, or a copy of what is at a URL, made once.

    Args:
        source: Path or URL of its directory.
        location: The store beside which copies are kept.

    Raises:
        ArtifactError: It cannot be had.
        ModelFormatError: What came is no model, or not the one that was saved.
    """
    if not _is_url(source):
        return _where_it_is_now(Path(source), location)
    parent, _, folder = source.rstrip("/").rpartition("/")
    copies = location.folder / "cache" / "models"
    kept = copies / hashlib.sha256(source.encode()).hexdigest()[:32]
    if not kept.exists():
        from autotrack.models.directory import verify
        from autotrack.models.mlmodel import Model

        # All or nothing: another process may be at it, too, or this one may be killed.
        draft = copies / f".{uuid.uuid4().hex}"
        try:
            copy = Artifacts(parent).download(folder, draft)
            verify(copy, Model.load(copy))
            with contextlib.suppress(OSError):
                draft.rename(kept)
        finally:
            shutil.rmtree(draft, ignore_errors=True)
    return kept / folder


def _where_it_is_now(directory: Path, location: Location) -> Path:
    """A model's directory; in a store that was moved since its place was written down, the one of that name."""
    moved = Path(location.artifact_root, "models", directory.name)
    return moved if not directory.exists() and moved.is_dir() else directory


def _is_url(source: str) -> bool:
    return "://" in source
