"""The check of exercise 2.4, Too large. Its texts are in lesson02.toml, and its scenarios in scenarios02.py."""

import re
from collections.abc import Mapping, Sequence

from harness.course.checks.expectations import carried, instance
from harness.course.scenarios.delivery02 import expect_success, pass_a_second, was_shut_down
from harness.course.scenarios.scenarios02 import Stories
from harness.course.trial import Trial
from harness.records import Attempt, TaskInfo
from harness.show.text import shorten

_SMALL = 1000  # bytes of a task's body
_OTHER = 99  # words of a story that isn't part of the scenario
_SHOWN = 60  # columns of a story in a message
_UNUSED = 3  # ids
_Rows = Mapping[int, tuple[str, int | None]]  # the body and the words of each story, by id


class _Stories:
    """The rows of the table `story`, as they were when `read` was called last."""

    def __init__(self, trial: Trial) -> None:
        self._trial = trial
        self.rows: _Rows = {}

    def read(self) -> _Rows:
        """Return the rows as they are now."""
        self.rows = {row["id"]: (row["body"], row["words"]) for row in self._trial.lab.table("story")}
        return self.rows


def too_large(trial: Trial, row: Stories) -> None:
    stories = _Stories(trial)
    ids, numbers = list[int](), dict[str, int]()
    for body in row.bodies:
        task = _save_story(trial, row, stories, body, bool(ids))
        ids.append(max(stories.rows))
        numbers[task.name] = ids[-1]
        if row.others and len(ids) == 1:
            _insert_stories(trial, row.others)
            stories.read()
    for place, body in row.corrected.items():
        _edit(trial, stories, "correct", ids[place], body)
    for place in sorted(row.deleted):
        _edit(trial, stories, "delete", ids[place], None)
    saved = dict(zip(ids, row.bodies, strict=True))
    attempts = list[Attempt]()
    for turns in row.dies:
        attempts.append(trial.lab.step(kill_after=turns))
    if row.dies:
        stories.read()
    for _ in numbers:
        if trial.lab.tasks():
            attempts.append(_count(trial, row, stories, numbers, saved, was_shut_down(attempts)))
    _expect_all_counted(trial, stories.rows, saved, attempts)
    trial.expect_no_echo()


def _insert_stories(trial: Trial, count: int) -> None:
    """Insert stories whose words have been counted already, after some ids that aren't used."""
    source = f"def index():\n    for _ in range({_UNUSED + count}): db.story.insert(body='Other.', words={_OTHER})\n"
    source += f"    db((db.story.id > 1) & (db.story.id < {_UNUSED + 2})).delete()\n"
    trial.lab.write("controllers/stories.py", source)
    trial.lab.get("stories/index")


def _save_story(trial: Trial, row: Stories, stories: _Stories, body: str, is_later: bool) -> TaskInfo:
    known, before = {task.name for task in trial.lab.tasks()}, stories.rows
    with instance(trial, row.elsewhere):
        trial.post("ex2_4/save", {"body": body})
    trial.called = f"as a user: POST /ex2_4/save with a story of {len(body.split()):,} words"
    new = [story for number, story in stories.read().items() if number not in before]
    trial.expect_equal(len(new), 1, "not-saved", "the number of new rows in story is")
    shown = shorten(repr(new[0][0]), _SHOWN)
    trial.expect(new[0][0] == body, "not-saved", f"body of the new row is {shown}", shorten(repr(body), _SHOWN))
    words, right = new[0][1], len(body.split())
    trial.expect(not words or words != right, "called-directly", f"before any task ran, words was {words}", "None")
    tasks = [task for task in trial.lab.tasks() if task.name not in known]
    missing = "request-lost" if is_later else "not-queued"
    trial.expect_tasks(tasks, 1, "several-tasks" if tasks else missing, "apart from earlier tasks, ")
    trial.expect_address(tasks[0], "count_words")
    size = len(tasks[0].body)
    happened = f"the body of the task has {size:,} bytes"
    trial.expect(size < _SMALL, "still-the-text", happened, f"less than {_SMALL:,} bytes")
    pass_a_second(trial)
    return tasks[0]


