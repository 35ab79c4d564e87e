"""The tokens of HTTP targets: handlers verify them with Google's own library, which gets the lab's certificates."""

import http.client
import json
import socket
import threading
import urllib.request
from hashlib import sha256

import google.auth.transport.requests
import google.auth.transport.urllib3
import pytest
import requests
import urllib3
from google.api_core import exceptions
from google.auth import jwt
from google.oauth2 import id_token

from harness import Lab
from harness.appengine.clock import START
from harness.appengine.google_certificates import LabCertificates
from harness.appengine.id_tokens import certificates
from harness.appengine.id_tokens import id_token as make_token

QUEUE = "projects/tutorial/locations/us-central1/queues/default"
WORKER = "https://worker.example.com"
EMAIL = "sender@tutorial.iam.gserviceaccount.com"
CERTIFICATES = "https://www.googleapis.com/oauth2/v1/certs"
NOW = START.timestamp()
VERIFIES = """
import google.auth.transport.requests
from google.oauth2 import id_token

def work():
    token = request.env.http_authorization.partition(' ')[2]
    try:
        claims = id_token.verify_oauth2_token(token, google.auth.transport.requests.Request(), request.vars.audience)
    except ValueError as error:
        raise HTTP(403, str(error))
    return claims['email']
"""


@pytest.fixture(autouse=True)
def offline(monkeypatch):
    """Let every look-up of a host fail, and return the hosts that were looked up."""
    hosts = []

    def refuse(host, *args, **options):
        hosts.append(host)
        raise socket.gaierror(f"no network: {host}")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    for name in ("https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    return hosts


@pytest.fixture
def lab():
    with Lab() as lab:
        lab.write("controllers/default.py", VERIFIES)
        yield lab


def create(lab, url=f"{WORKER}/work?a=1", **fields):
    task = {"http_request": {"url": url} | fields}
    return lab.cloud_tasks_client().create_task(parent=QUEUE, task=task)


def oidc(audience=""):
    return {"oidc_token": {"service_account_email": EMAIL, "audience": audience}}


def mount(lab, handle):
    """Mount a worker that calls a function with the token, and return a list, to which the results are added."""
    shown = []

    def worker(environ, start_response):
        shown.append(handle(environ["HTTP_AUTHORIZATION"].partition(" ")[2]))
        start_response("200 OK", [])
        return []

    lab.mount(WORKER, worker)
    return shown


@pytest.mark.row("T62")
def test_an_action_of_web2py_verifies_a_token_without_any_outside_call(lab, offline):
    create(lab, "https://tutorial.appspot.com/tutorial/default/work?audience=me", **oidc("me"))
    attempt = lab.step()
    assert (attempt.status, attempt.response.text) == (200, EMAIL)
    assert offline == []


@pytest.mark.row("T62")
def test_a_wrong_audience_is_refused(lab):
    create(lab, "https://tutorial.appspot.com/tutorial/default/work?audience=me", **oidc("you"))
    attempt = lab.step()
    assert attempt.status == 403
    assert "Token has wrong audience you, expected one of ['me']" in attempt.response.text


@pytest.mark.row("T62")
def test_a_forged_token_of_a_user_is_refused_without_an_outside_call(lab, offline):
    good = make_token(EMAIL, "me", NOW)
    url = "default/work?audience=me"
    assert lab.get(url, headers={"Authorization": f"Bearer {good}"}).text == EMAIL
    forged = good.replace(good[-20:], "A" * 20)
    response = lab.get(url, headers={"Authorization": f"Bearer {forged}"})
    assert (response.status, response.text) == (403, "Could not verify token signature.")
    assert offline == []


@pytest.mark.row("T62")
def test_the_claims_are_those_of_google_and_the_default_audience_is_the_url(lab):
    claims = mount(lab, lambda token: jwt.decode(token, certs=certificates()))
    create(lab, **oidc())
    lab.step()
    number = claims[0]["sub"]
    assert claims == [
        {
            "aud": f"{WORKER}/work?a=1",
            "azp": number,
            "email": EMAIL,
            "email_verified": True,
            "exp": NOW + 3600,
            "iat": NOW,
            "iss": "https://accounts.google.com",
            "sub": number,
        }
    ]
    assert len(number) == 21 and number.isdecimal()


@pytest.mark.row("T62")
def test_each_attempt_gets_a_new_token_which_expires_in_virtual_time(lab):
    tokens = mount(lab, lambda token: token)
    create(lab, **oidc())
    lab.step()
    lab.advance(3601)
    create(lab, **oidc())
    lab.step()
    old, new = tokens
    late = mount(lab, lambda token: pytest.raises(ValueError, jwt.decode, old, certificates()).match("Token expired"))
    assert jwt.decode(new, verify=False)["iat"] == NOW + 3601
    create(lab, **oidc())
    lab.step()
    assert late == [True]


def fetch_certificates(token):
    pool = urllib3.PoolManager()
    return [
        requests.get(CERTIFICATES).json(),
        requests.get(CERTIFICATES, params={"a": "1"}).json(),
        json.loads(pool.request("GET", CERTIFICATES).data),
        json.loads(urllib.request.urlopen(CERTIFICATES).read()),
        id_token.verify_oauth2_token(token, google.auth.transport.urllib3.Request(pool))["email"],
    ]


@pytest.mark.row("T62")
def test_every_library_gets_the_certificates_of_the_lab(lab, offline):
    shown = mount(lab, fetch_certificates)
    create(lab, **oidc())
    lab.step()
    assert shown == [[certificates()] * 4 + [EMAIL]]
    assert offline == []


def test_a_session_that_is_used_after_its_request_connects_again(lab, offline):
    transport = google.auth.transport.requests.Request()
    shown = mount(lab, lambda token: [id_token.verify_oauth2_token(token, transport)["email"] for _ in range(2)])
    for _ in range(2):
        create(lab, **oidc())
        lab.step()
        assert offline == []
        with pytest.raises(google.auth.exceptions.TransportError):
            id_token.verify_oauth2_token(make_token(EMAIL, "me", NOW), transport)
        assert offline.pop() == "www.googleapis.com"
        offline.clear()
    assert shown == [[EMAIL] * 2] * 2


@pytest.mark.row("T62")
def test_other_requests_of_a_handler_and_other_threads_are_not_affected(lab, offline):
    def fetch(url, body=None):
        with pytest.raises(OSError):
            urllib.request.urlopen(url, body)

    def handle(token):
        fetch("https://www.googleapis.com/drive/v3/files")
        fetch(CERTIFICATES, b"")
        fetch("https://example.com/oauth2/v1/certs")
        thread = threading.Thread(target=fetch, args=(CERTIFICATES,))
        thread.start()
        thread.join()

    mount(lab, handle)
    create(lab, **oidc())
    assert lab.step().status == 200
    assert offline == ["www.googleapis.com", "www.googleapis.com", "example.com", "www.googleapis.com"]


def test_behind_a_proxy_the_certificates_are_the_labs_too(offline):
    with LabCertificates():
        session = requests.Session()
        session.proxies = {"https": "http://proxy.example.com:3128"}
        assert session.get(CERTIFICATES).json() == certificates()
    assert offline == []


def test_a_scope_that_is_entered_twice_lasts_until_it_is_left_twice():
    before, scope = http.client.HTTPConnection.__init__, LabCertificates()
    with scope:
        with scope:
            pass
        assert requests.get(CERTIFICATES).ok
    assert http.client.HTTPConnection.__init__ is before


@pytest.mark.row("T62")
def test_requests_that_take_turns_can_verify_their_tokens(lab, offline):
    url = "https://tutorial.appspot.com/tutorial/default/work?audience=me"
    for _ in range(2):
        create(lab, url, **oidc("me"))
    overlap = lab.overlap(*lab.tasks())
    assert [overlap.first.status, overlap.second.status] == [200, 200]
    assert offline == []


@pytest.mark.row("T62")
def test_a_task_shows_the_token_that_it_requests_and_its_own_header_is_replaced(lab):
    tokens = mount(lab, lambda token: token)
    task = create(lab, headers={"authorization": "mine"}, **oidc("me"))
    assert task.http_request.oidc_token.service_account_email == EMAIL
    assert task.http_request.oidc_token.audience == "me"
    attempt = lab.step()
    assert [name for name, _ in attempt.request.headers if name.lower() == "authorization"] == ["Authorization"]
    assert "Authorization: Bearer …" in str(attempt)
    assert tokens[0] not in str(attempt) + str(attempt.request)


@pytest.mark.row("T63")
def test_an_access_token_is_opaque(lab):
    tokens = mount(lab, lambda token: token)
    for scope in ("", "https://www.googleapis.com/auth/cloud-platform", "other"):
        task = create(lab, oauth_token={"service_account_email": EMAIL, "scope": scope})
        assert task.http_request.oauth_token.scope == scope
        lab.step()
    first, same, other = tokens
    assert first.startswith("ya29.lab-")
    assert first == same != other


@pytest.mark.row("T62")
@pytest.mark.parametrize("kind", ["oidc_token", "oauth_token"])
@pytest.mark.parametrize("email", ["", "sender", "a@b c", "@c"])
def test_a_token_needs_the_address_of_a_service_account(lab, kind, email):
    with pytest.raises(
        exceptions.InvalidArgument, match=rf"HttpRequest.{kind}.service_account_email must be .*'{email}'"
    ):
        create(lab, **{kind: {"service_account_email": email}})
    assert len(lab.tasks()) == 0


@pytest.mark.row("T62")
def test_tokens_and_certificates_are_the_same_in_every_process():
    text = repr((certificates(), make_token(EMAIL, "me", NOW)))
    assert sha256(text.encode()).hexdigest()[:16] == "d9f50a1f1256d79b"
