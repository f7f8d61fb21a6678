"""Settings: every variable, project files, what beats what, where a value came from, what is odd or wrong."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from autotrack import config, console, settings
from autotrack.errors import ConfigurationError
from autotrack.settings import Settings

TEXTS: dict[str, tuple[str, object]] = {
    "tracking_uri": ("sqlite:///runs.db", "sqlite:///runs.db"),
    "artifact_uri": ("s3://bucket/x", "s3://bucket/x"),
    "registry_uri": ("models", "models"),
    "registered_model_name": ("fraud", "fraud"),
    "experiment": ("churn", "churn"),
    "disable": ("on", True),
    "integrations": ("sklearn, torch", ("sklearn", "torch")),
    "follow": ("no", False),
    "debug": ("1", True),
    "log_models": ("off", False),
    "log_datasets": ("false", False),
    "log_model_signatures": ("0", False),
    "log_input_examples": ("Yes", True),
    "log_transformers": ("TRUE", True),
    "log_training_metrics": ("all", "all"),
    "log_arguments": ("no", False),
    "log_figures": ("0", False),
    "log_system_metrics": ("off", False),
    "system_metrics_sampling_interval": ("0.5", 0.5),
    "system_metrics_delay": ("2", 2.0),
    "exclusive": ("true", True),
    "silent": ("1", True),
    "disable_for_unsupported_versions": ("1", True),
    "extra_tags": ("team=a, note=x=y", {"team": "a", "note": "x=y"}),
    "training_metrics_seconds": ("0.5", 0.5),
    "max_model_size": ("1000", 1000),
    "max_sample_size": ("2000", 2000),
    "allow_pickle": ("1", True),
    "capture_environment": ("0", False),
    "environment_variables": ("A,B", ("A", "B")),
    "durability": ("fsync", "fsync"),
    "drain_seconds": ("3", 3.0),
    "tick_seconds": ("0.25", 0.25),
}
"""Each setting as text of its environment variable, and what comes of it; no value is the default."""

Write = Callable[[str, str], None]


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Write a project file into the current folder, which is an empty one."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("AUTOTRACK_TRACKING_URI")

    def write_file(name: str, text: str) -> None:
        (tmp_path / name).write_text(text, "utf-8")
        config.reload()

    return write_file


def set_variable(monkeypatch: pytest.MonkeyPatch, name: str, text: str) -> None:
    """Set a variable for the rest of the test."""
    monkeypatch.setenv(f"AUTOTRACK_{name.upper()}", text)
    config.reload()


@pytest.mark.parametrize("name", Settings.__struct_fields__)
def test_every_setting_is_an_environment_variable(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """`AUTOTRACK_` and the name in capitals sets it, with its type, and the origin says so."""
    text, value = TEXTS[name]
    assert value != getattr(Settings(), name)
    set_variable(monkeypatch, name, text)
    assert getattr(config.settings(), name) == value
    assert type(getattr(config.settings(), name)) is type(value)
    assert config.origins()[name] == (value, f"environment AUTOTRACK_{name.upper()}")
    assert config.warnings() == []


def test_every_setting_has_a_description() -> None:
    """The text that doctor and documentation show stands on the field."""
    for field in msgspec.json.schema(Settings)["$defs"]["Settings"]["properties"].values():
        assert len(field["description"]) > 10


def test_defaults_have_their_origin(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without variables and files every value is the default and says so."""
    monkeypatch.delenv("AUTOTRACK_TRACKING_URI")
    config.reload()
    assert config.settings() == Settings()
    assert {origin.source for origin in config.origins().values()} == {"default"}
    assert list(config.origins()) == list(Settings.__struct_fields__)


TOML = """
[project]
name = "mine"
[tool.autotrack]
experiment = "from toml"
log_models = false
training_metrics_seconds = 2
integrations = ["sklearn"]
[tool.autotrack.extra_tags]
team = "a"
"""

YAML = """
experiment: from yaml
log_models: false
training_metrics_seconds: 2
integrations: [sklearn]
extra_tags: {team: a}
"""


