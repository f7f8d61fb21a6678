"""A search over COUNT candidates of a cheap estimator, recorded and plain in one process, by turns.

python growing_search.py SIDE FOLDER COUNT
"""

from __future__ import annotations

import statistics
import time

import side

module = side.automatic()

import numpy  # noqa: E402 - as in a program: autologging first
from sklearn.linear_model import Ridge  # noqa: E402
from sklearn.model_selection import GridSearchCV  # noqa: E402

PAIRS = 7 if side.COUNT <= 100 else 3 if side.COUNT <= 1_000 else 1

random = numpy.random.default_rng(0)
X = random.normal(size=(60, 3))
y = X[:, 0] + random.normal(size=60)
ALPHAS = (1 + numpy.arange(side.COUNT) / side.COUNT).tolist()


def search(recorded: bool, count: int = side.COUNT) -> tuple[float, float]:
    """Milliseconds of this thread's CPU, and of all CPU until all is recorded."""
    estimator = GridSearchCV(Ridge(), {"alpha": ALPHAS[:count]}, cv=2)
    cpu = time.process_time()
    begin = time.thread_time()
    if recorded:
        estimator.fit(X, y)
    else:
        with module.disabled():
            estimator.fit(X, y)
    thread = 1000 * (time.thread_time() - begin)
    side.settle(module)
    return thread, 1000 * (time.process_time() - cpu)


search(True, 10)
search(False, 10)
pairs = []
for number in range(PAIRS):
    first, second = (search(number % 2 == turn) for turn in (0, 1))
    pairs.append((first, second) if number % 2 == 0 else (second, first))
side.report(
    plain_ms=statistics.median(plain[0] for _, plain in pairs),
    added_ms=statistics.median(recorded[0] - plain[0] for recorded, plain in pairs),
    added_cpu_ms=statistics.median(recorded[1] - plain[1] for recorded, plain in pairs),
)
