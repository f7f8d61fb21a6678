from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from autotrack import load_model, records
from autotrack.cli import sections
from autotrack.client import Client
from autotrack.tracking import current_experiment


def named(recorded: Path, name: str) -> str:
    """Id of the newest run of that name."""
    return Client(recorded).search_runs(filter_string=f"name = '{name}'")[0].info.run_id


def section(text: str, title: str) -> list[str]:
    """The lines below a title, without their indentation."""
    lines = text.splitlines()
    start = lines.index(title) + 1
    end = next((index for index in range(start, len(lines)) if not lines[index]), len(lines))
    return [line.strip() for line in lines[start:end]]


def test_run_of_the_fluent_api_is_shown_section_by_section(recorded: Path, autotrack: Callable) -> None:
    """Head, parameters, metric curves with their extremes and steps, tags, session and environment are there."""
    shown = autotrack("show", named(recorded, "rate 0.1"), "--store", recorded)
    assert shown.status == 0
    assert re.search(r"^name +rate 0\.1$", shown.out, re.MULTILINE)
    assert re.search(r"^experiment +by hand$", shown.out, re.MULTILINE)
    assert section(shown.out, "Parameters") == ["kind  constant", "rate  0.1"]
    head, loss = section(shown.out, "Metrics")
    assert head.split() == ["name", "last", "@step", "min", "max", "points"]
    assert loss.split() == ["loss", "0.05", "@2", "0.025", "@1", "0.1", "@0", "3"]
    assert section(shown.out, "Tags") == ["team  blue"]
    assert any(line.startswith("command  ") for line in section(shown.out, "Session"))
    environment = section(shown.out, "Environment")
    assert any(line.startswith("python ") for line in environment)
    assert any(re.fullmatch(r"packages +\d+ recorded", line) for line in environment)


def test_failed_run_shows_its_error(recorded: Path, autotrack: Callable) -> None:
    """A failed fit's type, message and traceback are shown, and the fit as failed."""
    shown = autotrack("show", named(recorded, "LogisticRegression"), "--store", recorded)
    error = section(shown.out, "Error")
    assert "InvalidParameterError: The 'C' parameter" in error[0]
    assert "Traceback (most recent call last):" in error
    assert re.search(r"LogisticRegression\.fit +fit +FAILED", "\n".join(section(shown.out, "Fits")))


def test_preparation_steps_and_datasets_are_shown(recorded: Path, autotrack: Callable) -> None:
    """What was prepared before the fit and what it was fitted on are part of the run."""
    shown = autotrack("show", named(recorded, "RandomForestClassifier"), "--store", recorded)
    assert "StandardScaler.fit_transform  preparation" in "\n".join(section(shown.out, "Preparation steps"))
    head, row = section(shown.out, "Datasets")
    assert head.split() == ["name", "context", "shape", "source", "digest"]
    assert re.match(r"X +train +150 x 4 +", row)


def test_trials_are_shown_best_first(recorded: Path, autotrack: Callable) -> None:
    """A search shows its ten best candidates by rank, with what was varied, mean and deviation."""
    shown = autotrack("show", named(recorded, "GridSearchCV"), "--store", recorded)
    head, *rows = section(shown.out, "Trials (best 10 of 12)")
    assert head.split()[:5] == ["trial", "rank", "max_depth", "mean", "std"]
    ranks = [int(row.split()[1]) for row in rows]
    assert len(ranks) == 10
    assert ranks[0] == 1
    assert ranks == sorted(ranks)


def test_trials_are_shown_with_what_they_reported_and_their_attributes() -> None:
    """How many values, the last one and its step, and the attributes; no such columns where no trial has any."""
    found = [
        records.Trial(0, {"x": 1}, mean=0.5, rank=1, intermediate={5: 0.25, 9: 0.5}, attributes={"note": "ok"}),
        records.Trial(1, {"x": 2}, mean=0.75, rank=2),
    ]
    head, first, second = sections.trials(found)
    assert head.split() == ["trial", "rank", "x", "mean", "reported", "attributes"]
    assert "2, last 0.5 at 9" in first
    assert "note=ok" in first
    assert second.split() == ["1", "2", "2", "0.75"]
    assert sections.trials(found[1:])[0].split() == ["trial", "rank", "x", "mean"]


