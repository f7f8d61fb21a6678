"""Archives: runs whole from one store into another, and what is refused."""

from __future__ import annotations

import hashlib
import json
import math
import os
import shutil
import stat
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from whole_runs import contents, files_below, fill, records_of

from autotrack import Client
from autotrack import events as ev
from autotrack.errors import AlreadyExistsError, ArchiveError, NotFoundError
from autotrack.maintenance import export_runs, import_runs
from autotrack.maintenance.archives import verifying
from autotrack.store.managing import delete_experiment, delete_run, set_experiment_tag
from autotrack.store.reading import Reader
from autotrack.store.replay import write_events
from autotrack.tracking.access import Access

A, B = "a" * 32, "b" * 32


@pytest.fixture
def archive(source: Access, tmp_path: Path) -> Path:
    """Two runs of two experiments, one deleted, that share a file."""
    fill(source, A)
    fill(source, B, "other", 5000, "FINISHED")
    delete_run(source.store, B)
    set_experiment_tag(source.store, Reader(source.store).experiment_by_name("exp").experiment_id, "owner", "ada")
    done = export_runs([A, B, A], tmp_path / "runs.zip", source.location.url)
    assert (done.runs, done.missing) == ([A, B], [])
    return tmp_path / "runs.zip"


def test_runs_arrive_whole_and_a_second_import_changes_nothing(source: Access, target: Access, archive: Path) -> None:
    """Records, curves, files and models are the same in a store on any engine, and importing again adds nothing."""
    fill(target, "c" * 32)
    done = import_runs(archive, target.location.url)
    assert (done.runs, done.skipped) == ([A, B], [])
    for run_id in (A, B):
        assert records_of(target, run_id) == records_of(source, run_id)
    reader = Reader(target.store)
    assert reader.experiment_by_name("exp").tags == {"owner": "ada"}
    assert all(Path(model.uri).is_relative_to(target.location.artifact_root) for model in reader.models(A))
    before = (contents(target), files_below(target.location.artifact_root))
    assert import_runs(archive, target.location.url).skipped == [A, B]
    assert (contents(target), files_below(target.location.artifact_root)) == before


def test_import_that_broke_off_is_completed(source: Access, tmp_path: Path, archive: Path) -> None:
    """A run that has only its beginning in the store gets the rest."""
    target = Access(tmp_path / "target")
    write_events(target.store, [ev.RunStarted(A, "session-aaaaaaaa", 1000, "name", "exp")])
    assert import_runs(archive, target.location.url).runs == [A, B]
    assert records_of(target, A) == records_of(source, A)


def test_what_was_changed_since_the_import_stays(near: Access, archive: Path) -> None:
    """Importing again does not undo what was done to the runs in the new store."""
    import_runs(archive, near.location.url)
    write_events(near.store, [ev.TagsSet(A, {"team": "red"})])
    import_runs(archive, near.location.url)
    assert Reader(near.store).run(A).data.tags["team"] == "red"


def test_runs_go_to_the_experiment_that_is_named(source: Access, near: Access, archive: Path) -> None:
    """With `experiment`, all runs are in that one and no other is made."""
    import_runs(archive, near.location.url, experiment="elsewhere")
    reader = Reader(near.store)
    assert {one.name for one in reader.search_experiments("ALL")} == {"Default", "elsewhere"}
    assert records_of(near, A, experiment=False) == records_of(source, A, experiment=False)


def test_archive_of_an_imported_run_is_imported_where_it_came_from(
    source: Access, archive: Path, tmp_path: Path
) -> None:
    """There and back again: the runs are known, and left alone."""
    target = Access(tmp_path / "target")
    import_runs(archive, target.location.url)
    export_runs([A], tmp_path / "back.zip", target.location.url)
    before = contents(source)
    assert import_runs(tmp_path / "back.zip", source.location.url).skipped == [A]
    assert contents(source) == before


def test_versions_of_registered_models_come_along(source: Access, near: Access, tmp_path: Path) -> None:
    """The alias of a registered model names the same model in the other store, whose files are there."""
    fill(source, A)
    ours, theirs = Client(source.location.url), Client(near.location.url)
    ours.create_registered_model("best", tags={"a": "b"}, description="the best")
    ours.create_model_version("best", f"runs:/{A}/model", A, tags={"c": "d"})
    ours.set_registered_model_alias("best", "champion", "1")
    export_runs([A], tmp_path / "runs.zip", source.location.url)
    shutil.rmtree(source.location.artifact_root)
    for _ in range(2):
        import_runs(tmp_path / "runs.zip", near.location.url)
    found = theirs.get_model_version_by_alias("best", "champion")
    assert found.to_dict() | {"source": ""} == ours.get_model_version("best", "1").to_dict() | {"source": ""}
    assert files_below(found.source) == {"MLmodel": b"x", "data/w.bin": b"weights " + A.encode()}
    assert theirs.get_registered_model("best").tags == {"a": "b"}


