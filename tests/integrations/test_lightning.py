"""Lightning's trainers, of both distributions: one run each, with curves, parameters, checkpoints and the model."""

from __future__ import annotations

import csv
import gc
import hashlib
import importlib
import json
import signal
import weakref
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import autotrack

X = torch.randn(96, 4, generator=torch.Generator().manual_seed(0))
Y = X.sum(1, keepdim=True)


@pytest.fixture(params=["lightning", "pytorch_lightning"])
def pl(request, recorded):
    """A distribution of Lightning, with recording on."""
    return importlib.import_module({"lightning": "lightning.pytorch"}.get(request.param, request.param))


def loader(size=16):
    """Six batches of sixteen rows."""
    return DataLoader(TensorDataset(X, Y), batch_size=size)


def net(pl, **hparams):
    """A linear model that logs in each of the ways there are."""

    class Net(pl.LightningModule):
        def __init__(self, lr=0.1, sizes=None, **further):
            super().__init__()
            self.save_hyperparameters()
            self.layer = nn.Linear(4, 1)

        def forward(self, x):
            return self.layer(x)

        def loss(self, batch):
            return nn.functional.mse_loss(self(batch[0]), batch[1])

        def training_step(self, batch, index):
            loss = self.loss(batch)
            self.log("loss", loss, on_step=True, on_epoch=True)
            self.log("private", 2 * loss, logger=False)
            return loss

        def validation_step(self, batch, index):
            self.log("val_loss", self.loss(batch))

        def test_step(self, batch, index):
            """No test of this suite's: Lightning's name for a step of an evaluation."""
            self.log("loss", self.loss(batch))

        def predict_step(self, batch, index):
            return self(batch[0])

        def configure_optimizers(self):
            optimizer = torch.optim.SGD(self.parameters(), lr=self.hparams.lr, momentum=0.5)
            return [optimizer], [torch.optim.lr_scheduler.StepLR(optimizer, 1, gamma=0.5)]

    return Net(**hparams)


def trainer(pl, folder, **options):
    """A trainer of three epochs that writes nothing but what it is asked to."""
    quiet = {"enable_progress_bar": False, "enable_model_summary": False, "accelerator": "cpu", "logger": False}
    plain = {"max_epochs": 3, "log_every_n_steps": 2, "enable_checkpointing": False, "default_root_dir": folder}
    return pl.Trainer(**{**quiet, **plain, **options})


def curve(recorded, run, key):
    """Steps and values of a metric."""
    history = recorded.client.get_metric_history(run.info.run_id, key)
    return [point.step for point in history], [point.value for point in history]


