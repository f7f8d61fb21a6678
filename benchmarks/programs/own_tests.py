"""Some of scikit-learn's own tests, as they come with it: how long they take, and how they end.

python own_tests.py SIDE FOLDER
"""

from __future__ import annotations

import time
from importlib.util import find_spec
from pathlib import Path

import pytest
import side

FILES = ("linear_model/tests/test_logistic.py", "tree/tests/test_tree.py", "model_selection/tests/test_validation.py")


class Outcomes:
    """A plugin of pytest's that counts."""

    def __init__(self) -> None:
        self.found = {"passed": 0, "failed": 0, "skipped": 0}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """One part of a test has ended."""
        if report.when == "call" or report.failed or report.skipped:
            self.found[report.outcome] += 1


side.automatic()
spec = find_spec("sklearn")
if spec is None or spec.origin is None:
    raise SystemExit("scikit-learn is not installed")
home, outcomes = Path(spec.origin).parent, Outcomes()
options = ["-q", "-p", "no:cacheprovider", "-p", "no:xdist", "-o", "addopts=", f"--rootdir={side.FOLDER}"]
begin = time.perf_counter()
recorded = ["--autotrack"] if side.NAME == "autotrack" else []
pytest.main([*options, *recorded, *(str(home / one) for one in FILES)], [outcomes])
side.report(tests_s=time.perf_counter() - begin, **outcomes.found)
