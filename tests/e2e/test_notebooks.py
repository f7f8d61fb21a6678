"""Notebooks: a real kernel, started under the launcher, and what its cells leave in the store."""

from __future__ import annotations

import json
import os
import re
import sys
from pathlib import Path
from typing import Any

import pytest

nbclient = pytest.importorskip("nbclient")
pytest.importorskip("ipykernel")

import nbformat  # noqa: E402
from jupyter_client.kernelspec import KernelSpecManager  # noqa: E402
from jupyter_client.manager import AsyncKernelManager  # noqa: E402

import autotrack  # noqa: E402

FRAMES = re.compile(r"File .*?(\S+\.py):\d+")
"""Files of a traceback as IPython shows it."""

ROOT = Path(__file__).parents[2]

SETUP = """
import os, signal, threading
import torch
from sklearn.naive_bayes import GaussianNB
from sklearn.linear_model import SGDClassifier
X, y = [[0.0], [1.0], [2.0], [3.0]], [0, 0, 1, 1]
def made():
    net = torch.nn.Linear(1, 1)
    return net, torch.optim.SGD(net.parameters(), lr=0.01)
def train(net, optimizer, steps, at=None, do=None):
    for step in range(steps):
        loss = net(torch.ones(2, 1)).pow(2).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step == at:
            do()
"""

FAILING = "GaussianNB(var_smoothing='none').fit(X, y)"

CELLS = [
    ("imports", SETUP),
    ("fit", "model = GaussianNB()\nmodel.fit(X, y)  # password='hunter2'"),
    ("fit again", "model = GaussianNB()\nmodel.fit(X, y)  # password='hunter2'"),
    ("loop", "net, optimizer = made()\ntrain(net, optimizer, 3)\noptimizer"),
    ("loop goes on", "train(net, optimizer, 2)"),
    ("loop fails", "def oh():\n    raise ValueError('no more')\ntrain(*made(), 3, 1, oh)"),
    ("loop is interrupted", "train(*made(), 3, 1, lambda: os.kill(os.getpid(), signal.SIGINT))"),
    ("asynchronous", "import asyncio\nawait asyncio.sleep(0)\nother = made()\ntrain(*other, 2)"),
    (
        "await is interrupted",
        "other = made()\ntrain(*other, 2)\n"
        "asyncio.get_running_loop().call_soon(os.kill, os.getpid(), signal.SIGINT)\n"
        "await asyncio.sleep(60)",
    ),
    ("fails", FAILING),
    ("steps", "sgd = SGDClassifier(random_state=0)\nfor _ in range(3): sgd.partial_fit(X, y, [0, 1])"),
    ("steps go on", "sgd.partial_fit(X, y)"),
    ("run is opened", "import autotrack\nrun = autotrack.start_run(run_name='mine')"),
    ("run is filled", "mine = made()\ntrain(*mine, 2)"),
    ("run is filled on", "train(*mine, 2)\nGaussianNB().fit(X, y)"),
    ("run ends", "autotrack.end_run()"),
    (
        "thread begins",
        "begun, go_on = threading.Event(), threading.Event()\n"
        "def background():\n"
        "    net, optimizer = made()\n"
        "    train(net, optimizer, 4, 1, lambda: (begun.set(), go_on.wait(60)))\n"
        "thread = threading.Thread(target=background)\nthread.start()\nbegun.wait(60)",
    ),
    ("thread ends", "go_on.set()\nthread.join(60)"),
    ("module", "from pathlib import Path\nsource = 'from sklearn.naive_bayes import GaussianNB\\n'\n"
     "source += 'def fit(X, y): GaussianNB(var_smoothing={}).fit(X, y)\\n'\n"
     "Path('training.py').write_text(source.format(0.5))\n"
     "%load_ext autoreload\n%autoreload 2\nimport training\ntraining.fit(X, y)"),
    ("module is written", "Path('training.py').write_text('# anew\\n' + source.format(0.25))"),
    ("module again", "training.fit(X, y)"),
    ("study", "import optuna\nstudy = optuna.create_study()\nstudy.tell(study.ask(), 1.0)"),
    ("off", "%load_ext autotrack\n%unload_ext autotrack"),
    ("fit unseen", "GaussianNB().fit(X, y)"),
    ("fails unseen", FAILING),
    ("on", "%load_ext autotrack"),
    ("killed", "last = made()\ntrain(*last, 2, 1, lambda: os.kill(os.getpid(), signal.SIGKILL))"),
]  # fmt: skip