def test_files_that_are_gone_are_told_and_the_rest_is_exported(source: Access, tmp_path: Path) -> None:
    """An artifact and a model that cannot be read do not keep the run from its archive."""
    fill(source, A)
    root = Path(source.location.artifact_root)
    (root / A / "a" / "b.txt").unlink()
    for path in sorted((root / "models").rglob("*"), reverse=True):
        path.unlink() if path.is_file() else path.rmdir()
    done = export_runs([A], tmp_path / "runs.zip", source.location.url)
    assert len(done.missing) == 2
    assert "a/b.txt" in done.missing[0]
    target = Access(tmp_path / "target")
    import_runs(tmp_path / "runs.zip", target.location.url)
    run = Reader(target.store).run(A)
    assert list(files_below(run.info.artifact_uri)) == ["big.bin"]


def test_export_refuses_what_it_cannot_do(source: Access, tmp_path: Path) -> None:
    """A run that is not there, a file that is: an error, and nothing is left behind or replaced."""
    fill(source, A)
    with pytest.raises(NotFoundError):
        export_runs([A, B], tmp_path / "runs.zip", source.location.url)
    (tmp_path / "there.zip").write_text("mine")
    with pytest.raises(ArchiveError, match="there is such a file already"):
        export_runs([A], tmp_path / "there.zip", source.location.url)
    with pytest.raises(ArchiveError, match="cannot be written"):
        export_runs([A], tmp_path / "no" / "folder.zip", source.location.url)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["source", "there.zip"]
    assert (tmp_path / "there.zip").read_text() == "mine"


def test_import_refuses_what_does_not_fit_the_store(tmp_path: Path, archive: Path) -> None:
    """Another run of the same id, a model of another run, an experiment that is deleted: nothing is written."""
    other = Access(tmp_path / "other")
    fill(other, A, time=7)
    with pytest.raises(AlreadyExistsError, match="started at another time"):
        import_runs(archive, other.location.url)
    thief = Access(tmp_path / "thief")
    write_events(
        thief.store, [ev.RunStarted("d" * 32, "s", 1, "x"), ev.ModelLogged(f"m-{A}", "d" * 32, "mine", 1, "u")]
    )
    gone = Access(tmp_path / "gone")
    fill(gone, "e" * 32)
    delete_experiment(gone.store, Reader(gone.store).experiment_by_name("exp").experiment_id)
    for access, reason in ((thief, "another run's in this store"), (gone, "is deleted in this store")):
        before = (contents(access), files_below(access.location.folder / "artifacts"))
        with pytest.raises(ArchiveError, match=reason):
            import_runs(archive, access.location.url)
        assert (contents(access), files_below(access.location.folder / "artifacts")) == before


def rewritten(archive: Path, change: Callable[[dict[str, bytes], dict[str, Any]], None]) -> None:
    """Change members and manifest of an archive; a member whose content stays keeps its entry."""
    with zipfile.ZipFile(archive) as old:
        members = {name: old.read(name) for name in old.namelist()}
    manifest = json.loads(members.pop("manifest.json"))
    change(members, manifest)
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as new:
        for name, data in members.items():
            new.writestr(name, data)
        new.writestr("manifest.json", json.dumps(manifest))


def entry(data: bytes) -> dict[str, Any]:
    """A member as a manifest has it."""
    return {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()}


def _path(path: str) -> Callable[[Any, Any], None]:
    return lambda members, manifest: manifest["runs"][0]["files"][0].update(path=path)


def _stream(line: bytes) -> Callable[[Any, Any], None]:
    def change(members: dict[str, bytes], manifest: dict[str, Any]) -> None:
        members["runs/0.jsonl"] += line + b"\n"
        manifest["members"]["runs/0.jsonl"] = entry(members["runs/0.jsonl"])

    return change


def _extra(members: dict[str, bytes], manifest: dict[str, Any]) -> None:
    members["../evil"] = b"x"


