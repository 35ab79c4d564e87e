"""Completion and Shift+Tab in cells that write a web2py file, as JupyterLab requests them from a real kernel."""

import re
from collections.abc import Iterator

import pytest

from harness import Lab
from harness.notebooks.completion import cell_names, members
from tests.support.kernels import Kernel, kernel

IN_ACTION = "%%controller default\ndef index():\n    {}"
MODEL = """%%model extra
db.define_table('story', Field('title'), Field('words', 'integer'))
auth = Auth(db)
def total(article: str, least=[].append(1), *, most=3):
    'Add up the words.'
    return 1 / 0
raise RuntimeError('a model ran')"""


@pytest.fixture(scope="module")
def learner(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kernel]:
    """A kernel with an open lab, whose model must not run."""
    with kernel(tmp_path_factory.mktemp("kernel")) as running:
        running.run("%load_ext harness\nfrom harness import Lab\nlab = Lab(apps=('tutorial', 'stats'))")
        assert "written" in running.run(MODEL)
        yield running


@pytest.fixture
def lab() -> Iterator[Lab]:
    with Lab(apps=("tutorial", "stats")) as lab:
        yield lab


@pytest.mark.notebook
@pytest.mark.parametrize(
    ("typed", "rest"),
    [
        ("db.my|", "table"),
        ("db.story.wo|", "rds"),
        ("db.story.ins|", "ert"),
        ("x = (request.post_v|)", "ars"),
        ("request.env.http_x_appengine_qu|", "euename"),
        ("session.forg|", "et"),
        ("response.generic_p|", "atterns"),
        ("auth.is_logg|", "ed_in"),
        ("taskqueue.ad|", "d"),
        ("redir|", "ect"),
        ("sessi|", "on"),
        ("taskq|", "ueue"),
        ("UR|", "L"),
        ("tota|", "l"),
    ],
)
def test_a_controller_completes_the_names_of_its_application(learner, typed, rest):
    assert rest in learner.complete(IN_ACTION.format(typed))


@pytest.mark.notebook
@pytest.mark.parametrize(
    ("typed", "shown"),
    [
        ("taskqueue.add(|", "Convenience method that creates a task"),
        ("URL(|", "args="),
        ("total(|", "total(article, least=None, *, most=3)"),
        ("total(|", "Add up the words."),
        ("db.story|", "Table"),
        ("request|", "Request"),
    ],
)
def test_shift_tab_describes_a_name_in_a_controller(learner, typed, shown):
    assert shown in re.sub(r"\x1b\[[0-9;]*m", "", learner.inspect(IN_ACTION.format(typed)))


@pytest.mark.notebook
def test_after_the_import_line_the_client_is_completed_too(learner):
    cell = IN_ACTION.format("from google.appengine.api import taskqueue\n    taskqueue.TaskA|")
    assert learner.complete(cell) == ["lreadyExistsError"]


@pytest.mark.notebook
def test_the_names_stay_out_of_the_other_cells(learner):
    assert learner.complete("x = reque|") == []
    assert learner.inspect("request|") == ""
    assert learner.run("{'db', 'request', 'taskqueue', 'session'} & set(globals())") == "set()"


@pytest.mark.notebook
def test_the_first_cell_prints_nothing_when_it_runs_again(learner):
    assert learner.run("%load_ext harness\nprint('again')") == "again\n"


def completions(source: str) -> list[str]:
    """Return the names that a cell can use at its mark `|`."""
    return list(cell_names(source.replace("|", ""), source.partition("|")[0]))


def test_the_table_of_the_model_that_is_being_written_is_known(lab):
    names = cell_names("%%model tides\ndb.define_table('tide', Field('day'))\n\ndef newest():\n    return db.tide.")
    assert members(names, ["db", "tide"])[:2] == ["id", "day"]


def test_a_view_completes_names_only_between_its_braces(lab):
    assert "request" in completions("%%view default/index.html\n<b>{{=req|}}</b>")
    assert completions("%%view default/index.html\n<b>{{=1}} req|</b>") == []


def test_the_tables_are_those_of_the_application_in_the_magics_line(lab):
    lab.write("models/extra.py", "db.define_table('visit', Field('page'))", "stats")
    assert "visit" in members(cell_names("%%controller default --app stats\nx"), ["db"])
    assert "visit" not in members(cell_names("%%controller default\nx"), ["db"])


@pytest.mark.parametrize(
    "source",
    ["db.", "", "%%routes\nx", "%%queue_yaml\nx", "%%controller\nx", "%%controller default --app nope\nx", "%%time\nx"],
)
def test_other_cells_and_magics_with_a_mistake_have_no_names(source, lab):
    assert cell_names(source) == {}


def test_without_an_open_lab_there_are_no_names():
    assert cell_names("%%controller default\nx") == {}


def test_a_dotted_name_that_does_not_exist_has_no_members(lab):
    names = cell_names("%%controller default\nx")
    assert members(names, ["nothing"]) == members(names, ["request", "nothing", "at", "all"]) == []


@pytest.mark.parametrize("fields", [lambda self: [], "text", 7])
def test_an_object_may_have_fields_that_are_no_list_of_names(fields):
    report = type("Report", (), {"fields": fields, "title": ""})()
    found = members({"report": report}, ["report"])
    assert "title" in found
    assert "t" not in found


@pytest.mark.parametrize(
    "model",
    ["db.define_table('1', Field('x'))", "db.define_table(name)", "nothing.define_table('x')", "other = DAL(1/0)"],
)
def test_a_model_with_a_mistake_hides_no_other_name(model, lab):
    names = cell_names(f"%%model bad\n{model}")
    assert "insert" in members(names, ["db", "mytable"])
    assert "request" in names
