"""A new store and its first run, from a cold start until it is in the database; the whole process is measured."""

from __future__ import annotations

import side

module = side.tracker()
with module.start_run():
    module.log_param("alpha", 0.5)
    module.log_metric("loss", 0.25)
side.settle(module)
side.report(bytes=side.database_bytes())
