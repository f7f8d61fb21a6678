"""What pandas read follows its frames to the training calls that use them."""

from __future__ import annotations

import hashlib
import io
import json
import pathlib
import sqlite3
import warnings
import zipfile

import lightgbm as lgb
import numpy as np
import pandas as pd
import pytest
import sqlalchemy
from pandas import read_csv as read_csv_by_name
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

import autotrack
from autotrack.tracking import lineage

ROWS = 1000


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with two files to read, in which the test works."""
    random = np.random.default_rng(1)
    train = pd.DataFrame({"k": range(ROWS), "a": random.random(ROWS), "b": random.random(ROWS)})
    train["y"] = (train.a > 0.4).astype(int)
    train.to_csv(tmp_path / "train.csv", index=False)
    pd.DataFrame({"k": range(ROWS), "z": random.random(ROWS)}).to_parquet(tmp_path / "more.parquet")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def fitted(data, target):
    """Train something."""
    LogisticRegression().fit(data, target)


def dataset(recorded, context="train"):
    """The one run's dataset: itself, and what is known of it."""
    autotrack.flush()
    (found,) = [item for item in recorded.only_run().inputs.dataset_inputs if item.context == context]
    return found.dataset, json.loads(found.dataset.profile)


def names(data):
    """Names of the files that something came from."""
    known = lineage.of(data)
    return [] if known is None else [pathlib.Path(file.place).name for read in known.reads for file in read.files]


def test_a_fit_names_the_file_and_how_many_of_its_rows_it_got(recorded, folder):
    """Path, hash, time of the last change, size, reader and rows: of what was left after dropping and splitting."""
    frame = pd.read_csv("train.csv")
    x_train, _, y_train, _ = train_test_split(frame.drop(columns="y"), frame["y"], test_size=0.2, random_state=0)
    LogisticRegression().fit(x_train, y_train)
    found, profile = dataset(recorded)
    path = folder / "train.csv"
    assert found.name == "x_train"
    assert (found.source_type, json.loads(found.source)) == ("local", {"uri": str(path)})
    assert (profile["rows"], profile["rows_read"]) == (800, ROWS)
    assert profile["sources"] == [
        {
            "name": "train.csv",
            "kind": "file",
            "uri": str(path),
            "modified": path.stat().st_mtime_ns // 1_000_000,
            "size": path.stat().st_size,
            "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
            "reader": "pandas.read_csv",
            "rows": ROWS,
        }
    ]


def test_a_merge_of_two_files_names_both(recorded, folder):
    """Each with the rows that were read of it; together they make no number of rows."""
    frame = pd.read_csv("train.csv").merge(pd.read_parquet(folder / "more.parquet"), on="k")
    fitted(frame[["a", "z"]], frame.y)
    _, profile = dataset(recorded)
    named = [(one["name"], one["reader"], one["rows"]) for one in profile["sources"]]
    assert named == [("train.csv", "pandas.read_csv", ROWS), ("more.parquet", "pandas.read_parquet", ROWS)]
    assert "rows_read" not in profile


def test_a_target_of_another_file_counts_too(recorded, folder):
    """Data and target that were read apart are two sources."""
    pd.read_csv("train.csv")[["y"]].to_json("target.json")
    fitted(pd.read_parquet("more.parquet")[["z"]], pd.read_json("target.json")["y"])
    _, profile = dataset(recorded)
    assert [one["name"] for one in profile["sources"]] == ["more.parquet", "target.json"]


