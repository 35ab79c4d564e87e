"""A certificate as a page of A4, in SVG and in PDF. The same certificate always gives the same bytes.

matplotlib draws the page with DejaVu, a font that is part of matplotlib. If this font can't show a name, there is no
PDF, and the SVG contains the name as text. A browser shows this text in a font of the machine.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from html import escape
from io import BytesIO, StringIO
from typing import Any

from matplotlib.figure import Figure
from matplotlib.font_manager import findfont, get_font
from matplotlib.patches import Rectangle
from wcwidth import iter_graphemes

from harness.course.catalogue import Lesson
from harness.course.certificates.certificate import COURSE, NO_PROOF, Certificate, Standing, plain
from harness.show.figure import style, width_of
from harness.show.svg import AMBER, BLUE, FAINT, GREEN, INK, normalize
from harness.show.text import width

# Lengths are in millimetres from the upper left corner of the page, and sizes of fonts are in points.
_WIDTH, _HEIGHT = 210, 297
_LEFT, _MIDDLE, _RIGHT = 22, 108, 188  # the two columns of exercises, and the end of the text
_NAME, _LIST, _LIST_END = 75, 123, 251
_LARGEST, _ONE_LINE, _SMALLEST = 30, 18, 9  # of a name; below _ONE_LINE, it may have two lines
_ROW, _MARK = 5.8, 6.0  # the largest height of a row, and the width of a mark
_GAP = 0.7  # between two lessons, in rows
_INCH = 25.4
_POINT = _INCH / 72
_MARKS = {
    Standing.UNAIDED: ("✓", GREEN),
    Standing.AIDED: ("◐", BLUE),
    Standing.UNRECORDED: ("●", AMBER),
    Standing.OPEN: ("○", FAINT),
}
Measure = Callable[[str, float], float]  # the width of a text in a size


class _Page(Figure):
    """An empty page with a frame."""

    def __init__(self) -> None:
        super().__init__(figsize=(_WIDTH / _INCH, _HEIGHT / _INCH), facecolor="white")
        for inset, line in ((8, 1.6), (10, 0.5)):
            box = (inset / _WIDTH, inset / _HEIGHT), 1 - 2 * inset / _WIDTH, 1 - 2 * inset / _HEIGHT
            self.add_artist(Rectangle(*box, fill=False, edgecolor=BLUE, linewidth=line, transform=self.transFigure))

    def put(self, text: str, x: float, y: float, size: float, **look: Any) -> None:
        """Put a line of text so that (x, y) is the left end of its baseline, or the middle if `ha="center"`."""
        self.text(x / _WIDTH, 1 - y / _HEIGHT, text, size=size, va="baseline", **look)

    def put_lines(self, text: str, y: float, size: float, **look: Any) -> None:
        """Put a centred paragraph, whose first baseline is at y."""
        for number, line in enumerate(_break(text, size, _measure)):
            self.put(line, _WIDTH / 2, y + number * size * _POINT * 1.45, size, ha="center", **look)


def unprintable(name: str) -> str:
    """Return the first character of a name that the page can't show correctly, or "".

    DejaVu lacks some characters. matplotlib only puts characters side by side, from left to right. So it can't show
    scripts that are written from right to left, or whose marks or letters change their form or position.
    """
    font = get_font(findfont("DejaVu Sans"))
    return next((each for each in name if not font.get_char_index(ord(each)) or _needs_layout(each)), "")


def _needs_layout(character: str) -> bool:
    is_mark = unicodedata.category(character).startswith("M") and not "\u0300" <= character <= "\u036f"
    return is_mark or unicodedata.bidirectional(character) in ("R", "AL", "AN")


def to_svg(certificate: Certificate) -> str:
    """Return the page as SVG."""
    file = StringIO()
    with style():
        no_metadata = dict.fromkeys(("Date", "Creator", "Format", "Type"))
        draw(certificate).savefig(file, format="svg", metadata=no_metadata)
    svg = normalize(file.getvalue())
    end = svg.index(">", svg.index("<svg "))
    described = (
        f'{svg[:end]} role="img" aria-labelledby="title desc" xml:lang="en">'
        f'<title id="title">{escape(f"{certificate.title}: {certificate.name}", quote=False)}</title>'
        f'<desc id="desc">{escape(certificate.text, quote=False)}</desc>{svg[end + 1 :]}'
    )
    name = _name_as_text(certificate.name) if unprintable(certificate.name) else ""
    return described.replace("</svg>", f"{name}</svg>")


def to_pdf(certificate: Certificate) -> bytes:
    """Return the page as PDF. For its name, `unprintable` must return ""."""
    file = BytesIO()
    title = f"{certificate.title}: {certificate.name}"
    with style():
        without = dict.fromkeys(("Creator", "Producer", "CreationDate"))
        draw(certificate).savefig(file, format="pdf", metadata={"Title": title, **without})
    return file.getvalue()


def draw(certificate: Certificate) -> Figure:
    """Return the page. The caller must have set the `style`."""
    page, middle = _Page(), {"ha": "center"}
    page.put(certificate.title, _WIDTH / 2, 38, 25, family="DejaVu Serif", color=BLUE, **middle)
    page.put(COURSE, _WIDTH / 2, 50, 13, **middle)
    if not unprintable(certificate.name):
        for line, y, size in _name_lines(certificate.name, _measure):
            page.put(line, _WIDTH / 2, y, size, **middle)
    page.put_lines(certificate.statement, 92, 11)
    page.put(certificate.made, _WIDTH / 2, 112, 9.5, color=FAINT, **middle)
    _draw_exercises(page, certificate)
    _draw_legend(page, certificate)
    page.put_lines(NO_PROOF, 278, 7.5, color=FAINT)
    return page


def _draw_exercises(page: _Page, certificate: Certificate) -> None:
    columns = _columns(certificate.lessons)
    row = min(_ROW, (_LIST_END - _LIST) / max(map(_rows, columns)))
    for x, column in zip((_LEFT, _MIDDLE), columns, strict=True):
        y = float(_LIST)
        for lesson in column:
            _draw_lesson(page, certificate, lesson, (x, y), row)
            y += row * _rows([lesson])


def _draw_lesson(page: _Page, certificate: Certificate, lesson: Lesson, place: tuple[float, float], row: float) -> None:
    x, y = place
    size = min(9, row / _POINT * 0.7)
    room = _MIDDLE - _LEFT - 4
    page.put(*_fitted(f"{lesson.number}  {plain(lesson.title)}", x, y, size, room / 1.13), weight="bold")
    for exercise in lesson.exercises:
        y += row
        mark, colour = _MARKS[certificate.standing(exercise)]
        page.put(mark, x, y, size, color=colour)
        page.put(*_fitted(f"{exercise.number}  {plain(exercise.title)}", x + _MARK, y, size, room - _MARK))


def _fitted(text: str, x: float, y: float, size: float, room: float) -> tuple[str, float, float, float]:
    """Return the arguments of `put` for a text, in a smaller size if the text is wider than the room."""
    return text, x, y, size * min(1, room / _measure(text, size))


def _columns(taught: tuple[Lesson, ...]) -> tuple[tuple[Lesson, ...], tuple[Lesson, ...]]:
    """Split the lessons into a left and a right column, so that the longer one is as short as possible."""
    splits = [(taught[:number], taught[number:]) for number in range(1, len(taught) + 1)]
    return min(splits, key=lambda columns: max(map(_rows, columns)))


def _rows(column: tuple[Lesson, ...] | list[Lesson]) -> float:
    return sum(1 + len(lesson.exercises) + _GAP for lesson in column)


def _draw_legend(page: _Page, certificate: Certificate) -> None:
    used = [standing for standing in Standing if certificate.count(standing)]
    for number, standing in enumerate(used):
        y = 270 - (len(used) - 1 - number) * 4.5
        mark, colour = _MARKS[standing]
        page.put(mark, _LEFT, y, 8.5, color=colour)
        page.put(str(standing), _LEFT + _MARK, y, 8.5)


def _name_as_text(name: str) -> str:
    """Return the lines of a name as elements of an SVG, in which one unit is one point."""
    look = f'text-anchor="middle" font-family="sans-serif" fill="{INK}" style="unicode-bidi:plaintext"'
    return "".join(
        f'<text x="{_WIDTH / 2 / _POINT:.2f}" y="{y / _POINT:.2f}" font-size="{size}" {look}>{escape(line)}</text>'
        for line, y, size in _name_lines(name, _estimate)
    )


def _name_lines(name: str, measure: Measure) -> list[tuple[str, float, float]]:
    """Return the lines of a name, each with its baseline and its size, in the largest size that fits."""
    for size in range(_LARGEST, _SMALLEST - 1, -1):
        lines = _break(name, size, measure)
        if len(lines) <= (1 if size >= _ONE_LINE else 2):
            break
    step = size * _POINT * 1.25
    top = _NAME - step * (len(lines) - 1) / 2
    return [(line, top + step * number, size) for number, line in enumerate(lines)]


def _break(text: str, size: float, measure: Measure) -> list[str]:
    """Return the lines of a text. A word is broken only if it is wider than the page."""
    room, lines = _RIGHT - _LEFT, [""]
    for word in text.split(" "):
        joined = f"{lines[-1]} {word}".lstrip()
        if measure(joined, size) <= room:
            lines[-1] = joined
            continue
        if lines[-1]:
            lines.append("")
        for grapheme in iter_graphemes(word):
            if lines[-1] and measure(lines[-1] + grapheme, size) > room:
                lines.append("")
            lines[-1] += grapheme
    return lines


def _measure(text: str, size: float) -> float:
    return width_of(text, size) * _INCH


def _estimate(text: str, size: float) -> float:
    """Return the approximate width of a text in an unknown font."""
    return width(text) * 0.6 * size * _POINT
