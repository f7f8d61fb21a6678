"""What a run puts out: models and files.

A model that is recorded by itself comes as a snapshot and is converted behind the training thread; equal snapshots are
stored once. A model that is logged by a call is stored when the call returns.
"""

from __future__ import annotations

import hashlib
import json
import math
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

from autotrack import clock, console, events
from autotrack.artifacts import Artifacts
from autotrack.errors import InvalidArgumentError
from autotrack.models import Model, Signature, Snapshot, infer_signature
from autotrack.models import load_model as load_local_model
from autotrack.models.directory import Draft, content_digest
from autotrack.models.flavors import FLAVORS, flavor_of
from autotrack.models.mlmodel import FILE_NAME, PYFUNC
from autotrack.models.saving import copies_files, requirement_lines
from autotrack.records import LoggedModel
from autotrack.tracking import current_run, model_registry
from autotrack.tracking.cost import storing
from autotrack.tracking.redaction import redact, redact_mapping, redact_shapes, secret_in
from autotrack.tracking.registry_names import checked_model_name
from autotrack.tracking.run import RunWriter
from autotrack.tracking.values import checked_key

EXAMPLE_ROWS = 5
"""Rows of an input example that is stored by itself."""


CODE = (".pkl", ".pth")
"""Endings of the files of a model that may have code of the program's in them, with the globals that it uses."""

MAX_SEARCHED = 256 * 1024
"""Bytes of such a file that are searched for tokens; code comes before weights."""


def store_bytes(run: RunWriter, data: bytes, path: str) -> None:
    """Store bytes as one of a run's artifacts.

    Raises:
        ArtifactError: The path is refused, or the file cannot be stored.
    """
    run.log_files([run.artifacts().put_bytes(path, data)])


def store_files(run: RunWriter, folder: str, files: Mapping[str, bytes]) -> None:
    """Store several files of a folder among a run's artifacts; errors as for `store_bytes`."""
    run.log_files(run.artifacts().put_all(folder, files))


def record_model(
    run: RunWriter,
    flavor: str,
    snapshot: Snapshot,
    *,
    name: str,
    model_id: str,
    inputs: Any = None,
    predictions: Any = None,
    example: Any = None,
    step: int = 0,
    registered_model_name: str | None = None,
) -> None:
    """Store a snapshot as a model of a run, behind the training thread; an equal one is only referred to.

    Raises:
        AutotrackError: It cannot be converted or stored.
    """
    models = run.models()
    folder = hashlib.sha256(snapshot.data).hexdigest()[:32]
    facts = _facts_of(models, folder)
    if facts is None:
        signature = _signature_of(inputs, predictions)
        try:
            _, facts = _saved(
                models, folder, flavor, snapshot, unasked=True, signature=signature or False,
                input_example=_head(example), run_id=run.run_id, artifact_path=name,
            )  # fmt: skip
        except _TokenInside as found:
            run.degrade(f"the model is not recorded: it holds a secret, a token in its {found}")
            return
    _announce(run, model_id, name, models, folder, facts, step, registered_model_name)


class Facts(NamedTuple):
    """What the store notes of a model."""

    flavors: tuple[str, ...]
    size: int
    digest: str
    signature: str
    """As JSON; empty where there is none."""
    metadata: tuple[tuple[str, Any], ...]


MAX_KNOWN = 2_000
"""Models that are in the store of which it is kept what the store notes of them."""

_known: dict[tuple[str, str], Facts] = {}
"""By root and folder, not to be changed. To read YAML is what takes longest where a model equals an earlier one."""

_alike: dict[Any, Any] = {}
"""Parts of facts that many have in common, held once."""


def _facts_of(models: Artifacts, folder: str) -> Facts | None:
    """What the store notes of a model that is there; None where it is not."""
    file = f"{folder}/{FILE_NAME}"
    if not models.exists(file):
        return None
    known = _known.get((models.root, folder))
    return known or _noted(models, folder, Model.from_yaml(models.read_bytes(file).decode()))


