"""The SVG of a figure: titles of marks, colours for both themes, and its HTML."""

from __future__ import annotations

import base64
import re
from itertools import product
from typing import Any
from xml.etree import ElementTree

import pytest

from harness.show import svg
from harness.show.plots import backoff, rate, timeline
from tests.show.test_timeline import SAMPLES
from tests.support import scenes

MARKS = (svg.INK, svg.FAINT, svg.GREEN, svg.SKY, svg.BLUE, svg.RED, svg.PURPLE, svg.AMBER)
THEMES = {"light": {colour: colour for colour in svg.DARK}, "dark": svg.DARK}


def titles(figure: Any) -> list[str]:
    """The titles in a figure's SVG, in the order in which they are drawn."""
    root = ElementTree.fromstring(figure.svg())
    return [str(title.text) for title in root.iter("{http://www.w3.org/2000/svg}title")]


def contrast(one: str, other: str) -> float:
    """The contrast of two colours, as WCAG 2 defines it."""

    def luminance(colour: str) -> float:
        parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
        red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue

    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)


def embedded(figure: Any) -> str:
    """The SVG inside a figure's HTML."""
    return base64.b64decode(re.findall('base64,([^"]*)', figure._repr_html_())[0]).decode()


def test_each_mark_of_a_timeline_has_a_title() -> None:
    assert sorted(titles(timeline(*scenes.retries(3).records()))) == [
        "gen_task: request at 0 s",
        "task1: attempt done at 0.3 s (200)",
        "task1: attempt failed, to be retried at 0 s (500)",
        "task1: attempt failed, to be retried at 0.1 s (500)",
        "task1: task added at 0 s",
        "task1: waits for its ETA from 0 s to 0.1 s",
        "task1: waits for its ETA from 0.1 s to 0.3 s",
    ]


def test_each_bar_and_curve_of_a_long_run_has_a_title() -> None:
    shown = titles(timeline(*scenes.burst(60).records(100)))
    assert set(shown) == {"1 × request", "5 × attempt done", "1 × attempt done", "tasks waiting: 0 to 55"}
    assert titles(rate(SAMPLES, "mail"))[::2] == [
        "tokens in the bucket: 0 to 5",
        "tasks waiting: 0 to 100",
        "tasks running: 0 to 3",
    ]


def test_each_point_of_a_backoff_has_a_title() -> None:
    assert titles(backoff([10, 20.5], "q")) == ["attempt 2, after a wait of 10 s", "attempt 3, after a wait of 20.5 s"]


def test_lines_stop_at_the_edges_of_a_label() -> None:
    worker = timeline(*scenes.retries(3).records()).axes[-1]
    dotted = next(line for line in worker.lines if line.get_linestyle() == ":")
    labels = {text.get_text(): text for text in worker.texts}
    assert set(labels) == {"500", "task1"}
    for label in labels.values():
        assert label.get_bbox_patch().get_facecolor()[3] == 1
        assert label.get_zorder() > dotted.get_zorder()


@pytest.mark.parametrize("theme", THEMES)
def test_texts_and_marks_have_enough_contrast(theme: str) -> None:
    colours = THEMES[theme]
    for back, ink in product((svg.PAPER, svg.BAND), (svg.INK, svg.FAINT)):
        assert contrast(colours[back], colours[ink]) >= 4.5
    for back, mark in product((svg.PAPER, svg.BAND), MARKS):
        assert contrast(colours[back], colours[mark]) >= 3, mark
    assert all(contrast(colours[mark], svg.BLACK) >= 4.5 for mark in (svg.RED, svg.PURPLE, svg.AMBER))
    assert all(contrast(colours[mark], colours[svg.PAPER]) >= 4.5 for mark in (svg.BLUE, svg.INK))


def test_every_colour_but_black_has_a_dark_variant() -> None:
    for story in (scenes.everything(), scenes.crowd(60)):
        themed = embedded(timeline(*story.records(201)))
        fixed = re.sub(r"var\(--\w+, #\w{6}\)|--\w+:#\w{6}", "", themed)
        assert set(re.findall(r"#[0-9a-f]{6}\b", fixed)) <= {svg.BLACK}
        assert f"var(--{svg.INK[1:]}, {svg.INK})" in themed
    assert "var(" not in timeline(*scenes.retries(3).records()).svg()


def test_html_contains_the_image_for_a_notebook_whose_scripts_may_not_run() -> None:
    html = backoff([1], "<b>")._repr_html_()
    assert re.sub(r"<script>.*</script>", "", html, flags=re.DOTALL).startswith('<figure style="margin:0"><img alt="')
    assert html.count("<script>") == 1
    assert "<b>" not in html
