"""Every optimizer of PyTorch's in many ways of using it; prints all that a program can see of each, bit for bit.

    python torch_optimizers.py [EVERY]

With a number, every so many-th combination of optimizer and way is run, and each way at least once.
"""

from __future__ import annotations

import copy
import hashlib
import inspect
import io
import pickle
import random
import sys
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional
from torch.optim import lr_scheduler

torch.set_num_threads(1)
X = torch.linspace(-1, 1, 48 * 6).reshape(48, 6).sin()
Y = (X.sum(1) > 0).long()
STEPS = 5

OPTIMIZERS: dict[str, type] = {
    name: cls
    for name, cls in sorted(vars(torch.optim).items())
    if inspect.isclass(cls) and issubclass(cls, torch.optim.Optimizer) and cls is not torch.optim.Optimizer
}
NEEDS_CLOSURE = {"LBFGS"}
OPTIONS = {"LBFGS": {"max_iter": 3}}
"""Or else it evaluates the closure twenty times a step."""

ONE_GROUP = {"LBFGS"}
SPARSE = {"SparseAdam"}
MATRICES = {"Muon"}
"""Takes parameters of two dimensions alone."""

SCHEDULERS: dict[str, Callable[[Any], Any]] = {
    "step": lambda opt: lr_scheduler.StepLR(opt, 2),
    "multistep": lambda opt: lr_scheduler.MultiStepLR(opt, [1, 3]),
    "constant": lambda opt: lr_scheduler.ConstantLR(opt, total_iters=2),
    "linear": lambda opt: lr_scheduler.LinearLR(opt, total_iters=3),
    "exponential": lambda opt: lr_scheduler.ExponentialLR(opt, 0.9),
    "lambda": lambda opt: lr_scheduler.LambdaLR(opt, lambda epoch: 0.95**epoch),
    "multiplicative": lambda opt: lr_scheduler.MultiplicativeLR(opt, lambda epoch: 0.95),
    "cosine": lambda opt: lr_scheduler.CosineAnnealingLR(opt, 4),
    "restarts": lambda opt: lr_scheduler.CosineAnnealingWarmRestarts(opt, 2),
    "polynomial": lambda opt: lr_scheduler.PolynomialLR(opt, 4),
    "cyclic": lambda opt: lr_scheduler.CyclicLR(opt, 0.001, 0.01, step_size_up=2, cycle_momentum=False),
    "one cycle": lambda opt: lr_scheduler.OneCycleLR(opt, 0.01, total_steps=STEPS + 2, cycle_momentum=False),
    "plateau": lambda opt: lr_scheduler.ReduceLROnPlateau(opt, patience=0),
    "sequential": lambda opt: lr_scheduler.SequentialLR(
        opt, [lr_scheduler.ConstantLR(opt), lr_scheduler.ExponentialLR(opt, 0.9)], [3]
    ),
    "chained": lambda opt: lr_scheduler.ChainedScheduler(
        [lr_scheduler.ConstantLR(opt), lr_scheduler.ExponentialLR(opt, 0.9)]
    ),
}


