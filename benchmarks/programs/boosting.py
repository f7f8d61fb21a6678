"""`lightgbm.train`, 1,000 rounds with a valid set, recorded and plain in one process, by turns.

    python boosting.py SIDE FOLDER PAIRS

Two trainings of the same data differ by more than what is measured, if anything else goes on in the machine; so the
two of a pair follow each other at once, every other pair the other way round, and the median of the pairs' ratios
counts. The models have to be equal.
"""

from __future__ import annotations

import statistics
import time

import side

module = side.automatic()

import lightgbm  # noqa: E402 - as in a program: autologging first
import numpy  # noqa: E402

ROUNDS = 1_000
PARAMS = {
    "objective": "binary", "metric": ["binary_logloss", "auc"], "num_leaves": 31, "learning_rate": 0.02, "verbose": -1,
    "num_threads": 1, "force_col_wise": True,
}  # fmt: skip

random = numpy.random.default_rng(0)
X = random.normal(size=(5_000, 20))
y = (X[:, 0] + X[:, 1] * X[:, 2] + random.normal(size=len(X)) > 0).astype(int)


def train(recorded: bool) -> tuple[float, float, str]:
    """Milliseconds by the clock and of this thread's CPU, and the model."""
    data = lightgbm.Dataset(X[:4_000], y[:4_000])
    valid = lightgbm.Dataset(X[4_000:], y[4_000:], reference=data)
    wall, thread = time.perf_counter(), time.thread_time()
    if recorded:
        booster = lightgbm.train(PARAMS, data, ROUNDS, [valid])
    else:
        with module.disabled():
            booster = lightgbm.train(PARAMS, data, ROUNDS, [valid])
    wall, thread = time.perf_counter() - wall, time.thread_time() - thread
    side.settle(module)
    return 1000 * wall, 1000 * thread, booster.model_to_string()


train(True)
pairs = []
for number in range(side.COUNT):
    first = train(number % 2 == 0)
    second = train(number % 2 == 1)
    pairs.append((first, second) if number % 2 == 0 else (second, first))
if any(recorded[2] != plain[2] for recorded, plain in pairs):
    raise SystemExit("the recorded training's model is another one")

side.report(
    wall_ratio=statistics.median(recorded[0] / plain[0] for recorded, plain in pairs),
    thread_ratio=statistics.median(recorded[1] / plain[1] for recorded, plain in pairs),
    plain_ms=statistics.median(plain[0] for _, plain in pairs),
    added_ms=statistics.median(recorded[0] - plain[0] for recorded, plain in pairs),
)
