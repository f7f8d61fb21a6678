"""Chances as labels: cross-entropy with fractions against a classification of the same rows, drawn and repeated."""

from __future__ import annotations

import warnings

import lightgbm as lgb
import numpy as np
from scipy.special import expit, xlogy

np.random.seed(17)
size = 300
levels = np.random.normal(size=(size, 1))
groups = np.arange(size) % 10
chance = expit(levels[:, 0] + 0.3 * (groups - 4.5))
drawn = (np.random.uniform(size=size) < chance).astype(float)
inputs = np.column_stack([levels, groups])


def loss(truth, predicted):
    """The mean log loss, of fractions too."""
    return float(-np.mean(xlogy(truth, predicted) + xlogy(1 - truth, 1 - predicted)))


def fit(objective, labels):
    """Train, and tell how far it came."""
    settings = {"objective": objective, "verbose": -1, "num_threads": 1, "learning_rate": 0.2, "deterministic": True}
    booster = lgb.train(settings, lgb.Dataset(inputs, labels), num_boost_round=15)
    predicted = booster.predict(inputs)
    return loss(labels, predicted), np.std(predicted - chance)


with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    for objective, labels in (("binary", drawn), ("xentropy", drawn), ("xentropy", chance)):
        print(objective, *map(repr, map(float, fit(objective, labels))))
print([str(one.message) for one in caught], np.random.randint(1 << 30))
