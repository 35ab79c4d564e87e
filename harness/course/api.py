"""The functions that a learner calls: `check`, `hint`, `solution`, `progress`, `predict`."""

from collections import deque

from harness.course import predictions, progress_file
from harness.course.catalogue import (
    Exercise,
    body,
    exercise_file,
    exercises,
    find_exercise,
    find_prediction,
    solution_cells,
)
from harness.course.trial import check_answer
from harness.course.verdict import CheckOutcome, Verdict, wrap
from harness.errors import CheckError, CourseError, quoted
from harness.lab import current_lab, files_written
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
    """Check one exercise, and print that it is correct.

    The answer is the last text that was written into each file of the exercise, by a cell such as `%%controller` or by
    `lab.write`, in any lab of this kernel.

    Args:
        number: the exercise ("1.1"). Without it, the error lists the exercises.

    Raises:
        CheckError: the exercise is not attempted, its code raises an error, or it is wrong. The message explains it.
        CourseError: the exercise doesn't exist.
        LabClosedError: nothing was written, and no lab is open.
    """
    __tracebackhide__ = True
    exercise = find_exercise(number, "check")
    verdict = check_answer(exercise, _learners_files(exercise))
    record_result(verdict)
    remember(verdict)
    if verdict.outcome is not CheckOutcome.CORRECT:
        raise CheckError(verdict.text)
    print(verdict.text)


def remember(verdict: Verdict) -> None:
    """Record the outcome of a check in the learner's progress, unless the exercise was not attempted."""
    if verdict.outcome is CheckOutcome.CORRECT:
        progress_file.mark_solved(verdict.exercise)
    elif verdict.outcome is not CheckOutcome.NOT_ATTEMPTED:
        progress_file.count_check(verdict.exercise)


def hint(number: str = "") -> None:
    """Print the next hint for an exercise ("1.1").

    The first hint gives the idea, and the last one gives most of the code.

    Raises:
        CourseError: the exercise doesn't exist.
    """
    print(next_hint(number))


def next_hint(number: str, *, go_on: bool = False) -> str:
    """Return the text that `hint` prints.

    Args:
        number: the exercise ("1.1").
        go_on: begin after the hints of earlier sessions, and not with the first hint.

    Raises:
        CourseError: the exercise doesn't exist.
    """
    exercise = find_exercise(number, "hint")
    step = progress_file.next_hint(number, len(exercise.hints), go_on=go_on)
    return wrap(f"Hint {step + 1} of {len(exercise.hints)}: {exercise.hints[step]}")


def solution(number: str = "", give_up: bool = False) -> None:
    """Print the solution of an exercise, and below it why it works.

    Args:
        number: the exercise ("1.1").
        give_up: print it even if the exercise isn't solved.

    Raises:
        CourseError: the exercise doesn't exist, or it isn't solved and `give_up` is false.
    """
    print(solution_text(number, give_up), end="")


def solution_text(number: str, give_up: bool) -> str:
    """Return the text that `solution` prints; see there."""
    exercise = find_exercise(number, "solution")
    if not give_up and number not in progress_file.solved():
        raise CourseError(
            f'{number} is not solved yet. Try hint("{number}"), or show the solution anyway: '
            f'solution("{number}", give_up=True)'
        )
    sources = solution_cells(exercise).values()
    cells = "".join(f"{source.partition(chr(10))[0]}{body(source)}\n" for source in sources)
    return cells + (f"{wrap(f'Why: {exercise.explains}')}\n" if exercise.explains else "")


def progress() -> Table[dict[str, str]]:
    """Return the exercises of the course as a table, with whether each is solved."""
    solved = progress_file.solved()
    return progress_table([(each.number, each.title, each.number in solved) for each in exercises()])


def predict(name: str = "", choice: str | None = None, *, reveal: bool = False) -> None:
    """Show the question of a prediction, record a choice, or show the answer.

    An open notebook shows cards, on which the learner chooses an option with the mouse or the keyboard. Elsewhere, the
    question and the answer are printed.

    Args:
        name: the prediction ("1.a").
        choice: the letter of an option, in either case. Without it, the question is shown.
        reveal: show the right option and the reason for it.

    Raises:
        CourseError: the prediction doesn't exist, or it doesn't have that option.
    """
    prediction = find_prediction(name, "predict")
    options = prediction.options
    if choice is None or reveal:
        if notebook_path() is not None:
            from harness.course import prediction_card  # imported late, because `import harness` must be fast

            (prediction_card.show_answer if reveal else prediction_card.show_question)(name)
        else:
            print((predictions.answer_text if reveal else predictions.question_text)(name, prediction))
    elif isinstance(choice, str) and (letter := choice.strip().upper()) in options:
        predictions.choose(name, letter)
        print(wrap(f"You chose {letter}: {options[letter]} The next cell shows whether that is right."))
    else:
        raise CourseError(f"prediction {name} has no option {quoted(choice)}; choose one of {', '.join(options)}")


def _learners_files(exercise: Exercise) -> dict[str, str]:
    """Return the last text of each file that belongs to an exercise, without files that were never written."""
    every = {f"{app}:{path}" if app else path: source for (app, path), source in files_written().items()}
    first = f"{exercise.apps[0]}:"
    files = {name: source for name, source in every.items() if exercise.owns(name) and not name.startswith(first)}
    if not files:
        current_lab()  # raises a LabClosedError that explains how to make a lab
    return files