SAME = {
    "mask": lambda df: df[df.a > 0.5],
    "column": lambda df: df["a"],
    "attribute": lambda df: df.a,
    "columns": lambda df: df[["a", "b"]],
    "loc": lambda df: df.loc[df.a > 0.5, ["a"]],
    "iloc": lambda df: df.iloc[10:20, :2],
    "slice": lambda df: df[5:10],
    "query": lambda df: df.query("a > 0.5"),
    "head": lambda df: df.head(3),
    "sample": lambda df: df.sample(frac=0.5, random_state=0),
    "copy": lambda df: df.copy(),
    "drop": lambda df: df.drop("y", axis=1),
    "dropna": lambda df: df.dropna(),
    "fillna": lambda df: df.fillna(0),
    "assign": lambda df: df.assign(c=1),
    "astype": lambda df: df.astype("float32"),
    "set_index": lambda df: df.set_index("k"),
    "reset_index": lambda df: df.set_index("k").reset_index(),
    "rename": lambda df: df.rename(columns={"a": "A"}),
    "sort_values": lambda df: df.sort_values("a"),
    "drop_duplicates": lambda df: df.drop_duplicates(),
    "arithmetic": lambda df: df.a * 2 + 1,
    "apply": lambda df: df.apply(lambda column: column * 2),
    "groupby": lambda df: df.groupby("y").mean(),
    "get_dummies": lambda df: pd.get_dummies(df, columns=["y"]),
    "transpose": lambda df: df.T,
    "melt": lambda df: df.melt(id_vars="k"),
    "pivot_table": lambda df: df.pivot_table(values="a", index="y"),
    "self concat": lambda df: pd.concat([df[:10], df[10:]]),
    "values": lambda df: df.values,
    "to_numpy": lambda df: df.to_numpy(),
    "series values": lambda df: df.a.values,
    "series to_numpy": lambda df: df.a.to_numpy(),
    "part of an array": lambda df: df.values[:800, 1:3],
    "column of an array": lambda df: df.to_numpy()[10:][:, -1],
    "part of a scaled array": lambda df: StandardScaler().fit_transform(df)[:5],
    "split part of an array": lambda df: train_test_split(df.values[:, :2])[0],
    "asarray": lambda df: np.asarray(df),
    "constructor": lambda df: pd.DataFrame(df.to_numpy(), columns=df.columns),
    "dict": lambda df: pd.DataFrame({"one": df.a, "two": df.b}),
    "scaled": lambda df: StandardScaler().fit_transform(df),
    "transformed": lambda df: StandardScaler().fit(df.to_numpy()).transform(df.to_numpy()),
    "scaled frame": lambda df: StandardScaler().set_output(transform="pandas").fit_transform(df),
    "split": lambda df: train_test_split(df)[1],
    "split array": lambda df: train_test_split(df.to_numpy(), df.y.to_numpy())[3],
}


@pytest.mark.parametrize("make", SAME.values(), ids=SAME)
def test_what_is_made_of_a_frame_came_from_where_it_came_from(recorded, folder, make):
    """Selections, copies, aggregations, arrays."""
    frame = pd.read_csv("train.csv")
    known = lineage.of(frame)
    assert lineage.of(make(frame)) == known
    assert known.total() == ROWS


SEVERAL = {
    "join": lambda one, two: one.set_index("k").join(two.set_index("k")),
    "merge function": lambda one, two: pd.merge(one, two, how="left", on="k"),
    "merge_asof": lambda one, two: pd.merge_asof(one.sort_values("k"), two.sort_values("k"), on="k"),
    "concat of columns": lambda one, two: pd.concat([one, two[["z"]]], axis=1),
    "dict": lambda one, two: pd.DataFrame({"a": one.a, "z": two.z}),
}


@pytest.mark.parametrize("make", SEVERAL.values(), ids=SEVERAL)
def test_what_is_made_of_two_frames_came_from_both(recorded, folder, make):
    """Rows that were matched make no total."""
    made = make(pd.read_csv("train.csv"), pd.read_parquet("more.parquet"))
    assert names(made) == ["train.csv", "more.parquet"]
    assert lineage.of(made).total() is None


def test_rows_of_files_that_are_put_one_below_the_other_add_up(recorded, folder):
    """`concat` of a list of files, as of a glob; the rows used are those of all."""
    for number in range(3):
        pd.read_csv("train.csv").iloc[number * 100 : (number + 1) * 100].to_csv(f"part{number}.csv", index=False)
    frame = pd.concat([pd.read_csv(path) for path in sorted(folder.glob("part*.csv"))], ignore_index=True)
    half = frame[::2]
    fitted(half[["a"]], half.y)
    _, profile = dataset(recorded)
    assert [one["name"] for one in profile["sources"]] == ["part0.csv", "part1.csv", "part2.csv"]
    assert (profile["rows"], profile["rows_read"]) == (150, 300)


