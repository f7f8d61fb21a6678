"""Opening stores: what is made, what is shared, what is refused."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from autotrack import config
from autotrack import events as ev
from autotrack.errors import InvalidArgumentError, StoreError
from autotrack.store.engine import Store, default_artifact_root, resolve_url
from autotrack.store.location import artifact_uri, locate, sqlite_file
from autotrack.store.reading import Reader
from autotrack.store.writing import Writer, create_experiment


@pytest.fixture(autouse=True)
def _clean_settings(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.delenv("AUTOTRACK_TRACKING_URI", raising=False)
    config.reload()
    yield
    config.reload()


def test_without_a_uri_the_store_is_in_the_projects_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The nearest `.autotrack` above the current folder is used, and made with its parts where there is none."""
    (tmp_path / "deep" / "er").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    store = Store.open()
    home = tmp_path / ".autotrack"
    assert sqlite_file(store.url) == home / "autotrack.db"
    assert (home / ".gitignore").read_text() == "*\n"
    assert (home / "artifacts").is_dir()
    assert (home / "journal").is_dir()
    monkeypatch.chdir(tmp_path / "deep" / "er")
    assert Store.open() is store
    assert default_artifact_root(store) == str(home / "artifacts")


def test_the_setting_tracking_uri_names_the_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`AUTOTRACK_TRACKING_URI` counts where no URI is given."""
    monkeypatch.setenv("AUTOTRACK_TRACKING_URI", str(tmp_path / "elsewhere"))
    config.reload()
    assert sqlite_file(resolve_url()) == tmp_path / "elsewhere" / "autotrack.db"


def test_all_ways_to_name_a_file_give_one_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Folder, `Path`, `file:` URL, sqlite URL, relative path and symbolic link lead to one URL, key and object."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "data")
    names = ["data", tmp_path / "data", (tmp_path / "data").as_uri(), "link", "data/autotrack.db"]
    names += [f"sqlite:///{tmp_path}/data/autotrack.db", "sqlite:///data/autotrack.db"]
    stores = {Store.open(name) for name in names}
    assert len(stores) == 1
    assert len({locate(name).key for name in names}) == 1


@pytest.mark.parametrize("name", ["a b", "50%", "what?", "no#1", "ünï", "x%20y", "a+b&c=d", "semi;colon"])
def test_odd_characters_in_a_path_are_just_characters(tmp_path: Path, name: str) -> None:
    """The file is made where it was asked for, whatever the folder is called, and its URL leads back to it."""
    store = Store.open(tmp_path / name)
    assert (tmp_path / name / "autotrack.db").is_file()
    assert Store.open(store.url) is store


@pytest.mark.parametrize(
    "uri", ["http://server:5000", "databricks", "mongodb://x/y", "sqlite://", "sqlite:///:memory:", "mysql://[::1"]
)
def test_a_uri_of_no_known_kind_is_refused_by_name(uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error says which kinds there are; a plain word is a folder."""
    monkeypatch.chdir(tmp_path)
    if uri == "databricks":
        assert Store.open(uri).location.folder == tmp_path / uri
        return
    with pytest.raises(InvalidArgumentError, match=r"sqlite:///|mysql://user"):
        Store.open(uri)


def test_credentials_are_neither_shown_nor_part_of_the_key() -> None:
    """What is shown and hashed has no user, no password and no options."""
    one = locate("postgresql://me:secret@host:5432/db?sslpassword=hidden")
    other = locate("postgresql://host:5432/db")
    assert one.key == other.key
    assert one.safe_url == "postgresql://host:5432/db"
    assert "secret" in one.url


@pytest.mark.parametrize(
    ("url", "full", "shown"),
    [
        ("postgres://Host/db", "postgresql+psycopg://host/db", "postgresql://host/db"),
        ("postgresql+psycopg2://host/db", "postgresql+psycopg://host/db", "postgresql://host/db"),
        ("postgresql+psycopg://u:p@h:1/db?sslmode=require", None, "postgresql://h:1/db"),
        ("postgresql:///db?host=/run/pg&password=pw", None, "postgresql:///db?host=/run/pg"),
        ("mysql://u@[::1]:3306/db", "mysql+pymysql://u@[::1]:3306/db", "mysql://[::1]:3306/db"),
        ("mariadb+mysqldb://h/db?charset=latin1", "mysql+pymysql://h/db?charset=latin1", "mysql://h/db"),
        ("mysql://u:a@b:c@h/db", "mysql+pymysql://u:a%40b%3Ac@h/db", "mysql://h/db"),
        ("mysql://u:a%40b%2Fc@h/db", "mysql+pymysql://u:a%40b%2Fc@h/db", "mysql://h/db"),
    ],
)
def test_a_servers_url_is_read_whatever_its_driver(url: str, full: str | None, shown: str) -> None:
    """Any spelling comes to the one driver; special characters in a password are kept; what is shown has no secret."""
    found = locate(url)
    assert found.url == (full or url.replace("postgresql:", "postgresql+psycopg:"))
    assert found.safe_url == shown
    assert locate(found.url) == found


