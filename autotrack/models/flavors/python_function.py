"""Models of the user's own Python code: a `PythonModel` or a function, with files and modules of its own.

Always a cloudpickle, so it is loaded only where somebody trusts it. A directory written here is one of MLflow's
`mlflow.pyfunc.model`, and both load there. MLflow's models with a loader module of their own are read here too, with
trust: loading one imports that module.
"""

from __future__ import annotations

import contextlib
import importlib
import inspect
import io
import os
import pickle
import types
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path
from threading import Lock
from typing import Any, Literal, NamedTuple

from autotrack.errors import InvalidArgumentError, ModelFormatError, UntrustedModelError
from autotrack.models import python_model as own
from autotrack.models.directory import Draft
from autotrack.models.mlmodel import PYFUNC, Model
from autotrack.models.python_model import FunctionModel, ObjectModel, PythonModelContext
from autotrack.models.requirements import requirements_of
from autotrack.models.safety import UNREADABLE, allows_pickle, file_inside, read_verified, verify_folder
from autotrack.models.saving import Paths, SaveOptions, code_folder, copy_code, copy_files, loader_settings
from autotrack.models.signature import Signature, infer_signature
from autotrack.models.snapshot import PICKLING_ERRORS, Snapshot
from autotrack.models.unpickling import add_code, load_pickle, python_of
from autotrack.models.uris import local_path

LOADER = "mlflow.pyfunc.model"
PICKLE_FILE = "python_model.pkl"
ARTIFACTS = "artifacts"

_by_value = Lock()


class _Source(NamedTuple):
    """One of the `artifacts`."""

    uri: str
    """As it was given."""
    path: Path


def save_model(
    python_model: Any,
    path: str | os.PathLike[str] | Draft,
    *,
    artifacts: Mapping[str, str | os.PathLike[str]] | None = None,
    code_paths: Paths | None = None,
    model_config: dict[str, Any] | None = None,
    signature: Signature | Literal[False] | None = None,
    input_example: Any = None,
    metadata: dict[str, Any] | None = None,
    pip_requirements: Iterable[str] | str | None = None,
    extra_pip_requirements: Iterable[str] = (),
    run_id: str | None = None,
    artifact_path: str | None = None,
    model_id: str | None = None,
) -> Model:
    """Save a `PythonModel`, any object with its methods, or a function from input to predictions.

    Args:
        python_model: The model; it is stored with cloudpickle.
        path: The directory to make, which appears when all is written; or a `Draft`, to have it in memory.
        artifacts: Files and folders (paths or URIs) by name; copied, and found again in `context.artifacts`.
        code_paths: Files and folders with the user's own modules; copied, and importable when the model is loaded.
        model_config: Plain settings, found again in `context.model_config`.
        signature: What the model takes and gives. By default inferred from `input_example` and the prediction for it,
            where one is given; False: none.
        input_example: A few rows of input, stored beside the model.
        metadata: Plain values to keep with the model.
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
        InvalidArgumentError: It has no `predict` and is no function, cannot be pickled, or an argument is not usable.
    """
    options = SaveOptions(
        path, signature, input_example, metadata, code_paths, pip_requirements, extra_pip_requirements,
        run_id, artifact_path, model_id,
    )  # fmt: skip
    instance = _instance(python_model)
    content, modules = _pickled(instance)
    sources = {name: _Source(str(uri), local_path(uri)) for name, uri in (artifacts or {}).items()}
    model = options.new_model()
    model.signature = options.signature_by(lambda example: _inferred(instance, sources, model_config, example))
    places = {name: f"{ARTIFACTS}/{_folder_name(name)}/{source.path.name}" for name, source in sources.items()}
    settings: dict[str, Any] = {"code": code_folder(code_paths)}
    if sources:
        settings["artifacts"] = {name: {"path": places[name], "uri": sources[name].uri} for name in sources}
    if model_config:
        settings["config"] = model_config
    marked = {"python_model": PICKLE_FILE, "cloudpickle_version": _cloudpickle().__version__, "streamable": False}
    model.add_flavor(PYFUNC, **loader_settings(LOADER, **marked, **settings))

    def copy(directory: Path) -> None:
        copy_code(code_paths, directory)
        for name, place in places.items():
            copy_files((directory / place).parent, {sources[name].path.name: sources[name].path}, "artifacts")

    return options.write(model, {PICKLE_FILE: content}, copy, partial(requirements_of, modules, ["cloudpickle"]))


def _inferred(
    instance: Any, sources: dict[str, _Source], model_config: dict[str, Any] | None, example: Any
) -> Signature:
    context = PythonModelContext({name: str(source.path) for name, source in sources.items()}, model_config)
    instance.load_context(context)
    return infer_signature(example, _Predictor(instance, context).predict(example, {}))


def _folder_name(name: str) -> str:
    """An artifact's own folder, so that two files of one name do not meet.

    Raises:
        InvalidArgumentError: The name is none for a folder.
    """
    if not name or name != Path(name).name or name in (".", ".."):
        raise InvalidArgumentError("artifacts", name, "names that can be folders")
    return name


def _instance(model: Any) -> Any:
    if isinstance(model, Snapshot):
        model = model.restore()
    if callable(getattr(model, "predict", None)) and not isinstance(model, type):
        if hasattr(model, "predict_type_hints"):
            return model
        return ObjectModel(model) if hasattr(model, "load_context") else FunctionModel(model.predict)
    if callable(model) and not isinstance(model, type):
        return FunctionModel(model)
    raise InvalidArgumentError("python_model", model, "a PythonModel, an object with `predict`, or a function")


def _cloudpickle() -> Any:
    try:
        import cloudpickle
    except ImportError:
        raise InvalidArgumentError(
            "python_model", "a model of Python code", "cloudpickle to be installed: pip install 'autotrack[pyfunc]'"
        ) from None
    return cloudpickle