def _unnamed(members: dict[str, bytes], manifest: dict[str, Any]) -> None:
    members["files/" + "0" * 64] = b"x"


def _altered(members: dict[str, bytes], manifest: dict[str, Any]) -> None:
    name = next(name for name in members if name.startswith("files/"))
    members[name] = bytes(len(members[name]))


def _lacking(members: dict[str, bytes], manifest: dict[str, Any]) -> None:
    members.pop(next(name for name in members if name.startswith("files/")))


HOSTILE: dict[str, tuple[Callable[[Any, Any], None], str]] = {
    "leaves the folder": (_path("../../evil"), "relative path"),
    "absolute": (_path("/etc/evil"), "relative path"),
    "backslashes": (_path("..\\evil"), "relative path"),
    "drive": (_path("C:/evil"), "relative path"),
    "twice": (lambda m, manifest: manifest["runs"][0]["files"].append(manifest["runs"][0]["files"][0]), "twice"),
    "model leaves its folder": (
        lambda m, manifest: manifest["runs"][0]["models"][0]["files"][0].update(path="../x"),
        "relative path",
    ),
    "run id as a path": (lambda m, manifest: manifest["runs"][0].update(run_id="../../x"), "of the id"),
    "run twice": (lambda m, manifest: manifest["runs"][1].update(run_id=A), "a run twice"),
    "member with a strange name": (_extra, "no archive of autotrack has"),
    "member that is not named": (_unnamed, "not those that its manifest names"),
    "altered content": (_altered, "is not what the manifest says|not those that"),
    "member that is missing": (_lacking, "not those that its manifest names"),
    "newer version": (lambda m, manifest: manifest.update(version=2), "version 2, this autotrack knows up to 1"),
    "other format": (lambda m, manifest: manifest.update(format="x"), "its format is 'x'"),
    "no version": (lambda m, manifest: manifest.pop("version"), "not readable"),
    "line of another run": (_stream(ev.encode(ev.TagsSet(B, {"a": "b"}))), "does not belong there"),
    "line of another experiment": (_stream(ev.encode(ev.RunStarted(A, "s", 1000, "n", "x"))), "another experiment"),
    "line that is no event": (_stream(b'{"t":"nonsense"}'), "not readable"),
    "line that is no JSON": (_stream(b"\x00"), "not readable"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_archive_is_refused_and_leaves_nothing_behind(name: str, archive: Path, tmp_path: Path) -> None:
    """What no export would have written is refused with the reason; no store, folder or file comes into being."""
    change, reason = HOSTILE[name]
    rewritten(archive, change)
    before = files_below(tmp_path)
    with pytest.raises(ArchiveError, match=reason):
        import_runs(archive, tmp_path / "target")
    assert files_below(tmp_path) == before


def test_links_duplicates_and_impossible_sizes_are_refused(archive: Path, tmp_path: Path) -> None:
    """Members that are links, that are there twice, that are encrypted or claim more than they can hold."""
    original = archive.read_bytes()

    def appended(info: zipfile.ZipInfo) -> None:
        archive.write_bytes(original)
        with warnings.catch_warnings(), zipfile.ZipFile(archive, "a") as zipped:
            warnings.simplefilter("ignore")
            zipped.writestr(info, b"/etc/passwd")

    link = zipfile.ZipInfo("files/" + "0" * 64)
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    appended(link)
    with pytest.raises(ArchiveError, match="no plain file"):
        import_runs(archive, tmp_path / "target")
    appended(zipfile.ZipInfo("runs/0.jsonl"))
    with pytest.raises(ArchiveError, match="two members"):
        import_runs(archive, tmp_path / "target")
    lzma = zipfile.ZipInfo("files/" + "0" * 64)
    lzma.compress_type = zipfile.ZIP_LZMA
    appended(lzma)
    with pytest.raises(ArchiveError, match="packed in a way"):
        import_runs(archive, tmp_path / "target")
    # The central directory's size of the first member, which is 24 bytes behind its signature.
    at = original.index(b"PK\x01\x02")
    archive.write_bytes(original[: at + 24] + (2**31).to_bytes(4, "little") + original[at + 28 :])
    with pytest.raises(ArchiveError, match=r"more than it can|not those that|damaged"):
        import_runs(archive, tmp_path / "target")
    assert not (tmp_path / "target").exists()


def test_bomb_is_refused_unless_it_is_trusted(
    source: Access, archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An archive that holds very many times its own size needs a word of the user."""
    monkeypatch.setattr(verifying, "HARMLESS", 1000)
    monkeypatch.setattr(verifying, "MAX_RATIO", 5)
    with pytest.raises(ArchiveError, match=r"times its size.*--any-size"):
        import_runs(archive, tmp_path / "target")
    assert not (tmp_path / "target").exists()
    assert import_runs(archive, tmp_path / "target", any_size=True).runs == [A, B]


def test_archive_that_does_not_fit_on_the_disk_is_refused(
    archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Room is looked for before anything is written."""
    target = Access(tmp_path / "target")
    before = contents(target)
    monkeypatch.setattr("shutil.disk_usage", lambda path: os.terminal_size((0, 0)) and type("U", (), {"free": 1000}))
    with pytest.raises(ArchiveError, match="make room"):
        import_runs(archive, target.location.url)
    assert contents(target) == before


def test_cut_off_or_flipped_bytes_are_never_taken(archive: Path, tmp_path: Path) -> None:
    """Wherever an archive is cut off or a bit of it is flipped: it is refused, or imported exactly as it was."""
    original = archive.read_bytes()
    for length in range(0, len(original), max(1, len(original) // 40)):
        archive.write_bytes(original[:length])
        with pytest.raises(ArchiveError):
            import_runs(archive, tmp_path / "target")
    refused = 0
    step = max(1, len(original) // 150)
    for position in range(3, len(original), step):
        damaged = bytearray(original)
        damaged[position] ^= 1 << (position % 8)
        archive.write_bytes(bytes(damaged))
        checked = None
        try:
            checked = verifying.Archive(archive)
            checked.check()
        except ArchiveError:
            refused += 1
        finally:
            if checked is not None:
                checked.close()
    assert refused > 100  # the others are times and attributes that nobody reads
    assert not (tmp_path / "target").exists()


NUMBERS = st.floats() | st.integers(-(2**60), 2**60).map(float)
TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=20)
KEYS = TEXT.filter(bool)


@settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    params=st.dictionaries(KEYS, TEXT, max_size=5),
    tags=st.dictionaries(KEYS, TEXT, max_size=5),
    curves=st.dictionaries(
        KEYS,
        st.lists(st.tuples(st.integers(-(2**63), 2**63 - 1), st.integers(0, 2**50), NUMBERS), min_size=1),
        max_size=4,
    ),
    name=TEXT,
    experiment=st.text("abcdef ü", min_size=1, max_size=10),
    status=st.sampled_from(["FINISHED", "FAILED", "KILLED"]),
    files=st.dictionaries(
        st.from_regex(r"[a-z]{1,4}(/[a-zü ]{1,3}x){0,2}\.bin", fullmatch=True), st.binary(max_size=200)
    ),
)
def test_any_run_makes_the_round_trip(
    tmp_path_factory: pytest.TempPathFactory,
    params: dict[str, str],
    tags: dict[str, str],
    curves: dict[str, list[tuple[int, int, float]]],
    name: str,
    experiment: str,
    status: Any,
    files: dict[str, bytes],
) -> None:
    """Random runs, with NaN, infinities and any text, are equal records and files in the other store."""
    folder = tmp_path_factory.mktemp("trip")
    source, target = Access(folder / "source"), Access(folder / "target")
    items: list[ev.Event] = [ev.RunStarted(A, "s", 5, name, experiment)]
    items += [ev.ParamsLogged(A, [ev.Param(key, text) for key, text in params.items()]), ev.TagsSet(A, tags)]
    for key, points in curves.items():
        steps, times, values = (list(column) for column in zip(*points, strict=True))
        items.append(ev.CurveLogged(A, key, steps, times, [ev.number_of(value) for value in values]))
    items.append(ev.RunEnded(A, status, 9))
    write_events(source.store, items)
    root = Path(source.location.artifact_root) / A
    for path, data in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(data)
    export_runs([A], folder / "runs.zip", source.location.url)
    import_runs(folder / "runs.zip", target.location.url)
    assert records_of(target, A) == records_of(source, A)
    histories = Reader(target.store).metric_history
    for key, points in curves.items():
        found = [(point.step, point.timestamp, point.value) for point in histories(A, key)]
        assert all(
            one[:2] == two[:2] and (one[2] == two[2] or (math.isnan(one[2]) and math.isnan(two[2])))
            for one, two in zip(found, points, strict=True)
        )
    for access in (source, target):
        access.store.dispose()
