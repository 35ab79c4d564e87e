"""Run all benchmarks, print a table, and write it with a plot into build/bench/."""

from __future__ import annotations

import argparse
from importlib import import_module
from pathlib import Path

from tests.bench.measure import Row

GROUPS = ("start", "folder", "dispatch", "queue", "cloud", "rivals", "serve", "checks")
FOLDER = Path(__file__).parents[2] / "build" / "bench"


def main() -> None:
    """Measure the groups named on the command line, or all of them."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("groups", nargs="*", help=f"which of {', '.join(GROUPS)}; all without")
    chosen = parser.parse_args().groups or GROUPS
    if unknown := set(chosen) - set(GROUPS):
        parser.error(f"unknown {', '.join(sorted(unknown))}; there are {', '.join(GROUPS)}")
    rows: list[Row] = []
    for group in chosen:
        for row in import_module(f"tests.bench.{group}").rows():
            print(_line(row), flush=True)
            rows.append(row)
    FOLDER.mkdir(parents=True, exist_ok=True)
    (FOLDER / "bench.txt").write_text("\n".join(map(_line, rows)) + "\n", encoding="utf-8")
    _plot(rows).savefig(FOLDER / "bench.svg")
    missed = [row for row in rows if row.verdict == "MISSED"]
    print(f"{len(rows)} figures, {len(missed)} missed their goal; also in build/bench/bench.txt and bench.svg")


def _line(row: Row) -> str:
    goal = "" if row.goal is None else f"goal {row.goal:g}"
    return f"{row.group:9} {row.what:58} {row.value:10.4f} {row.unit:8} {goal:10} {row.verdict:6} {row.note}".rstrip()


def _plot(rows: list[Row]) -> object:
    """Draw each figure that has a goal as a share of it."""
    from matplotlib.figure import Figure

    measured = [row for row in reversed(rows) if row.goal]
    figure = Figure(figsize=(9, 1 + 0.28 * len(measured)), layout="constrained")
    axes = figure.subplots()
    axes.barh([row.what for row in measured], [row.value / (row.goal or 1) for row in measured], color="#0072B2")
    axes.axvline(1, color="#D55E00", label="goal")
    axes.set_xlabel("share of the goal (less is better)")
    axes.legend()
    return figure


if __name__ == "__main__":
    main()
