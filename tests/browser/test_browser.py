"""The course in JupyterLab, as a learner meets it, and the machinery of these tests.

One file, so that one worker runs all of it, with one JupyterLab and one Chromium.
"""

import os
import socket
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from harness.classroom.jupyterlab import COURSE_FILES
from harness.course.catalogue import find_exercise, find_prediction, lesson_notebook
from harness.notebooks import files
from harness.notebooks.copies import copy_name
from harness.notebooks.normal_form import normalise
from harness.records import Outcome
from harness.show import attempts_table
from harness.show.plots import backoff
from tests.browser.driver import DARK, LIGHT, OVER, ROOT, SECONDS, Server, copy_course, jupyterlab, require_chromium
from tests.support import desk
from tests.support.sample_records import ATTEMPTS
from tests.support.scratch import code, display, markdown, save

pytestmark = pytest.mark.browser

EXERCISES = [path.name for path in files.find(ROOT, "solutions")]
LESSONS = [path.name for path in files.find(ROOT, "notebooks")]
if not os.environ.get("HARNESS_SOAK"):  # other tests run every lesson in a kernel and compare it with what is committed
    LESSONS = LESSONS[:2]
    EXERCISES = [EXERCISES[0], EXERCISES[-1]]
CARDS = ("check(", "hint(")  # begins a cell that shows a card here, and text in the committed notebook


@pytest.mark.parametrize("name", LESSONS)
def test_a_lesson_runs_and_saves_what_is_committed(visit, server, name):
    """Every cell is run; what JupyterLab then saves has the normal form that the build gave the lesson.

    The demonstrations of `check` and `hint` are left out, because only an open notebook shows cards.
    """
    notebook = visit(f"notebooks/{name}")
    notebook.run_all()
    cells = notebook.code_cells()
    assert [cell["execution_count"] for cell in cells] == list(range(1, len(cells) + 1))
    cells = [cell for cell in cells if not cell["source"].startswith(CARDS)]
    raised = [cell["id"] for cell in cells if any(output["output_type"] == "error" for output in cell["outputs"])]
    assert raised == [cell["id"] for cell in cells if "raises-exception" in cell["metadata"].get("tags", [])]
    notebook.save()
    saved = normalise(with_printed_predictions(files.read(server.root / "notebooks" / name)))
    committed = files.read(ROOT / "notebooks" / name)
    for each in (saved, committed):
        each.cells = [cell for cell in each.cells if not cell.source.startswith(CARDS)]
    assert files.dump(saved).splitlines() == files.dump(committed).splitlines()


def with_printed_predictions(notebook: files.Notebook) -> files.Notebook:
    """Replace the cards of predictions by their text, which is what the build saves."""
    for cell in notebook.cells:
        if "predict(" in cell.source:
            for output in (each for each in cell.outputs if each.output_type == "display_data"):
                text = output.data["text/plain"]
                output.clear()
                output.update(output_type="stream", name="stdout", text=f"{text}\n")
    return notebook


# The kernel's answer, after which JupyterLab writes what the kernel reports into the notebook's metadata.
MODIFIED = """async () => {
    const panel = window.jupyterapp.shell.currentWidget;
    await panel.sessionContext.session.kernel.info;
    await new Promise(resolve => setTimeout(resolve, 0));
    return panel.context.model.dirty;
}"""


