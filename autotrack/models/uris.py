"""Where a model is: a local path or `file:` URL, or a URI whose scheme a higher layer resolves (`runs:`, `models:`)."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

from autotrack.errors import InvalidArgumentError

Resolver = Callable[[str], Path]
"""From a URI to a local directory. Raises an `AutotrackError` where there is no such thing."""

_resolvers: dict[str, Resolver] = {}

_FORMS = "models:/<name>/<version>, models:/<name>/latest, models:/<name>@<alias> or models:/<model id>"


class ModelsURI(NamedTuple):
    """What a `models:` URI says: a model's id, or the name of a registered model with a version or an alias."""

    model_id: str = ""
    name: str = ""
    version: int | None = None
    """None with neither version nor alias: the latest."""
    alias: str = ""


def parse_models_uri(uri: str) -> ModelsURI:
    """Take a `models:` URI apart.

    Args:
        uri: `models:/name/3`, `models:/name/latest`, `models:/name@alias`, or MLflow 3's `models:/<model id>`.

    Raises:
        InvalidArgumentError: It is of no such form; stages are none.
    """
    first, slash, last = uri.removeprefix("models:").lstrip("/").partition("/")
    if slash and first and last.isascii() and last.isdecimal() and len(last) < 20:
        return ModelsURI(name=first, version=int(last))
    if slash and first and last.lower() == "latest":
        return ModelsURI(name=first)
    name, at, alias = first.rpartition("@")
    if not slash and at and name and alias:
        return ModelsURI(name=name) if alias.lower() == "latest" else ModelsURI(name=name, alias=alias)
    if slash or at or not first:
        raise InvalidArgumentError("model_uri", uri, _FORMS)
    return ModelsURI(model_id=first)


def split_models_uri(uri: str) -> tuple[str, str]:
    """Take a path inside a model off a `models:` URI: `models:/name/3/MLmodel`, `models:/name@alias/MLmodel`.

    Returns:
        The model's own URI, and the path; empty for the model itself.
    """
    first, _, rest = uri.removeprefix("models:").lstrip("/").partition("/")
    second, _, behind = rest.partition("/")
    if "@" not in first and (second.isdecimal() or second.lower() == "latest"):
        return f"models:/{first}/{second}", behind.strip("/")
    return f"models:/{first}", rest.strip("/")


def register_resolver(scheme: str, resolve: Resolver) -> None:
    """Say how URIs of a scheme (`runs`, `models`, `s3`) are turned into a local directory; the last call counts."""
    _resolvers[scheme] = resolve


def local_path(uri: str | os.PathLike[str]) -> Path:
    """The local directory that a URI names.

    Args:
        uri: A path, a `file:` URL, or a URI of a scheme for which there is a resolver.

    Raises:
        InvalidArgumentError: Nobody knows the scheme.
    """
    if not isinstance(uri, (str, os.PathLike)):
        raise InvalidArgumentError("model_uri", uri, "a path or URI")
    text = os.fspath(uri)
    if not isinstance(uri, str) or ":" not in text:
        return Path(text)
    parts = urlsplit(text)
    if len(parts.scheme) < 2:
        # No scheme; one letter is a drive.
        return Path(text)
    if parts.scheme == "file":
        # Imported here: it draws in http, email and ssl.
        from urllib.request import url2pathname

        return Path(url2pathname(parts.path))
    if parts.scheme in _resolvers:
        return _resolvers[parts.scheme](text)
    if Path(text).exists():
        return Path(text)
    known = ", ".join(f"{scheme}:" for scheme in ("file", *sorted(_resolvers)))
    raise InvalidArgumentError("model_uri", text, f"a path, or a URI that begins with one of {known}")
