"""MLflow's server through MLflow's own client, imported when it is needed. The extra `mlflow` installs it."""

from __future__ import annotations

import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from autotrack.errors import IntegrationNotAvailableError, StoreError

RUN_ID_FILTER = "tags.`autotrack.run_id` = '{}'"

_TIMEOUT = 10
"""Seconds that the server is given to answer the first question; MLflow's client would try for minutes."""

_ACCESS = "set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN"
_REFUSED = ("UNAUTHENTICATED", "PERMISSION_DENIED", "CUSTOMER_UNAUTHORIZED")


def without_credentials(url: str) -> str:
    """A server's URL as it may be shown."""
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path.rstrip("/"), "", ""))


def connected(url: str) -> Any:
    """MLflow's client for a server that answers.

    Raises:
        IntegrationNotAvailableError: mlflow-skinny is not installed.
        StoreError: The server cannot be reached, or is none of MLflow's.
    """
    if find_spec("mlflow") is None:
        reason = "a server is spoken to through MLflow's own client"
        raise IntegrationNotAvailableError("mlflow", reason, "pip install 'autotrack[mlflow]'")
    _knock(without_credentials(url))
    from mlflow import MlflowClient, environment_variables

    # The client would print links to each run on stdout, and draw a bar for each file.
    for name, value in (("SUPPRESS_PRINTING_URL_TO_STDOUT", True), ("ENABLE_ARTIFACTS_PROGRESS_BAR", False)):
        variable = getattr(environment_variables, f"MLFLOW_{name}", None)
        if variable is not None:
            variable.set(value)
    return MlflowClient(url.rstrip("/"), url.rstrip("/"))


def _knock(url: str) -> None:
    try:
        with urllib.request.urlopen(f"{url}/health", timeout=_TIMEOUT):
            return
    except urllib.error.HTTPError as error:
        if error.code not in (401, 403):
            raise StoreError(url, f"this is no MLflow server: {url}/health answers {error.code}") from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", None) or error
        raise StoreError(url, f"the server cannot be reached: {reason}", "is it running?", transient=True) from error


@contextmanager
def translated(url: str) -> Iterator[None]:
    """Turn errors of MLflow's client into `StoreError`."""
    from mlflow.exceptions import MlflowException

    try:
        yield
    except MlflowException as error:
        text = first_line(error)
        if error.error_code in _REFUSED or "error code 401" in text or "error code 403" in text:
            raise StoreError(url, f"the server refuses access: {text}", _ACCESS) from error
        raise StoreError(url, text) from error
    except OSError as error:
        raise StoreError(url, f"the connection broke: {error}", "push again: it is completed", True) from error


def first_line(error: Exception) -> str:
    """What an error says, without what follows it."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


def is_absent(error: Any) -> bool:
    """Whether an error of MLflow's client says that there is no such thing (or no such call, on an old server)."""
    return error.error_code in ("RESOURCE_DOES_NOT_EXIST", "ENDPOINT_NOT_FOUND", "NOT_FOUND")
