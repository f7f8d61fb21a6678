"""Which classes and functions a model file may name and still be loaded without being asked for trust.

What a name in a file allows: the class is instantiated and given any state, or called with any arguments; the
function is called with any arguments. So a name is trusted only where that can do no more than compute:

- the packages are those of scikit-learn that hold estimators and what fitted estimators consist of, never its
  helpers for data sets, tests or files;
- the name must be that of the very class or function which that module itself defines. `module.name` that merely
  reaches another library's object (`sklearn.x.os`, `sklearn.y.load`) is not trusted;
- classes: estimators, and the listed kinds of parts (trees, losses, kernels, splitters, scorers, distances);
- LightGBM's boosters and their wrappers for scikit-learn, whose trees are checked before they are read;
- functions: scikit-learn's public metrics, scores and preprocessing functions, numpy's and scipy's ufuncs, and a few
  of numpy's that only compute. None of those reads or writes a file.

A file's own list of what to trust is never looked at.
"""

from __future__ import annotations

import importlib
from functools import lru_cache
from types import ModuleType
from typing import Any

# fmt: off
_PACKAGES = frozenset({
    "calibration", "cluster", "compose", "covariance", "cross_decomposition", "decomposition",
    "discriminant_analysis", "dummy", "ensemble", "feature_extraction", "feature_selection", "frozen",
    "gaussian_process", "impute", "isotonic", "kernel_approximation", "kernel_ridge", "linear_model",
    "manifold", "mixture", "model_selection", "multiclass", "multioutput", "naive_bayes", "neighbors",
    "neural_network", "pipeline", "preprocessing", "random_projection", "semi_supervised", "svm", "tree",
})
# fmt: on
"""Subpackages of sklearn whose estimators are trusted."""

_PART_BASES = (
    ("sklearn.gaussian_process.kernels", "Kernel"),
    ("sklearn.metrics._scorer", "_BaseScorer"),
    ("sklearn.model_selection._split", "BaseCrossValidator"),
    ("sklearn.model_selection._split", "BaseShuffleSplit"),
    ("sklearn.neural_network._stochastic_optimizers", "BaseOptimizer"),
)
"""Classes of scikit-learn that are no estimators and whose subclasses, in the same module, are trusted."""

_PART_MODULES = frozenset(
    {
        "sklearn._loss._loss",
        "sklearn._loss.link",
        "sklearn._loss.loss",
        "sklearn.linear_model._sgd_fast",
        "sklearn.metrics._dist_metrics",
    }
)
"""Modules of scikit-learn whose classes are all trusted, but for those in `_EXCEPTIONS`."""

_EXCEPTIONS = frozenset(
    {"sklearn.metrics._dist_metrics.PyFuncDistance", "sklearn.metrics._dist_metrics.PyFuncDistance64"}
    | {"sklearn.metrics._dist_metrics.PyFuncDistance32"}
)
"""Distances that call a function out of the file."""

_CLASSES = frozenset(
    {
        "builtins.bool",
        "builtins.bytearray",
        "builtins.bytes",
        "builtins.complex",
        "builtins.dict",
        "builtins.float",
        "builtins.frozenset",
        "builtins.int",
        "builtins.list",
        "builtins.object",
        "builtins.set",
        "builtins.slice",
        "builtins.str",
        "builtins.tuple",
        "collections.OrderedDict",
        "collections.defaultdict",
        "datetime.date",
        "datetime.datetime",
        "datetime.timedelta",
        "functools.partial",
        "lightgbm.basic.Booster",
        "lightgbm.sklearn.LGBMClassifier",
        "lightgbm.sklearn.LGBMModel",
        "lightgbm.sklearn.LGBMRanker",
        "lightgbm.sklearn.LGBMRegressor",
        "numpy.dtype",
        "numpy.ma.MaskedArray",
        "numpy.ma.core.MaskedArray",
        "numpy.ndarray",
        "numpy.random.RandomState",
        "numpy.random._generator.Generator",
        "numpy.random.mtrand.RandomState",
        "pandas.Index",
        "sklearn.calibration._CalibratedClassifier",
        "sklearn.cluster._bisect_k_means._BisectingTree",
        "sklearn.compose._column_transformer._RemainderColsList",
        "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
        "sklearn.metrics._scorer._MultimetricScorer",
        "sklearn.metrics._scorer._PassthroughScorer",
        "sklearn.model_selection._search.ParameterGrid",
        "sklearn.neighbors._ball_tree.BallTree",
        "sklearn.neighbors._ball_tree.BallTree32",
        "sklearn.neighbors._ball_tree.BallTree64",
        "sklearn.neighbors._kd_tree.KDTree",
        "sklearn.neighbors._kd_tree.KDTree32",
        "sklearn.neighbors._kd_tree.KDTree64",
        "sklearn.tree._tree.Tree",
        "sklearn.utils._bunch.Bunch",
        "sklearn.utils._metadata_requests.MetadataRequest",
        "sklearn.utils._metadata_requests.MethodMetadataRequest",
    }
    | {
        f"scipy.sparse.{module}.{kind}_{form}"
        for kind in ("bsr", "coo", "csc", "csr", "dia", "dok", "lil")
        for form, module in (("matrix", f"_{kind}"), ("array", f"_{kind}"))
    }
)

