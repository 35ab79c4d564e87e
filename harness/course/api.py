"""What a learner types: `check`, `hint`, `solution`, `progress`, `predict`."""

from __future__ import annotations

from collections import deque

from harness.course import progress_file
from harness.course.catalogue import body, exercises, find_exercise, find_prediction, solution_cells
from harness.course.checker import check_answer
from harness.course.exercise import Exercise
from harness.course.verdict import CheckOutcome, Verdict, wrap
from harness.errors import CheckError, CourseError
from harness.lab import current_lab, last_written
from harness.show import Table, progress_table

# What the checks of this process said, for whoever asks: pytest shows it where a notebook was run.

_headlines: deque[str] = deque(maxlen=1000)  # in a notebook without pytest nothing drains it


def record_result(verdict: Verdict) -> None:
    """Keep the headline of a verdict until `drain`."""
    _headlines.append(verdict.headline)


def drain_results() -> str:
    """Return the headlines of the verdicts since the last `drain`, at most the newest 1000, one a line; forget them."""
    headlines = "\n".join(_headlines)
    _headlines.clear()
    return headlines


def check(number: str = "") -> None:
    """Check one exercise, and print that it is correct.

    The answer is what was written last into the files of the exercise, by cells such as `%%controller` or by
    `lab.write`, in whichever lab of this kernel; each file counts by itself.

    Args:
        number: "1.1"; without it the error lists the exercises.

    Raises:
        CheckError: not attempted, an error in the learner's code, or wrong; its message is for the learner.
        CourseError: there is no such exercise.
        LabClosedError: nothing was written, and there is no lab.
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
    """Write into the ledger what a check found."""
    if verdict.outcome is CheckOutcome.CORRECT:
        progress_file.mark_solved(verdict.exercise)
    elif verdict.outcome is not CheckOutcome.NOT_ATTEMPTED:
        progress_file.count_check(verdict.exercise)


def hint(number: str = "") -> None:
    """Give the next hint for an exercise ("1.1"): the idea, then the place, then nearly the code.

    Raises:
        CourseError: there is no such exercise.
    """
    print(next_hint(number))


def next_hint(number: str, *, go_on: bool = False) -> str:
    """Return what `hint` prints; `go_on` begins after the hints of earlier sessions, not with the first."""
    exercise = find_exercise(number, "hint")
    step = progress_file.next_hint(number, len(exercise.hints), go_on=go_on)
    return wrap(f"Hint {step + 1} of {len(exercise.hints)}: {exercise.hints[step]}")


def solution(number: str = "", give_up: bool = False) -> None:
    """Show the solution of an exercise that is solved, or that the learner gives up.

    Args:
        number: "1.1".
        give_up: show it though the exercise is not solved.

    Raises:
        CourseError: the exercise is neither, or there is none of that number.
    """
    print(solution_text(number, give_up), end="")


def solution_text(number: str, give_up: bool) -> str:
    """Return what `solution` prints."""
    exercise = find_exercise(number, "solution")
    if not give_up and number not in progress_file.solved():
        raise CourseError(
            f'{number} is not solved yet. Try hint("{number}"), or see it all the same: '
            f'solution("{number}", give_up=True)'
        )
    sources = solution_cells(exercise).values()
    return "".join(f"{source.partition(chr(10))[0]}{body(source)}\n" for source in sources)


def progress() -> Table[dict[str, str]]:
    """Return the exercises of the whole course as a table, with what is done."""
    solved = progress_file.solved()
    return progress_table([(each.number, each.title, each.number in solved) for each in exercises()])


def predict(name: str = "", choice: str | None = None, *, reveal: bool = False) -> None:
    """Ask what an experiment will show, take the answer, and later explain.

    Args:
        name: "1.a".
        choice: the letter of an option; without it the question is asked.
        reveal: say which option is right, and why.

    Raises:
        CourseError: there is no such prediction, or it has no such option.
    """
    asked = find_prediction(name, "predict")
    if reveal:
        print(wrap(_reveal(progress_file.choice(name), asked.answer, asked.options[asked.answer], asked.why)))
    elif choice is None:
        options = [wrap(text, f"  {letter}", indent=5) for letter, text in asked.options.items()]
        print("\n".join([wrap(asked.question), *options, f'Say what you think: predict("{name}", "A")']))
    elif (letter := str(choice).strip().upper()) in asked.options:
        progress_file.choose(name, letter)
        print(wrap(f"You say {letter}: {asked.options[letter]} The next cell decides."))
    else:
        raise CourseError(f"prediction {name} has no option {choice!r}; choose one of {', '.join(asked.options)}")


def _reveal(chosen: str | None, answer: str, option: str, why: str) -> str:
    if chosen is None:
        said = ""
    elif chosen == answer:
        said = f"You said {chosen}, and so it is. "
    else:
        said = f"You said {chosen}; it is {answer}. "
    return f"{said}{answer}: {option} {why}"


def _learners_files(exercise: Exercise) -> dict[str, str]:
    """Return what was written last into each file of an exercise; files that were not written are left out."""
    found = {}
    for name in exercise.files:
        app, _, path = name.rpartition(":")
        source = last_written(path, app or None)
        if source is not None:
            found[name] = source
    if not found:
        current_lab()  # LabClosedError, which says how to make a lab
    return found
