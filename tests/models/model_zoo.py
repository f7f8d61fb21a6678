"""Fitted scikit-learn models of many kinds, and the data that they predict for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
from sklearn import (
    calibration,
    cluster,
    compose,
    cross_decomposition,
    decomposition,
    discriminant_analysis,
    dummy,
    ensemble,
    feature_extraction,
    feature_selection,
    gaussian_process,
    impute,
    isotonic,
    kernel_approximation,
    kernel_ridge,
    linear_model,
    mixture,
    model_selection,
    multiclass,
    naive_bayes,
    neighbors,
    neural_network,
    pipeline,
    preprocessing,
    semi_supervised,
    svm,
    tree,
)
from sklearn.datasets import load_iris

X, y = load_iris(return_X_y=True)
FRAME, TARGET = load_iris(return_X_y=True, as_frame=True)
FRAME = FRAME.assign(kind=np.where(TARGET > 0, "a", "b"))
NUMBERS = pd.Index([name for name in FRAME.columns if name != "kind"])

LOGISTIC = linear_model.LogisticRegression(max_iter=300)
FOREST = ensemble.RandomForestClassifier(5, random_state=0)

ESTIMATORS: list[Any] = [
    LOGISTIC,
    FOREST,
    linear_model.LinearRegression(),
    linear_model.Ridge(),
    linear_model.RidgeClassifierCV(),
    linear_model.LassoCV(),
    linear_model.ElasticNet(),
    linear_model.SGDClassifier(random_state=0),
    linear_model.PoissonRegressor(),
    linear_model.BayesianRidge(),
    linear_model.HuberRegressor(max_iter=500),
    svm.SVC(),
    svm.SVR(),
    svm.LinearSVC(max_iter=5000),
    naive_bayes.GaussianNB(),
    naive_bayes.MultinomialNB(),
    neighbors.KNeighborsClassifier(),
    neighbors.KNeighborsRegressor(algorithm="ball_tree", metric="minkowski", p=3),
    neighbors.RadiusNeighborsClassifier(radius=5.0, metric="seuclidean", metric_params={"V": np.ones(4)}),
    neighbors.NearestCentroid(),
    tree.DecisionTreeClassifier(random_state=0),
    tree.ExtraTreeRegressor(random_state=0),
    ensemble.ExtraTreesRegressor(5, random_state=0),
    ensemble.GradientBoostingClassifier(n_estimators=5, random_state=0),
    ensemble.GradientBoostingRegressor(n_estimators=5, loss="quantile", random_state=0),
    ensemble.HistGradientBoostingClassifier(max_iter=5, random_state=0),
    ensemble.HistGradientBoostingRegressor(max_iter=5, loss="poisson"),
    ensemble.AdaBoostClassifier(n_estimators=5, random_state=0),
    ensemble.BaggingRegressor(n_estimators=5, max_features=0.5, random_state=0),
    ensemble.IsolationForest(n_estimators=5, random_state=0),
    ensemble.VotingClassifier([("linear", LOGISTIC), ("forest", FOREST)]),
    ensemble.StackingClassifier([("linear", LOGISTIC), ("forest", FOREST)], cv=2),
    neural_network.MLPClassifier(max_iter=500, random_state=0),
    gaussian_process.GaussianProcessClassifier(1.0 * gaussian_process.kernels.RBF(), optimizer=None),
    gaussian_process.GaussianProcessRegressor(alpha=0.1, random_state=0),
    discriminant_analysis.QuadraticDiscriminantAnalysis(),
    discriminant_analysis.LinearDiscriminantAnalysis(),
    dummy.DummyClassifier(),
    kernel_ridge.KernelRidge(),
    isotonic.IsotonicRegression(),
    cross_decomposition.PLSRegression(),
    mixture.GaussianMixture(2, random_state=0),
    cluster.KMeans(3, n_init=2, random_state=0),
    cluster.MiniBatchKMeans(3, n_init=2, random_state=0),
    cluster.BisectingKMeans(3, random_state=np.random.RandomState(0)),
    cluster.Birch(n_clusters=3),
    calibration.CalibratedClassifierCV(naive_bayes.GaussianNB(), cv=2),
    multiclass.OneVsRestClassifier(LOGISTIC),
    semi_supervised.LabelSpreading(),
    model_selection.GridSearchCV(LOGISTIC, {"C": [0.1, 1.0]}, cv=2, scoring=["accuracy", "f1_macro"], refit="accuracy"),
    model_selection.RandomizedSearchCV(FOREST, {"max_depth": [1, 2]}, n_iter=2, cv=2, random_state=0),
    pipeline.make_pipeline(preprocessing.StandardScaler(), decomposition.PCA(2), LOGISTIC),
    pipeline.make_pipeline(impute.SimpleImputer(), feature_selection.SelectKBest(k=2), FOREST),
    pipeline.make_pipeline(preprocessing.FunctionTransformer(np.log1p), kernel_approximation.Nystroem(), LOGISTIC),
    compose.TransformedTargetRegressor(linear_model.Ridge(), func=np.log1p, inverse_func=np.expm1),
]
"""Fitted on iris by `fitted`."""

NOT_IN_SKOPS = {"Birch"}
"""Its nodes refer to each other in a circle, which the format cannot hold."""


def fitted(estimator: Any) -> tuple[Any, Any]:
    """An estimator fitted on iris, and the data to predict for."""
    data = X[:, 0] if isinstance(estimator, isotonic.IsotonicRegression) else X
    return estimator.fit(data, y), data


def frame_pipeline() -> Any:
    """A pipeline over a frame's columns by name, as tutorials have it (the names are a pandas Index)."""
    columns = compose.ColumnTransformer(
        [
            ("numbers", preprocessing.StandardScaler(), NUMBERS),
            ("kinds", preprocessing.OneHotEncoder(handle_unknown="ignore"), ["kind"]),
        ]
    )
    return pipeline.Pipeline([("columns", columns), ("forest", FOREST)]).fit(FRAME, TARGET)


def text_pipeline() -> tuple[Any, list[str]]:
    """A pipeline over texts, with a vocabulary and a set of stop words."""
    texts = ["the cat sat", "a dog ran", "the cat ran", "a dog sat"] * 5
    vectorizer = feature_extraction.text.TfidfVectorizer(stop_words=["the", "a"])
    return pipeline.make_pipeline(vectorizer, LOGISTIC).fit(texts, [0, 1] * 10), texts


def predictions(estimator: Any, data: Any) -> list[Any]:
    """What a model says: of all its methods that take data."""
    names = ("predict", "predict_proba", "decision_function", "transform")
    found: list[Callable[[Any], Any]] = [getattr(estimator, name) for name in names if hasattr(estimator, name)]
    return [method(data) for method in found]
