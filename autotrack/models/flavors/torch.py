"""torch modules: an exported program where an input example allows it, the weights as safetensors in any case.

A directory written here is one of MLflow's `pytorch` flavor, `data/model.pt2` or `data/model.pth`, and both load there;
`data/model.safetensors` beside it is autotrack's. Without an input example, and for what cannot be exported, the module
is pickled by `torch.save`. That loads without trust as long as it consists of torch's own modules; a class of the
user's asks for it, or is given: `load_model(uri, module=Net())` takes only the weights.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Any, Literal

from autotrack.errors import InvalidArgumentError
from autotrack.models import tensors
from autotrack.models.directory import Draft
from autotrack.models.exporting import NotExportedError, exported
from autotrack.models.mlmodel import PYFUNC, Model
from autotrack.models.modules import MODULE_FILE, load_module, load_program, module_bytes
from autotrack.models.requirements import requirements_of
from autotrack.models.safety import UNREADABLE, allows_pickle, file_inside, read_verified
from autotrack.models.saving import Paths, SaveOptions, code_folder, copy_code, loader_settings
from autotrack.models.signature import Signature, infer_signature
from autotrack.models.snapshot import Snapshot
from autotrack.models.torch_data import arguments_of, batch_of, plain_output
from autotrack.models.unpickling import add_code
from autotrack.models.uris import local_path

Format = Literal["pt2", "pickle"]

FLAVOR = "pytorch"
LOADER = "mlflow.pytorch"
DATA = "data"
PROGRAM_FILE = "model.pt2"
WEIGHTS_FILE = "model.safetensors"


def save_model(
    pytorch_model: Any,
    path: str | os.PathLike[str] | Draft,
    *,
    signature: Signature | Literal[False] | None = None,
    input_example: Any = None,
    metadata: dict[str, Any] | None = None,
    serialization_format: Format | None = None,
    code_paths: Paths | None = None,
    pip_requirements: Iterable[str] | str | None = None,
    extra_pip_requirements: Iterable[str] = (),
    run_id: str | None = None,
    artifact_path: str | None = None,
    model_id: str | None = None,
) -> Model:
    """Save a torch module as a model directory. The module itself, its mode and its device stay as they are.

    Args:
        pytorch_model: A `torch.nn.Module`, compiled or not, or a snapshot of one.
        path: The directory to make, which appears when all is written; or a `Draft`, to have it in memory.
        signature: What the model takes and gives. By default inferred from `input_example` and the output for it,
            where one is given; False: none.
        input_example: What `forward` takes: a tensor, array or DataFrame (as float32); a tuple of tensors for several
            arguments; a dict for arguments by name. The first dimension is taken to be the batch.
        metadata: Plain values to keep with the model.
        serialization_format: "pt2" (an exported program) or "pickle"; by default pt2 where an input example is given
            and the module can be exported, else pickle.
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
        InvalidArgumentError: It is no module, cannot be stored in the asked format, or an argument is not usable.
    """
    import torch

    module = _module_of(pytorch_model)
    if serialization_format not in ("pt2", "pickle", None):
        raise InvalidArgumentError("serialization_format", serialization_format, "pt2, pickle or None")
    options = SaveOptions(
        path, signature, input_example, metadata, code_paths, pip_requirements, extra_pip_requirements,
        run_id, artifact_path, model_id,
    )  # fmt: skip
    files, notes, output = _forms(module, serialization_format, input_example)
    model = options.new_model()
    model.signature = options.signature_by(lambda example: _signature_of(example, output))
    code = code_folder(code_paths)
    # An exported program stays on the device that it was exported on.
    device = "cpu" if PROGRAM_FILE in files else None
    model.add_flavor(PYFUNC, **loader_settings(LOADER, data=DATA, config={"device": device}, code=code))
    model.add_flavor(FLAVOR, model_data=DATA, pytorch_version=str(torch.__version__), code=code, **notes)
    inside = {f"{DATA}/{name}": content for name, content in files.items()}
    return options.write(model, inside, partial(copy_code, code_paths), partial(_requirements, module))


def _module_of(given: Any) -> Any:
    """The module itself: out of a snapshot, and as it was before it was compiled."""
    import torch

    module = given.restore() if isinstance(given, Snapshot) else given
    module = getattr(module, "_orig_mod", module)
    if not isinstance(module, torch.nn.Module):
        raise InvalidArgumentError("pytorch_model", type(module).__qualname__, "a torch.nn.Module")
    return module


def _requirements(module: Any) -> list[str]:
    kinds = {base for part in module.modules() for base in type(part).__mro__}
    return requirements_of({kind.__module__ for kind in kinds}, ["torch", "safetensors", "numpy", "pandas"])


def _signature_of(example: Any, output: Any) -> Signature | None:
    """What the module takes and gives; None where no signature describes it, or where there is no output."""
    if output is None or not batch_of(example):
        return None
    try:
        return infer_signature(example, output)
    except InvalidArgumentError:
        return None


def _forms(module: Any, wanted: Format | None, example: Any) -> tuple[dict[str, bytes], dict[str, Any], Any]:
    """The files in `data`, the flavor's notes on them, and the module's output for the example."""
    files: dict[str, bytes] = {}
    notes: dict[str, Any] = {}
    weights = tensors.encode(module.state_dict())
    if weights is not None:
        files[WEIGHTS_FILE] = weights
        notes["state_dict"] = f"{DATA}/{WEIGHTS_FILE}"
    reason = "no input example to export it with"
    if wanted != "pickle" and example is not None:
        try:
            program, output = exported(module, *arguments_of(example))
        except NotExportedError as error:
            reason = str(error)
        else:
            return {**files, PROGRAM_FILE: program}, {**notes, "serialization_format": "pt2"}, plain_output(output)
    if wanted == "pt2":
        raise InvalidArgumentError("serialization_format", wanted, f"a format that can hold this model ({reason})")
    files.update(module_bytes(module))
    notes.update(serialization_format="pickle", pickled_because=reason if wanted is None else None)
    return files, notes, None


def load_model(
    model_uri: str | os.PathLike[str],
    trusted: bool = False,
    *,
    module: Any = None,
    device: str | None = None,
) -> Any:
    """Load the module of a model directory that autotrack or MLflow saved, on the CPU.

    Args:
        model_uri: A path, `file:` URL, `runs:/ID/name` or `models:/...`.
        trusted: Load it though that runs code of the file's (a pickle that names other classes than torch's own).
        module: A module of the same class, which gets the stored weights and is returned. That needs no trust.
        device: Where to move it.

    Returns:
        The module in evaluation mode; a module that runs the stored program where one was exported.

    Raises:
        InvalidArgumentError: The weights are not those of `module`.
        ModelFormatError: The directory is damaged, incomplete, or not a model's.
        UntrustedModelError: Loading it would run code, and nobody has said that it may.
    """
    directory = local_path(model_uri)
    model = Model.load(directory)
    if module is None:
        native = load_native(directory, model, trusted)
        return native if device is None else native.to(device)
    try:
        module.load_state_dict(_state_dict(directory, model, trusted))
    except (RuntimeError, TypeError, AttributeError) as error:
        expected = f"a module with the weights of the stored one ({str(error)[:1000]})"
        raise InvalidArgumentError("module", type(module).__qualname__, expected) from None
    module.eval()
    return module if device is None else module.to(device)


def load_state_dict(model_uri: str | os.PathLike[str], trusted: bool = False) -> dict[str, Any]:
    """Load the weights of a model directory, by name, on the CPU.

    Args:
        model_uri: A path, `file:` URL, `runs:/ID/name` or `models:/...`.
        trusted: Load them though that runs code of the file's; models that autotrack saved do not need it.

    Raises:
        ModelFormatError: The directory is damaged, incomplete, or not a model's.
        UntrustedModelError: Loading it would run code, and nobody has said that it may.
    """
    directory = local_path(model_uri)
    return _state_dict(directory, Model.load(directory), trusted)


def _state_dict(directory: Path, model: Model, trusted: bool) -> dict[str, Any]:
    name = _settings(model).get("state_dict")
    if name is None:
        return dict(load_native(directory, model, trusted).state_dict())
    data = read_verified(directory, model, name, "flavors.pytorch.state_dict")
    return tensors.decode(data, directory / name)


def _settings(model: Model) -> dict[str, Any]:
    """The flavor's settings; those of `python_function` do where it is absent."""
    found = model.flavors.get(FLAVOR)
    return found if found is not None else {"model_data": model.get_flavor(PYFUNC).get("data")}


