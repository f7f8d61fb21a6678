"""Files of runs through the client: text, tables, figures, images, streams, and how they come back."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path
from typing import Any

import pytest

import autotrack
from autotrack import Client
from autotrack.errors import ArtifactError, InvalidArgumentError
from autotrack.testing import TemporaryStore


@pytest.fixture
def client(autotrack_store: TemporaryStore) -> Client:
    """A client of an empty store."""
    return autotrack_store.client


@pytest.fixture
def run_id(client: Client) -> str:
    """A run."""
    return client.create_run().info.run_id


def test_text_and_dicts_come_back_as_they_were(client: Client, run_id: str) -> None:
    """JSON and YAML by the file's name; what does not parse is an error that names the file."""
    value = {"a": [1, 2.5, None], "b": {"c": "ä\n"}}
    client.log_text(run_id, "héllo", "deep/er/a.txt")
    for name in ("a.json", "a.yaml", "b.yml", "no-suffix"):
        client.log_dict(run_id, value, name)
        assert client.load_dict(run_id, name) == value
    assert client.load_text(run_id, "deep/er/a.txt") == "héllo"
    assert client.load_text(run_id, "a.yaml").startswith("a:\n")
    client.log_bytes(run_id, b"\xff{", "bad.json")
    client.log_text(run_id, "a: [", "bad.yaml")
    for load in (client.load_text, client.load_dict, client.load_image):
        with pytest.raises(ArtifactError, match=r"bad\.json"):
            load(run_id, "bad.json")
    with pytest.raises(ArtifactError, match=r"bad\.yaml"):
        client.load_dict(run_id, "bad.yaml")


def test_a_table_grows_by_the_rows_that_are_logged_to_it(client: Client, run_id: str) -> None:
    """Columns that either part lacks are empty there; a file that is no table stays what it is."""
    client.log_table(run_id, {"a": [1, 2], "b": ["x", "y"]}, "t.json")
    client.log_table(run_id, {"c": 0.5, "a": 3}, "t.json")
    expected = {"columns": ["a", "b", "c"], "data": [[1, "x", None], [2, "y", None], [3, None, 0.5]]}
    assert client.load_dict(run_id, "t.json") == expected
    client.log_text(run_id, "[]", "other.json")
    with pytest.raises(InvalidArgumentError, match="a table"):
        client.log_table(run_id, {"a": [1]}, "other.json")
    assert client.load_text(run_id, "other.json") == "[]"
    (row,) = [file for file in client.reader.artifacts(run_id) if file.path == "t.json"]
    assert row.file_size == len(client.load_text(run_id, "t.json"))


def test_tables_of_several_runs_are_loaded_as_one_frame(client: Client) -> None:
    """All runs of the experiment that have one, or those asked for, with columns about the run."""
    pytest.importorskip("pandas")
    experiment = client.create_experiment("tables")
    first, second = (client.create_run(experiment, run_name=name).info.run_id for name in "ab")
    elsewhere = client.create_run().info.run_id
    for place, one in enumerate((first, second, elsewhere)):
        client.log_table(one, {"x": [place, place + 10]}, "deep/t.json")
        client.log_batch(one, params={"lr": place})
    client.log_metric(second, "m", 0.5)
    frame = client.load_table(
        experiment, "deep/t.json", extra_columns=["run_name", "params.lr", "metrics.m", "tags.no"]
    )
    assert list(frame["x"]) == [0, 10, 1, 11]
    assert list(frame["run_name"]) == ["a", "a", "b", "b"]
    assert list(frame["params.lr"]) == ["0", "0", "1", "1"]
    assert list(frame["metrics.m"])[2:] == [0.5, 0.5]
    assert frame["tags.no"].isna().all()
    assert list(client.load_table(experiment, "deep/t.json", [second])["x"]) == [1, 11]
    with pytest.raises(InvalidArgumentError, match="extra_columns"):
        client.load_table(experiment, "deep/t.json", extra_columns=["nonsense"])
    client.log_text(first, "[1]", "no-table.json")
    with pytest.raises(InvalidArgumentError, match=first):
        client.load_table(experiment, "no-table.json")
    autotrack.set_experiment("tables")
    assert list(autotrack.load_table("deep/t.json", extra_columns=["run_id"])["run_id"]) == [first] * 2 + [second] * 2


def test_images_come_back_with_their_pixels(client: Client, run_id: str) -> None:
    """Arrays, tensors with the channels first or last, what makes a PIL image of itself."""
    numpy, torch, pillow = (pytest.importorskip(name) for name in ("numpy", "torch", "PIL.Image"))
    pixels = numpy.arange(4 * 6 * 3, dtype="uint8").reshape(4, 6, 3)

    class Own:
        def to_pil(self) -> Any:
            return pillow.fromarray(pixels)

    whole = torch.from_numpy(pixels)
    images = {"array": pixels, "last": whole, "first": whole.permute(2, 0, 1), "own": Own(), "list": pixels.tolist()}
    images["grad"] = (whole / 255).double().requires_grad_()
    for name, image in images.items():
        client.log_image(run_id, image, f"{name}.png")
        assert (numpy.asarray(client.load_image(run_id, f"{name}.png")) == pixels).all(), name
    client.log_image(run_id, pixels, "small.webp")
    assert client.load_image(run_id, "small.webp").size == (6, 4)


