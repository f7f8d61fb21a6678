"""Steps that are all alike are noted in a shorter way: nothing of that may be seen in what is recorded."""

from __future__ import annotations

import gc
import os
import random
import threading
import weakref

import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

import autotrack
from autotrack.integrations.torch import loops, streak

X = torch.linspace(-1, 1, 32 * 4).reshape(32, 4).sin()
Y = (X.sum(1) > 0).long()


class Program:
    """A program that trains in all sorts of ways, and keeps by hand what should be recorded.

    Attributes:
        curves: Steps and values by name.
    """

    def __init__(self, dice):
        self.dice = dice
        self.net = nn.Linear(4, 2)
        self.optimizer = torch.optim.SGD(self.net.parameters(), lr=0.1)
        self.steps = 0
        self.curves = {"lr": [(0, 0.1)]}

    def note(self, key, value):
        """What is to be recorded of the step at hand."""
        self.curves.setdefault(key, []).append((self.steps, value))

    def train(self, name="loss"):
        """A backward: from the place that most are from, or from another one in the same function."""
        if name == "loss":
            loss = cross_entropy(self.net(X), Y)
            loss.backward()
            return loss.item()
        other = cross_entropy(self.net(X), 1 - Y)
        other.backward()
        return other.item()

    def step(self):
        """A step of the optimizer."""
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.steps += 1

    def plain(self):
        """As most steps are, some in a row."""
        for _ in range(self.dice.randrange(1, 9)):
            self.note("loss", self.train())
            self.step()

    def accumulated(self):
        """Two losses from one place."""
        self.note("loss", (self.train() + self.train()) / 2)
        self.step()

    def elsewhere(self):
        """A loss of another name, alone or besides; before or after."""
        order = self.dice.choice([["other"], ["loss", "other"], ["other", "loss"], ["other", "loss", "other"]])
        found = {}
        for name in order:
            found.setdefault(name, []).append(self.train(name))
        for name, values in found.items():
            self.note(name, sum(values) / len(values))
        self.step()

    def another_rate(self):
        """The learning rate changes; now and then to the same."""
        rate = self.dice.choice([0.1, 0.05, 0.02])
        if rate != self.optimizer.param_groups[0]["lr"]:
            self.note("lr", rate)
        self.optimizer.param_groups[0]["lr"] = rate
        self.plain()

    def clipped(self):
        """The gradient's norm is known."""
        self.note("loss", self.train())
        self.note("grad_norm", nn.utils.clip_grad_norm_(self.net.parameters(), 1.0).item())
        self.step()

    def validated(self):
        """A loss without gradients belongs to the step before."""
        if not self.steps:
            return
        with torch.no_grad():
            val_loss = cross_entropy(self.net(X), Y)
        self.curves.setdefault("val_loss", []).append((self.steps - 1, val_loss.item()))
        self.plain()

    def silenced(self):
        """Neither the loss nor a whole step; a step without its loss."""
        with autotrack.disabled():
            self.train()
        if self.dice.random() < 0.5:
            self.step()

    def silenced_step(self):
        """A step that is not seen takes its loss with it."""
        self.train()
        with autotrack.disabled():
            self.step()
        self.steps -= 1

    def bare(self):
        """A step without any loss."""
        self.step()

    def by_closure(self):
        """As LBFGS wants it."""
        found = []
        self.optimizer.step(lambda: found.append(self.train()))
        self.optimizer.zero_grad()
        self.note("loss", found[0])
        self.steps += 1

    def flushed(self):
        """What waits is written: by this thread or another one, between steps or within one."""
        within = self.dice.random() < 0.5
        if within:
            self.note("loss", self.train())
        if self.dice.random() < 0.5:
            autotrack.flush()
        else:
            thread = threading.Thread(target=autotrack.flush)
            thread.start()
            thread.join()
        if within:
            self.step()


KINDS = (
    "plain", "accumulated", "elsewhere", "another_rate", "clipped", "validated", "silenced", "silenced_step", "bare",
    "by_closure", "flushed",
)  # fmt: skip


