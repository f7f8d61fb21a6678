"""Programs that hand work to other processes: how they are run, what they recorded, where their fits belong."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from autotrack.client import Client
from autotrack.records import Run

RunPython = Callable[..., Any]


def launched(run_python: RunPython, folder: Path, text: str, *arguments: str, **variables: Any) -> str:
    """What a script prints that is started under autotrack."""
    script = folder / "program.py"
    script.write_text(text, "utf-8")
    return str(run_python("-m", "autotrack", script, *arguments, **variables).stdout)


def recorded(name: str = "") -> list[Run]:
    """The runs in the test's store, of that name."""
    return [run for run in Client().search_runs() if name in ("", run.info.run_name)]


def check_where_fits_went(*ways: str) -> None:
    """A run `outer`, and of each way three fits: under a run of its name, in a training call, on their own."""
    runs = recorded()
    assert Counter(run.info.run_name for run in runs) == {
        "outer": 1,
        **dict.fromkeys(ways, 1),
        "Meta": len(ways),
        "Ridge": len(ways),
    }
    assert {run.info.status for run in runs} == {"FINISHED"}
    assert len({run.info.session_id for run in runs}) == 1
    for way in ways:
        (run,) = recorded(way)
        assert [fit.number for fit in Client().get_fits(run.info.run_id)] == [1, 2]
        assert (run.data.params["alpha"], run.data.params["Ridge_2.alpha"]) == ("10", "20")
        assert {model.name for model in run.outputs.model_outputs} == {"model", "model_2"}
    for run in recorded("Ridge"):
        assert run.data.params["alpha"] == "40"
        assert len(run.outputs.model_outputs) == 1
