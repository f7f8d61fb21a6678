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
from autotrack.testing import TemporaryStore

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
