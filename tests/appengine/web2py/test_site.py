"""Several sites in one process, and several applications in one site."""

import gc
import sys
from collections.abc import Iterator

import pytest

from harness.appengine.web2py import Site
from harness.records import Request


@pytest.fixture
def sites() -> Iterator[tuple[Site, Site]]:
    pair = Site(), Site()
    yield pair
    for site in pair:
        site.close()


def get(site: Site, url: str) -> str:
    return site.call(Request("GET", url)).text


def test_applications_have_databases_of_their_own() -> None:
    site = Site(("tutorial", "stats"))
    assert site.apps == ("tutorial", "stats")
    for app in site.apps:
        site.write("controllers/default.py", f"def f(): return str(db.mytable.insert(old='{app}'))", app=app)
        assert get(site, f"/{app}/default/f") == "1"
    assert [site.rows("mytable", app)[0]["old"] for app in site.apps] == ["tutorial", "stats"]
    site.close()


def test_an_application_that_is_named_twice_is_made_once() -> None:
    site = Site(("tutorial", "stats", "tutorial"))
    site.write("controllers/default.py", "def f(): return request.application", app="stats")
    assert (site.apps, get(site, "/stats/default/f")) == (("tutorial", "stats"), "stats")
    site.close()


def test_interleaved_sites_keep_their_files_rows_and_tickets_apart(sites: tuple[Site, Site]) -> None:
    for number, site in enumerate(sites):
        site.write("controllers/default.py", f"def f():\n    db.mytable.insert(old='{number}')\n    return '{number}'\n"
                                             "def g(): return 1 / 0")  # fmt: skip
    for _ in range(3):
        assert [get(site, "/tutorial/default/f") for site in sites] == ["0", "1"]
        for site in sites:
            site.call(Request("GET", "/tutorial/default/g"))
    for number, site in enumerate(sites):
        assert {row["old"] for row in site.rows("mytable")} == {str(number)}
        ticket = site.call(Request("GET", "/tutorial/default/g")).ticket
        assert ticket is not None
        assert ticket.id.endswith(".4")


def test_modules_of_the_same_name_do_not_mix_and_keep_their_state(sites: tuple[Site, Site]) -> None:
    for number, site in enumerate(sites):
        site.write("modules/counter.py", f"start = {number * 100}\nseen = []")
        action = "def f():\n    seen.append(1)\n    return str(start + len(seen))"
        site.write("controllers/default.py", f"from counter import start, seen\n{action}")
    assert [[get(site, "/tutorial/default/f") for site in sites] for _ in range(2)] == [["1", "101"], ["2", "102"]]


def test_routes_of_one_site_do_not_reach_the_other(sites: tuple[Site, Site]) -> None:
    one, two = sites
    for site in sites:
        site.write("controllers/default.py", "def f(): return URL('f')")
    one.write(
        "routes.py", "routes_in = [('/go', '/tutorial/default/f')]\nroutes_out = [('/tutorial/default/f', '/go')]"
    )
    two.write("routes.py", "routers = dict(BASE=dict(default_application='tutorial'))")
    for _ in range(2):
        assert get(one, "/go") == "/go"
        assert get(two, "/default/f") == "/f"
        assert get(one, "/default/f") == "<html><body><h1>invalid request</h1></body></html>"


def test_caches_in_memory_do_not_mix(sites: tuple[Site, Site]) -> None:
    for number, site in enumerate(sites):
        site.write("controllers/default.py", f"def f(): return cache.ram('key', lambda: '{number}', 3600)")
    assert [get(site, "/tutorial/default/f") for site in [*sites, *sites]] == ["0", "1", "0", "1"]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of SafeConfigParser, which 2.26.1 uses
def test_the_configuration_of_an_application_is_the_sites_own(sites: tuple[Site, Site]) -> None:
    for name, site in zip(("one", "two"), sites, strict=True):
        private = site.root / "applications" / "tutorial" / "private"
        private.mkdir()
        (private / "appconfig.ini").write_text(f"[app]\nname = {name}\n")
        site.write("models/config.py", "from gluon.contrib.appconfig import AppConfig\nconfiguration = AppConfig()")
        site.write("controllers/default.py", "def f(): return configuration.take('app.name')")
    assert [get(site, "/tutorial/default/f") for site in [*sites, *sites]] == ["one", "two", "one", "two"]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of strings with invalid escapes in gluon/tools.py
def test_the_plugins_of_an_application_are_the_sites_own(sites: tuple[Site, Site]) -> None:
    actions = "def set(): PluginManager().x.n = 1\ndef f(): return str(len(PluginManager.instances))"
    for site in sites:
        site.write("models/plugins.py", "from gluon.tools import PluginManager")
        site.write("controllers/default.py", actions)
    one, two = sites
    get(one, "/tutorial/default/set")
    assert get(one, "/tutorial/default/f") == "1"
    assert get(two, "/tutorial/default/f") == "0"


def test_sessions_in_the_database_of_one_site_leave_the_others_sessions_alone(sites: tuple[Site, Site]) -> None:
    one, two = sites
    one.write("models/session.py", "session.connect(request, response, db=db)")
    for site in sites:
        site.write("controllers/default.py", "def f(): return '%(session_storage_type)s %(session_id)s' % response")
    for _ in range(2):
        assert get(one, "/tutorial/default/f") == "db None"
        assert get(two, "/tutorial/default/f").startswith("file 127.0.0.1-")


def test_a_site_goes_on_after_the_other_was_closed(sites: tuple[Site, Site]) -> None:
    one, two = sites
    for site in sites:
        site.write("controllers/default.py", "def f(): return 'x'")
        assert get(site, "/tutorial/default/f") == "x"
    two.close()
    assert get(one, "/tutorial/default/f") == "x"


def test_a_forgotten_site_removes_its_folder() -> None:
    site = Site()
    site.write("modules/x.py", "")
    site.write("controllers/default.py", "import x\ndef f(): return 1 / 0")
    get(site, "/tutorial/default/f")
    root = site.root
    assert any(name.startswith(str(root)) for name in sys.path_importer_cache)
    del site
    gc.collect()
    assert not root.exists()
    assert not any(name.startswith(str(root)) for name in sys.path_importer_cache)


def test_all_applications_of_a_name_list_can_be_given_as_any_iterable() -> None:
    site = Site(name for name in ("a1", "b_2"))
    assert site.apps == ("a1", "b_2")
    site.close()


def test_a_site_ends_even_if_another_one_ends_while_python_reads_its_caches(monkeypatch: pytest.MonkeyPatch) -> None:
    class Finder:
        """Fails once, as Python's own finder does if the garbage collector ends another site."""

        failed = False

        def find_spec(self, *place: object) -> None:
            """Find no module."""

        def invalidate_caches(self) -> None:
            if not self.failed:
                self.failed = True
                raise RuntimeError("dictionary changed size during iteration")

    site, finder = Site(), Finder()
    monkeypatch.setattr(sys, "meta_path", [*sys.meta_path, finder])
    site.close()
    assert finder.failed
    assert not site.root.exists()
