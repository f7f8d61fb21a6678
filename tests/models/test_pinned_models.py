"""Models that earlier versions stored, and this one, load and predict what they did then."""

from __future__ import annotations

import json
import platform
from pathlib import Path

import numpy as np
import pinned
import pytest

import autotrack
from autotrack.errors import ModelFormatError, UntrustedModelError
from autotrack.models import Model, load_model
from autotrack.models.unpickling import python_of
from autotrack.pyfunc import load_model as load_pyfunc

STORED = sorted(path.parent for path in pinned.DATA.glob("*/*/MLmodel"))


def test_every_flavor_of_this_version_is_pinned() -> None:
    """A new version adds its own: `python tests/models/pinned.py`."""
    assert {path.name for path in STORED if path.parent.name == autotrack.__version__} == set(pinned.MODELS)


@pytest.mark.parametrize("directory", STORED, ids=lambda path: f"{path.parent.name}-{path.name}")
def test_a_stored_model_predicts_what_it_did(directory: Path) -> None:
    """Through its flavor and through `python_function`, with trust only where it holds a pickle."""
    trusted = pinned.MODELS[directory.name][2]
    if trusted:
        with pytest.raises(UntrustedModelError):
            load_model(directory)
    if directory.name in pinned.OF_ONE_PYTHON and not _is_of_this_python(directory):
        with pytest.raises(ModelFormatError, match=r"code of Python 3\.\d+\.\d+, which .* cannot run"):
            load_model(directory, trusted=True)
        return
    expected = np.asarray(json.loads((directory.parent / pinned.PREDICTIONS).read_text("utf-8"))[directory.name])
    found = np.asarray(pinned.outputs(load_model(directory, trusted=trusted)))
    if expected.dtype.kind == "f":
        assert np.allclose(found, expected, rtol=1e-5, atol=1e-6)
    else:
        assert found.tolist() == expected.tolist()
    if directory.name != "sklearn-pickle":
        assert np.shape(load_pyfunc(directory, trusted=trusted).predict(pinned.FEW)) == np.shape(found)


def _is_of_this_python(directory: Path) -> bool:
    made_under = python_of(directory, Model.load(directory))
    return made_under.split(".")[:2] == platform.python_version().split(".")[:2]


def test_the_models_can_be_made_again(tmp_path: Path) -> None:
    """The script that wrote them works, and gives the same predictions."""
    pinned.write(tmp_path / "again")
    expected, found = (
        json.loads((folder / pinned.PREDICTIONS).read_text("utf-8"))
        for folder in (pinned.DATA / autotrack.__version__, tmp_path / "again")
    )
    assert expected.keys() == found.keys()
    assert np.allclose(expected["torch-program"], found["torch-program"], atol=1e-5)
