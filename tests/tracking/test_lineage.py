"""Where data came from: entries that go with their objects, and sources that are described with care."""

from __future__ import annotations

import gc
import json
import os

import numpy as np
import pytest
import sqlalchemy

from autotrack.tracking import lineage
from autotrack.tracking.lineage import File, Lineage, Read


class Thing:
    """Something that can be referred to weakly."""


@pytest.fixture(autouse=True)
def _clean():
    yield
    lineage.clear()


def read(place, rows=10, kind="url", **more):
    """The lineage of one read."""
    return Lineage((Read("test.read", (File(place, kind),), rows, **more),))


def test_an_entry_goes_with_its_object():
    """Nothing is kept alive, and another object at the same place in memory is not taken for it."""
    for _ in range(100):
        thing = Thing()
        assert lineage.of(thing) is None
        lineage.put(thing, read("x"))
        assert lineage.of(thing) is not None
    del thing
    gc.collect()
    assert not lineage.marks


def test_what_cannot_be_referred_to_weakly_is_left_alone():
    """Lists, numbers, None."""
    source = Thing()
    lineage.put(source, read("x"))
    for made in ([1], 3, None, "text"):
        lineage.put(made, read("x"))
        lineage.follow(made, [source])
        assert not lineage.pass_on(made, source)
        assert lineage.of(made) is None
    assert len(lineage.marks) == 1


def test_several_sources_are_all_there_once():
    """In the order in which they came; the same lineage twice is itself."""
    one, two, made = Thing(), Thing(), Thing()
    lineage.put(one, read("x"))
    lineage.put(two, read("y", 5))
    lineage.follow(made, [one, one, Thing(), two])
    assert [each.files[0].place for each in lineage.of(made).reads] == ["x", "y"]
    assert lineage.of(made).total() == 15
    lineage.follow(made, [one], joined=True)
    assert lineage.of(made).total() is None
    assert lineage.of_fit(one, one) is lineage.of(one)
    assert lineage.of_fit(one, None) is lineage.of(one)
    assert lineage.of_fit(np.arange(3), two) is lineage.of(two)
    assert lineage.of_fit(one, two).joined
    assert lineage.of_fit([1], None) is None


SECRETS = {
    "https://user:hunter2@host/data.csv": ("http", "data.csv"),
    "https://host/data.csv?X-Amz-Signature=aeeed9bbccd4d02ee5c0109b86d86835f995330da4c2": ("http", "data.csv"),
    "s3://key:hunter2@bucket/folder/data.parquet": ("s3", "data.parquet"),
    "https://host/data.csv?token=hunter2secret": ("http", "data.csv"),
}


@pytest.mark.parametrize("url", SECRETS)
def test_urls_are_stored_without_their_secrets(url):
    """User and password, and secrets among the query parameters; the name is that of the file."""
    lineage_of_url = Lineage((Read("pandas.read_csv", lineage.files_of(url), 3),))
    found = lineage.described(lineage_of_url)
    kind, name = SECRETS[url]
    assert (found.source_type, found.profile["sources"][0]["name"]) == (kind, name)
    assert "hunter2" not in str(found)
    assert "aeeed9bb" not in str(found)


def test_databases_are_stored_without_their_passwords():
    """An engine, a URL in text, and a connection of which only the kind is known."""
    engine = sqlalchemy.create_engine("postgresql+psycopg://user:hunter2@host/sales")
    for connection in (engine, "postgresql://user:hunter2@host/sales"):
        file = lineage.database_of(connection)
        found = lineage.described(Lineage((Read("pandas.read_sql", (file,), 3, 0, "SELECT 1"),)))
        assert found.source_type == "sql"
        assert json.loads(found.source)["query"] == "SELECT 1"
        assert found.profile["sources"][0]["name"] == "sales"
        assert "hunter2" not in str(found)
    assert lineage.database_of(Thing()).place.endswith("test_lineage.Thing")
    assert lineage.query_of(sqlalchemy.select(sqlalchemy.literal(1))) == "<Select>"
    assert len(lineage.query_of("x" * 5000)) == lineage.MAX_QUERY


def test_a_file_is_hashed_once_for_each_of_its_states(tmp_path, monkeypatch):
    """The second time it is not opened; changed, it is another file."""
    path = tmp_path / "data.csv"
    path.write_text("a\n1\n", encoding="utf-8")
    opened = []
    hash_of = lineage._hash_of
    monkeypatch.setattr(lineage, "_hash_of", lambda path: opened.append(path) or hash_of(path))

    def digest():
        return lineage.described(Lineage((Read("r", lineage.files_of(path)),))).profile["sources"][0]["sha256"]

    first = digest()
    assert digest() == first
    assert len(opened) == 1
    path.write_text("a\n2\n3\n", encoding="utf-8")
    assert digest() != first
    assert len(opened) == 2


def test_what_cannot_be_hashed_says_why(tmp_path, monkeypatch):
    """Too big, gone, or slow."""
    path = tmp_path / "data.csv"
    path.write_bytes(b"x" * 100)
    known = Lineage((Read("r", lineage.files_of(str(path))),))

    def why(**options):
        return lineage.described(known, **options).profile["sources"][0]["not_hashed"]

    assert why(max_hashed=99) == "larger than 99 bytes"
    monkeypatch.setattr(lineage, "MAX_SECONDS", -1.0)
    assert why() == "took too long"
    path.unlink()
    assert why() == f"cannot be read: {os.strerror(2)}"


def test_paths_of_all_kinds_are_found(tmp_path, monkeypatch):
    """Relative, below the home folder, as a URL, as a pattern; a folder has no size, long text is no path."""
    (tmp_path / "a b.csv").write_text("1", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    wanted = str(tmp_path / "a b.csv")
    for source in ("a b.csv", "~/a b.csv", (tmp_path / "a b.csv").as_uri(), "a*.csv", tmp_path / "a b.csv"):
        (file,) = lineage.files_of(source)
        assert (file.place, file.size, file.kind) == (wanted, 1, "file")
    assert [file.place for file in lineage.files_of(["a b.csv", tmp_path])] == [wanted, str(tmp_path)]
    assert lineage.files_of(tmp_path)[0].size is None
    for text in ('{"a": 1}', "[1]", "a\n1\n", "x" * 3000):
        assert lineage.files_of(text)[0].place == "<text>"
    assert lineage.files_of(None)[0].place == "<buffer>"
    assert lineage.files_of("no\0path")[0].size is None


def test_many_sources_are_counted_and_not_all_named():
    """Fifty are named; a list of a hundred thousand names is no description."""
    many = lineage.union(read(f"https://host/{number}.csv", 1) for number in range(250))
    profile = lineage.described(many).profile
    assert (len(profile["sources"]), profile["more_sources"], profile["rows_read"]) == (50, 200, 250)
    assert len(lineage.files_of(["x.csv"] * 1000)) == lineage.MAX_FILES
