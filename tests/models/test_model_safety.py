"""Hostile and damaged model directories: a clear error each, and nothing of theirs is run."""

from __future__ import annotations

import builtins
import importlib
import io
import json
import os
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import model_zoo
import numpy as np
import pytest
import yaml
from sklearn.preprocessing import FunctionTransformer

from autotrack import config
from autotrack.errors import ModelFormatError, UntrustedModelError
from autotrack.models import load_model, pyfunc, save_model
from autotrack.models.flavors import sklearn as flavor
from autotrack.models.skops_writer import dumps


class Trap:
    """Unpickled, it would leave a mark."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.mark),)


def stored(directory: Path, data: bytes, name: str = "model.skops", form: str = "skops") -> Path:
    """A directory as MLflow writes it, without hashes, with this content."""
    directory.mkdir()
    (directory / name).write_bytes(data)
    flavors = {
        "sklearn": {"pickled_model": name, "serialization_format": form},
        "python_function": {"loader_module": "mlflow.sklearn", "model_path": name},
    }
    (directory / "MLmodel").write_text(yaml.safe_dump({"flavors": flavors}))
    return directory


def edited(data: bytes, change: Callable[[dict[str, Any]], Any]) -> bytes:
    """A skops file whose tree of nodes was changed."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(buffer, "w") as new:
        schema = json.loads(old.read("schema.json"))
        schema = change(schema) or schema
        for name in old.namelist():
            new.writestr(name, json.dumps(schema) if name == "schema.json" else old.read(name))
    return buffer.getvalue()


@pytest.fixture
def model() -> Any:
    """A fitted estimator."""
    return model_zoo.fitted(model_zoo.LOGISTIC)[0]


@pytest.fixture
def saved(model: Any, tmp_path: Path) -> Path:
    """Its directory, as autotrack writes it."""
    flavor.save_model(model, tmp_path / "saved")
    return tmp_path / "saved"


def test_a_pickle_is_refused_and_not_run(tmp_path: Path) -> None:
    """The error lists what the pickle names and how to load it; nothing in it happened."""
    mark = tmp_path / "mark"
    directory = stored(tmp_path / "model", pickle.dumps(Trap(mark)), "model.pkl", "cloudpickle")
    for load in (load_model, pyfunc.load_model, flavor.load_model):
        with pytest.raises(UntrustedModelError, match=r"It names posix\.mkdir.*trusted=True.*AUTOTRACK_ALLOW_PICKLE"):
            load(directory)
    assert not mark.exists()


def test_the_setting_allows_pickles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`allow_pickle` stands for `trusted=True` everywhere."""
    directory = stored(tmp_path / "model", pickle.dumps(FunctionTransformer()), "model.pkl", "pickle")
    monkeypatch.setenv("AUTOTRACK_ALLOW_PICKLE", "1")
    config.reload()
    try:
        assert isinstance(load_model(directory), FunctionTransformer)
    finally:
        monkeypatch.undo()
        config.reload()


def test_a_skops_file_swapped_for_a_pickle_is_refused_even_when_trusted(tmp_path: Path) -> None:
    """What says it is skops is never unpickled."""
    mark = tmp_path / "mark"
    directory = stored(tmp_path / "model", pickle.dumps(Trap(mark)))
    for trusted in (False, True):
        with pytest.raises(ModelFormatError, match="a pickle where a zip file is expected"):
            load_model(directory, trusted=trusted)
    assert not mark.exists()


def test_a_changed_file_is_refused(saved: Path) -> None:
    """One changed byte, a cut or a replacement is found before anything is read from the file."""
    file = saved / "model.skops"
    whole = file.read_bytes()
    for broken in (whole[:-20], whole[:100] + b"x" + whole[101:], dumps(FunctionTransformer())[0], b""):
        file.write_bytes(broken)
        with pytest.raises(ModelFormatError, match="damaged, cut short or replaced"):
            load_model(saved)
    file.write_bytes(whole)
    load_model(saved)


def test_another_file_than_the_saved_ones_is_refused(saved: Path) -> None:
    """MLmodel cannot be made to point at a file that was put there later."""
    (saved / "other.skops").write_bytes((saved / "model.skops").read_bytes())
    text = (saved / "MLmodel").read_text().replace("pickled_model: model.skops", "pickled_model: other.skops")
    (saved / "MLmodel").write_text(text)
    with pytest.raises(ModelFormatError, match="not among the files that were saved"):
        load_model(saved)


@pytest.mark.parametrize("cut", [10, 200, -30])
def test_a_file_cut_short_is_refused_without_hashes_too(model: Any, tmp_path: Path, cut: int) -> None:
    """A torn skops file of MLflow's is no traceback from a zip library."""
    directory = stored(tmp_path / "model", dumps(model)[0][:cut])
    with pytest.raises(ModelFormatError, match="damaged or cut short"):
        load_model(directory)


