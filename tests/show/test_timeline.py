"""Figures: their texts, that no text is cut or hidden, and that they are the same everywhere."""

from __future__ import annotations

import base64
import os
import subprocess
import sys
from dataclasses import replace
from functools import cache
from html.parser import HTMLParser
from itertools import combinations
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from harness.records import Outcome, QueueSample, Request, TaskState
from harness.show.plots import backoff, rate, timeline
from harness.show.timeline_model import Mark, Span, make_model
from tests.support import scenes
from tests.support.scenes import Story, Try, at

DOUBLING = [min(0.1 * 2**place, 3600) for place in range(20)]
DOCS = [10.0, 20.0, 40.0, 80.0, 160.0, 240.0, 300.0, 300.0, 300.0]  # T29
SAMPLES = [QueueSample(at(place * 0.2), place % 6, 100 - place, place % 4) for place in range(101)]
STORIES = {
    "nothing": Story(),
    "seed": scenes.seed_example(),
    "instant": scenes.one_instant(),
    "3 attempts": scenes.retries(3),
    "17 attempts": scenes.retries(17),
    "everything": scenes.everything(),
    "30 tasks": scenes.burst(30),
    "60 tasks": scenes.crowd(60, ["default"]),
    "1000 tasks": scenes.crowd(1000),
    "long title": scenes.long_title(),
    "20 queues": scenes.crowd(40, [f"queue-{number}" for number in range(20)]),
}


def draw(story: Story, now: float = 0.0) -> Any:
    return timeline(*story.records(now))


FIGURES = {
    **{name: lambda story=story: draw(story, 201.0) for name, story in STORIES.items()},
    "backoff": lambda: backoff(DOUBLING, "default"),
    "backoff of the docs": lambda: backoff(DOCS, "partner"),
    "backoff of one": lambda: backoff([5], "one"),
    "backoff of none": lambda: backoff([], "once"),
    "backoff of zero": lambda: backoff([0.0] * 3, "eager"),
    "backoff of 300": lambda: backoff([min(0.1 * 2**place, 3600) for place in range(300)], "stubborn"),
    "rate": lambda: rate(SAMPLES, "mail"),
    "rate of one": lambda: rate(SAMPLES[:1], "mail"),
    "rate of none": lambda: rate([], "mail"),
}


@cache
def figure_of(name: str) -> Any:
    """A figure that several tests read and no test changes."""
    return FIGURES[name]()


@pytest.fixture(params=FIGURES)
def figure(request: pytest.FixtureRequest) -> Any:
    return figure_of(request.param)


