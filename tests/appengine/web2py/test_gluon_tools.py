"""What real applications use of web2py: gluon.tools, forms, grids, services, gluon.contrib.

Each test holds for web2py-gluon 2.26.1, and for web2py 3.3.3 if WEB2PY_PATH names its source tree.
"""

from __future__ import annotations

import json
import re
import xmlrpc.client
from ctypes.util import find_library
from html.parser import HTMLParser
from importlib.util import find_spec
from pathlib import Path

import pytest

import harness
from harness import Lab
from harness.appengine.web2py.boot import source_tree
from harness.records import Response
from tests.support.labs import python
from tests.test_fidelity import cells

# web2py has many strings with invalid escapes ("\s"), and Python warns of them when it compiles a module.
pytestmark = [pytest.mark.filterwarnings(f"ignore::{kind}Warning") for kind in ("Deprecation", "Syntax")]
FIDELITY = Path(harness.__file__).with_name("FIDELITY.md").read_text(encoding="utf-8")
GLUON = (source_tree() or Path(find_spec("gluon").origin).parent.parent) / "gluon"
VERSION = "2.26.1" if (GLUON / "_compat.py").is_file() else "3.3.3"
MODULES = sorted(
    ".".join(path.relative_to(GLUON.parent).with_suffix("").parts).removesuffix(".__init__")
    for path in GLUON.rglob("*.py")
    if not {"packages", "tests"} & set(path.relative_to(GLUON).parts)
)

MODEL = """
from gluon.tools import Auth, Crud, Mail, Service
db = DAL("sqlite://storage.sqlite", pool_size=10, check_reserved=["sqlite"])
auth = Auth(db, host_names=["*"])
auth.define_tables(username=False, signature=True)
mail = auth.settings.mailer
mail.settings.server = "logging"
mail.settings.sender = "lab@example.com"
crud, service = Crud(db), Service()
db.define_table("thing", Field("name", requires=[IS_NOT_EMPTY(), IS_NOT_IN_DB(db, "thing.name")]),
                Field("amount", "integer"), Field("photo", "upload"), auth.signature, format="%(name)s")
db.define_table("part", Field("thing", "reference thing"), Field("title"))
response.generic_patterns = ["*"]
"""
CONTROLLER = """
def index(): return "hello " + (auth.user.email if auth.user else "stranger")
def user(): return dict(form=auth())
@auth.requires_login()
def private(): return "private page of " + auth.user.email
@auth.requires_membership("boss")
def boss(): return "boss"
def promote():
    for group in ("boss", "wiki_author"):
        auth.add_membership(auth.add_group(group), auth.user_id)
@auth.requires_signature()
def signed(): return "signed"
def link(): return URL("signed", user_signature=True)
def send():
    return str(mail.send(to="you@example.com", subject="Hi", message="How are you?"))
def create(): return dict(form=crud.create(db.thing))
def update(): return dict(form=crud.update(db.thing, request.args(0)))
def read(): return dict(form=crud.read(db.thing, request.args(0)))
def edit():
    form = SQLFORM(db.thing, request.args(0), upload=URL("download"), deletable=True).process()
    return "accepted" if form.accepted else dict(form=form)
def ask():
    form = SQLFORM.factory(Field("name", requires=IS_NOT_EMPTY()), Field("amount", "integer")).process()
    return repr((form.vars.name, form.vars.amount)) if form.accepted else dict(form=form)
def download(): return response.download(request, db)
def grid(): return dict(grid=SQLFORM.grid(db.thing, user_signature=False))
def smartgrid(): return dict(grid=SQLFORM.smartgrid(db.thing, linked_tables=["part"], user_signature=False))
def wiki(): return auth.wiki()
def call(): return service()
@service.json
@service.jsonrpc
@service.jsonrpc2
@service.xmlrpc
@service.run
def add(a, b): return int(a) + int(b)
"""
ANN = {"first_name": "Ann", "last_name": "Lee", "email": "ann@example.com"}
PASSWORD = {"password": "secret1"}


