"""What all flavors share when they save: requirements, the user's code, the directory itself."""

from __future__ import annotations

import os
import platform
import shutil
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from autotrack import __version__
from autotrack.errors import ArtifactError, InvalidArgumentError
from autotrack.models import examples, requirements
from autotrack.models.directory import Draft, new_directory, seal
from autotrack.models.mlmodel import Model
from autotrack.models.signature import Signature
from autotrack.models.snapshot import Snapshot, take_snapshot

CODE = "code"
"""Folder for the user's own modules; MLflow and autotrack put it on `sys.path` when the model is loaded."""

Paths = Iterable[str | os.PathLike[str]]


@dataclass(frozen=True)
class SaveOptions:
    """What every flavor's `save_model` is given besides the model; its docstring tells the meaning of each."""

    path: str | os.PathLike[str] | Draft
    signature: Signature | Literal[False] | None
    input_example: Any
    metadata: dict[str, Any] | None
    code_paths: Paths | None
    pip_requirements: Iterable[str] | str | None
    extra_pip_requirements: Iterable[str]
    run_id: str | None
    artifact_path: str | None
    model_id: str | None

    def new_model(self) -> Model:
        """The content of MLmodel, still without flavors and signature."""
        return Model(
            metadata=self.metadata, run_id=self.run_id, artifact_path=self.artifact_path, model_id=self.model_id
        )

    def signature_by(self, infer: Callable[[Any], Signature | None]) -> Signature | None:
        """The signature that was given; where there is none, but an example, the inferred one."""
        if self.signature is None and self.input_example is not None:
            return infer(self.input_example)
        return self.signature or None

    def write(
        self, model: Model, files: dict[str, bytes], copy: Callable[[Path], None], found: Callable[[], list[str]]
    ) -> Model:
        """Make the model's directory: the flavor's files, the environment's, the example, and MLmodel last.

        Args:
            model: Its size, hashes and example are set.
            files: The flavor's files.
            copy: Copies files of the program's that go with the model into the folder that it is given. Not called for
                a `Draft`, which nobody asks for where there are any (`copies_files`).
            found: Finds the requirements; not called where they were given.

        Raises:
            AlreadyExistsError: There is something at `path`.
            ArtifactError: It cannot be written.
            InvalidArgumentError: The example has no form in JSON, or the file of requirements cannot be read.
        """
        needed = requirement_lines(found, self.pip_requirements, self.extra_pip_requirements)
        content = {**files, **requirements.files_of(needed)}
        if self.input_example is not None:
            example, model.saved_input_example_info = examples.files_of(self.input_example)
            content.update(example)
        if isinstance(self.path, Draft):
            self.path.fill(content, model, __version__)
            return model
        with new_directory(self.path) as directory:
            for name, data in content.items():
                (directory / name).parent.mkdir(exist_ok=True)
                (directory / name).write_bytes(data)
            copy(directory)
            seal(directory, model, __version__)
        return model


def copies_files(options: Mapping[str, Any]) -> bool:
    """Whether a flavor's `save_model`, given these options, copies files of the program's into the model."""
    return any(options.get(name) for name in ("code_paths", "artifacts"))


def snapshot_of(argument: str, model: object) -> Snapshot:
    """A model pickled in memory.

    Raises:
        InvalidArgumentError: It cannot be.
    """
    if isinstance(model, Snapshot):
        return model
    found = take_snapshot(model, sys.maxsize)
    if isinstance(found, Snapshot):
        return found
    expected = f"an object that can be pickled ({found.reason})"
    raise InvalidArgumentError(argument, type(model).__qualname__, expected)


def loader_settings(loader_module: str, **settings: Any) -> dict[str, Any]:
    """Settings of `python_function`: MLflow's reader, this Python, the environment files, and the flavor's own."""
    environment = {"conda": requirements.CONDA, "virtualenv": requirements.PYTHON_ENV}
    return {
        "loader_module": loader_module,
        "python_version": platform.python_version(),
        "env": environment,
        **settings,
    }


def requirement_lines(
    found: Callable[[], list[str]], given: Iterable[str] | str | None, extra: Iterable[str]
) -> list[str]:
    """Requirements of a model.

    Args:
        found: Finds them; not called where they are given.
        given: Lines, or a file of them, in place of the found ones.
        extra: Lines besides.

    Raises:
        InvalidArgumentError: The file cannot be read.
    """
    if given is None:
        return [*found(), *extra]
    if not isinstance(given, str):
        return [*given, *extra]
    try:
        lines = Path(given).read_text("utf-8").splitlines()
    except OSError as error:
        raise InvalidArgumentError("pip_requirements", given, f"lines, or a readable file of them ({error})") from None
    return [line.strip() for line in (*lines, *extra) if line.strip()]


def code_folder(code_paths: Paths | None) -> str | None:
    """Name of the folder for the user's modules; None where there is none."""
    return None if code_paths is None else CODE


def note_code(model: Model, code_paths: Paths | None) -> None:
    """Tell each flavor where the user's modules are."""
    code = code_folder(code_paths)
    if code is not None:
        for settings in model.flavors.values():
            settings["code"] = code


def copy_code(code_paths: Paths | None, directory: Path) -> None:
    """Copy the user's modules and packages into a model directory.

    Raises:
        InvalidArgumentError: One of the paths is not there.
    """
    if code_paths is not None:
        copy_files(directory / CODE, {Path(path).resolve().name: path for path in code_paths}, "code_paths")


def copy_files(folder: Path, paths: dict[str, str | os.PathLike[str]], argument: str) -> None:
    """Copy files and folders, each under its name.

    Raises:
        InvalidArgumentError: One of them is not there.
        ArtifactError: One of them cannot be copied.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for name, path in paths.items():
        source = Path(path)
        try:
            if source.is_dir():
                shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
            elif source.is_file():
                shutil.copyfile(source, folder / name)
            else:
                raise InvalidArgumentError(argument, os.fspath(path), "a file or folder that is there")
        except (OSError, shutil.Error) as error:
            raise ArtifactError(f"{source}: cannot be copied: {error}") from error
