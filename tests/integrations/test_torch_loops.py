"""Plain PyTorch loops: what each kind of loop leaves, without a line of it being about recording."""

from __future__ import annotations

import gc
import hashlib
import importlib
import itertools
import json
import os
import pickle
import threading
import time

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader, TensorDataset

import autotrack
from autotrack import clock
from autotrack.hooks import guard
from autotrack.integrations.torch.models import taken_apart
from autotrack.models import Model
from autotrack.models.uris import local_path
from autotrack.tracking import recorders, scope

X = torch.linspace(-1, 1, 640 * 8).reshape(640, 8).sin()
Y = (X.sum(1) > 0).long()


class Net(nn.Module):
    """A small network of the program's own."""

    def __init__(self):
        super().__init__()
        self.body = nn.Linear(8, 16)
        self.norm = nn.BatchNorm1d(16)
        self.head = nn.Linear(16, 2)

    def forward(self, x):
        return self.head(torch.relu(self.norm(self.body(x))))


def curve(recorded, run, key):
    """Steps and values of a metric."""
    history = recorded.client.get_metric_history(run.info.run_id, key)
    return [point.step for point in history], [point.value for point in history]


def params(run):
    """Parameters of a run as text."""
    return run.data.params


def full_batch(net, optimizer, steps=5, target=None):
    """Train on everything at once; the losses."""
    losses = []
    for _ in range(steps):
        optimizer.zero_grad()
        loss = cross_entropy(net(X), Y if target is None else target)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def ended(recorded):
    """All runs, once loops that the program let go of are recorded whole."""
    gc.collect()
    autotrack.flush()
    return recorded.runs()


def test_a_loop_is_one_run_with_the_losses_of_its_steps(recorded):
    """Loss by step under the variable's name, parameters, the model: exactly what the loop saw."""
    net = nn.Linear(8, 2)
    losses = full_batch(net, torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9))
    weight = net.weight.detach().clone()
    del net
    (run,) = ended(recorded)
    assert run.info.status == "FINISHED"
    assert run.info.run_name == "Linear"
    assert run.info.degraded == ""
    assert curve(recorded, run, "loss") == ([0, 1, 2, 3, 4], losses)
    assert curve(recorded, run, "lr") == ([0], [0.1])
    expected = {"optimizer": "SGD", "momentum": "0.9", "model": "Linear", "parameters": "18", "device": "cpu"}
    assert expected.items() <= params(run).items()
    (model,) = run.outputs.model_outputs
    assert model.name == "model"
    loaded = autotrack.torch.load_model(f"runs:/{run.info.run_id}/model")
    assert torch.equal(loaded.weight, weight)
    (fit,) = recorded.client.get_fits(run.info.run_id)
    assert (fit.status, fit.details["steps"]) == ("FINISHED", 5)


def test_the_model_is_that_of_the_last_step_though_the_program_let_go_of_it(recorded):
    """Weights and running statistics are stored as they were at the end, with the input's shape as signature."""
    torch._dynamo.reset()  # a process that had something compiled gets no hook in front of modules
    net = Net()
    full_batch(net, torch.optim.Adam(net.parameters()), steps=4)
    state = {name: value.clone() for name, value in net.state_dict().items()}
    del net
    (run,) = ended(recorded)
    uri = f"runs:/{run.info.run_id}/model"
    stored = autotrack.torch.load_state_dict(uri)
    assert all(torch.equal(stored[name], value) for name, value in state.items())
    signature = Model.load(local_path(uri)).signature
    assert signature is not None
    assert "[-1, 8]" in str(signature.to_dict()).replace("(-1, 8)", "[-1, 8]")


