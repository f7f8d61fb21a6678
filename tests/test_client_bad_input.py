"""Bad input: every public method of the client, and every fluent function, answers with a typed error that says what."""

# ruff: noqa: E501 - tables, one case a line

from __future__ import annotations

import inspect
import io
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import autotrack
from autotrack import Client, Metric
from autotrack.entities import LoggedModelOutput, Param, RunTag
from autotrack.errors import (
    ActiveRunError,
    AlreadyExistsError,
    ArtifactError,
    AutotrackError,
    FilterSyntaxError,
    InvalidArgumentError,
    NotFoundError,
    RunEndedError,
)
from autotrack.testing import TemporaryStore

NO_ID: list[Any] = [None, 5, "", b"x", ["a"]]
"""What no id is."""

NO_KEY: list[Any] = [None, 5, "", "  ", "a\0b", "\ud800", ["a"]]
"""What no key is."""

NO_NUMBER: list[Any] = [None, "1", b"1", [1, 2], {}, object()]
NO_WHOLE_NUMBER: list[Any] = [math.nan, math.inf, 1.5, "x", 2**63, [1]]
NO_TEXT: list[Any] = [None, 5, b"x", ["a"]]
NO_DICT: list[Any] = [None, 5, "ab", ["a"], [("a", 1)]]
NO_LIST: list[Any] = [5, "metrics.x", b"x", {"a": 1}]
NO_PATH: list[Any] = [None, 5, "", ["a"]]
"""What no path is."""

Case = tuple[str, type[AutotrackError], str, Callable[[Any], Any]]
"""Method, error, what its message has in it, and the call."""


class Ids:
    """What the cases name: a client, an open run, an ended one, a logged model."""

    def __init__(self, client: Client, open_run: str, ended: str, model: str) -> None:
        self.client, self.run, self.ended, self.model = client, open_run, ended, model


@pytest.fixture(scope="module")
def ids(tmp_path_factory: pytest.TempPathFactory) -> Callable[[], Ids]:
    """A store with a few things in it, made anew where another test has closed it."""
    folder = tmp_path_factory.mktemp("store")

    def of() -> Ids:
        client = Client(folder)
        if not client.search_runs():
            run = client.create_run(run_name="open").info.run_id
            ended = client.create_run(run_name="ended").info.run_id
            client.set_terminated(ended)
            with_model(client, run, "model-1")
            client.create_experiment("taken")
        runs = {run.info.run_name: run.info.run_id for run in client.search_runs()}
        client.update_run(runs["open"], status="RUNNING")
        return Ids(client, runs["open"], runs["ended"], "model-1")

    return of


def with_model(client: Client, run_id: str, model_id: str) -> None:
    """Say that a run has put out a model."""
    from autotrack.events import ModelLogged

    client.attached_writer(run_id).recorder.write(ModelLogged(model_id, run_id, "model", 1, "/nowhere"))


def each(method: str, values: list[Any], names: str, call: Callable[[Ids, Any], Any]) -> list[Case]:
    """One case a value that is not usable."""

    def case(value: Any) -> Case:
        return method, InvalidArgumentError, names, lambda ids: call(ids, value)

    return [case(value) for value in values]


def no_run(method: str, *arguments: Any, **named: Any) -> list[Case]:
    """A run's id that is none, and one that is not there."""
    cases = each(method, NO_ID, "run_id", lambda ids, bad: getattr(ids.client, method)(bad, *arguments, **named))
    return [
        *cases,
        (
            method,
            NotFoundError,
            "run 'nope'.*search_runs",
            lambda ids: getattr(ids.client, method)("nope", *arguments, **named),
        ),
    ]


def no_model(method: str, *arguments: Any) -> list[Case]:
    """A model's id that is none, and one that is not there."""
    cases = each(method, NO_ID, "model_id", lambda ids, bad: getattr(ids.client, method)(bad, *arguments))
    return [
        *cases,
        (method, NotFoundError, "logged model 'nope'", lambda ids: getattr(ids.client, method)("nope", *arguments)),
    ]


def no_experiment(method: str, *arguments: Any) -> list[Case]:
    """An experiment's id that is none, and one that is not there."""
    bad_ids: list[Any] = [None, "", b"x", ["a"], True, 1.5]
    cases = each(method, bad_ids, "experiment_id", lambda ids, bad: getattr(ids.client, method)(bad, *arguments))
    gone = [("4711", "4711"), (4711, "4711"), ("x; drop table runs", "drop")]
    found: list[Case] = [
        (
            method,
            NotFoundError,
            f"experiment .*{text}.*search_experiments",
            lambda ids, key=key: getattr(ids.client, method)(key, *arguments),
        )
        for key, text in gone
    ]
    return [*cases, *found]


