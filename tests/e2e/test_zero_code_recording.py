"""From an untouched script to the database and back, in real processes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import autotrack

ROOT = Path(__file__).parents[2]
TRAIN = ROOT / "tests" / "e2e" / "scripts" / "train.py"


def runs_in(folder: Path) -> tuple[autotrack.Client, list[Any]]:
    """A client of the store that a program left in a folder, and its runs, oldest first."""
    client = autotrack.Client(folder / ".autotrack")
    return client, list(reversed(client.search_runs()))


def test_an_untouched_script_makes_one_run_a_fit_and_the_same_output(run_python, tmp_path):
    """Under `python -m autotrack` a script prints byte for byte what it prints plainly, and each fit is one run."""
    environ = {"AUTOTRACK_TRACKING_URI": None}
    plain = run_python(TRAIN, cwd=tmp_path, env=environ)
    recorded = run_python("-m", "autotrack", TRAIN, cwd=tmp_path, env=environ)
    assert (recorded.stdout, recorded.stderr) == (plain.stdout, plain.stderr)
    client, runs = runs_in(tmp_path)
    assert [run.info.run_name for run in runs] == [
        "Pipeline",
        "RandomForestClassifier",
        "GridSearchCV",
        "VotingClassifier",
        "cross_val_score DecisionTreeClassifier",
        "BoostedMedian",
    ]
    assert {run.info.status for run in runs} == {"FINISHED"}
    assert {run.info.degraded for run in runs} == {""}
    assert len({run.info.session_id for run in runs}) == 1
    session = client.get_session(runs[0].info.session_id)
    assert session.program == "train.py"
    environment = client.get_environment(runs[0].info.run_id)
    assert environment is not None
    assert "scikit-learn" in environment.content["packages"]
    search = next(run for run in runs if run.info.run_name == "GridSearchCV")
    assert client.get_trials(search.info.run_id)
    for run in runs:
        if run.outputs.model_outputs:
            assert Path(run.outputs.model_outputs[0].uri, "MLmodel").is_file()


def test_disable_by_the_environment_records_nothing(run_python, tmp_path):
    """With AUTOTRACK_DISABLE=1 the same start records nothing and leaves no folder behind."""
    environ = {"AUTOTRACK_TRACKING_URI": None, "AUTOTRACK_DISABLE": "1"}
    source = "from sklearn.naive_bayes import GaussianNB\nGaussianNB().fit([[0.0], [1.0]], [0, 1])\n"
    (tmp_path / "train.py").write_text(source)
    run_python("-m", "autotrack", "train.py", cwd=tmp_path, env=environ)
    assert not (tmp_path / ".autotrack").exists()


def test_functions_imported_before_autolog_are_recorded(run_python, tmp_path):
    """Metric and cross-validation functions that the program imported by name before `autolog()` count too."""
    run_python(
        """
        from sklearn.datasets import load_iris
        from sklearn.linear_model import LogisticRegression
        from sklearn.metrics import accuracy_score
        from sklearn.model_selection import cross_val_score, cross_validate

        raw = accuracy_score, cross_val_score
        import autotrack
        autotrack.autolog()
        X, y = load_iris(return_X_y=True)
        model = LogisticRegression(max_iter=500).fit(X, y)
        accuracy_score(y, model.predict(X))
        cross_val_score(model, X, y, cv=3)
        autotrack.disable()
        assert (accuracy_score, cross_val_score) == raw and accuracy_score is raw[0]
        """,
        env={"AUTOTRACK_TRACKING_URI": None},
    )
    client, runs = runs_in(tmp_path)
    assert [run.info.run_name for run in runs] == ["LogisticRegression", "cross_val_score LogisticRegression"]
    assert "accuracy_score_X" in runs[0].data.metrics
    assert len(client.get_trials(runs[1].info.run_id)) == 3


def test_a_failing_script_fails_as_always_and_its_run_says_why(run_python, tmp_path):
    """A script that raises inside a fit ends with Python's own traceback; its run is FAILED."""
    (tmp_path / "train.py").write_text(
        "from sklearn.linear_model import LogisticRegression\nLogisticRegression(C=-1).fit([[0.0], [1.0]], [0, 1])\n"
    )
    environ = {"AUTOTRACK_TRACKING_URI": None}
    done = run_python("-m", "autotrack", "train.py", cwd=tmp_path, env=environ, status=1)
    assert "InvalidParameterError: The 'C' parameter" in done.stderr
    _, (run,) = runs_in(tmp_path)
    assert run.info.status == "FAILED"
    assert run.info.error is not None
    assert "train.py:2" in run.info.error.frame
