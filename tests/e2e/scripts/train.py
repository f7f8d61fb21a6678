"""A training program without a line of autotrack; what it prints depends on nothing but its own computations.

Six trainings: a pipeline, a forest, a grid search on two processes, a voting classifier, a cross-validation, and an
estimator written here. The last lines tell the state of the random streams, so that anyone who drew from them shows.
"""

import hashlib
import random
import sys

import numpy as np
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris, load_wine
from sklearn.ensemble import RandomForestClassifier, VotingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, f1_score, mean_squared_error
from sklearn.model_selection import GridSearchCV, cross_val_score, train_test_split
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeClassifier


class BoostedMedian(RegressorMixin, BaseEstimator):
    """Medians of random halves of one feature, boosted; draws from NumPy's global random stream."""

    def __init__(self, rounds=20, rate=0.3):
        self.rounds = rounds
        self.rate = rate

    def fit(self, X, y):
        X, rest = np.asarray(X), np.asarray(y, dtype=float)
        self.start_ = np.median(rest)
        self.rules_ = []
        rest = rest - self.start_
        for _ in range(self.rounds):
            feature = np.random.randint(X.shape[1])
            split = np.random.choice(X[:, feature])
            above = X[:, feature] > split
            high, low = (np.median(rest[side]) if side.any() else 0.0 for side in (above, ~above))
            self.rules_.append((feature, split, high, low))
            rest = rest - self.rate * np.where(above, high, low)
        return self

    def predict(self, X):
        X = np.asarray(X)
        steps = [np.where(X[:, feature] > split, high, low) for feature, split, high, low in self.rules_]
        return self.start_ + self.rate * np.sum(steps, axis=0)


def digest(predictions):
    """Short fingerprint of an array: two runs predicted the same where it is the same."""
    return hashlib.sha256(np.ascontiguousarray(predictions).tobytes()).hexdigest()[:16]


def train_pipeline():
    """A pipeline, judged on a hold-out."""
    X_train, X_test, y_train, y_test = train_test_split(*load_iris(return_X_y=True), test_size=0.3, random_state=0)
    pipeline = Pipeline([("scale", StandardScaler()), ("classify", LogisticRegression(C=0.5))])
    pipeline.fit(X_train, y_train)
    y_pred = pipeline.predict(X_test)
    print("pipeline", digest(y_pred), accuracy_score(y_test, y_pred))


def train_forest():
    """A forest that draws from the global random stream."""
    X_train, X_test, y_train, y_test = train_test_split(*load_wine(return_X_y=True), test_size=0.3, random_state=0)
    forest = RandomForestClassifier(n_estimators=25)
    forest.fit(X_train, y_train)
    y_pred = forest.predict(X_test)
    print("forest", digest(y_pred), f1_score(y_test, y_pred, average="macro"), forest.score(X_test, y_test))


def train_search():
    """A grid search on two processes."""
    X, y = load_iris(return_X_y=True)
    search = GridSearchCV(SVC(), {"C": [0.1, 1.0, 10.0], "kernel": ["linear", "rbf"]}, cv=3, n_jobs=2)
    search.fit(X, y)
    print("search", digest(search.predict(X)), search.best_params_, search.best_score_)


def train_voting():
    """An ensemble of two models."""
    X_train, X_test, y_train, y_test = train_test_split(*load_wine(return_X_y=True), test_size=0.3, random_state=1)
    voting = VotingClassifier([("tree", DecisionTreeClassifier(max_depth=3)), ("bayes", GaussianNB())], voting="soft")
    voting.fit(X_train, y_train)
    y_pred = voting.predict(X_test)
    print("voting", digest(voting.predict_proba(X_test)), accuracy_score(y_test, y_pred))


def cross_validate():
    """A cross-validation."""
    X, y = load_breast_cancer(return_X_y=True)
    scores = cross_val_score(DecisionTreeClassifier(max_depth=4), X, y, cv=4)
    print("cross-validation", " ".join(map(repr, scores.tolist())))


def train_own():
    """An estimator that is defined here."""
    X_train, X_test, y_train, y_test = train_test_split(*load_diabetes(return_X_y=True), test_size=0.3, random_state=0)
    model = BoostedMedian(rounds=30).fit(X_train, y_train)
    y_pred = model.predict(X_test)
    print("own estimator", digest(y_pred), mean_squared_error(y_test, y_pred))


def main():
    """All trainings in a row, then the state of the random streams."""
    random.seed(11)
    np.random.seed(11)
    train_pipeline()
    train_forest()
    train_search()
    train_voting()
    cross_validate()
    train_own()
    print("random", random.random())
    print("numpy.random", np.random.rand())
    print("done", file=sys.stderr)


if __name__ == "__main__":
    main()
