"""The checks of lesson 00's small exercises. Their texts are in small00.toml."""

from dataclasses import dataclass

from harness.course.catalogue import Pattern, Scenario
from harness.course.trial import Trial
from harness.show.text import shorten

_PAGE = 100  # characters of a page in a message


@dataclass(frozen=True, slots=True, kw_only=True)
class _Pages(Scenario):
    """Requests to one page; `pages` contains what each reader sends, and the right text of the page."""

    pages: tuple[tuple[str, str], ...]


def _greet(trial: Trial, row: _Pages) -> None:
    for name, right in row.pages:
        text = trial.get("ex0_x/hello", name=name).text
        mistake = "no-text" if text == "None" else "other-text" if name in text else "fixed-name"
        trial.expect(text == right, mistake, f"the text of the page was {shorten(text, _PAGE)!r}", repr(right))


def _average(trial: Trial, row: _Pages) -> None:
    for headline, right in row.pages:
        text = trial.get("ex0_y/average", headline=headline).text
        if right == "0" and text == "0.0":
            continue
        mistake = "no-text" if text == "None" else "not-zero" if right == "0" else "changed"
        trial.expect(text == right, mistake, f"the text of the page was {shorten(text, _PAGE)!r}", repr(right))


RUNS = {
    "0.x": (
        _greet,
        (
            _Pages(pages=(("Ada", "Hello, Ada"),)),
            _Pages(
                what="two other readers request the page, and one of them hasn't typed a name",
                patterns=frozenset({Pattern.TWO_USERS, Pattern.STRINGS}),
                pages=(("Zoë O'Hara", "Hello, Zoë O'Hara"), ("", "Hello, ")),
            ),
        ),
    ),
    "0.y": (
        _average,
        (
            _Pages(pages=(("The ferry is late", "3.5"), ("", "0"))),
            _Pages(
                what="a headline consists of spaces, and another one is a single word",
                patterns=frozenset({Pattern.STRINGS}),
                pages=(("   ", "0"), ("Fog", "3.0")),
            ),
        ),
    ),
}
