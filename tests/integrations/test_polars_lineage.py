"""What Polars read follows its frames to the training calls that use them."""

from __future__ import annotations

import hashlib
import json
import pathlib
import sqlite3

import numpy as np
import polars as pl
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split

import autotrack
from autotrack.tracking import lineage

ROWS = 1000


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with two files to read, in which the test works."""
    a = np.random.default_rng(1).random(ROWS)
    pl.DataFrame({"k": np.arange(ROWS), "a": a, "y": (a > 0.4).astype(int)}).write_csv(tmp_path / "train.csv")
    pl.DataFrame({"k": np.arange(ROWS), "z": a[::-1]}).write_parquet(tmp_path / "more.parquet")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def names(data):
    """Names of the files that something came from."""
    known = lineage.of(data)
    return [] if known is None else [pathlib.Path(file.place).name for read in known.reads for file in read.files]


def profile_of(recorded):
    """What is known of the one run's dataset."""
    autotrack.flush()
    (found,) = recorded.only_run().inputs.dataset_inputs
    return json.loads(found.dataset.profile)


def test_a_fit_names_the_file_and_how_many_of_its_rows_it_got(recorded, folder):
    """Through selections and `train_test_split`; hash, reader, rows."""
    frame = pl.read_csv("train.csv").filter(pl.col("a") > 0.1)
    x_train, _, y_train, _ = train_test_split(frame.select("a"), frame["y"], random_state=0)
    LogisticRegression().fit(x_train, y_train)
    profile = profile_of(recorded)
    (source,) = profile["sources"]
    assert source["sha256"] == hashlib.sha256((folder / "train.csv").read_bytes()).hexdigest()
    assert (source["reader"], source["rows"], profile["rows_read"]) == ("polars.read_csv", ROWS, ROWS)
    assert profile["rows"] == len(x_train)


def test_a_scan_is_known_after_it_was_collected_though_not_its_rows(recorded, folder):
    """Files that were joined in a lazy query are both sources of what comes out."""
    query = pl.scan_csv("train.csv").join(pl.scan_parquet("more.parquet"), on="k").filter(pl.col("a") > 0.5)
    frame = query.collect()
    LogisticRegression().fit(frame.select("a", "z"), (frame["a"] > 0.7).to_numpy())
    profile = profile_of(recorded)
    assert [one["name"] for one in profile["sources"]] == ["train.csv", "more.parquet"]
    assert "rows_read" not in profile
    assert not any("rows" in one for one in profile["sources"])


SAME = {
    "filter": lambda df: df.filter(pl.col("a") > 0.5),
    "select": lambda df: df.select("a"),
    "column": lambda df: df["a"],
    "get_column": lambda df: df.get_column("a"),
    "rows": lambda df: df[5:10],
    "slice": lambda df: df.slice(3, 5),
    "head": lambda df: df.head(3),
    "sample": lambda df: df.sample(10, seed=1),
    "with_columns": lambda df: df.with_columns(c=pl.col("a") * 2),
    "drop": lambda df: df.drop("y"),
    "drop_nulls": lambda df: df.drop_nulls(),
    "rename": lambda df: df.rename({"a": "A"}),
    "cast": lambda df: df.cast(pl.Float32),
    "sort": lambda df: df.sort("a"),
    "unique": lambda df: df.unique(),
    "clone": lambda df: df.clone(),
    "group_by": lambda df: df.group_by("y").agg(pl.col("a").mean()),
    "group_by mean": lambda df: df.group_by("y").mean(),
    "lazy": lambda df: df.lazy().filter(pl.col("a") > 0.5).select("a").collect(),
    "lazy groups": lambda df: df.lazy().group_by("y").agg(pl.len()).collect(),
    "collect_all": lambda df: pl.collect_all([df.lazy()])[0],
    "partition_by": lambda df: df.partition_by("y")[1],
    "to_pandas": lambda df: df.to_pandas()[["a"]],
    "from_pandas": lambda df: pl.from_pandas(df.to_pandas()),
    "to_numpy": lambda df: df.to_numpy(),
    "asarray": lambda df: np.asarray(df["a"]),
    "constructor": lambda df: pl.DataFrame({"b": df["a"]}),
    "concat": lambda df: pl.concat([df[:5], df[5:]]),
}


@pytest.mark.parametrize("make", SAME.values(), ids=SAME)
def test_what_is_made_of_a_frame_came_from_where_it_came_from(recorded, folder, make):
    """Selections, aggregations, lazy queries, arrays, frames of pandas."""
    frame = pl.read_csv("train.csv")
    assert lineage.of(make(frame)) == lineage.of(frame)
    assert lineage.of(frame).total() == ROWS


def test_frames_that_are_joined_or_stacked_came_from_all_of_them(recorded, folder):
    """Rows add up where frames stand one below the other, and only there."""
    one, two = pl.read_csv("train.csv"), pl.read_parquet("more.parquet")
    for made in (one.join(two, on="k"), one.hstack(two.select("z")), pl.concat([one, two], how="align")):
        assert names(made) == ["train.csv", "more.parquet"]
        assert lineage.of(made).total() is None
    one.write_csv("again.csv")
    for stacked in (pl.concat([one, pl.read_csv("again.csv")]), one.vstack(pl.read_csv("again.csv"))):
        assert names(stacked) == ["train.csv", "again.csv"]
        assert lineage.of(stacked).total() == 2 * ROWS


def test_every_reader_is_known(recorded, folder):
    """Patterns of names are the files that they stood for; databases have a query."""
    frame = pl.read_csv("train.csv")
    frame.write_json("train.json")
    frame.write_ndjson("train.ndjson")
    frame.write_ipc("train.arrow")
    frame.write_csv("train2.csv")
    found = {
        "train.json": pl.read_json("train.json"),
        "train.ndjson": pl.read_ndjson(folder / "train.ndjson"),
        "train.arrow": pl.read_ipc("train.arrow"),
        "more.parquet": pl.read_parquet("more.parquet"),
    }
    for name, one in found.items():
        assert names(one) == [name]
        assert lineage.of(one).total() == ROWS
    assert names(pl.read_csv("train*.csv")) == ["train.csv", "train2.csv"]
    assert names(pl.scan_ndjson("train.ndjson").collect()) == ["train.ndjson"]
    connection = sqlite3.connect(":memory:")
    connection.execute("CREATE TABLE points AS SELECT 1 AS a")
    read = lineage.of(pl.read_database("SELECT a FROM points", connection)).reads[0]
    connection.close()
    assert (read.query, read.rows, read.files[0].kind) == ("SELECT a FROM points", 1, "sql")
