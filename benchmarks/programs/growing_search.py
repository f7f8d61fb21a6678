"""A search over COUNT candidates of a cheap estimator, recorded and plain in one process, by turns.

python growing_search.py SIDE FOLDER COUNT
"""

from __future__ import annotations

from collections.abc import Callable

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


def search(number: int) -> Callable[[], object]:
    """A search, to be done; the first one is a small one."""
    estimator = GridSearchCV(Ridge(), {"alpha": ALPHAS if number else ALPHAS[:10]}, cv=2)
    return lambda: estimator.fit(X, y)


side.report(**side.by_turns(module, search, PAIRS))
