"""The load that this process puts on the machine, beside that of the machine itself (`machine_load`)."""

from __future__ import annotations

import time

from autotrack.tracking.machine_load import MEGABYTE, Values


class ProcessLoad:
    """Asks for it. The processor's share is measured from one time to the next, the first time from the start."""

    def __init__(self) -> None:
        import psutil

        self._errors = (psutil.Error, OSError)
        self._process = psutil.Process()
        self._before = self._seconds()

    def _seconds(self) -> tuple[float, float]:
        times = self._process.cpu_times()
        return time.monotonic(), times.user + times.system

    def sample(self) -> Values:
        """The load now, by name; 100 % are one processor."""
        try:
            now, used = self._seconds()
            memory = self._process.memory_info().rss
        except self._errors:
            return {}
        (then, had), self._before = self._before, (now, used)
        values = {"process_memory_usage_megabytes": memory / MEGABYTE}
        if now > then:
            values["process_cpu_utilization_percentage"] = 100.0 * max(0.0, used - had) / (now - then)
        return values
