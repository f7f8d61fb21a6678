"""Where runs keep their files: the store's folder, an experiment's place, the setting `artifact_uri`; and back."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import autotrack
from autotrack import config, testing
from autotrack.artifacts import Artifacts
from autotrack.errors import ArtifactError, InvalidArgumentError, ModelFormatError
from autotrack.store.location import locate
from autotrack.store.places import ROOT_TAG


@pytest.fixture(params=["folder", "memory", "s3"])
def root(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A place for files away from the store."""
    if request.param == "folder":
        return str(tmp_path / "else where")
    place: str = request.getfixturevalue("memory" if request.param == "memory" else "bucket")
    return f"{place}/team"


def anew() -> None:
    """As in another process: nothing is remembered."""
    testing.reset()
    config.reload()


def log_much(folder: Path) -> str:
    """A run that logs files and models, by hand and by itself.

    Returns:
        Its id.
    """
    from sklearn.linear_model import LogisticRegression

    (folder / "data").mkdir(exist_ok=True)
    (folder / "data" / "a.csv").write_text("1,2")
    autotrack.autolog()
    with autotrack.start_run() as run:
        autotrack.log_text("hello", "notes/hello.txt")
        autotrack.log_dict({"a": 1}, "a.json")
        autotrack.log_table({"x": [1, 2]}, "table.json")
        autotrack.log_artifacts(folder / "data", "data")
        model = LogisticRegression().fit([[0.0], [1.0], [2.0], [3.0]], [0, 0, 1, 1])
        autotrack.log_model(model, name="by hand")
    autotrack.flush()
    return run.run_id


def check_all(run_id: str, root: str, folder: Path) -> None:
    """All that `log_much` logged is below the root, and can be had by every way."""
    client = autotrack.Client()
    run = client.get_run(run_id)
    assert run.info.artifact_uri == f"{root}/{run_id}"
    assert not run.info.degraded
    assert [info.path for info in client.list_artifacts(run_id)] == ["a.json", "data", "figures", "notes", "table.json"]
    assert [info.path for info in autotrack.artifacts.list_artifacts(run_id=run_id, artifact_path="data")] == [
        "data/a.csv"
    ]
    assert "figures/training_confusion_matrix.json" in [info.path for info in client.list_artifacts(run_id, "figures")]
    copy = Path(client.download_artifacts(run_id, "", str(folder / "copy")))
    assert (copy / "data" / "a.csv").read_text() == "1,2"
    assert autotrack.artifacts.load_text(f"runs:/{run_id}/notes/hello.txt") == "hello"
    assert autotrack.artifacts.load_dict(f"{root}/{run_id}/a.json") == {"a": 1}
    models = {model.name: model for model in run.outputs.model_outputs}
    assert sorted(models) == ["by hand", "model"]
    for name, model in models.items():
        assert model.uri.startswith(f"{root}/models/")
        loaded = autotrack.load_model(f"runs:/{run_id}/{name}")
        assert list(loaded.predict([[0.0], [3.0]])) == [0, 1]
        place = autotrack.artifacts.download_artifacts(run_id=run_id, artifact_path=name, dst_path=folder / name)
        assert Path(place, "MLmodel").is_file()
    found = client.search_runs(filter_string=f"artifact_uri = '{root}/{run_id}'")
    assert [one.info.run_id for one in found] == [run_id]


