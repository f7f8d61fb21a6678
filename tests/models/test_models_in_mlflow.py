"""Models go between autotrack and MLflow: saved by one, loaded by the other, predicting the same.

MLflow runs in an interpreter of its own, and reads what autotrack saved without being able to import autotrack.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pinned
import pytest
from lightgbm import LGBMClassifier
from sklearn.linear_model import LogisticRegression

from autotrack.models import Model, load_model, save_model
from autotrack.pyfunc import load_model as load_pyfunc
from autotrack.pyfunc import save_model as save_python_model
from autotrack.serving import payload

pytestmark = pytest.mark.usefixtures("mlflow_python")

READ = """
import json, sys, warnings
sys.modules["autotrack"] = None
import numpy as np, pandas as pd
import mlflow
folder, rows = sys.argv[1], np.asarray(json.loads(sys.argv[2]), "float32")
loaders = {"lightgbm-booster": "lightgbm", "lightgbm-classifier": "lightgbm", "sklearn-skops": "sklearn",
           "sklearn-pickle": "sklearn", "torch-pickle": "pytorch", "torch-program": "pytorch"}
found = {}
for name, data in json.loads(sys.argv[3]).items():
    path = f"{folder}/{name}"
    values = {"pyfunc": mlflow.pyfunc.load_model(path).predict(rows)} if data else {}
    if name in loaders:
        import importlib
        native = importlib.import_module(f"mlflow.{loaders[name]}").load_model(path)
        if loaders[name] == "pytorch":
            import torch
            values["native"] = native(torch.from_numpy(rows)).detach().numpy()
        else:
            values["native"] = (native.predict if hasattr(native, "predict") else native.transform)(rows)
        values["class"] = type(native).__name__
    info = mlflow.models.get_model_info(path)
    values["signature"] = info.signature.to_dict() if info.signature else None
    found[name] = {key: np.asarray(value).tolist() if isinstance(value, np.ndarray) else value
                   for key, value in values.items()}
from mlflow.pyfunc.scoring_server import invocations
found["served"] = {}
for name, requests in json.loads(sys.argv[4]).items():
    model = mlflow.pyfunc.load_model(f"{folder}/{name}")
    schema = model.metadata.get_input_schema()
    answers = [invocations(body, kind, model, schema) for kind, body in requests]
    found["served"][name] = [[answer.status, json.loads(answer.response)] for answer in answers]
assert not [module for module in sys.modules if module.startswith("autotrack.")]
print(json.dumps(found))
"""

WRITE = """
import json, sys
import numpy as np, pandas as pd
import mlflow
sys.path.insert(0, sys.argv[2])
import pinned
folder, rows = sys.argv[1], pinned.FEW
class Shift(mlflow.pyfunc.PythonModel):
    def load_context(self, context):
        self.by = float(open(context.artifacts["by"]).read())
    def predict(self, context, model_input, params=None):
        return np.asarray(model_input) + self.by
def twice(model_input):
    return np.asarray(model_input) * 2
with open(f"{folder}/by.txt", "w") as file:
    file.write("0.5")
none = {"pip_requirements": []}
import lightgbm, torch
mlflow.sklearn.save_model(pinned.sklearn_skops(), f"{folder}/skops", serialization_format="skops",
    skops_trusted_types=["sklearn.tree._tree.Tree", "numpy.dtype"], input_example=rows, **none)
mlflow.sklearn.save_model(pinned.sklearn_skops(), f"{folder}/pickle", serialization_format="cloudpickle", **none)
mlflow.lightgbm.save_model(pinned.lightgbm_booster(), f"{folder}/booster", **none)
types = ["lightgbm.basic.Booster", "lightgbm.sklearn.LGBMClassifier", "collections.OrderedDict",
         "collections.defaultdict", "numpy.dtype", "sklearn.preprocessing._label.LabelEncoder"]
