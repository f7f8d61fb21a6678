"""The part of `Client` that is about the files of runs."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path, PurePath
from typing import Any, TypeVar

from autotrack import records
from autotrack.artifacts import Stored
from autotrack.artifacts.paths import checked_path
from autotrack.errors import ArtifactError, InvalidArgumentError, NotFoundError
from autotrack.streams import blocks
from autotrack.tracking import rendering
from autotrack.tracking.access import Access
from autotrack.tracking.cost import storing
from autotrack.tracking.frames import frame_of_tables
from autotrack.tracking.tables import table_of
from autotrack.tracking.values import checked_experiment_id, checked_file, checked_text, checked_texts

T = TypeVar("T")


class FileCalls(Access):
    """Calls about the files of runs."""

    def log_artifact(self, run_id: str, local_path: str | os.PathLike[str], artifact_path: str | None = None) -> None:
        """Store a copy of a local file, or of a folder, among a run's artifacts.

        Args:
            run_id: The run.
            local_path: The file or folder.
            artifact_path: The folder among the artifacts that it goes into, under its own name; the topmost by default.

        Raises:
            NotFoundError: There is no such run.
            InvalidArgumentError: A path is none.
            ArtifactError: The file cannot be read or stored.
        """
        local, folder = local_file(local_path, "local_path").absolute(), _inside(artifact_path, "artifact_path")
        if local.is_dir():
            self.log_artifacts(run_id, local, _joined(folder, local.name))
            return
        run = self.attached_writer(run_id)
        with storing(run.cost):
            self._note(run_id, [run.artifacts(show_progress=True).put_file(local, _joined(folder, local.name))])

    def log_artifacts(self, run_id: str, local_dir: str | os.PathLike[str], artifact_path: str | None = None) -> None:
        """Store copies of all files of a local folder among a run's artifacts.

        Args:
            run_id: The run.
            local_dir: The folder.
            artifact_path: The folder among the artifacts that what is in it goes into; the topmost by default.

        Raises:
            NotFoundError: There is no such run.
            InvalidArgumentError: A path is none.
            ArtifactError: A file cannot be read or stored.
        """
        local, folder = local_file(local_dir, "local_dir"), _inside(artifact_path, "artifact_path")
        run = self.attached_writer(run_id)
        with storing(run.cost):
            self._note(run_id, run.artifacts(show_progress=True).put_folder(local, folder))

    def log_text(self, run_id: str, text: str, artifact_file: str) -> None:
        """Store text, as UTF-8, as one of a run's artifacts.

        Raises:
            NotFoundError: There is no such run.
            InvalidArgumentError: It is no text.
            ArtifactError: The path is refused, or the file cannot be stored.
        """
        self.log_bytes(run_id, checked_text(text, "text").encode(), artifact_file)

    def log_dict(self, run_id: str, dictionary: Any, artifact_file: str) -> None:
        """Store a dict or list as YAML where the file is called so, as JSON else.

        Raises:
            NotFoundError: There is no such run.
            InvalidArgumentError: It holds keys that are no text, or itself.
            ArtifactError: The path is refused, or the file cannot be stored.
        """
        file = checked_file(artifact_file)
        self.log_text(run_id, rendering.dict_text(dictionary, file), file)

    def log_figure(
        self, run_id: str, figure: Any, artifact_file: str, *, save_kwargs: Mapping[str, Any] | None = None
    ) -> None:
        """Store a matplotlib or plotly figure as one of a run's artifacts.

        Args:
            run_id: The run.
            figure: The figure.
            artifact_file: Its path; the suffix says the format (plotly: `.html`, `.json`, or a picture's where kaleido
                is there).
            save_kwargs: For the figure's own `savefig`, `to_html` or `to_image`.

        Raises:
            NotFoundError: There is no such run.
            InvalidArgumentError: It is no figure that can be stored.
            ArtifactError: The path is refused, or the file cannot be stored.
        """
        file = checked_file(artifact_file)
        self.log_bytes(run_id, rendering.figure_bytes(figure, file, save_kwargs), file)

    def log_image(
        self,
        run_id: str,
        image: Any,
        artifact_file: str | None = None,
        key: str | None = None,
        step: int | None = None,
        timestamp: int | None = None,
        synchronous: bool | None = None,
    ) -> None:
        """Store an image as one of a run's artifacts: under a path, or as one of a series under a key.

        Args:
            run_id: The run.
            image: A PIL image, an array of shape (height, width[, 1, 3 or 4]) or a torch tensor, whose channels may
                come first. Whole numbers and booleans are taken from 0 to 255 (booleans: black and white), floats from
                0 to 1.
            artifact_file: Its path; the suffix says the format.
            key: The series, instead of a path; the image is stored below `images/` where MLflow keeps them.
            step: Which of the series; 0 by default.
            timestamp: Milliseconds since the epoch; now by default.
            synchronous: True waits until that is in the database.

        Raises:
            NotFoundError: There is no such run.
            InvalidArgumentError: It is no image that can be stored, or not exactly one of path and key is given.
            ArtifactError: The path is refused, or the file cannot be stored.
            IntegrationNotAvailableError: Pillow is not installed.
        """
        files = rendering.image_files(image, artifact_file, key, step, timestamp)
        store_image_files(self, run_id, files, synchronous)

    def log_table(self, run_id: str, data: Any, artifact_file: str) -> None:
        """Store a table as JSON as one of a run's artifacts; below the rows of a table that is there already.

        Args:
            run_id: The run.
            data: A DataFrame (pandas, polars), or a dict of columns; a dict of single values is one row.
            artifact_file: Its path.

        Raises:
            NotFoundError: There is no such run.
            InvalidArgumentError: It is no table, or the file that is there is none.
            ArtifactError: The path is refused, or the file cannot be stored.
        """
        self.log_rows(run_id, table_of(data), checked_file(artifact_file))

    def log_rows(self, run_id: str, table: Mapping[str, list[Any]], artifact_file: str) -> None:
        """Store a table that is made of columns and rows already; errors as for `log_table`."""
        artifacts = self.attached_writer(run_id).artifacts()
        if artifacts.exists(artifact_file):
            table = rendering.appended(artifacts.read_bytes(artifact_file), table, "artifact_file")
        self.log_text(run_id, rendering.table_text(table), artifact_file)

    def load_table(
        self,
        experiment_id: str,
        artifact_file: str,
        run_ids: Sequence[str] | None = None,
        extra_columns: Sequence[str] | None = None,
    ) -> Any:
        """The tables that runs of an experiment stored under one path, as one DataFrame.

        Args:
            experiment_id: The experiment.
            artifact_file: The path of the tables.
            run_ids: Only these runs' tables.
            extra_columns: What to add of each table's run: `run_id`, `run_name`, `metrics.x`, `params.y`, `tags.z`, ...

        Raises:
            NotFoundError: No run of the experiment has such a file.
            InvalidArgumentError: An argument is not usable, or a file is no table.
            IntegrationNotAvailableError: pandas is not installed.
        """
        from autotrack.store import finding

        file, number = checked_file(artifact_file), checked_experiment_id(experiment_id)
        wanted = None if run_ids is None else checked_texts(run_ids, "run_ids")
        more = checked_texts(extra_columns, "extra_columns")
        reader = self.reader
        reader.experiment(number)
        found = reader.runs(finding.runs_with_artifact(reader.store, checked_path(file), number, wanted))
        if not found:
            raise NotFoundError("table", file, f"no run of experiment {number} that was asked for has stored it")
        tables = [(run, self._loaded(run.info.run_id, file, json.loads)) for run in found]
        return frame_of_tables(tables, more)

    def log_stream(self, run_id: str, stream: Any, artifact_file: str) -> None:
        """Store what a stream of bytes still holds as one of a run's artifacts.

        Args:
            run_id: The run.
            stream: A file opened for reading bytes, or anything with such a `read`.
            artifact_file: Its path.

        Raises:
            NotFoundError: There is no such run.
            InvalidArgumentError: It is no stream of bytes.
            ArtifactError: The path is refused, or the file cannot be stored.
        """
        file, run = checked_file(artifact_file), self.attached_writer(run_id)
        checked_stream(stream)
        with tempfile.TemporaryDirectory(prefix="autotrack-") as folder:
            copy = Path(folder) / "stream"
            with copy.open("wb") as out:
                for block in blocks(stream):
                    if not isinstance(block, (bytes, bytearray, memoryview)):
                        raise InvalidArgumentError("stream", stream, "a file that is open for reading bytes, not text")
                    out.write(block)
            with storing(run.cost):
                self._note(run_id, [run.artifacts().put_file(copy, file)])

    def log_bytes(self, run_id: str, data: bytes, artifact_file: str) -> None:
        """Store bytes as one of a run's artifacts.

        Raises:
            NotFoundError: There is no such run.
            InvalidArgumentError: They are no bytes.
            ArtifactError: The path is refused, or the file cannot be stored.
        """
        if not isinstance(data, (bytes, bytearray, memoryview)):
            raise InvalidArgumentError("data", data, "bytes")
        run = self.attached_writer(run_id)
        with storing(run.cost):
            self._note(run_id, [run.artifacts().put_bytes(checked_file(artifact_file), bytes(data))])

    def load_text(self, run_id: str, artifact_file: str) -> str:
        """A file of a run's artifacts as text.

        Raises:
            NotFoundError: There is no such run.
            ArtifactError: There is no such file, or it is no UTF-8 text.
        """
        return self._loaded(run_id, artifact_file, bytes.decode)

    def load_dict(self, run_id: str, artifact_file: str) -> Any:
        """A JSON file of a run's artifacts (or a YAML file, where it is called so) as dicts and lists.

        Raises:
            NotFoundError: There is no such run.
            ArtifactError: There is no such file, or it does not parse.
        """
        return self._loaded(run_id, artifact_file, rendering.parser_of(artifact_file))

    def load_image(self, run_id: str, artifact_file: str) -> Any:
        """A file of a run's artifacts as a PIL image.

        Raises:
            NotFoundError: There is no such run.
            ArtifactError: There is no such file, or it is no picture.
            IntegrationNotAvailableError: Pillow is not installed.
        """
        return self._loaded(run_id, artifact_file, rendering.picture_from)

    def _loaded(self, run_id: str, artifact_file: str, parse: Callable[[bytes], T]) -> T:
        file = checked_file(artifact_file)
        data = self.attached_writer(run_id).artifacts().read_bytes(file)
        try:
            return parse(data)
        except ValueError as error:
            raise ArtifactError(f"artifact {file!r} of run {run_id}: {error}") from error

    def list_artifacts(self, run_id: str, path: str | None = None) -> list[records.FileInfo]:
        """Files and folders directly below a path among a run's artifacts.

        Raises:
            NotFoundError: There is no such run.
            InvalidArgumentError: The path is no text.
            ArtifactError: The path is refused.
        """
        return self.attached_writer(run_id).artifacts().list(_inside(path, "path"))

    def download_artifacts(self, run_id: str, path: str, dst_path: str | os.PathLike[str] | None = None) -> str:
        """Copy a file or folder of a run's artifacts into a local folder (a new temporary one by default).

        Returns:
            Where it lies now.

        Raises:
            NotFoundError: There is no such run.
            InvalidArgumentError: A path is none.
            ArtifactError: There is no such artifact.
        """
        inside, artifacts = _inside(path, "path"), self.attached_writer(run_id).artifacts(show_progress=True)
        folder = Path(tempfile.mkdtemp()) if dst_path is None else local_file(dst_path, "dst_path")
        return str(artifacts.download(inside, folder))

    def _note(self, run_id: str, stored: list[Stored]) -> None:
        self.attached_writer(run_id).log_files(stored)


def checked_stream(stream: Any) -> None:
    """See that something can be read from.

    Raises:
        InvalidArgumentError: It cannot.
    """
    if not callable(getattr(stream, "read", None)):
        raise InvalidArgumentError("stream", stream, "a file that is open for reading bytes")


def _inside(path: object, argument: str) -> str:
    """A path among a run's artifacts; empty for the whole."""
    if path is None or path == "":
        return ""
    if not isinstance(path, (str, os.PathLike)):
        raise InvalidArgumentError(argument, path, "a path among the run's artifacts")
    return path if isinstance(path, str) else PurePath(path).as_posix()


def local_file(path: object, argument: str) -> Path:
    """A local path as given.

    Raises:
        InvalidArgumentError: It is none, or empty.
    """
    if not isinstance(path, (str, os.PathLike)) or not os.fspath(path):
        raise InvalidArgumentError(argument, path, "the path of a local file or folder")
    return Path(path)


def _joined(folder: str | None, name: str) -> str:
    return f"{folder.rstrip('/')}/{name}" if folder else name


def store_image_files(
    client: FileCalls, run_id: str, files: Mapping[str, bytes], synchronous: bool | None = None
) -> None:
    """Store the files that `rendering.image_files` made; errors as for `log_bytes`."""
    for name, data in files.items():
        client.log_bytes(run_id, data, name)
    writer = client.attached_writer(run_id)
    if len(files) > 1:
        writer.set_tags({"mlflow.loggedImages": "True"})
    if synchronous:
        writer.recorder.flush()
