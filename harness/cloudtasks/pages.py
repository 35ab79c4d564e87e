"""The pages of a list, and their tokens."""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from bisect import bisect_right
from typing import Any

from harness.cloudtasks.names import refuse
from harness.errors import quoted

_SECONDS = 2 * 3600.0  # for which a token is valid (Docs: ListTasksRequest.page_token)


def cut_page(names: list[str], request: Any, most: int, now: float) -> tuple[list[str], str]:
    """Return the names on the requested page and the token of the next page, which is "" for the last page.

    A token identifies the list and contains the last name of the page. So no name is left out if others are added or
    deleted.

    Args:
        names: all names, in alphabetical order.
        request: a ListQueuesRequest or a ListTasksRequest.
        most: the largest page.
        now: virtual seconds since 1970.

    Raises:
        CallError: INVALID_ARGUMENT for a negative size, for the token of another list, and for one that has expired.
    """
    if request.page_size < 0:
        refuse(f"{request.DESCRIPTOR.name}.page_size cannot be negative.")
    begin = bisect_right(names, _read_token(request.page_token, _scope(request), now)) if request.page_token else 0
    end = begin + min(request.page_size or most, most)
    return names[begin:end], make_token(request, names[end - 1], now) if len(names) > end else ""


def make_token(request: Any, last: str, now: float) -> str:
    """Return the token of the page that begins after a name; arguments as for `cut_page`."""
    return urlsafe_b64encode(f"{_scope(request)} {now + _SECONDS!r} {last}".encode()).decode()


def _scope(request: Any) -> str:
    return f"{request.DESCRIPTOR.name} {request.parent}"


def _read_token(token: str, scope: str, now: float) -> str:
    """Return the last name of the previous page."""
    field = f"{scope.partition(' ')[0]}.page_token"
    try:
        found, until, last = urlsafe_b64decode(token.encode()).decode().rsplit(" ", 2)
        expires = float(until)
    except ValueError:
        found, expires, last = "", 0.0, ""
    if found != scope:
        refuse(f"{field} {quoted(token)} is not a token of this list; use the next_page_token of its previous page.")
    if now > expires:
        refuse(f"{field} has expired, because a token is valid for 2 hours. Request the first page again.")
    return last
