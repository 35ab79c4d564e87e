"""How requests that took turns, second deliveries and killed instances are shown."""

from dataclasses import replace

from harness.records import Attempt, Outcome, Overlap, Request, Response, Turn
from harness.show import attempts_table
from harness.show.plots import timeline
from tests.support.sample_records import ATTEMPTS, RESPONSES, TASK

LOCKED, REFUSED = "waited for a lock", "IntegrityError: UNIQUE constraint failed: t.id"
FIRST = replace(
    ATTEMPTS[1],
    number=1,
    response=replace(
        ATTEMPTS[1].response, turns=(Turn(1, 1, "SELECT 1"), Turn(3, 1, "UPDATE t", LOCKED), Turn(5, 1, "COMMIT"))
    ),
    note="status 200",
)
SECOND = replace(
    FIRST,
    number=2,
    duplicate=True,
    response=Response(0, turns=(Turn(2, 2, "SELECT 1"), Turn(4, 2, "INSERT", REFUSED)), killed=True),
    outcome=Outcome.RETRY,
    note="the instance was shut down",
)
VISIT = replace(
    RESPONSES[0],
    request=Request("GET", "/tutorial/default/index"),
    turns=(Turn(2, 2, "INSERT INTO t"), Turn(6, 2, "COMMIT")),
)


def lines(record: object) -> list[str]:
    return [line.rstrip() for line in str(record).splitlines()]


def test_an_overlap_is_a_table_with_a_column_for_each_request_and_one_for_results():
    assert lines(Overlap(FIRST, SECOND)) == [
        "task1 and task1 (second delivery) take turns",
        "turn  1: task1  2: task1 (second delivery)  result",
        "----  --------  --------------------------  ----------------------------------------------",
        "   1  SELECT 1",
        "   2            SELECT 1",
        "   3  UPDATE t                              waited for a lock",
        "   4            INSERT                      IntegrityError: UNIQUE constraint failed: t.id",
        "   5  COMMIT",
        "1: done (status 200); 2: retry (the instance was shut down)",
    ]


def test_a_users_request_goes_by_its_url():
    shown = lines(Overlap(FIRST, VISIT))
    assert shown[0] == "task1 and GET /tutorial/default/index take turns"
    assert shown[-1] == "1: done (status 200); 2: 200 OK"


def test_a_request_alone_has_one_column():
    alone = replace(VISIT, turns=(Turn(1, 1, "COMMIT"),))
    assert lines(Overlap(alone))[:2] == ["GET /tutorial/default/index", "turn  1: GET /tutorial/default/index"]
    killed = Overlap(replace(VISIT, status=0, killed=True))
    assert lines(killed)[-1] == "1: no response, because its instance was shut down"


def test_a_statement_cut_short_is_explained_with_the_attribute_that_has_the_whole_of_it():
    long = Overlap(replace(VISIT, turns=(Turn(1, 1, "INSERT " + "x" * 60), Turn(2, 1, "COMMIT"))))
    assert lines(long)[0].endswith("shortened: .turns[0] contains the whole statement of turn 1)")
    assert long.turns[0].statement == "INSERT " + "x" * 60


def test_an_overlap_in_a_notebook_is_an_html_table():
    html = Overlap(FIRST, SECOND)._repr_html_()
    assert html.count("<tr>") == 6
    assert "2: task1 (second delivery)" in html
    assert repr(Overlap(FIRST, SECOND)) == "<Overlap task1 | task1 (second delivery)>"


def test_an_attempt_shows_its_statements_with_their_turns_instead_of_the_sql():
    shown = str(FIRST)
    assert "1  SELECT 1\n" in shown
    assert "3  UPDATE t (waited for a lock)\n" in shown
    assert "SQL" not in shown


def test_a_killed_attempt_says_so_in_its_title_and_its_facts():
    shown = lines(SECOND)
    assert shown[0] == "✗ attempt 2: task1 stopped, because its instance was shut down"
    assert "stopped           because its instance was shut down" in str(SECOND)
    assert "a second time, while the first delivery ran" in str(SECOND)


def test_the_table_of_attempts_shows_turns_and_remarks_only_if_there_are_any():
    table = str(attempts_table([FIRST, SECOND]))
    assert "1, 3, 5" in table
    assert "delivered twice, instance shut down" in table
    assert "turns" not in str(attempts_table(ATTEMPTS))


def draw(*attempts: Attempt) -> str:
    return timeline(RESPONSES, [TASK], attempts, TASK.eta).alt


def test_the_timeline_shows_the_second_delivery_beside_the_first():
    alt = draw(FIRST, SECOND)
    assert "task1 runs at 3.3 s (attempt done)." in alt
    assert "task1 runs at 3.3 s, at the same time as its first delivery (attempt ended by a shutdown)." in alt


def test_the_timeline_of_a_later_duplicate_is_as_before():
    later = replace(FIRST, number=2, duplicate=True, response=replace(FIRST.response, turns=()))
    assert "at the same time" not in draw(FIRST, later)