def no_search(method: str, *before: Any) -> list[Case]:
    """Filters, orders, sizes and tokens that are not usable."""

    def call(**options: Any) -> Callable[[Ids], Any]:
        return lambda ids: getattr(ids.client, method)(**options)

    return [
        (method, FilterSyntaxError, "expected", call(filter_string="what ~ 1")),
        (method, FilterSyntaxError, "expected", call(filter_string="'")),
        (method, FilterSyntaxError, "expected", call(order_by=["name sideways"])),
        *[(method, InvalidArgumentError, "filter_string", call(filter_string=bad)) for bad in (5, b"x", ["a"])],
        *[(method, InvalidArgumentError, "order_by", call(order_by=bad)) for bad in (*NO_LIST, [5], [None])],
        *[(method, InvalidArgumentError, "max_results", call(max_results=bad)) for bad in (0, -1, 1.5, "ten", 10**9)],
        *[(method, InvalidArgumentError, "page_token", call(page_token=bad)) for bad in ("xx", 5, "e30=")],
    ]


def ended(method: str, *arguments: Any, **named: Any) -> Case:
    """A call that an ended run does not take."""
    return (
        method,
        RunEndedError,
        "has ended.*start_run",
        lambda ids: getattr(ids.client, method)(ids.ended, *arguments, **named),
    )