class Image(HTMLParser):
    """Reads the one image of a figure's HTML."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.attributes: dict[str, str | None] = {}
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "img":
            self.attributes = dict(attrs)


def texts(figure: Any) -> list[Any]:
    """The visible texts of a figure."""
    from matplotlib.text import Text

    return [text for text in figure.findobj(Text) if text.get_visible() and text.get_text().strip()]


def title(figure: Any) -> str:
    return str(figure.texts[0].get_text()).replace("\n", " ")


def legend(figure: Any) -> list[str]:
    return [text.get_text() for text in figure.legends[0].get_texts()]


def lane_names(figure: Any) -> list[str]:
    return [text.get_text() for text in figure.texts[1:]]


def test_no_text_is_cut_or_covers_another(figure: Any) -> None:
    figure.draw_without_rendering()
    boxes = [(text.get_text(), text.get_window_extent()) for text in texts(figure)]
    assert boxes
    for words, box in boxes:
        assert figure.bbox.x0 <= box.x0 and box.x1 <= figure.bbox.x1, f"{words!r} is cut at a side"
        assert figure.bbox.y0 <= box.y0 and box.y1 <= figure.bbox.y1, f"{words!r} is cut above or below"
    for (one, box), (other, second) in combinations(boxes, 2):
        width = min(box.x1, second.x1) - max(box.x0, second.x0)
        height = min(box.y1, second.y1) - max(box.y0, second.y0)
        assert width < 2 or height < 2, f"{one!r} covers {other!r}"


def test_html_is_an_image_with_the_alt_text(figure: Any) -> None:
    image = Image(figure._repr_html_()).attributes
    assert image["alt"] == repr(figure) == str(figure) != ""
    kind, _, data = (image["src"] or "").partition(",")
    assert kind == "data:image/svg+xml;base64"
    assert ElementTree.fromstring(base64.b64decode(data)).tag == "{http://www.w3.org/2000/svg}svg"


def test_alt_text_contains_the_title(figure: Any) -> None:
    assert title(figure) in figure.alt
    assert figure.alt.endswith(".")
    assert "\n" not in figure.alt


def test_background_is_opaque(figure: Any) -> None:
    assert figure.get_facecolor()[3] == 1


@pytest.mark.parametrize("name", FIGURES)
def test_svg_is_the_same_when_drawn_again(name: str) -> None:
    assert figure_of(name).svg() == FIGURES[name]().svg()


def test_title_counts_in_a_sentence() -> None:
    assert title(draw(STORIES["nothing"])) == "Nothing has happened yet"
    assert title(draw(STORIES["seed"])) == "3 requests, 1 task, 1 attempt: 1 done"
    assert title(draw(STORIES["3 attempts"])) == "1 request, 1 task, 3 attempts (2 failed): 1 done"
    assert title(draw(STORIES["everything"])) == (
        "4 requests, 6 tasks in 2 queues, 8 attempts (4 failed): 4 done, 1 dropped, 1 deleted"
    )


def test_title_without_tasks_counts_requests_only() -> None:
    story = Story()
    story.visit("index", 0)
    assert title(draw(story)) == "1 request, no tasks"


def test_alt_text_of_a_short_run_lists_its_events() -> None:
    assert repr(draw(STORIES["3 attempts"])) == (
        "Timeline: 1 request, 1 task, 3 attempts (2 failed): 1 done. "
        "It covers 0.3 s of virtual time from 2012-09-03 09:00:00. "
        "User: gen_task starts at 0 s, takes 0 s. "
        "Queue default: task1 is added at 0 s. "
        "Worker: task1 runs at 0 s (attempt failed, to be retried). "
        "Worker: task1 runs at 0.1 s (attempt failed, to be retried). "
        "Worker: task1 runs at 0.3 s (attempt done)."
    )


def test_the_scale_of_a_long_run_is_the_largest_number_of_tasks_that_wait_at_one_time() -> None:
    queue = draw(scenes.burst(60)).axes[1]
    assert [label.get_text() for label in queue.get_yticklabels()] == ["0", "55"]


def test_alt_text_of_a_crowd_is_short() -> None:
    alt = repr(draw(STORIES["1000 tasks"], 201))
    assert len(alt) < 800
    assert "Queue mail: 333 tasks, waiting up to" in alt


def test_lanes_are_user_queue_and_worker() -> None:
    assert lane_names(draw(STORIES["seed"])) == ["user", "queue\ndefault", "worker"]
    assert lane_names(draw(STORIES["everything"])) == ["user", "queue\ndefault", "queue\nmail", "worker"]


def test_many_queues_share_a_lane() -> None:
    names = lane_names(draw(STORIES["20 queues"]))
    assert len(names) == 8
    assert names[-2] == "queue\n15 others"


def test_legend_names_each_mark_that_is_seen_and_no_other() -> None:
    lines = ["connects the events of a task", "until the next attempt"]
    assert legend(draw(STORIES["seed"])) == ["request", "task added", "attempt done", *lines[:1]]
    assert legend(draw(STORIES["everything"])) == [
        "request",
        "request failed",
        "task added",
        "waits for its ETA",
        "waits for its turn",
        "attempt done",
        "attempt failed, to be retried",
        "attempt stopped at its deadline",
        "attempt failed, task dropped",
        "task deleted",
        *lines,
    ]


def test_marks_differ_in_shape_not_only_in_colour() -> None:
    handles = draw(STORIES["everything"]).legends[0].legend_handles
    shapes = [
        (handle.get_marker(), handle.get_linestyle()) if hasattr(handle, "get_marker") else handle.get_hatch()
        for handle in handles
    ]
    assert len(set(shapes)) == len(shapes)


def test_marks_of_a_long_run_differ_in_colour_or_hatch() -> None:
    handles = draw(STORIES["1000 tasks"], 201).legends[0].legend_handles
    kinds = {(handle.get_hatch(), handle.get_facecolor()) for handle in handles}
    assert len(kinds) == len(handles) == 4


def test_tasks_and_actions_are_named_where_there_are_few() -> None:
    shown = {text.get_text() for text in texts(draw(STORIES["seed"]))}
    assert {"slow", "gen_task", "index", "task1", "200"} <= shown


def test_spans_that_take_no_time_are_visible() -> None:
    figure = draw(STORIES["instant"])
    markers = [line.get_marker() for axes in figure.axes for line in axes.lines if line.get_marker() != "None"]
    assert markers == [">", "d", "o"]


def test_now_is_marked_while_something_waits() -> None:
    story = Story()
    story.visit("gen_task", 0)
    story.task("task1", 0, eta=10)
    assert "now" in {text.get_text() for text in texts(draw(story, 4))}
    assert "now" not in {text.get_text() for text in texts(draw(STORIES["seed"], 100))}


def test_waiting_for_the_eta_looks_different_from_waiting_for_its_turn() -> None:
    story = Story()
    story.task("task1", 0, [Try(10)], eta=4)
    eta, turn = draw(story).axes[1].patches
    assert (eta.get_x(), eta.get_width()) == (0, 0.4)
    assert turn.get_x() == 0.4
    assert eta.get_hatch() and not turn.get_hatch()


def test_retries_are_linked() -> None:
    worker = draw(STORIES["3 attempts"]).axes[-1]
    (dotted,) = [line for line in worker.lines if line.get_linestyle() == ":"]
    assert list(dotted.get_xdata()) == [0, 1]


def test_a_failure_is_not_hidden_by_its_retry() -> None:
    story = Story()
    story.task("task1", 0, [Try(120, status=500), Try(120.1)])
    failed, done = [line for line in draw(story).axes[-1].lines if line.get_marker() != "None"]
    assert failed.get_zorder() > done.get_zorder()


def test_concurrent_attempts_have_rows_of_their_own() -> None:
    story = Story()
    for number in range(3):
        story.task(f"task{number}", 0, [Try(0, 5)])
    bars = draw(story).axes[-1].patches
    assert len({bar.get_y() for bar in bars}) == 3


def test_attempts_after_each_other_share_a_row() -> None:
    story = Story()
    for number in range(20):  # too many for labels, which would need room of their own
        story.task(f"task{number}", 0, [Try(number * 5, 2)])
    bars = draw(story).axes[-1].patches
    assert len({bar.get_y() for bar in bars}) == 1


def test_a_name_that_is_used_again_is_another_task() -> None:
    story = Story()
    story.task("same", 0, [Try(1)])
    story.task("same", 100, [Try(101, 0, 500)], end=Outcome.DROPPED)
    assert title(draw(story)) == "no requests, 2 tasks, 2 attempts (1 failed): 1 done, 1 dropped"
    assert len([text for text in texts(draw(story)) if text.get_text() == "same"]) == 4


def test_a_duplicate_delivery_waits_no_negative_time() -> None:
    story = Story()
    story.task("task1", 0, [Try(0, 5), Try(2, 5)])
    assert all(patch.get_width() >= 0 for axes in draw(story).axes for patch in axes.patches)


def test_a_wait_begins_when_the_attempt_before_has_ended() -> None:
    story = Story()
    story.task("task1", 0, [Try(0, 5), Try(7, 1)])
    second = story.attempts[1]
    story.attempts[1] = replace(second, task=replace(second.task, eta=at(1)), duplicate=True)
    (life,) = make_model(*story.records()).lives
    assert life.waits == (Span(5, 7, Mark.TURN),)


@pytest.mark.parametrize("state", [TaskState.RUNNING, TaskState.DELETED, TaskState.WAITING])
def test_a_task_without_attempts_can_be_drawn(state: TaskState) -> None:
    story = Story()
    story.task("task1", 0, state=state, eta=5)
    assert title(draw(story, 7)).endswith(f"no attempts: 1 {state}")


def test_names_may_hold_anything() -> None:
    story = scenes.one_instant()
    nasty = "日$x$\\frac<&>\x00\udc80" + "long" * 20
    story.responses[0] = replace(story.responses[0], route=None, request=Request("GET", f"/a/{nasty}"))
    figure = draw(story)
    assert any("□$x$" in text.get_text() for text in texts(figure))
    ElementTree.fromstring(figure.svg())
    figure._repr_html_().encode("utf-8")
    ElementTree.fromstring(backoff([1, 2], nasty).svg())
    assert "Oblique" not in backoff([1, 2], "$x$").svg()  # no mathematics
    ElementTree.fromstring(rate(SAMPLES, nasty).svg())


def test_alt_text_of_a_backoff_lists_its_waits() -> None:
    assert repr(backoff(DOCS[:5], "partner")) == (
        "Backoff. Queue partner: 5 retries after waits of 10 s to 2 min 40 s. "
        "Waits: 10 s, 20 s, 40 s, 1 min 20 s, 2 min 40 s. The last attempt starts 5 min 10 s after the first."
    )


def test_alt_text_of_a_long_backoff_counts_the_rest_of_its_waits() -> None:
    assert (
        "13 min 39 s, 27 min 18 s, 54 min 37 s, 1 h, 1 h, 1 h, 1 h, 280 more. The last"
        in figure_of("backoff of 300").alt
    )


def test_backoff_of_very_different_waits_is_logarithmic() -> None:
    assert backoff(DOUBLING, "q").axes[0].get_yscale() == "log"
    assert backoff(DOCS, "q").axes[0].get_yscale() == "linear"


def test_backoff_without_retries_says_so() -> None:
    assert repr(backoff([], "once")) == "Queue once: no retries, one attempt only."


def test_rate_shows_tokens_waiting_and_running() -> None:
    figure = rate(SAMPLES, "mail")
    assert title(figure) == "Queue mail: up to 100 waiting and 3 running, 0 to 5 tokens"
    assert lane_names(figure) == ["tokens\nin the bucket", "tasks\nwaiting", "tasks\nrunning"]
    assert figure.alt.endswith(
        "It covers 20 s of virtual time from 2012-09-03 09:00:00. At the end, 0 wait, 0 run, and 4 tokens are left."
    )


def test_rate_without_samples_says_so() -> None:
    assert repr(rate([], "mail")) == "Queue mail: nothing has happened yet."


def test_a_figure_is_a_matplotlib_figure(tmp_path: Path) -> None:
    from matplotlib.figure import Figure

    figure = draw(STORIES["seed"])
    assert isinstance(figure, Figure)
    figure.savefig(tmp_path / "timeline.png")
    assert (tmp_path / "timeline.png").read_bytes().startswith(b"\x89PNG")


def test_matplotlibs_settings_are_neither_changed_nor_obeyed() -> None:
    import matplotlib

    before = draw(STORIES["seed"]).svg()
    with matplotlib.rc_context({"font.size": 30, "xtick.major.pad": 20, "svg.fonttype": "none"}):
        settings = dict(matplotlib.rcParams)
        assert draw(STORIES["seed"]).svg() == before
        assert dict(matplotlib.rcParams) == settings


def test_a_picture_of_a_thousand_tasks_is_small() -> None:
    assert len(draw(STORIES["1000 tasks"], 201)._repr_html_()) < 300_000


def run(code: str, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        env={**os.environ, **environment},
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


def test_figures_are_the_same_bytes_in_another_process_and_time_zone() -> None:
    code = (
        "from tests.show.test_timeline import FIGURES\n"
        "for name in ('seed', 'everything', '60 tasks', 'backoff', 'rate'): print(FIGURES[name]()._repr_html_())"
    )
    runs = {run(code, TZ="UTC", PYTHONHASHSEED="1"), run(code, TZ="Asia/Tokyo", PYTHONHASHSEED="2")}
    assert len(runs) == 1


def test_pyplot_is_never_imported_and_matplotlib_only_to_draw() -> None:
    code = (
        "import sys, harness.show\n"
        "assert 'matplotlib' not in sys.modules\n"
        "from harness.show.plots import backoff\n"
        "backoff([1, 2], 'q')._repr_html_()\n"
        "assert 'matplotlib' in sys.modules\n"
        "assert 'matplotlib.pyplot' not in sys.modules"
    )
    assert run(code) == ""


def test_matplotlib_is_quiet_where_there_is_no_home() -> None:
    code = "from harness.show.plots import backoff; backoff([1, 2], 'q')._repr_html_()"
    environment = {name: value for name, value in os.environ.items() if name != "MPLCONFIGDIR"} | {"HOME": os.devnull}
    assert subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, check=True).stderr == b""
