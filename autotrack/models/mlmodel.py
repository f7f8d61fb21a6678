"""The file `MLmodel`: what a model directory holds, in YAML, as MLflow 3 reads and writes it."""

from __future__ import annotations

import datetime
import os
from dataclasses import dataclass, field, fields
from functools import lru_cache
from pathlib import Path
from typing import Any

from autotrack import clock
from autotrack.errors import InvalidArgumentError, ModelFormatError
from autotrack.models.signature import Signature
from autotrack.models.uris import local_path

FILE_NAME = "MLmodel"

PYFUNC = "python_function"
"""The flavor that every tool can read: some function from a frame or array to predictions."""

MAX_BYTES = 64 * 1024 * 1024
"""No MLmodel is larger; a file that is, is something else."""


def _utc_now() -> str:
    moment = datetime.datetime.fromtimestamp(clock.now() / 1000, datetime.timezone.utc)
    return moment.strftime("%Y-%m-%d %H:%M:%S.%f")


MAX_DIGITS = 1_000
"""Characters of a number. A longer one takes time with the square of its length (`59:59:59:...`), or has no text."""

MAX_VALUES = 1_000_000
"""Values of an MLmodel, those that stand for others counted as often as they are named."""


_NUMBERS = ("tag:yaml.org,2002:int", "tag:yaml.org,2002:float")


def _bounded(data: Any) -> Any:
    """Data out of YAML, unless a few lines of it stand for more than memory holds.

    Raises:
        ValueError: They do, or it holds itself.
    """
    waiting, count = [data], 0
    while waiting:
        value = waiting.pop()
        inner = [*value, *value.values()] if isinstance(value, dict) else value if isinstance(value, list) else ()
        count += len(inner)
        if count > MAX_VALUES:
            raise ValueError(f"more than {MAX_VALUES} values")
        waiting.extend(inner)
    return data


def _parsed(text: str) -> Any:
    """Plain data out of YAML.

    Raises:
        yaml.YAMLError: It is none, or has merge keys, which multiply what they name.
        ValueError: It stands for too many values.
        RecursionError: It is nested too deeply.
    """
    import yaml

    class Loader(yaml.SafeLoader):
        def construct_object(self, node: Any, deep: bool = False) -> Any:
            if node.tag in _NUMBERS and len(node.value) > MAX_DIGITS:
                raise yaml.constructor.ConstructorError(None, None, "a number without end", node.start_mark)
            return super().construct_object(node, deep)

        def flatten_mapping(self, node: Any) -> None:
            if any(key.tag == "tag:yaml.org,2002:merge" for key, _ in node.value):
                raise yaml.constructor.ConstructorError(None, None, "a merge key", node.start_mark)

    # What PyYAML makes of a tag that does not fit its value is an error of any kind (`!!timestamp x`, `!!int ""`).
    # Not libyaml: a file of ten thousand opening brackets overruns its stack.
    try:
        return _bounded(yaml.load(text, Loader))
    except (AttributeError, LookupError, TypeError, ArithmeticError) as error:
        raise ValueError(f"a value that is none of its type ({error!r:.200})") from None


def yaml_text(data: dict[str, Any]) -> str:
    """Plain data as YAML, keys sorted, as MLflow writes it; by libyaml where it is there (ten times faster)."""
    import yaml

    dumper = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
    return str(yaml.dump(data, Dumper=dumper, default_flow_style=False, allow_unicode=True))


class _AsShown:
    """Plain data, equal to what has the same `repr`."""

    def __init__(self, data: dict[str, Any]) -> None:
        self.data = data
        self._text = repr(data)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _AsShown) and self._text == other._text

    def __hash__(self) -> int:
        return hash(self._text)


@lru_cache(maxsize=64)
def _known_text(part: _AsShown) -> str:
    return yaml_text(part.data)


_ALIKE = ("flavors", "signature")
"""Keys of `MLmodel` under which models of one class that are trained on data of one form say the same: half of the
file, which takes half of the time."""


