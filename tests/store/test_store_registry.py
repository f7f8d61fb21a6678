"""The model registry's tables, on every engine: numbers of versions, aliases, searches, events."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select

from autotrack import clock
from autotrack import events as ev
from autotrack.errors import AlreadyExistsError, FilterSyntaxError, InvalidArgumentError, NotFoundError
from autotrack.store import registry, registry_reading, schema
from autotrack.store.engine import Store, retried
from autotrack.store.registry import NewVersion

A = "a" * 32
RESERVED = "a%b_c'd\"e`f é漢 "


def add(store: Store, name: str, count: int = 1, **fields: Any) -> list[int]:
    """Makes versions of a registered model, and the model too where it is not there."""
    registry.ensure_model(store, name)
    new = NewVersion(**{"source": f"/models/{name}", **fields})
    return [registry.create_version(store, name, new, {}) for _ in range(count)]


def numbers(store: Store, name: str) -> list[int]:
    """Numbers of the versions of a registered model, ascending."""
    found = registry_reading.search_versions(store, "", 1000, [], None)
    return sorted(int(version.version) for version in found if version.name == name)


def names(store: Store, text: str = "", *order: str) -> list[str]:
    """Names of the registered models that a filter matches."""
    return [one.name for one in registry_reading.search_models(store, text, 100, order, None)]


def rows_of(store: Store, *tables: Any) -> list[int]:
    """How many rows there are in tables."""
    with store.reading() as connection:
        return [int(connection.execute(select(func.count()).select_from(table)).scalar_one()) for table in tables]


def test_what_is_registered_comes_back_whole(store: Store) -> None:
    """Every field of a model and of its versions, with names and values of any characters."""
    registry.create_model(store, RESERVED, {"team": "ünï", "a%": "'"}, "what it is")
    new = NewVersion("s3://bucket/m", A, "m" * 32, "first", "me", "http://x", "d" * 64, '{"inputs": "[]"}')
    assert registry.create_version(store, RESERVED, new, {"k": "v", "z": ""}) == 1
    registry.set_alias(store, RESERVED, "champion", 1)
    registry.set_alias(store, RESERVED, "best", 1)
    version = registry_reading.version(store, RESERVED, 1)
    assert version.to_dict() == {
        "name": RESERVED, "version": "1", "creation_timestamp": version.creation_timestamp,
        "last_updated_timestamp": version.creation_timestamp, "description": "first", "user_id": "me",
        "source": "s3://bucket/m", "run_id": A, "status": "READY", "status_message": "", "tags": {"k": "v", "z": ""},
        "run_link": "http://x", "aliases": ["best", "champion"], "model_id": "m" * 32, "digest": "d" * 64,
        "signature": '{"inputs": "[]"}',
    }  # fmt: skip
    model = registry_reading.model(store, RESERVED)
    assert (model.description, model.tags) == ("what it is", {"a%": "'", "team": "ünï"})
    assert (model.latest_versions, model.aliases) == ([version], {"best": "1", "champion": "1"})
    assert registry_reading.aliased(store, RESERVED, "best") == registry_reading.latest(store, RESERVED) == version


def test_numbers_are_given_in_turn_and_never_twice(store: Store) -> None:
    """A number that was deleted is not given again, not even the highest; another name counts for itself."""
    assert add(store, "m", 3) == [1, 2, 3]
    registry.delete_version(store, "m", 3)
    registry.delete_version(store, "m", 1)
    assert add(store, "m") == [4]
    assert add(store, "other") == [1]
    assert numbers(store, "m") == [2, 4]


def test_writers_at_once_make_versions_without_gaps_or_duplicates(store: Store) -> None:
    """Eight threads that register one name at once, the model itself included, get 1 to 40."""
    got: list[int] = []
    start = threading.Barrier(8)

    def register() -> None:
        start.wait()
        got.extend(add(store, "m", 5))

    threads = [threading.Thread(target=register) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(got) == list(range(1, 41)) == numbers(store, "m")


def test_processes_at_once_make_versions_without_gaps_or_duplicates(tmp_path: Path) -> None:
    """Eight processes on one SQLite file that is not even there yet get 1 to 24 between them."""
    code = (
        "import sys; from autotrack.store import registry; from autotrack.store.engine import Store\n"
        "store = Store.open(sys.argv[1]); registry.ensure_model(store, 'm')\n"
        "print(*[registry.create_version(store, 'm', registry.NewVersion('/x'), {}) for _ in range(3)])"
    )
    arguments = [sys.executable, "-c", code, str(tmp_path / "one.db")]
    children = [subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) for _ in range(8)]
    printed = [child.communicate()[0] for child in children]
    assert [child.returncode for child in children] == [0] * 8
    assert sorted(int(word) for text in printed for word in text.split()) == list(range(1, 25))


def test_an_alias_moves_and_always_points_at_a_version(store: Store) -> None:
    """While one thread moves an alias to and fro, every read finds it, at one of the two."""
    add(store, "m", 2)
    registry.set_alias(store, "m", "champion", 1)
    done = threading.Event()

    def move() -> None:
        try:
            for number in (2, 1) * 20:
                registry.set_alias(store, "m", "champion", number)
        finally:
            done.set()

    mover = threading.Thread(target=move)
    mover.start()
    seen = set()
    while not done.is_set():
        seen.add(registry_reading.aliased(store, "m", "champion").version)
    mover.join()
    assert seen <= {"1", "2"}
    assert registry_reading.aliased(store, "m", "champion").version == "1"
    with pytest.raises(NotFoundError, match=r"no version of the registered model 'm' '9'"):
        registry.set_alias(store, "m", "champion", 9)
    registry.delete_alias(store, "m", "champion")
    registry.delete_alias(store, "m", "champion")
    with pytest.raises(NotFoundError, match=r"alias of the registered model 'm' 'champion'.*it has none"):
        registry_reading.aliased(store, "m", "champion")


def test_what_is_deleted_takes_all_that_hangs_on_it_along(store: Store) -> None:
    """A version takes its aliases and tags, a model its versions too; other models keep theirs."""
    for name in ("m", "other"):
        add(store, name, 2)
        registry.set_model_tag(store, name, "k", "v")
        registry.set_version_tag(store, name, 2, "k", "v")
        registry.set_alias(store, name, "old", 1)
        registry.set_alias(store, name, "new", 2)
    registry.delete_version(store, "m", 2)
    assert registry_reading.model(store, "m").aliases == {"old": "1"}
    assert registry_reading.latest(store, "m") == registry_reading.version(store, "m", 1)
    registry.delete_model(store, "m")
    tables = (schema.registered_models, schema.model_versions, schema.registered_model_aliases)
    assert rows_of(store, *tables, schema.registered_model_tags, schema.model_version_tags) == [1, 2, 2, 1, 1]
    assert registry_reading.version(store, "other", 2).tags == {"k": "v"}
    assert add(store, "m") == [1]


def test_a_model_is_renamed_and_described_with_all_it_has(store: Store) -> None:
    """Versions, aliases and tags go along; a name that is taken is refused, by creating too."""
    add(store, "m", 1)
    registry.set_alias(store, "m", "champion", 1)
    registry.set_model_tag(store, "m", "k", "1")
    registry.set_model_tag(store, "m", "k", "2")
    registry.describe_model(store, "m", "one")
    registry.rename_model(store, "m", "new")
    registry.rename_model(store, "new", "new")
    model = registry_reading.model(store, "new")
    assert (model.aliases, model.tags, model.description) == ({"champion": "1"}, {"k": "2"}, "one")
    assert model.latest_versions[0].name == "new"
    registry.delete_model_tag(store, "new", "k")
    registry.describe_version(store, "new", 1, "text")
    registry.set_version_tag(store, "new", 1, "k", "v")
    registry.delete_version_tag(store, "new", 1, "k")
    assert registry_reading.model(store, "new").tags == registry_reading.version(store, "new", 1).tags == {}
    assert registry_reading.version(store, "new", 1).description == "text"
    registry.create_model(store, "taken", {}, "")
    for refused in (registry.rename_model, lambda *_: registry.create_model(store, "taken", {}, "")):
        with pytest.raises(AlreadyExistsError, match="registered model 'taken' exists already"):
            refused(store, "new", "taken")
    assert names(store) == ["new", "taken"]


def test_what_is_not_there_is_named(store: Store) -> None:
    """Every call names the model or the version that it did not find, and changes nothing."""
    add(store, "m", 1)
    for call in (
        lambda: registry.rename_model(store, "x", "y"),
        lambda: registry.describe_model(store, "x", "y"),
        lambda: registry.delete_model(store, "x"),
        lambda: registry.set_model_tag(store, "x", "k", "v"),
        lambda: registry.delete_model_tag(store, "x", "k"),
        lambda: registry.set_alias(store, "x", "a", 1),
        lambda: registry.delete_alias(store, "x", "a"),
        lambda: registry.create_version(store, "x", NewVersion("/s"), {}),
        lambda: registry.set_version_tag(store, "x", 1, "k", "v"),
        lambda: registry_reading.model(store, "x"),
        lambda: registry_reading.version(store, "x", 1),
        lambda: registry_reading.latest(store, "x"),
        lambda: registry_reading.aliased(store, "x", "a"),
    ):
        with pytest.raises(NotFoundError, match="no registered model 'x' in this store"):
            call()
    for call in (
        lambda: registry.describe_version(store, "m", 7, "y"),
        lambda: registry.delete_version(store, "m", 7),
        lambda: registry.set_version_tag(store, "m", 7, "k", "v"),
        lambda: registry.delete_version_tag(store, "m", 7, "k"),
        lambda: registry_reading.version(store, "m", 7),
    ):
        with pytest.raises(NotFoundError, match="no version of the registered model 'm' '7' in this store"):
            call()
    assert rows_of(store, schema.registered_models, schema.model_versions) == [1, 1]


def test_models_are_found_by_filter_and_order(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """By name, text, times and tags, in any order, page after page; by name where nothing else is said."""
    for number, name in enumerate(["forest", "boost", "linear", "Forest2"]):
        monkeypatch.setattr(clock, "now", lambda number=number: 1000 + number)
        registry.create_model(store, name, {"rank": str(number % 2), "t's": "%"} if number else {}, f"about {name}")
    assert names(store) == ["Forest2", "boost", "forest", "linear"]
    assert names(store, "name LIKE 'for%'") == ["forest"]
    assert names(store, "name ILIKE 'for%'") == ["Forest2", "forest"]
    assert names(store, "tags.rank = '1' and creation_timestamp > 1001") == ["Forest2"]
    assert names(store, "tags.`t's` = '%' and description LIKE '%near'") == ["linear"]
    assert names(store, "tags.rank is null or name = 'boost'") == ["boost", "forest"]
    assert names(store, "name = 'x'' or 1=1 --'") == []
    assert names(store, "", "timestamp DESC") == ["Forest2", "linear", "boost", "forest"]
    assert names(store, "", "tags.rank DESC", "name DESC") == ["boost", "Forest2", "linear", "forest"]
    first = registry_reading.search_models(store, "", 3, ["tags.rank"], None)
    second = registry_reading.search_models(store, "", 3, ["tags.rank"], first.token)
    assert [one.name for one in first + second] == ["linear", "Forest2", "boost", "forest"]
    assert second.token is None
    for text in ("metrics.a > 1", "name >", "run_id = 'x'"):
        with pytest.raises(FilterSyntaxError):
            names(store, text)
    with pytest.raises(InvalidArgumentError, match="max_results"):
        registry_reading.search_models(store, "", 0, [], None)


def test_versions_are_found_by_filter_and_order(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """By model, run, source and tags; what changed last comes first where nothing else is said."""
    for number in range(12):
        monkeypatch.setattr(clock, "now", lambda number=number: 1000 + number // 2)
        fields = {"run_id": f"run{number}" if number else None, "source": f"/models/{number}", "model_id": "id"}
        add(store, "ab"[number % 2], **fields)
    monkeypatch.setattr(clock, "now", lambda: 2000)
    registry.set_version_tag(store, "a", 2, "stage", "prod")

    def found(text: str, *order: str) -> list[str]:
        page = registry_reading.search_versions(store, text, 100, order, None)
        return [f"{version.name}{version.version}" for version in page]

    assert found("")[:4] == ["a2", "a6", "b6", "a5"]  # a2 was changed last, by its tag
    assert found("name = 'a'", "version_number ASC") == ["a1", "a2", "a3", "a4", "a5", "a6"]
    assert found("name = 'a' and version_number > 4", "version_number") == ["a5", "a6"]
    assert found("run_id IN ('run3', 'run4')", "name") == ["a3", "b2"]
    assert found("run_id is null") == ["a1"]
    assert found("source_path = '/models/7' and model_id = 'id'") == ["b4"]
    assert found("tags.stage = 'prod'") == ["a2"]
    assert found("", "tags.stage", "name DESC", "version DESC")[:3] == ["a2", "b6", "b5"]
    pages: list[str] = []
    token: str | None = None
    while not pages or token:
        page = registry_reading.search_versions(store, "", 5, [], token)
        pages, token = pages + [f"{version.name}{version.version}" for version in page], page.token
    assert pages == found("")


def test_an_event_makes_one_version_however_often_it_comes(store: Store, record: Callable[..., None]) -> None:
    """Again in one batch, in another one, or in another journal; a model that was logged anew moves its version."""

    def registered(model_id: str, source: str = "/s", name: str = "m") -> ev.ModelRegistered:
        return ev.ModelRegistered(name, model_id, A, 500, source, "dig", "{}", "me")

    record(registered("x"), registered("x"), registered("y"), registered("x", name="n"))
    record(registered("x"), journal="k")
    record(registered("x", "/newer"), journal="k")
    versions = [registry_reading.version(store, "m", number) for number in numbers(store, "m")]
    assert [(one.version, one.model_id, one.source) for one in versions] == [("1", "x", "/newer"), ("2", "y", "/s")]
    assert (versions[0].run_id, versions[0].digest, versions[0].signature) == (A, "dig", "{}")
    assert (versions[0].user_id, versions[0].creation_timestamp) == ("me", 500)
    assert numbers(store, "n") == [1]
    assert rows_of(store, schema.runs) == [0]  # the run may be in another store


def test_journals_at_once_register_without_gaps_or_duplicates(store: Store, record: Callable[..., None]) -> None:
    """Four journals that are moved at once, beside two programs that register by calls, give every number once."""
    start = threading.Barrier(6)

    def move(number: int) -> None:
        start.wait()
        for model in range(5):
            events = [ev.ModelRegistered(name, f"{number}-{model}", A, 1, "/s") for name in ("m", "n")]
            retried(record)(*events, journal=f"j{number}")

    def call() -> None:
        start.wait()
        add(store, "m", 5)

    threads = [threading.Thread(target=move, args=(number,)) for number in range(4)]
    threads += [threading.Thread(target=call) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert numbers(store, "m") == list(range(1, 31))
    assert numbers(store, "n") == list(range(1, 21))


def test_events_and_a_deletion_at_once_leave_whole_models(store: Store, record: Callable[..., None]) -> None:
    """A model that is deleted while a journal registers one is made again; nothing is left half-way."""
    start, done = threading.Barrier(2), threading.Event()

    def delete() -> None:
        start.wait()
        while not done.is_set():
            with contextlib.suppress(NotFoundError):
                registry.delete_model(store, "m")

    thread = threading.Thread(target=delete)
    thread.start()
    start.wait()
    try:
        for number in range(20):
            retried(record)(ev.ModelRegistered("m", f"x{number}", A, 1, "/s"))
    finally:
        done.set()
        thread.join()
    record(ev.ModelRegistered("m", "last", A, 1, "/s"))
    found = numbers(store, "m")
    assert found == list(range(found[-1] - len(found) + 1, found[-1] + 1))
    assert str(found[-1]) == registry_reading.model(store, "m").latest_versions[0].version
    assert registry_reading.version(store, "m", found[-1]).model_id == "last"
