"""axe-core in a page: which rules of accessibility a part of it breaks."""

from functools import cache

from playwright.sync_api import Page

from tests.browser.driver import ROOT
from tests.support.isolation import missing

SOURCE = ROOT / ".venv" / "axe" / "node_modules" / "axe-core" / "axe.min.js"
GRAVE = ("serious", "critical")
# JupyterLab's body has no height and hides what overflows, so axe-core would take everything in it for invisible.
_TALL = "body.jp-ThemedContainer { height: 100vh !important; }"
_RUN = """async ([parts, impacts]) => {
    const include = [...document.querySelectorAll(parts)].filter(part => part.checkVisibility());
    const { passes, violations } = await axe.run({ include });
    const grave = violations.filter(each => impacts.includes(each.impact)).flatMap(each => each.nodes.map(node =>
        `${each.id}: ${node.html.slice(0, 200)}: ${node.any.concat(node.all, node.none).map(one => one.message)[0]}`));
    return [grave, passes.filter(each => each.id === 'color-contrast').flatMap(each => each.nodes).length];
}"""


@cache
def _source() -> str:
    if not SOURCE.exists():
        missing("no axe-core: `make .venv/axe/.done` installs it, with npm (on Debian: apt-get install nodejs npm)")
    return SOURCE.read_text(encoding="utf-8")


def violations(page: Page, parts: str, at_least: int) -> list[str]:
    """Return the serious and the critical violations in the visible parts of a page: the rule, the element and why.

    Args:
        page: a window that is high enough for all parts, because axe-core ignores what is scrolled out of view.
        parts: the CSS selector of the parts.
        at_least: the number of elements whose contrast axe-core must find right, so that the result means something.
    """
    tall = page.add_style_tag(content=_TALL)
    page.evaluate(_source())
    found, legible = page.evaluate(_RUN, [parts, GRAVE])
    tall.evaluate("tag => tag.remove()")
    assert legible >= at_least, f"axe-core has checked the contrast of {legible} elements only"
    return list(found)