def load_native(directory: Path, model: Model, trusted: bool) -> Any:
    """See `autotrack.models.flavors`."""
    config = _settings(model)
    folder = config.get("model_data")
    key = "flavors.pytorch.model_data"
    inside = file_inside(directory, folder, key)
    # As in MLflow: the pickle where there are both.
    if (inside / MODULE_FILE).exists():
        name = f"{folder}/{MODULE_FILE}"
        data = read_verified(directory, model, name, key)
        if allows_pickle(trusted):
            add_code(directory, model, config.get("code"), "flavors.pytorch.code")
        return load_module(data, directory / name, trusted)
    name = f"{folder}/{PROGRAM_FILE}"
    return load_program(read_verified(directory, model, name, key), directory / name, trusted)


class _Predictor:
    def __init__(self, raw: Any) -> None:
        self.raw = raw

    def predict(self, data: Any, params: dict[str, Any]) -> Any:
        import torch

        positional, named = arguments_of(data)
        try:
            device = next((weight.device for weight in self.raw.parameters()), torch.device("cpu"))
            with torch.no_grad():
                output = self.raw(
                    *(value.to(device) for value in positional),
                    **{name: value.to(device) for name, value in named.items()},
                    **params,
                )
        except UNREADABLE as error:
            raise InvalidArgumentError("data", type(data).__qualname__, f"what the module takes ({error})") from error
        return plain_output(output, data)


def load_predictor(directory: Path, model: Model, trusted: bool) -> _Predictor:
    """See `autotrack.models.flavors`."""
    return _Predictor(load_native(directory, model, trusted))
