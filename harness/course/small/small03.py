"""The checks of lesson 03's small exercises. Their texts are in small03.toml."""

from dataclasses import dataclass

from harness.course.catalogue import Pattern, Scenario
from harness.course.checks.expectations import by_text
from harness.course.trial import Rows, Trial

# The controller archive, which the learner doesn't write.
_ARCHIVE = """
def log():
    db.mytable.insert(old='archive', new=request.vars['new'])
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Edits(Scenario):
    """Edits that users save before the first task runs: for each, the number of its article and its text."""

    edits: Rows


def _to_the_archive(trial: Trial, row: _Edits) -> None:
    trial.lab.write("controllers/archive.py", _ARCHIVE)
    for count, (_, text) in enumerate(row.edits, 1):
        trial.get("ex3_x/save", new=text)
        trial.expect_nothing_new([])
        tasks = trial.lab.tasks()
        trial.expect_tasks(tasks, count, "not-queued" if len(tasks) < count else "several-tasks")
        trial.expect_address(tasks[-1], "log")
        action = "/".join(tasks[-1].url.split("/")[:4]).partition("?")[0].partition(".")[0]
        mistake = "swapped" if action == "/tutorial/log/archive" else "other-action"
        happened = f"the task's URL is {tasks[-1].url}"
        trial.expect(action == "/tutorial/archive/log", mistake, happened, "/tutorial/archive/log")
    for _ in row.edits:
        trial.succeed(trial.step())
    right: Rows = [("archive", text) for _, text in row.edits]
    trial.expect_equal(by_text(trial.rows()), by_text(right), "wrong-text", "the action log wrote")


def _read_args(trial: Trial, row: _Edits) -> None:
    for number, text in row.edits:
        trial.get("ex3_y/save", number=number, new=text)
    for count, right in enumerate(row.edits, 1):
        trial.succeed(trial.step())
        rows = trial.rows()
        trial.expect(len(rows) >= count, "no-row", "the worker wrote no row", "the worker writes one row")
        number = rows[-1][0]
        mistake = "wrong-text" if number == right[0] else "from-vars" if number in (None, "None") else "wrong-number"
        trial.expect_equal(rows[count - 1 :], [right], mistake)


_ROWS = (
    _Edits(edits=[("7", "Ferry on time")]),
    _Edits(
        what="two editors save before the first task runs, and one of the texts has special characters",
        patterns=frozenset({Pattern.TWO_USERS, Pattern.STRINGS}),
        edits=[("17", "Fish & chips: 1/2 price"), ("8", "Fog")],
    ),
)
RUNS = {"3.x": (_to_the_archive, _ROWS), "3.y": (_read_args, _ROWS)}
