"""`lab.submit`: which form of a page is sent, what each kind of field takes, and what a browser would send."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness import Lab
from harness.errors import BadRequestError
from harness.records import Response

PAGE = """
<form method="post">
  <input name="a" value="x"><input type="hidden" name="_formkey" value="k"><textarea name="t">
 first</textarea>
  <select name="s"><option value="1">one</option><option value="2" selected>two</option></select>
  <select name="m" multiple><option>p</option><option selected>q</option><option>r</option></select>
  <input type="checkbox" name="c"><input type="checkbox" name="g" value="1" checked>
  <input type="checkbox" name="g" value="2"><input type="checkbox" name="g" value="3">
  <input type="radio" name="r" value="1"><input type="radio" name="r" value="2" checked>
  <input name="twice" value="1"><input name="twice" value="2"><input type="number" name="n">
  <input name="page" value="p"><input name="fields" value="f">
  <input name="off" disabled value="no"><fieldset disabled><input name="inside" value="no"></fieldset>
  <input type="submit" name="go" value="Save"><button name="go" value="Delete">D</button>
  <input type="button" name="script" value="s"><input type="reset" name="again">
</form>
<form action="/tutorial/default/sent?old=1"><input name="q"><input type="file" name="up"><button>Search</button>
  <button name="late" value="1">L</button></form>
<form method="post" action="sent?kept=1" enctype="multipart/form-data">
  <input type="file" name="f"><input type="file" name="fs" multiple><input name="title" value="ä"></form>
<form method="post" action="https://elsewhere.example/x"><input name="card"></form>
<form method="post" action="http://tutorial.appspot.com/tutorial/default/sent"><input name="own"></form>
<form method="post" action="sent" id="last"></form><input form="last" name="outside" value="1">
"""
CONTROLLER = """
def index():
    return sent() if request.env.request_method == "POST" else PAGE

def shown(value):
    if isinstance(value, list):
        return [shown(each) for each in value]
    return [value.filename, value.file.read().hex()] if hasattr(value, "file") else value or ""

def sent():
    values = {name: shown(value) for name, value in request.post_vars.items()}
    method, got = request.env.request_method, dict(request.get_vars)
    return response.json(dict(method=method, post=values, get=got, came=request.env.http_referer))