def test_copies_are_listed_alone_link_to_each_other_and_open_unmodified(window, server):
    """The learner's folder: from a lesson along its links. In `make soak`, all copies are opened."""
    names = sorted(path.name for path in (server.root / "my-course").glob("*.ipynb"))
    recaps = [path for path in files.find(ROOT, files.PAGES) if copy_name(path.as_posix())]
    assert len(names) == len([*files.find(ROOT, "notebooks"), *files.find(ROOT, "exercises"), *recaps])
    lesson = window.open(f"my-course/{names[1]}")
    assert lesson.page.evaluate(MODIFIED) is False
    assert not any(cell["outputs"] for cell in lesson.code_cells())
    window.execute("filebrowser:open-path", {"path": "my-course"})
    listed = lesson.page.locator(".jp-DirListing-itemText")
    listed.nth(len(names) - 1).wait_for()
    assert listed.all_inner_texts() == names
    top = set(lesson.page.evaluate(TOP_FOLDER))
    assert "my-course" in top
    assert not top & set(COURSE_FILES)
    lesson.page.locator('.jp-NotebookPanel:visible a[href*="01b_exercises"]').last.click()
    exercises = window.notebook(f"my-course/{names[2]}")
    assert exercises.page.evaluate(MODIFIED) is False
    if os.environ.get("HARNESS_SOAK"):
        assert [name for name in names if window.open(f"my-course/{name}").page.evaluate(MODIFIED)] == []


TOP_FOLDER = "async () => (await window.jupyterapp.serviceManager.contents.get('')).content.map(entry => entry.name)"
ENTRY = """title => {
    const page = window.jupyterapp.shell.currentWidget;
    const headings = [...page.node.querySelectorAll('.jp-MarkdownViewer h2')];
    const entry = headings.find(heading => heading.dataset.jupyterId === title);
    const top = entry?.getBoundingClientRect().top - page.node.getBoundingClientRect().top;
    return page.context?.path === 'notebooks/GLOSSARY.md' && top >= 0 && top < 150;
}"""


@pytest.mark.parametrize("term", ["dead letter", "ETA"])
def test_a_link_to_the_glossary_opens_it_rendered_at_the_entry(window, course, term):
    entry = term.replace(" ", "-")
    save(course / "notebooks" / "zz.ipynb", markdown(f"# Scratch\n\nA [{term}](GLOSSARY.md#{entry})."))
    window.open("notebooks/zz.ipynb").page.locator('.jp-Notebook a[href*="GLOSSARY"]:visible').click()
    window.wait(ENTRY, entry)


# How far each editor's longest line goes beyond its right edge, in pixels.
BEYOND = """() => [...document.querySelectorAll('.jp-NotebookPanel:not(.lm-mod-hidden) .cm-scroller')]
    .map(editor => editor.scrollWidth - editor.clientWidth)"""


@pytest.mark.parametrize("name", EXERCISES)
def test_an_exercise_notebook_shows_all_its_code_and_runs_to_its_last_cell(visit, name):
    notebook = visit(f"exercises/{name}")
    notebook.page.set_viewport_size({"width": 1024, "height": 900})
    assert max(notebook.page.evaluate(BEYOND)) <= 0
    notebook.page.set_viewport_size({"width": 1280, "height": 900})
    notebook.run_all()
    cells = notebook.code_cells()
    assert [cell["execution_count"] for cell in cells] == list(range(1, len(cells) + 1))
    shown = ["".join(cell["outputs"][0]["data"]["text/html"]) for cell in cells if cell["source"].startswith("check(")]
    assert len(shown) >= 3
    assert all("not attempted." in html for html in shown)


def test_the_page_asks_nothing_of_another_machine(window, visit):
    visit("notebooks/02_passing_data.ipynb").run_all()
    asked = {url.partition("?")[0] for url in window.requests if not url.startswith(("data:", "blob:"))}
    assert len(asked) > 20
    assert {url for url in asked if not url.startswith(f"{window.server.url}/")} == set()


@pytest.fixture
def copies(server: Server) -> Iterator[list[str]]:
    """The learner's copies of lesson 02 and its exercises, which are restored after a test, as is the progress."""
    names = [f"my-course/{copy_name(f'{folder}/02_passing_data.ipynb')}" for folder in ("notebooks", "exercises")]
    originals = {server.root / name: (server.root / name).read_bytes() for name in names}
    yield names
    for path, content in originals.items():
        path.write_bytes(content)
    (server.state / "progress.json").unlink()