def test_epochs_accumulation_schedule_clipping_and_validation(recorded):
    """Accumulated losses are averaged; passes are epochs, the first one too; validation is a mean over rows."""
    net, criterion = Net(), nn.CrossEntropyLoss()
    optimizer = torch.optim.AdamW(net.parameters(), lr=0.01)
    schedule = torch.optim.lr_scheduler.StepLR(optimizer, 1, 0.5)
    train = DataLoader(TensorDataset(X[:512], Y[:512]), batch_size=64, shuffle=True)
    valid = DataLoader(TensorDataset(X[512:], Y[512:]), batch_size=100)
    pending, losses, validation = [], [], []
    for _ in range(3):
        for number, (a, b) in enumerate(train):
            train_loss = criterion(net(a), b) / 2
            train_loss.backward()
            pending.append(train_loss.item())
            if number % 2:
                nn.utils.clip_grad_norm_(net.parameters(), 1.0)
                optimizer.step()
                optimizer.zero_grad()
                losses.append(sum(pending) / 2)
                pending = []
        schedule.step()
        net.eval()
        with torch.no_grad():
            val_loss = sum(criterion(net(a), b).item() * len(b) for a, b in valid) / 128
        validation.append(val_loss)
        net.train()
    autotrack.flush()
    (run,) = recorded.runs()
    steps, values = curve(recorded, run, "train_loss")
    assert steps == list(range(12))
    assert values == pytest.approx(losses)
    assert curve(recorded, run, "epoch") == ([0, 4, 8], [1.0, 2.0, 3.0])
    assert curve(recorded, run, "lr") == ([0, 4, 8], [0.01, 0.005, 0.0025])
    assert curve(recorded, run, "grad_norm")[0] == steps
    steps, values = curve(recorded, run, "val_loss")
    assert steps == [3, 7]  # the last pass of validation is over when the next step, or the end, comes
    assert values == pytest.approx(validation[:2])
    assert {"batch_size": "64", "training_rows": "512"}.items() <= params(run).items()
    (used,) = run.inputs.dataset_inputs
    assert (used.dataset.name, json.loads(used.dataset.profile)["shape"]) == ("train", [512, 8])
    del net, optimizer, schedule, train_loss
    (run,) = ended(recorded)
    assert curve(recorded, run, "val_loss")[1] == pytest.approx(validation)
    assert {"samples_per_second", "data_wait_fraction"} <= set(run.data.metrics)