"""
UNCHANGED = {"a": "x", "_formkey": "k", "t": " first", "s": "2", "m": "q", "g": "1", "r": "2", "twice": ["1", "2"]}
UNCHANGED |= {"n": "", "page": "p", "fields": "f", "go": "Save"}


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with Lab() as lab:
        lab.write("controllers/default.py", f"PAGE = {PAGE!r}\n{CONTROLLER}")
        yield lab


@pytest.fixture(scope="module")
def page(lab: Lab) -> Response:
    return lab.get("default/index")


def test_fields_that_are_not_given_keep_their_values_and_the_first_button_is_pressed(lab: Lab, page: Response) -> None:
    response = lab.submit(page)
    assert response.request.url == "/tutorial/default/index"
    assert response.json["post"] == UNCHANGED
    assert response.json["came"] == "http://tutorial.appspot.com/tutorial/default/index"


@pytest.mark.parametrize(
    ("fields", "changes"),
    [
        ({"a": "Größe & 字"}, {"a": "Größe & 字"}),
        ({"a": None, "n": 2.5}, {"a": "", "n": "2.5"}),
        ({"t": "one\ntwo\r\nthree\rfour"}, {"t": "one\r\ntwo\r\nthree\r\nfour"}),
        ({"s": 1}, {"s": "1"}),
        ({"m": ["r", "p"]}, {"m": ["p", "r"]}),
        ({"m": "p"}, {"m": "p"}),
        ({"m": []}, {"m": None}),
        ({"c": True}, {"c": "on"}),
        ({"c": False}, {"c": None}),
        ({"g": (2, 3)}, {"g": ["2", "3"]}),
        ({"g": "3"}, {"g": "3"}),
        ({"g": []}, {"g": None}),
        ({"r": 1}, {"r": "1"}),
        ({"twice": ["3", "4"]}, {"twice": ["3", "4"]}),
        ({"page": "2", "fields": "g"}, {"page": "2", "fields": "g"}),
        ({"go": "Delete"}, {"go": "Delete"}),
    ],
)
def test_each_kind_of_field_takes_its_values(fields: dict[str, object], changes: dict[str, object], lab, page) -> None:
    expected = {name: value for name, value in {**UNCHANGED, **changes}.items() if value is not None}
    assert lab.submit(page, fields).json["post"] == expected


def test_a_field_named_as_an_argument_is_filled_in(lab: Lab, page: Response) -> None:
    assert lab.submit(page, {"fields": "g"}, page="2", a="y").json["post"] == {
        **UNCHANGED, "fields": "g", "page": "2", "a": "y"
    }  # fmt: skip
    with pytest.raises(BadRequestError, match=r"fields must be a dict .*not 'g'.*fields=\{\"fields\": 'g'\}"):
        lab.submit(page, fields="g")


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (
            {"aa": "1"},
            r"no form of the page has a field 'aa' that can be filled in: did you mean 'a'\? The fields are: a,",
        ),
        ({5: "1"}, "a field 5 that can be filled in: check its name"),
        ({"off": "1"}, "a field 'off' that can be filled in"),
        ({"inside": "1"}, "a field 'inside' that can be filled in"),
        ({"script": "s"}, "a field 'script' that can be filled in"),
        ({"a": "1", "q": "2"}, "no form of the page has all these fields: a, q; the page has: a, _formkey"),
        ({"s": "3"}, "the field 's' has no option '3'; its options: '1', '2'"),
        ({"m": ["z"]}, r"the field 'm' has no option \['z'\]; its options: 'p', 'q', 'r'"),
        ({"r": None}, "the field 'r' has no option ''; its options: '1', '2'"),
        ({"c": "off"}, "the checkbox 'c' has no value 'off'; pass True, False or on"),
        ({"g": ["1", "9"]}, "the checkbox 'g' has no value '9'; pass a list of some of 1, 2, 3"),
        ({"g": True}, "the checkbox 'g' has no value 'True'; pass a list of some of 1, 2, 3"),
        ({"a": True}, "only a checkbox takes True, and 'a' isn't one"),
        ({"a": ["x", "y"]}, r"the field 'a' takes one string, not \['x', 'y'\]"),
        ({"a": b"x"}, "the field 'a' takes one string, not b'x'"),
        ({"a": "\ud800"}, r"'\\ud800' cannot be sent"),
        ({"twice": "3"}, "the form has 2 fields 'twice', so pass a list of 2 values"),
        ({"go": "No"}, "the form has no button 'go' with the value 'No'; its values: 'Save', 'Delete'"),
        ({"f": "a.txt"}, r"the field 'f' uploads a file. Pass a pathlib.Path, .* not 'a.txt'"),
        ({"f": ("a.txt", "text")}, "the field 'f' uploads a file"),
        ({"f": [("a.txt", b""), ("b.txt", b"")]}, "the field 'f' uploads a file"),
        ({"f": Path("/nowhere/x")}, "the file /nowhere/x for 'f' can't be read: No such file"),
        ({"card": "1"}, "the form sends its fields to another server: https://elsewhere.example/x"),
    ],
)
def test_what_a_browser_could_not_send_is_refused(fields: dict[str, object], message: str, lab, page) -> None:
    before = lab.responses
    with pytest.raises(BadRequestError, match=message):
        lab.submit(page, fields)
    assert lab.responses == before


def test_a_get_form_replaces_the_query_and_a_button_without_a_name_sends_nothing(lab: Lab, page: Response) -> None:
    response = lab.submit(page, q="ü &", up=("a.txt", b"text"))
    assert response.request.method == "GET"
    assert response.json["get"] == {"q": "ü &", "up": "a.txt"}
    assert lab.submit(page, late="1", q="").json["get"] == {"q": "", "up": "", "late": "1"}


def test_files_are_uploaded_by_their_path_or_by_name_and_bytes(lab: Lab, page: Response, tmp_path: Path) -> None:
    (tmp_path / "note.txt").write_bytes(b"hello")
    files = [("a.png", b"\x00\xff"), tmp_path / "note.txt"]
    response = lab.submit(page, f=tmp_path / "note.txt", fs=files)
    note = ["note.txt", b"hello".hex()]
    assert response.json["post"] == {"title": "ä", "f": note, "fs": [["a.png", "00ff"], note]}
    assert response.json["get"] == {"kept": "1"}
    assert response.request.header("Content-Type").startswith("multipart/form-data; boundary=")
    assert re.findall(rb"Content-Type: (.*)\r", response.request.body) == [b"text/plain", b"image/png", b"text/plain"]


def test_a_file_that_is_not_chosen_is_empty(lab: Lab, page: Response) -> None:
    assert lab.submit(page, f=None).json["post"] == {"title": "ä", "f": "", "fs": ""}
    assert lab.submit(page, title="ö").json["post"] == {"title": "ö", "f": "", "fs": ""}


def test_a_form_may_name_the_labs_host_and_have_fields_outside(lab: Lab, page: Response) -> None:
    assert lab.submit(page, own="1").json["post"] == {"own": "1"}
    assert lab.submit(page, outside="2").json["post"] == {"outside": "2"}


def test_the_action_is_relative_to_the_page_and_not_to_a_later_one(lab: Lab) -> None:
    lab.write(
        "controllers/other.py", "def page(): return '<form method=post action=../deep/take><input name=a></form>'"
    )
    lab.write("controllers/deep.py", "def take(): return request.vars.a + '/'.join(request.args)")
    page = lab.get("other/page")
    lab.get("default/index")
    assert lab.submit(page, a="1").request.url == "/tutorial/deep/take"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("default/sent", r"the page of /tutorial/default/sent \(status 200\) has no form"),
        ("default/nowhere", r"the page of /tutorial/default/nowhere \(status 404\) has no form"),
        ("failing/f", r"failing/f \(status 500\) has no form. It begins with '<html><body><h1>Internal"),
    ],
)
def test_a_page_without_a_form_is_refused_by_its_address(given: str, message: str, lab: Lab) -> None:
    lab.write("controllers/failing.py", "def f(): return 1 / 0")
    with pytest.raises(BadRequestError, match=message):
        lab.submit(lab.get(given), a="1")


@pytest.mark.parametrize("page", [None, "<form>", 5, Response(200)])
def test_only_a_response_of_the_lab_is_a_page(page: object, lab: Lab) -> None:
    with pytest.raises(BadRequestError, match=r"pass the response with the form, as in page = lab.get\(...\), not "):
        lab.submit(page, a="1")


def test_the_same_upload_is_the_same_request(lab: Lab, page: Response) -> None:
    bodies = {lab.submit(page, f=("a.txt", b"text")).request.body for _ in range(2)}
    assert len(bodies) == 1


# -- similar forms, fields of one name, lists, disabled options, and buttons with an action of their own --

ODD = """
<form method="post" action="sent"><input type="hidden" name="id" value="1">
  <button name="act" value="a1">A</button></form>
