"""Programs that are killed at random moments, and what has to be in the store afterwards.

The suite runs a few of these (`tests/e2e/test_kills.py`), `tools/soak.py` as many as one likes. A program says after
each call that it has returned; then it gets SIGKILL, mostly where it hurts: it tells through a shared byte that it is
in a transaction, or in the midst of storing a model. A reader that comes afterwards has to find all that was said, at
most the one call more that had not returned, nothing twice, and nothing that is half there.
"""

from __future__ import annotations

import mmap
import os
import random
import sqlite3
import subprocess
import sys
import textwrap
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import astuple, dataclass
from pathlib import Path

from autotrack import Client
from autotrack.maintenance.checks import check_store
from autotrack.models import load_model
from autotrack.models.directory import verify
from autotrack.models.mlmodel import Model
from autotrack.records import Run
from autotrack.store.engine import Store
from autotrack.store.location import locate
from autotrack.tracking import recorders

ROOT = Path(__file__).resolve().parents[1]

PATIENCE = 240.0
"""Seconds after which a program that says nothing has failed."""

LONGEST_LOCK = 10.0
"""Seconds that another program holds the store at most."""

IN_TRANSACTION, IN_MODEL = 0, 1
"""Bytes by which a program tells where it is."""

PRELUDE = """
import itertools, mmap, os, sys, time

def say(*words):
    os.write(1, (" ".join(map(str, words)) + "\\n").encode())

with open(os.environ["KILLING_MARKS"], "r+b") as _file:
    marks = mmap.mmap(_file.fileno(), 8)

import autotrack
from sqlalchemy import event
from sqlalchemy.engine import Engine

def mark(place, value):
    def note(*_, **__):
        marks[place] = value
    return note

event.listen(Engine, "before_cursor_execute", mark(0, 1))
event.listen(Engine, "commit", mark(0, 2))
event.listen(Engine, "rollback", mark(0, 0))
event.listen(Engine, "engine_disposed", mark(0, 0))
"""

CALLS = """
run = autotrack.start_run()
say("run", run.info.run_id)
for step in itertools.count():
    autotrack.log_metric("loss", step / 8, step=step)
    say("loss", step)
    autotrack.log_metrics({"a": step, "b": -step}, step=step)
    say("ab", step)
    if step % 5 == 0:
        autotrack.log_params({f"p{step}": step, f"q{step}": str(step)})
        say("params", step)
        autotrack.set_tag(f"t{step}", step)
        say("tag", step)
"""

FORKED = """
run = autotrack.start_run()
say("run", run.info.run_id)
pid = os.fork()
who = "parent" if pid else "child"
if pid:
    say("pid", pid)
for step in itertools.count():
    autotrack.log_metric(who, step / 8, step=step)
    say(who, step)
"""

INGEST = """
run = autotrack.start_run()
say("run", run.info.run_id)
for step in itertools.count():
    autotrack.log_metric("loss", step / 8, step=step)
    say("loss", step)
"""

LOCKED = INGEST.replace("for step", "assert autotrack.flush(60)\nfor step", 1)

MODELS = """
from sklearn.linear_model import Ridge
from autotrack.tracking import outputs

original = outputs._saved
def saved(*words, **options):
    marks[1] = 1
    try:
        return original(*words, **options)
    finally:
        marks[1] = 0
outputs._saved = saved

autotrack.autolog()
X, y = [[0.0], [1.0], [2.0], [3.0]], [0.0, 1.0, 2.0, 3.0]
for number in itertools.count():
    model = Ridge(alpha=number + 1).fit(X, y)
    say("fit", number + 1)
    time.sleep(0.025)  # the background waits for a lull
    if number % 4 == 0:
        with autotrack.start_run(run_name="by hand") as run:
            info = autotrack.log_model(model, name=f"m{number}", registered_model_name="registered")
            say("model", run.info.run_id, info.model_id)
"""


