from __future__ import annotations

import csv
import io
import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from autotrack.cli.ls import order_clause
from autotrack.client import Client

LIGHT = """
    import os, sys
    from autotrack.cli import main
    assert main(["ls"]) == 0
    heavy = {"pandas", "numpy", "sklearn", "torch", "lightgbm", "wrapt", "alembic", "fsspec", "yaml", "psutil"}
    assert not heavy & set(sys.modules), heavy & set(sys.modules)
"""


def rows_of(text: str) -> list[list[str]]:
    """Cells of a printed table, which are two blanks or more apart."""
    import re

    return [re.split(r"\s{2,}", line.strip()) for line in text.splitlines()]


def test_table_shows_what_tells_the_runs_apart(recorded: Path, autotrack: Callable) -> None:
    """A parameter that differs among the shown runs has a column, one that they share has none; metrics always have."""
    shown = autotrack("ls", "--store", recorded, "-f", "name = 'RandomForestClassifier'")
    head = rows_of(shown.out)[0]
    assert head[:5] == ["RUN ID", "NAME", "STATUS", "STARTED", "DURATION"]
    assert {"max_depth", "training_accuracy_score", "accuracy_score_X"} <= set(head)
    assert not {"n_estimators", "random_state"} & set(head)
    assert shown.status == 0
    assert len(shown.out.splitlines()) == 4


def test_parameter_that_only_some_runs_have_does_not_count_as_different(recorded: Path, autotrack: Callable) -> None:
    """Runs of two kinds side by side do not show the constant parameters of each."""
    shown = autotrack("ls", "--store", recorded, "--sort", "name")
    assert not {"kind", "C", "criterion"} & set(rows_of(shown.out)[0])


def test_runs_of_several_experiments_show_theirs(recorded: Path, autotrack: Callable) -> None:
    """The experiment has a column where there are two, and none where it says nothing."""
    assert "EXPERIMENT" in autotrack("ls", "--store", recorded).out
    assert "EXPERIMENT" not in autotrack("ls", "--store", recorded, "-e", "by hand").out


@pytest.mark.parametrize("columns", [30, 60, 80, 120, 400])
def test_table_fits_the_terminal(recorded: Path, autotrack: Callable, columns: int) -> None:
    """No line is longer than the terminal is wide, and what did not fit is said on stderr."""
    shown = autotrack("ls", "--store", recorded, columns=columns)
    assert max(map(len, shown.out.splitlines())) <= columns
    assert ("the terminal is too narrow" in shown.err) == (columns < 400)


def test_all_columns_are_shown_on_request(recorded: Path, autotrack: Callable) -> None:
    """--all-columns shows constant parameters and tags too, however wide the table gets."""
    shown = autotrack("ls", "--store", recorded, "-e", "by hand", "--all-columns", columns=40)
    assert {"kind", "team", "loss", "nan"} <= set(rows_of(shown.out)[0])


def test_named_columns_are_shown_in_their_order(recorded: Path, autotrack: Callable) -> None:
    """--columns takes names, keys alone and patterns; the id always comes first."""
    shown = autotrack("ls", "--store", recorded, "-f", "params.kind = 'constant'", "--columns", "params.r*,loss,name")
    assert rows_of(shown.out)[0] == ["RUN ID", "rate", "loss", "NAME"]


def test_unknown_column_is_an_error_that_names_the_known_ones(recorded: Path, autotrack: Callable) -> None:
    """A column that no shown run has is refused with what there is."""
    shown = autotrack("ls", "--store", recorded, "--columns", "lozz")
    assert shown.status == 1
    assert "'lozz'" in shown.err
    assert "metrics.loss" in shown.err


def test_filter_and_order_choose_the_runs(recorded: Path, autotrack: Callable) -> None:
    """-f and --sort mean what they mean in `search_runs`; a dash before the key puts the highest first."""
    words = ("ls", "--store", recorded, "-f", "metrics.loss < 1", "--columns", "rate")
    assert [row[1] for row in rows_of(autotrack(*words, "--sort", "loss").out)[1:]] == ["0.1", "0.2"]
    assert [row[1] for row in rows_of(autotrack(*words, "--sort", "-loss").out)[1:]] == ["0.2", "0.1"]
    assert [row[1] for row in rows_of(autotrack(*words, "--sort=-params.rate").out)[1:]] == ["0.2", "0.1"]