<form method="post" action="sent"><input type="hidden" name="id" value="2"><button name="act" value="a2">A</button>
  <button name="act" value="b2" formaction="other" formmethod="get">B</button></form>
<form method="post" action="sent">
  <input type="hidden" name="agree" value="no"><input type="checkbox" name="agree" value="yes">
  <input type="hidden" name="size" value=""><input type="radio" name="size" value="s">
  <input type="radio" name="size" value="m">
  <input name="both" value="x"><select name="both"><option>p</option><option>q</option></select>
  <input type="checkbox" name="either" value="c"><input type="radio" name="either" value="r">
  <select name="color"><option value="" disabled selected>Choose</option><option>red</option>
    <optgroup disabled><option>grey</option></optgroup></select>
  <select name="first"><option disabled>no</option><option>yes</option></select>
  <select name="last"><option selected>1</option><option selected>2</option></select>
  <select name="many" multiple><option selected disabled>1</option><option selected>2</option></select>
  <ul class="w2p_list"><li><input name="tags" value="a"></li><li><input name="tags" value="b"></li></ul>
  <input name="headers" value="h"></form>
<form method="post" action="javascript:void(0)"><input name="script"></form>
"""
UNSEEN = {"agree": "no", "size": "", "both": ["x", "p"], "first": "yes", "last": "2", "many": "2", "tags": ["a", "b"]}
UNSEEN |= {"headers": "h"}


@pytest.fixture(scope="module")
def odd(lab: Lab) -> Response:
    actions = f"def page(): return {ODD!r}\ndef other(): return request.env.request_method + request.vars.act\n"
    lab.write("controllers/odd.py", f"{CONTROLLER}{actions}")
    return lab.get("odd/page")


def sent(lab: Lab, page: Response, fields: dict[str, object]) -> dict[str, object]:
    response = lab.submit(page, fields)
    assert response.ok, response
    post: dict[str, object] = response.json["post"]
    return post


@pytest.mark.parametrize(
    ("fields", "values"),
    [
        ({}, {"id": "1", "act": "a1"}),
        ({"id": 2}, {"id": "2", "act": "a2"}),
        ({"act": "a2"}, {"id": "2", "act": "a2"}),
        ({"id": "3"}, {"id": "3", "act": "a1"}),  # a user who changes the hidden value
    ],
)
def test_hidden_values_and_buttons_choose_among_similar_forms(fields, values, lab: Lab, odd: Response) -> None:
    assert sent(lab, odd, fields) == values


def test_a_button_has_an_action_and_a_method_of_its_own(lab: Lab, odd: Response) -> None:
    response = lab.submit(odd, act="b2")
    assert (response.request.url, response.text) == ("/tutorial/odd/other?id=2&act=b2", "GETb2")


@pytest.mark.parametrize(
    ("fields", "changes"),
    [
        ({"headers": "x"}, {"headers": "x"}),
        ({"agree": True}, {"agree": ["no", "yes"]}),
        ({"size": "m"}, {"size": ["", "m"]}),
        ({"both": ["y", "q"]}, {"both": ["y", "q"]}),
        ({"either": "r"}, {"either": "r"}),
        ({"color": "red"}, {"color": "red"}),
        ({"tags": ["c", "d", "e"]}, {"tags": ["c", "d", "e"]}),
        ({"tags": "c"}, {"tags": "c"}),
        ({"tags": []}, {"tags": None}),
    ],
)
def test_fields_of_one_name_disabled_options_and_lists(fields, changes, lab: Lab, odd: Response) -> None:
    expected = {name: value for name, value in {**UNSEEN, **changes}.items() if value is not None}
    assert sent(lab, odd, {"headers": "h", **fields}) == expected


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"both": ["y", "z"]}, "the field 'both' has no option 'z'; its options: 'p', 'q'"),
        ({"both": "y"}, "the form has 2 fields 'both', so pass a list of 2 values"),
        ({"both": ["y", True]}, "only a checkbox takes True, and 'both' isn't one"),
        ({"color": "grey"}, "the field 'color' has no option 'grey'; its options: 'red'"),
        ({"tags": [b"x"]}, "the field 'tags' takes one string, not b'x'"),
        (
            {"script": "1"},
            r"a script of the page sends this form \(javascript:void\(0\)\), but a lab doesn't run scripts",
        ),
    ],
)
def test_a_wrong_value_of_such_a_field_is_refused(fields, message: str, lab: Lab, odd: Response) -> None:
    with pytest.raises(BadRequestError, match=message):
        lab.submit(odd, fields)


def test_the_form_carries_the_headers_of_the_pages_request(lab: Lab) -> None:
    headers = {
        "X-Requested-With": "XMLHttpRequest",
        "Accept-Language": "it",
        "If-None-Match": "x",
        "content-type": "a/b",
    }
    page = lab.get("default/index", headers)
    sent = lab.submit(page, a="1", headers={"accept-language": "de"}).request
    assert (sent.header("X-Requested-With"), sent.header("Accept-Language")) == ("XMLHttpRequest", "de")
    assert (sent.header("If-None-Match"), sent.header("Content-Type")) == (None, "application/x-www-form-urlencoded")
    with pytest.raises(BadRequestError, match=r"headers must be a dict .*not 'it'.*fields=\{\"headers\": 'it'\}"):
        lab.submit(page, headers="it")


def test_the_user_who_requested_the_page_sends_its_form() -> None:
    with Lab() as lab:
        lab.write(
            "controllers/default.py",
            "def enter():\n    session.user = request.vars.user\n"
            "def index():\n"
            "    response.cookies['seen'] = 1\n    response.cookies['seen']['path'] = '/'\n"
            "    form = FORM(INPUT(_name='a'))\n    ok = form.accepts(request, session)\n"
            "    return f'{session.user} {ok} {request.cookies.keys() >= {\"seen\"}}{form}'\n",
        )
        lab.get("default/enter", user="eve")
        page = lab.get("default/index")
        lab.get("default/enter", user="zoe")  # in the same session
        assert lab.submit(page, a="1").text.startswith("zoe True")

        cookies = []
        for user in ("ann", "bob"):
            lab.get("default/enter", {"Cookie": ""}, user=user)
            cookies.append(lab.get("default/enter", user=user).request.header("Cookie").partition("; seen")[0])
        pages = [lab.get("default/index", {"Cookie": cookie}) for cookie in cookies]
        for page, user in zip(pages, ("ann", "bob"), strict=True):
            assert lab.submit(page, a="1").text.startswith(f"{user} True True<form")
        wrong = lab.submit(pages[0], a="1", headers={"cookie": cookies[1]})
        assert wrong.text.startswith("bob False")
