"""Lightning is not harmed: same weights, checkpoints, output and random streams, with autotrack on or off."""

from __future__ import annotations

import importlib
import pickle
import random
import re
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import autotrack
from autotrack import testing

PACKAGES = ["lightning.pytorch", "pytorch_lightning"]


def program(pl):
    """A module with dropout, a shuffled loader, and a callback that keeps what it sees of the trainer."""

    class Net(pl.LightningModule):
        def __init__(self, width=8):
            super().__init__()
            self.save_hyperparameters()
            self.layers = nn.Sequential(nn.Linear(4, width), nn.Dropout(0.3), nn.ReLU(), nn.Linear(width, 1))

        def forward(self, x):
            return self.layers(x)

        def training_step(self, batch, index):
            loss = nn.functional.mse_loss(self(batch[0]), batch[1])
            self.log("loss", loss, on_step=True, on_epoch=True, prog_bar=True)
            return loss

        def validation_step(self, batch, index):
            self.log("val", nn.functional.mse_loss(self(batch[0]), batch[1]))

        def test_step(self, batch, index):
            """No test of this suite's: Lightning's name for a step of an evaluation."""
            self.log("test", nn.functional.mse_loss(self(batch[0]), batch[1]))

        def configure_optimizers(self):
            return torch.optim.Adam(self.parameters(), lr=0.01)

    class Witness(pl.Callback):
        def __init__(self):
            self.seen = []

        def on_train_epoch_end(self, trainer, module):
            names = [type(one).__name__ for one in trainer.callbacks]
            loggers = [type(one).__name__ for one in trainer.loggers]
            metrics = {key: float(value) for key, value in trainer.callback_metrics.items()}
            logged = {key: float(value) for key, value in trainer.logged_metrics.items()}
            self.seen.append((names, loggers, metrics, logged, sorted(vars(trainer)), sorted(vars(module))))

    return Net, Witness


TIMED = re.compile(r"[\d.]+it/s|[\d:-]+:[\d:-]+|[━╸╺•]+")
"""Words of a progress bar that tell of time. How wide they are decides where its lines are broken."""


def trained(pl, folder):
    """All that a program can see of a training."""
    random.seed(1)
    np.random.seed(1)
    torch.manual_seed(1)
    rows = torch.randn(64, 4)
    data = DataLoader(TensorDataset(rows, rows.sum(1, keepdim=True)), batch_size=8, shuffle=True)
    kind, witness = program(pl)
    module, seen = kind(), witness()
    keep = pl.callbacks.ModelCheckpoint(dirpath=folder, filename="best", monitor="val")
    given = [seen, keep]
    trainer = pl.Trainer(
        max_epochs=3, accelerator="cpu", callbacks=given, log_every_n_steps=3, enable_model_summary=False,
        logger=pl.loggers.CSVLogger(folder, version="0"), default_root_dir=folder,
    )  # fmt: skip
    inside = list(trainer.callbacks)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        trainer.fit(module, data, data)
        results = trainer.validate(module, data), trainer.test(module, data, ckpt_path="best", weights_only=False)
        predicted = torch.cat(trainer.predict(module, DataLoader(rows, batch_size=8)))
    unchanged = trainer.callbacks == inside
    saved = torch.load(keep.best_model_path, weights_only=False)
    return {
        "weights": {key: value.tolist() for key, value in module.state_dict().items()},
        "results": results,
        "predicted": predicted.tolist(),
        "streams": (random.getstate(), pickle.dumps(np.random.get_state()), torch.get_rng_state().tolist()),
        "unchanged": unchanged,
        "seen": seen.seen,
        "checkpoint": (sorted(saved), sorted(map(str, saved["callbacks"])), saved["global_step"]),
        "module": (sorted(vars(module)), [len(one) for one in (module._forward_hooks, module._forward_pre_hooks)]),
        "csv": Path(trainer.logger.log_dir, "metrics.csv").read_text(encoding="utf-8"),
        "warnings": sorted({str(one.message) for one in caught}),
    }


@pytest.mark.parametrize("package", PACKAGES)
def test_a_training_is_the_same_with_and_without_autotrack(package, tmp_path, capsys, monkeypatch):
    """Equal weights, results, checkpoints, logged files, warnings, output, random streams and objects."""
    pl = importlib.import_module(package)
    outcomes = []
    for on in (False, True):
        monkeypatch.chdir(tmp_path)
        with testing.temporary_store():
            if on:
                autotrack.autolog()
            found = trained(pl, str(tmp_path / str(on)))
            found["warnings"] = [one.replace(str(tmp_path / str(on)), "") for one in found["warnings"]]
            autotrack.flush()
            runs = autotrack.search_runs(output_format="list")
        words = capsys.readouterr().out.split("\r")[-1].split()
        outcomes.append((found, [word for word in words if not TIMED.fullmatch(word)]))
        assert len(runs) == on
    (plain, printed), (recorded, printed_again) = outcomes
    for key in plain:
        assert recorded[key] == plain[key], key
    assert printed == printed_again
    assert plain["unchanged"]


@pytest.mark.parametrize("package", PACKAGES)
def test_a_module_pickles_to_the_same_bytes(package, tmp_path, recorded):
    """Nothing is put on modules, trainers and optimizers."""
    pl = importlib.import_module(package)
    module = importlib.import_module(f"{package}.demos.boring_classes").BoringModel()
    before = sorted(vars(module))
    options = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False, "accelerator": "cpu"}
    trainer = pl.Trainer(max_epochs=1, limit_train_batches=2, limit_val_batches=1, **options, default_root_dir=tmp_path)
    trainer.fit(module)
    assert set(vars(module)) - set(before) <= {"_hparams"}
    content = pickle.dumps(module)
    autotrack.disable()
    assert pickle.dumps(module) == content
    assert pickle.loads(content).layer.weight.equal(module.layer.weight)


@pytest.mark.usefixtures("shield_on")
@pytest.mark.parametrize("package", PACKAGES)
def test_a_failure_of_the_recording_is_invisible(package, tmp_path, recorded, monkeypatch):
    """A trainer trains though nothing can be read off it."""
    from autotrack.integrations.lightning import checkpoints, metrics, params

    pl = importlib.import_module(package)
    for module, name in ((metrics, "values_of"), (params, "hparams_of"), (checkpoints, "checkpoints_of")):
        monkeypatch.setattr(module, name, None)
    kind, _ = program(pl)
    rows = torch.randn(16, 4)
    data = DataLoader(TensorDataset(rows, rows.sum(1, keepdim=True)), batch_size=8)
    options = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False, "accelerator": "cpu"}
    trainer = pl.Trainer(max_epochs=2, **options, default_root_dir=tmp_path)
    trainer.fit(kind(), data, data)
    assert trainer.current_epoch == 2
