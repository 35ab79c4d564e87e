"""Run pytest with nbval on notebooks, in a process of its own, and read what it made of each cell."""

import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from xml.etree import ElementTree


@dataclass
class Run:
    """What pytest made of the notebooks: the failure of each cell ("" where it passed), its seconds, all it printed.

    `properties` are those of JUnit's report, by name, in the order of their values.
    """

    failures: dict[str, list[str]]
    seconds: dict[str, list[float]]
    output: str
    properties: dict[str, list[str]] = field(default_factory=dict)

    def summary(self, name: str) -> str:
        return next(line for line in self.output.splitlines() if line.startswith(f"FAILED {name}.ipynb"))


def pytest_on(folder: Path, scratch: Path, *options: str, columns: int = 120) -> Run:
    """Run pytest.

    Args:
        folder: where it runs.
        scratch: where it puts what is temporary.
        options: its command line.
        columns: how wide its terminal is.
    """
    report = scratch / "report.xml"
    command = [sys.executable, "-m", "pytest", "--nbval-current-env", "-p", "no:cacheprovider", f"--junitxml={report}"]
    environment = {**os.environ, "TMPDIR": str(scratch), "COLUMNS": str(columns)}
    done = subprocess.run([*command, *options], cwd=folder, env=environment, capture_output=True, text=True)
    run = Run({}, {}, done.stdout)
    for case in ElementTree.parse(report).iter("testcase"):
        name = case.attrib["classname"].removesuffix(".ipynb").rpartition(".")[2]
        failed = case.find("failure")
        run.failures.setdefault(name, []).append("" if failed is None else failed.text or "no words")
        run.seconds.setdefault(name, []).append(float(case.attrib["time"]))
        for said in case.iter("property"):
            run.properties.setdefault(said.attrib["name"], []).append(said.attrib["value"])
    for values in run.properties.values():
        values.sort()
    return run
