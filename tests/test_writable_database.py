"""`lab.db`: the application's own DAL between requests, to arrange rows before a test."""

import builtins
import io
import os
import sqlite3
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness import Lab
from harness.errors import HarnessError, LabClosedError, NameRefusedError, NotInLabError, SourceError

# web2py has many strings with invalid escapes ("\s"), and Python warns of them when it compiles a module.
pytestmark = [pytest.mark.filterwarnings(f"ignore::{kind}Warning") for kind in ("Deprecation", "Syntax")]

MODEL = """
from gluon import current
from gluon.tools import Auth
db = DAL('sqlite://storage.sqlite', pool_size=5)
auth = Auth(db)
auth.define_tables(username=False)
db.define_table('thing', Field('name', requires=IS_NOT_EMPTY()), Field('made', 'datetime', default=request.now),
                Field('picture', 'upload'))

def announce(fields, id):
    if fields['name'] == 'announced':
        from google.appengine.api import taskqueue
        taskqueue.add(url=URL('default', 'f'), params=dict(app=current.request.application))
db.thing._after_insert.append(announce)
"""
CONTROLLER = """
def f(): return ' '.join(row.name for row in db(db.thing).select())
def put(): db.thing.insert(name='of a request')
def download(): return response.download(request, db)
def user(): return dict(form=auth())
def me(): return auth.user.email
"""


@pytest.fixture(scope="module")
def shared() -> Iterator[Lab]:
    with Lab(apps=("tutorial", "other")) as lab:
        lab.write("models/db.py", MODEL)
        lab.write("controllers/default.py", CONTROLLER)
        yield lab


@pytest.fixture
def lab(shared: Lab) -> Lab:
    with shared.db() as db:
        for table in (db.thing, db.auth_user):
            table.truncate()
    with shared.db("other") as db:
        db.mytable.truncate()
    return shared


def names(lab: Lab) -> list[str]:
    return [row["name"] for row in lab.table("thing")]


def test_rows_are_committed_at_the_end_and_seen_by_requests(lab: Lab) -> None:
    with lab.db() as db:
        id = db.thing.insert(name="a")
        assert db(db.thing).select().first().made == lab.now.replace(tzinfo=None)
    assert names(lab) == ["a"]
    assert lab.get("default/f").text == "a"
    lab.get("default/put")
    with lab.db() as db:
        assert db(db.thing.id == id).update(name="b") == 1
        assert [row.name for row in db(db.thing).select()] == ["b", "of a request"]


def test_an_exception_rolls_back(lab: Lab) -> None:
    with pytest.raises(KeyError, match="stop"), lab.db() as db:
        db.thing.insert(name="a")
        db.commit()
        db.thing.insert(name="b")
        raise KeyError("stop")
    assert names(lab) == ["a"]


def test_blocks_follow_each_other(lab: Lab) -> None:
    for name in ("a", "b"):
        with lab.db() as db:
            db.thing.insert(name=name)
    assert names(lab) == ["a", "b"]


def test_another_application_may_be_open_at_the_same_time(lab: Lab) -> None:
    with lab.db() as db:
        db.thing.insert(name="a")
        with lab.db("other") as other:
            other.mytable.insert(old="x")
        assert len(lab.table("mytable", "other")) == 1
        db.thing.insert(name="b")
    assert names(lab) == ["a", "b"]


def test_the_same_database_may_be_opened_twice_if_no_row_waits(lab: Lab) -> None:
    with lab.db() as db:
        with lab.db() as inner:
            inner.thing.insert(name="a")
        db.thing.insert(name="b")
        with pytest.raises(HarnessError, match="so another `with lab.db\\(\\)` would not see the changes"), lab.db():
            pass
    assert names(lab) == ["a", "b"]


def test_what_would_not_see_changed_rows_is_refused_until_they_are_committed(lab: Lab) -> None:
    with lab.db() as db:
        db.thing.insert(name="a")
        for what in (lambda: lab.get("default/f"), lab.run, lambda: lab.advance(1), lambda: lab.table("thing")):
            with pytest.raises(HarnessError, match="`with lab.db\\(\\)` has changed rows that aren't committed yet"):
                what()
        db.commit()
        assert lab.get("default/f").text == "a"
        assert names(lab) == ["a"]
        lab.get("default/put")
        assert db(db.thing).count() == 2
        db.thing.insert(name="b")
    assert names(lab) == ["a", "of a request", "b"]


