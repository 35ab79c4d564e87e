"""A certificate states what was solved and how, on one page of A4. Existing files are backed up first."""

import re
import subprocess
from dataclasses import replace
from datetime import date, datetime
from importlib import metadata
from itertools import combinations
from pathlib import Path
from xml.etree import ElementTree

import matplotlib
import pytest

from harness.course import api, certificate, progress_file
from harness.course.api import solution
from harness.course.catalogue import Lesson, exercises, lessons
from harness.course.certificates import certificate_files
from harness.course.certificates.certificate import COURSE, NO_PROOF, Certificate, Standing, certify, read_name
from harness.course.certificates.certificate_files import save
from harness.course.certificates.certificate_page import draw, to_pdf, to_svg, unprintable
from harness.course.progress_file import Progress
from harness.errors import BadValueError, CourseError, NotebookError, ProgressError
from harness.show.figure import style
from harness.state import VARIABLE
from tests.support.isolation import python

DAY, NOW = date(2026, 11, 30), datetime(2026, 11, 30, 15, 12, 0)
SVG = "{http://www.w3.org/2000/svg}"
EVERY = [exercise.number for exercise in exercises()]
CHINESE, ARABIC, HINDI = "王小明", "ليلى العربي", "अदा लवलेस"
OF_VERSION_2 = '{"version": 2, "exercises": {"1.3": {"solved": true, "date": null, "checks": 1, "hints": 0}}}'


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder of a new learner."""
    monkeypatch.setenv(VARIABLE, str(tmp_path / "state"))
    monkeypatch.setattr(progress_file, "_session", Progress())
    (tmp_path / "desk").mkdir()
    monkeypatch.chdir(tmp_path / "desk")
    return tmp_path / "desk"


@pytest.fixture
def short_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Write a text instead of each page, because a page takes half a second."""
    monkeypatch.setattr(certificate_files, "to_svg", lambda each: f"<svg>{each.name}</svg>")
    monkeypatch.setattr(certificate_files, "to_pdf", lambda each: f"%PDF {each.name}".encode())


def made(name: str = "Ada Lovelace", **counts: int) -> Certificate:
    """Return a certificate with a number of exercises in each standing; the others are open."""
    standings = [Standing[kind] for kind, count in counts.items() for _ in range(count)]
    standings += [Standing.OPEN] * (len(EVERY) - len(standings))
    taught = tuple(lesson for lesson in lessons() if lesson.exercises)
    return Certificate(read_name(name), DAY, "1.2.3", taught, dict(zip(EVERY, standings, strict=True)))


ALL = {"UNAIDED": len(EVERY)}


@pytest.mark.parametrize(
    ("typed", "name"),
    [
        ("Ada Lovelace", "Ada Lovelace"),
        (" Ada\u00a0 \tLovelace\n", "Ada Lovelace"),
        ("Zoe\u0308", "Zoë"),
        ("5", None),
        ("", None),
        (" \n", None),
        ("— ★ —", None),
        ("x" * 100, "x" * 100),
        ("x" * 101, None),
        ("Ada\x00", None),
        ("Ada\udcff", None),
        ("Ada \u202eecalevoL", None),
        ("می\u200cنا", "می\u200cنا"),
        (CHINESE, CHINESE),
        ("<b>Ada</b> & $x$", "<b>Ada</b> & $x$"),
        (None, None),
    ],
)
def test_a_name_is_any_text_with_letters(typed: str, name: str | None) -> None:
    if name is not None:
        assert read_name(typed) == name
    else:
        with pytest.raises(BadValueError, match="^the name "):
            read_name(typed)


def test_a_refused_name_is_explained() -> None:
    for name, says in [
        ("7", "at least one letter, and '7' has none"),
        ("x" * 101, "has 101 characters"),
        ("a\0", "U+0000"),
    ]:
        with pytest.raises(BadValueError, match=re.escape(says)):
            read_name(name)


def test_an_exercise_is_solved_without_looking_or_after_looking_or_open(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "progress.json").write_text(OF_VERSION_2, encoding="utf-8")
    progress_file.mark_solved("1.1")
    solution("1.1", give_up=True)  # after it was solved
    solution("1.2", give_up=True)
    progress_file.mark_solved("1.2")
    solution("1.4", give_up=True)
    progress_file.mark_solved("1.x")
    standings = certify("Ada", DAY).standings
    assert list(standings) == EVERY
    assert {number: standing.name for number, standing in standings.items() if number < "2"} == {
        "1.1": "UNAIDED",
        "1.2": "AIDED",
        "1.3": "UNRECORDED",
        "1.4": "OPEN",
    }
    assert {standing for number, standing in standings.items() if number > "2"} == {Standing.OPEN}


