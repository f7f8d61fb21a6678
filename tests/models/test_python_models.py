"""Models of the user's own Python code: always pickled, so always asking for trust."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import autotrack
from autotrack.errors import InvalidArgumentError, ModelFormatError, UntrustedModelError
from autotrack.models import Model
from autotrack.pyfunc import PythonModel, load_model, save_model

FRAME = pd.DataFrame({"a": [1.0, 2.0, 3.0]})


class Scale(PythonModel):
    """Multiplies by what a file says, and adds what the settings and the caller say."""

    def load_context(self, context: Any) -> None:
        self.factor = float(Path(context.artifacts["factor"]).read_text())

    def predict(self, context: Any, model_input: Any, params: dict[str, Any] | None = None) -> Any:
        return model_input["a"] * self.factor + context.model_config["offset"] + (params or {}).get("more", 0)


class Short(PythonModel):
    """Without a context, as MLflow allows."""

    def predict(self, model_input: Any) -> Any:  # type: ignore[override]
        return np.asarray(model_input) + 1


class Plain:
    """Any object with `predict`."""

    def predict(self, data: Any) -> Any:
        return np.asarray(data) * 10


class Whole:
    """An object with all methods of a `PythonModel` that is none."""

    def load_context(self, context: Any) -> None:
        self.more = len(context.artifacts)

    def predict(self, context: Any, model_input: Any, params: Any = None) -> Any:
        return np.asarray(model_input) + self.more


def double(data: Any) -> Any:
    return np.asarray(data) * 2


def test_a_python_model_finds_its_files_settings_and_params(tmp_path: Path) -> None:
    """What was saved beside it is there when it is loaded, also after the originals are gone."""
    (tmp_path / "source.txt").write_text("3")
    options = {"artifacts": {"factor": tmp_path / "source.txt"}, "model_config": {"offset": 0.5}}
    model = save_model(tmp_path / "model", Scale(), input_example=FRAME, **options)
    (tmp_path / "source.txt").unlink()
    assert model.signature is not None
    settings = model.get_flavor("python_function")
    assert settings["loader_module"] == "mlflow.pyfunc.model"
    assert settings["artifacts"]["factor"]["path"] == "artifacts/factor/source.txt"
    with pytest.raises(UntrustedModelError, match=r"python_model\.pkl: a pickle"):
        load_model(tmp_path / "model")
    loaded = load_model(tmp_path / "model", trusted=True)
    assert loaded.predict(FRAME).tolist() == [3.5, 6.5, 9.5]
    assert type(loaded.unwrap()).__name__ == "Scale"


@pytest.mark.parametrize(
    ("model", "expected"),
    [(Short(), 2.0), (Plain(), 10.0), (Whole(), 1.0), (double, 2.0), (lambda data: data - 1, 0.0)],
)
def test_functions_and_objects_with_predict_are_models_too(model: Any, expected: float, tmp_path: Path) -> None:
    """MLflow's shorter forms, and any object that predicts."""
    save_model(tmp_path / "model", model)
    assert load_model(tmp_path / "model", trusted=True).predict(np.ones(2)).tolist() == [expected] * 2


def test_the_users_modules_travel_with_the_model(tmp_path: Path) -> None:
    """`code_paths` are importable in a program that has neither them nor autotrack's base class."""
    (tmp_path / "helpers_of_mine.py").write_text("def add(x):\n    return x + 7\n")
    script = f"""
import sys; sys.path.insert(0, {str(tmp_path)!r})
import helpers_of_mine
from autotrack.pyfunc import PythonModel, save_model
class Mine(PythonModel):
    def predict(self, context, model_input, params=None):
        return helpers_of_mine.add(model_input)
save_model({str(tmp_path / "model")!r}, Mine(), code_paths=[{str(tmp_path / "helpers_of_mine.py")!r}])
"""
    subprocess.run([sys.executable, "-c", script], check=True, cwd=tmp_path)
    (tmp_path / "helpers_of_mine.py").unlink()
    script = f"""
import autotrack.models.pyfunc as pyfunc
model = pyfunc.load_model({str(tmp_path / "model")!r}, trusted=True)
assert model.predict(1) == 8
assert [base.__name__ for base in type(model.unwrap()).__mro__[:2]] == ["Mine", "PythonModel"]
"""
    subprocess.run([sys.executable, "-c", script], check=True, cwd=tmp_path)


