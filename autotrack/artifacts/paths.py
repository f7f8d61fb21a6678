"""Names: which paths may stand below an artifact root, and which roots are folders of this machine."""

from __future__ import annotations

import os
import re
from urllib.parse import unquote, urlsplit

from autotrack.errors import ArtifactError

IS_FOLDER = "there is a folder of that name"
"""Why a file cannot be written."""

_FOREIGN = re.compile(r"[A-Za-z]:|[A-Za-z][A-Za-z0-9+.-]+:/")
"""How a drive or a URL begins."""

_UNFINISHED = re.compile(r"(^|/)\.[0-9a-f]{32}\.part$")

_CREDENTIALS = re.compile(r"(?<=://)[^/@]*@")


def checked_path(path: str) -> str:
    """A relative path inside an artifact root, normalised.

    A backslash parts folders on Windows alone; elsewhere it would mean one thing here and another there.

    Raises:
        ArtifactError: It is absolute, empty, leaves the root, or holds a backslash where that parts no folders.
    """
    text = str(path)
    if os.name == "nt":
        text = text.replace("\\", "/")
    # No `pathlib`: it keeps each part of a path for ever (`sys.intern`), and these have ids in them.
    parts = [part for part in text.split("/") if part not in ("", ".")]
    if not parts or text.startswith("/") or ".." in parts or "\0" in text or _FOREIGN.match(text):
        raise ArtifactError(f"artifact path {path!r}: expected a relative path inside the run's folder, without '..'")
    try:
        os.fsencode(text)
    except UnicodeEncodeError:
        raise ArtifactError(f"artifact path {path!r}: expected a path that can be written in UTF-8") from None
    if "\\" in text:
        raise ArtifactError(f"artifact path {path!r}: expected a relative path with '/', without backslashes")
    return "/".join(parts)


def is_unfinished(path: str) -> bool:
    """Whether a file is one that is being written, or that a program left behind when it died."""
    return bool(_UNFINISHED.search(path))


def is_local(uri: str) -> bool:
    """Whether a root is a folder of this machine: a path, or a `file:` URL."""
    return "://" not in uri or uri.startswith("file:")


def folder_of(uri: str) -> str:
    """The absolute path, with `/`, of a root that is local."""
    path = unquote(urlsplit(uri).path) if uri.startswith("file:") else uri
    return os.path.abspath(os.path.expanduser(path)).replace(os.sep, "/")


def shown(uri: str) -> str:
    """A root as messages name it: without credentials."""
    return _CREDENTIALS.sub("", uri)


def checked_root(uri: str) -> str:
    """A root for files, as it can be kept: a local path is made absolute.

    Raises:
        ArtifactError: It is a URL of a kind that nobody knows.
    """
    if is_local(uri):
        return uri if uri.startswith("file:") else folder_of(uri)
    import fsspec

    protocol = re.split(r"://|::", uri, maxsplit=1)[0]
    if protocol not in {*fsspec.available_protocols(), *fsspec.registry}:
        raise ArtifactError(
            f"artifact root {shown(uri)}: nobody knows the protocol {protocol!r}; expected a folder, or a URL that "
            "fsspec knows, such as s3://bucket/folder, gs://bucket/folder or memory://folder"
        )
    return uri if uri.endswith("://") else uri.rstrip("/")
