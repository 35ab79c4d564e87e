"""Why web2py answered 404."""

from collections.abc import Iterator

import pytest

from harness.appengine.web2py import Site, explain_404
from harness.records import Request

CONTROLLER = """
from math import pi
def task_do(): return 'x'
def index(): return dict()
def with_arguments(x, y=1): return 'x'
async def later(): return 'x'
def __hidden(): return 'x'
def annotated() -> str: return 'x'
def spaced (): return 'x'
class Mail:
    def send(): return 'x'
"""


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    site = Site(("tutorial", "stats"))
    site.write("controllers/default.py", CONTROLLER)
    site.write("views/default/index.html", "x")
    site.write("routes.py", "routes_in = [('/go/$anything', '/tutorial/default/$anything')]")
    yield site
    site.close()


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        (
            "/tutrial/default/f",
            "The lab has no application 'tutrial' (did you mean 'tutorial'?). Known names: tutorial, stats.",
        ),
        ("/stats/default/f", "The application 'stats' has no controller yet. Write controllers/default.py."),
        ("/tutorial/defalt/f", "has no controller 'defalt' (did you mean 'default'?). Known names: default."),
        ("/tutorial/default/tsk_do", "has no action 'tsk_do' (did you mean 'task_do'?). Known names: task_do, index."),
        ("/tutorial/default", None),
        ("/tutorial/default/with_arguments", "`def with_arguments(x, y=1)` takes arguments"),
        ("/tutorial/default/later", "`async def`"),
        ("/tutorial/default/__hidden", "two underscores"),
        ("/tutorial/default/annotated", "`def annotated() -> str` has an annotation"),
        ("/tutorial/default/spaced", "Write exactly `def spaced():`"),
        ("/tutorial/default/send", "'send' is indented"),
        ("/tutorial/default/pi", "has no action 'pi'"),
        ("/tutorial/def-ault/f", "cannot read '/tutorial/def-ault/f'"),
        ("/tutorial/static/x.css", "static file"),
        ("/go/tsk_do", "has no action 'tsk_do'"),
        ("/tutorial/default/index", None),
        ("/go/index?a=1", None),
    ],
)
def test_the_reason_for_a_404_is_explained(url: str, expected: str | None, site: Site) -> None:
    found = explain_404(site, Request("GET", url))
    assert (found is None) if expected is None else (found is not None and expected in found), found


def test_web2py_answers_404_to_what_is_not_an_action(site: Site) -> None:
    for name in ("with_arguments", "later", "__hidden", "annotated", "spaced", "send", "pi"):
        response = site.call(Request("GET", f"/tutorial/default/{name}"))
        assert (response.status, response.header("web2py_error")) == (404, f"invalid function (default/{name})")


def test_a_missing_view_is_explained_to_the_task_queue_only(site: Site) -> None:
    found = explain_404(site, Request("POST", "/tutorial/default/task_do", remote_addr="0.1.0.2"))
    assert found is not None
    assert "the view default/task_do.html does not" in found
    assert "committed" in found
    assert explain_404(site, Request("GET", "/tutorial/default/task_do")) is None
    assert explain_404(site, Request("GET", "/tutorial/default/task_do.xml")) is not None


def test_explaining_runs_nothing() -> None:
    site = Site(("stats",))
    site.write("controllers/effects.py", "def f(): db.mytable.insert(old='x')", app="stats")
    explain_404(site, Request("GET", "/stats/effects/f"))
    assert site.rows("mytable", app="stats") == []
    site.close()


@pytest.mark.parametrize(
    ("source", "explanation"),
    [
        (b"def index():\n    print 'old'\n", "controllers/old.py, line 2\n    print 'old'\n"),
        (b"\xef\xbb\xbfdef index():\n    return 'with a BOM'\n", "controllers/old.py, line 1\n"),
        (b"def index():\n    return 'Gr\xfc\xdfe'\n", "controllers/old.py can't be read as UTF-8: "),
        (b"def index():\n    return '\0'\n", "controllers/old.py"),
    ],
)
def test_a_controller_that_does_not_compile_is_the_reason(source: bytes, explanation: str, site: Site) -> None:
    file = site.root / "applications/tutorial/controllers/old.py"
    file.write_bytes(source)
    try:
        found = explain_404(site, Request("GET", "/tutorial/old/nowhere"))
    finally:
        file.unlink()
    assert found is not None and found.startswith(explanation), found
