"""The slides in a browser, on a screen of 1280 by 720: they fit, can be read, and load nothing from elsewhere.

One Chromium for all lessons; a lesson's slides are gone through by the key that a speaker presses.
"""

from pathlib import Path

import pytest
from playwright.sync_api import Page

from harness.classroom.slides import make_slides
from harness.notebooks import files
from tests.browser.driver import ROOT
from tests.support.isolation import missing

pytestmark = pytest.mark.browser

REVEAL = ROOT / ".venv" / "reveal" / "sphinx_revealjs" / "_static" / "revealjs"
LESSONS = files.find(ROOT, "notebooks")
LEAST = 14  # pixels of 720: the letters of a trace, in the smallest size that the slides take
# Goes to the end, and says of each slide how far it reaches, how small its letters are, and what a box hides.
WALK = """() => {
    const slides = [];
    const letters = element => [...element.childNodes].some(
        node => node.nodeType === Node.TEXT_NODE && node.textContent.trim());
    for (let steps = 0; steps < 500; steps++) {
        if (!Reveal.availableFragments().next) {
            const slide = Reveal.getCurrentSlide(), box = slide.getBoundingClientRect();
            const cells = [...slide.querySelectorAll('.jp-Cell')];
            const parts = [...slide.querySelectorAll('pre, p, li, th, td, img, h1, h2, h3, caption')];
            const scrolls = [...slide.querySelectorAll('.scrolls')];
            const shown = parts.filter(part => !scrolls.some(scroll => scroll.contains(part)));
            const rects = [...cells, ...scrolls, ...shown].map(part => part.getBoundingClientRect());
            const texts = parts.flatMap(part => [part, ...part.querySelectorAll('*')]).filter(letters);
            const sizes = texts.map(part => parseFloat(getComputedStyle(part).fontSize) * part.currentCSSZoom);
            slides.push({
                name: slide.textContent.trim().slice(0, 40),
                bottom: Math.max(...rects.map(rect => rect.bottom - box.top)),
                right: Math.max(...rects.map(rect => rect.right - box.left)),
                letters: Math.min(...sizes),
                cells: cells.length,
                height: box.height,
                boxes: scrolls.map(scroll => scroll.getBoundingClientRect().height),
                cut: shown.filter(part => part.scrollWidth > part.clientWidth + 2 && part.tagName === 'PRE').length,
            });
        }
        if (Reveal.isLastSlide() && Reveal.isLastVerticalSlide() && !Reveal.availableFragments().next) return slides;
        Reveal.next();
    }
    return null;
}"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The slides of all lessons."""
    if not REVEAL.is_dir():
        missing("no reveal.js: `make slides` installs it")
    target = tmp_path_factory.mktemp("slides")
    make_slides(ROOT, REVEAL, target, answers=ROOT / "tests" / "answers", say=lambda line: None)
    return target


@pytest.fixture(scope="module")
def screen(browser) -> Page:
    return browser.new_page(viewport={"width": 1280, "height": 720})


@pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.stem)
def test_every_slide_fits_the_screen_and_can_be_read(screen, folder, path):
    loaded: list[str] = []
    troubles: list[str] = []
    screen.on("request", lambda request: loaded.append(request.url))
    screen.on("console", lambda message: troubles.append(message.text))
    screen.on("pageerror", lambda error: troubles.append(str(error)))
    screen.goto((folder / f"{path.stem}.html").as_uri())
    screen.wait_for_function("() => window.Reveal?.isReady()")
    slides = screen.evaluate(WALK)
    assert len(slides) >= 9
    for slide in slides:
        assert slide["cells"] > 0, slide
        assert slide["height"] == 720, slide
        assert slide["bottom"] <= 700, slide
        assert slide["right"] <= 1280 - 50, slide
        assert slide["letters"] >= LEAST, slide
        assert slide["cut"] == 0, slide
        assert all(height >= 300 for height in slide["boxes"]), slide
    assert sum(len(slide["boxes"]) for slide in slides) <= 2, "few outputs should need to scroll"
    assert troubles == []
    outside = [url for url in loaded if not url.startswith(("data:", folder.as_uri()))]
    assert len(loaded) > 1
    assert outside == []
