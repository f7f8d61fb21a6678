"""Forks: a child begins clean, whatever its parent was about, and leaves what is its parent's alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from autotrack.client import Client
from autotrack.tracking import counting, recorders

pytest.importorskip("sklearn")

RunPython = Callable[..., Any]

HEAD = """
import multiprocessing, os, signal, sys, threading
from sklearn.base import BaseEstimator
from sklearn.linear_model import Ridge
import autotrack

def fit(alpha=1.0):
    Ridge(alpha=alpha).fit([[0.0], [1.0], [2.0]], [0.0, 1.0, 2.0])

def fork(body):
    child = os.fork()
    if not child:
        body()
        os._exit(0)
    return child

def codes(children):
    return [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
"""

CHILDREN = """
fit(0.5)
# The parent's threads are importing, writing models and ingesting by now; another one logs.
with autotrack.start_run(run_name="explicit"):
    autotrack.log_param("owner", os.getpid())
    done = threading.Event()
    def log():
        while not done.is_set():
            autotrack.log_metric("ticks", 1.0)
    logging = threading.Thread(target=log)
    logging.start()
    joined = [fork(fit) for _ in range(5)]
    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=fit) for _ in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    fit()
    assert codes(joined) == [0] * 5
    done.set()
    logging.join()
    def leave():
        try:
            autotrack.end_run()
            with autotrack.start_run(run_name="child's own"):
                pass
        finally:
            os._exit(0)
    assert codes([fork(leave)]) == [0]
    assert autotrack.active_run() is not None
assert codes([fork(lambda: (fit(2.0), autotrack.flush())) for _ in range(20)]) == [0] * 20
class Forking(BaseEstimator):
    def fit(self, X, y=None):
        assert codes([fork(fit)]) == [0]
        return self
Forking().fit([[1.0]])
"""


def launched(run_python: RunPython, folder: Path, text: str, **options: Any) -> str:
    """What a script prints that is started under autotrack."""
    script = folder / "program.py"
    script.write_text(HEAD + text, "utf-8")
    return str(run_python("-m", "autotrack", script, **options).stdout)


def test_forked_children_begin_clean(run_python: RunPython, tmp_path: Path) -> None:
    """Forked in the midst of ingest, imports and logging all children return; each fit has its own run, joins the
    explicit run that is open in the parent, or belongs to the training call that it was forked in.
    """
    launched(run_python, tmp_path, CHILDREN)
    client = Client()
    runs = client.search_runs()
    assert Counter((run.info.run_name, run.info.status) for run in runs) == {
        ("Ridge", "FINISHED"): 21,
        ("explicit", "FINISHED"): 1,
        ("child's own", "FINISHED"): 1,
        ("Forking", "FINISHED"): 1,
    }
    explicit = next(run for run in runs if run.info.run_name == "explicit")
    assert sorted(fit.number for fit in client.get_fits(explicit.info.run_id)) == list(range(1, 9))
    for run in runs:
        fits = client.get_fits(run.info.run_id)
        assert len(fits) == (8 if run is explicit else 0 if run.info.run_name == "child's own" else 1)
        assert not run.info.degraded
    assert len({run.info.session_id for run in runs}) == 1


ENDS = """
class Ending(BaseEstimator):
    def __init__(self, how):
        self.how = how
    def fit(self, X, y=None):
        getattr(self, self.how)()
    def hard_exit(self):
        os._exit(4)
    def exit(self):
        sys.exit(3)
    def interrupt(self):
        signal.raise_signal(signal.SIGINT)
    def kill(self):
        os.kill(os.getpid(), signal.SIGKILL)
    def term(self):
        os.kill(os.getpid(), signal.SIGTERM)
    def error(self):
        raise ValueError("no")
    def nothing(self):
        pass

fit()
context = multiprocessing.get_context("fork")
with autotrack.start_run(run_name="of the parent"):
    autotrack.log_metric("loss", 1.0)
hows = ["hard_exit", "exit", "interrupt", "kill", "term", "error", "nothing"]
processes = [context.Process(target=Ending(how).fit, args=([[1.0]],)) for how in hows]
for process in processes:
    process.start()
for process in processes:
    process.join()
print([process.exitcode for process in processes])
"""


def test_each_end_of_a_forked_child_leaves_its_status(run_python: RunPython, tmp_path: Path) -> None:
    """`os._exit`, signals and Ctrl-C kill the run that was open, `sys.exit(3)` and errors fail it, and it is finished
    where the call was; the parent's runs are none of theirs.
    """
    assert launched(run_python, tmp_path, ENDS) == "[4, 3, 1, -9, -15, 1, 0]\n"
    runs = Client().search_runs()
    ended = {run.data.params.get("how", run.info.run_name): run.info.status for run in runs}
    assert ended == {
        "Ridge": "FINISHED",
        "of the parent": "FINISHED",
        "hard_exit": "KILLED",
        "exit": "FAILED",
        "interrupt": "KILLED",
        "kill": "KILLED",
        "term": "KILLED",
        "error": "FAILED",
        "nothing": "FINISHED",
    }


def test_training_calls_are_counted_across_processes() -> None:
    """A run that is shared gives each of its training calls a number that no other has; afterwards nothing is left."""
    mine = recorders.current()
    run = mine.start_run("shared")
    assert run.next_fit() == 1
    run.share()
    theirs = [counting.count(mine.location, run.run_id) for _ in range(2)]
    assert (theirs, run.next_fit()) == ([2, 3], 4)
    run.end()
    assert counting.count(mine.location, run.run_id) is None
    assert run.next_fit() == 5
