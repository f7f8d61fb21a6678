"""LightGBM models: text and JSON, without a pickle, predicting the same."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_iris
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import autotrack.lightgbm
from autotrack.errors import InvalidArgumentError, ModelFormatError, UntrustedModelError
from autotrack.models import Model, boosters, load_model, save_model, take_snapshot
from autotrack.pyfunc import load_model as load_pyfunc

NUMBERS, target = load_iris(return_X_y=True, as_frame=True)
X = NUMBERS.assign(kind=pd.Categorical(np.where(np.arange(150) % 3 > 0, "u", "v")))
NAMES = target.map(lambda number: f"class {number}")
QUIET: dict[str, Any] = {"n_estimators": 6, "num_leaves": 5, "verbose": -1}


def classifier(**options: Any) -> Any:
    return lightgbm.LGBMClassifier(**{**QUIET, **options}).fit(X, NAMES)


def early_stopped() -> Any:
    stop = lightgbm.early_stopping(1, verbose=False)
    options = {"objective": "regression", "verbose": -1, "learning_rate": 0.9}
    valid = lightgbm.Dataset(NUMBERS, np.sin(np.arange(150.0)))
    return lightgbm.train(options, lightgbm.Dataset(NUMBERS, target), 30, valid_sets=[valid], callbacks=[stop])


def predictions(model: Any, data: Any) -> list[Any]:
    found = [model.predict(data)]
    if hasattr(model, "predict_proba"):
        found += [model.predict_proba(data), model.predict(data, raw_score=True), model.predict(data, num_iteration=2)]
    return found


MODELS = {
    "classifier": (lambda: classifier(class_weight="balanced"), X),
    "regressor": (lambda: lightgbm.LGBMRegressor(**QUIET, boosting_type="dart").fit(X, target), X),
    "ranker": (lambda: lightgbm.LGBMRanker(**QUIET).fit(X, target, group=[50, 50, 50]), X),
    "booster": (lambda: lightgbm.train({"verbose": -1}, lightgbm.Dataset(X, target), 4), X),
    "early stopped": (early_stopped, NUMBERS),
}


@pytest.mark.parametrize("name", MODELS)
def test_a_saved_model_predicts_the_same_when_loaded(name: str, tmp_path: Path) -> None:
    """Each kind comes back as itself, with its categories, classes, scores and parameters, and without trust."""
    make, data = MODELS[name]
    model = make()
    save_model(model, tmp_path / "model", input_example=NUMBERS.head(3) if data is NUMBERS else None)
    assert not list((tmp_path / "model").glob("*.pkl"))
    loaded = load_model(tmp_path / "model")
    assert type(loaded) is type(model)
    for one, other in zip(predictions(model, data), predictions(loaded, data), strict=True):
        assert np.array_equal(one, other)
    if isinstance(model, lightgbm.Booster):
        assert (loaded.best_iteration, loaded.best_score) == (model.best_iteration, model.best_score)
    else:
        assert loaded.get_params() == model.get_params()
        assert set(vars(loaded)) == set(vars(model))
        assert loaded.evals_result_ == model.evals_result_
    if hasattr(model, "classes_"):
        assert list(loaded.classes_) == list(model.classes_)
    assert np.array_equal(load_pyfunc(tmp_path / "model").predict(data), model.predict(data))


def test_the_directory_is_one_of_mlflows_and_says_what_it_trusts(tmp_path: Path) -> None:
    """A wrapper has a skops file for MLflow beside text and JSON; its types are listed."""
    model = autotrack.lightgbm.save_model(classifier(), tmp_path / "model", metadata={"a": 1})
    flavor = model.get_flavor("lightgbm")
    assert flavor["model_class"] == "lightgbm.sklearn.LGBMClassifier"
    assert (flavor["data"], flavor["serialization_format"]) == ("model.skops", "skops")
    assert "lightgbm.basic.Booster" in flavor["skops_trusted_types"]
    assert model.get_flavor("python_function")["loader_module"] == "mlflow.lightgbm"
    lines = (tmp_path / "model" / "requirements.txt").read_text().split()
    assert {line.partition("==")[0] for line in lines} == {"lightgbm", "scikit-learn", "skops"}
    booster = autotrack.lightgbm.save_model(early_stopped(), tmp_path / "booster").get_flavor("lightgbm")
    assert (booster["data"], booster["model_class"]) == ("model.lgb", "lightgbm.basic.Booster")


def test_equal_models_have_one_digest_and_a_snapshot_is_saved_like_its_model(tmp_path: Path) -> None:
    """What is stored depends on the model alone."""
    model = classifier()
    first = save_model(model, tmp_path / "first")
    snapshot: Any = take_snapshot(model, 10_000_000)
    second = autotrack.lightgbm.save_model(snapshot, tmp_path / "second")
    assert first.digest == second.digest
    assert save_model(classifier(num_leaves=4), tmp_path / "third").digest != first.digest


def test_a_pipeline_that_ends_in_lightgbm_needs_no_pickle(tmp_path: Path) -> None:
    """It is scikit-learn's, and LightGBM's part of it is trusted because its trees are checked."""
    model = make_pipeline(StandardScaler(), lightgbm.LGBMRegressor(**QUIET)).fit(NUMBERS, target)
    assert save_model(model, tmp_path / "model").get_flavor("sklearn")["serialization_format"] == "skops"
    assert np.array_equal(load_model(tmp_path / "model").predict(NUMBERS), model.predict(NUMBERS))


def test_a_users_objective_is_a_marked_pickle_that_asks_for_trust(tmp_path: Path) -> None:
    """A function has no form but a pickle; the model says why it is one."""
    model = lightgbm.LGBMRegressor(**QUIET, objective=lambda y, p: (p - y, np.ones_like(y))).fit(NUMBERS, target)
    flavor = save_model(model, tmp_path / "model").get_flavor("lightgbm")
    assert flavor["serialization_format"] == "cloudpickle"
    assert flavor["pickled_because"]
    with pytest.raises(UntrustedModelError, match=r"lightgbm\.sklearn\.LGBMRegressor"):
        load_model(tmp_path / "model")
    assert np.array_equal(load_model(tmp_path / "model", trusted=True).predict(NUMBERS), model.predict(NUMBERS))


@pytest.mark.parametrize("model", [lightgbm.LGBMClassifier(), lightgbm.CVBooster()])
def test_what_is_no_fitted_model_is_an_argument_error(model: Any, tmp_path: Path) -> None:
    """An estimator without trees and a bundle of boosters are refused by type."""
    with pytest.raises(InvalidArgumentError, match="a Booster, or a fitted LGBMClassifier"):
        save_model(model, tmp_path / "model")


def rewritten(directory: Path, name: str, old: str, new: str) -> Path:
    """Change a file of a model and forget the hashes."""
    file = directory / name
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new, 1))
    model = Model.load(directory)
    model.autotrack = None
    model.save(directory)
    return directory


def line_of(directory: Path, key: str) -> str:
    lines = (directory / "model.lgb").read_text().splitlines()
    return next(line for line in lines if line.startswith(f"{key}=") and line != f"{key}=")


@pytest.mark.parametrize(
    ("key", "value", "reason"),
    [
        ("left_child", "99999", "left_child names a node that is not there"),
        ("right_child", "0", "right_child names a node that is not there"),
        ("right_child", "-77", "right_child names a node that is not there"),
        ("split_feature", "1000000", "a feature that is not there"),
        ("split_feature", "-1", "a feature that is not there"),
        ("threshold", "5", "a set of categories that is not there"),
        ("cat_boundaries", "7", "sets of categories do not belong together"),
        ("num_leaves", "0", "no leaves"),
        ("num_leaves", "900", "another length"),
        ("leaf_value", "1 2", "leaf_value has another length than there are leaves"),
        ("threshold", "1 2 3", "threshold has another length than there are nodes"),
        ("tree_sizes", "17", "tree_sizes are not the sizes"),
        ("num_class", "3", "numbers of classes"),
        ("num_tree_per_iteration", "0", "numbers of classes"),
        ("objective", "multiclass num_class:900", "numbers of classes"),
    ],
)
def test_an_index_that_leaves_its_tree_is_refused(key: str, value: str, reason: str, tmp_path: Path) -> None:
    """LightGBM would read outside its memory or end the process; the text is checked before it sees it."""
    data = X[["kind"]] if key in ("threshold", "cat_boundaries") else NUMBERS
    model = (
        lightgbm.train(
            {"verbose": -1, "min_data_per_group": 1}, lightgbm.Dataset(data, np.asarray(X.kind == "u") * 1.0), 1
        )
        if data is not NUMBERS
        else lightgbm.train({"verbose": -1}, lightgbm.Dataset(data, target), 2)
    )
    save_model(model, tmp_path / "model")
    line = line_of(tmp_path / "model", key)
    changed = f"{key}=" + " ".join([value, *line.partition("=")[2].split()[1:]])
    with pytest.raises(ModelFormatError, match=reason):
        load_model(rewritten(tmp_path / "model", "model.lgb", f"\n{line}\n", f"\n{changed}\n"))


@pytest.mark.parametrize(
    ("name", "old", "new", "reason"),
    [
        ("model.lgb", "end of trees", "", "cut short"),
        ("model.lgb", "tree\n", "\x80\x04.", "not a LightGBM model in text form"),
        ("model.lgb", "num_leaves=", "num_leaves=1\nnum_leaves=", "stands there twice"),
        ("model.json", "{", "[", "damaged"),
        ("model.json", '"format": 1', '"format": 2', "newer version"),
        ("model.json", '"$": "array"', '"$": "eval"', "damaged"),
        ("MLmodel", "lightgbm.sklearn.LGBMClassifier\n  python", "subprocess.Popen\n  python", "is not rebuilt"),
    ],
)
def test_a_damaged_file_is_a_format_error(name: str, old: str, new: str, reason: str, tmp_path: Path) -> None:
    """Neither text, JSON nor MLmodel can bring anything but a model of LightGBM's own."""
    directory = tmp_path / "model"
    save_model(classifier(), directory)
    if name == "MLmodel":
        old, new = "model_class: lightgbm.sklearn.LGBMClassifier", "model_class: subprocess.Popen"
    with pytest.raises(ModelFormatError, match=reason):
        load_model(rewritten(directory, name, old, new))


