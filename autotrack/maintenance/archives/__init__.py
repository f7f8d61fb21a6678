"""Runs whole, with artifacts and models, in one file that goes from one store to another."""

from autotrack.maintenance.archives.exporting import Exported, export_runs
from autotrack.maintenance.archives.importing import Imported, import_runs

__all__ = ["Exported", "Imported", "export_runs", "import_runs"]
