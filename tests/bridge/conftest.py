"""A store with real training in it, once for all tests of the bridge; they do not change it."""

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
    import autotrack
    autotrack.autolog()
    from sklearn.datasets import load_iris
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GridSearchCV

    X, y = load_iris(return_X_y=True, as_frame=True)
    GridSearchCV(LogisticRegression(max_iter=500), {"C": [0.5, 1.0]}, cv=2).fit(X, y)
    autotrack.flush()
    client = autotrack.Client()
    uri = f"runs:/{autotrack.last_active_run().info.run_id}/model"
    for number in (1, 2, 3):
        autotrack.register_model(uri, "iris")
    client.delete_model_version("iris", "2")
    client.set_registered_model_alias("iris", "champion", "3")
    client.set_model_version_tag("iris", "1", "checked", "yes")
    client.set_registered_model_tag("iris", "team", "blue")
    try:
        LogisticRegression(C=-1.0).fit(X, y)
    except ValueError:
        pass
    autotrack.set_experiment("by hand")
    with autotrack.start_run(run_name="parent", description="what for", tags={"team": "blue", "a,b": "tag"}) as run:
        for step in range(1200):
            autotrack.log_metric("acc@5", step / 1200, step=step)
        autotrack.log_metric("acc_5", 0.75)
        for value in (1.0, float("nan"), float("inf")):
            autotrack.log_metric("odd", value, step=3)
        autotrack.log_metric("odd", float("-inf"), step=1)
        autotrack.log_params({"rate": 0.1, "long": "x" * 7000, "f1(macro)": None})
        autotrack.log_text("hello", "notes/hello.txt")
        autotrack.log_input(autotrack.DatasetInfo(name="rows", digest="d" * 64, source="rows.csv"), context="train")
        autotrack.log_input(autotrack.DatasetInfo(name="rows", digest="d" * 64, source="rows.csv"), context="eval")
        with autotrack.start_run(run_name="child", nested=True):
            autotrack.log_metric("loss", 0.5, step=-1)
    with autotrack.start_run(run_name="gone") as gone:
        pass
    autotrack.delete_run(gone.info.run_id)
"""


class Shown(NamedTuple):
    """What a command printed, and its status."""

    out: str
    err: str
    status: int


Command = Callable[..., Shown]


@pytest.fixture(scope="session")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The store's folder of a project with five runs, one of them deleted."""
    folder = tmp_path_factory.mktemp("project")
    kept = {name: value for name, value in os.environ.items() if not name.startswith("AUTOTRACK_")}
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(TRAINING)],
        cwd=folder,
        env={**kept, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return folder / ".autotrack"


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Command:
    """The command line, in this process: `command("push", "@", "--to", url)`."""

    def run(*words: object) -> Shown:
        monkeypatch.setenv("COLUMNS", "200")
        config.reload()
        capsys.readouterr()
        try:
            status = cli.main([str(word) for word in words])
        except SystemExit as end:
            status = int(end.code or 0)
        shown = capsys.readouterr()
        return Shown(shown.out, shown.err, status)

    return run
