"""LightGBM models: the booster in LightGBM's own text form, and what scikit-learn's wrapper adds to it as JSON.

A directory written here is one of MLflow's `lightgbm` flavor. A `Booster` is `model.lgb`, which both read. An
`LGBMClassifier`, `LGBMRegressor` or `LGBMRanker` is `model.lgb` and `model.json`, which autotrack reads, and
`model.skops`, which MLflow reads. A wrapper that holds the user's own code (an objective function) is a marked
cloudpickle. A Dask estimator is saved as the estimator that it comes down to.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Any, Literal

from autotrack.errors import InvalidArgumentError, ModelFormatError
from autotrack.models import plain
from autotrack.models.boosters import check_text
from autotrack.models.clusters import local_form
from autotrack.models.directory import Draft
from autotrack.models.mlmodel import PYFUNC, Model
from autotrack.models.requirements import requirements_of
from autotrack.models.safety import UNREADABLE, file_inside, read_verified
from autotrack.models.saving import Paths, SaveOptions, copy_code, loader_settings, note_code
from autotrack.models.signature import Signature, infer_signature
from autotrack.models.skops_writer import NotHeldError, dumps
from autotrack.models.snapshot import Snapshot
from autotrack.models.stored import load_object
from autotrack.models.unpickling import pickled
from autotrack.models.uris import local_path

FLAVOR = "lightgbm"
LOADER = "mlflow.lightgbm"
TEXT_FILE = "model.lgb"
STATE_FILE = "model.json"
SKOPS_FILE = "model.skops"
PICKLE_FILE = "model.pkl"

BOOSTER = "lightgbm.basic.Booster"
WRAPPERS = ("LGBMClassifier", "LGBMModel", "LGBMRanker", "LGBMRegressor")
"""Classes of `lightgbm.sklearn` that are rebuilt from text and JSON."""

STATE_VERSION = 1
"""Version of model.json."""


def save_model(
    lgb_model: Any,
    path: str | os.PathLike[str] | Draft,
    *,
    signature: Signature | Literal[False] | None = None,
    input_example: Any = None,
    metadata: dict[str, Any] | None = None,
    code_paths: Paths | None = None,
    pip_requirements: Iterable[str] | str | None = None,
    extra_pip_requirements: Iterable[str] = (),
    run_id: str | None = None,
    artifact_path: str | None = None,
    model_id: str | None = None,
) -> Model:
    """Save a `Booster` or a fitted model of LightGBM's scikit-learn API as a model directory.

    Of a `Booster` that stopped early, the rounds up to the best one are kept, as LightGBM does; they are the ones
    that predict. A model of the scikit-learn API keeps all.

    Args:
        lgb_model: The model, or a snapshot of it.
        path: The directory to make, which appears when all is written; or a `Draft`, to have it in memory.
        signature: What the model takes and gives. By default inferred from `input_example` and the prediction for it,
            where one is given; False: none.
        input_example: A few rows of input, stored beside the model.
        metadata: Plain values to keep with the model.
        code_paths: Files and folders with the user's own modules, for a pickle to find them.
        pip_requirements: Requirements in place of the found ones: lines, or a file of them.
        extra_pip_requirements: Requirements besides.
        run_id: Run that put the model out.
        artifact_path: Its name among the run's artifacts.
        model_id: Its id in the store.

    Returns:
        What stands in the directory's `MLmodel`.

    Raises:
        AlreadyExistsError: There is something at `path`.
        ArtifactError: It cannot be written.
        InvalidArgumentError: It is no fitted model of LightGBM's, or an argument is not usable.
    """
    native = local_form(lgb_model.restore() if isinstance(lgb_model, Snapshot) else lgb_model)
    options = SaveOptions(
        path, signature, input_example, metadata, code_paths, pip_requirements, extra_pip_requirements,
        run_id, artifact_path, model_id,
    )  # fmt: skip
    files, config = _forms(native)
    model = options.new_model()
    model.add_flavor(PYFUNC, **loader_settings(LOADER, data=config["data"]))
    model.add_flavor(FLAVOR, **config)
    note_code(model, code_paths)
    model.signature = options.signature_by(lambda example: infer_signature(example, native.predict(example)))
    return options.write(model, files, partial(copy_code, code_paths), partial(_requirements, native, config))


def _class_of(native: Any) -> str:
    return f"{type(native).__module__}.{type(native).__qualname__}"


def _requirements(native: Any, config: dict[str, Any]) -> list[str]:
    always = ["lightgbm"]
    if config["model_class"] != BOOSTER:
        always += ["scikit-learn", "skops" if config["serialization_format"] == "skops" else "cloudpickle"]
    return requirements_of({base.__module__ for base in type(native).__mro__}, always)


def _forms(native: Any) -> tuple[dict[str, bytes], dict[str, Any]]:
    """The model's files, and the flavor's settings."""
    from lightgbm import Booster, LGBMModel, __version__

    config: dict[str, Any] = {"code": None, "lgb_version": __version__, "model_class": _class_of(native)}
    if isinstance(native, Booster):
        state = _state(native, {})
        text = native.model_to_string().encode()
        return {TEXT_FILE: text, STATE_FILE: state}, {
            **config, "model_class": BOOSTER, "data": TEXT_FILE, "state": STATE_FILE, "text": TEXT_FILE,
        }  # fmt: skip
    if not isinstance(native, LGBMModel) or getattr(native, "_Booster", None) is None:
        expected = "a Booster, or a fitted LGBMClassifier, LGBMRegressor or LGBMRanker"
        raise InvalidArgumentError("lgb_model", type(native).__qualname__, expected)
    try:
        return _wrapper_forms(native, config)
    except (NotHeldError, plain.NotPlainError) as error:
        marked = {"data": PICKLE_FILE, "serialization_format": "cloudpickle", "pickled_because": str(error)}
        return {PICKLE_FILE: pickled(native, "cloudpickle")}, {**config, **marked}


def _wrapper_forms(native: Any, config: dict[str, Any]) -> tuple[dict[str, bytes], dict[str, Any]]:
    if config["model_class"] not in [f"lightgbm.sklearn.{name}" for name in WRAPPERS]:
        raise plain.NotPlainError(f"{config['model_class']} is no class of LightGBM's own")
    attributes = {name: value for name, value in vars(native).items() if name != "_Booster"}
    state = _state(native._Booster, attributes)
    skops, names = dumps(native)
    text = native._Booster.model_to_string(num_iteration=-1).encode()
    files = {TEXT_FILE: text, STATE_FILE: state, SKOPS_FILE: skops}
    return files, {
        **config, "data": SKOPS_FILE, "serialization_format": "skops", "skops_trusted_types": names,
        "state": STATE_FILE, "text": TEXT_FILE,
    }  # fmt: skip


def _state(booster: Any, wrapper: dict[str, Any]) -> bytes:
    """model.json."""
    scores = {"best_iteration": booster.best_iteration, "best_score": booster.best_score}
    try:
        encoded = plain.encode(scores)
    except plain.NotPlainError:
        # A metric of the user's may give anything; what is left is told by the text.
        encoded = plain.encode({"best_iteration": booster.best_iteration})
    content = {"format": STATE_VERSION, "booster": encoded, "wrapper": plain.encode(wrapper)}
    return json.dumps(content, sort_keys=True).encode()


def load_model(model_uri: str | os.PathLike[str], trusted: bool = False) -> Any:
    """Load the `Booster`, or model of the scikit-learn API, of a directory that autotrack or MLflow saved.

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
        config = {"data": model.get_flavor(PYFUNC).get("data")}
    model_class = config.get("model_class", BOOSTER)
    if "text" in config:
        return _load_text(directory, model, config, str(model_class))
    if model_class == BOOSTER:
        return _booster(directory, model, config, "data")
    return load_object(directory, model, FLAVOR, config, "data", trusted)