@pytest.mark.parametrize(("file", "text"), [("pyproject.toml", TOML), ("autotrack.yaml", YAML)])
def test_project_file_sets_values_with_their_types(write: Write, tmp_path: Path, file: str, text: str) -> None:
    """`[tool.autotrack]` of pyproject.toml, or `autotrack.yaml`; the origin is the file."""
    write(file, text)
    found = config.settings()
    assert found.experiment.startswith("from ")
    assert (found.log_models, found.training_metrics_seconds) == (False, 2.0)
    assert (found.integrations, found.extra_tags) == (("sklearn",), {"team": "a"})
    assert config.origins()["experiment"].source == str(tmp_path / file)
    assert config.origins()["log_datasets"].source == "default"


def test_environment_beats_project_file(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    """A variable wins over the file, which wins over the default."""
    write("autotrack.yaml", "experiment: file\nlog_models: false\n")
    set_variable(monkeypatch, "experiment", "variable")
    assert (config.settings().experiment, config.settings().log_models) == ("variable", False)


def test_nearest_project_file_counts(write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files of the current folder's ancestors count, the nearest alone; autotrack.yaml before pyproject.toml."""
    write("pyproject.toml", TOML)
    inner = tmp_path / "inner" / "most"
    inner.mkdir(parents=True)
    monkeypatch.chdir(inner)
    config.reload()
    assert config.settings().experiment == "from toml"
    (tmp_path / "inner" / "pyproject.toml").write_text("[project]\nname = 'inner'\n")
    config.reload()
    assert config.settings().experiment == "Default"
    (tmp_path / "inner" / "autotrack.yaml").write_text("experiment: from yaml\n")
    config.reload()
    assert config.settings().experiment == "from yaml"


def test_unknown_variable_gets_a_warning_with_the_nearest_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """A slip of the pen is named, with what was probably meant; it is no error."""
    set_variable(monkeypatch, "log_modles", "0")
    assert config.settings().log_models
    assert config.warnings() == [
        "environment variable AUTOTRACK_LOG_MODLES is not known; did you mean AUTOTRACK_LOG_MODELS?"
    ]


def test_unknown_variable_without_a_neighbour_gets_a_plain_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nothing is near, nothing is guessed."""
    set_variable(monkeypatch, "zzzzzzzzzzzz", "0")
    assert config.warnings() == ["environment variable AUTOTRACK_ZZZZZZZZZZZZ is not known"]


def test_variables_of_autotracks_own_are_known(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the launcher sets for child processes, and what the test suite reads, gets no warning."""
    for name in (*settings.INTERNAL, *settings.TEST_VARIABLES):
        set_variable(monkeypatch, name, "1")
    assert config.warnings() == []


@pytest.mark.parametrize("file", ["pyproject.toml", "autotrack.yaml"])
def test_unknown_key_of_a_project_file_gets_a_warning(write: Write, file: str) -> None:
    """The file and the nearest name are named."""
    write(file, "[tool.autotrack]\nexperimnt = 'a'\n" if file.endswith("toml") else "experimnt: a\n")
    (warning,) = config.warnings()
    assert file in warning
    assert warning.endswith("setting 'experimnt' is not known; did you mean experiment?")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("log_models", "maybe"),
        ("max_model_size", "many"),
        ("max_model_size", "1.5"),
        ("drain_seconds", "soon"),
        ("durability", "hope"),
        ("log_training_metrics", "some"),
        ("extra_tags", "team"),
    ],
)
def test_bad_value_of_a_variable_is_an_error_that_names_it(
    monkeypatch: pytest.MonkeyPatch, name: str, text: str
) -> None:
    """The message names the setting, where the value came from, and the value."""
    set_variable(monkeypatch, name, text)
    with pytest.raises(ConfigurationError, match=f"setting {name} from environment AUTOTRACK_{name.upper()}: '{text}'"):
        config.settings()