@pytest.mark.parametrize(
    ("key", "clause"),
    [
        ("loss", "metrics.`loss` ASC"),
        ("-loss", "metrics.`loss` DESC"),
        ("-val/loss 1", "metrics.`val/loss 1` DESC"),
        ("odd`key", "metrics.`odd``key` ASC"),
        ("val.loss", "metrics.`val.loss` ASC"),
        ("params.lr", "params.`lr` ASC"),
        ("-metrics.min.loss", "metrics.`min.loss` DESC"),
        ("metrics.'loss'", "metrics.'loss' ASC"),
        ("started", "start_time ASC"),
        ("-duration", "duration DESC"),
        ("Name", "run_name ASC"),
    ],
)
def test_sort_keys_become_order_clauses(key: str, clause: str) -> None:
    """Keys of any characters are quoted, attributes go by the names of the table, a bare key is a metric's."""
    assert order_clause(key) == clause


def test_syntax_error_in_the_filter_points_at_the_place(recorded: Path, autotrack: Callable) -> None:
    """A filter that does not parse is status 1, the text with a pointer below, and no traceback."""
    shown = autotrack("ls", "--store", recorded, "-f", "metrics.loss >< 1")
    assert (shown.out, shown.status) == ("", 1)
    first, text, pointer = shown.err.splitlines()
    assert first.startswith("autotrack: position ")
    assert text[pointer.index("^")] == "<"


def test_number_limits_the_list_and_says_that_there_is_more(recorded: Path, autotrack: Callable) -> None:
    """-n shows the newest so many; that there are more is said on stderr."""
    shown = autotrack("ls", "--store", recorded, "-n", "2")
    assert len(shown.out.splitlines()) == 3
    assert "more than these 2 runs" in shown.err


@pytest.mark.parametrize("number", ["0", "-1", "x", "1000000"])
def test_unusable_number_is_a_usage_error(recorded: Path, autotrack: Callable, number: str) -> None:
    """A limit that is none is status 2, with what was expected."""
    shown = autotrack("ls", "--store", recorded, f"-n={number}")
    assert shown.status == 2
    assert "expected a number from 1 to 50000" in shown.err


def test_experiment_goes_by_name_and_id(recorded: Path, autotrack: Callable) -> None:
    """-e takes either, and an unknown one is an error that lists those that there are."""
    experiment = Client(recorded).get_experiment_by_name("by hand")
    assert experiment is not None
    by_name = autotrack("ls", "--store", recorded, "-e", "by hand", "--csv")
    assert by_name.out == autotrack("ls", "--store", recorded, "-e", experiment.experiment_id, "--csv").out
    assert len(by_name.out.splitlines()) > 3
    unknown = autotrack("ls", "--store", recorded, "-e", "nope")
    assert unknown.status == 1
    assert unknown.err == "autotrack: no experiment 'nope' in this store; there are: Default, by hand\n"


def test_deleted_runs_are_listed_on_request_alone(recorded: Path, autotrack: Callable) -> None:
    """A deleted run is in the list of --deleted, marked, and in no other."""
    assert "gone" not in autotrack("ls", "--store", recorded, "--csv").out
    shown = autotrack("ls", "--store", recorded, "--deleted")
    assert rows_of(shown.out)[1][1:3] == ["gone", "FINISHED, deleted"]


def test_run_that_was_not_recorded_wholly_is_marked(recorded: Path, autotrack: Callable, tmp_path: Path) -> None:
    """A degraded run's status ends in `!`, and --csv has the reason."""
    copy = tmp_path / "copy"
    shutil.copytree(recorded, copy)
    client = Client(copy)
    run = client.create_run(run_name="half")
    client.writer_of_open_run(run.info.run_id).degrade("the model was too large")
    client.set_terminated(run.info.run_id)
    assert rows_of(autotrack("ls", "--store", copy, "-n", 1).out)[1][2] == "FINISHED!"
    (row,) = csv.DictReader(io.StringIO(autotrack("ls", "--store", copy, "-n", 1, "--csv").out))
    assert row["degraded"] == "the model was too large"


