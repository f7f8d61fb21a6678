"""The example of Lightning: the same program plainly and under autotrack."""

from __future__ import annotations

import ast
from pathlib import Path

import autotrack

SCRIPT = Path(__file__).parents[2] / "examples" / "lightning" / "digits_network.py"


def test_the_lightning_example_is_recorded_without_a_change(run_python, tmp_path):
    """It prints the same under autotrack, to which it has no reference, and is one run with its test in it."""
    source = SCRIPT.read_text(encoding="utf-8")
    assert ast.parse(source)
    assert "autotrack" not in source
    store = str(tmp_path / "store")
    plain = run_python(SCRIPT, env={"AUTOTRACK_TRACKING_URI": store})
    assert not autotrack.Client(store).search_runs()
    recorded = run_python("-m", "autotrack", SCRIPT, env={"AUTOTRACK_TRACKING_URI": store})
    assert recorded.stdout == plain.stdout
    assert "are right" in plain.stdout
    client = autotrack.Client(store)
    (run,) = client.search_runs()
    assert (run.info.run_name, run.info.status, run.info.degraded) == ("Digits", "FINISHED", "")
    assert {"loss_step", "loss_epoch", "val_accuracy", "test_accuracy", "best_val_loss", "lr-AdamW"} <= set(
        run.data.metrics
    )
    assert run.data.param_values["width"] == 64
    assert len(run.outputs.model_outputs) == 1
    assert [fit.method for fit in client.get_fits(run.info.run_id)] == ["fit", "test"]