# The distance of a cell's top from the top of the notebook in front, in pixels.
TOP = """([path, id]) => {
    const page = window.jupyterapp.shell.currentWidget;
    const cell = page?.context?.path === path && page.content.widgets.find(cell => cell.model.id === id);
    const top = cell && cell.node.getBoundingClientRect().top - page.content.node.getBoundingClientRect().top;
    return typeof top === 'number' && top > -10 && top < 100;
}"""
# The lowest contrast of the text in the card below a cell with what is behind it (WCAG 2.2), and whether the card fits.
CARD = """cell => {
    const numbers = color => (color.match(/[0-9.]+/g) ?? []).map(Number);
    const light = rgb => [0.2126, 0.7152, 0.0722].reduce((sum, part, i) => {
        const value = rgb[i] / 255;
        return sum + part * (value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4);
    }, 0);
    const behind = node => {
        const rgba = numbers(getComputedStyle(node).backgroundColor);
        return rgba.length === 3 || rgba[3] > 0 ? rgba : behind(node.parentElement);
    };
    const output = cell.querySelector('.jp-OutputArea-output');
    const texts = [...output.querySelectorAll('*')].filter(
        node => [...node.childNodes].some(child => child.nodeType === 3 && child.textContent.trim()));
    const contrasts = texts.map(node => {
        const pair = [light(numbers(getComputedStyle(node).color)), light(behind(node))].sort((a, b) => b - a);
        return (pair[0] + 0.05) / (pair[1] + 0.05);
    });
    return {contrast: Math.min(...contrasts), fits: output.scrollWidth <= output.clientWidth};
}"""


def test_a_learner_goes_through_an_exercise_to_a_lesson_and_to_the_progress(window, copies):
    """2.1: wrong, with a diagnosis and a link to lesson 02; a hint; edited; right; the solution and the progress."""
    lesson, exercises = copies
    exercise = window.open(exercises)
    exercise.run("lab")
    stub = exercise.source("ex2-1-answer")
    call = next(line.strip() for line in stub.splitlines() if "YOUR CODE HERE" in line)
    wrong = "taskqueue.add(url=URL('log_edit', vars=dict(old=old, new=new)))"
    right = "taskqueue.add(url=URL('log_edit'), params=dict(old=old, new=new))"

    assert "– 2.1 not attempted." in exercise.run("ex2-1-check")
    exercise.write("ex2-1-answer", stub.replace(call, wrong))
    exercise.run("ex2-1-answer")
    seen = exercise.run("ex2-1-check")
    assert "✗ 2.1 not right yet." in seen
    assert "Diagnosis" in seen
    card = exercise._cell("ex2-1-check")
    window.page.set_viewport_size({"width": 1024, "height": 900})
    for theme in (DARK, LIGHT):
        window.choose_theme(theme)
        looks = card.evaluate(CARD)
        assert looks["contrast"] >= 4.5
        assert looks["fits"]
    exercise.tab_to("ex2-1-check", ".jp-OutputArea-output a")
    window.page.keyboard.press("Enter")
    mistake = find_exercise("2.1").mistakes["url-vars"]
    section = next(cell.id for cell in lesson_notebook("02").cells if f"# {mistake.reread}\n" in cell.source)
    window.wait(TOP, [lesson, section])

    exercise = window.open(exercises)
    exercise.write("ex2-1-check", "hint('2.1')")
    assert "Hint 1 of 3:" in exercise.run("ex2-1-check")
    exercise.write("ex2-1-answer", stub.replace(call, right))
    exercise.write("ex2-1-check", "check('2.1')")
    exercise.save()
    assert "2.1 edited after it last ran. Run the cell" in exercise.run("ex2-1-check")
    exercise.run("ex2-1-answer")
    seen = exercise.run("ex2-1-check")
    assert "✓ 2.1 correct:" in seen
    assert "Next exercise: 2.2 " in seen
    exercise.write("ex2-1-check", "solution('2.1')")
    assert "%%controller ex2_1\ndef save" in exercise.run("ex2-1-check")
    colours = card.locator("pre span").evaluate_all(
        "spans => new Set(spans.map(each => getComputedStyle(each).color)).size"
    )
    assert colours >= 3
    exercise.write("ex2-1-check", "progress()")
    seen = exercise.run("ex2-1-check")
    assert f"1 of {desk.EXERCISES} exercises solved" in seen
    assert "Next exercise: 1.1 " in seen
    assert card.evaluate(CARD)["fits"]


