"""Where files are, as the database keeps it: a store's folder can be moved."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from autotrack import events
from autotrack.store import managing, schema
from autotrack.store.engine import Store
from autotrack.store.location import Location, locate
from autotrack.store.places import ROOT_TAG, full_uri, kept_uri
from autotrack.store.reading import Reader
from autotrack.store.writing import Writer


@pytest.mark.parametrize(
    ("below", "kept"),
    [("", "."), ("/", "."), ("/models/ab", "./models/ab"), ("/a b/é#%", "./a b/é#%")],
)
def test_what_is_below_the_stores_root_is_kept_relative(tmp_path: Path, below: str, kept: str) -> None:
    """And comes back absolute, below the root that the store has then."""
    here, there = locate(tmp_path / "here"), locate(tmp_path / "there")
    assert kept_uri(here, here.artifact_root + below) == kept
    assert full_uri(here, kept) == (here.artifact_root + below).rstrip("/")
    assert full_uri(there, kept) == (there.artifact_root + below).rstrip("/")


@pytest.mark.parametrize("uri", ["", "s3://bucket/artifacts/models/x", "memory://x", "/elsewhere/artifacts/models/x"])
def test_what_is_elsewhere_is_kept_as_it_is(tmp_path: Path, uri: str) -> None:
    """A URL, an absolute path, and a folder whose name only begins like the root's."""
    store = locate(tmp_path)
    for one in (uri, store.artifact_root + "-2/x"):
        assert kept_uri(store, one) == one
        assert full_uri(store, one) == one


def test_a_servers_readers_have_roots_of_their_own() -> None:
    """So what a server keeps is absolute."""
    server = locate("postgresql://host/db")
    assert kept_uri(server, server.artifact_root + "/models/x") == server.artifact_root + "/models/x"


def _fill(location: Location, model_uri: str) -> None:
    store = Store.open(location.url)
    place = managing.create_experiment(store, "near", location.artifact_root + "/near/")
    far = managing.create_experiment(store, "far", "s3://bucket/far/")
    written: list[events.Event] = [events.SessionStarted("s", 1)]
    for run_id, experiment in (("a" * 32, "0"), ("b" * 32, place), ("c" * 32, far), ("d" * 32, far)):
        written.append(events.RunStarted(run_id, "s", 1, "run", experiment_id=experiment))
    written.append(events.TagsSet("d" * 32, {ROOT_TAG: "memory://other"}))
    written.append(
        events.ModelLogged(model_id="m", run_id="a" * 32, name="model", time=1, uri=model_uri, path="model", flavors=[])
    )
    with store.transaction() as connection:
        Writer(store).apply(connection, written, "j")


def test_a_moved_stores_uris_move_along(tmp_path: Path) -> None:
    """Of runs, experiments and models, in records and in filters; what lies elsewhere stays."""
    old = locate(tmp_path / "old")
    _fill(old, old.artifact_root + "/models/m")
    Store.forget(old)
    shutil.move(str(old.folder), tmp_path / "new")
    new = locate(tmp_path / "new")
    reader, root = Reader(Store.open(new.url)), new.artifact_root
    places = {"a": root, "b": f"{root}/near", "c": "s3://bucket/far", "d": "memory://other"}
    for letter, place in places.items():
        run = reader.run(letter * 32)
        assert run.info.artifact_uri == f"{place}/{letter * 32}"
        found = reader.search_runs(None, f"artifact_uri = '{place}/{letter * 32}'", "ALL", 10, [], None)
        assert [one.info.run_id for one in found] == [letter * 32]
    assert reader.experiment_by_name("near").artifact_location == f"{root}/near"
    assert reader.experiment_by_name("Default").artifact_location == root
    assert [model.uri for model in reader.models("a" * 32)] == [f"{root}/models/m"]
    assert reader.run("a" * 32).outputs.model_outputs[0].uri == f"{root}/models/m"


def test_an_older_databases_absolute_uris_are_read_as_they_are(tmp_path: Path) -> None:
    """What an earlier version wrote down."""
    location = locate(tmp_path)
    _fill(location, "/somewhere/else/models/m")
    store = Store.open(location.url)
    with store.transaction() as connection:
        connection.execute(schema.models.update().values(uri=location.artifact_root + "/models/m"))
    assert Reader(store).models("a" * 32)[0].uri == location.artifact_root + "/models/m"
