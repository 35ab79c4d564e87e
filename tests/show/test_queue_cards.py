"""The cards of a queue's statistics, the note below a table, and the reason for a 404."""

import dataclasses
from datetime import UTC, datetime

import pytest

from harness.records import QueueStatistics, Response, Trace
from harness.show import attempts_table
from tests.support.sample_records import ATTEMPTS, TASK
from tests.support.shown import Shown, words

NOW = datetime(2012, 9, 3, 9, 0, tzinfo=UTC)
FIGURES = QueueStatistics("mail", 1234, NOW, 12, 1, 0.5)
WHY = "The controller 'default' has no action 'nope'. Known names: f."


def test_statistics_are_the_same_in_text_and_in_html():
    text = str(FIGURES)
    for says in ("statistics of the queue mail", "1,234 tasks", "2012-09-03 09:00:00", "12", "0.5/s"):
        assert says in text
    assert words(text) == words(Shown(FIGURES._repr_html_()).text)
    assert repr(FIGURES) == "<QueueStatistics mail: 1,234 tasks, 0.5/s>"


def test_an_empty_queue_has_no_oldest_eta():
    empty = dataclasses.replace(FIGURES, tasks=0, oldest_eta=None)
    assert "oldest ETA                   none" in str(empty)
    assert "no tasks" in str(empty)


NOTE = "Not run: queue 'a' <is> paused."


@pytest.mark.parametrize("attempts", [ATTEMPTS, ()])
def test_a_note_is_below_a_table_with_rows_and_without(attempts):
    table = attempts_table(attempts, NOTE)
    assert str(table).splitlines()[-1] == NOTE
    assert Shown(table._repr_html_()).text.rstrip().endswith(NOTE)
    assert words(str(table)) == words(Shown(table._repr_html_()).text)


def test_a_part_of_a_table_keeps_its_note():
    assert str(attempts_table(ATTEMPTS, NOTE)[:1]).splitlines()[-1] == NOTE


def test_without_a_note_nothing_is_added():
    assert str(attempts_table(())) == "no attempt was made"
    assert Shown(attempts_table(())._repr_html_()).text.strip() == "no attempt was made"


def test_a_note_cannot_break_the_notebook():
    table = attempts_table((), "<script>\x1b[31m")
    assert "<script>" not in table._repr_html_()
    assert "\x1b" not in str(table) + table._repr_html_()


def test_the_reason_of_a_404_is_shown_with_the_response_the_attempt_and_the_trace():
    response = Response(404, "NOT FOUND", hint=WHY)
    attempt = dataclasses.replace(ATTEMPTS[0], response=response)
    for shown in (response, attempt, Trace(TASK, (attempt,))):
        assert any(line.split()[:1] == ["why"] and WHY in line for line in str(shown).splitlines())
        assert WHY in Shown(shown._repr_html_()).text


def test_without_a_reason_there_is_no_line_for_it():
    assert "why" not in str(Response(404, "NOT FOUND")).split()
