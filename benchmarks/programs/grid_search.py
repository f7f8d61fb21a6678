"""`GridSearchCV`, 8 candidates x 3 folds of a random forest, and the refit."""

from __future__ import annotations

import statistics

import side

module = side.automatic()

from sklearn.datasets import load_breast_cancer  # noqa: E402 - as in a program: autologging first
from sklearn.ensemble import RandomForestClassifier  # noqa: E402
from sklearn.model_selection import GridSearchCV  # noqa: E402

X, y = load_breast_cancer(return_X_y=True)
GRID = {"max_depth": [2, 4, 8, 16], "min_samples_leaf": [1, 4]}


def search(seed: int) -> tuple[float, float]:
    """One search: its wall-clock time and its thread's, in ms."""
    estimator = GridSearchCV(RandomForestClassifier(n_estimators=25, random_state=seed), GRID, cv=3)
    return side.timed(lambda: estimator.fit(X, y))


first, _ = search(0)
side.settle(module)
measured = []
for number in range(1, side.COUNT + 1):
    measured.append(search(number))
    side.settle(module)

side.report(
    search_ms=statistics.median(wall for wall, _ in measured),
    thread_ms=statistics.median(thread for _, thread in measured),
    first_ms=first,
)