def test_the_setting_sends_files_and_models_elsewhere(
    root: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All of a new run's, and none beside the store; who reads needs no setting, and older runs stay where they are."""
    before = autotrack.start_run()
    autotrack.log_text("old", "old.txt")
    autotrack.end_run()
    monkeypatch.setenv("AUTOTRACK_ARTIFACT_URI", root)
    anew()
    run_id = log_much(tmp_path)
    own = Path(locate().artifact_root)
    assert [path.name for path in own.iterdir()] == [before.run_id]
    assert autotrack.get_run(run_id).data.tags[ROOT_TAG] == root
    check_all(run_id, root, tmp_path)
    monkeypatch.delenv("AUTOTRACK_ARTIFACT_URI")
    anew()
    check_all(run_id, root, tmp_path)
    with autotrack.start_run(run_id=run_id):
        autotrack.log_text("more", "more.txt")
    assert Artifacts(f"{root}/{run_id}").read_bytes("more.txt") == b"more"
    monkeypatch.setenv("AUTOTRACK_ARTIFACT_URI", root)
    anew()
    assert autotrack.artifacts.load_text(f"runs:/{before.run_id}/old.txt") == "old"


def test_an_experiments_place_wins_over_the_setting(root: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Experiment, runs and models agree on it."""
    monkeypatch.setenv("AUTOTRACK_ARTIFACT_URI", str(tmp_path / "nobody"))
    anew()
    experiment = autotrack.create_experiment("far", artifact_location=f"{root}/")
    assert autotrack.Client().get_experiment(experiment).artifact_location == root
    autotrack.set_experiment("far")
    run_id = log_much(tmp_path)
    check_all(run_id, root, tmp_path)
    anew()
    check_all(run_id, root, tmp_path)
    assert ROOT_TAG not in autotrack.get_run(run_id).data.tags
    assert not (tmp_path / "nobody").exists()


def test_a_place_of_no_known_kind_is_refused(tmp_path: Path) -> None:
    """When the experiment is made, not when the first file is lost; a relative folder is made absolute."""
    client = autotrack.Client()
    with pytest.raises(ArtifactError, match=r"gopher.*s3://"):
        client.create_experiment("x", artifact_location="gopher://x/y")
    number = client.create_experiment("y", artifact_location="some/where")
    assert client.get_experiment(number).artifact_location == f"{Path.cwd().as_posix()}/some/where"


def test_a_relative_setting_counts_from_where_it_stands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a project file: from its folder; in the environment: from the folder that the program started in."""
    (tmp_path / "sub").mkdir()
    (tmp_path / "autotrack.yaml").write_text("artifact_uri: files\n")
    monkeypatch.chdir(tmp_path / "sub")
    config.reload()
    assert config.settings().artifact_uri == str(tmp_path / "files")
    monkeypatch.setenv("AUTOTRACK_ARTIFACT_URI", "files")
    config.reload()
    assert config.settings().artifact_uri == str(tmp_path / "sub" / "files")


TRAIN = """
from sklearn.linear_model import LogisticRegression
model = LogisticRegression().fit([[0.0], [1.0], [2.0], [3.0]], [0, 0, 1, 1])
"""


def test_a_script_that_ends_at_once_leaves_its_model_in_a_bucket(
    bucket: str, tmp_path: Path, run_python: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What waits in the background is uploaded though the interpreter is shutting its thread pools down."""
    (tmp_path / "train.py").write_text(TRAIN)
    store = tmp_path / "store"
    environ = {"AUTOTRACK_TRACKING_URI": str(store), "AUTOTRACK_ARTIFACT_URI": f"{bucket}/x"}
    done = run_python("-m", "autotrack", "train.py", env=environ)
    assert (done.stdout, done.stderr) == ("", "")
    run = autotrack.Client(store).search_runs()[0]
    assert not run.info.degraded
    assert run.outputs.model_outputs[0].uri.startswith(f"{bucket}/x/models/")
    autotrack.set_tracking_uri(store)
    assert list(autotrack.load_model(f"runs:/{run.info.run_id}/model").predict([[3.0]])) == [1]


def test_a_moved_folder_keeps_its_files_and_models(tmp_path: Path, run_python: Callable[..., Any]) -> None:
    """`.autotrack` renamed, and copied, by a program that knows nothing of the old place."""
    old, new = tmp_path / "old", tmp_path / "new"
    old.mkdir()
    source = TRAIN + "import autotrack\nautotrack.log_text('hi', 'x.txt')\nautotrack.log_model(model, name='mine')\n"
    source += "autotrack.register_model(f'runs:/{autotrack.active_run().info.run_id}/mine', 'registered')\n"
    (old / "train.py").write_text("import autotrack\nautotrack.start_run()\n" + source)
    run_python("-m", "autotrack", "train.py", env={"AUTOTRACK_TRACKING_URI": None}, cwd=old)
    shutil.copytree(old / ".autotrack", tmp_path / "copied" / ".autotrack")
    shutil.move(str(old), new)
    for place in (new / ".autotrack", tmp_path / "copied" / ".autotrack"):
        autotrack.set_tracking_uri(place)
        run = autotrack.Client().search_runs()[0]
        assert run.info.artifact_uri.startswith(str(place))
        assert autotrack.artifacts.load_text(f"runs:/{run.info.run_id}/x.txt") == "hi"
        for uri in (f"runs:/{run.info.run_id}/mine", f"runs:/{run.info.run_id}/model", "models:/registered/1"):
            assert list(autotrack.load_model(uri).predict([[3.0]])) == [1]


def test_a_moved_store_of_an_earlier_version_finds_its_models(tmp_path: Path) -> None:
    """Absolute paths in its database, which name a folder that is gone: the model of that name counts."""
    from sklearn.linear_model import Ridge

    from autotrack.store import schema
    from autotrack.store.engine import Store

    autotrack.set_tracking_uri(tmp_path / "old")
    with autotrack.start_run() as run:
        model = autotrack.log_model(Ridge().fit([[0.0], [1.0]], [0.0, 1.0]))
    store = Store.open(locate(tmp_path / "old").url)
    with store.transaction() as connection:
        connection.execute(schema.models.update().values(uri=model.uri))
    assert autotrack.load_model(f"runs:/{run.run_id}/model") is not None
    anew()
    (tmp_path / "old").rename(tmp_path / "new")
    autotrack.set_tracking_uri(tmp_path / "new")
    assert autotrack.load_model(f"runs:/{run.run_id}/model") is not None


def test_a_model_that_was_changed_in_the_bucket_is_not_loaded(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each file of a downloaded copy has to be the one that was saved; a copy that is refused is not kept."""
    from sklearn.linear_model import Ridge

    monkeypatch.setenv("AUTOTRACK_ARTIFACT_URI", bucket)
    anew()
    with autotrack.start_run() as run:
        model = autotrack.log_model(Ridge().fit([[0.0], [1.0]], [0.0, 1.0]))
    files = Artifacts(model.uri)
    good = files.read_bytes("requirements.txt")
    files.put_bytes("requirements.txt", b"evil")
    with pytest.raises(ModelFormatError, match=r"requirements\.txt.*replaced"):
        autotrack.load_model(f"runs:/{run.run_id}/model")
    files.put_bytes("requirements.txt", good)
    assert autotrack.load_model(f"runs:/{run.run_id}/model") is not None


def test_what_cannot_be_stored_is_noted_of_an_automatic_run_and_raised_by_a_call(
    tmp_path: Path, shield_on: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file stands where the folder has to be: the fit goes on, the run says what it lacks."""
    from sklearn.linear_model import LogisticRegression

    blocked = tmp_path / "blocked"
    blocked.write_text("")
    monkeypatch.setenv("AUTOTRACK_ARTIFACT_URI", str(blocked))
    anew()
    autotrack.autolog()
    model = LogisticRegression().fit([[0.0], [1.0], [2.0], [3.0]], [0, 0, 1, 1])
    autotrack.flush()
    run = autotrack.Client().search_runs()[0]
    assert run.info.status == "FINISHED"
    assert run.info.degraded
    assert run.data.metrics["training_accuracy_score"] == 1
    with autotrack.start_run():
        for call in (lambda: autotrack.log_text("x", "x.txt"), lambda: autotrack.log_model(model)):
            with pytest.raises(ArtifactError, match=r"blocked.*Not a directory"):
                call()


def test_arguments_of_the_functions_of_mlflows_names_are_checked(tmp_path: Path) -> None:
    """One of URI and run id; paths and `file:` URLs are taken, too."""
    for arguments in ({}, {"artifact_uri": "x", "run_id": "y"}):
        with pytest.raises(InvalidArgumentError, match="exactly one"):
            autotrack.artifacts.download_artifacts(**arguments)
    (tmp_path / "a b").mkdir()
    (tmp_path / "a b" / "x.json").write_text('{"k": [1]}')
    assert autotrack.artifacts.load_dict(str(tmp_path / "a b" / "x.json")) == {"k": [1]}
    assert autotrack.artifacts.load_dict(f"file://{tmp_path.as_posix()}/a%20b/x.json") == {"k": [1]}
    found = autotrack.artifacts.list_artifacts(str(tmp_path), artifact_path="a b")
    assert [os.path.basename(info.path) for info in found] == ["x.json"]
    (tmp_path / "y").write_bytes(b"\xff")
    with pytest.raises(ArtifactError, match="not JSON"):
        autotrack.artifacts.load_dict(str(tmp_path / "y"))
    with pytest.raises(ArtifactError, match="not text"):
        autotrack.artifacts.load_text(str(tmp_path / "y"))
    with pytest.raises(ArtifactError, match="no such file or folder"):
        autotrack.artifacts.download_artifacts(str(tmp_path / "nowhere"))
