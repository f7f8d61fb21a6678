"""A program that trains with LightGBM in the ways that its users do, without a line of autotrack.

It prints a digest of every model and a few scores, and the state of the random streams at the end; what it prints
depends on nothing but its own computations.
"""

import hashlib
import pickle
import random
import sys

import lightgbm as lgb
import numpy as np
import pandas as pd
import pyarrow
import scipy.sparse
from sklearn.datasets import load_breast_cancer
from sklearn.metrics import accuracy_score, log_loss, roc_auc_score

random.seed(7)
np.random.seed(7)
DATA, TARGET = load_breast_cancer(return_X_y=True, as_frame=True)
DATA = DATA.assign(size=pd.cut(DATA["mean radius"], 3, labels=["small", "middle", "large"]))
ORDER = np.random.permutation(len(DATA))
TRAIN, TEST = ORDER[:400], ORDER[400:]
NUMBERS = DATA.drop(columns="size").to_numpy()
PARAMS = {
    "objective": "binary",
    "metric": ["binary_logloss", "auc"],
    "num_leaves": 7,
    "verbose": -1,
    "num_threads": 1,
    "seed": 7,
    "bagging_fraction": 0.8,
    "bagging_freq": 1,
    "force_col_wise": True,
}


def show(name, booster):
    """One line for a model."""
    trees = booster.model_to_string().partition("\nparameters:")[0]
    print(name, booster.num_trees(), booster.best_iteration, hashlib.sha256(trees.encode()).hexdigest()[:16])


def log_likelihood(scores, data):
    """Gradient and second derivative."""
    chances = 1 / (1 + np.exp(-scores))
    return chances - data.get_label(), chances * (1 - chances)


def errors(scores, data):
    """A metric of our own."""
    return "errors", float(np.mean((scores > 0) != data.get_label())), False


def several(scores, data):
    """Two metrics at once."""
    return [("mean", float(np.mean(scores)), True), ("largest", float(np.max(scores)), True)]


class Rows(lgb.Sequence):
    """Rows that LightGBM asks for in batches."""

    batch_size = 64

    def __init__(self, rows):
        self.rows = rows

    def __getitem__(self, index):
        return self.rows[index]

    def __len__(self):
        return len(self.rows)


# Categories, weights and early stopping; the model to a file, to JSON, to a pickle and back.
train = lgb.Dataset(DATA.iloc[TRAIN], TARGET.iloc[TRAIN], weight=1 + TARGET.iloc[TRAIN] / 2, free_raw_data=False)
valid = train.create_valid(DATA.iloc[TEST], TARGET.iloc[TEST])
seen = {}
callbacks = [lgb.early_stopping(5, verbose=False), lgb.record_evaluation(seen)]
stopped = lgb.train(PARAMS, train, 300, [valid, train], ["held out", "train"], callbacks=callbacks)
show("stopped", stopped)
print("seen", sorted(seen), [len(scores) for scores in seen["held out"].values()], len(callbacks))
stopped.save_model("model.txt")
print("dumped", sorted(stopped.dump_model())[:4])
again = pickle.loads(pickle.dumps(stopped))
show("again", again)
X_test = DATA.iloc[TEST]
chances = stopped.predict(X_test)
print("scores", round(roc_auc_score(TARGET.iloc[TEST], chances), 6), round(log_loss(TARGET.iloc[TEST], chances), 6))
print("right", round(accuracy_score(TARGET.iloc[TEST], stopped.predict(X_test) > 0.5), 6))
print("same", (again.predict(X_test) == lgb.Booster(model_file="model.txt").predict(X_test)).all())

# Training that goes on, from a file and from a booster, with parameters that change.
longer = lgb.train(PARAMS, train, 5, [valid], init_model="model.txt")
show("from a file", longer)
rates = lgb.reset_parameter(learning_rate=lambda number: 0.1 * 0.9**number, bagging_fraction=[0.9] * 3 + [0.7] * 2)
longest = lgb.train(PARAMS, train, 5, [valid], init_model=longer, callbacks=[rates], keep_training_booster=True)
longest.update()
show("from a booster", longest)

# An objective and metrics of one's own, starting scores, and a dataset that a callback adds.
own = lgb.Dataset(NUMBERS[TRAIN], TARGET.iloc[TRAIN], init_score=np.full(len(TRAIN), 0.3), free_raw_data=False)


def add_valid(env):
    """Another dataset from the third round on."""
    if env.iteration == 3:
        env.model.add_valid(own.create_valid(NUMBERS[TEST], TARGET.iloc[TEST]), "late")


add_valid.before_iteration = True
options = {"feval": [errors, several], "callbacks": [add_valid]}
show("own", lgb.train({**PARAMS, "objective": log_likelihood}, own, 8, [own], **options))

# Data of other kinds.
kinds = {
    "sparse": scipy.sparse.csr_matrix(NUMBERS[TRAIN]),
    "parts": [NUMBERS[TRAIN[:150]], NUMBERS[TRAIN[150:]]],
    "arrow": pyarrow.table({f"x{number}": NUMBERS[TRAIN, number] for number in range(NUMBERS.shape[1])}),
    "sequence": Rows(NUMBERS[TRAIN]),
    "sequences": [Rows(NUMBERS[TRAIN[:150]]), Rows(NUMBERS[TRAIN[150:]])],
}
for kind, rows in kinds.items():
    show(kind, lgb.train(PARAMS, lgb.Dataset(rows, TARGET.iloc[TRAIN].to_numpy(), params=PARAMS), 4))
whole = lgb.Dataset(NUMBERS, TARGET, params=PARAMS, free_raw_data=False)
show("subset", lgb.train(PARAMS, whole.subset(sorted(TRAIN)), 4))
np.savetxt("train.csv", np.column_stack([TARGET, NUMBERS]), delimiter=",")
show("file", lgb.train(PARAMS, lgb.Dataset("train.csv", params=PARAMS), 4))
whole.save_binary("train.bin")
show("binary file", lgb.train(PARAMS, lgb.Dataset("train.bin", params=PARAMS), 4))

# Groups of rows that are ranked, and a cross-validation.
ranks = lgb.Dataset(NUMBERS[TRAIN], TARGET.iloc[TRAIN], group=[100] * 4)
ranking = {**PARAMS, "objective": "lambdarank", "metric": "ndcg", "eval_at": [1, 5]}
show("ranks", lgb.train(ranking, ranks, 5, [ranks]))
folds = lgb.cv(PARAMS, whole, 12, nfold=3, seed=3, return_cvbooster=True)
boosters = folds.pop("cvbooster").boosters
print("folds", sorted(folds), [values[-1] for values in folds.values()])
for booster in boosters:
    show("fold", booster)

model = lgb.LGBMClassifier(n_estimators=8, n_jobs=1, verbose=-1, random_state=7).fit(NUMBERS[TRAIN], TARGET.iloc[TRAIN])
print("estimator", round(model.score(NUMBERS[TEST], TARGET.iloc[TEST]), 6), model.booster_.num_trees())
try:
    lgb.train({**PARAMS, "num_leaves": -3}, lgb.Dataset(NUMBERS, TARGET), 2)
except lgb.basic.LightGBMError as error:
    print("refused", type(error).__name__)
print("streams", random.random(), np.random.random())
print("done", file=sys.stderr)
