"""scikit-learn models: saved, loaded, predicting the same."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import model_zoo
import numpy as np
import pytest
import yaml
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils import all_estimators
from threadpoolctl import threadpool_limits

from autotrack.errors import AlreadyExistsError, ArtifactError, InvalidArgumentError, UntrustedModelError
from autotrack.models import Model, Snapshot, infer_signature, load_model, save_model, take_snapshot
from autotrack.models.flavors import sklearn as flavor


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """Linear algebra on so little data is three times as fast without threads that wait for each other."""
    with threadpool_limits(1):
        yield


class MajorityClassifier(ClassifierMixin, BaseEstimator):
    """A user's own estimator: predicts the most frequent class."""

    def fit(self, X: Any, y: Any) -> MajorityClassifier:
        self.classes_, counts = np.unique(y, return_counts=True)
        self.majority_ = self.classes_[counts.argmax()]
        return self

    def predict(self, X: Any) -> Any:
        return np.full(len(X), self.majority_)


def same(left: list[Any], right: list[Any]) -> bool:
    """Whether all predictions are equal: numbers up to the rounding of BLAS, which depends on where an array lies."""
    for one, other in zip(left, right, strict=True):
        a, b = (np.asarray(part.toarray() if hasattr(part, "toarray") else part) for part in (one, other))
        if a.dtype != b.dtype or a.shape != b.shape:
            return False
        if not (np.allclose(a, b, rtol=1e-9, atol=1e-12, equal_nan=True) if a.dtype.kind == "f" else (a == b).all()):
            return False
    return True


@pytest.mark.parametrize("estimator", model_zoo.ESTIMATORS, ids=lambda estimator: type(estimator).__name__)
def test_a_saved_estimator_predicts_the_same_when_loaded(estimator: Any, tmp_path: Path) -> None:
    """Each estimator of the zoo comes back equal, without trust but for those that skops cannot hold."""
    model, data = model_zoo.fitted(estimator)
    saved = flavor.save_model(model, tmp_path / "model")
    pickled = saved.flavors["sklearn"]["serialization_format"] == "cloudpickle"
    assert pickled == (type(estimator).__name__ in model_zoo.NOT_IN_SKOPS)
    loaded = flavor.load_model(tmp_path / "model", trusted=pickled)
    assert type(loaded) is type(model)
    assert same(model_zoo.predictions(loaded, data), model_zoo.predictions(model, data))


def test_every_estimator_that_fits_iris_comes_back_equal(tmp_path: Path) -> None:
    """All of `all_estimators` that need no arguments and are not in the zoo; one has a part that needs a pickle."""
    saved, pickled = set(), set()
    in_the_zoo = {type(estimator).__name__ for estimator in model_zoo.ESTIMATORS} | {"LogisticRegressionCV"}
    for name, kind in all_estimators():
        if name in in_the_zoo:
            continue
        data = model_zoo.X[::3, 0] if name == "IsotonicRegression" else model_zoo.X[::3]
        target = model_zoo.y[::3]
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                model = kind().fit(data, np.c_[target, target] if name.startswith("MultiTask") else target)
                expected = model_zoo.predictions(model, data)
        except (TypeError, ValueError, AttributeError):
            # It needs another estimator, texts, pictures, ...
            continue
        directory = tmp_path / name
        trusted = flavor.save_model(model, directory).flavors["sklearn"]["serialization_format"] != "skops"
        assert same(model_zoo.predictions(flavor.load_model(directory, trusted=trusted), data), expected), name
        saved.add(name)
        pickled |= {name} if trusted else set()
    assert len(saved) > 100
    assert pickled <= {"SplineTransformer"}


