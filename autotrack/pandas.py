"""`autotrack.pandas`: switch for following what pandas read to the training calls that use it."""

from __future__ import annotations

from autotrack import automatic

__all__ = ["autolog"]


def autolog(
    *,
    disable: bool | None = None,
    disable_for_unsupported_versions: bool | None = None,
    silent: bool | None = None,
) -> None:
    """Have datasets name what pandas read them from, from now on; options as for `autotrack.autolog`, which they beat.

    Raises:
        IntegrationNotAvailableError: pandas is not installed.
        InvalidArgumentError: An option has a value of the wrong type; nothing changes then.
    """
    automatic.configure({key: value for key, value in locals().items() if value is not None}, "pandas")
