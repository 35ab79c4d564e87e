"""The parts of `make hub-test`: reports, clean-up, what counts as a failure; and the page that it takes the hub from.

The run itself, a JupyterHub with twenty learners, takes minutes and is no part of `make test`.
"""

import asyncio
import json
import os
import re
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml
from rich.console import Console

from tests.hub import hub, processes, workshop
from tests.hub.figures import Outcome, Usage, as_json, report
from tests.hub.learner import Learner, Task

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "notebooks" / "HUB.md").read_text(encoding="utf-8")
SOLVED = frozenset({"1.1", "1.2", "1.3", "1.4"})
STUBBORN = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('ready', flush=True)"


def block(language: str) -> str:
    """Return the page's only block in this language."""
    (found,) = re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)
    return str(found)


@contextmanager
def sleeper(mark: str, program: str = "print('ready', flush=True)") -> Iterator[subprocess.Popen[str]]:
    """Yield a process that carries a mark and sleeps."""
    command = [sys.executable, "-c", f"{program}; import sys; sys.stdin.read()"]
    environment = {**os.environ, processes.MARK: mark}
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, env=environment, **pipes) as process:
        try:
            assert process.stdout is not None
            process.stdout.readline()
            yield process
        finally:
            process.kill()


def learners(count: int) -> list[Learner]:
    """Make learners who found all as it should be, and talk to no hub."""
    made = [Learner("http://127.0.0.1:1", f"learner{number}", "", 1) for number in range(count)]
    for each in made:
        own = {kind: f"{kind} of {each.name}" for kind in ("root", "home", "folder")}
        each.says = {"rows": [each.name], "mode": "0o700", "solved": sorted(SOLVED), "saved": each.name, **own}
    return made


def compare(learner: Learner, everybody: list[Learner]) -> list[str]:
    asyncio.run(workshop._compare(learner, everybody, Task({}, "", SOLVED)))
    return learner.outcome.failures


def shown(*outcomes: Outcome, left: tuple[str, ...] = ()) -> tuple[int, str]:
    console = Console(width=120, record=True, file=open(os.devnull, "w"))  # noqa: SIM115
    with console.file:
        return report(console, outcomes, left), console.export_text()


def test_the_table_shows_median_and_maximum_of_those_who_have_a_figure():
    usage = Usage(pss=100, rss=150, processor=2)
    outcomes = [Outcome("a", spawn=1, server=usage), Outcome("b", spawn=2), Outcome("c", spawn=9), Outcome("d")]
    status, text = shown(*outcomes)
    assert status == 0
    assert re.search(r"log in and spawn\W+2\.0\W+9\.0\W+s\W+3\b", text)
    assert re.search(r"server: memory, RSS\W+150\.0\W+150\.0\W+MB\W+1\b", text)
    assert re.search(r"run the notebook\W+-\W+-\W+s\W+0\b", text)
    assert "0 failures" in text


def test_one_failure_of_one_learner_fails_the_run_and_is_told():
    status, text = shown(Outcome("a"), Outcome("b", failures=["cell ex1-1-check: CheckError: wrong"]))
    assert status == 1
    assert "b: cell ex1-1-check: CheckError: wrong" in text
    assert "1 failures" in text


def test_what_is_left_behind_fails_the_run():
    assert shown(Outcome("a"), left=("port 1 is still open",))[0] == 1


def test_the_json_holds_the_same_figures_and_each_learners_own():
    told = json.loads(as_json([Outcome("a", spawn=1.0), Outcome("b", spawn=2.0, failures=["x"])], ["y"], cores=2))
    assert told["figures"] == {"log in and spawn": {"unit": "s", "median": 1.5, "max": 2.0}}
    assert told["failures"] == ["b: x", "left behind: y"]
    assert [each["learner"] for each in told["learners"]] == ["a", "b"]
    assert told["cores"] == 2


@pytest.mark.parametrize("program", ["print('ready', flush=True)", STUBBORN], ids=["willing", "stubborn"])
def test_marked_processes_are_ended_also_those_that_do_not_want_to(program):
    mark = processes.new_mark()
    with sleeper(mark, program) as process:
        said = processes.end(mark, seconds=0.5 if program == STUBBORN else 60)
        assert [line.split()[0] for line in said] == [str(process.pid)]
        assert not psutil.pid_exists(process.pid)
    assert processes.end(mark, seconds=1) == []


def test_processes_of_another_run_are_left_alone():
    with sleeper(processes.new_mark()) as process:
        assert processes.end(processes.new_mark(), seconds=1) == []
        assert process.poll() is None


def test_what_a_process_uses_is_measured():
    used = processes.usage(psutil.Process())
    assert 0 < used.pss <= used.rss + 1
    assert used.processor > 0


def test_what_a_step_raises_is_a_failure_of_that_learner_alone():
    first, second = learners(2)

    async def step(learner: Learner) -> None:
        if learner is first:
            raise RuntimeError("no page")
        learner.outcome.cells = 9

    asyncio.run(workshop._all([first, second], step))
    assert first.outcome.failures == ["RuntimeError: no page"]
    assert (second.outcome.failures, second.outcome.cells) == ([], 9)