def test_chunks_know_their_place_and_add_up_to_the_file(recorded, folder):
    """Each has its offset and rows; put together they are one source."""
    chunks = list(pd.read_csv("train.csv", chunksize=300))
    reads = [lineage.of(chunk).reads[0] for chunk in chunks]
    assert [(read.offset, read.rows) for read in reads] == [(0, 300), (300, 300), (600, 300), (900, 100)]
    fitted(chunks[1][["a"]], chunks[1].y)
    _, profile = dataset(recorded)
    assert (profile["sources"][0]["rows"], profile["sources"][0]["offset"]) == (300, 300)
    (source,) = lineage.described(lineage.of(pd.concat(chunks[1:]))).profile["sources"]
    assert (source["name"], source["rows"]) == ("train.csv", 700)
    pd.read_csv("train.csv").to_json("train.jsonl", orient="records", lines=True)
    chunks = list(pd.read_json("train.jsonl", lines=True, chunksize=600))
    assert [lineage.of(chunk).reads[0].offset for chunk in chunks] == [0, 600]


def test_every_reader_of_files_is_known(recorded, folder):
    """Text, compressed text, JSON, Excel (by path, by `ExcelFile`, several sheets), columnar files, pickles."""
    frame = pd.read_csv("train.csv")
    frame.to_csv("train.csv.gz", index=False)
    frame.to_json("train.json")
    frame.to_feather("train.feather")
    frame.to_orc("train.orc")
    frame.head(50).to_excel("train.xlsx", index=False)
    frame.to_pickle("train.pkl")
    sheets = pd.read_excel("train.xlsx", sheet_name=None)
    with pd.ExcelFile("train.xlsx") as book, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # newer versions would rather not have `parse` called
        parsed, read = book.parse(), pd.read_excel(book)
    found = {
        "train.csv.gz": pd.read_csv(folder / "train.csv.gz"),
        "train.csv": pd.read_table(str(folder / "train.csv"), sep=","),
        "train.json": pd.read_json("train.json"),
        "train.feather": pd.read_feather("train.feather"),
        "train.orc": pd.read_orc("train.orc"),
        "train.pkl": pd.read_pickle("train.pkl"),
    }
    for name, one in found.items():
        assert names(one) == [name]
        assert lineage.of(one).total() == ROWS
    assert [names(one) for one in (parsed, read, sheets["Sheet1"])] == [["train.xlsx"]] * 3
    assert names(read_csv_by_name("train.csv")) == ["train.csv"]


def test_open_files_are_known_and_buffers_are_no_files(recorded, folder):
    """An open file has its path; text in memory and a member of an archive have none, whatever they are called."""
    with open("train.csv", encoding="utf-8") as file:
        assert names(pd.read_csv(file)) == ["train.csv"]
    assert names(pd.read_csv(io.StringIO("a,b\n1,2\n"))) == ["<buffer>"]
    with zipfile.ZipFile("archive.zip", "w") as archive:
        archive.write("train.csv")
    with zipfile.ZipFile("archive.zip") as archive, archive.open("train.csv") as member:
        frame = pd.read_csv(member)
    assert names(frame) == ["<buffer>"]
    fitted(frame[["a"]], frame.y)
    found, profile = dataset(recorded)
    assert (found.source_type, found.source, profile["rows_read"]) == ("code", "", ROWS)
    assert profile["sources"] == [{"name": "<buffer>", "kind": "other", "reader": "pandas.read_csv", "rows": ROWS}]


def test_databases_are_named_without_their_secrets(recorded, folder):
    """URL and query of SQLAlchemy's engines and connections, the kind of others; a password in either is gone."""
    engine = sqlalchemy.create_engine(f"sqlite:///{folder}/data.db")
    frame = pd.read_csv("train.csv")
    with engine.connect() as connection:
        frame.to_sql("points", connection, index=False)
        query = "SELECT a, y FROM points WHERE a > 0.1 -- password='hunter2secret'"
        read = pd.read_sql(sqlalchemy.text(query), connection)
        table = pd.read_sql_table("points", connection)
    assert lineage.of(table).reads[0].query == "points"
    fitted(read[["a"]], read.y)
    found, profile = dataset(recorded)
    assert "hunter2" not in found.source + found.profile
    assert found.source_type == "sql"
    (source,) = profile["sources"]
    assert source["uri"].startswith(f"sqlite:///{folder}/data.db")
    assert source["query"].startswith("SELECT a, y FROM points WHERE a > 0.1")
    assert (source["reader"], source["rows"], source["kind"]) == ("pandas.read_sql", len(read), "sql")
    engine.dispose()
    raw = sqlite3.connect(folder / "data.db")
    assert names(pd.read_sql_query("SELECT 1 AS a", raw)) == ["sqlite3.Connection"]
    raw.close()


