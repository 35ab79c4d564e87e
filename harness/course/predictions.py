"""Predictions: the options that a learner chose, kept between sessions, and what `predict` shows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from html import escape
from pathlib import Path

from harness.course.cards import linked
from harness.course.catalogue import Misconception, Prediction, find_prediction
from harness.course.open_notebook import section_link
from harness.course.progress_file import now
from harness.course.state_file import StateFile
from harness.course.verdict import wrap

WIDGET = "application/vnd.jupyter.widget-view+json"  # the media type of a card with buttons
NAME = "prediction"  # in an output's metadata: the prediction whose card the output is
_RIGHT, _WRONG, _SKIPPED = "#2e8b57", "#d9534f", "#3b82c4"  # beside a symbol; each is visible in both themes


@dataclass(frozen=True, slots=True)
class Choice:
    """The option that a learner chose last, and when, in UTC ("2026-05-01T09:00:00Z")."""

    letter: str
    date: str

    def __add__(self, other: Choice) -> Choice:
        """Return the later one of two choices."""
        return self if self.date > other.date else other

    def as_json(self) -> dict[str, object]:
        """Return the fields as JSON."""
        return asdict(self)


class Choices(StateFile[Choice]):
    """The choices of all sessions, by prediction."""

    name, section, version, oldest = "predictions", "predictions", 1, 1

    @classmethod
    def entry(cls, fields: dict[str, object]) -> Choice:
        """Return the choice with these fields, or raise TypeError."""
        choice = Choice(**fields)  # type: ignore[arg-type]
        if not all(isinstance(each, str) for each in fields.values()):
            raise TypeError("a choice has a field of the wrong type")
        return choice

    @staticmethod
    def kept(entry: Choice) -> Choice | None:
        """Return the choice itself."""
        return entry


_session = Choices()


def choose(name: str, letter: str) -> None:
    """Remember the option that the learner chose for a prediction ("1.a")."""
    _session.add(name, Choice(letter, now()))


def chosen(name: str, prediction: Prediction) -> str:
    """Return the letter of the option that the learner chose, in this session or an earlier one, or ""."""
    choice = _session.entries().get(name)
    return choice.letter if choice and choice.letter in prediction.options else ""


def static_card(name: str) -> dict[str, str]:
    """Return the question of a prediction as text and as a card without buttons, by media type."""
    prediction = find_prediction(name)
    return {"text/plain": question_text(name, prediction), "text/html": question_html(name, prediction)}


def question_text(name: str, prediction: Prediction) -> str:
    """Return the question as text: its options, the choice, and what to type."""
    lines = [wrap(text, f"  {letter}", indent=5) for letter, text in prediction.options.items()]
    letter = chosen(name, prediction)
    call = f'predict("{name}", "{next(each for each in prediction.options if each != letter)}")'
    end = f"You chose {letter}. To change your choice, type {call}" if letter else f"To choose an option, type {call}"
    return "\n".join([wrap(prediction.question), *lines, end])


def question_html(name: str, prediction: Prediction) -> str:
    """Return the question as a card without buttons, for a notebook that was saved."""
    letter = chosen(name, prediction)
    options = [_option(prediction, each, "(your choice)" if each == letter else "") for each in prediction.options]
    status = f"You chose {letter}. Run this cell to change your choice." if letter else "Run this cell to choose."
    return _card(_SKIPPED, escape(prediction.question), *options, status)


def answer_text(name: str, prediction: Prediction) -> str:
    """Return the answer as text, with the choice, the reason, and the explanations of the wrong options."""
    letter, answer = chosen(name, prediction), prediction.answer
    right = f"{_comparison(letter, answer)} {answer}: {prediction.options[answer]} {prediction.why}".lstrip()
    wrong = [f"Not {each}: {mistake.says} Reread {_section(mistake)}." for each, mistake in prediction.wrong.items()]
    return "\n".join(map(wrap, [right, *wrong]))


def answer_html(name: str, prediction: Prediction, notebook: Path | None = None) -> str:
    """Return the answer as a card, with the choice, the reason, and the explanations of the wrong options.

    Args:
        name: the prediction.
        prediction: its texts.
        notebook: the open notebook. Links to sections are relative to it; without it, there are no links.
    """
    letter, answer = chosen(name, prediction), prediction.answer
    symbol, colour = ("✓", _RIGHT) if letter == answer else ("✗", _WRONG) if letter else ("–", _SKIPPED)
    comparison = _comparison(letter, answer) or f"You skipped prediction {name}. The answer is {answer}."
    yours = [_option(prediction, letter, "(your choice)")] if letter not in ("", answer) else []
    explained = {each: _explanation(mistake, notebook) for each, mistake in prediction.wrong.items()}
    own = [explained.pop(letter)] if letter in explained else []
    others = [f"{_option(prediction, each)}<br>{text}" for each, text in explained.items()]
    right = _option(prediction, answer, "(right answer)")
    return _card(colour, f"{symbol} {comparison}", *yours, *own, right, escape(prediction.why), folded=others)


def _comparison(letter: str, answer: str) -> str:
    if letter == answer:
        return f"You chose {letter}, and that is right."
    return f"You chose {letter}, but the answer is {answer}." if letter else ""


def _section(mistake: Misconception) -> str:
    return f"lesson {mistake.lesson}, “{mistake.reread}”"


def _explanation(mistake: Misconception, notebook: Path | None) -> str:
    link = section_link(notebook, mistake.lesson, mistake.reread) if notebook else ""
    return f"{escape(mistake.says)} Reread {linked(link, _section(mistake))}."


def _option(prediction: Prediction, letter: str, mark: str = "") -> str:
    return f"<strong>{letter}</strong> {escape(prediction.options[letter])} {mark}".rstrip()


def _card(colour: str, head: str, *paragraphs: str, folded: Sequence[str] = ()) -> str:
    """Return a card; `folded` are paragraphs that appear after a click."""
    style = f"border-left:4px solid {colour};margin:0.5em 0;padding:0 0 0.2em 1em"
    folds = '<details style="margin:0.4em 0 0"><summary>What is wrong with the other options?</summary>'
    more = f"{folds}{_paragraphs(folded)}</details>" if folded else ""
    return f'<div style="{style}"><p style="margin:0"><strong>{head}</strong></p>{_paragraphs(paragraphs)}{more}</div>'


def _paragraphs(texts: Sequence[str]) -> str:
    return "".join(f'<p style="margin:0.4em 0 0">{each}</p>' for each in texts)
