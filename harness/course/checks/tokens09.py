"""The check of 9.2: a worker admits only requests with an ID token of one service account, for one audience."""

import json
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from harness.course.checks.expectations import FORM, NO_COOKIE, by_text, let_pass
from harness.course.scenarios.scenarios09 import Prints
from harness.course.trial import Rows, Trial
from harness.records import Attempt, Response
from harness.show.text import shorten

AUDIENCE = "https://print.example.com"
SENDER = "gazette@tutorial.iam.gserviceaccount.com"
PLACE = "projects/tutorial/locations/us-central1"
_HOST, _PATH = "https://tutorial.appspot.com/tutorial/", "ex9_2/print_issue"
_STRANGER = "printer@tutorial.iam.gserviceaccount.com"
_CLOUD = {
    "User-Agent": "Google-Cloud-Tasks",
    "X-CloudTasks-QueueName": "default",
    "X-CloudTasks-TaskName": "task1",
    "X-CloudTasks-TaskRetryCount": "0",
    "X-CloudTasks-TaskExecutionCount": "0",
}
_BROKEN = (
    "",
    "Bearer",
    "Bearer ",
    "Bearer x",
    "Bearer a.b.c",
    "Bearer é",
    "Basic Z2F6ZXR0ZTpzM2NyZXQ=",
    "Bearer x y z",
)


def admits(trial: Trial, row: Prints) -> None:
    """Check 9.2."""
    account = {"service_account_email": SENDER, "audience": AUDIENCE}
    for issue in row.issues:
        target = {"url": _HOST + _PATH, "headers": FORM, "body": _body(issue), "oidc_token": account}
        _add_task(trial, {"http_request": target})
    response = trial.get("ex9_2/price")
    trial.expect(response.ok, "at-definition", f"a reader's request for price got {response.status}", "the price")
    let_pass(trial, row.wait)
    for turns in row.shutdowns:
        trial.expect(trial.lab.tasks(), "one-attempt", "after a shutdown, no task waits", "another attempt")
        trial.lab.step(kill_after=turns)
    for _ in trial.lab.tasks():
        _expect_admitted(trial, row)
    _expect_work(trial, row)
    before = _printed(trial)
    if not row.what:
        _expect_no_stranger(trial, before)
    if row.forged:
        _expect_no_forgery(trial, before)
    if row.similar:
        _expect_no_similar(trial, before)
    for value in _BROKEN if row.broken else ():
        _expect_refused(trial, {"Authorization": value}, f"a request with Authorization: {value}", None, before)
    if row.alone:
        _expect_token_alone(trial)


def _body(issue: str) -> bytes:
    return urlencode({"issue": issue}).encode()


def _token(trial: Trial, account: str = SENDER, audience: str = AUDIENCE, age: float = 0.0, **claims: Any) -> str:
    """Return a token that is so many seconds old; see `id_token`."""
    from harness.appengine.id_tokens import id_token  # slow, because it imports cryptography

    return id_token(account, audience, trial.lab.now.timestamp() - age, **claims)


def _token_without(trial: Trial, claim: str) -> str:
    """Return a token that lacks a claim, and that Google has signed."""
    from google.auth import jwt  # slow, like the next module, because it imports cryptography

    from harness.appengine.id_tokens import sign

    claims = jwt.decode(_token(trial), verify=False)
    return sign({name: value for name, value in claims.items() if name != claim})


def _add_task(trial: Trial, task: Mapping[str, Any]) -> None:
    trial.lab.cloud_tasks_client().create_task(parent=f"{PLACE}/queues/default", task=task)


def _printed(trial: Trial) -> Rows:
    return trial.rows("printing", "issue")


def _expect_admitted(trial: Trial, row: Prints) -> None:
    """Run the next task, and require that it is admitted."""
    attempt = trial.step(may_fail=not row.what)
    if attempt.response.hint:
        trial.succeed(attempt, None)
    if not attempt.ok:
        mistake = row.refused if row.what else _why_refused(trial, attempt)
        trial.called = f"Cloud Tasks: POST /{_PATH}, with an ID token"
        trial.wrong(mistake, f"the task got {attempt.status}", "a status of 200 to 299")


def _why_refused(trial: Trial, attempt: Attempt) -> str:
    """Return the mistake because of which the first task wasn't admitted. Try which requests are admitted."""
    if _does_work(trial, {"Authorization": _token(trial)}):
        return "with-scheme"
    if _does_work(trial, {"Authorization": f"Bearer {_token(trial, audience=_HOST + _PATH)}"}):
        return "url-audience"
    if attempt.response.ticket is not None:
        trial.failed(attempt.response.ticket)
    if _does_work(trial, {}):
        return "inverted"
    done = _printed(trial)
    target = {"relative_uri": f"/tutorial/{_PATH}", "headers": FORM, "body": _body("Friday")}
    _add_task(trial, {"app_engine_http_request": target})
    for _ in trial.lab.tasks():
        trial.lab.step()
    return "app-engine-header" if _printed(trial) != done else "shut-out"


def _does_work(trial: Trial, headers: Mapping[str, str]) -> bool:
    """Return whether the worker prints an issue for a request with these headers."""
    before = _printed(trial)
    trial.lab.post(_PATH, data={"issue": "Friday"}, headers=headers)
    return _printed(trial) != before