def test_a_fit_is_one_run_with_all_there_is_to_know(pl, recorded, tmp_path):
    """Every value that Lightning's own CSV file has is on the curves at the same step, and those not meant for it."""
    logger = pl.loggers.CSVLogger(tmp_path)
    module = net(pl, lr=0.05, sizes={"hidden": [4, 1]})
    trainer(pl, tmp_path, logger=logger, accumulate_grad_batches=2, gradient_clip_val=9.0).fit(
        module, loader(), loader()
    )
    run = recorded.only_run()
    assert (run.info.status, run.info.degraded, run.info.run_name) == ("FINISHED", "", "Net")
    seen = 0
    with Path(logger.log_dir, "metrics.csv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            for key in ("loss_step", "loss_epoch", "val_loss", "epoch"):
                if row[key]:
                    points = dict(zip(*curve(recorded, run, key), strict=True))
                    assert points[int(row["step"])] == pytest.approx(float(row[key]), rel=1e-6)
                    seen += 1
    assert seen >= 12
    assert curve(recorded, run, "val_loss")[0] == [2, 5, 8]
    assert curve(recorded, run, "private")[0] == curve(recorded, run, "loss_step")[0] == [1, 3, 5, 7]
    assert curve(recorded, run, "lr-SGD")[1] == [0.05, 0.025, 0.0125, 0.00625]
    params = run.data.param_values
    wanted = {"lr": 0.05, "sizes.hidden": [4, 1], "model.parameters": 5, "optimizer": "torch.optim.sgd.SGD",
              "optimizer.momentum": 0.5, "scheduler.gamma": 0.5, "scheduler": "torch.optim.lr_scheduler.StepLR",
              "trainer.max_epochs": 3, "trainer.accumulate_grad_batches": 2, "trainer.gradient_clip_val": 9.0,
              "trainer.precision": "32-true", "trainer.strategy": "SingleDeviceStrategy",
              "train_dataloader.batch_size": 16}  # fmt: skip
    assert {key: params[key] for key in wanted} == wanted
    found = {one.context: json.loads(one.dataset.profile)["shape"] for one in run.inputs.dataset_inputs}
    assert found == {"train": [96, 4], "eval": [96, 4]}
    loaded = autotrack.torch.load_model(f"runs:/{run.info.run_id}/model", trusted=True)
    assert torch.equal(loaded(X), module.eval()(X))
    fit = recorded.client.get_fits(run.info.run_id)[0]
    assert (fit.kind, fit.method, fit.status) == ("fit", "fit", "FINISHED")
    assert "test_lightning.py" in fit.caller


def test_what_follows_a_fit_goes_to_its_run(pl, recorded, tmp_path):
    """Tests and validations add no point to a curve of the fit, also by another trainer or of a loaded checkpoint."""
    module, first = net(pl), trainer(pl, tmp_path)
    first.fit(module, loader(), loader())
    before = curve(recorded, recorded.only_run(), "val_loss")
    (result,) = first.test(module, loader(), verbose=False)
    trainer(pl, tmp_path).validate(module, loader(), verbose=False)
    first.test(net(pl), loader(), verbose=False)
    first.predict(module, loader())
    run = recorded.only_run()
    assert curve(recorded, run, "test_loss")[1][0] == pytest.approx(result["loss"])
    assert len(curve(recorded, run, "test_loss")[1]) == 2
    assert run.data.metrics["validate_val_loss"] == pytest.approx(result["loss"])
    assert curve(recorded, run, "val_loss") == before
    kinds = [(fit.kind, fit.method) for fit in recorded.client.get_fits(run.info.run_id)]
    assert kinds == [("fit", "fit"), ("evaluation", "test"), ("evaluation", "validate"), ("evaluation", "test")]


def test_an_evaluation_alone_is_a_run(pl, recorded, tmp_path):
    """Its metrics have the program's names; `predict` alone is none."""
    module = net(pl)
    trainer(pl, tmp_path).predict(module, loader())
    assert not recorded.client.search_runs()
    trainer(pl, tmp_path).test(module, loader(), verbose=False)
    run = recorded.only_run()
    assert (run.info.status, run.info.run_name) == ("FINISHED", "Net")
    assert set(run.data.metrics) == {"loss", "epoch"}
    assert run.data.param_values["model.parameters"] == 5
    assert not run.outputs.model_outputs


def test_checkpoints_are_listed_with_score_size_and_hash(pl, recorded, tmp_path):
    """The best one is named on the run; files that are there are read behind the training."""
    keep = pl.callbacks.ModelCheckpoint(dirpath=tmp_path / "kept", monitor="val_loss", save_top_k=2, save_last=True)
    trainer(pl, tmp_path, callbacks=[keep], enable_checkpointing=True).fit(net(pl), loader(), loader())
    run = recorded.only_run()
    content = Path(keep.best_model_path).read_bytes()
    assert run.data.tags["best_checkpoint"] == keep.best_model_path
    assert run.data.tags["best_checkpoint.sha256"] == hashlib.sha256(content).hexdigest()
    assert run.data.tags["best_checkpoint.size"] == str(len(content))
    assert run.data.metrics["best_val_loss"] == pytest.approx(float(keep.best_model_score))
    assert run.data.param_values["ModelCheckpoint.monitor"] == "val_loss"
    listed = json.loads(Path(recorded.client.download_artifacts(run.info.run_id, "checkpoints.json")).read_text())
    assert {one["path"] for one in listed} == {*keep.best_k_models, keep.last_model_path}
    assert [one["path"] for one in listed if one["best"]] == [keep.best_model_path]
    assert all(one["sha256"] for one in listed)


def test_early_stopping_is_a_fact(pl, recorded, tmp_path):
    """The tag says whether it stopped; what it watches is a parameter."""
    stop = pl.callbacks.EarlyStopping("val_loss", patience=1, min_delta=100.0)
    trainer(pl, tmp_path, max_epochs=9, callbacks=[stop]).fit(net(pl), loader(), loader())
    trainer(pl, tmp_path, callbacks=[pl.callbacks.EarlyStopping("val_loss", patience=50)]).fit(
        net(pl), loader(), loader()
    )
    whole, stopped = recorded.client.search_runs(order_by=["attributes.start_time DESC"])
    assert (stopped.data.tags["stopped_early"], whole.data.tags["stopped_early"]) == ("true", "false")
    assert stopped.data.metrics["stopped_epoch"] == stop.stopped_epoch == 1
    assert stopped.data.param_values["EarlyStopping.patience"] == 1


def test_a_failed_fit_is_a_failed_run(pl, recorded, tmp_path):
    """The program's own exception comes out, and the run has its traceback, its parameters and the curves so far."""
    error = ValueError("enough")

    class Fail(pl.Callback):
        def on_train_epoch_start(self, trainer, module):
            if trainer.current_epoch == 2:
                raise error

    with pytest.raises(ValueError, match="enough") as raised:
        trainer(pl, tmp_path, callbacks=[Fail()]).fit(net(pl), loader(), loader())
    assert raised.value is error
    run = recorded.only_run()
    assert run.info.status == "FAILED"
    assert "on_train_epoch_start" in run.info.error.traceback
    assert len(curve(recorded, run, "val_loss")[0]) == 2
    assert run.data.param_values["optimizer.lr"] == 0.1
    assert not run.outputs.model_outputs


def test_an_interrupted_fit_is_killed(pl, recorded, tmp_path):
    """Ctrl-C ends the program as Lightning ends it, and the run is no failed one."""

    class Interrupt(pl.Callback):
        def on_train_epoch_end(self, trainer, module):
            raise KeyboardInterrupt

    before = signal.getsignal(signal.SIGINT)
    try:
        with pytest.raises(SystemExit):
            trainer(pl, tmp_path, callbacks=[Interrupt()]).fit(net(pl), loader())
    finally:
        signal.signal(signal.SIGINT, before)
    run = recorded.only_run()
    assert run.info.status == "KILLED"
    assert recorded.client.get_fits(run.info.run_id)[0].status == "KILLED"


def test_a_call_that_lightning_refuses_is_refused_as_before(pl, recorded, tmp_path):
    """Its own errors come out; the runs failed."""
    with pytest.raises(TypeError):
        trainer(pl, tmp_path).fit()
    with pytest.raises(TypeError, match="LightningModule"):
        trainer(pl, tmp_path).fit(nn.Linear(4, 1), loader())
    assert {run.info.status for run in recorded.client.search_runs()} <= {"FAILED"}


def test_a_trial_run_leaves_no_model(pl, recorded, tmp_path):
    """`fast_dev_run` is a run that says so, with its one batch."""
    trainer(pl, tmp_path, fast_dev_run=True).fit(net(pl), loader(), loader())
    run = recorded.only_run()
    assert run.data.tags["fast_dev_run"] == "1"
    assert {"loss_step", "loss_epoch", "val_loss"} <= set(run.data.metrics)
    assert not run.outputs.model_outputs


def test_the_sanity_check_is_on_no_curve(pl, recorded, tmp_path):
    """Validation before training adds no point."""
    trainer(pl, tmp_path, num_sanity_val_steps=-1, max_epochs=1).fit(net(pl), loader(), loader())
    assert curve(recorded, recorded.only_run(), "val_loss")[0] == [5]


def test_manual_optimization_with_two_optimizers(pl, recorded, tmp_path):
    """Steps count batches, not the steps of all optimizers; each has its parameters and its learning rate."""

    class Pair(pl.LightningModule):
        def __init__(self):
            super().__init__()
            self.automatic_optimization = False
            self.one, self.two = nn.Linear(4, 1), nn.Linear(4, 1)

        def training_step(self, batch, index):
            for name, part, optimizer in zip("ab", (self.one, self.two), self.optimizers(), strict=True):
                loss = nn.functional.mse_loss(part(batch[0]), batch[1])
                optimizer.zero_grad()
                self.manual_backward(loss)
                optimizer.step()
                self.log(f"loss_{name}", loss)

        def configure_optimizers(self):
            groups = [{"params": [self.two.weight], "lr": 0.5}, {"params": [self.two.bias]}]
            return torch.optim.SGD(self.one.parameters(), lr=0.1), torch.optim.Adam(groups, lr=0.2)

    trainer(pl, tmp_path, log_every_n_steps=1, max_epochs=1).fit(Pair(), loader())
    run = recorded.only_run()
    assert curve(recorded, run, "loss_a")[0] == [0, 1, 2, 3, 4, 5]
    assert run.data.metrics["lr-SGD"] == 0.1
    assert (run.data.metrics["lr-Adam/pg1"], run.data.metrics["lr-Adam/pg2"]) == (0.5, 0.2)
    params = run.data.param_values
    assert params["optimizer_2"] == "torch.optim.adam.Adam"
    assert (params["optimizer_2.lr"], params["optimizer_2.group_2.lr"]) == (0.5, 0.2)


def test_several_loaders_and_values_of_each_step(pl, recorded, tmp_path):
    """Keys are Lightning's own, one a loader; a value of an evaluation's step has Lightning's own step."""
    parent = type(net(pl))

    class Two(parent):
        def validation_step(self, batch, index, dataloader_idx=0):
            self.log("val", self.loss(batch), on_step=True, on_epoch=True)
            self.log("hidden", self.loss(batch), logger=False)

        def on_validation_epoch_end(self):
            self.log("end", 7.0)

    trainer(pl, tmp_path, max_epochs=1).fit(Two(), loader(), [loader(), loader(48)])
    run = recorded.only_run()
    for key in ("val_epoch/dataloader_idx_0", "val_epoch/dataloader_idx_1", "hidden/dataloader_idx_0", "end"):
        assert curve(recorded, run, key)[0] == [5], key
    assert curve(recorded, run, "val_step/dataloader_idx_0")[0] == list(range(6))
    assert curve(recorded, run, "val_step/dataloader_idx_1")[0] == [0, 1]


def test_training_goes_on_from_a_checkpoint(pl, recorded, tmp_path):
    """A run of its own, whose steps go on where the other's ended."""
    keep = pl.callbacks.ModelCheckpoint(dirpath=tmp_path / "kept", save_last=True)
    trainer(pl, tmp_path, callbacks=[keep], enable_checkpointing=True).fit(net(pl), loader())
    trainer(pl, tmp_path, max_epochs=4).fit(net(pl), loader(), ckpt_path=keep.last_model_path, weights_only=False)
    second = recorded.client.search_runs(order_by=["attributes.start_time DESC"])[0]
    assert curve(recorded, second, "loss_epoch")[0] == [23]
    assert second.data.param_values["resumed_at_step"] == 18
    assert second.data.param_values["ckpt_path"] == keep.last_model_path


def test_what_a_tuner_tries_out_is_not_recorded(pl, recorded, tmp_path):
    """Neither as runs, nor on the curves of a fit that begins with it."""
    tuner = importlib.import_module(f"{pl.__name__}.tuner").Tuner
    tuner(trainer(pl, tmp_path)).lr_find(net(pl), loader(), num_training=5)
    assert not recorded.client.search_runs()
    find = pl.callbacks.LearningRateFinder(num_training_steps=5)
    trainer(pl, tmp_path, max_epochs=1, callbacks=[find]).fit(net(pl), loader())
    run = recorded.only_run()
    assert curve(recorded, run, "loss_epoch")[0] == [5]
    assert curve(recorded, run, "loss_step")[0] == [1, 3, 5]


def test_fits_in_one_run_do_not_mix(pl, recorded, tmp_path):
    """The second fit of an explicit run has curves and a model of its own; a test joins the run, too."""
    with autotrack.start_run():
        for _ in range(2):
            module = net(pl)
            trainer(pl, tmp_path, max_epochs=1).fit(module, loader(), loader())
        trainer(pl, tmp_path).test(module, loader(), verbose=False)
    run = recorded.only_run()
    assert curve(recorded, run, "val_loss")[0] == curve(recorded, run, "val_loss_2")[0] == [5]
    assert len(run.outputs.model_outputs) == 2
    assert "test_loss" in run.data.metrics


def test_options_are_heeded(pl, recorded, tmp_path):
    """`exclusive`, `log_models=False` and `log_datasets=False`, for both distributions by one call; and `disabled`."""
    autotrack.lightning.autolog(exclusive=True, log_models=False, log_datasets=False, extra_tags={"team": "x"})
    with autotrack.start_run():
        trainer(pl, tmp_path, max_epochs=1).fit(net(pl), loader())
    with autotrack.disabled():
        trainer(pl, tmp_path, max_epochs=1).fit(net(pl), loader())
    assert not recorded.only_run().data.metrics
    trainer(pl, tmp_path, max_epochs=1).fit(net(pl), loader())
    run = recorded.client.search_runs(order_by=["attributes.start_time DESC"])[0]
    assert run.data.tags["team"] == "x"
    assert not run.outputs.model_outputs
    assert not run.inputs.dataset_inputs


def test_the_best_model_of_a_run_alone(pl, recorded, tmp_path):
    """With log_models="best" the model with the best value of the watched metric stays."""
    autotrack.lightning.autolog(log_models="best")
    scores = []
    with autotrack.start_run():
        for rate in (1e-4, 0.1, 1e-3):
            module = net(pl, lr=rate)
            keep = pl.callbacks.ModelCheckpoint(dirpath=tmp_path / str(rate), monitor="val_loss")
            options = {"callbacks": [keep], "enable_checkpointing": True}
            trainer(pl, tmp_path, **options).fit(module, loader(), loader())
            scores.append((float(keep.best_model_score), module))
    run = recorded.only_run()
    loaded = autotrack.torch.load_model(f"runs:/{run.info.run_id}/model", trusted=True)
    assert len(run.outputs.model_outputs) == 1
    assert torch.equal(loaded.layer.weight, min(scores, key=lambda one: one[0])[1].layer.weight)


def test_a_compiled_module_is_recorded_as_what_it_was_made_of(pl, recorded, tmp_path):
    """The compiled functions stay on the program's module, and are left out of the stored one."""

    class Quiet(type(net(pl))):
        def training_step(self, batch, index):
            return self.loss(batch)  # torch 2.13 does not compile `self.log`

    module = Quiet()
    trainer(pl, tmp_path, max_epochs=1).fit(torch.compile(module, backend="eager"), loader())
    assert module._compiler_ctx is not None
    run = recorded.only_run()
    assert (run.info.run_name, run.info.degraded) == ("Quiet", "")
    loaded = autotrack.torch.load_model(f"runs:/{run.info.run_id}/model", trusted=True)
    assert torch.equal(loaded.layer.weight, module.layer.weight)


def test_what_a_program_lets_go_of_is_gone(pl, recorded, tmp_path):
    """Neither trainers nor modules are kept alive."""
    module, one = net(pl), trainer(pl, tmp_path, max_epochs=1)
    one.fit(module, loader(), loader())
    autotrack.flush()
    references = [weakref.ref(module), weakref.ref(one)]
    del module, one
    gc.collect()
    assert [reference() for reference in references] == [None, None]


def test_everything_is_taken_back(pl, recorded):
    """Without autotrack the methods are Lightning's own again."""
    kinds = [pl.Trainer, pl.callbacks.LearningRateFinder]
    assert pl.Trainer.fit.__module__ == f"{pl.__name__}.trainer.trainer"
    patched = [vars(kind).get("fit", vars(kind).get("lr_find")) for kind in kinds]
    autotrack.disable()
    plain = [vars(kind).get("fit", vars(kind).get("lr_find")) for kind in kinds]
    assert all(type(one) is type(test_everything_is_taken_back) for one in plain)
    assert not any(one is other for one, other in zip(patched, plain, strict=True))


def test_values_are_read_without_computing_any():
    """What is stale, of another loader, or not yet computed is left out; forked names say of what a value is."""
    from autotrack.integrations.lightning.metrics import values_of

    def metric(name, on_step=True, on_epoch=True, loader=None, reset=False, cache=1, computed=2):
        meta = SimpleNamespace(name=name, on_step=on_step, on_epoch=on_epoch, dataloader_idx=loader)
        return SimpleNamespace(meta=meta, has_reset=reset, _forward_cache=cache, _computed=computed)

    class Results(dict):
        dataloader_idx = None

        def _forked_name(self, metric, on_step):
            return metric.meta.name, f"{metric.meta.name}_{'step' if on_step else 'epoch'}"

    results = Results(enumerate([
        metric("a"), metric("b", on_step=False), metric("c", loader=1), metric("d", reset=True),
        metric("e", computed=None),
    ]))  # fmt: skip
    assert values_of(results, True) == {"a_step": 1, "e_step": 1}
    assert values_of(results, False) == {"a_epoch": 2, "b_epoch": 2}