def _edit(trial: Trial, stories: _Stories, action: str, number: int, body: str | None) -> None:
    """Correct a story, or delete it. The queue, its words and all other stories must stay as they are."""
    before, waiting = dict(stories.rows), [task.name for task in trial.lab.tasks()]
    trial.post(f"ex2_4/{action}", {"id": number} | ({} if body is None else {"body": body}))
    if body is None:
        del before[number]
    else:
        before[number] = (body, before[number][1])
    after = stories.read()
    wrong = sorted(each for each in before.keys() | after.keys() if before.get(each) != after.get(each))
    happened = "by id, the body and words of stories are now"
    trial.expect_equal(_only(after, wrong), _only(before, wrong), "edits-changed", happened)
    names = [task.name for task in trial.lab.tasks()]
    happened = f"{len(waiting)} tasks waited before the request, and {len(names)} wait now"
    trial.expect(names == waiting, "edits-changed", happened, "the same tasks")


def _only(rows: _Rows, numbers: Sequence[int]) -> _Rows:
    return {number: rows[number] for number in numbers if number in rows}


def _count(
    trial: Trial, row: Stories, stories: _Stories, numbers: Mapping[str, int], saved: Mapping[int, str], again: bool
) -> Attempt:
    """Run a task, and require that it counts the words of its story and changes no other story."""
    before = stories.rows
    done = trial.step(may_fail=True)
    number = numbers.get(done.task.name)
    if row.deleted and number not in before:
        happened = "the story was deleted, and its task failed with"
        trial.expect_ok(done, "deleted", happened, ", because nothing is left to do")
    else:
        expect_success(trial, row, done)
    after = stories.read()
    if number is None:
        return done
    trial.expect(
        set(after) <= set(before) | {number},
        "itself" if done.request.url.endswith("/save") else "inserted" if number not in before else None,
        f"the task for {done.request.url} inserted another story",
        "no new story",
    )
    for other in before.keys() | after.keys():
        if other != number:
            happened = f"the task of story {number} changed story {other} to"
            trial.expect_equal(after.get(other), before.get(other), "other-story", happened)
    if number not in before:
        trial.expect(
            number not in after,
            "inserted",
            f"story {number}, which was deleted, exists again",
            "the story stays deleted",
        )
    else:
        body, words = before[number][0], after.get(number, (None, None))[1]
        texts = [done.task.url.split("/"), *carried(done.task).values()]
        has_id = any(str(number) in each for each in texts)
        mistake = _words_mistake(row, words, body, saved[number], after, again, has_id)
        trial.expect_equal(words, len(body.split()), mistake, f"after its task ran, words of story {number} is")
        trial.expect_equal(after[number][0], body, "edits-lost", "after the task ran, body of the story is")
    return done


def _words_mistake(
    row: Stories, words: int | None, body: str, saved: str, after: _Rows, again: bool, has_id: bool
) -> str | None:
    if row.elsewhere:
        return "other-instance"
    if again:
        return "retry-lost"
    others = [len(text.split()) for text, _ in after.values()]
    if words is None and not body.split():
        return "zero"
    if words is None:
        return "other-story" if len(others) > 1 else "not-counted" if has_id else "id-lost"
    if body != saved and words == len(saved.split()):
        return "as-it-was"
    if words in (len(body.split(" ")), body.count(" ") + 1, len(body), len(re.findall(r"\w+", body))):
        return "not-words"
    return "other-story" if words in others else None


def _expect_all_counted(trial: Trial, rows: _Rows, saved: Mapping[int, str], attempts: list[Attempt]) -> None:
    """Require that the task whose first attempt was cut off has run again."""
    for number, (body, words) in rows.items():
        if number in saved:
            happened = f"after {len(attempts)} attempts, words of story {number} is"
            trial.expect_equal(words, len(body.split()), "retry-limit", happened)
