"""Threads of the program that fit, log and seed at the same time: nothing is lost, and nothing is another's.

What a GIL hides, a free-threaded Python shows; here threads are switched as often as they can be.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator

import numpy as np
import pytest
from sklearn.linear_model import Ridge
from sklearn.tree import DecisionTreeRegressor

import autotrack
from autotrack.events import Param
from autotrack.hooks import guard
from autotrack.integrations.options import IntegrationConfig
from autotrack.testing import TemporaryStore
from autotrack.tracking import program_facts, recorders
from autotrack.tracking.cost import Cost

THREADS, TIMES = 8, 5
X = np.random.default_rng(0).normal(size=(20, 2))
Y = X.sum(axis=1)


@pytest.fixture(autouse=True)
def _restless() -> Iterator[None]:
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def at_once(work: Callable[[int], None], count: int = THREADS) -> None:
    """Have `work(number)` done in so many threads, which begin together; what one raises is raised here."""
    gate, errors = threading.Barrier(count), list[BaseException]()

    def run(number: int) -> None:
        gate.wait(60)
        try:
            work(number)
        except BaseException as error:
            errors.append(error)
            raise

    threads = [threading.Thread(target=run, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]


def test_each_thread_has_runs_of_its_own(autotrack_store: TemporaryStore) -> None:
    """Every run, parameter and point is in the store, and in its own run: of opened runs and of those of fits alone."""
    autotrack.autolog()

    def train(number: int) -> None:
        for time in range(TIMES):
            with autotrack.start_run(run_name=f"{number}-{time}"):
                Ridge(alpha=1.0 + number * TIMES + time).fit(X, Y)
                autotrack.log_param("number", number)
                for step in range(10):
                    autotrack.log_metric("loss", step + number / 10)
            DecisionTreeRegressor(max_depth=1 + number, min_samples_leaf=1 + time).fit(X, Y)

    at_once(train)
    assert autotrack.flush()
    client = autotrack_store.client
    runs = {run.info.run_name: run for run in client.search_runs() if "-" in run.info.run_name}
    pairs = [(number, time) for number in range(THREADS) for time in range(TIMES)]
    assert runs.keys() == {f"{number}-{time}" for number, time in pairs}
    for number, time in pairs:
        run = runs[f"{number}-{time}"]
        assert run.info.status == "FINISHED"
        assert run.data.params["alpha"] == str(1.0 + number * TIMES + time)
        assert run.data.params["number"] == str(number)
        points = [(point.step, point.value) for point in client.get_metric_history(run.info.run_id, "loss")]
        assert points == [(step, step + number / 10) for step in range(10)]
    trees = [run.data.params for run in client.search_runs() if run.info.run_name == "DecisionTreeRegressor"]
    found = sorted((int(params["max_depth"]) - 1, int(params["min_samples_leaf"]) - 1) for params in trees)
    assert found == pairs
    assert not guard.troubled()


def test_all_threads_record_into_one_run(autotrack_store: TemporaryStore) -> None:
    """Fits are numbered without a gap, points without one too, and no fit's parameters are written over."""
    autotrack.autolog()
    with autotrack.start_run() as run:

        def train(number: int) -> None:
            for time in range(TIMES):
                Ridge(alpha=1.0 + number * TIMES + time).fit(X, Y)
                autotrack.log_metric("loss", 1.0)

        at_once(train)
    assert autotrack.flush()
    stored = autotrack_store.client.get_run(run.run_id)
    alphas = sorted(float(text) for key, text in stored.data.params.items() if key.rpartition(".")[2] == "alpha")
    assert alphas == [1.0 + number for number in range(THREADS * TIMES)]
    numbers = sorted(fit.number for fit in autotrack_store.client.get_fits(run.run_id))
    assert numbers == list(range(1, THREADS * TIMES + 1))
    points = autotrack_store.client.get_metric_history(run.run_id, "loss")
    assert sorted(point.step for point in points) == list(range(THREADS * TIMES))
    assert not guard.troubled()


def test_a_first_fit_that_tells_last_writes_over_no_other(autotrack_store: TemporaryStore) -> None:
    """Which of two fits in threads is the first, and which tells its parameters first, are two things."""
    run = recorders.current().start_run("run")
    run.log_fit_params({"alpha": 2.0, "solver": "auto"}, "Ridge", 2)
    run.log_fit_params({"alpha": 1.0, "solver": "auto"}, "Ridge", 1)
    run.log_fit_params({"alpha": 3.0, "solver": "auto"}, "Ridge", 3)
    run.end()
    assert autotrack.flush()
    stored = autotrack_store.client.get_run(run.run_id).data.params
    assert stored == {"alpha": "2.0", "Ridge_1.alpha": "1.0", "Ridge_3.alpha": "3.0", "solver": "auto"}


def test_a_first_fit_goes_over_what_the_program_logged(autotrack_store: TemporaryStore) -> None:
    """As ever: a parameter that was logged by hand before gets the fit's value."""
    run = recorders.current().start_run("run")
    run.log_batch((), [Param("alpha", "7")], {})
    run.log_fit_params({"alpha": 1.0}, "Ridge", 1)
    run.log_fit_params({"alpha": 2.0}, "Ridge", 2)
    run.end()
    assert autotrack.flush()
    assert autotrack_store.client.get_run(run.run_id).data.params == {"alpha": "1.0", "Ridge_2.alpha": "2.0"}


def test_a_seed_that_is_set_as_a_run_begins_is_on_the_next_run(autotrack_store: TemporaryStore) -> None:
    """What is made of the seeds for one run is out of date where another thread sets one in that very moment."""

    class Library(str):
        """Its name is written when the other seed has been read: that is the moment."""

        def __format__(self, form: str) -> str:
            program_facts.note_seed("python", 2)
            return str(self)

    end = program_facts.listen("seeds", IntegrationConfig)
    try:
        program_facts.note_seed("python", 1)
        program_facts.note_seed(Library("numpy"), 1)
        recorders.current().start_run("meanwhile").end()
        run = recorders.current().start_run("next")
        run.end()
    finally:
        end()
        program_facts.forget()
    assert autotrack.flush()
    stored = autotrack_store.client.get_run(run.run_id).data.params
    assert stored == {"seed.python": "2", "seed.numpy": "1"}


def test_what_threads_cost_one_run_adds_up() -> None:
    """No call is lost, and none is left pending, which would keep the cost from being told."""
    cost = Cost()

    def work(number: int) -> None:
        for _ in range(200):
            cost.begin()
            cost.charge(1.0)
            cost.begin()
            cost.done(1.0)
            cost.store(1.0)

    at_once(work)
    expected = float(THREADS * 200)
    assert (cost.calls, cost.pending) == (THREADS * 200, 0)
    assert (cost.handlers, cost.background, cost.storing) == (expected, expected, expected)
