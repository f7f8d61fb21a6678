"""One code path for all engines."""

from __future__ import annotations

import json
import re
from pathlib import Path

import autotrack.store
from autotrack import events as ev
from autotrack.store.engine import Store
from autotrack.store.reading import Reader
from autotrack.store.writing import Writer

PARTS = Path(autotrack.store.__file__).parent
NAMES = re.compile(r"""["'](sqlite|postgresql|mysql|mariadb)["']|dialects\.(sqlite|postgresql|mysql)|\.scheme\b""")
ALLOWED = {
    "location.py": "what URLs look like",
    "schema.py": "types by engine",
}


def test_nothing_but_the_dialects_asks_which_engine_it_is() -> None:
    """No other module of the store names an engine: what differs is a method of `Dialect`."""
    found = {
        path.name: [line for line in path.read_text("utf-8").splitlines() if NAMES.search(line)]
        for path in PARTS.rglob("*.py")
        if path.name not in ALLOWED and not {"dialects", "versions"} & set(path.parts) and path.name != "steps.py"
    }
    assert {name: lines for name, lines in found.items() if lines} == {}
    assert NAMES.search((PARTS / "dialects" / "__init__.py").read_text("utf-8"))


def test_a_text_of_any_length_is_stored_or_cut_with_a_mark(store: Store) -> None:
    """A parameter of 18 MB never stops the journal behind it: it is whole where the server takes it, else says so."""
    text = "it's\n" * 3_600_000
    run_id = "a" * 32
    param = ev.Param("big", text, json.dumps(text))
    with store.transaction() as connection:
        events = [ev.RunStarted(run_id, "s", 1, "n"), ev.ParamsLogged(run_id, [param]), ev.TagsSet(run_id, {"t": "v"})]
        Writer(store).apply(connection, events, "j")
    data = Reader(store).run(run_id).data
    assert data.tags["t"] == "v"
    whole = data.params["big"] == data.param_values["big"] == text
    assert whole or "cut: 18000000 characters" in data.params["big"][-80:]
    assert whole == (store.dialect.scheme != "mysql")
