"""Other agents that start by a `sitecustomize` of their own: both work, whoever is outside; training is recorded."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from agents_environment import Agents

from autotrack import Client

Write = Callable[..., Path]

STARTED = {
    "ddtrace": "ddtrace.bootstrap.preload",
    "newrelic": "newrelic.config",
    "opentelemetry": "opentelemetry.instrumentation.auto_instrumentation",
}
"""A module that an agent has imported in a process where it has started."""

REPORT = f"""
import json, subprocess, sys
process = sys.modules.get("autotrack.process")
started = [name for name, module in {STARTED!r}.items() if module in sys.modules]
print(json.dumps([process.role if process and process.activated else "inactive", *started]), flush=True)
if len(sys.argv) == 1:
    subprocess.run([sys.executable, __file__, "child"], check=True)
"""
"""Says who is active in this process, then in a child of it, unless there is an argument."""


@pytest.fixture
def user_file(tmp_path: Path) -> Path:
    """A folder with the user's own `sitecustomize.py`."""
    folder = tmp_path / "user"
    folder.mkdir()
    (folder / "sitecustomize.py").write_text("import sys; sys.users_file_ran = True\n", "utf-8")
    return folder


def active_in(output: str) -> list[Any]:
    """Who is active in the program, and in its child."""
    return [json.loads(line) for line in output.splitlines()]


@pytest.mark.parametrize("agent", ["ddtrace", "newrelic"])
@pytest.mark.parametrize("place", ["around", "within"])
def test_agent_that_loads_what_it_shadows_goes_together(
    agents: Agents, program: Write, user_file: Path, agent: str, place: str
) -> None:
    """Agent and autotrack are active, whichever is outside, and the user's file has run."""
    script = program(REPORT + "\nassert sys.users_file_ran\n")
    output = agents.run(getattr(agents, place)(agent), script, "alone", PYTHONPATH=str(user_file))
    assert active_in(output) == [["main", agent]]


def test_three_agents_around_each_other_go_together(agents: Agents, program: Write, user_file: Path) -> None:
    """New Relic's agent around Datadog's around autotrack: all are active in program and child, the user's file ran."""
    script = program(REPORT + "\nassert sys.users_file_ran\n")
    output = agents.run([*agents.around("newrelic")[:-3], *agents.around("ddtrace")], script, PYTHONPATH=str(user_file))
    assert active_in(output) == [["main", "ddtrace", "newrelic"]] * 2


def test_opentelemetry_outside_is_active_and_its_children_are_followed(agents: Agents, program: Write) -> None:
    """Its file loads no other and puts itself first for children: there, too, ours comes before it."""
    output = agents.run(agents.around("opentelemetry"), program(REPORT))
    assert active_in(output) == [["main", "opentelemetry"]] * 2


def test_opentelemetry_inside_leaves_autotrack_out_and_doctor_says_why(agents: Agents, program: Write) -> None:
    """Its file stands in front of ours and loads no other: the program runs, nothing is recorded, doctor names it."""
    inside = agents.within("opentelemetry")
    assert active_in(agents.run(inside, program(REPORT), "alone")) == [["inactive", "opentelemetry"]]
    doctor = "import sys; from autotrack.cli import main; main(['doctor', '--json']); sys.exit(0)"
    found = json.loads(agents.run(inside, "-c", doctor))
    (problem,) = (one for one in found["problems"] if one.startswith("zero-code start"))
    assert "the hook did not run: OpenTelemetry (" in problem
    assert problem.endswith("stands in front of it and did not load it; put `autotrack run` innermost")


FIT = """
import newrelic.agent
from sklearn.datasets import load_iris
from sklearn.linear_model import Ridge

newrelic.agent.register_application(timeout=10)
features, target = load_iris(return_X_y=True)
with newrelic.agent.BackgroundTask(newrelic.agent.application(), name="training") as task:
    Ridge(alpha=0.5).fit(features, target)
    print([node.name for node in task.root_span.children])

from autotrack.integrations import registry

(patch,) = [patch for patch in registry.patches("sklearn") if patch.target.endswith("._ridge.Ridge.fit")]
print(patch.state, patch.foreign)
"""


def test_fits_that_new_relic_wraps_are_recorded(agents: Agents, program: Write, tmp_path: Path) -> None:
    """New Relic's wrapper stands over ours, so a library makes the call: it is the program's all the same."""
    pytest.importorskip("sklearn")
    configuration = tmp_path / "newrelic.ini"
    configuration.write_text("[newrelic]\nmachine_learning.enabled = true\ndeveloper_mode = true\n")
    store = str(tmp_path / "store")
    variables = {"NEW_RELIC_CONFIG_FILE": str(configuration), "AUTOTRACK_TRACKING_URI": store}
    variables["AUTOTRACK_CAPTURE_ENVIRONMENT"] = "0"
    output = agents.run(agents.around("newrelic"), program(FIT), **variables)
    assert output.splitlines() == [
        "['MLModel/Sklearn/Named/Ridge.fit']",
        "applied ('newrelic.hooks.mlmodel_sklearn',)",
    ]
    (run,) = Client(store).search_runs()
    assert (run.info.run_name, run.data.params["alpha"]) == ("Ridge", "0.5")
    assert run.inputs.dataset_inputs[0].dataset.name == "features"
