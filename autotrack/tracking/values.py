"""From Python values to what an event holds: keys, metric values, parameters, tags.

Two callers, two manners: the explicit API wants a clear error (`checked_*`), automatic code wants something that can
be stored (`safe_*`) and must neither raise nor run code of the user's.
"""

from __future__ import annotations

import functools
import json
import math
import os
import re
from collections.abc import Iterable, Mapping
from pathlib import PurePath
from typing import Any

import msgspec

from autotrack.errors import InvalidArgumentError
from autotrack.events import Event, Number, Param, encode, number_of
from autotrack.origin import is_library_type
from autotrack.tracking.redaction import redact, redact_value
from autotrack.tracking.value_texts import MAX_ITEMS, MAX_TEXT, clip, safe_text

SHORT = 100
"""Characters up to which text is looked up among what was recorded before."""

UNENCODABLE = (UnicodeEncodeError, TypeError, ValueError, OverflowError, RecursionError)
"""What encoding an event raises that holds text or values which JSON does not know."""

MAX_KNOWN = 256
"""Longer names are not kept in mind."""

_UNSTORABLE = re.compile("[\0\ud800-\udfff]")


def storable(text: str) -> str:
    """Text without what no database takes: NUL and lone surrogates become U+FFFD."""
    if text.isascii() and "\0" not in text:
        return text
    return _UNSTORABLE.sub("\ufffd", text)


def encoded(event: Event) -> bytes:
    """An event as a journal line, whatever text and numbers it holds (argv and paths may be any bytes)."""
    try:
        return encode(event)
    except UNENCODABLE:
        return encode(cleaned(event))


def cleaned(event: Event) -> Event:
    """An event with nothing in it that JSON or a database does not take."""
    plain: Event = msgspec.convert(_plain(event), type(event))
    return plain


def _plain(value: object, depth: int = 12) -> object:
    """A value as what JSON and databases take."""
    value = _native(value)
    if isinstance(value, msgspec.Struct):
        return {name: _plain(getattr(value, name), depth) for name in value.__struct_fields__}
    if value is None or isinstance(value, (bool, float)):
        return value if value is None or isinstance(value, bool) else float(value)
    if isinstance(value, int):
        return int(value) if -(2**63) <= value < 2**63 else float(value)
    if isinstance(value, str):
        return storable(str.__str__(value))
    if isinstance(value, Mapping) and depth:
        return {storable(str(key)): _plain(item, depth - 1) for key, item in value.items()}
    if isinstance(value, (list, tuple)) and depth:
        return [_plain(item, depth - 1) for item in value]
    return storable(safe_text(value))


def checked_key(key: object, argument: str = "key") -> str:
    """A key as given.

    Raises:
        InvalidArgumentError: It is no text, empty, or holds NUL or a lone surrogate.
    """
    if not isinstance(key, str) or not key.strip():
        raise InvalidArgumentError(argument, key, "a non-empty string")
    plain = str.__str__(key)  # of a subclass (numpy's, an enum's) the text alone
    if storable(plain) != plain:
        raise InvalidArgumentError(argument, key, "text without NUL and lone surrogates")
    return plain


def checked_name(name: object, argument: str = "key") -> str:
    """A name that the program gives something (a run, an experiment, a metric), as it is stored: without secrets.

    What looks one up by its name goes the same way, so that the name which was given finds it.

    Raises:
        InvalidArgumentError: As of `checked_key`.
    """
    return safe_name(checked_key(name, argument))


def safe_name(name: str) -> str:
    """A name as it is stored: without secrets."""
    return _known_name(name) if len(name) <= MAX_KNOWN else redact(name)


@functools.lru_cache(maxsize=4096)
def _known_name(name: str) -> str:
    """The name without secrets; runs and metrics come with the same few names all the time."""
    return redact(name)


def checked_note(value: object, argument: str) -> str:
    """A description or the like, as it is stored: without secrets; empty for None.

    Raises:
        InvalidArgumentError: It is no text.
    """
    return "" if value is None else shown_text(value, argument)


def shown_text(value: object, argument: str) -> str:
    """Text as it is stored: without secrets.

    Raises:
        InvalidArgumentError: It is none.
    """
    return redact(checked_text(value, argument))