AWAITING = [
    "import asyncio, autotrack\nawait asyncio.sleep(0)\nrun = autotrack.start_run(run_name='first')",
    "autotrack.log_metric('m', 1.0)\nassert autotrack.active_run().info.run_id == run.info.run_id",
    "await asyncio.sleep(0)\nautotrack.log_metric('m', 2.0)\n"
    "inner = autotrack.start_run(run_name='inner', nested=True)",
    "autotrack.log_metric('m', 3.0)\nautotrack.end_run()",
    "autotrack.log_metric('m', 4.0)",
    "await asyncio.sleep(0)\nautotrack.end_run()",
    "assert autotrack.active_run() is None\nautotrack.log_metric('m', 5.0)",
    "await asyncio.sleep(0)\nautotrack.end_run()\nwith autotrack.start_run(run_name='last'):\n"
    "    await asyncio.sleep(0)\n    autotrack.log_metric('m', 6.0)",
    "assert autotrack.active_run() is None",
    "async def other():\n    with autotrack.start_run(run_name='task'):\n        await asyncio.sleep(0)\n"
    "        begun.set()\n        await go_on.wait()\n"
    "begun, go_on = asyncio.Event(), asyncio.Event()\ntask = asyncio.create_task(other())\nawait begun.wait()",
    "assert autotrack.active_run() is None",
    "go_on.set()\nawait task",
]
"""Cells of which some await something."""


