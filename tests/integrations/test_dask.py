"""Dask: whose run is a fit that a cluster's worker makes, and is everything else as under plain Python?"""

from __future__ import annotations

import os
import pickle
import pickletools
import re
import socket
from collections import Counter
from pathlib import Path

import pytest
from handed_out import RunPython, check_where_fits_went, launched, recorded

pytest.importorskip("distributed")

from autotrack.client import Client
from autotrack.integrations.dask import Token, is_within_reach
from autotrack.tracking.transport import Parcel

# No limit of memory: in-process workers would count what the whole process has.
CLUSTER = """
from distributed import Client, LocalCluster

def start(kind, **options):
    options = {"n_workers": 1, "threads_per_worker": 2, "memory_limit": None, "dashboard_address": None, **options}
    if kind == "tcp":
        options["protocol"] = "tcp://"
    return LocalCluster(processes=kind == "processes", **options)
"""

KINDS = pytest.mark.parametrize("kind", ["threads", "tcp", "processes"])
"""Workers in threads of the program, the same with Dask talking to itself through sockets, and in processes."""


META = """
from sklearn.base import BaseEstimator

class Meta(BaseEstimator):
    def __init__(self, way=""):
        self.way = way
    def fit(self, hand_out, y=None):
        hand_out(self.way, 30)
        return self
"""

FITS = """
import asyncio, sys
import dask, joblib
from distributed import worker_client
from sklearn.linear_model import Ridge
import autotrack
from meta import Meta

def train(alpha):
    Ridge(alpha=alpha).fit([[0.0], [1.0], [2.0]], [0.0, 1.0, 2.0])
    return alpha

async def train_async(alpha):
    return train(alpha)

def train_in_a_task_of_a_task(alpha):
    with worker_client() as client:
        return client.submit(train, alpha).result()

class Trainer:
    def train(self, alpha):
        return train(alpha)
    async def train_async(self, alpha):
        return train(alpha)

def hand_out(way, alpha):
    client = Client.current()
    if way == "submit":
        client.submit(train, alpha).result()
    elif way == "map":
        client.gather(client.map(train, [alpha]))
    elif way == "delayed":
        dask.delayed(train)(alpha).compute()
    elif way == "persist":
        dask.delayed(train)(alpha).persist().compute()
    elif way == "async":
        client.submit(train_async, alpha).result()
    elif way == "nested":
        client.submit(train_in_a_task_of_a_task, alpha, pure=False).result()
    elif way == "actor":
        client.submit(Trainer, actor=True, pure=False).result().train(alpha).result()
    elif way == "async actor":
        client.submit(Trainer, actor=True, pure=False).result().train_async(alpha).result()
    elif way == "joblib":
        with joblib.parallel_config(backend="dask"):
            joblib.Parallel()(joblib.delayed(train)(one) for one in [alpha])
    elif way == "async client":
        async def ask():
            async with Client(client.scheduler.address, asynchronous=True, set_as_default=False) as another:
                await another.submit(train, alpha, pure=False)
        asyncio.run(ask())
    elif way == "local threads":
        dask.delayed(train)(alpha).compute(scheduler="threads")
    elif way == "local processes":
        dask.delayed(train)(alpha).compute(scheduler="processes", num_workers=1)

if __name__ == "__main__":
    # The cluster outlives all that is open while it works, and was made while something was.
    with autotrack.start_run(run_name="outer"), start(sys.argv[1]) as cluster, Client(cluster) as client:
        autotrack.end_run()
        for way in sys.argv[2:]:
            with autotrack.start_run(run_name=way):
                train(10)
                hand_out(way, 20)
            Meta(way).fit(hand_out)
            hand_out(way, 40)
"""

WAYS = ("submit", "map", "delayed", "persist", "async", "nested", "actor", "async actor", "joblib", "async client")
LOCAL = ("local threads", "local processes")


@pytest.mark.parametrize(("kind", "ways"), [("threads", WAYS + LOCAL), ("tcp", WAYS), ("processes", WAYS)])
def test_fits_of_workers_belong_where_they_were_handed_out(
    run_python: RunPython, tmp_path: Path, kind: str, ways: tuple[str, ...]
) -> None:
    """Under an explicit run they join it, numbered; inside a training call they open none; on their own each has a
    run. All of it is recorded to the end, models too, in one session.
    """
    (tmp_path / "meta.py").write_text(META, "utf-8")
    launched(run_python, tmp_path, CLUSTER + FITS, kind, *ways)
    check_where_fits_went(*ways)
    assert not Client().get_fits(recorded("outer")[0].info.run_id)


