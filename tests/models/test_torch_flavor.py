"""torch modules: exported where that is possible, weights as safetensors, pickles only where somebody trusts them."""

from __future__ import annotations

import os
import pickle
import warnings
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

import autotrack.pytorch
from autotrack.errors import InvalidArgumentError, ModelFormatError, UntrustedModelError
from autotrack.models import Model, load_model, save_model, take_snapshot
from autotrack.pyfunc import load_model as load_pyfunc

X = torch.randn(6, 4, generator=torch.Generator().manual_seed(0))


class Net(nn.Module):
    """A user's class: batch norm, dropout, a buffer, a tied weight."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.tied, self.norm, self.last = (
            nn.Linear(4, 8),
            nn.Linear(4, 8),
            nn.BatchNorm1d(8),
            nn.Linear(8, 3),
        )
        self.tied.weight = self.first.weight
        self.drop = nn.Dropout(0.5)
        self.register_buffer("scale", torch.full((1,), 2.0))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = self.last(self.drop(torch.relu(self.norm(self.first(x) + self.tied(x))))) * self.scale
        return found


class Branching(nn.Module):
    """Its path depends on the data, so it has no graph."""

    def __init__(self) -> None:
        super().__init__()
        self.last = nn.Linear(4, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = self.last(x)
        return found if x.sum() > 0 else -found


class Masked(nn.Module):
    """Two inputs, two outputs."""

    def __init__(self) -> None:
        super().__init__()
        self.last = nn.Linear(4, 2)

    def forward(self, x: torch.Tensor, mask: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return self.last(x) * mask, mask


def trained(module: nn.Module) -> Any:
    """A module whose batch norms have seen something, in evaluation mode."""
    module.train()(X)
    return module.eval()


def settings(model: Model) -> dict[str, Any]:
    return model.get_flavor("pytorch")


def equal(one: Any, other: Any, data: Any = X) -> bool:
    with torch.no_grad():
        return torch.allclose(one(data), other(data), rtol=1e-5, atol=1e-6)


def test_an_exported_module_of_the_users_loads_without_trust(tmp_path: Path) -> None:
    """With an example it becomes a program with an open batch; mode, gradients and random numbers stay untouched."""
    module = trained(Net()).train()
    before, numbers = {name: value.clone() for name, value in module.state_dict().items()}, torch.get_rng_state()
    model = save_model(module, tmp_path / "model", input_example=X[:1])
    assert module.training
    assert torch.equal(torch.get_rng_state(), numbers)
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())
    assert settings(model)["serialization_format"] == "pt2"
    assert not (tmp_path / "model" / "data" / "model.pth").exists()
    assert model.signature is not None
    assert model.signature.to_dict()["inputs"] == (
        '[{"type": "tensor", "tensor-spec": {"dtype": "float32", "shape": [-1, 4]}}]'
    )
    assert equal(load_model(tmp_path / "model"), module.eval())
    predictor = load_pyfunc(tmp_path / "model")
    assert np.allclose(predictor.predict(X.numpy()), module(X).detach().numpy(), atol=1e-6)
    assert isinstance(predictor.predict(X), torch.Tensor)


def test_weights_go_into_a_module_of_the_readers_own(tmp_path: Path) -> None:
    """Whichever form the module has, its weights need no trust, and what is tied stays tied."""
    module = trained(Net())
    for name, options in {"program": {"input_example": X}, "pickle": {}}.items():
        save_model(module, tmp_path / name, **options)
        other = autotrack.pytorch.load_model(tmp_path / name, module=Net())
        assert equal(other, module)
        assert other.tied.weight is other.first.weight
        weights = autotrack.pytorch.load_state_dict(tmp_path / name)
        assert weights.keys() == module.state_dict().keys()
        assert all(torch.equal(value, weights[key]) for key, value in module.state_dict().items())
        with pytest.raises(InvalidArgumentError, match="the weights of the stored one"):
            autotrack.pytorch.load_model(tmp_path / name, module=Branching())


def test_the_users_class_without_an_example_is_a_marked_pickle(tmp_path: Path) -> None:
    """It asks for trust, and the error names the classes."""
    module = trained(Net())
    model = save_model(module, tmp_path / "model")
    assert settings(model)["pickled_because"] == "no input example to export it with"
    with pytest.raises(UntrustedModelError, match=r"test_torch_flavor\.Net"):
        load_model(tmp_path / "model")
    assert equal(load_model(tmp_path / "model", trusted=True), module)


def test_what_cannot_be_exported_says_why(tmp_path: Path) -> None:
    """A path that depends on the data falls back to a pickle, and is an error where a program was asked for."""
    model = save_model(Branching(), tmp_path / "model", input_example=X)
    assert "data-dependent" in settings(model)["pickled_because"]
    with pytest.raises(InvalidArgumentError, match="data-dependent"):
        save_model(Branching(), tmp_path / "other", input_example=X, serialization_format="pt2")
    with pytest.raises(InvalidArgumentError, match="no input example"):
        save_model(Net(), tmp_path / "other", serialization_format="pt2")


@pytest.mark.parametrize(
    "module",
    [
        nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Dropout(), nn.Linear(8, 1)),
        nn.TransformerEncoder(nn.TransformerEncoderLayer(4, 2, 8, batch_first=True), 1, enable_nested_tensor=False),
        nn.ModuleDict({"a": nn.LSTM(4, 2), "b": nn.ModuleList([nn.Embedding(3, 2)])}),
        nn.Sequential(nn.Unflatten(1, (1, 2, 2)), nn.Conv2d(1, 2, 1), nn.BatchNorm2d(2), nn.Flatten()),
        nn.Sequential(nn.Linear(4, 2)).to(torch.bfloat16),
    ],
    ids=lambda module: type(module).__name__,
)
def test_modules_of_torchs_own_need_no_trust_though_pickled(module: Any, tmp_path: Path) -> None:
    """Only torch's module classes are let through, by its restricted reader."""
    save_model(module, tmp_path / "model")
    loaded = load_model(tmp_path / "model")
    assert repr(loaded) == repr(module)
    assert not loaded.training
    weights = loaded.state_dict()
    assert all(torch.equal(value, weights[key]) for key, value in module.state_dict().items())