def test_validators_and_their_messages_work(lab: Lab) -> None:
    person = {"first_name": "A", "last_name": "B", "email": "a@example.com", "password": "secret1"}
    with lab.db() as db:
        assert db.auth_user.validate_and_insert(**person)["id"] == 1
        assert db.thing.validate_and_insert(name="")["errors"]["name"] == "Enter a value"
    page = lab.get("default/user/login")
    assert lab.submit(page, email="a@example.com", password="secret1").status == 303
    assert lab.get("default/me").text == "a@example.com"


def test_callbacks_run_and_their_tasks_reach_this_labs_queue(lab: Lab) -> None:
    with Lab() as newer:
        with lab.db() as db:
            db.thing.insert(name="announced")
        assert newer.tasks() == []
    assert [(task.url, task.body) for task in lab.tasks()] == [("/tutorial/default/f", b"app=tutorial")]
    lab.run()


def test_a_file_is_stored_where_the_application_finds_it(lab: Lab) -> None:
    with lab.db() as db:
        stored = db.thing.picture.store(io.BytesIO(b"bytes"), "a.png")
        db.thing.insert(name="a", picture=stored)
    assert lab.get(f"default/download/{stored}").body == b"bytes"


def test_a_dal_of_the_notebook_keeps_its_connection(lab: Lab, tmp_path: Path) -> None:
    from pydal import DAL, Field

    own = DAL("sqlite://storage.sqlite", folder=str(tmp_path))
    own.define_table("kept", Field("n"))
    own.kept.insert(n=1)
    with lab.db() as db:
        db.thing.insert(name="a")
        own.kept.insert(n=2)
        later = DAL("sqlite:memory")
        later.define_table("made", Field("n"))
    own.kept.insert(n=3)
    assert own(own.kept).count() == 3
    assert later(later.made).count() == 0
    own.rollback()
    assert own(own.kept).count() == 0
    for dal in (own, later):
        dal.close()


def test_the_block_leaves_the_process_as_it_was(lab: Lab) -> None:
    from gluon import current
    from pydal._globals import THREAD_LOCAL

    before = dict(vars(THREAD_LOCAL)), dict(vars(current)), os.getcwd(), dict(os.environ)
    with lab.db() as db:
        db.thing.insert(name="a")
        assert os.getcwd() == before[2]
    assert (dict(vars(THREAD_LOCAL)), dict(vars(current)), os.getcwd(), dict(os.environ)) == before


def test_a_lab_that_is_closed_in_the_block_has_lost_the_rows() -> None:
    with pytest.raises(LabClosedError, match="this lab was closed"), Lab() as lab, lab.db() as db:
        db.mytable.insert(old="a")
        lab.close()
    with pytest.raises(LabClosedError), lab.db():
        pass


@pytest.mark.parametrize(
    ("app", "message"), [("nowhere", "the application 'nowhere' doesn't exist"), (5, "app must be the name")]
)
def test_an_application_that_does_not_exist_is_refused(app: str, message: str, lab: Lab) -> None:
    with pytest.raises(NameRefusedError, match=message), lab.db(app):
        pass


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ("", "the models of 'tutorial' define no database. Add one: db = DAL"),
        ("x = 1 / 0", r"the models of 'tutorial' do not work: tutorial/models/db.py, line 1\n.*\nZeroDivisionError"),
        ("raise HTTP(403)", "the models of 'tutorial' stop with 403"),
    ],
)
def test_models_without_a_database_or_with_a_mistake_are_explained(model: str, message: str) -> None:
    with Lab() as lab:
        lab.write("models/db.py", model)
        with pytest.raises(SourceError, match=message), lab.db():
            pass


def test_models_that_require_https_are_read_and_a_page_without_it_is_redirected() -> None:
    with Lab() as lab:
        lab.write(
            "models/db.py",
            "request.requires_https()\ndb = DAL('sqlite://a.sqlite')\ndb.define_table('x', Field('n'))\n",
        )
        assert len(lab.table("x")) == 0
        with lab.db() as db:
            db.x.insert(n=1)
        assert len(lab.table("x")) == 1
        lab.write("controllers/default.py", "def index(): return str(db(db.x).count())\n")
        assert lab.get("default/index").header("location") == "https://tutorial.appspot.com/tutorial/default/index"
        assert lab.get("https://tutorial.appspot.com/tutorial/default/index").text == "1"


