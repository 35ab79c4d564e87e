"""Slides: the rule that gives each cell its place, and the deck that is made of a lesson and its exercises."""

import re
from base64 import b64decode
from pathlib import Path

import pytest

from harness.classroom.cli import main
from harness.classroom.slides import make_slides, slide_notebook
from harness.course.catalogue import lessons
from harness.errors import NotebookError
from harness.notebooks import files
from harness.notebooks.lint import NotebookPage, lesson_rules
from harness.notebooks.normal_form import slide_types, with_slides
from harness.notebooks.stubs import STUB
from tests.support.scratch import code, display, markdown, notebook, result, save, stream

ROOT = Path(__file__).parents[2]
LESSONS = files.find(ROOT, "notebooks")
TITLE = markdown("# 01 First")
LONG = "def f():\n" + "    x = 1\n" * 15


def types(*cells) -> list[str]:
    return slide_types(notebook(TITLE, *cells).cells)[1:]


@pytest.fixture
def reveal(tmp_path: Path) -> Path:
    """A folder that looks like reveal.js."""
    for name in ("dist/reset.css", "dist/reveal.css", "dist/reveal.js", "plugin/notes/notes.js"):
        (tmp_path / "reveal" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "reveal" / name).write_text(f"/* {name} */", encoding="utf-8")
    return tmp_path / "reveal"


def test_the_first_cell_and_each_section_begin_a_slide():
    cells = [TITLE, markdown("Some words."), markdown("## A section"), markdown("Last.\n\n## Another")]
    assert slide_types(notebook(*cells).cells) == ["slide", "-", "slide", "slide"]


def test_what_does_not_fit_goes_on_a_subslide():
    assert types(markdown("## A"), code("x = 1"), code(LONG)) == ["slide", "-", "subslide"]


def test_outputs_take_room_too():
    tall = stream("line\n" * 20)
    figure = display(text_html='<img alt="a" src="data:,">', text_plain="a")
    assert types(markdown("## A"), code("x", tall)) == ["slide", "subslide"]
    assert types(markdown("## A"), code("x", figure), code("y", figure)) == ["slide", "-", "subslide"]
    assert types(markdown("## A\n\n![a](a.svg)"), code("y", figure)) == ["slide", "subslide"]


def test_text_goes_with_the_code_that_it_introduces():
    introduced = markdown("Here is the worker:")
    assert types(markdown("## A"), code(LONG[:60]), introduced, code(LONG)) == ["slide", "-", "subslide", "-"]


def test_a_prediction_is_the_last_thing_on_its_slide_and_its_answer_a_fragment():
    cells = [
        markdown("## A"),
        code("predict('1.a')", stream("What?\n")),
        code("lab.run()", result("1 attempt")),
        code("predict('1.a', reveal=True)", stream("B: Nothing.\n")),
        markdown("And so on."),
    ]
    assert types(*cells) == ["slide", "-", "subslide", "fragment", "fragment"]


def test_a_prediction_at_the_end_of_a_cell_is_the_last_thing_on_its_slide_too():
    assert types(markdown("## A"), code("x = 1\npredict('1.a')"), code("y = 2")) == ["slide", "-", "subslide"]


@pytest.mark.parametrize(("tag", "kind"), [("slide-here", "subslide"), ("slide-on", "-"), ("slide-skip", "skip")])
def test_a_tag_overrules_the_rule(tag, kind):
    tagged = {"metadata": {"tags": [tag]}}
    assert types(markdown("## A"), markdown("B", **tagged), markdown("C")) == ["slide", kind, "-"]
    assert types(markdown("## A", **tagged)) == [kind]


def test_the_linter_names_a_cell_whose_slide_is_not_the_rules(tmp_path):
    raw = with_slides(notebook(TITLE, markdown("## A"), code("x")))
    raw.cells[2].metadata["slideshow"]["slide_type"] = "subslide"
    save(tmp_path / "notebooks" / "01_first.ipynb", *raw.cells)
    ((cell, says),) = lesson_rules.slides(NotebookPage(tmp_path, tmp_path / "notebooks" / "01_first.ipynb"))
    assert cell.source == "x"
    assert "slide type 'subslide', but the rule gives '-'" in says


def test_a_section_in_the_middle_of_a_cell_begins_a_slide_and_what_is_before_it_stays(tmp_path):
    raw = with_slides(notebook(TITLE, code("x = 1", count=1), markdown("So far.\n\n## A section\n\nMore.")))
    slides = slide_notebook(save(tmp_path / "notebooks" / "01_first.ipynb", *raw.cells))
    shown = [(cell.source, cell.metadata.slideshow.slide_type) for cell in slides.cells]
    assert shown[2:] == [("So far.", "fragment"), ("## A section\n\nMore.", "slide")]


@pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.stem)
def test_a_deck_is_the_lesson_and_a_slide_for_each_exercise_with_its_check(path):
    slides = slide_notebook(path)
    files.validate(slides, path.name)
    checks = [place for place, cell in enumerate(slides.cells) if re.fullmatch(r"check\('\d\.\d'\)", cell.source)]
    solution = ROOT / "solutions" / path.name
    asked = re.findall(r"## (\d\.\d) ", solution.read_text(encoding="utf-8")) if solution.exists() else []
    for place, number in zip(checks[-len(asked) :], asked, strict=True) if asked else []:
        begin = max(at for at in range(place) if slides.cells[at].cell_type == "markdown")
        story, *stubs, check = slides.cells[begin : place + 1]
        assert story.source.startswith(f"## {number} ")
        assert stubs and all("YOUR CODE HERE" in stub.source for stub in stubs)
        assert check.source == f"check('{number}')"
        kinds = [cell.metadata.slideshow.slide_type for cell in (story, *stubs, check)]
        assert kinds[0] == "subslide"
        assert set(kinds[1:-1]) <= {"-", "subslide"}
        assert kinds[-1] == "-"
    stubs = [cell.id for cell in slides.cells if cell.cell_type == "code" and "YOUR CODE HERE" in cell.source]
    small = [each.number for lesson in lessons() for each in lesson.small if lesson.number == path.name[:2]]
    assert stubs[: len(small)] == [f"ex{number.replace('.', '-')}-answer" for number in small]


def test_an_exercise_on_a_slide_comes_from_the_solution_and_not_from_a_learners_notebook(tmp_path):
    lesson = save(tmp_path / "notebooks" / "01_first.ipynb", *with_slides(notebook(TITLE)).cells)
    answer = code("### BEGIN SOLUTION\nx = 1\n### END SOLUTION")
    cells = [markdown("# Exercises"), markdown("## 1.1 Do it"), answer, code("check('1.1')", stream("1.1 correct\n"))]
    save(tmp_path / "solutions" / "01_first.ipynb", *cells)
    save(tmp_path / "exercises" / "01_first.ipynb", markdown("# Mine"), code("check('1.1', my mistake"))
    shown = [(cell.source, cell.get("outputs", [])) for cell in slide_notebook(lesson).cells[1:]]
    assert shown == [("## Exercises", []), ("## 1.1 Do it", []), (STUB, []), ("check('1.1')", [])]


ANSWERS = ROOT / "tests" / "answers"


@pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.stem)
def test_the_speakers_notes_are_on_the_slide_that_they_are_about(path):
    cells = slide_notebook(path, ANSWERS).cells
    files.validate(notebook(*cells), path.name)
    notes = [place for place, cell in enumerate(cells) if cell.metadata.slideshow.slide_type == "notes"]
    assert cells[1].source.startswith("**Purpose:** ")
    slow = [place for place in notes if "**Slow down:** " in cells[place].source]
    votes = [place for place in notes if "**Typical votes:** " in cells[place].source]
    assert len(slow) == 1
    assert len(votes) >= (1 if path.name.startswith("00") else 2)
    for place in votes:
        assert "### " in cells[place - 1].source or "predict(" in cells[place - 1].source
    checks = [place for place, cell in enumerate(cells) if re.fullmatch(r"check\('\d\.\d'\)", cell.source)]
    for place in checks:
        assert re.match(r"\*\*Common mistakes\*\* in \d\.\d:\n\n- .+\n- ", cells[place + 1].source)
        assert "**Ask:**\n\n1. " in cells[place + 1].source


@pytest.mark.parametrize(("folder", "counts"), [("my-course", [1, 2]), ("notebooks", [1, None]), ("notebooks", [2, 3])])
def test_slides_are_not_made_from_a_learners_run(tmp_path, folder, counts):
    cells = [markdown("# 01 First"), *(code("x = 1", count=count) for count in counts)]
    path = save(tmp_path / folder / "01_first.ipynb", *cells)
    with pytest.raises(NotebookError, match=re.escape(str(path))) as caught:
        slide_notebook(path)
    assert "learner's copy" in str(caught.value) if folder == "my-course" else "Run `make build`" in str(caught.value)