def test_a_pipeline_over_a_frame_keeps_its_columns(tmp_path: Path) -> None:
    """A ColumnTransformer with a pandas Index of names loads without trust and predicts the same."""
    model = model_zoo.frame_pipeline()
    saved = flavor.save_model(model, tmp_path / "model")
    assert saved.flavors["sklearn"]["serialization_format"] == "skops"
    loaded = flavor.load_model(tmp_path / "model")
    assert same(model_zoo.predictions(loaded, model_zoo.FRAME), model_zoo.predictions(model, model_zoo.FRAME))


def test_a_pipeline_over_texts_keeps_its_vocabulary(tmp_path: Path) -> None:
    """A fitted vectorizer, with its numpy integers in a dict, comes back equal."""
    model, texts = model_zoo.text_pipeline()
    flavor.save_model(model, tmp_path / "model")
    loaded = flavor.load_model(tmp_path / "model")
    assert same(model_zoo.predictions(loaded, texts), model_zoo.predictions(model, texts))
    assert loaded[0].vocabulary_ == model[0].vocabulary_


@pytest.mark.parametrize(
    "model",
    [
        MajorityClassifier().fit(model_zoo.X, model_zoo.y),
        make_pipeline(FunctionTransformer(lambda data: data * 2), model_zoo.LOGISTIC).fit(model_zoo.X, model_zoo.y),
        make_pipeline(FunctionTransformer(), MajorityClassifier()).fit(model_zoo.X, model_zoo.y),
    ],
    ids=["user-written", "lambda", "user-written in a pipeline"],
)
def test_user_code_is_stored_as_a_marked_pickle_and_asks_for_trust(model: Any, tmp_path: Path) -> None:
    """What only a pickle can hold says so, is refused by default with what it names, and loads when trusted."""
    saved = flavor.save_model(model, tmp_path / "model")
    assert saved.flavors["sklearn"]["serialization_format"] == "cloudpickle"
    assert saved.flavors["sklearn"]["pickled_model"] == "model.pkl"
    with pytest.raises(UntrustedModelError, match=r"It names .*(test_sklearn_flavor|_make_function).*trusted=True"):
        flavor.load_model(tmp_path / "model")
    loaded = flavor.load_model(tmp_path / "model", trusted=True)
    assert same([loaded.predict(model_zoo.X)], [model.predict(model_zoo.X)])


def test_skops_asked_for_by_name_is_an_error_where_it_cannot_hold_the_model(tmp_path: Path) -> None:
    """An explicit format is never silently replaced; the message says what is in the way."""
    model = MajorityClassifier().fit(model_zoo.X, model_zoo.y)
    with pytest.raises(InvalidArgumentError, match="MajorityClassifier is not a class or function that is loaded"):
        flavor.save_model(model, tmp_path / "model", serialization_format="skops")
    assert not list(tmp_path.iterdir())


def test_a_snapshot_is_saved_like_the_model_that_it_was_taken_of(tmp_path: Path) -> None:
    """Model and snapshot give directories of one digest, and equal skops files to the byte."""
    model, _ = model_zoo.fitted(model_zoo.FOREST)
    snapshot = take_snapshot(model, 10**8)
    assert isinstance(snapshot, Snapshot)
    first = flavor.save_model(model, tmp_path / "first")
    second = flavor.save_model(snapshot, tmp_path / "second", run_id="r", artifact_path="m", model_id="m-1")
    assert first.digest == second.digest
    assert first.model_uuid != second.model_uuid
    assert (tmp_path / "first/model.skops").read_bytes() == (tmp_path / "second/model.skops").read_bytes()


def test_a_different_model_has_a_different_digest(tmp_path: Path) -> None:
    """The digest tells models apart that differ in one parameter, or in their signature alone."""
    model, data = model_zoo.fitted(model_zoo.LOGISTIC)
    plain = flavor.save_model(model, tmp_path / "plain")
    described = flavor.save_model(model, tmp_path / "described", signature=infer_signature(data))
    other = flavor.save_model(model.set_params(verbose=1), tmp_path / "other")
    model.set_params(verbose=0)
    assert len({plain.digest, described.digest, other.digest}) == 3


