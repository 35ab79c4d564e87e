"""Whatever is passed to a public function or method: a result, or an error of the harness with a short message.

The names are collected from `harness.__all__` and the classes, so that a new method is tried too.
"""

import contextlib
import inspect
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import harness
from harness import Lab
from harness.classroom import cli
from harness.errors import HarnessError, quoted
from harness.queue_console import QueueConsole
from harness.records import Request, Response
from harness.show import Table
from tests.support.fuzz import LONGEST, ODD, ODD_TREES, examples, promptly
from tests.support.labs import add, write

NOT_CALLED = {"Lab", "load_ipython_extension"}  # a class, whose arguments are tried too, and what IPython calls
DOCUMENTED = {("Response", "json")}  # raises ValueError if the body isn't JSON


class Unprintable:
    def __repr__(self) -> str:
        raise ValueError


STRANGE = st.sampled_from([Unprintable, lambda: type, lambda: print, lambda: iter("ab"), lambda: {1: 2}, object]).map(
    lambda make: make()
)
LIKELY = st.sampled_from(
    ["default", "tutorial", "default/f", "controllers/x.py", "routes.py", "queue.yaml", "mytable", "a task", "/plain"]
    + ["def f():\n    return ''", "queue:\n- name: mail", "1.1", "1.a", "1", "A", ("tutorial",), 1, True, "x" * 5000]
)


class Drawn:
    """A value that hypothesis can show."""

    def __init__(self, value: Any) -> None:
        self.value = value

    def __repr__(self) -> str:
        return quoted(self.value)


VALUES = (
    LIKELY | ODD_TREES | STRANGE | st.lists(STRANGE, max_size=2) | st.dictionaries(ODD.map(quoted), STRANGE, max_size=2)
)
DRAWN = VALUES.map(Drawn)
NAMES = st.lists(st.sampled_from(["a", "b", "\u00e9", "\ud800", ""]), max_size=2)


def public(kind: type) -> Iterator[str]:
    """Yield the names of the public methods and properties of a class."""
    for name, _ in inspect.getmembers(kind):
        if not name.startswith("_"):
            yield name


def arguments(draw: Any, function: Callable[..., Any]) -> tuple[list[Any], dict[str, Any]]:
    """Draw arguments that fit the signature of a function."""
    by_position: list[Any] = []
    by_name: dict[str, Any] = {}
    for parameter in inspect.signature(function).parameters.values():
        if parameter.kind is parameter.VAR_KEYWORD:
            by_name |= {name: draw(DRAWN).value for name in draw(NAMES)}
        elif parameter.kind is parameter.KEYWORD_ONLY:
            by_name |= {parameter.name: draw(DRAWN).value} if draw(st.booleans()) else {}
        elif parameter.default is parameter.empty or draw(st.booleans()):
            by_position.append(draw(DRAWN).value)
        else:
            by_position.append(parameter.default)
    return by_position, by_name


def call_with_anything(draw: Any, function: Callable[..., Any]) -> object:
    """Call a function with drawn arguments; return its result or its HarnessError, or fail with its bare exception."""
    by_position, by_name = arguments(draw, function)
    try:
        with promptly():
            result = function(*by_position, **by_name)
            str(result)
            return result
    except HarnessError as error:
        return error


def entered(open_database: Callable[..., Any]) -> Callable[..., None]:
    """Return a function that also enters the context manager, because `lab.db` checks its argument only then."""

    def enter(app: Any = None) -> None:
        with open_database(app):
            pass

    return enter


FORM = Response(200, body=b"<form><input name=a></form>", request=Request("GET", "/tutorial/default/f"))
CALLS = {"db": entered, "submit": lambda submit: partial(submit, FORM)}


@pytest.fixture(scope="module", autouse=True)
def loaded() -> None:
    """Load what the first figure and the first request load, because that takes a second."""
    with Lab() as lab:
        str(lab.get("default/f")), lab.timeline(), lab.queue("default").rate_plot(), str(harness.progress())


@pytest.fixture
def lab() -> Iterator[Lab]:
    with Lab("queue:\n- name: default\n- name: later\n  mode: pull\n") as lab:
        yield lab


def make_whole(lab: Lab) -> None:
    """Undo what an earlier example did, as far as it would make later ones slow or pointless."""
    lab.write("queue.yaml", "queue:\n- name: default\n- name: later\n  mode: pull\n")
    lab._engine.server._mounts.pop("/plain", None)
    lab.queue("default").resume()
    lab.queue("default").purge()
    write(lab, {"f": "return ''"})


@pytest.mark.parametrize("name", sorted(set(public(Lab)) - {"close"}))
@examples(5, 10)
@given(data=st.data())
def test_any_arguments_of_a_method_of_a_lab(lab, name, data):
    make_whole(lab)
    add(lab, "/tutorial/default/f")
    member = getattr(lab, name)
    if callable(member) and not isinstance(member, Table):
        call_with_anything(data.draw, CALLS.get(name, lambda member: member)(member))
    assert lab.get("default/f").status in (200, 404, 500)


@examples(5, 10)
@given(data=st.data())
def test_any_arguments_of_a_new_lab(data):
    made = call_with_anything(data.draw, Lab)
    if isinstance(made, Lab):
        made.close()


@pytest.mark.parametrize("name", sorted(public(QueueConsole)))
@examples(5, 10)
@given(data=st.data())
def test_any_arguments_of_a_method_of_a_queue_console(lab, name, data):
    make_whole(lab)
    add(lab, "/tutorial/default/f")
    for queue in ("default", "later"):
        member = getattr(lab.queue(queue), name)
        if callable(member):
            call_with_anything(data.draw, member)


@examples(10, 10)
@given(data=st.data())
def test_any_arguments_of_the_methods_of_records_and_tables(lab, data):
    make_whole(lab)
    add(lab, "/tutorial/default/f")
    visit, attempts = lab.get("default/f"), lab.run()
    shown = [attempts, lab.attempts, lab.tasks(), lab.table("mytable"), attempts[0], attempts[0].task]
    shown += [visit, visit.request, visit.route, lab.trace(attempts[0].task.name), lab.queue("default").statistics()]
    for value in shown:
        for name in public(type(value)):
            if (type(value).__name__, name) in DOCUMENTED:
                continue
            member = getattr(value, name)
            if inspect.ismethod(member) and member.__func__.__module__.startswith("harness"):
                call_with_anything(data.draw, member)


@pytest.mark.parametrize("name", sorted(set(harness.__all__) - NOT_CALLED))
@examples(10, 10)
@given(data=st.data())
def test_any_arguments_of_a_function_of_the_course(lab, name, data):
    call_with_anything(data.draw, getattr(harness, name))


WORDS = st.sampled_from(
    ["1.1", "1", "01", "all", "--give-up", "--yes", "--course", "--", "-h", "", "..", "x" * 5000, "9.9"]
)


@examples(15, 10)
@given(
    command=st.sampled_from(["hint", "solution", "check", "dance", "", "y" * 5000]) | st.text(),
    words=st.lists(WORDS | st.text(), min_size=1, max_size=3),
)
def test_any_words_on_the_command_line(command, words, tmp_path_factory, capfd):
    capfd.readouterr()
    folder = tmp_path_factory.mktemp("desk", numbered=True)
    with contextlib.chdir(folder), promptly():
        assert cli.main([command, *words]) in (0, 1, 2)
    assert len(capfd.readouterr().err) <= LONGEST