def test_a_changed_file_is_refused_by_its_hash(tmp_path: Path) -> None:
    """Text and JSON are both held against MLmodel."""
    for name in ("model.lgb", "model.json"):
        directory = tmp_path / name
        save_model(classifier(), directory)
        file = directory / name
        file.write_text(file.read_text() + " ")
        with pytest.raises(ModelFormatError, match="sha256"):
            load_model(directory)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("left_child=", "lefs_child="),
        ("\nleft_child=", "\n\nleft_child="),
        ("\nleft_child=", "\x0cleft_child="),
        ("\nleft_child=", "\rleft_child="),
        ("\nleft_child=", "\nleft_child"),
        ("\nnum_cat=", "\na=1" * 22 + "\nnum_cat="),
        ("Tree=0\n", "Tree=0 Tree=1\n"),
        ("split_gain=", "split_gain=1T"),
        ("leaf_value=", "leaf_value=1e"),
        ("leaf_value=-0.", "leaf_value=1e-400"),
        ("leaf_weight=", "leaf_weight=="),
        ("num_cat=", "num_cut="),
        ("[num_leaves: ", "[num_leaves "),
    ],
)
def test_what_lightgbm_would_read_differently_is_refused(old: str, new: str, tmp_path: Path) -> None:
    """A tree in whose text LightGBM would not find what was checked; that ends the process in LightGBM 4.7."""
    text = lightgbm.train({"verbose": -1}, lightgbm.Dataset(NUMBERS, target), 2).model_to_string()
    sizes = text.partition("tree_sizes=")[2].partition("\n")[0]
    first, _, rest = sizes.partition(" ")
    changed = text.replace(old, new, 1).replace(
        sizes, f"{int(first) + len(new) - len(old)} {rest}", old != "[num_leaves: "
    )
    assert changed != text
    boosters.check_text(text, tmp_path)
    with pytest.raises(ModelFormatError, match=r"damaged|not a LightGBM model"):
        boosters.check_text(changed, tmp_path)


