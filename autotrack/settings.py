"""What can be set, and how the settings are read. `config` calls this with the environment, and keeps the result.

Precedence: call argument > `AUTOTRACK_*` > `[tool.autotrack]` in pyproject.toml or `autotrack.yaml` > default. The
origin of each value is kept for `autotrack doctor`.
"""

from __future__ import annotations

import difflib
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import msgspec

from autotrack.errors import ConfigurationError

PREFIX = "AUTOTRACK_"
MEBIBYTE = 1024 * 1024


def _setting(text: str) -> msgspec.Meta:
    return msgspec.Meta(description=text)


class Settings(msgspec.Struct, frozen=True):
    """All settings of one process. Each is also an environment variable, `AUTOTRACK_` and the name in capitals."""

    tracking_uri: Annotated[
        str | None,
        _setting("Store URL (`sqlite:///file.db`, `postgresql://...`, `mysql://...`), or a folder to keep one in"),
    ] = None
    registry_uri: Annotated[
        str | None, _setting("Store URL or folder that models are registered in; by default where the runs are")
    ] = None
    artifact_uri: Annotated[
        str | None,
        _setting(
            "Folder or URL (`s3://bucket/folder`, `gs://...`) for the files and models of new runs, where their "
            "experiment has no place of its own; by default the store's folder"
        ),
    ] = None
    experiment: Annotated[str, _setting("Experiment that runs go to")] = "Default"
    disable: Annotated[bool, _setting("Switch everything off: no hook, no import finder, no run")] = False
    integrations: Annotated[
        tuple[str, ...] | None, _setting("Only these integrations are turned on (comma-separated)")
    ] = None
    follow: Annotated[bool, _setting("Zero-code start reaches child processes too; 0: this process alone")] = True
    debug: Annotated[bool, _setting("Say on stderr what autotrack does and what it skips")] = False
    log_models: Annotated[
        bool | Literal["best"], _setting("Record fitted models; `best`: of those of one run the best one alone")
    ] = True
    registered_model_name: Annotated[
        str | None, _setting("Each recorded model becomes a new version of the registered model of this name")
    ] = None
    log_datasets: Annotated[bool, _setting("Record what data a fit saw: shape, columns, digest of a sample")] = True
    log_model_signatures: Annotated[bool, _setting("Record the input and output signature of models")] = True
    log_input_examples: Annotated[bool, _setting("Store five rows of the training data beside the model")] = False
    log_transformers: Annotated[bool, _setting("A transformer fitted on its own opens a run")] = False
    log_training_metrics: Annotated[
        Literal["library", "all", "none"],
        _setting(
            "Training metrics: `library` where every predict involved is a library's own, `all` also where it is "
            "the user's, `none` never"
        ),
    ] = "library"
    log_arguments: Annotated[
        bool, _setting("Record the program's command-line arguments on its runs (argparse, click, typer, fire, Hydra)")
    ] = True
    log_figures: Annotated[
        bool, _setting("Store the matplotlib figures that the program saves or shows among the run's artifacts")
    ] = True
    log_system_metrics: Annotated[
        bool,
        _setting("Record the load of processor, memory, disk, network and GPU as metrics `system/...` of long runs"),
    ] = True
    system_metrics_sampling_interval: Annotated[float, _setting("Seconds from one such sample to the next")] = 5.0
    system_metrics_delay: Annotated[float, _setting("Seconds that a run lasts before its first such sample")] = 10.0
    exclusive: Annotated[bool, _setting("Record nothing automatically inside runs that the program opened")] = False
    silent: Annotated[bool, _setting("Never write to stderr")] = False
    disable_for_unsupported_versions: Annotated[
        bool, _setting("Leave a framework alone whose version is newer than the tested ones")
    ] = False
    extra_tags: Annotated[dict[str, str], _setting("Tags on every automatic run (`key=value,key=value`)")] = {}
    training_metrics_seconds: Annotated[
        float, _setting("Time budget, in seconds, for the training metrics of one fit (spent behind the training)")
    ] = 5.0
    max_model_size: Annotated[int, _setting("Models beyond this many bytes are not recorded automatically")] = (
        128 * MEBIBYTE
    )
    max_sample_size: Annotated[
        int, _setting("Bytes of a fit's data that are copied for digest, signature and training metrics")
    ] = 4 * MEBIBYTE
    allow_pickle: Annotated[bool, _setting("Load models that hold pickles without asking")] = False
    capture_environment: Annotated[
        bool, _setting("Record git state, installed packages and machine once per session")
    ] = True
    environment_variables: Annotated[
        tuple[str, ...], _setting("Environment variables that are recorded (comma-separated names)")
    ] = ("CUDA_VISIBLE_DEVICES", "OMP_NUM_THREADS", "PYTHONHASHSEED", "CONDA_DEFAULT_ENV", "VIRTUAL_ENV")
    durability: Annotated[
        Literal["cache", "fsync"],
        _setting("`cache`: events survive the death of the process; `fsync`: of the machine too, once a second"),
    ] = "cache"
    drain_seconds: Annotated[float, _setting("How long the exit of the program may wait for recording to end")] = 30.0
    tick_seconds: Annotated[float, _setting("How often recorded events are moved into the store")] = 1.0


INTERNAL = {
    "ACTIVE": "set by the launcher: the hook activates",
    "HOOK_DIR": "set by the launcher: where the zero-code hook is",
    "PROTOCOL": "set by the launcher: version of this contract between launcher and hook",
    "RANK": "set by a rank of a distributed job: its children are not that rank",
    "JOB_ID": "set by you for the ranks of a job over several machines, where nothing else tells it from other jobs",
    "SESSION_ID": "set for child processes: the session that they belong to",
    "PARENT_RUN": "set for child processes: the run that was open where they were started, and its store",
}
"""Variables that autotrack sets for its own child processes, and one that tells what no file can."""

