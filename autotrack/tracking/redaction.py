"""Redaction: secrets are taken out of every text before it is stored.

Three rules, in this order:

1. *URLs*: user and password in front of the host (`https://user:pass@host`, `https://token@host`) go.
2. *Names*: the value that follows a telling name goes (`password=x`, `--api-key x`, `"token": "x"`,
   `Authorization: Bearer x`). How sure the name makes us decides which values count; see `sensitivity`. Numbers,
   booleans, `None`, environment look-ups and words that merely contain such a name (`max_tokens=100`,
   `tokenizer=bert`, `pad_token="[PAD]"`, `monkey=1`) stay.
3. *Shapes*: tokens that their issuers gave a recognisable form go wherever they stand (`ghp_...`, `AKIA...`, private
   keys in PEM form, ...).

All of it takes time linear in the text, and long text is worked on in pieces of whole lines, so that no single call
into the regular-expression engine keeps other threads waiting. Patterns are compiled at first use.
"""

from __future__ import annotations

import binascii
import re
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import Any

from autotrack.tracking.redaction_rules import (
    AZURE_CLIENT,
    AZURE_STORAGE,
    BASIC,
    BEARER,
    BETWEEN,
    CODE,
    HARMLESS,
    HEADER_STOP,
    KEYWORD,
    LITERAL,
    LONG_RUN,
    NAME,
    NAME_CHARACTERS,
    NETRC,
    NUMBER,
    OPENING,
    PEM_BEGIN,
    PEM_BODY,
    PEM_END,
    PLAIN,
    PRIVATE_KEY,
    REFERENCE,
    RUN,
    SCHEME,
    SHAPED,
    SHAPES,
    STOP,
    STRONG,
    URL,
    VARIABLES,
    WANDB,
    WEBHOOK,
    pattern,
    sensitivity,
)
from autotrack.tracking.redaction_rules import (
    REDACTED as REDACTED,
)

_SHORTEST = 6
"""Shorter text holds no name with a secret behind it."""
_PIECE = 32 * 1024
"""Characters that are worked on at once; a piece ends at the end of a line."""
_JUDGED = 256
"""So much of an unquoted value decides whether it is a secret (a bound, so that the time stays linear)."""
_MAX_TEXTS = 10_000
"""Texts among the attributes of a model that are looked at."""
_WITHOUT_TEXT = frozenset((bool, int, float, type(None)))
_CONTAINERS = frozenset((dict, OrderedDict, list, tuple, set))
"""Kinds of which an empty one holds no text; most attributes of a module are such."""
_QUOTED = 64 * 1024
"""So far away the closing quote is looked for."""
_CONTEXTS = (
    (("earer ", "EARER "), BEARER),
    (("andb", "ANDB"), WANDB),
    (("password",), NETRC),
    (("==",), AZURE_STORAGE),
    (("Q~",), AZURE_CLIENT),
)
"""Patterns whose last group is a secret, and words of which one is in every text that they match."""


def redact(text: str) -> str:
    """The text with every secret in it replaced by `REDACTED`; redacting twice changes nothing more."""
    if len(text) < _SHORTEST:
        return text
    if "-----BEGIN " in text:
        text = _without_private_keys(text)
    if len(text) <= _PIECE:
        return _redact_piece(text)
    return "".join(_redact_piece(piece) for piece in _pieces(text))


def redact_shapes(text: str) -> str:
    """The text without what has the form of a token; names and URLs in it are not looked at (a schema has columns)."""
    kept, start = [], 0
    while start < len(text):
        # No token has a character of this kind in it, so that none is cut.
        cut = pattern(BETWEEN).search(text, start + _PIECE)
        end = cut.end() if cut else len(text)
        kept.append(pattern(LONG_RUN).sub(_without_shapes, text[start:end]))
        start = end
    return "".join(kept)


def redact_url(url: str) -> str:
    """A URL without user and password, and without secrets among its query parameters."""
    return redact(url)


