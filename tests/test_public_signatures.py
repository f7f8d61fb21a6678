"""Names and arguments are MLflow's where the two share a function: facts about MLflow 3.17, compared with the code."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import pytest

import autotrack
from autotrack import Client

CLIENT = {
    "copy_model_version": "src_model_uri dst_name",
    "create_experiment": "name artifact_location=None tags=None",
    "create_model_version": "name source run_id=None tags=None run_link=None description=None await_creation_for=300 "
    "model_id=None",
    "create_registered_model": "name tags=None description=None deployment_job_id=None",
    "create_run": "experiment_id start_time=None tags=None run_name=None",
    "delete_experiment": "experiment_id",
    "delete_experiment_tag": "experiment_id key",
    "delete_logged_model": "model_id",
    "delete_logged_model_tag": "model_id key",
    "delete_model_version": "name version",
    "delete_model_version_tag": "name version=None key=None stage=None",
    "delete_registered_model": "name",
    "delete_registered_model_alias": "name alias",
    "delete_registered_model_tag": "name key",
    "delete_run": "run_id",
    "delete_tag": "run_id key",
    "download_artifacts": "run_id path dst_path=None",
    "get_experiment": "experiment_id",
    "get_experiment_by_name": "name",
    "get_latest_versions": "name stages=None",
    "get_logged_model": "model_id",
    "get_metric_history": "run_id key",
    "get_model_version": "name version",
    "get_model_version_by_alias": "name alias",
    "get_model_version_download_uri": "name version",
    "get_parent_run": "run_id",
    "get_registered_model": "name",
    "get_run": "run_id",
    "list_artifacts": "run_id path=None",
    "list_logged_model_artifacts": "model_id path=None",
    "load_table": "experiment_id artifact_file run_ids=None extra_columns=None",
    "log_artifact": "run_id local_path artifact_path=None",
    "log_artifacts": "run_id local_dir artifact_path=None",
    "log_batch": "run_id metrics=() params=() tags=() synchronous=None",
    "log_dict": "run_id dictionary artifact_file",
    "log_figure": "run_id figure artifact_file * save_kwargs=None",
    "log_image": "run_id image artifact_file=None key=None step=None timestamp=None synchronous=None",
    "log_inputs": "run_id datasets=None models=None",
    "log_metric": "run_id key value timestamp=None step=None synchronous=None dataset_name=None "
    "dataset_digest=None model_id=None",
    "log_model_params": "model_id params",
    "log_outputs": "run_id models",
    "log_param": "run_id key value synchronous=None",
    "log_stream": "run_id stream artifact_file",
    "log_table": "run_id data artifact_file",
    "log_text": "run_id text artifact_file",
    "rename_experiment": "experiment_id new_name",
    "rename_registered_model": "name new_name",
    "restore_experiment": "experiment_id",
    "restore_run": "run_id",
    "search_experiments": "view_type=1 max_results=1000 filter_string=None order_by=None page_token=None",
    "search_logged_models": "experiment_ids filter_string=None datasets=None max_results=None "
    "order_by=None page_token=None",
    "search_model_versions": "filter_string=None max_results=10000 order_by=None page_token=None",
    "search_registered_models": "filter_string=None max_results=100 order_by=None page_token=None",
    "search_runs": "experiment_ids filter_string='' run_view_type=1 max_results=1000 order_by=None page_token=None",
    "set_experiment_tag": "experiment_id key value",
    "set_logged_model_tags": "model_id tags",
    "set_model_version_tag": "name version=None key=None value=None stage=None",
    "set_registered_model_alias": "name alias version",
    "set_registered_model_tag": "name key value",
    "set_tag": "run_id key value synchronous=None",
    "set_terminated": "run_id status=None end_time=None",
    "update_model_version": "name version description=None",
    "update_registered_model": "name description=None deployment_job_id=None",
    "update_run": "run_id status=None name=None",
}
"""Methods of `MlflowClient` 3.17 and their parameters: `name`, or `name=default`; those behind `*` by name only."""

FLUENT = {
    "active_run": "",
    "create_experiment": "name artifact_location=None tags=None trace_location=None",
    "delete_experiment": "experiment_id",
    "delete_experiment_tag": "key",
    "delete_logged_model_tag": "model_id key",
    "delete_run": "run_id",
    "delete_tag": "key",
    "end_run": "status='FINISHED'",
    "flush_async_logging": "",
    "get_artifact_uri": "artifact_path=None",
    "get_experiment": "experiment_id",
    "get_experiment_by_name": "name",
    "get_logged_model": "model_id",
    "get_parent_run": "run_id",
    "get_run": "run_id",
    "get_tracking_uri": "",
    "is_tracking_uri_set": "",
    "last_active_run": "",
    "load_table": "artifact_file run_ids=None extra_columns=None",
    "disable_system_metrics_logging": "",
    "enable_system_metrics_logging": "",
    "log_artifact": "local_path artifact_path=None run_id=None",
    "log_artifacts": "local_dir artifact_path=None run_id=None",
    "log_dict": "dictionary artifact_file run_id=None",
    "log_figure": "figure artifact_file * save_kwargs=None",
    "log_image": "image artifact_file=None key=None step=None timestamp=None synchronous=False",
    "log_input": "dataset=None context=None tags=None model=None",
    "log_inputs": "datasets=None contexts=None tags_list=None models=None",
    "log_metric": "key value step=None synchronous=None timestamp=None run_id=None model_id=None dataset=None",
    "log_metrics": "metrics step=None synchronous=None run_id=None timestamp=None model_id=None dataset=None",
    "log_model_params": "params model_id=None",
    "log_outputs": "models=None",
    "log_param": "key value synchronous=None",
    "log_params": "params synchronous=None run_id=None",
    "log_stream": "stream artifact_file run_id=None",
    "log_table": "data artifact_file run_id=None",
    "log_text": "text artifact_file run_id=None",
    "restore_experiment": "experiment_id",
    "restore_run": "run_id",
    "search_experiments": "view_type=1 max_results=None filter_string=None order_by=None",
    "search_logged_models": "experiment_ids=None filter_string=None datasets=None max_results=None order_by=None "
    "output_format='pandas'",
    "search_runs": "experiment_ids=None filter_string='' run_view_type=1 max_results=100000 order_by=None "
    "output_format='pandas' search_all_experiments=False experiment_names=None",
    "set_experiment": "experiment_name=None experiment_id=None trace_location=None",
    "set_experiment_tag": "key value",
    "set_experiment_tags": "tags",
    "set_logged_model_tags": "model_id tags",
    "set_system_metrics_sampling_interval": "interval",
    "set_tag": "key value synchronous=None",
    "set_tags": "tags synchronous=None",
    "set_tracking_uri": "uri",
    "start_run": "run_id=None experiment_id=None run_name=None nested=False parent_run_id=None tags=None "
    "description=None log_system_metrics=None",
}
"""Functions of the module `mlflow`, likewise."""

ARTIFACTS = {
    "download_artifacts": "artifact_uri=None run_id=None artifact_path=None dst_path=None tracking_uri=None "
    "registry_uri=None",
    "list_artifacts": "artifact_uri=None run_id=None artifact_path=None tracking_uri=None",
    "load_text": "artifact_uri",
    "load_dict": "artifact_uri",
    "load_image": "artifact_uri",
}
"""Functions of `mlflow.artifacts`."""

DATA = {
    "from_pandas": "df source=None targets=None name=None digest=None predictions=None",
    "from_polars": "df source=None targets=None name=None digest=None predictions=None",
    "from_numpy": "features source=None targets=None name=None digest=None",
}
"""Functions of `mlflow.data`."""

OTHER_DEFAULTS = {
    ("create_run", "experiment_id"),  # the default experiment
    ("search_runs", "experiment_ids"),  # all
    ("search_logged_models", "experiment_ids"),
    ("search_runs", "run_view_type"),  # names; MLflow's numbers are taken too
    ("search_experiments", "view_type"),
    ("create_model_version", "await_creation_for"),  # versions are ready when they are made
}
"""Parameters whose default says the same in another way, or more."""

NOT_HERE = {"trace_location", "deployment_job_id", "stage", "stages", "run_link", "await_creation_for"}
"""Last parameters of MLflow's that mean nothing here (traces, Databricks, stages), where they are not taken."""


