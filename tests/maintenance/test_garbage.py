"""`collect_garbage`: what goes, what stays, beside running processes, and after a crash."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from sqlalchemy import select
from whole_runs import contents, files_below, fill, records_of

from autotrack import Client, clock
from autotrack import events as ev
from autotrack.errors import ArtifactError, InvalidArgumentError, NotFoundError
from autotrack.maintenance import Garbage, check_store, collect_garbage
from autotrack.maintenance.garbage import removal
from autotrack.store import schema
from autotrack.store.managing import delete_experiment, delete_run, restore_run
from autotrack.store.reading import Reader
from autotrack.store.replay import write_events
from autotrack.store.writing import Writer
from autotrack.tracking.access import Access

A, B, C = "a" * 32, "b" * 32, "c" * 32


def age(folder: Path) -> None:
    """Make all files below a folder old."""
    for path in (folder, *folder.rglob("*")):
        os.utime(path, (1, 1))


def named(found: Garbage) -> list[tuple[str, str]]:
    """What goes."""
    return [(item.kind, Path(item.name).name) for item in found.items]


def rows_of_runs(access: Access) -> dict[str, int]:
    """How many rows each table has that belongs to runs."""
    rows = contents(access)
    return {name: len(rows[name]) for name in ("runs", "params", "tags", "metric_points", "metric_series", "artifacts")}


@pytest.fixture
def deleted(target: Access) -> Access:
    """A store on each engine with two runs, the first of which is deleted."""
    fill(target, A)
    fill(target, B, "other", 5000, "FINISHED")
    delete_run(target.store, A)
    return target


def test_listing_changes_nothing_and_removing_removes_what_was_listed(deleted: Access) -> None:
    """A dry run names the run with its bytes; then its rows, files and (where nobody shares it) its model are gone."""
    root = Path(deleted.location.artifact_root)
    kept = records_of(deleted, B)
    before = (contents(deleted), files_below(root))
    listed = collect_garbage(deleted.location.url)
    assert (contents(deleted), files_below(root)) == before
    on_disk = deleted.store.dialect.scheme == "sqlite"  # else others may keep models there
    assert named(listed) == [("run", A)] + [("model", A[:8])] * on_disk
    assert not listed.removed
    assert listed.items[0].size == 300_005
    done = collect_garbage(deleted.location.url, dry_run=False)
    assert named(done) == named(listed)
    assert done.removed
    with pytest.raises(NotFoundError):
        Reader(deleted.store).run(A)
    assert records_of(deleted, B) == kept
    assert {path.partition("/")[0] for path in files_below(root)} == {B, "models"}
    assert (root / "models" / A[:8]).exists() != on_disk
    assert all(count == 1 or name in ("params", "metric_points") for name, count in rows_of_runs(deleted).items())
    assert collect_garbage(deleted.location.url, dry_run=False).items == []
    assert check_store(deleted.location.url).findings == []


def test_age_runs_and_experiments_narrow_what_goes(source: Access) -> None:
    """`older_than` counts from the deletion; runs and experiments can be named; what is not deleted is refused."""
    for run_id, experiment in ((A, "exp"), (B, "gone"), (C, "exp")):
        fill(source, run_id, experiment)
    reader = Reader(source.store)
    delete_run(source.store, A)
    delete_experiment(source.store, reader.experiment_by_name("gone").experiment_id)
    url = source.location.url
    assert named(collect_garbage(url, older_than=3600)) == []
    runs = schema.runs
    with source.store.transaction() as connection:
        long_ago = clock.now() - 7_200_000
        connection.execute(runs.update().where(runs.c.run_id == A).values(deleted_time=long_ago))
    assert [name for kind, name in named(collect_garbage(url, older_than=3600)) if kind == "run"] == [A]
    assert named(collect_garbage(url, experiments=["gone"])) == [("run", B), ("experiment", "gone"), ("model", B[:8])]
    assert named(collect_garbage(url, run_ids=[A])) == [("run", A), ("model", A[:8])]
    with pytest.raises(InvalidArgumentError, match="delete it first"):
        collect_garbage(url, run_ids=[C])
    with pytest.raises(NotFoundError):
        collect_garbage(url, run_ids=["d" * 32])
    with pytest.raises(NotFoundError):
        collect_garbage(url, experiments=["none"])
    collect_garbage(url, experiments=["gone"], dry_run=False)
    assert [one.name for one in reader.search_experiments("ALL")] == ["exp", "Default"]


def test_what_a_registered_version_needs_stays(source: Access) -> None:
    """A deleted run whose model is a version of a registered model stays whole, and is told."""
    fill(source, A)
    client = Client(source.location.url)
    client.create_registered_model("best")
    client.create_model_version("best", f"runs:/{A}/model", A)
    delete_run(source.store, A)
    before = files_below(source.location.artifact_root)
    done = collect_garbage(source.location.url, dry_run=False)
    assert done.items == []
    assert done.kept == [f"run {A}: models:/best/1 needs it"]
    assert files_below(source.location.artifact_root) == before
    client.delete_model_version("best", "1")
    assert named(collect_garbage(source.location.url, dry_run=False)) == [("run", A), ("model", A[:8])]


def test_model_that_another_run_refers_to_stays(source: Access) -> None:
    """Equal models are stored once: the directory goes with the last run that refers to it."""
    fill(source, A)
    uri = f"{source.location.artifact_root}/models/{A[:8]}"
    write_events(source.store, [ev.RunStarted(B, "s", 1, "x"), ev.ModelLogged("m-b", B, "model", 1, uri)])
    delete_run(source.store, A)
    assert named(collect_garbage(source.location.url, dry_run=False)) == [("run", A)]
    assert (Path(uri) / "MLmodel").is_file()


def test_run_that_is_being_written_and_young_files_are_left_alone(source: Access) -> None:
    """A deleted run that is still open, and folders that nothing names yet, stay; old ones of the latter go."""
    write_events(source.store, [ev.RunStarted(A, "s", 1, "x")])
    delete_run(source.store, A)
    root = Path(source.location.artifact_root)
    unfinished = f".{'e' * 32}.part"
    for name in ("d" * 32, "models/stray", f"models/{unfinished}", "my own folder"):
        (root / name).mkdir(parents=True)
        (root / name / "file").write_bytes(b"12345")
    done = collect_garbage(source.location.url, dry_run=False)
    assert (done.items, done.kept) == ([], [f"run {A}: it is being written"])
    age(root)
    assert sorted(named(collect_garbage(source.location.url, dry_run=False))) == [
        ("folder", "d" * 32),
        ("model", unfinished),
        ("model", "stray"),
    ]
    assert list(files_below(root)) == ["my own folder/file"]


def test_what_a_process_that_died_had_half_written_goes(source: Access) -> None:
    """In the folder of a run that stays: a file, a folder, at any depth. What the program put there stays."""
    fill(source, A)
    fill(source, B)
    delete_run(source.store, B)
    run, half = Path(source.location.artifact_root) / A, f".{'e' * 32}.part"
    for folder in (run / half / "inside", run / "figures"):
        folder.mkdir(parents=True)
        (folder / half).write_bytes(b"123")
    for name in ("my.part", "my file", "figures/.hidden.part"):
        (run / name).write_bytes(b"1")
    (Path(source.location.artifact_root) / B / half).write_bytes(b"123")
    before = files_below(run)
    assert named(collect_garbage(source.location.url)) == [("run", B), ("model", B[:8])]
    assert not [one for one in check_store(source.location.url).findings if half in one.subject]
    age(run)
    subjects = {one.subject for one in check_store(source.location.url).findings if half in one.subject}
    assert subjects == {str(run / half), str(run / "figures" / half)}
    listed = collect_garbage(source.location.url)
    assert [(item.kind, item.name, item.size) for item in listed.items[2:]] == [
        ("folder", str(run / half), 3),
        ("folder", str(run / "figures" / half), 3),
    ]
    collect_garbage(source.location.url, dry_run=False)
    left = [path for path in before if half not in path]
    assert list(files_below(run)) == left
    assert {"my.part", "my file", "figures/.hidden.part"} <= set(left)
    assert records_of(source, A)


def test_files_of_another_store_in_the_same_folder_are_left_alone(source: Access) -> None:
    """Two databases in one folder share the root of their files: what this one does not know may be the other's."""
    fill(source, A)
    other = Access(source.location.folder / "other.db")
    fill(other, B)
    age(Path(source.location.artifact_root))
    delete_run(source.store, A)
    done = collect_garbage(source.location.url, dry_run=False)
    assert named(done) == [("run", A)]
    assert "other stores keep theirs in the same folder" in done.kept[0]
    assert check_store(other.location.url).findings == []