def test_learners_who_share_nothing_pass():
    everybody = learners(3)
    assert [compare(each, everybody) for each in everybody] == [[], [], []]


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        ({"rows": ["learner0", "learner1"]}, "the lab holds the rows ['learner0', 'learner1']"),
        ({"solved": ["1.1"]}, "progress() says ['1.1'] are solved"),
        ({"saved": "learner1"}, "the saved notebook is learner1's"),
        ({"mode": "0o755"}, "others can open the lab's folder: 0o755"),
        ({"root": "root of learner1"}, "shares the root root of learner1 with learner1"),
        ({"home": "home of learner2"}, "shares the home home of learner2 with learner2"),
    ],
)
def test_whoever_sees_something_of_another_fails(fault, told):
    everybody = learners(3)
    everybody[0].says |= fault
    assert compare(everybody[0], everybody) == [told]


def test_a_task_knows_the_exercises_that_its_checks_solve():
    task = Task.read(ROOT / "solutions" / "01_first_task.ipynb")
    assert task.solved == SOLVED
    assert task.exercise == "my-course/01b_exercises_first_task.ipynb"


def test_what_is_missing_is_said_with_the_way_to_get_it(monkeypatch, tmp_path):
    (tmp_path / "bin").mkdir()
    monkeypatch.setattr(hub, "CLASSROOM", tmp_path)
    monkeypatch.setattr(hub, "PROXY", tmp_path / "proxy")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "make classroom" in str(hub.missing())
    (tmp_path / "bin" / "jupyterhub").touch()
    assert "make hub-test" in str(hub.missing())
    (tmp_path / "proxy").touch()
    assert "there is no `node`" in str(hub.missing())


def test_without_node_the_makefile_says_what_is_missing(tmp_path):
    for name in ("Makefile", "requirements.txt", "pyproject.toml"):
        (tmp_path / name).write_bytes((ROOT / name).read_bytes())
    (tmp_path / ".venv" / "classroom").mkdir(parents=True)
    for done in (".venv/.done", ".venv/classroom/.done"):
        (tmp_path / done).touch()
    makefile = (tmp_path / "Makefile").read_text(encoding="utf-8")
    rule = re.search(r"^\.venv/hub/\.done:.*\n\t@(.*)$", makefile, re.MULTILINE)
    assert rule is not None
    said = subprocess.run(["/bin/sh", "-c", rule[1]], env={"PATH": str(tmp_path)}, capture_output=True, text=True)
    assert said.returncode == 1
    assert "There is no Node.js here" in said.stderr


def test_the_pages_configuration_of_a_hub_is_python():
    compile(block("python"), "jupyterhub_config.py", "exec")


def test_both_hubs_make_the_same_copies_and_open_the_same_lesson():
    values = yaml.safe_load(block("yaml"))["singleuser"]
    namespace: dict[str, Any] = {"c": _Anything()}
    exec(block("python"), namespace)
    spawner = namespace["c"].Spawner
    assert spawner.cmd[2].removeprefix('export PATH="/srv/course/.venv/bin:$PATH"; ') == values["cmd"][2]
    assert spawner.default_url == values["defaultUrl"]
    assert values["defaultUrl"] == "/taskqueue-course"
    assert spawner.environment == values["extraEnv"]
    assert (ROOT / values["extraEnv"]["JUPYTER_CONFIG_PATH"].removeprefix("/srv/course/")).is_dir()


def test_the_pages_values_for_kubernetes_leave_room_for_several_kernels():
    values = yaml.safe_load(block("yaml"))
    assert values["singleuser"]["memory"] == {"guarantee": "512M", "limit": "2G"}
    assert values["singleuser"]["image"] == {"name": "registry.example.org/taskqueue-course", "tag": "1.0.0"}
    assert set(values) == {"singleuser", "hub", "cull"}


def test_a_learner_gets_copies_at_home_before_the_server_starts(tmp_path):
    """The command of both hubs; a failure of the copies doesn't stop the server."""
    script = yaml.safe_load(block("yaml"))["singleuser"]["cmd"][2].replace("jupyterhub-singleuser", "echo in $PWD with")
    for path, names in [(sysconfig.get_path("scripts"), 22), (None, 0)]:
        home = tmp_path / str(names)
        home.mkdir()
        ran = subprocess.run(
            ["sh", "-c", script, "singleuser", "--flag"],
            env={"HOME": str(home), "PATH": os.pathsep.join(filter(None, [path, os.defpath]))},
            capture_output=True,
            text=True,
        )
        assert ran.stdout.splitlines()[-1] == f"in {home} with --flag"
        assert len(list(home.glob("my-course/*.ipynb"))) == names


class _Anything:
    """Stands for JupyterHub's configuration: every attribute is there, and keeps what is set on it."""

    def __getattr__(self, name: str) -> Any:
        self.__dict__[name] = value = _Anything()
        return value