def _expect_work(trial: Trial, row: Prints) -> None:
    """Require that the tasks, which all were admitted, have done their work once each.

    If an instance was shut down after the COMMIT, the next attempt does the work again.
    """
    found, expected = _printed(trial), [(issue,) for issue in row.issues]
    right = set(found) == set(expected) if row.shutdowns else by_text(found) == by_text(expected)
    is_missing = any(found.count(each) < expected.count(each) for each in expected)
    mistake = "twice" if not is_missing else row.refused if row.what else "no-work"
    happened = f"printing contains {shorten(str(found), 110) if found else 'no row'}"
    trial.expect(right, mistake, happened, shorten(str(expected), 110))


def _expect_no_stranger(trial: Trial, before: Rows) -> None:
    """Require that a request without a token is refused."""
    _expect_refused(trial, {}, "a stranger's POST request", "wide-open", before)
    _expect_refused(trial, {}, "a stranger's GET request", "wide-open", before, method="GET")
    sender = f"a stranger who sends the headers {', '.join(_CLOUD)}"
    _expect_refused(trial, _CLOUD, sender, "cloud-tasks", before)


def _expect_token_alone(trial: Trial) -> None:
    """Require that a request with a token but no header of Cloud Tasks is admitted until the token expires."""
    token = _token(trial)
    for scheme, mistake in (("Bearer", "only-cloud"), ("bearer", "scheme-case")):
        before = _printed(trial)
        response = trial.post(_PATH, {"issue": "Friday"}, {"Authorization": f"{scheme} {token}"})
        happened = f"a request with Authorization: {scheme}, a valid token and no X-CloudTasks- header"
        happened += f" got {response.status}, and the worker printed {len(_printed(trial)) - len(before)} issues"
        trial.expect(_printed(trial) == [*before, ("Friday",)], mistake, happened, "200, and one issue")
    before = _printed(trial)
    sender = "a request without a token, which has the cookies of an admitted one,"
    _expect_refused(trial, {}, sender, "wide-open", before, keeps_cookies=True)
    let_pass(trial, 3720)
    _expect_refused(
        trial, {"Authorization": f"Bearer {token}"}, "a second request with a token that has expired", "expired", before
    )


def _expect_no_forgery(trial: Trial, before: Rows) -> None:
    """Require that a token is refused if Google didn't sign it, or if it isn't for this worker."""
    head, payload, signature = _token(trial).split(".")
    other = _token(trial, _STRANGER).split(".")
    unsigned = _encode(json.dumps({"alg": "none", "typ": "JWT"}).encode())
    forgeries = (
        (f"{unsigned}.{payload}.", "an unsigned token (alg: none)", "unverified"),
        (f"{head}.{payload}.{_encode(bytes(range(256)))}", "a token that another key signed", "unverified"),
        (f"{other[0]}.{payload}.{other[2]}", "another account's token, with a changed payload", "unverified"),
        (_token(trial, audience="https://www.example.com"), "a token for another server", "any-audience"),
        (_token(trial, _STRANGER), f"a token of {_STRANGER}", "any-account"),
        (_token(trial, email_verified=False), "a token with email_verified: false", "unverified-email"),
        (_token(trial, email_verified=None), "a token with email_verified: null", "unverified-email"),
        (_token(trial, age=86_400), "a token of the previous day", "expired"),
        (_token(trial, age=3720), "a token that expired two minutes ago", "expired"),
        (_token_without(trial, "email_verified"), "a token without the claim email_verified", "unverified-email"),
        (_token_without(trial, "email"), "a token without the claim email", "any-account"),
        (f"{head}.{payload}.{signature[:-8]}", "a token whose signature was cut", "unverified"),
    )
    for token, what, mistake in forgeries:
        headers = {**_CLOUD, "Authorization": f"Bearer {token}"}
        _expect_refused(trial, headers, f"a request with {what}", mistake, before)


def _encode(data: bytes) -> str:
    return urlsafe_b64encode(data).decode().rstrip("=")


def _expect_no_similar(trial: Trial, before: Rows) -> None:
    """Require that tokens for similar accounts and audiences are refused."""
    accounts = (f"x{SENDER}", SENDER[1:], f"{SENDER}.example.com", SENDER.replace("tutorial", "tutorial-2"))
    audiences = (f"{AUDIENCE}.example.net", f"{AUDIENCE}/", AUDIENCE.replace("https", "http"), "print.example.com")
    for account in accounts:
        headers = {"Authorization": f"Bearer {_token(trial, account)}"}
        _expect_refused(trial, headers, f"a token of {account}", "similar", before)
    for audience in audiences:
        headers = {"Authorization": f"Bearer {_token(trial, audience=audience)}"}
        _expect_refused(trial, headers, f"a token for {audience}", "similar", before)


def _expect_refused(
    trial: Trial,
    headers: Mapping[str, str],
    sender: str,
    mistake: str | None,
    before: Rows,
    method: str = "POST",
    keeps_cookies: bool = False,
) -> None:
    """Require that a request was refused, and that no row is new."""
    headers = headers if keeps_cookies else {**NO_COOKIE, **headers}
    response: Response
    if method == "GET":
        response = trial.get(_PATH, headers, issue="forged")
    else:
        response = trial.post(_PATH, {"issue": "forged"}, headers)
    worked = _printed(trial) != before
    happened = f"{sender} got {response.status}, and the worker printed {'an issue' if worked else 'nothing'}"
    expected = "a status of 400 to 499, and no row"
    trial.expect(not worked, mistake if response.ok else "too-late", happened, expected)
    trial.expect(400 <= response.status < 500, "other-status", happened, expected)