@pytest.mark.parametrize("seed", range(12))
def test_any_order_of_steps_is_recorded_as_it_was(recorded, monkeypatch, seed):
    """Each loss under its name, at its step, whatever came before it; written at once or together."""
    dice = random.Random(seed)
    wait = dice.choice([-1, 5, 250])
    monkeypatch.setattr(streak, "MAX_WAIT", wait)
    monkeypatch.setattr(loops, "MAX_WAIT", wait)
    program = Program(dice)
    program.plain()
    for _ in range(60):
        getattr(program, dice.choice(KINDS))()
    program.plain()
    autotrack.flush()
    run = recorded.only_run()
    assert run.info.degraded == ""
    keys = {key for key in run.data.metrics if not key.startswith("system/")}
    assert keys == set(program.curves)
    for key, expected in program.curves.items():
        history = recorded.client.get_metric_history(run.info.run_id, key)
        assert [(point.step, point.value) for point in history] == expected, key
    (fit,) = recorded.client.get_fits(run.info.run_id)
    assert fit.status == "RUNNING"
    steps = program.steps
    del program
    autotrack.flush()
    (fit,) = recorded.client.get_fits(run.info.run_id)
    assert (fit.status, fit.details["steps"]) == ("FINISHED", steps)


def trained(net, optimizer, steps):
    """Steps that are all alike, and their losses."""
    losses = []
    for _ in range(steps):
        loss = cross_entropy(net(X), Y)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def curve_of(recorded, run, key="loss"):
    """Steps and values."""
    history = recorded.client.get_metric_history(run.info.run_id, key)
    return [point.step for point in history], [point.value for point in history]


def test_steps_that_are_alike_are_noted_in_the_shorter_way(recorded, monkeypatch):
    """But for the first few, and one now and then that is timed; and no step goes through both ways."""
    from autotrack.integrations.torch.steps import Steps

    long_way, real = [], Steps._step
    monkeypatch.setattr(Steps, "_step", lambda self, *args: long_way.append(1) or real(self, *args))
    net = nn.Linear(4, 2)
    losses = trained(net, torch.optim.SGD(net.parameters(), lr=0.1), 100)
    autotrack.flush()
    assert len(long_way) < 10
    assert curve_of(recorded, recorded.only_run()) == (list(range(100)), losses)


@pytest.mark.parametrize("kind", ["schedule", "accumulation", "clipping", "turns"])
def test_no_streak_begins_where_none_would_live(recorded, monkeypatch, kind):
    """A rate that changes each time, several losses a step, norms of gradients, two optimizers by turns."""
    begun, real = [], loops.Loop.begin_streak
    monkeypatch.setattr(loops.Loop, "begin_streak", lambda self, *args: begun.append(1) or real(self, *args))
    net = nn.Linear(4, 2)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    other = torch.optim.SGD(net.parameters(), lr=0.1) if kind == "turns" else optimizer
    for step in range(30):
        for _ in range(2 if kind == "accumulation" else 1):
            loss = cross_entropy(net(X), Y)
            loss.backward()
        if kind == "clipping":
            nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        if kind == "schedule":
            optimizer.param_groups[0]["lr"] = 0.1 / (step + 1)
        (optimizer if step % 2 else other).step()
    autotrack.flush()
    assert len(curve_of(recorded, recorded.only_run())[0]) == 30
    assert not begun


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize("within", [False, True])
def test_a_child_forked_in_the_midst_records_none_of_the_parents_steps(recorded, within):
    """What is noted and not written yet is the parent's; a loss whose step the child makes is that step's."""
    net = nn.Linear(4, 2)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    before = trained(net, optimizer, 10)
    waiting = []
    if within:
        loss = cross_entropy(net(X), Y)
        loss.backward()
        waiting = [loss.item()]
    child = os.fork()
    if child == 0:
        status = 1
        try:
            if within:
                optimizer.step()
            trained(net, optimizer, 10)
            status = 0 if autotrack.flush() else 2
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    if within:
        optimizer.step()
    after = trained(net, optimizer, 10)
    autotrack.flush()
    assert len(recorded.runs()) == 2
    curves = sorted((curve_of(recorded, run) for run in recorded.runs()), key=lambda found: len(found[0]))
    losses = before + waiting + after
    assert curves[1] == (list(range(len(losses))), losses)
    assert curves[0] == (list(range(len(waiting) + 10)), waiting + after)


