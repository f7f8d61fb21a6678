"""A fit of COUNT rows, recorded and plain in one process, by turns: what recording adds as data grows.

python growing_fit.py SIDE FOLDER COUNT
"""

from __future__ import annotations

import statistics
import time

import side

module = side.automatic()

import numpy  # noqa: E402 - as in a program: autologging first
from sklearn.linear_model import Ridge  # noqa: E402

PAIRS = 15 if side.COUNT <= 100_000 else 5 if side.COUNT <= 1_000_000 else 3

random = numpy.random.default_rng(0)
X = random.normal(size=(side.COUNT, 10))
y = X @ numpy.arange(10.0) + random.normal(size=side.COUNT)


def fit(recorded: bool, number: int) -> tuple[float, float]:
    """Milliseconds of this thread's CPU, and of all CPU until all is recorded."""
    model = Ridge(alpha=1 + number / 1000, solver="cholesky")
    cpu = time.process_time()
    begin = time.thread_time()
    if recorded:
        model.fit(X, y)
    else:
        with module.disabled():
            model.fit(X, y)
    thread = 1000 * (time.thread_time() - begin)
    side.settle(module)
    return thread, 1000 * (time.process_time() - cpu)


fit(True, 0)
fit(False, 0)
pairs = []
for number in range(1, PAIRS + 1):
    first, second = (fit(number % 2 == turn, number) for turn in (0, 1))
    pairs.append((first, second) if number % 2 == 0 else (second, first))
side.report(
    plain_ms=statistics.median(plain[0] for _, plain in pairs),
    added_ms=statistics.median(recorded[0] - plain[0] for recorded, plain in pairs),
    added_cpu_ms=statistics.median(recorded[1] - plain[1] for recorded, plain in pairs),
)
