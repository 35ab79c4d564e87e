"""What a learner gives to `lab.get` and `lab.post`, and the request that a browser makes of it."""

import http.cookies

import pytest

from harness.appengine.clock import START
from harness.appengine.user_client import UserClient
from harness.errors import BadRequestError
from harness.records import Response


@pytest.fixture
def browser() -> UserClient:
    return UserClient("tutorial", START.timestamp)


@pytest.mark.parametrize(
    ("path", "url"),
    [
        ("default/index", "/tutorial/default/index"),
        ("default/index/1/2", "/tutorial/default/index/1/2"),
        ("/stats/default/index", "/stats/default/index"),
        ("", "/tutorial/"),
        ("/", "/"),
        ("default/index?a=1&b=2", "/tutorial/default/index?a=1&b=2"),
        ("default/Grüße und mehr", "/tutorial/default/Gr%C3%BC%C3%9Fe%20und%20mehr"),
        ("default/index?q=Grüße und mehr", "/tutorial/default/index?q=Gr%C3%BC%C3%9Fe%20und%20mehr"),
        ("default/a%20b?c=%20", "/tutorial/default/a%20b?c=%20"),
        ("default/index/a:b", "/tutorial/default/index/a:b"),
        ("default/index?a=1#top", "/tutorial/default/index?a=1"),
        ("http://tutorial.appspot.com/a/b/c#top", "/a/b/c"),
    ],
)
def test_a_path_becomes_a_url(browser, path, url):
    assert browser.request("GET", path).url == url


def test_query_values_are_encoded_and_a_list_repeats_its_key(browser):
    request = browser.request("GET", "default/index?a=1", {"b": "x y&", "c": [1, 2], "d": None})
    assert request.url == "/tutorial/default/index?a=1&b=x+y%26&c=1&c=2&d=None"


@pytest.mark.parametrize(
    "path",
    ["http://x/y", "https://localhost/tutorial", "//x/y", "mailto:me", "http://[::1", 5, None, b"default/index"]
    + ["default/a\nb", "default/\x00", "default/\ud800", "default/index?a=\udc80", ["a"]],
)
def test_a_path_that_no_browser_could_send_is_quoted(browser, path):
    with pytest.raises(BadRequestError) as caught:
        browser.request("GET", path)
    assert repr(path) in str(caught.value)


def test_an_absolute_url_is_answered_with_the_path_to_give(browser):
    with pytest.raises(BadRequestError, match='give the path: "default/index", or "/tutorial/default/index"'):
        browser.request("GET", "http://localhost:8000/tutorial/default/index")


def test_a_url_with_the_labs_own_host_is_sent_and_https_as_app_engine_reports_it(browser):
    sent = browser.request("GET", "http://tutorial.appspot.com/a/b/c?x=1", {"y": 2})
    assert (sent.url, sent.headers) == ("/a/b/c?x=1&y=2", ())
    sent = browser.request("GET", "https://tutorial.appspot.com")
    assert (sent.url, sent.headers) == ("/", (("X-Forwarded-Proto", "https"),))


@pytest.mark.parametrize(
    ("data", "body", "kind"),
    [
        (None, b"", None),
        ({"old": "a b", "new": "ü"}, b"old=a+b&new=%C3%BC", "application/x-www-form-urlencoded"),
        ({"a": [1, 2]}, b"a=1&a=2", "application/x-www-form-urlencoded"),
        ({}, b"", "application/x-www-form-urlencoded"),
        ("Grüße", "Grüße".encode(), "text/plain; charset=utf-8"),
        (b"\x00\xff", b"\x00\xff", "application/octet-stream"),
    ],
)
def test_a_dict_goes_as_a_form_and_text_and_bytes_as_they_are(browser, data, body, kind):
    request = browser.request("POST", "default/save", data=data)
    assert (request.body, request.header("content-type")) == (body, kind)


@pytest.mark.parametrize("data", [5, ["a"], object, 1.5])
def test_data_of_another_kind_is_quoted(browser, data):
    with pytest.raises(BadRequestError, match="dict .sent as a form., str or bytes") as caught:
        browser.request("POST", "default/save", data=data)
    assert repr(data) in str(caught.value)


