"""autotrack records machine-learning training without being asked.

    import autotrack
    autotrack.autolog()

or, without a line: `python -m autotrack train.py`. Everything here is loaded when it is first used.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from autotrack.automatic import autolog, disable, disabled, enable, load_ipython_extension, unload_ipython_extension
    from autotrack.client import Client, MlflowClient
    from autotrack.errors import AutotrackError
    from autotrack.events import DatasetInfo
    from autotrack.records import Experiment, Metric, Run
    from autotrack.tracking.current_experiment import (
        get_tracking_uri,
        is_tracking_uri_set,
        set_experiment,
        set_tracking_uri,
    )
    from autotrack.tracking.current_run import ActiveRun, active_run, end_run, last_active_run, start_run
    from autotrack.tracking.experiments import (
        create_experiment,
        delete_experiment,
        delete_experiment_tag,
        get_experiment,
        get_experiment_by_name,
        rename_experiment,
        restore_experiment,
        search_experiments,
        set_experiment_tag,
        set_experiment_tags,
    )
    from autotrack.tracking.files import (
        get_artifact_uri,
        load_table,
        log_artifact,
        log_artifacts,
        log_dict,
        log_figure,
        log_image,
        log_stream,
        log_table,
        log_text,
    )
    from autotrack.tracking.fluent import (
        delete_tag,
        flush,
        flush_async_logging,
        log_metric,
        log_metrics,
        log_param,
        log_params,
        set_tag,
        set_tags,
    )
    from autotrack.tracking.inputs import log_input, log_inputs, log_outputs
    from autotrack.tracking.logged_models import (
        delete_logged_model,
        delete_logged_model_tag,
        get_logged_model,
        log_model_params,
        search_logged_models,
        set_logged_model_tags,
    )
    from autotrack.tracking.model_registry import (
        delete_registered_model_alias,
        get_registry_uri,
        register_model,
        search_model_versions,
        search_registered_models,
        set_model_version_tag,
        set_registered_model_alias,
        set_registry_uri,
    )
    from autotrack.tracking.outputs import load_model, log_model
    from autotrack.tracking.queries import delete_run, get_parent_run, get_run, restore_run, search_runs
    from autotrack.tracking.system_metrics import (
        disable_system_metrics_logging,
        enable_system_metrics_logging,
        set_system_metrics_sampling_interval,
    )

__version__ = "0.1.0"

_HOMES = {
    "autotrack.automatic": "autolog disable disabled enable load_ipython_extension unload_ipython_extension",
    "autotrack.client": "Client MlflowClient",
    "autotrack.errors": "AutotrackError",
    "autotrack.events": "DatasetInfo",
    "autotrack.records": "Experiment Metric Run",
    "autotrack.tracking.current_experiment": "get_tracking_uri is_tracking_uri_set set_experiment set_tracking_uri",
    "autotrack.tracking.current_run": "ActiveRun active_run end_run last_active_run start_run",
    "autotrack.tracking.experiments": "create_experiment delete_experiment delete_experiment_tag get_experiment "
    "get_experiment_by_name rename_experiment restore_experiment search_experiments set_experiment_tag "
    "set_experiment_tags",
    "autotrack.tracking.files": "get_artifact_uri load_table log_artifact log_artifacts log_dict log_figure log_image "
    "log_stream log_table log_text",
    "autotrack.tracking.fluent": "delete_tag flush flush_async_logging log_metric log_metrics log_param log_params "
    "set_tag set_tags",
    "autotrack.tracking.inputs": "log_input log_inputs log_outputs",
    "autotrack.tracking.logged_models": "delete_logged_model delete_logged_model_tag get_logged_model log_model_params "
    "search_logged_models set_logged_model_tags",
    "autotrack.tracking.queries": "delete_run get_parent_run get_run restore_run search_runs",
    "autotrack.tracking.model_registry": "delete_registered_model_alias get_registry_uri register_model "
    "search_model_versions search_registered_models set_model_version_tag set_registered_model_alias set_registry_uri",
    "autotrack.tracking.outputs": "load_model log_model",
    "autotrack.tracking.system_metrics": "disable_system_metrics_logging enable_system_metrics_logging "
    "set_system_metrics_sampling_interval",
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names.split()}
_SUBMODULES = (
    "artifacts",
    "data",
    "entities",
    "lightgbm",
    "lightning",
    "models",
    "optuna",
    "pandas",
    "polars",
    "pyfunc",
    "pytorch",
    "pytorch_lightning",
    "ray",
    "sklearn",
    "torch",
    "tracking",
)

_FOR_IPYTHON = ("load_ipython_extension", "unload_ipython_extension")

__all__ = [
    *(name for name in _HOME_OF if name not in _FOR_IPYTHON),
    *_SUBMODULES,
]


def __getattr__(name: str) -> object:
    home = _HOME_OF.get(name)
    if home is None and name not in _SUBMODULES:
        raise AttributeError(f"module 'autotrack' has no attribute {name!r}")
    from importlib import import_module

    from autotrack.late import loading

    with loading():
        if home is None:
            return import_module(f"autotrack.{name}")
        if home == "autotrack.tracking.current_run":
            # A signal handler may log once a run is open: it must not come into the middle of this import then.
            import_module("autotrack.tracking.fluent")
        value = globals()[name] = getattr(import_module(home), name)
        return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
