"""The scope travels into other processes and threads: whose run is a fit that somebody else was told to make?"""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest
from handed_out import RunPython, check_where_fits_went, launched, recorded

import autotrack
from autotrack.client import Client
from autotrack.testing import TemporaryStore

pytest.importorskip("sklearn")


POOLS = """
import multiprocessing, sys
from concurrent.futures import ProcessPoolExecutor
from sklearn.base import BaseEstimator
from sklearn.linear_model import Ridge
import autotrack

def train(alpha):
    Ridge(alpha=alpha).fit([[0.0], [1.0], [2.0]], [0.0, 1.0, 2.0])
    return alpha

class Meta(BaseEstimator):
    def __init__(self, hand_out):
        self.hand_out = hand_out
    def fit(self, X, y=None):
        self.hand_out(30)
        return self

if __name__ == "__main__":
    context = multiprocessing.get_context(sys.argv[1])
    def in_process(alpha):
        child = context.Process(target=train, args=(alpha,))
        child.start()
        child.join()
    # The pools outlive all that is open while they work, and were made while something was.
    with autotrack.start_run(run_name="outer"), context.Pool(1) as pool:
        pool.apply(abs, (1,))
        with ProcessPoolExecutor(1, mp_context=context) as executor:
            executor.submit(abs, 1).result()
            autotrack.end_run()
            for name, hand_out in {
                "process": in_process,
                "pool": lambda alpha: pool.map(train, [alpha]),
                "executor": lambda alpha: executor.submit(train, alpha).result(),
            }.items():
                with autotrack.start_run(run_name=name):
                    train(10)
                    hand_out(20)
                Meta(hand_out).fit([[1.0]])
                hand_out(40)
"""


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_fits_in_worker_processes_belong_where_they_were_handed_out(
    run_python: RunPython, tmp_path: Path, method: str
) -> None:
    """Under an explicit run they join it, inside a training call they open none, on their own each has a run; all of
    it is recorded to the end, in one session.
    """
    launched(run_python, tmp_path, POOLS, method)
    check_where_fits_went("process", "pool", "executor")
    assert not recorded("outer")[0].data.params


API = """
import multiprocessing
import autotrack
from joblib import Parallel, delayed
from sklearn.linear_model import Ridge

def train(alpha):
    Ridge(alpha=alpha).fit([[0.0], [1.0], [2.0]], [0.0, 1.0, 2.0])

if __name__ == "__main__":
    autotrack.set_tracking_uri("elsewhere")
    autotrack.set_experiment("mine")
    autotrack.autolog(log_models=False, extra_tags={"team": "a"})
    Parallel(n_jobs=2, backend="loky")(delayed(train)(alpha) for alpha in (1, 2))
    child = multiprocessing.get_context("spawn").Process(target=train, args=(3,))
    child.start()
    child.join()
"""


def test_what_a_program_sets_by_calls_holds_in_its_workers(run_python: RunPython, tmp_path: Path) -> None:
    """`autolog()` in the main program is enough: workers record into the same store and experiment, with its options,
    and the session tells of the program.
    """
    script = tmp_path / "api.py"
    script.write_text(API, "utf-8")
    run_python(script)
    client = Client(tmp_path / "elsewhere")
    experiment = client.get_experiment_by_name("mine")
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id])
    assert sorted(run.data.params["alpha"] for run in runs) == ["1", "2", "3"]
    assert all(run.data.tags["team"] == "a" and not run.outputs.model_outputs for run in runs)
    (session_id,) = {run.info.session_id for run in runs}
    assert client.get_session(session_id).argv[-1] == str(script)


OWN = """
from joblib import Parallel, delayed
from sklearn.base import BaseEstimator
import autotrack

class Own(BaseEstimator):
    def __init__(self, a=0, function=None):
        self.a, self.function = a, function
    def fit(self, X, y=None):
        return self

def fit(estimator):
    return estimator.fit([[1.0]])

if __name__ == "__main__":
    for a in (1, 2):
        (came_back,) = Parallel(n_jobs=2, backend="loky")(delayed(fit)(one) for one in [Own(a)])
        fit(Own(10 * a, lambda: None))
        autotrack.flush()  # the model is recorded, from a copy that autotrack has unpickled itself
        fit(came_back.set_params(a=100 * a))
"""