def test_requirements_are_those_of_the_objects_in_it(tmp_path: Path) -> None:
    """Modules of its functions and classes, whatever else is imported; and those that are named."""
    save_model(tmp_path / "model", lambda data: np.asarray(data), extra_pip_requirements=["mine>=1"])
    lines = (tmp_path / "model" / "requirements.txt").read_text().split()
    assert {line.partition("=")[0] for line in lines} == {"cloudpickle", "numpy", "mine>"}


def test_files_that_were_changed_or_added_are_refused(tmp_path: Path) -> None:
    """Artifacts and code are opened by the user's code, so all of them are checked before."""
    (tmp_path / "words").mkdir()
    (tmp_path / "words" / "one.txt").write_text("1")
    options = {"artifacts": {"words": tmp_path / "words"}, "code_paths": [tmp_path / "words"]}
    for number, name in enumerate(("artifacts/words/words/one.txt", "code/words/one.txt", "code/more.py")):
        directory = tmp_path / str(number)
        save_model(directory, double, **options)
        (directory / name).write_text("2")
        with pytest.raises(ModelFormatError, match="replaced after the model was saved"):
            load_model(directory, trusted=True)
    outside = tmp_path / "link"
    save_model(outside, double, **options)
    (outside / "artifacts" / "words" / "words" / "link").symlink_to(tmp_path / "words")
    with pytest.raises(ModelFormatError, match="leaves the model directory"):
        load_model(outside, trusted=True)


@pytest.mark.parametrize(
    ("model", "options", "reason"),
    [
        (Scale, {}, "a PythonModel, an object with `predict`, or a function"),
        (3, {}, "a PythonModel, an object with `predict`, or a function"),
        ((value for value in ()).__next__, {}, "a model that cloudpickle can pickle"),
        (double, {"artifacts": {"../a": "x"}}, "names that can be folders"),
        (double, {"artifacts": {"a": "/not/there"}}, "a file or folder that is there"),
        (double, {"code_paths": ["/not/there"]}, "a file or folder that is there"),
    ],
)
def test_what_cannot_be_stored_is_an_argument_error(model: Any, options: Any, reason: str, tmp_path: Path) -> None:
    """And nothing is left behind."""
    with pytest.raises(InvalidArgumentError, match=reason):
        save_model(tmp_path / "model", model, **options)
    assert not list(tmp_path.iterdir())


def test_a_loader_module_of_its_own_is_used_where_it_is_trusted(tmp_path: Path) -> None:
    """The older form of MLflow's custom models: code that loads data, both in the directory."""
    directory = tmp_path / "model"
    (directory / "code").mkdir(parents=True)
    (directory / "data.txt").write_text("4")
    (directory / "code" / "loader_of_mine.py").write_text(
        "class Times:\n"
        "    def __init__(self, path, config): self.n = int(open(path).read()) * config['twice']\n"
        "    def score(self, data): return data * self.n\n"
        "def _load_pyfunc(path, model_config=None): return Times(path, model_config)\n"
    )
    settings = {"loader_module": "loader_of_mine", "data": "data.txt", "code": "code"}
    Model().add_flavor("python_function", **settings, config={"twice": 2}, predict_fn="score").save(directory)
    with pytest.raises(UntrustedModelError, match="loader_module is 'loader_of_mine'"):
        load_model(directory)
    assert load_model(directory, trusted=True).predict(1) == 8
    assert autotrack.models.load_model(directory, trusted=True).n == 8
