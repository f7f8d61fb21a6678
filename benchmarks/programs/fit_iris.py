"""`LogisticRegression.fit` on iris, everything on: each fit another model; what follows is waited for off the clock."""

from __future__ import annotations

import statistics
import time

import side

module = side.automatic()

from sklearn.datasets import load_iris  # noqa: E402 - as in a program: autologging first
from sklearn.linear_model import LogisticRegression  # noqa: E402

X, y = load_iris(return_X_y=True)


def fit(number: int) -> tuple[float, float]:
    """One small fit: its wall-clock time and its thread's, in ms."""
    model = LogisticRegression(C=1 + number / 1000, max_iter=500)
    return side.timed(lambda: model.fit(X, y))


cpu = side.cpu_ms()
first, _ = fit(0)
side.settle(module)
first_cpu = side.cpu_ms() - cpu

cpu = side.cpu_ms()
measured = []
for number in range(1, side.COUNT + 1):
    measured.append(fit(number))
    side.settle(module)
all_cpu = (side.cpu_ms() - cpu) / side.COUNT

begin = time.perf_counter()
for number in range(side.COUNT):
    fit(1000 + number)
in_a_row = 1000 * (time.perf_counter() - begin) / side.COUNT
side.settle(module)

side.report(
    fit_ms=statistics.median(wall for wall, _ in measured),
    thread_ms=statistics.median(thread for _, thread in measured),
    cpu_ms=all_cpu,
    first_ms=first,
    first_cpu_ms=first_cpu,
    in_a_row_ms=in_a_row,
)