class Form(HTMLParser):
    """The fields of the first form of a page, with the values that a browser would send."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.values: dict[str, str] = {}
        self._open = "form"
        self.feed(page)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        found = dict(attributes)
        if tag == "input" and self._open == "/form" and found.get("type") not in ("submit", "checkbox", "file"):
            self.values[found.get("name") or ""] = found.get("value") or ""
        elif tag == self._open:
            self._open = "/form"

    def handle_endtag(self, tag: str) -> None:
        if f"/{tag}" == self._open:
            self._open = "end of the first form"


@pytest.fixture
def shop(lab: Lab) -> Lab:
    """A lab with the application above."""
    lab.write("models/db.py", MODEL)
    lab.write("controllers/default.py", CONTROLLER)
    return lab


def submit(lab: Lab, path: str, **values: str) -> Response:
    """Open a page as a user does, fill in its form, and send it."""
    page = lab.get(path)
    assert page.ok, page.ticket
    return lab.post(path, {**Form(page.text).values, **values})


def register(lab: Lab) -> Response:
    return submit(lab, "default/user/register", **ANN, **PASSWORD, password_two="secret1")


def test_a_user_registers_and_is_logged_in(shop: Lab) -> None:
    assert register(shop).status == 303
    assert shop.get("default/private").text == "private page of ann@example.com"
    assert shop.table("auth_user")[0]["first_name"] == "Ann"


def test_a_user_logs_out_and_in_again(shop: Lab) -> None:
    register(shop)
    assert shop.get("default/user/logout").status == 303
    assert shop.get("default/index").text == "hello stranger"
    assert submit(shop, "default/user/login", email="ann@example.com", password="wrong").status == 303
    assert shop.get("default/index").text == "hello stranger"
    assert submit(shop, "default/user/login", email="ann@example.com", **PASSWORD).status == 303
    assert shop.get("default/index").text == "hello ann@example.com"


def test_requires_login_sends_a_stranger_to_the_login_page(shop: Lab) -> None:
    answer = shop.get("default/private")
    assert answer.status == 303
    assert answer.header("location") == "/tutorial/default/user/login?_next=/tutorial/default/private"


def test_requires_membership_lets_members_in(shop: Lab) -> None:
    register(shop)
    assert shop.get("default/boss").header("location") == "/tutorial/default/user/not_authorized"
    shop.get("default/promote")
    assert shop.get("default/boss").text == "boss"


def test_requires_signature_accepts_only_a_signed_url(shop: Lab) -> None:
    register(shop)
    assert shop.get("default/signed").status == 303
    assert shop.get(shop.get("default/link").text).text == "signed"


def test_a_user_changes_profile_and_password(shop: Lab) -> None:
    register(shop)
    assert submit(shop, "default/user/profile", first_name="Anna").status == 303
    assert shop.table("auth_user")[0]["first_name"] == "Anna"
    new = {"new_password": "secret2", "new_password2": "secret2"}
    assert submit(shop, "default/user/change_password", old_password="secret1", **new).status == 303
    shop.get("default/user/logout")
    submit(shop, "default/user/login", email="ann@example.com", password="secret2")
    assert shop.get("default/index").text == "hello ann@example.com"


def test_a_password_has_the_same_hash_in_every_run(shop: Lab) -> None:
    register(shop)
    with Lab() as second:
        second.write("models/db.py", MODEL)
        second.write("controllers/default.py", CONTROLLER)
        register(second)
        assert second.table("auth_user")[0]["password"] == shop.table("auth_user")[0]["password"]


def test_mail_with_the_server_logging_is_written_to_the_log(shop: Lab, caplog: pytest.LogCaptureFixture) -> None:
    assert shop.get("default/send").text == "True"
    for line in ("From: lab@example.com", "To: you@example.com", "Subject: Hi", "How are you?"):
        assert line in caplog.text


def test_crud_creates_updates_and_reads_a_record(shop: Lab) -> None:
    register(shop)
    submit(shop, "default/create", name="lamp", amount="3")
    submit(shop, "default/update/1", amount="4")
    assert [(row["name"], row["amount"], row["created_by"]) for row in shop.table("thing")] == [("lamp", 4, 1)]
    assert "lamp" in shop.get("default/read/1").text


def test_sqlform_inserts_and_updates_a_record(shop: Lab) -> None:
    assert submit(shop, "default/edit", name="lamp", amount="3").text == "accepted"
    assert submit(shop, "default/edit/1", amount="4").text == "accepted"  # the unchanged name is its own
    assert [(row["name"], row["amount"]) for row in shop.table("thing")] == [("lamp", 4)]


def test_sqlform_shows_what_is_wrong(shop: Lab) -> None:
    submit(shop, "default/edit", name="lamp")
    assert "Value already in database or empty" in submit(shop, "default/edit", name="lamp").text
    assert "Enter an integer" in submit(shop, "default/edit", name="table", amount="many").text
    assert len(shop.table("thing")) == 1


def test_sqlform_factory_returns_values_without_a_table(shop: Lab) -> None:
    assert submit(shop, "default/ask", name="lamp", amount="3").text == "('lamp', 3)"


def test_an_uploaded_file_can_be_downloaded(shop: Lab) -> None:
    values = {**Form(shop.get("default/edit").text).values, "name": "lamp"}
    parts = [f'name="{name}"\r\n\r\n{value}' for name, value in values.items()]
    parts.append('name="photo"; filename="my lamp.txt"\r\nContent-Type: text/plain\r\n\r\nlight')
    body = "".join(f"--X\r\nContent-Disposition: form-data; {part}\r\n" for part in parts) + "--X--\r\n"
    headers = {"Content-Type": "multipart/form-data; boundary=X"}
    assert shop.post("default/edit", body.encode(), headers).text == "accepted"
    answer = shop.get(f"default/download/{shop.table('thing')[0]['photo']}")
    assert (answer.body, answer.header("content-disposition")) == (b"light", 'attachment; filename="my_lamp.txt"')


def test_a_grid_lists_searches_exports_edits_and_deletes(shop: Lab) -> None:
    for name in ("lamp", "table"):
        submit(shop, "default/grid/new/thing", name=name)
    assert re.findall("lamp|table</td>", shop.get("default/grid").text)
    found = shop.get("default/grid", keywords='thing.name contains "lam"').text
    assert ("grid/view/thing/1" in found, "grid/view/thing/2" in found) == (True, False)
    assert "lamp" in shop.get("default/grid", _export_type="csv").text
    submit(shop, "default/grid/edit/thing/1", name="torch")
    assert "torch" in shop.get("default/grid/view/thing/1").text
    shop.post("default/grid/delete/thing/2")
    assert [row["name"] for row in shop.table("thing")] == ["torch"]


def test_a_smartgrid_leads_to_the_linked_table(shop: Lab) -> None:
    submit(shop, "default/edit", name="lamp")
    assert "smartgrid/thing/part.thing/1" in shop.get("default/smartgrid").text
    submit(shop, "default/smartgrid/thing/part.thing/1/new/part", thing="1", title="bulb")
    assert "bulb" in shop.get("default/smartgrid/thing/part.thing/1").text


def test_a_wiki_page_is_written_and_shown(shop: Lab) -> None:
    register(shop)
    shop.get("default/promote")
    assert submit(shop, "default/wiki/_edit/start", title="Start", body="## Welcome").status == 303
    assert "<h2>Welcome</h2>" in shop.get("default/wiki/start").text


def test_a_service_is_called_by_json_and_by_url(shop: Lab) -> None:
    assert shop.get("default/call/json/add", a=1, b=2).json == 3
    assert shop.get("default/call/run/add/1/2").text == "3"


@pytest.mark.parametrize("version", [{"version": "1.1"}, {"jsonrpc": "2.0"}], ids=["1", "2"])
def test_a_service_is_called_by_jsonrpc(version: dict[str, str], shop: Lab) -> None:
    body = json.dumps({**version, "method": "add", "params": [1, 2], "id": 7})
    path = "default/call/jsonrpc2" if "jsonrpc" in version else "default/call/jsonrpc"
    answer = shop.post(path, body, {"Content-Type": "application/json"}).json
    assert (answer["result"], answer["id"]) == (3, 7)


def test_a_service_is_called_by_xmlrpc(shop: Lab) -> None:
    answer = shop.post("default/call/xmlrpc", xmlrpc.client.dumps((1, 2), "add"), {"Content-Type": "text/xml"})
    assert xmlrpc.client.loads(answer.text)[0] == (3,)


# By name: the source of a model, the source of an action, and the text that the action returns.
USES: dict[str, tuple[str, str, str]] = {
    "prettydate": (
        "from gluon.tools import prettydate",
        "import datetime; return prettydate(request.now - datetime.timedelta(days=2), T)",
        "2 days ago",
    ),
    "Recaptcha2": (
        "from gluon.tools import Auth, Recaptcha2",
        "auth = Auth(db); auth.define_tables(); auth.settings.captcha = Recaptcha2(request, 'public', 'private'); "
        "return str('g-recaptcha' in str(auth.register()))",
        "True",
    ),
    "PluginManager": (
        "from gluon.tools import PluginManager; plugins = PluginManager(); plugins.comments.limit = 5",
        "found = PluginManager('comments', limit=1, color='red').comments; return f'{found.limit} {found.color}'",
        "5 red",
    ),
    "AuthAPI": (
        "from gluon.authapi import AuthAPI; auth = AuthAPI(db); auth.define_tables(signature=False)\n"
        "auth.settings.login_after_registration = True",
        "made = auth.register(email='ann@example.com', password='secret1', first_name='Ann', last_name='Lee'); "
        "changed = auth.change_password(old_password='secret1', new_password='secret2', new_password2='secret2'); "
        "profile = auth.profile(first_name='Anna'); "
        "return f\"{made['errors']} {changed['errors']} {profile['errors']} {db.auth_user[1].first_name}\"",
        "None None None Anna",
    ),
    "Scheduler": (
        "from gluon.scheduler import Scheduler; scheduler = Scheduler(db, {'work': lambda: 1})",
        "id = db.scheduler_task.insert(task_name='a', function_name='work'); return scheduler.task_status(id).status",
        "QUEUED",
    ),
    "validate_and_insert": (
        "db.define_table('t', Field('name', requires=IS_NOT_EMPTY()))",
        "bad, good = db.t.validate_and_insert(name=''), db.t.validate_and_insert(name='x'); "
        "return f\"{dict(bad['errors'])} {dict(good['errors'])} {good['id']}\"",
        "{'name': 'Enter a value'} {} 1",
    ),
    "the type of a validation's result": (
        "db.define_table('t', Field('name'))",
        "made = [db.t.validate_and_insert(name='x'), db.t.validate_and_update(1, name='y'), "
        "db(db.t).validate_and_update(name='z')]; return ' '.join(type(each).__name__ for each in made)",
        "Row Row Row" if VERSION == "2.26.1" else "dict dict dict",
    ),
    "record versioning": (
        "from gluon.tools import Auth; auth = Auth(db); auth.define_tables()\n"
        "db.define_table('t', Field('name'), auth.signature); auth.enable_record_versioning(db)",
        "db.t[db.t.insert(name='old')].update_record(name='new'); return db.t_archive[1].name",
        "old",
    ),
    "the options of DAL": (
        "dal = DAL('sqlite://other.sqlite', pool_size=5, lazy_tables=True, fake_migrate=False, bigint_id=True, "
        "attempts=2, check_reserved=['sqlite'], driver_args={'timeout': 9}, adapter_args={'foreign_keys': True}, "
        "entity_quoting=True, ignore_field_case=True); dal.define_table('t', Field('tags', 'list:string'), "
        "Field('data', 'json'), Field('price', 'decimal(6,2)'))",
        "row = dal.t[dal.t.insert(tags=['a', 'b'], data={'x': 1}, price='1.50')]; "
        "return f'{row.tags} {row.data} {row.price}'",
        "['a', 'b'] {'x': 1} 1.50",
    ),
    "virtual and computed fields": (
        "db.define_table('t', Field('n', 'integer'), Field('twice', compute=lambda row: 2 * row.n))\n"
        "db.t.more = Field.Virtual(lambda row: row.t.n + 1); db.t.times = Field.Method(lambda row, by: row.t.n * by)",
        "row = db.t[db.t.insert(n=4)]; return f'{row.twice} {row.more} {row.times(3)}'",
        "8 5 12",
    ),
    "cache in memory and on disk": (
        "",
        "return f\"{cache.ram('a', lambda: 1, 60)} {cache.disk('b', lambda: [2], 60)} {cache.disk.increment('n')}\"",
        "1 [2] 1",
    ),
    "cache.action": (
        "",
        "return cache.action(time_expire=60, cache_model=cache.ram)(lambda: 'page')()",
        "page",
    ),
    "T": (
        "",
        "return T('%s %%{shop}', 2) + str(T('Hello %s', 'you')) + str(T.M('**b**'))",
        "2 shopsHello you<strong>b</strong>",
    ),
    "response.toolbar": ("", "return str(response.toolbar())[:15]", '<div id="totop-'),
    "response.include_files": (
        "",
        "response.files.append(URL('static', 'a.js')); response.include_files(); return response.body.getvalue()",
        '<script src="/tutorial/static/a.js" type="text/javascript"></script>',
    ),
    "LOAD": (
        "",
        "return LOAD(url=URL('more'), ajax=True, target='t')",
        '<div data-w2p_remote="/tutorial/default/more" id="t">loading...</div>',
    ),
    "AppConfig": (
        "import os; os.makedirs(request.folder + '/private', exist_ok=True)\n"
        "with open(request.folder + '/private/appconfig.ini', 'w') as file: file.write('[db]\\npool_size = 1\\n')\n"
        "from gluon.contrib.appconfig import AppConfig; configuration = AppConfig(reload=True)",
        "return repr(configuration.take('db.pool_size', cast=int))",
        "1",
    ),
    "populate": (
        "db.define_table('t', Field('name'), Field('n', 'integer'), Field('day', 'date'))",
        "from gluon.contrib.populate import populate; populate(db.t, 3); return str(db(db.t).count())",
        "3",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", USES)
def test_what_applications_use_works(name: str, lab: Lab) -> None:
    model, action, expected = USES[name]
    assert run(lab, model, action).text == expected


def run(lab: Lab, model: str, action: str) -> Response:
    lab.write("models/more.py", model)
    lab.write("controllers/default.py", f"def f():\n    {action}\n")
    answer = lab.get("default/f")
    assert answer.ok, answer.ticket
    return answer


def test_requires_https_redirects_to_the_same_page_over_https(lab: Lab) -> None:
    lab.write("controllers/default.py", "def f():\n    request.requires_https()\n")
    answer = lab.get("default/f", a=1)
    assert (answer.status, answer.header("location")) == (303, "https://tutorial.appspot.com/tutorial/default/f?a=1")


@pytest.mark.parametrize("options", ["db=db", "db=db, tablename='sessions', masterapp='tutorial'"])
def test_sessions_are_kept(options: str, lab: Lab) -> None:
    model = f"session.connect(request, response, {options})"
    counts = [run(lab, model, "session.n = (session.n or 0) + 1; return str(session.n)").text for _ in range(3)]
    assert counts == ["1", "2", "3"]


def rows(heading: str) -> list[list[str]]:
    """Return the rows of the table below a heading of FIDELITY.md."""
    section = FIDELITY.partition(f"\n### {heading}\n")[2].partition("\n###")[0]
    return [cells(line) for line in section.splitlines() if line.startswith("|")][2:]


def quoted(cell: str) -> list[str]:
    return re.findall("`([^`]+)`", cell)


COLUMN = {"2.26.1": 1, "3.3.3": 2}[VERSION]
MISSING = {
    module: row[COLUMN].strip("`")
    for row in rows("Modules of web2py that cannot be imported")
    for module in quoted(row[0])
    if row[COLUMN] != "works"
}
IMPORT = """
import json, sys
from harness import Lab
with Lab() as lab:
    lab.write("controllers/default.py", '''
def f():
    __import__(request.vars.module)
    return "imported"
''')
    found = {name: lab.get("default/f", module=name) for name in MODULES}
    shown = {name: f"{each.ticket.message if each.ticket else ''} {each.text}" for name, each in found.items()}
    json.dump(shown, sys.__stdout__)