_FUNCTION_PACKAGES = (
    "sklearn.metrics",
    "sklearn.metrics.pairwise",
    "sklearn.feature_selection",
    "sklearn.preprocessing",
)
"""Packages of scikit-learn whose public functions are trusted."""

# fmt: off
_NUMPY_FUNCTIONS = (
    "abs", "all", "any", "argmax", "argmin", "argsort", "around", "average", "clip", "concatenate", "cumprod",
    "cumsum", "diff", "dot", "expand_dims", "fix", "flip", "hstack", "max", "mean", "median", "min",
    "nan_to_num", "nanmax", "nanmean", "nanmedian", "nanmin", "nanstd", "nansum", "nanvar", "percentile",
    "prod", "ptp", "quantile", "ravel", "reshape", "round", "sort", "squeeze", "stack", "std", "sum",
    "transpose", "unique", "var", "vstack",
)
# fmt: on
"""Functions of numpy that compute and do nothing else."""

_FUNCTIONS = frozenset(
    {f"numpy.{name}" for name in _NUMPY_FUNCTIONS}
    | {f"sklearn.cluster._kmeans._kmeans_single_{name}" for name in ("elkan", "lloyd")}
)

_UFUNC_MODULES = frozenset(
    {
        "numpy",
        "numpy._core._multiarray_umath",
        "numpy._core.umath",
        "numpy.core._multiarray_umath",
        "numpy.core.umath",
        "scipy.special",
        "scipy.special._ufuncs",
    }
)


def untrusted(names: set[str]) -> list[str]:
    """Those of some dotted names that are not trusted, sorted."""
    return sorted(name for name in names if not is_trusted(name))


@lru_cache(maxsize=4096)
def is_trusted(name: str) -> bool:
    """Whether a file may name this class or function, `package.module.Name`.

    Only modules of scikit-learn, numpy and scipy are imported to find out.
    """
    if name in _CLASSES or name in _FUNCTIONS:
        return True
    module_name, _, attribute = name.rpartition(".")
    if module_name in _UFUNC_MODULES:
        return _is_numeric(module_name, attribute)
    parts = module_name.split(".")
    if parts[0] != "sklearn" or name in _EXCEPTIONS or len(parts) < 2:
        return False
    if parts[1] not in _PACKAGES | {"metrics", "_loss"} or "tests" in parts:
        return False
    module = _module(module_name)
    found = getattr(module, attribute, None)
    if getattr(found, "__module__", None) != module_name or getattr(found, "__name__", None) != attribute:
        return False
    return _is_trusted_class(found) if isinstance(found, type) else _is_public_function(found, attribute)


def _module(name: str) -> ModuleType | None:
    try:
        return importlib.import_module(name)
    except ImportError:
        return None


def _is_numeric(module_name: str, attribute: str) -> bool:
    """Whether this is a ufunc, or one of numpy's scalar types."""
    import numpy as np

    found = getattr(_module(module_name), attribute, None)
    if module_name == "numpy" and isinstance(found, type):
        return issubclass(found, np.generic)
    # The second is how scipy 2 wraps some of its ufuncs.
    return isinstance(found, np.ufunc) or type(found).__name__ == "_SpecialUFunc"


def _is_trusted_class(kind: type) -> bool:
    from sklearn.base import BaseEstimator

    module = kind.__module__
    if module in _PART_MODULES:
        return True
    if issubclass(kind, BaseEstimator):
        return module.split(".")[1] in _PACKAGES
    return any(
        module == base_module
        and base_name in {base.__name__ for base in kind.__mro__ if base.__module__ == base_module}
        for base_module, base_name in _PART_BASES
    )


def _is_public_function(found: Any, attribute: str) -> bool:
    # By name, not by identity: what stands at the public name may be a wrapper that watches the function.
    module = found.__module__
    for package in _FUNCTION_PACKAGES:
        names = getattr(_module(package), "__all__", None) or [attribute] * (not attribute.startswith("_"))
        if callable(found) and attribute in names and (module == package or module.startswith(f"{package}._")):
            return True
    return False