def test_a_zip_bomb_is_refused(tmp_path: Path) -> None:
    """A small file that unpacks to hundreds of megabytes is not unpacked; nor is one inside a sparse matrix."""
    bomb = io.BytesIO()
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("schema.json", b"0" * (100 * 1024 * 1024))
    nested = io.BytesIO()
    with zipfile.ZipFile(nested, "w") as archive:
        archive.writestr("1.npz", bomb.getvalue())
    for number, data in enumerate((bomb.getvalue(), nested.getvalue())):
        with pytest.raises(ModelFormatError, match="bytes that unpack to 104857600"):
            load_model(stored(tmp_path / str(number), data))


@pytest.mark.parametrize(
    "name", ["../secret.skops", "/etc/hostname", "link.skops", ".", "", 7, None, "a\0b", "n" * 5000]
)
def test_a_path_that_leaves_the_directory_is_refused(model: Any, tmp_path: Path, name: Any) -> None:
    """By dots, as an absolute path or through a link; and what is no file name at all."""
    directory = stored(tmp_path / "model", dumps(model)[0])
    (tmp_path / "secret.skops").write_bytes(dumps(model)[0])
    (directory / "link.skops").symlink_to(tmp_path / "secret.skops")
    flavors = {"sklearn": {"pickled_model": name, "serialization_format": "skops"}}
    (directory / "MLmodel").write_text(yaml.safe_dump({"flavors": flavors}))
    with pytest.raises(ModelFormatError, match=r"leaves the model directory|expected a file name|no file name"):
        load_model(directory)


def test_a_missing_file_is_named(model: Any, tmp_path: Path) -> None:
    """The message says which file is not there."""
    directory = stored(tmp_path / "model", dumps(model)[0])
    (directory / "model.skops").unlink()
    with pytest.raises(ModelFormatError, match=r"model\.skops is missing"):
        load_model(directory)


def test_a_class_beyond_the_policy_is_refused_though_the_file_trusts_it(model: Any, tmp_path: Path) -> None:
    """The list of trusted types in MLmodel is the file's own word, and counts for nothing."""

    def evil(schema: dict[str, Any]) -> None:
        schema["content"]["content"]["verbose"] = {
            "__class__": "Popen",
            "__module__": "subprocess",
            "__loader__": "ConstructorFromReduceNode",
            "content": {
                "__class__": "tuple",
                "__module__": "builtins",
                "__loader__": "TupleNode",
                "content": [
                    {"__class__": "str", "__module__": "builtins", "__loader__": "JsonNode", "content": '"true"'}
                ],
            },
        }

    directory = stored(tmp_path / "model", edited(dumps(model)[0], evil))
    parsed = yaml.safe_load((directory / "MLmodel").read_text())
    parsed["flavors"]["sklearn"]["skops_trusted_types"] = ["subprocess.Popen"]
    (directory / "MLmodel").write_text(yaml.safe_dump(parsed))
    for load in (load_model, pyfunc.load_model):
        with pytest.raises(
            UntrustedModelError, match=r"not loaded without being asked to: subprocess\.Popen\. .*trusted=True"
        ):
            load(directory)