@pytest.mark.parametrize("data", [{"a": "x\ud800"}, {"\ud800": "x"}, "x\ud800y"])
def test_half_a_character_cannot_be_sent(browser, data):
    with pytest.raises(BadRequestError, match=r"'\\ud800' cannot be sent.*surrogate"):
        browser.request("POST", "default/save", data=data)


class NoText:
    def __str__(self):
        raise ValueError


@pytest.mark.parametrize("value", [NoText(), [NoText()]])
def test_a_value_that_cannot_be_converted_to_a_string_is_refused(browser, value):
    for sent in ({"query": {"a": value}}, {"data": {"a": value}}):
        with pytest.raises(BadRequestError, match=r"str\(\) fails for it \(ValueError\)"):
            browser.request("POST", "default/save", **sent)


def test_a_query_value_with_half_a_character_cannot_be_sent(browser):
    with pytest.raises(BadRequestError, match="surrogate"):
        browser.request("GET", "default/index", {"a": "\udfff"})


def test_own_headers_go_along_and_a_content_type_of_ones_own_wins(browser):
    request = browser.request("POST", "default/x", data="{}", headers={"content-type": "application/json", "X-A": "ü"})
    assert request.headers == (("content-type", "application/json"), ("X-A", "ü"))


@pytest.mark.parametrize(
    "headers",
    [{"X": 5}, {5: "x"}, {"X": "a\r\nSet-Cookie: b"}, {"X\n": "a"}, {"": "a"}, {"X Y": "a"}, {"X": "€"}, {"Ä": "a"}],
)
def test_a_header_that_would_break_the_request_is_quoted(browser, headers):
    with pytest.raises(BadRequestError, match="a header is a name and one line") as caught:
        browser.request("GET", "default/x", headers=headers)
    assert repr(next(iter(headers.values()))) in str(caught.value)


@pytest.mark.parametrize("headers", [5, "X: a", ["X"]])
def test_headers_are_a_dict(browser, headers):
    with pytest.raises(BadRequestError, match="headers must be a dict") as caught:
        browser.request("GET", "default/x", headers=headers)
    assert repr(headers) in str(caught.value)


def cookies_after(browser: UserClient, *set_cookies: str) -> str | None:
    browser.remember(Response(200, headers=tuple(("Set-Cookie", value) for value in set_cookies)))
    return browser.request("GET", "default/x").header("cookie")


def test_cookies_are_kept_and_sent_back(browser):
    assert browser.request("GET", "default/x").header("cookie") is None
    assert cookies_after(browser, "session=1; Path=/; HttpOnly", "lang=de") == "session=1; lang=de"
    assert cookies_after(browser, "session=2") == "session=2; lang=de"


@pytest.mark.parametrize("end", ["Max-Age=0", "Max-Age=-1", "Expires=Thu, 01 Jan 1970 00:00:00 GMT"])
def test_a_cookie_that_is_taken_back_is_sent_no_more(browser, end):
    def answer(value: str) -> Response:
        return Response(200, headers=(("Set-Cookie", value),), started=START)

    browser.remember(answer("lang=de"))
    browser.remember(answer("user=ada; Expires=Thu, 01 Jan 2037 00:00:00 GMT"))
    browser.remember(answer(f"user=; {end}"))
    assert browser.request("GET", "default/x").header("cookie") == "lang=de"
    for more in ("Max-Age=60", "Max-Age=060", "Max-Age=soon"):
        browser.remember(answer(f"user=; {end}"))
        browser.remember(answer(f"user=ada; {more}"))
        assert browser.request("GET", "default/x").header("cookie") == "lang=de; user=ada"


def test_a_cookie_expires_in_virtual_time(lab):
    lab.write(
        "controllers/default.py",
        "def f():\n    response.cookies['user'] = 'ada'\n    response.cookies['user']['max-age'] = 60\n\n"
        "def h():\n    return str('user' in request.cookies)\n",
    )
    lab.get("default/f")
    lab.advance(59)
    assert lab.get("default/h").text == "True"
    lab.advance(2)
    assert lab.get("default/h").text == "False"