def _noted(models: Artifacts, folder: str, model: Model) -> Facts:
    """The facts of a model that is in the store, which are kept for the next one that equals it."""
    global _known, _alike  # swapped whole: others may be reading them
    signature = json.dumps(model.signature.to_dict()) if model.signature is not None else ""
    flavors = tuple(sorted(model.flavors))
    facts = Facts(
        flavors=_alike.setdefault(flavors, flavors),
        size=model.model_size_bytes or 0,
        digest=str((model.autotrack or {}).get("digest", "")),
        signature=_alike.setdefault(signature, signature),
        metadata=tuple((model.metadata or {}).items()),
    )
    if len(_known) >= MAX_KNOWN:
        _known, _alike = dict(list(_known.items())[MAX_KNOWN // 2 :]), {}
    _known[models.root, folder] = facts
    return facts


_best: WeakKeyDictionary[RunWriter, tuple[float, str]] = WeakKeyDictionary()
"""Score and model id of the best model of each run so far. Only the worker uses it."""


def place_of_best(run: RunWriter, score: float | None, model_id: str) -> str | None:
    """The id under which a model takes the place of the run's best one; None where it is worse. Of equals the last.

    Args:
        run: The run.
        score: Its score, the higher the better; without one any other is better.
        model_id: Its own id, for the first model of a run.
    """
    own = score if score is not None and score == score else -math.inf
    best, model_id = _best.get(run, (-math.inf, model_id))
    if own < best:
        return None
    _best[run] = (own, model_id)
    return model_id


def _signature_of(inputs: Any, predictions: Any) -> Signature | None:
    """What a model takes and gives; None where the data is of a kind that no signature describes."""
    if inputs is None:
        return None
    try:
        return infer_signature(inputs, predictions)
    except InvalidArgumentError:
        return None


def _head(data: Any) -> Any:
    if data is None:
        return None
    return data.iloc[:EXAMPLE_ROWS] if hasattr(data, "iloc") else data[:EXAMPLE_ROWS]


class _TokenInside(Exception):
    """One of a model's files holds a token, by the file's name; never shown to a user."""


def _saved(
    models: Artifacts, folder: str | None, flavor: str, model: Any, unasked: bool = False, **options: Any
) -> tuple[str, Facts]:
    """Store a model among the models; MLmodel comes last. From memory, unless files of the program's go with it.

    Without a folder's name it is that of the content's digest, and what is there already is not stored again.

    Raises:
        _TokenInside: Nobody has asked to store it, and it takes a token along: a global of a class of `__main__`.
    """
    row = next(row for row in FLAVORS if row.name == flavor)
    with _scratch() if copies_files(options) else nullcontext() as place:
        draft = Draft() if place is None else place / "model"
        saved = row.load().save_model(model, draft, **options)
        if unasked and isinstance(draft, Draft):
            _refuse_tokens(draft.files)
        _take_secrets_out(saved)
        if folder is None:
            folder = str(saved.digest)[:32]
            if models.exists(f"{folder}/{FILE_NAME}"):
                return folder, _noted(models, folder, saved)
        content = saved.to_yaml().encode()
        if isinstance(draft, Draft):
            models.put_all(folder, {**draft.files, FILE_NAME: content}, (saved.autotrack or {}).get("files"))
        else:
            (draft / FILE_NAME).unlink()
            models.put_folder(draft, folder)
            models.put_bytes(f"{folder}/{FILE_NAME}", content)
    return folder, _noted(models, folder, saved)


def _refuse_tokens(files: Mapping[str, bytes]) -> None:
    for name, data in files.items():
        if name.endswith(CODE):
            text = data[:MAX_SEARCHED].decode("latin-1")
            if redact_shapes(text) != text:
                raise _TokenInside(name)


@contextmanager
def _scratch() -> Iterator[Path]:
    """A temporary folder. No `TemporaryDirectory`: that is removed as the program exits, below a job at work."""
    place = tempfile.mkdtemp(prefix="autotrack-")
    try:
        yield Path(place)
    finally:
        shutil.rmtree(place, ignore_errors=True)


def _announce(
    run: RunWriter,
    model_id: str,
    name: str,
    models: Artifacts,
    folder: str,
    facts: Facts,
    step: int = 0,
    registered: str | None = None,
) -> LoggedModel:
    event = events.ModelLogged(
        model_id=model_id,
        run_id=run.run_id,
        name=name,
        time=clock.now(),
        uri=f"{models.root}/{folder}",
        path=name,
        flavors=list(facts.flavors),
        size=facts.size,
        digest=facts.digest,
        signature=facts.signature,
        metadata=dict(facts.metadata),
        step=step,
    )
    if registered:
        model_registry.log_and_register(run.recorder, event, registered)
    else:
        run.recorder.write(event)
    return LoggedModel(
        event.model_id, run.run_id, name, event.uri, name, event.flavors, event.size, event.digest, event.signature,
        "", event.time, step, event.metadata,
    )  # fmt: skip


def log_model(
    model: Any,
    artifact_path: str | None = None,
    *,
    name: str | None = None,
    signature: Signature | None = None,
    input_example: Any = None,
    metadata: Mapping[str, Any] | None = None,
    run_id: str | None = None,
    registered_model_name: str | None = None,
    flavor: str | None = None,
    **options: Any,
) -> LoggedModel:
    """Store a model as an output of the active run (one is opened where there is none).

    Args:
        model: A framework's object; its type decides the flavor.
        artifact_path: MLflow's older name for `name`.
        name: The model's name in the run; "model" by default. `runs:/<run id>/<name>` loads it.
        signature: What it takes and gives; by default inferred from `input_example`.
        input_example: A few rows of input, stored beside the model.
        metadata: Plain values to keep with the model; secrets among them are left out.
        run_id: Another run than the active one.
        registered_model_name: Make it the next version of the registered model of this name.
        flavor: Name of the flavor, where it is not the one of the model's type.
        **options: As of the flavor's own `save_model`. Requirements are kept without the passwords in their URLs (pip
            takes `${NAME}` from the environment, which stays), `model_config` without secrets: a model takes them from
            the environment. What the object itself holds is stored as it is, a secret too.

    Returns:
        The stored model.

    Raises:
        InvalidArgumentError: No flavor is for an object of this type, or an argument is not usable.
        ArtifactError: It cannot be stored.
    """
    name = checked_key(name or artifact_path or "model", "name")
    if ".." in name.split("/") or name.startswith("/"):
        raise InvalidArgumentError("name", name, "a relative name without '..'")
    if registered_model_name is not None:
        checked_model_name(registered_model_name, "registered_model_name")
    flavor = flavor or flavor_of(model).name
    run = current_run.writer_for(run_id)
    models = run.models()
    model_id = clock.new_id()
    with storing(run.cost):
        folder, facts = _saved(
            models, None, flavor, model, signature=signature, input_example=input_example,
            metadata=redact_mapping(metadata) if metadata else None, run_id=run.run_id, artifact_path=name,
            **_without_secrets(options),
        )  # fmt: skip
    return _announce(run, model_id, name, models, folder, facts, registered=registered_model_name)


def _without_secrets(options: Mapping[str, Any]) -> dict[str, Any]:
    """Options of a flavor's `save_model` as they may be stored.

    Raises:
        InvalidArgumentError: A file of requirements cannot be read.
    """
    shown = dict(options)
    for name in ("pip_requirements", "extra_pip_requirements"):
        if shown.get(name):
            shown[name] = [redact(str(line)) for line in requirement_lines(list, shown[name], ())]
    return shown


def _take_secrets_out(model: Model) -> None:
    """Take secrets out of the settings that an MLmodel holds for a model."""
    flavor = model.flavors.get(PYFUNC, {})
    found = {key: flavor[key] for key in ("config", "artifacts") if isinstance(flavor.get(key), Mapping)}
    if not secret_in(found):
        return
    flavor.update(redact_mapping(found))
    if secret := secret_in(found.get("config", {})):
        console.say(f"model_config is stored without the secret in {secret!r}; have the model read the environment")
    noted = dict(model.autotrack or {})
    model.autotrack = {**noted, "digest": content_digest(model, noted.get("files", {}))}


def load_model(model_uri: Any, trusted: bool = False) -> Any:
    """Load a model as its framework's own object, whichever flavor it has.

    Args:
        model_uri: `runs:/<run id>/<name>`, `models:/<name>/<version>`, `models:/<name>@<alias>`,
            `models:/<model id>`, a path or a `file:` URL.
        trusted: Load it though that runs code of the file's (a pickle, a class that is not known to be safe).

    Raises:
        NotFoundError: There is no such run or model.
        ModelFormatError: The directory is damaged, incomplete or no model's.
        UntrustedModelError: Loading it would run code, and nobody has said that it may.
    """
    return load_local_model(model_uri, trusted)
