"""Memory over many fits in one process: how much it grows a fit, once everything is loaded.

SQLite keeps up to 16 MB of the database's pages, which is a bound and no leak: they are filled before the fits. Memory
goes up and down by a buffer or two of the ingest, so it is looked at eight times: of the three times in the first half
and the three in the second those with least memory count. What is never given back is there in all.
"""

from __future__ import annotations

import gc

import side

module = side.automatic()

from sklearn.datasets import load_diabetes  # noqa: E402 - as in a program: autologging first
from sklearn.linear_model import Ridge  # noqa: E402

X, y = load_diabetes(return_X_y=True)
BATCH = 50


def fit_all(first: int, count: int) -> None:
    """Many fits, each of other parameters, a batch at a time."""
    for start in range(first, first + count, BATCH):
        for number in range(start, min(start + BATCH, first + count)):
            Ridge(alpha=1 + number / 1000).fit(X, y)
        side.settle(module)


def fill_page_cache() -> None:
    """Log half a million points, so that SQLite's cache is as full as in a long program."""
    with module.start_run():
        for step in range(500_000):
            module.log_metric("filling", step * 0.37, step=step)
    side.settle(module)


if side.NAME == "autotrack":
    fill_page_cache()
eighth = side.COUNT // 8
levels = []
for part in range(8):
    fit_all(part * eighth, eighth)
    gc.collect()
    levels.append(side.resident_bytes())
first, last = min(levels[1:4]), min(levels[5:])
side.report(grown_per_fit=(last - first) / (4 * eighth), resident_mb=first / 1e6)
