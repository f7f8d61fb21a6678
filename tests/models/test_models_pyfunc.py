"""Any model behind `predict`, by whatever URI it is named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import model_zoo
import numpy as np
import pandas as pd
import polars as pl
import pytest

from autotrack.errors import InvalidArgumentError, ModelFormatError, NotFoundError, SignatureMismatchError
from autotrack.models import infer_signature, load_model, pyfunc, save_model, uris
from autotrack.models.flavors import sklearn as flavor


@pytest.fixture
def pipeline(tmp_path: Path) -> tuple[Any, Path]:
    """A saved pipeline over named columns."""
    model = model_zoo.frame_pipeline()
    signature = infer_signature(model_zoo.FRAME, model.predict(model_zoo.FRAME))
    save_model(model, tmp_path / "model", signature=signature)
    return model, tmp_path / "model"


def test_a_loaded_model_predicts_like_the_original(pipeline: tuple[Any, Path]) -> None:
    """Frames of pandas, dicts and rows give the predictions of the native model; it is there for the asking."""
    model, path = pipeline
    loaded = pyfunc.load_model(path)
    expected = model.predict(model_zoo.FRAME)
    assert (loaded.predict(model_zoo.FRAME) == expected).all()
    assert (loaded.predict(model_zoo.FRAME.to_dict("list")) == expected).all()
    assert (loaded.predict(model_zoo.FRAME.to_dict("records")) == expected).all()
    assert type(loaded.unwrap()) is type(model)
    assert loaded.metadata.flavors.keys() == {"python_function", "sklearn"}
    assert "Pipeline" in repr(loaded)


def test_polars_frames_predict_too(pipeline: tuple[Any, Path]) -> None:
    """What the fitted pipeline takes, the loaded one takes."""
    model, path = pipeline
    frame = pl.from_pandas(model_zoo.FRAME)
    assert (pyfunc.load_model(path).predict(frame) == model.predict(model_zoo.FRAME)).all()


def test_input_is_checked_against_the_signature(pipeline: tuple[Any, Path]) -> None:
    """A wrong column is an error of ours that names it, not a traceback out of the pipeline."""
    loaded = pyfunc.load_model(pipeline[1])
    with pytest.raises(SignatureMismatchError, match="column 'kind': expected string, got long"):
        loaded.predict(model_zoo.FRAME.assign(kind=1))
    with pytest.raises(SignatureMismatchError, match="it takes none"):
        loaded.predict(model_zoo.FRAME, params={"a": 1})


def test_a_model_without_a_signature_takes_what_it_is_given(tmp_path: Path) -> None:
    """Data and params go to the method unchecked."""
    model, data = model_zoo.fitted(model_zoo.gaussian_process.GaussianProcessRegressor(alpha=0.1))
    save_model(model, tmp_path / "model")
    mean, deviation = pyfunc.load_model(tmp_path / "model").predict(data, params={"return_std": True})
    assert np.allclose(mean, model.predict(data))
    assert deviation.shape == mean.shape


def test_the_method_that_predicts_can_be_chosen(tmp_path: Path) -> None:
    """`pyfunc_predict_fn` is kept in MLmodel; a method that is not on the list is refused."""
    model, data = model_zoo.fitted(model_zoo.LOGISTIC)
    flavor.save_model(model, tmp_path / "model", pyfunc_predict_fn="predict_proba")
    assert (pyfunc.load_model(tmp_path / "model").predict(data) == model.predict_proba(data)).all()
    with pytest.raises(InvalidArgumentError, match="pyfunc_predict_fn: got 'fit'"):
        flavor.save_model(model, tmp_path / "other", pyfunc_predict_fn="fit")


def test_files_and_resolved_uris_are_found(
    pipeline: tuple[Any, Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A path, a text, a file URL and a scheme that a higher layer registered lead to the same model."""
    path = pipeline[1]
    monkeypatch.setattr(uris, "_resolvers", {})

    def resolve(uri: str) -> Path:
        if uri != "runs:/abc/model":
            raise NotFoundError("run", uri)
        return path

    pyfunc.register_resolver("runs", resolve)
    monkeypatch.chdir(tmp_path)
    for uri in (path, str(path), path.as_uri(), "model", "./model", "runs:/abc/model"):
        assert type(load_model(uri)).__name__ == "Pipeline"
        assert (pyfunc.load_model(uri).metadata.digest or "") != ""
    with pytest.raises(NotFoundError):
        load_model("runs:/other/model")


@pytest.mark.parametrize("uri", ["models:/name/1", "s3://bucket/model", 5, None])
def test_an_unknown_scheme_is_an_argument_error(uri: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The message lists the schemes that are known."""
    monkeypatch.setattr(uris, "_resolvers", {"runs": Path})
    with pytest.raises(InvalidArgumentError, match=r"model_uri: got .*; expected a path"):
        load_model(uri)


def test_a_path_with_a_colon_is_a_path(pipeline: tuple[Any, Path]) -> None:
    """Where a directory of that name exists, it is not taken for a URI."""
    path = pipeline[1]
    odd = path.rename(path.with_name("run:7"))
    assert type(load_model(str(odd))).__name__ == "Pipeline"


def test_there_is_no_model_at_the_path(tmp_path: Path) -> None:
    """Both loaders say what they looked for."""
    for load in (load_model, pyfunc.load_model):
        with pytest.raises(ModelFormatError, match=r"MLmodel|no such file"):
            load(tmp_path / "nothing")


def test_a_transformer_has_no_predict_behind_pyfunc(tmp_path: Path) -> None:
    """The error names the flavors that there are."""
    save_model(model_zoo.preprocessing.StandardScaler().fit(model_zoo.X), tmp_path / "model")
    with pytest.raises(ModelFormatError, match="no flavor 'python_function'; it has: sklearn"):
        pyfunc.load_model(tmp_path / "model")


def test_an_object_of_no_flavor_is_an_argument_error(tmp_path: Path) -> None:
    """What is no model of a known framework is refused by type."""
    with pytest.raises(InvalidArgumentError, match="model: got 'DataFrame'; expected a model of light"):
        save_model(pd.DataFrame(), tmp_path / "model")
