"""What a run is: fluent API, scope, recorder, journal, ingest. `MlflowClient` is here too, as in `mlflow.tracking`."""

from __future__ import annotations


def __getattr__(name: str) -> object:
    if name not in ("Client", "MlflowClient"):
        raise AttributeError(f"module 'autotrack.tracking' has no attribute {name!r}")
    from importlib import import_module

    return import_module("autotrack.client").Client