def test_of_several_databases_it_is_the_one_named_db_and_all_are_committed() -> None:
    models = "first = DAL('sqlite://a.sqlite')\n{} = DAL('sqlite://b.sqlite')\nfirst.define_table('x', Field('n'))\n"
    with Lab() as lab:
        lab.write("models/db.py", models.format("db") + "db.define_table('y', Field('n'))\ndb.other = first\n")
        with lab.db() as db:
            db.y.insert(n=1)
            db.other.x.insert(n=2)
        assert (len(lab.table("x")), len(lab.table("y"))) == (1, 1)
        lab.write("models/db.py", models.format("second"))
        with lab.db() as db:
            assert db.tables == ["x"]


def test_models_of_one_controller_add_their_tables_and_change_nothing_else() -> None:
    with Lab() as lab:
        lab.write("models/shop/cart.py", "db.define_table('cart', Field('n'), Field('old', 'reference mytable'))")
        lab.write("models/shop/index/deep.py", "db.define_table('deep', Field('n'))")
        lab.write("controllers/shop.py", "def index(): return '%s' % [db(db.cart).count(), db(db.deep).count()]")
        with lab.db() as db:
            db.cart.insert(n=1)
        assert (len(lab.table("cart")), lab.table("deep")) == (1, [])
        assert lab.get("shop/index").text == "[1, 0]"
        lab.write(
            "models/admin/only.py",
            "from google.appengine.api import taskqueue\n"
            "db.mytable.old.default = 'changed'\ndb.mytable._before_insert.append(lambda fields: True)\n"
            "taskqueue.add(url='/x')\ndb.mytable.insert(old='x')\nredirect(URL('login'))",
        )
        lab.write("models/legacy/db.py", "db = DAL('sqlite://legacy.sqlite')\ndb.define_table('old', Field('n'))\n")
        with lab.db() as db:
            assert db._uri == "sqlite://storage.sqlite"
            assert "cart" in db.tables
            db.mytable.insert()
        assert [row["old"] for row in lab.table("mytable")] == [None]
        assert lab.table("old") == []
        assert lab.tasks() == []


def test_reading_a_table_adds_no_task_although_the_models_of_each_request_do() -> None:
    with Lab() as lab:
        lab.write("models/x.py", "from google.appengine.api import taskqueue\ntaskqueue.add(url='/x', name='once')\n")
        assert lab.table("mytable") == []
        with lab.db():
            pass
        assert lab.tasks() == []
        lab.get("default/index")
        assert len(lab.tasks()) == 1


def test_the_database_of_a_module_is_found() -> None:
    with Lab() as lab:
        lab.write("modules/store.py", "from gluon import DAL, Field\ndb = DAL('sqlite://a.sqlite')\n"
                  "db.define_table('kept', Field('n'))\n")  # fmt: skip
        lab.write("models/db.py", "from store import db")
        lab.write("controllers/default.py", "def f(): return str(db(db.kept).count())")
        for number in (1, 2):
            with lab.db() as db:
                db.kept.insert(n=number)
            assert len(lab.table("kept")) == number
            assert lab.get("default/f").text == str(number)


MIGRATE = "db = DAL('sqlite://storage.sqlite', migrate=False)\ndb.define_table('thing', Field('name'))\n"


def test_a_table_that_the_models_do_not_create_is_explained() -> None:
    with Lab() as lab:
        lab.write("models/db.py", MIGRATE)
        message = "The table 'thing' isn't in the database, because the models define it with migrate=False, and a lab"
        with pytest.raises(SourceError, match=message) as caught:
            lab.table("thing")
        assert "Lab.from_folder(…, databases=True)" in str(caught.value)
        with pytest.raises(sqlite3.OperationalError, match="no such table: thing") as noted, lab.db() as db:
            db.thing.insert(name="a")
        assert message in noted.value.__notes__[0]
        with pytest.raises(KeyError) as other, lab.db() as db:
            raise KeyError("no such table: nothing")
        assert not hasattr(other.value, "__notes__")


