"""How the cost of recording grows with the work: rows of a fit, candidates of a search, runs of a store.

    python benchmarks/growth.py [--up-to EXPONENT] [--only rows|candidates|runs ...]

Processor time, which a busy machine falsifies little. Writes `growth.json` and, where matplotlib is installed,
`growth.svg` beside itself. Each size is measured in a process of its own, which is left out where the machine's memory
does not hold it.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import results
from cases import Case, program
from run import run_child

HERE = Path(__file__).resolve().parent
DATA, PICTURE = HERE / "growth.json", HERE / "growth.svg"


class Growth(NamedTuple):
    """One thing that grows."""

    program: str
    exponents: range
    """Sizes are powers of ten."""
    bytes_each: int
    """Memory that one of them takes, about."""
    lines: Mapping[str, str]
    """Figures that are shown, and what they are."""
    axis: str


GROWTHS = {
    "rows": Growth(
        "growing_fit",
        range(3, 8),
        300,
        {"plain_ms": "the fit itself", "added_ms": "added on its thread", "added_cpu_ms": "added, CPU in all"},
        "rows of a Ridge fit, 10 columns",
    ),
    "candidates": Growth(
        "growing_search",
        range(1, 5),
        20_000,
        {"plain_ms": "the search itself", "added_ms": "added on its thread", "added_cpu_ms": "added, CPU in all"},
        "candidates of a GridSearchCV, 2 folds",
    ),
    "runs": Growth(
        "search_runs",
        range(2, 6),
        20_000,
        {"main_cpu_ms": "one metric, order by another", "worst_cpu_ms": "the slowest query"},
        "runs x 20 metrics in a store: first 100 of search_runs",
    ),
}


def free_bytes() -> int:
    """Memory that is there for the taking."""
    try:
        text = Path("/proc/meminfo").read_text()
    except OSError:
        return sys.maxsize
    available = next(line for line in text.splitlines() if line.startswith("MemAvailable"))
    return 1024 * int(available.split()[1])


def measure(growth: Growth, up_to: int) -> list[dict[str, float]]:
    """The figures by size."""
    found = []
    for size in (10**exponent for exponent in growth.exponents if exponent <= up_to):
        if size * growth.bytes_each > free_bytes() / 2:
            sys.stderr.write(f"{growth.program}: {size:,} do not fit into memory\n")
            break
        case = Case(growth.program, program(growth.program, {"autotrack": size}), [])
        figures = run_child(case, "autotrack", {})
        found.append({"size": size, **{name: float(f"{figures[name]:.4g}") for name in growth.lines}})
        shown = ", ".join(f"{text} {figures[name]:,.1f} ms" for name, text in growth.lines.items())
        print(f"{growth.axis}: {size:,}: {shown}", flush=True)
    return found


def draw(kept: Mapping[str, Any]) -> None:
    """The picture, a panel for each thing that grows."""
    try:
        import matplotlib
    except ImportError:
        sys.stderr.write("no picture: matplotlib is not installed\n")
        return
    matplotlib.use("svg")
    from matplotlib import pyplot

    matplotlib.rcParams.update({"svg.hashsalt": "autotrack", "svg.fonttype": "none", "font.size": 9})
    figure, panels = pyplot.subplots(1, len(GROWTHS), figsize=(13, 4))
    for (name, growth), panel in zip(GROWTHS.items(), panels, strict=True):
        rows = kept.get(name, [])
        if not rows:
            panel.set_visible(False)
            continue
        for key, label in growth.lines.items():
            panel.plot([row["size"] for row in rows], [max(row[key], 0.01) for row in rows], marker="o", label=label)
        panel.set(xscale="log", yscale="log", xlabel=growth.axis, ylabel="ms of CPU")
        panel.grid(True, which="major", alpha=0.3)
        panel.legend(fontsize=8)
    about = kept["machine"]
    figure.suptitle(f"What recording costs as the work grows ({about['cores']} cores, {about['cpu']})")
    figure.tight_layout()
    figure.savefig(PICTURE, metadata={"Date": None, "Creator": None})


def main() -> None:
    """Measure, keep, draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=list(GROWTHS), default=list(GROWTHS))
    parser.add_argument("--up-to", type=int, default=7, metavar="EXPONENT", help="largest power of ten")
    parser.add_argument("--dry", action="store_true", help="write nothing")
    options = parser.parse_args()
    os.environ.setdefault("MPLBACKEND", "svg")
    kept: dict[str, Any] = json.loads(DATA.read_text("utf-8")) if DATA.exists() else {}
    kept |= {"machine": results.machine(), "versions": results.versions({})}
    for name in options.only:
        kept[name] = measure(GROWTHS[name], options.up_to)
        if not options.dry:  # at once: whoever stops it keeps what there is
            DATA.write_text(json.dumps(kept, indent=1) + "\n", "utf-8")
            draw(kept)


if __name__ == "__main__":
    main()
