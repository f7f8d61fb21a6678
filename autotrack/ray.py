"""`autotrack.ray`: switch for recording the searches of Ray Tune."""

from __future__ import annotations

from collections.abc import Mapping

from autotrack import automatic

__all__ = ["autolog"]


def autolog(
    *,
    disable: bool | None = None,
    exclusive: bool | None = None,
    disable_for_unsupported_versions: bool | None = None,
    silent: bool | None = None,
    extra_tags: Mapping[str, str] | None = None,
) -> None:
    """Record the searches of Ray Tune from now on; options as for `autotrack.autolog`, which they beat.

    Raises:
        IntegrationNotAvailableError: Ray is not installed.
        InvalidArgumentError: An option has a value of the wrong type; nothing changes then.
    """
    automatic.configure({key: value for key, value in locals().items() if value is not None}, "ray")
