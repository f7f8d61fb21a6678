"""Where the files and models of new runs go: the experiment's own place, the setting's, the store's."""

from __future__ import annotations

from collections.abc import Callable

from autotrack import config
from autotrack.errors import NotFoundError, StoreError
from autotrack.store.location import Location
from autotrack.store.places import is_portable
from autotrack.tracking.run import Root


class Roots:
    """The roots of the runs that go into one store.

    Args:
        location: The store.
        far: Called where files may go far away, which has to end in time.
    """

    def __init__(self, location: Location, far: Callable[[], None]) -> None:
        self._location = location
        self._far = far
        self._known: dict[str, str] = {}
        self._experiments: set[tuple[str, str | None]] = set()

    def of(self, experiment: str, experiment_id: str | None) -> Root:
        """Where new runs of an experiment keep their files.

        Args:
            experiment: Its name.
            experiment_id: Its id, which wins over the name.
        """
        own, wanted = self._location.artifact_root, config.settings().artifact_uri
        try:
            place = self._own_place(experiment, experiment_id)
        except NotFoundError:
            place = own
        except StoreError:
            return Root(wanted or own, False)
        if place != own:
            return Root(place, True)
        return Root(wanted or own, not wanted and is_portable(self._location))

    def expect(self, experiment: str, experiment_id: str | None) -> None:
        """Runs of this experiment are recorded."""
        if experiment_id or experiment != "Default" or "://" in (config.settings().artifact_uri or ""):
            self._experiments.add((experiment, experiment_id))
            self._far()

    def are_far(self) -> bool:
        """Whether files of runs that were started here go to a URL."""
        return any("://" in self.of(*experiment).uri for experiment in list(self._experiments))

    def _own_place(self, experiment: str, experiment_id: str | None) -> str:
        """An experiment's place for files, read from the store once."""
        if experiment_id is None and experiment in ("", "Default"):
            return self._location.artifact_root
        key = f"#{experiment_id}" if experiment_id else experiment
        if key not in self._known:
            from autotrack.store.engine import Store
            from autotrack.store.reading import Reader

            reader = Reader(Store.open(self._location.url))
            found = reader.experiment(experiment_id) if experiment_id else reader.experiment_by_name(experiment)
            self._known[key] = found.artifact_location
        return self._known[key]
