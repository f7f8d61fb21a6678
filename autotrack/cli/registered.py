"""`autotrack models ls` and `autotrack models show NAME`: registered models and their versions."""

from __future__ import annotations

import argparse
from typing import Any

import msgspec

from autotrack import clock
from autotrack.cli import terminal
from autotrack.cli.actions import add_action
from autotrack.cli.stores import NOTHING_YET, add_store_option, exists
from autotrack.client import Client
from autotrack.errors import StoreError
from autotrack.records import ModelVersion, RegisteredModel
from autotrack.tracking.pages import all_pages

WIDEST = 40
"""Most characters of a description or source in a table."""


def add_actions(actions: Any) -> None:
    """What can be asked of the registry."""
    text = "list registered models, by name"
    parser = add_action(actions, "ls", text)
    only = "only models that match, such as \"name LIKE 'fraud%%' and tags.team = 'blue'\""
    parser.add_argument("-f", "--filter", default="", help=only)
    _add_common(parser)
    text = "show a registered model with its versions, the newest first"
    parser = add_action(actions, "show", text)
    parser.add_argument("name", metavar="NAME", help="the registered model")
    _add_common(parser)


def _add_common(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print the whole records as JSON")
    add_store_option(parser)


def _client(options: argparse.Namespace) -> Client:
    return Client(options.store, registry_uri=options.store)


def list_models(options: argparse.Namespace) -> int:
    """List registered models."""
    client = _client(options)
    found: list[RegisteredModel] = []
    if exists(client.registry_location):
        found = all_pages(lambda size, token: client.search_registered_models(options.filter, size, None, token))
        if not found:
            remark = "no registered model is what was asked for" if options.filter else "no model is registered yet"
            terminal.remark(f"{remark} in {client.registry_uri}")
    else:
        terminal.remark(NOTHING_YET.format(client.registry_uri))
    if options.json:
        terminal.write("[" + ",\n".join(model.to_json() for model in found) + "]")
    elif found:
        titles = ("NAME", "LATEST", "ALIASES", "CHANGED", "DESCRIPTION")
        now = clock.now()
        for line in terminal.table(titles, [_model_row(model, now) for model in found], (False, True)):
            terminal.write(terminal.clip(line, terminal.width()))
    return 0


def _model_row(model: RegisteredModel, now: int) -> tuple[str, ...]:
    latest = model.latest_versions[0].version if model.latest_versions else ""
    aliases = ", ".join(f"{alias}: {version}" for alias, version in model.aliases.items())
    text = terminal.clip(model.description, WIDEST)
    return model.name, latest, aliases, terminal.age(model.last_updated_timestamp, now), text


def show_model(options: argparse.Namespace) -> int:
    """Show a registered model.

    Raises:
        NotFoundError: There is none of that name.
        StoreError: There is no such store.
    """
    client = _client(options)
    if not exists(client.registry_location):
        raise StoreError(client.registry_uri, "there is no such store", "record with: autotrack run train.py")
    model = client.get_registered_model(options.name)
    text = "name = '{}'".format(options.name.replace("'", "''"))
    order = ["version_number DESC"]
    versions = all_pages(lambda size, token: client.search_model_versions(text, size, order, token))
    if options.json:
        terminal.write(as_json(model, versions))
        return 0
    for line in lines(model, versions, clock.now()):
        terminal.write(line)
    return 0


def as_json(model: RegisteredModel, versions: list[ModelVersion]) -> str:
    """One JSON object: the model, and all its versions in place of the newest."""
    whole = {**model.to_dict(), "versions": [version.to_dict() for version in versions]}
    whole.pop("latest_versions")
    return msgspec.json.format(msgspec.json.encode(whole)).decode()


def lines(model: RegisteredModel, versions: list[ModelVersion], now: int) -> list[str]:
    """What a person reads."""
    head = [
        ("created", terminal.moment(model.creation_timestamp)),
        ("changed", terminal.age(model.last_updated_timestamp, now)),
        ("description", model.description),
        ("tags", _tags(model.tags)),
    ]
    shown = [terminal.printable(model.name), *terminal.pairs(head)]
    if not versions:
        return [*shown, "", "no version"]
    titles = ("VERSION", "ALIASES", "CREATED", "RUN", "TAGS", "DESCRIPTION", "SOURCE")
    rows = [_version_row(version, now) for version in versions]
    return [*shown, "", *terminal.table(titles, rows, (True,))]


def _version_row(version: ModelVersion, now: int) -> tuple[str, ...]:
    when = terminal.age(version.creation_timestamp, now)
    text = terminal.clip(version.description, WIDEST)
    aliases = ", ".join(version.aliases)
    return version.version, aliases, when, (version.run_id or "")[:8], _tags(version.tags), text, version.source


def _tags(tags: dict[str, str]) -> str:
    return ", ".join(f"{key}={terminal.clip(value, WIDEST)}" for key, value in tags.items())
