"""Which loop a step belongs to: all loops of this process, by optimizer and by parameter."""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable, Iterable
from functools import partial
from types import FrameType
from typing import Any
from weakref import WeakSet, finalize, ref

from autotrack.integrations.options import IntegrationConfig
from autotrack.integrations.torch import describe
from autotrack.integrations.torch.loops import NAME, Loop, Trained, log_description
from autotrack.integrations.torch.models import input_like
from autotrack.tracking import notebook, ranks, training

MAX_KNOWN = 200
"""Modules and optimizers that are remembered until a loop is found for them."""

_all: WeakSet[Loops] = WeakSet()


def _after_fork() -> None:
    for loops in list(_all):
        loops.reset_after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


class Loops:
    """All loops. A loop begins with the first step of an optimizer, and takes those along that were made before it."""

    def __init__(self, configuration: Callable[[], IntegrationConfig]) -> None:
        self._configuration = configuration
        self._lock = threading.RLock()
        self.trained: dict[int, Trained] = {}
        """By id of the optimizer, for as long as that lives; always the same dictionary."""
        self._by_parameter: dict[int, tuple[ref[Any], Loop]] = {}
        self._made: deque[tuple[ref[Any], str]] = deque(maxlen=MAX_KNOWN)
        """Optimizers that have made no step, and the program's names for them."""
        self._modules: dict[int, ref[Any]] = {}
        """Modules that gave out their parameters, by id."""
        self.last: Loop | None = None
        """The loop that made the last step."""
        self._called: tuple[ref[Any], Any] | None = None
        """The module that was called last, of those to be trained, and what it was given, without its contents."""
        self.compiled = False
        self.scaled = False
        self.forked: Callable[[], object] = lambda: None
        """Called in a forked child."""
        _all.add(self)

    def made(self, optimizer: Any, name: str) -> None:
        """An optimizer was made."""
        self._made.append((ref(optimizer), name))

    def offered(self, module: Any) -> None:
        """A module gave out its parameters, or was otherwise named as a whole."""
        known = self._modules.get(id(module))
        if known is None or known() is not module:
            while len(self._modules) >= MAX_KNOWN:
                self._modules.pop(next(iter(self._modules)), None)
            self._modules[id(module)] = ref(module)

    def called(self, module: Any, inputs: Any) -> None:
        """A module that is to be trained was called for the first time."""
        self._called = ref(module), input_like(inputs)

    def awaited(self) -> set[int]:
        """Ids of the parameters of optimizers that have made no step."""
        optimizers = [one for one, _ in self._made]
        return {id(one) for some in optimizers if (made := some()) is not None for one in parameters_of(made)}

    def has_optimizers(self) -> bool:
        """Whether any optimizer is alive, with steps or without."""
        return bool(self.trained) or any(one() is not None for one, _ in list(self._made))

    def of_module(self, module: Any) -> Loop | None:
        """The loop that trains a module."""
        for one in module.parameters():
            loop = self._of_parameter(one)
            if loop is not None:
                return loop
        return None

    def of_manual(self, parameter: Any, frame: Callable[[], FrameType | None]) -> Loop | None:
        """The loop of a parameter that is trained without an optimizer; it may begin now."""
        loop = self._of_parameter(parameter)
        if loop is None:
            with self._lock:
                loop = self._open(frame(), [], [parameter])
        return loop

    def current(self) -> Loop | None:
        """The loop that made the last step, while it lasts."""
        if self.last is not None and self.last.ended:
            self.last = None
        return self.last

    def finish_all(self) -> None:
        """Recording is switched off: every loop is over."""
        with self._lock:
            loops = {id(loop): loop for _, loop in self._by_parameter.values()}
            self._forget()
        for loop in loops.values():
            if not loop.ended:
                loop.finish()

    def _forget(self) -> None:
        self.trained.clear()
        self._by_parameter, self.last = {}, None
        self._made.clear()
        self._modules.clear()

    def reset_after_fork(self) -> None:
        """In a forked child: the parent's loops are the parent's."""
        self._lock = threading.RLock()
        self._forget()
        self.forked()

    def _of_parameter(self, parameter: Any) -> Loop | None:
        found = self._by_parameter.get(id(parameter))
        if found is None or found[0]() is not parameter or found[1].ended:
            return None
        return found[1]

    def _ended_loop_of(self, parameters: list[Any]) -> Loop | None:
        """The loop that trained these parameters before, and has ended."""
        known = (self._by_parameter.get(id(one)) for one in parameters)
        return next((found[1] for found in known if found is not None and found[0]() is not None), None)

    def begin(self, optimizer: Any, frame: FrameType | None) -> Trained:
        """The first step of an optimizer: it goes on with a loop that trains some of its parameters, or begins one.

        Args:
            optimizer: The optimizer.
            frame: The program's frame that made the step.
        """
        with self._lock:
            trained = self.trained.get(id(optimizer))  # another thread may have taken it along just now
            return self._begin(optimizer, frame) if trained is None or trained.is_over() else trained

    def _begin(self, optimizer: Any, frame: FrameType | None) -> Trained:
        self._prune()
        siblings = [(made, name) for one, name in self._made if (made := one()) is not None]
        if not any(made is optimizer for made, _ in siblings):
            siblings.append((optimizer, ""))
        self._made.clear()
        several = len(siblings) > 1
        trained = [
            Trained(made, (name or f"optimizer_{index}") if several else "", partial(self._gone, id(made)))
            for index, (made, name) in enumerate(siblings, 1)
        ]
        loops = (self._of_parameter(one) for made, _ in siblings for one in parameters_of(made))
        loop = next((one for one in loops if one is not None), None)
        if loop is None:
            loop = self._open(frame, trained, [one for made, _ in siblings for one in parameters_of(made)])
        else:
            self._join(loop, [one for made, _ in siblings for one in parameters_of(made)])
            log_description(loop, [one for one in trained if one.name or loop.by_hand], [], [], {})
            if loop.by_hand:  # an optimizer that was not known yet: the `backward` before was that of this step
                loop.by_hand, loop.done = False, loop.done - 1
        for one, (made, _) in zip(trained, siblings, strict=True):
            one.loop = loop
            one.steps = loop.steps if loop is not None else 0
            self.trained[id(made)] = one
        return self.trained[id(optimizer)]

    def _gone(self, key: int, reference: ref[Any]) -> None:
        """An optimizer is gone: its id may be another one's."""
        trained = self.trained.get(key)
        if trained is not None and trained.optimizer is reference:
            del self.trained[key]
            if trained.loop is not None and trained.loop.streak is not None:
                trained.loop.streak.stop()

    def _prune(self) -> None:
        """Forget parameters that are gone."""
        self._by_parameter = {key: one for key, one in self._by_parameter.items() if one[0]() is not None}

    def _join(self, loop: Loop, parameters: list[Any]) -> None:
        loop.watch(parameters)
        self._by_parameter.update({id(one): (ref(one), loop) for one in parameters})

    def _open(self, frame: FrameType | None, trained: list[Trained], parameters: list[Any]) -> Loop | None:
        options = self._configuration()
        modules = self.modules_of(parameters)
        name = type(describe.unwrapped(modules[0])).__name__ if modules else "training loop"
        first = trained[0].optimizer() if trained else None
        call = training.Call(
            integration=NAME,
            kind="fit",
            estimator=name,
            qualified=f"{type(describe.unwrapped(modules[0])).__module__}.{name}" if modules else "torch",
            method="loop" if first is None else type(first).__name__,
            exclusive=options.exclusive,
        )
        session = training.begin(call, frame, {"autotrack.integration": NAME, **options.extra_tags})
        device = str(parameters[0].device) if parameters else ""
        if session is None or session.run is None:
            if session is None and _is_distributed():
                _attend(call, frame, device, parameters)
            return None
        ranks.note_device(session.run, device)
        session.open()
        loop = Loop(session, session.run, options)
        notebook.until_end_of_cell(loop)
        before = self._ended_loop_of(parameters)
        if before is not None and before.run is not loop.run:
            session.run.set_tags({notebook.CONTINUES_TAG: before.run.run_id})
        self._join(loop, parameters)
        facts = {"compiled": self.compiled, "grad_scaler": self.scaled}
        log_description(loop, trained, modules, parameters, {key: value for key, value in facts.items() if value})
        if modules:
            loop.store_summary(modules)
        if modules and (session.run.job is None or session.run.job.rank == 0):
            called, self._called = self._called, None
            loop.keep(modules, called[1] if called is not None and called[0]() is modules[0] else None)
        else:
            session.run.skip("model", "no module is known that has the parameters which the loop trains")
        return loop

    def modules_of(self, parameters: Iterable[Any]) -> list[Any]:
        """The modules that have these parameters, without those inside others; the largest first."""
        wanted = {id(one) for one in parameters}
        known = [module for one in list(self._modules.values()) if (module := one()) is not None]
        having = [(module, set(map(id, describe.tensors_of(module)[0]))) for module in known]
        having = [(module, held) for module, held in having if held & wanted]
        having.sort(key=lambda one: -len(one[1]))
        found: list[tuple[Any, set[int]]] = []
        for module, held in having:
            if not any(held <= other for _, other in found):
                found.append((module, held))
        return [module for module, _ in found]


def _attend(call: training.Call, frame: FrameType | None, device: str, parameters: list[Any]) -> None:
    """Take part in the loop that rank 0 records, for as long as what is trained."""
    run = training.attend(call, frame, device)
    if run is not None and parameters:
        # As of a loop: called wherever the program drops its last reference.
        finalize(parameters[0], run.recorder.worker.submit, run.end).atexit = False


def _is_distributed() -> bool:
    """Whether this process trains together with others."""
    import torch.distributed

    return torch.distributed.is_available() and torch.distributed.is_initialized()


def parameters_of(optimizer: Any) -> list[Any]:
    """What an optimizer trains."""
    return [one for group in optimizer.param_groups for one in group["params"]]


def leaf_of(tensor: Any) -> Any:
    """A parameter that a loss depends on; None where none is found soon."""
    waiting, seen = deque([tensor.grad_fn]), 0
    while waiting and seen < MAX_KNOWN:
        node = waiting.popleft()
        seen += 1
        if node is None:
            continue
        variable = getattr(node, "variable", None)
        if variable is not None:
            return variable
        waiting.extend(following for following, _ in node.next_functions)
    return None