def redact_argv(argv: list[str]) -> list[str]:
    """A command line, in which an option and its value may be two items (`["--token", "x"]`), without secrets."""
    shown: list[str] = []
    option = ""
    for item in argv:
        if option and not item.startswith("--") and _is_secret(item, sensitivity(option), option):
            shown.append(REDACTED)
        else:
            shown.append(redact(item))
        named = item.startswith("-") and "=" not in item and pattern(KEYWORD).search(item.lower())
        option = item.lstrip("-") if named else ""
    return shown


def secret_in(values: Mapping[Any, Any]) -> str:
    """The name of the first value that is a secret, or holds one; empty where none does. Only plain values count."""
    for name, value in values.items():
        if type(value) in (str, dict, list, tuple) and redact_value(value, str(name)) != value:
            return str(name)
    return ""


def secret_attribute(objects: Iterable[object]) -> str:
    """The name of the first attribute that is a secret, or holds one; empty where none does.

    Texts, lists and dicts are looked through, so many of them at most; none of the program's own code is run.
    """
    left = _MAX_TEXTS
    for one in objects:
        for attribute, value in getattr(one, "__dict__", {}).items():
            if type(value) in _WITHOUT_TEXT or (type(value) in _CONTAINERS and not value):
                continue
            for name, text in islice(_texts_of(attribute, value, 4), left):
                left -= 1
                if redact_value(text, name) != text:
                    return str(attribute)
    return ""


def _texts_of(name: Any, value: Any, depth: int) -> Iterator[tuple[str, str]]:
    """Texts inside a value, each with the name that it has."""
    kind = type(value)
    if kind is str:
        yield str(name), value[:_PIECE]
    elif issubclass(kind, dict) and depth:
        for key, item in dict.items(value):
            yield from _texts_of(key if type(key) is str else name, item, depth - 1)
    elif kind in (list, tuple) and depth:
        for item in value:
            yield from _texts_of(name, item, depth - 1)


def redact_mapping(mapping: Mapping[str, Any]) -> dict[str, Any]:
    """A copy of a mapping without secrets: values by their key's name, nested mappings and lists included."""
    return {key: redact_value(value, str(key)) for key, value in mapping.items()}


def redact_value(value: Any, name: str) -> Any:
    """A value without secrets: by the name that it has, those inside it by their own; other than text, lists and dicts
    it stays as it is, unless its name says enough."""
    if isinstance(value, str):
        return REDACTED if _is_secret(value, sensitivity(name), name) else redact(value)
    if isinstance(value, Mapping):
        return redact_mapping(value)
    if isinstance(value, list | tuple):
        items = [redact_value(item, name) for item in value]
        return items if isinstance(value, list) else tuple(items)
    if isinstance(value, bytes | bytearray):
        return REDACTED if sensitivity(name) >= LITERAL else value
    if isinstance(value, int | float) and not isinstance(value, bool):
        return REDACTED if sensitivity(name) == STRONG else value
    return value


def _pieces(text: str) -> Iterator[str]:
    """The text in pieces of whole lines."""
    start = 0
    while start < len(text):
        newline = text.rfind("\n", start, start + _PIECE)
        if newline < 0:
            newline = text.find("\n", start + _PIECE)
        end = newline + 1 if newline >= 0 else len(text)
        yield text[start:end]
        start = end


def _redact_piece(text: str) -> str:
    if "://" in text and "@" in text:
        text = pattern(URL).sub(_without_credentials, text)
    text = _redact_named(text)
    for telling, source in _CONTEXTS:
        if any(word in text for word in telling):
            text = pattern(source).sub(_without_last_group, text)
    if "asic " in text or "ASIC " in text:
        text = pattern(BASIC).sub(_without_basic, text)
    if "hooks.slack.com/" in text or "/api/webhooks/" in text:
        text = pattern(WEBHOOK).sub(rf"\1/{REDACTED}", text)
    return pattern(LONG_RUN).sub(_without_shapes, text)


def _without_last_group(match: re.Match[str]) -> str:
    return match.string[match.start() : match.start(1)] + REDACTED + match.string[match.end(1) : match.end()]