mlflow.lightgbm.save_model(pinned.lightgbm_classifier(), f"{folder}/classifier", skops_trusted_types=types, **none)
mlflow.pytorch.save_model(pinned.torch_module(), f"{folder}/program", input_example=rows, **none)
mlflow.pytorch.save_model(pinned.torch_module(), f"{folder}/module", serialization_format="pickle", **none)
mlflow.pyfunc.save_model(f"{folder}/python", python_model=Shift(), artifacts={"by": f"{folder}/by.txt"}, **none)
mlflow.pyfunc.save_model(f"{folder}/function", python_model=twice, **none)
"""

TRUSTED = ("pickle", "python", "function")


def close(one: Any, other: Any) -> bool:
    left, right = np.asarray(one), np.asarray(other)
    if left.dtype.kind in "OUS":
        return bool((left == right).all())
    return left.shape == right.shape and np.allclose(left, right, rtol=1e-5, atol=1e-6)


FRAME = pd.DataFrame(pinned.FEW.astype("float64"), columns=["a", "b", "c d"])
FITTED_ON_FRAMES = {
    "sklearn-frame": LogisticRegression().fit(FRAME, pinned.TARGET[:5]),
    "lightgbm-frame": LGBMClassifier(n_estimators=2, min_child_samples=1, verbose=-1).fit(FRAME, pinned.TARGET[:5]),
}
ROWS = pinned.FEW.tolist()
SPLIT = {"dataframe_split": {"columns": list(FRAME), "data": ROWS}}
BY_NAME = [SPLIT] + [{form: FRAME.to_dict("records")} for form in ("dataframe_records", "instances", "inputs")]
BY_NAME += [{"inputs": FRAME.to_dict("list")}]
BY_PLACE = [SPLIT, {"instances": ROWS}, {"inputs": ROWS}]
JSON, CSV = "application/json", "text/csv"
REQUESTS = {
    **{
        name: [*((JSON, json.dumps(body)) for body in BY_NAME), (CSV, FRAME.to_csv(index=False))]
        for name in FITTED_ON_FRAMES
    },
    **{name: [(JSON, json.dumps(body)) for body in BY_PLACE] for name in ("sklearn-skops", "torch-program")},
}
"""Requests to a server by model: type and body."""


def served_here(directory: Path, kind: str, body: str) -> Any:
    """What autotrack's server answers."""
    model = load_pyfunc(directory)
    signature = model.metadata.signature
    data, params = payload.read_json(body, signature) if kind == JSON else (payload.read_csv(body, signature), None)
    return json.loads(payload.json_bytes(model.predict(data, params)))["predictions"]


def test_mlflow_loads_what_autotrack_saves(run_mlflow: Any, tmp_path: Path) -> None:
    """By its native loaders, pyfunc and its server, without autotrack: the same class, numbers and signature."""
    expected, has_predict = {}, {}
    for name, (make, options, _) in pinned.MODELS.items():
        model = make()
        if name == "python-model":
            (tmp_path / "by.txt").write_text("0.5")
            pinned.by_value()
            saved = save_python_model(tmp_path / name, model, artifacts={"by": tmp_path / "by.txt"})
            expected[name] = (pinned.FEW + 0.5).tolist()
        else:
            saved = save_model(model, tmp_path / name, **options)
            expected[name] = pinned.outputs(model)
        has_predict[name] = "python_function" in saved.flavors
        signature = saved.signature.to_dict() if saved.signature else None
        expected[name] = {"output": expected[name], "class": type(model).__name__, "signature": signature}
    for name, fitted in FITTED_ON_FRAMES.items():
        save_model(fitted, tmp_path / name, input_example=FRAME)
    arguments = (tmp_path, json.dumps(pinned.FEW.tolist()), json.dumps(has_predict), json.dumps(REQUESTS))
    found = run_mlflow(READ, *arguments, PYTHONPATH="")
    served = found.pop("served")
    assert served.keys() == REQUESTS.keys()
    for name, answers in served.items():
        for request, (status, answer) in zip(REQUESTS[name], answers, strict=True):
            assert status == 200
            assert close(answer["predictions"], served_here(tmp_path / name, *request)), (name, request)
    assert found.keys() == expected.keys()
    for name, values in found.items():
        for key in values.keys() & {"pyfunc", "native"}:
            assert close(values[key], expected[name]["output"]), (name, key)
        if name not in ("torch-program", "python-model"):
            assert values["class"] == expected[name]["class"]
        assert values["signature"] == expected[name]["signature"], name


def test_autotrack_loads_what_mlflow_saves(run_mlflow: Any, tmp_path: Path) -> None:
    """Without trust wherever the file allows it; MLmodel survives being read and written."""
    run_mlflow(WRITE, tmp_path, Path(__file__).parent)
    expected = {
        "booster": pinned.lightgbm_booster().predict(pinned.FEW),
        "classifier": pinned.lightgbm_classifier().predict(pinned.FEW),
        "function": pinned.FEW * 2,
        "module": pinned.outputs(pinned.torch_module()),
        "pickle": pinned.sklearn_skops().predict(pinned.FEW),
        "program": pinned.outputs(pinned.torch_module()),
        "python": pinned.FEW + 0.5,
        "skops": pinned.sklearn_skops().predict(pinned.FEW),
    }
    assert {path.name for path in tmp_path.iterdir() if path.is_dir()} >= expected.keys()
    for name, output in expected.items():
        trusted = name in TRUSTED
        assert close(load_pyfunc(tmp_path / name, trusted=trusted).predict(pinned.FEW), output), name
        native = load_model(tmp_path / name, trusted=trusted)
        if name not in ("function", "python"):
            assert close(pinned.outputs(native), output), name
        model = Model.load(tmp_path / name)
        assert Model.from_yaml(model.to_yaml()).to_dict() == model.to_dict()