def test_formulas_of_linear_trees_are_checked(tmp_path: Path) -> None:
    """They name features too, in arrays whose lengths LightGBM takes from the file."""
    options = {"verbose": -1, "linear_tree": True}
    text = lightgbm.train(options, lightgbm.Dataset(NUMBERS.to_numpy(), target), 3).model_to_string()
    boosters.check_text(text, tmp_path)
    line = next(line for line in text.splitlines() if re.match(r"leaf_features=.*\d", line))
    for old, new in (
        (line, re.sub(r"\d+", "77", line, count=1)),
        (line, "leaf_features="),
        ("\nleaf_coeff=", "\nleaf_coeff=1 "),
        ("\nnum_features=", "\nother="),
    ):
        with pytest.raises(ModelFormatError, match="formulas"):
            boosters.check_text(text.replace(old, new, 1), tmp_path)


def test_trees_in_a_skops_file_are_checked_too(tmp_path: Path) -> None:
    """A directory of MLflow's holds a wrapper as skops alone, with the trees as text inside."""
    import zipfile

    directory = tmp_path / "model"
    save_model(classifier(), directory)
    model = Model.load(directory)
    flavor = {key: value for key, value in model.get_flavor("lightgbm").items() if key not in ("text", "state")}
    model.add_flavor("lightgbm", **flavor).autotrack = None
    model.save(directory)
    assert load_model(directory).predict(X)[0] == "class 0"
    with zipfile.ZipFile(directory / "model.skops") as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    schema = parts["schema.json"].decode()
    assert json.loads(schema)
    assert "split_feature=" in schema
    parts["schema.json"] = re.sub(r"split_feature=\d+", "split_feature=5000000", schema, count=1).encode()
    with zipfile.ZipFile(directory / "model.skops", "w") as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    with pytest.raises(ModelFormatError, match="a feature that is not there"):
        load_model(directory)