@pytest.mark.parametrize(
    ("module", "example"),
    [
        (nn.LSTM(4, 3, batch_first=True), torch.randn(2, 3, 4)),
        (nn.Sequential(nn.Conv2d(1, 2, 3), nn.Flatten(), nn.Linear(72, 2)), torch.randn(2, 1, 8, 8)),
        (nn.Sequential(nn.Embedding(10, 4), nn.Flatten()), torch.randint(0, 10, (2, 3))),
        (nn.Sequential(nn.Linear(4, 2)).to(torch.bfloat16), X.to(torch.bfloat16)),
        (Masked(), (X, torch.ones(6, 2))),
        (Masked(), {"x": X, "mask": torch.ones(6, 2)}),
    ],
    ids=lambda value: type(value).__name__,
)
def test_exported_modules_take_what_they_took(module: Any, example: Any, tmp_path: Path) -> None:
    """Layers, number types, several inputs and outputs, by position and by name; any number of rows."""
    assert settings(save_model(module, tmp_path / "model", input_example=example))["serialization_format"] == "pt2"
    loaded = load_model(tmp_path / "model")
    named = {name: value[:1] for name, value in example.items()} if isinstance(example, dict) else {}
    given = () if named else tuple(value[:1] for value in (example if isinstance(example, tuple) else (example,)))
    module.eval()
    one, other = module(*given, **named), loaded(*given, **named)
    one, other = (value if isinstance(value, tuple) else (value,) for value in (one, other))
    assert torch.allclose(one[0].float(), other[0].float(), atol=1e-5)


def test_a_frame_goes_in_and_a_frame_comes_out(tmp_path: Path) -> None:
    """As in MLflow: float32 in, the index kept."""
    module = nn.Linear(4, 2)
    frame = pd.DataFrame(X.numpy(), columns=list("abcd"), index=list("uvwxyz"))
    save_model(module, tmp_path / "model", input_example=frame)
    found = load_pyfunc(tmp_path / "model").predict(frame)
    assert isinstance(found, pd.DataFrame)
    assert list(found.index) == list(frame.index)
    assert np.allclose(found, module(X).detach())


def test_an_array_that_cannot_be_written_to_stays_as_it_is(tmp_path: Path) -> None:
    """It is copied for the module, which may write to its input; torch would warn of it."""
    module = nn.Sequential(nn.ReLU(inplace=True), nn.Linear(4, 2)).eval()
    array = -np.abs(X.numpy())
    before = array.copy()
    array.flags.writeable = False
    save_model(module, tmp_path / "model", input_example=X)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = load_pyfunc(tmp_path / "model").predict(array)
    assert np.allclose(found, module(torch.zeros(X.shape)).detach())
    assert np.array_equal(array, before)


def test_compiled_modules_snapshots_and_state_without_tensors_are_stored(tmp_path: Path) -> None:
    """What is around the module is taken off; what safetensors cannot hold stays in the pickle alone."""
    module = nn.Sequential(nn.Linear(4, 2))
    assert settings(save_model(torch.compile(module), tmp_path / "compiled", input_example=X))["state_dict"]
    assert equal(load_model(tmp_path / "compiled"), module)
    snapshot = take_snapshot(module, 10_000_000)
    autotrack.pytorch.save_model(snapshot, tmp_path / "snapshot")
    assert equal(load_model(tmp_path / "snapshot"), module)
    sparse = nn.Module()
    sparse.register_buffer("table", torch.eye(3).to_sparse())
    assert "state_dict" not in settings(save_model(sparse, tmp_path / "sparse"))
    with pytest.raises(InvalidArgumentError, match=r"a torch\.nn\.Module"):
        autotrack.pytorch.save_model(X, tmp_path / "tensor")


