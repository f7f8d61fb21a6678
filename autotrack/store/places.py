"""URIs of files as the database keeps them.

What lies below a SQLite store's own artifact root is kept relative to it (`./models/<id>`), so that the folder can be
moved or copied. What lies elsewhere is kept as it is, and so is everything of a database server, whose readers have
roots of their own.
"""

from __future__ import annotations

import os

from autotrack.store.location import Location, sqlite_file

ROOT_TAG = "autotrack.artifact_root"
"""Tag of a run whose files are neither where its experiment says nor where every reader of the store looks."""


def is_portable(location: Location) -> bool:
    """Whether the store's own artifact root is a folder beside its database, the same for every reader."""
    return sqlite_file(location.url) is not None


def kept_uri(location: Location, uri: str) -> str:
    """A URI as the database keeps it."""
    root = location.artifact_root.replace(os.sep, "/")
    plain = uri.replace(os.sep, "/")
    if not is_portable(location) or not (plain + "/").startswith(root + "/"):
        return uri
    return "." + plain[len(root) :].rstrip("/")


def full_uri(location: Location, kept: str) -> str:
    """The URI that `kept_uri` made `kept` of; an older database's absolute one stays as it is."""
    if kept == "." or kept.startswith("./"):
        return location.artifact_root + kept[1:]
    return kept