def test_servers_by_socket_are_told_apart() -> None:
    """Two sockets are two stores, with journals of their own."""
    assert locate("postgresql:///db?host=/run/a").key != locate("postgresql:///db?host=/run/b").key


@pytest.mark.parametrize(
    "rest",
    ["me:top/secret@host/db", "me:top#secret@host/db", "me:top?secret@host/db", "me:5/top?x=1&secret@h/db", "host"],
)
def test_a_servers_url_that_cannot_be_read_is_refused_without_showing_it(rest: str) -> None:
    """A password with special characters in it, or no database: the error says what to write, not what was written."""
    with pytest.raises(InvalidArgumentError, match="user:password@host") as caught:
        locate(f"postgresql://{rest}")
    assert "top" not in str(caught.value)
    assert "secret" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_a_server_that_is_away_is_a_transient_error_without_credentials() -> None:
    """Nobody listens on that port: trying again may help, and the message gives no password away."""
    pytest.importorskip("psycopg")
    with pytest.raises(StoreError) as caught:
        Store.open("postgresql://me:secret@127.0.0.1:1/db")
    assert caught.value.transient
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(("scheme", "driver"), [("postgresql", "psycopg"), ("mysql", "pymysql")])
def test_a_refused_connection_says_what_where_and_what_to_do(scheme: str, driver: str) -> None:
    """The message names the address without its user and password, the reason, and what to look at."""
    pytest.importorskip(driver)
    with pytest.raises(StoreError) as caught:
        Store.open(f"{scheme}://me:secret@127.0.0.1:1/db")
    message = str(caught.value)
    assert message.startswith(f"store {scheme}://127.0.0.1:1/db: ")
    assert "refused" in message
    assert message.endswith("; see that the database server runs there, and that host and port in the URL are right")


@pytest.mark.parametrize("variable", ["AUTOTRACK_TEST_POSTGRES_URL", "AUTOTRACK_TEST_MARIADB_URL"])
def test_a_missing_database_says_what_to_do(variable: str) -> None:
    """Each server words it in its own way; both messages end with the remedy."""
    url = os.environ.get(variable)
    if url is None:
        pytest.skip(f"{variable} is not set")
    with pytest.raises(StoreError, match=r"autotrack_no_such_database.*CREATE DATABASE"):
        Store.open(url.rpartition("/")[0] + "/autotrack_no_such_database")


def test_a_file_that_is_no_database_is_refused_with_a_hint(tmp_path: Path) -> None:
    """The message names the file and what to do, and the file stays as it was."""
    path = tmp_path / "notes.db"
    path.write_bytes(b"these are my notes, not a database" * 100)
    with pytest.raises(StoreError, match=r"notes\.db.*not a database.*move it away") as caught:
        Store.open(path)
    assert not caught.value.transient
    assert path.read_bytes().startswith(b"these are my notes")


def test_a_damaged_database_is_refused_with_a_hint(tmp_path: Path) -> None:
    """A page of garbage in the middle ends in a clear error, not in a traceback of the driver."""
    store = Store.open(tmp_path / "broken.db")
    with store.engine.connect() as connection:
        connection.rollback()
        connection.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    store.dispose()
    Store._open.clear()
    data = bytearray((tmp_path / "broken.db").read_bytes())
    data[100:8192] = b"\xff" * (8192 - 100)
    (tmp_path / "broken.db").write_bytes(data)
    with pytest.raises(StoreError, match=r"broken\.db.*malformed.*recover"):
        Store.open(tmp_path / "broken.db")


def test_a_database_of_another_program_is_left_alone(tmp_path: Path) -> None:
    """Tables are not mixed into a file that already holds other ones."""
    with sqlite3.connect(tmp_path / "other.db") as raw:
        raw.execute("CREATE TABLE runs (name TEXT)")
    with pytest.raises(StoreError, match=r"other tables \(runs\)"):
        Store.open(tmp_path / "other.db")
    with sqlite3.connect(tmp_path / "other.db") as raw:
        assert raw.execute("SELECT count(*) FROM sqlite_master").fetchone() == (1,)


