"""Whatever somebody feeds the parsers is understood or refused with an error of autotrack's own, within bounds."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import hostile_targets as targets
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from autotrack import Client, events
from autotrack.errors import FilterSyntaxError, ModelFormatError, SignatureMismatchError
from autotrack.models.mlmodel import Model
from autotrack.models.signature import Signature

few = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
DEEP = 100_000
RIGHT_TO_LEFT = "\u202egnp.exe\u2066 \u05d0\u05d1"

strange = st.sampled_from(["\0", "\ud800", RIGHT_TO_LEFT, "x" * 3000, "1" * 5000, "-0", "1e999", "\u0130", "\r\n", "'"])
texts = st.one_of(st.text(max_size=30), strange)
numbers = st.one_of(st.integers(-(10**400), 10**400), st.integers(-3, 2**64), st.floats())
plain = st.recursive(
    st.one_of(st.none(), st.booleans(), numbers, texts),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.dictionaries(st.one_of(texts, st.just("a")), inner, max_size=4)
    ),
    max_leaves=12,
)


def test_filters_of_any_depth_and_length_are_refused_in_bounded_time() -> None:
    """Nesting, repetition, huge numbers and half a megabyte of one character: a syntax error, or a search."""
    for text in (
        "(" * DEEP,
        "not " * 30_000 + "status = 'x'",
        "(" * 99 + "status = 'x'" + ")" * 99,
        " or ".join(["metrics.a > 1"] * 5000),
        "metrics.a in (" + ",".join(["1"] * 40_000) + ")",
        "metrics.a > " + "9" * 90_000,
        "params.a like '" + "%_" * 40_000 + "'",
        "'" * DEEP,
        "`" * 99_999,
        "a." * 49_000 + "b = 1",
        " " * DEEP,
        "\ufeffstatus = 'x'",
        f"tags.`{RIGHT_TO_LEFT}` = '{RIGHT_TO_LEFT}'",
    ):
        targets.search(text, text)
    with pytest.raises(FilterSyntaxError):
        targets.autotrack.Client(str(targets.workplace() / "store")).search_runs(filter_string="(" * 500_000)


def test_a_store_in_a_folder_whose_name_is_no_text_is_found_and_written(tmp_path: Path) -> None:
    """Bytes that are no UTF-8, percent signs and the marks of other scripts in a folder's name are no obstacle."""
    for name in (b"caf\xe9", "%41 \u05d0\u202e#?&".encode()):
        folder = os.path.join(os.fsencode(tmp_path), name)
        try:
            os.mkdir(folder)
        except OSError:
            pytest.skip("the file system has no such names")
        client = Client(os.fsdecode(folder))
        made = client.create_experiment("x")
        again = Client(client.location.url)
        assert again.location == client.location
        assert again.get_experiment_by_name("x").experiment_id == made  # type: ignore[union-attr]
        assert b"autotrack.db" in os.listdir(folder)
        targets._forget(client)


lines = st.one_of(
    st.binary(max_size=60),
    st.dictionaries(
        st.sampled_from(
            [
                "t",
                "run_id",
                "session_id",
                "time",
                "key",
                "value",
                "params",
                "tags",
                "step",
                "metrics",
                "name",
                "fit_id",
                "trials",
                "model_id",
                "uri",
                "path",
                "size",
                "digest",
                "status",
                "content",
                "source",
            ]
        ),
        plain,
        max_size=8,
    ).map(lambda value: json.dumps(value).encode()),
)

WHOLE: list[Any] = [
    events.RunStarted("r", "s", 1, "n"),
    events.MetricLogged("r", "k", 1.0, 1, 1),
    events.CurveLogged("r", "k", [1], [1], [1.0]),
    events.ParamsLogged("r", [events.Param("k", "v", "1")]),
    events.TrialsLogged("r", [events.TrialInfo(1, mean=1.0, rank=1, fit_time=1.0)]),
    events.FitLogged("f", "s", 1, "r", duration=1.0, details={"a": 1}),
    events.ModelLogged("m", "r", "n", 1, "u", metadata={"a": 1}),
    events.ArtifactLogged("r", "p", 1, "d", 1),
    events.SessionStarted("s", 1),
    events.EnvironmentCaptured("s", "d", {"a": 1}),
]