@pytest.mark.parametrize(
    ("file", "text", "message"),
    [
        ("autotrack.yaml", "log_models: [1]\n", "setting log_models from .*autotrack.yaml"),
        ("autotrack.yaml", "- a\n", "expected a mapping of settings, got list"),
        ("autotrack.yaml", "a: [\n", "autotrack.yaml"),
        ("autotrack.yaml", "\x00", "autotrack.yaml"),
        ("pyproject.toml", "[tool.autotrack\n", r"pyproject.toml: \[tool.autotrack\]"),
        ("pyproject.toml", "[tool.autotrack]\nlog_models = 'x'\n", "setting log_models from .*pyproject.toml"),
        ("pyproject.toml", "[tool]\nautotrack = 3 # [tool.autotrack]\n", "expected a table"),
    ],
)
def test_bad_project_file_is_an_error_that_names_it(write: Write, file: str, text: str, message: str) -> None:
    """A file that does not parse, or a value of the wrong type: which file, which setting."""
    write(file, text)
    with pytest.raises(ConfigurationError, match=message):
        config.settings()


def test_pyproject_without_the_table_need_not_parse(write: Write) -> None:
    """A broken pyproject.toml that does not speak of autotrack is none of its business."""
    write("pyproject.toml", "[project\n")
    assert config.settings() == Settings()
    (Path("pyproject.toml")).write_bytes(b"\xff\xfe[tool.autotrack]")
    config.reload()
    assert config.settings() == Settings()


@pytest.mark.parametrize("text", ["# [tool.autotrack]\n# log_models = false\n", "[tool.autotracker]\na = 1\n"])
def test_pyproject_that_only_mentions_the_table_sets_nothing(write: Write, text: str) -> None:
    """A table that is commented out, or another tool's whose name begins alike."""
    write("pyproject.toml", text)
    assert config.settings() == Settings()
    assert config.warnings() == []


def test_bad_setting_switches_recording_off_and_the_program_runs(run_python: Callable[..., Any]) -> None:
    """Automatic recording says it once on stderr and leaves the training alone; doctor has the reason."""
    done = run_python(
        """
        import autotrack
        autotrack.autolog()
        from sklearn.linear_model import LinearRegression
        print(LinearRegression().fit([[1.0], [2.0]], [1.0, 2.0]).coef_.round(3))
        from autotrack.hooks import guard
        print(guard.health("sklearn").status, guard.health("sklearn").reason)
        """,
        env={"AUTOTRACK_DRAIN_SECONDS": "soon"},
    )
    message = "setting drain_seconds from environment AUTOTRACK_DRAIN_SECONDS: 'soon'"
    assert done.stdout.startswith(f"[1.]\nfailed {message}")
    assert done.stderr.startswith(f"autotrack: {message}")
    assert done.stderr.endswith("nothing is recorded\n")
    assert done.stderr.count("\n") == 1


def test_settings_are_read_once_and_again_after_reload(monkeypatch: pytest.MonkeyPatch) -> None:
    """One frozen object per process."""
    first = config.settings()
    monkeypatch.setenv("AUTOTRACK_EXPERIMENT", "later")
    assert config.settings() is first
    config.reload()
    assert config.settings().experiment == "later"
    with pytest.raises(AttributeError):
        first.experiment = "other"  # type: ignore[misc]


def test_silence_can_be_set(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """`AUTOTRACK_SILENT=1` is in force once the settings are read."""
    console.say("before")
    set_variable(monkeypatch, "silent", "1")
    assert config.settings().silent
    console.say("after")
    console.say_once("topic", "after")
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", "autotrack: before\n")


def test_environment_for_helpers_is_without_the_launchers_marks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Programs that autotrack starts itself are not recorded; the user's own PYTHONPATH stays."""
    hook = os.path.join(os.sep, "hook")
    for name, value in {
        "AUTOTRACK_ACTIVE": "1",
        "AUTOTRACK_HOOK_DIR": hook,
        "PYTHONPATH": os.pathsep.join([hook, "mine", "yours"]),
    }.items():
        monkeypatch.setenv(name, value)
    environ = config.helper_environment()
    assert environ["PYTHONPATH"] == os.pathsep.join(["mine", "yours"])
    assert not {"AUTOTRACK_ACTIVE", "AUTOTRACK_HOOK_DIR"} & set(environ)
    monkeypatch.setenv("PYTHONPATH", hook)
    assert "PYTHONPATH" not in config.helper_environment()
