"""Records: frozen, comparable, and the same again after a dict and after JSON."""

from __future__ import annotations

import json
import math
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from autotrack import entities, events, records
from autotrack.errors import InvalidArgumentError
from autotrack.records import Page, Record

KINDS = [
    kind
    for kind in vars(records).values()
    if isinstance(kind, type) and issubclass(kind, Record) and kind is not Record
]

texts = st.text(st.characters(exclude_categories=("Cs",)), max_size=8)
numbers = st.one_of(st.floats(), st.sampled_from([math.nan, math.inf, -math.inf, -0.0, 5e-324]))
plain = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(-(2**53), 2**53), st.floats(allow_nan=False, allow_infinity=False), texts
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=2), st.dictionaries(texts, inner, max_size=2)),
    max_leaves=4,
)


def of(kind: Any) -> st.SearchStrategy[Any]:
    """Values of a field's type."""
    if isinstance(kind, msgspec.inspect.StructType):
        return st.builds(kind.cls, **{field.encode_name: of(field.type) for field in kind.fields})
    simple: dict[type, st.SearchStrategy[Any]] = {
        msgspec.inspect.StrType: texts,
        msgspec.inspect.IntType: st.integers(-(2**62), 2**62),
        msgspec.inspect.FloatType: numbers,
        msgspec.inspect.BoolType: st.booleans(),
        msgspec.inspect.NoneType: st.none(),
        msgspec.inspect.AnyType: plain,
    }
    if type(kind) in simple:
        return simple[type(kind)]
    if isinstance(kind, msgspec.inspect.LiteralType):
        return st.sampled_from(kind.values)
    if isinstance(kind, msgspec.inspect.ListType):
        return st.lists(of(kind.item_type), max_size=2)
    if isinstance(kind, msgspec.inspect.DictType):
        return st.dictionaries(of(kind.key_type), of(kind.value_type), max_size=2)
    assert isinstance(kind, msgspec.inspect.UnionType), kind
    return st.one_of([of(one) for one in kind.types])


def same(one: Any, other: Any) -> bool:
    """Equal, NaN and the sign of zero included."""
    return repr(one) == repr(other)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_a_record_comes_back_from_a_dict_and_from_json(kind: type[Record]) -> None:
    """Whatever it holds: NaN, infinities, any text, nested records."""

    @settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
    @given(of(msgspec.inspect.type_info(kind)))
    def check(record: Any) -> None:
        assert same(kind.from_dict(record.to_dict()), record)
        assert same(kind.from_json(record.to_json()), record)
        assert same(kind.from_dict(json.loads(record.to_json())), record)

    check()


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_a_record_cannot_be_changed(kind: type[Record]) -> None:
    """Neither a field nor a new attribute."""
    record = msgspec.convert({}, kind) if not kind.__struct_fields__ else _least(kind)
    for name in (*kind.__struct_fields__, "something_new"):
        with pytest.raises(AttributeError):
            setattr(record, name, 1)


def _least(kind: type[Record]) -> Any:
    """A record with what it must have."""
    values = {"info": _run_info, "data": records.RunData, "dataset": lambda: events.DatasetInfo("n", "d")}
    made: dict[str, Any] = {}
    for field in msgspec.structs.fields(kind):
        if field.required:
            make = values.get(field.name)
            made[field.name] = make() if make else "x"
    return kind(**made)


def _run_info() -> records.RunInfo:
    return records.RunInfo("r", "name", "0", "RUNNING", 1)


def test_runs_are_made_of_records_that_stand_alone() -> None:
    """Each part has its own dict and JSON, and the whole is theirs put together."""
    data = records.RunData({"m": math.nan}, {"p": "1"}, {"t": "x"}, {"p": 1})
    outputs = records.RunOutputs(
        [records.LoggedModel("m", "r", "n", "/u", metrics=[records.ModelMetric("k", math.inf, 1)])]
    )
    inputs = records.RunInputs([records.DatasetInput(events.DatasetInfo("n", "d"), "train", {"a": "b"})])
    run = records.Run(_run_info(), data, inputs, outputs)
    whole = run.to_dict()
    assert list(whole) == ["info", "data", "inputs", "outputs"]
    assert whole["info"] == run.info.to_dict()
    assert whole["inputs"] == inputs.to_dict()
    parsed = json.loads(run.to_json())
    assert parsed["data"]["metrics"]["m"] == "NaN"
    assert parsed["outputs"]["model_outputs"][0]["metrics"][0]["value"] == "Infinity"
    assert same(records.RunOutputs.from_dict(parsed["outputs"]), outputs)


@pytest.mark.parametrize(
    ("kind", "data", "names"),
    [
        (records.Run, {}, "info"),
        (records.RunInfo, {"run_id": 5}, "run_id|run_name"),
        (records.Metric, {"key": "a", "value": "many", "timestamp": 1}, "value"),
        (records.Metric, [1], "object"),
        (records.FileInfo, None, "object"),
    ],
)
def test_what_is_no_record_is_a_typed_error(kind: type[Record], data: Any, names: str) -> None:
    """The message names the field."""
    with pytest.raises(InvalidArgumentError, match=names):
        kind.from_dict(data)
    with pytest.raises(InvalidArgumentError, match=names):
        kind.from_json(json.dumps(data))


def test_text_that_is_no_json_is_a_typed_error() -> None:
    """As is what is no text."""
    for bad in ("{", "", b"\xff", None, 5):
        with pytest.raises(InvalidArgumentError, match="text"):
            records.Metric.from_json(bad)  # type: ignore[arg-type]


def test_a_page_is_a_list_with_a_token() -> None:
    """Also after pickling."""
    import pickle

    page = pickle.loads(pickle.dumps(Page([1, 2], "next")))
    assert (page, page.token) == ([1, 2], "next")
    assert Page().token is None


def test_statuses_are_texts_as_mlflows_helper_gives_them() -> None:
    """`RunStatus.to_string(RunStatus.FINISHED)` is what a run's status is."""
    status = entities.RunStatus
    assert [status.to_string(one) for one in status.all_status()] == ["RUNNING", "FINISHED", "FAILED", "KILLED"]
    assert status.is_terminated(status.from_string("KILLED"))
    assert not status.is_terminated(status.RUNNING)
    with pytest.raises(InvalidArgumentError, match="status"):
        status.to_string("DONE")
