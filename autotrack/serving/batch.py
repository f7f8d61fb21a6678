"""Predictions for a file, piece by piece: what is read and written never stands in memory whole."""

from __future__ import annotations

import contextlib
import itertools
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import IO, Any

from autotrack.atomic import replacing
from autotrack.errors import AutotrackError, IntegrationNotAvailableError, InvalidArgumentError
from autotrack.models.inference import library_of
from autotrack.models.pyfunc import PyFuncModel
from autotrack.models.signature import Signature
from autotrack.progress_bar import progress_bar
from autotrack.serving import payload

FORMATS = ("csv", "parquet", "json", "jsonl")
"""csv: with a line of names; json: a list of objects, or a request as the server takes it; jsonl: an object a line."""

CHUNK_ROWS = 10_000
"""Rows of a piece."""


def predict_file(
    model: PyFuncModel,
    source: str | os.PathLike[str],
    target: str | os.PathLike[str] | IO[bytes],
    *,
    source_format: str | None = None,
    target_format: str | None = None,
    params: dict[str, Any] | None = None,
    chunk_rows: int = CHUNK_ROWS,
    with_input: bool = False,
) -> int:
    """Predict for all rows of a file.

    Args:
        model: The model.
        source: The file that holds the rows.
        target: The file to write, which appears when it is whole; or a stream.
        source_format: One of `FORMATS`; by the file's suffix if not given.
        target_format: The same; csv for a stream.
        params: Parameters of `predict`.
        chunk_rows: Rows that are predicted at a time (json is read whole).
        with_input: Write the columns that came, too.

    Returns:
        How many rows there were.

    Raises:
        InvalidArgumentError: A format is unknown, or the file is not of its format.
        SignatureMismatchError: The rows do not match the model's signature; nothing is written then.
        IntegrationNotAvailableError: pandas or pyarrow is missing.
        OSError: A file cannot be read or written.
    """
    if chunk_rows < 1:
        raise InvalidArgumentError("chunk_rows", chunk_rows, "a number above 0")
    path = Path(source)
    read = _READERS[_format(source_format, path, "input format")]
    form = _format(target_format, Path(target) if isinstance(target, (str, os.PathLike)) else None, "output format")
    size = path.stat().st_size
    rows = 0
    with (
        _needs_pandas(),
        _output(target) as stream,
        _WRITERS[form](stream) as write,
        progress_bar("predicting", size) as done,
    ):
        for frame, extra in read(path, model.metadata.signature, chunk_rows, done):
            result = _frame(model.predict(frame, {**(extra or {}), **(params or {})} or None))
            rows += len(result)
            write(_beside(frame, result) if with_input else result)
    return rows


def _format(given: str | None, path: Path | None, argument: str) -> str:
    form = given or ("csv" if path is None else path.suffix.lstrip(".").lower())
    form = {"ndjson": "jsonl", "pq": "parquet"}.get(form, form)
    if form not in FORMATS:
        raise InvalidArgumentError(argument, form, f"one of {', '.join(FORMATS)}; name it where the suffix does not")
    return form


@contextlib.contextmanager
def _needs_pandas() -> Iterator[None]:
    try:
        yield
    except ModuleNotFoundError as error:
        missing = str(error.name).partition(".")[0]
        if missing not in ("pandas", "pyarrow"):
            raise
        raise IntegrationNotAvailableError("predict", f"{missing} is missing", f"pip install {missing}") from None


@contextlib.contextmanager
def _output(target: str | os.PathLike[str] | IO[bytes]) -> Iterator[IO[bytes]]:
    """A stream to write to; a file takes its place when all is well."""
    if not isinstance(target, (str, os.PathLike)):
        yield target
        target.flush()
        return
    with replacing(target) as draft, open(draft, "wb") as stream:
        yield stream


# Reading: pieces of a file, each with the parameters that came with it

Pieces = Iterator[tuple[Any, dict[str, Any] | None]]
Advance = Callable[[int], None]


def _read_csv(path: Path, signature: Signature | None, rows: int, done: Advance) -> Pieces:
    import pandas as pd

    with path.open("rb") as stream, _translated(path, "CSV with a line of names"):
        chunks = pd.read_csv(stream, dtype=payload.text_columns(signature), chunksize=rows)
        yield from _followed(stream, (payload.to_columns(chunk, signature) for chunk in chunks), done)


def _read_lines(path: Path, signature: Signature | None, rows: int, done: Advance) -> Pieces:
    with path.open("rb") as stream:
        full = (line for line in stream if line.strip())
        while lines := list(itertools.islice(full, rows)):
            yield payload.read_json(b'{"dataframe_records": [%s]}' % b",".join(lines), signature)
            done(sum(map(len, lines)))