AT_ONCE = """
import sys, threading
from distributed import Event
from sklearn.linear_model import Ridge
import autotrack

def train(alpha):
    Event("all were handed out").wait()
    Ridge(alpha=alpha).fit([[0.0], [1.0], [2.0]], [0.0, 1.0, 2.0])
    return alpha

if __name__ == "__main__":
    with start(sys.argv[1], n_workers=2, threads_per_worker=1) as cluster, Client(cluster) as client:
        handed_out = threading.Barrier(3)
        def experiment(name, alphas):
            with autotrack.start_run(run_name=name):
                futures = client.map(train, alphas)
                handed_out.wait()
                client.gather(futures)
        threads = [
            threading.Thread(target=experiment, args=("A", range(1, 9))),
            threading.Thread(target=experiment, args=("B", range(11, 19))),
        ]
        for thread in threads:
            thread.start()
        alone = client.submit(train, 100)
        handed_out.wait()
        Event("all were handed out").set()
        for thread in threads:
            thread.join()
        alone.result()
"""


@KINDS
def test_two_runs_at_once_on_one_cluster_are_kept_apart(run_python: RunPython, tmp_path: Path, kind: str) -> None:
    """Of tasks that wait and work side by side each knows whose it is."""
    launched(run_python, tmp_path, CLUSTER + AT_ONCE, kind)
    assert Counter(run.info.run_name for run in recorded()) == {"A": 1, "B": 1, "Ridge": 1}
    for name, first in {"A": 1, "B": 11}.items():
        (run,) = recorded(name)
        assert [fit.number for fit in Client().get_fits(run.info.run_id)] == list(range(1, 9))
        alphas = {value for key, value in run.data.params.items() if key.rpartition(".")[2] == "alpha"}
        assert alphas == {str(first + number) for number in range(8)}
    assert recorded("Ridge")[0].data.params["alpha"] == "100"


OWN = """
import sys
from sklearn.base import BaseEstimator

class Own(BaseEstimator):
    def __init__(self, a=0):
        self.a = a
    def fit(self, X, y=None):
        return self

def fit(estimator):
    estimator.fit([[1.0]])

if __name__ == "__main__":
    with start(sys.argv[1]) as cluster, Client(cluster) as client:
        for a in (1, 2):
            client.submit(fit, Own(a)).result()
            fit(Own(10 * a))
"""


@KINDS
def test_an_estimator_of_the_main_program_is_recorded_in_workers(
    run_python: RunPython, tmp_path: Path, kind: str
) -> None:
    """Its class travels by value: in the worker it is made anew, and in the process of the scheduler, where it is
    there already, its methods are replaced.
    """
    launched(run_python, tmp_path, CLUSTER + OWN, kind)
    assert Counter(run.data.params["a"] for run in recorded("Own")) == {"1": 1, "2": 1, "10": 1, "20": 1}


API = """
from sklearn.linear_model import Ridge
import autotrack

def train(alpha):
    Ridge(alpha=alpha).fit([[0.0], [1.0], [2.0]], [0.0, 1.0, 2.0])

if __name__ == "__main__":
    autotrack.autolog(log_models=False)
    with start("processes") as cluster, Client(cluster) as client:
        client.submit(train, 1).result()
        # What is set later holds for what is handed out from then on.
        autotrack.set_tracking_uri("elsewhere")
        autotrack.set_experiment("mine")
        autotrack.autolog(extra_tags={"team": "a"})
        client.submit(train, 2).result()
        with autotrack.start_run(run_name="explicit"):
            client.submit(train, 3).result()
"""


def test_what_a_program_sets_by_calls_holds_in_dasks_workers(run_python: RunPython, tmp_path: Path) -> None:
    """`autolog()` in the main program is enough: workers that Dask spawns record, into the store and the experiment
    that are set, with the program's options, in its session.
    """
    script = tmp_path / "api.py"
    script.write_text(CLUSTER + API, "utf-8")
    run_python(script)
    (first,) = recorded()
    assert (first.data.params["alpha"], first.outputs.model_outputs) == ("1", [])
    client = Client(tmp_path / "elsewhere")
    experiment = client.get_experiment_by_name("mine")
    assert experiment is not None
    explicit, alone = client.search_runs([experiment.experiment_id])
    assert (alone.data.params["alpha"], alone.data.tags["team"]) == ("2", "a")
    assert (explicit.info.run_name, explicit.data.params["alpha"]) == ("explicit", "3")
    assert not alone.outputs.model_outputs
    assert len({run.info.session_id for run in (first, explicit, alone)}) == 1


