"""The load of the machine: processor, memory, disk, network, and NVIDIA's GPUs where `pynvml` (nvidia-ml-py) is.

Names are those of MLflow's system metrics, without the prefix. A megabyte is 10^6 bytes. What the machine does not tell
is left out, and not asked for again.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Any

Values = dict[str, float]

MEGABYTE = 1e6

UNAVAILABLE = (OSError, ImportError, AttributeError, NotImplementedError, RuntimeError)
"""What asking raises where the system does not tell, or not this user."""


class Load:
    """Asks for the load. Processor and network are measured from one time to the next, the first time from the start.

    Its own arithmetic for the processor: `psutil.cpu_percent` counts from the last call of whoever called it.
    """

    def __init__(self) -> None:
        import psutil

        self._psutil = psutil
        self._asked: list[Callable[[], Values]] = [self._processor, self._memory, self._disk, self._network]
        self._gpus: list[tuple[int, Any]] | None = None
        self._nvml: Any = None
        self._cpu = self._processor_times()
        self._sent = self._network_bytes()

    def sample(self) -> Values:
        """The load now, by name."""
        values: Values = {}
        for ask in list(self._asked):
            try:
                values.update(ask())
            except (*UNAVAILABLE, self._psutil.Error):
                self._asked.remove(ask)
        values.update(self._all_gpus())
        return values

    def _processor_times(self) -> tuple[float, float]:
        """Seconds of all processors together since the machine started, and those of them in which they worked."""
        times = self._psutil.cpu_times()
        # On Linux the guests' times are part of the users'.
        total = sum(times) - getattr(times, "guest", 0.0) - getattr(times, "guest_nice", 0.0)
        return total, total - times.idle - getattr(times, "iowait", 0.0)

    def _processor(self) -> Values:
        total, busy = self._processor_times()
        before, self._cpu = self._cpu, (total, busy)
        if total <= before[0]:
            return {}
        share = (busy - before[1]) / (total - before[0])
        return {"cpu_utilization_percentage": 100.0 * min(1.0, max(0.0, share))}

    def _memory(self) -> Values:
        memory = self._psutil.virtual_memory()
        return {
            "system_memory_usage_megabytes": memory.used / MEGABYTE,
            "system_memory_usage_percentage": 100.0 * memory.used / memory.total,
        }

    def _disk(self) -> Values:
        disk = self._psutil.disk_usage(os.sep)
        return {
            "disk_usage_percentage": disk.percent,
            "disk_usage_megabytes": disk.used / MEGABYTE,
            "disk_available_megabytes": disk.free / MEGABYTE,
        }

    def _network_bytes(self) -> tuple[int, int]:
        found = self._psutil.net_io_counters()  # None where there is no network at all
        return (found.bytes_recv, found.bytes_sent) if found is not None else (0, 0)

    def _network(self) -> Values:
        """Since the first time."""
        received, sent = self._network_bytes()
        return {
            "network_receive_megabytes": max(0, received - self._sent[0]) / MEGABYTE,
            "network_transmit_megabytes": max(0, sent - self._sent[1]) / MEGABYTE,
        }

    def _all_gpus(self) -> Values:
        if self._gpus is None:
            self._gpus = self._find_gpus()
        values: Values = {}
        for number, handle in self._gpus:
            for ask in (self._gpu_memory, self._gpu_use, self._gpu_power):
                try:
                    values.update((f"gpu_{number}_{name}", value) for name, value in ask(handle).items())
                except self._nvml.NVMLError:  # not every device tells everything
                    continue
        return values

    def _find_gpus(self) -> list[tuple[int, Any]]:
        """The devices by number. No CUDA context is made, and nothing is loaded where there is no driver."""
        if sys.platform == "linux" and not (os.path.exists("/dev/nvidiactl") or os.path.exists("/dev/dxg")):
            return []
        try:
            import pynvml
        except ImportError:
            return []
        self._nvml = pynvml
        try:
            pynvml.nvmlInit()
            return [
                (number, pynvml.nvmlDeviceGetHandleByIndex(number)) for number in range(pynvml.nvmlDeviceGetCount())
            ]
        except pynvml.NVMLError:
            return []

    def _gpu_memory(self, handle: Any) -> Values:
        memory = self._nvml.nvmlDeviceGetMemoryInfo(handle)
        return {
            "memory_usage_percentage": 100.0 * memory.used / memory.total,
            "memory_usage_megabytes": memory.used / MEGABYTE,
        }

    def _gpu_use(self, handle: Any) -> Values:
        return {"utilization_percentage": float(self._nvml.nvmlDeviceGetUtilizationRates(handle).gpu)}

    def _gpu_power(self, handle: Any) -> Values:
        watts = self._nvml.nvmlDeviceGetPowerUsage(handle) / 1000.0
        limit = self._nvml.nvmlDeviceGetEnforcedPowerLimit(handle) / 1000.0
        return {"power_usage_watts": watts, **({"power_usage_percentage": 100.0 * watts / limit} if limit else {})}