@pytest.mark.parametrize("age", ["9" * 400, "9" * 4000])
def test_a_cookie_may_last_for_any_time(browser, age):
    assert cookies_after(browser, f"a=1; Max-Age={age}") == "a=1"


@pytest.mark.parametrize(
    ("attributes", "sent", "not_sent"),
    [
        ("Path=/shop/admin", ["/shop/admin", "/shop/admin/x?a=1"], ["/shop", "/shop/administration", "/"]),
        ("Path=/shop/", ["/shop/", "/shop/x"], ["/shop"]),
        ("", ["/shop/default/page", "/shop/default/x/y", "/shop/default"], ["/shop/other/x", "/"]),
        ("Path=shop", ["/shop/default/x"], ["/shop/other/x"]),
        ("Path=/; Secure", ["https://tutorial.appspot.com/"], ["/", "http://tutorial.appspot.com/"]),
    ],
)
def test_a_cookie_is_sent_only_where_its_attributes_allow_it(browser, attributes, sent, not_sent):
    page = browser.request("GET", "/shop/default/page?x=/deep/path")
    browser.remember(Response(200, headers=(("Set-Cookie", f"a=1; {attributes}"),), request=page))
    assert [browser.request("GET", path).header("cookie") for path in sent] == ["a=1"] * len(sent)
    assert [browser.request("GET", path).header("cookie") for path in not_sent] == [None] * len(not_sent)


def test_cookies_of_one_name_are_kept_by_path_and_the_longest_path_is_sent_first(browser):
    assert cookies_after(browser, "a=1; Path=/", "a=2; Path=/tutorial", "b=3") == "a=2; a=1; b=3"
    assert cookies_after(browser, "a=; Path=/tutorial; Max-Age=0") == "a=1; b=3"


def test_an_action_takes_its_cookie_back(lab):
    lab.write(
        "controllers/default.py",
        "def f():\n    response.cookies['user'] = 'ada'\n    return ''\n\n"
        "def g():\n    response.cookies['user'] = ''\n    response.cookies['user']['expires'] = 0\n    return ''\n\n"
        "def h():\n    return str('user' in request.cookies)\n",
    )
    assert [lab.get(f"default/{action}").text for action in "fhgh"] == ["", "True", "", "False"]


def test_a_cookie_of_ones_own_goes_instead(browser):
    cookies_after(browser, "session=1")
    assert browser.request("GET", "default/x", headers={"Cookie": "a=b"}).header("cookie") == "a=b"


def test_an_empty_cookie_is_none_at_all(browser):
    cookies_after(browser, "session=1")
    assert browser.request("GET", "default/x", headers={"Cookie": ""}).header("cookie") is None


def test_a_malformed_cookie_is_ignored_as_browsers_do(browser):
    assert cookies_after(browser, "b@d[=1", "good=1") == "good=1"


def test_two_browsers_share_no_cookies(browser):
    cookies_after(browser, "session=1")
    assert UserClient("tutorial", START.timestamp).request("GET", "default/x").header("cookie") is None


def test_a_cookie_of_more_than_4096_characters_is_not_kept(browser):
    fits = f"fits={'x' * 4091}"
    browser.remember(Response(200, headers=(("Set-Cookie", fits), ("Set-Cookie", f"long={'x' * 4092}"))))
    assert browser.request("GET", "default/index").header("Cookie") == fits


def test_only_the_first_50_cookies_of_a_response_are_kept(browser):
    browser.remember(Response(200, headers=tuple(("Set-Cookie", f"c{number}=1") for number in range(51))))
    sent = browser.request("GET", "default/index").header("Cookie")
    assert sent == "; ".join(f"c{number}=1" for number in range(50))


def test_the_value_of_a_cookie_is_sent_back_as_it_came_and_never_unquoted(browser, monkeypatch):
    monkeypatch.setattr(http.cookies, "_unquote", lambda text: pytest.fail("this is slow for many backslashes"))
    browser.remember(Response(200, headers=(("Set-Cookie", r'quoted="a\073 \"b\""'),)))
    assert browser.request("GET", "default/index").header("Cookie") == r'quoted="a\073 \"b\""'
