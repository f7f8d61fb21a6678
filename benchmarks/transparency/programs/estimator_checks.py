"""scikit-learn's `check_estimator` of estimators of its own, of LightGBM's and of this program's; prints every verdict.

    python estimator_checks.py [NAME ...]

Without names: every estimator of scikit-learn's that can be made without arguments, but for the slow ones.
"""

from __future__ import annotations

import sys
import warnings
from functools import partial

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin, TransformerMixin
from sklearn.utils import all_estimators
from sklearn.utils.estimator_checks import check_estimator
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

SLOW = {
    "BayesianGaussianMixture", "DictionaryLearning", "FastICA", "GaussianProcessClassifier",
    "GradientBoostingClassifier",
    "GradientBoostingRegressor", "HistGradientBoostingClassifier", "HistGradientBoostingRegressor", "LabelPropagation",
    "LatentDirichletAllocation", "LogisticRegressionCV", "MLPClassifier", "MLPRegressor",
    "MiniBatchDictionaryLearning",
    "MiniBatchSparsePCA", "NuSVC", "RandomForestClassifier", "RandomForestRegressor", "SparsePCA", "StackingClassifier",
    "StackingRegressor", "TSNE", "GammaRegressor", "TweedieRegressor", "IterativeImputer",
}  # fmt: skip


class Nearest(ClassifierMixin, BaseEstimator):
    """The class of the nearest mean: a classifier of the program's own."""

    def __init__(self, power=2):
        self.power = power

    def fit(self, X, y):
        """Remember the means."""
        X, y = validate_data(self, X, y)
        check_classification_targets(y)
        self.classes_, codes = np.unique(y, return_inverse=True)
        self.means_ = np.array([X[codes == code].mean(axis=0) for code in range(len(self.classes_))])
        return self

    def predict(self, X):
        """The class of the nearest one."""
        check_is_fitted(self)
        X = validate_data(self, X, reset=False)
        distances = (np.abs(X[:, None, :] - self.means_) ** self.power).sum(axis=2)
        return self.classes_[distances.argmin(axis=1)]


class Middle(RegressorMixin, BaseEstimator):
    """Always the median of what it saw; it inherits its `fit`'s metadata, and has a `partial_fit` of its own."""

    def fit(self, X, y, sample_weight=None):
        """Remember the median."""
        X, y = validate_data(self, X, y, y_numeric=True)
        self.middle_ = float(np.median(y))
        return self

    def predict(self, X):
        """The median, for each row."""
        check_is_fitted(self)
        return np.full(len(validate_data(self, X, reset=False)), self.middle_)


class Centred(TransformerMixin, BaseEstimator):
    """Takes the mean away."""

    def fit(self, X, y=None):
        """Remember the mean."""
        self.mean_ = validate_data(self, X, dtype=np.float64).mean(axis=0)
        return self

    def transform(self, X):
        """Without it."""
        check_is_fitted(self)
        return validate_data(self, X, reset=False, dtype=np.float64) - self.mean_


OWN = {one.__name__: one for one in (Nearest, Middle, Centred)}


def candidates():
    """Every class by its name."""
    import lightgbm

    # By itself it measures which way is faster, and prints what it found.
    boosting = partial(lightgbm.LGBMClassifier, force_col_wise=True, verbosity=-1)
    return {**dict(all_estimators()), **OWN, "LGBMClassifier": boosting}


def show(name, cls):
    """All verdicts on one class."""
    try:
        estimator = cls()
    except TypeError as error:
        print(f"{name}: {error}")
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        np.random.seed(0)
        try:
            verdicts = check_estimator(estimator, on_skip=None, on_fail=None)
        except (AttributeError, TypeError, ValueError) as error:  # of some made without arguments it asks too much
            print(f"{name}: cannot be checked: {type(error).__name__}: {error}"[:300])
            return
    for one in verdicts:
        print(f"{name}: {one['check_name']}: {one['status']}, {one['exception']!r}"[:300])


def main():
    """Show those that were asked for."""
    known = candidates()
    for name in sys.argv[1:] or [name for name in known if name not in SLOW]:
        show(name, known[name])


if __name__ == "__main__":
    main()
