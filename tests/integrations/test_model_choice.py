"""Which fitted models are stored: all, none, or the best of a run; and what a run says of one that is too large."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from sklearn.datasets import load_iris
from sklearn.ensemble import RandomForestClassifier
from sklearn.model_selection import GridSearchCV
from sklearn.tree import DecisionTreeClassifier

import autotrack
from autotrack.testing import TemporaryStore
from autotrack.tracking import recorders, worker

X, Y = load_iris(return_X_y=True)


def stored_depths(store: TemporaryStore) -> list[int]:
    """Depth of each stored model of the only run, oldest first."""
    run = store.only_run()
    names = [model.name for model in store.client.reader.models(run.info.run_id)]
    return [autotrack.load_model(f"runs:/{run.info.run_id}/{name}").max_depth for name in names]


@pytest.mark.parametrize(("choice", "expected"), [("best", [3]), (True, [1, 3, 2]), (False, [])])
def test_of_several_fits_in_a_run_all_the_best_or_no_model_is_stored(
    autotrack_store: TemporaryStore, choice: Any, expected: list[int]
) -> None:
    """The best is the one with the highest training score; it is `model`, whichever fit made it."""
    autotrack.autolog(log_models=choice)
    with autotrack.start_run():
        for depth in (1, 3, 2):
            DecisionTreeClassifier(max_depth=depth, random_state=0).fit(X, Y)
    autotrack.flush()
    assert stored_depths(autotrack_store) == expected


def test_the_best_of_searches_is_the_one_with_the_best_cross_validated_score(autotrack_store: TemporaryStore) -> None:
    """A search says by itself how good it is; of equal ones the last stays."""
    autotrack.autolog(log_models="best")
    with autotrack.start_run() as run:
        for depths in ([1], [2, 3], [1]):
            GridSearchCV(DecisionTreeClassifier(random_state=0), {"max_depth": depths}, cv=3).fit(X, Y)
    autotrack.flush()
    assert autotrack.load_model(f"runs:/{run.info.run_id}/model").param_grid == {"max_depth": [2, 3]}
    assert len(autotrack_store.client.reader.models(run.info.run_id)) == 1


def test_the_setting_takes_best_too(autotrack_store: TemporaryStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """From the environment, beside the words for yes and no."""
    from autotrack import config

    for text, value in {"best": "best", "true": True, "0": False, "off": False}.items():
        monkeypatch.setenv("AUTOTRACK_LOG_MODELS", text)
        config.reload()
        assert config.settings().log_models == value


def test_a_model_beyond_the_size_cap_is_left_out_and_the_run_says_so(
    autotrack_store: TemporaryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The fit is recorded all the same, with the cap in its note."""
    from autotrack import config

    monkeypatch.setenv("AUTOTRACK_MAX_MODEL_SIZE", "20000")
    config.reload()
    autotrack.autolog()
    RandomForestClassifier(50, random_state=0).fit(X, Y)
    run = autotrack_store.only_run()
    assert run.info.status == "FINISHED"
    assert "the model is not recorded: larger than 20000 bytes" in run.info.degraded
    assert not run.outputs.model_outputs


def test_where_recording_is_far_behind_models_are_left_out_first(
    autotrack_store: TemporaryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A loop of fits faster than their recording keeps its metrics; only where still more waits is all left out."""
    release = threading.Event()
    monkeypatch.setattr(worker, "MAX_JOBS", 8)
    autotrack.autolog()
    with autotrack.start_run() as first:
        recorders.current().worker.submit(release.wait)  # type: ignore[arg-type]
    for seed in range(12):
        DecisionTreeClassifier(random_state=seed).fit(X, Y)
    release.set()
    autotrack.flush()
    runs = [run for run in autotrack_store.runs() if run.info.run_id != first.info.run_id]
    runs.sort(key=lambda run: int(run.data.params["random_state"]))
    kept = [bool(autotrack_store.client.reader.models(run.info.run_id)) for run in runs]
    scored = ["training_accuracy_score" in run.data.metrics for run in runs]
    late = [run.info.degraded for run in runs]
    models, metrics = kept.count(True), scored.count(True)
    assert 0 < models < metrics < 12
    assert kept == [True] * models + [False] * (12 - models)
    assert scored == [True] * metrics + [False] * (12 - metrics)
    assert set(late[:models]) == {""}
    assert set(late[models:metrics]) == {"recording fell behind: the model is left out"}
    assert all("model, training metrics and dataset are left out" in text for text in late[metrics:])
    assert runs[models].data.tags["autotrack.skipped.model"] == "recording fell behind: the model is left out"
