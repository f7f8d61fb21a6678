"""The part of `Client` that is about experiments."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, cast

from autotrack import records
from autotrack.errors import InvalidArgumentError, NotFoundError
from autotrack.tracking.access import Access
from autotrack.tracking.values import (
    checked_experiment_id,
    checked_filter,
    checked_name,
    checked_tags,
    checked_text,
    checked_texts,
    safe_tag,
    shown_text,
)

ViewType = Literal["ACTIVE_ONLY", "DELETED_ONLY", "ALL"]
_VIEWS = {1: "ACTIVE_ONLY", 2: "DELETED_ONLY", 3: "ALL"}
"""Stages of life by the number that MLflow has for them."""


def checked_view(view: object, argument: str) -> ViewType:
    """Which stages of life to look at, by name or by MLflow's number.

    Raises:
        InvalidArgumentError: It is neither.
    """
    name = _VIEWS.get(view) if isinstance(view, int) and not isinstance(view, bool) else view
    if name not in _VIEWS.values():
        raise InvalidArgumentError(argument, view, " or ".join(_VIEWS.values()))
    return cast(ViewType, name)


class ExperimentCalls(Access):
    """Calls about experiments."""

    def create_experiment(
        self, name: str, artifact_location: str | None = None, tags: Mapping[str, str] | None = None
    ) -> str:
        """Make an experiment.

        Args:
            name: Its name.
            artifact_location: Folder or URL for the files of its runs; the store's own by default.
            tags: Its tags.

        Returns:
            Its id.

        Raises:
            AlreadyExistsError: There is one of that name, perhaps a deleted one.
            InvalidArgumentError: The name is not usable.
            ArtifactError: The location is a URL of a kind that nobody knows.
            StoreError: The store cannot be written.
        """
        from autotrack.artifacts import checked_root
        from autotrack.store import managing

        location = "" if artifact_location is None else checked_text(artifact_location, "artifact_location")
        if location:
            location = checked_root(location)
        return managing.create_experiment(
            self.store, checked_name(name, "experiment name"), location, checked_tags(tags)
        )

    def get_experiment(self, experiment_id: str) -> records.Experiment:
        """An experiment by id.

        Raises:
            NotFoundError: There is none.
        """
        return self.reader.experiment(checked_experiment_id(experiment_id))

    def get_experiment_by_name(self, name: str) -> records.Experiment | None:
        """An experiment by name; None where there is none.

        Raises:
            InvalidArgumentError: The name is no text.
        """
        text = shown_text(name, "name")
        try:
            return self.reader.experiment_by_name(text)
        except NotFoundError:
            return None

    def search_experiments(
        self,
        view_type: ViewType = "ACTIVE_ONLY",
        max_results: int | None = 1000,
        filter_string: str | None = None,
        order_by: Sequence[str] | None = None,
        page_token: str | None = None,
    ) -> records.Page[records.Experiment]:
        """Experiments that a filter matches, newest first unless `order_by` says otherwise.

        Args:
            view_type: Which stages of life to look at.
            max_results: Experiments in a page.
            filter_string: For example `name LIKE 'churn%' and tags.team = 'a'`.
            order_by: For example `["name"]`.
            page_token: The `token` of the page before.

        Raises:
            FilterSyntaxError: The filter or the order does not parse.
            InvalidArgumentError: An argument is not usable.
        """
        view, order = checked_view(view_type, "view_type"), checked_texts(order_by, "order_by")
        text = checked_filter(filter_string)
        limit = 1000 if max_results is None else max_results
        return self.reader.search_experiments(view, limit, text, order, page_token)

    def set_experiment_tag(self, experiment_id: str, key: str, value: object) -> None:
        """Set a tag of an experiment.

        Raises:
            NotFoundError: There is no such experiment.
        """
        from autotrack.store import managing

        managing.set_experiment_tag(
            self.store, checked_experiment_id(experiment_id), checked_name(key), safe_tag(key, str(value))
        )

    def delete_experiment_tag(self, experiment_id: str, key: str) -> None:
        """Remove a tag of an experiment.

        Raises:
            NotFoundError: There is no such experiment, or it has no such tag.
        """
        from autotrack.store import managing

        managing.delete_experiment_tag(self.store, checked_experiment_id(experiment_id), checked_name(key))

    def rename_experiment(self, experiment_id: str, new_name: str) -> None:
        """Rename an experiment.

        Raises:
            NotFoundError: There is no such experiment.
            AlreadyExistsError: There is one of the new name.
        """
        from autotrack.store import managing

        managing.rename_experiment(
            self.store, checked_experiment_id(experiment_id), checked_name(new_name, "experiment name")
        )

    def delete_experiment(self, experiment_id: str) -> None:
        """Mark an experiment as deleted; `restore_experiment` brings it back.

        Raises:
            NotFoundError: There is no such experiment.
        """
        from autotrack.store import managing

        managing.delete_experiment(self.store, checked_experiment_id(experiment_id))

    def restore_experiment(self, experiment_id: str) -> None:
        """Bring a deleted experiment back.

        Raises:
            NotFoundError: There is no such experiment.
        """
        from autotrack.store import managing

        managing.restore_experiment(self.store, checked_experiment_id(experiment_id))