def test_every_kind_of_callable_in_a_skops_file_is_asked_about(model: Any, tmp_path: Path) -> None:
    """Functions, types, methods, partials and operators of other libraries are found wherever they stand."""
    function = {"__class__": "system", "__module__": "os", "__loader__": "FunctionNode"}
    text = {"__class__": "str", "__module__": "builtins", "__loader__": "JsonNode", "content": '"x"'}
    empty = {"__class__": "tuple", "__module__": "builtins", "__loader__": "TupleNode", "content": []}
    nodes = [
        function,
        {"__class__": "system", "__module__": "os", "__loader__": "TypeNode"},
        {
            "__class__": "partial",
            "__module__": "functools",
            "__loader__": "PartialNode",
            "content": {"func": function, "args": empty, "kwds": {**text, "content": "{}"}, "namespace": text},
        },
        {"__class__": "methodcaller", "__module__": "operator", "__loader__": "OperatorFuncNode", "attrs": empty},
        {**function, "__class__": "load", "__module__": "sklearn.utils._joblib"},
        {**function, "__class__": "os", "__module__": "sklearn.base"},
        {"__class__": "list", "__module__": "builtins", "__loader__": "ListNode", "content": [function]},
    ]
    for number, node in enumerate(nodes):

        def change(schema: dict[str, Any], node: Any = node) -> None:
            schema["content"]["content"]["verbose"] = node

        with pytest.raises(UntrustedModelError):
            load_model(stored(tmp_path / str(number), edited(dumps(model)[0], change)))


@pytest.mark.parametrize(
    "change",
    [
        lambda schema: schema.pop("__loader__"),
        lambda schema: schema.update(__loader__="NoSuchNode"),
        lambda schema: schema.update(protocol=99),
        lambda schema: schema.update(content=5),
        lambda schema: {"protocol": 2},
    ],
    ids=["no loader", "unknown loader", "newer protocol", "no node", "empty"],
)
def test_a_malformed_tree_of_nodes_is_a_format_error(model: Any, tmp_path: Path, change: Any) -> None:
    """Whatever the reader stumbles over comes out as one kind of error that names the file."""

    def without_result(schema: dict[str, Any]) -> Any:
        result = change(schema)
        return result if isinstance(result, dict) else None

    directory = stored(tmp_path / "model", edited(dumps(model)[0], without_result))
    with pytest.raises(ModelFormatError, match=r"model\.skops"):
        load_model(directory)


def test_a_tree_of_nodes_without_end_is_a_format_error(model: Any, tmp_path: Path) -> None:
    """A hundred thousand lists in each other do not crash the reader."""
    deep = '{"__class__":"list","__module__":"builtins","__loader__":"ListNode","content":[' * 20_000 + "]}" * 20_000
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("schema.json", deep[:-1] + ',"protocol":1}')
    with pytest.raises(ModelFormatError):
        load_model(stored(tmp_path / "model", buffer.getvalue()))


def test_an_unknown_loader_module_is_never_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`loader_module` is looked up in autotrack's table; a module of that name is imported only where it is trusted."""
    (tmp_path / "evil_loader.py").write_text("raise SystemExit('imported')")
    monkeypatch.syspath_prepend(str(tmp_path))
    directory = tmp_path / "model"
    directory.mkdir()
    flavors = {"python_function": {"loader_module": "evil_loader"}}
    (directory / "MLmodel").write_text(yaml.safe_dump({"flavors": flavors}))
    with pytest.raises(ModelFormatError, match="loader_module is 'evil_loader', which autotrack does not know"):
        pyfunc.load_model(directory)
    with pytest.raises(UntrustedModelError, match="evil_loader"):
        load_model(directory)
    with pytest.raises(SystemExit, match="imported"):
        pyfunc.load_model(directory.rename(tmp_path / "trusted"), trusted=True)


def test_an_unknown_predict_function_is_refused(model: Any, tmp_path: Path) -> None:
    """MLmodel cannot name any attribute of the model to be called."""
    directory = stored(tmp_path / "model", dumps(model)[0])
    parsed = yaml.safe_load((directory / "MLmodel").read_text())
    parsed["flavors"]["python_function"]["predict_fn"] = "__reduce__"
    (directory / "MLmodel").write_text(yaml.safe_dump(parsed))
    with pytest.raises(ModelFormatError, match="predict_fn is '__reduce__'"):
        pyfunc.load_model(directory)


def test_a_damaged_pickle_is_a_format_error_when_trusted(tmp_path: Path) -> None:
    """Trust does not turn a torn file into a traceback."""
    directory = stored(tmp_path / "model", pickle.dumps(FunctionTransformer())[:-10], "model.pkl", "pickle")
    with pytest.raises(ModelFormatError, match="cannot be loaded with the installed versions"):
        load_model(directory, trusted=True)


