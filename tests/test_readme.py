"""The README keeps its word."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from harness.state import VARIABLE
from tests.support.desk import Desk
from tests.support.labs import shell

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_taste_prints_what_stands_under_it(tmp_path: Path) -> None:
    program, output = re.findall(r"```(?:python|text)\n(.*?)```", README, re.DOTALL)[:2]
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=tmp_path, check=False)
    assert run.stdout == output, run.stderr


def test_each_command_for_a_terminal_runs_as_it_stands_there(tmp_path: Path) -> None:
    (block,) = re.findall(r"### In a terminal\n.*?```console\n(.*?)```", README, re.DOTALL)
    commands = [line.partition("#")[0] for line in block.splitlines()]
    desk = Desk(tmp_path)
    desk.solve("2.1")
    (tmp_path / ".venv").symlink_to(sys.prefix)
    own = {"PATH": os.defpath, "HOME": str(tmp_path), VARIABLE: str(tmp_path / "state")}
    done = {command: shell(command, tmp_path, **own) for command in commands}
    assert [command.split()[1] for command in commands] == ["check", "progress", "reset", "doctor", "export"]
    assert [command for command, run in done.items() if "doctor" not in command and run.returncode] == []
    (report,) = [run.stdout for command, run in done.items() if "doctor" in command]
    assert " a task " in report


def test_all_links_lead_somewhere() -> None:
    targets = re.findall(r"\]\(([^)#]+)\)", README)
    assert len(targets) > 10
    assert [target for target in targets if not (ROOT / target).exists()] == []


def test_the_seven_folders_and_files_of_the_layout_are_there() -> None:
    for name in ("notebooks", "exercises", "solutions", "harness", "environment.yml", "README.md"):
        assert (ROOT / name).exists(), name


@pytest.mark.parametrize("target", ["lab", "test", "build", "bench", "soak", "check", "help"])
def test_the_makefile_has_every_target_that_is_named(target: str) -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert f"make {target}" in README
    assert re.search(rf"^{target}:", makefile, re.MULTILINE)