class Killed:
    """A program that is going to be killed.

    Attributes:
        said: The whole lines that it wrote, each as words.
    """

    def __init__(self, source: str, uri: str, scratch: Path, **environ: str) -> None:
        scratch.mkdir(parents=True, exist_ok=True)
        marks = scratch / "marks"
        marks.write_bytes(bytes(8))
        with marks.open("r+b") as file:
            self.marks = mmap.mmap(file.fileno(), 8)
        changes = {"PYTHONPATH": str(ROOT), "AUTOTRACK_TRACKING_URI": uri, "KILLING_MARKS": str(marks), **environ}
        self._complaints = (scratch / "stderr").open("w+b")
        self.process = subprocess.Popen(
            [sys.executable, "-c", PRELUDE + textwrap.dedent(source)],
            stdout=subprocess.PIPE, stderr=self._complaints, env={**os.environ, **changes}, cwd=scratch, bufsize=0,
        )  # fmt: skip
        self.said: list[list[str]] = []
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()

    def _listen(self) -> None:
        assert self.process.stdout is not None
        rest = b""
        while piece := self.process.stdout.read(65536):
            *lines, rest = (rest + piece).split(b"\n")
            self.said += [line.decode().split() for line in lines]

    def wait_until(self, condition: Callable[[], bool]) -> None:
        """Wait until something is so; fails where the program ends before."""
        deadline = time.monotonic() + PATIENCE
        while not condition():
            assert self.process.poll() is None, self.complaints()
            assert time.monotonic() < deadline, f"it says nothing more: {self.said[-3:]} {self.complaints()}"
            time.sleep(0.0001)

    def complaints(self) -> str:
        """What it wrote to stderr."""
        self._complaints.seek(0)
        return self._complaints.read().decode(errors="replace")

    def kill(self) -> None:
        """SIGKILL; all that it said until then is known afterwards."""
        self.process.kill()
        self.process.wait()
        self.hear_out()

    def hear_out(self) -> None:
        """Wait until nobody holds the pipe any more, and let go of everything."""
        self._thread.join(PATIENCE)
        assert not self._thread.is_alive()
        assert self.process.stdout is not None
        self.process.stdout.close()

    def close(self) -> None:
        """Make sure that nothing of it is left."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        for words in self.said:
            if words[0] == "pid":
                _kill(int(words[1]))
        self._complaints.close()
        self.marks.close()

    def last(self, word: str) -> int:
        """The last number that it said of something; -1 where it said none."""
        return next((int(words[1]) for words in reversed(self.said) if words[0] == word), -1)


def _kill(pid: int) -> None:
    import signal

    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


@dataclass
class Tally:
    """What came of many kills."""

    kills: int = 0
    calls: int = 0
    """Calls that had returned."""
    in_transaction: int = 0
    at_commit: int = 0
    """In the midst of a commit, or after it and before the next transaction."""
    in_model: int = 0
    unreturned: int = 0
    """Calls that had not returned, but are there."""
    models: int = 0
    """Models that were loaded."""

    def __add__(self, other: Tally) -> Tally:
        """Both together."""
        return Tally(*map(sum, zip(astuple(self), astuple(other), strict=True)))


def kill_one(kind: str, dice: random.Random, uri: str, scratch: Path) -> Tally:
    """Run a program of a kind, kill it at a random moment, and look at what it left.

    Raises:
        AssertionError: Something is lost, doubled or half there.
    """
    tally = Tally(kills=1)
    source, behave, look = KINDS[kind]
    program = Killed(source, uri, scratch, AUTOTRACK_TICK_SECONDS="0.002", AUTOTRACK_CAPTURE_ENVIRONMENT="0")
    try:
        behave(program, dice, tally, uri)
        tally.calls = sum(words[0] not in ("run", "pid") for words in program.said)
        for _ in range(2):  # the second look moves nothing a second time
            look(program, tally, uri)
            forget(uri)
        report = check_store(uri)
        assert report.findings == [], report.findings
    except AssertionError as error:
        raise AssertionError(f"{error}\nstderr: {program.complaints()}") from error
    finally:
        program.close()
        forget(uri)
    return tally


def forget(uri: str) -> None:
    """The next look is that of a new reader."""
    recorders.forget_store(locate(uri))
    Store.forget(locate(uri))


def _strike(program: Killed, dice: random.Random, tally: Tally, place: int | None) -> None:
    """Kill it: after a while, or, with a place, when it is there, or as it comes out of there."""
    longest = 0.05
    if place is not None:
        program.wait_until(lambda: program.marks[place] == 1)
        longest = 0.004
        if dice.random() < 0.5:
            program.wait_until(lambda: program.marks[place] != 1)
            longest = 0.001
    time.sleep(dice.random() ** 3 * longest)
    program.process.kill()
    program.process.wait()
    tally.in_transaction += program.marks[IN_TRANSACTION] == 1
    tally.at_commit += program.marks[IN_TRANSACTION] == 2
    tally.in_model += program.marks[IN_MODEL] == 1
    program.hear_out()


def _after_calls(word: str, most: int, place: int | None) -> Callable[[Killed, random.Random, Tally, str], None]:
    def behave(program: Killed, dice: random.Random, tally: Tally, uri: str) -> None:
        enough = dice.randrange(most)
        program.wait_until(lambda: program.last(word) >= enough)
        _strike(program, dice, tally, place if dice.random() < 0.75 else None)

    return behave


def _forked(program: Killed, dice: random.Random, tally: Tally, uri: str) -> None:
    """The child, or the parent, goes first; the other one records on, and what is said meanwhile is right too."""
    enough = dice.randrange(3_000)
    program.wait_until(lambda: min(program.last("parent"), program.last("child")) >= enough)
    child = program.last("pid")
    first_child = dice.random() < 0.5
    time.sleep(dice.random() * 0.02)
    _kill(child if first_child else program.process.pid)
    other = "parent" if first_child else "child"
    if first_child:
        before = program.last(other)
        program.wait_until(lambda: program.last(other) > before + 100)
        assert _run(uri, program.said[0][1]).info.status == "RUNNING", "its process lives"
        forget(uri)
    time.sleep(dice.random() * 0.02)
    _kill(child)
    program.kill()


def _locked(program: Killed, dice: random.Random, tally: Tally, uri: str) -> None:
    """Another program holds the store for itself, for seconds; this one goes on, and is killed then or later."""
    enough = dice.randrange(1_000)
    program.wait_until(lambda: program.last("loss") >= enough)
    other = sqlite3.connect(Path(uri) / "autotrack.db", isolation_level=None, timeout=60)
    try:
        other.execute("BEGIN EXCLUSIVE")
        before = program.last("loss")
        program.wait_until(lambda: program.last("loss") > before + 2_000)
        time.sleep(dice.random() ** 4 * LONGEST_LOCK)
        if dice.random() < 0.5:
            _strike(program, dice, tally, None)
    finally:
        other.close()
    if program.process.poll() is None:
        _strike(program, dice, tally, None)


def _run(uri: str, run_id: str) -> Run:
    return Client(uri).get_run(run_id)


def _counted(found: list[object], wanted: list[object], said: int, tally: Tally, what: str) -> None:
    """As many as were said, or one more, each as it was logged."""
    assert said <= len(found) <= said + 1, f"{what}: {said} were said, {len(found)} are there"
    assert found == wanted[: len(found)], f"{what}: not as they were logged"
    tally.unreturned += len(found) - said


def _curve(uri: str, run_id: str, key: str, scale: float, program: Killed, word: str, tally: Tally) -> None:
    points = [(point.step, point.value) for point in Client(uri).get_metric_history(run_id, key)]
    said = program.last(word) + 1
    _counted(list(points), [(step, step * scale) for step in range(len(points))], said, tally, key)


def look_at_calls(program: Killed, tally: Tally, uri: str) -> None:
    """All kinds of calls."""
    run_id = program.said[0][1]
    run = _run(uri, run_id)
    assert (run.info.status, run.info.degraded) == ("KILLED", "")
    _curve(uri, run_id, "loss", 1 / 8, program, "loss", tally)
    _curve(uri, run_id, "a", 1.0, program, "ab", tally)
    _curve(uri, run_id, "b", -1.0, program, "ab", tally)
    for word, prefix, found in (("params", "p", run.data.param_values), ("tag", "t", run.data.tags)):
        said = program.last(word)
        numbers = sorted(int(key[1:]) for key in found if key[0] == prefix and key[1:].isdigit())
        assert numbers in (list(range(0, said + 1, 5)), list(range(0, said + 6, 5))), f"{word}: {said}, {numbers}"
        assert all(str(found[f"{prefix}{number}"]) == str(number) for number in numbers)
    assert {key[1:] for key in run.data.params if key[0] == "p"} == {k[1:] for k in run.data.params if k[0] == "q"}


def look_at_forked(program: Killed, tally: Tally, uri: str) -> None:
    """Both processes' curves, in one run."""
    run_id = program.said[0][1]
    for who in ("parent", "child"):
        _curve(uri, run_id, who, 1 / 8, program, who, tally)
    assert _run(uri, run_id).info.status == "KILLED"