@st.composite
def spoiled(draw: st.DrawFn) -> bytes:
    """An event of which one or two fields hold something else."""
    value = json.loads(events.encode(draw(st.sampled_from(WHOLE))))
    for _ in range(draw(st.integers(1, 2))):
        name = draw(st.sampled_from(sorted(value)))
        value[name] = draw(plain) if name != "t" else value[name]
    return json.dumps(value).encode()


@settings(few, max_examples=40)
@given(content=st.lists(st.one_of(lines, spoiled()), max_size=12).map(b"\n".join), opened=st.booleans())
def test_a_journal_of_any_content_is_read_and_its_store_stays_readable(content: bytes, opened: bool) -> None:
    """Bytes, JSON and spoiled events: what can be kept is kept, and every run can be shown."""
    targets.journal(content + b"\n", opened)


def test_journals_made_to_hurt_are_read_in_bounded_time() -> None:
    """Deep nesting, huge numbers and a header of them, NUL, half surrogates and one long line harm no reader."""
    opened = json.loads(events.encode(events.JournalOpened(1, "j", "s", "x", "h", "b", 1, 1, 1)))
    deep = b'{"t":"environment","session_id":"s","digest":"d","content":{"a":' + b"[" * 900 + b"]" * 900 + b"}}"
    content = [
        deep,
        deep.replace(b"[" * 900, b"[" * DEEP).replace(b"]" * 900, b"]" * DEEP),
        b'{"t":"m","run_id":"r","key":"k","value":1e400,"time":1}',
        b'{"t":"m","run_id":"r","key":"k","value":"no number","time":1}',
        b'{"t":"m","run_id":"r","key":"k","value":1,"time":' + b"9" * 400 + b"}",
        b'{"t":"m","run_id":"r","key":"k","value":1,"time":1,"step":18446744073709551615}',
        b'{"t":"run","run_id":"' + b"r" * 5000 + b'","session_id":"s","time":-99999999999999,"name":"\\u0000\\ud800"}',
        b'{"t":"params","run_id":"r","params":[{"key":"k","text":"v","json":"' + b"[" * 5000 + b'"}]}',
        b'{"t":"tags","run_id":"","tags":{"":""}}',
        b'{"t":"' * 20_000,
        b"x" * 5_000_000,
        b'{"t":"degraded","run_id":"last","reason":"here"}',
    ]
    targets.journal(b"\n".join(content) + b"\n", True)
    for name, value in (
        ("pid", 2**70),
        ("process_started", -(2**64)),
        ("time", 2**63),
        ("host", "\0"),
        ("journal_id", "x" * 999),
    ):
        targets.journal(json.dumps({**opened, name: value}).encode() + b"\n" + events.encode(WHOLE[0]), False)


def test_a_hostile_journal_keeps_no_other_one_from_the_store(tmp_path: Path) -> None:
    """Beside a journal whose first line no database takes, the runs of a sound one arrive all the same."""
    client = Client(str(tmp_path / "store"))
    folder = client.location.journal_folder
    folder.mkdir(parents=True)
    sound = events.JournalOpened(1, "sound", "s", "x", "h", "b", 1, 1, 1)
    (folder / "sound.jsonl").write_bytes(events.encode(sound) + events.encode(WHOLE[0]))
    for number, bad in enumerate([{"pid": 2**80}, {"time": 2**80}, {"boot_id": "\0"}, {"journal_id": "\ud800"}]):
        opened = {**json.loads(events.encode(sound)), "journal_id": f"bad{number}", **bad}
        line = json.dumps(opened).encode() + b"\n"
        (folder / f"a{number}.jsonl").write_bytes(line + events.encode(events.RunStarted("b", "s", 1, "b")))
    try:
        assert "r" in {run.info.run_id for run in client.search_runs()}
    finally:
        targets._forget(client)


