"""`doctor`: what it finds in set-ups that are wrong in one way each, and how it says so."""

import json
import os
import socket
import sys
from importlib import metadata
from pathlib import Path

import pytest

from harness.classroom import doctor
from harness.classroom.cli import main
from harness.classroom.doctor_report import SetupFinding, SetupState, lines, summary
from harness.classroom.grading import sandbox, seccomp
from harness.course import progress_file
from harness.course.progress_file import Progress
from harness.errors import NotebookError
from harness.state import VARIABLE, quoted
from tests.support.desk import EXERCISES, Desk
from tests.support.labs import shell
from tests.support.pythons import RANGE
from tests.support.scratch import markdown, save

PINS = "rich==15.0.0\npygments==2.21.0\nwinonly==1 ; sys_platform == 'nowhere'\n"


@pytest.fixture
def course(tmp_path: Path) -> Path:
    for folder in ("notebooks", "exercises"):
        save(tmp_path / "course" / folder / "01_one.ipynb", markdown("# A"))
    return tmp_path / "course"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(VARIABLE, str(tmp_path / "state"))
    monkeypatch.setattr(progress_file, "_session", Progress())
    (tmp_path / "state").mkdir()
    return tmp_path / "state"


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, which is not in the course."""
    folder = tmp_path / "some where"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, str]:
    """The installed packages by name, from which a test removes one. The pins are for rich and pygments."""
    versions = {"harness": "1.0.0", "rich": "15.0.0", "pygments": "2.21.0"}
    needs = {"harness": ["rich>=13", "ruff; extra == 'test'"]}

    def version(name: str) -> str:
        if name not in versions:
            raise metadata.PackageNotFoundError(name)
        return versions[name]

    monkeypatch.setattr(metadata, "version", version)
    monkeypatch.setattr(metadata, "requires", needs.get)
    monkeypatch.setattr(doctor, "ROOT", tmp_path)
    (tmp_path / "requirements.txt").write_text(PINS, encoding="utf-8")
    return versions


def said(found: SetupFinding) -> tuple[str, str]:
    return found.state.value, found.says


def test_another_python_is_a_problem(monkeypatch, course):
    assert doctor.python(course).state is SetupState.OK
    monkeypatch.setattr(sys, "version_info", (3, 10, 13))
    found = doctor.python(course)
    assert said(found) == ("problem", f"3.10.13; the course is tested on {RANGE}")
    assert "PYTHON=/path/to/python3." in found.fix


def test_pins_that_are_all_there_are_counted_for_this_system(world, course):
    assert said(doctor.packages(course)) == ("ok", "2 in the pinned versions")


@pytest.mark.parametrize("name", ["rich", "pygments"])
def test_a_missing_package_is_named_with_the_command_that_installs_it(world, course, name, tmp_path):
    del world[name]
    found = doctor.packages(course)
    assert said(found) == ("problem", f"1 missing: {name}")
    assert found.fix.endswith(f"-m pip install --requirement {quoted(tmp_path / 'requirements.txt')}")


def test_the_command_that_installs_the_pins_runs_in_any_folder(world, elsewhere, tmp_path):
    (tmp_path / "requirements.txt").write_text(f"pytest=={pytest.__version__}\n", encoding="utf-8")
    done = shell(doctor.install_pins(), elsewhere, PATH=os.defpath, PIP_NO_INDEX="1")
    assert "Requirement already satisfied: pytest==" in done.stdout, done.stderr


def test_another_version_than_pinned_is_a_note_that_names_both(world, course):
    world["rich"] = "14.0"
    assert said(doctor.packages(course)) == ("note", "1 in another version than tested: rich 14.0, not 15.0.0")


def test_a_course_that_is_not_installed_is_told(world, course):
    del world["harness"]
    assert doctor.course(course).state is SetupState.NOTE
    assert f"--no-deps --editable {quoted(doctor.ROOT)}" in doctor.course(course).fix


def test_without_requirements_the_packages_own_needs_are_what_counts(world, course, tmp_path):
    (tmp_path / "requirements.txt").unlink()
    assert said(doctor.packages(course)) == ("ok", "all that are required")
    del world["rich"]
    assert doctor.packages(course).fix.endswith("-m pip install rich")


def test_googles_client_that_cannot_be_imported_is_a_problem(monkeypatch, course):
    assert doctor._found(doctor.google, course).state is SetupState.OK
    monkeypatch.setitem(sys.modules, "google.appengine.api", None)
    found = doctor._found(doctor.google, course)
    assert found.state is SetupState.PROBLEM
    assert "appengine-python-standard==" in found.fix


def test_a_wrong_web2py_path_is_told_once_with_what_to_do(monkeypatch, course, tmp_path):
    monkeypatch.setenv("WEB2PY_PATH", str(tmp_path / "none"))
    found = doctor.web2py(course)
    assert said(found) == (
        "problem",
        f"WEB2PY_PATH={str(tmp_path / 'none')!r} is not a folder that contains gluon/main.py",
    )
    assert found.fix.startswith("Set it to the folder of a web2py 3 source tree, or unset it")


def test_a_task_runs_from_end_to_end(course):
    assert doctor.task(course).state is SetupState.OK


def test_a_task_that_leaves_no_row_is_a_problem(monkeypatch, course):
    monkeypatch.setattr(doctor, "_CONTROLLER", doctor._CONTROLLER.replace("db.mytable.insert", "dict"))
    assert said(doctor.task(course)) == ("problem", "a task inserted 0 rows instead of 1")


def test_a_kernel_of_another_environment_is_told_with_its_folder(monkeypatch, course, tmp_path):
    spec = tmp_path / "jupyter" / "kernels" / "python3"
    spec.mkdir(parents=True)
    argv = ["/usr/bin/env", "python-of-somebody-else"]
    (spec / "kernel.json").write_text(json.dumps({"argv": argv, "display_name": "P", "language": "python"}))
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path / "jupyter"))
    monkeypatch.setattr(doctor, "_ask_kernel", lambda source: "/opt/other\n")
    found = doctor.kernel(course)
    assert said(found) == ("problem", f"the kernel python3 of {spec} runs in /opt/other, not in {sys.prefix}")
    assert f"remove or rename {spec}" in found.fix


def test_a_kernel_that_does_not_start_is_a_problem(monkeypatch, course):
    def die(source: str) -> str:
        raise RuntimeError("Kernel died before replying to kernel_info")

    monkeypatch.setattr(doctor, "_ask_kernel", die)
    assert "doesn't start: RuntimeError: Kernel died" in doctor.kernel(course).says


def test_the_kernel_is_asked_for_real_and_what_it_raises_is_heard():
    assert (
        doctor._ask_kernel("import sys; print(sys.prefix); 1 / 0")
        == f"{sys.prefix}\nZeroDivisionError: division by zero"
    )


def test_without_chromium_the_browser_tests_are_named_and_nothing_is_wrong(monkeypatch, course):
    monkeypatch.setenv("PATH", "")
    found = doctor.browser(course)
    assert found.state is SetupState.NOTE
    assert "apt-get install chromium" in found.fix


def test_notebooks_are_read_and_a_broken_one_is_named_with_its_line(course):
    assert doctor.lessons(course).state is SetupState.OK
    assert said(doctor.exercises(course)) == ("ok", f"1 in {course / 'exercises'}, answers can be saved")
    (course / "exercises" / "01_one.ipynb").write_text("{\n<<<<<<< HEAD\n{}\n>>>>>>> theirs\n", encoding="utf-8")
    found = doctor.exercises(course)
    assert found.state is SetupState.PROBLEM
    assert found.says.startswith(f"{Path('exercises') / '01_one.ipynb'}, line 2: a merge left its marks")
    assert found.fix.endswith("taskqueue-course reset 01")


def test_the_command_for_a_broken_lesson_runs_in_any_folder(course, elsewhere):
    lesson = course / "notebooks" / "01_one.ipynb"
    whole = lesson.read_bytes()
    user = "-c user.name=somebody -c user.email=somebody@example.org"
    done = shell(f"git init -q && git add . && git {user} commit -qm course", course)
    assert done.returncode == 0, done.stderr
    lesson.write_text("{", encoding="utf-8")
    done = shell(doctor.lessons(course).fix, elsewhere)
    assert lesson.read_bytes() == whole, done.stderr
    assert lesson.with_name(f"{lesson.name}.broken").read_text(encoding="utf-8") == "{"


def test_the_command_for_a_broken_exercise_runs_in_any_folder(elsewhere, tmp_path, capsys, monkeypatch):
    desk = Desk(tmp_path, "01")
    desk.path("01").write_text("{", encoding="utf-8")
    monkeypatch.setattr(doctor, "PROBES", {"exercises": doctor.exercises})
    assert main(["doctor", "--json", "--course", ".."]) == 1
    fix = json.loads(capsys.readouterr().out)["findings"][0]["fix"]
    done = shell(fix.partition("start again: ")[2], elsewhere)
    assert "a new notebook was written" in done.stdout, done.stderr


def test_the_learners_copies_are_read_if_there_are_some(course):
    copied = save(course / "my-course" / "01b_exercises_one.ipynb", markdown("# A"))
    assert said(doctor.exercises(course)) == ("ok", f"1 in {course / 'my-course'}, answers can be saved")
    copied.write_text("{", encoding="utf-8")
    assert doctor.exercises(course).fix.endswith("taskqueue-course reset 01b_exercises_one.ipynb")
    assert doctor.lessons(course).says == f"1 in {course / 'notebooks'}"


@pytest.mark.parametrize("probe", [doctor.lessons, doctor.exercises])
def test_a_folder_that_is_no_course_is_told(tmp_path, probe):
    assert probe(tmp_path).state is SetupState.PROBLEM
    assert "--course" in probe(tmp_path).fix


@pytest.mark.parametrize("named", [True, False])
def test_a_folder_within_the_course_is_as_good_as_the_course_itself(monkeypatch, course, capsys, named):
    monkeypatch.setattr(doctor, "PROBES", {"one": lambda folder: SetupFinding(SetupState.OK, str(folder))})
    inside = course / "notebooks" / "figures"
    inside.mkdir()
    monkeypatch.chdir(inside if not named else course.parent)
    assert main(["doctor", *(["--course", "course/notebooks/figures"] if named else [])]) == 0
    assert f" {course}\n" in " ".join(capsys.readouterr().out.split(" "))


def test_progress_is_counted_and_its_place_told(course, folder):
    assert said(doctor.progress(course)) == ("ok", f"0 of {EXERCISES} exercises solved; saved in {folder}")
    progress_file.mark_solved("1.1")
    assert doctor.progress(course).says.startswith(f"1 of {EXERCISES} ")


def test_a_broken_progress_file_is_a_note_and_stays_where_it_is(course, folder):
    (folder / "progress.json").write_text("{", encoding="utf-8")
    assert doctor.progress(course).state is SetupState.NOTE
    assert [path.name for path in folder.iterdir()] == ["progress.json"]


def test_progress_of_a_newer_course_is_a_problem(course, folder):
    (folder / "progress.json").write_text('{"version": 99}', encoding="utf-8")
    assert doctor.progress(course).fix == "update the course"


def test_a_state_folder_that_cannot_be_made_is_a_problem(course, folder, monkeypatch):
    folder.rmdir()
    folder.write_text("a file", encoding="utf-8")
    found = doctor.progress(course)
    assert found.state is SetupState.PROBLEM
    assert VARIABLE in found.fix


def test_a_home_that_is_not_there_is_a_problem(course, monkeypatch, tmp_path):
    monkeypatch.delenv(VARIABLE)
    monkeypatch.delenv("XDG_STATE_HOME", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "gone"))
    assert doctor.progress(course).fix == f"Set HOME to a folder that exists, or set {VARIABLE} to a folder."


def test_temporary_files_that_cannot_be_written_are_a_problem(course, monkeypatch, tmp_path):
    assert doctor.temporary(course).state is SetupState.OK
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "gone"))
    assert doctor.temporary(course).state is SetupState.PROBLEM


def test_a_terminal_without_utf8_is_a_note(course, monkeypatch):
    monkeypatch.setattr("locale.getpreferredencoding", lambda do_setlocale: "ISO-8859-1")
    assert "ISO-8859-1" in doctor.text(course).says
    assert doctor.text(course).state is SetupState.NOTE


def test_a_port_that_is_taken_is_a_note(course, monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        monkeypatch.setattr(doctor, "PORT", taken.getsockname()[1])
        assert "`lab` uses the next free one" in doctor.port(course).says
    assert doctor.port(course).state is SetupState.OK


def healthy(course: Path) -> SetupFinding:
    return SetupFinding(SetupState.OK, "fine")


def test_the_command_ends_with_0_where_nothing_is_in_the_way(monkeypatch, capsys):
    monkeypatch.setattr(
        doctor, "PROBES", {"one": healthy, "two": lambda course: SetupFinding(SetupState.NOTE, "odd", "look")}
    )
    assert main(["doctor"]) == 0
    out = capsys.readouterr().out
    assert "ok       one" in out
    assert out.endswith("The course can run. Notes above: 1.\n")


def test_a_probe_that_fails_is_a_finding_and_the_others_go_on(monkeypatch, capsys):
    def fails(course: Path) -> SetupFinding:
        raise NotebookError("odd")

    def lacks(course: Path) -> SetupFinding:
        raise ModuleNotFoundError("No module named 'yaml'", name="yaml")

    monkeypatch.setattr(doctor, "PROBES", {"one": fails, "two": lacks, "three": healthy})
    assert main(["doctor", "--json"]) == 1
    findings = json.loads(capsys.readouterr().out)["findings"]
    assert [each["says"] for each in findings] == [
        "fails: NotebookError: odd",
        "the package that contains yaml is missing",
        "fine",
    ]
    assert all("requirements.txt" in each["fix"] for each in findings[:2])


def test_a_report_does_not_name_the_user(monkeypatch, capsys, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path / "ann"))
    place = tmp_path / "ann" / "course"
    monkeypatch.setattr(
        doctor, "PROBES", {"one": lambda course: SetupFinding(SetupState.NOTE, f"at {place}", f"cd {place}")}
    )
    main(["doctor", "--json"])
    out = capsys.readouterr().out
    assert "ann" not in out
    assert f"at {Path('~') / 'course'}" in json.loads(out)["findings"][0]["says"]


def test_lines_fit_the_terminal_and_signs_fit_its_encoding():
    found = SetupFinding(SetupState.PROBLEM, "many words about it " * 10)
    shown = lines("Google's client", found, 80, "utf-8")
    assert all(len(line) <= 80 + len("\x1b[31m\x1b[1m\x1b[0m") for line in shown.splitlines())
    assert "✗ problem" in shown
    assert "X problem" in lines("kernel", found, 80, "ascii")


def test_a_command_is_on_one_line_in_every_terminal_so_that_it_can_be_copied():
    command = f".venv/bin/python -m pip install --requirement {'folder/' * 10}requirements.txt"
    found = SetupFinding(SetupState.NOTE, "odd", command)
    assert lines("packages", found, 40, "utf-8").endswith(f"\n    -> {command}")


def test_the_last_line_says_what_is_in_the_way():
    ok, odd, bad = (SetupFinding(state, "") for state in SetupState)
    assert summary({"a": ok}) == "All is well."
    assert summary({"a": ok, "b": odd}) == "The course can run. Notes above: 1."
    assert summary({"a": odd, "b": bad, "c": bad}) == "2 problems to fix: b, c."


FILES = "read and change the files of this user account"
NETWORK = "use the network, other programs' sockets and shared memory, and disturb other processes"
COULD = "answers, so native code in an answer could"
LAYERS = {  # Landlock's version, whether seccomp is available, and the line
    (7, True): "Landlock 7 and seccomp isolate answers",
    (3, True): "Landlock 3 and seccomp isolate answers",
    (2, True): f"only Landlock 2 and seccomp isolate {COULD} empty the files of this user account",
    (7, False): f"only Landlock 7 isolates {COULD} {NETWORK}",
    (2, False): f"only Landlock 2 isolates {COULD} empty the files of this user account, and {NETWORK}",
    (0, True): f"only seccomp isolates {COULD} {FILES}",
    (0, False): f"no layer of the kernel isolates {COULD} {FILES}, and {NETWORK}",
}


@pytest.mark.parametrize(("landlock", "filtered"), LAYERS)
def test_the_layers_that_isolate_answers_are_named_and_so_is_what_is_missing(monkeypatch, course, landlock, filtered):
    monkeypatch.setattr(sandbox, "version", lambda: landlock)
    monkeypatch.setattr(seccomp, "available", lambda: filtered)
    found = doctor.grading(course)
    is_complete = landlock >= 3 and filtered
    assert said(found) == ("ok" if is_complete else "note", LAYERS[landlock, filtered])
    assert ("GRADING.md" in found.fix) != is_complete


def test_windows_has_no_layers_because_nothing_is_graded_there(monkeypatch, course):
    monkeypatch.setattr(sys, "platform", "win32")
    assert "not on Windows" in doctor.grading(course).says
