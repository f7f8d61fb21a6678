"""The file MLmodel: read and written as MLflow 3 does."""

from __future__ import annotations

import datetime
from pathlib import Path

import numpy as np
import pytest
import yaml

from autotrack.errors import InvalidArgumentError, ModelFormatError
from autotrack.models import Model, infer_signature

MLFLOW_3 = """\
artifact_path: file:///mlruns/0/models/m-1/artifacts
auth_policy:
  system_auth_policy:
    resources: []
  user_auth_policy: {}
env_vars:
- TOKEN_NAME
flavors:
  python_function:
    env:
      conda: conda.yaml
      virtualenv: python_env.yaml
    loader_module: mlflow.sklearn
    model_path: model.skops
    predict_fn: predict
    python_version: 3.11.7
  sklearn:
    code: null
    pickled_model: model.skops
    serialization_format: skops
    sklearn_version: 1.9.1
    skops_trusted_types: null
is_signature_from_type_hint: false
metadata:
  team: a
mlflow_version: 3.17.2
model_id: m-1
model_size_bytes: 1234
model_uuid: 44aeb87bc459437bbd860869155ecf80
prompts: null
resources:
  api_version: '1'
run_id: r1
saved_input_example_info:
  artifact_path: input_example.json
  pandas_orient: split
  serving_input_path: serving_input_example.json
  type: dataframe
signature:
  inputs: '[{"type": "double", "name": "x", "required": true}]'
  outputs: '[{"type": "tensor", "tensor-spec": {"dtype": "int64", "shape": [-1]}}]'
  params: null
somebody_elses: {deep: [1, 2]}
type_hint_from_example: false
utc_time_created: '2026-01-02 03:04:05.000006'
"""


def test_a_file_of_mlflow_survives_a_round_trip(tmp_path: Path) -> None:
    """Every key of MLflow 3, and one that nobody knows, comes out as it went in."""
    (tmp_path / "MLmodel").write_text(MLFLOW_3)
    model = Model.load(tmp_path)
    assert model.extra == {"somebody_elses": {"deep": [1, 2]}}
    assert model.signature is not None
    assert (model.run_id, model.model_id, model.mlflow_version) == ("r1", "m-1", "3.17.2")
    model.save(tmp_path / "again")
    assert yaml.safe_load((tmp_path / "again").read_text()) == yaml.safe_load(MLFLOW_3)
    assert Model.load(tmp_path / "again") == model


def test_a_new_model_has_an_id_and_a_time() -> None:
    """Fresh models differ in their id; the time is UTC in MLflow's form; empty keys are left out."""
    one, other = Model(), Model()
    assert one.model_uuid != other.model_uuid
    assert datetime.datetime.strptime(one.utc_time_created, "%Y-%m-%d %H:%M:%S.%f")
    assert set(yaml.safe_load(one.to_yaml())) == {"flavors", "model_id", "model_uuid", "prompts", "utc_time_created"}


def test_flavors_are_added_and_found() -> None:
    """`add_flavor` chains; a flavor that is not there is an error that names those that are."""
    model = Model().add_flavor("a", x=1).add_flavor("b")
    assert model.get_flavor("a") == {"x": 1}
    with pytest.raises(ModelFormatError, match="no flavor 'c'; it has: a, b"):
        model.get_flavor("c")


def test_models_that_have_much_in_common_keep_what_is_their_own() -> None:
    """The text of what they have in common is made once: it follows each change, and holds no reference to another."""
    model = Model(signature=infer_signature(np.zeros((1, 2)))).add_flavor("a", x=1)
    for changed in (1, True, 1.0, "1", None, [1], {"1": 1}):
        model.flavors["a"]["x"] = changed
        again = Model.from_yaml(model.to_yaml())
        assert again == model
        assert type(again.flavors["a"]["x"]) is type(changed)
    shared = {"deep": ["value"]}
    model.metadata = model.flavors["b"] = shared
    assert Model.from_yaml(model.to_yaml()) == model