def test_a_folder_that_cannot_be_made_is_a_store_error(tmp_path: Path) -> None:
    """A file stands where the folder should be: the error names it and says how to choose another."""
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match=r"cannot make the folder.*AUTOTRACK_TRACKING_URI"):
        Store.open(tmp_path / "file" / "sub")


def test_a_database_that_cannot_be_opened_is_a_store_error(tmp_path: Path) -> None:
    """A folder stands where the file should be: the error says how to choose another place."""
    (tmp_path / "autotrack.db").mkdir()
    with pytest.raises(StoreError, match=r"unable to open.*AUTOTRACK_TRACKING_URI"):
        Store.open(tmp_path / "autotrack.db")


def test_an_empty_file_becomes_a_store(tmp_path: Path) -> None:
    """A file of no bytes (a process died before its first commit) is a new database."""
    (tmp_path / "empty.db").touch()
    with Store.open(tmp_path / "empty.db").reading() as connection:
        assert connection.exec_driver_sql("SELECT id, name FROM experiments").all() == [(0, "Default")]


def test_sqlite_is_set_up_for_one_writer_and_many_readers(tmp_path: Path) -> None:
    """WAL, NORMAL, foreign keys, a busy timeout of 30 s, no mmap."""
    expected = {"journal_mode": "wal", "synchronous": 1, "foreign_keys": 1, "busy_timeout": 30_000, "mmap_size": 0}
    with Store.open(tmp_path).reading() as connection:
        found = {name: connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in expected}
    assert found == expected


def test_a_locked_database_is_a_transient_error(tmp_path: Path) -> None:
    """Another program holds the write lock: the error says so and that trying again may help."""
    store = Store.open(tmp_path)
    with sqlite3.connect(tmp_path / "autotrack.db", isolation_level=None) as other:
        other.execute("BEGIN IMMEDIATE")
        with store.reading() as connection:
            connection.exec_driver_sql("PRAGMA busy_timeout=1")
        with pytest.raises(StoreError, match="locked") as caught, store.transaction():
            pass
        assert caught.value.transient
        other.execute("ROLLBACK")


def test_a_reader_does_not_wait_for_a_writer(tmp_path: Path) -> None:
    """While one transaction writes, another reads the state before it."""
    store = Store.open(tmp_path)
    with store.transaction() as writer:
        writer.exec_driver_sql("UPDATE experiments SET name = 'new'")
        with store.reading() as reader:
            assert reader.exec_driver_sql("SELECT name FROM experiments").scalar() == "Default"


def test_a_reader_sees_one_state_all_along(store: Store) -> None:
    """What is committed elsewhere between two statements of a reader does not show in the second, on any engine."""
    query = "SELECT count(*) FROM tags"
    with store.reading() as reader:
        assert reader.exec_driver_sql(query).scalar() == 0
        with store.transaction() as writer:
            Writer(store).apply(writer, [ev.RunStarted("a", "s", 1, "n"), ev.TagsSet("a", {"k": "v"})], "j")
        assert reader.exec_driver_sql(query).scalar() == 0
    with store.reading() as reader:
        assert reader.exec_driver_sql(query).scalar() == 1
    with store.transaction() as writer:
        writer.exec_driver_sql("UPDATE tags SET value = 'w'")


@pytest.mark.parametrize("store", ["postgresql", "mysql"], indirect=True)
def test_a_connection_that_the_server_closed_is_replaced(store: Store) -> None:
    """Connections that wait in the pool and were cut off meanwhile are nothing that a caller notices."""
    ids = {"postgresql": "SELECT pg_backend_pid()", "mysql": "SELECT connection_id()"}
    kill = {"postgresql": "SELECT pg_terminate_backend({}, 5000)", "mysql": "KILL {}"}
    with store.reading() as one, store.reading() as two:
        found = [connection.exec_driver_sql(ids[store.dialect.scheme]).scalar() for connection in (one, two)]
    other = Store(store.location)
    with other.engine.connect() as connection:
        for number in found:
            connection.exec_driver_sql(kill[store.dialect.scheme].format(number))
    other.dispose()
    with store.transaction() as one, store.reading() as two:
        assert one.exec_driver_sql("SELECT 1").scalar() == two.exec_driver_sql("SELECT 1").scalar() == 1


