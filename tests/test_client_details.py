"""What the client does beyond the plain life of a run: batches, datasets, parents, sessions, trials, several stores."""

from __future__ import annotations

import json
import math
import threading
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import autotrack
from autotrack import Client, DatasetInfo, Metric
from autotrack.entities import DatasetInput, InputTag, Param, RunTag, ViewType
from autotrack.errors import InvalidArgumentError, NotFoundError
from autotrack.events import Param as LoggedParam
from autotrack.events import TrialInfo
from autotrack.testing import TemporaryStore
from autotrack.tracking import recorders


@pytest.fixture
def client(autotrack_store: TemporaryStore) -> Client:
    """A client of an empty store."""
    return autotrack_store.client


# Batches


def test_a_batch_is_one_write_to_the_journal(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that is killed leaves all of it or none; what comes later goes on behind its steps."""
    run_id = client.create_run().info.run_id
    journal = recorders.recorder_for(client.location).journal
    written: list[bytes] = []
    append = journal.append
    monkeypatch.setattr(journal, "append", lambda line: written.append(line) or append(line))
    metrics = [Metric("loss", 1 / (step + 1), 10 + step, step) for step in range(2_000)]
    metrics += [Metric("acc@5", math.nan, 1, 7), Metric("acc@5", 0.5, 2, 3)]
    client.log_batch(run_id, metrics, {"C": 0.5}, [RunTag("t", "x")])
    assert len(written) == 1
    monkeypatch.undo()
    client.log_metric(run_id, "acc@5", 0.75)
    history = client.get_metric_history(run_id, "loss")
    assert [(point.step, point.timestamp, point.value) for point in history] == [
        (m.step, m.timestamp, m.value) for m in metrics[:2_000]
    ]
    assert [point.step for point in client.get_metric_history(run_id, "acc@5")] == [7, 3, 4]
    data = client.get_run(run_id).data
    assert (data.params, data.param_values, data.tags["t"]) == ({"C": "0.5"}, {"C": 0.5}, "x")
    assert math.isnan(data.metrics["acc@5"])


def test_batches_take_what_mlflow_and_numpy_make(client: Client) -> None:
    """Any objects with the right names, dicts, numbers of any type; an ended run takes a batch of tags alone."""
    numpy = pytest.importorskip("numpy")
    run_id = client.create_run().info.run_id
    client.log_batch(
        run_id,
        (SimpleNamespace(key="m", value=numpy.float32(0.5), timestamp=numpy.int64(5), step=numpy.int64(2)),),
        iter([Param("p", [1, 2])]),
        {"t": 1},
    )
    client.log_batch(run_id, [SimpleNamespace(key="bare", value=1)])
    (point,) = client.get_metric_history(run_id, "m")
    assert (point.value, point.timestamp, point.step) == (0.5, 5, 2)
    client.set_terminated(run_id)
    client.log_batch(run_id, tags=[RunTag("late", "yes")])
    data = client.get_run(run_id).data
    assert (data.metrics["bare"], data.params, data.tags) == (1.0, {"p": "[1, 2]"}, {"t": "1", "late": "yes"})
    assert data.param_values == {"p": [1, 2]}


def test_several_metrics_parameters_and_tags_are_logged_in_one_call(client: Client) -> None:
    """Beside the calls for one."""
    run_id = client.create_run().info.run_id
    client.log_metrics(run_id, {"a": 1, "b": 2}, step=4, timestamp=9)
    client.log_metrics(run_id, {"a": 3}, synchronous=True)
    client.log_params(run_id, {"x": 1, "y": None})
    client.set_tags(run_id, {"k": 1})
    data = client.get_run(run_id).data
    assert (data.metrics, data.params, data.tags) == ({"a": 3.0, "b": 2.0}, {"x": "1", "y": "None"}, {"k": "1"})
    assert [(point.step, point.timestamp) for point in client.get_metric_history(run_id, "b")] == [(4, 9)]
    assert client.get_metric_history(run_id, "a")[-1].step == 5


# Datasets


class FromMlflow:
    """A dataset as `mlflow.data` makes one."""

    name = "flights"
    digest = "0e588e32"
    source = SimpleNamespace(to_json=lambda: '{"uri": "flights.csv"}', _get_source_type=lambda: "local")
    schema = SimpleNamespace(to_dict=lambda: {"columns": ["a"]})
    profile = {"num_rows": 5}


class WithDict(FromMlflow):
    """One that describes itself."""

    def to_dict(self) -> dict[str, str]:
        return {"name": "x", "digest": "y", "source": "s", "source_type": "http", "schema": "{}", "profile": "p"}


def test_datasets_of_mlflow_are_inputs_as_they_describe_themselves(client: Client) -> None:
    """Name, digest, source, schema and profile; the context is an argument or a tag."""
    run_id = client.create_run().info.run_id
    own = DatasetInfo("own", "d", "http", "http://x/y", '{"a": 1}', "{}")
    tagged = DatasetInput(own, tags=[InputTag("mlflow.data.context", "eval"), InputTag("k", "v")])  # type: ignore[arg-type]
    client.log_inputs(run_id, [FromMlflow(), WithDict(), tagged, DatasetInput(own, "test", {"a": "b"}), own])
    found = {(one.dataset.name, one.context): one for one in client.get_run(run_id).inputs.dataset_inputs}
    assert sorted(found) == [("flights", ""), ("own", ""), ("own", "eval"), ("own", "test")]
    seen = [one for one in client.get_run(run_id).inputs.dataset_inputs if one.dataset.name == "flights"]
    plain, dictionary = sorted(seen, key=lambda one: one.dataset.source_type, reverse=True)
    assert plain.dataset == DatasetInfo(
        "flights", "0e588e32", "local", '{"uri": "flights.csv"}', '{"columns": ["a"]}', '{"num_rows": 5}'
    )
    assert dictionary.dataset == DatasetInfo("flights", "0e588e32", "http", "s", "{}", "p")
    assert found["own", "eval"].tags == {"k": "v"}
    assert found["own", "test"].tags == {"a": "b"}
    assert found["own", ""].dataset == own


def data_of_each_kind() -> dict[str, Callable[[int], Any]]:
    """Data of one row more than asked for, by kind."""
    numpy, pandas, polars, sparse, torch = (
        pytest.importorskip(name) for name in ("numpy", "pandas", "polars", "scipy.sparse", "torch")
    )
    return {
        "numpy": lambda n: numpy.arange(2 * n + 2.0).reshape(n + 1, 2),
        "objects": lambda n: numpy.array([["a", n]] * (n + 1), dtype=object),
        "pandas": lambda n: pandas.DataFrame({"a": range(n + 1), "b": "x"}),
        "series": lambda n: pandas.Series(range(n + 1)),
        "polars": lambda n: polars.DataFrame({"a": list(range(n + 1))}),
        "sparse": lambda n: sparse.eye(n + 1, format="csr"),
        "torch": lambda n: torch.arange(n + 1.0, requires_grad=True),
        "half": lambda n: torch.arange(n + 1).to(torch.bfloat16),
        "dict": lambda n: {"a": [1] * n + [n], "b": numpy.zeros(n + 1)},
        "list": lambda n: [[1, "x"]] * n + [[n, "y"]],
    }


def test_data_itself_is_described_by_shape_schema_and_digest(client: Client) -> None:
    """Equal data has one digest, other data another, however large; nothing of it is changed."""
    from autotrack.tracking.datasets import SAMPLE_ROWS, dataset_of

    for kind, make in data_of_each_kind().items():
        info = dataset_of(make(3))
        assert json.loads(info.profile)["rows"] == 4, kind
        assert info.digest == dataset_of(make(3)).digest, kind
        assert info.digest != dataset_of(make(4)).digest, kind
    numpy = pytest.importorskip("numpy")
    large = numpy.zeros(SAMPLE_ROWS * 3)
    before = dataset_of(large)
    large[-1] = 1
    assert dataset_of(large).digest != before.digest
    assert json.loads(before.profile)["digest_of_rows"] == SAMPLE_ROWS
    with autotrack.start_run() as run:
        autotrack.log_input(large, "train", {"k": "v"})
        autotrack.log_inputs([[1], {"a": [1]}], ["x", None], [None, {"b": "c"}])
    inputs = {one.context: one for one in run.inputs.dataset_inputs}
    assert {context: one.tags for context, one in inputs.items()} == {"train": {"k": "v"}, "x": {}, "": {"b": "c"}}
    assert json.loads(inputs["train"].dataset.schema) == {"dtype": "float64"}
    assert run.outputs.model_outputs == []


def test_data_is_described_by_mlflows_functions(client: Client) -> None:
    """With its source, a name and a digest of one's own, and what is to be predicted."""
    numpy, pandas, polars = (pytest.importorskip(name) for name in ("numpy", "pandas", "polars"))
    frame = pandas.DataFrame({"a": [1, 2], "y": [0, 1]})
    info = autotrack.data.from_pandas(frame, source="data/train.csv", targets="y", name="flowers")
    assert (info.name, info.source_type, info.source) == ("flowers", "local", '{"uri": "data/train.csv"}')
    assert json.loads(info.schema) == {"columns": {"a": "int64", "y": "int64"}, "targets": "y"}
    assert info.digest == autotrack.data.from_pandas(frame).digest
    web = autotrack.data.from_polars(polars.DataFrame({"a": [1]}), "https://x.y/z.csv", digest="own")
    assert (web.source_type, web.source, web.digest) == ("http", '{"url": "https://x.y/z.csv"}', "own")
    assert autotrack.data.from_pandas(frame, "s3://bucket/key").source_type == "s3"
    features = numpy.zeros((4, 2))
    alone, both = (autotrack.data.from_numpy(features, targets=one) for one in (None, numpy.ones(4)))
    assert alone.digest != both.digest != autotrack.data.from_numpy(features, targets=numpy.zeros(4)).digest
    assert json.loads(both.profile)["targets"]["shape"] == [4]
    for bad in (lambda: autotrack.data.from_pandas(5), lambda: autotrack.data.from_numpy(features, targets="x")):
        with pytest.raises(InvalidArgumentError, match=r"df|targets"):
            bad()
    with autotrack.start_run() as run:
        autotrack.log_input(info, context="training")
    assert run.inputs.dataset_inputs[0].dataset == info


# Parents, resumed runs, experiments


def test_a_run_knows_its_parent_however_it_was_told(client: Client) -> None:
    """By nesting, by argument, by MLflow's tag; a name comes by tag, too."""
    with autotrack.start_run(run_name="top") as top, autotrack.start_run(nested=True) as nested:
        pass
    argument = autotrack.start_run(parent_run_id=top.run_id)
    autotrack.end_run()
    tags = {"mlflow.parentRunId": top.run_id, "mlflow.runName": "named", "mlflow.note.content": "a note"}
    tagged = autotrack.start_run(tags=tags)
    autotrack.end_run()
    by_client = client.create_run(tags=tags).info
    for child in (nested.run_id, argument.run_id, tagged.run_id, by_client.run_id):
        parent = client.get_parent_run(child)
        assert parent is not None
        assert parent.info.run_id == top.run_id
    assert client.get_parent_run(top.run_id) is None
    assert by_client.run_name == client.get_run(tagged.run_id).info.run_name == "named"
    assert client.get_run(tagged.run_id).info.description == "a note"
    frame = autotrack.search_runs(filter_string=f"parent_run_id = '{top.run_id}'")
    assert set(frame["tags.mlflow.parentRunId"]) == {top.run_id}
    children = {nested.run_id, argument.run_id, tagged.run_id, by_client.run_id}
    for text in ("tags.mlflow.parentRunId = '{}'", "tags.`mlflow.parentRunId` IN ('{}')", "parent_run_id = '{}'"):
        assert {run.info.run_id for run in client.search_runs(filter_string=text.format(top.run_id))} == children
    late = client.create_run(run_name="late").info.run_id
    client.set_tag(late, "mlflow.parentRunId", top.run_id)
    found = client.search_runs(filter_string="tags.mlflow.parentRunId is not null")
    assert {run.info.run_id for run in found} == {*children, late}
    assert [run.info.run_id for run in client.search_runs(filter_string="tags.mlflow.parentRunId is null")] == [
        top.run_id
    ]
    assert len(client.search_runs(filter_string="tags.mlflow.runName LIKE 'nam%' and tags.mlflow.user != 'x'")) == 2
    orphan = client.create_run(tags={"mlflow.parentRunId": "gone"}).info.run_id
    with pytest.raises(NotFoundError, match="run 'gone'"):
        client.get_parent_run(orphan)


def test_a_run_that_has_ended_runs_again_and_ends_again(client: Client) -> None:
    """By the client and by the fluent API; the status and the end follow."""
    run_id = client.create_run().info.run_id
    client.set_terminated(run_id, "FAILED", end_time=5)
    client.update_run(run_id, "RUNNING")
    running = client.get_run(run_id).info
    assert (running.status, running.end_time) == ("RUNNING", None)
    client.log_metric(run_id, "x", 1.0)
    client.set_terminated(run_id, end_time=7)
    assert (client.get_run(run_id).info.status, client.get_run(run_id).info.end_time) == ("FINISHED", 7)
    with autotrack.start_run(run_id) as again:
        assert client.get_run(run_id).info.status == "RUNNING"
        autotrack.log_metric("x", 2.0)
    assert again.info.status == client.get_run(run_id).info.status == "FINISHED"
    assert [point.step for point in client.get_metric_history(run_id, "x")] == [0, 1]


def test_runs_go_to_no_experiment_that_is_deleted(client: Client) -> None:
    """The error says what to do; after restoring they do."""
    number = client.create_experiment("gone", artifact_location="")
    client.delete_experiment(number)
    for call in (lambda: client.create_run(number), lambda: autotrack.start_run(experiment_id=number)):
        with pytest.raises(InvalidArgumentError, match="restore"):
            call()
    client.restore_experiment(number)
    assert client.create_run(number).info.experiment_id == number


def test_searches_take_mlflows_numbers_and_stay_in_the_experiment_that_was_set(client: Client) -> None:
    """1, 2, 3 for the stages of life; `set_experiment` narrows the fluent search, the client's never."""
    autotrack.start_run(run_name="before")
    autotrack.end_run()
    assert len(autotrack.search_runs()) == 1
    autotrack.set_experiment("here", tags={"a": "b"})
    with autotrack.start_run(run_name="kept"):
        pass
    with autotrack.start_run() as dropped:
        pass
    autotrack.delete_run(dropped.run_id)

    def names(**options: Any) -> list[str]:
        return sorted(run.info.run_name for run in autotrack.search_runs(output_format="list", **options))

    assert names() == ["kept"]
    assert names(search_all_experiments=True) == ["before", "kept"]
    assert names(experiment_names=["here", "Default"]) == ["before", "kept"]
    for view, count in ((1, 1), (2, 1), (3, 2), (ViewType.DELETED_ONLY, 1), (ViewType.ALL, 2)):
        assert len(autotrack.search_runs(run_view_type=view)) == count
        assert len(client.search_runs(run_view_type=view)) == count + (view != 2 and view != "DELETED_ONLY")
    autotrack.restore_run(dropped.run_id)
    assert len(names()) == 2
    here = autotrack.get_experiment_by_name("here")
    assert here is not None
    autotrack.set_experiment_tags({"c": 1})
    autotrack.delete_experiment_tag("a")
    autotrack.rename_experiment(here.experiment_id, "there")
    autotrack.delete_experiment(here.experiment_id)
    assert [one.name for one in autotrack.search_experiments()] == ["Default"]
    (gone,) = autotrack.search_experiments(view_type=2, filter_string="tags.c = '1'")  # type: ignore[arg-type]
    assert (gone.name, gone.tags) == ("there", {"c": "1"})
    autotrack.restore_experiment(here.experiment_id)
    assert [one.name for one in autotrack.search_experiments(order_by=["name DESC"], max_results=1)] == ["there"]


# Sessions and trials


def test_sessions_are_found(client: Client, run_python: Callable[..., Any], autotrack_store: TemporaryStore) -> None:
    """By what was started, newest first, page by page."""
    mine = client.create_run().info.session_id
    source = f"""
        import autotrack
        autotrack.set_tracking_uri({autotrack_store.uri!r})
        autotrack.log_metric("x", 1.0)
    """
    run_python(source)
    everything = client.search_sessions()
    assert len(everything) == 2
    assert everything[-1].session_id == mine
    own = everything[-1]
    found = client.search_sessions(f"pid = {own.pid} and host = '{own.host}' and session_id = '{mine}'")
    assert found == [own]
    first = client.search_sessions(max_results=1, order_by=["start_time"])
    second = client.search_sessions(max_results=1, order_by=["start_time"], page_token=first.token)
    assert [*first, *second] == everything[::-1]
    assert second.token is None


def a_search(client: Client) -> str:
    """A run with three trials."""
    run = client.attached_writer(client.create_run(run_name="grid").info.run_id)
    params = [LoggedParam("C", "0.5", "0.5"), LoggedParam("solver", "lbfgs", '"lbfgs"')]
    scores: dict[str, list[float | str]] = {"test_score": [0.5, 0.75, "NaN"], "train_score": [1.0, 1.0, 1.0]}
    good = TrialInfo(0, params, scores, mean=0.625, std=0.125, rank=1, fit_time=0.25, score_time=0.125)
    failed = TrialInfo(2, params, {"test_score": ["NaN"]}, state="FAILED", error="ValueError: no")
    run.log_trials([good, TrialInfo(1), failed])
    run.end(time=run.start_time + 1_000)
    return run.run_id


def promote(client: Client) -> None:
    """A trial becomes a run once."""
    run_id = a_search(client)
    search = client.get_run(run_id).info
    promoted = client.promote_trial(run_id, 0)
    info, data = promoted.info, promoted.data
    assert (info.parent_run_id, info.run_name, info.status) == (run_id, "grid-trial-0", "FINISHED")
    assert (info.experiment_id, info.start_time, info.end_time) == (
        search.experiment_id,
        search.start_time,
        search.end_time,
    )
    assert data.param_values == {"C": 0.5, "solver": "lbfgs"}
    scores = client.get_metric_history(info.run_id, "test_score")
    assert [(point.step, repr(point.value)) for point in scores] == [(0, "0.5"), (1, "0.75"), (2, "nan")]
    numbers = {key: data.metrics[key] for key in ("mean", "std", "rank", "fit_time", "score_time")}
    assert numbers == {"mean": 0.625, "std": 0.125, "rank": 1.0, "fit_time": 0.25, "score_time": 0.125}
    assert client.promote_trial(run_id, 0).info.run_id == info.run_id
    broken = client.promote_trial(run_id, 2).info
    assert broken.status == "FAILED"
    assert broken.error is not None
    assert broken.error.message == "ValueError: no"
    assert client.promote_trial(run_id, 1).data.metrics == {}
    assert len(client.search_runs(filter_string=f"parent_run_id = '{run_id}'")) == 3
    client.delete_run(info.run_id)
    assert client.promote_trial(run_id, 0).info.run_id != info.run_id
    with pytest.raises(NotFoundError, match=r"trial '3'.*3 trials \(0 to 2\)"):
        client.promote_trial(run_id, 3)


def test_a_trial_is_promoted_to_a_run_once(client: Client) -> None:
    """A child of the search's run with the trial's parameters, scores and state; until that one is deleted."""
    promote(client)


def test_trials_are_promoted_on_postgresql(postgres_url: str) -> None:
    """The same on a server."""
    promote(Client(postgres_url))


def test_trials_are_promoted_on_mariadb(mariadb_url: str) -> None:
    """The same on the other."""
    promote(Client(mariadb_url))


# Several stores


def fill(client: Client, mark: str, folder: Path) -> str:
    """Use all that a client does with a store; the run's id."""
    experiment = client.create_experiment("same name", str(folder / mark), {"mark": mark})
    run_id = client.create_run(experiment, run_name="same run", tags={"mark": mark}).info.run_id
    for step in range(20):
        client.log_metric(run_id, "m", step, step=step)
    client.log_batch(run_id, [Metric("b", 1.0, 1)], {"mark": mark})
    client.log_text(run_id, mark, "mark.txt")
    client.log_inputs(run_id, [[1, 2]])
    client.set_terminated(run_id)
    return run_id


def holds(client: Client, run_id: str, mark: str) -> None:
    """All of that is there, and nothing of another store."""
    (run,) = client.search_runs(filter_string="metrics.m = 19 and run_name = 'same run'")
    assert (run.info.run_id, run.data.params, run.data.tags) == (run_id, {"mark": mark}, {"mark": mark})
    assert len(client.get_metric_history(run_id, "m")) == 20
    assert client.load_text(run_id, "mark.txt") == mark
    assert len(run.inputs.dataset_inputs) == 1
    experiment = client.get_experiment_by_name("same name")
    assert experiment is not None
    assert experiment.tags["mark"] == mark


def side_by_side(first: Client, second: Client, folder: Path) -> None:
    """Two clients write from two threads at once, while the fluent API records into a third store."""
    found: dict[str, str] = {}
    clients = {"first": first, "second": second}
    threads = [
        threading.Thread(target=lambda mark=mark, one=one: found.update({mark: fill(one, mark, folder)}))
        for mark, one in clients.items()
    ]
    with autotrack.start_run(run_name="fluent") as run:
        for thread in threads:
            thread.start()
        autotrack.log_metric("m", 1.0)
        for thread in threads:
            thread.join()
    for mark, client in clients.items():
        holds(client, found[mark], mark)
        with pytest.raises(NotFoundError):
            client.get_run(run.run_id)
    assert [one.info.run_name for one in Client().search_runs()] == ["fluent"]


def test_two_clients_on_two_stores_keep_out_of_each_others_way(tmp_path: Path, autotrack_store: TemporaryStore) -> None:
    """In one process, at once."""
    side_by_side(Client(tmp_path / "a"), Client(f"sqlite:///{tmp_path / 'b.db'}"), tmp_path)


def test_two_clients_on_two_servers_keep_out_of_each_others_way(
    postgres_url: str, mariadb_url: str, autotrack_store: TemporaryStore, tmp_path: Path
) -> None:
    """One on each kind, beside a SQLite store."""
    side_by_side(Client(postgres_url), Client(mariadb_url), tmp_path)
