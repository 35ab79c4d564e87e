"""Converts the authorization of a task from and to Cloud Tasks' protocol buffers."""

import re
from dataclasses import dataclass
from typing import Any

from harness.appengine.id_tokens import access_token, id_token
from harness.appengine.taskqueue.model import Authorization
from harness.cloudtasks.names import refuse
from harness.errors import quoted

_EMAIL = re.compile(r"[^@\s]+@[^@\s]+")
_DEFAULT_SCOPE = "https://www.googleapis.com/auth/cloud-platform"


@dataclass(frozen=True)
class OidcAuthorization:
    """An ID token, which a handler can verify; by default its audience is the task's URL (Docs: OidcToken.audience)."""

    email: str
    audience: str

    def header(self, url: str, now: float) -> str:
        return f"Bearer {id_token(self.email, self.audience or url, now)}"


@dataclass(frozen=True)
class OAuthAuthorization:
    """An access token, which only Google's APIs could read (Docs: OAuthToken)."""

    email: str
    scope: str

    def header(self, url: str, now: float) -> str:
        return f"Bearer {access_token(self.email, self.scope or _DEFAULT_SCOPE, now)}"


def read_authorization(request: Any) -> Authorization | None:
    """Return the authorization that an HttpRequest contains, or None. It can't contain both kinds of token.

    Raises:
        CallError: INVALID_ARGUMENT if the service account isn't an email address.
    """
    kind = request.WhichOneof("authorization_header")
    if kind is None:
        return None
    token = getattr(request, kind)
    if not _EMAIL.fullmatch(token.service_account_email):
        field = f"HttpRequest.{kind}.service_account_email"
        refuse(f"{field} must be the email address of a service account, not {quoted(token.service_account_email)}.")
    if kind == "oidc_token":
        return OidcAuthorization(token.service_account_email, token.audience)
    return OAuthAuthorization(token.service_account_email, token.scope)


def fill_authorization(request: Any, authorization: Authorization | None) -> None:
    """Set the token of an HttpRequest from the authorization of its task."""
    if isinstance(authorization, OidcAuthorization):
        request.oidc_token.service_account_email = authorization.email
        request.oidc_token.audience = authorization.audience
    elif isinstance(authorization, OAuthAuthorization):
        request.oauth_token.service_account_email = authorization.email
        request.oauth_token.scope = authorization.scope