TEST_VARIABLES = (
    "TEST_POSTGRES_URL",
    "TEST_MARIADB_URL",
    "TEST_MLFLOW_PYTHON",
    "TEST_MLFLOW_REQUIRED",
    "TEST_AGENTS_REQUIRED",
)
"""Variables that only the test suite reads."""


class Origin(NamedTuple):
    """Where a setting's value came from, for `autotrack doctor`."""

    value: Any
    source: str
    """ "default", "environment AUTOTRACK_X", or a file's path."""


def read(environ: Mapping[str, str], folder: Path) -> tuple[Settings, dict[str, Origin], list[str]]:
    """Read settings from an environment and from the project files in `folder` or above it.

    Returns:
        The settings, the origin of each, and what is odd about the configuration.

    Raises:
        ConfigurationError: A setting has a value that cannot be used.
    """
    notes: list[str] = []
    found: dict[str, Origin] = {}
    for path, table in _project_tables(folder):
        for key, value in table.items():
            if key in Settings.__struct_fields__:
                found[key] = Origin(value, str(path))
            else:
                notes.append(_unknown(f"{path}: setting {key!r}", key, Settings.__struct_fields__))
    known = {PREFIX + name.upper(): name for name in Settings.__struct_fields__}
    others = {PREFIX + name for name in (*INTERNAL, *TEST_VARIABLES)}
    for variable, text in environ.items():
        if variable in known:
            found[known[variable]] = Origin(text, f"environment {variable}")
        elif variable.startswith(PREFIX) and variable not in others:
            notes.append(_unknown(f"environment variable {variable}", variable, known))
    values = {name: _convert(name, origin) for name, origin in found.items()}
    if values.get("artifact_uri"):
        values["artifact_uri"] = _anchored(values["artifact_uri"], found["artifact_uri"].source, folder)
    result = Settings(**values)
    defaults = {name: Origin(getattr(result, name), "default") for name in Settings.__struct_fields__}
    return result, defaults | {name: Origin(values[name], found[name].source) for name in found}, notes


def _anchored(uri: str, source: str, folder: Path) -> str:
    """A local path made absolute: what a project file says counts from where that file is."""
    if "://" in uri or uri.startswith("file:"):
        return uri
    base = folder if source.startswith("environment ") else Path(source).parent
    return str(base.absolute() / os.path.expanduser(uri))


def _unknown(what: str, name: str, names: Any) -> str:
    near = difflib.get_close_matches(name, list(names), 1, 0.6)
    return f"{what} is not known" + (f"; did you mean {near[0]}?" if near else "")


def _convert(name: str, origin: Origin) -> Any:
    annotation = _types()[name]
    value = origin.value
    try:
        if isinstance(value, str):
            value = _from_text(name, value)
        return msgspec.convert(value, annotation, strict=False)
    except (msgspec.ValidationError, ValueError) as error:
        raise ConfigurationError(f"setting {name} from {origin.source}: {origin.value!r}: {error}") from None


def _types() -> dict[str, Any]:
    return {field.name: field.type for field in msgspec.structs.fields(Settings)}


_TRUTHS = {
    **dict.fromkeys(("1", "on", "true", "yes"), True),
    **dict.fromkeys(("", "0", "false", "no", "off"), False),
}


def _from_text(name: str, text: str) -> Any:
    """Text of an environment variable as what the setting's type converts from."""
    default = getattr(Settings(), name)
    if isinstance(default, bool):
        lowered = text.strip().lower()
        return _TRUTHS.get(lowered, lowered)
    if isinstance(default, tuple) or name == "integrations":
        return [part.strip() for part in text.split(",") if part.strip()]
    if isinstance(default, dict):
        pairs = [part.partition("=") for part in text.split(",") if part.strip()]
        if any(not separator for _, separator, _ in pairs):
            raise ValueError("expected key=value, separated by commas")
        return {key.strip(): value.strip() for key, _, value in pairs}
    return text


def _project_tables(folder: Path) -> list[tuple[Path, dict[str, Any]]]:
    """Tables of settings in the nearest project file: `autotrack.yaml`, or pyproject.toml's `[tool.autotrack]`."""
    for parent in (folder, *folder.parents):
        plain = parent / "autotrack.yaml"
        if plain.is_file():
            return [(plain, _yaml_table(plain))]
        project = parent / "pyproject.toml"
        if project.is_file():
            table = _toml_table(project)
            return [(project, table)] if table else []
    return []


def _yaml_table(path: Path) -> dict[str, Any]:
    import yaml

    try:
        table = yaml.safe_load(path.read_text("utf-8")) or {}
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigurationError(f"{path}: {error}") from None
    if not isinstance(table, dict):
        raise ConfigurationError(f"{path}: expected a mapping of settings, got {type(table).__name__}")
    return {str(key): value for key, value in table.items()}


def _toml_table(path: Path) -> dict[str, Any]:
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError):
        return {}
    if "[tool.autotrack" not in text:
        return {}
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib
    try:
        table = tomllib.loads(text).get("tool", {}).get("autotrack", {})
    except (tomllib.TOMLDecodeError, AttributeError) as error:
        raise ConfigurationError(f"{path}: [tool.autotrack]: {error}") from None
    if not isinstance(table, dict):
        raise ConfigurationError(f"{path}: [tool.autotrack]: expected a table, got {type(table).__name__}")
    return table
