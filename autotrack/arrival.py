"""Where parcels of `tracking.transport` arrive: in a worker process, right before the work that they came with.

Nothing imports this but what is executed there.
"""

from __future__ import annotations

from typing import Any

from autotrack import bootstrap, config, process
from autotrack.hooks import guard
from autotrack.tracking import groups, scope, transport

_latest: tuple[tuple[Any, ...], transport.Arrived | scope.Stack] = ((), ())
"""The parcel that came last, and what it says is open; one value, since several threads may work here."""


def arrive(parcel: tuple[Any, ...]) -> None:
    """Have the thread that calls know what the parcel says, until the next one."""
    guard.call(transport.HEALTH, "arrival of work", _arrive, parcel)


def _arrive(parcel: tuple[Any, ...]) -> None:
    global _latest
    import os

    sent = transport.Parcel(*parcel)
    if sent.sender == os.getpid():  # a copy was made, and nothing has left
        return
    known, arrived = _latest
    if parcel != known:
        if not process.activated and not _switched_on(sent):
            return
        if process.role == "worker":
            _adopt(sent)
        if sent.group:
            groups.join(groups.Group(*sent.group))
        arrived = transport.Arrived(sent) if sent.kind else ()
        _latest = parcel, arrived
    scope.enter(arrived)


def _switched_on(sent: transport.Parcel) -> bool:
    """A worker of a program that switched autotrack on by a call has no hook that would have done it here."""
    if sent.source != "api" or config.is_disabled() or process.suspended:
        return False
    bootstrap.activate()
    return True


def _adopt(sent: transport.Parcel) -> None:
    from autotrack.tracking import session

    session.adopt(sent.session)
    if sent.program:
        from autotrack.integrations import processes

        processes.adopt(sent.program)
