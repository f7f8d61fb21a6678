"""System metrics: the load of the machine on runs that last, by the thread that is there anyway."""

from __future__ import annotations

import math
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import psutil
import pytest

import autotrack
from autotrack import config
from autotrack.errors import InvalidArgumentError
from autotrack.testing import TemporaryStore
from autotrack.tracking.machine_load import Load
from autotrack.tracking.system_metrics import SystemMetrics

NAMES = {
    "cpu_utilization_percentage",
    "system_memory_usage_megabytes",
    "system_memory_usage_percentage",
    "disk_usage_percentage",
    "disk_usage_megabytes",
    "disk_available_megabytes",
    "network_receive_megabytes",
    "network_transmit_megabytes",
}

CPU = "system/cpu_utilization_percentage"


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Have the settings that make samples come at once, and others."""

    def use(**values: str) -> None:
        shown = {"tick_seconds": "0.02", "system_metrics_sampling_interval": "0.03", "system_metrics_delay": "0"}
        for name, value in {**shown, **values}.items():
            monkeypatch.setenv(f"AUTOTRACK_{name.upper()}", value)
        config.reload()

    use()
    return use


def until(condition: Callable[[], Any]) -> Any:
    """What the condition gives once it is true; the test fails where it never is."""
    deadline = time.monotonic() + 60
    while not (found := condition()):
        assert time.monotonic() < deadline, "never came true"
        time.sleep(0.02)
    return found


def points(store: TemporaryStore, run_id: str, key: str = CPU) -> list[Any]:
    """The points of one series of a run."""
    return list(store.client.get_metric_history(run_id, key))


def several_passes() -> None:
    """Wait until the thread that would sample has looked around a few times: a run that wants samples got some."""
    witness = autotrack.start_run(nested=True, log_system_metrics=True)
    client = autotrack.Client()
    until(lambda: len(client.get_metric_history(witness.run_id, CPU)) >= 3)
    autotrack.end_run()


def test_load_is_recorded_while_a_run_lasts(autotrack_store: TemporaryStore, quick: Any) -> None:
    """The series have MLflow's names below `system/`, and steps that count up."""
    autotrack.autolog()
    with autotrack.start_run() as run:
        until(lambda: len(points(autotrack_store, run.run_id)) >= 3)
    metrics = autotrack_store.only_run().data.metrics
    found = {key.removeprefix("system/") for key in metrics if key.startswith("system/")}
    assert found - {name for name in found if name.startswith("gpu_")} == NAMES
    assert all(math.isfinite(value) for value in metrics.values())
    assert 0 <= metrics[CPU] <= 100
    steps = [point.step for point in points(autotrack_store, run.run_id)]
    assert steps == list(range(len(steps)))


def test_a_short_run_has_none(autotrack_store: TemporaryStore, quick: Any) -> None:
    """A run that ends before the delay is over has no samples, whatever else is sampled meanwhile."""
    quick(system_metrics_delay="1000")
    autotrack.autolog()
    with autotrack.start_run() as run:
        several_passes()
    assert points(autotrack_store, run.run_id) == []


def test_true_records_from_the_start_and_false_never(autotrack_store: TemporaryStore, quick: Any) -> None:
    """`start_run(log_system_metrics=...)` beats the settings, also without `autolog()`."""
    quick(system_metrics_delay="1000", log_system_metrics="0")
    with autotrack.start_run(log_system_metrics=True) as wanted:
        until(lambda: points(autotrack_store, wanted.run_id))
    quick()
    autotrack.autolog()
    with autotrack.start_run(log_system_metrics=False) as unwanted:
        several_passes()
    assert points(autotrack_store, unwanted.run_id) == []


def test_mlflows_switches_count(autotrack_store: TemporaryStore, quick: Any) -> None:
    """Enabling has all runs sampled from their start, disabling none, and the interval is that of the call."""
    quick(system_metrics_delay="1000", system_metrics_sampling_interval="1000")
    autotrack.enable_system_metrics_logging()
    autotrack.set_system_metrics_sampling_interval(0.03)
    with autotrack.start_run() as run:
        until(lambda: len(points(autotrack_store, run.run_id)) >= 3)
    autotrack.disable_system_metrics_logging()
    autotrack.autolog()
    with autotrack.start_run() as off:
        several_passes()
    assert points(autotrack_store, off.run_id) == []
    for unusable in (0, -1, "often", float("nan")):
        with pytest.raises(InvalidArgumentError, match="interval"):
            autotrack.set_system_metrics_sampling_interval(unusable)  # type: ignore[arg-type]


@pytest.mark.parametrize("how", ["setting", "no autolog", "disabled", "client"])
def test_it_is_off_where_nothing_is_automatic(autotrack_store: TemporaryStore, quick: Any, how: str) -> None:
    """By the setting, without `autolog()`, inside `disabled()`, and on runs of `Client.create_run`."""
    if how == "setting":
        quick(log_system_metrics="0")
    if how != "no autolog":
        autotrack.autolog()
    if how == "disabled":
        with autotrack.disabled():
            run_id = autotrack.start_run().run_id
    elif how == "client":
        run_id = autotrack_store.client.create_run().info.run_id
    else:
        run_id = autotrack.start_run().run_id
    several_passes()
    assert points(autotrack_store, run_id) == []