def test_a_pickle_that_needs_a_missing_module_says_which(tmp_path: Path) -> None:
    """The error names the module, which is what the user must install or add."""
    data = b"\x80\x04\x8c\x0fno_such_project\x8c\x05Model\x93."
    with pytest.raises(ModelFormatError, match="it needs the module 'no_such_project'"):
        load_model(stored(tmp_path / "model", data, "model.pkl", "pickle"), trusted=True)


def test_code_kept_beside_a_pickle_is_used_only_when_trusted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """MLflow's `code` folder comes onto the path for a trusted load, and for no other."""
    import sys

    monkeypatch.setattr(sys, "path", list(sys.path))
    data = b"\x80\x04\x8c\x11kept_beside_model\x8c\x05Model\x93)\x81."
    directory = stored(tmp_path / "model", data, "model.pkl", "pickle")
    (directory / "code").mkdir()
    (directory / "code/kept_beside_model.py").write_text("class Model:\n    pass\n")
    parsed = yaml.safe_load((directory / "MLmodel").read_text())
    parsed["flavors"]["sklearn"]["code"] = "code"
    (directory / "MLmodel").write_text(yaml.safe_dump(parsed))
    with pytest.raises(UntrustedModelError, match="kept_beside_model"):
        load_model(directory)
    assert "kept_beside_model" not in sys.modules
    assert type(load_model(directory, trusted=True)).__name__ == "Model"


@pytest.mark.parametrize("base", ["sklearn.linear_model.LinearRegression", "lightgbm.LGBMRegressor"])
def test_the_users_modules_travel_with_a_pickled_estimator(
    base: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are found when the model is loaded elsewhere, and checked by their hash before they are imported."""
    import sys

    package = base.rpartition(".")[0]
    module = f"travelling_{package.partition('.')[0]}"
    source = tmp_path / f"{module}.py"
    source.write_text(f"import {package}\nclass Own({base}):\n    pass\n")
    with monkeypatch.context() as here:
        here.syspath_prepend(str(tmp_path))
        model = importlib.import_module(module).Own()
        model.fit(np.arange(60.0).reshape(30, 2), np.arange(30.0))
        saved = save_model(model, tmp_path / "model", code_paths=[source])
        assert {settings["code"] for settings in saved.flavors.values()} == {"code"}
        del sys.modules[module]
    source.unlink()
    monkeypatch.setattr(sys, "path", list(sys.path))
    with pytest.raises(UntrustedModelError, match=module):
        load_model(tmp_path / "model")
    kept = tmp_path / "model" / "code" / source.name
    text = kept.read_text()
    kept.write_text(text + "raise SystemExit\n")
    with pytest.raises(ModelFormatError, match="replaced after the model was saved"):
        load_model(tmp_path / "model", trusted=True)
    assert module not in sys.modules
    kept.write_text(text)
    assert type(load_model(tmp_path / "model", trusted=True)).__name__ == "Own"


def test_nothing_is_executed_while_a_pickle_is_described(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Listing the contents of a pickle imports nothing and calls nothing of it."""
    data = b"\x80\x04\x8c\x08builtins\x8c\x05print\x93\x8c\x03boo\x85R."
    called: list[Any] = []
    monkeypatch.setattr(builtins, "print", lambda *args, **_: called.append(args))
    with pytest.raises(UntrustedModelError, match=r"builtins\.print"):
        load_model(stored(tmp_path / "model", data, "model.pkl", "pickle"))
    assert called == []


def test_arrays_do_not_smuggle_pickles(model: Any, tmp_path: Path) -> None:
    """An object array, which numpy could only read by unpickling, is refused inside a skops file."""
    mark = tmp_path / "mark"
    evil = io.BytesIO()
    np.save(evil, np.array([Trap(mark)], object), allow_pickle=True)
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(dumps(model)[0])) as old, zipfile.ZipFile(buffer, "w") as new:
        for name in old.namelist():
            new.writestr(name, evil.getvalue() if name.endswith(".npy") else old.read(name))
    for trusted in (False, True):
        with pytest.raises(ModelFormatError, match="cannot be loaded"):
            load_model(stored(tmp_path / f"model{trusted}", buffer.getvalue()), trusted=trusted)
    assert not mark.exists()
