"""PyTorch is not harmed: same weights, random states and files, compiled and scripted code, with autotrack on."""

from __future__ import annotations

import copy
import gc
import io
import pickle
import random
import warnings
import weakref

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.utils.data import DataLoader, TensorDataset

import autotrack
from autotrack.hooks import taps

X = torch.linspace(-1, 1, 256 * 8).reshape(256, 8).sin()
Y = (X.sum(1) > 0).long()


class Net(nn.Module):
    """With dropout, which draws from the global random state."""

    def __init__(self):
        super().__init__()
        self.body = nn.Linear(8, 16)
        self.head = nn.Linear(16, 2)

    def forward(self, x):
        return self.head(functional.dropout(torch.relu(self.body(x)), 0.3, self.training))


def train(optimizer_class, epochs=3, **options):
    """Train as a program would; the network, and all random states."""
    torch.manual_seed(1)
    np.random.seed(2)
    random.seed(3)
    net, criterion = Net(), nn.CrossEntropyLoss()
    optimizer = optimizer_class(net.parameters(), **options)
    schedule = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer)
    loader = DataLoader(TensorDataset(X, Y), batch_size=32, shuffle=True)
    for _ in range(epochs):
        for a, b in loader:
            optimizer.zero_grad()
            loss = criterion(net(a), b)
            loss.backward()
            nn.utils.clip_grad_norm_(net.parameters(), 1.0)
            optimizer.step()
        net.eval()
        with torch.no_grad():
            schedule.step(criterion(net(X), Y))
        net.train()
    states = torch.get_rng_state(), np.random.get_state()[1].tolist(), random.getstate()
    return net, optimizer, states


def saved(what):
    """The file that `torch.save` makes of something."""
    buffer = io.BytesIO()
    torch.save(what, buffer)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("kind", "options"),
    [("SGD", {"lr": 0.1, "momentum": 0.9}), ("Adam", {}), ("AdamW", {"foreach": False}), ("RMSprop", {})],
)
def test_weights_and_random_states_are_those_of_a_plain_run(autotrack_store, kind, options):
    """Bit for bit, with dropout and shuffling."""
    optimizer_class = getattr(torch.optim, kind)
    plain, plain_optimizer, plain_states = train(optimizer_class, **options)
    autotrack.autolog()
    net, optimizer, states = train(optimizer_class, **options)
    assert all(torch.equal(one, other) for one, other in zip(net.parameters(), plain.parameters(), strict=True))
    assert torch.equal(states[0], plain_states[0])
    assert states[1:] == plain_states[1:]
    assert optimizer.param_groups[0].keys() == plain_optimizer.param_groups[0].keys()
    assert vars(net).keys() == vars(plain).keys()
    assert saved(net) == saved(plain)
    assert saved(optimizer.state_dict()) == saved(plain_optimizer.state_dict())
    autotrack.flush()
    assert len(autotrack_store.runs()) == 1


def test_nothing_stays_patched(autotrack_store):
    """After `autolog(disable=True)` torch holds its own functions and hooks, the identical objects."""
    from torch.nn.modules.module import _global_forward_pre_hooks
    from torch.optim.optimizer import _global_optimizer_post_hooks

    def held():
        places = [
            (torch.autograd, "backward"), (torch.optim.Optimizer, "__init__"), (nn.Module, "named_parameters"),
            (nn.Module, "eval"), (torch, "compile"), (torch, "save"), (nn.utils, "clip_grad_norm_"),
            (functional, "cross_entropy"), (DataLoader, "__iter__"),
        ]  # fmt: skip
        return [vars(owner)[name] for owner, name in places]

    before = held()
    autotrack.autolog()
    assert not any(one is other for one, other in zip(held(), before, strict=True))
    train(torch.optim.SGD, epochs=1, lr=0.1)
    autotrack.autolog(disable=True)
    assert all(one is other for one, other in zip(held(), before, strict=True))
    assert not _global_optimizer_post_hooks
    assert not _global_forward_pre_hooks
    assert taps.installed() == []


def test_no_warning_is_added(autotrack_store):
    """A loop that warns of nothing warns of nothing with autotrack on."""
    autotrack.autolog()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        train(torch.optim.SGD, epochs=1, lr=0.1)
        autotrack.flush()
    assert [str(one.message) for one in caught] == []


@pytest.mark.parametrize("fails_in", ["backward", "loss", "step"])
def test_exceptions_are_torchs_own(autotrack_store, fails_in):
    """The same exception, with nothing added to it."""

    def fail():
        net = nn.Linear(8, 2)
        optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
        functional.cross_entropy(net(X), Y).backward()
        optimizer.step()
        if fails_in == "backward":
            net(X).backward()
        elif fails_in == "loss":
            functional.cross_entropy(net(X), Y[:3])
        else:
            optimizer.param_groups[0]["lr"] = "high"
            optimizer.step()

    with pytest.raises(Exception) as plain:
        fail()
    autotrack.autolog()
    with pytest.raises(plain.type) as recorded:
        fail()
    assert str(recorded.value) == str(plain.value)
    assert recorded.value.__context__ is None
    assert recorded.value.__cause__ is None


def test_compiled_code_has_no_break(autotrack_store):
    """`torch.compile(fullgraph=True)` of losses, modules and whole steps; the loop is recorded."""
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    autotrack.autolog()
    net = nn.Linear(8, 2)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)

    @torch.compile(backend="eager", fullgraph=True)
    def loss_of(data, target):
        return functional.cross_entropy(net(data), target)

    whole = torch.compile(net, backend="eager", fullgraph=True)
    for _ in range(3):
        optimizer.zero_grad()
        loss = loss_of(X, Y) + 0 * whole(X).sum()
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        assert loss_of(X, Y) == functional.cross_entropy(net(X), Y)
        assert torch.equal(whole(X), net(X))
    assert torch._dynamo.utils.counters["graph_break"] == {}
    autotrack.flush()
    run = autotrack_store.only_run()
    assert run.data.params["compiled"] == "True"
    assert [point.step for point in autotrack_store.client.get_metric_history(run.info.run_id, "loss")] == [0, 1, 2]