@few
@given(
    st.one_of(
        texts,
        plain.map(json.dumps),
        st.dictionaries(
            st.sampled_from(
                [
                    "flavors",
                    "signature",
                    "metadata",
                    "autotrack",
                    "run_id",
                    "utc_time_created",
                    "resources",
                    "model_size_bytes",
                    "extra",
                    "env_vars",
                    "saved_input_example_info",
                ]
            ),
            plain,
            max_size=6,
        ).map(json.dumps),
        st.lists(
            st.sampled_from(
                [
                    "&a ",
                    "*a",
                    "- ",
                    "? ",
                    ": ",
                    "!!python/object:os.system ",
                    "!!binary x",
                    "<<: *a",
                    "{",
                    "[",
                    "\n",
                    "  ",
                    "flavors",
                    "a",
                    "2020-01-01",
                    "0x_",
                    "1:30",
                    ".nan",
                    "|",
                    "%YAML 9",
                ]
            ),
            max_size=15,
        ).map("".join),
    )
)
@example("flavors: {[1, 2]: {}}")
@example("? {a: b}\n: 1")
@example("signature: {inputs: 5}")
@example("signature: {inputs: [1]}")
@example("1: 2\nflavors: {1: {}}")
@example("utc: 0000-00-00")
@example("a: 2020-99-99 99:99:99")
@example("a: " + "1" * 5000)
@example("a: 0b" + "1" * 20000)
@example("a: " + ":".join(["59"] * 2000))
@example("a: !!binary '\u00e9'")
@example("a: !!timestamp x")
@example("a: !!int ''")
@example("a: !!float x")
@example("a: !!set {x: 5}")
@example("a: !!omap [1]")
@example("a: !!bool x")
def test_an_mlmodel_of_any_text_is_read_or_refused(text: str) -> None:
    """YAML of any kind, with tags, anchors and values of any type: a model, or a `ModelFormatError`."""
    targets.mlmodel(text)


def test_an_mlmodel_that_is_deep_or_stands_for_much_is_refused() -> None:
    """Brackets without end and aliases of aliases are refused, and cost no memory."""
    bomb = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
        f"{chr(98 + n)}: &{chr(98 + n)} [{','.join([f'*{chr(97 + n)}'] * 9)}]\n" for n in range(12)
    )
    for text in ("[" * DEEP, "{a: " * 5000, "- " * 5000, bomb, "a: &a [*a]", "? " * 5000):
        with pytest.raises(ModelFormatError):
            Model.from_yaml(text)


specs = st.recursive(
    st.one_of(
        st.sampled_from(
            [{"type": "double"}, {"type": "long"}, {"type": "string"}, {"type": "any"}, {"type": "no such"}]
        ),
        st.fixed_dictionaries({"type": st.sampled_from(["array", "map", "object", "tensor", 5, None])}),
        st.fixed_dictionaries(
            {
                "type": st.just("tensor"),
                "tensor-spec": st.fixed_dictionaries(
                    {
                        "dtype": st.sampled_from(["float64", "no such", "", "f8,(2,)i4", "object", "O", "(", None, 5]),
                        "shape": st.one_of(st.lists(numbers, max_size=3), st.none(), texts),
                    }
                ),
            }
        ),
    ),
    lambda inner: st.one_of(
        st.fixed_dictionaries({"type": st.just("array"), "items": inner}),
        st.fixed_dictionaries({"type": st.just("map"), "values": inner}),
        st.fixed_dictionaries({"type": st.just("object"), "properties": st.dictionaries(texts, inner, max_size=2)}),
    ),
    max_leaves=4,
)
columns = st.builds(
    lambda spec, more: {**spec, **more},
    specs,
    st.dictionaries(
        st.sampled_from(["name", "required", "default", "shape", "optional"]),
        st.one_of(st.sampled_from(["a", "b", 0, 1]), plain),
        max_size=3,
    ),
)


