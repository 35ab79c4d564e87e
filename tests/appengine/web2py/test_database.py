"""Reading a table outside of a request, and what a failed request leaves in it (W01 to W03)."""

import inspect
from collections.abc import Iterator
from pathlib import Path

import pytest

import harness
from harness import Lab
from harness.appengine.web2py import Site
from harness.errors import NameRefusedError, SourceError, UnknownTableError
from harness.records import Request
from tests.test_fidelity import cells

FIDELITY = Path(harness.__file__).with_name("FIDELITY.md").read_text(encoding="utf-8")
MODEL = "db = DAL('sqlite://storage.sqlite')\ndb.define_table('note', Field('{}'))\n"


def test_a_new_table_is_empty(site: Site) -> None:
    assert site.rows("mytable") == []


def test_rows_are_plain_dicts_with_pythons_types_in_the_order_of_their_id(site: Site) -> None:
    site.write("models/z.py", "db.define_table('thing', Field('day', 'datetime'), Field('tags', 'list:string'), "
                              "Field('boss', 'reference mytable'), Field('data', 'json'))")  # fmt: skip
    insert = "db.thing.insert(day=datetime(2012, 9, n), tags=['x'], boss=boss, data={'k': n})"
    action = f"def f():\n    boss = db.mytable.insert(old='a')\n    for n in (1, 2): {insert}"
    site.write("controllers/default.py", f"from datetime import datetime\n{action}")
    assert site.call(Request("GET", "/tutorial/default/f")).status == 200
    rows = site.rows("thing")
    assert [row["id"] for row in rows] == [1, 2]
    assert {type(row) for row in rows} == {dict}
    assert rows[0]["day"].isoformat() == "2012-09-01T00:00:00"
    assert (rows[1]["tags"], rows[1]["boss"], rows[1]["data"]) == (["x"], 1, {"k": 2})
    assert type(rows[1]["boss"]) is int


def test_a_table_in_a_second_database_and_without_an_id_is_found(site: Site) -> None:
    table = "other.define_table('keyed', Field('code'), Field('n', 'integer'), primarykey=['code'])"
    site.write("models/z.py", f"other = DAL('sqlite://other.sqlite')\n{table}")
    site.write("controllers/default.py", "def f(): other.keyed.insert(code='a', n=1)")
    site.call(Request("GET", "/tutorial/default/f"))
    assert site.rows("keyed") == [{"code": "a", "n": 1}]


def test_an_unknown_table_lists_those_that_there_are(site: Site) -> None:
    site.write("models/z.py", "db.define_table('another', Field('n'))")
    with pytest.raises(UnknownTableError, match="'tutorial' has no table 'nosuch'; its tables: another, mytable"):
        site.rows("nosuch")
    site.write("models/db.py", "")
    site.write("models/z.py", "")
    with pytest.raises(UnknownTableError, match="its tables: none; define one in models/db.py"):
        site.rows("nosuch")


def test_an_unknown_application_is_refused(site: Site) -> None:
    with pytest.raises(NameRefusedError, match="the application 'stats' doesn't exist"):
        site.rows("mytable", app="stats")


def test_looking_changes_no_row_and_leaves_no_lock(site: Site) -> None:
    site.write("models/z.py", "db.mytable.insert(old='each time')")
    assert len(site.rows("mytable")) == 1
    assert len(site.rows("mytable")) == 1
    site.write("models/z.py", "")
    assert site.rows("mytable") == []
    site.write("controllers/default.py", "def f(): db.mytable.insert(old='a')")
    assert site.call(Request("GET", "/tutorial/default/f")).status == 200


