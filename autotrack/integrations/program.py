"""What the program has set by calls, for its worker processes: the store, the experiment, the options of `autolog`."""

from __future__ import annotations

import sys
from typing import Any

from autotrack.integrations import registry
from autotrack.tracking import transport


def announce() -> None:
    """Have work that leaves this process take it along."""
    transport.settings_of_program = told


def told() -> tuple[Any, ...]:
    """Store, name and id of the experiment, options; () where nothing was set."""
    off, for_all, specific = registry.configured()
    options = (off, for_all, {name: one for name, one in specific.items() if one})
    recorder = sys.modules.get("autotrack.tracking.recorder")
    current = sys.modules.get("autotrack.tracking.current_experiment")
    uri = recorder.uri() if recorder is not None else None
    experiment = current.experiment_that_was_set() if current is not None else None
    if uri is None and experiment is None and _is_default(options):
        return ()
    return uri, None if experiment is None else (experiment.experiment_id, experiment.name), options


def _is_default(options: tuple[Any, ...]) -> bool:
    off, for_all, specific = options
    return not off and not specific and not set(for_all) - {"disable"}


def adopt(sent: tuple[Any, ...]) -> None:
    """In a worker process: what was set in the program holds here too."""
    from autotrack.tracking import current_experiment, recorder

    uri, experiment, (off, for_all, specific) = sent
    if uri is not None and recorder.uri() != uri:
        current_experiment.set_tracking_uri(uri)
    if experiment is not None:
        current_experiment.adopt(*experiment)
    if not _is_default((off, for_all, specific)):
        registry.adopt((off, for_all, specific))