def kernel(folder: Path) -> AsyncKernelManager:
    """A kernel that is started as `python -m autotrack -m ipykernel_launcher`."""
    spec = folder / "kernels" / "recorded"
    spec.mkdir(parents=True)
    argv = [sys.executable, "-m", "autotrack", "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    (spec / "kernel.json").write_text(json.dumps({"argv": argv, "display_name": "recorded", "language": "python"}))
    specs = KernelSpecManager(kernel_dirs=[str(folder / "kernels")], ensure_native_kernel=False)
    return AsyncKernelManager(kernel_name="recorded", kernel_spec_manager=specs)


def executed(folder: Path, **environ: str) -> dict[str, Any]:
    """The outputs of each cell, by its name."""
    cells = [nbformat.v4.new_code_cell(source) for _, source in CELLS]
    notebook = nbformat.v4.new_notebook(cells=cells)
    client = nbclient.NotebookClient(
        notebook, km=kernel(folder), allow_errors=True, timeout=120, resources={"metadata": {"path": str(folder)}}
    )
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    with pytest.raises(nbclient.exceptions.DeadKernelError):
        client.execute(env={**os.environ, "PYTHONPATH": path, "PYTHONWARNINGS": "ignore", **environ})
    return {name: cell.outputs for (name, _), cell in zip(CELLS, cells, strict=True)}


def test_training_in_a_notebook_ends_with_its_cell(tmp_path):
    """Each cell that trains is a run, which ends with the cell and as the cell does, whatever names and outputs keep
    alive; `%load_ext` and `%unload_ext` switch; what the program opened itself lasts; a kernel that is killed leaves
    KILLED; a cell's exception looks as without recording.
    """
    store = tmp_path / "store"
    outputs = executed(tmp_path, AUTOTRACK_TRACKING_URI=str(store), JPY_SESSION_NAME="work/Digits.ipynb")
    failures = {name: one for name, some in outputs.items() for one in some if one.output_type == "error"}
    assert sorted(failures) == ["await is interrupted", "fails", "fails unseen", "loop fails", "loop is interrupted"]
    assert outputs["fit unseen"][0].data["text/plain"] == outputs["fit"][0].data["text/plain"]
    shown = [FRAMES.findall("\n".join(failures[name].traceback)) for name in ("fails", "fails unseen")]
    assert (failures["fails"].ename, failures["fails"].evalue) == (
        failures["fails unseen"].ename,
        failures["fails unseen"].evalue,
    )
    assert len(shown[1]) > 1
    assert [frame for frame in shown[0] if "autotrack" not in frame] == shown[1]
    client = autotrack.Client(store)
    runs = list(reversed(client.search_runs()))
    names = (
        "fit", "fit again", "loop", "loop goes on", "loop fails", "loop is interrupted", "asynchronous",
        "await is interrupted", "fails", "steps", "steps go on", "run is opened", "thread begins", "module",
        "module again", "study", "killed",
    )  # fmt: skip
    by_cell = dict(zip(names, runs, strict=True))
    fits = {name: client.get_fits(run.info.run_id) for name, run in by_cell.items()}
    assert {name: run.info.status for name, run in by_cell.items()} == dict.fromkeys(names, "FINISHED") | {
        "loop fails": "FAILED",
        "loop is interrupted": "KILLED",
        "await is interrupted": "KILLED",
        "fails": "FAILED",
        "killed": "KILLED",
    }
    assert {run.info.degraded for run in runs} == {""}
    sources = {name: source.replace("hunter2", "[redacted]") for name, source in CELLS}
    for name, (fit, *_) in fits.items():
        if name not in ("module", "run is opened", "thread begins"):  # with magics, in another cell, in none
            assert fit.details["cell"].strip() == sources[name]
    assert fits["fit"][0].caller == "In[2]:2 in <module>: model.fit(X, y)  # password='[redacted]'"
    assert fits["fit again"][0].caller.startswith("In[3]:2 in <module>: model.fit")
    assert fits["loop fails"][0].error.frame == "In[6]:2 in oh: raise ValueError('no more')"
    assert fits["module"][0].caller == f"{tmp_path / 'training.py'}:2 in fit"
    for before, after in (("loop", "loop goes on"), ("steps", "steps go on")):
        assert by_cell[after].data.tags["autotrack.continues"] == by_cell[before].info.run_id
        assert "autotrack.continues" not in by_cell[before].data.tags
    points = {name: len(client.get_metric_history(run.info.run_id, "loss")) for name, run in by_cell.items()}
    assert {name: count for name, count in points.items() if count} == {
        "loop": 3, "loop goes on": 2, "loop fails": 2, "loop is interrupted": 2, "asynchronous": 2,
        "await is interrupted": 2, "run is opened": 4,
        "thread begins": 4,
    }  # fmt: skip
    assert [fit.number for fit in fits["run is opened"]] == [1, 2]
    assert by_cell["steps"].data.metrics["partial_fit_calls"] == 3
    assert by_cell["steps"].outputs.model_outputs
    assert [by_cell[name].data.param_values["var_smoothing"] for name in ("module", "module again")] == [0.5, 0.25]
    session = client.get_session(runs[0].info.session_id)
    assert (session.program, session.cwd) == ("Digits.ipynb", str(tmp_path))
    assert client.get_environment(runs[0].info.run_id).content["packages"]["ipykernel"]


def test_runs_last_over_cells_that_await_something(tmp_path):
    """What a cell that awaits something opens or ends is open or ended for the next cells, as with a plain one; a run
    of a task that goes on is the task's alone.
    """
    store = tmp_path / "store"
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in AWAITING])
    client = nbclient.NotebookClient(
        notebook, km=kernel(tmp_path), timeout=120, resources={"metadata": {"path": str(tmp_path)}}
    )
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    client.execute(env={**os.environ, "PYTHONPATH": path, "AUTOTRACK_TRACKING_URI": str(store)})
    client = autotrack.Client(store)
    first, inner, alone, last, task = reversed(client.search_runs())
    points = [
        [point.value for point in client.get_metric_history(run.info.run_id, "m")]
        for run in (first, inner, alone, last, task)
    ]
    assert points == [[1.0, 2.0, 4.0], [3.0], [5.0], [6.0], []]
    assert [run.info.run_name for run in (first, inner, last, task)] == ["first", "inner", "last", "task"]
    assert {run.info.status for run in (first, inner, alone, last, task)} == {"FINISHED"}
    assert inner.info.parent_run_id == first.info.run_id