@settings(few, max_examples=120)
@given(
    inputs=st.lists(columns, max_size=3),
    params=st.lists(columns, max_size=2),
    data=st.one_of(
        plain, st.fixed_dictionaries({"a": plain, "b": plain}), st.lists(st.lists(numbers, max_size=3), max_size=3)
    ),
)
def test_a_signature_of_any_text_takes_or_refuses_any_data(inputs: list[Any], params: list[Any], data: Any) -> None:
    """What a file says of a model, and what `predict` is given: a match, a mismatch, or a file that is refused."""
    given_params = data if isinstance(data, dict) else {"a": data}
    targets.enforce({"inputs": json.dumps(inputs), "params": json.dumps(params)}, data, given_params)


def test_data_that_is_deep_holds_itself_or_makes_no_table_is_a_mismatch() -> None:
    """Lists in lists without end, one that holds itself and ragged columns are mismatches, and no crash."""
    deep: list[Any] = []
    for _ in range(DEEP):
        deep = [deep]
    endless: list[Any] = []
    endless.append(endless)
    named = Signature.from_dict({"inputs": '[{"type": "double", "name": "a"}, {"type": "long", "name": "b"}]'})
    values = Signature.from_dict({"inputs": '[{"type": "array", "items": {"type": "double"}}]'})
    tensor = Signature.from_dict({"inputs": '[{"type":"tensor","tensor-spec":{"dtype":"float64","shape":[-1,2]}}]'})
    for data in (
        deep,
        endless,
        {"a": [1, 2], "b": [1]},
        {"a": endless, "b": 1},
        [{"a": 1}, 5],
        [10**400, 1],
    ):
        for signature in (named, values, tensor):
            with pytest.raises(SignatureMismatchError):
                signature.enforce(data)
    for text in (
        '[{"type": "array", "items": ' * 3000,
        "[" * DEEP,
        '[{"type": "array"}]',
        '[{"type": "x", "name": []}]',
        "5",
    ):
        with pytest.raises(ModelFormatError):
            Signature.from_dict({"inputs": text})
    while deep:  # an empty one by one: taken down at once it would overrun the stack of C
        deep = deep[0]


words = st.one_of(
    st.sampled_from(
        [
            "-f",
            "--sort",
            "-n",
            "-e",
            "--columns",
            "--json",
            "--csv",
            "-d",
            "--all",
            "--to",
            "--from",
            "-o",
            "--run",
            "--older-than",
            "--store",
            "list",
            "predict",
            "check",
            "copy",
            "status",
            "@",
            "best:",
            "best:min:",
            "x",
            "-",
            "--",
            "=",
            "\u0661",
            "~no_such_user/x",
            "sqlite:///~x/m.db",
            "%00",
            "models:/",
            "runs:/@/x",
            "file://[",
            "*",
            "[",
            "a,*,[",
            "..",
            "-1d",
            "1e9d",
            "sqlite:///store/autotrack.db",
        ]
    ),
    st.sampled_from(["metrics.loss > 1", "9" * 400]),
    st.text(max_size=12).map(lambda text: text.replace("\0", "").lstrip("/~")),
    st.just("\udcff\udc80"),
    st.just(RIGHT_TO_LEFT),
)


@settings(few, max_examples=100)
@given(command=st.sampled_from(targets.READING), arguments=st.lists(words, max_size=5))
@example("ls", ["--columns", "["])
@example("ls", ["-n", "\u00b2"])
@example("show", ["best:\udcff"])
@example("gc", ["--older-than", "9" * 400 + "d"])
@example("models", ["predict", "models:/x/99999999999999999999"])
@example("push", ["--all", "--to", "sqlite:///~no_such_user/m.db"])
@example("files", ["@", "\udcff"])
def test_a_command_line_of_any_words_ends_in_a_status_and_a_message(command: str, arguments: list[str]) -> None:
    """Options, patterns, ids, URLs and bytes that are no text: status 0, 1 or 2, and never a traceback."""
    targets.command_line([command, *arguments])
