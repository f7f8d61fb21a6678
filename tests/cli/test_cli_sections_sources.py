"""The lines of `autotrack show` that say where a dataset came from."""

from __future__ import annotations

import json

from autotrack.cli import sections
from autotrack.events import DatasetInfo
from autotrack.records import DatasetInput, RunInputs


def lines(**profile: object) -> list[str]:
    """What is shown below the table of a run's one dataset."""
    info = DatasetInfo("X", "1234", "local", '{"uri": "/data/train.csv"}', "", json.dumps(profile))
    table = sections.datasets(RunInputs([DatasetInput(info, "train")]))
    return [line.strip() for line in table if line.strip().startswith("X:")]


def test_one_source_says_how_many_of_its_rows_were_used() -> None:
    """Name, beginning of the hash, rows of rows; of a chunk where it began; without a hash why."""
    source = {"name": "train.csv", "sha256": "0123456789abcdef", "rows": 1000}
    assert lines(rows=800, rows_read=1000, sources=[source]) == ["X: train.csv, sha256 0123456789ab, rows 800 of 1000"]
    assert lines(rows=8, rows_read=10, sources=[{"name": "a.csv", "rows": 10, "offset": 20}]) == [
        "X: a.csv, rows 8 of 10, from row 20 on"
    ]
    assert lines(rows=8, sources=[{"name": "a.csv", "not_hashed": "changed since it was read"}]) == [
        "X: a.csv, changed since it was read"
    ]


def test_several_sources_have_a_line_each() -> None:
    """With the rows that were read of it; of many the first, and how many there are besides."""
    sources = [{"name": f"{number}.csv", "rows": number} for number in range(12)]
    shown = lines(rows=8, sources=sources, more_sources=5)
    assert shown[0] == "X: 0.csv, 0 rows read"
    assert len(shown) == 11
    assert shown[-1] == "X: and 7 more"


def test_what_cannot_be_understood_is_left_out() -> None:
    """Profiles of other libraries have fields of the same names, and anything in them."""
    assert lines(sources="many") == lines(sources=[1, None], more_sources=3) == lines() == []
    assert lines(sources=[{}], more_sources="many") == ["X:"]
