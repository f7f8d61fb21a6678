"""Which store a command looks into. To look is not to make: where there is none, none appears."""

from __future__ import annotations

import argparse

from autotrack.client import Client
from autotrack.errors import StoreError
from autotrack.store.location import Location, sqlite_file
from autotrack.tracking import ingest

NOTHING_YET = "nothing is recorded yet in {}; record with: autotrack run train.py"


def add_store_option(parser: argparse.ArgumentParser) -> None:
    """`--store`, the same for all commands."""
    text = "store URL, or a folder or .db file (default: the setting tracking_uri, then the nearest folder .autotrack)"
    parser.add_argument("--store", metavar="URI", help=text)


def exists(location: Location) -> bool:
    """Whether there is anything to read: a database (of a server that is assumed), or journals of one to come."""
    file = sqlite_file(location.url)
    return file is None or file.exists() or any(True for _ in ingest.files(location))


def open_client(uri: str | None) -> Client:
    """A client of a store that is there.

    Raises:
        StoreError: There is none.
        InvalidArgumentError: The URI is of no known kind.
    """
    client = Client(uri)
    if not exists(client.location):
        raise StoreError(client.location.safe_url, "there is no such store", "record with: autotrack run train.py")
    return client
