"""Figures of matplotlib: saved and shown ones are artifacts of the run, and nothing of them changes."""

from __future__ import annotations

import gc
import io
import pickle
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy
import pytest

mpl.use("Agg")

import matplotlib.pyplot as plt
from matplotlib.figure import Figure
from sklearn.linear_model import Ridge

import autotrack
from autotrack.testing import TemporaryStore
from autotrack.tracking import figures
from autotrack.tracking.figures import LIMIT_TAG

pytestmark = pytest.mark.filterwarnings("ignore:FigureCanvasAgg is non-interactive")


@pytest.fixture(autouse=True)
def _closed() -> Iterator[None]:
    """No figure outlives its test."""
    plt.close("all")
    yield
    plt.close("all")


def plotted(slope: float = 1.0) -> Figure:
    """A figure of pyplot's."""
    figure, axes = plt.subplots()
    axes.plot([0, 1], [0, slope])
    return figure


def fit() -> None:
    """Train something."""
    Ridge().fit([[0.0], [1.0]], [0.0, 1.0])


def stored(store: TemporaryStore, run_id: str) -> dict[str, bytes]:
    """The figures among a run's artifacts."""
    autotrack.flush()
    root = Path(store.client.get_run(run_id).info.artifact_uri)
    listed = store.client.list_artifacts(run_id, "figures")
    return {info.path: (root / info.path).read_bytes() for info in listed if not info.path.endswith(".json")}


def test_a_saved_figure_is_an_artifact_of_the_open_run(recorded: TemporaryStore, tmp_path: Path) -> None:
    """Inside `start_run()` the very file that was saved is stored, however it was saved."""
    with autotrack.start_run() as run:
        plotted()
        plt.savefig(tmp_path / "loss.png")
        plotted(2.0).savefig(str(tmp_path / "other.svg"))
        plotted(3.0).savefig(tmp_path / "without_suffix")
    found = stored(recorded, run.run_id)
    assert found == {
        "figures/loss.png": (tmp_path / "loss.png").read_bytes(),
        "figures/other.svg": (tmp_path / "other.svg").read_bytes(),
        "figures/without_suffix.png": (tmp_path / "without_suffix.png").read_bytes(),
    }


def test_a_figure_after_a_fit_belongs_to_its_run(recorded: TemporaryStore, tmp_path: Path) -> None:
    """Training, then plotting: the run that ended just before has the figure."""
    fit()
    fit()
    plotted().savefig(tmp_path / "residuals.png")
    first, last = recorded.runs()
    assert list(stored(recorded, last.info.run_id)) == ["figures/residuals.png"]
    assert stored(recorded, first.info.run_id) == {}


def test_a_figure_without_any_run_is_nobodys(recorded: TemporaryStore, tmp_path: Path) -> None:
    """A program that only plots leaves no run behind."""
    plotted().savefig(tmp_path / "a.png")
    plt.show()
    assert recorded.runs() == []


def test_equal_content_is_stored_once(recorded: TemporaryStore, tmp_path: Path) -> None:
    """The same picture twice is one artifact; another one under the same name gets a number."""
    with autotrack.start_run() as run:
        figure = plotted()
        figure.savefig(tmp_path / "a.png")
        figure.savefig(tmp_path / "b.png")
        plotted(5.0).savefig(tmp_path / "a.png")
    assert sorted(stored(recorded, run.run_id)) == ["figures/a-2.png", "figures/a.png"]


def test_a_figure_saved_into_memory_is_stored(recorded: TemporaryStore) -> None:
    """What `savefig` writes into a BytesIO is stored, from where it begins; the stream is as it was left."""
    buffer = io.BytesIO()
    buffer.write(b"head")
    with autotrack.start_run() as run:
        plotted().savefig(buffer, format="png")
    end = buffer.tell()
    assert end == len(buffer.getvalue())
    assert list(stored(recorded, run.run_id).values()) == [buffer.getvalue()[4:]]


