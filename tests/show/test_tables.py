"""Tables: sequences that are displayed as tables."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from harness.records import Outcome, TaskInfo, TaskState
from harness.show import Table, attempts_table, progress_table, rows_table, tasks_table
from tests.support.sample_records import ATTEMPTS, TASK
from tests.support.shown import Shown, words

NOW = TASK.created
WAITING = replace(TASK, state=TaskState.WAITING, retries=0, eta=NOW + timedelta(seconds=10))


def rows(*values: Any) -> Table[dict[str, Any]]:
    return rows_table([{"id": number, "value": value} for number, value in enumerate(values, 1)], "mytable")


TABLES: dict[str, Table[Any]] = {
    "tasks": tasks_table([WAITING, TASK], NOW),
    "attempts": attempts_table(ATTEMPTS),
    "rows": rows("text", None, "5", 5, "", b"\xff", "日本語", "<b>&", "x" * 100_000, "a" * 60),
    "progress": progress_table([("01", "Your first background task", [True, False])], "Next: 1.2 Write the worker"),
    "long": rows(*range(100)),
    "empty": rows(),
}


@pytest.mark.parametrize("table", TABLES.values(), ids=TABLES)
def test_text_and_html_of_a_table_show_the_same_facts(table: Table[Any]) -> None:
    assert words(Shown(table._repr_html_()).text) == words(str(table)) != []


def test_a_table_is_a_sequence() -> None:
    table = rows("a", "b", "c")
    assert len(table) == 3
    assert table[-1] == {"id": 3, "value": "c"}
    assert [row["value"] for row in table] == ["a", "b", "c"]
    assert table[0] in table
    with pytest.raises(IndexError):
        table[3]


def test_a_slice_is_a_table() -> None:
    part = rows("a", "b", "c")[1:]
    assert isinstance(part, Table)
    assert part == [{"id": 2, "value": "b"}, {"id": 3, "value": "c"}]
    assert str(part).startswith("mytable: 2 rows\n")


def test_a_table_equals_a_list_of_the_same_items() -> None:
    table = rows("a")
    assert table == [{"id": 1, "value": "a"}]
    assert not [{"id": 1, "value": "b"}] == table  # noqa: SIM300, SIM201  # asks the list first
    assert table == rows("a")
    assert table != rows("b")
    assert table != []
    assert table != "a"


def test_a_table_cannot_be_changed() -> None:
    table: Any = rows("a")
    with pytest.raises(TypeError):
        table[0] = {}
    with pytest.raises(TypeError):
        hash(table)
    assert not hasattr(table, "append")


def test_rows_keep_their_columns_in_order() -> None:
    table = rows_table([{"id": 1, "old": "a"}, {"id": 2, "new": "b"}], "mytable")
    assert table.columns == ("id", "old", "new")
    assert str(table) == "mytable: 2 rows\nid  old  new\n--  ---  ---\n 1  a\n 2       b"


def test_an_empty_table_says_so() -> None:
    assert str(rows()) == "mytable is empty"
    assert str(tasks_table([], NOW)) == "no task waits"
    assert str(attempts_table([])) == "no attempt was made"


def test_text_that_looks_like_another_value_is_quoted() -> None:
    cells = [line.split(None, 1)[1] for line in str(rows("text", "5", 5, "None", None, "", " a")).split("\n")[3:]]
    assert cells == ["text", "'5'", "5", "'None'", "None", "''", "' a'"]


def test_columns_of_wide_characters_line_up() -> None:
    text = str(rows_table([{"a": "日本語", "b": 1}, {"a": "e\u0301👩‍👩‍👧", "b": 2}], "t"))
    assert text == "t: 2 rows\na       b\n------  -\n日本語  1\ne\u0301👩‍👩‍👧     2"


def test_tasks_are_shown_with_data_and_eta() -> None:
    table = tasks_table([WAITING], NOW)
    assert str(table).split("\n") == [
        "1 task waits",
        "task   queue    request                         data                                 ETA",
        "-----  -------  ------------------------------  -----------------------------------  --------------------",
        "task1  default  POST /tutorial/default/task_do  old='original text', new='new text'  09:00:10.2 (in 10 s)",
    ]


def test_columns_without_content_are_left_out() -> None:
    bare = replace(WAITING, body=b"")
    assert "data" not in str(tasks_table([bare], NOW))
    assert "retries" in str(tasks_table([replace(bare, retries=2)], NOW))


def test_a_caption_counts_the_states() -> None:
    tasks: list[TaskInfo] = [WAITING, WAITING, TASK]
    assert str(tasks_table(tasks, NOW)).startswith("3 tasks: 2 waiting, 1 done\n")
    assert str(tasks_table(tasks[:2], NOW)).startswith("2 tasks wait\n")


def test_attempts_are_shown_with_what_came_next() -> None:
    lines = str(attempts_table(ATTEMPTS)).split("\n")
    assert lines[0] == "2 attempts: 1 done, 1 failed and retried"
    assert lines[3].endswith("  ✗ 500    3 s  retry at 09:00:03.3, in 0.1 s")
    assert lines[4].endswith("  ✓ 200  0.5 s  done")


def test_a_dropped_attempt_says_why() -> None:
    dropped = replace(ATTEMPTS[0], outcome=Outcome.DROPPED, note="status 500; task_retry_limit 0 reached")
    assert str(attempts_table([dropped])).endswith("dropped: status 500; task_retry_limit 0 reached")


def test_an_attempt_on_another_day_has_its_date() -> None:
    later = replace(ATTEMPTS[1], started=ATTEMPTS[1].started + timedelta(days=1))
    text = str(attempts_table([ATTEMPTS[0], later]))
    assert "      1  09:00:00.2 " in text
    assert "      2  2012-09-04 09:00:03.3 " in text


def test_a_long_table_shows_its_ends_and_how_to_see_the_rest() -> None:
    text = str(rows(*range(100)))
    assert "… 70 more rows: a slice such as [20:50] shows them …" in text
    assert len(text.split("\n")) == 3 + 20 + 1 + 10


def test_a_value_cut_short_unfolds_and_is_explained() -> None:
    table = rows("a" * 60)
    assert "(… means that a value was shortened: index the row, as in [0], to see all of it)" in str(table)
    assert "a" * 60 in table._repr_html_()
    assert "a" * 60 not in str(table)
    assert "was shortened" not in str(rows("a"))


def test_html_is_a_real_table() -> None:
    html = TABLES["tasks"]._repr_html_()
    assert {"table", "caption", "thead", "tbody", "th", "td"} <= Shown(html).tags
    assert html.count('<th scope="col"') == 7
    assert html.count('<th scope="row"') == 2


def test_only_a_long_caption_is_broken_and_a_number_never_is() -> None:
    short, long = rows(5)._repr_html_(), rows("a" * 60)._repr_html_()
    assert re.findall(r"<caption [^>]*white-space:(\w+)", short + long) == ["nowrap", "normal"]
    assert '<td style="text-align:right;white-space:nowrap">5</td>' in short


def test_progress_counts_what_is_solved() -> None:
    assert str(TABLES["progress"]).startswith("1 of 2 exercises solved\n")
    assert TABLES["progress"][0]["progress"] == "■□"
    assert TABLES["progress"][0]["solved"] == "1 of 2"


def test_of_a_hundred_thousand_rows_few_are_shown() -> None:
    table = tasks_table([WAITING] * 100_000, NOW)
    assert len(str(table)) + len(table._repr_html_()) < 30_000