def test_the_database_may_be_closed_in_the_block(lab: Lab) -> None:
    with lab.db() as db:
        db.thing.insert(name="a")
        db.close()
    assert names(lab) == ["a"]


def test_another_thread_sees_that_rows_are_not_committed(lab: Lab) -> None:
    errors = []

    def visit() -> None:
        try:
            lab.get("default/f")
        except HarnessError as error:
            errors.append(str(error))

    with lab.db() as db:
        db.thing.insert(name="a")
        thread = threading.Thread(target=visit)
        thread.start()
        thread.join()
    assert ["has changed rows that aren't committed yet" in error for error in errors] == [True]


def test_the_first_database_stays_committed_if_the_second_one_fails() -> None:
    with Lab() as lab:
        lab.write(
            "models/db.py",
            "db = DAL('sqlite://a.sqlite')\ndb.define_table('x', Field('n'))\ndb.other = DAL('sqlite://b.sqlite')\n"
            "db.other.define_table('y', Field('n'))\n",
        )
        with lab.db() as db:
            db.other.executesql("CREATE TABLE kept (id INTEGER PRIMARY KEY)")
            db.other.executesql("CREATE TABLE due (k REFERENCES kept DEFERRABLE INITIALLY DEFERRED)")
        with pytest.raises(sqlite3.IntegrityError), lab.db() as db:
            db.x.insert(n=1)
            db.other.y.insert(n=1)
            db.other.executesql("INSERT INTO due VALUES (99)")
        assert (len(lab.table("x")), len(lab.table("y"))) == (1, 0)


CALLBACKS = """
def hear(fields, id):
    if fields['name'] == 'mail':
        from gluon.tools import Mail
        mail = Mail('smtp.example.com:25', 'shop@example.com')
        assert mail.send('ann@example.com', 'Hi', 'Hello')
    if fields['name'] == 'thread':
        import threading
        threading.Thread(target=print).start()
    if fields['name'] == 'import':
        from audit import who
        db(db.thing.id == id).update(name=who)
    if fields['name'] == 'vendored':
        import vendored_here
        db(db.thing.id == id).update(name=vendored_here.who)
    if fields['name'] == 'server':
        DAL('mysql://ann:secret@localhost/shop')
import os, sys
sys.path.insert(0, os.path.join(request.folder, 'private'))
db.thing._after_insert.append(hear)
"""


@pytest.fixture
def callbacks() -> Iterator[Lab]:
    with Lab() as lab:
        lab.write("models/db.py", MODEL + CALLBACKS)
        lab.write("controllers/default.py", CONTROLLER)
        lab.write("modules/audit.py", "who = 'the first lab'")
        lab.write("private/vendored_here.py", "who = 'vendored'")
        yield lab


def test_callbacks_send_no_mail_start_no_thread_and_open_no_server(callbacks: Lab) -> None:
    started = []
    with callbacks.db() as db:
        db.thing.insert(name="mail")
        db.commit()
        callbacks.get("default/f")
        db.thing.insert(name="mail")
        with pytest.raises(NotInLabError, match="starts a thread"):
            db.thing.insert(name="thread")
        with pytest.raises(NotInLabError, match="a lab doesn't connect to a database server"):
            db.thing.insert(name="server")
        thread = threading.Thread(target=lambda: started.append(1))  # a test may start one
        thread.start()
        thread.join()
    assert [mail["subject"] for mail in callbacks.mails] == ["Hi", "Hi"]
    assert started == [1]


def test_callbacks_import_the_modules_of_their_lab_also_after_a_request_of_another_lab(callbacks: Lab) -> None:
    before = sys.path[:], builtins.__import__, sys.dont_write_bytecode
    with Lab() as other:
        other.write("modules/audit.py", "who = 'the other lab'")
        other.write("controllers/default.py", "def index():\n    from audit import who\n    return who")
        with callbacks.db() as db:
            assert other.get("default/index").text == "the other lab"
            db.thing.insert(name="import")
            db.thing.insert(name="vendored")
            db.commit()
            assert callbacks.get("default/f").text == "the first lab vendored"
        assert other.get("default/index").text == "the other lab"
    assert before == (sys.path[:], builtins.__import__, sys.dont_write_bytecode)
