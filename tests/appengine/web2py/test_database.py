"""Reading a table outside of a request."""

import pytest

from harness.appengine.web2py import Site
from harness.errors import NameRefusedError, SourceError, UnknownTableError
from harness.records import Request


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
