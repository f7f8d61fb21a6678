"""Optuna's studies are one run a call of `optimize`, with a trials table."""

from __future__ import annotations

import gc
import threading

import pytest

optuna = pytest.importorskip("optuna")

from optuna.trial import TrialState  # noqa: E402
from sklearn.datasets import load_iris  # noqa: E402
from sklearn.model_selection import GridSearchCV  # noqa: E402
from sklearn.naive_bayes import GaussianNB  # noqa: E402

import autotrack  # noqa: E402

X, Y = load_iris(return_X_y=True)


@pytest.fixture(autouse=True)
def _quiet():
    """Optuna tells of every trial on stderr."""
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.CRITICAL)
    yield
    optuna.logging.set_verbosity(before)


def objective(trial):
    """Trials of all kinds: complete, pruned, failed; with all kinds of parameters."""
    x = trial.suggest_float("x", -3, 3)
    n = trial.suggest_int("n", 1, 4)
    kind = trial.suggest_categorical("kind", ["a", "b", None])
    trial.set_user_attr("note", {"x": x, "kinds": [kind]})
    if trial.number == 2:
        trial.report(x, 5)
        trial.report(x + 1, 7)
        raise optuna.TrialPruned()
    if trial.number == 3:
        raise ValueError("no such thing")
    return x * x + n


def plain_of(study):
    """What a study came to, without its times."""
    return [(t.number, t.params, t.values, t.state, t.intermediate_values, t.user_attrs) for t in study.trials]


def optimized(**options):
    """A study of six trials."""
    study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=1, n_startup_trials=3))
    study.optimize(objective, n_trials=6, catch=(ValueError,), **options)
    return study


def test_a_study_is_one_run_with_all_its_trials(recorded):
    """`optimize` makes one run: trials with typed parameters, values, reports, state, times, attributes and error; the
    study's set-up and its best trial; and the study itself is the one without recording.
    """
    with autotrack.disabled():
        plain = optimized()
    assert recorded.runs() == []
    seen = []
    study = optimized(callbacks=[lambda study, trial: seen.append(trial.number)])
    assert plain_of(study) == plain_of(plain)
    assert seen == [0, 1, 2, 3, 4, 5]
    run = recorded.only_run()
    assert (run.info.run_name, run.info.status, run.info.degraded) == ("Study", "FINISHED", "")
    found = recorded.client.get_trials(run.info.run_id)
    for trial, frozen in zip(found, study.trials, strict=True):
        assert (trial.number, trial.params, trial.state) == (frozen.number, frozen.params, frozen.state.name)
        assert trial.scores == ({"value": frozen.values} if frozen.values else {})
        assert trial.mean == frozen.value
        assert trial.intermediate == frozen.intermediate_values
        assert trial.attributes == frozen.user_attrs
        assert trial.start_time == int(frozen.datetime_start.timestamp() * 1000)
        assert trial.fit_time == frozen.duration.total_seconds()
    assert found[2].intermediate
    assert "no such thing" in found[3].error
    complete = sorted((t for t in study.trials if t.state is TrialState.COMPLETE), key=lambda t: t.value)
    assert [found[t.number].rank for t in complete] == [1, 2, 3, 4]
    values = run.data.param_values
    assert {key: values[f"best_{key}"] for key in study.best_params} == study.best_params
    assert values["best_trial"] == study.best_trial.number
    assert (values["sampler"], values["pruner"], values["direction"]) == ("TPESampler", "MedianPruner", "minimize")
    assert (values["n_trials"], values["catch"]) == (6, ["ValueError"])
    assert run.data.tags["study_name"] == values["study_name"] == study.study_name
    assert run.data.metrics["best_value"] == study.best_value
    history = recorded.client.get_metric_history(run.info.run_id, "value")
    assert [(point.step, point.value) for point in history] == [
        (t.number, t.value) for t in study.trials if t.values and t.state is TrialState.COMPLETE
    ]
    (fit,) = recorded.client.get_fits(run.info.run_id)
    assert (fit.kind, fit.method) == ("search", "optimize")
    assert "test_optuna.py" in fit.caller
    assert fit.details["search_space"]["n"].startswith("IntDistribution")
    promoted = recorded.client.promote_trial(run.info.run_id, 2)
    assert promoted.data.param_values == study.trials[2].params
    assert promoted.info.start_time == found[2].start_time
    reports = recorded.client.get_metric_history(promoted.info.run_id, "intermediate_value")
    assert {point.step: point.value for point in reports} == study.trials[2].intermediate_values


