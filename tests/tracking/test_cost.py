from __future__ import annotations

import pytest
from sklearn.linear_model import LinearRegression

import autotrack
from autotrack import testing
from autotrack.tracking.cost import COST_TAG, EARLY, STRIDE, Sampled

X, Y = [[0.0], [1.0], [2.0], [3.0]], [0.0, 1.0, 2.0, 3.5]


def test_sampled_time_is_that_of_all() -> None:
    """The first few are timed each, so that a slow first one counts once; of the rest a few stand for all."""
    sampled, timed = Sampled(), 0
    for number in range(10_000):
        sampled.count += 1
        if sampled.count >= sampled.due:
            timed += 1
            sampled.took(1.0 if number == 0 else 0.001)
    assert sampled.seconds == pytest.approx(1.0 + 9_999 * 0.001)
    assert timed <= EARLY + 10_000 // STRIDE + 1


def test_cost_of_a_run_is_known_in_its_own_process(autotrack_store) -> None:
    """`Client.explain` tells of an ended run and of one that is open, as far as they have come."""
    autotrack.autolog()
    LinearRegression().fit(X, Y)
    fitted = autotrack_store.only_run()
    cost = autotrack_store.client.explain(fitted.info.run_id).cost
    assert cost.calls == 1
    assert min(cost.handlers_ms, cost.background_ms, cost.ingest_ms) > 0
    with autotrack.start_run() as run:
        autotrack.log_metric("loss", 0.5)
        found = autotrack_store.client.explain(run.info.run_id)
        assert (found.status, found.cost.logged, found.duration_ms) == ("RUNNING", 1, None)
        autotrack.log_metric("loss", 0.25)
    assert autotrack_store.client.explain(run.info.run_id).cost.logged == 2


def test_record_under_a_fixed_clock_holds_no_measured_time(autotrack_store) -> None:
    """Where a test fixes the time it compares whole records: what varies from run to run stays out of them."""
    with testing.fixed_clock():
        with autotrack.start_run() as run:
            autotrack.log_metric("loss", 0.5)
        autotrack_store.client.explain(run.info.run_id)
        assert COST_TAG not in autotrack_store.only_run().data.tags


def test_options_of_a_cross_validation_count_for_its_dataset(autotrack_store) -> None:
    """With `log_datasets=False` no dataset of `cross_validate` is recorded, and the run says why."""
    autotrack.autolog(log_datasets=False)
    from sklearn.model_selection import cross_validate

    cross_validate(LinearRegression(), X * 3, Y * 3, cv=2)
    run = autotrack_store.only_run()
    assert run.inputs.dataset_inputs == []
    assert autotrack_store.client.explain(run.info.run_id).skipped["dataset"] == "the option log_datasets is off"


def test_loop_and_boosting_rounds_are_accounted_for(autotrack_store) -> None:
    """Steps of a plain torch loop are counted and some timed; rounds of LightGBM belong to their call."""
    import lightgbm
    import numpy as np
    import torch

    autotrack.autolog()
    model = torch.nn.Linear(2, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    for _ in range(200):
        optimizer.zero_grad()
        loss = model(torch.ones(4, 2)).square().mean()
        loss.backward()
        optimizer.step()
    del model, optimizer, loss
    rows = np.random.default_rng(0).normal(size=(60, 3))
    params = {"verbose": -1, "min_data_in_leaf": 2, "num_threads": 1}
    lightgbm.train(params, lightgbm.Dataset(rows, rows[:, 0]), num_boost_round=3)
    found = {run.info.run_name: autotrack_store.client.explain(run.info.run_id) for run in autotrack_store.runs()}
    loop = found.pop("Linear")
    assert loop.cost.steps == 200
    assert loop.cost.steps_ms > 0
    assert loop.skipped["dataset"] == "the loop made no pass over a DataLoader"
    (boosted,) = found.values()
    assert boosted.cost.calls == 1
    assert boosted.cost.handlers_ms > 0