def test_json_holds_the_whole_records(recorded: Path, autotrack: Callable) -> None:
    """--json prints an array of records as `Client.search_runs` has them, special numbers as words."""
    shown = autotrack("ls", "--store", recorded, "--json")
    runs = json.loads(shown.out)
    assert runs == [json.loads(run.to_json()) for run in Client(recorded).search_runs()]
    special = next(run for run in runs if run["info"]["run_name"] == "special")
    assert special["data"]["metrics"] == {"nan": "NaN", "high": "Infinity", "low": "-Infinity"}


def test_csv_gives_back_what_was_recorded(recorded: Path, autotrack: Callable) -> None:
    """CSV has whole ids, unrounded numbers, text with commas, quotes and line ends, and NaN and infinities."""
    rows = {row["name"]: row for row in csv.DictReader(io.StringIO(autotrack("ls", "--store", recorded, "--csv").out))}
    runs = {run.info.run_name: run for run in Client(recorded).search_runs()}
    assert rows["special"]["run_id"] == runs["special"].info.run_id
    assert rows["special"]["params.text"] == 'a,"b"\n\x1b[31mred'
    assert math.isnan(float(rows["special"]["metrics.nan"]))
    assert float(rows["special"]["metrics.high"]) == math.inf
    assert float(rows["rate 0.1"]["metrics.loss"]) == runs["rate 0.1"].data.metrics["loss"]
    assert rows["rate 0.1"]["metrics.nan"] == ""
    assert rows["rate 0.1"]["experiment"] == "by hand"


def test_csv_takes_named_columns(recorded: Path, autotrack: Callable) -> None:
    """--columns chooses the columns of CSV, and these alone."""
    shown = autotrack("ls", "--store", recorded, "--csv", "--columns", "name,metrics.loss")
    assert shown.out.splitlines()[0] == "name,metrics.loss"


def test_what_was_recorded_cannot_steer_the_terminal(recorded: Path, autotrack: Callable) -> None:
    """Control characters in names and values are shown as escapes."""
    shown = autotrack("ls", "--store", recorded, "--columns", "name,text")
    assert "\x1b" not in shown.out
    assert r'a,"b"\n\x1b[31mred' in shown.out


def test_empty_place_is_no_error_and_stays_empty(
    tmp_path: Path, autotrack: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where nothing was recorded, a hint goes to stderr, and no store is made by looking."""
    monkeypatch.delenv("AUTOTRACK_TRACKING_URI")
    monkeypatch.chdir(tmp_path)
    shown = autotrack("ls")
    assert (shown.out, shown.status) == ("", 0)
    assert "nothing is recorded yet" in shown.err
    assert json.loads(autotrack("ls", "--json").out) == []
    assert list(tmp_path.iterdir()) == []


def test_store_that_is_named_must_exist(tmp_path: Path, autotrack: Callable) -> None:
    """A store that --store names and that is not there is an error, and is not made."""
    shown = autotrack("ls", "--store", tmp_path / "typo")
    assert shown.status == 1
    assert "there is no such store" in shown.err
    assert not (tmp_path / "typo").exists()


def test_no_match_is_said(recorded: Path, autotrack: Callable) -> None:
    """A filter that matches nothing prints nothing on stdout, a word on stderr, and is no error."""
    shown = autotrack("ls", "--store", recorded, "-f", "metrics.loss > 1e9")
    assert (shown.out, shown.status) == ("", 0)
    assert "is what was asked for" in shown.err


def test_listing_loads_nothing_heavy(recorded: Path, run_child: Callable) -> None:
    """`autotrack ls` loads SQLAlchemy, and no data library, framework, patching, migration or remote storage."""
    done = run_child(recorded.parent, LIGHT)
    assert done.returncode == 0, done.stderr
