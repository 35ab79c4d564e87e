"""A user's browser: turns paths and values into requests, and keeps cookies."""

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime
from http.cookies import BaseCookie, CookieError, Morsel
from typing import Any
from urllib.parse import SplitResult, quote, urlencode, urlsplit

from harness.errors import BadRequestError, quoted
from harness.records import Request, Response

_FORM = "application/x-www-form-urlencoded"
_IN_PATH = "/%:@!$&'()*+,;=~-._"  # characters that stay unquoted in a path (RFC 3986), and % of quoted characters
_IN_QUERY = _IN_PATH + "?"
_HOST = Request("GET", "/").host
_LONGEST_COOKIE = 4096  # characters, and the number of cookies: what RFC 6265, 6.1, asks of every browser
_MOST_COOKIES = 50
_LONGEST_AGE = 10**10  # seconds
_HEADER_NAME = re.compile("[-_]*[A-Za-z0-9][-_A-Za-z0-9]*")
_HEADER_VALUE = re.compile(r"[^\0\r\n\u0100-\U0010ffff]*")  # latin-1 without line ends


@dataclass(frozen=True, slots=True)
class _Cookie:
    value: str
    path: str
    secure: bool
    expires: float  # seconds since 1970


class UserClient:
    """One user of an application: builds requests, and keeps the cookies of the responses.

    Args:
        app: the name of the application.
        now: returns the virtual time in seconds since 1970. Cookies expire in this time.
    """

    def __init__(self, app: str, now: Callable[[], float]) -> None:
        self._app = app
        self._now = now
        self._cookies: dict[tuple[str, str], _Cookie] = {}  # by name and path
        self._given: set[str] = set()  # the Cookie headers that were passed instead of the kept cookies

    def request(
        self,
        method: str,
        path: str,
        query: Mapping[str, Any] | None = None,
        data: Mapping[str, Any] | str | bytes | None = None,
        headers: Mapping[str, str] | None = None,
        defaults: Mapping[str, str] | None = None,
    ) -> Request:
        """Return a new request.

        Args:
            method: the HTTP method, in capitals.
            path: "controller/function" of the client's application, or "/application/controller/function", or a URL
                with the lab's own host. For an https URL, the header X-Forwarded-Proto is added, as App Engine does.
            query: values for the query string; a list repeats its key.
            data: the body. A mapping is sent as a form, str as UTF-8 text, and bytes unchanged.
            headers: further headers; an empty Cookie header sends no cookies, as a new user's browser does.
            defaults: headers that are sent if `headers` doesn't contain them.

        Raises:
            BadRequestError: the path is a URL of another host, or a value cannot be sent.
        """
        own = _checked_headers(headers or {})
        names = {name.lower() for name in own}
        own.update((name, value) for name, value in (defaults or {}).items() if name.lower() not in names)
        parts = self._split(path)
        if parts.scheme == "https":
            own.setdefault("X-Forwarded-Proto", "https")
        try:
            url = self._url(parts, query or {})
            body, content_type = _encode_body(data)
        except UnicodeEncodeError as error:
            what = f"{error.object[error.start]!r} cannot be sent, because it is only half of a character (a surrogate)"
            raise BadRequestError(what) from None
        if content_type and not _has(own, "Content-Type"):
            own["Content-Type"] = content_type
        if not _has(own, "Cookie"):
            own["Cookie"] = self._cookie_header(url.partition("?")[0], own.get("X-Forwarded-Proto") == "https")
        else:
            self._given.update(value for name, value in own.items() if name.lower() == "cookie")
        sent = tuple((name, value) for name, value in own.items() if value or name.lower() != "cookie")
        return Request(method, url, sent, body)

    def remember(self, response: Response) -> None:
        """Keep the cookies that a response sets, as browsers do, until they expire in virtual time.

        A cookie that has expired (Max-Age=0, or Expires in the past) is deleted. A malformed cookie is ignored, and so
        are a cookie of more than 4,096 characters with its attributes and all cookies of a response after the 50th.
        """
        for name, cookie in self._set_cookies(response):
            if cookie.expires <= self._now():
                self._cookies.pop((name, cookie.path), None)
            else:
                self._cookies[name, cookie.path] = cookie

    def given_cookies(self, page: Response) -> dict[str, str]:
        """Return the Cookie header for a form of a page, if the caller passed a Cookie header with the page's request.

        It contains the cookies of that header, and those that the response has set. For other pages, return no header.
        """
        given = page.request.header("Cookie") if page.request is not None else None
        if given not in self._given:
            return {}
        values = dict(pair.strip().partition("=")[::2] for pair in given.split(";"))
        for name, cookie in self._set_cookies(page):
            values.pop(name, None)
            if cookie.expires > self._now():
                values[name] = cookie.value
        return {"Cookie": "; ".join(f"{name}={value}" for name, value in values.items())}

    def _cookie_header(self, path: str, secure: bool) -> str:
        """Return the cookies for a request to a path, in the order of RFC 6265, 5.4: long paths first."""
        sent = [
            (name, cookie)
            for (name, _), cookie in self._cookies.items()
            if _contains(cookie.path, path) and cookie.expires > self._now() and (secure or not cookie.secure)
        ]
        sent.sort(key=lambda each: -len(each[1].path))
        return "; ".join(f"{name}={cookie.value}" for name, cookie in sent)

    def _set_cookies(self, response: Response) -> Iterator[tuple[str, _Cookie]]:
        """Yield the names and the cookies that a response sets or deletes."""
        path = response.request.url.partition("?")[0] if response.request is not None else "/"
        values = [value for name, value in response.headers if name.lower() == "set-cookie"]
        for value in values[:_MOST_COOKIES]:
            if len(value) <= _LONGEST_COOKIE:  # parsing takes the square of the length in Python 3.11
                with suppress(CookieError):
                    # Unlike SimpleCookie, BaseCookie doesn't unquote the value.
                    for name, morsel in BaseCookie[str](value).items():
                        own = morsel["path"] if morsel["path"].startswith("/") else path.rpartition("/")[0] or "/"
                        expires = _expires(morsel, self._now())
                        yield name, _Cookie(morsel.coded_value, own, bool(morsel["secure"]), expires)

    def _url(self, parts: SplitResult, query: Mapping[str, Any]) -> str:
        route = parts.path if parts.path.startswith("/") else f"/{self._app}/{parts.path}"
        in_path = quote(parts.query, safe=_IN_QUERY)
        text = "&".join(part for part in (in_path, _encode_form(query)) if part)
        return quote(route, safe=_IN_PATH) + (f"?{text}" if text else "")

    def _split(self, path: str) -> SplitResult:
        if not isinstance(path, str):
            raise BadRequestError(f'a path such as "default/index" is needed, not {quoted(path)}')
        if not path.isprintable():
            raise BadRequestError(f"{quoted(path)} contains a character that a URL cannot contain; delete it")
        try:
            parts = urlsplit(path)
        except ValueError as error:  # raised for square brackets, as in "http://[::1"
            raise BadRequestError(f"{quoted(path)} is not a valid path: {error}") from None
        if (parts.scheme or parts.netloc) and (parts.scheme not in ("http", "https") or parts.netloc != _HOST):
            raise BadRequestError(
                f"{quoted(path)} is a URL of another server, but the lab has only the server http://{_HOST}; "
                f'give the path: "default/index", or "/{self._app}/default/index"'
            )
        if parts.netloc and not parts.path:
            parts = parts._replace(path="/")
        return parts