def _without_basic(match: re.Match[str]) -> str:
    """`Basic` and user and password in base 64; any other word behind it is prose."""
    try:
        decoded = binascii.a2b_base64(match[1] + "=" * (-len(match[1]) % 4))
    except binascii.Error:
        return match[0]
    return _without_last_group(match) if b":" in decoded and decoded.isascii() else match[0]


def _without_shapes(match: re.Match[str]) -> str:
    """A run of characters that tokens consist of; in text that escapes line ends, one may begin behind the escape."""
    run = match.group()
    escaped = match.string[max(0, match.start() - 1) : match.start()] == "\\" and run[0] in "nrt"
    return run[:escaped] + pattern(SHAPES).sub(REDACTED, run[escaped:])


def _without_private_keys(text: str) -> str:
    begin, end, body = pattern(PEM_BEGIN), pattern(PEM_END), pattern(PEM_BODY)
    kept: list[str] = []
    copied = 0
    while opened := begin.search(text, copied):
        closed = end.search(text, opened.end(), opened.end() + PRIVATE_KEY)
        kept += text[copied : opened.start()], REDACTED
        last = closed or body.match(text, opened.end())
        copied = last.end() if last else opened.end()
    return "".join((*kept, text[copied:]))


def _without_credentials(match: re.Match[str]) -> str:
    """One run of URLs without blanks between them, from its first `://` on."""
    before = match.string[max(0, match.start() - 8) : match.start()]
    shown = [""]
    for part in match.group()[3:].split("://"):
        shown.append(_without_user(part, web=before.lower().endswith(("http", "https"))))
        before = part
    return "://".join(shown)


def _without_user(part: str, web: bool) -> str:
    """What follows `://`. A user alone is a token on the web, and none elsewhere (`ssh://git@host`)."""
    authority = re.split(r"[/?#]", part, maxsplit=1)[0]
    user, at, _ = authority.rpartition("@")
    if pattern(VARIABLES).match(user):
        return part
    if at:
        return REDACTED + part[len(user) :] if web or ":" in user else part
    # An unescaped slash in a password: what stands behind the colon is then no port.
    _, colon, port = authority.partition(":")
    if colon and "@" in part and not port.isdigit() and not authority.startswith("["):
        return REDACTED + part[part.rindex("@") :]
    return part


def _redact_named(text: str) -> str:
    # The only character whose lower case is longer than itself; positions must be the same in both texts.
    lowered = text.replace("\u0130", "I").lower()
    keyword, name = pattern(KEYWORD).search, pattern(NAME).match
    kept: list[str] = []
    copied = position = 0
    while found := keyword(lowered, position):
        position = found.end()
        match = name(text, found.start())
        span = _secret_span(text, match, copied) if match else None
        if match:
            position = span[1] if span else match.end()
        if span:
            kept += text[copied : span[0]], REDACTED
            copied = position
    return "".join((*kept, text[copied:])) if kept else text


def _secret_span(text: str, match: re.Match[str], floor: int) -> tuple[int, int] | None:
    """Where the secret behind a name is; None where there is none.

    Args:
        text: The whole piece.
        match: A match of the pattern `NAME`.
        floor: Where the part of the text begins that is not dealt with yet.
    """
    head = text[max(floor, match.start() - 64) : match.start()]
    prefix = head[len(head.rstrip(NAME_CHARACTERS)) :]
    name = (prefix + match["name"]).rstrip("-")
    level = sensitivity(name.strip("-"))
    option = name.startswith("--")
    if level == HARMLESS or (match["space"] and not option):
        return None
    name = name.strip("-")
    opening = pattern(OPENING).match(text, match.end())
    if opening is None and (match["comma"] or match["compare"]):
        return None
    if match["comma"] and not option and not name.isupper():
        level = SHAPED
    if opening:
        return _quoted_span(text, opening, level, name)
    return _bare_span(text, match, level, name)


