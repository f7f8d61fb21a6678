"""Names that MLflow takes and tables of trials."""

from __future__ import annotations

import json
import math
import posixpath
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autotrack import records
from autotrack.bridge import incoming, naming, outgoing
from autotrack.events import DatasetInfo

KEYS = st.lists(st.text(st.sampled_from("aB@_.- /(:é\n%"), max_size=12) | st.text(max_size=300), unique=True)


@given(KEYS, st.booleans())
def test_every_key_becomes_one_that_mlflow_takes(keys: list[str], fold_case: bool) -> None:
    """MLflow's rules hold for all of them, no two are the same, and what it takes as it is stays as it is."""
    names = naming.renamed(keys, fold_case=fold_case)
    assert set(names) == set(keys)
    for name in names.values():
        assert re.fullmatch(r"[/\w.\- :]{1,250}", name)
        assert posixpath.normpath(name) == name
        assert not name.startswith(("/", ".."))
    values = [name.casefold() if fold_case else name for name in names.values()]
    assert len(set(values)) == len(values)
    for key, name in names.items():
        assert name == key or not naming.is_allowed(key) or fold_case
    assert naming.renamed(reversed(keys), fold_case=fold_case) == names


@pytest.mark.parametrize(
    ("key", "name"),
    [("acc@5", "acc_5"), ("f1(macro)", "f1_macro_"), ("val/loss", "val/loss"), ("/a//../b/", "a/b"), ("", "_")],
)
def test_the_rule_for_names_is_the_documented_one(key: str, name: str) -> None:
    """Refused characters are underscores, odd parts of paths go."""
    assert naming.renamed([key]) == {key: name}


def test_of_two_keys_that_would_be_one_the_second_gets_a_hash() -> None:
    """The key that MLflow takes as it is keeps its name."""
    names = naming.renamed(["acc@5", "acc_5"])
    assert names["acc_5"] == "acc_5"
    assert re.fullmatch(r"acc_5_[0-9a-f]{8}", names["acc@5"])
    assert len(naming.renamed(["x" * 300])["x" * 300]) == 250


def test_trials_are_a_table_that_is_valid_json() -> None:
    """NaN and infinities are null, parameters and scores are columns, folds stay together."""
    trials = [
        records.Trial(0, {"C": 1.0, "kind": "l2"}, {"test_score": [0.5, 1.0]}, mean=0.75, rank=1),
        records.Trial(1, {"C": math.inf, "deep": {"a": [1]}}, {"test_score": [math.nan, 1.0]}, mean=math.nan),
    ]
    table = json.loads(outgoing.table_of_trials(trials), parse_constant=pytest.fail)
    first, second = (dict(zip(table["columns"], row, strict=True)) for row in table["data"])
    assert (first["params.C"], first["params.kind"], first["mean_test_score"]) == (1.0, "l2", 0.75)
    assert (second["params.C"], second["params.deep"], second["mean"]) == (None, '{"a": [1]}', None)
    assert second["folds.test_score"] == [None, 1.0]


def test_what_trials_reported_and_their_attributes_are_columns() -> None:
    """How often a trial reported, its last step and value and all of it; an attribute a column; none where none has."""
    trials = [
        records.Trial(0, intermediate={7: 0.25, 2: math.nan}, attributes={"note": "a", "deep": {"a": 1}}),
        records.Trial(1, attributes={"size": 3}),
    ]
    table = json.loads(outgoing.table_of_trials(trials), parse_constant=pytest.fail)
    first, second = (dict(zip(table["columns"], row, strict=True)) for row in table["data"])
    assert [first[key] for key in outgoing.REPORTED[:3]] == [2, 7, 0.25]
    assert first["intermediate"] == '{"2": null, "7": 0.25}'
    assert (first["attributes.note"], first["attributes.deep"], first["attributes.size"]) == ("a", '{"a": 1}', None)
    assert [second[key] for key in outgoing.REPORTED] == [0, None, None, None]
    assert second["attributes.size"] == 3
    plain = json.loads(outgoing.table_of_trials([records.Trial(0, mean=0.5)]))["columns"]
    assert [key for key in plain if key in outgoing.REPORTED or key.startswith("attributes.")] == []


def test_datasets_are_described_as_mlflow_does_it() -> None:
    """Columns have MLflow's types, one dataset of several uses is one input, and what is MLflow's already stays."""
    schema = json.dumps({"columns": {"a": "int64", "b": "datetime64[ns]", "c": "object"}, "target_dtype": "int64"})
    ours = DatasetInfo("rows", "1" * 64, "code", "rows.csv", schema, json.dumps({"rows": 3}))
    uses = [records.DatasetInput(ours, context, {context: "yes"}) for context in ("train", "eval")]
    (merged,) = outgoing.merged_inputs(uses)
    assert (merged.context, merged.tags) == ("train, eval", {"train": "yes", "eval": "yes"})
    assert [one["type"] for one in json.loads(merged.dataset.schema)["mlflow_colspec"]] == [
        "long",
        "datetime",
        "string",
    ]
    assert json.loads(merged.dataset.source) == {"uri": "rows.csv"}
    assert json.loads(merged.dataset.profile) == {"num_rows": 3, "rows": 3}
    assert outgoing.merged_inputs([merged]) == [merged]


@pytest.mark.parametrize(
    ("text", "json_text"),
    [("10", "10"), ("0.5", "0.5"), ("1e-3", "0.001"), ("-.5", "-0.5"), ("lbfgs", '"lbfgs"'), ("nan", '"nan"'),
     ("1_000", '"1_000"'), ("None", '"None"'), ("1e999", '"1e999"'), ("007", "7")],
)  # fmt: skip
def test_a_parameter_that_reads_as_a_number_counts_as_one(text: str, json_text: str) -> None:
    """The text stays as MLflow has it."""
    param = incoming.param("C", text)
    assert (param.text, param.json) == (text, json_text)