CASES: list[Case] = [
    # Experiments
    *each("create_experiment", NO_KEY, "experiment name", lambda ids, bad: ids.client.create_experiment(bad)),
    *each("create_experiment", [5, b"x"], "artifact_location", lambda ids, bad: ids.client.create_experiment("n", bad)),
    *each("create_experiment", [5, "ab", ["a"]], "tags", lambda ids, bad: ids.client.create_experiment("n", None, bad)),
    *each("create_experiment", NO_KEY, "key", lambda ids, bad: ids.client.create_experiment("n", tags={_hashable(bad): 1})),
    ("create_experiment", AlreadyExistsError, "taken", lambda ids: ids.client.create_experiment("taken")),
    *each("get_experiment_by_name", NO_TEXT, "name", lambda ids, bad: ids.client.get_experiment_by_name(bad)),
    *no_experiment("get_experiment"),
    *no_experiment("open_experiment"),
    *no_experiment("rename_experiment", "new"),
    *each("rename_experiment", NO_KEY, "experiment name", lambda ids, bad: ids.client.rename_experiment("0", bad)),
    ("rename_experiment", AlreadyExistsError, "taken", lambda ids: ids.client.rename_experiment("0", "taken")),
    *no_experiment("delete_experiment"),
    *no_experiment("restore_experiment"),
    *no_experiment("set_experiment_tag", "k", "v"),
    *each("set_experiment_tag", NO_KEY, "key", lambda ids, bad: ids.client.set_experiment_tag("0", bad, "v")),
    *no_experiment("delete_experiment_tag", "k"),
    ("delete_experiment_tag", NotFoundError, "tag 'k'", lambda ids: ids.client.delete_experiment_tag("0", "k")),
    *no_search("search_experiments"),
    *each("search_experiments", [5, "all", True, None], "view_type", lambda ids, bad: ids.client.search_experiments(bad)),
    # Runs
    *no_experiment("create_run")[1:],  # None is the default one
    *each("create_run", NO_WHOLE_NUMBER, "start_time", lambda ids, bad: ids.client.create_run("0", bad)),
    *each("create_run", [5, "ab", ["a"]], "tags", lambda ids, bad: ids.client.create_run("0", None, bad)),
    *each("create_run", [5, " ", "a\0b"], "run_name", lambda ids, bad: ids.client.create_run("0", run_name=bad)),
    *no_run("get_run"),
    *no_run("get_parent_run"),
    *no_search("search_runs"),
    *each("search_runs", NO_LIST, "experiment_ids", lambda ids, bad: ids.client.search_runs(bad)),
    *each("search_runs", [[None], [b"x"], [""]], "experiment_ids", lambda ids, bad: ids.client.search_runs(bad)),
    *each("search_runs", [5, "all", True, None], "run_view_type", lambda ids, bad: ids.client.search_runs(None, "", bad)),
    *each("resolve_run_id", NO_TEXT, "run", lambda ids, bad: ids.client.resolve_run_id(bad)),
    ("resolve_run_id", NotFoundError, "'zz'", lambda ids: ids.client.resolve_run_id("zz")),
    *no_run("set_terminated"),
    *each("set_terminated", ["RUNNING", "done", 5, ["FAILED"]], "status", lambda ids, bad: ids.client.set_terminated(ids.run, bad)),
    *each("set_terminated", NO_WHOLE_NUMBER, "end_time", lambda ids, bad: ids.client.set_terminated(ids.run, None, bad)),
    *no_run("update_run", "FINISHED"),
    *each("update_run", ["done", "", 5, ["FAILED"]], "status", lambda ids, bad: ids.client.update_run(ids.run, bad)),
    *each("update_run", NO_KEY[1:], "run name", lambda ids, bad: ids.client.update_run(ids.run, name=bad)),
    *no_run("delete_run"),
    *no_run("restore_run"),
    # Logging
    *no_run("log_param", "k", 1),
    *each("log_param", NO_KEY, "key", lambda ids, bad: ids.client.log_param(ids.run, bad, 1)),
    ended("log_param", "k", 1),
    *no_run("log_params", {"k": 1}),
    *each("log_params", NO_DICT, "params", lambda ids, bad: ids.client.log_params(ids.run, bad)),
    *each("log_params", NO_KEY, "key", lambda ids, bad: ids.client.log_params(ids.run, {"never": 1, _hashable(bad): 1})),
    ended("log_params", {"k": 1}),
    *no_run("log_metric", "k", 1.0),
    *each("log_metric", NO_KEY, "key", lambda ids, bad: ids.client.log_metric(ids.run, bad, 1.0)),
    *each("log_metric", NO_NUMBER, "value", lambda ids, bad: ids.client.log_metric(ids.run, "never", bad)),
    *each("log_metric", NO_WHOLE_NUMBER, "step", lambda ids, bad: ids.client.log_metric(ids.run, "never", 1.0, step=bad)),
    *each("log_metric", NO_WHOLE_NUMBER, "timestamp", lambda ids, bad: ids.client.log_metric(ids.run, "never", 1.0, bad)),
    *each("log_metric", NO_ID[1:], "model_id", lambda ids, bad: ids.client.log_metric(ids.run, "never", 1.0, model_id=bad)),
    *each("log_metric", [5, b"x"], "dataset_name", lambda ids, bad: ids.client.log_metric(ids.run, "never", 1.0, dataset_name=bad)),
    *each("log_metric", [5, b"x"], "dataset_digest", lambda ids, bad: ids.client.log_metric(ids.run, "never", 1.0, dataset_digest=bad)),
    ("log_metric", NotFoundError, "logged model 'nope'", lambda ids: ids.client.log_metric(ids.run, "never", 1.0, model_id="nope")),
    ended("log_metric", "k", 1.0),
    *no_run("log_metrics", {"k": 1.0}),
    *each("log_metrics", NO_DICT, "metrics", lambda ids, bad: ids.client.log_metrics(ids.run, bad)),
    *each("log_metrics", NO_NUMBER, "value", lambda ids, bad: ids.client.log_metrics(ids.run, {"never": 1.0, "x": bad})),
    *each("log_metrics", NO_WHOLE_NUMBER, "step", lambda ids, bad: ids.client.log_metrics(ids.run, {"never": 1.0}, bad)),
    ended("log_metrics", {"k": 1.0}),
    *no_run("log_batch", [Metric("k", 1.0, 1)]),
    *each("log_batch", [5, "ab", [5], ["ab"], [("k", 1)]], "metrics", lambda ids, bad: ids.client.log_batch(ids.run, bad)),
    *each("log_batch", NO_KEY, r"metrics\[1\].key", lambda ids, bad: ids.client.log_batch(ids.run, [Metric("never", 1.0, 1), Metric(bad, 1.0, 1)])),
    *each("log_batch", NO_NUMBER, r"metrics\[0\].value", lambda ids, bad: ids.client.log_batch(ids.run, [Metric("never", bad, 1)])),
    *each("log_batch", NO_WHOLE_NUMBER, r"metrics\[0\].step", lambda ids, bad: ids.client.log_batch(ids.run, [Metric("never", 1.0, 1, bad)])),
    *each("log_batch", NO_WHOLE_NUMBER, r"metrics\[0\].timestamp", lambda ids, bad: ids.client.log_batch(ids.run, [Metric("never", 1.0, bad)])),
    *each("log_batch", [5, "ab", [5], [("k", 1)]], "params", lambda ids, bad: ids.client.log_batch(ids.run, params=bad)),
    *each("log_batch", NO_KEY, "key", lambda ids, bad: ids.client.log_batch(ids.run, params=[Param(bad, 1)])),
    *each("log_batch", [5, "ab", [5], [("k", 1)]], "tags", lambda ids, bad: ids.client.log_batch(ids.run, tags=bad)),
    *each("log_batch", NO_KEY[:-1], "key", lambda ids, bad: ids.client.log_batch(ids.run, tags=[RunTag(bad, 1)])),
    ended("log_batch", [Metric("k", 1.0, 1)]),
    *no_run("set_tag", "k", "v"),
    *each("set_tag", NO_KEY, "key", lambda ids, bad: ids.client.set_tag(ids.run, bad, "v")),
    *no_run("set_tags", {"k": "v"}),
    *each("set_tags", NO_DICT, "tags", lambda ids, bad: ids.client.set_tags(ids.run, bad)),
    *no_run("delete_tag", "k"),
    *each("delete_tag", NO_KEY, "key", lambda ids, bad: ids.client.delete_tag(ids.run, bad)),
    ("delete_tag", NotFoundError, "tag 'nope'", lambda ids: ids.client.delete_tag(ids.run, "nope")),
    *no_run("get_metric_history", "k"),
    *each("get_metric_history", NO_KEY, "key", lambda ids, bad: ids.client.get_metric_history(ids.run, bad)),
    *no_run("log_inputs", [[1, 2]]),
    *each("log_inputs", [5, "ab", {"a": 1}, [5], [None], ["x"], [object()]], "datasets", lambda ids, bad: ids.client.log_inputs(ids.run, bad)),
    *each("log_inputs", [5, "ab", [5], [None], [""]], "models", lambda ids, bad: ids.client.log_inputs(ids.run, None, bad)),
    ("log_inputs", NotFoundError, "logged model", lambda ids: ids.client.log_inputs(ids.run, None, ["nope"])),
    *no_run("log_outputs", []),
    *each("log_outputs", [5, "ab", [5], [None], [""]], "models", lambda ids, bad: ids.client.log_outputs(ids.run, bad)),
    *each("log_outputs", NO_WHOLE_NUMBER, "step", lambda ids, bad: ids.client.log_outputs(ids.run, [LoggedModelOutput(ids.model, bad)])),
    # Logged models
    *no_model("get_logged_model"),
    *no_model("require_model"),
    *no_model("delete_logged_model"),
    *no_model("set_logged_model_tags", {"k": 1}),
    *no_model("delete_logged_model_tag", "k"),
    *no_model("log_model_params", {"k": 1}),
    *no_model("list_logged_model_artifacts"),
    *each("set_logged_model_tags", NO_DICT, "tags", lambda ids, bad: ids.client.set_logged_model_tags(ids.model, bad)),
    *each("log_model_params", NO_DICT, "params", lambda ids, bad: ids.client.log_model_params(ids.model, bad)),
    *each("list_logged_model_artifacts", [5, b"x"], "path", lambda ids, bad: ids.client.list_logged_model_artifacts(ids.model, bad)),
    ("delete_logged_model_tag", NotFoundError, "tag 'k'", lambda ids: ids.client.delete_logged_model_tag(ids.model, "k")),
    *no_search("search_logged_models"),
    *each("search_logged_models", NO_LIST, "experiment_ids", lambda ids, bad: ids.client.search_logged_models(bad)),
    *each("search_logged_models", [[{}], [{"field_name": 5}]], "order_by", lambda ids, bad: ids.client.search_logged_models(order_by=bad)),
    *each("search_logged_models", [[{"dataset_name": "x"}]], "datasets", lambda ids, bad: ids.client.search_logged_models(datasets=bad)),
    ("search_logged_models", FilterSyntaxError, "expected", lambda ids: ids.client.search_logged_models(filter_string="tags.a = 'b'")),
    ("search_logged_models", FilterSyntaxError, "expected", lambda ids: ids.client.search_logged_models(order_by=["tags.a"])),
    *each("model_of", [None, 5, "", object()], "models", lambda ids, bad: ids.client.model_of(bad, "models")),
    *each("model_as_input", [None, 5, "", object()], "models", lambda ids, bad: ids.client.model_as_input(bad, "models")),
    # Files
    *no_run("log_artifact", __file__),
    *each("log_artifact", NO_PATH, "local_path", lambda ids, bad: ids.client.log_artifact(ids.run, bad)),
    *each("log_artifact", [5, ["a"]], "artifact_path", lambda ids, bad: ids.client.log_artifact(ids.run, __file__, bad)),
    ("log_artifact", ArtifactError, "nowhere.txt", lambda ids: ids.client.log_artifact(ids.run, "nowhere.txt")),
    ("log_artifact", ArtifactError, "relative path", lambda ids: ids.client.log_artifact(ids.run, __file__, "../up")),
    *no_run("log_artifacts", "."),
    *each("log_artifacts", NO_PATH, "local_dir", lambda ids, bad: ids.client.log_artifacts(ids.run, bad)),
    ("log_artifacts", ArtifactError, "nowhere", lambda ids: ids.client.log_artifacts(ids.run, "nowhere")),
    *no_run("log_text", "x", "x.txt"),
    *each("log_text", NO_TEXT, "text", lambda ids, bad: ids.client.log_text(ids.run, bad, "x.txt")),
    *each("log_text", NO_PATH, "artifact_file", lambda ids, bad: ids.client.log_text(ids.run, "x", bad)),
    ("log_text", ArtifactError, "relative path", lambda ids: ids.client.log_text(ids.run, "x", "/etc/x.txt")),
    *no_run("log_bytes", b"x", "x.bin"),
    *each("log_bytes", [None, 5, "text", ["a"]], "data", lambda ids, bad: ids.client.log_bytes(ids.run, bad, "x.bin")),
    *no_run("log_dict", {}, "x.json"),
    *each("log_dict", [{("a", 1): 2}], "dictionary", lambda ids, bad: ids.client.log_dict(ids.run, bad, "x.json")),
    *each("log_dict", NO_PATH, "artifact_file", lambda ids, bad: ids.client.log_dict(ids.run, {}, bad)),
    *each("log_figure", [None, 5, "x", object()], "figure", lambda ids, bad: ids.client.log_figure(ids.run, bad, "x.png")),
    *each("log_figure", [5, "x", b"x", ["a"]], "save_kwargs", lambda ids, bad: ids.client.log_figure(ids.run, object(), "x.png", save_kwargs=bad)),
    *each("log_figure", NO_PATH, "artifact_file", lambda ids, bad: ids.client.log_figure(ids.run, bad, bad)),
    *each("log_image", [None, 5, "x", object(), [[["a"]]], []], "image", lambda ids, bad: ids.client.log_image(ids.run, bad, "x.png")),
    *each("log_image", [5, ["a"]], "artifact_file", lambda ids, bad: ids.client.log_image(ids.run, [[1]], bad)),
    *each("log_image", ["", "a+b", "a\0", 5], "key", lambda ids, bad: ids.client.log_image(ids.run, [[1]], key=bad)),
    *each("log_image", NO_WHOLE_NUMBER, "step", lambda ids, bad: ids.client.log_image(ids.run, [[1]], key="k", step=bad)),
    *each("log_image", NO_WHOLE_NUMBER, "timestamp", lambda ids, bad: ids.client.log_image(ids.run, [[1]], key="k", timestamp=bad)),
    ("log_image", InvalidArgumentError, "exactly one", lambda ids: ids.client.log_image(ids.run, [[1]])),
    ("log_image", InvalidArgumentError, "exactly one", lambda ids: ids.client.log_image(ids.run, [[1]], "x.png", "k")),
    *no_run("log_image", [[1]], "x.png"),
    *no_run("log_table", {"a": [1]}, "x.json"),
    *each("log_table", [None, 5, "x", [1, 2], {"a": [1], "b": [1, 2]}, {"a": [1], "b": 2}], "", lambda ids, bad: ids.client.log_table(ids.run, bad, "x.json")),
    *each("log_table", NO_PATH, "artifact_file", lambda ids, bad: ids.client.log_table(ids.run, {"a": [1]}, bad)),
    *no_run("log_rows", {"columns": ["a"], "data": [[1]]}, "x.json"),
    *no_experiment("load_table", "x.json"),
    *each("load_table", NO_LIST, "run_ids", lambda ids, bad: ids.client.load_table("0", "x.json", bad)),
    *each("load_table", NO_LIST, "extra_columns", lambda ids, bad: ids.client.load_table("0", "x.json", None, bad)),
    ("load_table", ArtifactError, "path", lambda ids: ids.client.load_table("0", "\ud800.json")),
    ("load_table", NotFoundError, "table 'nope.json'", lambda ids: ids.client.load_table("0", "nope.json")),
    *no_run("log_stream", io.BytesIO(b"x"), "x.bin"),
    *each("log_stream", [None, b"x", "x", io.StringIO("x")], "stream", lambda ids, bad: ids.client.log_stream(ids.run, bad, "x.bin")),
    *no_run("list_artifacts"),
    *each("list_artifacts", [5, ["a"]], "path", lambda ids, bad: ids.client.list_artifacts(ids.run, bad)),
    ("list_artifacts", ArtifactError, "relative path", lambda ids: ids.client.list_artifacts(ids.run, "..")),
    *no_run("download_artifacts", "x"),
    *each("download_artifacts", [5, ["a"]], "path", lambda ids, bad: ids.client.download_artifacts(ids.run, bad)),
    *each("download_artifacts", [5, ["a"], ""], "dst_path", lambda ids, bad: ids.client.download_artifacts(ids.run, "x", bad)),
    ("download_artifacts", ArtifactError, "nope", lambda ids: ids.client.download_artifacts(ids.run, "nope")),
    *no_run("load_text", "x.txt"),
    *no_run("load_dict", "x.json"),
    *no_run("load_image", "x.png"),
    *each("load_text", NO_PATH, "artifact_file", lambda ids, bad: ids.client.load_text(ids.run, bad)),
    ("load_text", ArtifactError, "nope", lambda ids: ids.client.load_text(ids.run, "nope")),
    # What only autotrack records
    *no_run("get_trials"),
    *no_run("get_fits"),
    *no_run("explain"),
    *no_run("get_environment"),
    *no_run("promote_trial", 0),
    *each("promote_trial", NO_WHOLE_NUMBER, "number", lambda ids, bad: ids.client.promote_trial(ids.run, bad)),
    ("promote_trial", NotFoundError, "trial '7'.*0 trials", lambda ids: ids.client.promote_trial(ids.run, 7)),
    *each("get_session", NO_ID, "session_id", lambda ids, bad: ids.client.get_session(bad)),
    ("get_session", NotFoundError, "session 'nope'.*search_sessions", lambda ids: ids.client.get_session("nope")),
    *no_search("search_sessions"),
    *no_run("attached_writer"),
    *no_run("writer_of_open_run"),
    ended("writer_of_open_run"),
]  # fmt: skip