def test_a_solution_that_is_refused_or_shown_in_the_solutions_is_not_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(CourseError):
        solution("1.1")
    (tmp_path / "solutions").mkdir()
    monkeypatch.chdir(tmp_path / "solutions")
    solution("1.1", give_up=True)
    progress_file.mark_solved("1.1")
    assert certify("Ada", DAY).standings["1.1"] is Standing.UNAIDED


def test_without_a_solved_exercise_there_is_no_certificate(folder: Path) -> None:
    solution("1.1", give_up=True)
    with pytest.raises(CourseError, match=r"you haven't solved any yet\. The first exercise is 1\.1 Queue it\."):
        save("Ada", NOW)
    assert list(folder.iterdir()) == []


def test_progress_that_cannot_be_read_is_not_certified_as_none(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "progress.json").write_text('{"version": 99}', encoding="utf-8")
    with pytest.raises(ProgressError, match="newer version"):
        save("Ada", NOW)


TOTAL = len(EVERY)


@pytest.mark.parametrize(
    ("counts", "title", "statement"),
    [
        (
            {"UNAIDED": TOTAL},
            "Certificate of completion",
            f"has solved all {TOTAL} exercises of the course: {TOTAL} without looking at the solution.",
        ),
        (
            {"UNAIDED": TOTAL - 3, "AIDED": 2, "UNRECORDED": 1},
            "Certificate of completion",
            f"has solved all {TOTAL} exercises of the course: {TOTAL - 3} without looking at the solution, 2 after "
            "looking at the solution, 1 without a record of whether the solution was shown.",
        ),
        (
            {"AIDED": 1},
            "Certificate of progress",
            f"has so far solved 1 of the {TOTAL} exercises of the course: 1 after looking at the solution. "
            f"{TOTAL - 1} exercises are open.",
        ),
        (
            {"UNAIDED": TOTAL - 1},
            "Certificate of progress",
            f"has so far solved {TOTAL - 1} of the {TOTAL} exercises of the course: {TOTAL - 1} without looking at the "
            "solution. 1 exercise is open.",
        ),
    ],
)
def test_the_statement_counts_each_standing(counts: dict[str, int], title: str, statement: str) -> None:
    certificate = made(**counts)
    assert (certificate.title, certificate.statement) == (title, statement)


def texts(certificate: Certificate) -> list[str]:
    """Return the texts on the page, in the order in which they are drawn."""
    with style():
        return [text.get_text() for text in draw(certificate).texts]


def test_the_page_shows_the_facts_and_each_exercise_with_its_mark() -> None:
    certificate = made(UNAIDED=2, AIDED=1, UNRECORDED=1)
    shown = texts(certificate)
    every = " ".join(shown)
    for fact in (certificate.title, COURSE, "Ada Lovelace", "2026-11-30, version 1.2.3 of the course"):
        assert fact in shown
    assert certificate.statement in every
    assert NO_PROOF in every
    marks = {text.split()[0]: shown[index - 1] for index, text in enumerate(shown) if text.split()[0] in EVERY}
    assert list(marks.values()) == ["✓", "✓", "◐", "●"] + ["○"] * (TOTAL - 4)
    assert list(marks) == EVERY
    for lesson in certificate.lessons:
        assert f"{lesson.number}  {lesson.title.replace('`', '')}" in shown
    legend = {text: shown[index - 1] for index, text in enumerate(shown) if text in list(Standing)}
    assert legend == dict(zip(Standing, "✓◐●○", strict=True))


def test_the_legend_explains_only_the_marks_on_the_page() -> None:
    assert Standing.OPEN not in texts(made(**ALL))
    assert Standing.UNAIDED in texts(made(**ALL))


def test_the_exercises_of_the_course_can_be_read_on_paper() -> None:
    sizes = {text.get_text(): text.get_size() for text in draw(made(**ALL)).texts}
    assert {sizes[f"{each.number}  {each.title.replace('`', '')}"] for each in exercises()} == {9}


def longer(certificate: Certificate) -> Certificate:
    """Return a certificate of a course that has twice as many lessons, all of them solved."""
    added: list[Lesson] = []
    for number, lesson in enumerate(certificate.lessons, 51):
        renamed = [replace(each, number=f"{number}.{place}") for place, each in enumerate(lesson.exercises, 1)]
        added.append(
            replace(lesson, number=str(number), title=f"{lesson.title} {'again ' * 9}", exercises=tuple(renamed))
        )
    standings = {each.number: Standing.UNAIDED for lesson in added for each in lesson.exercises}
    return replace(
        certificate, lessons=(*certificate.lessons, *added), standings={**certificate.standings, **standings}
    )


WIDE = "W" * 100
PAGES = {
    "complete": made(**ALL),
    "all standings": made(UNAIDED=9, AIDED=8, UNRECORDED=7),
    "a long name": made("Wolfeschlegelsteinhausenbergerdorff " * 2 + "of Philadelphia", **ALL),
    "the widest name": made(WIDE, UNAIDED=9, AIDED=8, UNRECORDED=7),
    "twice as many lessons": longer(made(UNAIDED=9, AIDED=8, UNRECORDED=7)),
}


