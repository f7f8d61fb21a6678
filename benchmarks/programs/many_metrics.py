"""Memory over many points of one metric in one process: how much it grows in a thousand of them."""

from __future__ import annotations

import itertools

import side

module = side.tracker()
steps = itertools.count()
half = side.COUNT // 2


def log_all() -> None:
    """As many points again."""
    for step in itertools.islice(steps, half):
        module.log_metric("loss", step * 0.37, step=step)


side.fill_cache(module)
with module.start_run():
    figures = side.growth(log_all, half, module)
side.report(**figures)
