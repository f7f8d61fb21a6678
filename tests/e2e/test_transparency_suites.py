"""The harness that runs other projects' tests, and programs, with autotrack on and off: a short version of it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

HARNESS = Path(__file__).parents[2] / "benchmarks" / "transparency" / "run.py"

SAME = (
    "(test_pipeline_init or test_pipeline_methods or test_fit_predict or test_feature_union or cloned or score_samples)"
    " and not parallel and not array_api"
)
"""Some of scikit-learn's tests of pipelines: they fit, expect exceptions, count attributes, clone, look for methods."""


@pytest.fixture
def compare(run_python, tmp_path):
    """Run the harness; what it found of each suite and program, and its exit status.

    Whether it took too long is not looked at: other tests run beside it.
    """

    def run(*words):
        file = tmp_path / "results.json"
        done = run_python(HARNESS, *words, "--json", file, status=None, timeout=300)
        assert file.exists(), done.stdout + done.stderr
        return json.loads(file.read_text()), done

    return run


def test_tests_of_scikit_learns_come_out_the_same_with_autotrack_on(compare):
    """Not one outcome or warning of some dozens differs; what they train is recorded, and ends in order."""
    (found,), _ = compare("--only", "pipeline", "--match", SAME)
    assert found["differences"] == []
    assert found["tests"] > 20
    assert found["outcomes"]["passed"] > 20
    assert found["statuses"]["FINISHED"] > 5
    assert found["models"] > 5
    assert found["degraded"] == {}


def test_programs_cannot_tell_that_they_are_recorded(compare):
    """LightGBM's ways of training, PyTorch's optimizers, `check_estimator`: same output, files and exit status."""
    names = ["lightgbm_advanced", "torch_optimizers_short", "estimator_checks_short"]
    found, _ = compare("--only", *names)
    assert [one["name"] for one in found] == names
    assert {one["name"]: one["differences"] for one in found} == {name: [] for name in names}
    assert [one["runs"] > 0 for one in found] == [True, True, False]


def test_the_harness_finds_what_differs(compare, tmp_path):
    """A program that looks for autotrack is caught, by each of its streams, its files and its status."""
    (tmp_path / "nosy.py").write_text(
        "import os, sys\n"
        "seen = str('autotrack' in sys.modules)\n"
        "print(seen)\n"
        "print(seen, file=sys.stderr)\n"
        "open('seen.txt', 'w').write(seen)\n"
        "sys.exit(3 if seen == 'True' else 0)\n"
    )
    (found,), done = compare("--program", tmp_path / "nosy.py")
    assert done.returncode == 1
    text = "\n".join(found["differences"])
    for difference in ("status 0 plain, 3 recorded", "stdout: +True", "stderr: +True", "file seen.txt differs"):
        assert difference in text