ELSEWHERE = ("model_version", "registered_model", "latest_versions", "registry", "register")
"""Parts of names of the registry's methods, which tests of its own are about."""


def _hashable(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


@pytest.mark.parametrize("method", sorted({case[0] for case in CASES}))
def test_bad_input_is_a_typed_error_that_names_the_argument(method: str, ids: Callable[[], Ids]) -> None:
    """Every bad value of every argument, one after the other, and nothing of it is recorded."""
    pytest.importorskip("PIL")
    known = ids()
    before = len(known.client.search_runs(run_view_type="ALL"))
    for _, kind, names, call in (case for case in CASES if case[0] == method):
        with pytest.raises(kind, match=rf"(?s){names}"):
            call(known)
    run = known.client.get_run(known.run)
    assert "never" not in {*run.data.metrics, *run.data.params, *run.data.tags}
    assert len(known.client.search_runs(run_view_type="ALL")) == before


def test_every_public_method_of_the_client_is_given_bad_input() -> None:
    """A method that is added wants its cases."""
    methods = {name for name, value in inspect.getmembers(Client, inspect.isfunction) if not name.startswith("_")}
    mine = {name for name in methods if not any(part in name for part in ELSEWHERE)}
    assert mine - {case[0] for case in CASES} == set()


@pytest.mark.parametrize("uri", [5, b"x", ["a"], "ftp://x/y", "http://x"])
def test_a_client_of_no_store_is_an_error(uri: Any) -> None:
    """What is no URI, and URIs of no known kind."""
    with pytest.raises(InvalidArgumentError, match=r"tracking.URI|tracking_uri"):
        Client(uri)


def of_id(name: str, *arguments: Any) -> list[tuple[str, type[AutotrackError], str, Callable[[], Any]]]:
    """An id that is none, and one that is not there, for a function that passes it on."""

    def call(value: Any) -> Callable[[], Any]:
        return lambda: getattr(autotrack, name)(value, *arguments)

    kind = {"run": "run_id", "experiment": "experiment_id", "model": "model_id"}[
        name.rpartition("_")[2] if "model" not in name else "model"
    ]
    return [
        *[(name, InvalidArgumentError, kind, call(bad)) for bad in (None, "", b"x", ["a"])],
        (name, NotFoundError, "4711", call("4711")),
    ]


FLUENT: list[tuple[str, type[AutotrackError], str, Callable[[], Any]]] = [
    *[("set_tracking_uri", InvalidArgumentError, "(?i)uri", lambda bad=bad: autotrack.set_tracking_uri(bad)) for bad in (5, b"x", ["a"], "ftp://x/y", "a\0b", "\ud800", "sqlite:///a\0.db")],
    *[("set_experiment", InvalidArgumentError, "experiment", lambda bad=bad: autotrack.set_experiment(bad)) for bad in NO_KEY],
    ("set_experiment", InvalidArgumentError, "either", lambda: autotrack.set_experiment("a", "1")),
    ("set_experiment", NotFoundError, "4711", lambda: autotrack.set_experiment(experiment_id="4711")),
    ("set_experiment", InvalidArgumentError, "tags", lambda: autotrack.set_experiment("a", tags="x")),  # type: ignore[arg-type]
    *[("start_run", InvalidArgumentError, "run_name", lambda bad=bad: autotrack.start_run(run_name=bad)) for bad in (5, " ", "a\0b")],
    *[("start_run", InvalidArgumentError, "tags", lambda bad=bad: autotrack.start_run(tags=bad)) for bad in (5, "x", ["a"])],
    *[("start_run", InvalidArgumentError, "run_id", lambda bad=bad: autotrack.start_run(bad)) for bad in NO_ID[1:]],
    ("start_run", NotFoundError, "run 'nope'", lambda: autotrack.start_run("nope")),
    ("start_run", NotFoundError, "4711", lambda: autotrack.start_run(experiment_id="4711")),
    ("start_run", InvalidArgumentError, "experiment_id", lambda: autotrack.start_run(experiment_id=b"x")),  # type: ignore[arg-type]
    ("start_run", InvalidArgumentError, "parent_run_id", lambda: autotrack.start_run(parent_run_id=5)),  # type: ignore[arg-type]
    ("start_run", InvalidArgumentError, "description", lambda: autotrack.start_run(description=5)),  # type: ignore[arg-type]
    *[("end_run", InvalidArgumentError, "status", lambda bad=bad: autotrack.end_run(bad)) for bad in ("RUNNING", "x", None, 5)],
    *[("log_metric", InvalidArgumentError, "key", lambda bad=bad: autotrack.log_metric(bad, 1.0)) for bad in NO_KEY],
    *[("log_metric", InvalidArgumentError, "value", lambda bad=bad: autotrack.log_metric("k", bad)) for bad in NO_NUMBER],
    *[("log_metric", InvalidArgumentError, "step", lambda bad=bad: autotrack.log_metric("k", 1.0, bad)) for bad in NO_WHOLE_NUMBER],
    *[("log_metric", InvalidArgumentError, "timestamp", lambda bad=bad: autotrack.log_metric("k", 1.0, timestamp=bad)) for bad in NO_WHOLE_NUMBER],
    ("log_metric", InvalidArgumentError, "dataset", lambda: autotrack.log_metric("k", 1.0, dataset=5)),
    ("log_metric", NotFoundError, "logged model 'nope'", lambda: autotrack.log_metric("k", 1.0, model_id="nope")),
    ("log_metric", NotFoundError, "run 'nope'", lambda: autotrack.log_metric("k", 1.0, run_id="nope")),
    *[("log_metrics", InvalidArgumentError, "metrics", lambda bad=bad: autotrack.log_metrics(bad)) for bad in NO_DICT],
    *[("log_metrics", InvalidArgumentError, "value", lambda bad=bad: autotrack.log_metrics({"k": bad})) for bad in NO_NUMBER],
    *[("log_param", InvalidArgumentError, "key", lambda bad=bad: autotrack.log_param(bad, 1)) for bad in NO_KEY],
    *[("log_params", InvalidArgumentError, "params", lambda bad=bad: autotrack.log_params(bad)) for bad in NO_DICT],
    *[("set_tag", InvalidArgumentError, "key", lambda bad=bad: autotrack.set_tag(bad, 1)) for bad in NO_KEY],
    *[("set_tags", InvalidArgumentError, "tags", lambda bad=bad: autotrack.set_tags(bad)) for bad in NO_DICT],
    *[("log_input", InvalidArgumentError, "dataset", lambda bad=bad: autotrack.log_input(bad)) for bad in (None, 5, "x", object())],
    ("log_input", InvalidArgumentError, "context", lambda: autotrack.log_input([1], context=5)),  # type: ignore[arg-type]
    ("log_input", InvalidArgumentError, "tags", lambda: autotrack.log_input([1], tags=5)),  # type: ignore[arg-type]
    ("log_input", NotFoundError, "logged model", lambda: autotrack.log_input(model="nope")),
    ("log_inputs", InvalidArgumentError, "contexts", lambda: autotrack.log_inputs([[1], [2]], ["a"])),
    ("log_inputs", InvalidArgumentError, "tags_list", lambda: autotrack.log_inputs([[1], [2]], None, [{}])),
    ("log_outputs", InvalidArgumentError, "models", lambda: autotrack.log_outputs([5])),
    ("log_outputs", NotFoundError, "logged model", lambda: autotrack.log_outputs(["nope"])),
    *[("log_text", InvalidArgumentError, "text", lambda bad=bad: autotrack.log_text(bad, "x.txt")) for bad in NO_TEXT],
    *[("log_text", InvalidArgumentError, "artifact_file", lambda bad=bad: autotrack.log_text("x", bad)) for bad in NO_PATH],
    ("log_dict", InvalidArgumentError, "dictionary", lambda: autotrack.log_dict({(1, 2): 3}, "x.json")),
    ("log_table", InvalidArgumentError, "data", lambda: autotrack.log_table(5, "x.json")),
    ("log_figure", InvalidArgumentError, "figure", lambda: autotrack.log_figure(5, "x.png")),
    ("log_image", InvalidArgumentError, "exactly one", lambda: autotrack.log_image([[1]])),
    ("log_stream", InvalidArgumentError, "stream", lambda: autotrack.log_stream("x", "x.bin")),
    *[("log_artifact", InvalidArgumentError, "local_path", lambda bad=bad: autotrack.log_artifact(bad)) for bad in NO_PATH],
    *[("log_artifacts", InvalidArgumentError, "local_dir", lambda bad=bad: autotrack.log_artifacts(bad)) for bad in NO_PATH],
    ("get_artifact_uri", ArtifactError, "relative path", lambda: autotrack.get_artifact_uri("../x")),
    ("load_table", NotFoundError, "table", lambda: autotrack.load_table("nope.json")),
    ("search_runs", InvalidArgumentError, "output_format", lambda: autotrack.search_runs(output_format="csv")),  # type: ignore[arg-type]
    ("search_runs", InvalidArgumentError, "max_results", lambda: autotrack.search_runs(max_results=0)),
    ("search_runs", InvalidArgumentError, "experiment_names", lambda: autotrack.search_runs(experiment_names="x")),
    ("search_runs", NotFoundError, "experiment 'x'", lambda: autotrack.search_runs(experiment_names=["x"])),
    ("search_experiments", InvalidArgumentError, "max_results", lambda: autotrack.search_experiments(max_results=-1)),
    ("search_logged_models", InvalidArgumentError, "output_format", lambda: autotrack.search_logged_models(output_format="csv")),  # type: ignore[arg-type]
    ("log_model_params", InvalidArgumentError, "model_id", lambda: autotrack.log_model_params({"a": 1})),
    ("set_experiment_tag", InvalidArgumentError, "key", lambda: autotrack.set_experiment_tag("", 1)),
    ("set_experiment_tags", InvalidArgumentError, "tags", lambda: autotrack.set_experiment_tags(5)),  # type: ignore[arg-type]
    ("delete_experiment_tag", NotFoundError, "tag", lambda: autotrack.delete_experiment_tag("nope")),
    *of_id("get_run"),
    *of_id("get_parent_run"),
    *of_id("delete_run"),
    *of_id("restore_run"),
    *of_id("get_experiment"),
    *of_id("delete_experiment"),
    *of_id("restore_experiment"),
    *of_id("rename_experiment", "x"),
    *of_id("get_logged_model"),
    *of_id("delete_logged_model"),
    *of_id("set_logged_model_tags", {"a": 1}),
    *of_id("delete_logged_model_tag", "a"),
    ("create_experiment", InvalidArgumentError, "experiment name", lambda: autotrack.create_experiment("")),
    ("get_experiment_by_name", InvalidArgumentError, "name", lambda: autotrack.get_experiment_by_name(5)),  # type: ignore[arg-type]
    ("flush", InvalidArgumentError, "seconds", lambda: autotrack.flush("soon")),  # type: ignore[arg-type]
    ("delete_tag", InvalidArgumentError, "key", lambda: autotrack.delete_tag("")),
]  # fmt: skip


TAKES_NOTHING = {"active_run", "is_tracking_uri_set", "last_active_run", "get_tracking_uri", "flush_async_logging"}


def test_every_fluent_function_of_runs_and_experiments_is_given_bad_input() -> None:
    """A function that is added wants its cases."""
    homes = (
        "current_experiment",
        "current_run",
        "experiments",
        "files",
        "fluent",
        "inputs",
        "logged_models",
        "queries",
    )
    functions = {
        name
        for name, home in autotrack._HOME_OF.items()
        if home.rpartition(".")[2] in homes and inspect.isfunction(getattr(autotrack, name))
    }
    assert functions - {case[0] for case in FLUENT} - TAKES_NOTHING == set()


@pytest.mark.parametrize("name", sorted({case[0] for case in FLUENT}))
def test_bad_input_of_a_fluent_function_opens_no_run(name: str, autotrack_store: TemporaryStore) -> None:
    """The error is typed, names the argument, and no run was opened for the call."""
    for _, kind, names, call in (case for case in FLUENT if case[0] == name):
        with pytest.raises(kind, match=rf"(?s){names}"):
            call()
    assert autotrack.active_run() is None
    assert autotrack_store.runs() == []


def test_an_active_run_is_in_the_way_and_the_error_says_what_to_do(autotrack_store: TemporaryStore) -> None:
    """A second run, the same run again."""
    with autotrack.start_run() as run:
        with pytest.raises(ActiveRunError, match="nested=True"):
            autotrack.start_run()
        with pytest.raises(ActiveRunError, match=run.run_id):
            autotrack.start_run(run.run_id, nested=True)


KEPT = [
    "acc@5",
    "f1(macro)",
    "a/b/c",
    "a b",
    "ä",
    "日本",
    "%",
    "'; drop table runs; --",
    "k" * 500,
    '"',
    "\\",
    "\U0001f600",
]


def test_odd_keys_long_values_and_numbers_that_are_none_are_kept_exactly(
    tmp_path: Path, autotrack_store: TemporaryStore
) -> None:
    """In every way to log them."""
    client = autotrack_store.client
    run_id = client.create_run().info.run_id
    long = "x" * 20_000
    for place, key in enumerate(KEPT):
        client.log_metric(run_id, key, (math.inf, -math.inf, math.nan)[place % 3], step=-place)
        client.log_batch(run_id, params=[Param(key, long)], tags=[RunTag(key, long)])
    client.log_batch(
        run_id, [Metric("edge", math.nan, 1), Metric("edge", -math.inf, 2, -(2**62)), Metric("edge", 5e-324, 3, 2**62)]
    )
    data = client.get_run(run_id).data
    assert set(KEPT) <= {*data.metrics} & {*data.params} & {*data.tags}
    assert all(data.params[key] == long == data.tags[key] for key in KEPT)
    for place, key in enumerate(KEPT):
        (point,) = client.get_metric_history(run_id, key)
        assert point.step == -place
        assert repr(point.value) == ("inf", "-inf", "nan")[place % 3]
    assert [repr(point.value) for point in client.get_metric_history(run_id, "edge")] == ["nan", "-inf", "5e-324"]
    client.log_text(run_id, "x", "notes.txt")
    assert Path(client.download_artifacts(run_id, "notes.txt", tmp_path)).read_text() == "x"