ASK, REVEAL = "predict('2.a')", "predict('2.a', reveal=True)"


def test_a_learner_predicts_with_keyboard_and_mouse_and_finds_the_choice_the_next_day(window, course):
    """2.a: A and B by keyboard, C by mouse; the answer, in both themes; and the same notebook on another day."""
    save(course / "notebooks" / "zz.ipynb", code("from harness import predict"), code(ASK, id="ask"), code(REVEAL))
    page = window.page
    lesson = window.open("notebooks/zz.ipynb")
    setup, ask, reveal = (cell["id"] for cell in lesson.code_cells())
    lesson.run(setup)
    assert "Choose an option." in lesson.run(ask)
    card = page.locator(".tqc-prediction")
    lesson.tab_to(ask, ".tqc-option")
    page.keyboard.press("Enter")
    card.get_by_text("You chose A.").wait_for()
    page.keyboard.press("b")  # outside the card, this key adds a cell
    assert page.evaluate("document.activeElement.getAttribute('aria-pressed')") == "true"
    card.get_by_role("button", name="Thank you").nth(1).click()
    card.get_by_text("You chose C.").wait_for()
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("Space")
    card.get_by_text("You chose B.").wait_for()
    page.keyboard.press("Shift+Enter")  # with the focus on a button of the card
    window.wait("id => window.jupyterapp.shell.currentWidget.content.activeCell.model.id === id", reveal)
    assert len(lesson.cells()) == 3
    assert find_prediction("2.a").why not in page.content()
    assert "✗ You chose B, but the answer is C." in lesson.run(reveal)
    card.get_by_text("The answer was shown.").wait_for()
    assert card.locator(".tqc-right").inner_text().endswith("✓ right answer")
    assert card.locator(".tqc-wrong").inner_text().endswith("✗ your choice")
    for theme, width, colour in ((LIGHT, 1440, "rgba(0, 0, 0, 0.87)"), (DARK, 1024, "rgb(255, 255, 255)")):
        window.choose_theme(theme)
        page.set_viewport_size({"width": width, "height": 900})
        window.wait(f"() => getComputedStyle(document.querySelector('.tqc-prediction')).color === '{colour}'")
        assert card.evaluate("card => card.scrollWidth <= card.clientWidth && card.clientWidth > 400")

    lesson.save()
    window.close_notebooks()
    lesson = window.open("notebooks/zz.ipynb")
    assert "You chose B. Run this cell to change your choice." in lesson.shown(ask)
    lesson.run(setup)
    assert "✗ You chose B, but the answer is C." in lesson.run(reveal)
    assert "You chose B. You can change your choice" in lesson.run(ask)
    (window.server.state / "predictions.json").unlink()


@pytest.fixture
def scratch(course: Path) -> Path:
    cells = [markdown("# Scratch"), code("1 / 0", tags=("raises-exception",)), code("6 * 7"), code("1 / 0"), code("8")]
    return save(course / "scratch" / "a.ipynb", *cells)


def brightness(picture: Path) -> float:
    """The mean of all pixels: 0 is black, 255 white."""
    grey = Image.open(picture).convert("L")
    return sum(level * count for level, count in enumerate(grey.histogram())) / (grey.width * grey.height)


def test_a_run_goes_on_after_an_expected_exception_and_stops_at_another(visit, scratch):
    notebook = visit("scratch/a.ipynb")
    notebook.run_all()
    cells = notebook.code_cells()
    assert [cell["execution_count"] for cell in cells] == [1, 2, 3, None]
    assert cells[1]["outputs"][0]["data"]["text/plain"] == "42"
    assert cells[2]["outputs"][0]["ename"] == "ZeroDivisionError"
    text = notebook.page.locator(".jp-OutputArea-output pre").first
    assert text.evaluate("pre => getComputedStyle(pre).wordBreak") == "normal"


