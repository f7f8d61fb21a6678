"""LightGBM's estimators: own metrics, early stopping, importances, a search, a pipeline, pickles, a refused call."""

from __future__ import annotations

import hashlib
import pickle

import lightgbm as lgb
import numpy as np
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

source = np.random.default_rng(11)
rows = source.normal(size=(400, 5))
amounts = np.exp(rows[:, 0] + 0.5 * rows[:, 1])
labels = (amounts > 1).astype(int) + (amounts > 3)
fit, rest = slice(0, 300), slice(300, 400)
COMMON = {"n_estimators": 12, "num_leaves": 7, "random_state": 3, "n_jobs": 1, "verbose": -1}


def log_error(y_true, y_pred):
    """A metric of the program's own."""
    return "log error", float(np.mean((np.log1p(np.abs(y_true)) - np.log1p(np.abs(y_pred))) ** 2)), False


def two_metrics(y_true, y_pred):
    """Several at once."""
    return [log_error(y_true, y_pred), ("bias", float(np.mean(y_pred - y_true)), False)]


regressor = lgb.LGBMRegressor(**COMMON)
for metric in ("l1", log_error, two_metrics):
    regressor.fit(
        rows[fit], amounts[fit], eval_set=[(rows[rest], amounts[rest])], eval_metric=metric,
        callbacks=[lgb.early_stopping(5, verbose=False)],
    )  # fmt: skip
    print(regressor.best_iteration_, {key: list(value) for key, value in regressor.evals_result_["valid_0"].items()})
print(regressor.feature_importances_.tolist(), regressor.n_features_in_, sorted(vars(regressor)))

search = GridSearchCV(lgb.LGBMRegressor(**COMMON), {"learning_rate": [0.05, 0.2], "n_estimators": [5, 10]}, cv=2)
search.fit(rows[fit], amounts[fit])
print(search.best_params_, repr(search.best_score_))

classifier = make_pipeline(StandardScaler(), lgb.LGBMClassifier(**COMMON)).fit(rows[fit], labels[fit])
print(classifier.score(rows[rest], labels[rest]), classifier.predict_proba(rows[rest]).tobytes().hex()[:64])
twin = pickle.loads(pickle.dumps(classifier))
print(np.array_equal(twin.predict(rows), classifier.predict(rows)), clone(classifier))
print(hashlib.sha256(pickle.dumps(classifier)).hexdigest())

ranker = lgb.LGBMRanker(**COMMON).fit(rows[fit], labels[fit], group=[100, 100, 100])
print(ranker.predict(rows[:3]))
try:
    lgb.LGBMClassifier(**COMMON).fit(rows[fit], labels[rest])
except ValueError as error:
    print(type(error).__name__, error, error.__context__, error.__cause__)