@pytest.mark.parametrize("jobs", [1, 2])
def test_fits_inside_an_objective_open_no_run(recorded, jobs):
    """Fits, searches and studies inside an objective belong to the study's run, in one thread and in two; its trials
    are in the store while it goes on.
    """
    trials_seen, lock = [], threading.Lock()

    def fitting(trial):
        smoothing = trial.suggest_float("smoothing", 1e-9, 0.1, log=True)
        GridSearchCV(GaussianNB(), {"var_smoothing": [smoothing]}, cv=2).fit(X, Y)
        inner = optuna.create_study()
        inner.optimize(lambda one: one.suggest_float("z", 0, 1), n_trials=1)
        with lock:
            trials_seen.append(len(recorded.client.get_trials(recorded.only_run().info.run_id)))
        return GaussianNB(var_smoothing=smoothing).fit(X, Y).score(X, Y)

    study = optuna.create_study(direction="maximize", study_name="bayes")
    study.optimize(fitting, n_trials=4, n_jobs=jobs)
    run = recorded.only_run()
    assert (run.info.run_name, len(recorded.client.get_trials(run.info.run_id))) == ("bayes", 4)
    assert max(trials_seen) >= 2
    assert len(recorded.client.get_fits(run.info.run_id)) == 1
    assert run.data.metrics["best_value"] == study.best_value
    assert run.data.param_values["best_trial"] == study.best_trial.number


@pytest.mark.parametrize("jobs", [1, 2])
def test_runs_that_an_objective_opens_are_children_of_the_studys_run(recorded, jobs):
    """`start_run(nested=True)` in an objective is a child of the run in which the study is, with what is logged and
    trained in it; the study's trials are as without it, in a run of its own and in one that the program opened.
    """

    def objective(trial):
        smoothing = trial.suggest_float("smoothing", 1e-9, 0.1)
        with autotrack.start_run(run_name=f"trial {trial.number}", nested=True):
            autotrack.log_metric("inner", smoothing)
            return GaussianNB(var_smoothing=smoothing).fit(X, Y).score(X, Y)

    study = optuna.create_study(direction="maximize", study_name="bayes")
    study.optimize(objective, n_trials=3, n_jobs=jobs)
    with autotrack.start_run(run_name="by hand"):
        study.optimize(objective, n_trials=2, n_jobs=jobs)
    runs = {run.info.run_name: run for run in recorded.runs()}
    assert sorted(runs) == ["bayes", "by hand", *(f"trial {number}" for number in range(5))]
    assert {run.info.status for run in runs.values()} == {"FINISHED"}
    for parent, numbers in (("bayes", range(3)), ("by hand", range(3, 5))):
        assert runs[parent].info.parent_run_id is None
        found = recorded.client.get_trials(runs[parent].info.run_id)
        told = [(trial.number, trial.mean, trial.params) for trial in found]
        assert told == [(study.trials[n].number, study.trials[n].value, study.trials[n].params) for n in numbers]
        assert len(recorded.client.get_fits(runs[parent].info.run_id)) == 1
        for number in numbers:
            child = runs[f"trial {number}"]
            assert child.info.parent_run_id == runs[parent].info.run_id
            assert child.data.metrics["inner"] == study.trials[number].params["smoothing"]
            assert [fit.method for fit in recorded.client.get_fits(child.info.run_id)] == ["fit"]


def test_the_best_value_is_the_last_one_whatever_the_order_of_trials(recorded):
    """With two jobs a trial may end after later ones: the best value is the run's, though a worse one has a later
    number.
    """
    later = threading.Event()

    def waiting(trial):
        if trial.number == 0:
            later.wait(60)
        return trial.number

    study = optuna.create_study()
    study.optimize(waiting, n_trials=3, n_jobs=2, callbacks=[lambda study, trial: trial.number == 2 and later.set()])
    run = recorded.only_run()
    assert (run.data.metrics["best_value"], run.data.param_values["best_trial"]) == (0.0, 0)


def test_an_exception_and_an_interruption_end_the_run_and_are_untouched(recorded):
    """What an objective raises comes out of `optimize` as it is; the run is FAILED or KILLED, and has the trial."""
    for error, status in ((ZeroDivisionError("oh"), "FAILED"), (KeyboardInterrupt(), "KILLED")):

        def failing(trial, error=error):
            if trial.suggest_int("n", 0, 3) >= 0 and trial.number == 1:
                raise error
            return 1.0

        with pytest.raises(type(error)) as raised:
            optuna.create_study().optimize(failing, n_trials=3)
        assert raised.value is error
        assert error.__cause__ is error.__context__ is None
        run = recorded.runs()[-1]
        found = recorded.client.get_trials(run.info.run_id)
        assert (run.info.status, [trial.state for trial in found]) == (status, ["COMPLETE", "FAIL"])
        assert repr(error) in found[1].error