class Evil:
    """Leaves a file behind when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return os.system, (f"touch {self.path}",)


def unsealed(directory: Path) -> Path:
    """Forget a model's hashes, as whoever swaps a file would."""
    model = Model.load(directory)
    model.autotrack = None
    model.save(directory)
    return directory


def test_a_file_swapped_for_a_pickle_is_not_run(tmp_path: Path) -> None:
    """Not in place of the program, the module, or the weights; not in a zip, an old torch file, or a plain pickle."""
    mark = tmp_path / "mark"
    evil = nn.Sequential(nn.Linear(4, 2))
    evil.evil = Evil(mark)
    save_model(nn.Linear(4, 2), tmp_path / "program", input_example=X)
    save_model(nn.Linear(4, 2), tmp_path / "pickle")
    for number, name in enumerate(("program/data/model.pt2", "pickle/data/model.pth")):
        file = tmp_path / name
        for form in ("plain", "zip", "legacy"):
            if form == "plain":
                file.write_bytes(pickle.dumps(Evil(mark)))
            else:
                torch.save(evil, file, _use_new_zipfile_serialization=form == "zip")
            with pytest.raises(ModelFormatError, match="sha256"):
                load_model(file.parents[1])
            with pytest.raises(ModelFormatError) as refusal:
                load_model(unsealed_copy(file.parents[1], tmp_path / f"{number}{form}"))
            assert number == 0 or "posix.system" in str(refusal.value) or "nt.system" in str(refusal.value)
    (tmp_path / "pickle" / "data" / "model.safetensors").write_bytes(pickle.dumps(Evil(mark)))
    with pytest.raises(ModelFormatError, match="safetensors"):
        autotrack.pytorch.load_state_dict(unsealed(tmp_path / "pickle"))
    assert not mark.exists()


def unsealed_copy(directory: Path, target: Path) -> Path:
    import shutil

    return unsealed(Path(shutil.copytree(directory, target)))


@pytest.mark.parametrize("name", ["model.pt2", "model.pth", "model.safetensors"])
def test_a_file_cut_short_is_a_format_error(name: str, tmp_path: Path) -> None:
    """With hashes and without."""
    options: dict[str, Any] = {} if name == "model.pth" else {"input_example": X}
    save_model(nn.Linear(4, 2), tmp_path / "model", **options)
    file = tmp_path / "model" / "data" / name
    file.write_bytes(file.read_bytes()[:-200])
    for directory in (tmp_path / "model", unsealed_copy(tmp_path / "model", tmp_path / "copy")):
        with pytest.raises(ModelFormatError):
            autotrack.pytorch.load_state_dict(directory) if "safe" in name else load_model(directory)


@pytest.mark.parametrize("name", ["model.pt2", "model.pth"])
def test_a_zip_bomb_is_refused(name: str, tmp_path: Path) -> None:
    """Before a byte of it is unpacked."""
    save_model(nn.Linear(4, 2), tmp_path / "model", **({} if name == "model.pth" else {"input_example": X}))
    with zipfile.ZipFile(tmp_path / "model" / "data" / name, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("model/data.pkl", bytes(200_000_000))
    with pytest.raises(ModelFormatError, match="that unpack to 200000000"):
        load_model(unsealed(tmp_path / "model"))


def test_a_model_folder_that_leaves_the_directory_is_refused(tmp_path: Path) -> None:
    """By a path, and by a link."""
    save_model(nn.Linear(4, 2), tmp_path / "other", input_example=X)
    save_model(nn.Linear(4, 2), tmp_path / "model", input_example=X)
    directory = unsealed(tmp_path / "model")
    model = Model.load(directory)
    for folder in ("../other/data", str(tmp_path / "other" / "data"), "link"):
        if folder == "link":
            (directory / "link").symlink_to(tmp_path / "other" / "data")
        model.add_flavor("pytorch", **{**settings(model), "model_data": folder})
        model.save(directory)
        with pytest.raises(ModelFormatError, match="leaves the model directory"):
            load_model(directory)
    for folder, said in ((None, "expected a file name"), ("a\0b", "no file name"), ("n" * 5000, "no file name")):
        model.add_flavor("pytorch", **{**settings(model), "model_data": folder}).save(directory)
        with pytest.raises(ModelFormatError, match=said):
            load_model(directory)