def test_a_picture_is_loaded_by_its_uri(client: Client, run_id: str) -> None:
    """As text and dicts are."""
    pytest.importorskip("PIL")
    client.log_image(run_id, [[0, 255, 128]], "deep/a.png")
    client.log_text(run_id, "x", "a.txt")
    assert autotrack.artifacts.load_image(f"runs:/{run_id}/deep/a.png").size == (3, 1)
    with pytest.raises(ArtifactError, match="no picture"):
        autotrack.artifacts.load_image(f"runs:/{run_id}/a.txt")


def test_images_of_a_series_lie_where_mlflow_looks_for_them(client: Client, run_id: str) -> None:
    """A file and a small copy of it for each step; the tag tells MLflow's pages that there are some."""
    numpy = pytest.importorskip("numpy")
    pytest.importorskip("PIL")
    for step in (0, 1):
        client.log_image(
            run_id, numpy.zeros((600, 300), "uint8"), key="val/mask", step=step, timestamp=5, synchronous=True
        )
    with autotrack.start_run(run_id):
        autotrack.log_image(numpy.zeros((4, 4), "uint8"), key="other")
    names = [file.path for file in client.list_artifacts(run_id, "images")]
    pattern = r"images/val~mask\+step\+([01])\+timestamp\+5\+[0-9a-f-]{36}(\.png|\+compressed\.webp)"
    found = [match.groups() for name in names if (match := re.fullmatch(pattern, name))]
    assert sorted(found) == [("0", "+compressed.webp"), ("0", ".png"), ("1", "+compressed.webp"), ("1", ".png")]
    assert len(names) == 6
    sizes = {client.load_image(run_id, name).size for name in names if "val~mask" in name}
    assert sizes == {(300, 600), (128, 256)}
    assert client.get_run(run_id).data.tags["mlflow.loggedImages"] == "True"


class Plotly:
    """As much of a plotly figure as is asked for."""

    def to_html(self, **options: Any) -> str:
        return f"<html>{options}</html>"

    def to_json(self, **options: Any) -> str:
        return json.dumps({"data": [], **options})

    def to_image(self, format: str, **options: Any) -> bytes:
        if format not in ("png", "svg"):
            raise ValueError(f"Invalid format {format}")
        return f"{format} {options}".encode()


def test_figures_are_stored_in_the_format_of_their_name(client: Client, run_id: str) -> None:
    """Of matplotlib and of plotly; a format that neither has is an error."""
    figures = pytest.importorskip("matplotlib.figure")
    figure = figures.Figure()
    figure.subplots().plot([1, 2])
    client.log_figure(run_id, figure, "a.png", save_kwargs={"dpi": 20})
    client.log_figure(run_id, figure, "a.svg")
    client.log_figure(run_id, figure, "a.pdf")
    assert client.load_image(run_id, "a.png").size == (128, 96)
    assert "<svg" in client.load_text(run_id, "a.svg")
    assert client.reader.artifacts(run_id)[0].path == "a.pdf"
    client.log_figure(run_id, Plotly(), "b.html", save_kwargs={"full_html": True})
    client.log_figure(run_id, Plotly(), "b.json")
    client.log_figure(run_id, Plotly(), "b.svg", save_kwargs={"width": 9})
    assert client.load_text(run_id, "b.html") == "<html>{'full_html': True}</html>"
    assert client.load_dict(run_id, "b.json") == {"data": []}
    assert client.load_text(run_id, "b.svg") == "svg {'width': 9}"
    for wrong in (figure, Plotly()):
        with pytest.raises(InvalidArgumentError, match="artifact_file"):
            client.log_figure(run_id, wrong, "x.docx")


def test_a_stream_is_stored_from_where_it_stands(client: Client, run_id: str, tmp_path: Path) -> None:
    """Bigger than one read, and read on by nobody else."""
    data = bytes(range(256)) * 12_000
    stream = io.BytesIO(b"skipped" + data)
    stream.seek(7)
    client.log_stream(run_id, stream, "deep/s.bin")
    assert Path(client.download_artifacts(run_id, "deep/s.bin", tmp_path)).read_bytes() == data
    with autotrack.start_run() as run, open(__file__, "rb") as file:
        autotrack.log_stream(file, "test.py")
    assert client.load_text(run.run_id, "test.py") == Path(__file__).read_text("utf-8")


def test_files_are_listed_by_folder_and_downloaded_as_a_tree(client: Client, run_id: str, tmp_path: Path) -> None:
    """A folder's own files and folders; an ended run takes files still, as MLflow's do."""
    (tmp_path / "in/deep").mkdir(parents=True)
    (tmp_path / "in/a.txt").write_text("a")
    (tmp_path / "in/deep/b.txt").write_text("b")
    client.set_terminated(run_id)
    client.log_artifacts(run_id, tmp_path / "in", "tree")
    client.log_artifact(run_id, tmp_path / "in/a.txt")
    client.log_artifact(run_id, str(tmp_path / "in"), "copies")
    assert [(file.path, file.is_dir) for file in client.list_artifacts(run_id)] == [
        ("a.txt", False),
        ("copies", True),
        ("tree", True),
    ]
    assert [file.path for file in client.list_artifacts(run_id, "tree")] == ["tree/a.txt", "tree/deep"]
    assert client.list_artifacts(run_id, "nowhere") == []
    place = Path(client.download_artifacts(run_id, "", tmp_path / "out"))
    assert (place / "tree/deep/b.txt").read_text() == "b"
    assert (place / "copies/in/deep/b.txt").read_text() == "b"
    with autotrack.start_run() as run:
        assert autotrack.get_artifact_uri() == client.get_run(run.run_id).info.artifact_uri
        assert autotrack.get_artifact_uri("a/b").endswith(f"{run.run_id}/a/b")