def test_one_thread_serves_all_runs(autotrack_store: TemporaryStore, quick: Any) -> None:
    """Sampling several open runs starts no thread, and a sample is on all of them."""
    autotrack.autolog()
    with autotrack.start_run() as outer, autotrack.start_run(nested=True) as inner:
        until(lambda: points(autotrack_store, outer.run_id) and points(autotrack_store, inner.run_id))
        names = sorted(thread.name for thread in threading.enumerate() if thread.name.startswith("autotrack-"))
    assert names == ["autotrack-ingest", "autotrack-worker"]


def test_the_programs_own_measurements_are_as_they_were(autotrack_store: TemporaryStore, quick: Any) -> None:
    """psutil's functions that count from the last call are not called: `cpu_percent` is the program's."""
    autotrack.autolog()
    psutil.cpu_percent()
    before = dict(psutil._last_cpu_times)  # type: ignore[attr-defined]
    with autotrack.start_run() as run:
        until(lambda: points(autotrack_store, run.run_id))
    assert dict(psutil._last_cpu_times) == before  # type: ignore[attr-defined]


def test_a_run_after_the_end_of_recording_is_sampled_again(autotrack_store: TemporaryStore, quick: Any) -> None:
    """A store that was closed and is used again has samples again."""
    from autotrack.tracking import recorders

    autotrack.autolog()
    with autotrack.start_run():
        pass
    recorders.close_all()
    with autotrack.start_run() as run:
        until(lambda: points(autotrack_store, run.run_id))


def test_nothing_is_sampled_after_the_stop(autotrack_store: TemporaryStore) -> None:
    """When the journal is about to be closed, a tick that comes late writes nothing."""
    with autotrack.start_run(log_system_metrics=True) as run:
        sampler = SystemMetrics(config.settings())
        sampler.tick([run._writer])
        sampler.stop()
        sampler.tick([run._writer])
    assert points(autotrack_store, run.run_id) == []


def test_load_is_within_its_bounds() -> None:
    """Shares are between 0 and 100, sizes are those of the machine in megabytes of 10^6 bytes, counters do not fall."""
    load = Load()
    first, second = load.sample(), load.sample()
    assert first["system_memory_usage_megabytes"] <= psutil.virtual_memory().total / 1e6
    assert 0 <= first["system_memory_usage_percentage"] <= 100
    assert 0 <= first["disk_usage_percentage"] <= 100
    assert second["network_receive_megabytes"] >= first["network_receive_megabytes"] >= 0


def test_what_cannot_be_read_is_left_out() -> None:
    """A source that fails is not asked again, and the others go on."""
    load = Load()
    asked = []

    def failing() -> dict[str, float]:
        asked.append(1)
        raise PermissionError("not yours")

    load._asked.insert(0, failing)
    assert load.sample().keys() >= {"disk_usage_percentage"}
    assert load.sample().keys() >= {"disk_usage_percentage"}
    assert asked == [1]


@pytest.mark.skipif(not os.path.exists("/dev/nvidiactl"), reason="no NVIDIA GPU on this machine")
def test_gpus_tell_their_load() -> None:
    """Memory, use and power of each device are among the values."""
    pynvml = pytest.importorskip("pynvml")
    found = Load().sample()
    pynvml.nvmlInit()
    for number in range(pynvml.nvmlDeviceGetCount()):
        assert found[f"gpu_{number}_memory_usage_megabytes"] > 0
        assert 0 <= found[f"gpu_{number}_utilization_percentage"] <= 100


def test_a_machine_without_gpus_has_no_series_of_them() -> None:
    """Where there is no driver, the device library is not even loaded."""
    if not os.path.exists("/dev/nvidiactl"):
        assert not [name for name in Load().sample() if name.startswith("gpu_")]


SHORT = """
import sys
import autotrack
autotrack.autolog()
with autotrack.start_run():
    autotrack.log_metric("loss", 1.0)
autotrack.flush()
print([name for name in ("psutil", "pynvml") if name in sys.modules])
"""


def test_a_program_with_short_runs_loads_nothing_for_it(
    run_python: Callable[..., subprocess.CompletedProcess[str]],
) -> None:
    """The device library is not loaded, and no sample is taken, for a run that is over at once."""
    assert "pynvml" not in run_python(SHORT).stdout


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_a_forked_child_ends_while_the_parent_samples(autotrack_store: TemporaryStore, quick: Any) -> None:
    """A fork in the middle of it: the child ends in order, the parent goes on sampling."""
    autotrack.autolog()
    with autotrack.start_run() as run:
        until(lambda: points(autotrack_store, run.run_id))
        child = os.fork()
        if child == 0:
            os._exit(0 if "autotrack" in sys.modules else 1)
        assert os.waitpid(child, 0)[1] == 0
        seen = len(points(autotrack_store, run.run_id))
        until(lambda: len(points(autotrack_store, run.run_id)) > seen)
