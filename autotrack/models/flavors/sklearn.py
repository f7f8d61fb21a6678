"""scikit-learn models: as skops files where every class in them is trusted by the policy, else as marked cloudpickles.

A directory written here is one of MLflow's `sklearn` flavor: `model.skops` or `model.pkl`, and both load there.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Any, Literal

from autotrack.errors import InvalidArgumentError, ModelFormatError
from autotrack.models.directory import Draft
from autotrack.models.mlmodel import PYFUNC, Model
from autotrack.models.requirements import requirements_of
from autotrack.models.saving import Paths, SaveOptions, copy_code, loader_settings, note_code, snapshot_of
from autotrack.models.signature import Signature, infer_signature
from autotrack.models.skops_writer import NotHeldError, dumps
from autotrack.models.snapshot import Snapshot
from autotrack.models.stored import load_object
from autotrack.models.unpickling import pickled
from autotrack.models.uris import local_path

Format = Literal["skops", "cloudpickle", "pickle"]

FLAVOR = "sklearn"
LOADER = "mlflow.sklearn"
SKOPS_FILE = "model.skops"
PICKLE_FILE = "model.pkl"

PREDICT_FUNCTIONS = ("predict", "predict_proba", "predict_log_proba", "predict_joint_log_proba", "score")
"""Methods that `python_function` may call."""


def save_model(
    sk_model: Any,
    path: str | os.PathLike[str] | Draft,
    *,
    signature: Signature | Literal[False] | None = None,
    input_example: Any = None,
    metadata: dict[str, Any] | None = None,
    serialization_format: Format | None = None,
    code_paths: Paths | None = None,
    pip_requirements: Iterable[str] | str | None = None,
    extra_pip_requirements: Iterable[str] = (),
    pyfunc_predict_fn: str = "predict",
    run_id: str | None = None,
    artifact_path: str | None = None,
    model_id: str | None = None,
) -> Model:
    """Save a fitted estimator, or a snapshot of one, as a model directory.

    Args:
        sk_model: The estimator; or a `Snapshot`, which is restored here.
        path: The directory to make, which appears when all is written; or a `Draft`, to have it in memory.
        signature: What the model takes and gives. By default inferred from `input_example` and the prediction for it,
            where one is given; False: none.
        input_example: A few rows of input, stored beside the model.
        metadata: Plain values to keep with the model.
        serialization_format: "skops", "cloudpickle" or "pickle"; by default skops, and cloudpickle where a class in
            the model is not one that is loaded without trust (the user's own, a third library's, a lambda).
        code_paths: Files and folders with the user's own modules, for a pickle to find them.
        pip_requirements: Requirements in place of the found ones: lines, or a file of them.
        extra_pip_requirements: Requirements besides.
        pyfunc_predict_fn: Method that `autotrack.pyfunc` and MLflow's call.
        run_id: Run that put the model out.
        artifact_path: Its name among the run's artifacts.
        model_id: Its id in the store.

    Returns:
        What stands in the directory's `MLmodel`.

    Raises:
        AlreadyExistsError: There is something at `path`.
        ArtifactError: It cannot be written.
        InvalidArgumentError: An argument is not usable, or the object can be pickled by no means.
    """
    if pyfunc_predict_fn not in PREDICT_FUNCTIONS:
        raise InvalidArgumentError("pyfunc_predict_fn", pyfunc_predict_fn, f"one of {', '.join(PREDICT_FUNCTIONS)}")
    snapshot = snapshot_of("sk_model", sk_model)
    estimator = snapshot.restore() if sk_model is snapshot else sk_model
    options = SaveOptions(
        path, signature, input_example, metadata, code_paths, pip_requirements, extra_pip_requirements,
        run_id, artifact_path, model_id,
    )  # fmt: skip
    content, config = _serialized(estimator, serialization_format)
    model = options.new_model()
    if hasattr(estimator, pyfunc_predict_fn):
        settings = loader_settings(LOADER, model_path=config["pickled_model"], predict_fn=pyfunc_predict_fn)
        model.add_flavor(PYFUNC, **settings)
    model.add_flavor(FLAVOR, **config)
    note_code(model, code_paths)
    model.signature = options.signature_by(lambda example: _inferred(estimator, pyfunc_predict_fn, example))
    files = {config["pickled_model"]: content}
    needed = partial(_requirements, snapshot, config["serialization_format"])
    return options.write(model, files, partial(copy_code, code_paths), needed)


def _inferred(estimator: Any, function: str, example: Any) -> Signature | None:
    """What the function takes and gives; None for an estimator that does not have it."""
    predict = getattr(estimator, function, None)
    return None if predict is None else infer_signature(example, predict(example))


def _serialized(estimator: Any, wanted: Format | None) -> tuple[bytes, dict[str, Any]]:
    """The model file's content, and the flavor's settings."""
    from sklearn import __version__ as sklearn_version

    config = {"code": None, "sklearn_version": sklearn_version, "skops_trusted_types": None}
    if wanted in ("skops", None):
        try:
            content, names = dumps(estimator)
            trusted = {"skops_trusted_types": names, "serialization_format": "skops", "pickled_model": SKOPS_FILE}
            return content, {**config, **trusted}
        except NotHeldError as error:
            if wanted == "skops":
                expected = f"a format that can hold this model: skops cannot ({error}); cloudpickle, or None to choose"
                raise InvalidArgumentError("serialization_format", wanted, expected) from None
            wanted = "cloudpickle"
    if wanted not in ("cloudpickle", "pickle"):
        raise InvalidArgumentError("serialization_format", wanted, "skops, cloudpickle, pickle or None")
    marked = {"serialization_format": wanted, "pickled_model": PICKLE_FILE}
    return pickled(estimator, wanted), {**config, **marked}


def _requirements(snapshot: Snapshot, serialization_format: str) -> list[str]:
    serializer = {"skops": ["skops"], "cloudpickle": ["cloudpickle"], "pickle": []}[serialization_format]
    return requirements_of({module for module, _ in snapshot.globals()}, ["scikit-learn", *serializer])


def load_model(model_uri: str | os.PathLike[str], trusted: bool = False) -> Any:
    """Load the estimator of a model directory that autotrack or MLflow saved.

    Args:
        model_uri: A path, `file:` URL, `runs:/ID/name` or `models:/...`.
        trusted: Load it though it is a pickle or names classes beyond the policy, which runs code of the file's.

    Raises:
        ModelFormatError: The directory is damaged, incomplete, or not a model's.
        UntrustedModelError: Loading it would run code, and nobody has said that it may.
    """
    directory = local_path(model_uri)
    return load_native(directory, Model.load(directory), trusted)


def load_native(directory: Path, model: Model, trusted: bool) -> Any:
    """See `autotrack.models.flavors`."""
    config = model.flavors.get(FLAVOR)
    if config is None:
        # A directory with python_function alone, from before the flavor was always there.
        config = {"pickled_model": model.get_flavor(PYFUNC).get("model_path")}
    return load_object(directory, model, FLAVOR, config, "pickled_model", trusted)


class _Predictor:
    def __init__(self, raw: Any, function: str) -> None:
        self.raw = raw
        self._function = function

    def predict(self, data: Any, params: dict[str, Any]) -> Any:
        return getattr(self.raw, self._function)(data, **params)


def load_predictor(directory: Path, model: Model, trusted: bool) -> _Predictor:
    """See `autotrack.models.flavors`."""
    function = model.get_flavor(PYFUNC).get("predict_fn", "predict")
    if function not in PREDICT_FUNCTIONS:
        raise ModelFormatError(f"{directory}: MLmodel: python_function.predict_fn is {function!r}, which is not known")
    estimator = load_native(directory, model, trusted)
    if not hasattr(estimator, function):
        raise ModelFormatError(f"{directory}: a {type(estimator).__qualname__} has no method {function}")
    return _Predictor(estimator, function)
