"""Predictions for files: formats, pieces, and what is left behind when it fails."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from autotrack import cli
from autotrack.errors import AutotrackError, InvalidArgumentError, SignatureMismatchError
from autotrack.models import infer_signature, pyfunc, save_model
from autotrack.serving.batch import FORMATS, predict_file

RANDOM = np.random.default_rng(0)
X = pd.DataFrame({"a": RANDOM.normal(size=25), "b": RANDOM.normal(size=25)})
FITTED = LogisticRegression().fit(X, X["a"] > 0)
EXPECTED = FITTED.predict(X).tolist()
READ = {
    "csv": pd.read_csv,
    "parquet": pd.read_parquet,
    "json": pd.read_json,
    "jsonl": lambda path: pd.read_json(path, lines=True),
}


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    """A model directory."""
    save_model(FITTED, tmp_path / "model", signature=infer_signature(X, FITTED.predict(X)))
    return tmp_path / "model"


@pytest.fixture
def model(saved: Path) -> pyfunc.PyFuncModel:
    """The model, loaded."""
    return pyfunc.load_model(saved)


def write(frame: pd.DataFrame, path: Path) -> Path:
    """Write a frame in the format of the path's suffix."""
    writers: dict[str, Any] = {
        ".csv": lambda: frame.to_csv(path, index=False),
        ".parquet": lambda: frame.to_parquet(path),
        ".json": lambda: frame.to_json(path, orient="records"),
        ".jsonl": lambda: frame.to_json(path, orient="records", lines=True),
    }
    writers[path.suffix]()
    return path


@pytest.mark.parametrize("to", FORMATS)
@pytest.mark.parametrize("came", FORMATS)
def test_every_format_is_read_and_written(model: pyfunc.PyFuncModel, tmp_path: Path, came: str, to: str) -> None:
    """Seven rows at a time give the same as all at once."""
    source, target = write(X, tmp_path / f"in.{came}"), tmp_path / f"out.{to}"
    assert predict_file(model, source, target, chunk_rows=7) == 25
    assert READ[to](target)["prediction"].tolist() == EXPECTED
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(["model", source.name, target.name])


@pytest.mark.parametrize("kind", ["lightgbm", "torch"])
def test_models_of_other_flavors_predict_for_files_too(tmp_path: Path, kind: str) -> None:
    """From each format the same as for the frame itself; torch's wants arrays of float32, which no text holds."""
    if kind == "lightgbm":
        fitted = lightgbm.train({"verbose": -1, "min_data_in_leaf": 2}, lightgbm.Dataset(X, X["a"]), 3)
        signature = infer_signature(X, params={"num_iteration": -1})
        save_model(fitted, tmp_path / "model", signature=signature)
        expected = fitted.predict(X).reshape(-1, 1)
    else:
        net = torch.nn.Linear(2, 2).eval()
        data = X.to_numpy("float32")
        save_model(net, tmp_path / "model", input_example=data[:3])
        expected = net(torch.tensor(data)).detach().numpy()
    model = pyfunc.load_model(tmp_path / "model")
    for form in FORMATS:
        assert predict_file(model, write(X, tmp_path / f"in.{form}"), tmp_path / "out.csv", chunk_rows=7) == 25
        assert np.allclose(pd.read_csv(tmp_path / "out.csv"), expected, atol=1e-5)
    if kind == "lightgbm":
        predict_file(model, tmp_path / "in.csv", tmp_path / "out.csv", params={"num_iteration": 1})
        assert np.allclose(pd.read_csv(tmp_path / "out.csv")["prediction"], fitted.predict(X, num_iteration=1))


def test_the_input_can_stand_beside(model: pyfunc.PyFuncModel, tmp_path: Path) -> None:
    """Row by row, whatever the pieces."""
    source = write(X, tmp_path / "in.csv")
    predict_file(model, source, tmp_path / "out.csv", chunk_rows=4, with_input=True)
    out = pd.read_csv(tmp_path / "out.csv")
    assert list(out.columns) == ["a", "b", "prediction"]
    assert np.allclose(out["a"], X["a"])
    assert out["prediction"].tolist() == EXPECTED


def test_tables_of_predictions_get_a_column_each(tmp_path: Path) -> None:
    """`prediction_0`, `prediction_1`."""
    save_model(FITTED, tmp_path / "model", pyfunc_predict_fn="predict_proba")
    predict_file(pyfunc.load_model(tmp_path / "model"), write(X, tmp_path / "in.csv"), tmp_path / "out.csv")
    out = pd.read_csv(tmp_path / "out.csv")
    assert np.allclose(out[["prediction_0", "prediction_1"]].to_numpy(), FITTED.predict_proba(X))


def test_what_does_not_match_leaves_no_file(model: pyfunc.PyFuncModel, tmp_path: Path) -> None:
    """Also when the trouble begins in a later piece; a file that was there stays as it was."""
    late = X.astype(object)
    late.loc[20, "b"] = "x"
    target = tmp_path / "out.csv"
    target.write_text("before")
    with pytest.raises(SignatureMismatchError, match="'b'"):
        predict_file(model, write(late, tmp_path / "in.csv"), target, chunk_rows=10)
    with pytest.raises(SignatureMismatchError, match="column 'b' is missing"):
        predict_file(model, write(X[["a"]], tmp_path / "in.csv"), target)
    assert target.read_text() == "before"
    assert {path.name for path in tmp_path.iterdir()} == {"model", "in.csv", "out.csv"}


@pytest.mark.parametrize("name", ["in.csv", "in.parquet", "in.json", "in.jsonl"])
def test_a_file_of_another_format_is_a_clear_error(model: pyfunc.PyFuncModel, tmp_path: Path, name: str) -> None:
    """Rubbish and nothing at all (which is a file of no lines)."""
    for content in (b"\x00\xff rubbish \x80", *([] if name == "in.jsonl" else [b""])):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(AutotrackError):
            predict_file(model, tmp_path / name, tmp_path / "out.csv")
    assert not (tmp_path / "out.csv").exists()


def test_unknown_formats_are_named(model: pyfunc.PyFuncModel, tmp_path: Path) -> None:
    """With the ones that are known."""
    with pytest.raises(InvalidArgumentError, match="one of csv, parquet, json, jsonl"):
        predict_file(model, write(X, tmp_path / "in.csv"), tmp_path / "out.xlsx")
    with pytest.raises(InvalidArgumentError, match="chunk_rows"):
        predict_file(model, tmp_path / "in.csv", tmp_path / "out.csv", chunk_rows=0)


def test_from_the_command_line(saved: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """To stdout as CSV, to a file with a word about it on stderr, and clear errors with status 1."""
    source = str(write(X, tmp_path / "in.csv"))
    assert cli.main(["models", "predict", "-m", str(saved), "-i", source]) == 0
    shown = capfd.readouterr()
    assert shown.out.splitlines() == ["prediction", *map(str, EXPECTED)]
    assert shown.err == ""
    target = tmp_path / "out.jsonl"
    assert cli.main(["models", "predict", "-m", str(saved), "-i", source, "-o", str(target)]) == 0
    assert [json.loads(line)["prediction"] for line in target.read_text().splitlines()] == EXPECTED
    assert "25 predictions" in capfd.readouterr().err
    for words, said in (
        (["-i", "nowhere.csv"], "nowhere.csv"),
        (["-i", source, "--params", "3"], "--params"),
        (["-i", source, "--params", '{"t": 1}'], "'t' is not a parameter"),
    ):
        assert cli.main(["models", "predict", "-m", str(saved), *words]) == 1
        assert said in capfd.readouterr().err
