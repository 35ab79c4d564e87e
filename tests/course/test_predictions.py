"""Predictions: what is remembered, what the cards show, and what a saved notebook contains."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from jupyter_server.extension.config import ExtensionConfigManager
from jupyter_server.services.contents.filemanager import FileContentsManager
from nbformat.sign import MemorySignatureStore, NotebookNotary
from tornado.web import Application

from harness import predict
from harness.classroom import server_extension
from harness.classroom.jupyterlab import CONFIG
from harness.course import prediction_card, predictions
from harness.course.catalogue import find_prediction
from harness.course.prediction_card import PredictionCard
from harness.course.predictions import NAME, WIDGET, Choice, Choices
from harness.course.state_file import BrokenFile, merge
from harness.state import VARIABLE
from tests.support.scratch import code, notebook

MAY, JUNE = "2026-05-01T09:00:00Z", "2026-06-01T09:00:00Z"
ASKED = find_prediction("1.a")  # its answer is B
BROKEN = {
    "a field is missing": '{"version": 1, "predictions": {"1.a": {"letter": "A"}}}',
    "a number": '{"version": 1, "predictions": {"1.a": {"letter": "A", "date": 1}}}',
    "a list": '{"version": 1, "predictions": {"1.a": []}}',
}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The state folder of a learner who begins; it is not there yet."""
    monkeypatch.setenv(VARIABLE, str(tmp_path / "state"))
    next_session(monkeypatch)
    return tmp_path / "state"


