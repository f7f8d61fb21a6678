"""The model registry by `Client` and the fluent API: MLflow's calls, `models:` URIs, versions of what is recorded."""

from __future__ import annotations

import inspect
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.linear_model import LinearRegression, Ridge

import autotrack
from autotrack import Client, config
from autotrack.errors import AlreadyExistsError, InvalidArgumentError, ModelFormatError, NotFoundError
from autotrack.models.uris import ModelsURI, parse_models_uri
from autotrack.testing import TemporaryStore

Python = Callable[..., "subprocess.CompletedProcess[str]"]

X, Y = np.array([[0.0], [1.0], [2.0]]), np.array([0.0, 1.0, 2.0])

MLFLOW = {
    "copy_model_version": "src_model_uri dst_name",
    "create_model_version": "name source run_id tags run_link description await_creation_for model_id",
    "create_registered_model": "name tags description",
    "delete_model_version": "name version",
    "delete_model_version_tag": "name version key stage",
    "delete_registered_model": "name",
    "delete_registered_model_alias": "name alias",
    "delete_registered_model_tag": "name key",
    "get_latest_versions": "name stages",
    "get_model_version": "name version",
    "get_model_version_by_alias": "name alias",
    "get_model_version_download_uri": "name version",
    "get_registered_model": "name",
    "rename_registered_model": "name new_name",
    "search_model_versions": "filter_string max_results order_by page_token",
    "search_registered_models": "filter_string max_results order_by page_token",
    "set_model_version_tag": "name version key value stage",
    "set_registered_model_alias": "name alias version",
    "set_registered_model_tag": "name key value",
    "update_model_version": "name version description",
    "update_registered_model": "name description",
}
"""Calls of MLflow 3.17's client, with their arguments in order, but for those of a cloud service."""


@pytest.fixture
def client(autotrack_store: TemporaryStore) -> Client:
    """A client of an empty store."""
    return autotrack_store.client


def logged(slope: float = 1.0, **options: Any) -> autotrack.LoggedModel:
    """A model that a run of its own put out."""
    with autotrack.start_run():
        return autotrack.log_model(LinearRegression().fit(X, Y * slope), **{"name": "model", **options})


def slope(uri: str) -> float:
    """The slope of the line that a URI names, by every way to load it, which must agree."""
    loaded = [
        autotrack.load_model(uri).coef_[0],
        autotrack.sklearn.load_model(uri).coef_[0],
        autotrack.pyfunc.load_model(uri).predict(np.array([[1.0]]))[0],
    ]
    assert max(loaded) - min(loaded) < 1e-9
    return round(float(loaded[0]), 6)


@pytest.mark.parametrize("name", MLFLOW)
def test_calls_take_the_arguments_of_mlflow_in_their_order(name: str) -> None:
    """Positional arguments mean the same."""
    assert list(inspect.signature(getattr(Client, name)).parameters)[1:] == MLFLOW[name].split()


