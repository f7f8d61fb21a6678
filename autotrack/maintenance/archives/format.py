"""The format of an archive of runs.

Version **1**. A ZIP file (ZIP64 where it is large) with members that are stored or deflated:

- `manifest.json`: a `Manifest`. It names every other member with its size and sha256.
- `runs/<number>.jsonl`: one run as a stream of `autotrack.store.replay`, a JSON object a line.
- `files/<sha256>`: the content of artifacts and of the files of models; equal content is there once.

No member's name is taken from what was recorded. Paths of artifacts and of files in models stand in the manifest:
relative, with `/`, without `..`. A reader refuses a higher version than its own, members that the manifest does not
name, members of other names, and all whose size or hash is another one.

To change the format: an optional field needs no new version; anything else raises `VERSION`, and the reader keeps
reading the old one.
"""

from __future__ import annotations

import re

import msgspec

FORMAT = "autotrack-runs"
VERSION = 1
MANIFEST = "manifest.json"

MEMBER = re.compile(r"(?:runs/[0-9]{1,12}\.jsonl|files/[0-9a-f]{64})", re.ASCII)
"""What members besides the manifest are called."""


class Member(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A member of the archive."""

    size: int
    """Bytes, inflated."""
    sha256: str


class FileEntry(msgspec.Struct, frozen=True):
    """A file of a run or of a model."""

    path: str
    """Among the run's artifacts, or in the model's directory."""
    sha256: str
    """Of its content: member `files/<sha256>`."""


class ModelEntry(msgspec.Struct, frozen=True, omit_defaults=True):
    """The directory of a model that a run put out."""

    model_id: str
    files: list[FileEntry] = []


class RunEntry(msgspec.Struct, frozen=True, omit_defaults=True):
    """A run."""

    run_id: str
    stream: str
    """The member that it is."""
    experiment: str
    status: str
    start_time: int
    end_time: int | None = None
    files: list[FileEntry] = []
    models: list[ModelEntry] = []
    missing: list[str] = []
    """Artifacts and models that could not be read when the archive was written."""


class Manifest(msgspec.Struct, frozen=True, omit_defaults=True):
    """What is in an archive."""

    format: str
    version: int
    created: int
    """ms since the epoch."""
    autotrack: str
    """Version of the program that wrote it."""
    source: str
    """URL of the store that the runs are from, without credentials."""
    members: dict[str, Member]
    runs: list[RunEntry]


class Header(msgspec.Struct, frozen=True):
    """As much of a manifest as every version has."""

    format: str
    version: int


def file_member(sha256: str) -> str:
    """Name of the member that holds a file's content."""
    return f"files/{sha256}"