def next_session(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(predictions, "_session", Choices())
    monkeypatch.setattr(prediction_card, "_cards", {})


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Each output that `predict` displays while a notebook is open, as a front end gets it."""
    outputs: list[dict[str, Any]] = []

    def display(data: dict[str, Any], *, metadata: dict[str, Any] | None = None, raw: bool) -> None:
        assert raw
        outputs.append({"output_type": "display_data", "data": data, "metadata": metadata or {}})

    monkeypatch.setattr("harness.course.api.notebook_path", lambda: Path("01.ipynb"))
    monkeypatch.setattr(prediction_card, "display", display)
    return outputs


def card() -> PredictionCard:
    return prediction_card._cards["1.a"]


def click(letter: str) -> None:
    """Send what the browser sends after a click."""
    card().set_state({"choice": letter})


def test_a_choice_is_saved_and_the_next_session_finds_it(folder, monkeypatch, capsys):
    predict("1.a", "a")
    saved = json.loads((folder / "predictions.json").read_text(encoding="utf-8"))
    assert saved["predictions"]["1.a"]["letter"] == "A"
    next_session(monkeypatch)
    capsys.readouterr()
    predict("1.a")
    assert capsys.readouterr().out.endswith('\nYou chose A. To change your choice, type predict("1.a", "B")\n')
    predict("1.a", reveal=True)
    assert capsys.readouterr().out.startswith("You chose A, but the answer is B.")


def test_asking_alone_saves_nothing(folder, capsys):
    predict("1.a")
    predict("1.a", reveal=True)
    assert not folder.exists()


def test_of_two_choices_the_later_one_counts():
    may, june = {"1.a": Choice("A", MAY)}, {"1.a": Choice("B", JUNE), "1.b": Choice("C", MAY)}
    assert merge(may, june) == merge(june, may) == june
    assert Choice("A", MAY) + Choice("B", MAY) == Choice("B", MAY)


@pytest.mark.parametrize("text", BROKEN.values(), ids=BROKEN)
def test_a_file_with_anything_else_is_broken(text):
    with pytest.raises(BrokenFile, match="1.a has unknown fields, or a field of the wrong type"):
        Choices.parse(text)


def test_an_option_that_the_course_no_longer_has_is_not_a_choice():
    predictions.choose("1.a", "Z")
    assert predictions.chosen("1.a", ASKED) == ""


def test_the_browser_gets_no_answer_before_it_is_revealed(shown):
    predict("1.a")
    click("A")
    sent = json.dumps([card().get_state(drop_defaults=False), shown])
    assert ASKED.options["B"] in sent
    assert ASKED.why not in sent
    assert card().answer == ""
    predict("1.a", reveal=True)
    assert card().answer == "B"
    predict("1.a")
    assert card().answer == ""


def test_a_click_is_remembered_until_another_one_changes_it(shown, folder):
    predict("1.a")
    assert card().status == "Choose an option."
    for letter in "AB":
        click(letter)
        assert card().status.startswith(f"You chose {letter}. You can change your choice until")
    assert Choices.parse((folder / "predictions.json").read_text(encoding="utf-8"))["1.a"].letter == "B"


def test_a_click_after_the_answer_changes_nothing_until_the_question_is_asked_again(shown):
    predict("1.a")
    click("A")
    predict("1.a", reveal=True)
    assert "The answer was shown. To choose again, run this cell again." in card().status
    click("B")
    assert (card().choice, predictions.chosen("1.a", ASKED)) == ("A", "A")
    predict("1.a")
    click("B")
    assert predictions.chosen("1.a", ASKED) == "B"


def test_a_browser_can_choose_only_an_existing_option(shown):
    predict("1.a")
    click("Z")
    assert card().choice == predictions.chosen("1.a", ASKED) == ""


def test_a_choice_that_cannot_be_saved_is_reported_on_the_card(shown, folder):
    folder.write_text("a file", encoding="utf-8")
    predict("1.a")
    click("A")
    assert "You chose A." in card().status
    assert "Progress cannot be saved in" in card().status
    assert predictions.chosen("1.a", ASKED) == "A"


@pytest.mark.parametrize(
    ("letter", "head"),
    [
        ("B", "✓ You chose B, and that is right."),
        ("A", "✗ You chose A, but the answer is B."),
        ("", "– You skipped prediction 1.a. The answer is B."),
    ],
)
def test_the_answer_has_a_symbol_and_the_reason(shown, letter, head):
    if letter:
        predictions.choose("1.a", letter)
    predict("1.a", reveal=True)
    html = shown[0]["data"]["text/html"]
    assert f"<strong>{head}</strong>" in html
    assert ASKED.why in html
    assert (ASKED.options["A"] in html) == (letter == "A")


@pytest.mark.filterwarnings("ignore:Overriding existing pre_save_hook")  # traitlets validates it twice
def test_a_saved_notebook_contains_a_card_without_buttons_that_shows_the_newest_choice(shown, tmp_path):
    predict("1.a")
    click("A")
    other = {"output_type": "display_data", "data": {WIDGET: {}, "text/plain": "Slider"}, "metadata": {}}
    removed = other | {"metadata": {NAME: "1.zz"}}
    content = notebook(code("slider", other), code("predict('1.zz')", removed), code("predict('1.a')", *shown))
    saved_by_user: list[str] = []
    manager = FileContentsManager(
        root_dir=str(tmp_path),
        notary=NotebookNotary(
            data_dir=str(tmp_path), store_factory=MemorySignatureStore
        ),  # and not the files of this user
        pre_save_hook=lambda path, **context: saved_by_user.append(path),
    )
    (point,) = server_extension._jupyter_server_extension_points()
    assert point["module"] == server_extension.__name__
    server_extension._load_jupyter_server_extension(
        SimpleNamespace(contents_manager=manager, web_app=Application(base_url="/"))
    )
    manager.save({"type": "notebook", "content": content}, "a.ipynb")
    cells = json.loads((tmp_path / "a.ipynb").read_text(encoding="utf-8"))["cells"]
    assert cells[0]["outputs"] == [other | {"data": {WIDGET: {}, "text/plain": ["Slider"]}}]
    (removed,) = cells[1]["outputs"]
    assert removed["data"] == {"text/plain": ["Slider"]}
    (output,) = cells[2]["outputs"]
    assert output["data"].keys() == {"text/plain", "text/html"}
    assert output["metadata"] == {}
    assert '<p style="margin:0.4em 0 0">You chose A. Run this cell to change' in "".join(output["data"]["text/html"])
    assert saved_by_user == ["a.ipynb"]


def test_the_courses_settings_let_the_server_save_such_cards():
    settings = ExtensionConfigManager(read_config_path=[str(CONFIG)])
    assert settings.get_jpserver_extensions() == {server_extension.__name__: True}
