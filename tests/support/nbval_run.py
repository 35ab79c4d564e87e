"""Run pytest with nbval on notebooks in another process, and read the result of each cell."""

import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from xml.etree import ElementTree

from tests.support.pythons import python_path

ROOT = Path(__file__).parents[2]


@dataclass
class Run:
    """The result of a run.

    Args:
        failures: for each notebook, the failure of each cell, or "" if the cell passed.
        seconds: for each notebook, the duration of each cell.
        output: everything that pytest printed.
        properties: the sorted values of each property in JUnit's report.
    """

    failures: dict[str, list[str]]
    seconds: dict[str, list[float]]
    output: str
    properties: dict[str, list[str]] = field(default_factory=dict)

    def summary(self, name: str) -> str:
        return next(line for line in self.output.splitlines() if line.startswith(f"FAILED {name}.ipynb"))


def pytest_on(folder: Path, scratch: Path, *options: str, columns: int = 120, share_kernel: bool = False) -> Run:
    """Run pytest.

    Args:
        folder: the current folder of the run.
        scratch: the folder for temporary files.
        options: the command line.
        columns: the width of the terminal.
        share_kernel: whether all notebooks that one process runs share a kernel; see `shared_kernel`.
    """
    report = scratch / "report.xml"
    # No notebook needs these plugins, which take half a second to import.
    left_out = [f"-pno:{plugin}" for plugin in ("cacheprovider", "hypothesispytest", "anyio", "harness_appengine")]
    command = [sys.executable, "-m", "pytest", "--nbval-current-env", *left_out, f"--junitxml={report}"]
    environment = {**os.environ, "TMPDIR": str(scratch), "COLUMNS": str(columns)}
    if share_kernel:
        command += ["-p", "tests.support.shared_kernel"]
        environment["PYTHONPATH"] = python_path(ROOT)
    done = subprocess.run([*command, *options], cwd=folder, env=environment, capture_output=True, text=True)
    run = Run({}, {}, done.stdout)
    for case in ElementTree.parse(report).iter("testcase"):
        name = case.attrib["classname"].removesuffix(".ipynb").rpartition(".")[2]
        failed = case.find("failure")
        run.failures.setdefault(name, []).append("" if failed is None else failed.text or "no message")
        run.seconds.setdefault(name, []).append(float(case.attrib["time"]))
        for item in case.iter("property"):
            run.properties.setdefault(item.attrib["name"], []).append(item.attrib["value"])
    for values in run.properties.values():
        values.sort()
    return run