@contextlib.contextmanager
def _base_by_value(cloudpickle: Any) -> Iterator[None]:
    """`PythonModel` itself goes into the pickle, so that it loads where there is no autotrack."""
    with _by_value:
        cloudpickle.register_pickle_by_value(own)
        try:
            yield
        finally:
            cloudpickle.unregister_pickle_by_value(own)


def _pickled(instance: Any) -> tuple[bytes, set[str]]:
    """The model's pickle, and the modules that the model is made of.

    Raises:
        InvalidArgumentError: It cannot be pickled.
    """
    cloudpickle = _cloudpickle()
    modules: set[str] = set()

    class Pickler(cloudpickle.Pickler):  # type: ignore[misc, name-defined]
        def persistent_id(self, value: Any) -> None:
            """Called for every object on the way; notes where its kind is defined."""
            if isinstance(value, types.ModuleType):
                modules.add(value.__name__)
            elif isinstance(value, (type, types.FunctionType, types.BuiltinFunctionType)):
                modules.add(str(value.__module__))
            else:
                modules.add(type(value).__module__)

    buffer = io.BytesIO()
    try:
        with _base_by_value(cloudpickle):
            Pickler(buffer, protocol=pickle.DEFAULT_PROTOCOL).dump(instance)
    except PICKLING_ERRORS as error:
        expected = f"a model that cloudpickle can pickle ({error})"
        raise InvalidArgumentError("python_model", type(instance).__qualname__, expected) from None
    return buffer.getvalue(), modules - {own.__name__}


def load_native(directory: Path, model: Model, trusted: bool) -> Any:
    """See `autotrack.models.flavors`."""
    return load_predictor(directory, model, trusted).raw


class _Predictor:
    """A `PythonModel` behind `predict(data, params)`."""

    def __init__(self, raw: Any, context: PythonModelContext) -> None:
        self.raw = raw
        self._context = context
        names = [name for name in inspect.signature(raw.predict).parameters if name != "params"]
        self._takes_context = len(names) > 1 or "context" in names
        self._takes_params = "params" in inspect.signature(raw.predict).parameters

    def predict(self, data: Any, params: dict[str, Any]) -> Any:
        positional = (self._context, data) if self._takes_context else (data,)
        return self.raw.predict(*positional, **({"params": params} if self._takes_params else {}))


class _ForeignPredictor:
    """What another loader module gave, behind `predict(data, params)`."""

    def __init__(self, found: Any, function: str) -> None:
        self.raw = found.get_raw_model() if hasattr(found, "get_raw_model") else found
        self._predict: Callable[..., Any] = getattr(found, function)
        self._takes_params = "params" in inspect.signature(self._predict).parameters

    def predict(self, data: Any, params: dict[str, Any]) -> Any:
        return self._predict(data, **({"params": params} if self._takes_params and params else {}))


def load_predictor(directory: Path, model: Model, trusted: bool) -> _Predictor | _ForeignPredictor:
    """See `autotrack.models.flavors`."""
    config = model.get_flavor(PYFUNC)
    if config.get("loader_module") != LOADER or "python_model" not in config:
        return _foreign(directory, model, config, trusted)
    name = config["python_model"]
    data = read_verified(directory, model, name, "python_function.python_model")
    file = file_inside(directory, name, "python_function.python_model")
    if config.get("python_model_compression"):
        raise ModelFormatError(f"{file}: compressed by {config['python_model_compression']}, which is not read here")
    artifacts = _artifacts(directory, model, config)
    if allows_pickle(trusted):
        add_code(directory, model, config.get("code"), "python_function.code")
    instance = load_pickle(data, file, trusted, python_of(directory, model))
    context = PythonModelContext(artifacts, config.get("config"))
    instance.load_context(context)
    return _Predictor(instance, context)


def _artifacts(directory: Path, model: Model, config: dict[str, Any]) -> dict[str, str]:
    """Paths of a model's files, by name."""
    entries = config.get("artifacts") or {}
    if not isinstance(entries, dict) or not all(isinstance(entry, dict) for entry in entries.values()):
        raise ModelFormatError(f"{directory}: MLmodel: python_function.artifacts is not a mapping of names to files")
    key = "python_function.artifacts"
    return {name: str(verify_folder(directory, model, entry.get("path"), key)) for name, entry in entries.items()}


def _foreign(directory: Path, model: Model, config: dict[str, Any], trusted: bool) -> _ForeignPredictor:
    """A model that names the module which loads it."""
    name = config.get("loader_module")
    if not isinstance(name, str) or not name:
        raise ModelFormatError(f"{directory}: MLmodel: python_function.loader_module is {name!r}; expected a module")
    if not allows_pickle(trusted):
        raise UntrustedModelError(
            f"{directory}: python_function.loader_module is {name!r}, which autotrack does not know and so does not "
            "import. If you know where the model comes from, load it with trusted=True, or set allow_pickle "
            "(AUTOTRACK_ALLOW_PICKLE=1)"
        )
    add_code(directory, model, config.get("code"), "python_function.code")
    data = config.get("data")
    place = str(verify_folder(directory, model, data, "python_function.data") if data else directory)
    settings = [config["config"]] if config.get("config") else []
    try:
        found = importlib.import_module(name)._load_pyfunc(place, *settings)
        return _ForeignPredictor(found, str(config.get("predict_fn", "predict")))
    except ModuleNotFoundError as error:
        raise ModelFormatError(
            f"{directory}: it needs the module {error.name!r}, which is not installed here"
        ) from error
    except UNREADABLE as error:
        raise ModelFormatError(f"{directory}: {name} cannot load it: {error!r}") from error
