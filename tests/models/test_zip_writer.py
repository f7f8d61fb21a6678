"""Zip files as they are written here: what Python's own reader reads back from them."""

from __future__ import annotations

import io
import zipfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autotrack.models import zip_writer
from autotrack.models.zip_writer import SMALL, ZipWriter

NAMES = st.text("abcdefghij0123456789._-", min_size=1, max_size=12)
LARGE = st.builds(lambda some, times: some * times, st.binary(max_size=300), st.integers(0, 40))
FILES = st.dictionaries(NAMES, st.binary(max_size=300) | LARGE, max_size=12)


def written(files: dict[str, bytes]) -> bytes:
    """A zip of these files."""
    writer = ZipWriter()
    for name, content in files.items():
        writer.add(name, content)
    return writer.getvalue()


def read(data: bytes) -> dict[str, bytes]:
    """What Python finds in a zip, in its order; checksums are looked at."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert archive.testzip() is None
        return {name: archive.read(name) for name in archive.namelist()}


@given(FILES)
def test_files_come_back(files: dict[str, bytes]) -> None:
    """Small ones and large ones, none too; in their order, and equal files make equal bytes."""
    data = written(files)
    found = read(data)
    assert found == files
    assert list(found) == list(files)
    assert written(dict(files)) == data


@given(FILES, st.integers(1, 400), st.integers(1, 8))
def test_what_is_too_much_for_short_fields_comes_back(files: dict[str, bytes], large: int, many: int) -> None:
    """Sizes, places and counts from a bound on stand in 64-bit fields; the bounds are set low here."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(zip_writer, "MAX_16", many)
        assert read(written(files)) == files
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(zip_writer, "BOUND_32", large)
        assert read(written(files)) == files


def test_large_files_are_compressed() -> None:
    """Small ones are not: it would save little."""
    data = written({"small": bytes(SMALL), "large": bytes(100 * SMALL)})
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        small, large = archive.infolist()
    assert (small.compress_type, large.compress_type) == (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
    assert large.compress_size < SMALL
    assert small.date_time == (1980, 1, 1, 0, 0, 0)


def test_sixty_thousand_files_come_back() -> None:
    """More than the short fields can count."""
    data = written({f"{number}.npy": b"%d" % number for number in range(66_000)})
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert len(archive.namelist()) == 66_000
        assert archive.read("65999.npy") == b"65999"
