"""Where a store is: from a tracking URI to its URL, its journals and its artifacts. Imports no SQLAlchemy.

The training thread needs to know where to append its journal, and must not pay for the database to know it.
"""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote, unquote, urlsplit

from autotrack import config
from autotrack.errors import InvalidArgumentError

SQLITE = "sqlite:///"
SCHEMES = ("sqlite", "postgresql", "postgres", "mysql", "mariadb")
FILE_SUFFIXES = (".db", ".sqlite", ".sqlite3")


class Location(NamedTuple):
    """A store and what lies beside it."""

    url: str
    """SQLAlchemy URL."""
    safe_url: str
    """The same without credentials."""
    key: str
    """Short hash of `safe_url`: names the store in file names."""
    folder: Path
    """Folder of the local files: where the SQLite file is, or `.autotrack`."""

    @property
    def journal_folder(self) -> Path:
        """Where this store's journals are written."""
        return self.folder / "journal" / self.key

    @property
    def fallback_journal_folder(self) -> Path:
        """Where they are written when `journal_folder` cannot be."""
        user = str(os.getuid()) if hasattr(os, "getuid") else "user"
        return Path(tempfile.gettempdir()) / f"autotrack-{user}" / "journal" / self.key

    @property
    def artifact_root(self) -> str:
        """Where runs keep their files by default."""
        return os.path.join(self.folder, "artifacts")


ODD = "surrogateescape"
"""How Python spells the bytes of a path that are no UTF-8."""


def _nameable(text: str | bytes) -> bool:
    """Whether the file system could have such a name; bytes are told of elsewhere."""
    try:
        return b"\0" not in os.fsencode(text)
    except UnicodeEncodeError:
        return False


def locate(uri: str | os.PathLike[str] | None = None) -> Location:
    """Find the store that a tracking URI names.

    Args:
        uri: `sqlite:///file.db`, `postgresql://...`, `mysql://...`, a folder (or `file:` URL of one) to keep a SQLite
            store in, or a `.db` file; None for the setting `tracking_uri`, and without that the folder `.autotrack`.

    Raises:
        InvalidArgumentError: The URI is of no known kind.
    """
    text = os.fspath(uri) if uri is not None else config.settings().tracking_uri
    if not text:
        return _local(config.home() / "autotrack.db")
    if not _nameable(text):
        raise InvalidArgumentError("tracking URI", text, "text without a NUL or half a surrogate pair")
    scheme = text.partition("://")[0].partition("+")[0] if "://" in text else ""
    if text.startswith("file:"):
        return _in_folder(Path(unquote(_path_of(text), errors=ODD)))
    if not scheme:
        return _local(Path(text)) if text.endswith(FILE_SUFFIXES) else _in_folder(Path(text))
    if scheme == "sqlite":
        return _sqlite(text)
    if scheme in SCHEMES:
        return _server(text, scheme)
    raise InvalidArgumentError("tracking URI", text, "sqlite:///file.db, postgresql://..., mysql://... or a folder")


def _path_of(url: str) -> str:
    try:
        return urlsplit(url).path
    except ValueError as error:
        raise InvalidArgumentError("tracking URI", url, f"a URL ({error})") from None


def _in_folder(folder: Path) -> Location:
    return _local(folder / "autotrack.db")


def _local(file: Path) -> Location:
    """One file has one location, by whatever path it was named."""
    if "\0" in str(file):
        raise InvalidArgumentError("tracking URI", str(file), "a path without a NUL")
    # Not Path.expanduser, which raises where there is no such user, or no home.
    folder = Path(os.path.realpath(Path(os.path.expanduser(file)).parent))
    url = SQLITE + quote(str(folder / file.name), safe="/\\: !$&'()*+,;=@~", errors=ODD)
    return Location(url, url, _key(url), folder)


def sqlite_file(url: str) -> Path | None:
    """The file of a SQLite store's URL (as in `Location.url`); None for a server's."""
    return Path(unquote(url[len(SQLITE) :], errors=ODD)) if url.startswith(SQLITE) else None


def artifact_uri(root: str, run_id: str) -> str:
    """Where a run's files are, given its experiment's artifact location or `Location.artifact_root`."""
    return f"{root.rstrip('/')}/{run_id}"


def _sqlite(url: str) -> Location:
    file = url[len(SQLITE) :] if url.startswith(SQLITE) else ""
    if not file or file == ":memory:":
        raise InvalidArgumentError("tracking URI", url, "sqlite:/// and a file (an in-memory store cannot be shared)")
    return _local(Path(unquote(file.partition("?")[0], errors=ODD)))


def _server(url: str, scheme: str) -> Location:
    """A database server's URL; the driver is always the one that autotrack knows, whichever the URL names."""
    driver = "postgresql+psycopg" if scheme.startswith("postgres") else "mysql+pymysql"
    credentials, host, database, query = _server_parts(url, scheme)
    sockets = "&".join(item for item in query.split("&") if item.partition("=")[0] in _PLACES)
    safe = f"{driver.partition('+')[0]}://{host}/{database}" + (f"?{sockets}" if sockets else "")
    full = f"{driver}://{credentials}{host}/{database}" + (f"?{query}" if query else "")
    return Location(full, safe, _key(safe), config.home())


def _server_parts(url: str, scheme: str) -> tuple[str, str, str, str]:
    """Credentials (with their `@`), host and port, database, query."""
    match = _SERVER.fullmatch(url.partition("://")[2])
    if match is None or not _is_whole(match):
        expected = (
            f"{scheme}://user:password@host:port/database (in user and password, write % and two digits for :/?#)"
        )
        # Without the URL: what does not parse may be a password.
        raise InvalidArgumentError("tracking URI", f"{scheme}://...", expected) from None
    credentials = ""
    if match["credentials"] is not None:
        user, colon, password = match["credentials"].partition(":")
        credentials = f"{quote(unquote(user), safe='')}{colon}{quote(unquote(password), safe='')}@"
    return credentials, match["host"].lower(), match["database"], match["query"] or ""


def _is_whole(match: re.Match[str]) -> bool:
    """Whether all parts are there, and are not pieces of a password with special characters in it."""
    database, options = match["database"] or "", (match["query"] or "=").split("&")
    readable = _HOST.fullmatch(match["host"]) is not None and all("=" in option for option in options)
    return readable and bool(database) and "@" not in database


_SERVER = re.compile(
    r"(?:(?P<credentials>[^/?#]*)@)?(?P<host>[^/?#@]*)(?:/(?P<database>[^/?#]*))?(?:\?(?P<query>[^#]*))?", re.DOTALL
)
_HOST = re.compile(r"(?:\[[0-9A-Fa-f:.%]+\]|[^\[\]:\s]*)(?::[0-9]+)?")
_PLACES = ("host", "port", "unix_socket")
"""Options of a URL that say where the server is, beside or instead of its host."""


def _key(safe_url: str) -> str:
    return hashlib.sha256(safe_url.encode("utf-8", "surrogateescape")).hexdigest()[:12]
