"""The cards of `predict` in an open notebook: a question with a button for each option, and its answer."""

from __future__ import annotations

from contextlib import redirect_stderr
from io import StringIO
from pathlib import Path
from typing import Any

from anywidget import AnyWidget
from IPython.display import display
from traitlets import List, Unicode

from harness.course import predictions
from harness.course.catalogue import Prediction, find_prediction
from harness.course.predictions import NAME, WIDGET

_HERE = Path(__file__)


class PredictionCard(AnyWidget):  # type: ignore[misc]  # its types are not checked
    """A question with a button for each option. The browser doesn't get the right option before it is revealed."""

    _esm = _HERE.with_suffix(".js")
    _css = _HERE.with_suffix(".css")

    question = Unicode().tag(sync=True)
    options: Any = List().tag(sync=True)  # pairs of a letter and a text
    choice = Unicode().tag(sync=True)  # a letter, or ""; a click changes it
    answer = Unicode().tag(sync=True)  # a letter, or "" until the answer is revealed
    status = Unicode().tag(sync=True)  # what a screen reader says after a choice

    def __init__(self, name: str, prediction: Prediction) -> None:
        super().__init__(question=prediction.question, options=[list(pair) for pair in prediction.options.items()])
        self._name = name
        self._prediction = prediction
        self.observe(self._choose, "choice")

    def show_choice(self, *, revealed: bool) -> None:
        """Show the choice that is remembered, with or without the answer."""
        self.answer = self._prediction.answer if revealed else ""
        self.choice = predictions.chosen(self._name, self._prediction)
        self.status = self._status()

    def _choose(self, change: dict[str, Any]) -> None:
        remembered = predictions.chosen(self._name, self._prediction)
        if change["new"] == remembered:
            return
        if self.answer or change["new"] not in self._prediction.options:
            self.choice = remembered
            return
        with redirect_stderr(StringIO()) as warnings:  # JupyterLab doesn't show what is printed after a click
            predictions.choose(self._name, change["new"])
        self.status = f"{self._status()} {' '.join(warnings.getvalue().split())}".strip()

    def _status(self) -> str:
        if self.answer and self.choice:
            return f"You chose {self.choice}. The answer was shown. To choose again, run this cell again."
        if self.answer:
            return "The answer was shown before you chose an option. To choose one, run this cell again."
        if self.choice:
            return f"You chose {self.choice}. You can change your choice until you run the cell with the answer."
        return "Choose an option."


_cards = dict[str, PredictionCard]()  # by prediction


def show_question(name: str) -> None:
    """Display the card of a prediction, which lets the learner choose."""
    prediction = find_prediction(name)
    card = _cards.get(name) or _cards.setdefault(name, PredictionCard(name, prediction))
    card.show_choice(revealed=False)
    display({WIDGET: card.get_view_spec(), **predictions.static_card(name)}, metadata={NAME: name}, raw=True)


def show_answer(name: str, notebook: Path) -> None:
    """Display the answer of a prediction in the open notebook, and mark it on the card of the question."""
    prediction = find_prediction(name)
    if name in _cards:
        _cards[name].show_choice(revealed=True)
    text, html = predictions.answer_text(name, prediction), predictions.answer_html(name, prediction, notebook)
    display({"text/plain": text, "text/html": html}, raw=True)
