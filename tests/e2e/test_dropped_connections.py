"""A database server whose connections break all along: exactly what was logged is in it, and the training goes on."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import sqlalchemy
from dropping import DroppingProxy

from autotrack import Client
from autotrack.store.engine import Store
from autotrack.store.location import locate
from autotrack.tracking import recorders

ROOT = Path(__file__).resolve().parents[2]

PARTS, POINTS = 15, 40
"""Parts of the training at least, and points of the loss in each."""

COMMITS = 3
"""How many commits must have been made whose answer was lost; the training goes on until there were as many."""

TRAIN = f"""
import sys

import autotrack

with autotrack.start_run(run_name="loop") as run:
    assert autotrack.flush(60)
    print("go", flush=True)
    for part, _ in enumerate(iter(sys.stdin.readline, "end\\n")):
        autotrack.log_params({{f"p{{part}}": part, f"q{{part}}": "x"}})
        for step in range(part * {POINTS}, part * {POINTS} + {POINTS}):
            autotrack.log_metric("loss", step / 8, step=step)
        autotrack.log_metrics({{"a": part, "b": -part}}, step=part)
        autotrack.set_tag("part", part)
        autotrack.flush(1)  # true or not: each is another transaction
        print("part", flush=True)
"""


@pytest.mark.parametrize("server", ["postgres_url", "mariadb_url"])
def test_connections_that_break_at_any_moment_neither_lose_nor_double_anything(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, server: str
) -> None:
    """Before, in and after messages, and between a COMMIT and its answer: one warning, every point once."""
    direct = sqlalchemy.make_url(request.getfixturevalue(server))
    assert direct.host is not None
    with DroppingProxy(direct.host, direct.port or 0, seed=3, probability=0.06) as proxy:
        url = direct.set(host="127.0.0.1", port=proxy.port).render_as_string(hide_password=False)
        environ = {"PYTHONPATH": str(ROOT), "AUTOTRACK_TRACKING_URI": url, "AUTOTRACK_TICK_SECONDS": "0.02"}
        child = subprocess.Popen(
            [sys.executable, "-c", TRAIN], env={**os.environ, **environ}, cwd=tmp_path, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        assert child.stdout is not None
        assert child.stdin is not None
        assert child.stdout.readline() == "go\n", child.communicate()[1]
        proxy.wild = True
        parts = 0
        while parts < PARTS or proxy.cuts["commit"] < COMMITS:
            assert parts < 20 * PARTS, proxy.cuts
            child.stdin.write("on\n")
            child.stdin.flush()
            assert child.stdout.readline() == "part\n", child.communicate()[1]
            parts += 1
        proxy.wild = False
        _, said = child.communicate("end\n", timeout=120)
        assert child.returncode == 0, said
        assert said.count("autotrack:") <= 1, said
        assert "Traceback" not in said
        monkeypatch.chdir(tmp_path)
        try:
            check(Client(url), parts)
        finally:
            recorders.forget_store(locate(url))
            Store.forget(locate(url))
        assert proxy.cuts.total() > proxy.cuts["commit"]


def check(client: Client, parts: int) -> None:
    """Each point, parameter and tag is there, and once."""
    (run,) = client.search_runs()
    assert (run.info.status, run.info.degraded) == ("FINISHED", "")
    points = client.get_metric_history(run.info.run_id, "loss")
    assert [(point.step, point.value) for point in points] == [(step, step / 8) for step in range(parts * POINTS)]
    for key, sign in (("a", 1), ("b", -1)):
        points = client.get_metric_history(run.info.run_id, key)
        assert [(point.step, point.value) for point in points] == [(part, sign * part) for part in range(parts)]
    wanted = {f"p{part}": part for part in range(parts)} | {f"q{part}": "x" for part in range(parts)}
    assert run.data.param_values == wanted
    assert run.data.tags["part"] == str(parts - 1)
    assert run.data.series["loss"].count == parts * POINTS
