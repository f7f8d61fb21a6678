"""What is run with autotrack on and off: scikit-learn's own tests, and programs of ours."""

from __future__ import annotations

import importlib.util
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

HERE = Path(__file__).resolve().parent

PACKAGE = "borrowed"
"""Name of the package into which scikit-learn's tests are copied."""


class Suite(NamedTuple):
    """Tests of scikit-learn's that one process of pytest runs."""

    name: str
    files: tuple[str, ...]
    """Below scikit-learn's package; a folder stands for all `test_*.py` in it."""
    options: tuple[str, ...] = ()
    """For pytest."""


class Program(NamedTuple):
    """A program whose output, errors, exit status and files are compared."""

    name: str
    file: str
    """Below `programs`, or anywhere."""
    runs: dict[str, int] | None
    """How many runs of which name autotrack is to record; None: whatever it records."""
    arguments: tuple[str, ...] = ()
    failing: int = 0
    """How many of them are FAILED, since the program provokes an exception."""


SUITES = (
    Suite("pipeline", ("tests/test_pipeline.py",)),
    Suite("calibration", ("tests/test_calibration.py",)),
    Suite("multioutput", ("tests/test_multioutput.py", "tests/test_multiclass.py")),
    Suite("base", ("tests/test_base.py", "tests/test_dummy.py", "tests/test_naive_bayes.py")),
    Suite("metaestimators", ("tests/test_metaestimators.py", "tests/test_metaestimators_metadata_routing.py")),
    Suite("compose", ("compose/tests",)),
    Suite("tree", ("tree/tests",)),
    Suite("svm", ("svm/tests",)),
    Suite("ensemble", ("ensemble/tests",)),
    Suite("model_selection", ("model_selection/tests",)),
    Suite("linear_model", ("linear_model/tests",)),
    Suite("checks", ("tests/test_common.py",)),
)
"""`checks` is `check_estimator` of every estimator of scikit-learn's."""


CHECKED = ("LogisticRegression", "Nearest", "Centred")
"""Estimators that the short version has `check_estimator` look at."""

PROGRAMS = (
    Program("lightgbm_first_booster", "lightgbm_first_booster.py", {"lightgbm.train": 2}),
    Program(
        "lightgbm_estimators",
        "lightgbm_estimators.py",
        {"LGBMRegressor": 3, "GridSearchCV": 1, "Pipeline": 1, "LGBMRanker": 1, "LGBMClassifier": 1},
        failing=1,
    ),
    Program("lightgbm_advanced", "lightgbm_advanced.py", {"lightgbm.train": 6, "lightgbm.cv": 1}, failing=1),
    Program("lightgbm_probabilities", "lightgbm_probabilities.py", {"lightgbm.train": 3}),
    Program("lightgbm_plots", "lightgbm_plots.py", {"lightgbm.train": 1}),
    Program("estimator_checks", "estimator_checks.py", {}),
    Program("estimator_checks_short", "estimator_checks.py", {}, arguments=CHECKED),
    Program("looking_closely", "looking_closely.py", None),
    Program("torch_optimizers", "torch_optimizers.py", None),
    Program("torch_optimizers_short", "torch_optimizers.py", {"Net": 15, "training loop": 2}, arguments=("29",)),
)


def copy_tests(files: tuple[str, ...], target: Path) -> None:
    """Copy tests of scikit-learn's out of the installed package, as a package of the user's.

    Where they stand they count as a library's own code, whose fits open no run. The copies import all that they need
    by its full name.

    Args:
        files: See `Suite.files`.
        target: The folder for the package.
    """
    root = scikit_learn()
    package = target / PACKAGE
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    shutil.copy(root / "conftest.py", package)
    for file in _test_files(root, files):
        place = package / file.relative_to(root)
        place.parent.mkdir(parents=True, exist_ok=True)
        for folder in place.relative_to(package).parents:
            (package / folder / "__init__.py").touch()
        shutil.copy(file, place)


def _test_files(root: Path, files: tuple[str, ...]) -> Iterator[Path]:
    for name in files:
        path = root / name
        yield from sorted(path.glob("test_*.py")) if path.is_dir() else [path]


def scikit_learn() -> Path:
    """Where scikit-learn is installed; it is not imported.

    Raises:
        SystemExit: It is not.
    """
    spec = importlib.util.find_spec("sklearn")
    if spec is None or spec.origin is None:
        raise SystemExit("scikit-learn is not installed: pip install scikit-learn")
    return Path(spec.origin).parent