def test_a_minimal_file_is_enough(tmp_path: Path) -> None:
    """The least that MLflow's loaders need is read; what is missing is None, not invented."""
    (tmp_path / "MLmodel").write_text("flavors: {sklearn: {pickled_model: model.pkl}}")
    model = Model.load(tmp_path / "MLmodel")
    assert (model.model_uuid, model.utc_time_created, model.signature) == (None, "", None)
    assert Model.load(tmp_path) == model


def test_saving_to_a_directory_writes_its_mlmodel(tmp_path: Path) -> None:
    """A directory is as good as the file in it; texts in any script come back."""
    model = Model(metadata={"Name": "模型 é"}, signature=infer_signature(np.zeros((1, 2))))
    model.save(tmp_path)
    assert Model.load(tmp_path) == model


LAUGHS = "\n".join(
    ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    + [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 7)]
    + ["flavors: {}"]
)
"""A few lines that stand for ten million texts."""


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("flavors: [", "cannot be read"),
        ("- a\n- b", "expected a mapping, got list"),
        ("", "expected a mapping, got NoneType"),
        ("flavors: 5", "`flavors` is not a mapping"),
        ("flavors: {sklearn: x}", "`flavors` is not a mapping"),
        ("flavors: {}\nsignature: x", "`signature` is not a mapping"),
        ("flavors: {}\nautotrack: x", "`autotrack` is not a mapping"),
        ("flavors: !!python/object/apply:os.system ['true']", "cannot be read"),
        ("{" * 100_000, "cannot be read"),
        ("a: \x00", "cannot be read"),
        (LAUGHS.format("[*a6]"), "more than 1000000 values"),
        (LAUGHS.format("{sklearn: {pickled_model: *a6}}"), "more than 1000000 values"),
        ("flavors: &f {sklearn: *f}", "more than 1000000 values"),
        ("m: &m {k: v}\nflavors: {<<: [*m, *m]}", "a merge key"),
    ],
)
def test_a_broken_file_is_a_format_error(tmp_path: Path, text: str, reason: str) -> None:
    """Each way of being no MLmodel file is said; tags that would build objects are not followed."""
    (tmp_path / "MLmodel").write_text(text)
    with pytest.raises(ModelFormatError, match=reason):
        Model.load(tmp_path)


def test_a_missing_file_asks_whether_it_is_a_model_directory(tmp_path: Path) -> None:
    """An empty directory and a path that does not exist name the file that was looked for."""
    for path in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(ModelFormatError, match="is this a model directory"):
            Model.load(path)
    (tmp_path / "MLmodel").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ModelFormatError, match="cannot be read"):
        Model.load(tmp_path)


def test_metadata_that_yaml_cannot_hold_is_an_argument_error() -> None:
    """An object among the metadata is refused by name, not written as a Python tag."""
    with pytest.raises(InvalidArgumentError, match="metadata and flavors"):
        Model(metadata={"a": object()}).to_yaml()


def test_a_model_is_made_written_and_read_through_the_public_class(tmp_path: Path) -> None:
    """Flavors chain, the text goes both ways, and `load` takes directory, file and URL alike."""
    import autotrack

    model = autotrack.models.Model(artifact_path="net").add_flavor("a", x=1).add_flavor("b", y=[2.5, None])
    model.extra["of_a_later_version"] = {"kept": True}
    model.save(tmp_path)
    for place in (tmp_path, tmp_path / "MLmodel", str(tmp_path), tmp_path.as_uri()):
        read = autotrack.models.Model.load(place)
        assert read == model
        assert read.get_flavor("b") == {"y": [2.5, None]}
    assert autotrack.models.Model.from_yaml(model.to_yaml()).to_dict() == model.to_dict()
    assert datetime.datetime.strptime(model.utc_time_created, "%Y-%m-%d %H:%M:%S.%f")