def test_a_model_is_registered_promoted_loaded_and_retired(client: Client) -> None:
    """The life of a registered model, as MLflow's users lead it."""
    first, second = logged(1), logged(2)
    made = client.create_registered_model("line", {"team": "blue"}, "a line")
    assert (made.name, made.tags, made.description, made.latest_versions) == ("line", {"team": "blue"}, "a line", [])
    version = autotrack.register_model(f"runs:/{first.run_id}/model", "line", tags={"n": 1})
    assert (version.name, version.version, version.status, version.tags) == ("line", "1", "READY", {"n": "1"})
    assert (version.run_id, version.model_id, version.source) == (first.run_id, first.model_id, first.uri)
    assert version.current_stage == "None"
    assert (version.digest, version.signature) == (first.digest, first.signature)
    assert client.get_model_version_download_uri("line", "1") == first.uri
    client.create_model_version("line", f"models:/{second.model_id}", description="steeper", run_link="http://x")
    autotrack.set_registered_model_alias("line", "champion", 1)
    assert slope("models:/line@champion") == slope("models:/line/1") == 1
    assert slope("models:/line/latest") == slope("models:/line@latest") == slope(f"models:/{second.model_id}") == 2
    client.set_registered_model_alias("line", "champion", version="2")
    assert slope("models:/line@champion") == 2
    newest = client.get_model_version_by_alias("line", "champion")
    assert (newest.version, newest.aliases, newest.description) == ("2", ["champion"], "steeper")
    assert client.get_latest_versions("line") == [newest] == [client.get_model_version_by_alias("line", "latest")]
    copy = client.copy_model_version("models:/line@champion", "production")
    assert (copy.version, copy.source, copy.description, copy.aliases) == ("1", second.uri, "steeper", [])
    client.rename_registered_model("line", "slope")
    client.update_model_version("slope", 2, "the steepest")
    client.set_model_version_tag("slope", 2, "checked", True)
    client.delete_model_version_tag("slope", "1", "n")
    client.set_registered_model_tag("slope", "team", "red")
    model = client.update_registered_model("slope", "slopes")
    assert (model.tags, model.description, model.aliases) == ({"team": "red"}, "slopes", {"champion": "2"})
    client.delete_registered_model_tag("slope", "team")
    autotrack.delete_registered_model_alias("slope", "champion")
    client.delete_model_version("slope", 2)
    assert [one.version for one in client.search_model_versions("name = 'slope'")] == ["1"]
    assert client.get_model_version("slope", 1).tags == {}
    assert [one.name for one in autotrack.search_registered_models()] == ["production", "slope"]
    client.delete_registered_model("slope")
    with pytest.raises(NotFoundError, match="no registered model 'slope'"):
        slope("models:/slope/1")
    assert slope("models:/production/1") == 2  # the files stay


@pytest.mark.parametrize(
    ("uri", "meaning"),
    [
        ("models:/m/3", ModelsURI(name="m", version=3)),
        ("models:/m/007", ModelsURI(name="m", version=7)),
        ("models:/m/latest", ModelsURI(name="m")),
        ("models:/m/Latest", ModelsURI(name="m")),
        ("models:/m@champion", ModelsURI(name="m", alias="champion")),
        ("models:/m@LATEST", ModelsURI(name="m")),
        ("models:/a@b@c", ModelsURI(name="a@b", alias="c")),
        ("models:/a@b/1", ModelsURI(name="a@b", version=1)),
        ("models:/a b?#%20é/1", ModelsURI(name="a b?#%20é", version=1)),
        ("models:/m-abc123", ModelsURI(model_id="m-abc123")),
        ("models:m/3", ModelsURI(name="m", version=3)),
    ],
)
def test_models_uri_says(uri: str, meaning: ModelsURI) -> None:
    """A model's id, or a name with a version, an alias or neither."""
    assert parse_models_uri(uri) == meaning


@pytest.mark.parametrize(
    "uri",
    ["models:", "models:/", "models://", "models:/m/", "models:/m/Production", "models:/m/1/2", "models:/m@",
     "models:/@a", "models:/m/-1", "models:/m/1.5", "models:/m/²", "models:/m@a/1@b"],
)  # fmt: skip
def test_models_uri_of_no_known_form_is_refused(client: Client, uri: str) -> None:
    """The error names the forms that there are; MLflow's stages are none."""
    with pytest.raises(InvalidArgumentError, match=r"model_uri: got .*models:/<name>@<alias>"):
        autotrack.load_model(uri)