def _read_parquet(path: Path, signature: Signature | None, rows: int, done: Advance) -> Pieces:
    import pyarrow.parquet

    with _translated(path, "a parquet file"), pyarrow.parquet.ParquetFile(path) as file:
        size, total = path.stat().st_size, max(file.metadata.num_rows, 1)
        for batch in file.iter_batches(rows):
            yield payload.to_columns(batch.to_pandas(), signature), None
            done(size * batch.num_rows // total)


def _read_json(path: Path, signature: Signature | None, rows: int, done: Advance) -> Pieces:
    text = path.read_bytes()
    wrapped = text if text.lstrip()[:1] == b"{" else b'{"dataframe_records": %s}' % text
    yield payload.read_json(wrapped, signature)
    done(len(text))


def _followed(stream: IO[bytes], chunks: Iterable[Any], done: Advance) -> Pieces:
    seen = 0
    for chunk in chunks:
        yield chunk, None
        done(stream.tell() - seen)
        seen = stream.tell()


@contextlib.contextmanager
def _translated(path: Path, expected: str) -> Iterator[None]:
    try:
        yield
    except AutotrackError:
        raise
    except ValueError as error:  # pandas' and pyarrow's own are such
        raise InvalidArgumentError("input", str(path), f"{expected} ({error})") from None


_READERS: dict[str, Callable[[Path, Signature | None, int, Advance], Pieces]] = {
    "csv": _read_csv,
    "json": _read_json,
    "jsonl": _read_lines,
    "parquet": _read_parquet,
}


# Writing


def _frame(predictions: Any) -> Any:
    """Predictions as a pandas DataFrame: `prediction`, or `prediction_0`, `prediction_1`, ... for a table."""
    import numpy as np
    import pandas as pd

    library, kind = library_of(predictions)
    if kind == "DataFrame":
        return predictions if library == "pandas" else predictions.to_pandas()
    if isinstance(predictions, dict):
        return pd.DataFrame({name: payload.plain(values) for name, values in predictions.items()})
    values = payload.plain(predictions)
    if isinstance(values, list) and values and isinstance(values[0], dict):
        return pd.DataFrame(values)
    array = np.asarray(values if isinstance(values, list) else [values])
    if array.ndim == 1:
        return pd.DataFrame({"prediction": array})
    table = array.reshape(len(array), -1)
    return pd.DataFrame(table, columns=[f"prediction_{place}" for place in range(table.shape[1])])


def _beside(data: Any, result: Any) -> Any:
    import pandas as pd

    if not isinstance(data, pd.DataFrame):
        raise InvalidArgumentError("with_input", type(data).__name__, "rows with named columns")
    return pd.concat([data.reset_index(drop=True), result.reset_index(drop=True)], axis=1)


Writer = Callable[[Any], None]


@contextlib.contextmanager
def _csv_writer(stream: IO[bytes]) -> Iterator[Writer]:
    first = True

    def write(frame: Any) -> None:
        nonlocal first
        frame.to_csv(stream, index=False, header=first)
        first = False

    yield write


@contextlib.contextmanager
def _lines_writer(stream: IO[bytes]) -> Iterator[Writer]:
    yield lambda frame: frame.to_json(stream, orient="records", lines=True, date_format="iso")


@contextlib.contextmanager
def _json_writer(stream: IO[bytes]) -> Iterator[Writer]:
    lead = b"[\n"

    def write(frame: Any) -> None:
        nonlocal lead
        for line in frame.to_json(orient="records", lines=True, date_format="iso").splitlines():
            stream.write(lead + line.encode())
            lead = b",\n"

    yield write
    stream.write(b"\n]\n" if lead == b",\n" else b"[]\n")


@contextlib.contextmanager
def _parquet_writer(stream: IO[bytes]) -> Iterator[Writer]:
    import pyarrow
    import pyarrow.parquet

    writer: Any = None

    def write(frame: Any) -> None:
        nonlocal writer
        table = pyarrow.Table.from_pandas(frame, preserve_index=False)
        if writer is None:
            writer = pyarrow.parquet.ParquetWriter(stream, table.schema)
        writer.write_table(table.cast(writer.schema))

    try:
        yield write
    finally:
        if writer is not None:
            writer.close()


_WRITERS: dict[str, Callable[[IO[bytes]], contextlib.AbstractContextManager[Writer]]] = {
    "csv": _csv_writer,
    "json": _json_writer,
    "jsonl": _lines_writer,
    "parquet": _parquet_writer,
}
