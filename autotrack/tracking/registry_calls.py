"""The part of `Client` that is about registered models and their aliases."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from autotrack import records
from autotrack.tracking.registry_names import checked_alias, checked_model_name, checked_version
from autotrack.tracking.values import (
    checked_filter,
    checked_key,
    checked_name,
    checked_note,
    checked_tags,
    checked_texts,
    safe_tag,
    shown_text,
)
from autotrack.tracking.version_calls import VersionCalls


class RegistryCalls(VersionCalls):
    """Calls about registered models."""

    def create_registered_model(
        self, name: str, tags: Mapping[str, object] | None = None, description: str | None = None
    ) -> records.RegisteredModel:
        """Make a registered model, which has no version yet.

        Args:
            name: 1 to 500 characters without `/` and `:`.
            tags: Its tags.
            description: What it is about.

        Raises:
            AlreadyExistsError: There is one of that name.
            InvalidArgumentError: An argument is not usable.
        """
        from autotrack.store import registry

        text = checked_note(description, "description")
        registry.create_model(self._registry_store(), checked_model_name(name), checked_tags(tags), text)
        return self.get_registered_model(name)

    def get_registered_model(self, name: str) -> records.RegisteredModel:
        """A registered model, with its newest version, its aliases and tags.

        Raises:
            NotFoundError: There is none of that name.
        """
        from autotrack.store import registry_reading

        return registry_reading.model(self._registry_store(), checked_model_name(name))

    def rename_registered_model(self, name: str, new_name: str) -> records.RegisteredModel:
        """Rename a registered model; versions, aliases and tags stay with it.

        Raises:
            NotFoundError: There is none of that name.
            AlreadyExistsError: There is one of the new name.
            InvalidArgumentError: A name is not usable.
        """
        from autotrack.store import registry

        new_name = checked_model_name(new_name, "new_name")
        registry.rename_model(self._registry_store(), checked_model_name(name), new_name)
        return self.get_registered_model(new_name)

    def update_registered_model(self, name: str, description: str | None = None) -> records.RegisteredModel:
        """Set a registered model's description.

        Raises:
            NotFoundError: There is none of that name.
            InvalidArgumentError: The description is no text.
        """
        from autotrack.store import registry

        text = shown_text(description, "description")
        registry.describe_model(self._registry_store(), checked_model_name(name), text)
        return self.get_registered_model(name)

    def delete_registered_model(self, name: str) -> None:
        """Delete a registered model with its versions, aliases and tags; the files of the versions stay.

        Raises:
            NotFoundError: There is none of that name.
        """
        from autotrack.store import registry

        registry.delete_model(self._registry_store(), checked_model_name(name))

    def search_registered_models(
        self,
        filter_string: str | None = None,
        max_results: int = 100,
        order_by: Sequence[str] | None = None,
        page_token: str | None = None,
    ) -> records.Page[records.RegisteredModel]:
        """Registered models that a filter matches, by name unless `order_by` says otherwise.

        Args:
            filter_string: For example `name LIKE 'fraud%' and tags.team = 'blue'`; it names `name`, `description`,
                `creation_timestamp`, `last_updated_timestamp` and `tags.<key>`.
            max_results: Models in a page.
            order_by: For example `["last_updated_timestamp DESC"]`.
            page_token: The `token` of the page before.

        Raises:
            FilterSyntaxError: The filter or the order does not parse.
            InvalidArgumentError: Another argument is not usable.
        """
        from autotrack.store import registry_reading

        text = checked_filter(filter_string)
        order = checked_texts(order_by, "order_by")
        return registry_reading.search_models(self._registry_store(), text, max_results, order, page_token)

    def set_registered_model_tag(self, name: str, key: str, value: object) -> None:
        """Set a tag of a registered model.

        Raises:
            NotFoundError: There is no such model.
            InvalidArgumentError: The key is not usable.
        """
        from autotrack.store import registry

        text = safe_tag(checked_key(key), str(value))
        registry.set_model_tag(self._registry_store(), checked_model_name(name), checked_name(key), text)

    def delete_registered_model_tag(self, name: str, key: str) -> None:
        """Delete a tag of a registered model; as in MLflow, one that is not there is no error.

        Raises:
            NotFoundError: There is no such model.
        """
        from autotrack.store import registry

        registry.delete_model_tag(self._registry_store(), checked_model_name(name), checked_name(key))

    def set_registered_model_alias(self, name: str, alias: str, version: str | int) -> None:
        """Have an alias point at a version from now on, and no longer at another one.

        Args:
            name: The registered model.
            alias: Letters, digits, `_` and `-`; not `latest`, and nothing that reads like a version (`3`, `v3`).
            version: Its version.

        Raises:
            NotFoundError: There is no such model or version.
            InvalidArgumentError: The alias is not usable.
        """
        from autotrack.store import registry

        number = checked_version(version)
        registry.set_alias(self._registry_store(), checked_model_name(name), checked_alias(alias), number)

    def delete_registered_model_alias(self, name: str, alias: str) -> None:
        """Delete an alias; as in MLflow, one that is not there is no error.

        Raises:
            NotFoundError: There is no such model.
        """
        from autotrack.store import registry

        registry.delete_alias(self._registry_store(), checked_model_name(name), checked_key(alias, "alias"))
