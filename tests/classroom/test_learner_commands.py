"""The output of the commands for learners, their effect on the progress, and their exit status."""

import ast
import io
import os
import re
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

import harness
from harness.classroom import learner_commands
from harness.classroom.cli import COMMANDS, main
from harness.classroom.screen import Program, in_terminal, refit, with_commands
from harness.course.catalogue import exercises, find_exercise
from harness.course.verdict import COMMAND, wrap
from harness.errors import HarnessError
from harness.notebooks import files
from harness.state import VARIABLE, command
from tests.support.desk import EXERCISES, Desk, SameProcess, remember_nothing
from tests.support.labs import shell

Said = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def solved(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    monkeypatch.setattr(learner_commands, "CheckProcess", SameProcess)
    return remember_nothing(monkeypatch)


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    """Exercises 01 and 02, half done; they are the current folder."""
    desk = Desk(tmp_path, "01", "02")
    desk.solve("1.1")
    desk.spoil("1.2")
    desk.answer("2.1", "taskqueue.add(")
    monkeypatch.chdir(desk.folder)
    return desk


def test_check_of_a_right_answer_is_0_and_is_remembered(desk: Desk, capsys: Said, solved: set[str]) -> None:
    assert main(["check", "1.1"]) == 0
    assert capsys.readouterr().out.startswith("1.1 correct: the editor's request only queued the")
    assert solved == {"1.1"}


def test_check_of_a_wrong_answer_is_1_with_the_whole_verdict(desk: Desk, capsys: Said, solved: set[str]) -> None:
    assert main(["check", "1.2"]) == 1
    out = capsys.readouterr().out
    assert out.startswith("1.2 not right yet.\n  We called      ")
    assert out.splitlines()[-1].startswith("Stuck? ")
    assert out.splitlines()[-1].endswith(" hint 1.2")
    assert solved == set()


def test_check_of_a_stub_says_that_what_is_saved_counts(desk: Desk, capsys: Said) -> None:
    assert main(["check", "1.3"]) == 1
    assert "1.3 not attempted. Fill" in capsys.readouterr().out.replace("\n", " ")


def test_check_of_a_lesson_gives_a_line_each(desk: Desk, capsys: Said) -> None:
    assert main(["check", "01"]) == 1
    title, *lines, empty, end = capsys.readouterr().out.splitlines()
    assert title == "01 Your first background task"
    heads = [line.partition("  ")[0] for line in lines]
    assert heads == ["1.1 correct", "1.2 not right yet", "1.3 not attempted", "1.4 not attempted"]
    assert end.startswith("1 of 4 correct. More about one of them: ")
    assert end.endswith(" check 1.2")


def test_check_of_a_lesson_that_is_solved_is_0(desk: Desk, capsys: Said, solved: set[str]) -> None:
    for number in ("1.1", "1.2", "1.3", "1.4"):
        desk.solve(number)
    assert main(["check", "01"]) == 0
    assert capsys.readouterr().out.endswith("4 of 4 correct.\n")
    assert solved == {"1.1", "1.2", "1.3", "1.4"}


def test_check_without_an_argument_checks_all_and_reports_a_missing_notebook_once(desk: Desk, capsys: Said) -> None:
    assert main(["check"]) == 1
    out = capsys.readouterr().out
    assert "\n2.1 error in your code  " in out
    assert " ".join(out.split()).count("exercises/03_routing.ipynb: the file is missing.") == 1
    assert f"1 of {EXERCISES} correct." in out


def test_a_lesson_without_an_attempt_is_one_line(desk: Desk, capsys: Said) -> None:
    desk.reset("02")
    main(["check", "02"])
    assert capsys.readouterr().out.splitlines()[0] == "02 Passing data: params, not URL vars: not attempted"


def test_check_reports_a_broken_notebook_and_how_to_start_again(desk: Desk, capsys: Said) -> None:
    desk.path("01").write_text(desk.path("01").read_text().replace("{\n", "<<<<<<< HEAD\n{\n", 1))
    assert main(["check", "1.1"]) == 1
    out = " ".join(capsys.readouterr().out.split())
    assert out.startswith("exercises/01_first_task.ipynb, line 1: a merge left its marks")
    assert out.endswith(" reset 01")


def test_check_says_which_of_two_cells_it_took(desk: Desk, capsys: Said) -> None:
    notebook = desk.read("01")
    cell = desk.cell(notebook, "ex1-1-answer")
    notebook["cells"].append({**cell, "id": "copied", "source": "%%controller ex1_1\nx = 1", "execution_count": None})
    desk.save("01", notebook)
    assert main(["check", "1.1"]) == 0
    assert capsys.readouterr().out.startswith("The notebook has 2 cells `%%controller ex1_1`. Cell 4 from the top was")


@pytest.mark.parametrize("command", [["check", "9.9"], ["check", "nine"], ["hint", "2"], ["solution"], ["reset"]])
def test_a_wrong_command_line_is_2(desk: Desk, capsys: Said, command: list[str]) -> None:
    assert main(command) == 2
    assert "Usage: " in capsys.readouterr().err


def test_a_folder_without_a_course_is_2(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Said) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["check"]) == 2
    assert "no folder my-course/ or exercises/" in capsys.readouterr().err


