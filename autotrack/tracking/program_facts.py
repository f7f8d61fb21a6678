"""What is known of the program itself, and belongs on every run: its command-line arguments and the seeds that it set.

Integrations tell it as it happens, long before there is a run perhaps; a run that begins gets what is known by then,
one that the program opened also what comes to be known while it is open. So that a program that trains nothing pays
nothing for it, nothing heavy is loaded until there is a run.

On a run stand parameters `args.<name>`, with their types; the tag `args.given`, which names those that were
given and not left at their default; and parameters `seed.<library>`.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from autotrack.events import Param
    from autotrack.tracking.run import RunWriter

ARGUMENT, SEED = "args.", "seed."
"""What the keys of the parameters begin with."""

GIVEN_TAG = "args.given"
"""Names of the arguments that were given, separated by commas; the others were left at their default."""

MAX_ARGUMENTS = 1_000
"""Arguments of one program that are kept."""

MAX_SEEDINGS = 1_000
"""Seedings of one library that open runs are told of, until the next one begins: it may seed anew in every step."""

MAX_ITEMS = 200
"""Items of a list or dict that are kept."""

MAX_TEXT = 6_000
"""Characters of an argument that are kept."""

_SHOWN_BY_STR = ("pathlib", "datetime", "decimal", "uuid", "fractions", "ipaddress")
"""Modules whose values read better as the user wrote them than as Python would."""


class _Arguments:
    """What one place in the program was told by its command line."""

    def __init__(self, source: str, values: dict[str, object], given: list[str], aliases: dict[str, list[str]]) -> None:
        self.source = source
        self.values = values
        self.given = given
        self.aliases = aliases


_sources: dict[str, Callable[[], Any]] = {}
"""The integrations that are on and tell of the program, and how each is configured."""
_arguments: dict[str, _Arguments] = {}
_seeds: dict[str, object] = {}
_seedings: dict[str, int] = {}
_version: object = object()
"""Another one whenever something has been told: what another thread has made of it until then is out of date."""
_shown: tuple[object, list[Param], dict[str, str]] | None = None
"""What was made of it, and of which version."""


def listen(source: str, configuration: Callable[[], Any]) -> Callable[[], None]:
    """An integration begins to tell of the program.

    Returns:
        What to call when it ends: what it told is then on no further run, until it begins again.
    """
    _sources[source] = configuration
    _has_changed()

    def end() -> None:
        _sources.pop(source, None)
        _has_changed()

    return end


def _has_changed() -> None:
    global _version
    _version = object()


def forget() -> None:
    """Forget everything, as a fresh process would (between tests)."""
    _arguments.clear()
    _seeds.clear()
    _seedings.clear()
    _has_changed()


def note_arguments(
    source: str,
    place: str,
    values: Mapping[str, object],
    given: Iterable[str],
    aliases: Mapping[str, Sequence[str]] | None = None,
) -> None:
    """The program was told something by its command line.

    Args:
        source: The integration that saw it.
        place: Where in the program; what the same place was told before is forgotten.
        values: All values, by name; those that are no plain values are kept as text.
        given: The names whose value was not left at its default.
        aliases: Other names of the same arguments, which may say that a value is a secret.
    """
    if _is_off():
        return
    kept = {key: plain(values[key]) for _, key in zip(range(MAX_ARGUMENTS), values, strict=False)}
    told = _Arguments(source, kept, [key for key in given if key in kept], _lists(aliases or {}))
    _arguments.pop(place, None)
    _arguments[place] = told
    _has_changed()
    _tell_open_runs()


def note_seed(library: str, seed: object) -> None:
    """The program seeded a library's random numbers; None: with no seed of its own."""
    value = plain(seed)
    if _is_off() or (library in _seeds and type(_seeds[library]) is type(value) and _seeds[library] == value):
        return
    _seeds[library] = value
    _has_changed()
    count = _seedings[library] = _seedings.get(library, 0) + 1
    if count <= MAX_SEEDINGS:
        _tell_open_runs()


def begin(run: RunWriter, by_the_program: bool) -> None:
    """A run begins: `describe` it."""
    _seedings.clear()
    describe(run, by_the_program)