def _has(headers: Mapping[str, str], wanted: str) -> bool:
    return any(name.lower() == wanted.lower() for name in headers)


def _contains(folder: str, path: str) -> bool:
    """Return whether a cookie with the path `folder` is sent to another path (RFC 6265, 5.1.4)."""
    return path == folder or path.startswith(folder if folder.endswith("/") else f"{folder}/")


def _expires(cookie: Morsel[str], now: float) -> float:
    """Return the instant at which a cookie expires, in seconds since 1970."""
    with suppress(ValueError):  # an invalid Max-Age is ignored (RFC 6265)
        return now + min(int(cookie["max-age"]), _LONGEST_AGE)  # a valid one takes precedence over Expires
    try:
        expires = parsedate_to_datetime(cookie["expires"])
    except (TypeError, ValueError, OverflowError):  # Expires is missing or is not a date
        return float("inf")
    if expires.tzinfo is None:  # "-0000" means UTC without a time zone of the sender (RFC 5322, 3.3)
        expires = expires.replace(tzinfo=UTC)
    return expires.timestamp()


def _encode_form(values: Mapping[str, Any]) -> str:
    """Return values as in a query string; a list repeats its key."""
    try:
        return urlencode(dict(values), doseq=True)
    except UnicodeEncodeError:
        raise
    except Exception as error:  # `__str__` of a value can raise anything
        raise BadRequestError(f"a value can't be sent, because str() fails for it ({type(error).__name__})") from error


def _encode_body(data: Mapping[str, Any] | str | bytes | None) -> tuple[bytes, str]:
    if data is None:
        return b"", ""
    if isinstance(data, Mapping):
        return _encode_form(data).encode(), _FORM
    if isinstance(data, str):
        return data.encode(), "text/plain; charset=utf-8"
    if isinstance(data, bytes):
        return data, "application/octet-stream"
    raise BadRequestError(f"data must be a dict (sent as a form), str or bytes, not {quoted(data)}")


def _checked_headers(headers: Mapping[str, str]) -> dict[str, str]:
    if not isinstance(headers, Mapping):
        raise BadRequestError(
            f'headers must be a dict such as {{"Accept": "text/html"}}, not {quoted(headers)}. To send a variable '
            f'named headers, pass query={{"headers": {quoted(headers)}}}'
        )
    for name, value in headers.items():
        strings = isinstance(name, str) and isinstance(value, str)
        if not strings or not _HEADER_NAME.fullmatch(name) or not _HEADER_VALUE.fullmatch(value):
            raise BadRequestError(
                f"a header is a name and one line of text in Latin characters (latin-1), not "
                f"{quoted(name)}: {quoted(value)}"
            )
    return dict(headers)
