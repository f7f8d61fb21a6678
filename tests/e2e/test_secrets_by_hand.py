"""Secrets in what a program names, notes and trains by hand: not one byte of them is in the store's folder."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest

from autotrack import Client

PREAMBLE = """
import json, pathlib
import numpy as np
import autotrack
from autotrack import Client
from secret_makers import by_name, token
X, y = np.arange(20.0).reshape(20, 1), np.arange(20) % 2
client = Client()
"""

MAKERS = '''
"""Tokens of a known shape, and values that only their names tell of; each is written down, for the test to look for."""
import atexit, json, pathlib

told = {}

def token(channel):
    told[channel] = f"ghp_Q{len(told):02d}Q" + "a1B2c3D4e5F6g7H8j9K0a1B2c3D4e5F6"
    return told[channel]

def by_name(channel):
    told[channel] = f"Hunter{len(told):02d}Passphrase"
    return told[channel]

atexit.register(lambda: pathlib.Path("told.json").write_text(json.dumps(told)))
'''

NAMES = """
experiment = autotrack.set_experiment("kept " + token("experiment"))
assert autotrack.set_experiment(experiment.name).experiment_id == experiment.experiment_id
assert autotrack.get_experiment_by_name("kept " + __import__("secret_makers").told["experiment"]) is not None
labels = {"x": token("tag of an experiment"), "api_key": by_name("tag of an experiment by name")}
made = autotrack.create_experiment("made " + token("create_experiment"), tags=labels)
client.set_experiment_tag(made, "later", token("set_experiment_tag"))
client.set_experiment_tag(made, "password", by_name("set_experiment_tag by name"))
client.rename_experiment(made, "anew " + token("rename_experiment"))
with autotrack.start_run(run_name="kept " + token("run_name")) as run:
    autotrack.set_tag("mlflow.runName", token("tag of the name"))
    autotrack.set_tag(token("key of a tag"), 1)
    autotrack.log_param(token("key of a parameter"), 1)
    autotrack.log_metric(token("key of a metric"), 1.0)
    autotrack.log_metrics({token("key of metrics"): 1.0})
    autotrack.log_param("api_key", by_name("parameter"))
    client.log_batch(run.info.run_id, params={"password": by_name("log_batch")}, tags={"a": token("tags of log_batch")})
    source = "https://me:" + token("source") + "@h/x.csv"
    data = autotrack.data.from_numpy(X, source=source, name="d " + token("dataset"))
    autotrack.log_input(data, context="c " + token("context"), tags={"k": token("tags of a dataset")})
    import pandas
    frame = pandas.DataFrame({"c " + token("column"): [1]})
    autotrack.log_input(autotrack.data.from_pandas(frame, name="f"))
    client.update_run(run.info.run_id, name="kept " + token("update_run"))
client.create_run(run_name="kept " + token("create_run"))
client.update_run(run.info.run_id, name="kept " + token("update_run of an ended one"))
try:
    with autotrack.start_run():
        raise RuntimeError("kept " + token("error") + " https://me:" + token("URL in an error") + "@h")
except RuntimeError:
    pass
"""

MODELS = """
from sklearn.linear_model import LogisticRegression

class Wrapper(autotrack.pyfunc.PythonModel):
    def load_context(self, context):
        assert context.model_config["token"] == __import__("secret_makers").told["model_config"] or self.loaded

    def predict(self, context, model_input, params=None):
        return model_input

    loaded = False

git = "https://github.com/a/b"
requirements = [
    "scikit-learn",
    "--extra-index-url https://u:" + token("index") + "@h/simple",
    "pkg @ git+" + git.replace("://", "://" + token("requirement") + "@"),
    "kept @ git+" + git.replace("://", "://${TOKEN}@"),
]
model = LogisticRegression().fit(X, y)
with autotrack.start_run():
    notes = {"api_key": by_name("metadata by name"), "deep": {"note": [token("metadata")]}}
    info = autotrack.sklearn.log_model(model, name="m", metadata=notes, pip_requirements=requirements)
    client.set_logged_model_tags(info.model_id, {"a": token("model's tag"), "password": by_name("model's tag by name")})
    client.log_model_params(info.model_id, {"a": token("model's param"), "password": by_name("model's param by name")})
pathlib.Path("needs.txt").write_text("w @ https://u:" + token("file of requirements") + "@h/w.whl\\n")
with autotrack.start_run():
    autotrack.pyfunc.log_model(
        "py", Wrapper(), model_config={"token": token("model_config"), "secret": by_name("model_config by name")},
        pip_requirements="needs.txt", metadata={"a": token("metadata of pyfunc")}, input_example=X[:2],
    )
    again = autotrack.sklearn.log_model(model, name="m", registered_model_name="plain")
