"""Three cultivars of wine: an ensemble of different models, one of them written here, in cross-validation."""

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.datasets import load_wine
from sklearn.ensemble import VotingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.validation import check_array, check_is_fitted, check_X_y


class NearestMean(ClassifierMixin, BaseEstimator):
    """Each class is its mean; a sample belongs to the nearest, the distance counted in powers of `p`."""

    def __init__(self, p=2.0):
        self.p = p

    def fit(self, X, y):
        X, y = check_X_y(X, y)
        self.n_features_in_ = X.shape[1]
        self.classes_ = np.unique(y)
        self.means_ = np.stack([X[y == label].mean(axis=0) for label in self.classes_])
        return self

    def predict(self, X):
        check_is_fitted(self)
        distances = (np.abs(check_array(X)[:, None, :] - self.means_) ** self.p).sum(axis=2)
        return self.classes_[distances.argmin(axis=1)]


X, y = load_wine(return_X_y=True)
members = {
    "logistic": make_pipeline(StandardScaler(), LogisticRegression(max_iter=500)),
    "bayes": GaussianNB(),
    "nearest mean": make_pipeline(StandardScaler(), NearestMean(p=1.5)),
}
for name, member in members.items():
    scores = cross_val_score(member, X, y, cv=5)
    print(f"{name:>12}: {scores.mean():.3f} +- {scores.std():.3f}")

ensemble = VotingClassifier(list(members.items()), voting="hard")
scores = cross_val_score(ensemble, X, y, cv=5)
print(f"{'ensemble':>12}: {scores.mean():.3f} +- {scores.std():.3f}")

ensemble.fit(X, y)
print(f"trained on all {len(y)} wines, it is right about {ensemble.score(X, y):.3f} of them")
