"""Let twenty learners use the course at once on a JupyterHub of this machine, and report how they fared."""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import sys
import time
from pathlib import Path
from types import FrameType

from rich.console import Console

from tests.hub.figures import as_json, report
from tests.hub.hub import ROOT, Hub, missing
from tests.hub.learner import Task
from tests.hub.workshop import hold

NOTEBOOK = ROOT / "solutions" / "01_first_task.ipynb"
FIGURES = ROOT / "build" / "hub.json"


def main() -> int:
    """Run as the command line says; return the exit status, 0 when nothing failed."""
    chosen = _parser().parse_args()
    if problem := missing():
        print(problem, file=sys.stderr)
        return 2
    signal.signal(signal.SIGTERM, _interrupt)  # so that the hub is ended then, too
    console, begun = Console(), time.perf_counter()
    hub = Hub(chosen.patience)
    try:
        with hub:
            console.print(f"a hub at {hub.url}; {chosen.learners} learners log in", highlight=False)
            outcomes = asyncio.run(hold(hub, Task.read(chosen.notebook), chosen.learners, chosen.patience))
            log = hub.log
    except KeyboardInterrupt:
        console.print("interrupted; everything was ended", *hub.left, sep="\n")
        return 130
    figures = [each for each in outcomes if each.spawn is not None or each.failures]
    about = {"cores": os.cpu_count(), "notebook": chosen.notebook.name, "seconds": round(time.perf_counter() - begun)}
    chosen.json.parent.mkdir(parents=True, exist_ok=True)
    chosen.json.write_text(as_json(figures, hub.left, **about), encoding="utf-8")
    status = report(console, figures, hub.left)
    if status:
        said = "\n".join(["", "the hub's log ends so:", *log.splitlines()[-40:]])
        console.print(said, markup=False, highlight=False, soft_wrap=True)
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.hub", description=__doc__)
    parser.add_argument("--learners", type=int, default=20, help="how many at once (20)")
    parser.add_argument("--notebook", type=Path, default=NOTEBOOK, help="the solved notebook that each runs")
    parser.add_argument("--json", type=Path, default=FIGURES, help="where the figures go (build/hub.json)")
    parser.add_argument("--patience", type=float, default=300, help="seconds for any one answer (300)")
    return parser


def _interrupt(signum: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