# A notebook is in front with the focus, so that a person would begin to type.
FOCUSED = """path => {
    const panel = window.jupyterapp.shell.currentWidget;
    return panel?.context?.path === path && panel.content.node.contains(document.activeElement)
        && !panel.node.querySelector('.jp-Spinner');
}"""
PROMPTS = """() => [...window.jupyterapp.shell.currentWidget.node.querySelectorAll('.jp-InputPrompt')]
    .map(prompt => prompt.textContent)"""


def test_no_shift_enter_is_lost_while_the_kernel_starts_and_check_finds_the_notebook_saved(window, course):
    """The server doesn't create the kernel's session before three cells were run, the second with an edit."""
    saved = "import json\ncheck = lambda path: json.load(open(path))['cells'][2]['source']"
    save(
        course / "scratch" / "b.ipynb",
        code("order = [1]"),
        code(saved),
        code("before"),
        code("order"),
        markdown("The end."),
    )
    held = []
    window.page.route(
        "**/api/sessions*", lambda route: held.append(route) if route.request.method == "POST" else route.continue_()
    )
    window.page.evaluate("() => { window.jupyterapp.commands.execute('docmanager:open', {path: 'scratch/b.ipynb'}); }")
    window.wait(FOCUSED, "scratch/b.ipynb")
    keyboard = window.page.keyboard
    keyboard.press("Shift+Enter")
    keyboard.press("Shift+Enter")
    keyboard.press("Enter")
    keyboard.press("Control+A")
    keyboard.insert_text("order.append(2); check('b.ipynb')")
    keyboard.press("Shift+Enter")
    keyboard.press("Shift+Enter")
    end = time.monotonic() + SECONDS
    while not held and time.monotonic() < end:
        window.page.wait_for_timeout(20)  # Playwright calls the handler of the route only while it waits
    prompts = window.page.evaluate(PROMPTS)[:4]
    for route in held:
        route.continue_()
    window.page.unroute_all()
    assert (len(held), prompts) == (1, ["[*]:"] * 4)
    notebook = window.notebook("scratch/b.ipynb")
    window.wait(OVER)
    cells = notebook.code_cells()
    assert [cell["execution_count"] for cell in cells] == [1, 2, 3, 4]
    assert cells[2]["outputs"][0]["data"]["text/plain"] == "[\"order.append(2); check('b.ipynb')\"]"
    assert cells[3]["outputs"][0]["data"]["text/plain"] == "[1, 2]"


def test_screenshots_show_a_notebook_from_top_to_bottom_in_the_theme(window, course, tmp_path):
    save(course / "scratch" / "long.ipynb", *(markdown("# Scratch\n\n" + "A line.\n\n" * 30) for _ in range(3)))
    notebook = window.open("scratch/long.ipynb")
    for theme, darkest, brightest in ((DARK, 0, 80), (LIGHT, 200, 255)):
        window.choose_theme(theme)
        pictures = notebook.screenshots(tmp_path, 1024)
        assert len(pictures) >= 3
        assert pictures == [tmp_path / f"scratch-long-{number}.png" for number in range(1, len(pictures) + 1)]
        assert darkest <= brightness(pictures[0]) <= brightest
        with Image.open(pictures[-1]) as picture:
            assert 600 < picture.width < 1024
            assert 1500 < picture.height < 1700


FIGURE = """from harness.show.plots import backoff
backoff([10, 20], 'mail')"""
TRACE = "task task"  # a stored output that begins so is a trace
HEIGHTS = """() => [...document.querySelectorAll('.jp-NotebookPanel:not(.lm-mod-hidden) .jp-OutputArea-output')]
    .filter(output => output.querySelector('table'))
    .map(output => [output.scrollHeight, output.scrollWidth - output.clientWidth])"""
