"""A message shortens each value that it quotes, wherever the value comes from."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.appengine.taskqueue import parse_queue_yaml
from harness.classroom.new_exercise import scaffold
from harness.course.workspace import select
from harness.errors import HarnessError
from harness.notebooks.cells import parse_magic
from harness.notebooks.files import read_to_run
from tests.support.fuzz import LONGEST

LONG = "x" * 100_000


def notebook(cell_type: str, folder: Path) -> Path:
    cell = {"cell_type": cell_type, "source": "1", "metadata": {}, "outputs": [], "execution_count": None}
    path = folder / "a.ipynb"
    path.write_text(json.dumps({"cells": [cell], "metadata": {}, "nbformat": 4, "nbformat_minor": 4}), encoding="utf-8")
    return path


MESSAGES: dict[str, Callable[[Path], object]] = {
    "an exercise": lambda folder: select(LONG),
    "a lesson": lambda folder: select("9" * 100_000),
    "a new exercise": lambda folder: scaffold(folder, LONG),
    "a magic without arguments": lambda folder: parse_magic("routes", LONG),
    "a magic with two names": lambda folder: parse_magic("controller", f"a {LONG}"),
    "a magic with .py": lambda folder: parse_magic("controller", f"{LONG}.py"),
    "an option of a magic": lambda folder: parse_magic("controller", f"a --{LONG}"),
    "the type of a cell": lambda folder: read_to_run(notebook(LONG, folder)),
    "an alias": lambda folder: parse_queue_yaml(f"queue: *{LONG}"),
    "a tag": lambda folder: parse_queue_yaml(f"queue:\n- name: !{LONG} a"),
    "a handle": lambda folder: parse_queue_yaml(f"queue:\n- name: !{LONG}!a a"),
    "a file that isn't text": lambda folder: parse_queue_yaml([LONG]),
}


@pytest.mark.parametrize("name", MESSAGES)
def test_a_long_value_is_shortened(name, tmp_path):
    with pytest.raises(HarnessError) as caught:
        MESSAGES[name](tmp_path)
    assert 20 < len(str(caught.value)) <= LONGEST


def no_response(environ, start_response):
    return []


def bad_status(environ, start_response):
    start_response(LONG, [])
    return []


def bad_chunk(environ, start_response):
    start_response("200 OK", [])
    return [[LONG]]


@pytest.mark.parametrize("app", [no_response, bad_status, bad_chunk])
def test_the_message_about_a_mounted_application_is_short(lab, app):
    lab.mount("/plain", app)
    ticket = lab.get(f"/plain/{LONG}").ticket
    assert 20 < len(ticket.message) <= LONGEST
