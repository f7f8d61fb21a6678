"""Logged models through the client: found, described, put out by other runs, forgotten."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

import autotrack
from autotrack import Client
from autotrack.entities import LoggedModelInput, LoggedModelOutput
from autotrack.errors import InvalidArgumentError, NotFoundError
from autotrack.events import ModelLogged
from autotrack.testing import TemporaryStore


@pytest.fixture
def client(autotrack_store: TemporaryStore) -> Client:
    """A client of an empty store."""
    return autotrack_store.client


def a_model(client: Client, name: str = "model", experiment_id: str | None = None, **metrics: float) -> tuple[str, str]:
    """A run that has put out a model; their ids."""
    run_id = client.create_run(experiment_id).info.run_id
    client.log_metrics(run_id, metrics)
    model_id = f"m-{run_id}"
    event = ModelLogged(model_id, run_id, name, 1, f"/models/{name}", name, ["sklearn"], 10, "abc", metadata={"own": 1})
    client.attached_writer(run_id).recorder.write(event)
    return run_id, model_id


def describe(client: Client) -> None:
    """The life of what is said of a model."""
    run_id, model_id = a_model(client)
    client.set_logged_model_tags(model_id, {"stage": "draft", "n": 1})
    client.set_logged_model_tags(model_id, {"stage": "final"})
    client.delete_logged_model_tag(model_id, "n")
    client.log_model_params(model_id, {"C": 0.5})
    client.log_metric(run_id, "acc", 0.5, timestamp=7, step=3, model_id=model_id, dataset_name="d", dataset_digest="x")
    client.log_metric(run_id, "acc", 0.75, timestamp=8, step=4, model_id=model_id, dataset_name="d", dataset_digest="x")
    client.log_metric(run_id, "acc", math.inf, model_id=model_id)
    model = client.get_logged_model(model_id)
    assert (model.tags, model.params, model.metadata) == ({"stage": "final"}, {"C": "0.5"}, {"own": 1})
    on_data, alone = model.metrics
    assert (on_data.value, on_data.timestamp, on_data.step, on_data.dataset_name) == (0.75, 8, 4, "d")
    assert (alone.value, alone.dataset_digest, alone.run_id) == (math.inf, "", run_id)
    assert client.get_run(run_id).outputs.model_outputs == [model]
    assert [point.value for point in client.get_metric_history(run_id, "acc")] == [0.5, 0.75, math.inf]
    assert (model.model_uri, model.source_run_id, model.artifact_path) == (f"runs:/{run_id}/model", run_id, "model")


def test_a_model_has_the_tags_parameters_and_metrics_that_were_logged_for_it(client: Client) -> None:
    """Beside the metadata that it was logged with, and the run's own curves."""
    describe(client)


def test_models_are_described_on_postgresql(postgres_url: str) -> None:
    """The same on a server."""
    describe(Client(postgres_url))


def test_models_are_described_on_mariadb(mariadb_url: str) -> None:
    """The same on the other."""
    describe(Client(mariadb_url))


def test_models_are_found_by_what_they_are_and_what_their_run_logged(client: Client) -> None:
    """Filter, order by a metric of the run (those that lack it come last), pages, experiments."""
    other = client.create_experiment("other")
    low = a_model(client, "low", acc=0.1)[1]
    high = a_model(client, "high", other, acc=0.9)[1]
    none = a_model(client, "none")[1]
    nan = a_model(client, "nan", acc=math.nan)[1]
    client.log_param(low.removeprefix("m-"), "C", 1)

    def found(**options: Any) -> list[str]:
        return [model.model_id for model in client.search_logged_models(**options)]

    assert found(order_by=["metrics.acc DESC"])[:3] == [high, low, nan]
    assert found(order_by=[{"field_name": "metrics.acc", "ascending": True}]) == [low, high, nan, none]
    assert found(order_by=["name"]) == [high, low, nan, none]
    assert found(order_by=["params.C", "name DESC"]) == [low, none, nan, high]
    assert found(filter_string="metrics.acc > 0.5") == [high]
    assert found(filter_string="name LIKE 'n%' and metrics.acc is null") == [none]
    assert found(filter_string="params.C = '1' and params.C < 2 and size = 10 and digest = 'abc'") == [low]
    assert found(filter_string=f"run_id = '{high[2:]}' or source_run_id = '{low[2:]}'", order_by=["name"]) == [
        high,
        low,
    ]
    assert found(experiment_ids=[other]) == [high]
    assert found(experiment_ids=[]) == []
    pages, token = [], None
    while True:
        page = client.search_logged_models(max_results=1, order_by=["metrics.acc"], page_token=token)
        pages += [model.model_id for model in page]
        if not (token := page.token):
            break
    assert pages == [low, high, nan, none]
    client.delete_run(low.removeprefix("m-"))
    assert low not in found()
    frame = autotrack.search_logged_models(order_by=["name"], max_results=2)
    assert list(frame["model_id"]) == [high, nan]
    assert autotrack.search_logged_models(filter_string="name = 'x'", output_format="list") == []