@dataclass
class Model:
    """What `MLmodel` says. Keys that this version does not know are kept in `extra` and written back."""

    flavors: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Settings by flavor name, for each form in which the model can be loaded."""
    signature: Signature | None = None
    artifact_path: str | None = None
    """Path among the artifacts of its run."""
    run_id: str | None = None
    model_id: str | None = None
    """Id in the store that holds the model; MLflow looks it up in its own, so it is null in what autotrack saves."""
    model_uuid: str | None = field(default_factory=lambda: clock.new_id())
    utc_time_created: str = field(default_factory=_utc_now)
    """`YYYY-mm-dd HH:MM:SS.ffffff`, UTC."""
    model_size_bytes: int | None = None
    saved_input_example_info: dict[str, Any] | None = None
    metadata: dict[str, Any] | None = None
    mlflow_version: str | None = None
    prompts: list[str] | None = None
    resources: Any = None
    env_vars: list[str] | None = None
    auth_policy: Any = None
    is_signature_from_type_hint: bool = False
    type_hint_from_example: bool = False
    autotrack: dict[str, Any] | None = None
    """What autotrack adds: its version, the sha256 of each file, the digest of the whole."""
    extra: dict[str, Any] = field(default_factory=dict)

    def add_flavor(self, name: str, **params: Any) -> Model:
        """Add or replace a flavor; returns the model itself."""
        self.flavors[name] = params
        return self

    def get_flavor(self, name: str) -> dict[str, Any]:
        """Settings of a flavor.

        Raises:
            ModelFormatError: The model has no such flavor; the message names those that it has.
        """
        try:
            return self.flavors[name]
        except KeyError:
            has = ", ".join(sorted(self.flavors)) or "none"
            raise ModelFormatError(f"{FILE_NAME}: no flavor {name!r}; it has: {has}") from None

    @property
    def digest(self) -> str | None:
        """Digest of the content, equal for equal models; None for a model that autotrack did not save."""
        return (self.autotrack or {}).get("digest")

    def to_dict(self) -> dict[str, Any]:
        """The keys of the file. Those that MLflow leaves out where there is nothing to say are left out."""
        always = ("flavors", "model_id", "model_uuid", "prompts", "utc_time_created")
        data = dict(self.extra)
        for item in fields(self):
            value = getattr(self, item.name)
            if item.name != "extra" and (value is not None or item.name in always):
                data[item.name] = value
        if self.signature is None:
            del data["is_signature_from_type_hint"], data["type_hint_from_example"]
        else:
            data["signature"] = self.signature.to_dict()
        return data

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Model:
        """Inverse of `to_dict`.

        Raises:
            ModelFormatError: A key holds something else than it should.
        """
        known = {item.name for item in fields(cls)} - {"extra"}
        values = {str(key): value for key, value in data.items() if key in known}
        flavors = values.setdefault("flavors", {})
        if not isinstance(flavors, dict) or not all(isinstance(params, dict) for params in flavors.values()):
            raise ModelFormatError(f"{FILE_NAME}: `flavors` is not a mapping of names to settings")
        ours = values.get("autotrack")
        if ours is not None and not isinstance(ours, dict):
            raise ModelFormatError(f"{FILE_NAME}: `autotrack` is not a mapping")
        signature = values.get("signature")
        if isinstance(signature, dict):
            values["signature"] = Signature.from_dict(signature)
        elif signature is not None:
            raise ModelFormatError(f"{FILE_NAME}: `signature` is not a mapping")
        values.setdefault("model_uuid", None)
        values["utc_time_created"] = str(values.get("utc_time_created", ""))
        return cls(**values, extra={key: value for key, value in data.items() if key not in known})

    def to_yaml(self) -> str:
        """The file's text.

        Raises:
            InvalidArgumentError: `metadata` or a flavor holds something that YAML has no plain form for.
        """
        import yaml

        data = self.to_dict()
        alike = {key: data.pop(key) for key in _ALIKE if key in data}
        try:
            return yaml_text(data) + _known_text(_AsShown(alike))
        except (yaml.YAMLError, ValueError, RecursionError) as error:  # half a surrogate pair, a list in itself
            expected = f"texts, numbers, lists and dicts in metadata and flavors ({error})"
            raise InvalidArgumentError("model", self.metadata, expected) from None

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the file: to `path`, or to `MLmodel` in it where it is a directory."""
        _file(path).write_text(self.to_yaml(), "utf-8")

    @classmethod
    def from_yaml(cls, text: str) -> Model:
        """Inverse of `to_yaml`.

        Raises:
            ModelFormatError: It is no YAML, or not that of an MLmodel file.
        """
        import yaml

        try:
            data = _parsed(text)
        except (yaml.YAMLError, RecursionError, ValueError) as error:
            raise ModelFormatError(f"{FILE_NAME}: cannot be read as YAML: {error}") from None
        if not isinstance(data, dict):
            raise ModelFormatError(f"{FILE_NAME}: expected a mapping, got {type(data).__name__}")
        return cls.from_dict(data)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Model:
        """Read the file, or that of a model directory.

        Args:
            path: The file or the directory, or a URI of a model (`runs:/ID/name`, `models:/...`, `file:`).

        Raises:
            ModelFormatError: There is none, or it is no MLmodel file; the message says why.
        """
        file = _file(local_path(path))
        try:
            if file.stat().st_size > MAX_BYTES:
                raise ModelFormatError(f"{file}: larger than {MAX_BYTES} bytes, so no MLmodel file")
            return cls.from_yaml(file.read_text("utf-8"))
        except FileNotFoundError:
            raise ModelFormatError(f"{file}: no such file; is this a model directory?") from None
        except (OSError, UnicodeDecodeError) as error:
            raise ModelFormatError(f"{file}: cannot be read: {error}") from None
        except ModelFormatError as error:
            raise ModelFormatError(f"{file.parent}: {error}") from None


def _file(path: str | os.PathLike[str]) -> Path:
    where = Path(path)
    return where / FILE_NAME if where.is_dir() else where
