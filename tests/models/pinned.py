"""One small model of each flavor, and what it predicts for a few rows: what `data/` holds, and what makes it again.

`python tests/models/pinned.py` writes the models of this version into `tests/models/data/<version>`, where a later
version must go on loading them. Those of earlier versions are never written again.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from autotrack.models.python_model import PythonModel

DATA = Path(__file__).parent / "data"
PREDICTIONS = "predictions.json"

ROWS = np.round(np.random.default_rng(7).normal(size=(40, 3)), 3).astype("float32")
TARGET = (ROWS[:, 0] + ROWS[:, 1] > 0).astype(int)
FEW = ROWS[:5]


def by_value() -> None:
    """Functions and classes of this module go into pickles whole: a reader has not got it."""
    import cloudpickle

    cloudpickle.register_pickle_by_value(sys.modules[__name__])


def nowhere(function: Any) -> Any:
    """A function whose code does not say in which folder it was written."""
    function.__code__ = function.__code__.replace(co_filename="pinned.py")
    return function


class Shift(PythonModel):
    """A custom model: adds what its file says."""

    @nowhere
    def load_context(self, context: Any) -> None:
        """Read the file."""
        self.by = float(Path(context.artifacts["by"]).read_text())

    @nowhere
    def predict(self, context: Any, model_input: Any, params: dict[str, Any] | None = None) -> Any:
        """Shifted rows."""
        return np.asarray(model_input) + self.by


def sklearn_skops() -> Any:
    """A pipeline that ends in trees."""
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    return make_pipeline(StandardScaler(), RandomForestClassifier(3, random_state=0)).fit(ROWS, TARGET)


@nowhere
def twice(x: Any) -> Any:
    """A function of the user's."""
    return x * 2


def sklearn_pickle() -> Any:
    """An estimator that holds a function of the user's."""
    from sklearn.preprocessing import FunctionTransformer

    by_value()
    return FunctionTransformer(twice)


def lightgbm_booster() -> Any:
    """LightGBM's own class."""
    import lightgbm

    options = {"verbose": -1, "min_data_in_leaf": 2, "num_threads": 1, "objective": "binary"}
    return lightgbm.train(options, lightgbm.Dataset(ROWS, TARGET), 3)


def lightgbm_classifier() -> Any:
    """The wrapper for scikit-learn, with texts as classes."""
    import lightgbm

    model = lightgbm.LGBMClassifier(n_estimators=3, min_child_samples=2, verbose=-1, n_jobs=1)
    return model.fit(ROWS, np.where(TARGET > 0, "yes", "no"))


def torch_module() -> Any:
    """Layers of torch's own."""
    import torch

    with torch.random.fork_rng():
        torch.manual_seed(0)
        return torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.ReLU(), torch.nn.Linear(4, 2)).eval()


MODELS: dict[str, tuple[Callable[[], Any], dict[str, Any], bool]] = {
    "lightgbm-booster": (lightgbm_booster, {}, False),
    "lightgbm-classifier": (lightgbm_classifier, {}, False),
    "python-model": (Shift, {}, True),
    "sklearn-pickle": (sklearn_pickle, {"pyfunc_predict_fn": "predict"}, True),
    "sklearn-skops": (sklearn_skops, {"input_example": FEW}, False),
    "torch-pickle": (torch_module, {}, False),
    "torch-program": (torch_module, {"input_example": FEW}, False),
}
"""What makes the model, options for saving it, and whether loading it asks for trust."""

OF_ONE_PYTHON = ("python-model", "sklearn-pickle")
"""Those that hold code, which no other version of Python can run."""


def outputs(model: Any) -> Any:
    """What a loaded model (its own object) gives for the few rows, as plain lists."""
    if hasattr(model, "parameters") and hasattr(model, "state_dict"):
        import torch

        return model(torch.from_numpy(FEW)).detach().numpy().tolist()
    if hasattr(model, "by"):
        return model.predict(None, FEW).tolist()
    return (model.predict if hasattr(model, "predict") else model.transform)(FEW).tolist()


def write(folder: Path) -> None:
    """Write all models, and what they predict, into a new folder."""
    from autotrack.models import load_model, save_model
    from autotrack.pyfunc import save_model as save_python_model

    folder.mkdir(parents=True)
    found = {}
    for name, (make, options, trusted) in MODELS.items():
        if name == "python-model":
            shift = Path(os.path.relpath(folder / "by.txt"))
            shift.write_text("0.5")
            by_value()
            save_python_model(folder / name, make(), artifacts={"by": shift})
            shift.unlink()
        else:
            save_model(make(), folder / name, **options)
        found[name] = outputs(load_model(folder / name, trusted=trusted))
    (folder / PREDICTIONS).write_text(json.dumps(found, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    import autotrack

    # It would go into the pickles.
    __file__ = "pinned.py"
    write(DATA / autotrack.__version__)