def parameters_of(function: Callable[..., Any], method: bool) -> list[inspect.Parameter]:
    """The parameters, without `self`."""
    return list(inspect.signature(function).parameters.values())[int(method) :]


def differences(name: str, function: Callable[..., Any], facts: str, method: bool) -> list[str]:
    """What a caller who knows MLflow would stumble over."""
    ours = parameters_of(function, method)
    positional = [one for one in ours if one.kind is one.POSITIONAL_OR_KEYWORD]
    by_name = {one.name: one for one in ours}
    found = []
    before, _, after = facts.partition("* ")
    for place, fact in enumerate(before.split()):
        wanted, _, default = fact.partition("=")
        if wanted in NOT_HERE and wanted not in by_name:
            continue
        if place >= len(positional) or positional[place].name != wanted:
            found.append(f"{name}: parameter {place} is not {wanted}")
        elif default and (name, wanted) not in OTHER_DEFAULTS and repr(positional[place].default) != default:
            found.append(f"{name}: {wanted} is {positional[place].default!r} by default, not {default}")
    names = [fact.partition("=")[0] for fact in after.split()]
    return found + [f"{name}: no {one}" for one in names if one not in by_name]


def needed_beyond(function: Callable[..., Any], facts: str, method: bool) -> list[str]:
    """Parameters that a caller must give here and not there."""
    known = {fact.partition("=")[0] for fact in facts.split() if "=" not in fact}
    kinds = (inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL)
    given = [one for one in parameters_of(function, method) if one.default is one.empty and one.kind not in kinds]
    return [one.name for one in given if one.name not in known]


