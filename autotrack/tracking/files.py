"""The fluent API's files: artifacts, text, tables, figures and images of a run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from autotrack.artifacts import checked_path
from autotrack.client import Client
from autotrack.tracking import rendering
from autotrack.tracking.current_experiment import current_experiment_id
from autotrack.tracking.current_run import client_of, writer_for
from autotrack.tracking.file_calls import checked_stream, local_file, store_image_files
from autotrack.tracking.tables import table_of
from autotrack.tracking.values import checked_file, checked_text


def log_artifact(local_path: Any, artifact_path: str | None = None, run_id: str | None = None) -> None:
    """Store a copy of a local file or folder among the run's artifacts.

    Args:
        local_path: The file or folder.
        artifact_path: The folder among the artifacts that it goes into, under its own name; the topmost by default.
        run_id: Another run than the active one.

    Raises:
        InvalidArgumentError: A path is none.
        NotFoundError: There is no run of that id.
        ArtifactError: It cannot be read or stored.
    """
    local_file(local_path, "local_path")
    run = writer_for(run_id)
    client_of(run).log_artifact(run.run_id, local_path, artifact_path)


def log_artifacts(local_dir: Any, artifact_path: str | None = None, run_id: str | None = None) -> None:
    """Store copies of all files of a local folder among the run's artifacts.

    Args:
        local_dir: The folder.
        artifact_path: The folder among the artifacts that what is in it goes into; the topmost by default.
        run_id: Another run than the active one.

    Raises:
        InvalidArgumentError: A path is none.
        NotFoundError: There is no run of that id.
        ArtifactError: A file cannot be read or stored.
    """
    local_file(local_dir, "local_dir")
    run = writer_for(run_id)
    client_of(run).log_artifacts(run.run_id, local_dir, artifact_path)


def log_text(text: str, artifact_file: str, run_id: str | None = None) -> None:
    """Store text as one of the run's artifacts.

    Args:
        text: The text, which is stored as UTF-8.
        artifact_file: Its path among the artifacts, such as `notes/a.txt`.
        run_id: Another run than the active one.

    Raises:
        InvalidArgumentError: It is no text.
        NotFoundError: There is no run of that id.
        ArtifactError: The path is refused, or the file cannot be stored.
    """
    content, file = checked_text(text, "text"), checked_file(artifact_file)
    run = writer_for(run_id)
    client_of(run).log_text(run.run_id, content, file)


def log_dict(dictionary: Any, artifact_file: str, run_id: str | None = None) -> None:
    """Store a dict or list as one of the run's artifacts.

    Args:
        dictionary: The dict or list.
        artifact_file: Its path among the artifacts; YAML where it ends in `.yaml` or `.yml`, JSON else.
        run_id: Another run than the active one.

    Raises:
        InvalidArgumentError: It holds keys that are no text, or itself.
        NotFoundError: There is no run of that id.
        ArtifactError: The path is refused, or the file cannot be stored.
    """
    text = rendering.dict_text(dictionary, checked_file(artifact_file))
    run = writer_for(run_id)
    client_of(run).log_text(run.run_id, text, artifact_file)


def log_table(data: Any, artifact_file: str, run_id: str | None = None) -> None:
    """Store a table as JSON as one of the run's artifacts; below the rows of a table that is there already.

    Args:
        data: A DataFrame (pandas, polars), or a dict of columns; a dict of single values is one row.
        artifact_file: Its path among the artifacts.
        run_id: Another run than the active one.

    Raises:
        InvalidArgumentError: It is no table, or the file that is there is none.
        NotFoundError: There is no run of that id.
        ArtifactError: The path is refused, or the file cannot be stored.
    """
    table, file = table_of(data), checked_file(artifact_file)
    run = writer_for(run_id)
    client_of(run).log_rows(run.run_id, table, file)


def load_table(
    artifact_file: str, run_ids: Sequence[str] | None = None, extra_columns: Sequence[str] | None = None
) -> Any:
    """The tables that runs of the experiment that was set stored under one path, as one DataFrame.

    Args:
        artifact_file: The path of the tables.
        run_ids: Only these runs' tables.
        extra_columns: What to add of each table's run: `run_id`, `run_name`, `metrics.x`, `params.y`, `tags.z`, ...

    Raises:
        NotFoundError: No run of the experiment has such a file.
        InvalidArgumentError: An argument is not usable, or a file is no table.
        IntegrationNotAvailableError: pandas is not installed.
    """
    return Client().load_table(current_experiment_id(), artifact_file, run_ids, extra_columns)


def log_stream(stream: Any, artifact_file: str, run_id: str | None = None) -> None:
    """Store what a stream of bytes still holds as one of the run's artifacts.

    Args:
        stream: A file opened for reading bytes, or anything with such a `read`.
        artifact_file: Its path among the artifacts.
        run_id: Another run than the active one.

    Raises:
        InvalidArgumentError: It is no stream of bytes.
        NotFoundError: There is no run of that id.
        ArtifactError: The path is refused, or the file cannot be stored.
    """
    checked_stream(stream)
    checked_file(artifact_file)
    run = writer_for(run_id)
    client_of(run).log_stream(run.run_id, stream, artifact_file)


def log_figure(figure: Any, artifact_file: str, *, save_kwargs: Mapping[str, Any] | None = None) -> None:
    """Store a matplotlib or plotly figure as one of the active run's artifacts.

    Args:
        figure: The figure.
        artifact_file: Its path; the suffix says the format (plotly: `.html`, `.json`, or a picture's where kaleido is
            there).
        save_kwargs: For the figure's own `savefig`, `to_html` or `to_image`.

    Raises:
        InvalidArgumentError: It is no figure that can be stored.
        ArtifactError: The path is refused, or the file cannot be stored.
    """
    data = rendering.figure_bytes(figure, checked_file(artifact_file), save_kwargs)
    run = writer_for()
    client_of(run).log_bytes(run.run_id, data, artifact_file)


def log_image(
    image: Any,
    artifact_file: str | None = None,
    key: str | None = None,
    step: int | None = None,
    timestamp: int | None = None,
    synchronous: bool | None = False,
) -> None:
    """Store an image as one of the active run's artifacts: under a path, or as one of a series under a key.

    Args:
        image: A PIL image, an array of shape (height, width[, 1, 3 or 4]) or a torch tensor, whose channels may come
            first. Whole numbers and booleans are taken from 0 to 255 (booleans: black and white), floats from 0 to 1.
        artifact_file: Its path; the suffix says the format.
        key: The series, instead of a path.
        step: Which of the series; 0 by default.
        timestamp: Milliseconds since the epoch; now by default.
        synchronous: True waits until that is in the database.

    Raises:
        InvalidArgumentError: It is no image that can be stored, or not exactly one of path and key is given.
        ArtifactError: The path is refused, or the file cannot be stored.
        IntegrationNotAvailableError: Pillow is not installed.
    """
    files = rendering.image_files(image, artifact_file, key, step, timestamp)
    run = writer_for()
    store_image_files(client_of(run), run.run_id, files, synchronous)


def get_artifact_uri(artifact_path: str | None = None) -> str:
    """Where the active run's files are, or one of them (a run is opened where there is none).

    Raises:
        ArtifactError: The path is refused.
    """
    inside = checked_path(artifact_path) if artifact_path else ""
    root = writer_for().artifact_uri
    return f"{root}/{inside}" if inside else root