def test_a_lightgbm_dataset_made_of_a_frame_names_its_file(recorded, folder):
    """Training and validation data, though LightGBM lets go of the frames."""
    frame = pd.read_csv("train.csv")
    train = lgb.Dataset(frame.loc[:799, ["a", "b"]], label=frame.y[:800])
    valid = lgb.Dataset(frame.loc[800:, ["a", "b"]], label=frame.y[800:], reference=train)
    lgb.train({"verbose": -1, "objective": "binary", "num_threads": 1}, train, 2, valid_sets=[valid])
    for context, rows in (("train", 800), ("eval", 200)):
        _, profile = dataset(recorded, context)
        assert (profile["sources"][0]["name"], profile["rows"], profile["rows_read"]) == ("train.csv", rows, ROWS)


def test_a_file_that_has_changed_since_is_not_hashed(recorded, folder):
    """The hash would be that of other data."""
    frame = pd.read_csv("train.csv")
    (folder / "train.csv").write_text("a,y\n1,2\n", encoding="utf-8")
    fitted(frame[["a"]], frame.y)
    _, profile = dataset(recorded)
    assert profile["sources"][0]["not_hashed"] == "changed since it was read"
    assert "sha256" not in profile["sources"][0]


def test_what_a_program_logs_itself_names_its_file_too(recorded, folder):
    """`log_input` of a frame, and `autotrack.data.from_pandas` without a source of its own."""
    frame = pd.read_csv("train.csv")[:100]
    with autotrack.start_run():
        autotrack.log_input(frame, "train")
    found, profile = dataset(recorded)
    assert found.source_type == "local"
    assert (profile["sources"][0]["name"], profile["rows"], profile["rows_read"]) == ("train.csv", 100, ROWS)
    assert json.loads(autotrack.data.from_pandas(frame).source) == {"uri": str(folder / "train.csv")}
    assert json.loads(autotrack.data.from_pandas(frame, source="mine.csv").source) == {"uri": "mine.csv"}


def test_switched_off_alone_nothing_is_followed(recorded, folder):
    """`autotrack.pandas.autolog(disable=True)`: fits are recorded, without sources."""
    autotrack.pandas.autolog(disable=True)
    frame = pd.read_csv("train.csv")
    fitted(frame[["a"]], frame.y)
    found, profile = dataset(recorded)
    assert (found.source_type, found.source) == ("code", "")
    assert "sources" not in profile


SCRIPT = """
import pandas
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split

data = pandas.read_csv("train.csv")
X, _, y, _ = train_test_split(data[["a", "b"]], data["y"], test_size=0.2, random_state=0)
LogisticRegression().fit(X, y)
"""


def test_a_script_without_a_line_of_autotrack_is_recorded_and_shown(folder, run_python):
    """`python -m autotrack train.py`, then `autotrack show`: the file, its hash, and 800 of 1000 rows."""
    (folder / "train.py").write_text(SCRIPT, encoding="utf-8")
    env = {"AUTOTRACK_TRACKING_URI": f"sqlite:///{folder}/store.db"}
    run_python("-m", "autotrack", "train.py", cwd=folder, env=env)
    (run,) = autotrack.Client(env["AUTOTRACK_TRACKING_URI"]).search_runs()
    shown = run_python("-m", "autotrack.cli", "show", run.info.run_id, cwd=folder, env=env).stdout
    digest = hashlib.sha256((folder / "train.csv").read_bytes()).hexdigest()
    assert f"X: train.csv, sha256 {digest[:12]}, rows 800 of 1000" in shown
