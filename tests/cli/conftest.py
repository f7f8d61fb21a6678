"""A project in which real training was recorded, once for all tests of the command line; they do not change it."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from autotrack import cli, config

ROOT = Path(__file__).resolve().parents[2]

TRAINING = """
    import time
    import autotrack
    autotrack.autolog()
    from sklearn.datasets import load_iris
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import accuracy_score
    from sklearn.model_selection import GridSearchCV
    from sklearn.preprocessing import StandardScaler

    X, y = load_iris(return_X_y=True, as_frame=True)
    scaled = StandardScaler().fit_transform(X)
    for depth in (1, 2, 3):
        forest = RandomForestClassifier(n_estimators=3, max_depth=depth, random_state=0).fit(X, y)
        accuracy_score(y, forest.predict(X))
    GridSearchCV(RandomForestClassifier(n_estimators=2, random_state=0), {"max_depth": list(range(1, 13))}, cv=2).fit(
        X, y
    )
    try:
        LogisticRegression(C=-1.0).fit(X, y)
    except ValueError:
        pass
    autotrack.set_experiment("by hand")
    for rate in (0.1, 0.2):
        with autotrack.start_run(run_name=f"rate {rate}", tags={"team": "blue"}):
            autotrack.log_params({"rate": rate, "kind": "constant"})
            for step, loss in enumerate((1.0, 0.25, 0.5)):
                autotrack.log_metric("loss", loss * rate, step=step)
    time.sleep(0.005)  # to be the latest, a millisecond is needed
    with autotrack.start_run(run_name="special", description="two\\nlines") as run:
        autotrack.log_metrics({"nan": float("nan"), "high": float("inf"), "low": float("-inf")})
        autotrack.log_param("text", 'a,"b"\\n\\x1b[31mred')
        autotrack.log_text("hello", "notes/hello.txt")
    with autotrack.start_run(run_name="gone") as run:
        pass
    autotrack.delete_run(run.info.run_id)
"""


class Shown(NamedTuple):
    """What a command printed, and its status."""

    out: str
    err: str
    status: int


Command = Callable[..., Shown]


def run_in(folder: Path, source: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a program in a folder, with a store of its own there."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("AUTOTRACK_")}
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(source)],
        cwd=folder,
        env={**kept, "PYTHONPATH": str(ROOT), **environment},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


@pytest.fixture(scope="session")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The store's folder of a project with nine runs, one of them deleted, of two experiments."""
    folder = tmp_path_factory.mktemp("project")
    done = run_in(folder, TRAINING)
    assert done.returncode == 0, done.stderr
    return folder / ".autotrack"


@pytest.fixture
def autotrack(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Command:
    """The command line, in this process: `autotrack("ls", "--json")`; `columns` is the terminal's width."""

    def run(*words: object, columns: int = 200) -> Shown:
        monkeypatch.setenv("COLUMNS", str(columns))
        config.reload()
        capsys.readouterr()
        try:
            status = cli.main([str(word) for word in words])
        except SystemExit as end:
            status = int(end.code or 0)
        shown = capsys.readouterr()
        return Shown(shown.out, shown.err, status)

    return run


@pytest.fixture(scope="session")
def run_child() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run a program in a folder: `run_child(folder, source, VARIABLE="value")`."""
    return run_in
