"""Models of runs: logged through each namespace, loaded by URI, equal ones stored once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
import pytest
import torch
from sklearn.linear_model import LinearRegression, Ridge

import autotrack
import autotrack.lightgbm
import autotrack.pytorch
from autotrack.errors import InvalidArgumentError
from autotrack.models import Model
from autotrack.testing import TemporaryStore
from autotrack.tracking import outputs

X, Y = np.arange(40.0).reshape(20, 2), np.arange(20.0)


def test_each_namespace_logs_and_loads_its_models(autotrack_store: TemporaryStore) -> None:
    """With MLflow's argument names, by `runs:` URI, natively and as a pyfunc."""
    booster = lightgbm.train({"verbose": -1, "min_data_in_leaf": 2}, lightgbm.Dataset(X, Y), 2)
    net = torch.nn.Linear(2, 1)
    with autotrack.start_run() as run:
        autotrack.sklearn.log_model(sk_model=LinearRegression().fit(X, Y), name="linear", metadata={"a": 1})
        autotrack.lightgbm.log_model(lgb_model=booster, artifact_path="booster", input_example=X[:2])
        autotrack.pytorch.log_model(pytorch_model=net, name="net", registered_model_name="nets")
        autotrack.pyfunc.log_model(python_model=lambda data: np.asarray(data) * 2, name="double")
        with pytest.raises(InvalidArgumentError, match=r"a torch\.nn\.Module"):
            autotrack.pytorch.log_model(booster, name="wrong")
    uri = f"runs:/{run.info.run_id}"
    assert autotrack.models.Model.load(f"{uri}/linear").metadata == {"a": 1}
    assert np.array_equal(autotrack.lightgbm.load_model(f"{uri}/booster").predict(X), booster.predict(X))
    assert torch.equal(autotrack.pytorch.load_model("models:/nets/1").weight, net.weight)
    assert autotrack.pyfunc.load_model(f"{uri}/double", trusted=True).predict([1]) == [2]


def test_equal_models_are_stored_once(autotrack_store: TemporaryStore) -> None:
    """In one run or several; a model that differs in anything but its run is another."""
    found: list[Any] = []
    for alpha in (1.0, 1.0, 2.0):
        with autotrack.start_run():
            found += [autotrack.log_model(Ridge(alpha=alpha).fit(X, Y), name=name) for name in ("a", "b")]
    assert len({model.model_id for model in found}) == 6
    assert len({model.uri for model in found[:4]}) == 1
    assert len({model.uri for model in found}) == 2
    stored = {file.parent for file in Path(found[0].uri).parent.rglob("MLmodel")}
    assert len(stored) == 2
    with autotrack.start_run():
        other = autotrack.log_model(Ridge().fit(X, Y), name="a", metadata={"note": "another"})
    assert other.uri not in {model.uri for model in found}


def test_a_model_that_is_there_already_is_not_read_again(
    autotrack_store: TemporaryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To read its YAML takes longer than all else; one that another process stored is read once."""
    read: list[str] = []
    from_yaml = Model.from_yaml.__func__  # type: ignore[attr-defined]

    def counted(cls: type[Model], text: str) -> Model:
        read.append(text)
        found: Model = from_yaml(cls, text)
        return found

    monkeypatch.setattr(Model, "from_yaml", classmethod(counted))
    autotrack.autolog()
    expected = 0
    for restarted in (False, True):
        if restarted:
            monkeypatch.setattr(outputs, "_known", {})
            expected = 1
        for _ in range(3):
            Ridge().fit(X, Y)
        autotrack.flush()
        assert len(read) == expected
    models = list(autotrack.Client().search_logged_models([autotrack_store.runs()[0].info.experiment_id]))
    assert len(models) == 6
    one, *others = [(model.uri, model.flavors, model.size, model.digest, model.signature) for model in models]
    assert others == [one] * 5


def test_what_is_kept_of_models_has_a_bound(autotrack_store: TemporaryStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """The older half goes where there are too many; what was forgotten is read."""
    monkeypatch.setattr(outputs, "_known", {})
    monkeypatch.setattr(outputs, "MAX_KNOWN", 4)
    autotrack.autolog()
    for alpha in (1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 1.0, 6.0):
        Ridge(alpha=alpha).fit(X, Y)
    autotrack.flush()
    assert 0 < len(outputs._known) <= 4
    models = autotrack.Client().search_logged_models([autotrack_store.runs()[0].info.experiment_id])
    digests = [model.digest for model in models]
    assert len(digests) == 8
    assert len(set(digests)) == 6