def test_what_a_uri_names_and_is_not_there_is_said(client: Client, tmp_path: Path) -> None:
    """Run, model, version, alias or folder; a failed registration leaves no empty registered model behind."""
    run_id = logged().run_id
    autotrack.register_model(f"runs:/{run_id}/model", "line")
    autotrack.set_registered_model_alias("line", "champion", 1)
    (tmp_path / "empty").mkdir()
    for uri, message in (
        (f"runs:/{'0' * 32}/model", f"no run '{'0' * 32}'"),
        (f"runs:/{run_id}/other", f"no model 'other' in this store; run {run_id} has: model"),
        ("models:/line/2", "no version of the registered model 'line' '2'.*the newest are: 1"),
        ("models:/line@best", "no alias of the registered model 'line' 'best'.*it has: champion"),
        ("models:/nothing/1", "no registered model 'nothing'"),
        ("models:/nothing/latest", "no registered model 'nothing'"),
        ("models:/line", "no logged model 'line'.*models:/line/latest"),
    ):
        for call in (
            autotrack.load_model,
            autotrack.pyfunc.load_model,
            lambda uri: autotrack.register_model(uri, "new"),
        ):
            with pytest.raises(NotFoundError, match=message):
                call(uri)
    for uri in (str(tmp_path / "empty"), "memory://nowhere/model"):
        with pytest.raises(ModelFormatError, match="MLmodel"):
            autotrack.register_model(uri, "new")
    with pytest.raises(InvalidArgumentError, match="runs:/<run id>/<model name>"):
        autotrack.register_model(f"runs:/{run_id}", "new")
    client.create_registered_model("bare")
    assert client.get_latest_versions("bare") == []
    with pytest.raises(NotFoundError, match=r"'latest'.*it has none"):
        autotrack.load_model("models:/bare/latest")
    assert [one.name for one in client.search_registered_models()] == ["bare", "line"]


NAMES = [None, 3, "", " ", "a/b", "a:b", "..", "x" * 501, "a\x00b", b"bytes"]
ALIASES = [None, "", "latest", "LATEST", "v3", "V12", "3", "a b", "a@b", "a/b", "é!", "x" * 256, "a\n"]
VERSIONS = [None, "", "one", "1.5", 1.5, 0, -1, "-1", True, "²", 2**31, "9" * 30]


def test_unusable_arguments_are_named(client: Client) -> None:
    """Each call refuses what it cannot use, by a typed error that names the argument, and changes nothing."""
    model = logged()
    client.create_registered_model("m")
    client.create_model_version("m", model.uri)
    calls: list[tuple[str, Callable[[], object]]] = []
    for name in NAMES:
        calls += [("name", partial(call, name)) for call in (
            client.create_registered_model, client.get_registered_model, client.delete_registered_model,
            client.get_latest_versions, lambda name: client.create_model_version(name, model.uri),
            lambda name: autotrack.register_model(model.uri, name), lambda name: client.get_model_version(name, 1),
        )]  # fmt: skip
        calls.append(("new_name", lambda name=name: client.rename_registered_model("m", name)))
        calls.append(("dst_name", lambda name=name: client.copy_model_version("models:/m/1", name)))
        if name is not None:
            calls.append(("registered_model_name", lambda name=name: logged(registered_model_name=name)))
    calls += [("alias", lambda alias=alias: client.set_registered_model_alias("m", alias, 1)) for alias in ALIASES]
    for version in VERSIONS:
        calls += [("version", partial(call, version)) for call in (
            lambda version: client.get_model_version("m", version),
            lambda version: client.delete_model_version("m", version),
            lambda version: client.update_model_version("m", version, "text"),
            lambda version: client.set_registered_model_alias("m", "a", version),
            lambda version: client.set_model_version_tag("m", version, "k", "v"),
        )]  # fmt: skip
    calls += [
        ("tags", lambda: client.create_registered_model("n", tags=["a"])),
        ("key", lambda: client.create_registered_model("n", tags={"": "v"})),
        ("key", lambda: client.set_registered_model_tag("m", "", "v")),
        ("key", lambda: client.set_model_version_tag("m", 1)),
        ("description", lambda: client.create_registered_model("n", description=3)),
        ("description", lambda: client.update_registered_model("m")),
        ("description", lambda: client.update_model_version("m", 1)),
        ("source", lambda: client.create_model_version("m", None)),
        ("source", lambda: client.create_model_version("m", "")),
        ("run_id", lambda: client.create_model_version("m", model.uri, run_id=3)),
        ("run_link", lambda: client.create_model_version("m", model.uri, run_link=3)),
        ("model_id", lambda: client.create_model_version("m", model.uri, model_id="")),
        ("stages", lambda: client.get_latest_versions("m", ["Production"])),
        ("stage", lambda: client.set_model_version_tag("m", 1, "k", "v", stage="Production")),
        ("src_model_uri", lambda: client.copy_model_version(f"models:/{model.model_id}", "n")),
        ("src_model_uri", lambda: client.copy_model_version(f"runs:/{model.run_id}/model", "n")),
        ("filter_string", lambda: client.search_registered_models(3)),
        ("order_by", lambda: client.search_model_versions(order_by="name")),
        ("max_results", lambda: client.search_model_versions(max_results=0)),
        ("max_results", lambda: autotrack.search_model_versions(max_results=-1)),
        ("page_token", lambda: client.search_registered_models(page_token="x")),
        ("model_uri", lambda: autotrack.register_model(3, "n")),
        ("registered_model_name", lambda: autotrack.autolog(registered_model_name="a/b")),
        ("registered_model_name", lambda: autotrack.sklearn.autolog(registered_model_name=3)),
    ]
    for number, (argument, call) in enumerate(calls):
        with pytest.raises(InvalidArgumentError) as caught:
            call()
        assert caught.value.argument == argument, (number, str(caught.value))
    with pytest.raises(AlreadyExistsError, match="registered model 'm' exists already"):
        client.create_registered_model("m")
    with pytest.raises(NotFoundError, match="no logged model 'gone'"):
        client.create_model_version("m", model.uri, model_id="gone")
    assert [one.name for one in client.search_registered_models()] == ["m"]
    assert [one.version for one in client.search_model_versions()] == ["1"]


