"""Where files are: the columns that say so, as the other store has to have them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sqlalchemy import Connection, select

from autotrack.maintenance.copying.paging import Page, Row
from autotrack.store import schema
from autotrack.store.location import Location
from autotrack.store.places import ROOT_TAG, full_uri, kept_uri

_PLACES = {"experiments": "artifact_location", "models": "uri", "model_versions": "source"}
"""Columns that hold URIs."""


class Moved:
    """Rows of one store as rows of another one.

    Args:
        source: Where they are from.
        target: Where they go.
        with_artifacts: What lies below the one's root will lie below the other's.
        storable: What a column of the target can hold of a value.
    """

    def __init__(
        self, source: Location, target: Location, with_artifacts: bool, storable: Callable[[Any], Any]
    ) -> None:
        self._source = source
        self._target = target
        self._with_artifacts = with_artifacts
        self._storable = storable
        self._stays = not with_artifacts and source.artifact_root != target.artifact_root

    def rows(self, connection: Connection, page: Page) -> list[Row]:
        """The rows of a page.

        Args:
            connection: Of the source.
            page: As it is there.
        """
        names = list(page.table.columns.keys())
        column = _PLACES.get(page.table.name)
        if page.table is schema.metric_points:
            return page.rows
        rows = [dict(zip(names, row, strict=True)) for row in page.rows]
        for row in rows:
            if column is not None and row[column]:
                row[column] = self._uri(row[column])
            elif page.table is schema.tags and row["key"] == ROOT_TAG:
                row["value"] = self._uri(row["value"])
        if page.table is schema.tags and self._stays:
            rows += self._pinned(connection, page)
        return [tuple(self._storable(row[name]) for name in names) for row in rows]

    def _uri(self, kept: str) -> str:
        full = full_uri(self._source, kept)
        root = self._source.artifact_root
        if self._with_artifacts and f"{full}/".startswith(f"{root}/"):
            full = self._target.artifact_root + full[len(root) :]
        return kept_uri(self._target, full)

    def _pinned(self, connection: Connection, page: Page) -> list[dict[str, Any]]:
        """Runs whose files stay where they are, though the other store would look elsewhere by default."""
        runs, experiments, tags = schema.runs.c, schema.experiments.c, schema.tags.c
        first, last = page.owners or (-1, None)
        tagged = select(tags.run).where(tags.key == ROOT_TAG)
        query = (
            select(runs.id)
            .join(schema.experiments, experiments.id == runs.experiment)
            .where(runs.id >= first, experiments.artifact_location == "", runs.id.not_in(tagged))
        )
        if last is not None:
            query = query.where(runs.id <= last)
        root = kept_uri(self._target, self._source.artifact_root)
        return [{"run": key, "key": ROOT_TAG, "value": root} for key in connection.execute(query).scalars()]
