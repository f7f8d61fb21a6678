"""What is seen at every step of a program: `backward` of a loss, then a step of an optimizer.

Between two steps torch has had the processor's caches to itself. What counts here is how many places in memory are
looked into, much more than what is done there: functions are long instead of many, and names are looked up near by.
"""

from __future__ import annotations

import sys
import threading
from functools import partial
from threading import get_ident
from time import perf_counter
from types import CodeType, FrameType
from typing import Any

from autotrack import clock, origin
from autotrack.hooks import guard, taps
from autotrack.hooks.taps import Args, Kwargs
from autotrack.integrations.torch import names
from autotrack.integrations.torch.loops import HEALTH, Loop
from autotrack.integrations.torch.passes import Pass
from autotrack.integrations.torch.registry import Loops, leaf_of
from autotrack.integrations.torch.streak import Streak
from autotrack.tracking import scope

MAX_UNUSED = 10_000
"""Losses that are kept for an optimizer's step."""

_used, _opened, _lent = scope.used, scope.opened, scope.lent
_frame = sys._getframe

_CALLER = taps.CALLER + 1
"""Frames from what looks on at `torch.autograd.backward` to the caller of `Tensor.backward`, which calls that."""


class Seen:
    """What a thread has seen since its last step."""

    __slots__ = (
        "batch", "before", "code", "name", "place", "rate", "scaled", "source", "spent", "streak", "thread", "timed",
        "values",
    )  # fmt: skip

    def __init__(self, thread: int) -> None:
        self.thread = thread
        """The thread's ident; 0 when it has ended, and another thread may have the same."""
        self.values: list[tuple[str, Any]] = []
        self.source: Pass | None = None
        """The pass that the last batch is of."""
        self.batch: Pass | None = None
        """The same, until a step has been made with that batch."""
        self.timed = True
        """Whether the step that comes is one of those that are timed (of no streak, so as if all took that long), and
        how long what belongs to it has taken."""
        self.spent = 0.0
        self.code: CodeType | None = None
        """The code that called `backward` last, the place in it, and what the loss is called there."""
        self.place = 0
        self.name = ""
        self.scaled: tuple[Any, Any] | None = None
        """Weak reference to a loss that `GradScaler` scaled, and the loss before."""
        self.streak: Streak | None = None
        """The steps at hand, where they are all alike."""
        self.before = 0
        """Id of the optimizer that made the last step that was of no streak, and its learning rate, the very object."""
        self.rate: float | None = None

    def leave_streak(self) -> None:
        """What comes is of another kind."""
        streak, self.streak = self.streak, None
        if streak is not None:
            self.values[:0] = streak.end()


class _End:
    """Goes when its thread does."""

    def __init__(self, seen: Seen) -> None:
        self._seen = seen

    def __del__(self) -> None:
        self._seen.thread = 0


class _Here(threading.local):
    def __init__(self) -> None:
        self.seen = Seen(get_ident())
        self._end = _End(self.seen)