def test_learning_rates_of_any_kind_of_number_are_recorded(recorded):
    """Those of a schedule written with NumPy are numpy's, and a rate that is a tensor is changed in place."""
    net = nn.Linear(8, 2)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.5)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda epoch: np.exp2(-(epoch // 2)))
    for _ in range(6):
        full_batch(net, optimizer, steps=1)
        schedule.step()
    rate = torch.tensor(0.25)
    second = torch.optim.Adam(net.parameters(), lr=rate, foreach=False)
    for _ in range(3):
        full_batch(net, second, steps=1)
        rate.mul_(0.5)
    autotrack.flush()
    (run,) = recorded.runs()
    assert curve(recorded, run, "lr") == ([0, 2, 4, 6, 7, 8], [0.5, 0.25, 0.125, 0.25, 0.125, 0.0625])
    assert guard.health("torch").errors == 0


def test_a_gan_is_one_run_with_both_losses(recorded):
    """Optimizers that are made before the first step belong together; each has its parameters and learning rate."""
    maker, judge = nn.Linear(4, 8), nn.Linear(8, 1)
    opt_g, opt_d = torch.optim.SGD(maker.parameters(), 0.02), torch.optim.RMSprop(judge.parameters(), 0.003)
    criterion = nn.BCEWithLogitsLoss()
    for step in range(6):
        noise = torch.ones(16, 4)
        opt_d.zero_grad()
        errD = criterion(judge(maker(noise).detach()), torch.zeros(16, 1))
        errD.backward()
        opt_d.step()
        if step % 2 == 0:
            opt_g.zero_grad()
            errG = criterion(judge(maker(noise)), torch.ones(16, 1))
            errG.backward()
            opt_g.step()
    del maker, judge, opt_g, opt_d, errD, errG
    (run,) = ended(recorded)
    assert curve(recorded, run, "errD")[0] == list(range(6))
    assert curve(recorded, run, "errG")[0] == list(range(3))
    assert {"opt_g.optimizer": "SGD", "opt_d.optimizer": "RMSprop"}.items() <= params(run).items()
    assert run.data.metrics["opt_d.lr"] == 0.003
    assert sorted(model.name for model in run.outputs.model_outputs) == ["model_1", "model_2"]


def test_each_fold_is_a_run(recorded):
    """Optimizers of other parameters, made after steps, open runs of their own."""
    for fold in range(3):
        net = nn.Linear(8, 2)
        full_batch(net, torch.optim.SGD(net.parameters(), lr=0.1 * (fold + 1)), steps=fold + 2)
    del net
    runs = ended(recorded)
    assert [len(curve(recorded, run, "loss")[0]) for run in runs] == [2, 3, 4]
    assert [run.info.status for run in runs] == ["FINISHED"] * 3
    assert [float(params(run)["lr"]) for run in runs] == pytest.approx([0.1, 0.2, 0.3])


def test_a_second_phase_goes_on_with_the_run(recorded):
    """An optimizer that shares parameters with a loop continues it, though the first optimizer is gone."""
    net = nn.Sequential(nn.Linear(8, 4), nn.Linear(4, 2))
    for some in (net[1].parameters(), net.parameters()):
        full_batch(net, torch.optim.SGD(some, lr=0.1), steps=4)
    del net, some
    (run,) = ended(recorded)
    assert curve(recorded, run, "loss")[0] == list(range(8))


def test_lbfgs_records_the_loss_before_each_step(recorded):
    """Of a closure's many evaluations the first one counts: that is what `step` returns."""
    net = nn.Linear(8, 1)
    optimizer = torch.optim.LBFGS(net.parameters(), lr=0.5, max_iter=5)
    target = X.sum(1, keepdim=True)

    def closure():
        optimizer.zero_grad()
        loss = ((net(X) - target) ** 2).mean()
        loss.backward()
        return loss

    losses = [optimizer.step(closure).item() for _ in range(4)]
    autotrack.flush()
    (run,) = recorded.runs()
    assert curve(recorded, run, "loss") == ([0, 1, 2, 3], losses)


def test_manual_updates_without_an_optimizer(recorded):
    """Where there is no optimizer, a `backward` is a step."""
    w = torch.zeros(8, requires_grad=True)
    losses = []
    for _ in range(5):
        mse = ((X @ w - Y) ** 2).mean()
        mse.backward()
        with torch.no_grad():
            w -= 0.1 * w.grad
        w.grad.zero_()
        losses.append(mse.item())
    del w
    (run,) = ended(recorded)
    assert curve(recorded, run, "mse") == ([0, 1, 2, 3, 4], losses)


def test_amp_records_unscaled_losses(recorded):
    """`scaler.scale(loss).backward()`: the loss itself, under its own name."""
    net = nn.Linear(8, 2)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    scaler = torch.amp.GradScaler("cpu")
    losses = []
    for _ in range(4):
        optimizer.zero_grad()
        with torch.autocast("cpu", dtype=torch.bfloat16):
            loss = cross_entropy(net(X), Y)
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()
        losses.append(loss.item())
    autotrack.flush()
    (run,) = recorded.runs()
    assert curve(recorded, run, "loss") == ([0, 1, 2, 3], losses)
    assert params(run)["grad_scaler"] == "True"


@pytest.mark.parametrize("written", ["autograd", "attribute", "item", "expression", "call"])
def test_losses_are_named_after_what_backward_was_called_on(recorded, written):
    """`torch.autograd.backward(x)`, attributes, items, expressions; a call's result is just "loss"."""
    net = nn.Linear(8, 2)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    value = cross_entropy(net(X), Y)
    net.error, losses = {}, {"main": value}
    if written == "autograd":
        torch.autograd.backward(value)
    elif written == "attribute":
        holder = type("Holder", (), {})()
        holder.total = value
        holder.total.backward()
    elif written == "item":
        losses["main"].backward()
    elif written == "expression":
        (value / 3 + 1).backward()
    else:
        cross_entropy(net(X), Y).backward()
    optimizer.step()
    autotrack.flush()
    (run,) = recorded.runs()
    names = {"autograd": "value", "attribute": "total", "item": "losses.main", "expression": "value", "call": "loss"}
    assert [key for key in run.data.metrics if key != "lr"] == [names[written]]


def test_an_open_run_gets_the_loops_numbered(recorded):
    """Inside `start_run` loops are fits of that run; the second one's curves and model have its number."""
    with autotrack.start_run(run_name="mine"):
        nets = [nn.Linear(8, 2) for _ in range(2)]
        for net in nets:
            full_batch(net, torch.optim.SGD(net.parameters(), lr=0.1), steps=3)
    (run,) = ended(recorded)
    assert run.info.run_name == "mine"
    assert curve(recorded, run, "loss")[0] == curve(recorded, run, "loss_2")[0] == [0, 1, 2]
    assert sorted(model.name for model in run.outputs.model_outputs) == ["model", "model_2"]
    assert [fit.number for fit in recorded.client.get_fits(run.info.run_id)] == [1, 2]


def test_inside_another_training_call_nothing_is_recorded(recorded):
    """An estimator that trains a network in its `fit` is that estimator's run alone."""
    from sklearn.base import BaseEstimator

    class Wrapped(BaseEstimator):
        def fit(self, data, target=None):
            net = nn.Linear(8, 2)
            full_batch(net, torch.optim.SGD(net.parameters(), lr=0.1), steps=3)
            return self

    Wrapped().fit(X.numpy())
    (run,) = ended(recorded)
    assert run.info.run_name == "Wrapped"
    assert "loss" not in run.data.metrics


def test_switched_off_nothing_is_recorded(recorded):
    """`disabled()` and `autolog(disable=True)`; then recording goes on, and hooks are taken off and put on."""
    net = nn.Linear(8, 2)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    with autotrack.disabled():
        full_batch(net, optimizer)
    autotrack.torch.autolog(disable=True)
    full_batch(net, optimizer)
    assert ended(recorded) == []
    autotrack.torch.autolog(disable=False)
    full_batch(net, optimizer, steps=2)
    (run,) = ended(recorded)
    assert curve(recorded, run, "loss")[0] == [0, 1]


def test_files_of_torch_save_are_kept_with_the_fit(recorded, tmp_path):
    """Path, size, hash, step and epoch of checkpoints, the newest content of each path."""
    net = nn.Linear(8, 2)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    path = tmp_path / "last.pt"
    for _ in range(2):
        full_batch(net, optimizer, steps=3)
        torch.save(net.state_dict(), path)
        autotrack.flush()
    (run,) = recorded.runs()
    (fit,) = recorded.client.get_fits(run.info.run_id)
    (file,) = fit.details["checkpoints"]
    assert (file["path"], file["size"], file["step"]) == (str(path), os.path.getsize(path), 6)
    assert file["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()


def test_points_of_a_loop_that_stands_still_are_written_all_the_same(recorded):
    """Nothing waits for the next step, which may never come: the process may be killed meanwhile."""
    net = nn.Linear(8, 2)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    full_batch(net, optimizer, steps=3)
    journal = recorders.current().journal.path
    deadline = time.monotonic() + 60
    while '"steps":[0,1,2]' not in journal.read_text("utf-8") and time.monotonic() < deadline:
        time.sleep(0.05)
    assert '"key":"loss","steps":[0,1,2]' in journal.read_text("utf-8")


def test_tensorboard_scalars_are_mirrored(recorded, tmp_path):
    """`add_scalar`, `add_scalars` and `add_hparams` of a writer go to the loop's run too."""
    tensorboard = pytest.importorskip("torch.utils.tensorboard")
    net = nn.Linear(8, 2)
    full_batch(net, torch.optim.SGD(net.parameters(), lr=0.1), steps=2)
    with tensorboard.SummaryWriter(str(tmp_path)) as writer:
        writer.add_scalar("score/train", torch.tensor(0.5), 10)
        writer.add_scalars("both", {"a": 1.0, "b": 2.0}, 11)
        writer.add_hparams({"width": 7}, {"hparam/accuracy": 0.9})
    autotrack.flush()
    (run,) = recorded.runs()
    assert curve(recorded, run, "score/train") == ([10], [0.5])
    assert curve(recorded, run, "both/b") == ([11], [2.0])
    assert run.data.metrics["hparam/accuracy"] == 0.9
    assert params(run)["width"] == "7"


def test_metrics_of_torchmetrics_are_recorded_where_the_program_computes_them(recorded):
    """`metric.compute()`, under the variable's name, at the step at hand."""
    torchmetrics = pytest.importorskip("torchmetrics")
    net = nn.Linear(8, 2)
    full_batch(net, torch.optim.SGD(net.parameters(), lr=0.1), steps=3)
    accuracy = torchmetrics.classification.BinaryAccuracy()
    accuracy.update(torch.tensor([1, 0, 1, 1]), torch.tensor([1, 0, 0, 1]))
    assert accuracy.compute() == 0.75
    autotrack.flush()
    (run,) = recorded.runs()
    assert curve(recorded, run, "accuracy") == ([2], [0.75])


def test_a_model_beyond_the_bound_is_left_out_and_the_run_says_so(recorded, monkeypatch):
    """`max_model_size` counts for loops as for estimators."""
    monkeypatch.setenv("AUTOTRACK_MAX_MODEL_SIZE", "1000")
    autotrack.config.reload()
    net = nn.Linear(8, 200)
    full_batch(net, torch.optim.SGD(net.parameters(), lr=0.1), steps=2)
    del net
    (run,) = ended(recorded)
    assert run.outputs.model_outputs == []
    assert "larger than 1000 bytes" in run.info.degraded


def test_workers_of_a_loader_record_nothing(recorded):
    """Losses computed in a loader's worker processes, which are forked from the loop, are nobody's."""

    def collate(rows):
        with torch.no_grad():
            cross_entropy(torch.zeros(1, 2), torch.zeros(1, dtype=torch.long))
        return torch.stack([row[0] for row in rows]), torch.stack([row[1] for row in rows])

    net = nn.Linear(8, 2)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    loader = DataLoader(TensorDataset(X[:64], Y[:64]), batch_size=16, num_workers=2, collate_fn=collate)
    for a, b in itertools.chain(loader, loader):
        loss = cross_entropy(net(a), b)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    autotrack.flush()
    (run,) = recorded.runs()
    assert curve(recorded, run, "epoch") == ([0, 4], [1.0, 2.0])
    assert not [key for key in run.data.metrics if key.startswith("val_")]


def test_optimizers_that_come_and_go_are_told_apart(recorded):
    """Where one is gone, the next may have its id: its steps go on with the run all the same, none is lost."""
    net = nn.Linear(8, 2)
    losses = [loss for _ in range(30) for loss in full_batch(net, torch.optim.SGD(net.parameters(), lr=0.1), steps=2)]
    autotrack.flush()
    (run,) = recorded.runs()
    assert curve(recorded, run, "loss") == (list(range(60)), losses)


def test_groups_of_parameters_that_are_added_later_have_their_learning_rate_recorded(recorded):
    """So have those whose rate is set to an equal one, or to none at all: nothing is told twice."""
    net = Net()
    optimizer = torch.optim.SGD(net.body.parameters(), lr=0.5)
    full_batch(net, optimizer, steps=2)
    optimizer.add_param_group({"params": net.head.parameters(), "lr": 0.25})
    full_batch(net, optimizer, steps=2)
    optimizer.param_groups[1]["lr"] = float("0.25")
    full_batch(net, optimizer, steps=1)
    optimizer.param_groups[0]["lr"] = 1
    full_batch(net, optimizer, steps=1)
    autotrack.flush()
    (run,) = recorded.runs()
    assert curve(recorded, run, "lr") == ([0], [0.5])
    assert curve(recorded, run, "lr_group_0") == ([5], [1.0])
    assert curve(recorded, run, "lr_group_1") == ([2], [0.25])


def test_threads_that_train_at_once_keep_their_losses_apart(recorded):
    """Each has a loop of its own; what one has seen since its last step is nothing of the others'."""

    loops = []
    for _ in range(3):
        net = nn.Linear(8, 2)
        optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
        loops.append((net, optimizer, full_batch(net, optimizer, steps=1)))
    barrier = threading.Barrier(3)

    def train(net, optimizer, losses):
        barrier.wait(60)
        losses += full_batch(net, optimizer, steps=40)

    threads = [threading.Thread(target=train, args=one) for one in loops]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    autotrack.flush()
    curves = sorted(curve(recorded, run, "loss") for run in recorded.runs())
    assert curves == sorted((list(range(41)), losses) for _, _, losses in loops)


def test_what_a_thread_leaves_is_not_of_the_next_one_with_its_ident(recorded):
    """A loss without a step, of a thread that has ended; systems give the next thread the same ident."""
    net, other = nn.Linear(8, 2), nn.Linear(8, 2)
    optimizer, another = (torch.optim.SGD(one.parameters(), lr=0.1) for one in (net, other))
    losses, idents = [], []

    def leave():
        idents.append(threading.get_ident())
        (cross_entropy(other(X), Y) * 1000.0).backward()

    def train():
        idents.append(threading.get_ident())
        losses.extend(full_batch(net, optimizer, steps=1))

    for _ in range(20):
        for work in (leave, train):
            thread = threading.Thread(target=work)
            thread.start()
            thread.join()
    assert len(set(idents)) < len(idents), "no ident was given out twice"
    autotrack.flush()
    assert another.param_groups
    (run,) = recorded.runs()
    assert curve(recorded, run, "loss") == (list(range(20)), losses)


def test_the_first_that_a_program_opens_counts_in_the_midst_of_a_loop(recorded):
    """`disabled()`, and a thread that is started inside: until then steps do not even ask."""
    scope.used.clear()
    net = nn.Linear(8, 2)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    losses = full_batch(net, optimizer, steps=2)
    assert not scope.used
    with autotrack.disabled():
        full_batch(net, optimizer, steps=2)
        thread = threading.Thread(target=full_batch, args=(net, optimizer))
        thread.start()
    thread.join()
    losses += full_batch(net, optimizer, steps=2)
    autotrack.flush()
    assert curve(recorded, recorded.only_run(), "loss") == ([0, 1, 2, 3], losses)


def test_points_are_written_though_the_clock_is_set_back(recorded, monkeypatch):
    """A step behind the jump writes what waits, as one after a while does."""
    net = nn.Linear(8, 2)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    full_batch(net, optimizer, steps=3)
    journal, now, now_ns = recorders.current().journal.path, clock.now, clock.now_ns
    monkeypatch.setattr(clock, "now", lambda: now() - 3_600_000)
    monkeypatch.setattr(clock, "now_ns", lambda: now_ns() - 3_600_000_000_000)
    (loss,) = full_batch(net, optimizer, steps=1)
    assert json.dumps(loss) in journal.read_text("utf-8")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_goes_on_in_a_run_of_its_own(recorded):
    """The parent's loop is the parent's: each of the two records its own steps, and no other."""
    net = nn.Linear(8, 2)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    before = full_batch(net, optimizer, steps=3)
    child = os.fork()
    if child == 0:
        status = 1
        try:
            full_batch(net, optimizer, steps=2, target=1 - Y)
            status = 0 if autotrack.flush() else 2
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    after = full_batch(net, optimizer, steps=2)
    autotrack.flush()
    curves = sorted(curve(recorded, run, "loss") for run in recorded.runs())
    assert [steps for steps, _ in curves] == [[0, 1], [0, 1, 2, 3, 4]]
    assert curves[1][1] == before + after


def test_losses_that_a_library_calls_backward_on_have_the_programs_names(recorded, tmp_path, monkeypatch):
    """The call that went into the library says it, each time anew: the library's own line is one for all."""
    folder = tmp_path / "site-packages"
    folder.mkdir()
    (folder / "helping_library.py").write_text("def backward(loss):\n    loss.backward()\n", "utf-8")
    monkeypatch.syspath_prepend(folder)
    accelerator = importlib.import_module("helping_library")
    net = nn.Linear(8, 2)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    seen = {"first": [], "second": []}
    for _ in range(3):
        first = cross_entropy(net(X), Y)
        accelerator.backward(first)
        second = cross_entropy(net(X), 1 - Y) * 2
        accelerator.backward(second)
        optimizer.step()
        seen["first"].append(first.item())
        seen["second"].append(second.item())
    autotrack.flush()
    (run,) = recorded.runs()
    assert {key: curve(recorded, run, key)[1] for key in seen} == seen


AT_THE_TOP = """
import torch
import autotrack
from autotrack.hooks import guard
from autotrack.integrations.torch.models import taken_apart
autotrack.set_tracking_uri("store")
autotrack.autolog()
net = torch.nn.Linear(2, 1)
optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
for _ in range(3):
    first = net(torch.ones(4, 2)).mean()
    torch.autograd.backward(first)
    second = first.detach() * net.weight.sum()
    second.backward()
    optimizer.step()
autotrack.flush()
(run,) = autotrack.Client().search_runs(["0"])
assert guard.health("torch").errors == 0, guard.health("torch").recent[-1].traceback
print(sorted(run.data.metrics))
"""


def test_a_loop_of_a_script_without_functions_has_its_losses_named(run_python, tmp_path):
    """Nothing stands above the line that calls `torch.autograd.backward`."""
    (tmp_path / "train.py").write_text(AT_THE_TOP, "utf-8")
    assert run_python(tmp_path / "train.py").stdout == "['first', 'lr', 'second']\n"


class Tied(nn.Module):
    """Two layers with one weight, a buffer, a tensor by itself, and what is no tensor."""

    def __init__(self, extra):
        super().__init__()
        self.first, self.second = nn.Linear(3, 3), nn.Linear(3, 3, bias=False)
        self.second.weight = self.first.weight
        self.first.bias.requires_grad_(False)
        self.register_buffer("mean", torch.ones(3))
        self.several = [self.mean, torch.arange(2)]
        self.extra = extra


@pytest.mark.parametrize("extra", [{"plain": (1, "a")}, lambda x: x + 1], ids=["pickle", "cloudpickle"])
def test_a_module_that_is_taken_apart_is_the_same_again(extra):
    """What was one tensor is one again, with the values at the time when it is put together."""
    module = Tied(extra)
    parts = taken_apart(module, 1_000_000)
    assert len(parts.tensors) == 4
    with torch.no_grad():
        module.first.weight.fill_(7.0)
    again = parts.joined()
    assert again.second.weight is again.first.weight
    assert again.several[0] is again.mean
    assert isinstance(again.first.weight, nn.Parameter)
    assert not isinstance(again.mean, nn.Parameter)
    assert [one.requires_grad for one in again.parameters()] == [one.requires_grad for one in module.parameters()]
    weights = module.state_dict()
    assert all(torch.equal(weight, weights[name]) for name, weight in again.state_dict().items())
    assert again.several[1].tolist() == [0, 1]
    assert again.extra(1) == 2 if callable(extra) else again.extra == extra
    with torch.no_grad():
        again.first.weight.fill_(8.0)
    assert module.first.weight[0, 0] == 7.0


def test_a_structure_alone_does_not_load():
    """It names the parts, which are elsewhere."""
    parts = taken_apart(nn.Linear(2, 2), 1_000_000)
    with pytest.raises(pickle.UnpicklingError, match="no parts are at hand"):
        pickle.loads(parts.structure)


def test_what_another_thread_evaluates_is_no_validation_here(recorded):
    """And evaluation is over where the module is trained again."""
    net, other = nn.Linear(2, 2), nn.Linear(2, 2)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    x, y = torch.ones(4, 2), torch.zeros(4, dtype=torch.long)
    thread = threading.Thread(target=other.eval)
    thread.start()
    thread.join()
    for evaluates in (False, True, False):
        loss = cross_entropy(net(x), y)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        if evaluates:
            net.eval()
            loss = cross_entropy(net(x), y)
            net.train()
    cross_entropy(net(x), y)
    del net, optimizer, loss
    gc.collect()
    autotrack.flush()
    (run,) = recorded.runs()
    counts = {key: len(curve(recorded, run, key)[1]) for key in run.data.metrics}
    assert {key: count for key, count in counts.items() if key != "lr"} == {"loss": 3, "val_loss": 1}