def test_the_course_may_be_named(desk: Desk, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: Said) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    assert main(["check", "1.1", "--course", str(desk.folder)]) == 0
    assert main(["check", "1.1", "--course", str(desk.folder / "nowhere")]) == 2


def test_progress_counts_by_lesson_and_names_the_next(capsys: Said, solved: set[str]) -> None:
    solved.update(["1.1", "1.2", "1.3", "1.4", "2.2", "99.1"])
    assert main(["progress"]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert lines[0][0] == "01"
    assert lines[0][-3:] == ["4", "of", "4"]
    assert lines[1][-3:] == ["1", "of", "5"]
    assert ["5", "of", str(EXERCISES)] in [line[-3:] for line in lines]
    assert lines[-1] == ["Next:", "2.1", "Repair", "the", "call"]


def test_hints_come_one_after_the_other(capsys: Said) -> None:
    for step in (1, 2, 3, 3):
        assert main(["hint", "1.1"]) == 0
        assert capsys.readouterr().out.startswith(f"Hint {step} of 3: ")


def test_a_solution_is_kept_back_until_the_exercise_is_solved(capsys: Said, solved: set[str]) -> None:
    assert main(["solution", "1.2"]) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert "solution 1.2 --give-up" in " ".join(said.err.split())
    solved.add("1.2")
    assert main(["solution", "1.2"]) == 0
    assert capsys.readouterr().out.startswith("%%controller ex1_2\ndef save():")


def test_giving_up_shows_the_solution(capsys: Said) -> None:
    assert main(["solution", "1.4", "--give-up"]) == 0
    assert "params=dict(old=second, new=first)" in capsys.readouterr().out


def test_a_small_exercise_has_hints_and_a_solution_here_and_needs_the_copy_of_its_lesson(
    desk: Desk, capsys: Said
) -> None:
    assert main(["hint", "1.x"]) == 0
    assert capsys.readouterr().out.startswith("Hint 1 of 3: ")
    assert main(["solution", "1.x"]) == 1
    assert "solution 1.x --give-up" in " ".join(capsys.readouterr().err.split())
    assert main(["solution", "1.x", "--give-up"]) == 0
    assert "params=dict(address=address)" in capsys.readouterr().out
    for name in ("check", "reset"):
        assert main([name, "1.x"]) == 1
        assert (
            "1.x is a cell of lesson 01, and you have no copy of this lesson in my-course/" in capsys.readouterr().err
        )


def test_a_small_exercise_is_checked_and_reset_in_the_copy_of_its_lesson(
    desk: Desk, capsys: Said, solved: set[str]
) -> None:
    assert main(["copies"]) == 0
    path = desk.folder / "my-course" / "01a_lesson_first_task.ipynb"
    fresh = files.read(path)
    [stub] = [cell for cell in fresh.cells if cell.source.startswith("%%controller ex1_x")]
    assert main(["check", "1.x"]) == 1
    assert "1.x not attempted" in capsys.readouterr().out
    answered = files.read(path)
    answered.cells[fresh.cells.index(stub)].source = find_exercise("1.x").solution
    path.write_text(files.dump(answered), encoding="utf-8")
    assert main(["check", "1.x"]) == 0
    assert solved == {"1.x"}
    assert main(["reset", "1.x"]) == 0
    assert "my-course/01a_lesson_first_task.ipynb: 1.x reset. Backup: " in " ".join(capsys.readouterr().out.split())
    assert files.dump(files.read(path)) == files.dump(fresh)
    path.write_text("{", encoding="utf-8")
    assert main(["check", "1.x"]) == 1
    assert main(["reset", "1.x"]) == 1
    said = capsys.readouterr()
    assert all(f"reset {path.name}" in " ".join(text.split()) for text in said)


def test_reset_names_the_backup_and_what_to_do_in_jupyterlab(desk: Desk, capsys: Said, solved: set[str]) -> None:
    solved.add("1.1")
    assert main(["reset", "1.1"]) == 0
    out = capsys.readouterr().out
    [backup] = (desk.exercises / "backups").iterdir()
    assert out.startswith("exercises/01_first_task.ipynb: 1.1 reset.\n  Backup: exercises/backups/01_first_task.20")
    assert backup.name in out
    assert "Reload Notebook from Disk" in out
    assert out.endswith("Still counted as solved: 1.1.\n")
    assert solved == {"1.1"}
    assert main(["check", "1.1"]) == 1


def test_reset_of_an_unchanged_answer_says_so(desk: Desk, capsys: Said) -> None:
    assert main(["reset", "1.4"]) == 0
    assert (
        capsys.readouterr().out == "exercises/01_first_task.ipynb: nothing to reset, because the stubs are unchanged.\n"
    )


def test_reset_of_all_asks_first(desk: Desk, monkeypatch: pytest.MonkeyPatch, capsys: Said) -> None:
    before = desk.path("01").read_text()
    monkeypatch.setattr("click.confirm", lambda question: f"all {EXERCISES} exercises" not in question)
    assert main(["reset", "all"]) == 1
    assert capsys.readouterr().out == "Nothing was changed.\n"
    assert desk.path("01").read_text() == before


def test_reset_of_all_without_an_answer_changes_nothing(desk: Desk) -> None:
    before = desk.path("01").read_text()
    command = [sys.executable, "-m", "harness", "reset", "all"]
    run = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    assert run.returncode == 130
    assert run.stdout.endswith(" reset all --yes\n")
    assert "Nothing was changed. In a script: " in run.stdout
    assert desk.path("01").read_text() == before


def test_reset_of_all_makes_missing_notebooks_too(desk: Desk, capsys: Said) -> None:
    assert main(["reset", "all", "--yes"]) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert "07_capstone.ipynb: a new notebook was written (the file is missing). Backup: none" in out
    assert len(list(desk.exercises.glob("*.ipynb"))) == len({each.lesson for each in exercises()})
    assert main(["check"]) == 1


def test_a_reset_that_stops_reports_what_it_has_done(desk: Desk, capsys: Said) -> None:
    for number in ("1.3", "2.2"):
        desk.solve(number)
    (desk.exercises / "backups").mkdir()
    desk.path("02").unlink()
    desk.path("02").mkdir()
    assert main(["reset", "all", "--yes"]) == 1
    said = capsys.readouterr()
    assert "1.1, 1.2, 1.3 reset." in said.out
    assert "Reload Notebook from Disk" in said.out
    assert "02_passing_data.ipynb" in said.err


def test_messages_for_a_notebook_become_commands() -> None:
    said = 'Try hint("1.1"), or solution("1.1", give_up=True), then check("1.1"): taskqueue-course reset 1.1'
    assert in_terminal(said, Program("python -m harness", "--course x")) == (
        "Try python -m harness hint 1.1, or python -m harness solution 1.1 --give-up, "
        "then python -m harness check 1.1 --course x: python -m harness reset 1.1 --course x"
    )
    said = 'no check("1.1"); taskqueue-course build'
    assert with_commands(said, Program("python -m harness")) == 'no check("1.1"); python -m harness build'


def test_a_verdict_is_broken_anew_for_a_narrow_window() -> None:
    text = (
        "2.1 not right yet.\n  We called      as a user: GET /x\n"
        "  Diagnosis      The address stands first, without its keyword,\n                 and so it is the payload."
    )
    assert refit(text, 40) == (
        "2.1 not right yet.\n  We called      as a user: GET /x\n  Diagnosis      The address stands\n"
        "                 first, without its\n                 keyword, and so it is\n                 the payload."
    )
    assert refit(text, 100) == text


def test_a_certificate_is_written_and_a_second_one_keeps_the_first(desk: Desk, capsys: Said, solved: set[str]) -> None:
    assert main(["solution", "1.2", "--give-up"]) == 0
    solved.update(["1.1", "1.2"])
    capsys.readouterr()
    assert main(["certificate", "--name", "Ada Lovelace"]) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert out.startswith("Certificate of progress: Ada Lovelace has so far solved 2 of the ")
    assert ": 1 without looking at the solution, 1 after looking at the solution. " in out
    assert out.endswith(" wrote certificate.svg wrote certificate.pdf")
    assert main(["certificate", "--name", "Ada King"]) == 0
    out = capsys.readouterr().out
    names = sorted(path.name for path in (desk.folder / "backups").iterdir())
    assert [name.rpartition(".")[2] for name in names] == ["pdf", "svg"]
    assert all(f"the previous file is now backups/{name}\n" in out for name in names)


def test_a_certificate_asks_for_a_name_until_it_can_be_used(
    desk: Desk, capsys: Said, solved: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    solved.add("1.1")
    monkeypatch.setattr("sys.stdin", io.StringIO("123\nAda Lovelace\n"))
    assert main(["certificate"]) == 0
    said = capsys.readouterr()
    assert "the name must have at least one letter, and '123' has none" in said.out + said.err
    assert "Ada Lovelace has so far solved" in said.out


def test_a_certificate_without_a_name_is_not_made(
    desk: Desk, capsys: Said, solved: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main(["certificate", "--name", "Ada"]) == 1
    assert "you haven't solved any yet" in capsys.readouterr().err
    solved.add("1.1")
    assert main(["certificate", "--name", ""]) == 2
    assert "the name must have at least one letter" in capsys.readouterr().err
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    assert main(["certificate"]) == 130
    assert capsys.readouterr().out.endswith(" certificate --name NAME\n")
    assert not list(desk.folder.glob("certificate.*"))


def test_progress_names_the_certificate_when_all_is_solved(capsys: Said, solved: set[str]) -> None:
    solved.update(each.number for each in exercises())
    assert main(["progress"]) == 0
    assert capsys.readouterr().out.endswith(" certificate\n")


def test_texts_of_the_course_contain_no_calls() -> None:
    """So hints and proofs are printed in a terminal unchanged."""
    said = [text for each in exercises() for text in (*each.hints, each.fill, each.proves, each.then, each.explains)]
    assert [text for text in said if in_terminal(text, Program("x")) != text] == []
    assert find_exercise("1.1").hints[0] in said


def test_a_check_that_cannot_be_made_is_1(desk: Desk, monkeypatch: pytest.MonkeyPatch, capsys: Said) -> None:
    class Unable(SameProcess):
        def check(self, *asked: object) -> object:  # type: ignore[override]
            raise HarnessError("no web2py")

    monkeypatch.setattr(learner_commands, "CheckProcess", Unable)
    assert main(["check", "1.1"]) == 1
    assert capsys.readouterr().err == "no web2py\n"


@pytest.mark.parametrize(
    ("start", "activated"),
    [(".venv/bin/taskqueue-course", False), (".venv/bin/python -m harness", True), ("FROM ELSEWHERE", False)],
)
def test_a_command_in_a_message_runs_as_printed(tmp_path: Path, start: str, activated: bool) -> None:
    """Also from a folder outside the course; both folders have a space in their names."""
    for name in ("a course", "the home"):
        (tmp_path / name).mkdir()
    desk = Desk(tmp_path / "a course", "01")
    desk.path("01").write_text("{")
    (desk.folder / ".venv").symlink_to(sys.prefix)
    folder, options = desk.folder, ""
    if start == "FROM ELSEWHERE":
        folder, options = tmp_path / "the home", " --course '../a course'"
        start = "'../a course/.venv/bin/taskqueue-course'"
    path = os.pathsep.join([str(desk.folder / ".venv" / "bin"), os.defpath]) if activated else os.defpath
    environment = {"PATH": path, "HOME": str(tmp_path / "the home"), VARIABLE: str(tmp_path / "state"), "COLUMNS": "40"}

    said = shell(f"{start} check 1.1{options}", folder, **environment)
    (printed,) = re.findall(r"start again:\s+(.+)", said.stdout)
    assert printed.startswith("taskqueue-course ") == activated
    done = shell(printed, folder, **environment)
    assert (done.returncode, done.stderr) == (0, "")
    assert "a new notebook was written" in done.stdout

    said = shell(f"{start} solution 1.2", folder, **environment)
    (printed,) = re.findall(r"anyway:\s+(.+)", said.stderr)
    assert shell(printed, folder, **environment).stdout.startswith("%%controller ex1_2\n")

    said = shell(f"{start} check 9.9", folder, **environment)
    (printed,) = re.findall(r"Try '(.+)' for help", said.stderr)
    assert "Check saved answers" in shell(printed, folder, **environment).stdout


def test_another_python_on_path_is_not_taken_for_that_of_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / Path(sys.executable).name).symlink_to(Path(sys.executable).resolve())
    monkeypatch.setenv("PATH", str(tmp_path))
    asked = "import sys; print(sys.prefix)"
    assert shell(f'{command("python")} -c "{asked}"', Path.cwd()).stdout == f"{sys.prefix}\n"


def test_where_the_course_is_not_installed_python_is_called_with_the_module(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sysconfig, "get_path", lambda name: str(tmp_path))
    assert command("taskqueue-course") == f"{command('python')} -m harness"
    assert shell(f"{command('taskqueue-course')} progress", Path.cwd(), **{VARIABLE: str(tmp_path)}).returncode == 0


def test_a_command_stays_on_one_line() -> None:
    for words in range(12, 20):
        text = f"{'words ' * words}taskqueue-course reset 1.1. And so on."
        assert "taskqueue-course reset 1.1. And" in wrap(text)
        narrow = in_terminal(text, Program("~/'a course'/.venv/bin/taskqueue-course"), 60)
        assert "~/'a course'/.venv/bin/taskqueue-course reset 1.1." in narrow


def test_messages_name_commands_that_there_are_and_leave_their_place_to_one_function() -> None:
    texts = []
    for path in Path(harness.__file__).parent.rglob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        docstrings = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
        strings = [node for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)]
        texts += [str(node.value) for node in strings if id(node) not in docstrings]
    named = {found[1].split()[0] for text in texts for found in COMMAND.finditer(text) if found[1]}
    assert {"build", "reset"} <= named <= set(COMMANDS)
    assert [text for text in texts if re.search(r"python -m harness|(?<!-m )(?<!%)pip install", text)] == []
