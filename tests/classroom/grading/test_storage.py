"""An answer that fills the disk or a table gets no points."""

import pytest

from harness.classroom.grading.isolated_engine import Budget
from harness.classroom.grading.submission import Grade, check_in_isolation
from harness.errors import GradingError
from tests.classroom.grading.test_sandbox import ADD, answer

LOW = """
from harness.classroom.grading import __main__, isolated_engine as engine
engine.MOST_FILES = 90
__main__.main()
"""
ATTACH = """import sqlite3
data = sqlite3.connect(':memory:')
for number in range(100):
    data.execute(f'attach database "file{number}" as other')
    data.execute('pragma other.synchronous = off')
    data.execute('create table other.a (b)')
    data.execute('detach database other')
"""
FILLS = {
    "connected databases": (
        "import sqlite3\nfor number in range(70): sqlite3.connect(f'file{number}').close()\n" + ADD,
        "may not write more than 64 files and folders",
    ),
    "folders": (
        "import os\nfor number in range(70): os.mkdir(f'folder{number}')\n" + ADD,
        "may not write more than 64 files and folders",
    ),
    "attached databases": (ATTACH + ADD, "more than 90 files and folders"),
    "rows": (
        "for _ in range(11): db.executesql('insert into mytable(old, new) values (1, 2)' + ', (1, 2)' * 999)",
        "'mytable' has more than 10,000 rows",
    ),
}


@pytest.fixture(scope="module")
def grades() -> dict[str, Grade]:
    """The grades of every answer that fills something, and of a correct answer at the end."""
    bodies = {name: body for name, (body, _) in FILLS.items()} | {"right": ADD}
    return dict(zip(bodies, check_in_isolation([answer(body) for body in bodies.values()], ("-c", LOW)), strict=True))


@pytest.mark.parametrize("filled", FILLS)
def test_an_answer_that_stores_too_much_reads_what_its_limit_is(grades, filled):
    assert FILLS[filled][1] in " ".join(grades[filled].text.split())
    assert not grades[filled].is_correct


def test_a_correct_answer_that_follows_gets_its_points(grades):
    assert grades["right"].is_correct


def test_the_files_and_bytes_of_all_labs_of_one_answer_count_together(tmp_path):
    budget = Budget(1.0)
    for name in ("one", "two"):
        (tmp_path / name / "inner").mkdir(parents=True)
        budget.folders.append(tmp_path / name)
        for number in range(900):
            (tmp_path / name / "inner" / str(number)).touch()
    budget.require_room()
    for number in range(200):
        (tmp_path / "two" / str(number)).touch()
    with pytest.raises(GradingError, match="more than 2,000 files and folders"):
        budget.require_room()
    budget.folders = [tmp_path / "one"]
    budget.require_room()
    with (tmp_path / "one" / "large").open("wb") as large:
        large.truncate((64 << 20) + 1)
    with pytest.raises(GradingError, match="more than 64 MB"):
        budget.require_room()