def test_scripted_and_exported_code_is_as_it_was(autotrack_store):
    """`torch.jit.script` compiles a loss by its source, `torch.export` traces a module."""
    autotrack.autolog()

    def loss(data: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        return functional.cross_entropy(data, target) + functional.mse_loss(data, data)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        scripted = torch.jit.script(loss)
        criterion = torch.jit.script(nn.CrossEntropyLoss())
    logits = torch.zeros(4, 2)
    assert scripted(logits, Y[:4]) == loss(logits, Y[:4]) == criterion(logits, Y[:4])
    net = nn.Linear(8, 2)
    exported = torch.export.export(net, (X,))
    assert torch.equal(exported.module()(X), net(X))


def test_functions_pickle_and_copy_as_before(autotrack_store):
    """What is pickled under autotrack names torch alone."""
    before = pickle.dumps(functional.cross_entropy)
    autotrack.autolog()
    assert pickle.dumps(functional.cross_entropy) == before
    assert copy.deepcopy(functional.cross_entropy) is functional.cross_entropy
    assert b"autotrack" not in saved(nn.CrossEntropyLoss())


def test_nothing_keeps_a_network_alive(autotrack_store):
    """Networks, optimizers, losses and loaders go when the program lets go of them."""
    autotrack.autolog()
    net, optimizer, _ = train(torch.optim.Adam, epochs=1)
    watched = [weakref.ref(net), weakref.ref(optimizer), weakref.ref(net.body.weight)]
    del net, optimizer
    gc.collect()
    assert [one() for one in watched] == [None, None, None]


def test_memory_stays_flat_over_many_steps(autotrack_store):
    """Ten thousand steps leave no more objects behind than one thousand do."""
    autotrack.autolog()
    net = nn.Linear(8, 2)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.01)

    def steps(count):
        for _ in range(count):
            optimizer.zero_grad()
            loss = functional.cross_entropy(net(X[:16]), Y[:16])
            loss.backward()
            optimizer.step()
        autotrack.flush()
        gc.collect()
        return len(gc.get_objects())

    first = steps(1_000)
    assert steps(9_000) < first + 1_000
    run = autotrack_store.only_run()
    assert len(autotrack_store.client.get_metric_history(run.info.run_id, "loss")) == 10_000


def test_losses_of_many_at_once_and_without_memory_harm_nothing(autotrack_store):
    """Under `torch.func.vmap`, of meta tensors: nothing is recorded, nothing fails."""
    autotrack.autolog()
    net = nn.Linear(8, 2)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    functional.cross_entropy(net(X), Y).backward()
    optimizer.step()
    with torch.no_grad():
        losses = torch.func.vmap(functional.cross_entropy)(net(X), Y)
        nothing = functional.mse_loss(torch.zeros(3, device="meta"), torch.zeros(3, device="meta"))
    assert losses.shape == (256,)
    assert nothing.is_meta


def test_a_module_that_holds_much_else_is_left_out(autotrack_store, monkeypatch):
    """What a module keeps besides its weights counts towards `max_model_size`; it is not copied beyond that."""
    monkeypatch.setenv("AUTOTRACK_MAX_MODEL_SIZE", "10000")
    autotrack.config.reload()
    autotrack.autolog()
    net = nn.Linear(8, 2)
    net.table = list(range(10_000))
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    functional.cross_entropy(net(X), Y).backward()
    optimizer.step()
    del net, optimizer
    gc.collect()
    autotrack.flush()
    run = autotrack_store.only_run()
    assert "larger than 10000 bytes" in run.info.degraded


def test_what_fails_at_a_step_is_not_the_trainings(shield_on, autotrack_store, monkeypatch):
    """It is recorded for the doctor, weights are as without autotrack, and after five errors nothing is done."""
    from autotrack.hooks import guard
    from autotrack.integrations.torch.registry import Loops

    def trained():
        torch.manual_seed(0)
        net = nn.Linear(8, 2)
        optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
        for _ in range(7):
            optimizer.zero_grad()
            functional.cross_entropy(net(X), Y).backward()
            optimizer.step()
        return net.weight.detach()

    def failing(*_):
        raise ValueError("ours")

    expected = trained()
    autotrack.autolog()
    monkeypatch.setattr(Loops, "begin", failing)
    assert torch.equal(trained(), expected)
    health = guard.health("torch")
    assert {record.where for record in health.recent} == {"optimizer step"}
    assert (health.errors, health.broken) == (guard.MAX_ERRORS, True)


def test_memory_that_the_program_gives_parameters_is_that_of_the_stored_model(autotrack_store, monkeypatch):
    """`p.data = ...` in place of a change of the memory that there was."""
    from autotrack.integrations.torch import loops

    monkeypatch.setattr(loops, "RENEWAL", 0.0)
    monkeypatch.setattr(loops, "MAX_WAIT", -1)
    autotrack.autolog()
    net = nn.Linear(8, 2)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    for _ in range(2):
        net.weight.data = net.weight.data + 1.0
        functional.cross_entropy(net(X), Y).backward()
        optimizer.step()
    weight = net.weight.detach().clone()
    del net, optimizer
    gc.collect()
    autotrack.flush()
    run = autotrack_store.only_run()
    loaded = autotrack.torch.load_model(f"runs:/{run.info.run_id}/model")
    assert torch.equal(loaded.weight, weight)
