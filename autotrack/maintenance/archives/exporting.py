"""Runs out of a store, into an archive."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import msgspec

from autotrack import __version__, clock, records
from autotrack.artifacts import Artifacts
from autotrack.atomic import replacing
from autotrack.errors import ArchiveError, ArtifactError
from autotrack.maintenance.archives import format as fmt
from autotrack.maintenance.places import place_of_model, walk
from autotrack.progress_bar import progress_bar
from autotrack.store.reading import Reader
from autotrack.store.replay import encode, run_events
from autotrack.streams import blocks
from autotrack.tracking.access import Access

_ZIPPED = (".gz", ".bz2", ".xz", ".zst", ".zip", ".png", ".jpg", ".jpeg", ".parquet", ".npz", ".skops", ".whl")
"""Files that deflating makes no smaller."""


class Exported(records.Record, frozen=True):
    """What an archive was made of."""

    path: str
    runs: list[str]
    """Ids."""
    files: int
    """Contents of files; equal ones count once."""
    size: int
    """Bytes of the archive."""
    missing: list[str] = []
    """Artifacts and models that could not be read, each with its run and why; the archive lacks them."""


def export_runs(
    run_ids: Sequence[str],
    path: str | os.PathLike[str],
    tracking_uri: str | os.PathLike[str] | None = None,
    overwrite: bool = False,
) -> Exported:
    """Write runs whole, with their artifacts and models, into one file that `import_runs` reads.

    Memory stays bounded: curves and files are streamed. The file appears when it is complete.

    Args:
        run_ids: Whole ids; those named twice count once.
        path: The archive; its format stands in `autotrack.maintenance.archives.format`.
        tracking_uri: The store; None for the one that this process records into.
        overwrite: Replace a file that is there.

    Raises:
        NotFoundError: There is no such run; no file is made.
        ArchiveError: There is a file already, or it cannot be written.
        StoreError: The store cannot be read.
    """
    target = Path(path)
    if target.exists() and not overwrite:
        raise ArchiveError(f"archive {target}: there is such a file already; choose another name, or overwrite it")
    reader = Access(tracking_uri).reader
    wanted = list(dict.fromkeys(run_ids))
    runs = [reader.run(run_id) for run_id in wanted]
    try:
        with (
            replacing(target) as draft,
            tempfile.TemporaryDirectory(prefix="autotrack-") as scratch,
            zipfile.ZipFile(draft, "x", zipfile.ZIP_DEFLATED, allowZip64=True) as archive,
        ):
            manifest = _Packer(archive, reader, Path(scratch)).pack(runs)
    except OSError as error:
        raise ArchiveError(f"archive {target}: it cannot be written: {error.strerror or error}") from error
    return Exported(
        path=str(target),
        runs=wanted,
        files=len(manifest.members) - len(wanted),
        size=target.stat().st_size,
        missing=[f"run {run.run_id}: {text}" for run in manifest.runs for text in run.missing],
    )


class _Packer:
    """Fills one archive."""

    def __init__(self, archive: zipfile.ZipFile, reader: Reader, scratch: Path) -> None:
        self._archive = archive
        self._reader = reader
        self._scratch = scratch
        self._members: dict[str, fmt.Member] = {}

    def pack(self, runs: Sequence[records.Run]) -> fmt.Manifest:
        """Write all, the manifest at the end."""
        total = len(runs)
        with progress_bar("exporting", total, "runs") as advance:
            entries = [self._run(number, run, advance) for number, run in enumerate(runs)]
        manifest = fmt.Manifest(
            format=fmt.FORMAT,
            version=fmt.VERSION,
            created=clock.now(),
            autotrack=__version__,
            source=self._reader.store.safe_url,
            members=self._members,
            runs=entries,
        )
        self._archive.writestr(fmt.MANIFEST, msgspec.json.encode(manifest))
        return manifest

    def _run(self, number: int, run: records.Run, advance: Callable[[int], None]) -> fmt.RunEntry:
        info = run.info
        missing: list[str] = []
        files = self._run_files(run, missing)
        models = [self._model(model, missing) for model in self._reader.models(info.run_id)]
        stream = f"runs/{number}.jsonl"
        items = run_events(self._reader.store, info.run_id)
        self._write(stream, (encode(item) + b"\n" for item in items), zipfile.ZIP_DEFLATED)
        advance(1)
        return fmt.RunEntry(
            run_id=info.run_id,
            stream=stream,
            experiment=self._reader.experiment(info.experiment_id).name,
            status=info.status,
            start_time=info.start_time,
            end_time=info.end_time,
            files=files,
            models=[model for model in models if model.files],
            missing=missing,
        )

    def _run_files(self, run: records.Run, missing: list[str]) -> list[fmt.FileEntry]:
        """Files that the store lists, and those that only lie there."""
        root = run.info.artifact_uri
        listed = [info.path for info in self._reader.artifacts(run.info.run_id)]
        try:
            artifacts = Artifacts(root)
            found = [info.path for info in walk(artifacts)]
        except ArtifactError as error:
            missing.append(str(error))
            return []
        return list(self._files(artifacts, sorted({*listed, *found}), "", missing))

    def _model(self, model: records.LoggedModel, missing: list[str]) -> fmt.ModelEntry:
        place = place_of_model(model.uri)
        try:
            artifacts = Artifacts(place.root)
            paths = [info.path for info in walk(artifacts, place.folder)]
        except ArtifactError as error:
            missing.append(str(error))
            return fmt.ModelEntry(model.model_id)
        if not paths:
            missing.append(f"model {model.name!r}: {model.uri} is not there")
        return fmt.ModelEntry(model.model_id, list(self._files(artifacts, paths, f"{place.folder}/", missing)))

    def _files(
        self, artifacts: Artifacts, paths: Sequence[str], start: str, missing: list[str]
    ) -> Iterator[fmt.FileEntry]:
        for path in paths:
            try:
                local = artifacts.download(path, self._scratch)
                yield fmt.FileEntry(path.removeprefix(start), self._file(local))
            except ArtifactError as error:
                missing.append(str(error))
            finally:
                _empty(self._scratch)

    def _file(self, local: Path) -> str:
        with open(local, "rb") as file:
            digest = hashlib.sha256()
            for block in blocks(file):
                digest.update(block)
            name = fmt.file_member(digest.hexdigest())
            if name not in self._members:
                file.seek(0)
                packed = local.name.lower().endswith(_ZIPPED)
                self._write(name, blocks(file), zipfile.ZIP_STORED if packed else zipfile.ZIP_DEFLATED)
        return digest.hexdigest()

    def _write(self, name: str, blocks: Iterator[bytes], method: int) -> None:
        digest, size = hashlib.sha256(), 0
        info = zipfile.ZipInfo(name)
        info.compress_type = method
        info.external_attr = 0o644 << 16
        with self._archive.open(info, "w", force_zip64=True) as member:
            for block in blocks:
                member.write(block)
                digest.update(block)
                size += len(block)
        self._members[name] = fmt.Member(size, digest.hexdigest())


def _empty(folder: Path) -> None:
    for entry in folder.iterdir():
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry, ignore_errors=True)
        else:
            entry.unlink(missing_ok=True)
