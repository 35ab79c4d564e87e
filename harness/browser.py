"""A user's browser: turns paths and values into requests to web2py, and keeps cookies."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

from harness.errors import BadRequestError
from harness.records import Headers, Request, Response

_FORM = "application/x-www-form-urlencoded"
_SAFE = "/%:@!$&'()*+,;=~-._"  # what may stand in a path unquoted (RFC 3986); % for what is quoted already


class Browser:
    """One user: builds requests and remembers the cookies of the responses.

    Args:
        app: the application that a relative path belongs to.
    """

    def __init__(self, app: str) -> None:
        self._app = app
        self._cookies: SimpleCookie = SimpleCookie()

    def request(
        self,
        method: str,
        path: str,
        query: Mapping[str, Any] | None = None,
        data: Mapping[str, Any] | str | bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Request:
        """Build one request.

        Args:
            method: the HTTP method, in capitals.
            path: "controller/function" of the browser's application, or "/application/controller/function".
            query: values for the query string; a list repeats its key.
            data: a mapping is sent as a form, str as UTF-8 text, bytes as they are.
            headers: further headers.

        Raises:
            BadRequestError: an absolute URL, or values that cannot be sent.
        """
        body, content_type = _encode_body(data)
        own = dict(headers or {})
        if content_type and not any(key.lower() == "content-type" for key in own):
            own["Content-Type"] = content_type
        if self._cookies:
            own.setdefault("Cookie", "; ".join(f"{name}={item.coded_value}" for name, item in self._cookies.items()))
        return Request(method, self._url(path, query or {}), _checked(own), body)

    def remember(self, response: Response) -> None:
        """Keep the cookies that a response sets."""
        for name, value in response.headers:
            if name.lower() == "set-cookie":
                try:
                    self._cookies.load(value)
                except CookieError as error:
                    raise BadRequestError(f"the response sets a cookie that no browser accepts: {value!r}") from error

    def _url(self, path: str, query: Mapping[str, Any]) -> str:
        if not isinstance(path, str):
            raise BadRequestError(f'a path such as "default/index" is needed, not {path!r}')
        parts = urlsplit(path)
        if parts.scheme or parts.netloc:
            raise BadRequestError(
                f'{path!r} is an absolute URL; the lab has one web server only, so give the path: "default/index", '
                f'or "/{self._app}/default/index"'
            )
        if parts.fragment:
            raise BadRequestError(f"{path!r} has a fragment (#{parts.fragment}); a browser never sends that part")
        route = parts.path if parts.path.startswith("/") else f"/{self._app}/{parts.path}"
        text = "&".join(part for part in (parts.query, _encode(query)) if part)
        return quote(route, safe=_SAFE) + (f"?{text}" if text else "")


def _encode(values: Mapping[str, Any]) -> str:
    try:
        return urlencode(dict(values), doseq=True)
    except UnicodeEncodeError as error:
        raise BadRequestError(f"{error.object!r} cannot be sent: it holds half of a character (a surrogate)") from None


def _encode_body(data: Mapping[str, Any] | str | bytes | None) -> tuple[bytes, str]:
    if data is None:
        return b"", ""
    if isinstance(data, Mapping):
        return _encode(data).encode(), _FORM
    if isinstance(data, str):
        return data.encode("utf-8"), "text/plain; charset=utf-8"
    if isinstance(data, bytes):
        return data, "application/octet-stream"
    raise BadRequestError(f"data must be a dict (sent as a form), str or bytes, not {data!r}")


def _checked(headers: Mapping[str, str]) -> Headers:
    pairs: Iterable[tuple[Any, Any]] = headers.items()
    for name, value in pairs:
        if not isinstance(name, str) or not isinstance(value, str) or "\n" in name + value or "\r" in name + value:
            raise BadRequestError(f"a header needs a name and a text of one line, not {name!r}: {value!r}")
    return tuple(headers.items())