def test_an_estimator_of_the_main_program_is_recorded_wherever_it_was(run_python: RunPython, tmp_path: Path) -> None:
    """Its class travels by value: made anew in a worker it is recorded there, and with what comes back its methods are
    replaced here.
    """
    launched(run_python, tmp_path, OWN)
    assert sorted(int(run.data.params["a"]) for run in recorded("Own")) == [1, 2, 10, 20, 100, 200]


ADDRESS = re.compile(r" at 0x[0-9a-f]+")
"""Python 3.14 names a function that cannot be pickled by it."""

TRACEBACKS = """
import multiprocessing, re, sys
from concurrent.futures import ProcessPoolExecutor
from joblib import Parallel, delayed
import sklearn.base

def fail(x):
    raise ValueError(x)

def show(work):
    try:
        work()
    except Exception as error:
        print(type(error), error.args if error.__cause__ is None else error.__cause__)
        print(getattr(error, "__notes__", []))

def main():
    with multiprocessing.get_context("fork").Pool(1) as pool:
        show(lambda: pool.map(fail, [1]))
        show(lambda: pool.starmap(fail, [(1,)]))
        show(lambda: pool.apply(fail, (1,)))
        show(lambda: list(pool.imap(fail, [1])))
        show(lambda: pool.map(fail, iter(lambda: 1 / 0, 1)))
        show(lambda: pool.apply(lambda: 1))
        show(lambda: pool.map(lambda _: 1, [1]))
    with ProcessPoolExecutor(1) as executor:
        show(lambda: executor.submit(fail, 1).result())
        show(lambda: list(executor.map(fail, [1])))
        show(lambda: executor.submit(lambda: 1).result())
    show(lambda: Parallel(n_jobs=2)(delayed(fail)(i) for i in range(1)))
    child = multiprocessing.Process(target=fail, args=(1,))
    child.start()
    child.join()
    print(child.exitcode)

if __name__ == "__main__":
    if "autotrack" in sys.modules:
        import autotrack
        with autotrack.start_run():
            main()
    else:
        main()
"""


def test_errors_of_workers_look_as_in_plain_python(run_python: RunPython, tmp_path: Path) -> None:
    """Remote tracebacks, pickling errors and what a child writes to stderr are the same, character by character."""
    script = tmp_path / "program.py"
    script.write_text(TRACEBACKS, "utf-8")
    plain = run_python(script)
    under = run_python("-m", "autotrack", script)
    assert "ValueError: 1" in plain.stdout
    assert "ValueError: 1" in plain.stderr
    shown = [ADDRESS.sub("", text) for done in (under, plain) for text in (done.stdout, done.stderr)]
    assert shown[:2] == shown[2:]


THREADS = """
import asyncio, threading
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.pool import ThreadPool
import lightgbm, numpy
import autotrack

X, y = numpy.arange(60.0).reshape(30, 2), numpy.arange(30.0)

def fit(seed=0):
    lightgbm.train({"verbose": -1, "num_threads": 1, "seed": seed}, lightgbm.Dataset(X, y), 2)

async def several():
    await asyncio.gather(asyncio.to_thread(fit), asyncio.to_thread(fit))
    await asyncio.get_running_loop().run_in_executor(None, fit)
    async def one():
        fit()
    await asyncio.create_task(one())

def started(target):
    thread = threading.Thread(target=target)
    thread.start()
    thread.join()

pool, executor = ThreadPool(2), ThreadPoolExecutor(2)
pool.map(fit, (1, 2))
with autotrack.start_run(run_name="explicit"):
    started(fit)
    list(executor.map(fit, (1, 2)))
    pool.map(fit, (1, 2))
    pool.starmap(fit, [(1,)])
    pool.apply(fit, (3,))
    list(pool.imap(fit, (1,)))
    with ThreadPool(1) as another:
        another.map(fit, (1,))
    asyncio.run(several())
    started(lambda: asyncio.run(several()))
pool.map(fit, (1,))
list(executor.map(fit, (1,)))

def three():
    for seed in range(3):
        fit(seed)

threads = [threading.Thread(target=three) for _ in range(4)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
"""


