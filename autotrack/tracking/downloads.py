"""Files by their URI, under MLflow's names: `autotrack.artifacts.download_artifacts` and its neighbours.

A URI is `runs:/<run id>/<path>`, `models:/...`, a local path, or a URL that fsspec knows.
"""

from __future__ import annotations

import json
import os
import posixpath
import tempfile
from pathlib import Path
from typing import Any

from autotrack import records
from autotrack.artifacts.files import Artifacts
from autotrack.artifacts.paths import folder_of, is_local
from autotrack.client import Client
from autotrack.errors import ArtifactError, InvalidArgumentError
from autotrack.models.uris import split_models_uri
from autotrack.tracking.registry_access import place_of_model
from autotrack.tracking.rendering import picture_from


def download_artifacts(
    artifact_uri: str | None = None,
    run_id: str | None = None,
    artifact_path: str | None = None,
    dst_path: str | os.PathLike[str] | None = None,
    tracking_uri: str | None = None,
    registry_uri: str | None = None,
) -> str:
    """Copy a file or folder into a local folder (a new temporary one by default).

    Args:
        artifact_uri: `runs:/<run id>/<path>`, `models:/...`, a path or a URL; instead of `run_id`.
        run_id: The run whose files are meant; all of them without `artifact_path`.
        artifact_path: Path among the run's files; the name of a model that the run put out means its directory.
        dst_path: The folder to copy into; it is made where it is not there.
        tracking_uri: The store that knows the run; by default the one that is recorded into.
        registry_uri: Accepted for MLflow's sake; `models:/` means the registry that was set.

    Returns:
        Where the copy lies.

    Raises:
        InvalidArgumentError: Not exactly one of `artifact_uri` and `run_id` was given.
        NotFoundError: There is no such run or model.
        ArtifactError: There is no such file, or it cannot be read or written.
    """
    del registry_uri
    files, path = _place(artifact_uri, run_id, artifact_path, tracking_uri)
    folder = Path(dst_path) if dst_path is not None else Path(tempfile.mkdtemp(prefix="autotrack-"))
    return str(files.download(path, folder))


def list_artifacts(
    artifact_uri: str | None = None,
    run_id: str | None = None,
    artifact_path: str | None = None,
    tracking_uri: str | None = None,
) -> list[records.FileInfo]:
    """Files and folders directly below a path, by name; arguments and errors as for `download_artifacts`."""
    files, path = _place(artifact_uri, run_id, artifact_path, tracking_uri)
    return files.list(path)


def load_text(artifact_uri: str) -> str:
    """A file's text, which is in UTF-8; errors as for `download_artifacts`."""
    try:
        return _load(artifact_uri).decode("utf-8")
    except UnicodeDecodeError as error:
        raise ArtifactError(f"artifact {artifact_uri!r}: not text in UTF-8 ({error})") from None


def load_dict(artifact_uri: str) -> Any:
    """What a file of JSON holds; errors as for `download_artifacts`."""
    try:
        return json.loads(_load(artifact_uri))
    except ValueError as error:
        raise ArtifactError(f"artifact {artifact_uri!r}: not JSON ({error})") from None


def load_image(artifact_uri: str) -> Any:
    """A picture, as Pillow has it; errors as for `download_artifacts`.

    Raises:
        IntegrationNotAvailableError: Pillow is not installed.
    """
    try:
        return picture_from(_load(artifact_uri))
    except ValueError as error:
        raise ArtifactError(f"artifact {artifact_uri!r}: {error}") from None


def _load(artifact_uri: str) -> bytes:
    files, path = _place(artifact_uri, None, None, None)
    return files.read_bytes(path)


def _place(
    artifact_uri: str | None, run_id: str | None, artifact_path: str | None, tracking_uri: str | None
) -> tuple[Artifacts, str]:
    """Where that is: a root, and a path below it."""
    if (artifact_uri is None) == (run_id is None):
        raise InvalidArgumentError("artifact_uri", artifact_uri, "exactly one of artifact_uri and run_id")
    if run_id is not None:
        return _of_run(Client(tracking_uri), run_id, artifact_path or "")
    uri = posixpath.join(str(artifact_uri), artifact_path) if artifact_path else str(artifact_uri)
    if uri.startswith("runs:"):
        run_id, _, path = uri.removeprefix("runs:").lstrip("/").partition("/")
        return _of_run(Client(tracking_uri), run_id, path)
    if uri.startswith("models:"):
        model, path = split_models_uri(uri)
        return Artifacts(place_of_model(Client(tracking_uri), model).source, show_progress=True), path
    if is_local(uri) and os.path.isdir(folder_of(uri)):
        return Artifacts(uri, show_progress=True), ""
    root, _, name = (folder_of(uri) if is_local(uri) else uri.rstrip("/")).rpartition("/")
    return Artifacts(root or "/", show_progress=True), name


def _of_run(client: Client, run_id: str, path: str) -> tuple[Artifacts, str]:
    """A run's file; where there is none of that path, its model of that name."""
    found = client.get_run(run_id)
    files = Artifacts(found.info.artifact_uri, show_progress=True)
    if path and not files.exists(path):
        for model in reversed(found.outputs.model_outputs):
            for name in (model.name, model.path):
                if name and (path == name or path.startswith(f"{name}/")):
                    root, _, folder = model.uri.rpartition("/")
                    return Artifacts(root, show_progress=True), posixpath.join(folder, path[len(name) + 1 :])
    return files, path