def look_at_ingest(program: Killed, tally: Tally, uri: str) -> None:
    """One long curve."""
    run_id = program.said[0][1]
    _curve(uri, run_id, "loss", 1 / 8, program, "loss", tally)
    assert _run(uri, run_id).info.status == "KILLED"


def look_at_models(program: Killed, tally: Tally, uri: str) -> None:
    """Every fit that returned is a run, and every model that any run refers to loads."""
    runs = Client(uri).search_runs(max_results=5_000)
    fits = Counter(run.data.params.get("alpha") for run in runs if run.info.run_name == "Ridge")
    for number in range(1, program.last("fit") + 1):
        assert fits[str(number)] == 1, f"fit {number} is there {fits[str(number)]} times"
    kept = {model.model_id for run in runs for model in run.outputs.model_outputs}
    for words in program.said:
        assert words[0] != "model" or words[2] in kept, "a model is lost whose call had returned"
    for run in runs:
        assert run.info.status in ("FINISHED", "KILLED"), run.info.status
        for model in run.outputs.model_outputs:
            directory = Path(model.uri)
            verify(directory, Model.load(directory))
            load_model(directory)
            tally.models += 1


Behaviour = Callable[[Killed, random.Random, Tally, str], None]
Look = Callable[[Killed, Tally, str], None]

KINDS: dict[str, tuple[str, Behaviour, Look]] = {
    "calls": (CALLS, _after_calls("loss", 2_000, IN_TRANSACTION), look_at_calls),
    "forked": (FORKED, _forked, look_at_forked),
    "ingest": (INGEST, _after_calls("loss", 10_000, IN_TRANSACTION), look_at_ingest),
    "locked": (LOCKED, _locked, look_at_ingest),
    "models": (MODELS, _after_calls("fit", 8, IN_MODEL), look_at_models),
}
"""Program, how it is killed, what has to be there."""