def test_mlmodel_has_the_keys_that_mlflow_needs(tmp_path: Path) -> None:
    """The file holds what MLflow's native loader and pyfunc read, under their names, and the ids it was given."""
    model, data = model_zoo.fitted(model_zoo.FOREST)
    flavor.save_model(
        model,
        tmp_path / "model",
        signature=infer_signature(data, model.predict(data)),
        metadata={"team": "a"},
        run_id="run",
        artifact_path="iris_model",
    )
    written = yaml.safe_load((tmp_path / "model/MLmodel").read_text())
    function, native = written["flavors"]["python_function"], written["flavors"]["sklearn"]
    assert function["loader_module"] == "mlflow.sklearn"
    assert function["model_path"] == native["pickled_model"] == "model.skops"
    assert function["env"] == {"conda": "conda.yaml", "virtualenv": "python_env.yaml"}
    assert native["serialization_format"] == "skops"
    assert "sklearn.tree._tree.Tree" in native["skops_trusted_types"]
    assert (written["run_id"], written["artifact_path"]) == ("run", "iris_model")
    assert written["model_id"] is None
    assert len(written["model_uuid"]) == 32
    assert json.loads(written["signature"]["inputs"]) == [
        {"type": "tensor", "tensor-spec": {"dtype": "float64", "shape": [-1, 4]}}
    ]
    assert written["metadata"] == {"team": "a"}
    files = [file for file in (tmp_path / "model").iterdir() if file.name != "MLmodel"]
    assert written["model_size_bytes"] == sum(file.stat().st_size for file in files)
    assert set(written["autotrack"]["files"]) == {file.name for file in files}
    assert Model.load(tmp_path / "model").digest == written["autotrack"]["digest"]


def test_an_example_gives_the_signature_and_is_kept(tmp_path: Path) -> None:
    """With an input example alone, the signature comes from it and from the prediction for it."""
    model = model_zoo.frame_pipeline()
    saved = flavor.save_model(model, tmp_path / "model", input_example=model_zoo.FRAME[:3])
    assert saved.signature is not None
    assert saved.signature.inputs is not None
    assert [spec.name for spec in saved.signature.inputs] == list(model_zoo.FRAME.columns)
    assert saved.signature.outputs is not None
    split = json.loads((tmp_path / "model/input_example.json").read_text())
    assert split["columns"] == list(model_zoo.FRAME.columns)
    assert len(split["data"]) == 3
    serving = json.loads((tmp_path / "model/serving_input_example.json").read_text())
    assert serving == {"dataframe_split": split}


def test_a_model_without_predict_has_no_python_function(tmp_path: Path) -> None:
    """A transformer is stored and loaded by its own flavor alone, as MLflow does it."""
    scaler = FunctionTransformer().fit(model_zoo.X)
    saved = save_model(scaler, tmp_path / "model")
    assert list(saved.flavors) == ["sklearn"]
    assert isinstance(load_model(tmp_path / "model"), FunctionTransformer)


def test_nothing_is_left_where_saving_fails(tmp_path: Path) -> None:
    """A model appears whole or not at all: an unusable example leaves no directory behind."""
    model, _ = model_zoo.fitted(model_zoo.LOGISTIC)
    with pytest.raises(InvalidArgumentError, match="input_example"):
        flavor.save_model(model, tmp_path / "model", input_example={"a": object()}, signature=False)
    assert list(tmp_path.iterdir()) == []


def test_an_existing_directory_is_not_overwritten(tmp_path: Path) -> None:
    """Saving twice to one path is an error that names the path; an empty directory is filled."""
    model, _ = model_zoo.fitted(model_zoo.LOGISTIC)
    (tmp_path / "model").mkdir()
    flavor.save_model(model, tmp_path / "model")
    with pytest.raises(AlreadyExistsError, match="model"):
        flavor.save_model(model, tmp_path / "model")


