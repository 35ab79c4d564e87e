"""The functions that a learner calls: `check`, `hint`, `solution`, `progress`, `predict`, `certificate`.

In an open notebook, they show cards or tables in HTML. Everywhere else they print text, and a failed check raises an
exception.
"""

from collections import deque
from datetime import datetime
from pathlib import Path

from harness.appengine.written_files import files_written
from harness.course import predictions, progress_file
from harness.course.cards import (
    certificate_card,
    hint_card,
    next_exercise,
    next_step,
    solution_card,
    unsolved_card,
    verdict_card,
)
from harness.course.catalogue import (
    Exercise,
    body,
    exercise_file,
    exercises,
    find_exercise,
    find_prediction,
    lessons,
    solution_cells,
)
from harness.course.open_notebook import counts, stale_verdict
from harness.course.trial import check_answer
from harness.course.verdict import CheckOutcome, Verdict, solved_earlier, wrap
from harness.errors import CheckError, CourseError, UnsolvedError, quoted
from harness.lab import current_lab
from harness.notebooks.session import notebook_path
from harness.show import Table, progress_table

_headlines: deque[str] = deque(maxlen=1000)  # outside pytest, nothing drains it


def record_result(verdict: Verdict) -> None:
    """Keep the headline of a verdict until `drain_results`."""
    _headlines.append(verdict.headline)


def drain_results() -> str:
    """Return the headlines since the last call, one a line, and forget them. At most the newest 1000 are kept."""
    headlines = "\n".join(_headlines)
    _headlines.clear()
    return headlines


def required_exercises(lesson: str, file_name: str) -> str:
    """Return the numbers of the exercises that belong to an exercise notebook, separated by spaces.

    Args:
        lesson: the number of its lesson ("01").
        file_name: the notebook's name. If it is "", the name isn't compared.

    Returns:
        The numbers ("1.1 1.2"), or "" if the lesson has no exercises or its notebook has another name.
    """
    numbers = " ".join(exercise.number for exercise in exercises() if exercise.lesson == lesson)
    return numbers if numbers and file_name in ("", exercise_file(lesson)) else ""


def check(number: str = "") -> None:
    """Check one exercise, and show the verdict.

    The answer is the last text that was written into each file of the exercise, by a cell such as `%%controller` or by
    `lab.write`, in any lab of this kernel. Nothing is judged if the cell failed before it wrote the file, or if it was
    edited and saved after it ran.

    Args:
        number: the exercise ("1.1"). Without it, the error lists the exercises.

    Raises:
        CheckError: no notebook is open, and the exercise is not attempted, its code raises an error, or it is wrong.
            The message explains it. In an open notebook, a card explains it, so that "Run All" reaches the last cell.
        CourseError: the exercise doesn't exist.
        LabClosedError: nothing was written, and no lab is open.
    """
    __tracebackhide__ = True
    exercise, notebook = find_exercise(number, "check"), notebook_path()
    verdict = _verdict(exercise, notebook)
    record_result(verdict)
    if counts(notebook, exercise):
        remember(verdict)
    if notebook is not None:
        _display(verdict_card(verdict, exercise, notebook, progress_file.solved()), verdict.text)
    elif verdict.outcome is not CheckOutcome.CORRECT:
        raise CheckError(verdict.text)
    else:
        print(verdict.text)


def _verdict(exercise: Exercise, notebook: Path | None) -> Verdict:
    files = _learners_files(exercise)
    stale = stale_verdict(exercise, files, notebook)
    if stale:
        return stale
    if not files and notebook and exercise.number in progress_file.solved():
        return solved_earlier(exercise)
    if not files:
        current_lab()  # raises a LabClosedError that explains how to make a lab
    return check_answer(exercise, files)


def _display(html: str, text: str) -> None:
    """Show a card in a notebook; `text` is for a front end without HTML."""
    from IPython.display import display

    display({"text/html": html, "text/plain": text}, raw=True)


def remember(verdict: Verdict) -> None:
    """Record the outcome of a check in the learner's progress, unless no attempt was judged."""
    if verdict.outcome is CheckOutcome.CORRECT:
        progress_file.mark_solved(verdict.exercise)
    elif verdict.outcome in (CheckOutcome.ERROR, CheckOutcome.WRONG):
        progress_file.count_check(verdict.exercise)


def hint(number: str = "") -> None:
    """Show the next hint for an exercise ("1.1").

    The first hint gives the idea, and the last one gives most of the code.

    Raises:
        CourseError: the exercise doesn't exist.
    """
    exercise, notebook = find_exercise(number, "hint"), notebook_path()
    title, text = _hint(exercise, counted=counts(notebook, exercise))
    if notebook is None:
        print(wrap(f"{title}: {text}"))
    else:
        _display(hint_card(title, text), wrap(f"{title}: {text}"))


def next_hint(number: str, *, go_on: bool = False) -> str:
    """Return the text that `hint` prints.

    Args:
        number: the exercise ("1.1").
        go_on: begin after the hints of earlier sessions, and not with the first hint.

    Raises:
        CourseError: the exercise doesn't exist.
    """
    return wrap(": ".join(_hint(find_exercise(number, "hint"), go_on=go_on)))


