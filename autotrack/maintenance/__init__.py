"""Looking after a store: archives of runs, checking, cleaning up, copying a whole store.

Each is a command as well: `export_runs` (`autotrack export`), `import_runs` (`autotrack import`), `check_store`
(`autotrack db check`), `collect_garbage` (`autotrack gc`), `copy_store` (`autotrack db copy`).
"""

from autotrack.maintenance.archives import Exported, Imported, export_runs, import_runs
from autotrack.maintenance.checks import Finding, Report, check_store
from autotrack.maintenance.copying import Copied, copy_store
from autotrack.maintenance.garbage import Doomed, Garbage, collect_garbage

__all__ = [
    "Copied",
    "Doomed",
    "Exported",
    "Finding",
    "Garbage",
    "Imported",
    "Report",
    "check_store",
    "collect_garbage",
    "copy_store",
    "export_runs",
    "import_runs",
]
