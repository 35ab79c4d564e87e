"""The requests of one user of a lab, with pages, forms and cookies, and the mails that the applications send."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from harness.errors import BadRequestError, quoted
from harness.records import Response
from harness.show import Table, mails_table

if TYPE_CHECKING:
    from harness.appengine.app_engine import AppEngine


class Visitor:
    """Sends requests as a user does, with the cookies of the previous responses, and reads mails."""

    @property
    def _engine(self) -> AppEngine:
        raise NotImplementedError

    @property
    def responses(self) -> tuple[Response, ...]:
        """The responses to all users' requests until now."""
        return tuple(self._engine.responses)

    def get(
        self,
        path: str,
        /,
        headers: Mapping[str, str] | None = None,
        *,
        query: Mapping[str, Any] | None = None,
        **variables: Any,
    ) -> Response:
        """Send a GET request as a user and return the response. The clock advances by the time that the request takes.

        Args:
            path: "controller/function" or "/application/controller/function", with optional args and query string. A
                redirect's Location, or a link with the lab's own host, can be passed unchanged.
            headers: additional request headers.
            query: variables of the query string, with any names: query={"headers": "all"}.
            **variables: more variables of the query string; a list repeats the variable.

        Raises:
            BadRequestError: a browser could not send this request.
        """
        return self._visit("GET", path, headers, query, variables)

    def post(
        self,
        path: str,
        /,
        data: Mapping[str, Any] | str | bytes | None = None,
        headers: Mapping[str, str] | None = None,
        *,
        query: Mapping[str, Any] | None = None,
        **variables: Any,
    ) -> Response:
        """Send a POST request as a user and return the response. All other arguments are those of `get`.

        Args:
            data: the body; a dict is sent as a form (`request.post_vars`), a str as UTF-8, and bytes unchanged.

        Raises:
            BadRequestError: a browser could not send this request.
        """
        return self._visit("POST", path, headers, query, variables, data)

    def submit(
        self,
        page: Response,
        /,
        fields: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        **more: Any,
    ) -> Response:
        """Send a form of a page as a user, and return the response. Redirects aren't followed.

        Fields that aren't given keep the values that the page contains, such as `_formkey` and `_formname`. If no
        button is given, the form's first button counts as pressed.

        Args:
            page: a response that contains the form. If it has several, the first one that has all these fields is sent.
                If you pass values of hidden fields or buttons, a form that contains these values is sent instead.
            fields: values by the names of the form's fields, with any names: {"shop.name": "Tea"}.
            headers: additional request headers. The headers of the page's request are sent, too, but not those that
                describe its body or the cached page. If you passed a Cookie header with the
                page's request, the form is sent with these cookies.
            **more: more values by name. A checkbox takes True or False. Several checkboxes of one name, several other
                fields of one name, a select with the attribute `multiple`, and web2py's widget for a list take a list.
                A file takes a Path or (file name, bytes). A button takes its value. Line ends are sent as CR LF, as
                browsers send them.

        Raises:
            BadRequestError: the page has no such form, or a browser could not send a value with it.
        """
        from harness.appengine.forms import fill_in

        if not isinstance(fields, Mapping | None):
            raise BadRequestError(
                f'fields must be a dict such as {{"shop.name": "Tea"}}, not {quoted(fields)}. To fill in a field named '
                f'fields, pass fields={{"fields": {quoted(fields)}}}'
            )
        if not isinstance(headers, Mapping | None):
            raise BadRequestError(
                f'headers must be a dict such as {{"Accept": "text/html"}}, not {quoted(headers)}. To fill in a field '
                f'named headers, pass fields={{"headers": {quoted(headers)}}}'
            )
        sent = fill_in(page, {**(fields or {}), **more})
        defaults = {**sent.headers, **self._engine.user_client.given_cookies(page)}
        return self._visit(sent.method, sent.path, headers, None, {}, sent.body, defaults)

    @property
    def mails(self) -> Table[dict[str, Any]]:
        """The mails that the applications have sent. The keys are at, sender, recipients, subject and text.

        A lab connects to no mail server. It keeps the mails that are sent with `smtplib`, which web2py's `Mail` uses,
        or with `google.appengine.api.mail`. It also keeps the mails that `Mail` only logs, because its server is
        "logging".
        """
        return mails_table(self._engine.site.mails())

    def _visit(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str] | None,
        query: Mapping[str, Any] | None,
        variables: dict[str, Any],
        data: Mapping[str, Any] | str | bytes | None = None,
        defaults: Mapping[str, str] | None = None,
    ) -> Response:
        if not isinstance(query, Mapping | None):
            raise BadRequestError(
                f'query must be a dict such as {{"page": 2}}, not {quoted(query)}. To send a variable named '
                f'query, pass query={{"query": {quoted(query)}}}'
            )
        engine = self._engine
        request = engine.user_client.request(method, path, {**(query or {}), **variables}, data, headers, defaults)
        return engine.visit(request)
