"""One request through web2py: the response, and what the harness recorded."""

import http.cookies
import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.parse import urlencode

import pytest

from harness.appengine.web2py import Site
from harness.appengine.web2py.boot import boot
from harness.records import Headers, Request, Response

FORM: Headers = (("Content-Type", "application/x-www-form-urlencoded"),)


def get(site: Site, url: str, **parts: Any) -> Response:
    return site.call(Request("GET", url, **parts))


def post(site: Site, url: str, **form: Any) -> Response:
    return site.call(Request("POST", url, FORM, urlencode(form, doseq=True).encode()))


def run(site: Site, body: str, url: str = "/tutorial/default/f", **parts: Any) -> Response:
    """Run these lines as the action f."""
    site.write("controllers/default.py", "def f():\n" + "".join(f"    {line}\n" for line in body.splitlines()))
    return get(site, url, **parts)


@pytest.mark.parametrize(
    ("expression", "body"),
    [
        ("'Grüße'", "Grüße".encode()),
        ("b'\\x00\\xff'", b"\x00\xff"),
        ("None", b"None"),
        ("42", b"42"),
        ("['a', b'b', 'ü']", "abü".encode()),
        ("(c for c in ['one ', b'two'])", b"one two"),
        ("P('x')", b"<p>x</p>"),
        ("''", b""),
    ],
)
def test_whatever_an_action_returns_comes_back_as_web2py_sends_it(expression: str, body: bytes, site: Site) -> None:
    response = run(site, f"return {expression}")
    assert (response.status, response.reason, response.body) == (200, "OK", body)
    assert response.vars == {}


def test_the_seed_runs_as_it_is_written(site: Site) -> None:
    site.write(
        "controllers/default.py",
        "def task_do():\n    db.mytable.insert(old=request.vars['old'], new=request.vars['new'])",
    )
    response = post(site, "/tutorial/default/task_do", old="original text", new="new text")
    assert (response.status, response.text) == (200, "None")
    assert response.sql == ("""INSERT INTO "mytable"("old","new") VALUES ('original text','new text');""",)
    assert site.rows("mytable") == [{"id": 1, "old": "original text", "new": "new text"}]


def test_a_returned_dict_is_in_vars_and_in_the_generic_view(site: Site) -> None:
    response = run(site, "return dict(title='a < b', n=2)")
    assert response.vars == {"title": "a < b", "n": 2}
    assert "<tr><th>title</th><td>a &lt; b</td></tr>" in response.text


def test_the_json_view_answers_json(site: Site) -> None:
    response = run(site, "return dict(n=2, rows=db(db.mytable).select())", "/tutorial/default/f.json")
    assert response.json == {"n": 2, "rows": []}
    assert response.header("content-type") == "application/json"


def test_generic_views_are_not_for_the_task_queue(site: Site) -> None:
    response = run(site, "db.mytable.insert(old='a')\nreturn dict()", remote_addr="0.1.0.2")
    assert (response.status, response.text) == (404, "<html><body><h1>invalid view (default/f.html)</h1></body></html>")
    assert [row["old"] for row in site.rows("mytable")] == ["a"]
    assert response.route is not None


def test_an_actions_own_view_serves_every_request(site: Site) -> None:
    site.write("views/default/f.html", "<b>{{=n}}</b>")
    assert run(site, "return dict(n=3)", remote_addr="0.1.0.2").text == "<b>3</b>"


@pytest.mark.parametrize(
    ("url", "status", "text"),
    [
        ("/nosuch/default/f", 404, "<html><body><h1>invalid request</h1></body></html>"),
        ("/tutorial/nosuch/f", 404, "<html><body><h1>invalid controller (nosuch/f)</h1></body></html>"),
        ("/tutorial/default/nosuch", 404, "<html><body><h1>invalid function (default/nosuch)</h1></body></html>"),
        ("/tutorial/def-ault/f", 400, "<html><body><h1>invalid request</h1></body></html>"),
        ("/", 303, 'You are being redirected <a href="/welcome/default/index">here</a>'),
        ("/tutorial/static/nothing.txt", 404, "404 NOT FOUND"),
    ],
)
def test_without_an_action_there_is_no_route(url: str, status: int, text: str, site: Site) -> None:
    response = run(site, "return 'x'", url)
    assert (response.status, response.text, response.route, response.ticket) == (status, text, None, None)