def test_output_of_models_is_discarded(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    site.write("models/z.py", "print('model')")
    site.rows("mytable")
    assert capsys.readouterr() == ("", "")


def test_models_run_again_only_after_a_change(site: Site) -> None:
    site.write("models/db.py", MODEL.format("old") + "with open('ran.txt', 'a') as log: log.write('ran')\n")
    ran = site.root / "ran.txt"
    assert site.rows("note") == site.rows("note") == []
    assert ran.read_text().count("ran") == 1
    site.write("models/db.py", MODEL.format("new"))
    site.write("controllers/c.py", "def add(): db.note.insert(new='1')")
    site.call(Request("GET", "/tutorial/c/add"))
    assert site.rows("note") == [{"id": 1, "new": "1"}]


def test_a_model_that_a_handler_writes_is_read(site: Site) -> None:
    site.write("models/db.py", MODEL.format("old"))
    assert site.rows("note") == []
    path = "request.folder + '/models/later.py'"
    site.write(
        "controllers/c.py", f"def write():\n    with open({path}, 'w') as file: file.write('raise ValueError(1)')"
    )
    assert site.rows("note") == []
    site.call(Request("GET", "/tutorial/c/write"))
    with pytest.raises(SourceError, match="models/later.py, line 1"):
        site.rows("note")


def test_what_a_model_writes_itself_is_in_every_reading(site: Site) -> None:
    site.write("models/db.py", MODEL.format("old") + "if db(db.note).isempty(): db.note.insert(old='seed')\n")
    assert site.rows("note") == site.rows("note") == [{"id": 1, "old": "seed"}]


def test_a_table_that_a_handler_drops_is_made_again(site: Site) -> None:
    site.write("models/db.py", MODEL.format("old"))
    site.write("controllers/c.py", "def add(): db.note.insert(old='1')\ndef drop(): db.note.drop()")
    site.call(Request("GET", "/tutorial/c/add"))
    assert site.rows("note") == [{"id": 1, "old": "1"}]
    site.call(Request("GET", "/tutorial/c/drop"))
    assert site.rows("note") == []


def test_a_model_that_raises_shows_its_line(site: Site) -> None:
    site.write("models/z.py", "a = 1\nb = a / 0")
    with pytest.raises(SourceError) as caught:
        site.rows("mytable")
    assert str(caught.value) == (
        "the models of 'tutorial' do not work: tutorial/models/z.py, line 2\n    b = a / 0\n"
        "ZeroDivisionError: division by zero\nCorrect that line."
    )


def test_a_model_that_does_not_compile_shows_its_line(site: Site) -> None:
    (site.root / "applications" / "tutorial" / "models" / "z.py").write_text("a = 1\nif:\n")
    with pytest.raises(SourceError, match="tutorial/models/z.py, line 2\n    if:"):
        site.rows("mytable")


def test_a_model_that_redirects_is_refused(site: Site) -> None:
    site.write("models/z.py", "redirect(URL('login'))")
    with pytest.raises(SourceError, match="the models of 'tutorial' stop with 303 SEE OTHER"):
        site.rows("mytable")


def test_models_may_look_at_the_request(site: Site) -> None:
    site.write("models/z.py", "assert request.is_local and request.env.http_host and request.client\nURL('f')\nT('x')")
    assert site.rows("mytable") == []


ACTIONS = """
def raises():
    db.card.insert(title='one')
    raise RuntimeError('after the insert')

def responds():
    db.card.insert(title='one')
    raise HTTP(500, 'after the insert')

def twice():
    db.star.insert(title='one')
    db.star.insert(title='one')
"""
TABLES = "db.define_table('card', Field('title'))\ndb.define_table('star', Field('title', unique=True))\n"


@pytest.fixture
def cards() -> Iterator[Lab]:
    with Lab() as lab:
        lab.write("models/tables.py", TABLES)
        lab.write("controllers/cards.py", ACTIONS)
        yield lab


def test_sqlite_undoes_the_rows_of_an_exception_and_keeps_those_of_http_500(cards: Lab) -> None:
    """W01."""
    assert cards.get("cards/raises").status == 500
    assert list(cards.table("card")) == []
    assert cards.get("cards/responds").status == 500
    assert [row["title"] for row in cards.table("card")] == ["one"]


def test_sqlite_refuses_a_second_row_with_the_same_value_in_a_unique_field(cards: Lab) -> None:
    """W01."""
    ticket = cards.get("cards/twice").ticket
    assert ticket is not None
    assert ticket.exception == "IntegrityError"
    assert list(cards.table("star")) == []


def test_a_unique_index_is_not_added_to_a_table_that_exists(cards: Lab) -> None:
    cards.get("cards/responds")
    cards.write("models/tables.py", TABLES.replace("Field('title'))", "Field('title', unique=True))"))
    cards.get("cards/responds")
    assert len(cards.table("card")) == 2


def test_mysql_and_postgresql_roll_back_and_firestore_does_not(cards: Lab) -> None:
    """W02 and W03: on Firestore, `commit` and `rollback` are empty functions, and `unique` is never read."""
    from pydal.adapters import base, google

    for adapter in (google.GoogleMySQL, google.GooglePostgres):
        assert adapter.commit is base.SQLAdapter.commit
        assert adapter.rollback is base.SQLAdapter.rollback
    assert google.Firestore.commit is base.NoSQLAdapter.commit
    assert google.Firestore.rollback is base.NoSQLAdapter.rollback
    assert base.NoSQLAdapter.commit(None) is base.NoSQLAdapter.rollback(None) is None
    assert "unique" not in inspect.getsource(google)


def test_fidelity_lists_the_databases_and_what_each_undoes() -> None:
    section = FIDELITY.partition("\n### What each database undoes\n")[2].partition("\n###")[0]
    rows = [cells(line) for line in section.splitlines() if line.startswith("| W")]
    assert [(row[0], row[1].split(" (")[0], row[2].partition(",")[0]) for row in rows] == [
        ("W01", "SQLite", "are undone"),
        ("W02", "MySQL and PostgreSQL", "are undone"),
        ("W03", "Firestore", "stay"),
    ]
