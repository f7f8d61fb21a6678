"""What models, versions and aliases of the registry may be called: what `models:` URIs can say."""

from __future__ import annotations

import re

from autotrack.errors import InvalidArgumentError
from autotrack.tracking.values import checked_key

MAX_NAME = 500
MAX_ALIAS = 255
MAX_VERSION = 2**31 - 1

_ALIAS = re.compile(r"[\w-]+")
_LIKE_A_VERSION = re.compile(r"[vV]?\d+")


def checked_model_name(name: object, argument: str = "name") -> str:
    """The name of a registered model.

    Raises:
        InvalidArgumentError: It is no text, empty, too long, or no URI could say it.
    """
    text = checked_key(name, argument)
    if any(char in text for char in "/:") or text in (".", "..") or len(text) > MAX_NAME:
        raise InvalidArgumentError(argument, name, f"1 to {MAX_NAME} characters without '/' and ':', for models:/ URIs")
    return text


def checked_alias(alias: object) -> str:
    """An alias, to be set.

    Raises:
        InvalidArgumentError: It is no text, empty, too long, of other characters, or would be taken for a version.
    """
    text = checked_key(alias, "alias")
    if not _ALIAS.fullmatch(text) or len(text) > MAX_ALIAS:
        raise InvalidArgumentError("alias", alias, f"1 to {MAX_ALIAS} letters, digits, '_' and '-'")
    if text.lower() == "latest" or _LIKE_A_VERSION.fullmatch(text):
        raise InvalidArgumentError("alias", alias, "an alias that is no version: not 'latest', 'v3' or '3'")
    return text


def checked_version(version: object) -> int:
    """A version's number; text is taken too.

    Raises:
        InvalidArgumentError: It is none.
    """
    text = str(version) if isinstance(version, (str, int)) and not isinstance(version, bool) else ""
    if not (text.isascii() and text.isdecimal()) or len(text) > 10 or not 1 <= int(text) <= MAX_VERSION:
        raise InvalidArgumentError("version", version, "the number of a version, such as 3 or '3'")
    return int(text)