def _booster(directory: Path, model: Model, config: dict[str, Any], name_key: str) -> Any:
    """The booster in the file that a setting names."""
    import lightgbm

    key = f"flavors.{FLAVOR}.{name_key}"
    data = read_verified(directory, model, config.get(name_key), key)
    file = file_inside(directory, config.get(name_key), key)
    try:
        text = data.decode()
        check_text(text, file)
        return lightgbm.Booster(model_str=text)
    except (*UNREADABLE, lightgbm.basic.LightGBMError) as error:
        raise ModelFormatError(f"{file}: not a readable LightGBM model: {error}") from None


def _load_text(directory: Path, model: Model, config: dict[str, Any], model_class: str) -> Any:
    """A model from its text and JSON."""
    booster = _booster(directory, model, config, "text")
    content = read_verified(directory, model, config.get("state"), "flavors.lightgbm.state")
    try:
        state = json.loads(content)
        if state["format"] > STATE_VERSION:
            raise ModelFormatError(f"{directory}: {config['state']} is of a newer version of autotrack")
        scores, wrapper = plain.decode(state["booster"]), plain.decode(state["wrapper"])
        vars(booster).update({key: scores[key] for key in ("best_iteration", "best_score") if key in scores})
        if model_class == BOOSTER:
            return booster
        return _rebuilt(model_class, wrapper, booster)
    except UNREADABLE as error:
        raise ModelFormatError(f"{directory}: {config['state']} is damaged: {error!r}") from None


def _rebuilt(model_class: str, attributes: dict[str, Any], booster: Any) -> Any:
    import lightgbm.sklearn

    module, _, name = model_class.rpartition(".")
    if module != "lightgbm.sklearn" or name not in WRAPPERS:
        raise ModelFormatError(f"MLmodel: flavors.lightgbm.model_class is {model_class!r}, which is not rebuilt")
    kind = getattr(lightgbm.sklearn, name)
    native = kind.__new__(kind)
    vars(native).update({**attributes, "_Booster": booster})
    return native


class _Predictor:
    def __init__(self, raw: Any) -> None:
        self.raw = raw

    def predict(self, data: Any, params: dict[str, Any]) -> Any:
        return self.raw.predict(data, **params)


def load_predictor(directory: Path, model: Model, trusted: bool) -> _Predictor:
    """See `autotrack.models.flavors`."""
    return _Predictor(load_native(directory, model, trusted))