def test_a_static_file_is_served(site: Site) -> None:
    site.write("static/a.txt", "static")
    assert get(site, "/tutorial/static/a.txt").text == "static"


def test_the_route_names_the_action_its_extension_and_its_args(site: Site) -> None:
    route = run(site, "return ''", "/tutorial/default/f.load/1/b%20c/%C3%BC").route
    assert route is not None
    assert (route.action, route.extension, route.args) == ("tutorial/default/f", "load", ("1", "b_c", "ü"))


def test_a_plus_in_the_path_is_a_plus_and_an_encoded_space_is_no_400(site: Site) -> None:
    response = run(site, "return repr(request.args)", "/tutorial/default/f/a%20b")
    assert (response.status, response.text) == (200, "['a_b']")


def test_vars_come_from_query_and_body_as_text_and_lists(site: Site) -> None:
    site.write("controllers/default.py", "def f(): return ''")
    response = post(site, "/tutorial/default/f?a=1&b=q&e=", b="p", c=["x", "ü"])
    assert response.route is not None
    assert response.route.get_vars == {"a": "1", "b": "q", "e": ""}
    assert response.route.post_vars == {"b": "p", "c": ["x", "ü"]}
    assert response.route.vars == {"a": "1", "b": ["q", "p"], "e": "", "c": ["x", "ü"]}
    assert {type(each) for each in (response.route.get_vars, response.route.post_vars, response.route.vars)} == {dict}


def test_the_route_shows_the_vars_as_they_were_sent(site: Site) -> None:
    response = run(site, "request.vars.a = 2\nrequest.get_vars.clear()\nreturn ''", "/tutorial/default/f?a=1")
    assert response.route is not None
    assert (response.route.vars, response.route.get_vars) == ({"a": "1"}, {"a": "1"})


def test_a_form_is_parsed_only_when_its_variables_are_needed(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    from gluon.globals import Request as Web2pyRequest

    parsed, parse = [], Web2pyRequest.parse_post_vars
    monkeypatch.setattr(Web2pyRequest, "parse_post_vars", lambda request: (parsed.append(request), parse(request)))
    site.write("controllers/default.py", "def f(): return ''")
    response = post(site, "/tutorial/default/f", a="1")
    site.close()
    assert parsed == []
    assert response.route is not None
    assert (response.route.vars, response.route.post_vars, response.route.get_vars) == ({"a": "1"}, {"a": "1"}, {})
    assert len(parsed) == 1


def test_the_route_shows_the_query_string_that_routes_py_made(site: Site) -> None:
    site.write("routes.py", r"routes_in = [('/short/(?P<n>[0-9]+)', r'/tutorial/default/f?n=\g<n>')]")
    response = run(site, "return ''", "/short/5")
    assert response.route is not None
    assert response.route.vars == {"n": "5"}


def test_json_arrives_with_its_types(site: Site) -> None:
    site.write("controllers/default.py", "def f(): return repr(request.vars.n + 1)")
    request = Request("POST", "/tutorial/default/f", (("Content-Type", "application/json"),), b'{"n": 1, "l": [null]}')
    response = site.call(request)
    assert response.text == "2"
    assert response.route is not None
    assert response.route.vars == {"n": 1, "l": [None]}


def test_a_body_that_is_no_form_can_be_read_and_does_not_disturb_the_route(site: Site) -> None:
    site.write("controllers/default.py", "def f(): return request.body.read()")
    request = Request("POST", "/tutorial/default/f?a=1", (("Content-Type", "text/plain"),), b"plain text")
    response = site.call(request)
    assert (response.status, response.body) == (200, b"plain text")
    assert response.route is not None
    assert (response.route.vars, response.route.post_vars) == ({"a": "1"}, {})


def test_a_megabyte_arrives_whole(site: Site) -> None:
    site.write("controllers/default.py", "def f(): return str(len(request.vars.a))")
    response = post(site, "/tutorial/default/f", a="ü" * 500_000)
    assert response.text == "500000"


def test_a_body_is_kept_in_memory_and_needs_no_file(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.write("controllers/default.py", "def f(): return request.vars.a + str(len(request.body.read()))")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "missing"))
    assert post(site, "/tutorial/default/f", a="b").text == "b3"


