"""The policy: which names a model file may hold."""

from __future__ import annotations

import pytest
from sklearn.utils import all_estimators

from autotrack.models.policy import is_trusted, untrusted


def test_every_estimator_of_scikit_learn_is_trusted() -> None:
    """All public estimators, under the name by which a file would have them."""
    names = {f"{kind.__module__}.{kind.__name__}" for _, kind in all_estimators()}
    assert untrusted(names) == []


@pytest.mark.parametrize(
    "name",
    [
        "builtins.frozenset",
        "numpy.float64",
        "numpy.int64",
        "numpy.log1p",
        "numpy.mean",
        "numpy.ndarray",
        "scipy.sparse._csr.csr_matrix",
        "scipy.special.expit",
        "sklearn._loss.loss.HalfBinomialLoss",
        "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
        "sklearn.feature_selection._univariate_selection.f_classif",
        "sklearn.gaussian_process.kernels.RBF",
        "sklearn.linear_model._sgd_fast.Hinge",
        "sklearn.metrics._classification.accuracy_score",
        "sklearn.metrics._dist_metrics.EuclideanDistance64",
        "sklearn.metrics._scorer._Scorer",
        "sklearn.metrics.pairwise.rbf_kernel",
        "sklearn.model_selection._split.StratifiedKFold",
        "sklearn.neighbors._kd_tree.KDTree",
        "sklearn.neural_network._stochastic_optimizers.AdamOptimizer",
        "sklearn.tree._tree.Tree",
        "sklearn.utils._bunch.Bunch",
    ],
)
def test_what_fitted_estimators_consist_of_is_trusted(name: str) -> None:
    """Trees, losses, kernels, splitters, scorers, distances, and functions that only compute."""
    assert is_trusted(name)


@pytest.mark.parametrize(
    "name",
    [
        "",
        "exec",
        "builtins.eval",
        "builtins.getattr",
        "builtins.open",
        "os.system",
        "subprocess.Popen",
        "operator.methodcaller",
        "joblib.load",
        "numpy.load",
        "numpy.save",
        "numpy.fromfile",
        "numpy.memmap",
        "numpy.f2py",
        "numpy.os",
        "numpy.testing.runstring",
        "numpy.lib._datasource.DataSource",
        "scipy.io.loadmat",
        "scipy.special.os",
        "sklearn.base.os",
        "sklearn.base.BaseEstimator",
        "sklearn.conftest.pytest",
        "sklearn.datasets._base.load_files",
        "sklearn.datasets._openml.fetch_openml",
        "sklearn.externals._packaging.version.parse",
        "sklearn.metrics._dist_metrics.PyFuncDistance64",
        "sklearn.metrics.pairwise.Parallel",
        "sklearn.metrics.pairwise.partial",
        "sklearn.model_selection._search.np",
        "sklearn.model_selection._validation._fit_and_score",
        "sklearn.neighbors._kd_tree.NodeHeap",
        "sklearn.pipeline.clone",
        "sklearn.tree.tests.test_tree.CLF_TREES",
        "sklearn.utils._mocking.CheckingClassifier",
        "sklearn.utils._testing.TempMemmap",
        "sklearn.utils.parallel.Parallel",
        "test_model_policy.Anything",
        "xgboost.sklearn.XGBClassifier",
    ],
)
def test_whatever_could_do_more_than_compute_is_not_trusted(name: str) -> None:
    """Other libraries, helpers that touch files, and other modules' objects under a trusted module's name."""
    assert not is_trusted(name)


def test_an_untrusted_module_is_not_even_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    """Asking about a name imports scikit-learn, numpy and scipy only."""
    import importlib

    asked: list[str] = []
    real = importlib.import_module
    monkeypatch.setattr(importlib, "import_module", lambda name: asked.append(name) or real(name))
    for name in ("antigravity.fly", "sklearn.tests.test_base.K", "sklearn_evil.tree.Tree", "this.s"):
        assert not is_trusted(name)
    assert asked == []