@pytest.mark.parametrize("name", CLIENT)
def test_a_client_method_takes_what_mlflows_takes(name: str) -> None:
    """The same names in the same order, and nothing more that must be given."""
    function = getattr(Client, name)
    assert differences(name, function, CLIENT[name], method=True) == []
    assert needed_beyond(function, CLIENT[name], method=True) == []


@pytest.mark.parametrize("name", FLUENT)
def test_a_function_takes_what_mlflows_takes(name: str) -> None:
    """As for the client's methods."""
    function = getattr(autotrack, name)
    assert differences(name, function, FLUENT[name], method=False) == []
    assert needed_beyond(function, FLUENT[name], method=False) == []


@pytest.mark.parametrize(
    ("module", "name"), [("artifacts", name) for name in ARTIFACTS] + [("data", name) for name in DATA]
)
def test_a_function_of_a_submodule_takes_what_mlflows_takes(module: str, name: str) -> None:
    """As for the client's methods."""
    function = getattr(getattr(autotrack, module), name)
    facts = (ARTIFACTS | DATA)[name]
    assert differences(name, function, facts, method=False) == []
    assert needed_beyond(function, facts, method=False) == []


def test_a_script_that_names_the_client_as_mlflow_does_gets_it() -> None:
    """`mlflow.MlflowClient()` and `mlflow.tracking.MlflowClient()` are `Client()`."""
    assert autotrack.MlflowClient is Client
    assert autotrack.tracking.MlflowClient is Client
    with pytest.raises(AttributeError, match=r"'autotrack\.tracking' has no attribute 'MlflowKlient'"):
        autotrack.tracking.MlflowKlient  # noqa: B018
