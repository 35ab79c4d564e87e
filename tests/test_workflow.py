"""The workflow that a fork uses as is: valid, with few rights, nothing that moves by itself, and no logic of its own.

actionlint does not install from a package index without a download of its own. What it would find here is found by
GitHub's schema (check-jsonschema's copy), by zizmor, and by the rules below.
"""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from harness.course.catalogue import find_exercise
from harness.course.verdict import not_attempted
from tests.support.pythons import VERSIONS

ROOT = Path(__file__).parents[1]
WORKFLOW = ROOT / ".github" / "workflows" / "ci.yml"
TEXT = WORKFLOW.read_text(encoding="utf-8")
JOBS: dict[str, Any] = yaml.safe_load(TEXT)["jobs"]
PAGE = (ROOT / "notebooks" / "CI.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"```yaml\n(name:.*?)```", PAGE, re.DOTALL)


BROKEN = {
    "an unknown key": ("timeout-minutes: 30", "time-out-minutes: 30", "'time-out-minutes' was unexpected"),
    "a job that is not there": ("    permissions:\n", "    needs: lint\n    permissions:\n", "pinned needs lint"),
    "all rights": ("permissions: {}", "permissions: write-all", "excessive-permissions"),
    "a tag that can move": ("@3d3c42e5aac5ba805825da76410c181273ba90b1 # v7.0.1", "@v7", "unpinned-uses"),
    "a stranger's text in a command": ("run: .ci/run", "run: echo ${{ github.head_ref }}", "template-injection"),
    "no YAML": ("jobs:\n", "jobs: [\n", "parse"),
}


@pytest.fixture(scope="module")
def findings(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What the linters say of the workflow, of those on the page and of broken ones, by name; "" when it is nothing."""
    folder = tmp_path_factory.mktemp("repository") / ".github" / "workflows"
    folder.mkdir(parents=True)
    texts = {"ours": TEXT} | {f"on the page {number}": text for number, text in enumerate(EXAMPLES)}
    texts |= {name: TEXT.replace(right, wrong, 1) for name, (right, wrong, _) in BROKEN.items()}
    for name, text in texts.items():
        (folder / f"{name}.yml").write_text(text, encoding="utf-8")
    found = [*schema(folder), *zizmor(folder), *unknown_needs(folder)]
    return {name: "\n".join(says for place, says in found if Path(place).stem == name) for name in texts}


def schema(folder: Path) -> Iterator[tuple[str, str]]:
    options = ["--output-format", "json", "--builtin-schema", "vendor.github-workflows"]
    report = json.loads(lint("check-jsonschema", *options, *map(str, folder.glob("*.yml"))))
    for error in report["errors"]:
        yield error["filename"], error.get("best_match", error)["message"]
    for error in report["parse_errors"]:
        yield error["filename"], f"cannot be parsed: {error['message']}"


def zizmor(folder: Path) -> Iterator[tuple[str, str]]:
    options = ["--offline", "--no-progress", "--quiet", "--persona", "pedantic", "--format", "json"]
    whole = [str(path) for path in folder.glob("*.yml") if path.stem != "no YAML"]
    for finding in json.loads(lint("zizmor", *options, *whole)):
        for place in finding["locations"]:
            yield place["symbolic"]["key"]["Local"]["verbatim_path"], finding["ident"]


def unknown_needs(folder: Path) -> Iterator[tuple[str, str]]:
    """GitHub's schema knows the shape of `needs`, and not the names of the jobs."""
    for path in folder.glob("*.yml"):
        if path.stem == "no YAML":
            continue
        jobs = yaml.safe_load(path.read_text(encoding="utf-8"))["jobs"]
        for name, job in jobs.items():
            needed = job.get("needs", [])
            for each in [needed] if isinstance(needed, str) else needed:
                if each not in jobs:
                    yield str(path), f"{name} needs {each}"


def lint(tool: str, *arguments: str) -> str:
    command = [str(Path(sys.executable).with_name(tool)), *arguments]
    return subprocess.run(command, capture_output=True, text=True).stdout


def steps(jobs: dict[str, Any]) -> list[dict[str, Any]]:
    return [step for job in jobs.values() for step in job["steps"]]


def test_the_linters_find_nothing(findings):
    assert findings["ours"] == ""


@pytest.mark.parametrize("name", BROKEN)
def test_the_linters_find(name, findings):
    assert BROKEN[name][0] in TEXT
    assert BROKEN[name][2] in findings[name]


def test_a_job_runs_one_command_that_a_person_runs_too():
    runs = [step["run"] for step in steps(JOBS) if "run" in step]
    assert runs == [".ci/run", ".ci/run", "make newest"]


def test_pushes_get_the_pins_and_only_the_clock_or_a_person_gets_the_newest_dependencies():
    assert re.findall(r"'(\w+)'", JOBS["pinned"]["if"]) == ["push", "pull_request"]
    for name in ("every", "newest"):
        assert re.findall(r"'(\w+)'", JOBS[name]["if"]) == ["schedule", "workflow_dispatch"]
    assert not any("continue-on-error" in step for step in [*JOBS.values(), *steps(JOBS)])  # a failure is to be seen


def test_every_job_has_a_limit_reads_only_and_sets_up_its_python():
    for job in JOBS.values():
        assert job["timeout-minutes"] <= 30
        assert job["permissions"] == {"contents": "read"}
    versions = [step["with"]["python-version"] for step in steps(JOBS) if "setup-python" in step.get("uses", "")]
    assert versions == ["${{ matrix.python }}", "${{ matrix.python }}", VERSIONS[-1]]


def test_a_push_runs_the_oldest_and_the_newest_python_and_every_week_runs_all():
    assert JOBS["pinned"]["strategy"]["matrix"] == {"python": [VERSIONS[0], VERSIONS[-1]]}
    assert JOBS["every"]["strategy"]["matrix"] == {"python": VERSIONS}
    for name in ("pinned", "every"):
        assert JOBS[name]["env"] == {"PYTHON": "python${{ matrix.python }}"}


def test_an_action_is_one_commit_and_the_comment_says_which_version():
    used = re.findall(r"uses: (.*)", TEXT + PAGE)
    assert len(used) >= 5
    for action in used:
        assert re.fullmatch(r"actions/[a-z-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", action)
    assert len(set(used)) == len({action.partition("@")[0] for action in used}), "one action, two versions"


def test_the_page_shows_workflows_in_which_the_linters_find_nothing(findings):
    assert EXAMPLES
    assert {findings[f"on the page {number}"] for number in range(len(EXAMPLES))} == {""}


@pytest.mark.notebook
def test_the_test_on_the_page_passes_in_a_project_that_has_only_the_harness(pytester: pytest.Pytester):
    (example,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    pytester.makepyfile(test_tasks=example)
    pytester.runpytest_subprocess("-W", "error").assert_outcomes(passed=1)


def test_the_page_shows_what_a_check_says():
    shown = " ".join(PAGE.split())
    assert not_attempted(find_exercise("2.3")).headline in shown
    silent = find_exercise("2.1").mistakes["no-address"]
    assert f"2.1 not right yet: {silent.says} Reread lesson 02, “{silent.reread}”." in shown


def test_the_links_of_the_page_lead_somewhere():
    targets = re.findall(r"\]\(([^)#]+)\)", PAGE)
    assert len(targets) >= 3
    assert [target for target in targets if not (ROOT / "notebooks" / target).exists()] == []


def test_every_target_that_the_page_names_is_in_the_makefile():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    named = set(re.findall(r"`make ([a-z.]+)", PAGE))
    assert {"test", "newest", "pins"} <= named
    assert [target for target in named if not re.search(rf"^{re.escape(target)}:", makefile, re.MULTILINE)] == []
