"""`autotrack models ls` and `autotrack models show`."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from autotrack.client import Client


@pytest.fixture
def registry(tmp_path: Path) -> Path:
    """A store with two registered models, one of them without a version."""
    folder = tmp_path / "store"
    client = Client(folder)
    client.create_registered_model("fraud's", {"team": "blue"}, "finds\x1b[31m it")
    for number in range(1, 12):
        client.create_model_version("fraud's", f"/models/{number}", run_id=f"{number}" * 32, description=f"no {number}")
    client.set_registered_model_alias("fraud's", "champion", 10)
    client.set_registered_model_alias("fraud's", "beaten", 10)
    client.set_model_version_tag("fraud's", 11, "checked", "yes")
    client.create_registered_model("empty")
    return folder


def test_registered_models_are_listed(registry: Path, autotrack: Callable) -> None:
    """One line a model, by name, with its newest version and its aliases; a filter restricts them."""
    shown = autotrack("models", "ls", "--store", registry)
    title, empty, fraud = shown.out.splitlines()
    assert title.split() == ["NAME", "LATEST", "ALIASES", "CHANGED", "DESCRIPTION"]
    assert empty.split()[0] == "empty"
    assert fraud.split()[:6] == ["fraud's", "11", "beaten:", "10,", "champion:", "10"]
    assert fraud.endswith("finds\\x1b[31m it")
    assert (shown.err, shown.status) == ("", 0)
    found = json.loads(autotrack("models", "ls", "--store", registry, "--json", "-f", "tags.team = 'blue'").out)
    assert [(one["name"], one["aliases"]["champion"]) for one in found] == [("fraud's", "10")]


def test_a_registered_model_is_shown_with_all_its_versions(registry: Path, autotrack: Callable) -> None:
    """Its own data, then a line a version, the newest first; JSON has the whole records."""
    lines = autotrack("models", "show", "fraud's", "--store", registry).out.splitlines()
    assert lines[0] == "fraud's"
    assert "  tags         team=blue" in lines
    table = lines[lines.index("") + 1 :]
    assert table[0].split() == ["VERSION", "ALIASES", "CREATED", "RUN", "TAGS", "DESCRIPTION", "SOURCE"]
    assert [line.split()[0] for line in table[1:]] == [str(number) for number in range(11, 0, -1)]
    assert "checked=yes" in table[1]
    assert table[2].split()[1:3] == ["beaten,", "champion"]
    assert table[-1].endswith("/models/1")
    whole = json.loads(autotrack("models", "show", "fraud's", "--json", "--store", registry).out)
    assert len(whole["versions"]) == 11
    assert whole["aliases"] == {"beaten": "10", "champion": "10"}
    assert autotrack("models", "show", "empty", "--store", registry).out.splitlines()[-1] == "no version"


def test_what_is_not_there_is_said_and_not_made(registry: Path, tmp_path: Path, autotrack: Callable) -> None:
    """An unknown model is status 1; where there is no store, none appears."""
    shown = autotrack("models", "show", "nothing", "--store", registry)
    assert (shown.out, shown.status) == ("", 1)
    assert "no registered model 'nothing'" in shown.err
    assert "what was asked for" in autotrack("models", "ls", "-f", "name = 'x'", "--store", registry).err
    nowhere = tmp_path / "nowhere"
    listed = autotrack("models", "ls", "--json", "--store", nowhere)
    assert (json.loads(listed.out), listed.status) == ([], 0)
    assert "nothing is recorded yet" in listed.err
    assert autotrack("models", "show", "x", "--store", nowhere).status == 1
    assert not nowhere.exists()