def _quoted_span(text: str, opening: re.Match[str], level: int, name: str) -> tuple[int, int] | None:
    quote, begin = opening[1], opening.end()
    limit = begin + _QUOTED
    end = text.find(quote, begin, limit)
    while end > 0 and _is_escaped(text, begin, end, quote):
        end = text.find(quote, end + 1, limit)
    if end < 0:  # clipped text, or a quote that is no quote: to the end of the line
        end = begin + len(text[begin:limit].partition("\n")[0])
    return (begin, end) if _is_secret(text[begin:end], level, name) else None


def _is_escaped(text: str, begin: int, at: int, quote: str) -> bool:
    before = text[max(begin, at - 64) : at]
    slashes = len(before) - len(before.rstrip("\\"))
    return slashes % 2 == 1 if quote[0] != "\\" else slashes > 0


def _bare_span(text: str, match: re.Match[str], level: int, name: str) -> tuple[int, int] | None:
    """The span of a value without quotes."""
    begin = match.end()
    if text.startswith(("[", "("), begin) and level >= LITERAL:
        return _listed_span(text, begin)
    header = match["assign"] == ":" and name.lower().endswith(("authorization", "cookie"))
    if scheme := pattern(SCHEME).match(text, begin):
        begin = scheme.end()
    if text.startswith(REDACTED, begin):
        return None
    stop = pattern(HEADER_STOP if header else STOP)
    limit = begin + _JUDGED
    found = stop.search(text, begin if header else _end_of_run(text, begin, limit), limit)
    value = text[begin : found.start() if found else limit]
    spaced = match["space"] is None and text[match.end() - 1] in " \t"
    if not scheme and not header and _is_code(value, level, name, spaced, match["assign"] == ":"):
        return None
    if not _is_secret(value, level, name):
        return None
    if found is None:
        found = stop.search(text, begin)
    return begin, found.start() if found else len(text)


def _end_of_run(text: str, begin: int, limit: int) -> int:
    """Where the first character stands that may end a value; a shortcut, since `stop` is slow to search."""
    run = pattern(RUN).match(text, begin, limit)
    return run.end() if run else begin


def _listed_span(text: str, begin: int) -> tuple[int, int] | None:
    """The inside of a list or tuple of strings behind a telling name (`auth=("user", "pass")`)."""
    end = text.find(")" if text[begin] == "(" else "]", begin, begin + 2048)
    inside = text[begin + 1 : end]
    return (begin + 1, end) if end > 0 and inside.lstrip()[:1] in ("'", '"') else None


def _is_code(value: str, level: int, name: str, spaced: bool, colon: bool) -> bool:
    """Whether a value without quotes is an expression of a program (`token = next(stream)`), not a secret."""
    last = value.rpartition(".")[2].strip("_,;()").lower()
    if last == name.rpartition(".")[2].strip("_").lower() or value[:1] in ("[", "{"):
        return True
    if level == STRONG:
        return False
    if pattern(CODE).match(value):
        return True
    word = len(value) < 16 and value.isidentifier() and value.isascii() and not any(map(str.isdigit, value))
    return spaced and word and (value[0].isupper() or not colon)


def _is_secret(value: str, level: int, name: str) -> bool:
    """Whether a value (without its quotes) under a name of this level is a secret."""
    if level == HARMLESS or not value.strip() or value.startswith(REDACTED) or value.lower() in PLAIN:
        return False
    if level == SHAPED:
        return _looks_random(value)
    if pattern(REFERENCE).match(value):
        return False
    if level == STRONG:
        return True
    directory = name.lower().endswith("pwd") and value[:1] in "/~."
    return not directory and not pattern(NUMBER).fullmatch(value) and value[:1] not in "[<"


def _looks_random(value: str) -> bool:
    """Whether a text could be 64 random bits and more in hexadecimal or base 64."""
    if not 16 <= len(value) <= 4096 or not re.fullmatch(r"[A-Za-z0-9+/_\-~%]+={0,2}", value):
        return False
    digits = len(re.findall(r"[0-9]", value))
    if re.fullmatch(r"[0-9a-f\-]+|[0-9A-F\-]+", value):
        return 0 < digits < len(value.replace("-", ""))
    return digits >= 2 and len(value) >= 20 and not value.islower() and not value.isupper()
