"""Weights, categories, dumps, continued training, rates that decay, own objectives, own callbacks, folds by hand."""

from __future__ import annotations

import copy
import hashlib
import json
import pickle

import lightgbm as lgb
import numpy as np
from sklearn.metrics import roc_auc_score

source = np.random.default_rng(13)
X = np.column_stack([source.normal(size=(500, 3)), source.integers(0, 4, 500)])
y = (X[:, 0] + (X[:, 3] == 2) + source.normal(scale=0.3, size=500) > 0.4).astype(int)
weights = source.uniform(0.5, 1.5, 500)
NAMES = ["north", "east", "south", "kind_of_soil"]
COMMON = {
    "objective": "binary",
    "num_leaves": 9,
    "verbose": -1,
    "num_threads": 1,
    "seed": 1,
    "metric": "binary_logloss",
}


def data(rows, reference=None):
    """A part of the data; what it was made of stays, so that training can go on with it."""
    return lgb.Dataset(
        X[rows], y[rows], weight=weights[rows], feature_name=NAMES, categorical_feature=["kind_of_soil"],
        reference=reference, free_raw_data=False,
    )  # fmt: skip


train, valid = data(slice(0, 400)), None
valid = data(slice(400, 500), train)
train.save_binary("train.bin")
first = lgb.train(COMMON, train, 8, valid_sets=[train, valid], valid_names=["seen", "unseen"])
first.save_model("first.txt")
with open("first.json", "w") as file:
    json.dump(first.dump_model(), file)
print(first.feature_name(), first.feature_importance("gain").tolist())
held = pickle.loads(pickle.dumps(first))
print(repr(roc_auc_score(y[400:], first.predict(X[400:]))), np.array_equal(held.predict(X), first.predict(X)))

later = lgb.train(COMMON, train, 4, init_model="first.txt", valid_sets=valid)
slower = lgb.train(
    COMMON, train, 4, init_model=later, valid_sets=valid,
    callbacks=[lgb.reset_parameter(learning_rate=lambda number: 0.05 * 0.9**number)],
)  # fmt: skip
bagged = lgb.train(
    COMMON,
    train,
    4,
    init_model=slower,
    valid_sets=valid,
    callbacks=[lgb.reset_parameter(bagging_fraction=[0.9, 0.8] * 2)],
)
print(first.num_trees(), later.num_trees(), slower.num_trees(), bagged.num_trees())


def likelihood(predictions, dataset):
    """The gradient of the loss of the program's own."""
    chance = 1 / (1 + np.exp(-predictions))
    return chance - dataset.get_label(), chance * (1 - chance)


def mistakes(predictions, dataset):
    """A metric to go with it."""
    return "mistakes", float(np.mean((predictions > 0) != dataset.get_label())), False


seen: dict = {}
rounds: list = []
own = {**COMMON, "objective": likelihood, "metric": "None"}


def note(env):
    """A callback of the program's own."""
    rounds.append((env.iteration, env.begin_iteration, len(env.evaluation_result_list), env.model is not None))


callbacks = [lgb.record_evaluation(seen), note]
given = copy.copy(callbacks)
booster = lgb.train(own, train, 6, valid_sets=valid, feval=[mistakes], callbacks=callbacks)
print(seen, rounds, all(one is other for one, other in zip(given, callbacks, strict=True)), len(callbacks))

for_folds = lgb.Dataset(X, y, feature_name=NAMES)
result = lgb.cv(COMMON, for_folds, 5, nfold=3, stratified=True, seed=2, return_cvbooster=True, eval_train_metric=True)
print({key: value for key, value in result.items() if key != "cvbooster"}, len(result["cvbooster"].boosters))

by_hand = lgb.Booster(COMMON, train)
for _ in range(3):
    by_hand.update()
by_hand.rollback_one_iter()
print(by_hand.current_iteration(), by_hand.eval_train(), by_hand.refit(X[:50], y[:50]).num_trees())
for name, one in (("first", first), ("bagged", bagged), ("own", booster), ("by hand", by_hand)):
    print(name, hashlib.sha256(one.model_to_string().encode()).hexdigest(), sorted(vars(one)))
try:
    lgb.train({**COMMON, "objective": "no such thing"}, train, 2)
except lgb.basic.LightGBMError as error:
    print(error, error.__context__, error.__cause__)