class Net(nn.Module):
    """With dropout, which draws from the global stream."""

    def __init__(self, sparse: bool = False) -> None:
        super().__init__()
        self.table = nn.Embedding(48, 6, sparse=sparse)
        self.body = nn.Linear(6, 8)
        self.head = nn.Linear(8, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Two numbers a row."""
        rows = torch.arange(len(x))
        hidden = torch.relu(self.body(x + self.table(rows)))
        return self.head(functional.dropout(hidden, 0.2, self.training))


def parameters_for(name: str, net: Net) -> list[nn.Parameter]:
    """Those that this optimizer can train."""
    if name in SPARSE:
        return [net.table.weight]
    if name in MATRICES:
        return [one for one in net.parameters() if one.ndim == 2]
    return list(net.parameters())


def plain(name: str, net: Net, **options: Any) -> Any:
    """One optimizer of all parameters."""
    return OPTIMIZERS[name](parameters_for(name, net), **OPTIONS.get(name, {}), **options)


def train(name: str, net: Net, optimizer: Any, schedule: Any = None, scaler: Any = None) -> None:
    """The loop."""
    for _ in range(STEPS):
        if name in NEEDS_CLOSURE:
            optimizer.step(closure_of(net, optimizer))
            loss = functional.cross_entropy(net(X), Y)
        else:
            optimizer.zero_grad()
            with torch.autocast("cpu", torch.bfloat16, enabled=scaler is not None):
                loss = functional.cross_entropy(net(X), Y)
            if scaler is None:
                loss.backward()
                optimizer.step()
            else:
                scaler.scale(loss).backward()
                scaler.unscale_(optimizer)
                nn.utils.clip_grad_norm_(net.parameters(), 1.0)
                scaler.step(optimizer)
                scaler.update()
        if schedule is not None:
            schedule.step(*([loss.detach()] if isinstance(schedule, lr_scheduler.ReduceLROnPlateau) else []))


def closure_of(net: Net, optimizer: Any) -> Callable[[], torch.Tensor]:
    """What computes the loss anew."""

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        loss = functional.cross_entropy(net(X), Y)
        loss.backward()
        return loss

    return closure


# Each way trains a net and gives back what to look at besides the net.


def as_it_is(name: str, net: Net) -> list[Any]:
    """The defaults."""
    optimizer = plain(name, net)
    train(name, net, optimizer)
    return [optimizer]


def with_closures(name: str, net: Net) -> list[Any]:
    """`step(closure)`, and what it gives back."""
    optimizer = plain(name, net)
    losses = [optimizer.step(closure_of(net, optimizer)) for _ in range(STEPS)]
    return [optimizer, [loss.item() for loss in losses], [loss.requires_grad for loss in losses]]


def in_groups(name: str, net: Net) -> list[Any]:
    """Two groups with rates of their own, one of them added later; gradients accumulate over two batches."""
    first, *others = parameters_for(name, net)
    if name in ONE_GROUP or not others:
        return as_it_is(name, net)
    optimizer = OPTIMIZERS[name]([{"params": [first], "lr": 0.003}], lr=0.01)
    optimizer.add_param_group({"params": others, "lr": 0.02})
    for number in range(2 * STEPS):
        half = slice(0, 24) if number % 2 else slice(24, 48)
        (functional.cross_entropy(net(X[half]), Y[half]) / 2).backward()
        if number % 2:
            optimizer.step()
            optimizer.zero_grad(set_to_none=number % 4 == 1)
    return [optimizer]


def by_name(name: str, net: Net) -> list[Any]:
    """Of named parameters."""
    if name in SPARSE | MATRICES:
        return as_it_is(name, net)
    optimizer = OPTIMIZERS[name](net.named_parameters())
    train(name, net, optimizer)
    return [optimizer]


def one_after_another(name: str, net: Net) -> list[Any]:
    """`foreach=False`, where there is that."""
    return _with_option(name, net, foreach=False)


def together(name: str, net: Net) -> list[Any]:
    """`foreach=True`, where there is that."""
    return _with_option(name, net, foreach=True)


def fused(name: str, net: Net) -> list[Any]:
    """`fused=True`, where there is that on a CPU."""
    return _with_option(name, net, fused=True)


def uphill(name: str, net: Net) -> list[Any]:
    """`maximize=True`, where there is that."""
    return _with_option(name, net, maximize=True)


def differentiable(name: str, net: Net) -> list[Any]:
    """`differentiable=True`, where there is that: the step stands in the graph."""
    return _with_option(name, net, differentiable=True)


def _with_option(name: str, net: Net, **options: bool) -> list[Any]:
    if not options.keys() <= inspect.signature(OPTIMIZERS[name]).parameters.keys():
        return ["no such option"]
    try:
        optimizer = plain(name, net, **options)
        train(name, net, optimizer)
    except (RuntimeError, ValueError) as error:
        return [repr(error), error.__cause__, error.__context__]
    return [optimizer]


def scaled(name: str, net: Net) -> list[Any]:
    """bfloat16 and a gradient scaler, with clipping."""
    if name in NEEDS_CLOSURE | SPARSE:
        return as_it_is(name, net)
    optimizer, scaler = plain(name, net), torch.amp.GradScaler("cpu", init_scale=16.0)
    train(name, net, optimizer, scaler=scaler)
    return [optimizer, scaler.state_dict()]


def saved_and_loaded(name: str, net: Net) -> list[Any]:
    """The states of net, optimizer and schedule go through a file half-way."""
    optimizer = plain(name, net)
    schedule = lr_scheduler.StepLR(optimizer, 2)
    train(name, net, optimizer, schedule)
    file = io.BytesIO()
    torch.save({"net": net.state_dict(), "optimizer": optimizer.state_dict(), "schedule": schedule.state_dict()}, file)
    file.seek(0)
    states = torch.load(file, weights_only=True)
    other = Net(name in SPARSE)
    optimizer, schedule = plain(name, other), None
    schedule = lr_scheduler.StepLR(optimizer, 2)
    other.load_state_dict(states["net"])
    optimizer.load_state_dict(states["optimizer"])
    schedule.load_state_dict(states["schedule"])
    train(name, other, optimizer, schedule)
    return [optimizer, other, schedule.state_dict(), len(file.getvalue())]


def copied_and_pickled(name: str, net: Net) -> list[Any]:
    """A deep copy, and one by pickle, of optimizer and net together go on training."""
    optimizer = plain(name, net)
    train(name, net, optimizer)
    seen: list[Any] = [optimizer]
    for twin, other in (copy.deepcopy((net, optimizer)), pickle.loads(pickle.dumps((net, optimizer)))):
        train(name, twin, other)
        seen += [twin, other]
    return seen


def with_hooks(name: str, net: Net) -> list[Any]:
    """The program's own hooks on the optimizer, and a step that it has wrapped itself."""
    optimizer = plain(name, net)
    calls: list[str] = []
    optimizer.register_step_pre_hook(lambda opt, args, kwargs: calls.append(f"before {opt is optimizer}"))
    optimizer.register_step_post_hook(lambda opt, args, kwargs: calls.append(f"after {len(args)}"))
    original = optimizer.step

    def step(*args: Any) -> Any:
        calls.append("step")
        return original(*args)

    optimizer.step = step
    train(name, net, optimizer)
    del optimizer.step
    return [optimizer, calls, optimizer.step.__name__, optimizer.step.__func__ is type(optimizer).step]


def scheduled(kind: str) -> Callable[[str, Net], list[Any]]:
    """A way with a scheduler."""

    def way(name: str, net: Net) -> list[Any]:
        optimizer = plain(name, net)
        schedule = SCHEDULERS[kind](optimizer)
        train(name, net, optimizer, schedule)
        state = {key: repr(value) for key, value in schedule.state_dict().items() if "0x" not in repr(value)}
        return [optimizer, sorted(state.items()), sorted(vars(schedule))]

    way.__name__ = f"scheduled, {kind}"
    return way


WAYS = [
    as_it_is, with_closures, in_groups, by_name, one_after_another, together, fused, uphill, differentiable, scaled,
    saved_and_loaded, copied_and_pickled, with_hooks, *map(scheduled, SCHEDULERS),
]  # fmt: skip


def digest(data: bytes) -> str:
    """A short name for bytes."""
    return hashlib.sha256(data).hexdigest()[:12]


def fingerprint(what: Any) -> str:
    """All that there is to see of something, as text."""
    if isinstance(what, nn.Module):
        state = b"".join(one.detach().numpy().tobytes() for one in what.state_dict().values())
        return (
            f"{digest(state)} {digest(saved(what))} {digest(repr(sorted(vars(what))).encode())} {sys.getrefcount(what)}"
        )
    if isinstance(what, torch.optim.Optimizer):
        state = repr(what.state_dict()).encode()
        kept = [key for key in sorted(vars(what)) if not key.startswith("_optimizer_")]
        shown = digest(repr(what).encode())
        return f"{digest(state)} {digest(saved(what))} {shown} {kept} {sys.getrefcount(what)}"
    return repr(what)


def saved(what: Any) -> bytes:
    """The file that `torch.save` makes; a pickle of tensors has addresses in it."""
    file = io.BytesIO()
    torch.save(what, file)
    return file.getvalue()


def streams() -> str:
    """The three global streams of random numbers."""
    numbers = pickle.dumps((random.getstate(), np.random.get_state()))
    return digest(torch.get_rng_state().numpy().tobytes() + numbers)


def show(name: str, way: Callable[[str, Net], list[Any]]) -> None:
    """Run one way with one optimizer, and print what came of it."""
    torch.manual_seed(1)
    np.random.seed(2)
    random.seed(3)
    net = Net(name in SPARSE)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            seen = way(name, net)
        except (RuntimeError, ValueError, TypeError, AttributeError) as error:  # LBFGS cannot be pickled
            seen = [repr(error), error.__cause__, error.__context__]
    print(f"{name}, {way.__name__.replace('_', ' ')}: {fingerprint(net)} {streams()}")
    for one in seen:
        print(f"    {fingerprint(one)}")
    for warning in caught:
        print(f"    warned: {warning.category.__name__} {warning.message}")


def main() -> None:
    """Show every class as it is documented, then every combination that was asked for."""
    for name, cls in OPTIMIZERS.items():
        documented = digest((cls.__doc__ or "").encode() + (cls.step.__doc__ or "").encode())
        print(name, documented, inspect.signature(cls), inspect.signature(cls.step), cls.step.__qualname__)
    every = int(sys.argv[1]) if len(sys.argv) > 1 else 1
    combinations = [(name, way) for way in WAYS for name in OPTIMIZERS]
    kept = combinations[::every]
    for name, way in kept:
        show(name, way)
    print(len(kept), "combinations", [sorted(vars(torch.optim.Optimizer))])


if __name__ == "__main__":
    main()