def checked_number(value: object, argument: str = "value") -> float:
    """A metric's value as a float: any number of any library, 0-d arrays and tensors; NaN and infinities included.

    Raises:
        InvalidArgumentError: It is no number.
    """
    if isinstance(value, (str, bytes, bytearray)) or value is None:
        raise InvalidArgumentError(argument, value, "a number (int, float, bool, Decimal, numpy scalar, 0-d tensor)")
    try:
        if hasattr(value, "detach"):
            value = value.detach()  # or else torch warns of a number taken out of a graph
        if getattr(value, "ndim", 0) and getattr(value, "size", 0) == 1:
            value = value.item()  # type: ignore[attr-defined]
        return float(value)  # type: ignore[arg-type]
    except OverflowError:
        if is_library_type(type(value)):
            return math.inf if value > 0 else -math.inf  # type: ignore[operator]
    except (TypeError, ValueError, RuntimeError, ArithmeticError, AttributeError, LookupError, AssertionError):
        pass
    raise InvalidArgumentError(
        argument, value, "a number (int, float, bool, Decimal, numpy scalar, 0-d tensor)"
    ) from None


def checked_int(value: object, argument: str) -> int:
    """A step or a timestamp as an int.

    Raises:
        InvalidArgumentError: It is no whole number, or does not fit in 64 bits.
    """
    try:
        number = int(value)  # type: ignore[call-overload]
    except (TypeError, ValueError, OverflowError):
        raise InvalidArgumentError(argument, value, "a whole number") from None
    if number != value:
        raise InvalidArgumentError(argument, value, "a whole number")
    if not -(2**63) <= number < 2**63:
        raise InvalidArgumentError(argument, value, "a whole number of at most 64 bits")
    return int(number)


def checked_mapping(values: object, argument: str) -> Mapping[Any, Any]:
    """A mapping as given.

    Raises:
        InvalidArgumentError: It is none.
    """
    if not isinstance(values, Mapping):
        raise InvalidArgumentError(argument, values, "a dict")
    return values


def checked_tags(tags: object) -> dict[str, str]:
    """Tags as text; None for none.

    Raises:
        InvalidArgumentError: They are no dict, or a key is not usable.
    """
    given = checked_mapping({} if tags is None else tags, "tags")
    return {checked_name(key): safe_tag(key, str(value)) for key, value in given.items()}


def safe_tag(key: str, value: str) -> str:
    """A tag's value as it may be stored: without secrets."""
    return storable(str(redact_value(str.__str__(value), key)))


def checked_id(value: object, argument: str) -> str:
    """An id as given.

    Raises:
        InvalidArgumentError: It is no text, or empty.
    """
    if not isinstance(value, str) or not value:
        raise InvalidArgumentError(argument, value, "an id, as text; a run's is at run.info.run_id")
    return storable(str.__str__(value))


def checked_experiment_id(value: object, argument: str = "experiment_id") -> str:
    """An experiment's id as text; whole numbers are taken too.

    Raises:
        InvalidArgumentError: It is neither.
    """
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if not isinstance(value, str) or not value:
        raise InvalidArgumentError(argument, value, "an id, as text; get_experiment_by_name(name).experiment_id has it")
    return storable(str.__str__(value))


def checked_text(value: object, argument: str) -> str:
    """Text as given, without what no database takes.

    Raises:
        InvalidArgumentError: It is no text.
    """
    if not isinstance(value, str):
        raise InvalidArgumentError(argument, value, "text")
    return storable(str.__str__(value))


def checked_file(path: object) -> str:
    """A file's path among a run's artifacts.

    Raises:
        InvalidArgumentError: It is no text, or empty.
    """
    if not isinstance(path, (str, os.PathLike)) or not os.fspath(path):
        raise InvalidArgumentError("artifact_file", path, "a path among the run's artifacts, such as 'plots/a.png'")
    return os.fspath(path) if isinstance(path, str) else PurePath(path).as_posix()


def checked_list(values: object, argument: str, of: str = "texts") -> list[Any]:
    """Several values as a list; None for none. Text is no list of texts.

    Raises:
        InvalidArgumentError: They are no list, tuple or the like.
    """
    if values is None:
        return []
    if isinstance(values, (str, bytes, Mapping)) or not isinstance(values, Iterable):
        raise InvalidArgumentError(argument, values, f"a list of {of}")
    return list(values)