@pytest.mark.parametrize("certificate", PAGES.values(), ids=PAGES)
def test_all_texts_are_within_the_frame_and_none_covers_another(certificate: Certificate) -> None:
    with style():
        page = draw(certificate)
        drawn = [(text.get_text(), text.get_window_extent()) for text in page.texts]
    inner = page.bbox.padded(-11 / 25.4 * page.dpi)
    outside = [text for text, box in drawn if box.x0 < inner.x0 or box.x1 > inner.x1 or box.y0 < inner.y0]
    assert outside == []
    cut = [box.padded(-0.5) for _, box in drawn]
    assert [(drawn[a][0], drawn[b][0]) for a, b in combinations(range(len(cut)), 2) if cut[a].overlaps(cut[b])] == []
    assert certificate.name.replace(" ", "") in "".join(text for text, _ in drawn).replace(" ", "")


def test_the_svg_is_an_a4_image_with_a_title_and_a_description() -> None:
    certificate = made('Ada <b>&amp; "Lovelace" ]]> $x$ {0} \\1', UNAIDED=1)
    root = ElementTree.fromstring(to_svg(certificate))
    size = [float(root.attrib[side].removesuffix("pt")) * 25.4 / 72 for side in ("width", "height")]
    assert size == pytest.approx([210, 297], abs=0.1)
    title, description = root[0], root[1]
    assert (root.attrib["role"], root.attrib["aria-labelledby"]) == ("img", "title desc")
    assert (title.tag, title.attrib["id"], title.text) == (
        f"{SVG}title",
        "title",
        f"Certificate of progress: {certificate.name}",
    )
    assert (description.tag, description.attrib["id"], description.text) == (f"{SVG}desc", "desc", certificate.text)
    assert f"{COURSE}. {certificate.name} has so far solved 1 of" in certificate.text
    assert (
        "Lesson 01, Your first background task: 1.1 solved without looking at the solution; 1.2, " in certificate.text
    )
    assert root.find(f".//{SVG}b") is None
    assert root.find(f".//{SVG}text") is None  # all texts are drawn as paths


def test_the_pdf_is_one_a4_page_with_selectable_text_and_without_a_time() -> None:
    pdf = to_pdf(made(**ALL))
    assert pdf.startswith(b"%PDF-1.4")
    assert pdf.rstrip().endswith(b"%%EOF")
    (start,) = re.findall(rb"startxref\n(\d+)\n", pdf)
    assert pdf[int(start) :].startswith(b"xref\n")
    assert len(re.findall(rb"/Type /Page\b(?!s)", pdf)) == 1
    (box,) = re.findall(rb"/MediaBox \[ 0 0 ([\d.]+) ([\d.]+) \]", pdf)
    assert [float(side) * 25.4 / 72 for side in box] == pytest.approx([210, 297], abs=0.1)
    assert b"/Title (Certificate of completion: Ada Lovelace)" in pdf
    assert b"/ToUnicode" in pdf
    assert b"Date" not in pdf


AGAIN = """
import sys
from datetime import datetime
from harness.course.certificates.certificate_files import save
save("Zoë Müller", datetime(2026, 11, 30, 9, 0, 0))
"""


def test_the_same_facts_give_the_same_bytes(folder: Path) -> None:
    """Also in another process with other hashes, and with other settings of matplotlib."""
    progress_file.mark_solved("1.1")
    subprocess.run(python(AGAIN), check=True, env={"PYTHONHASHSEED": "5", VARIABLE: str(folder.parent / "state")})
    first = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert sorted(first) == ["certificate.pdf", "certificate.svg"]
    with matplotlib.rc_context({"font.size": 30, "svg.fonttype": "none", "pdf.fonttype": 3, "text.parse_math": True}):
        saved = save("Zoë Müller", NOW)
    assert saved.lines == ("certificate.svg is up to date", "certificate.pdf is up to date")
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == first


@pytest.mark.usefixtures("short_pages")
def test_existing_files_are_backed_up_under_a_name_that_is_reported(folder: Path) -> None:
    progress_file.mark_solved("1.1")
    assert save("Ada", NOW).lines == ("wrote certificate.svg", "wrote certificate.pdf")
    earlier = {kind: (folder / f"certificate.{kind}").read_bytes() for kind in ("svg", "pdf")}
    for kind, line in zip(earlier, save("Grace", NOW).lines, strict=True):
        backup = f"backups/certificate.2026-11-30-151200.{kind}"
        assert line == f"wrote certificate.{kind}; the previous file is now {backup}"
        assert (folder / backup).read_bytes() == earlier[kind] != (folder / f"certificate.{kind}").read_bytes()