def test_a_body_is_kept_in_memory_also_where_web2py_makes_a_file_without_a_name(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Versions after 3.3.3 call only `TemporaryFile`. Earlier ones call it if `NamedTemporaryFile` raises an error."""

    def refuse() -> None:
        raise NotImplementedError

    monkeypatch.setattr(boot().globals.tempfile, "NamedTemporaryFile", refuse)
    test_a_body_is_kept_in_memory_and_needs_no_file(site, tmp_path, monkeypatch)


class Quadratic:
    """The pattern that Python before 3.11.10 and 3.12.6 searches once for each backslash in a cookie."""

    def search(self, text: str, start: int) -> None:
        raise AssertionError("this is slow for many backslashes")


@pytest.mark.parametrize("value", [150_000 * "\\", r"a\073 \"b\" \\ \400 \9 é", ""])
def test_a_cookie_of_any_length_is_parsed_in_one_pass_with_the_same_result(
    value: str, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    unquote = http.cookies._unquote
    expected = unquote(f'"{value[:2_000]}"')
    monkeypatch.setattr(http.cookies, "_OctalPatt", Quadratic(), raising=False)
    response = run(site, "return request.cookies['b'].value[:1000]", headers=(("Cookie", f'a=1; b="{value}"'),))
    assert response.text == expected[:1000]
    assert http.cookies._unquote is unquote


def test_headers_and_the_address_reach_the_handler(site: Site) -> None:
    headers = (("X-AppEngine-QueueName", "default"), ("X-AppEngine-TaskRetryCount", "3"))
    body = "e = request.env\nreturn '%s %s %s %s' % (request.client, e.http_x_appengine_queuename,"
    response = run(
        site, body + " e.http_x_appengine_taskretrycount, e.http_host)", headers=headers, remote_addr="0.1.0.2"
    )
    assert response.text == "0.1.0.2 default 3 tutorial.appspot.com"


def test_web2py_uses_no_network_and_collects_no_garbage(site: Site) -> None:
    response = run(site, "return '%(local_hosts)s %(web2py_disable_garbage_collect)s' % request.env")
    assert response.text == "['127.0.0.1', '::ffff:127.0.0.1', '::1'] True"


def test_web2py_does_not_take_itself_for_app_engine(site: Site) -> None:
    assert run(site, "return repr(request.env.web2py_runtime_gae)").text == "None"


@pytest.mark.parametrize(("status", "count"), [(200, 1), (303, 1), (404, 1), (503, 1)])
def test_raising_http_of_any_status_commits(status: int, count: int, site: Site) -> None:
    response = run(site, f"db.mytable.insert(old='a')\nraise HTTP({status}, 'done')")
    assert (response.status, response.text, response.ticket) == (status, "done", None)
    assert len(site.rows("mytable")) == count


def test_the_sql_is_what_the_action_and_its_view_ran(site: Site) -> None:
    site.write("models/z.py", "db.define_table('other', Field('name'))\ndb(db.other).count()")
    site.write("views/default/f.html", "{{=db(db.other).count()}}")
    response = run(site, "db.mytable.insert(new='n', old=None)\ndb(db.mytable.id == 1).delete()\nreturn dict()")
    assert [statement.split(" ")[0] for statement in response.sql] == ["INSERT", "SELECT", "DELETE", "SELECT"]
    assert response.sql[0] == """INSERT INTO "mytable"("old","new") VALUES (NULL,'n');"""


def test_the_sql_of_any_dal_is_seen(site: Site) -> None:
    response = run(site, "other = DAL('sqlite:memory')\nother.executesql('SELECT 2;')\nreturn ''")
    assert response.sql == ("SELECT 2;",)


def test_long_sql_is_cut_with_a_marker(site: Site) -> None:
    response = run(site, "for n in range(250): db.executesql(\"SELECT '%s';\" % ('x' * 5000))\nreturn ''")
    assert len(response.sql) == 201
    assert response.sql[0].startswith("SELECT 'xxx") and response.sql[0].endswith("x… (3010 more characters)")
    assert response.sql[-1] == "… and 50 more statements"


def test_sessions_in_the_database_are_not_the_actions_sql(site: Site) -> None:
    site.write("models/z.py", "session.connect(request, response, db=db)")
    response = run(site, "session.n = 1\nreturn ''")
    assert (response.status, response.sql) == (200, ())


PRINTS = """import sys, logging
print('out', 'ü')
print('err', file=sys.stderr)
sys.stdout.buffer.write(b'\\xffbytes')
print('\\udc80')
log = logging.getLogger('mine')
log.propagate = False
log.warning('log')
return ''"""


def test_output_is_what_the_handler_printed(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    response = run(site, PRINTS)
    assert response.output == "out ü\nerr\n\\xffbytes\\udc80\nlog\n"
    assert response.output.encode("utf-8")
    assert capsys.readouterr() == ("", "")


def test_a_megabyte_of_output_is_cut_with_a_marker(site: Site) -> None:
    response = run(site, "print('ü' * 500_000)\nreturn 'fine'")
    assert response.text == "fine"
    assert response.output == "ü" * 5000 + "\n… (990001 more bytes were printed)\n"


def test_a_generator_body_runs_inside_the_request(site: Site) -> None:
    response = run(site, "def body():\n    print('late')\n    yield 'chunk'\nreturn body()")
    assert (response.text, response.output) == ("chunk", "late\n")


def test_session_ids_are_the_same_in_every_run_and_different_in_every_session() -> None:
    seen = []
    for _ in range(2):
        site = Site()
        run(site, "session.n = (session.n or 0) + 1\nreturn str(session.n)")
        seen.append([get(site, "/tutorial/default/f").header("set-cookie") for _ in range(2)])
        site.close()
    assert seen[0] == seen[1]
    assert seen[0][0] != seen[0][1]


def test_a_session_lives_on_in_its_cookie(site: Site) -> None:
    first = run(site, "session.n = (session.n or 0) + 1\nreturn str(session.n)")
    cookie = (first.header("set-cookie") or "").strip().partition(";")[0]
    assert get(site, "/tutorial/default/f", headers=(("Cookie", cookie),)).text == "2"


def test_head_has_no_body(site: Site) -> None:
    run(site, "return 'x'")
    response = site.call(Request("HEAD", "/tutorial/default/f"))
    assert (response.status, response.body) == (200, b"")


def test_the_request_is_in_the_response(site: Site) -> None:
    request = Request("GET", "/tutorial/default/f")
    assert site.call(request).request is request


def test_a_request_from_inside_a_handler_is_refused_and_the_outer_one_keeps_its_writes(site: Site) -> None:
    body = "import builtins\ndb.mytable.insert(old='outer')\n"
    body += "try: builtins.nested()\nexcept Exception as e: return '%s: %s' % (type(e).__name__, e)"
    import builtins

    builtins.nested = lambda: get(site, "/tutorial/default/f")
    try:
        response = run(site, body)
    finally:
        del builtins.nested
    assert response.text.startswith("HarnessError: a request is still running")
    assert [row["old"] for row in site.rows("mytable")] == ["outer"]


def test_unicode_source_runs(site: Site) -> None:
    assert run(site, "größe = 'ß'\nreturn größe + request.vars.x", "/tutorial/default/f?x=%E2%82%AC").text == "ß€"


def test_columns_come_in_the_order_of_the_table(site: Site) -> None:
    names = ["one", "two", "three", "four", "five", "six"]
    site.write("models/z.py", f"db.define_table('numbers', *[Field(name) for name in {names}])")
    values = ", ".join(f"{name}=1" for name in sorted(names))
    response = run(site, f"db.numbers.insert({values})\ndb(db.numbers).update({values})\nreturn ''")
    assert [statement.partition(" ")[0] for statement in response.sql] == ["INSERT", "UPDATE"]
    for statement in response.sql:
        assert re.findall(r'"(\w+)"[,=)]', statement.partition(" WHERE")[0])[-6:] == names


def test_a_module_of_the_notebook_does_not_hide_the_applications_for_good(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as notebook:
        notebook.setitem(sys.modules, "prices", ModuleType("prices"))
        run(site, "return ''")
    site.write("modules/prices.py", "price = 3")
    assert run(site, "import prices\nreturn str(prices.price)").text == "3"


def test_an_installed_package_called_applications_is_not_in_the_way(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "applications" / "tutorial" / "modules").mkdir(parents=True)
    for folder in ("applications", "applications/tutorial", "applications/tutorial/modules"):
        (tmp_path / folder / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path)])
    site.write("modules/mine.py", "where = __name__")
    assert run(site, "import mine\nreturn mine.where").text == "applications.tutorial.modules.mine"
