"""What all calls of a client share: the store, with what is pending moved into it, and the writers of its runs."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from autotrack.errors import InvalidArgumentError, RunEndedError, StoreError
from autotrack.hooks import guard
from autotrack.store.location import Location, locate
from autotrack.tracking import ingest, recorder, recorders
from autotrack.tracking.run import RunWriter
from autotrack.tracking.values import checked_id

if TYPE_CHECKING:
    from autotrack.store.engine import Store
    from autotrack.store.reading import Reader


class Access:
    """Access to one store.

    Args:
        tracking_uri: Store URL or folder; None for the one that this process records into.

    Raises:
        InvalidArgumentError: The URI is of no known kind.
    """

    def __init__(self, tracking_uri: str | os.PathLike[str] | None = None) -> None:
        if tracking_uri is not None and not isinstance(tracking_uri, (str, os.PathLike)):
            raise InvalidArgumentError("tracking_uri", tracking_uri, "a store's URL or folder, or None")
        self.location: Location = recorders.location() if tracking_uri is None else locate(tracking_uri)

    @property
    def tracking_uri(self) -> str:
        """The store's URL, without credentials."""
        return self.location.safe_url

    @property
    def store(self) -> Store:
        """The store.

        Raises:
            StoreError: It cannot be opened.
        """
        from autotrack.store.engine import Store

        return Store.open(self.location.url)

    @property
    def reader(self) -> Reader:
        """The store, with all that is pending moved into it.

        Raises:
            StoreError: It cannot be opened, or what this process has recorded cannot be moved into it.
        """
        from autotrack.store.reading import Reader

        store = self.store
        own = recorders.existing(self.location)
        journal = own.journal_or_none if own is not None else None
        if own is not None and not own.flush():
            problem = own.problem()
            if problem:
                raise StoreError(
                    self.location.safe_url, f"what was recorded is not in it yet: {problem}", transient=True
                )
        try:
            ingest.ingest_pending(store, self.location, journal.path if journal is not None else None)
        except StoreError as error:
            # What others have recorded waits for one who may write; what is in the store can be read all the same.
            guard.health("tracking", breaker=False).note("reading", str(error))
        return Reader(store)

    @property
    def _recorder(self) -> recorder.Recorder:
        """What this process records into the store with."""
        return recorders.recorder_for(self.location)

    def attached_writer(self, run_id: str) -> RunWriter:
        """The writer of a run, looked up in the store the first time.

        Raises:
            NotFoundError: There is no such run.
            InvalidArgumentError: It is no id.
        """
        run_id = checked_id(run_id, "run_id")
        own = self._recorder.writer_of(run_id)
        if own is not None:
            return own
        reader = self.reader
        found = reader.run(run_id)
        info = found.info
        run = RunWriter(self._recorder, run_id, info.run_name, "", info.experiment_id, info.parent_run_id, info.source)
        run.continue_from(info, found.data.series, len(reader.fits(run_id)))
        self._recorder.attach(run)
        return run

    def writer_of_open_run(self, run_id: str) -> RunWriter:
        """The writer of a run that has not ended.

        Raises:
            NotFoundError: There is no such run.
            RunEndedError: It has ended.
        """
        run = self.attached_writer(run_id)
        if run.status != "RUNNING":
            # It may have been resumed elsewhere since it was looked up.
            run.status = self.reader.run(run_id).info.status
            if run.status != "RUNNING":
                raise RunEndedError(run_id, run.status)
        return run
