"""Which store models are registered in, and where the models are that are registered."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from autotrack import config
from autotrack.errors import InvalidArgumentError
from autotrack.store.location import Location, locate
from autotrack.tracking import model_places, recorders
from autotrack.tracking.access import Access
from autotrack.tracking.model_places import Place

if TYPE_CHECKING:
    from autotrack.store.engine import Store

_uri: str | None = None
_configured: dict[str, Location] = {}
"""What the setting means; found once, so that a change of folder does not move it."""


def set_uri(uri: str | None) -> None:
    """Register models in another store from now on; None goes back to what the settings say.

    Raises:
        InvalidArgumentError: The URI is of no known kind.
    """
    global _uri
    _uri = None if uri is None else _located(uri).url
    _configured.clear()


def registry_location(tracking: Location) -> Location:
    """Where models are registered: what was set by a call, then the setting `registry_uri`, then where the runs are.

    Args:
        tracking: Where the runs are.

    Raises:
        InvalidArgumentError: The setting is of no known kind.
    """
    if _uri is not None:
        return locate(_uri)
    wanted = config.settings().registry_uri
    if not wanted:
        return tracking
    if wanted not in _configured:
        _configured[wanted] = _located(wanted)
    return _configured[wanted]


def _located(uri: str | os.PathLike[str]) -> Location:
    try:
        if isinstance(uri, (str, os.PathLike)) and os.fspath(uri):
            return locate(uri)
    except InvalidArgumentError:
        pass
    raise InvalidArgumentError("registry_uri", uri, "sqlite:///file.db, postgresql://..., mysql://... or a folder")


class RegistryAccess(Access):
    """Access to the store that models are registered in, which may be another one than that of the runs."""

    _known_registry: Access | None = None

    def use_registry(self, registry_uri: str | os.PathLike[str] | None) -> None:
        """Say which store models are registered in.

        Args:
            registry_uri: Store URL or folder; None for the default, see `registry_location`: what was set by a call
                counts from now on, the setting is looked at when it is needed.

        Raises:
            InvalidArgumentError: The URI is of no known kind.
        """
        uri = _uri if registry_uri is None else registry_uri
        self._known_registry = None if uri is None else self._access_to(_located(uri))

    def _access_to(self, where: Location) -> Access:
        return self if where.url == self.location.url else Access(where.url)

    @property
    def _registry(self) -> Access:
        if self._known_registry is None:
            self._known_registry = self._access_to(registry_location(self.location))
        return self._known_registry

    @property
    def registry_uri(self) -> str:
        """URL of the store that models are registered in, without credentials."""
        return self._registry.tracking_uri

    @property
    def registry_location(self) -> Location:
        """The store that models are registered in."""
        return self._registry.location

    def _registry_store(self) -> Store:
        """The store that models are registered in, with all that is pending moved into it."""
        own = recorders.existing(self.location) if self._registry is not self else None
        if own is not None:
            own.flush()  # what it does in the background may register models
        return self._registry.reader.store


def place_of_model(access: RegistryAccess, uri: str) -> Place:
    """Where a model is, whatever kind of URI says so."""
    if uri.startswith("runs:"):
        return model_places.of_run(access, uri)
    if uri.startswith("models:"):
        return model_places.of_models_uri(access, access._registry_store, uri)
    return model_places.of_path(uri, access.location)
