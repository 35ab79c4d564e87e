"""axe-core in a page: which rules of accessibility a part of it breaks."""

from functools import cache

from playwright.sync_api import Page

from tests.browser.driver import ROOT
from tests.support.isolation import missing

SOURCE = ROOT / ".venv" / "axe" / "node_modules" / "axe-core" / "axe.min.js"
GRAVE = ("serious", "critical")
# The parts are disjoint, so that axe-core looks at each node once.
_RUN = """async ([parts, without, impacts]) => {
    const include = [...document.querySelectorAll(parts)].filter(part => part.checkVisibility());
    const exclude = [...document.querySelectorAll(without)];
    const { violations } = await axe.run({ include, exclude }, { resultTypes: ['violations'] });
    return violations.filter(each => impacts.includes(each.impact)).flatMap(each => each.nodes.map(node =>
        `${each.id}: ${node.html.slice(0, 200)}: ${node.any.concat(node.all, node.none).map(one => one.message)[0]}`));
}"""


@cache
def _source() -> str:
    if not SOURCE.exists():
        missing("no axe-core: `make .venv/axe/.done` installs it, with npm (on Debian: apt-get install nodejs npm)")
    return SOURCE.read_text(encoding="utf-8")


def violations(page: Page, parts: str, without: str = "") -> list[str]:
    """Return the serious and the critical violations in the visible parts of a page: the rule, the element and why.

    Args:
        page: the page, in its present theme.
        parts: the CSS selector of the parts.
        without: the CSS selector of what is left out of them.
    """
    page.evaluate(_source())
    return list(page.evaluate(_RUN, [parts, without or ":not(*)", GRAVE]))