def test_a_study_that_goes_on_is_another_run_and_in_an_explicit_run_another_fit(recorded):
    """Each call of `optimize` has its new trials in a run of its own, the best one so far included; in a run that the
    program opened calls are fits, and no study's trials are written over by another's.
    """
    study = optuna.create_study()
    study.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=3)
    study.optimize(lambda trial: 5 + trial.suggest_float("x", 0, 1), n_trials=2)
    first, second = recorded.runs()
    numbers = [[trial.number for trial in recorded.client.get_trials(run.info.run_id)] for run in (first, second)]
    assert numbers == [[0, 1, 2], [3, 4]]
    assert second.data.metrics["best_value"] == first.data.metrics["best_value"] == study.best_value
    assert second.data.param_values["best_trial"] == study.best_trial.number
    with autotrack.start_run() as run:
        for _ in range(2):
            study.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=1)
        other = optuna.create_study(study_name="other")
        other.optimize(lambda trial: trial.suggest_int("n", 6, 6), n_trials=7)
    assert len(recorded.runs()) == 3
    joined = recorded.client.get_trials(run.info.run_id)
    assert [trial.number for trial in joined] == [0, 1, 2, 3, 4, 5, 6, 7, 8]
    assert [next(iter(trial.params)) for trial in joined].count("n") == 7
    moved = [trial for trial in joined if "number" in trial.attributes]
    assert [(trial.params, trial.attributes["number"]) for trial in moved] == [({"n": 6}, 5), ({"n": 6}, 6)]
    fits = recorded.client.get_fits(run.info.run_id)
    assert [fit.number for fit in fits] == [1, 2, 3]


def test_several_objectives_and_constraints(recorded):
    """Of several objectives each has its value, and the trials that none surpasses rank first; a trial that breaks a
    constraint is not the best.
    """
    study = optuna.create_study(directions=["minimize", "maximize"])
    study.set_metric_names(["loss", "score"])
    study.optimize(lambda trial: (trial.suggest_float("x", 0, 1), -trial.suggest_float("y", 0, 1)), n_trials=4)
    run = recorded.only_run()
    found = recorded.client.get_trials(run.info.run_id)
    assert [trial.scores for trial in found] == [{"loss": [t.values[0]], "score": [t.values[1]]} for t in study.trials]
    assert [trial.number for trial in found if trial.rank == 1] == sorted(t.number for t in study.best_trials)
    assert run.data.param_values["directions"] == ["minimize", "maximize"]
    sampler = optuna.samplers.RandomSampler(seed=0)
    if "constraints_func" in optuna.samplers.TPESampler.__init__.__code__.co_varnames:
        sampler = optuna.samplers.TPESampler(seed=0, constraints_func=lambda trial: (1.0 - trial.number,))
    bound = optuna.create_study(sampler=sampler)
    bound.optimize(lambda trial: float(trial.number), n_trials=3)
    assert recorded.runs()[-1].data.metrics["best_value"] == bound.best_value


def test_a_study_that_is_asked_and_told_is_one_run_for_its_life(recorded):
    """Trials told outside of `optimize` are one run, RUNNING while the study is alive and FINISHED when it is gone."""
    study = optuna.create_study()
    for number in range(3):
        trial = study.ask({"x": optuna.distributions.FloatDistribution(0, 1)})
        state = TrialState.PRUNED if number == 1 else None
        study.tell(trial, None if state else trial.params["x"], state=state)
    best = study.best_value
    run = recorded.only_run()
    assert run.info.status == "RUNNING"
    assert [trial.state for trial in recorded.client.get_trials(run.info.run_id)] == ["COMPLETE", "PRUNED", "COMPLETE"]
    study.optimize(lambda one: one.suggest_float("x", 0, 1), n_trials=1)
    assert len(recorded.runs()) == 2
    del study, trial
    gc.collect()
    autotrack.flush()
    run = recorded.client.get_run(run.info.run_id)
    assert (run.info.status, run.data.metrics["best_value"]) == ("FINISHED", best)
    with autotrack.start_run() as outer:
        study = optuna.create_study()
        study.tell(study.ask(), 1.0)
    assert [trial.state for trial in recorded.client.get_trials(outer.info.run_id)] == ["COMPLETE"]
    assert [fit.status for fit in recorded.client.get_fits(outer.info.run_id)] == ["FINISHED"]