def test_a_path_that_cannot_be_written_is_a_clear_error(tmp_path: Path) -> None:
    """A directory below a plain file is refused with the path in the message."""
    (tmp_path / "file").write_text("")
    model, _ = model_zoo.fitted(model_zoo.LOGISTIC)
    with pytest.raises(ArtifactError, match="cannot be written"):
        flavor.save_model(model, tmp_path / "file" / "model")


def test_requirements_can_be_given(tmp_path: Path) -> None:
    """Lines, a file of lines, and additions reach requirements.txt."""
    model, _ = model_zoo.fitted(model_zoo.LOGISTIC)
    (tmp_path / "lines.txt").write_text("numpy\n\nscikit-learn\n")
    flavor.save_model(model, tmp_path / "a", pip_requirements=["numpy"], extra_pip_requirements=["scipy"])
    flavor.save_model(model, tmp_path / "b", pip_requirements=str(tmp_path / "lines.txt"))
    flavor.save_model(model, tmp_path / "c", extra_pip_requirements=["mlflow"])
    assert (tmp_path / "a/requirements.txt").read_text() == "numpy\nscipy\n"
    assert (tmp_path / "b/requirements.txt").read_text() == "numpy\nscikit-learn\n"
    found = (tmp_path / "c/requirements.txt").read_text().splitlines()
    assert found[-1] == "mlflow"
    assert {line.partition("==")[0] for line in found} == {"numpy", "scikit-learn", "skops", "mlflow"}


def test_saving_changes_neither_the_model_nor_the_random_streams(tmp_path: Path) -> None:
    """Pickle bytes, attributes and numpy's random state are what they were."""
    model, data = model_zoo.fitted(model_zoo.FOREST)
    before = pickle.dumps(model), list(vars(model)), np.random.get_state()[1].tolist()  # type: ignore[index,union-attr]
    flavor.save_model(model, tmp_path / "model", input_example=data[:2])
    after = pickle.dumps(model), list(vars(model)), np.random.get_state()[1].tolist()  # type: ignore[index,union-attr]
    assert after == before


def test_loading_is_silent(tmp_path: Path) -> None:
    """A fresh process loads and predicts without a warning and without a line of output of ours."""
    flavor.save_model(model_zoo.frame_pipeline(), tmp_path / "model", signature=infer_signature(model_zoo.FRAME))
    code = "import sys; from autotrack.models import load_model; print(type(load_model(sys.argv[1])).__name__)"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code, str(tmp_path / "model")],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        check=False,
    )
    assert (done.stdout, done.stderr) == ("Pipeline\n", "")


def test_saving_imports_no_skops() -> None:
    """Importing skops draws in all of scikit-learn; behind a training it must not happen."""
    code = (
        "import sys, tempfile; from sklearn.linear_model import Ridge; from autotrack.models import save_model\n"
        "save_model(Ridge().fit([[0.0], [1.0]], [0.0, 1.0]), tempfile.mkdtemp()); print('skops' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        check=True,
    )
    assert done.stdout == "False\n"


def test_importing_models_imports_no_framework() -> None:
    """The package is there without numpy, pandas, scikit-learn, skops, cloudpickle and YAML."""
    code = (
        "import sys; import autotrack.models, autotrack.models.pyfunc, autotrack.models.flavors.sklearn\n"
        "print({'numpy', 'pandas', 'sklearn', 'skops', 'cloudpickle', 'yaml', 'scipy'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        check=True,
    )
    assert done.stdout == "set()\n"


def test_warnings_of_the_program_are_left_alone(tmp_path: Path) -> None:
    """Saving and loading leave the list of warning filters as it is."""
    model, _ = model_zoo.fitted(model_zoo.LOGISTIC)
    before = list(warnings.filters)
    flavor.save_model(model, tmp_path / "model")
    flavor.load_model(tmp_path / "model")
    assert list(warnings.filters) == before