def test_paths_and_urls_are_registered(client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Relative paths, `file:` URLs, folders among a run's artifacts, and URLs of other places; copies are made once."""
    from autotrack.artifacts import Artifacts

    autotrack.sklearn.save_model(LinearRegression().fit(X, Y * 5), tmp_path / "saved", signature=None, input_example=X)
    monkeypatch.chdir(tmp_path)
    by_path = autotrack.register_model("saved", "five")
    assert by_path.source == str(tmp_path / "saved")
    assert by_path.signature
    assert by_path.run_id is None
    assert autotrack.register_model((tmp_path / "saved").as_uri(), "five").source == by_path.source
    with autotrack.start_run() as run:
        autotrack.log_artifacts("saved", "files/model")
    below = autotrack.register_model(f"runs:/{run.run_id}/files/model", "five")
    assert (below.run_id, below.model_id) == (run.run_id, None)
    Artifacts("memory://bucket").put_folder(tmp_path / "saved", "deep/model")
    remote = autotrack.register_model("memory://bucket/deep/model", "five")
    assert remote.signature == by_path.signature
    monkeypatch.chdir("/")
    assert [slope(f"models:/five/{number}") for number in (1, 2, 3, 4)] == [5, 5, 5, 5]
    # A URL is not looked at by `create_model_version`, as in MLflow.
    far = client.create_model_version("five", "s3://bucket/model", run_id="elsewhere")
    assert (far.source, far.run_id) == ("s3://bucket/model", "elsewhere")


def test_a_model_in_remote_storage_is_registered_and_loaded(client: Client) -> None:
    """Of a run whose experiment keeps its files at a URL: the version points there, and is loaded from there."""
    client.create_experiment("far", artifact_location="memory://far-away/files")
    autotrack.set_experiment("far")
    model = logged(7, registered_model_name="line")
    assert model.uri.startswith("memory://far-away/files/")
    version = client.get_model_version("line", 1)
    assert (version.source, version.digest) == (model.uri, model.digest)
    assert slope("models:/line/1") == slope(f"runs:/{model.run_id}/model") == 7


def test_a_store_that_is_moved_takes_its_registry_along(tmp_path: Path) -> None:
    """Versions point at files beside the database wherever that is, and are found by the path of now."""
    before, after = tmp_path / "before", tmp_path / "after"
    autotrack.set_tracking_uri(before)
    model = logged(3, registered_model_name="line")
    autotrack.register_model(f"models:/{model.model_id}", "line")
    autotrack.flush()
    autotrack.testing.reset()
    shutil.move(before, after)
    autotrack.set_tracking_uri(after)
    assert slope("models:/line/1") == slope("models:/line/2") == 3
    source = model.uri.replace(str(before), str(after))
    found = autotrack.search_model_versions(filter_string=f"source_path = '{source}'")
    assert [one.source for one in found] == [source, source]


def test_files_of_a_registered_model_are_downloaded(client: Client, tmp_path: Path) -> None:
    """The whole directory, or a path in it, by version, alias and id, without anything else loaded before."""
    model = logged(registered_model_name="line")
    client.set_registered_model_alias("line", "champion", 1)
    for uri in ("models:/line/1", "models:/line/latest", "models:/line@champion", f"models:/{model.model_id}"):
        assert autotrack.artifacts.load_text(f"{uri}/MLmodel").startswith("artifact_path: model")
        whole = Path(autotrack.artifacts.download_artifacts(uri, dst_path=str(tmp_path / uri.replace("/", "-"))))
        assert (whole / "MLmodel").is_file()
    with pytest.raises(NotFoundError, match="no version of the registered model 'line' '2'"):
        autotrack.artifacts.download_artifacts("models:/line/2/MLmodel")


# Versions of what is recorded


def test_each_fit_becomes_a_version_in_the_background(client: Client) -> None:
    """In their order; what is set for scikit-learn alone beats what is set for all, and "" means none."""
    autotrack.autolog(registered_model_name="lines")
    for alpha in (1, 2, 3):
        Ridge(alpha=alpha).fit(X, Y)
    versions = autotrack.search_model_versions(filter_string="name = 'lines'", order_by=["version_number"])
    assert [one.version for one in versions] == ["1", "2", "3"]
    assert [autotrack.load_model(f"models:/lines/{number}").alpha for number in (1, 2, 3)] == [1, 2, 3]
    runs = {run.info.run_id: run for run in client.search_runs()}
    for version in versions:
        (model,) = runs[str(version.run_id)].outputs.model_outputs
        assert (version.model_id, version.source, version.digest) == (model.model_id, model.uri, model.digest)
        assert version.signature == model.signature != ""
    autotrack.sklearn.autolog(registered_model_name="ridges")
    Ridge().fit(X, Y)
    autotrack.sklearn.autolog(registered_model_name="")
    Ridge().fit(X, Y)
    assert [(one.name, len(one.aliases)) for one in client.search_registered_models()] == [("lines", 0), ("ridges", 0)]
    assert [one.version for one in client.search_model_versions("name = 'ridges'")] == ["1"]
    assert len(client.search_runs()) == 5


def test_equal_models_of_two_fits_are_two_versions_of_the_same_files(client: Client) -> None:
    """Equal models are stored once; each training call has its version all the same."""
    autotrack.autolog(registered_model_name="same")
    for _ in range(2):
        Ridge().fit(X, Y)
    first, second = client.search_model_versions("name = 'same'")
    assert first.source == second.source
    assert first.model_id != second.model_id
    assert first.run_id != second.run_id


def test_a_model_is_registered_while_it_is_still_being_written(client: Client) -> None:
    """`register_model` right behind the fit waits for what is done in the background."""
    autotrack.autolog()
    with autotrack.start_run() as run:
        Ridge(alpha=7).fit(X, Y)
        version = autotrack.register_model(f"runs:/{run.run_id}/model", "ridge")
    assert version.run_id == run.run_id
    assert autotrack.load_model("models:/ridge/1").alpha == 7


def test_a_logged_model_is_registered_with_it(client: Client) -> None:
    """`log_model(registered_model_name=...)`, by each name that it has; the same model twice is two versions."""
    first = logged(1, registered_model_name="line")
    with autotrack.start_run():
        second = autotrack.sklearn.log_model(LinearRegression().fit(X, Y), "clf", registered_model_name="line")
    found = autotrack.search_model_versions(max_results=5, order_by=["version_number"])
    assert [(one.version, one.model_id, one.run_id) for one in found] == [
        ("1", first.model_id, first.run_id),
        ("2", second.model_id, second.run_id),
    ]
    assert len(autotrack.search_model_versions(max_results=1)) == 1


def test_a_name_from_the_environment_that_is_none_spoils_nothing(
    client: Client, monkeypatch: pytest.MonkeyPatch, shield_on: None
) -> None:
    """The fit goes on, the model is recorded, and the run says why it is no version."""
    monkeypatch.setenv("AUTOTRACK_REGISTERED_MODEL_NAME", "a/b")
    config.reload()
    autotrack.autolog()
    assert Ridge().fit(X, Y).predict(X).shape == (3,)
    (run,) = client.search_runs()
    assert len(run.outputs.model_outputs) == 1
    assert "registered_model_name" in run.info.degraded
    assert client.search_registered_models() == []


def test_a_registry_that_is_none_spoils_nothing_else(
    client: Client, monkeypatch: pytest.MonkeyPatch, shield_on: None
) -> None:
    """With an unusable setting the calls of the registry raise; all else works, and models are recorded."""
    monkeypatch.setenv("AUTOTRACK_REGISTRY_URI", "nonsense://x")
    monkeypatch.setenv("AUTOTRACK_REGISTERED_MODEL_NAME", "line")
    config.reload()
    autotrack.autolog()
    Ridge().fit(X, Y)
    (run,) = Client().search_runs()
    assert len(run.outputs.model_outputs) == 1
    assert "registry_uri: got 'nonsense://x'" in run.info.degraded
    with pytest.raises(InvalidArgumentError, match="registry_uri: got 'nonsense://x'"):
        Client().search_registered_models()


KILLED = """
import sys
import numpy as np
import autotrack
autotrack.set_tracking_uri(sys.argv[1])
autotrack.autolog(registered_model_name="killed")
from sklearn.linear_model import Ridge
alpha = 0
while True:
    alpha += 1
    with autotrack.disabled():
        model = Ridge(alpha=alpha).fit([[0.0], [1.0]], [0.0, 1.0])
    with autotrack.start_run():
        autotrack.log_model(model, registered_model_name="called")
    Ridge(alpha=alpha).fit([[0.0], [1.0]], [0.0, 1.0])
    print(alpha, flush=True)
"""


@pytest.mark.parametrize("loops", [1, 2, 4])
def test_every_model_is_a_version_exactly_once_through_kill_minus_nine(tmp_path: Path, loops: int) -> None:
    """Killed at any moment, the store has as many versions as logged models, each once, and all whole."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([os.getcwd(), os.environ.get("PYTHONPATH", "")])}
    arguments = [sys.executable, "-c", KILLED, str(tmp_path / "store")]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True, env=environment) as child:
        assert child.stdout is not None
        for _ in range(loops):
            assert child.stdout.readline()
        child.kill()
    client = Client(tmp_path / "store")
    models = {model.model_id: model for run in client.search_runs() for model in run.outputs.model_outputs}
    for name in ("killed", "called"):
        versions = client.search_model_versions(f"name = '{name}'", order_by=["version_number"])
        assert [one.version for one in versions] == [str(number + 1) for number in range(len(versions))]
        assert all(models.pop(str(one.model_id)).run_id == one.run_id for one in versions)
        autotrack.set_tracking_uri(tmp_path / "store")
        assert [autotrack.load_model(f"models:/{name}/{one.version}").alpha for one in versions] == list(
            range(1, len(versions) + 1)
        )
        assert len(versions) >= (loops if name == "called" else 0)
    assert models == {}


# Another store for the registry


def test_models_are_registered_in_another_store_than_the_runs(tmp_path: Path) -> None:
    """By `Client(registry_uri=...)`, by `set_registry_uri`, by the setting; URIs are looked up there."""
    runs, registry = tmp_path / "runs", tmp_path / "registry"
    autotrack.set_tracking_uri(runs)
    autotrack.set_registry_uri(registry)
    assert autotrack.get_registry_uri() == Client(registry).tracking_uri != autotrack.get_tracking_uri()
    model = logged(4)
    autotrack.register_model(f"runs:/{model.run_id}/model", "line")
    logged(6, registered_model_name="line")
    autotrack.autolog(registered_model_name="line")
    Ridge(alpha=9).fit(X, Y)
    assert [one.version for one in autotrack.search_model_versions(order_by=["version_number"])] == ["1", "2", "3"]
    assert (slope("models:/line/1"), slope("models:/line/2")) == (4, 6)
    assert autotrack.load_model("models:/line/latest").alpha == 9
    autotrack.set_registry_uri(None)
    assert Client().search_registered_models() == []
    explicit = Client(runs, registry_uri=registry)
    assert explicit.registry_uri == Client(registry).tracking_uri
    assert explicit.get_registered_model("line").latest_versions[0].version == "3"
    assert explicit.create_model_version("line", f"models:/{model.model_id}").run_id == model.run_id
    assert Client(registry).search_runs() == []
    with pytest.raises(InvalidArgumentError, match="registry_uri: got 'nonsense://x'"):
        autotrack.set_registry_uri("nonsense://x")
    with pytest.raises(InvalidArgumentError, match="registry_uri: got 3"):
        Client(registry_uri=3)


def test_a_registry_in_a_relative_folder_stays_where_it_was_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The setting is read relative to the folder of the first use; a change of folder moves nothing."""
    (tmp_path / "other").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AUTOTRACK_REGISTRY_URI", "models")
    config.reload()
    logged(registered_model_name="line")
    monkeypatch.chdir(tmp_path / "other")
    logged(registered_model_name="line")
    assert Client().registry_uri == Client(tmp_path / "models").tracking_uri
    assert [one.version for one in autotrack.search_model_versions()] == ["2", "1"]
    assert not (tmp_path / "other" / "models").exists()


def test_versions_for_another_store_are_there_when_the_program_has_ended(tmp_path: Path, run_python: Python) -> None:
    """What waits in the background at exit still gets into both journals, and both stores."""
    program = """
        import autotrack
        autotrack.autolog(registered_model_name="late")
        from sklearn.linear_model import Ridge
        Ridge().fit([[0.0], [1.0]], [0.0, 1.0])
    """
    registry = tmp_path / "registry"
    run_python(program, env={"AUTOTRACK_TRACKING_URI": str(tmp_path / "runs"), "AUTOTRACK_REGISTRY_URI": str(registry)})
    from autotrack.store import registry_reading
    from autotrack.store.engine import Store

    version = registry_reading.version(Store.open(registry), "late", 1)  # without moving what is pending
    assert version.run_id == Client(tmp_path / "runs").search_runs()[0].info.run_id


@pytest.mark.parametrize("server", ["postgres_url", "mariadb_url"])
def test_the_registry_on_a_server(server: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    """Registered by call, by `log_model` and by a fit; found by alias, version and filter."""
    autotrack.set_tracking_uri(request.getfixturevalue(server))
    try:
        model = logged(2, registered_model_name="line")
        autotrack.register_model(f"models:/{model.model_id}", "line", tags={"by": "call"})
        autotrack.autolog(registered_model_name="line")
        Ridge(alpha=8).fit(X, Y)
        autotrack.set_registered_model_alias("line", "champion", 2)
        assert autotrack.load_model("models:/line/3").alpha == 8
        assert slope("models:/line@champion") == slope("models:/line/1") == 2
        assert [one.version for one in autotrack.search_model_versions(filter_string="tags.by = 'call'")] == ["2"]
    finally:
        autotrack.testing.reset()