def test_a_model_that_is_forgotten_is_in_no_run_and_in_no_search(client: Client) -> None:
    """And takes no more metrics."""
    run_id, model_id = a_model(client)
    client.log_metric(run_id, "x", 1.0, model_id=model_id)
    client.delete_logged_model(model_id)
    assert client.get_run(run_id).outputs.model_outputs == []
    assert client.search_logged_models() == []
    for call in (
        lambda: client.get_logged_model(model_id),
        lambda: client.delete_logged_model(model_id),
        lambda: client.log_metric(run_id, "x", 1.0, model_id=model_id),
        lambda: client.set_logged_model_tags(model_id, {"a": 1}),
    ):
        with pytest.raises(NotFoundError, match="search_logged_models"):
            call()


def test_a_model_is_an_output_and_an_input_of_other_runs(client: Client) -> None:
    """Of its own run the step changes; another run lists it by an id of its own, with all that was said of it."""
    run_id, model_id = a_model(client)
    client.set_logged_model_tags(model_id, {"a": "b"})
    client.log_outputs(run_id, [LoggedModelOutput(model_id, 5)])
    other = client.create_run().info.run_id
    client.log_outputs(other, [LoggedModelOutput(model_id, 7), model_id])
    client.log_inputs(other, models=[LoggedModelInput(model_id)])
    (own,) = client.get_run(run_id).outputs.model_outputs
    assert (own.model_id, own.step, own.tags, own.metadata) == (model_id, 5, {"a": "b"}, {"own": 1})
    copies = sorted(client.get_run(other).outputs.model_outputs, key=lambda model: -model.step)
    assert [(model.step, model.uri, model.tags) for model in copies] == [
        (7, own.uri, {"a": "b"}),
        (5, own.uri, {"a": "b"}),
    ]
    assert len({own.model_id, *(model.model_id for model in copies)}) == 3
    (used,) = client.get_run(other).inputs.dataset_inputs
    assert (used.context, used.dataset.name, used.dataset.digest, used.dataset.source_type) == (
        "model",
        "model",
        "abc",
        "logged_model",
    )
    assert model_id in used.dataset.source


def test_a_model_that_is_logged_once_more_keeps_what_was_said_of_it(client: Client) -> None:
    """Its own metadata are the new ones."""
    run_id, model_id = a_model(client)
    client.set_logged_model_tags(model_id, {"a": "b"})
    assert client.get_logged_model(model_id).tags == {"a": "b"}
    event = ModelLogged(model_id, run_id, "model", 2, "/models/new", metadata={"own": 2}, step=7)
    client.attached_writer(run_id).recorder.write(event)
    model = client.get_logged_model(model_id)
    assert (model.tags, model.metadata, model.step, model.uri) == ({"a": "b"}, {"own": 2}, 7, "/models/new")


def test_models_of_a_run_are_listed_oldest_first_whatever_their_ids(client: Client) -> None:
    """Also where they come into the store in one piece."""
    run_id = client.create_run().info.run_id
    writer = client.attached_writer(run_id)
    ids = [f"{letter}-{run_id}" for letter in "zyxwvabc"]
    for time, model_id in enumerate(ids):
        writer.recorder.write(ModelLogged(model_id, run_id, "model", 1_000 + time, "/x"))
    assert [model.model_id for model in client.reader.models(run_id)] == ids
    assert [model.model_id for model in client.get_run(run_id).outputs.model_outputs] == ids
    assert [model.model_id for model in client.search_logged_models()] == ids[::-1]


def test_the_fluent_functions_do_the_same_for_the_active_run(client: Client) -> None:
    """Metrics of a model, outputs, tags and parameters."""
    made = autotrack.create_experiment("models")
    _, model_id = a_model(client, experiment_id=made)
    with autotrack.start_run() as run:
        autotrack.log_metric("acc", 0.5, model_id=model_id, dataset=[[1, 2], [3, 4]])
        autotrack.log_metrics({"loss": 1, "acc": 0.75}, step=2, model_id=model_id)
        autotrack.log_outputs([LoggedModelOutput(model_id, 1)])
        autotrack.log_input(model=model_id)
    autotrack.set_logged_model_tags(model_id, {"a": 1, "b": 2})
    autotrack.delete_logged_model_tag(model_id, "a")
    autotrack.log_model_params({"p": 1}, model_id)
    model = autotrack.get_logged_model(model_id)
    assert (model.tags, model.params) == ({"b": "2"}, {"p": "1"})
    values = [(metric.key, metric.value, metric.step, metric.dataset_name) for metric in model.metrics]
    assert values == [("acc", 0.5, 0, "dataset"), ("loss", 1.0, 2, ""), ("acc", 0.75, 2, "")]
    found = client.get_run(run.run_id)
    assert found.data.metrics == {"acc": 0.75, "loss": 1.0}
    assert [one.context for one in found.inputs.dataset_inputs] == ["", "model"]
    assert len(found.outputs.model_outputs) == 1
    autotrack.delete_logged_model(model_id)
    assert [model.run_id for model in autotrack.search_logged_models(output_format="list")] == [run.run_id]
    with pytest.raises(InvalidArgumentError, match="model_id"):
        autotrack.log_model_params({"p": 1})


def test_the_files_of_a_logged_model_are_listed(client: Client, tmp_path: Path) -> None:
    """As a run's are."""
    sklearn = pytest.importorskip("sklearn.linear_model")
    with autotrack.start_run():
        model = autotrack.log_model(sklearn.LinearRegression().fit([[0.0], [1.0]], [0.0, 1.0]), name="line")
    assert "MLmodel" in [file.path for file in client.list_logged_model_artifacts(model.model_id)]
    assert client.search_logged_models(filter_string="name = 'line'")[0].model_id == model.model_id