def checked_texts(values: object, argument: str) -> list[str]:
    """Several texts as a list; None for none.

    Raises:
        InvalidArgumentError: They are no list, or one of them is no text.
    """
    return [checked_text(one, f"{argument}[{place}]") for place, one in enumerate(checked_list(values, argument))]


def checked_filter(filter_string: object) -> str:
    """The text of a filter, whose grammar is looked at where it is used; None for one that all match.

    Raises:
        InvalidArgumentError: It is no text.
    """
    return "" if filter_string is None else checked_text(filter_string, "filter_string")


def explicit_param(key: object, value: object) -> Param:
    """A parameter that the program logged: its `str`, whole, and its JSON where it has one; no secrets, in its key
    neither.

    Raises:
        InvalidArgumentError: The key is not usable.
    """
    name = storable(checked_name(key))
    return _without_secrets(name, value, storable(str(value)), _json_of(value))


def safe_param(key: str, value: object) -> Param:
    """A parameter that was read off an object: bounded, no secrets, and without running a `__repr__` of the user's."""
    kind = type(value)
    plain = value is None or kind is bool or kind is int or (kind is str and len(value) <= SHORT)  # type: ignore[arg-type]
    return _plain_param(key, value) if plain and type(key) is str else _safe_param(key, value)


def _safe_param(key: str, value: object) -> Param:
    native = _native(value)
    text = native if isinstance(native, str) else safe_text(native)
    json_text = _json_of(native) if len(text) <= MAX_TEXT else None
    return _without_secrets(storable(key), native, storable(clip(text)), json_text)


_plain_param = functools.lru_cache(maxsize=2_048, typed=True)(_safe_param)
"""Fits of one kind have the same parameters again and again. Not of floats: two equal ones may differ (0.0, -0.0)."""


def _without_secrets(key: str, value: object, text: str, json_text: str | None) -> Param:
    """A parameter without secrets; most are numbers and short words, of which the key alone has to be looked at."""
    kind = type(value)
    if value is None or kind is bool:
        return Param(key, text, json_text)
    if kind in (int, float, str) or json_text is None:
        plain = redact_value(text if json_text is None else value, key)
        if plain == (text if json_text is None else value):
            return Param(key, text, json_text)
        return Param(key, str(plain), None if json_text is None else json.dumps(plain))
    shown = redact_value(value, key)  # of lists and dicts that have a JSON, which are short
    if shown == value:
        return Param(key, text, json_text)
    return Param(key, str(shown), _json_of(shown))


def safe_params(params: Mapping[str, object]) -> list[Param]:
    """`safe_param` of each item."""
    return [safe_param(key if type(key) is str else safe_text(key), value) for key, value in params.items()]


def safe_number(value: object) -> Number | None:
    """A metric's value as a `Number`; None where it is none, or only code of the user's could say which."""
    if not is_library_type(type(value)):
        return number_of(float.__float__(value)) if isinstance(value, float) else None
    try:
        return number_of(checked_number(value))
    except InvalidArgumentError:
        return None


def _native(value: object) -> object:
    """A numpy scalar as the Python number that it holds; anything else as it is."""
    if type(value).__module__ == "numpy" and getattr(value, "ndim", None) == 0 and hasattr(value, "item"):
        return value.item()
    return value


def _json_of(value: object) -> str | None:
    value = _native(value)
    if not _is_json(value, depth=4):
        return None
    try:
        return json.dumps(value)
    except (TypeError, ValueError):
        return None


def _is_json(value: object, depth: int) -> bool:
    kind = type(value)
    if kind is str:
        return storable(value) == value  # type: ignore[arg-type]
    if value is None or kind in (bool, int, float):
        return True
    if depth == 0:
        return False
    if kind in (list, tuple):
        return len(value) <= MAX_ITEMS and all(_is_json(item, depth - 1) for item in value)  # type: ignore[arg-type, attr-defined]
    if kind is dict:
        items = value.items()  # type: ignore[attr-defined]
        return len(items) <= MAX_ITEMS and all(type(k) is str and _is_json(v, depth - 1) for k, v in items)
    return False
