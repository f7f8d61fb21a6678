"""Curves, importances, splits of a booster as figures."""

from __future__ import annotations

import lightgbm as lgb
import matplotlib

matplotlib.use("agg")
import matplotlib.pyplot as plt
import numpy as np

source = np.random.default_rng(19)
X, noise = source.normal(size=(300, 4)), source.normal(scale=0.2, size=300)
y = X @ [1.0, -2.0, 0.0, 0.5] + noise
train = lgb.Dataset(X[:200], y[:200], feature_name=["f_1", "f_2", "f_3", "f_4"])
test = lgb.Dataset(X[200:], y[200:], reference=train)
curves: dict = {}
booster = lgb.train(
    {"num_leaves": 5, "metric": ("l1", "l2"), "verbose": -1, "num_threads": 1}, train, 12, valid_sets=[train, test],
    callbacks=[lgb.log_evaluation(5), lgb.record_evaluation(curves)],
)  # fmt: skip
for name, axes in (
    ("metric", lgb.plot_metric(curves, metric="l1")),
    ("importance", lgb.plot_importance(booster, max_num_features=3)),
    ("splits", lgb.plot_split_value_histogram(booster, feature="f_2", bins="auto")),
):
    print(name, axes.get_title(), axes.get_xlabel(), len(axes.lines), len(axes.patches))
    axes.figure.savefig(f"{name}.png", metadata={"Software": None})
    plt.close(axes.figure)
try:
    lgb.plot_metric(booster)
except TypeError as error:
    print(error)
print(plt.get_fignums())
