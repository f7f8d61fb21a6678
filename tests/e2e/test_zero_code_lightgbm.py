"""A LightGBM program as it is: the same under `python -m autotrack`, and every training a run."""

from __future__ import annotations

import json
from pathlib import Path

import autotrack

SCRIPT = Path(__file__).parent / "scripts" / "boosting.py"

ENDS = ("train.csv", "train.bin", "model.txt")
"""Files that the program writes."""

TRAININGS = 14
"""Calls of `lightgbm.train`, one of which LightGBM refuses; and there are a cross-validation and an estimator's fit."""


def test_a_boosting_program_behaves_the_same_and_leaves_its_runs(run_python, tmp_path):
    """Output, models and files are byte for byte those of plain Python; curves, datasets, metrics and a failure are in
    the runs.
    """
    outputs, files = [], []
    for name, start in (("plain", ()), ("recorded", ("-m", "autotrack"))):
        folder = tmp_path / name
        folder.mkdir()
        done = run_python(*start, SCRIPT, cwd=folder, env={"AUTOTRACK_TRACKING_URI": str(tmp_path / f"store-{name}")})
        outputs.append((done.stdout, done.stderr))
        files.append({end: (folder / end).read_bytes() for end in ENDS})
        assert sorted(path.name for path in folder.iterdir()) == sorted(ENDS)
    assert outputs[1] == outputs[0]
    assert files[1] == files[0]
    assert not (tmp_path / "store-plain").exists()

    client = autotrack.Client(tmp_path / "store-recorded")
    runs = list(reversed(client.search_runs(max_results=100)))
    names = [run.info.run_name for run in runs]
    assert names == ["lightgbm.train"] * (TRAININGS - 1) + ["lightgbm.cv", "LGBMClassifier", "lightgbm.train"]
    assert [run.info.status for run in runs] == ["FINISHED"] * (len(runs) - 1) + ["FAILED"]
    assert {run.info.degraded for run in runs} == {""}
    assert [len(run.outputs.model_outputs) for run in runs] == [1] * (TRAININGS - 1) + [0, 1, 0]
    stopped, file, booster, own = runs[:4]
    rounds = int(stopped.data.metrics["stopped_iteration"])
    assert len(client.get_metric_history(stopped.info.run_id, "held out-auc")) == rounds
    assert stopped.data.metrics["best_iteration"] == rounds - 5
    after = {"roc_auc_score_X_test", "log_loss_X_test"}
    assert after < set(stopped.data.metrics)
    assert [run.data.param_values["init_model"] for run in (file, booster)] == ["model.txt", "Booster"]
    assert own.data.param_values["feval"] == ["errors", "several"]
    assert len(client.get_metric_history(own.info.run_id, "late-errors")) == 5
    kinds = [json.loads(run.inputs.dataset_inputs[0].dataset.profile)["type"] for run in runs[4:9]]
    assert kinds == ["scipy.csr_matrix", "numpy.ndarray", "pyarrow.Table", "__main__.Rows", "__main__.Rows"]
    assert len(client.get_trials(runs[-3].info.run_id)) == 3
    for run in runs[: TRAININGS - 1]:
        assert autotrack.lightgbm.load_model(run.outputs.model_outputs[0].uri).num_trees() > 0
