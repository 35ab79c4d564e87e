"""axe-core in a page: which rules of accessibility a part of it breaks."""

from functools import cache

from playwright.sync_api import Page

from tests.browser.driver import ROOT
from tests.support.isolation import missing

SOURCE = ROOT / ".venv" / "axe" / "node_modules" / "axe-core" / "axe.min.js"
GRAVE = ("serious", "critical")
# axe-core ignores what an element with hidden overflow cuts off. JupyterLab's body has hidden overflow and no height.
_RUN = """async ([parts, impacts]) => {
    for (const element of document.querySelectorAll('*')) {
        if (getComputedStyle(element).overflow !== 'visible') element.style.overflow = 'visible';
    }
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


def violations(page: Page, parts: str) -> list[str]:
    """Return the serious and the critical violations in the visible parts of a page: the rule, the element and why.

    Afterwards the page has no scroll bars.

    Args:
        page: the page of JupyterLab, in its present theme.
        parts: the CSS selector of the parts.
    """
    page.evaluate(_source())
    found, legible = page.evaluate(_RUN, [parts, GRAVE])
    assert legible > 0, "axe-core saw no text"
    return list(found)