def test_keys_are_one_only_where_they_are_equal(store: Store, record: Callable[..., None], reader: Reader) -> None:
    """Case, accents, blanks at either end, width, composition and emoji make keys and values differ on every engine."""
    keys = ["key", "Key", "k\xe9y", "ke\u0301y", "key ", " key", "key\t", "key\u200b", "\uff4bey"]
    keys += ["k😀", "k😁", "straße", "strasse"]
    run_id = "a" * 32
    record(ev.RunStarted(run_id, "s", 1, "n"), ev.ParamsLogged(run_id, [ev.Param(key, key) for key in keys]))
    record(ev.MetricsLogged(run_id, {key: float(number) for number, key in enumerate(keys)}, 1))
    record(ev.TagsSet(run_id, {key: key for key in keys}))
    ids = {create_experiment(store, key, tags={key: key}) for key in keys}
    assert len(ids) == len(keys)
    data = reader.run(run_id).data
    assert data.params == data.tags == {key: key for key in keys}
    assert data.metrics == {key: float(number) for number, key in enumerate(keys)}
    for number, key in enumerate(keys):
        assert reader.experiment_by_name(key).tags == {key: key}
        for text in (f"tags.`{key}` = '{key}'", f"metrics.`{key}` = {number}", f"tags.`{key}` like '{key}'"):
            assert len(reader.search_runs(None, text)) == 1, text
        for other in keys:
            found = reader.search_runs(None, f"params.`{key}` = '{other}'")
            assert len(found) == (key == other), (key, other)


def test_an_exception_rolls_the_transaction_back(tmp_path: Path) -> None:
    """Nothing of a transaction that an exception leaves is kept, and the exception is the caller's own."""
    store = Store.open(tmp_path)

    def fail() -> None:
        with store.transaction() as connection:
            connection.exec_driver_sql("UPDATE experiments SET name = 'new'")
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    with store.reading() as connection:
        assert connection.exec_driver_sql("SELECT name FROM experiments").scalar() == "Default"


def test_errors_of_the_driver_leave_as_store_errors(tmp_path: Path) -> None:
    """A wrong statement is a permanent `StoreError` whose cause is kept."""
    store = Store.open(tmp_path)
    with pytest.raises(StoreError, match="no such table") as caught, store.reading() as connection:
        connection.exec_driver_sql("SELECT * FROM nowhere")
    assert not caught.value.transient
    assert caught.value.__cause__ is not None


RACE = """
import sys, time
from autotrack.store.engine import Store
while time.time() < float(sys.argv[2]): pass
with Store.open(sys.argv[1]).reading() as connection:
    print(connection.exec_driver_sql("SELECT count(*) FROM experiments").scalar())
"""


def test_eight_processes_that_open_an_empty_store_at_once_all_succeed(tmp_path: Path) -> None:
    """One makes the tables, seven find them; none fails and nothing is made twice."""
    import time

    arguments = [sys.executable, "-c", RACE, str(tmp_path), str(time.time() + 1.5)]
    children = [subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE) for _ in range(8)]
    done = [child.communicate() for child in children]
    assert [(out.strip(), error) for out, error in done] == [(b"1", b"")] * 8


def test_threads_share_one_store(tmp_path: Path) -> None:
    """Sixteen threads that open the same URL get the same object."""
    found: list[Store] = []
    threads = [threading.Thread(target=lambda: found.append(Store.open(tmp_path))) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 16
    assert len(set(found)) == 1


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_forked_child_uses_connections_of_its_own(store: Store) -> None:
    """The parent's store, used in the child, writes over new connections; the parent's transaction goes on."""
    with store.reading() as connection:
        mine = id(connection.connection.dbapi_connection)
        child = os.fork()
        if child == 0:
            code = 1
            try:
                with store.transaction() as own:
                    if id(own.connection.dbapi_connection) != mine and Store.open(store.url) is not store:
                        own.exec_driver_sql("UPDATE experiments SET name = 'child'")
                        code = 0
            finally:
                os._exit(code)
        assert os.waitpid(child, 0)[1] == 0
        assert connection.exec_driver_sql("SELECT name FROM experiments").scalar() == "child"
    with store.transaction() as connection:
        connection.exec_driver_sql("UPDATE experiments SET name = 'parent'")


def test_artifacts_lie_in_a_folder_of_the_run(tmp_path: Path) -> None:
    """A trailing slash of the root makes no difference."""
    assert artifact_uri("s3://bucket/x/", "ab") == artifact_uri("s3://bucket/x", "ab") == "s3://bucket/x/ab"