def _hint(exercise: Exercise, *, go_on: bool = False, counted: bool = True) -> tuple[str, str]:
    """Return the title and the text of the next hint."""
    hints = exercise.hints
    step = progress_file.next_hint(exercise.number, len(hints), go_on=go_on, counted=counted)
    return f"Hint {step + 1} of {len(hints)}", hints[step]


def solution(number: str = "", give_up: bool = False) -> None:
    """Show the solution of an exercise, and below it why it works.

    Args:
        number: the exercise ("1.1").
        give_up: show it even if the exercise isn't solved. A certificate lists such an exercise separately.

    Raises:
        CourseError: the exercise doesn't exist; or no notebook is open, the exercise isn't solved, and `give_up` is
            false. In an open notebook, a card explains the latter.
    """
    exercise, notebook = find_exercise(number, "solution"), notebook_path()
    try:
        text = solution_text(number, give_up, counted=counts(notebook, exercise))
    except UnsolvedError as error:
        if notebook is None:
            raise
        _display(unsolved_card(str(error)), str(error))
        return
    if notebook is None:
        print(text, end="")
    else:
        _display(solution_card(exercise), text)


def solution_text(number: str, give_up: bool, *, counted: bool = True) -> str:
    """Return the text that `solution` prints, and record that it was shown if `counted` is true.

    Args:
        number: the exercise ("1.1").
        give_up: return it even if the exercise isn't solved.
        counted: record in the learner's progress that the solution was shown before the exercise was solved.
    """
    exercise = find_exercise(number, "solution")
    is_solved = number in progress_file.solved()
    if not give_up and not is_solved:
        raise UnsolvedError(
            f'{number} is not solved yet. Try hint("{number}"), or show the solution anyway: '
            f'solution("{number}", give_up=True)'
        )
    sources = solution_cells(exercise).values()
    cells = "".join(f"{source.partition(chr(10))[0]}{body(source)}\n" for source in sources)
    if counted and not is_solved:
        progress_file.mark_shown(number)
    return cells + (f"{wrap(f'Why: {exercise.explains}')}\n" if exercise.explains else "")


def progress() -> Table[dict[str, str]]:
    """Return a table with a row for each lesson that has exercises, and the next exercise below it."""
    solved, notebook = progress_file.solved(), notebook_path()
    rows = [
        (lesson.number, lesson.title, [exercise.number in solved for exercise in lesson.exercises])
        for lesson in lessons()
        if lesson.exercises
    ]
    following = next_exercise(solved)
    text = f"Next: {following.number} {following.title}" if following else "All exercises are solved."
    return progress_table(rows, text, next_step(notebook, solved) if notebook else "")


def predict(name: str = "", choice: str | None = None, *, reveal: bool = False) -> None:
    """Show the question of a prediction, record a choice, or show the answer.

    An open notebook shows cards, on which the learner chooses an option with the mouse or the keyboard. Elsewhere, the
    question and the answer are printed.

    Args:
        name: the prediction ("1.a"), or the question of a recap ("3.r1").
        choice: the letter of an option, in either case. Without it, the question is shown.
        reveal: show the right option and the reason for it. In a recap, also explain the wrong options.

    Raises:
        CourseError: the prediction doesn't exist, or it doesn't have that option.
    """
    prediction = find_prediction(name, "predict")
    options, notebook = prediction.options, notebook_path()
    if choice is None or reveal:
        if notebook is not None:
            from harness.course import prediction_card  # imported late, because `import harness` must be fast

            if reveal:
                prediction_card.show_answer(name, notebook)
            else:
                prediction_card.show_question(name)
        else:
            print((predictions.answer_text if reveal else predictions.question_text)(name, prediction))
    elif isinstance(choice, str) and (letter := choice.strip().upper()) in options:
        predictions.choose(name, letter)
        print(wrap(f"You chose {letter}: {options[letter]} The next cell shows whether that is right."))
    else:
        raise CourseError(f"prediction {name} has no option {quoted(choice)}; choose one of {', '.join(options)}")


def certificate(name: str = "") -> None:
    """Make a certificate of the exercises that the learner has solved, show it, and print where its files are.

    The files are certificate.svg and certificate.pdf, in my-course/ or else in the current folder. No data is sent. If
    the files exist, the previous ones are kept in the folder backups/ beside them.

    Args:
        name: the learner's name, as it should appear on the certificate.

    Raises:
        BadValueError: the name has no letters, is longer than 100 characters, or contains an unprintable character.
        CourseError: no exercise is solved yet.
        NotebookError: an existing file can't be backed up. It is unchanged.
        ProgressError: the progress can't be read, or a file can't be written.
    """
    from harness.course.certificates.certificate_files import save  # imported late: `import harness` must be fast

    saved = save(name, datetime.now())
    if notebook_path() is None:
        print(saved.text)
    else:
        _display(certificate_card(saved.svg, saved.certificate.text, saved.lines), saved.text)


def _learners_files(exercise: Exercise) -> dict[str, str]:
    """Return the last text of each file that belongs to an exercise, without files that were never written."""
    every = {f"{app}:{path}" if app else path: source for (app, path), source in files_written().items()}
    first = f"{exercise.apps[0]}:"
    return {name: source for name, source in every.items() if exercise.owns(name) and not name.startswith(first)}
