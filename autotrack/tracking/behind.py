"""What integrations share in what they do of a training call behind the training thread."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Literal, TypeVar

from autotrack.errors import InvalidArgumentError
from autotrack.hooks import guard
from autotrack.tracking import outputs
from autotrack.tracking.recorder import Recorder
from autotrack.tracking.run import RunWriter

T = TypeVar("T")

IMPORTS_TAKE = 30.0
"""Seconds that an import of the program's is waited for, at most."""

IMPORTS_PAUSE = 0.05
"""Seconds between two looks whether it is over."""


SMALL = 256 * 1024
"""Bytes that a job holds up to which it is taken to be over at once, and what it tells is written together."""


WORSE = 'log_models="best": an earlier model of the run has a better score'
"""Why the model of a training call is left out."""


MODEL_IS_LATE = "recording fell behind: the model is left out"
"""The same, where too much waits."""


def suffix_of(number: int) -> str:
    """What is put behind the names of what the second and later training calls of a run leave."""
    return f"_{number}" if number > 1 else ""


def off(option: str) -> str:
    """Why something is left out that an option switches off."""
    return f"the option {option} is off"


def submit(run: RunWriter, job: Callable[[], None], size: int, what: str) -> None:
    """Have something done behind the training thread; where too much waits already, the run says that it is left out.

    Args:
        run: The run that it is for.
        job: What to do.
        size: Bytes that it holds in memory.
        what: What it records, in words.
    """
    recorder = run.recorder
    done = partial(_together, recorder, job) if size <= SMALL else job
    if not recorder.worker.submit(done, size, run.cost):
        run.degrade(f"recording fell behind: {what} are left out")


def _together(recorder: Recorder, job: Callable[[], None]) -> None:
    with recorder.together():
        job()


def guarded(run: RunWriter, integration: str, where: str, step: Callable[[], T]) -> T | None:
    """Do one step of a job; what fails is noted on the run and for the doctor, and the others go on."""
    run.recorder.worker.give_way()
    health = guard.health(integration)
    before = health.errors
    result = guard.call(health, where, step)
    if health.errors > before:
        run.degrade(f"{where}: {health.last_message()}")
    return result


def guarded_model(run: RunWriter, integration: str, store: Callable[[], object]) -> None:
    """The step of a job that stores a model, which no format may hold: that is the run's to say, and no failure."""
    guarded(run, integration, "model", partial(_try_to_store, run, store))


def _try_to_store(run: RunWriter, store: Callable[[], object]) -> None:
    try:
        store()
    except InvalidArgumentError as error:
        # A class of the main program is taken along by value, and may have a lock or a connection among its globals.
        run.degrade(f"the model is not recorded: {error}")


def is_of_import(error: Exception) -> bool:
    """Whether an error is about a module that is just being imported; all versions of Python say so in these words."""
    return "due to a circular import" in str(error)


def past_imports(compute: Callable[[], T]) -> T:
    """Compute something with a library that looks into `sys.modules` for what the program has imported.

    scikit-learn asks whether its input is a `sys.modules["polars"].DataFrame`, which is not there yet while the program
    imports polars in its own thread. Then it is computed once more, until that import is over. No import lock is taken:
    the program may be waiting, inside an import of its own, for this very thread.

    Args:
        compute: What to compute; it can be repeated.
    """
    deadline = time.monotonic() + IMPORTS_TAKE
    while True:
        try:
            return compute()
        except (AttributeError, ImportError) as error:
            if not is_of_import(error) or time.monotonic() > deadline:
                raise
        time.sleep(IMPORTS_PAUSE)


def place_of_model(
    run: RunWriter, log_models: bool | Literal["best"], number: int, fit_id: str, score: float | None
) -> tuple[str, str] | None:
    """Name and id of the model of a training call; None where the run's best one is better and the only one to keep.

    Args:
        run: The run.
        log_models: The option of that name.
        number: Number of the training call in its run.
        fit_id: Its id: there is one model a training call.
        score: The model's score, the higher the better.
    """
    if log_models != "best":
        return "model" + suffix_of(number), fit_id
    found = outputs.place_of_best(run, score, fit_id)
    return None if found is None else ("model", found)
