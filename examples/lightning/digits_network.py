"""Which digit is it? A small network under a Lightning trainer, with early stopping and the best checkpoint kept."""

import logging
import tempfile
import warnings

import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
warnings.filterwarnings("ignore", module="lightning")


class Digits(pl.LightningModule):
    def __init__(self, width=64, lr=3e-3):
        super().__init__()
        self.save_hyperparameters()
        self.layers = nn.Sequential(nn.Linear(64, width), nn.ReLU(), nn.Dropout(0.2), nn.Linear(width, 10))

    def forward(self, x):
        return self.layers(x)

    def training_step(self, batch, index):
        loss = nn.functional.cross_entropy(self(batch[0]), batch[1])
        self.log("loss", loss, on_step=True, on_epoch=True)
        return loss

    def evaluate(self, batch, name):
        scores = self(batch[0])
        self.log(f"{name}_loss", nn.functional.cross_entropy(scores, batch[1]))
        self.log(f"{name}_accuracy", (scores.argmax(1) == batch[1]).float().mean())

    def validation_step(self, batch, index):
        self.evaluate(batch, "val")

    def test_step(self, batch, index):
        self.evaluate(batch, "test")

    def configure_optimizers(self):
        optimizer = torch.optim.AdamW(self.parameters(), lr=self.hparams.lr)
        return [optimizer], [torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 20)]


X, y = load_digits(return_X_y=True)
X, y = torch.tensor(X / 16.0, dtype=torch.float32), torch.tensor(y)
rest, test = train_test_split(torch.arange(len(X)), test_size=0.2, stratify=y, random_state=0)
train, valid = train_test_split(rest, test_size=0.2, stratify=y[rest], random_state=0)

pl.seed_everything(0, verbose=False)
with tempfile.TemporaryDirectory() as folder:
    trainer = pl.Trainer(
        max_epochs=20,
        accelerator="cpu",
        callbacks=[EarlyStopping("val_loss", patience=3), ModelCheckpoint(folder, monitor="val_loss")],
        log_every_n_steps=10,
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    model = Digits()
    data = TensorDataset(X[train], y[train])
    trainer.fit(
        model, DataLoader(data, batch_size=32, shuffle=True), DataLoader(TensorDataset(X[valid], y[valid]), 256)
    )
    loader = DataLoader(TensorDataset(X[test], y[test]), 256)
    (scores,) = trainer.test(model, loader, ckpt_path="best", weights_only=False, verbose=False)
print(f"{trainer.current_epoch} epochs; of unseen digits {scores['test_accuracy']:.1%} are right")