def test_threads_that_train_one_module_lose_no_loss(recorded):
    """One optimizer for all: each step ends what another thread was at."""
    net = nn.Linear(4, 2)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.0)
    trained(net, optimizer, 5)
    threads = [threading.Thread(target=trained, args=(net, optimizer, 200)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    autotrack.flush()
    run = recorded.only_run()
    steps, values = curve_of(recorded, run)
    assert len(values) == 605
    assert set(steps) <= set(range(605))


def test_an_optimizer_in_the_place_of_one_that_is_gone_begins_anew(recorded):
    """The second has the first one's id, as often as not."""
    net = nn.Linear(4, 2)
    losses = []
    for rate in (0.1, 0.2, 0.3):
        optimizer = torch.optim.SGD(net.parameters(), lr=rate)
        losses += trained(net, optimizer, 6)
        del optimizer
        gc.collect()
    autotrack.flush()
    run = recorded.only_run()
    assert curve_of(recorded, run) == (list(range(18)), losses)
    assert curve_of(recorded, run, "lr") == ([0, 6, 12], [0.1, 0.2, 0.3])


def test_a_run_that_is_ended_in_the_midst_keeps_its_steps(recorded):
    """And those that follow are another run's."""
    net = nn.Linear(4, 2)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    with autotrack.start_run(run_name="first"):
        first = trained(net, optimizer, 10)
    second = trained(net, optimizer, 10)
    autotrack.flush()
    runs = {run.info.run_name: run for run in recorded.runs()}
    assert curve_of(recorded, runs.pop("first")) == (list(range(10)), first)
    assert curve_of(recorded, *runs.values()) == (list(range(10)), second)


def test_a_file_that_is_saved_goes_to_the_loop_of_its_own_thread(recorded, tmp_path):
    """Though another thread made a step of another loop since the last one that was looked at closely."""
    net, other = nn.Linear(4, 2), nn.Linear(4, 2)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    trained(net, optimizer, 5)
    another = torch.optim.SGD(other.parameters(), lr=0.1)
    thread = threading.Thread(target=trained, args=(other, another, 1))
    thread.start()
    thread.join()
    trained(net, optimizer, 1)
    torch.save(net.state_dict(), tmp_path / "checkpoint.pt")
    del net, other, optimizer, another
    gc.collect()
    autotrack.flush()
    found = {}
    for run in recorded.runs():
        (fit,) = recorded.client.get_fits(run.info.run_id)
        found[fit.details["steps"]] = [one["step"] for one in fit.details.get("checkpoints", [])]
    assert found == {6: [6], 1: []}


def test_the_second_loop_of_a_run_keeps_its_names(recorded):
    """A loss that waits when the streak ends is one of the same curve."""
    losses = []
    with autotrack.start_run():
        for _ in range(2):
            net = nn.Linear(4, 2)
            optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
            losses.append(trained(net, optimizer, 10))
            loss = cross_entropy(net(X), Y)
            loss.backward()
            autotrack.flush()
            nn.utils.clip_grad_norm_(net.parameters(), 1.0)
            optimizer.step()
            losses[-1].append(loss.item())
            del net, optimizer
            gc.collect()
    autotrack.flush()
    run = recorded.only_run()
    keys = {key for key in run.data.metrics if key.startswith("loss")}
    assert len(keys) == 2
    assert sorted(curve_of(recorded, run, key)[1] for key in keys) == sorted(losses)


def test_steps_by_hand_after_those_of_an_optimizer_are_all_seen(recorded):
    """Of the same line: a streak whose optimizer is gone notes nothing any more."""

    def step(net, optimizer):
        loss = cross_entropy(net(X), Y)
        loss.backward()
        if optimizer is not None:
            optimizer.step()
        else:
            with torch.no_grad():
                for weight in net.parameters():
                    weight -= 0.1 * weight.grad
        net.zero_grad()
        return loss.item()

    net = nn.Linear(4, 2)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    losses = [step(net, optimizer) for _ in range(10)]
    del optimizer
    gc.collect()
    losses += [step(net, None) for _ in range(10)]
    autotrack.flush()
    assert curve_of(recorded, recorded.only_run()) == (list(range(20)), losses)


def test_a_thread_that_makes_no_other_step_keeps_nothing_of_a_loop(recorded):
    """What the thread has seen last outlives the loop."""
    net = nn.Linear(4, 2)
    trained(net, torch.optim.SGD(net.parameters(), lr=0.1), 10)
    autotrack.flush()
    (loop,) = (weakref.ref(one) for one in gc.get_objects() if type(one) is loops.Loop and not one.ended)
    streaks = [one for one in gc.get_objects() if type(one) is streak.Streak and one.loop is loop()]
    assert streaks
    del net
    gc.collect()
    autotrack.flush()
    assert [one.loop for one in streaks] == [None] * len(streaks)
