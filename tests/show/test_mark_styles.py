"""Marks look the same on a web page and in a figure."""

import re
from xml.etree import ElementTree

from harness.show import svg
from harness.show.mark_styles import ATTEMPTS, STYLES, definitions, legend, stylesheet
from harness.show.timeline_model import Mark


def test_every_mark_has_a_style_of_its_own():
    assert set(STYLES) == set(Mark)
    assert len(set(STYLES.values())) == len(Mark)


def test_a_page_has_the_colours_of_the_figures_in_both_themes():
    light, dark = stylesheet().split("@media(prefers-color-scheme:dark)")
    assert f"--paper:{svg.PAPER};" in light
    assert f"--paper:{svg.DARK[svg.PAPER]};" in dark
    assert set(re.findall(r"--(\w+):", dark.splitlines()[0])) == set(re.findall(r"--(\w+):", light)) - {"black"}


def test_each_mark_of_an_attempt_has_a_marker_a_fill_a_colour_and_a_name():
    shapes = ElementTree.fromstring(f"<defs>{definitions()}</defs>")
    found = {shape.get("id") for shape in shapes}
    assert found == {f"{kind}-{mark.name}" for kind in ("marker", "fill") for mark in ATTEMPTS}
    assert [f".mark-{mark.name}{{" in stylesheet() for mark in ATTEMPTS] == [True] * len(ATTEMPTS)
    assert re.findall(r"</svg> (.*)</li>", legend()) == list(ATTEMPTS)
    hatched = {shape.get("id") for shape in shapes if len(shape) == 2}
    assert hatched == {f"fill-{mark.name}" for mark in ATTEMPTS if STYLES[mark].hatch}
