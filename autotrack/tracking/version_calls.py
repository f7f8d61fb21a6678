"""The part of `Client` that is about versions of registered models.

A version points at the files of a logged model; it neither copies nor owns them.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

from autotrack import records
from autotrack.errors import InvalidArgumentError
from autotrack.tracking import model_places, session
from autotrack.tracking.model_places import Place
from autotrack.tracking.registry_access import RegistryAccess, place_of_model
from autotrack.tracking.registry_names import checked_model_name, checked_version
from autotrack.tracking.values import (
    checked_filter,
    checked_id,
    checked_key,
    checked_list,
    checked_name,
    checked_note,
    checked_tags,
    checked_texts,
    safe_tag,
    shown_text,
)


class VersionCalls(RegistryAccess):
    """Calls about versions of registered models."""

    def create_model_version(
        self,
        name: str,
        source: str,
        run_id: str | None = None,
        tags: Mapping[str, object] | None = None,
        run_link: str | None = None,
        description: str | None = None,
        await_creation_for: int = 300,
        model_id: str | None = None,
    ) -> records.ModelVersion:
        """Make the next version of a registered model.

        Args:
            name: The registered model, which is there.
            source: Where the model is: `runs:/<run id>/<name>`, `models:/...`, a path or a URL. A URL is not looked at.
            run_id: The run that put it out; by default the one that `source` names.
            tags: The version's tags.
            run_link: A URL of the run.
            description: What the version is about.
            await_creation_for: Accepted for MLflow's sake; the version is ready when this returns.
            model_id: The logged model that it is; by default the one that `source` names.

        Raises:
            NotFoundError: There is no such registered model, or `source` or `model_id` names what is not there.
            InvalidArgumentError: An argument is not usable.
        """
        del await_creation_for
        name, tags, texts = checked_model_name(name), checked_tags(tags), _texts(description, run_link)
        place = place_of_model(
            self, checked_key(os.fspath(source) if isinstance(source, os.PathLike) else source, "source")
        )
        if model_id is not None:
            known = model_places.of_models_uri(
                self, self._registry_store, f"models:/{checked_id(model_id, 'model_id')}"
            )
            place = known._replace(source=place.source)
        if run_id is not None:
            place = place._replace(run_id=checked_id(run_id, "run_id"))
        return self._add_version(name, place, tags, *texts)

    def _add_version(
        self, name: str, place: Place, tags: Mapping[str, str], description: str = "", run_link: str = ""
    ) -> records.ModelVersion:
        from autotrack.store import registry

        store = self._registry_store()
        new = registry.NewVersion(
            **place._asdict(), description=description, run_link=run_link, user_id=session.user_name()
        )
        return self.get_model_version(name, registry.create_version(store, name, new, tags))

    def register_model(
        self, model_uri: str, name: str, tags: Mapping[str, object] | None = None
    ) -> records.ModelVersion:
        """Make a model the next version of a registered model, which is made where there is none of that name.

        Args:
            model_uri: As for `autotrack.load_model`; here the model must be there.
            name: The registered model.
            tags: The version's tags.

        Raises:
            NotFoundError: There is no such run, model, version or alias.
            ModelFormatError: It is a path or URL, and no model is there.
            InvalidArgumentError: An argument is not usable.
        """
        from autotrack.store import registry

        name, labels = checked_model_name(name), checked_tags(tags)
        place = place_of_model(self, checked_key(model_uri, "model_uri"))
        if not place.signature and not place.digest:
            place = model_places.described(place, self.location)
        registry.ensure_model(self._registry_store(), name)
        return self._add_version(name, place, labels)

    def copy_model_version(self, src_model_uri: str, dst_name: str) -> records.ModelVersion:
        """Make a version of one registered model the next version of another one, which is made where there is none.

        Args:
            src_model_uri: `models:/name/3`, `models:/name/latest` or `models:/name@alias`. Its description and tags are
                copied, its aliases are not.
            dst_name: The other registered model.

        Raises:
            NotFoundError: There is no such version or alias.
            InvalidArgumentError: An argument is not usable.
        """
        from autotrack.models.uris import parse_models_uri
        from autotrack.store import registry

        dst_name = checked_model_name(dst_name, "dst_name")
        uri = checked_key(src_model_uri, "src_model_uri")
        parsed = parse_models_uri(uri) if uri.startswith("models:") else None
        if parsed is None or parsed.model_id:
            raise InvalidArgumentError("src_model_uri", uri, "models:/<name>/<version> or models:/<name>@<alias>")
        if parsed.version is not None:
            found = self.get_model_version(parsed.name, parsed.version)
        else:
            found = self.get_model_version_by_alias(parsed.name, parsed.alias or "latest")
        registry.ensure_model(self._registry_store(), dst_name)
        place = Place(found.source, found.run_id, found.model_id, found.digest, found.signature)
        return self._add_version(dst_name, place, found.tags, found.description, found.run_link)

    def get_model_version(self, name: str, version: str | int) -> records.ModelVersion:
        """A version of a registered model.

        Raises:
            NotFoundError: There is no such model or version.
            InvalidArgumentError: The version is no number.
        """
        from autotrack.store import registry_reading

        number = checked_version(version)
        return registry_reading.version(self._registry_store(), checked_model_name(name), number)

    def get_latest_versions(self, name: str, stages: Sequence[str] | None = None) -> list[records.ModelVersion]:
        """The newest version of a registered model, alone in a list; an empty list where it has none.

        Args:
            name: The registered model.
            stages: Of MLflow, which has given stages up for aliases; None alone.

        Raises:
            NotFoundError: There is no such model.
            InvalidArgumentError: A stage is asked for.
        """
        from autotrack.store import registry_reading

        if stages is not None and [str(one).lower() for one in checked_list(stages, "stages")] != ["none"]:
            raise InvalidArgumentError("stages", stages, "None; versions have aliases in their place")
        newest = registry_reading.latest(self._registry_store(), checked_model_name(name))
        return [] if newest is None else [newest]

    def get_model_version_download_uri(self, name: str, version: str | int) -> str:
        """Path or URL of a version's directory.

        Raises:
            NotFoundError: There is no such model or version.
        """
        return self.get_model_version(name, version).source

    def get_model_version_by_alias(self, name: str, alias: str) -> records.ModelVersion:
        """The version that an alias points at; `latest` is the newest.

        Raises:
            NotFoundError: There is no such model or alias.
        """
        from autotrack.store import registry_reading

        alias = checked_key(alias, "alias")
        if alias.lower() == "latest":
            newest = self.get_latest_versions(name)
            if newest:
                return newest[0]
        return registry_reading.aliased(self._registry_store(), checked_model_name(name), alias)

    def update_model_version(
        self, name: str, version: str | int, description: str | None = None
    ) -> records.ModelVersion:
        """Set a version's description.

        Raises:
            NotFoundError: There is no such model or version.
            InvalidArgumentError: The description is no text.
        """
        from autotrack.store import registry

        text, number = shown_text(description, "description"), checked_version(version)
        registry.describe_version(self._registry_store(), checked_model_name(name), number, text)
        return self.get_model_version(name, number)

    def delete_model_version(self, name: str, version: str | int) -> None:
        """Delete a version, and the aliases that point at it; its number is not given again, its files stay.

        Raises:
            NotFoundError: There is no such model or version.
        """
        from autotrack.store import registry

        registry.delete_version(self._registry_store(), checked_model_name(name), checked_version(version))

    def search_model_versions(
        self,
        filter_string: str | None = None,
        max_results: int = 10_000,
        order_by: Sequence[str] | None = None,
        page_token: str | None = None,
    ) -> records.Page[records.ModelVersion]:
        """Versions that a filter matches, what was changed last first unless `order_by` says otherwise.

        Args:
            filter_string: For example `name = 'fraud' and run_id IN ('...', '...')`; it names `name`,
                `version_number`, `run_id`, `model_id`, `source_path`, `status`, `user_id`, `description`, `digest`,
                `creation_timestamp`, `last_updated_timestamp` and `tags.<key>`.
            max_results: Versions in a page.
            order_by: For example `["version_number DESC"]`.
            page_token: The `token` of the page before.

        Raises:
            FilterSyntaxError: The filter or the order does not parse.
            InvalidArgumentError: Another argument is not usable.
        """
        from autotrack.store import registry_reading

        text = checked_filter(filter_string)
        order = checked_texts(order_by, "order_by")
        return registry_reading.search_versions(self._registry_store(), text, max_results, order, page_token)

    def set_model_version_tag(
        self,
        name: str,
        version: str | int | None = None,
        key: str | None = None,
        value: object = None,
        stage: str | None = None,
    ) -> None:
        """Set a tag of a version.

        Raises:
            NotFoundError: There is no such model or version.
            InvalidArgumentError: The key is not usable, or a stage is named: versions have none.
        """
        from autotrack.store import registry

        number, text = _version_not_stage(version, stage), safe_tag(checked_key(key), str(value))
        registry.set_version_tag(self._registry_store(), checked_model_name(name), number, checked_name(key), text)

    def delete_model_version_tag(
        self, name: str, version: str | int | None = None, key: str | None = None, stage: str | None = None
    ) -> None:
        """Delete a tag of a version; as in MLflow, one that is not there is no error.

        Raises:
            NotFoundError: There is no such model or version.
            InvalidArgumentError: A stage is named: versions have none.
        """
        from autotrack.store import registry

        number, key = _version_not_stage(version, stage), checked_name(key)
        registry.delete_version_tag(self._registry_store(), checked_model_name(name), number, key)


def _texts(description: str | None, run_link: str | None) -> tuple[str, str]:
    return checked_note(description, "description"), checked_note(run_link, "run_link")


def _version_not_stage(version: str | int | None, stage: str | None) -> int:
    if stage is not None:
        raise InvalidArgumentError("stage", stage, "None; versions have aliases in their place: name the version")
    return checked_version(version)