def test_number_and_size_are_bounded(recorded: TemporaryStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond the bound nothing more is stored, and the run says so; a huge file is left out."""
    monkeypatch.setattr(figures, "MAX_FIGURES", 2)
    with autotrack.start_run() as run:
        for number in range(4):
            plotted(number + 1.0).savefig(tmp_path / f"{number}.png")
    assert sorted(stored(recorded, run.run_id)) == ["figures/0.png", "figures/1.png"]
    assert LIMIT_TAG in recorded.client.get_run(run.run_id).data.tags
    monkeypatch.setattr("autotrack.integrations.matplotlib.MAX_BYTES", 10)
    with autotrack.start_run() as large:
        plotted(9.0).savefig(tmp_path / "large.png")
    assert stored(recorded, large.run_id) == {}


def test_runs_with_figures_are_not_kept_in_memory(recorded: TemporaryStore, tmp_path: Path) -> None:
    """When a run is over and nobody refers to it, what was known of its figures goes with it."""
    for number in range(3):
        with autotrack.start_run():
            plotted(number + 1.0).savefig(tmp_path / f"{number}.png")
    autotrack.flush()
    gc.collect()
    assert len(figures._albums) <= 1


def snapshot(figure: Figure) -> Any:
    """What drawing a figure would change."""
    axes = figure.axes[0]
    return (
        id(figure.canvas),
        type(figure.canvas),
        figure.dpi,
        figure.stale,
        axes.stale,
        axes._stale_viewlims.copy(),
        axes.get_position().bounds,
        dict(vars(figure.canvas)).keys(),
        sorted(vars(figure)),
        plt.get_fignums(),
        plt.gcf() is figure,
        mpl.get_backend(),
        random.getstate(),
        str(numpy.random.get_state()),
    )


def test_a_shown_figure_is_stored_and_left_untouched(recorded: TemporaryStore) -> None:
    """`pyplot.show` draws a copy: canvas, flags, limits, pyplot and random numbers are as they were."""
    with autotrack.start_run() as run:
        figure = plotted()
        figure.set_label("loss curve")
        before = snapshot(figure)
        plt.show()
        assert snapshot(figure) == before
    found = stored(recorded, run.run_id)
    assert list(found) == ["figures/loss curve.png"]
    assert found["figures/loss curve.png"].startswith(b"\x89PNG")


def test_a_figure_that_was_saved_is_not_stored_again_when_shown(recorded: TemporaryStore, tmp_path: Path) -> None:
    """Saving and showing gives one artifact, that of the file."""
    with autotrack.start_run() as run:
        plotted().savefig(tmp_path / "a.png", dpi=50)
        plt.show()
        plt.show()
    assert list(stored(recorded, run.run_id)) == ["figures/a.png"]


def test_the_picture_of_a_shown_figure_is_that_of_saving_it(recorded: TemporaryStore) -> None:
    """The copy looks as the figure does."""
    with autotrack.start_run() as run:
        figure = plotted()
        plt.show()
        picture = next(iter(stored(recorded, run.run_id).values()))
        autotrack.disable()
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png")
    assert (plt.imread(io.BytesIO(picture)) == plt.imread(io.BytesIO(buffer.getvalue()))).all()


def test_a_figure_that_cannot_be_copied_is_left_alone(recorded: TemporaryStore) -> None:
    """A formatter that is a lambda keeps the figure from being recorded when shown, and nothing is raised."""
    with autotrack.start_run() as run:
        figure = plotted()
        figure.axes[0].xaxis.set_major_formatter(lambda value, position: "x")
        plt.show()
    assert stored(recorded, run.run_id) == {}


def test_log_figure_stores_one_artifact(recorded: TemporaryStore) -> None:
    """A figure that is logged by a call is not recorded a second time by itself."""
    with autotrack.start_run() as run:
        autotrack.log_figure(plotted(), "mine.png")
    assert stored(recorded, run.run_id) == {}
    assert [info.path for info in recorded.client.list_artifacts(run.run_id)] == ["mine.png"]


def test_saving_behaves_as_without_autotrack(recorded: TemporaryStore, tmp_path: Path) -> None:
    """Files and errors are those of plain matplotlib, and so is what a figure holds (its pickle has ids in it)."""

    def saved(folder: Path) -> tuple[bytes, int, bool]:
        figure = plotted()
        assert figure.savefig(folder / "a.png") is None
        with pytest.raises(ValueError, match="nonsense"):
            figure.savefig(folder / "x.nonsense")
        with pytest.raises(FileNotFoundError):
            figure.savefig(folder / "no" / "folder.png")
        figure.savefig("/dev/null", format="png")
        plt.show()
        data = pickle.dumps(figure)
        plt.close(figure)
        return (folder / "a.png").read_bytes(), len(data), b"autotrack" in data

    (tmp_path / "on").mkdir()
    (tmp_path / "off").mkdir()
    with autotrack.start_run():
        on = saved(tmp_path / "on")
    autotrack.disable()
    assert on == saved(tmp_path / "off")


def test_figures_are_switched_off(recorded: TemporaryStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By `disabled()`, by `exclusive` on the program's own runs, and by a setting."""
    with autotrack.start_run() as run:
        with autotrack.disabled():
            plotted(1.0).savefig(tmp_path / "1.png")
        autotrack.autolog(exclusive=True)
        plotted(2.0).savefig(tmp_path / "2.png")
        autotrack.autolog(exclusive=False)
        autotrack.disable()
        monkeypatch.setenv("AUTOTRACK_LOG_FIGURES", "0")
        autotrack.config.reload()
        autotrack.enable()
        plotted(3.0).savefig(tmp_path / "3.png")
    assert stored(recorded, run.run_id) == {}
