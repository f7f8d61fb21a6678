"""Ray Tune's searches are one run each, in the driver; Ray's own processes and its workers open none."""

from __future__ import annotations

import json

import pytest

import autotrack

pytest.importorskip("ray.tune")

PROGRAM = """
import json, os, sys
import ray
from ray import tune

def fit(alpha):
    from sklearn.linear_model import Ridge
    Ridge(alpha=alpha).fit([[0.0], [1.0]], [0.0, 1.0])

def train(config):
    fit(config["alpha"])
    state = sys.modules["autotrack.bootstrap"].STATE
    for step in range(2):
        loss = config["alpha"] + 1 - step
        tune.report({"loss": loss, "of": {"step": step}, "worker": int(state.active and state.role == "worker")})
    if config["alpha"] > 1:
        raise ValueError("too big")

if __name__ == "__main__":
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    tuner = tune.Tuner(
        train,
        param_space={"alpha": tune.grid_search([0.5, 2.0]), "net": {"depth": tune.choice([3])}},
        tune_config=tune.TuneConfig(metric="loss", mode="min"),
        run_config=tune.RunConfig(storage_path=os.path.abspath("results"), verbose=0),
    )
    results = tuner.fit()
    print("found", json.dumps([[one.config, one.metrics["loss"], one.error is not None] for one in results]))
    ray.shutdown()
"""


def test_a_search_of_ray_tune_is_one_run_with_all_its_trials(run_python, tmp_path):
    """Under zero-code start `Tuner.fit` is one run: trials with configuration, metrics, reports, state and error; the
    best one; and what they fit in Ray's workers, which are known for workers, leaves no run.
    """
    (tmp_path / "tune_it.py").write_text(PROGRAM)
    environ = {"AUTOTRACK_TRACKING_URI": str(tmp_path / "store"), "RAY_USAGE_STATS_ENABLED": "0"}
    done = run_python("-m", "autotrack", "tune_it.py", env=environ, timeout=300)
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("found")]
    results = json.loads(line.removeprefix("found"))
    client = autotrack.Client(tmp_path / "store")
    (run,) = client.search_runs()
    assert (run.info.run_name, run.info.status, run.info.degraded) == ("Tune train", "FINISHED", "")
    trials = client.get_trials(run.info.run_id)
    assert [[trial.params, trial.mean, trial.state == "FAIL"] for trial in trials] == [
        [{"alpha": config["alpha"], "net.depth": config["net"]["depth"]}, loss, failed]
        for config, loss, failed in results
    ]
    assert [trial.rank for trial in trials] == [1, 2]
    assert [trial.intermediate for trial in trials] == [{1: 1.5, 2: 0.5}, {1: 3.0, 2: 2.0}]
    assert [trial.scores["worker"] for trial in trials] == [[1.0], [1.0]]
    assert trials[0].scores["of.step"] == [1.0]
    assert "too big" in trials[1].error
    assert all(trial.start_time >= run.info.start_time and trial.fit_time > 0 for trial in trials)
    values = run.data.param_values
    assert (values["metric"], values["mode"], values["best_alpha"], values["best_trial"]) == ("loss", "min", 0.5, 0)
    assert run.data.metrics["best_loss"] == 0.5
    (fit,) = client.get_fits(run.info.run_id)
    assert (fit.kind, fit.status, "tune_it.py" in fit.caller) == ("search", "FINISHED", True)
    assert fit.details["search_space"]["net.depth"].startswith("Categorical")
