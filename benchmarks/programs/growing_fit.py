"""A fit of COUNT rows, recorded and plain in one process, by turns: what recording adds as data grows.

python growing_fit.py SIDE FOLDER COUNT
"""

from __future__ import annotations

from collections.abc import Callable

import side

module = side.automatic()

import numpy  # noqa: E402 - as in a program: autologging first
from sklearn.linear_model import Ridge  # noqa: E402

PAIRS = 15 if side.COUNT <= 100_000 else 5 if side.COUNT <= 1_000_000 else 3

random = numpy.random.default_rng(0)
X = random.normal(size=(side.COUNT, 10))
y = X @ numpy.arange(10.0) + random.normal(size=side.COUNT)


def fit(number: int) -> Callable[[], object]:
    """A fit, to be done."""
    model = Ridge(alpha=1 + number / 1000, solver="cholesky")
    return lambda: model.fit(X, y)


side.report(**side.by_turns(module, fit, PAIRS))