def describe(run: RunWriter, by_the_program: bool) -> None:
    """Write on a run what is known of the program.

    Args:
        run: A run that begins, or is open.
        by_the_program: The program opened it itself.
    """
    global _shown
    if not (_arguments or _seeds) or not _sources:
        return
    from autotrack import config

    if by_the_program and any(configuration().exclusive for configuration in list(_sources.values())):
        return
    version, shown = _version, _shown
    if shown is None or shown[0] is not version:
        shown = _shown = (version, *_params(config.settings().log_arguments))
    _, params, tags = shown
    if params or tags:
        run.log_batch((), params, tags)


def _params(with_arguments: bool) -> tuple[list[Param], dict[str, str]]:
    """Parameters and tags as every run has them."""
    from autotrack.tracking.values import safe_params

    told = [one for one in list(_arguments.values()) if one.source in _sources] if with_arguments else []
    values: dict[str, object] = {}
    given: dict[str, None] = {}
    for one in told:
        values.update((f"{ARGUMENT}{key}", value) for key, value in _without_secrets(one).items())
        given = {name: None for name in given if name not in one.values} | dict.fromkeys(one.given)
    if "seeds" in _sources:
        values.update((f"{SEED}{library}", seed) for library, seed in list(_seeds.items()))
    return safe_params(values), {GIVEN_TAG: ",".join(given)} if told else {}


def _without_secrets(told: _Arguments) -> dict[str, object]:
    from autotrack.tracking.redaction import redact_mapping

    shown = redact_mapping(told.values)
    for key, names in told.aliases.items():
        for name in names if key in shown else ():
            plain_name = name.lstrip("-/+")
            shown[key] = redact_mapping({plain_name: shown[key]})[plain_name]
    return shown


def _lists(aliases: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    return {key: list(names) for key, names in aliases.items()}


def _is_off() -> bool:
    scope = sys.modules.get("autotrack.tracking.scope")
    return scope is not None and bool(scope.is_off())


def _tell_open_runs() -> None:
    """Runs that the program has open in this context; an automatic one belongs to what was known when it began."""
    scope = sys.modules.get("autotrack.tracking.scope")
    for run in scope.explicit_runs() if scope is not None else ():
        if run.status == "RUNNING":
            describe(run, by_the_program=True)


def plain(value: object, depth: int = 3) -> object:
    """A value as one that may be kept: numbers and short text as they are, lists and dicts of them as copies.

    All else as text, by no code of the user's; so no file is kept open and no array alive.
    """
    kind: Any = type(value)
    if value is None or kind in (bool, int, float):
        return value
    if isinstance(value, str) and not _is_enum(value):
        return str.__str__(value[:MAX_TEXT] if kind is str else value)[:MAX_TEXT]
    if kind in (list, tuple) and depth:
        return [plain(item, depth - 1) for _, item in zip(range(MAX_ITEMS), value, strict=False)]  # type: ignore[call-overload]
    if kind in (set, frozenset) and depth:
        return sorted((plain(item, 0) for _, item in zip(range(MAX_ITEMS), value, strict=False)), key=repr)  # type: ignore[call-overload]
    if kind is dict and depth:
        items = zip(range(MAX_ITEMS), value.items(), strict=False)  # type: ignore[attr-defined]
        return {str(plain(key, 0)): plain(item, depth - 1) for _, (key, item) in items}
    return _text_of(value)


def _is_enum(value: object) -> bool:
    enum = sys.modules.get("enum")
    return enum is not None and isinstance(value, enum.Enum)


def _text_of(value: object) -> object:
    """What stands for a value that is no plain one."""
    kind = type(value)
    root = kind.__module__.partition(".")[0]
    if _is_enum(value):  # what the command line takes for it, if that is plain
        meant = object.__getattribute__(value, "_value_")
        return meant if type(meant) in (str, int, float) else object.__getattribute__(value, "_name_")
    if root in _SHOWN_BY_STR or (root in ("torch", "numpy") and kind.__name__.lower().endswith(("device", "dtype"))):
        return str(value)[:MAX_TEXT]
    name = getattr(value, "name", None) if root in ("_io", "click", "typer") else None
    if isinstance(name, (str, os.PathLike)):  # a file that was opened
        return str(os.fspath(name))
    from autotrack.tracking.value_texts import safe_text

    return safe_text(value)
