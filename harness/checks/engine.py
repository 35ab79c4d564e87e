"""What a learner types: `check`, `hint`, `solution`, `progress`, `predict`."""

from __future__ import annotations

from harness.checks import judged, ledger
from harness.checks.course import body, exercises, find_exercise, find_prediction, solution_cells
from harness.checks.exercise import Exercise
from harness.checks.judge import judge
from harness.checks.layout import wrap
from harness.checks.verdict import Outcome, Verdict
from harness.display import Table, progress_table
from harness.errors import CheckError, CourseError
from harness.lab import current_lab, last_written


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
    verdict = judge(exercise, _learners_files(exercise))
    judged.note(verdict)
    remember(verdict)
    if verdict.outcome is not Outcome.CORRECT:
        raise CheckError(verdict.text)
    print(verdict.text)


def remember(verdict: Verdict) -> None:
    """Write into the ledger what a check found."""
    if verdict.outcome is Outcome.CORRECT:
        ledger.mark_solved(verdict.exercise)
    elif verdict.outcome is not Outcome.NOT_ATTEMPTED:
        ledger.count_check(verdict.exercise)


def hint(number: str = "") -> None:
    """Give the next hint for an exercise ("1.1"): the idea, then the place, then nearly the code.

    Raises:
        CourseError: there is no such exercise.
    """
    print(next_hint(number))


def next_hint(number: str, *, go_on: bool = False) -> str:
    """Return what `hint` prints; `go_on` begins after the hints of earlier sessions, not with the first."""
    exercise = find_exercise(number, "hint")
    step = ledger.next_hint(number, len(exercise.hints), go_on=go_on)
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
    if not give_up and number not in ledger.solved():
        raise CourseError(
            f'{number} is not solved yet. Try hint("{number}"), or see it all the same: '
            f'solution("{number}", give_up=True)'
        )
    sources = solution_cells(exercise).values()
    return "".join(f"{source.partition(chr(10))[0]}{body(source)}\n" for source in sources)


def progress() -> Table[dict[str, str]]:
    """Return the exercises of the whole course as a table, with what is done."""
    solved = ledger.solved()
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
        print(wrap(_reveal(ledger.choice(name), asked.answer, asked.options[asked.answer], asked.why)))
    elif choice is None:
        options = [wrap(text, f"  {letter}", indent=5) for letter, text in asked.options.items()]
        print("\n".join([wrap(asked.question), *options, f'Say what you think: predict("{name}", "A")']))
    elif (letter := str(choice).strip().upper()) in asked.options:
        ledger.choose(name, letter)
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