@pytest.mark.usefixtures("short_pages")
def test_the_files_are_beside_the_learners_copies_if_there_are_any(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    progress_file.mark_solved("1.1")
    for name in ("my-course", "exercises"):
        (folder / name).mkdir()
        monkeypatch.chdir(folder / name)
    save("Ada", NOW)
    assert sorted(path.name for path in (folder / "my-course").iterdir()) == ["certificate.pdf", "certificate.svg"]
    (folder / "my-course").rename(folder / "elsewhere")
    save("Ada", NOW)
    assert sorted(path.name for path in (folder / "exercises").iterdir()) == ["certificate.pdf", "certificate.svg"]


@pytest.mark.usefixtures("short_pages")
def test_a_file_that_cannot_be_written_is_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    progress_file.mark_solved("1.1")

    def full(path: Path, content: bytes) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(certificate_files, "write", full)
    with pytest.raises(ProgressError, match=r"certificate\.svg can't be written: No space left on device\.$"):
        save("Ada", NOW)
    (folder / "certificate.svg").mkdir()
    with pytest.raises((ProgressError, NotebookError), match=r"certificate\.svg.*directory"):
        save("Ada", NOW)


@pytest.mark.parametrize(
    ("name", "character"),
    [
        ("Ada", ""),
        ("Zoë", ""),
        ("Дарья", ""),
        ("g\u0303", ""),
        (CHINESE, "王"),
        (ARABIC, "ل"),
        (HINDI, "अ"),
        ("Ada 🎉", "🎉"),
    ],
)
def test_a_character_that_the_font_cannot_show_is_found(name: str, character: str) -> None:
    assert unprintable(name) == character


@pytest.mark.parametrize("name", [CHINESE, ARABIC, HINDI, "王<b>&"])
def test_a_name_that_the_font_cannot_show_is_text_in_the_svg_and_has_no_pdf(folder: Path, name: str) -> None:
    progress_file.mark_solved("1.1")
    saved = save(name, NOW)
    (shown,) = ElementTree.fromstring(saved.svg).iter(f"{SVG}text")
    assert shown.text == name
    assert [path.name for path in folder.iterdir()] == ["certificate.svg"]
    said = " ".join(saved.lines[1].split())
    assert said == (
        f"No PDF was written, because the font of the PDF can't show the character {unprintable(name)} of the name. "
        "certificate.svg shows the name in a font of the computer that opens it. To make a PDF, open certificate.svg "
        "in a browser, check that the name is shown correctly, and print the page."
    )


@pytest.mark.usefixtures("short_pages")
def test_an_earlier_pdf_stays_and_is_mentioned_if_there_is_no_new_one(folder: Path) -> None:
    progress_file.mark_solved("1.1")
    save("Ada", NOW)
    before = (folder / "certificate.pdf").read_bytes()
    said = " ".join(save(CHINESE, NOW).lines[1].split())
    assert said.endswith("The existing certificate.pdf contains an earlier certificate.")
    assert (folder / "certificate.pdf").read_bytes() == before


def test_a_long_name_that_the_font_cannot_show_has_several_lines() -> None:
    svg = ElementTree.fromstring(to_svg(made(CHINESE * 33, **ALL)))
    lines = [each.text or "" for each in svg.iter(f"{SVG}text")]
    assert len(lines) == 3
    assert "".join(lines) == CHINESE * 33


@pytest.mark.usefixtures("short_pages")
def test_a_notebook_shows_the_page_and_a_terminal_the_statement(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    progress_file.mark_solved("1.1")
    certificate("Ada")
    out = capsys.readouterr().out
    assert out.startswith("Certificate of progress: Ada has so far solved 1 of")
    assert out.endswith("\nwrote certificate.svg\nwrote certificate.pdf\n")
    shown: list[tuple[str, str]] = []
    monkeypatch.setattr(api, "notebook_path", lambda: folder / "a.ipynb")
    monkeypatch.setattr(api, "_display", lambda *each: shown.append(each))
    certificate("Ada <i>")
    [(html, text)] = shown
    assert html.startswith('<img alt="Certificate of progress. ')
    assert "Ada &lt;i&gt; has so far" in html
    assert "wrote certificate.svg; the previous file is now backups/certificate.20" in html
    assert "Ada <i> has so far" in " ".join(text.split())
    with pytest.raises(BadValueError, match="at least one letter"):
        certificate()


def test_without_package_metadata_the_version_is_unknown(monkeypatch):
    monkeypatch.setattr(progress_file, "saved_entries", lambda: {EVERY[0]: progress_file.Entry(solved=True)})
    assert certify("Ada", DAY).version == metadata.version("harness")

    def version(name):
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "version", version)
    assert certify("Ada", DAY).version == "unknown"