def test_fits_in_threads_belong_where_they_were_handed_out(run_python: RunPython, tmp_path: Path) -> None:
    """Threads, pools of threads and asyncio's join the explicit run, without scikit-learn too; on their own, also at
    the same time, each fit has a run, whole and with nothing of another's.
    """
    pytest.importorskip("lightgbm")
    launched(run_python, tmp_path, THREADS)
    explicit = recorded("explicit")[0]
    assert sorted(fit.number for fit in Client().get_fits(explicit.info.run_id)) == list(range(1, 18))
    others = [run for run in recorded() if run.info.run_name != "explicit"]
    assert len(others) == 2 + 2 + 12
    for run in others:
        assert [fit.number for fit in Client().get_fits(run.info.run_id)] == [1]
        assert run.info.status == "FINISHED"
        assert len(run.outputs.model_outputs) == 1
        assert not run.info.degraded


JOBLIB = """
import json, sys, warnings
import joblib
from joblib import Parallel, delayed
from sklearn.base import BaseEstimator
from sklearn.datasets import load_iris
from sklearn.ensemble import BaggingClassifier, VotingClassifier
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.multiclass import OneVsRestClassifier
import autotrack

X, y = load_iris(return_X_y=True)

def line():
    return LogisticRegression(max_iter=30)

def train(alpha):
    Ridge(alpha=alpha).fit([[0.0], [1.0], [2.0]], [0.0, 1.0, 2.0])

class Meta(BaseEstimator):
    def fit(self, X, y=None):
        Parallel(n_jobs=2)(delayed(train)(alpha) for alpha in (1, 2))
        return self

def results():
    warnings.simplefilter("ignore")
    return [
        GridSearchCV(line(), {"C": [1, 2]}, cv=2, n_jobs=2).fit(X, y).predict_proba(X).tolist(),
        cross_val_score(line(), X, y, cv=2, n_jobs=2).tolist(),
        VotingClassifier([("a", line()), ("b", line())], voting="soft", n_jobs=2).fit(X, y).predict_proba(X).tolist(),
        OneVsRestClassifier(line(), n_jobs=2).fit(X, y).predict_proba(X).tolist(),
        BaggingClassifier(line(), 2, n_jobs=2, random_state=0).fit(X, y).predict_proba(X).tolist(),
    ]

if __name__ == "__main__":
    with autotrack.disabled(), joblib.parallel_config(backend="sequential"):
        plain = results()
    for backend in ("loky", "threading", "multiprocessing", "sequential"):
        autotrack.set_experiment(backend)
        with joblib.parallel_config(backend=backend):
            assert results() == plain
            Parallel(n_jobs=2)(delayed(train)(alpha) for alpha in (3, 4))
            with autotrack.start_run(run_name="explicit"):
                Parallel(n_jobs=2)([delayed(train)(alpha) for alpha in (5, 6)])
            Meta().fit(X)
"""


def test_each_outermost_fit_is_one_run_on_every_backend_of_joblib(run_python: RunPython, tmp_path: Path) -> None:
    """Searches, ensembles and joblib's own `Parallel`: one run each where they train as one, the same results as
    without recording; tasks on their own are runs of their own.
    """
    launched(run_python, tmp_path, JOBLIB)
    client = Client()
    for backend in ("loky", "threading", "multiprocessing", "sequential"):
        experiment = client.get_experiment_by_name(backend)
        assert experiment is not None
        runs = client.search_runs([experiment.experiment_id])
        assert Counter(run.info.run_name for run in runs) == {
            "GridSearchCV": 1,
            "cross_val_score LogisticRegression": 1,
            "VotingClassifier": 1,
            "OneVsRestClassifier": 1,
            "BaggingClassifier": 1,
            "Ridge": 2,
            "explicit": 1,
            "Meta": 1,
        }, backend
        assert {run.info.status for run in runs} == {"FINISHED"}
        explicit = next(run for run in runs if run.info.run_name == "explicit")
        assert [fit.number for fit in client.get_fits(explicit.info.run_id)] == [1, 2]


