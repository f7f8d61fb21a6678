"""Every error that autotrack raises on purpose: one tree, messages built here, nothing imported.

Automatic code never lets one of these reach the user's program; the explicit API raises them.
"""

from __future__ import annotations


class AutotrackError(Exception):
    """Base of all errors that autotrack raises on purpose."""


_OF_A_REPR = (
    ArithmeticError, AssertionError, AttributeError, BufferError, ImportError, LookupError, MemoryError, NameError,
    OSError, ReferenceError, RuntimeError, StopIteration, SyntaxError, TypeError, ValueError,
)  # fmt: skip
"""What a `__repr__` of the user's may raise; an error about an argument must not be lost over it."""


def _shown(got: object) -> str:
    try:
        return repr(got)
    except _OF_A_REPR:
        return f"<{type(got).__qualname__} whose repr fails>"


class InvalidArgumentError(AutotrackError, ValueError):
    """An argument of the explicit API is not usable; the message says which, what came and what is expected."""

    def __init__(self, argument: str, got: object, expected: str) -> None:
        shown = _shown(got)
        shown = shown if len(shown) <= 200 else shown[:197] + "..."
        super().__init__(f"{argument}: got {shown}; expected {expected}")
        self.argument = argument


class FilterSyntaxError(AutotrackError, ValueError):
    """A filter or an order-by clause does not parse."""

    def __init__(self, text: str, position: int, expected: str) -> None:
        pointer = " " * position + "^"
        super().__init__(f"position {position}: expected {expected}\n  {text}\n  {pointer}")
        self.position = position
        self.expected = expected


_WHERE_TO_LOOK = {
    "run": "search_runs() has those that there are, get_tracking_uri() says which store this is",
    "experiment": "search_experiments() has those that there are, get_tracking_uri() says which store this is",
    "session": "a run's is at run.info.session_id, and search_sessions() has all",
    "logged model": "search_logged_models() has those that there are",
}
"""What to do about a thing that is not there, by its kind."""


class NotFoundError(AutotrackError, LookupError):
    """The store has no such thing."""

    def __init__(self, kind: str, key: str, hint: str = "") -> None:
        hint = hint or _WHERE_TO_LOOK.get(kind, "")
        super().__init__(f"no {kind} {key!r} in this store" + (f"; {hint}" if hint else ""))
        self.kind = kind
        self.key = key


class AlreadyExistsError(AutotrackError):
    """A thing of this name is there already."""

    def __init__(self, kind: str, key: str, hint: str = "") -> None:
        super().__init__(f"{kind} {key!r} exists already" + (f"; {hint}" if hint else ""))


class RunEndedError(AutotrackError):
    """A parameter or metric was logged explicitly to a run that has ended."""

    def __init__(self, run_id: str, status: str) -> None:
        super().__init__(
            f"run {run_id} has ended ({status}); resume it with autotrack.start_run(run_id={run_id!r}) to log more"
        )


class ActiveRunError(AutotrackError):
    """The run stack does not allow this call."""


class StoreError(AutotrackError):
    """The store cannot be opened, read or written."""

    def __init__(self, url: str, reason: str, hint: str = "", transient: bool = False, conflict: bool = False) -> None:
        super().__init__(f"store {url}: {reason}" + (f"; {hint}" if hint else ""))
        self.transient = transient
        """True where the same call may succeed later: the store is locked, busy, full or away."""
        self.conflict = conflict
        """True where the database took the transaction back for another one's sake: the same call may succeed now."""


class SchemaVersionError(StoreError):
    """The database was written by another version of autotrack."""

    def __init__(self, url: str, found: str, known: str) -> None:
        super().__init__(
            url,
            f"its schema is at revision {found}, this autotrack knows up to {known}",
            "upgrade autotrack, or use another store; nothing was changed",
        )
        self.found = found
        self.known = known


class ArtifactError(AutotrackError):
    """An artifact cannot be written, read or named so."""


class ModelFormatError(AutotrackError):
    """A model directory cannot be read; the message says which file and what is wrong with it."""


class UntrustedModelError(ModelFormatError):
    """A model holds code that is only run on request (`trusted=True` or the setting `allow_pickle`)."""


class SignatureMismatchError(AutotrackError, ValueError):
    """Input of `predict` does not match the model's signature."""


class ConfigurationError(AutotrackError, ValueError):
    """A setting has a value that cannot be used; the message names the setting and where it came from."""


class IntegrationNotAvailableError(AutotrackError, ImportError):
    """An integration was asked for by name and cannot be had; the message ends in the command that installs it."""

    def __init__(self, name: str, reason: str, install: str) -> None:
        super().__init__(f"{name}: {reason}; install it with: {install}")


class ArchiveError(AutotrackError):
    """An archive of runs cannot be written, or is refused: damaged, hostile, or of a newer format."""


class JournalFormatError(AutotrackError):
    """A journal file was written by a version of autotrack whose format this one does not know."""