PLAIN = """
import logging, os, sys, traceback
import dask
from distributed import as_completed, get_client, get_worker
import sklearn.base

def double(x):
    return 2 * x

def fail(x):
    raise ValueError(x)

def fail_once(path):
    with open(path, "ab") as file:
        file.write(b".")
    if os.path.getsize(path) == 1:
        raise OSError("once")
    return os.path.getsize(path)

def count(path):
    with open(path, "ab") as file:
        file.write(b".")
    return os.path.getsize(path)

def in_a_task(x):
    return get_client().submit(double, x).result() + x

def own_key():
    return get_worker().get_current_task()

class Counter:
    n = 0
    def add(self, x):
        self.n += x
        return self.n
    def fail(self):
        fail(self.n)

def show(*values):
    print(*values, flush=True)

def show_error(future):
    show(repr(future.exception()), future.status, traceback.format_tb(future.traceback())[-1])
    try:
        future.result()
    except Exception as error:
        # Of the frames the last ones: those of Dask itself stand in a folder that is no concern of ours.
        show(type(error), error.args, error.__cause__, error.__context__)
        show([frame.name for frame in traceback.extract_tb(error.__traceback__)])

def annotations_of(key):
    def read(dask_scheduler):
        return {name: value for name, value in dask_scheduler.tasks[key].annotations.items() if name != "autotrack"}
    return read

def is_told(dask_scheduler, key):
    return "autotrack" in dask_scheduler.tasks[key].annotations

def main():
    logging.getLogger("distributed").setLevel(logging.CRITICAL)
    with start(sys.argv[1]) as cluster, Client(cluster) as client:
        one = client.submit(double, 1)
        show(one.key, one.result(), client.submit(double, 1).key == one.key, client.submit(double, y := 2).key)
        many = client.map(double, range(20), batch_size=6)
        show([future.key for future in many], client.gather(many), one.key == many[1].key)
        show(sorted(future.result() for future in as_completed(many)))
        lazy = dask.delayed(double)(3)
        show(lazy.key, lazy.compute(), client.compute(lazy).key, client.persist(lazy).key)
        show(dask.delayed(double, pure=True)(3).key)
        tree = dask.delayed(sum)([dask.delayed(double, pure=True)(x) for x in range(4)])
        show(tree.compute(), dask.compute(tree, {"a": dask.delayed(double)(1)}), dask.optimize(tree)[0].compute())
        counted = client.submit(count, "counted")
        show(counted.result(), client.submit(count, "counted").result())
        show(client.submit(count, "counted", pure=False).result())
        show(client.submit(fail_once, "failing", retries=2).result())
        show_error(client.submit(fail, 7))
        show_error(client.submit(double, client.submit(fail, 8)))
        show_error(client.compute(dask.delayed(fail)(9)))
        retried = client.submit(fail_once, "again", pure=False)
        retried.exception()
        retried.retry()
        show(retried.result())
        show(client.submit(in_a_task, 5).result(), client.submit(own_key, key="mine").result())
        counter = client.submit(Counter, actor=True).result()
        show([counter.add(x).result() for x in range(4)], counter.n)
        try:
            counter.fail().result()
        except ValueError as error:
            show(repr(error))
        cancelled = client.submit(double, 1, key="cancelled")
        cancelled.cancel()
        try:
            cancelled.result()
        except BaseException as error:
            show(cancelled.status, type(error))
        with dask.annotate(priority=3, mine="x"):
            annotated = client.submit(double, 21, key="annotated", retries=1)
        show(annotated.result(), client.run_on_scheduler(annotations_of("annotated")))
        if "autotrack" in sys.modules:
            assert client.run_on_scheduler(is_told, key="annotated")

if __name__ == "__main__":
    if "autotrack" in sys.modules:
        import autotrack
        autotrack.set_experiment("mine")
        with autotrack.start_run():
            main()
    else:
        main()
"""


@KINDS
def test_dask_behaves_as_under_plain_python(run_python: RunPython, tmp_path: Path, kind: str) -> None:
    """Keys, results, what is computed once, retries, errors with their tracebacks, actors, cancelling and the user's
    annotations are the same, while every task carries a token.
    """
    outputs = []
    for launcher in ((), ("-m", "autotrack")):
        folder = tmp_path / f"run{len(outputs)}"
        folder.mkdir()
        script = tmp_path / "program.py"
        script.write_text(CLUSTER + PLAIN, "utf-8")
        outputs.append(run_python(*launcher, script, kind, cwd=folder))
    plain, under = (_without_random_keys(done.stdout) for done in outputs)
    assert "double-" in plain
    assert "ValueError(7)" in plain
    assert under == plain
    assert "autotrack" not in outputs[1].stderr