def test_an_index_page_lists_the_slides_in_the_folder(tmp_path, reveal):
    for number, title in enumerate(["Ferries & `tides`", "Second", "Third"], 1):
        text = f"# 0{number} {title}\n\n**{number}0 minutes.**"
        save(tmp_path / "notebooks" / f"0{number}_lesson.ipynb", *with_slides(notebook(markdown(text))).cells)
    lessons = files.find(tmp_path, "notebooks")
    make_slides(tmp_path, reveal, tmp_path / "slides", lessons[:1], say=lambda line: None)
    *_, index = make_slides(tmp_path, reveal, tmp_path / "slides", lessons[2:], say=lambda line: None)
    rows = re.findall(r'<a href="(.+)">(.+)</a></td><td>(.+)</td>', index.read_text(encoding="utf-8"))
    assert rows == [
        ("01_lesson.html", "01 Ferries &amp; tides", "10 minutes"),
        ("03_lesson.html", "03 Third", "30 minutes"),
    ]


@pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.stem)
def test_no_slide_shows_the_answer_before_the_vote(path):
    cells = slide_notebook(path).cells
    asked = re.compile(r"### .+\n\n- \*\*A\*\* |(?s:.*)predict\('(?!.*reveal=)")  # on a slide, or as a call
    asks = [place for place, cell in enumerate(cells) if asked.match(cell.source)]
    assert len(asks) >= (1 if path.name.startswith("00") else 2)
    for place in asks:
        assert cells[place + 1].metadata.slideshow.slide_type in ("slide", "subslide")


def test_links_to_other_notebooks_are_words_and_links_elsewhere_stay(tmp_path):
    text = markdown("# [Lesson](02_second.ipynb), [web2py](https://web2py.example)")
    slides = slide_notebook(save(tmp_path / "notebooks" / "01_first.ipynb", text))
    assert slides.cells[0].source == "# Lesson, [web2py](https://web2py.example)"


def test_a_picture_of_a_lesson_is_part_of_its_slides(tmp_path, reveal):
    lesson = save(tmp_path / "notebooks" / "01_first.ipynb", markdown("# A\n\n![A queue](images/a.svg)"))
    picture = '<svg xmlns="http://www.w3.org/2000/svg"/>'
    (tmp_path / "notebooks" / "images").mkdir()
    (tmp_path / "notebooks" / "images" / "a.svg").write_text(picture, encoding="utf-8")
    (made, _) = make_slides(tmp_path, reveal, tmp_path / "slides", [lesson], say=lambda line: None)
    tags = re.findall(r"<img[^>]*>", made.read_text(encoding="utf-8"))
    (shown,) = [tag for tag in tags if "A queue" in tag]
    (source,) = re.findall('src="data:image/svg[+]xml;base64,([^"]*)"', shown)
    assert b64decode(source).decode() == picture


def test_slides_load_nothing_from_elsewhere(tmp_path, reveal):
    (made, _) = make_slides(ROOT, reveal, tmp_path / "slides", LESSONS[1:2], say=lambda line: None)
    html = made.read_text(encoding="utf-8")
    loaded = re.findall(r"<(?:script|link|img|iframe)[^>]*?(?:src|href)=\"([^\"]*)\"", html)
    local = [name for name in loaded if not name.startswith("data:")]
    assert local
    assert all((tmp_path / "slides" / name).is_file() for name in local)
    assert not re.search(r"@import|url\(\s*['\"]?(?:https?:)?//|\bimport .* from|require\(", html)


def test_a_folder_without_reveal_is_refused(tmp_path):
    with pytest.raises(NotebookError, match="has no dist/reset.css, so it isn't reveal.js; `make slides` installs one"):
        make_slides(ROOT, tmp_path, tmp_path / "slides")
    assert not (tmp_path / "slides").exists()


def test_a_folder_without_lessons_is_refused(tmp_path, reveal):
    with pytest.raises(NotebookError, match="holds no notebooks"):
        make_slides(tmp_path, reveal, tmp_path / "slides")


def test_the_command_writes_the_lessons_it_is_given(tmp_path, reveal, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    save(tmp_path / "notebooks" / "01_first.ipynb", *with_slides(notebook(TITLE)).cells)
    assert main(["slides", "--reveal", str(reveal), "--to", "made", "notebooks/01_first.ipynb"]) == 0
    assert capsys.readouterr().out == "wrote made/01_first.html\nwrote made/index.html\n"
    assert "01 First" in (tmp_path / "made" / "01_first.html").read_text(encoding="utf-8")