# The title of the mark under the mouse, the text for a screen reader, the background, and whether all of it is seen.
POINT = """() => {
    const image = document.querySelector('.jp-NotebookPanel:not(.lm-mod-hidden) figure > [role=img]');
    image?.scrollIntoView({block: 'center'});
    const svg = image?.shadowRoot.firstChild, box = svg?.querySelector('#mark1 use').getBoundingClientRect();
    const under = box && image.shadowRoot.elementFromPoint(box.x + box.width / 2, box.y + box.height / 2);
    return [
        under?.closest('g:has(> title)')?.querySelector('title').textContent,
        image?.ariaLabel,
        svg && getComputedStyle(svg.querySelector('#patch_1 path')).fill,
        svg?.getBoundingClientRect().right <= image?.getBoundingClientRect().right + 1,
    ];
}"""


@pytest.fixture(scope="module")
def displays(course: Path) -> Path:
    """A notebook with every trace of the lessons, a wide table, and a figure that its cell draws again."""
    drawn = backoff([10, 20], "mail")
    lessons = [files.read(path) for path in files.find(ROOT, "notebooks")]
    outputs = [output for lesson in lessons for cell in lesson.cells for output in cell.get("outputs", [])]
    traces = [dict(output) for output in outputs if output.get("data", {}).get("text/plain", "").startswith(TRACE)]
    assert len(traces) >= 2
    request, why = replace(ATTEMPTS[0].request, url="/tutorial/default/mail_subscribers"), "task_retry_limit 2 reached"
    wide = attempts_table([replace(ATTEMPTS[0], request=request, outcome=Outcome.DROPPED, note=f"status 500; {why}")])
    table = display(text_html=wide._repr_html_(), text_plain=str(wide))
    figure = code(FIGURE, display(text_html=drawn._repr_html_(), text_plain=drawn.alt))
    return save(course / "scratch" / "displays.ipynb", markdown("# Displays"), code("pass", *traces, table), figure)


def test_traces_and_tables_fit_the_screen_and_a_figure_follows_the_theme(window, displays):
    """Stored outputs aren't trusted until their cell has run: no scripts, but the same traces, and a readable image."""
    notebook = window.open("scratch/displays.ipynb")
    image = notebook.page.locator(".jp-NotebookPanel:visible figure img")
    assert "20 s" in image.get_attribute("alt")
    assert image.evaluate("image => image.naturalWidth") > 500
    for width in (1024, 1440):
        notebook.page.set_viewport_size({"width": width, "height": 900})
        for height, too_wide in notebook.page.evaluate(HEIGHTS):
            assert 50 < height <= 700
            assert too_wide <= 0
    notebook.tab_to("cell-2", "summary")
    for is_open in (True, False):
        notebook.page.keyboard.press("Enter")
        assert notebook.page.evaluate("() => document.activeElement.parentElement.open") is is_open

    window.choose_theme(DARK)
    notebook.run("cell-3")
    for paper in ("rgb(27, 29, 32)", "rgb(253, 252, 248)"):
        seen = ["attempt 3, after a wait of 20 s", backoff([10, 20], "mail").alt, paper, True]
        window.wait(f"seen => JSON.stringify(({POINT})()) === JSON.stringify(seen)", seen)
        window.choose_theme(LIGHT)


def test_the_server_opens_the_first_lesson_and_goes_when_it_is_stopped(tmp_path):
    home = tmp_path / "home"
    home.mkdir()
    with jupyterlab(copy_course(tmp_path), home) as server:
        *_, address, solved, stop = server.log.read_text().splitlines()
        assert address.startswith(f"Open {server.url}/lab/tree/my-course/00a_lesson_welcome.ipynb?token=")
        assert solved.startswith(f"0 of {desk.EXERCISES} solved, next: 1.1 ")
        assert stop == "To stop: press Ctrl-C, then y"
    assert server.log.read_text().endswith(f"{stop}\n")
    assert server.process.returncode is not None
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", int(server.url.rpartition(":")[2]))) != 0


def test_without_chromium_tests_skip_at_home_and_fail_in_ci(monkeypatch):
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception, match="apt-get install chromium"):
        require_chromium()
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="apt-get install chromium"):
        require_chromium()