"""


@pytest.fixture(scope="module")
def imports(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Import every module of web2py in an action of a separate process. Return the result of each, by module."""
    done = python(f"MODULES = {MODULES}{IMPORT}", tmp_path_factory.mktemp("imports"))
    found: dict[str, str] = json.loads(done.stdout)
    return found


def is_installed(name: str) -> bool:
    return bool(find_library("odbc")) if name == "ODBC" else find_spec(name) is not None


@pytest.mark.parametrize("module", [name for name in MODULES if not is_installed(MISSING.get(name, "nothing"))])
def test_a_module_of_web2py_can_be_imported_or_fidelity_names_what_is_missing(
    module: str, imports: dict[str, str]
) -> None:
    if module in MISSING:
        assert MISSING[module] in imports[module]
        assert "imported" not in imports[module]
    else:
        assert imports[module].strip() == "imported"


def test_fidelity_names_no_module_that_web2py_does_not_have() -> None:
    assert set(MISSING) - set(MODULES) == set()


SERVICE = """
from gluon.tools import Service
service = Service()
@service.csv
def rows(): return db(db.mytable).select()
@service.xml
def number(): return 3
"""
# By the first cell of the table: a model and an action.
FAULTS = {
    "`from gluon.tools import Recaptcha`": ("", "from gluon.tools import Recaptcha"),
    '`PluginManager("comments", limit=1)` before `PluginManager()`': (
        "from gluon.tools import PluginManager; PluginManager.instances.clear()",
        "return str(PluginManager('comments', limit=1))",
    ),
    "`@service.csv` on an action that returns rows": (SERVICE, "request.args[:] = ['csv', 'rows']; return service()"),
    "`@service.xml` on an action that returns a number": (
        SERVICE,
        "request.args[:] = ['xml', 'number']; return service()",
    ),
    '`session.connect(request, response, cookie_key="key")` from the second request on': (
        "session.connect(request, response, cookie_key='key')",
        "session.n = (session.n or 0) + 1; return str(session.n)",
    ),
    "`Scheduler.stop_task`": (
        "from gluon.scheduler import Scheduler; scheduler = Scheduler(db, {'work': lambda: 1})",
        "db.scheduler_task.insert(function_name='work'); return str(scheduler.stop_task(1))",
    ),
    "`pdf_from_html` and `HTMLMixin.write_html`": (
        "",
        "from gluon.contrib.generics import pdf_from_html; return pdf_from_html('<b>x</b>')",
    ),
    "`gluon.contrib.pyrtf.dumps`": ("", "import gluon.contrib.pyrtf as rtf; return rtf.dumps(rtf.Document())"),
    "`gluon.contrib.spreadsheet.Sheet`": (
        "",
        "from gluon.contrib.spreadsheet import Sheet; return str(Sheet(2, 2, URL('x')))",
    ),
    '`DAL("google:datastore")` and `DAL("google:datastore+ndb")`': ("", "return str(DAL('google:datastore+ndb'))"),
    '`DAL("mysql://…")` and other database servers': ("", "return str(DAL('mysql://me@localhost/shop', attempts=1))"),
    "`MemcacheClient` from `gluon.contrib.gae_memcache`": (
        "from gluon.contrib.gae_memcache import MemcacheClient; cache.ram = MemcacheClient(request)",
        "return str(cache.ram('a', lambda: 1, 60))",
    ),
    "`fetch` and `geocode`": ("from gluon.tools import fetch", "return fetch('http://localhost/')"),
    "`GaeGoogleAccount`": (
        "from gluon.contrib.login_methods.gae_google_account import GaeGoogleAccount",
        "return GaeGoogleAccount().login_url('/')",
    ),
    "`validate_and_insert` with a field that is not writable, or not in the table": (
        "db.define_table('t', Field('name', writable=False))",
        "return str(db.t.validate_and_insert(name='x')['errors']['name'])",
    ),
    "`validate_and_insert` without a field that has a validator": (
        "db.define_table('t', Field('name', requires=IS_NOT_EMPTY()), Field('other'))",
        "return 'refused' if db.t.validate_and_insert(other='x')['errors'] else 'accepted'",
    ),
    'a form with `IS_LIST_OF` and one value, "abc"': ("", "return str(IS_LIST_OF(IS_NOT_EMPTY())('abc')[0])"),
    "a commit that fails, for example on a full disk": (
        "db.executesql('PRAGMA foreign_keys = ON'); db.executesql('CREATE TABLE IF NOT EXISTS kept (id INTEGER PRIMARY "
        "KEY)'); db.executesql('CREATE TABLE IF NOT EXISTS due (k REFERENCES kept DEFERRABLE INITIALLY DEFERRED)')",
        "db.executesql('INSERT INTO due VALUES (99)'); return 'saved'",
    ),
    "`IS_LIST_OF_EMAILS` on a field of type string": ("", "return str(IS_LIST_OF_EMAILS()('ann@example.com')[0])"),
}  # fmt: skip


@pytest.mark.parametrize(
    "row", rows("Modules that can be imported but fail when they are used"), ids=lambda row: row[0]
)
def test_what_fidelity_lists_fails_as_it_says(row: list[str], lab: Lab) -> None:
    model, action = FAULTS[row[0]]
    lab.write("models/more.py", model)
    lab.write("controllers/default.py", f"def f():\n    {action}\n")
    lab.get("default/f")
    answer = lab.get("default/f")
    seen = f"{answer.ticket.message if answer.ticket else ''} {answer.text}"
    if row[COLUMN] == "works":
        assert answer.ok, answer.ticket
        assert row[3 - COLUMN].strip("`") not in seen
    else:
        assert row[COLUMN].strip("`") in seen
