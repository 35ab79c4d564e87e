"""Draw the rooms of `harness/` and their imports: `make docs` writes harness/rooms.svg and harness/appengine.svg.

An arrow is a direct import. It is left out if a longer way through other boxes already implies it. The boxes and arrows
are read from the code. Only the columns and the few words in each box are written here.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from functools import cache
from typing import Any

from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

from harness.show.figure import Picture, style
from harness.show.svg import FAINT, INK
from tests.test_imports import FILES, ROOT, ours, part_of

# By room: its column in the picture, and its job. Rows follow from the imports.
ROOMS = {
    "__main__": (0, "python -m harness starts here"),
    "__init__": (1, "the names that import harness gives"),
    "classroom": (0, "command line, watch, doctor, slides, grading"),
    "course": (0, "exercises: check, hint, solution, predict"),
    "notebooks": (0, "notebooks as files: build, lint, magics, pytest plugin"),
    "testing": (2, "a pytest plugin for your own application, faults"),
    "lab": (0, "Lab, the object that a learner works with"),
    "serve": (3, "a local App Engine in real time, and its console"),
    "state": (0, "this machine: the progress folder, how a command is called"),
    "cloudtasks": (2, "Cloud Tasks' API over the same queues"),
    "visitor": (1, "a user of a lab: pages, forms, cookies"),
    "queue_console": (0, "one queue, as an admin console shows it"),
    "appengine": (0, "the local App Engine: task queue, dispatcher, web2py"),
    "show": (1, "how records look: text, HTML, timeline, plots"),
    "errors": (0, "every exception that the harness raises"),
    "records": (2, "immutable facts: request, response, task, attempt"),
}
APPENGINE = {
    "app_engine": (1, "one App Engine, composed of the parts below"),
    "dispatcher": (0, "which task runs when, and what happens to it next"),
    "server": (1, "runs one request in virtual time"),
    "user_client": (2, "a user's browser: URLs, forms, cookies"),
    "taskqueue": (0, "the service behind Google's client: queues, leases"),
    "web2py": (1, "real web2py: files, database, routes, requests"),
    "google_certificates": (3, "what a handler fetches to verify a token"),
    "id_tokens": (3, "the tokens of Cloud Tasks, and their key"),
    "time_limit": (2, "stops a handler that never ends"),
    "turns": (0, "requests in turn, as on several instances"),
    "forms": (2, "fills in the HTML form of a page"),
    "written_files": (0, "the newest text of each written file"),
    "clock": (0, "virtual time and real time"),
    "wsgi": (1, "calls a WSGI application in process"),
}

_BOX = (2.6, 0.72)  # inches
_GAP = (0.3, 0.4)
_EDGE = 0.25
_PORT = 0.45  # inches between two arrows at one side of a box
_MIDDLE = _BOX[0] / 2
_COLOURS = ("#dcebf5", "#e0f0e6", "#f7ecd2", "#f3e3ec")  # one for each row in turn

Point = tuple[float, float]
Graph = dict[str, set[str]]


def room_imports() -> Graph:
    """Return, by room, the rooms that it imports directly."""
    found: Graph = {}
    for name, path in FILES.items():
        room = name.split(".")[0]
        found.setdefault(room, set()).update(target.split(".")[0] for target in ours(path, typing=True))
    return {room: targets - {room} for room, targets in found.items()}


def appengine_imports() -> Graph:
    """Return, by part of `appengine`, the parts that it imports directly; its `__init__` is left out."""
    found: Graph = {}
    for name, path in FILES.items():
        if name.startswith("appengine."):
            inside = {part_of(target) for target in ours(path, typing=True) if target.startswith("appengine.")}
            found.setdefault(part_of(name), set()).update(inside)
    return {part: targets - {part} for part, targets in found.items()}


def reduce_graph(graph: Graph) -> Graph:
    """Return the graph without each arrow that a longer way implies."""
    return {
        node: targets - set().union(*(_reachable(graph, target) for target in targets))
        for node, targets in graph.items()
    }


def rows(graph: Graph) -> dict[str, int]:
    """Return the row of each node: 0 if nothing imports it, otherwise one below the lowest node that does."""

    def row(node: str) -> int:
        return max((row(other) + 1 for other, targets in graph.items() if node in targets), default=0)

    return {node: row(node) for node in graph}


def draw(graph: Graph, table: dict[str, tuple[int, str]], alt: str) -> str:
    """Return a picture as SVG: a box for each node, each above everything that it imports.

    Args:
        graph: what each node imports, without cycles.
        table: the column of each node, and its job in a few words.
        alt: what the picture shows.
    """
    row_of = rows(graph)
    columns, height = max(column for column, _ in table.values()) + 1, max(row_of.values()) + 1
    size = [
        2 * _EDGE + count * (box + gap) - gap for count, box, gap in zip((columns, height), _BOX, _GAP, strict=True)
    ]
    boxes = {
        node: (_EDGE + column * (_BOX[0] + _GAP[0]), size[1] - _EDGE - _BOX[1] - row_of[node] * (_BOX[1] + _GAP[1]))
        for node, (column, _) in table.items()
    }
    picture = Picture(alt, "", size[1])
    picture.set_size_inches(*size)
    with style():
        axes = picture.add_axes((0, 0, 1, 1), xlim=(0, size[0]), ylim=(0, size[1]))
        axes.set_axis_off()
        for node, corner in boxes.items():
            _draw_box(axes, corner, _COLOURS[row_of[node] % len(_COLOURS)], node, table[node][1])
        for arrow in _arrows(reduce_graph(graph), boxes):
            axes.add_patch(arrow)
    return picture.svg().replace("<svg", "<!-- Drawn by tests/support/rooms.py: run `make docs` -->\n<svg", 1)


@cache
def pictures() -> dict[str, str]:
    """Return each picture as SVG, by the name of its file in harness/."""
    return {
        "rooms.svg": draw(room_imports(), ROOMS, "The rooms of harness/ and their imports"),
        "appengine.svg": draw(appengine_imports(), APPENGINE, "The parts of harness/appengine/ and their imports"),
    }


def _reachable(graph: Graph, start: str) -> set[str]:
    """Return what a node imports, directly or through others."""
    return graph[start].union(*(_reachable(graph, target) for target in graph[start]))


def _draw_box(axes: Any, corner: Point, colour: str, name: str, job: str) -> None:
    x, y = corner
    axes.add_patch(
        FancyBboxPatch(corner, *_BOX, boxstyle="round,pad=0,rounding_size=0.07", fc=colour, ec=FAINT, lw=0.8)
    )
    axes.text(x + _MIDDLE, y + _BOX[1] - 0.09, name, ha="center", va="top", fontsize=10.5, fontweight="bold")
    lines = textwrap.fill(job, 34)
    axes.text(x + _MIDDLE, y + 0.23, lines, ha="center", va="center", fontsize=8, linespacing=1.15)


def _arrows(graph: Graph, boxes: dict[str, Point]) -> Iterator[FancyArrowPatch]:
    """Yield the arrows. One that passes a row runs down its own column and ends at the side of its target."""
    edges = sorted((boxes[node], boxes[target]) for node, targets in graph.items() for target in targets)
    for (x, y), (to_x, to_y) in edges:
        aside = _PORT * round((to_x - x) / _BOX[0])  # arrows to and from the left and the right do not meet
        if y - to_y < 1.5 * (_BOX[1] + _GAP[1]):
            start, end, shape = (x + _MIDDLE + aside, y), (to_x + _MIDDLE - aside, to_y + _BOX[1]), "arc3"
        else:
            side = to_x + _BOX[0] * (x > to_x)
            start, end, shape = (x + _MIDDLE, y), (side, to_y + _BOX[1] / 2), "angle,angleA=90,angleB=0,rad=8"
        yield FancyArrowPatch(
            start,
            end,
            arrowstyle="-|>",
            connectionstyle=shape,
            mutation_scale=9,
            color=INK,
            lw=0.9,
            shrinkA=0,
            shrinkB=1,
        )


if __name__ == "__main__":
    for name, svg in pictures().items():
        (ROOT / name).write_text(svg, encoding="utf-8")
