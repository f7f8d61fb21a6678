"""Memory over many points of one metric in one process: how much it grows in a thousand of them.

SQLite keeps up to 16 MB of the database's pages, which is a bound and no leak: the first half of the points fills them.
"""

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


with module.start_run():
    figures = side.growth(log_all, half, module)
side.report(**figures)
