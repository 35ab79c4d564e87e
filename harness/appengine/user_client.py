"""A user's browser: turns paths and values into requests, and keeps cookies."""

import re
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, timedelta
from email.utils import parsedate_to_datetime
from http.cookies import BaseCookie, CookieError, Morsel
from typing import Any
from urllib.parse import SplitResult, quote, urlencode, urlsplit

from harness.errors import BadRequestError, quoted
from harness.records import Request, Response

_FORM = "application/x-www-form-urlencoded"
_IN_PATH = "/%:@!$&'()*+,;=~-._"  # characters that stay unquoted in a path (RFC 3986), and % of quoted characters
_IN_QUERY = _IN_PATH + "?"
_LONGEST_COOKIE = 4096  # characters, and the number of cookies: what RFC 6265, 6.1, asks of every browser
_MOST_COOKIES = 50
_HEADER_NAME = re.compile("[-_]*[A-Za-z0-9][-_A-Za-z0-9]*")
_HEADER_VALUE = re.compile(r"[^\0\r\n\u0100-\U0010ffff]*")  # latin-1 without line ends


class UserClient:
    """One user of an application: builds requests, and keeps the cookies of the responses."""

    def __init__(self, app: str) -> None:
        self._app = app
        self._cookies: dict[str, Morsel[str]] = {}

    def request(
        self,
        method: str,
        path: str,
        query: Mapping[str, Any] | None = None,
        data: Mapping[str, Any] | str | bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Request:
        """Return a new request.

        Args:
            method: the HTTP method, in capitals.
            path: "controller/function" of the client's application, or "/application/controller/function".
            query: values for the query string; a list repeats its key.
            data: the body. A mapping is sent as a form, str as UTF-8 text, and bytes unchanged.
            headers: further headers; an empty Cookie header sends no cookies, as a new user's browser does.

        Raises:
            BadRequestError: the path is an absolute URL, or a value cannot be sent.
        """
        own = _checked_headers(headers or {})
        try:
            url = self._url(path, query or {})
            body, content_type = _encode_body(data)
        except UnicodeEncodeError as error:
            what = f"{error.object[error.start]!r} cannot be sent, because it is only half of a character (a surrogate)"
            raise BadRequestError(what) from None
        if content_type and not any(name.lower() == "content-type" for name in own):
            own["Content-Type"] = content_type
        if self._cookies:
            own.setdefault("Cookie", "; ".join(f"{name}={item.coded_value}" for name, item in self._cookies.items()))
        if not own.get("Cookie", "kept"):
            del own["Cookie"]
        return Request(method, url, tuple(own.items()), body)

    def remember(self, response: Response) -> None:
        """Keep the cookies that a response sets, as browsers do.

        A cookie that has expired (Max-Age=0, or Expires in the past) is deleted. A malformed cookie is ignored, and so
        are a cookie of more than 4,096 characters with its attributes and all cookies of a response after the 50th.
        """
        values = [value for name, value in response.headers if name.lower() == "set-cookie"]
        for value in values[:_MOST_COOKIES]:
            if len(value) <= _LONGEST_COOKIE:  # parsing takes the square of the length in Python 3.11
                with suppress(CookieError):
                    self._keep(BaseCookie(value), response)  # unlike SimpleCookie, it doesn't unquote the value

    def _keep(self, cookies: BaseCookie[str], response: Response) -> None:
        for name, cookie in cookies.items():
            if _has_expired(cookie, response):
                self._cookies.pop(name, None)
            else:
                self._cookies[name] = cookie

    def _url(self, path: str, query: Mapping[str, Any]) -> str:
        parts = self._split(path)
        route = parts.path if parts.path.startswith("/") else f"/{self._app}/{parts.path}"
        in_path = quote(parts.query, safe=_IN_QUERY)
        text = "&".join(part for part in (in_path, urlencode(dict(query), doseq=True)) if part)
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
        if parts.scheme or parts.netloc:
            raise BadRequestError(
                f"{quoted(path)} is an absolute URL, but the lab has only one web server; "
                f'give the path: "default/index", or "/{self._app}/default/index"'
            )
        if parts.fragment:
            raise BadRequestError(f"{quoted(path)} has a fragment (#{parts.fragment}), which a browser never sends")
        return parts


def _has_expired(cookie: Morsel[str], response: Response) -> bool:
    with suppress(ValueError):  # an invalid Max-Age is ignored (RFC 6265)
        return int(cookie["max-age"]) <= 0  # a valid one takes precedence over Expires
    if response.started is None:
        return False
    try:
        expires = parsedate_to_datetime(cookie["expires"])
    except (TypeError, ValueError, OverflowError):  # Expires is missing or is not a date
        return False
    if expires.tzinfo is None:  # "-0000" means UTC without a time zone of the sender (RFC 5322, 3.3)
        expires = expires.replace(tzinfo=UTC)
    return expires <= response.started + timedelta(seconds=response.elapsed)


def _encode_body(data: Mapping[str, Any] | str | bytes | None) -> tuple[bytes, str]:
    if data is None:
        return b"", ""
    if isinstance(data, Mapping):
        return urlencode(dict(data), doseq=True).encode(), _FORM
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