class Steps:
    """Looks on at `backward` and at the steps of optimizers."""

    __slots__ = ("_here", "_last", "_tensor", "_trained", "loops", "names")

    def __init__(self, loops: Loops) -> None:
        import torch

        self._tensor: Any = torch.Tensor
        self._trained = loops.trained
        self.loops = loops
        self.names = names.Names()
        self._here = _Here()
        self._last = Seen(0)
        loops.forked = self._reset_after_fork

    def _reset_after_fork(self) -> None:
        # The streak is the parent's, and so is the lock that it settles under. A loss may be that of a step made here.
        now = self.now()
        if now.streak is not None:
            now.streak.let_go()
            now.leave_streak()

    def current(self) -> Loop | None:
        """The loop that made the last step, most likely on this thread."""
        streak = self.now().streak
        return streak.loop if streak is not None and streak.key else self.loops.current()

    def now(self) -> Seen:
        """What this thread has seen."""
        self._last = seen = self._here.seen
        return seen

    def value_of(self, tensor: Any) -> Any:
        """A tensor's number; of an accelerator the tensor itself, apart from its graph; None where it has none."""
        if not tensor.is_cpu or type(tensor) is not self._tensor:
            return None if tensor.is_meta else tensor.detach().clone()
        try:
            return tensor.item()
        except RuntimeError:  # one of many that `torch.func` computes at once
            return None

    def on_backward(self, result: Any, args: Args, kwargs: Kwargs) -> None:  # noqa: C901 - long on purpose
        """`loss.backward()`, or `torch.autograd.backward(loss)`, which that comes down to."""
        if _used and (_opened() is not None or _lent) and scope.silenced():
            return
        now = self._last
        if now.thread != get_ident():
            now = self.now()
        begun = perf_counter() if now.timed else 0.0
        tensor: Any = args[0] if args else None
        if type(tensor) is self._tensor and tensor.is_cpu and len(args) > 1 and args[1] is None and now.scaled is None:
            try:  # as `value_of`, without a call of it
                value = tensor.item()
            except RuntimeError:
                return
        else:
            tensor, value = self._loss_of(args, kwargs, now)
            if value is None:
                return
        streak = now.streak
        try:
            frame = _frame(_CALLER)
            code, place = frame.f_code, frame.f_lasti
            if code is not now.code or place != now.place:
                now.name = self.names.known[id(code), place, "loss"][0] or "loss"
                now.code, now.place = code, place
            elif streak is not None and streak.key and len(streak.noted) % 2 == 0 and type(value) is float:
                streak.noted.append(value)
                return
            name = now.name
        except (KeyError, ValueError):  # not seen yet; of `torch.autograd.backward` there may be no such frame
            name = self.names.at(_outside_torch(taps.caller()), "loss", names.loss_of_backward) or "loss"
        if streak is not None:
            now.leave_streak()
        now.values.append((name, value))
        if not self._trained and not self.loops.has_optimizers():
            self._step_by_hand(tensor, _outside_torch(taps.caller()))
        elif len(now.values) > MAX_UNUSED:  # gradients that no optimizer ever uses
            del now.values[:-1]
        if begun:
            now.spent += perf_counter() - begun

    def _loss_of(self, args: Args, kwargs: Kwargs, now: Seen) -> tuple[Any, Any]:
        """The loss that `torch.autograd.backward` was called with, and its value; that is None where it is not one.

        Of a loss that `GradScaler` scaled it is the value before.
        """
        tensor: Any = args[0] if args else kwargs.get("tensors")
        if type(tensor) in (tuple, list) and len(tensor) == 1:
            tensor = tensor[0]
        if not isinstance(tensor, self._tensor):
            return None, None
        gradient = args[1] if len(args) > 1 else kwargs.get("grad_tensors")
        if gradient is not None and tensor.numel() != 1:  # without one, torch takes nothing but single values
            return None, None
        scaled, now.scaled = now.scaled, None
        if scaled is not None and scaled[0]() is tensor:
            return tensor, scaled[1]
        return tensor, self.value_of(tensor)

    def _step_by_hand(self, tensor: Any, frame: FrameType | None) -> None:
        now = self.now()
        values, now.values = now.values, []
        batch, now.batch = now.batch, None
        leaf = leaf_of(tensor)
        loop = None if leaf is None else self.loops.of_manual(leaf, partial(names.program_frame, frame))
        if loop is not None:
            self.loops.last = loop
            loop.after_manual(values, batch)

    def on_step(self, optimizer: Any, args: Args, kwargs: Kwargs) -> None:
        """torch's own hook: an optimizer has made a step.

        Args:
            optimizer: The optimizer.
            args: What its `step` was given: itself, and maybe a closure.
            kwargs: The same, by keyword.
        """
        try:
            if HEALTH.broken:
                return
            now = self._last
            if now.thread != get_ident():
                now = self.now()
            streak = now.streak
            if (
                streak is not None
                and id(optimizer) == streak.key
                and len(streak.noted) % 2
                and not now.values
                and len(groups := optimizer.param_groups) == 1
                and groups[0].get("lr") is streak.rate
                and ((source := now.batch) is None or source is streak.source)
                and not (_used and (_opened() is not None or _lent) and scope.silenced())
            ):
                now.batch = None
                time = clock.now_ns()
                streak.noted.append(time)
                if not streak.since <= time < streak.due:
                    self._write(now, streak, time // 1_000_000)
            else:
                self._step(now, optimizer, (len(args) > 1 and args[1] is not None) or "closure" in kwargs)
        except Exception as error:  # the shield, here without a call of it
            if guard.failed(HEALTH, "optimizer step", error):
                raise

    def _step(self, now: Seen, optimizer: Any, closure: bool) -> None:  # noqa: C901 - as it is done each time
        """Any step.

        Args:
            now: What this thread has seen.
            optimizer: The optimizer.
            closure: Whether it was given one.
        """
        begun = perf_counter() if now.timed else 0.0
        if now.streak is not None:
            now.leave_streak()
        values, now.values = now.values, []
        source, now.batch = now.batch, None
        before, now.before = now.before, id(optimizer)
        if _used and (_opened() is not None or _lent) and scope.silenced():
            return
        trained = self._trained.get(now.before)
        if trained is None or (trained.loop is not None and trained.loop.ended):
            trained = self.loops.begin(optimizer, names.program_frame(_frame()))
        loop = trained.loop
        if loop is None:
            return
        self.loops.last = loop
        if loop.streak is not None:
            loop.end_streak()  # another thread's, or of another optimizer
        if loop.validation is not None:
            loop.end_validation()
        step = trained.steps
        trained.steps = step + 1
        if step >= loop.done:
            loop.done = step + 1
        if source is not None and source is not loop.source:
            loop.next_epoch(source, step)
        single = len(values) == 1
        if len(values) > 1:
            values = _merged(values, closure)
        time = clock.now()
        for name, value in values:
            if type(value) is float:
                loop.points.append((name + loop.suffix, value, step, time))
            else:
                loop.run.log_tensor(name + loop.suffix, value, step)
        groups, rates = optimizer.param_groups, trained.rates
        if groups[0].get("lr") is not rates[0] if len(groups) == 1 == len(rates) else _differ(groups, rates):
            loop.note_rates(trained, groups, step)
        loop.write_if_due(time)
        taken = loop.taken
        taken.count += 1
        if begun:
            taken.took(now.spent + perf_counter() - begun)
            now.spent = 0.0
        now.timed = taken.is_due()
        rate, now.rate = now.rate, rates[0] if len(rates) == 1 else None
        # Where the rate follows a schedule, or two optimizers step by turns, no streak would live.
        if single and before == now.before and rate is not None and rate is now.rate and not now.timed:
            name, value = values[0]
            if name == now.name and type(value) is float:
                now.streak = loop.begin_streak(trained, before, name)

    def _write(self, now: Seen, streak: Streak, time: int) -> None:
        """What a streak has noted is due; so may be a step that is timed, which is one of no streak."""
        begun = perf_counter()
        streak.settle()  # as the loop does before it writes, but another thread may have begun another streak by now
        loop = streak.loop
        if loop is None:  # another thread has ended it in this moment
            return
        self.loops.last = loop
        loop.write(time)
        streak.wait_from(time)
        loop.taken.besides(perf_counter() - begun)
        now.timed = loop.taken.is_due()
        if now.timed:
            now.leave_streak()


def _merged(values: list[tuple[str, Any]], first: bool) -> list[tuple[str, Any]]:
    """One value for each name: the mean; or the first, where a closure was called: that is at the weights before the
    step.
    """
    found: dict[str, list[Any]] = {}
    for name, value in values:
        found.setdefault(name, []).append(value)
    return [(name, some[0] if first else sum(some[1:], some[0]) / len(some)) for name, some in found.items()]


def _differ(groups: list[dict[str, Any]], rates: list[float | None]) -> bool:
    """Whether a learning rate is another object than the one that was noted."""
    return len(groups) != len(rates) or any(group.get("lr") is not rate for group, rate in zip(groups, rates))  # noqa: B905


def _outside_torch(frame: FrameType | None) -> FrameType | None:
    """The frame that called `backward`, outside torch."""
    while frame is not None:
        name = frame.f_globals.get("__name__")
        if type(name) is not str or not name.startswith("torch."):
            break
        frame = frame.f_back
    if frame is not None and not origin.is_users(frame):
        return names.program_frame(frame) or frame
    return frame
