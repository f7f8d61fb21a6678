"""What somebody may feed autotrack, and what it may answer: an `AutotrackError`, never another one.

One function a parser. `test_hostile_input.py` calls them with what Hypothesis makes up, `fuzz.py` with what a
coverage-guided fuzzer finds.
"""

from __future__ import annotations

import contextlib
import functools
import io
import os
import tempfile
import uuid
from pathlib import Path
from typing import Any

import autotrack
from autotrack import cli, events
from autotrack.errors import AutotrackError, ModelFormatError
from autotrack.models.mlmodel import Model
from autotrack.models.signature import Signature
from autotrack.tracking import journal_reading

TIME = 1_700_000_000_000
BY_HAND = ("search", "journal", "mlmodel", "enforce", "command_line")
READING = ("ls", "show", "files", "models", "db", "gc", "export", "import", "push", "pull")
"""Commands whose arguments are made up: not those that start programs, servers or helpers."""


@functools.cache
def workplace() -> Path:
    """A folder with a store in it that holds one run of everything a filter can name."""
    folder = Path(tempfile.mkdtemp(prefix="autotrack-fuzz-"))
    client = autotrack.Client(str(folder / "store"))
    run = client.create_run(client.create_experiment("x"), run_name="a")
    client.log_batch(run.info.run_id, params={"C": 0.5, "p": "x"}, tags={"t": "é"})
    client.log_metric(run.info.run_id, "loss", 1.0)
    client.set_terminated(run.info.run_id)
    return folder


def search(filter_string: str, order: str) -> None:
    """Filter and order of a search: found or refused, by the engine too."""
    client = autotrack.Client(str(workplace() / "store"))
    with contextlib.suppress(AutotrackError):
        client.search_runs(filter_string=filter_string)
    with contextlib.suppress(AutotrackError):
        client.search_runs(order_by=[order])


def journal(content: bytes, opened: bool) -> None:
    """A journal of any content: read to its end, moved into a store, and all runs in it shown.

    Args:
        content: The file's bytes.
        opened: Put a first line before them that is a journal's.
    """
    with tempfile.TemporaryDirectory(prefix="autotrack-fuzz-") as name:
        client = autotrack.Client(str(Path(name) / "store"))
        folder = client.location.journal_folder
        folder.mkdir(parents=True)
        journal_id = uuid.uuid4().hex
        first = events.JournalOpened(1, journal_id, "s", "x", "elsewhere", "b", 1, 1, TIME)
        path = folder / f"{journal_id}.jsonl"
        path.write_bytes((events.encode(first) if opened else b"") + content)
        with contextlib.suppress(AutotrackError):
            journal_reading.header(path)
        _read_all(path)
        try:
            _show_all(client)
        finally:
            _forget(client)


def _read_all(path: Path) -> None:
    """Every piece lies behind the one before it."""
    at = 0
    while (chunk := journal_reading.read(path, at)).end != at:
        assert chunk.end > at
        at = chunk.end


def _show_all(client: autotrack.Client) -> None:
    for run in client.search_runs(run_view_type="ALL"):
        run.to_json()
        with contextlib.suppress(AutotrackError):  # an id that no API takes: empty
            run_id = run.info.run_id
            for found in (client.get_run(run_id), *client.get_fits(run_id), *client.get_trials(run_id)):
                found.to_json()
            client.get_environment(run_id)
            for key in run.data.metrics:
                client.get_metric_history(run_id, key)


def _forget(client: autotrack.Client) -> None:
    from autotrack.store.engine import Store
    from autotrack.tracking import recorders

    recorders.forget_store(client.location)
    Store.forget(client.location)


def mlmodel(text: str) -> None:
    """The file MLmodel: read or refused; what was read is written and read again as the same."""
    try:
        model = Model.from_yaml(text)
    except ModelFormatError:
        return
    with contextlib.suppress(AutotrackError):  # a value of no plain form
        again = Model.from_yaml(model.to_yaml())
        assert again.flavors.keys() == model.flavors.keys()


def enforce(signature: dict[str, Any], data: Any, params: Any) -> None:
    """A signature out of a file, and what a caller of `predict` gives."""
    try:
        read = Signature.from_dict(signature)
    except ModelFormatError:
        return
    with contextlib.suppress(AutotrackError):
        read.enforce(data)
    with contextlib.suppress(AutotrackError):
        read.enforce_params(params)
    with contextlib.suppress(AutotrackError):
        Signature.from_dict(dict(read.to_dict()))


def command_line(words: list[str]) -> int:
    """Arguments of a command: a status, and a message where it is not 0; nothing else is raised.

    Returns:
        The status.
    """
    # As Python makes them itself: stderr takes whatever it is given.
    out, err = io.TextIOWrapper(io.BytesIO(), "utf-8"), io.TextIOWrapper(io.BytesIO(), "utf-8", "backslashreplace")
    before = os.getcwd()
    os.chdir(workplace())
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            status = cli.main([*words, "--store", "store"])
    except SystemExit as ended:
        status = int(ended.code or 0)
    finally:
        os.chdir(before)
    err.flush()
    said = err.buffer.getvalue()  # type: ignore[attr-defined]
    assert status in (0, 1, 2)
    assert b"Traceback" not in said
    return status