PIPELINE = """
import os, subprocess, sys
import autotrack

def step(name, **options):
    subprocess.run([sys.executable, "-c", steps[name]], check=True, **options)

steps = {
    "prepare": "open('data.txt', 'w').write('0 1 2')",
    "train": '''
import pickle
from sklearn.linear_model import Ridge
x = [float(word) for word in open('data.txt').read().split()]
pickle.dump(Ridge().fit([[one] for one in x], x), open('model.pkl', 'wb'))
''',
    "evaluate": '''
import pickle, autotrack
with autotrack.start_run(run_name='evaluation'):
    autotrack.log_metric('score', pickle.load(open('model.pkl', 'rb')).score([[1.0]], [1.0]) * 0)
''',
}
if sys.argv[1:] == ["open"]:
    given = dict(os.environ)
    before = dict(given)
    with autotrack.start_run(run_name="pipeline"):
        step("prepare")
        step("train")
        step("evaluate", env=given)
    assert given == before and "AUTOTRACK_PARENT_RUN" not in os.environ
else:
    for name in steps:
        step(name)
"""


def test_programs_that_a_program_starts_are_linked(run_python: RunPython, tmp_path: Path) -> None:
    """Preparation, training and evaluation by `subprocess`: their sessions belong to the driver's, which itself
    records nothing; with a run open in the driver, their runs are its children.
    """
    launched(run_python, tmp_path, PIPELINE)
    alone = recorded()
    assert {run.info.run_name for run in alone} == {"Ridge", "evaluation"}
    sessions = [Client().get_session(run.info.session_id) for run in alone]
    assert len({session.session_id for session in sessions}) == 2
    (driver,) = {session.parent_session_id for session in sessions}
    assert driver
    assert {run.info.parent_run_id for run in alone} == {None}

    launched(run_python, tmp_path, PIPELINE, "open")
    known = {run.info.run_id for run in alone}
    linked = {run.info.run_name: run.info for run in recorded() if run.info.run_id not in known}
    assert set(linked) == {"pipeline", "Ridge", "evaluation"}
    parent = linked["pipeline"]
    for name in ("Ridge", "evaluation"):
        assert linked[name].parent_run_id == parent.run_id
        assert Client().get_session(linked[name].session_id).parent_session_id == parent.session_id
    shown = run_python("-m", "autotrack.cli", "show", linked["Ridge"].run_id).stdout
    assert parent.run_id in shown
    assert parent.session_id in shown


def test_a_run_of_another_store_is_named_by_a_tag(run_python: RunPython, tmp_path: Path) -> None:
    """No run can be the child of one that its store does not have."""
    source = "import autotrack\nwith autotrack.start_run(run_name='child'):\n    pass\n"
    run_python(source, env={"AUTOTRACK_PARENT_RUN": "0123456789abcdef0123456789abcdef:another"})
    child = recorded("child")[0]
    assert child.info.parent_run_id is None
    assert child.data.tags["autotrack.started_by_run"] == "0123456789abcdef0123456789abcdef"


def test_programs_that_train_nothing_do_not_load_what_carries_the_scope(run_python: RunPython, tmp_path: Path) -> None:
    """Pools and programs started by a program that has nothing to record are left alone."""
    text = (
        "import multiprocessing, subprocess, sys\n"
        "with multiprocessing.get_context('fork').Pool(1) as pool:\n"
        "    assert pool.map(abs, [-1]) == [1]\n"
        "subprocess.run(['true'], check=True)\n"
        "print(sorted(name for name in sys.modules if name.startswith('autotrack.tracking')))\n"
    )
    assert launched(run_python, tmp_path, text) == "[]\n"


def test_work_that_stays_in_its_thread_belongs_to_what_is_open_there(autotrack_store: TemporaryStore) -> None:
    """One job: joblib makes the calls itself, and a fit in them is the open run's, or a run of its own."""
    from joblib import Parallel, delayed
    from sklearn.linear_model import Ridge

    autotrack.autolog()

    def train(alpha: int) -> float:
        return float(Ridge(alpha=alpha).fit([[0.0], [1.0]], [0.0, 1.0]).alpha)

    with autotrack.start_run() as run:
        assert Parallel(n_jobs=1)(delayed(train)(alpha) for alpha in (1, 2)) == [1, 2]
    assert Parallel(n_jobs=1)([delayed(train)(3)]) == [3]
    autotrack.flush()
    alphas = {one.info.run_id == run.info.run_id: one.data.params for one in autotrack_store.runs()}
    assert set(alphas) == {True, False}
    assert alphas[False]["alpha"] == "3"
    assert len(autotrack_store.client.get_fits(run.info.run_id)) == 2