def test_server_of_the_same_project_keeps_its_files(
    source: Access, monkeypatch: pytest.MonkeyPatch, postgres_url: str
) -> None:
    """A server's runs keep their files in the project's folder: the SQLite store there removes none of them."""
    assert source.store.location.folder.is_dir()
    source.store.dispose()
    source.location.folder.rename(source.location.folder.with_name(".autotrack"))
    home = source.location.folder.with_name(".autotrack")
    monkeypatch.chdir(home.parent)
    local, server = Access(home), Access(postgres_url)
    assert server.location.artifact_root == local.location.artifact_root
    run = Client(postgres_url).create_run("0")
    Client(postgres_url).log_text(run.info.run_id, "x", "x.txt")
    age(Path(local.location.artifact_root))
    assert collect_garbage(local.location.url, dry_run=False).items == []
    assert Path(run.info.artifact_uri, "x.txt").read_text() == "x"
    server.store.dispose()


@pytest.mark.parametrize("place", ["_remove_points", "remove_tree", "_remove_row"])
def test_clean_up_that_was_interrupted_is_finished_by_the_next(
    source: Access, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    """Wherever it breaks off: the run is out of sight, is not restored by half, and the next one removes the rest."""
    fill(source, A)
    fill(source, B, "other", 5000)
    delete_run(source.store, A)
    kept = records_of(source, B)
    with monkeypatch.context() as patched:

        def crash(*arguments: object) -> None:
            raise KeyboardInterrupt

        patched.setattr(removal, place, crash)
        with pytest.raises(KeyboardInterrupt):
            collect_garbage(source.location.url, dry_run=False)
    reader = Reader(source.store)
    with pytest.raises(NotFoundError):
        reader.run(A)
    with pytest.raises(NotFoundError):
        restore_run(source.store, A)
    assert [run.info.run_id for run in reader.search_runs(run_view_type="ALL")] == [B]
    assert ("run", "run: autotrack gc --yes") in {
        (finding.kind, finding.remedy) for finding in check_store(source.location.url).findings
    }
    assert ("run", A) in named(collect_garbage(source.location.url, dry_run=False))
    assert records_of(source, B) == kept
    assert check_store(source.location.url).findings == []
    age(Path(source.location.artifact_root))
    collect_garbage(source.location.url, dry_run=False)
    assert records_of(source, B) == kept
    assert not (Path(source.location.artifact_root) / A).exists()


def test_run_that_is_restored_meanwhile_stays(source: Access, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between listing and removing a run may be restored; then it is kept whole."""
    fill(source, A)
    delete_run(source.store, A)
    real = removal.mark

    def late(store: object, run: object) -> bool:
        restore_run(source.store, A)
        return real(store, run)  # type: ignore[arg-type]

    monkeypatch.setattr(removal, "mark", late)
    done = collect_garbage(source.location.url, dry_run=False)
    assert ("run", A) not in named(done)
    assert "restored or resumed meanwhile" in done.kept[0]
    assert Reader(source.store).metric_history(A, "loss")
    assert (Path(source.location.artifact_root) / "models" / A[:8] / "MLmodel").is_file()


def test_model_that_is_named_at_the_last_moment_stays(source: Access, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that found the model and names it while the clean-up has it in hand: it is put back."""
    fill(source, A)
    delete_run(source.store, A)
    uri = f"{source.location.artifact_root}/models/{A[:8]}"
    real = removal._put_aside

    def aside(place: str) -> str:
        moved = real(place)
        with source.store.transaction() as connection:
            events = [ev.RunStarted(B, "s", 1, "x"), ev.ModelLogged("m-b", B, "model", 1, uri)]
            Writer(source.store).apply(connection, events, "j")
        return moved

    monkeypatch.setattr(removal, "_put_aside", aside)
    assert named(collect_garbage(source.location.url, dry_run=False)) == [("run", A)]
    assert (Path(uri) / "MLmodel").is_file()


def test_files_that_cannot_be_removed_are_told(source: Access, monkeypatch: pytest.MonkeyPatch) -> None:
    """An error of the disk ends neither the clean-up nor the run's removal: the next one goes on with it."""
    fill(source, A)
    fill(source, B, "other", 5000)
    for run_id in (A, B):
        delete_run(source.store, run_id)
    with monkeypatch.context() as patched:
        real = removal.remove_tree

        def refuse(uri: str) -> None:
            if uri.endswith(A):
                raise ArtifactError(f"{uri}: it cannot be removed")
            real(uri)

        patched.setattr(removal, "remove_tree", refuse)
        done = collect_garbage(source.location.url, dry_run=False)
    assert ("run", B) in named(done)
    assert any("cannot be removed" in text for text in done.kept)
    assert ("run", A) in named(collect_garbage(source.location.url, dry_run=False))


def test_notes_of_old_journals_go(source: Access) -> None:
    """A journal of this machine whose process and file are gone for long leaves no row behind."""
    store = source.store
    host = __import__("socket").gethostname()
    rows = [("old", host, 1), ("elsewhere", "elsewhere", 1), ("recent", host, clock.now())]
    with store.transaction() as connection:
        for name, where, time in rows:
            row = {"journal_id": name, "session_id": "s", "offset": 1, "host": where, "boot_id": "b", "pid": 1}
            more = {"process_started": 1, "opened": time, "heartbeat": time, "closed": time}
            connection.execute(schema.journals.insert().values(**row, **more))
    assert named(collect_garbage(source.location.url, dry_run=False)) == [("journal", "old")]
    with store.reading() as connection:
        left = set(connection.execute(select(schema.journals.c.journal_id)).scalars())
    assert left == {"elsewhere", "recent"}


RECORDING = """
    import sys, autotrack
    from sklearn.datasets import load_iris
    from sklearn.linear_model import LogisticRegression
    autotrack.autolog()
    X, y = load_iris(return_X_y=True)
    for number in range(5):
        LogisticRegression(C=1.0 + number % 2, max_iter=200).fit(X, y)
        autotrack.flush()
        print(number, flush=True)
        if number == 3:
            sys.stdin.readline()
"""


def test_clean_up_beside_a_process_that_records(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs are deleted and cleaned up while equal models are being stored: no run that stays loses its model."""
    monkeypatch.setattr(removal, "GRACE", 0.2)
    environment = {**os.environ, "AUTOTRACK_TRACKING_URI": str(tmp_path / "store")}
    command = [sys.executable, "-c", textwrap.dedent(RECORDING)]
    client = Client(tmp_path / "store")
    pipe = subprocess.PIPE
    with subprocess.Popen(command, env=environment, stdin=pipe, stdout=pipe, text=True) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        for line in process.stdout:
            if int(line) % 2 == 1:
                for run in client.search_runs(filter_string="attributes.status = 'FINISHED'"):
                    client.delete_run(run.info.run_id)
                collect_garbage(tmp_path / "store", dry_run=False)
            if int(line) == 3:
                print("the last one", file=process.stdin, flush=True)
    assert process.returncode == 0
    runs = client.search_runs()
    assert runs
    models = [model for run in runs for model in client.reader.models(run.info.run_id)]
    assert len(models) == len(runs)
    problems = [finding for finding in check_store(tmp_path / "store").findings if finding.kind != "files"]
    assert problems == []