client.create_registered_model("r", {"a": token("registered model's tag")}, "d " + token("registered model"))
client.update_registered_model("r", token("update_registered_model"))
client.set_registered_model_tag("r", "password", by_name("set_registered_model_tag"))
client.set_model_version_tag("plain", "1", "a", token("set_model_version_tag"))
client.update_model_version("plain", "1", token("update_model_version"))
"""

TRAININGS = '''
import lightgbm, optuna, torch
import lightning as L

lightgbm.train({"objective": "binary", "verbose": -1, "api_key": by_name("LightGBM"), "machines": token("machines")},
               lightgbm.Dataset(X, label=y), 2)
lightgbm.LGBMClassifier(n_estimators=2, verbose=-1, api_key=by_name("LGBMClassifier")).fit(X, y)

class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(1, 1)
        self._api_key, self.note = by_name("attribute"), token("attribute by shape")
        self.config = {"password": by_name("attribute's dict")}

    def forward(self, x):
        return self.layer(x)

    def extra_repr(self):
        return token("extra_repr")

class Calls(Net):
    """Its code, which a class of `__main__` takes along, has the token."""

    def __init__(self):
        torch.nn.Module.__init__(self)
        self.layer = torch.nn.Linear(1, 1)

    def forward(self, x):
        assert IN_CODE
        return self.layer(x)

IN_CODE = token("global that code uses")
for net in (Net(), Calls()):
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    for _ in range(3):
        optimizer.zero_grad()
        net(torch.ones(2, 1)).mean().backward()
        optimizer.step()
    autotrack.end_run()

class Module(L.LightningModule):
    def __init__(self, api_key, note, cfg):
        super().__init__()
        self.save_hyperparameters()
        self.layer = torch.nn.Linear(1, 1)

    def training_step(self, batch, index):
        return self.layer(batch[0]).mean()

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)

loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(torch.ones(4, 1)))
trainer = L.Trainer(max_epochs=1, logger=False, enable_checkpointing=False, accelerator="cpu",
                    enable_progress_bar=False, enable_model_summary=False)
trainer.fit(Module(by_name("hparams"), token("hparams by shape"), {"password": by_name("hparams, deep")}), loader)

def objective(trial):
    trial.set_user_attr("a", token("trial's attribute"))
    trial.set_user_attr("password", by_name("trial's attribute by name"))
    trial.suggest_categorical("c", [CHOICE])
    if trial.number:
        raise ValueError("kept " + token("error of a trial"))
    return 1.0

CHOICE = token("choice")
study = optuna.create_study(study_name="kept " + token("study"))
study.optimize(objective, n_trials=2, catch=ValueError)
'''


@pytest.mark.parametrize("program", [NAMES, MODELS, TRAININGS], ids=["names", "models", "trainings"])
def test_no_secret_in_what_a_program_does_by_hand_reaches_the_store(
    run_python: Callable[..., CompletedProcess[str]], tmp_path: Path, program: str
) -> None:
    """Database, its log, journals, every file among the artifacts: no byte of a token or a password, all else is."""
    (tmp_path / "secret_makers.py").write_text(MAKERS)
    (tmp_path / "train.py").write_text(PREAMBLE + program)
    env = {"AUTOTRACK_TRACKING_URI": str(tmp_path / "store"), "PYTHONPATH": str(tmp_path)}
    run_python("-m", "autotrack", "train.py", env=env)
    content = {path: path.read_bytes() for path in (tmp_path / "store").rglob("*") if path.is_file()}
    assert any(path.suffix == ".jsonl" for path in content)
    told: dict[str, str] = json.loads((tmp_path / "told.json").read_text())
    assert len(told) >= 14
    leaked = {
        channel: path.name
        for channel, secret in told.items()
        for path, data in content.items()
        if secret.encode() in data
    }
    assert leaked == {}
    assert any(b"[redacted]" in data for data in content.values())
    CHECKS[program](Client(str(tmp_path / "store")), content)


def names_are_kept(client: Client, content: dict[Path, bytes]) -> None:
    """Experiments and runs are found by the rest of their names."""
    assert {one.name for one in client.search_experiments()} == {"Default", "kept [redacted]", "anew [redacted]"}
    runs = client.search_runs(run_view_type="ALL")
    assert [one.info.run_name for one in runs if one.info.run_name.startswith("kept")] == ["kept [redacted]"] * 2
    (failed,) = (one for one in runs if one.info.status == "FAILED")
    assert "kept [redacted]" in str(failed.info.to_dict() if hasattr(failed.info, "to_dict") else failed.info)


def models_are_kept(client: Client, content: dict[Path, bytes]) -> None:
    """Models load, and a requirement whose token stands in the environment is as it was."""
    requirements = [data.decode() for path, data in content.items() if path.name == "requirements.txt"]
    assert any("kept @ git+https://${TOKEN}@github.com/a/b" in text for text in requirements)
    assert any("--extra-index-url https://[redacted]@h/simple" in text for text in requirements)
    assert sum(path.name == "MLmodel" for path in content) >= 3


def trainings_are_kept(client: Client, content: dict[Path, bytes]) -> None:
    """Each training is there without its model, and says why."""
    runs = client.search_runs()
    reasons = [one.info.degraded for one in runs if "holds a secret" in one.info.degraded]
    assert len(reasons) == 5, [one.info.degraded for one in runs]
    assert not [path for path in content if path.name == "MLmodel"]
    (study,) = (one for one in runs if one.data.tags.get("study_name"))
    assert study.data.tags["study_name"] == "kept [redacted]"
    trials: list[Any] = client.get_trials(study.info.run_id)
    assert [one.error for one in trials if one.state == "FAIL"] != [""]


CHECKS = {NAMES: names_are_kept, MODELS: models_are_kept, TRAININGS: trainings_are_kept}
