"""Two kinds of regression on files of numbers: train with early stopping, save, load, predict."""

from __future__ import annotations

import lightgbm as lgb
import numpy as np
import pandas as pd
from sklearn.metrics import mean_absolute_error, mean_squared_error

source = np.random.default_rng(7)
table = pd.DataFrame(source.normal(size=(600, 6)), columns=[f"sensor_{letter}" for letter in "abcdef"])
table["yield"] = 3 * table["sensor_a"] - table["sensor_b"] ** 2 + source.normal(scale=0.1, size=len(table))
table[:450].to_csv("past.tsv", sep="\t", index=False)
table[450:].to_csv("recent.tsv", sep="\t", index=False)

past, recent = (pd.read_csv(name, sep="\t") for name in ("past.tsv", "recent.tsv"))
y_past, y_recent = past.pop("yield"), recent.pop("yield")
for objective, metric in (("regression", ["l2", "l1"]), ("huber", "huber")):
    known = lgb.Dataset(past, y_past)
    held_out = lgb.Dataset(recent, y_recent, reference=known)
    settings = {
        "objective": objective, "metric": metric, "num_leaves": 15, "learning_rate": 0.1, "feature_fraction": 0.8,
        "bagging_fraction": 0.8, "bagging_freq": 2, "verbose": 0, "num_threads": 1, "seed": 5,
    }  # fmt: skip
    before = dict(settings)
    booster = lgb.train(
        settings,
        known,
        num_boost_round=30,
        valid_sets=held_out,
        callbacks=[lgb.early_stopping(4), lgb.log_evaluation(10)],
    )
    assert settings == before
    predicted = booster.predict(recent, num_iteration=booster.best_iteration)
    print(objective, booster.best_iteration, repr(mean_squared_error(y_recent, predicted) ** 0.5))
    booster.save_model(f"{objective}.txt")
    again = lgb.Booster(model_file=f"{objective}.txt")
    print(np.array_equal(again.predict(recent), predicted), repr(mean_absolute_error(y_recent, predicted)))
    print(booster.feature_name(), booster.feature_importance().tolist(), sorted(vars(known)) == sorted(vars(held_out)))
