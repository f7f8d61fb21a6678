"""Work behind the program leaves its warnings alone: filters, what it records, and the functions themselves."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import warnings
from pathlib import Path

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

import autotrack
from autotrack.hooks import own_warnings


@pytest.fixture
def behind():
    """Has a function run in a thread that is apart, beside the test: `step()` lets it go on to its next `yield`."""
    turns = []

    def start(steps):
        go, done = threading.Semaphore(0), threading.Semaphore(0)

        def work():
            with own_warnings.apart():
                for _ in steps():
                    done.release()
                    assert go.acquire(timeout=60)
            done.release()

        thread = threading.Thread(target=work)
        thread.start()
        assert done.acquire(timeout=60)

        def step():
            go.release()
            assert done.acquire(timeout=60)

        turns.append(thread)
        return step

    yield start
    for thread in turns:
        thread.join(60)


def library():
    """What a library does: two blocks of filters of its own."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
        warnings.warn("of the library's", UserWarning, stacklevel=1)
        np.log(np.zeros(1))
        yield
    with warnings.catch_warnings(record=True) as caught:
        warnings.filterwarnings("error")
        assert caught == []
        yield


def test_blocks_that_interleave_lose_nothing_of_the_programs(behind):
    """The program records its own warnings, and afterwards has its own filters."""
    filters = list(warnings.filters)
    step = behind(library)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        step()
        step()
        warnings.warn("of the program's", FutureWarning, stacklevel=1)
        line = caught[0].lineno
    step()
    assert [(one.category, str(one.message)) for one in caught] == [(FutureWarning, "of the program's")]
    assert caught[0].filename == __file__
    assert line > 0
    assert warnings.filters == filters


@pytest.mark.parametrize("by_context", ["0", "1"])
def test_a_warning_behind_the_program_is_not_shown(by_context):
    """Also where Python keeps filters by context, as a free-threaded one does, and threads inherit the program's."""
    source = """
import threading, warnings
import numpy as np
from autotrack.hooks import own_warnings
def work():
    with own_warnings.apart():
        warnings.warn("of the library's", UserWarning)
        warnings.simplefilter("error")
        np.log(np.zeros(1))
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    filters = list(warnings.filters)
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert warnings.filters == filters
    warnings.warn("of the program's", UserWarning)
print([str(one.message) for one in caught])
"""
    flags = [f"-Xcontext_aware_warnings={by_context}", f"-Xthread_inherit_context={by_context}"]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run([sys.executable, *flags, "-c", source], capture_output=True, text=True, env=environment)
    assert (done.stdout, done.stderr) == ('["of the program\'s"]\n', "")


def test_the_functions_are_pythons_own_when_the_work_is_over(behind):
    """The identical objects stand in their places; a copy that was taken meanwhile works on."""
    names = ("simplefilter", "filterwarnings", "resetwarnings", "_showwarnmsg")
    catch = warnings.catch_warnings

    def held():
        return [vars(catch)["__enter__"], vars(catch)["__exit__"], *(vars(warnings)[name] for name in names)]

    before = held()
    step = behind(library)
    assert len(own_warnings.installed()) == len(before)
    simplefilter = warnings.simplefilter
    with warnings.catch_warnings(record=True) as caught:
        for _ in range(3):
            step()
        simplefilter("always")
        warnings.warn("heard", UserWarning, stacklevel=1)
    for _ in range(100):
        if not own_warnings.installed():
            break
        threading.Event().wait(0.05)
    assert all(one is other for one, other in zip(held(), before, strict=True))
    assert [str(one.message) for one in caught] == ["heard"]


def test_filters_and_records_survive_the_recording_of_many_fits(autotrack_store):
    """Training metrics are computed beside a program that enters and leaves blocks of its own all the time."""
    autotrack.autolog()
    filters = list(warnings.filters)
    heard = 0
    for _ in range(10):
        LogisticRegression().fit([[0.0], [1.0], [2.0]], [0, 1, 1])
        worker = threading.Thread(target=autotrack.flush)
        worker.start()
        while worker.is_alive():
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                warnings.warn("each time", FutureWarning, stacklevel=1)
            assert [str(one.message) for one in caught] == ["each time"]
            heard += 1
        worker.join()
    assert heard >= 10
    assert warnings.filters == filters