def _without_random_keys(text: str) -> str:
    """Keys that Dask draws at random are told by how they look alone."""
    return re.sub(r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b", "RANDOM", text)


WITHOUT = """
import subprocess, sys, time
from pathlib import Path

def modules():
    import sys
    return sorted(name for name in sys.modules if name.partition(".")[0] == "autotrack")

def double(x):
    return 2 * x

def main():
    from distributed import Client
    import autotrack

    autotrack.set_experiment("mine")
    with autotrack.start_run(), Client(scheduler_file="scheduler.json") as client:
        client.wait_for_workers(1)
        print(client.gather(client.map(double, range(3))), client.submit(modules).result())
        print(client.run_on_scheduler(modules))

def cluster_part(module, *options):
    command = [sys.executable, "-m", f"distributed.cli.{module}", "--scheduler-file", "scheduler.json", *options]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=ENVIRONMENT)

if __name__ == "__main__":
    import os
    ENVIRONMENT = {**os.environ, "PYTHONPATH": sys.argv[1]}
    parts = [
        cluster_part("dask_scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard", "--idle-timeout", "60s"),
        cluster_part("dask_worker", "--no-nanny", "--nthreads", "1", "--memory-limit", "0", "--death-timeout", "60"),
    ]
    try:
        while not Path("scheduler.json").exists() and parts[0].poll() is None:
            time.sleep(0.05)
        main()
    finally:
        for part in parts:
            part.kill()
        for part in parts:
            part.wait()
"""

NOWHERE = """
import sys

class Nowhere:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "autotrack":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Nowhere())
"""


def test_scheduler_and_workers_may_be_without_autotrack(run_python: RunPython, tmp_path: Path) -> None:
    """A cluster in whose processes autotrack cannot be imported does the tasks of a recorded program."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "sitecustomize.py").write_text(NOWHERE, "utf-8")
    assert launched(run_python, tmp_path, CLUSTER + WITHOUT, str(elsewhere)).splitlines() == ["[0, 2, 4] []", "[]"]


TAKEN_APART = """
import distributed
from distributed.worker import Worker
execute = Worker.execute
del Worker.actor_execute
import autotrack
from autotrack.hooks import guard, light
import autotrack.tracking.scope
autotrack.autolog()
print([name for name in light.installed() if name.startswith("distributed.") and "_WorkItem" not in name])
print("threading.Thread.start" in light.installed(), Worker.execute is execute, guard.health("dask").errors)
"""


def test_a_version_that_lacks_something_is_left_alone(run_python: RunPython) -> None:
    """Where one of the places is missing that are watched, none is."""
    assert run_python(TAKEN_APART).stdout.splitlines() == ["[]", "True True 0"]


def test_a_token_is_nothing_but_bytes() -> None:
    """Wherever it is unpickled, and whatever is in it, nothing of autotrack is named."""
    sent = Parcel(os.getpid(), "hook", "session", "run", ("sqlite:///a.db", "1", "name", "e", "", "", ""), ())
    token = Token.of(sent)
    for text in (token, pickle.dumps(token)):
        names = [argument for _, argument, _ in pickletools.genops(text) if isinstance(argument, str)]
        assert not [name for name in names if "autotrack" in name]
    assert type(pickle.loads(pickle.dumps(token))) is bytes
    assert pickle.loads(token) == (socket.gethostname(), tuple(sent))


def test_a_store_on_another_machine_may_be_out_of_reach(tmp_path: Path) -> None:
    """A file is where it is, or on a shared file system; a server is everywhere; a training call needs no store."""
    here, there = f"sqlite:///{tmp_path}/here.db", f"sqlite:///{tmp_path}/there.db"
    (tmp_path / "here.db").touch()

    def reached(host: str, url: str) -> bool:
        return is_within_reach(host, Parcel(1, "hook", "session", "run", (url, "1", "", "", "", "", ""), ()))

    assert reached(socket.gethostname(), there)
    assert reached("another", here)
    assert not reached("another", there)
    assert reached("another", "postgresql://user@server/runs")
    assert is_within_reach("another", Parcel(1, "hook", "session", "training", (), ()))
    assert not is_within_reach("another", Parcel(1, "hook", "session", "", (), (there, None, (False, {}, {}))))