def test_model_is_shown_with_the_line_that_loads_it(recorded: Path, autotrack: Callable) -> None:
    """The URI that is printed for a model loads that model."""
    from sklearn.datasets import load_iris

    shown = autotrack("show", named(recorded, "RandomForestClassifier"), "--store", recorded)
    name, uri, line = section(shown.out, "Models")
    assert name.startswith("model (sklearn, ")
    assert line == f"autotrack.load_model('{uri}')"
    current_experiment.set_tracking_uri(recorded)
    assert len(load_model(uri).predict(load_iris(as_frame=True).data)) == 150


def test_artifacts_are_listed_with_their_sizes(recorded: Path, autotrack: Callable) -> None:
    """Files of a run are shown with their paths and sizes."""
    shown = autotrack("show", named(recorded, "special"), "--store", recorded)
    assert section(shown.out, "Artifacts") == ["notes/hello.txt  5 B"]


def test_special_numbers_and_characters_are_shown_as_such(recorded: Path, autotrack: Callable) -> None:
    """NaN and infinities are spelled out, control characters in values and descriptions are escapes."""
    shown = autotrack("show", named(recorded, "special"), "--store", recorded)
    assert [row.split() for row in section(shown.out, "Metrics")[1:]] == [
        ["high", "inf"],
        ["low", "-inf"],
        ["nan", "NaN"],
    ]
    assert "\x1b" not in shown.out
    assert re.search(r"^description +two\\nlines$", shown.out, re.MULTILINE)


def test_degraded_run_says_what_is_missing(recorded: Path, autotrack: Callable, tmp_path: Path) -> None:
    """The reason why a run was not recorded wholly stands in its head."""
    copy = tmp_path / "copy"
    shutil.copytree(recorded, copy)
    client = Client(copy)
    run = client.create_run(run_name="half")
    client.writer_of_open_run(run.info.run_id).degrade("the model was too large")
    client.set_terminated(run.info.run_id)
    shown = autotrack("show", "@", "--store", copy)
    assert re.search(r"^degraded +the model was too large$", shown.out, re.MULTILINE)


def test_runs_go_by_prefix_latest_and_best(recorded: Path, autotrack: Callable) -> None:
    """An id's beginning, `@` and `best:` with a sign or a word for the direction find the same runs as the store."""

    def found(word: str) -> str:
        return json.loads(autotrack("show", word, "--store", recorded, "--json").out)["run"]["info"]["run_name"]

    assert found(named(recorded, "special")[:10]) == "special"
    assert found("@") == "special"
    assert found("best:loss") == found("best:max:loss") == "rate 0.2"
    assert found("best:-loss") == found("best:min:loss") == "rate 0.1"


@pytest.mark.parametrize("word", ["zzz", "best:nope", "best:-nope", ""])
def test_run_that_is_not_there_is_an_error_in_one_line(recorded: Path, autotrack: Callable, word: str) -> None:
    """A run that cannot be found is status 1, one line on stderr and nothing on stdout."""
    shown = autotrack("show", word, "--store", recorded)
    assert (shown.out, shown.status) == ("", 1)
    assert re.fullmatch(r"autotrack: no run .*\n", shown.err)


def test_ambiguous_prefix_names_the_runs(tmp_path: Path, autotrack: Callable) -> None:
    """A beginning that several ids share is an error that lists them."""
    client = Client(tmp_path / "store")
    ids = {client.create_run().info.run_id for _ in range(17)}
    first = next(id_[0] for id_ in ids if sum(other[0] == id_[0] for other in ids) > 1)
    shown = autotrack("show", first, "--store", tmp_path / "store")
    assert shown.status == 1
    assert "several begin so" in shown.err


def test_json_holds_everything(recorded: Path, autotrack: Callable) -> None:
    """--json has the run with its experiment, fits, trials, artifacts, session and environment, as the client has."""
    run_id = named(recorded, "GridSearchCV")
    found = json.loads(autotrack("show", run_id, "--store", recorded, "--json").out)
    client = Client(recorded)
    assert found["run"] == json.loads(client.get_run(run_id).to_json())
    assert found["trials"] == [json.loads(trial.to_json()) for trial in client.get_trials(run_id)]
    assert found["fits"] == [json.loads(fit.to_json()) for fit in client.get_fits(run_id)]
    assert found["session"]["session_id"] == found["run"]["info"]["session_id"]
    assert found["experiment"]["name"] == "Default"
    assert "packages" in found["environment"]["content"]
    assert {"path", "is_dir", "file_size"} == set(found["artifacts"][0])
