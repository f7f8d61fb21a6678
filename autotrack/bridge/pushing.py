"""Runs of an autotrack store into an MLflow store. To do it again adds what is not there yet, and nothing else."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from autotrack.bridge import registering
from autotrack.bridge.contents import Outcome, Target
from autotrack.bridge.outgoing import gather
from autotrack.errors import InvalidArgumentError
from autotrack.progress_bar import progress_bar
from autotrack.tracking.access import Access

HTTP = ("http://", "https://")


def open_target(url: str, artifact_root: str | None = None) -> Target:
    """The MLflow store that a URL names.

    Args:
        url: `http(s)://server`, `sqlite:///x.db`, `postgresql://...` or `mysql://...`.
        artifact_root: Folder or URL to bring files to, for a database.

    Raises:
        InvalidArgumentError: The URL is of no known kind.
        IntegrationNotAvailableError: A server, and mlflow-skinny is not installed.
        StoreError: It cannot be reached, or is no MLflow store.
    """
    if url.startswith(HTTP):
        if artifact_root is not None:
            raise InvalidArgumentError("artifacts", artifact_root, "nothing: a server says itself where files go")
        from autotrack.bridge.server_target import ServerTarget

        return ServerTarget(url)
    if "://" not in url:
        expected = "http(s)://server, sqlite:///file.db, postgresql://... or mysql://..."
        raise InvalidArgumentError("target", url, expected)
    from autotrack.bridge.database_target import DatabaseTarget

    return DatabaseTarget(url, artifact_root)


class Result(NamedTuple):
    """What became of all."""

    runs: Counter[Outcome]
    models: Counter[Outcome]
    """Registered models."""


def push(access: Access, run_ids: Sequence[str], target: Target) -> Result:
    """Write runs into an MLflow store, and the versions of registered models that they put out.

    Args:
        access: Where from.
        run_ids: Whole ids; deleted runs are left out.
        target: Where to.

    Returns:
        How many came to what.

    Raises:
        NotFoundError: There is no such run.
        StoreError: One of the stores cannot be read or written; the runs before are there.
        ArtifactError: A file cannot be read or written.
    """
    outcomes: Counter[Outcome] = Counter()
    reader = access.reader
    records = sorted(reader.runs(run_ids), key=lambda run: run.info.start_time)
    active = [record for record in records if record.info.lifecycle_stage != "deleted"]
    outcomes["deleted"] += len(records) - len(active)
    with progress_bar("pushing", len(active), "runs") as advance:
        for record in active:
            contents = gather(reader, record.info.run_id, target.limits)
            experiment = reader.experiment(record.info.experiment_id)
            target.prepare_experiment(experiment.name, experiment.tags)
            outcomes[target.write_run(contents)] += 1
            advance(1)
    active_ids = {record.info.run_id for record in active}
    models = Counter(target.write_registered(model) for model in registering.registered(access.store, active_ids))
    return Result(outcomes, models)
